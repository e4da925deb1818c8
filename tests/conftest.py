"""What all tests share: two logical CPU devices, and one tiny run that tests may read."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

# so that the tests of distribution mean something on every machine
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The workdir of a run of two steps of a tiny model on the digits that ship; for reading."""
    from draw_tf import DRAWConfig, TrainConfig, data, training
    workdir = tmp_path_factory.mktemp("tiny_run")
    training.train_and_evaluate(
        DRAWConfig(glimpses=3, hidden_size=8, latent_size=2),
        TrainConfig(train_steps=2, log_every=1, jit_compile=False), workdir,
        data.load("digits", "train"), data.load("digits", "test"))
    return workdir


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Frees the programs and models of a file, which would otherwise stay to the end."""
    yield
    tf.keras.backend.clear_session()
