"""Runs that the tests of training read, each made once."""

import shutil

import pytest

from tests.support.trainings import MODEL, float64, run


@pytest.fixture(scope="module", autouse=True)
def models_in_float64():
    with float64():
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a run of six steps."""
    workdir = tmp_path_factory.mktemp("finished")
    run(workdir)
    return workdir


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """The folder of such a run of DRAW from the data's mean, and what the run returned."""
    workdir = tmp_path_factory.mktemp("drawn")
    return workdir, run(workdir, MODEL, start="data")


@pytest.fixture(scope="session")
def saved_half(tmp_path_factory):
    """The folder of a run of three steps, at a rate that a longer run has until there."""
    workdir = tmp_path_factory.mktemp("half")
    run(workdir, train_steps=3, schedule="constant")
    return workdir


@pytest.fixture
def half(saved_half, tmp_path):
    """The folder of a run of three steps, to go on in."""
    return shutil.copytree(saved_half, tmp_path / "half")
