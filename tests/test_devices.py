"""What is computed on, in words, and why not on a card that is there."""

import importlib.util
import os
import re
import subprocess

import pytest
import tensorflow as tf

from draw_tf import commands, devices

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretends to be another machine: the GPUs that TensorFlow sees, the cards of the driver."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def pretend(gpus=(), cards=(), cores=2, sign=False):
        monkeypatch.setattr(devices, "cpu_cores", lambda: cores)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(gpus))
        monkeypatch.setattr(tf.config.experimental, "get_device_details",
                            lambda gpu: {"device_name": gpu} if gpu else {})
        for number, card in enumerate(cards):
            folder = tmp_path / f"gpu{number}"
            folder.mkdir()
            (folder / "information").write_text(f"Model: \t\t {card}\nIRQ:   32\n")
        (tmp_path / "none").touch()
        monkeypatch.setattr(devices, "_SIGNS", (f"{tmp_path}/gpu*", *[f"{tmp_path}/n*"] * sign))
        monkeypatch.setattr(devices.shutil, "which", lambda _: None)

    return pretend


@pytest.mark.parametrize("gpus, cores, words", [
    ([H100], 16, f"an {H100}"), (["Tesla T4"], 2, "a Tesla T4"), ([""], 2, "a GPU"),
    ([], 2, "2 CPU cores"), ([], 1, "1 CPU core")])
def test_devices_have_words(machine, gpus, cores, words):
    machine(gpus, cores=cores)
    assert devices.in_words() == words
    machine([H100] * 3)
    assert devices.in_words().startswith(f"an {H100} (of 3 GPUs")


def test_a_card_in_use_or_none_needs_no_word(machine):
    machine()
    assert devices.unused_card() is None and not devices.card_is_there()
    machine([H100], [H100])
    assert devices.unused_card() is None and devices.card_is_there()


@pytest.mark.parametrize("hidden, cuda, libraries, words", [
    ("", True, True, "CUDA_VISIBLE_DEVICES='' hides it"), ("-1", True, False, "='-1' hides it"),
    (None, False, False, "built without CUDA"),
    (None, True, False, r"missing: pip install -e '\.\[gpu\]'"),
    (None, True, True, "TF_CPP_MIN_LOG_LEVEL=0 set, it says why")])
def test_an_unused_card_is_named_with_the_reason(
        machine, monkeypatch, capsys, hidden, cuda, libraries, words):
    machine(cards=[H100])
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if libraries else None)
    commands.say_device()
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Computing on 2 CPU cores."
    assert second.startswith(f"This machine has an {H100}, and TensorFlow does not use it: ")
    assert re.search(words, second)


def test_a_driver_without_names_is_asked_by_its_program(machine, monkeypatch):
    machine(sign=True)
    assert devices.unused_card().startswith("This machine has an NVIDIA card, and ")
    monkeypatch.setattr(devices.shutil, "which", lambda _: "nvidia-smi")
    said = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-1)\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess(
        [], 0, said, ""))
    assert "has an NVIDIA A100-SXM4-40GB, and" in devices.unused_card()

    def fail(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(subprocess, "run", fail)
    assert "has an NVIDIA card, and" in devices.unused_card()


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= devices.cpu_cores() <= os.cpu_count()
