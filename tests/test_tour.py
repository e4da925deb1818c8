"""The notebook that leads through the article: it runs, and is kept as it came out."""

import re
import sys
import types

import matplotlib.pyplot as plt
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import draw_tf
from tests.support.cli import ROOT

PATH = ROOT / "assets" / "draw_tour.ipynb"


def cells(kind):
    return [cell for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == kind]


def test_the_tour_is_kept_with_its_outputs():
    assert [cell.execution_count for cell in cells("code")] == list(
        range(1, len(cells("code")) + 1))
    outputs = [output for cell in cells("code") for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"
            or output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 3
    # in the page itself: viewers do not show pictures of the type image/gif
    assert not any("image/gif" in output.get("data", {}) for output in outputs)
    html = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert sum('<img src="data:image/gif;base64,' in text for text in html) >= 3
    assert html and html[-1] == cells("code")[-1].outputs[-1].data["text/html"]
    assert PATH.stat().st_size < 3_000_000


def test_the_tour_begins_with_a_picture_and_three_lines():
    first = nbformat.read(PATH, as_version=4).cells[0]
    (name,) = re.findall(r"!\[[^]]*\]\(attachment:([^)]*)\)", first.source)
    assert "image/png" in first.attachments[name]
    assert len(cells("code")[0].source.splitlines()) == 3
    assert sum("<details>" in cell.source for cell in cells("markdown")) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("slider", [True, False])
def test_the_tour_runs_from_top_to_bottom(tmp_path, monkeypatch, slider):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    if not slider:  # importing it raises ImportError
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shell = InteractiveShell(user_module=types.ModuleType("tour"),
                             config=Config(HistoryManager={"enabled": False}))
    sources = [cell.source for cell in cells("code")]
    if not slider:  # the rest is the same
        sources = sources[:3]
    with plt.rc_context({"backend": "agg"}):
        for source in sources:
            source = source.replace("epochs=8", "epochs=1").replace("glimpses=10", "glimpses=2")
            shell.run_cell(source).raise_error()
            plt.close("all")
    if slider:
        assert shell.user_ns["history"].history["bound_nats"]
        assert isinstance(shell.user_ns["model"], draw_tf.DRAW)
        assert {path.name for path in tmp_path.iterdir()} >= {
            "redrawn.gif", "own.png", "new.gif", "between.gif"}
