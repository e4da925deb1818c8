"""The settings: their defaults, their checks, and their way through JSON."""

import dataclasses
import json
import math

import pytest

from draw_tf import DRAWConfig, TrainConfig, data
from draw_tf.checkpoints.workdir import PRETRAINED
from draw_tf.config import config_from_dict, config_to_dict
from draw_tf.errors import ConfigError


def test_the_default_model_is_the_articles():
    assert dataclasses.asdict(DRAWConfig()) == dict(
        image_shape=(28, 28, 1), glimpses=10, hidden_size=256, latent_size=10, read_size=5,
        write_size=5, read_attention=True, write_attention=True, equations="article",
        shared_noise=False, likelihood="bernoulli")


def test_the_default_training_is_the_articles():
    config = TrainConfig()
    assert (config.batch_size, config.learning_rate, config.adam_beta1, config.clip_norm,
            config.schedule) == (64, 1e-3, 0.5, 5.0, "constant")


@pytest.mark.parametrize("config_class", [DRAWConfig, TrainConfig])
def test_settings_are_frozen_and_explained(config_class):
    for field in dataclasses.fields(config_class):
        assert field.metadata["help"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config_class(), field.name, field.default)


POSITIVE = {
    DRAWConfig: ("glimpses", "hidden_size", "latent_size", "read_size", "write_size"),
    TrainConfig: ("batch_size", "train_steps", "log_every", "eval_every", "save_every",
                  "image_every")}

BAD = [
    *((DRAWConfig, "image_shape", value) for value in (
        (28, 28), (28, 28, 1, 1), (28, 0, 1), (28, 28, -1), (28.0, 28, 1), (8192, 28, 1), 28,
        None)),
    *((config_class, name, value) for config_class, names in POSITIVE.items() for name in names
      for value in (0, -1, 2.0, True, "5")),
    (DRAWConfig, "glimpses", 2**12), (DRAWConfig, "hidden_size", 2**14),
    (DRAWConfig, "latent_size", 2**14),
    *((DRAWConfig, name, 29) for name in ("read_size", "write_size")),
    *((DRAWConfig, name, value) for name in ("read_attention", "write_attention", "shared_noise")
      for value in (1, "true", None)),
    *((DRAWConfig, "equations", value) for value in ("listing", "", None)),
    (DRAWConfig, "likelihood", "poisson"),
    *((TrainConfig, name, value) for name in ("seed", "unroll", "steps_per_call")
      for value in (-1, 0.5, True, "x")),
    (TrainConfig, "seed", 2**31), (TrainConfig, "unroll", "-1"), (TrainConfig, "unroll", ""),
    *((TrainConfig, name, "other") for name in ("binarize", "schedule", "jit_compile",
                                                "distribute")),
    *((TrainConfig, name, value) for name in ("dataset", "start") for value in (None, 1)),
    *((TrainConfig, "image_size", value) for value in (
        None, (64, 64), "", "64", "64,", "64,64,3", "64x64", "0,64", "64,-1", "64,8192", "6 4,6")),
    *((TrainConfig, "image_channels", value) for value in (0, 2, 4, True, "1")),
    *((TrainConfig, "jit_compile", value) for value in (1, "auto", "true", None)),
    (TrainConfig, "unroll", "auto"), (TrainConfig, "schedule", "cosine"),
    *((TrainConfig, name, value) for name in ("learning_rate", "final_learning_rate")
      for value in (0, -1e-3, math.nan, math.inf, "0.1", True)),
    *((TrainConfig, "clip_norm", value) for value in (-1, math.nan, math.inf, True)),
    *((TrainConfig, name, value) for name in ("adam_beta1", "average_decay")
      for value in (-0.1, 1, 1.5, math.nan)),
]


@pytest.mark.parametrize("name, value", [("clip_norm", 10**400), ("schedule", "x" * 400)])
def test_a_bad_value_of_great_length_is_cut(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be .*, got {value!r:.200}$"):
        TrainConfig(**{name: value})


def test_a_size_of_more_digits_than_python_reads_is_refused():
    with pytest.raises(ConfigError, match="image_size must be height,width in pixels"):
        TrainConfig(image_size="1," + "9" * 5000)


@pytest.mark.parametrize("config_class, name, value", BAD)
def test_a_bad_value_is_refused_by_field_and_value(config_class, name, value):
    with pytest.raises(ConfigError) as error:
        config_class(**{name: value})
    assert isinstance(error.value, ValueError)
    message = str(error.value)
    assert message.startswith(f"{name} must be ") and "\n" not in message
    assert message.endswith(f"got {value!r}")


def test_pictures_of_a_folder_are_brought_to_one_shape():
    assert TrainConfig().folder_shape == (64, 64, 3)
    assert TrainConfig(image_size="32,48", image_channels=1).folder_shape == (32, 48, 1)


@pytest.mark.parametrize("fields, message", [
    (dict(batch_size=0), "batch_size must be a whole number of at least 1, got 0"),
    (dict(seed=-1), "seed must be a whole number of at least 0 and below 2147483648, got -1"),
    (dict(learning_rate=0), "learning_rate must be a number above 0, got 0"),
    (dict(adam_beta1=1), "adam_beta1 must be a number at least 0 and below 1, got 1"),
    (dict(jit_compile="x"), "jit_compile must be True or False, got 'x'"),
    (dict(start=None), "start must be text, got None"),
    (dict(binarize="x"), "binarize must be one of none, static, dynamic, got 'x'"),
])
def test_a_refusal_says_what_is_taken(fields, message):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**fields)
    assert str(error.value) == message


GOOD = [
    (DRAWConfig, "image_shape", (1, 28, 3)), (DRAWConfig, "read_size", 1),
    (DRAWConfig, "write_size", 28), (DRAWConfig, "equations", "paper"),
    (TrainConfig, "clip_norm", 0), (TrainConfig, "adam_beta1", 0), (TrainConfig, "unroll", 8),
    (TrainConfig, "seed", 2**31 - 1), (TrainConfig, "average_decay", 0.999),
    (TrainConfig, "learning_rate", 1), (TrainConfig, "dataset", "my own"),
    (TrainConfig, "start", "runs/other"),
]


@pytest.mark.parametrize("config_class, name, value", GOOD)
def test_a_value_at_its_limit_is_taken(config_class, name, value):
    sizes = dict(read_size=1, write_size=1) if name == "image_shape" else {}
    assert getattr(config_class(**{name: value}, **sizes), name) == value


def test_a_grid_may_be_as_large_as_the_shorter_side_of_the_image():
    DRAWConfig(image_shape=(7, 9, 1), read_size=7, write_size=7)
    with pytest.raises(ConfigError, match="write_size must be at most .* 7, got 8"):
        DRAWConfig(image_shape=(7, 9, 1), write_size=8)


def test_a_grid_has_to_fit_only_where_there_is_attention():
    config = DRAWConfig(image_shape=(4, 4, 1), read_attention=False, write_attention=False)
    assert config.read_size == 5
    with pytest.raises(ConfigError, match="write_size must be at most .* 4, got 5"):
        DRAWConfig(image_shape=(4, 4, 1), read_attention=False)


MODEL = DRAWConfig(image_shape=(7, 9, 3), glimpses=3, read_size=2, write_attention=False,
                   equations="paper", shared_noise=True)
TRAIN = TrainConfig(dataset="mnist", learning_rate=3e-4, unroll=4, average_decay=0.99)


def test_settings_come_back_from_json():
    content = json.loads(json.dumps(config_to_dict(MODEL, TRAIN)))
    assert config_from_dict(content) == (MODEL, TRAIN)


@pytest.mark.parametrize("path", sorted(PRETRAINED.glob("*/config.json")),
                         ids=lambda path: path.parent.name)
def test_settings_that_ship_are_taken(path):
    model, train = config_from_dict(json.loads(path.read_text()))
    assert model.likelihood and train.dataset in data.names()


def test_a_field_that_is_not_there_has_its_default():
    content = config_to_dict(MODEL, TRAIN)
    del content["model"]["glimpses"], content["train"]["seed"]
    model, train = config_from_dict(content)
    assert model == dataclasses.replace(MODEL, glimpses=10) and train.seed == 0


@pytest.mark.parametrize("part", ["model", "train"])
def test_an_unknown_field_is_refused(part):
    content = config_to_dict(MODEL, TRAIN)
    content[part]["colour"] = 1
    with pytest.raises(ConfigError, match=f"'{part}' has an unknown field: 'colour'"):
        config_from_dict(content)


@pytest.mark.parametrize("kind", ["gan", None, [], {}, 1])
def test_an_unknown_kind_of_model_is_refused(kind):
    content = config_to_dict(MODEL, TRAIN)
    content["model"]["kind"] = kind
    with pytest.raises(ConfigError, match="kind must be one of draw, vae, got "):
        config_from_dict(content)


@pytest.mark.parametrize("part", ["model", "train"])
@pytest.mark.parametrize("broken", [None, [], "text"])
def test_a_missing_part_is_refused(part, broken):
    content = config_to_dict(MODEL, TRAIN)
    content[part] = broken
    with pytest.raises(ConfigError, match=f"no part named '{part}'"):
        config_from_dict(content)
    with pytest.raises(ConfigError, match="no part named 'model'"):
        config_from_dict(broken)


def test_values_that_are_read_are_checked():
    content = config_to_dict(MODEL, TRAIN)
    content["model"]["glimpses"] = 0
    with pytest.raises(ConfigError, match="glimpses must be .* got 0"):
        config_from_dict(content)
