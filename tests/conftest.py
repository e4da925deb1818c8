"""What all tests share: what they run on, and one tiny run that tests may read."""

import os
import sys
import warnings

# The tests see the same whatever the environment holds, and so do their child processes. They run
# on the CPU, where there is a GPU too, unless they are asked for it.
ON_GPU = os.environ.get("DRAW_TF_TEST_GPU") == "1"
KEPT = ("TF_FORCE_GPU_", "XLA_FLAGS") if ON_GPU else ()  # which may say where its libraries are
for name in list(os.environ):
    if name.startswith(("TF_", "XLA_", "KERAS_", "MALLOC_", "GLIBC_TUNABLES", "PYTHONWARNINGS",
                        "TQDM_", "COLUMNS")) and not name.startswith(KEPT):
        del os.environ[name]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if ON_GPU:  # which several processes share
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
else:
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
if sys.warnoptions:  # of PYTHONWARNINGS
    sys.warnoptions.clear()
    warnings.resetwarnings()

import keras
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
    keras.backend.clear_session()
