"""What setup.py tells package indexes and installers."""

import importlib.metadata
import re
import runpy
import subprocess

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.support.cli import ROOT


@pytest.fixture
def given(monkeypatch):
    """A function of git's answer to what setup.py gives to setuptools."""
    def run(origin=""):
        values = {}
        monkeypatch.setattr("setuptools.setup", values.update)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess(
            [], 0, stdout=origin))
        runpy.run_path(str(ROOT / "setup.py"))
        return values
    return run


@pytest.mark.parametrize("origin", [
    "https://github.com/some/draw.git\n", "git@github.com:some/draw\n", "", "/home/some/draw\n"])
def test_a_package_index_shows_the_pictures_of_the_repository(given, origin):
    values = given(origin)
    text = values["long_description"]
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links and all(link.startswith(("https://", "#")) for link in links)
    if "github" in origin:
        assert values["url"] == "https://github.com/some/draw"
        assert "](https://github.com/some/draw/raw/HEAD/assets/strokes.gif)" in text
        assert "](https://github.com/some/draw/blob/HEAD/tests/README.md)" in text
    else:
        assert values["url"] is None and "![" not in text


def test_python_versions_are_those_of_the_requirements(given):
    values = given()
    tensorflow = importlib.metadata.metadata("tensorflow").get_all("Classifier")
    versions = [f"3.{minor}" for minor in range(30) if f"3.{minor}.99" in SpecifierSet(
        values["python_requires"])]
    for version in versions:
        for needed in map(Requirement, values["install_requires"]):
            metadata = importlib.metadata.metadata(needed.name)
            accepted = SpecifierSet(metadata["Requires-Python"] or "")
            assert f"{version}.99" in accepted, f"{needed.name} {metadata['Version']} on {version}"
        # its Requires-Python has no upper end, its list does
        assert f"Programming Language :: Python :: {version}" in tensorflow
        assert f"Programming Language :: Python :: {version}" in values["classifiers"]
    first, last = versions[0], versions[-1]
    assert f"Python {first} to {last}" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f'python: ["{first}", "{last}"]' in workflow
    ruff = (ROOT / ".ruff.toml").read_text(encoding="utf-8")
    assert f'target-version = "py{first.replace(".", "")}"' in ruff
