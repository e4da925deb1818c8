"""The notebook that leads through the article: it runs, and is kept as it came out."""

import re
import types

import matplotlib.pyplot as plt
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.support.cli import ROOT

PATH = ROOT / "assets" / "draw_tour.ipynb"


def code_cells():
    return [cell for cell in nbformat.read(PATH, as_version=4).cells if cell.cell_type == "code"]


def test_the_tour_is_kept_with_its_outputs():
    cells = code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 10
    assert [output for output in outputs if output.output_type == "error"
            or output.get("name") == "stderr"] == []
    assert PATH.stat().st_size < 1_500_000


def test_the_tour_installs_only_where_there_is_no_package():
    first, *others = [cell.source for cell in code_cells()]
    assert re.search(r'find_spec\("draw_tf"\) is None:\n(    .*\n)*    %pip install .*git\+', first)
    assert not any("pip" in source for source in others)


@pytest.mark.slow
def test_the_tour_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell(user_module=types.ModuleType("tour"),
                             config=Config(HistoryManager={"enabled": False}))
    with plt.rc_context({"backend": "agg"}):
        for cell in code_cells():
            source = cell.source.replace(
                "train_steps=600", "train_steps=4, log_every=2, jit_compile=False").replace(
                    "train_and_evaluate(DRAWConfig()",
                    "train_and_evaluate(DRAWConfig(glimpses=2, hidden_size=8)")
            shell.run_cell(source).raise_error()
            plt.close("all")
    assert "step 4/4" in capsys.readouterr().out
