"""Weights by name, written to a file and read again."""

import dataclasses
import json
import pickle
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from draw_tf import DRAW, checkpoints
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.checkpoints.workdir import WEIGHTS, weight_shapes
from draw_tf.config import config_to_dict
from draw_tf.files import write_json
from tests.support.numerics import small_config
from tests.support.saved_runs import (
    CONFIG,
    QUIET,
    assert_same,
    cut_short,
    numbers,
    save_weights_alone,
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
    weights = save_weights_alone(tmp_path)
    model, step = checkpoints.load_with_step(tmp_path)
    assert step is None and model.config == CONFIG
    assert_same(model, weights)
    assert all(value.std() > 0 for value in weights.values())  # no weight is left out


def test_the_step_is_kept_beside_the_weights(tmp_path):
    save_weights_alone(tmp_path)
    checkpoints.save_weights(checkpoints.load(tmp_path), tmp_path / WEIGHTS, step=2**40)
    assert checkpoints.load_with_step(tmp_path)[1] == 2**40


def test_half_precision_comes_back_as_float32(tmp_path):
    weights = save_weights_alone(tmp_path, np.float16)
    assert {array.dtype for array in load_file(tmp_path / WEIGHTS).values()} == {
        np.dtype(np.float16)}
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


def change(path, of_header=lambda header: None, metadata=None, **tensors):
    """Writes a file again, with other arrays, metadata or entries of its header."""
    content = save({**load_file(path), **tensors}, metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    of_header(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length:])


def lying_length(path, length):
    content = path.read_bytes()
    path.write_bytes(length.to_bytes(8, "little") + content[8:])


def without_mu(path):
    weights = load_file(path)
    del weights["mu/bias"]
    save_file(weights, path)


def save_as_npz(path):
    with open(path, "wb") as file:
        np.savez(file, **{"mu/bias": np.zeros(3)})


def entry(name, **changes):
    return lambda path: change(path, lambda header: header[name].update(changes))


@pytest.mark.parametrize("spoil, message", [
    *((lambda path, share=share: cut_short(path, share), "read: ")
      for share in (0, 1e-4, 0.1, 0.9, 0.999)),
    (lambda path: path.write_bytes(b"these are no weights"), "header is too long"),
    (lambda path: path.write_bytes(pickle.dumps({"mu/bias": [0]})), "header is too long"),
    (save_as_npz, "header is too long"),
    (lambda path: lying_length(path, 2**20 + 1), "header is too long"),
    (lambda path: lying_length(path, 2**64 - 1), "header is too long"),
    (lambda path: lying_length(path, 2**19), "read: "), (lambda path: lying_length(path, 3),
                                                         "read: "),
    (lambda path: path.write_bytes(path.read_bytes() + bytes(1)), "read: "),
    (without_mu, "the weight 'mu/bias' is missing"),
    (lambda path: change(path, **{"glance/bias": np.zeros(3, np.float32)}),
     "the weight 'glance/bias' is not one of"),
    (lambda path: change(path, **{"mu/bias": np.zeros((3, 1), np.float32)}), "must have shape"),
    (entry("mu/bias", shape=[2**40]), "read: "), (entry("mu/bias", dtype="F128"), "read: "),
    (entry("mu/bias", data_offsets=[0, 2**63]), "read: "),
    *((lambda path, kind=kind: change(path, **{"mu/bias": np.zeros(3, kind)}),
       "'mu/bias' must be of F16 or F32, got ")
      for kind in (np.int32, np.float64, np.complex64, bool)),
    *((lambda path, value=value: change(path, **{"mu/bias": np.full(3, value, np.float32)}),
       "used: mu/bias has numbers that are not finite") for value in (np.nan, np.inf, -np.inf)),
    *((lambda path, step=step: change(path, metadata={"step": step}),
       "its step must be a whole number, got ")
      for step in ("", "-1", "1.5", "nan", "9" * 5000, "\u0663", "5\n")),
])
def test_damaged_weights_are_reported(tmp_path, spoil, message):
    save_weights_alone(tmp_path)
    spoil(tmp_path / WEIGHTS)
    text = sentence(checkpoints.load, tmp_path)
    assert re.search("weights.safetensors cannot be (read|used): ", text) and message in text


def test_metadata_of_others_and_no_metadata_are_taken(tmp_path):
    weights = save_weights_alone(tmp_path)
    change(tmp_path / WEIGHTS, metadata={"format": "pt", "author": "someone"})
    model, step = checkpoints.load_with_step(tmp_path)
    assert step is None
    assert_same(model, weights)


def test_a_file_is_checked_before_a_model_is_built(tmp_path, monkeypatch):
    save_weights_alone(tmp_path)
    monkeypatch.setattr(workdirs, "make_model", lambda *_: pytest.fail("a model was built"))
    large = dataclasses.replace(CONFIG, hidden_size=2**14 - 1)
    write_json(tmp_path / workdirs.CONFIG, config_to_dict(large, QUIET))
    assert "weights" in sentence(checkpoints.load, tmp_path)


def test_a_file_of_too_many_weights_is_not_read(tmp_path, monkeypatch):
    count = sum(array.size for array in save_weights_alone(tmp_path).values())
    monkeypatch.setattr(workdirs, "LARGEST", count)
    checkpoints.load(tmp_path)
    monkeypatch.setattr(workdirs, "LARGEST", count - 1)
    assert f"a model with more than {count - 1} weights" in sentence(checkpoints.load, tmp_path)
