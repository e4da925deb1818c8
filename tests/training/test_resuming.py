"""A run that is stopped, by a signal or the end of its steps, and goes on exactly."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import threading

import pytest
import tensorflow as tf

from draw_tf import checkpoints, data, training
from draw_tf.checkpoints import read_metrics
from draw_tf.errors import ConfigError
from draw_tf.training import log, loop
from draw_tf.training.log import Log
from draw_tf.training.trainer import Trainer
from tests.support.trainings import IMAGES, SIMPLE, TRAIN, assert_same, run, saved_arrays

pytestmark = pytest.mark.slow


class FakeClock:
    """Stands in for the module `time`: it goes on hardly but where a test says so."""

    now = 0.0

    def perf_counter(self):
        self.now += 1e-6
        return self.now


def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, finished, monkeypatch, capsys):
    write = Log.write

    def write_then_signal(self, split, step, values):
        write(self, split, step, values)
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Log, "write", write_then_signal)
        run(tmp_path)
    assert checkpoints.load_with_step(tmp_path)[1] == 4
    said = capsys.readouterr().out
    assert "Stopped and saved at step 4" in said and str(tmp_path / "strokes-4.gif") in said
    assert (tmp_path / "strokes-4.gif").read_bytes() == (tmp_path / "strokes.gif").read_bytes()
    assert signal.getsignal(signal.SIGTERM) == before
    run(tmp_path)
    assert_same(saved_arrays(finished), saved_arrays(tmp_path))


@pytest.fixture
def interrupts():
    """Ctrl-C as in a terminal, wherever the tests run: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_is_not_held_back(interrupts):
    with pytest.raises(KeyboardInterrupt), loop.stop_requests(print) as stopping:
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        signal.raise_signal(signal.SIGINT)


def test_a_signal_is_answered_while_a_call_runs(interrupts):
    """Which may be a compilation: Python's main thread must not wait in it."""
    answered = threading.Event()

    def call():
        os.kill(os.getpid(), signal.SIGINT)
        return answered.wait(600), threading.current_thread()

    with loop.stop_requests(lambda text: answered.set()) as stopping:
        in_time, thread = loop.beside(call)
        assert in_time and stopping() and thread is not threading.main_thread()


def test_what_a_call_raises_beside_the_main_thread_is_raised_in_it():
    with pytest.raises(ConfigError, match="batch_size 5"):
        loop.beside(data.check_batch, 5, 2)


def test_compiling_is_said_before_it_starts_and_not_counted_as_time(tmp_path, monkeypatch, capsys):
    threads, clock, train = [], FakeClock(), Trainer.train

    def slow(self, batches, steps):
        if not threads:
            assert capsys.readouterr().out.splitlines()[-1].startswith("Compiling, about")
        # an hour to compile, then a second for each step
        clock.now += 1 if threads else 3600
        threads.append(threading.current_thread())
        return train(self, batches, steps)

    monkeypatch.setattr(Trainer, "train", slow)
    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(log, "time", clock)
    run(tmp_path, jit_compile=True, steps_per_call=1, log_every=1)
    assert threads[0] is not threading.main_thread()
    assert set(threads[1:]) == {threading.main_thread()}
    lines = [line for line in capsys.readouterr().out.splitlines() if "  train" in line]
    assert "left" not in lines[0]  # for nothing but the compilation was seen
    left = [re.search("0:00:0(.) left", line)[1] for line in lines[1:]]
    assert left == list("43210")


def test_resuming_is_exact_and_repeats_no_lines_logged_after_the_last_checkpoint(half, finished):
    with open(half / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": 5, "split": "train"}) + '\n{"step": 6, "spl')  # killed here
    run(half)
    steps = [(line["step"], line["split"]) for line in read_metrics(half)]
    assert steps == [(2, "train"), (3, "train"), (3, "test"), (4, "train"), (6, "train"),
                     (6, "test")]
    assert_same(saved_arrays(finished), saved_arrays(half))


def test_the_profile_is_of_the_steps_asked_for(tmp_path, monkeypatch):
    calls = []

    class Recorded(Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            train = self.train
            self.train = lambda batches, steps: (calls.append(int(steps)), train(batches, steps))[1]

    class Profile(contextlib.ExitStack):
        def __init__(self, _):
            super().__init__()
            calls.append("start")
            self.callback(calls.append, "stop")

    monkeypatch.setattr(loop, "Trainer", Recorded)
    monkeypatch.setattr(tf.profiler.experimental, "Profile", Profile)
    config = dataclasses.replace(TRAIN, steps_per_call=8, log_every=6, eval_every=6, save_every=6,
                                 image_every=6)
    training.train_and_evaluate(SIMPLE, config, tmp_path, *IMAGES, profile_steps=(2, 4))
    assert calls == [2, "start", 2, "stop", 2]


def test_a_run_resumed_between_the_profiled_steps_goes_on(half):
    training.train_and_evaluate(SIMPLE, TRAIN, half, *IMAGES, profile_steps=(2, 4))
    assert checkpoints.load_with_step(half)[1] == 6


def test_a_finished_run_has_nothing_left_to_do(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "copy")
    before = saved_arrays(workdir)
    run(workdir)
    assert_same(before, saved_arrays(workdir))
    assert "step 6" in capsys.readouterr().out
