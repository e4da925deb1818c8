"""The loop: what it leaves behind, that it resumes exactly, and that devices do not matter."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from draw_tf import checkpoint
from draw_tf import data
from draw_tf import training
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError, TrainingError, WorkdirError
from draw_tf.model import DRAW
from draw_tf.schedules import learning_rate
from draw_tf.summaries import Log, read_metrics
from draw_tf.trainer import Trainer
from tests.cli import ROOT, run_script

MODEL = DRAWConfig(image_shape=(8, 6, 1), glimpses=2, hidden_size=8, latent_size=2, read_size=2,
                   write_size=3)
TRAIN = TrainConfig(batch_size=4, train_steps=6, log_every=2, eval_every=3, save_every=3,
                    image_every=6, steps_per_call=4, jit_compile="false")  # compiles in less time


@pytest.fixture(scope="module")
def images():
    """Images of two kinds: bright above, or bright below; 11 to learn from and 6 held out."""
    def split(name, count):
        rng = np.random.default_rng(count)
        grey = rng.uniform(0, 0.3, (count, 8, 6, 1)).astype(np.float32)  # [M, 8, 6, 1]
        grey[::2, :4] += 0.6
        grey[1::2, 4:] += 0.6
        return data.Images(grey, 1, "stripes", name)
    return split("train", 11), split("test", 6)


def run(workdir, images, model=MODEL, **changes):
    config = dataclasses.replace(TRAIN, **changes)
    return training.train_and_evaluate(model, config, workdir, *images)


def saved_arrays(workdir):
    """Every number in a run's newest checkpoint but the time it took."""
    reader = tf.train.load_checkpoint(checkpoint.latest(workdir))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
            if not name.startswith(("seconds", "save_counter", "_CHECKPOINTABLE"))}


def assert_same(left, right, **tolerance):
    assert left.keys() == right.keys()
    for name, value in left.items():
        if tolerance:
            np.testing.assert_allclose(value, right[name], err_msg=name, **tolerance)
        else:
            np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, images):
    """The folder of a run of six steps, and what the run returned."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, run(workdir, images)


@pytest.fixture(scope="module")
def saved_half(tmp_path_factory, images):
    workdir = tmp_path_factory.mktemp("half")
    run(workdir, images, train_steps=3)
    return workdir


@pytest.fixture
def half(saved_half, tmp_path):
    """The folder of a run of three steps, to go on in."""
    return shutil.copytree(saved_half, tmp_path / "half")


def test_metrics_file_has_a_line_a_log_and_evaluation(finished):
    workdir, report = finished
    lines = read_metrics(workdir)
    assert [(line["step"], line["split"]) for line in lines] == [
        (2, "train"), (3, "test"), (4, "train"), (6, "train"), (6, "test")]
    for line in lines:
        assert {"step", "seconds", "split", "recon_nats", "kl_nats", "bound_nats",
                "images_per_second"} <= line.keys()
        assert len(line["kl_step_nats"]) == MODEL.glimpses
        assert line["bound_nats"] == pytest.approx(line["recon_nats"] + line["kl_nats"])
        assert line["kl_nats"] == pytest.approx(sum(line["kl_step_nats"]))
        assert line["images_per_second"] > 0
    assert lines[-1]["bound_nats"] == report["bound_nats"]
    assert {"gradient_norm", "learning_rate", "skipped_updates"} <= lines[0].keys()
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_tensorboard_events_have_the_tags_that_the_readme_names(finished):
    workdir, _ = finished
    events = {split: EventAccumulator(str(workdir / "events" / split)).Reload()
              for split in ("train", "test")}
    tags = events["train"].Tags()
    terms = {"recon_nats", "kl_nats", "bound_nats", "images_per_second"}
    steps = {f"kl_step_nats/0{t}" for t in (1, 2)}
    scalars = {tag for tag in tags["tensors"]}
    assert terms | steps | {"gradient_norm", "learning_rate", "skipped_updates"} <= scalars
    assert {"reconstructions", "samples", "strokes/samples", "strokes/reconstructions",
            "config"} <= scalars
    assert {f"{scope}/{name}" for scope in ("read", "write")
            for name in ("gx", "gy", "delta", "sigma2", "gamma")} <= scalars
    assert tags["graph"]
    assert terms | steps <= set(events["test"].Tags()["tensors"])
    strokes = tf.make_ndarray(events["train"].Tensors("strokes/samples")[0].tensor_proto)
    frames = iio.imread(strokes[2], index=None)  # [T + 1, h, w, 3]
    assert len(frames) == MODEL.glimpses + 1
    assert [int(strokes[0]), int(strokes[1])] == [frames.shape[2], frames.shape[1]]


def test_strokes_gif_has_a_frame_a_step_and_the_finished_images(finished):
    workdir, _ = finished
    frames = iio.imread(workdir / "strokes-6.gif", index=None)
    assert len(frames) == MODEL.glimpses + 1
    # 16 images in a 4 x 4 grid of tiles of 14 * 8 by 14 * 6 with a gap of 4
    assert frames.shape[1:] == (4 * 112 + 12, 4 * 84 + 12, 3)


def test_checkpoint_gives_the_model_that_was_evaluated(finished, images):
    workdir, report = finished
    model, step = checkpoint.load_with_step(workdir)
    assert step == 6
    trainer = Trainer(MODEL, TRAIN)
    trainer.evaluated.set_weights(model.get_weights())
    held_out = data.eval_dataset(images[1], TRAIN.batch_size)
    assert trainer.evaluate(held_out)["bound_nats"] == pytest.approx(report["bound_nats"], 1e-5)


def test_config_is_written_before_the_first_step(tmp_path, images, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(Trainer, "train", fail)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images)
    assert checkpoint.read_config(tmp_path) == (MODEL, TRAIN)


def test_resuming_is_exact(tmp_path, images):
    changes = {"jit_compile": "true", "binarize": "dynamic", "average_decay": 0.5,
               "schedule": "exponential"}
    run(tmp_path / "whole", images, **changes)
    run(tmp_path / "halves", images, train_steps=3, **dict(changes, schedule="constant"))
    run(tmp_path / "halves", images, **changes)
    assert_same(saved_arrays(tmp_path / "whole"), saved_arrays(tmp_path / "halves"))


def test_a_signal_saves_and_the_same_command_goes_on(tmp_path, finished, images, monkeypatch,
                                                     capsys):
    write = Log.write

    def write_then_signal(self, split, step, values):
        write(self, split, step, values)
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Log, "write", write_then_signal)
        run(tmp_path, images)
    assert checkpoint.load_with_step(tmp_path)[1] == 4
    assert "Stopped and saved at step 4" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before
    run(tmp_path, images)
    assert_same(saved_arrays(finished[0]), saved_arrays(tmp_path))


def test_lines_logged_after_the_last_checkpoint_are_not_repeated(half, images):
    with open(half / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"step": 5, "split": "train"}) + '\n{"step": 6, "spl')  # killed here
    run(half, images)
    steps = [(line["step"], line["split"]) for line in read_metrics(half)]
    assert steps == [(2, "train"), (3, "train"), (3, "test"), (4, "train"), (6, "train"),
                     (6, "test")]


def test_a_run_resumed_between_the_profiled_steps_goes_on(half, images):
    training.train_and_evaluate(MODEL, TRAIN, half, *images, profile_steps=(2, 4))
    assert checkpoint.load_with_step(half)[1] == 6


def test_a_second_signal_is_not_held_back():
    with pytest.raises(KeyboardInterrupt), training.stop_requests() as stopping:
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        signal.raise_signal(signal.SIGINT)


def test_reconstructions_are_of_images_as_the_run_sees_them(tmp_path, images):
    for binarize, binary in (("none", False), ("static", True), ("dynamic", True)):
        config = dataclasses.replace(TRAIN, binarize=binarize)
        shown = Log(tmp_path, Trainer(MODEL, config), images[1]).shown
        assert np.isin(shown, (0, 1)).all() == binary
        if binary:
            np.testing.assert_array_equal(shown, images[1].binarized().floats())


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_the_bound_in_a_line_that_does_not_wrap(tmp_path, images, monkeypatch,
                                                                 capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    log = Log(tmp_path, Trainer(MODEL, dataclasses.replace(TRAIN, train_steps=26000)), images[1])
    log.terminal = True
    values = {"bound_nats": 123.456, "recon_nats": 100, "kl_nats": 23.456, "images_per_second": 9}
    with log:
        capsys.readouterr()
        for split in ("train", "validation"):
            log.write(split, 13000, values)
    progress, evaluation = capsys.readouterr().out.split("\r\x1b[K")[1:]
    assert "bound 123.46 nats" in " ".join(progress.split())
    assert len(progress) < columns and "\n" not in progress
    assert ("[##########          ]" in progress) == (columns == 200)
    assert ("left" in progress) == (columns > 60)
    assert "bound  123.46 nats" in evaluation and evaluation.endswith("images/s\n")


def test_a_finished_run_has_nothing_left_to_do(finished, images, capsys):
    workdir, _ = finished
    before = saved_arrays(workdir)
    run(workdir, images)
    assert_same(before, saved_arrays(workdir))
    assert "step 6" in capsys.readouterr().out


def test_two_devices_give_the_numbers_of_one(tmp_path, images):
    assert len(tf.config.list_logical_devices("CPU")) == 2
    changes = {"binarize": "dynamic", "average_decay": 0.5, "start": "data",
               "model": dataclasses.replace(MODEL, glimpses=3)}  # a piece, and one that is left
    run(tmp_path / "one", images, **changes)
    run(tmp_path / "two", images, distribute="mirrored", jit_compile="true", unroll="2", **changes)
    assert_same(saved_arrays(tmp_path / "one"), saved_arrays(tmp_path / "two"),
                rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{"jit_compile": "true"}, {"steps_per_call": 1},
                                     {"unroll": "1"}])
def test_how_it_is_compiled_does_not_matter(tmp_path, finished, images, changes):
    run(tmp_path, images, **changes)
    assert_same(saved_arrays(finished[0]), saved_arrays(tmp_path), rtol=2e-4, atol=1e-5)


def not_finite(model_class, monkeypatch, from_image):
    """Makes the bound infinite for images whose first pixel is above `from_image`."""
    original = model_class.bound

    def bound(self, images, noise=None):
        recon_nats, kl_nats = original(self, images, noise)  # [N], [T, N]
        bad = images[:, 0, 0, 0] > from_image  # [N]
        return recon_nats + tf.where(bad, np.inf, 0.0), kl_nats
    monkeypatch.setattr(model_class, "bound", bound)


def test_updates_that_are_not_finite_are_skipped_and_counted(tmp_path, images, monkeypatch):
    second, first = np.sort(images[0].pixels[:, 0, 0, 0])[-2:]
    not_finite(DRAW, monkeypatch, from_image=(first + second) / 2)  # one of eleven
    run(tmp_path, images)
    lines = [line for line in read_metrics(tmp_path) if line["split"] == "train"]
    assert 0 < sum(line["skipped_updates"] for line in lines) < 6
    assert all(np.isfinite(line["bound_nats"]) for line in lines)
    assert all(np.isfinite(value).all() for value in saved_arrays(tmp_path).values())


def test_a_run_that_stays_not_finite_ends_and_says_so(half, images, monkeypatch):
    before = saved_arrays(half)
    not_finite(DRAW, monkeypatch, from_image=-1)
    monkeypatch.setattr(training, "PATIENCE", 3)
    with pytest.raises(TrainingError, match="learning_rate.*last good checkpoint.*ckpt-3"):
        run(half, images, train_steps=20)
    assert_same(before, saved_arrays(half))


@pytest.mark.parametrize("equations, clipped", [("article", [2, 2]), ("paper", [1.6, 1.2])])
def test_clipping_is_of_each_gradient_or_of_all(equations, clipped):
    model = dataclasses.replace(MODEL, equations=equations)
    config = dataclasses.replace(TRAIN, clip_norm=2.0)
    trainer = Trainer(model, config)
    applied = []
    trainer.optimizer.apply = lambda gradients, _: applied.extend(gradients)
    # norms of 4 and 3 each, and of 5 together
    gradients = [tf.constant([4.0]), tf.constant([3.0])]
    trainer._update.python_function(gradients)
    np.testing.assert_allclose(np.concatenate(applied), clipped, rtol=1e-5)


def test_schedules_start_and_end_where_they_say():
    def rates(**changes):
        schedule = learning_rate(dataclasses.replace(
            TRAIN, train_steps=100, learning_rate=1e-2, final_learning_rate=1e-4, **changes))
        return [float(schedule(step)) for step in (0, 50, 75, 100)]
    np.testing.assert_allclose(rates(schedule="constant"), [1e-2] * 4, rtol=1e-4)
    np.testing.assert_allclose(rates(schedule="exponential"), [1e-2, 1e-2, 1e-3, 1e-4], rtol=1e-4)
    np.testing.assert_allclose(rates(schedule="cosine")[::3], [1e-2, 1e-4], rtol=1e-4)
    np.testing.assert_allclose(rates(schedule="constant", warmup_steps=10)[:2], [1e-3, 1e-2],
                               rtol=1e-4)


@pytest.mark.parametrize("step, decay", [(0, 0.1), (1000, 0.75)])
def test_average_follows_the_weights_with_its_decay(images, step, decay):
    config = dataclasses.replace(TRAIN, average_decay=0.75)
    trainer = Trainer(MODEL, config)
    trainer.step.assign(step)
    before = [x.copy() for x in trainer.model.get_weights()]
    batches = iter(data.train_dataset(images[0], batch_size=4, seed=0))
    trainer.train(batches, tf.constant(1))
    for start, now, average in zip(before, trainer.model.get_weights(),
                                   trainer.evaluated.get_weights()):
        np.testing.assert_allclose(average, decay * start + (1 - decay) * now, rtol=1e-5,
                                   atol=1e-7)
        assert np.abs(now - start).max() > 0


@pytest.mark.parametrize("model, changes, error, words", [
    (dataclasses.replace(MODEL, image_shape=(8, 8, 1)), {}, ConfigError, "image_shape.*8, 6, 1"),
    (MODEL, {"batch_size": 12}, ConfigError, "batch_size 12 is more than the 11 images"),
    (MODEL, {"batch_size": 5, "distribute": "mirrored"}, ConfigError, "batch_size 5 .* 2 devices"),
])
def test_what_does_not_fit_is_told_before_anything_is_written(tmp_path, images, model, changes,
                                                              error, words):
    with pytest.raises(error, match=words):
        run(tmp_path / "new", images, model, **changes)
    assert not (tmp_path / "new").exists()


def test_a_run_of_another_architecture_is_refused_and_kept(finished, images):
    workdir, _ = finished
    before = saved_arrays(workdir)
    with pytest.raises(WorkdirError, match="hidden_size=8, not 9"):
        run(workdir, images, dataclasses.replace(MODEL, hidden_size=9))
    assert checkpoint.read_config(workdir) == (MODEL, TRAIN)
    assert_same(before, saved_arrays(workdir))


def test_two_workers_give_the_numbers_of_one(tmp_path):
    """Two processes on this machine, each with a part of every batch."""
    flags = ["--glimpses=2", "--hidden_size=8", "--latent_size=2", "--batch_size=8",
             "--train_steps=4", "--save_every=2"]
    workers = start_workers(tmp_path / "two", *flags)
    errors = [worker.communicate(timeout=300)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    assert run_script("train.py", f"--workdir={tmp_path / 'one'}", "--jit_compile=false",
                      *flags) == 0
    assert_same(saved_arrays(tmp_path / "one"), saved_arrays(tmp_path / "two"),
                rtol=2e-4, atol=1e-5)


def test_a_signal_to_one_worker_stops_and_saves_all(tmp_path):
    workers = start_workers(tmp_path, "--glimpses=2", "--hidden_size=8", "--latent_size=2",
                            "--batch_size=8", "--train_steps=1000000", "--log_every=10",
                            "--jit_compile=false")
    metrics = tmp_path / "metrics.jsonl"
    until = time.monotonic() + 200
    while not (metrics.exists() and metrics.read_text()) and time.monotonic() < until:
        time.sleep(0.2)
    workers[0].terminate()  # not the one that saves
    errors = [worker.communicate(timeout=60)[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors
    assert checkpoint.load_with_step(tmp_path)[1] >= 10


def start_workers(workdir, *flags):
    """Two processes that train together, the chief last."""
    with socket.socket() as first, socket.socket() as second:
        for server in (first, second):
            server.bind(("127.0.0.1", 0))
        cluster = {"worker": [f"127.0.0.1:{server.getsockname()[1]}"
                              for server in (first, second)]}
    return [subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), f"--workdir={workdir}",
         "--distribute=multi_worker", *flags],
        env={**os.environ, "TF_CONFIG": json.dumps(
            {"cluster": cluster, "task": {"type": "worker", "index": index}})},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for index in (1, 0)]
