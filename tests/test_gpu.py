"""What must hold on a GPU: DRAW_TF_TEST_GPU=1 python -m pytest -m gpu"""

import dataclasses
import json

import imageio.v3 as iio
import numpy as np
import pytest
import tensorflow as tf

from draw_tf import checkpoints, training
from draw_tf.config import TrainConfig
from draw_tf.evaluation import evaluate_run
from tests.support import reference
from tests.support.cli import run_script
from tests.support.numerics import (
    SINGLE,
    assert_close,
    exact_model,
    example,
    in_mode,
    model_with,
    named_gradients,
    small_config,
)
from tests.support.trainings import IMAGES, assert_same, saved_arrays

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(
    not tf.config.list_physical_devices("GPU"), reason="needs a GPU, and DRAW_TF_TEST_GPU=1")]

MODEL = small_config(image_shape=(8, 6, 1))
TRAIN = TrainConfig(batch_size=4, train_steps=6, log_every=3, eval_every=3, save_every=3,
                    image_every=6, steps_per_call=4, average_decay=0.5)


@pytest.mark.parametrize("unroll", [0, 2])
@pytest.mark.parametrize("equations", ["article", "paper"])
def test_gradients_are_those_in_float64(equations, unroll):
    config = small_config(glimpses=4, equations=equations)
    images, noise = example(config)

    def gradients(model, mode):
        call = in_mode(lambda *inputs: model.bound_and_gradients(*inputs), mode)
        recon_nats, kl_nats, gradients = call(*(tf.cast(x, model.compute_dtype)
                                                for x in (images, noise)))
        return {"recon_nats": recon_nats.numpy(), "kl_nats": kl_nats.numpy(),
                **named_gradients(model, gradients)}

    single = model_with(config, reference.random_weights(config, seed=1), unroll)
    with tf.device("CPU"):
        want = gradients(exact_model(config, seed=1, unroll=unroll), "eager")
    assert_close(gradients(single, "xla"), want, 10 * SINGLE)


def train(workdir, **changes):
    return training.train_and_evaluate(MODEL, dataclasses.replace(TRAIN, **changes), workdir,
                                       *IMAGES)


def test_a_short_training_learns_and_is_evaluated(tmp_path):
    report = train(tmp_path, train_steps=60, eval_every=20, learning_rate=1e-2)
    bounds = [line["bound_nats"] for line in checkpoints.read_metrics(tmp_path)
              if line["split"] == "test"]
    assert len(bounds) == 3 and np.isfinite(bounds).all()
    assert report["bound_nats"] == bounds[-1] < bounds[0]


def test_a_resumed_run_is_the_same_but_for_rounding(tmp_path):
    train(tmp_path / "whole")
    train(tmp_path / "parts", train_steps=3)
    train(tmp_path / "parts")
    # sums over an image are made in any order, and Adam divides by what is small at first
    assert_same(saved_arrays(tmp_path / "whole"), saved_arrays(tmp_path / "parts"),
                rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["quickstart_colour"])  # whose images ship too
def test_weights_that_ship_have_the_bound_that_they_have_on_a_cpu(name):
    want = json.loads((checkpoints.resolve(name) / "evaluation.json").read_text())
    got = evaluate_run(name, noise_samples=want["noise_samples"])
    assert got["bound_nats"] == pytest.approx(want["bound_nats"], abs=0.02)


def test_generate_draws_what_a_cpu_draws(tmp_path):
    arguments = ("--workdir=quickstart_colour", "--num=4", "--seed=1")
    assert run_script("generate.py", *arguments, f"--out={tmp_path / 'gpu.png'}") == 0
    with tf.device("CPU"):
        assert run_script("generate.py", *arguments, f"--out={tmp_path / 'cpu.png'}") == 0
    on_gpu, on_cpu = (iio.imread(tmp_path / f"{kind}.png").astype(float) for kind in ("gpu", "cpu"))
    assert on_gpu.shape == on_cpu.shape and np.ptp(on_gpu) > 100
    assert np.abs(on_gpu - on_cpu).mean() < 1
