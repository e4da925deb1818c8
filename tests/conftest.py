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
    """Settings and a checkpoint at step 2 of a tiny model of the digits that ship; for reading."""
    from draw_tf import DRAWConfig, TrainConfig, checkpoints
    from draw_tf.checkpoints import saves
    from draw_tf.training.trainer import Trainer
    workdir = tmp_path_factory.mktemp("tiny_run")
    configs = DRAWConfig(glimpses=3, hidden_size=8, latent_size=2), TrainConfig(
        train_steps=2, log_every=1, jit_compile=False)
    checkpoints.write_settings(workdir, *configs)
    trainer = Trainer(*configs)
    trainer.step.assign(2)
    saves.save(trainer.checkpoint(), workdir, 2)
    return workdir


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Frees the programs and models of a file, which would otherwise stay to the end."""
    yield
    tf.keras.backend.clear_session()
