"""Weights by name, written to a file and read again."""

import dataclasses
import io
import re
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from draw_tf import DRAW, checkpoints
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.checkpoints.weights import read_weights, weight_shapes
from draw_tf.checkpoints.workdir import WEIGHTS
from draw_tf.config import config_to_dict
from draw_tf.files import write_json
from tests.support.numerics import small_config
from tests.support.saved_runs import (
    CONFIG,
    QUIET,
    assert_same,
    cut_short,
    numbers,
    save_npz,
    sentence,
    some_weights,
)


@pytest.mark.parametrize("fields", [{}, dict(read_attention=False), dict(write_attention=False),
                                    dict(equations="paper")])
def test_every_weight_has_a_name_of_its_own(fields):
    model = DRAW(small_config(glimpses=2, **fields))
    named = checkpoints.named_weights(model)
    assert {id(variable) for variable in named.values()} == {id(w) for w in model.weights}
    assert len(named) == len(model.weights)
    assert weight_shapes(model.config) == {
        name: tuple(variable.shape) for name, variable in named.items()}
    windows = {name.partition("/")[0] for name in named} & {"read", "write"}
    assert windows == {scope for scope in ("read", "write")
                       if getattr(model.config, f"{scope}_attention")}


def test_weights_alone_come_back(tmp_path):
    weights = save_npz(tmp_path)
    model, step = checkpoints.load_with_step(tmp_path)
    assert step is None and model.config == CONFIG
    assert_same(model, weights)
    assert all(value.std() > 0 for value in weights.values())  # no weight is left out


def test_the_step_is_kept_beside_the_weights(tmp_path):
    save_npz(tmp_path)
    checkpoints.save_weights(checkpoints.load(tmp_path), tmp_path / WEIGHTS, step=2**40)
    assert checkpoints.load_with_step(tmp_path)[1] == 2**40


def test_half_precision_comes_back_as_float32(tmp_path):
    weights = save_npz(tmp_path, np.float16)
    with np.load(tmp_path / WEIGHTS) as arrays:
        assert all(arrays[name].dtype == np.float16 for name in arrays)
    for name, value in numbers(checkpoints.load(tmp_path)).items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, weights[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("change, message", [
    (lambda weights: weights.pop("read/bias"), "'read/bias' is missing"),
    (lambda weights: weights.update({"glance/bias": np.zeros(5)}), "'glance/bias' is not one of"),
    (lambda weights: weights.update({"mu/kernel": np.zeros((3, 8))}),
     r"'mu/kernel' must have shape \(8, 3\), got \(3, 8\)"),
])
def test_a_weight_that_does_not_fit_is_named_and_nothing_is_set(change, message):
    model = DRAW(CONFIG)
    before, weights = numbers(model), some_weights(0)
    change(weights)
    with pytest.raises(ValueError, match=message):
        checkpoints.assign_weights(model, weights)
    assert_same(model, before)


def save_something_else(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


def resave(path, **changes):
    with np.load(path) as arrays:
        np.savez(path, **{**arrays, **changes})


def longer_than_its_shape(path):
    """A member that unpacks to far more than its header says."""
    with np.load(path) as arrays:
        arrays = dict(arrays)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue() + bytes(
                10_000_000 if name == "mu/bias" else 0))


def pack(path, change):
    """Writes an archive again, with the members that `change` makes of a dictionary of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)


def named_twice(path):
    """A member that NumPy would read in the place of one that was checked."""
    pack(path, lambda members: {"mu/bias": b"no array", **members})


def a_header_without_end(path):
    """A member whose header says that it is long, and is."""
    header = b"\x93NUMPY\x02\x00\xff\xff\xff\x00" + bytes(2**24)
    pack(path, lambda members: {**members, "mu/bias.npy": header})


def damage_the_middle(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [
    lambda path: cut_short(path, 0), lambda path: cut_short(path, 0.1),
    lambda path: cut_short(path, 0.9), lambda path: cut_short(path, 0.999),
    lambda path: path.write_bytes(b"these are no weights"),
    lambda path: np.savez(path, **{"mu/kernel": np.array([{}], dtype=object)}),
    lambda path: np.savez(path, **{"mu/kernel": np.zeros(3)}),
    lambda path: resave(path, **{"mu/bias": np.full(3, np.nan, np.float32)}),
    lambda path: resave(path, **{"mu/bias": np.full(3, np.inf, np.float32)}),
    lambda path: resave(path, **{"mu/bias": np.zeros(3, complex)}),
    lambda path: resave(path, step=np.float32(5)), lambda path: resave(path, step=np.arange(3)),
    longer_than_its_shape, save_something_else, damage_the_middle, named_twice,
    a_header_without_end])
def test_damaged_weights_are_reported(tmp_path, spoil):
    save_npz(tmp_path)
    spoil(tmp_path / WEIGHTS)
    assert re.search("weights.npz cannot be (read|used): ", sentence(checkpoints.load, tmp_path))


@pytest.mark.parametrize("spoil", [longer_than_its_shape, a_header_without_end])
def test_no_more_is_unpacked_than_a_file_may_hold(tmp_path, spoil):
    save_npz(tmp_path)
    spoil(tmp_path / WEIGHTS)
    tracemalloc.start()
    try:
        assert "'mu/bias' is not as long as its shape says" in sentence(checkpoints.load, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_no_more_is_unpacked_than_the_directory_of_a_file_says(tmp_path):
    config, path = small_config(hidden_size=64), tmp_path / WEIGHTS
    checkpoints.save_weights(DRAW(config), path)
    name = "encoder/kernel.npy"  # zipfile unpacks smaller ones at once
    pack(path, lambda members: {**members, name: members[name] + bytes(10**8)})
    claimed = 128 + 4 * np.prod(weight_shapes(config)["encoder/kernel"])  # a header, and float32
    with zipfile.ZipFile(path) as archive, archive.open(name) as file:
        start = file.read(claimed)
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo(name)
        info.file_size, info.CRC = len(start), zlib.crc32(start)
        archive.comment = b"changed"  # so that the directory is written again
    tracemalloc.start()
    try:
        read_weights(path, config)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_file_is_checked_before_a_model_is_built(tmp_path, monkeypatch):
    save_npz(tmp_path)
    monkeypatch.setattr(workdirs, "make_model", lambda *_: pytest.fail("a model was built"))
    large = dataclasses.replace(CONFIG, hidden_size=2**14 - 1)
    write_json(tmp_path / workdirs.CONFIG, config_to_dict(large, QUIET))
    assert "weights" in sentence(checkpoints.load, tmp_path)
