"""What all tests share: what they run on, and one tiny run that tests may read."""

import os
import sys
import warnings

import pytest


def pytest_configure(config):
    """Makes the tests see the same whatever the environment holds, in child processes too.

    They run on the CPU, where there is a GPU too; with -m gpu, on the GPU.
    """
    on_gpu = config.option.markexpr == "gpu"
    kept = ("TF_FORCE_GPU_", "XLA_FLAGS") if on_gpu else ()  # where the GPU's libraries are
    for name in list(os.environ):
        if name.startswith(("TF_", "XLA_", "KERAS_", "MALLOC_", "PYTHONWARNINGS", "TQDM_",
                            "COLUMNS")) and not name.startswith(kept):
            del os.environ[name]
    if sys.warnoptions:  # of PYTHONWARNINGS
        sys.warnoptions.clear()
        warnings.resetwarnings()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if on_gpu:  # which several processes share
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

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
    import keras
    yield
    keras.backend.clear_session()
