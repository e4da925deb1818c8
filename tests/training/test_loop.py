"""The loop: what a run leaves behind, what it refuses, and what it starts from."""

import dataclasses

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from draw_tf import checkpoints, data, evaluation
from draw_tf.checkpoints import read_metrics
from draw_tf.errors import ConfigError, WorkdirError
from draw_tf.training import pictures
from draw_tf.training.trainer import Trainer
from tests.support.trainings import IMAGES, MODEL, SIMPLE, TRAIN, assert_same, run, saved_arrays

pytestmark = pytest.mark.slow


# What a run leaves.


def test_metrics_file_has_one_line_per_log_entry_and_evaluation(drawn):
    workdir, report = drawn
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


def test_tensorboard_events_have_the_tags_that_the_readme_names(drawn):
    workdir, _ = drawn
    events = {split: EventAccumulator(str(workdir / "events" / split)).Reload()
              for split in ("train", "test")}
    tags = events["train"].Tags()
    terms = {"recon_nats", "kl_nats", "bound_nats", "images_per_second"}
    steps = {f"kl_step_nats/0{t}" for t in (1, 2)}
    scalars = set(tags["tensors"])
    assert terms | steps | {"gradient_norm", "learning_rate", "skipped_updates"} <= scalars
    assert {"reconstructions", "samples", "strokes/samples", "strokes/reconstructions",
            "config", "kl_step_nats", "_hparams_/session_start_info"} <= scalars
    assert {f"{scope}/{name}" for scope in ("read", "write")
            for name in ("gx", "gy", "delta", "sigma2", "gamma")} <= scalars
    assert tags["graph"]
    assert terms | steps <= set(events["test"].Tags()["tensors"])
    samples = events["train"].Tensors("strokes/samples")
    assert [event.step for event in samples] == [0, 6]  # at the start and at the end
    strokes = tf.make_ndarray(samples[-1].tensor_proto)
    assert strokes[2] == (workdir / "strokes-6.gif").read_bytes()
    height, width = iio.imread(strokes[2], index=0).shape[:2]
    assert [int(strokes[0]), int(strokes[1])] == [width, height]


def test_a_run_leaves_its_files_with_strokes_of_the_start_and_the_end(drawn):
    workdir, _ = drawn
    assert {path.name for path in workdir.iterdir() if not path.name.startswith(".")} == {
        "config.json", "checkpoints", "events", "metrics.jsonl", "strokes-0.gif", "strokes-6.gif",
        "strokes.gif"}
    newest = (workdir / "strokes.gif").read_bytes()
    assert newest == (workdir / "strokes-6.gif").read_bytes()
    assert newest != (workdir / "strokes-0.gif").read_bytes()
    # 16 images in a 4 x 4 grid of tiles of 14 * 8 by 14 * 6 with a gap of 4
    assert iio.imread(newest, index=0).shape == (4 * 112 + 12, 4 * 84 + 12, 3)


def test_a_checkpoint_gives_the_model_that_was_evaluated(drawn):
    workdir, report = drawn
    model, step = checkpoints.load_with_step(workdir)
    assert step == 6
    again = evaluation.evaluate_model(model, IMAGES[1].binarized(), batch_size=4, jit_compile=False)
    assert again["bound_nats"] == pytest.approx(report["bound_nats"], 1e-9)


def test_the_graph_is_the_articles_diagram(drawn):
    graph = EventAccumulator(str(drawn[0] / "events" / "train")).Reload().Graph()
    tops = {node.name.split("/")[0] for node in graph.node}
    assert {"read", "encode", "sample", "decode", "write"} <= tops
    assert tops <= {"images", "noise", "initial_state", "read", "encode", "sample", "decode",
                    "write"}


def test_config_is_written_before_the_first_step(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(Trainer, "train", fail)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert checkpoints.read_config(tmp_path) == (SIMPLE, TRAIN)


def test_a_terminal_shows_a_bar_and_the_evaluations(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    run(tmp_path, train_steps=4)
    shown = capsys.readouterr().out
    assert "4/4" in shown.split("\r")[-1]
    lines = [line.strip() for line in shown.replace("\r", "\n").splitlines()]
    assert any(line.startswith("step 3/4  test") and "nats" in line for line in lines)
    assert not any(line.startswith("step 2/4") for line in lines)  # that is the bar's


def test_reconstructions_are_of_images_as_the_run_sees_them():
    for binarize, binary in (("none", False), ("static", True), ("dynamic", True)):
        shown = pictures.shown_images(IMAGES[1], binarize)
        assert np.isin(shown, (0, 1)).all() == binary
        if binary:
            np.testing.assert_array_equal(shown, IMAGES[1].binarized().floats())


# What is refused.


@pytest.mark.parametrize("model, changes, words", [
    (dataclasses.replace(SIMPLE, image_shape=(8, 8, 1)), {}, "image_shape.*8, 6, 1"),
    (SIMPLE, {"batch_size": 5, "distribute": "mirrored"}, "batch_size 5 .* 2 devices"),
])
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, model, changes,
                                                                         words):
    with pytest.raises(ConfigError, match=words):
        run(tmp_path / "new", model, **changes)
    assert not (tmp_path / "new").exists()


def test_a_run_of_another_architecture_is_refused_and_kept(half):
    before = saved_arrays(half)
    with pytest.raises(WorkdirError, match="hidden_size=8, not 9"):
        run(half, dataclasses.replace(SIMPLE, hidden_size=9))
    assert checkpoints.read_config(half)[0] == SIMPLE
    assert_same(before, saved_arrays(half))


# The first weights.


def test_a_run_may_start_from_the_weights_of_another(drawn):
    longer = dataclasses.replace(MODEL, glimpses=3)
    trainer = Trainer(longer, dataclasses.replace(TRAIN, start=str(drawn[0])))
    trainer.start(IMAGES[0])
    want = checkpoints.load(drawn[0]).get_weights()
    for got in (trainer.model.get_weights(), trainer.evaluated.get_weights()):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)
    assert int(trainer.step) == 0


def test_weights_of_another_shape_cannot_start_a_run(finished):
    trainer = Trainer(dataclasses.replace(SIMPLE, hidden_size=9),
                      dataclasses.replace(TRAIN, start=str(finished)))
    with pytest.raises(ConfigError, match=r"^start=.* must be .*shape"):
        trainer.start(IMAGES[0])


def test_a_missing_run_cannot_start_a_run(tmp_path):
    trainer = Trainer(SIMPLE, dataclasses.replace(TRAIN, start=str(tmp_path / "missing")))
    with pytest.raises(ConfigError, match="^start=.*missing must be"):
        trainer.start(IMAGES[0])


def test_starting_from_the_data_draws_their_mean(tmp_path):
    trainer = Trainer(MODEL, dataclasses.replace(TRAIN, start="data", average_decay=0.5))
    before = data.eval_dataset(IMAGES[1], 6)
    listing = trainer.evaluate(before)["recon_nats"]
    trainer.start(IMAGES[0])
    assert trainer.evaluate(before)["recon_nats"] < listing - 0.05
