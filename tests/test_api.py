"""What is public: the page that lists it is true, its examples run, and nothing else is shown."""

import ast
import doctest
import re

import nbformat
import pytest

import draw_tf
from tests.support import api
from tests.support.cli import ROOT

PAGE = ROOT / "assets" / "api.md"


def sources():
    """The Python that a reader is shown: of the README, and of the notebook."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    yield from re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    for cell in nbformat.read(ROOT / "assets" / "draw_tour.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            yield cell.source


def names_of_the_package(source):
    """The full names of what a source takes from the package: draw_tf.data.load, ..."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("draw_tf"))
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("draw_tf"):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if re.fullmatch(r"draw_tf(\.\w+)+", name):
                yield name


def test_the_page_is_what_the_docstrings_say():
    assert PAGE.read_text(encoding="utf-8") == api.page(), "python -m tests.support.api"


def test_what_is_public_is_documented():
    for name, value in api.public().items():
        assert value.__doc__, name


def test_readers_are_shown_nothing_else():
    allowed = {"draw_tf", "draw_tf.data", *api.public()}
    used = {name for source in sources() for name in names_of_the_package(source)}
    assert used - allowed == set()
    assert "draw_tf.load" in used


def test_the_house_shows_what_is_public():
    assert set(dir(draw_tf)) == {*draw_tf.__all__, "__version__"}


@pytest.mark.slow
def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8",
                              optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0 and result.failed == 0
