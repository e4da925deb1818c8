"""The two settings of a run: what the model is (DRAWConfig) and how it is trained (TrainConfig).

Both are frozen and travel as JSON in a run's `config.json`. Each field declares its help text and
its range beside its default; checks and command line flags are made from these declarations.
Making one with a field out of its range raises a ConfigError that names the field and the value.
"""

import dataclasses
import numbers
import operator
import re
import sys
from typing import Any, ClassVar

from draw_tf.errors import ConfigError

BINARIZE = ("none", "static", "dynamic")
LIKELIHOODS = ("bernoulli", "gaussian")
_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}
_BOUNDS = {"at_least": operator.ge, "above": operator.gt, "below": operator.lt}


def _field(default, help_text, choices=None, at_least=None, above=None, below=None, fixed=False):
    """A field with its range: at_least <= value, above < value < below, or one of `choices`.

    A whole number is at least 1, or 0 where that is its default. A `fixed` field of TrainConfig
    cannot change when a run is resumed.
    """
    if type(default) is int:
        at_least = min(default, 1)
    return dataclasses.field(default=default, metadata=dict(
        help=help_text, choices=choices, at_least=at_least, above=above, below=below, fixed=fixed))


def _require(condition, name, value, rule):
    if not condition:
        raise ConfigError(f"{name} must be {rule}, got {value!r:.200}")


def check_whole(at_least: int, **values: object) -> None:
    """Raises ConfigError unless each value is a whole number from `at_least` to 2**31 - 1."""
    for name, value in values.items():
        inside = isinstance(value, numbers.Integral) and at_least <= int(value) < 2**31
        _require(inside, name, value, f"a whole number from {at_least} to {2**31 - 1}")


def _check_field(field: dataclasses.Field, value: Any) -> None:
    """Raises ConfigError unless `value` is of the field's type and in its declared range."""
    kind: Any = type(field.default)
    meta = field.metadata
    if kind is tuple:
        fits = isinstance(value, (tuple, list)) and len(value) == 3 and all(
            type(side) is int and 0 < side < 2**13 for side in value)
        rule = "three whole numbers above 0 and below 8192: height, width, channels"
    elif meta["choices"]:
        fits = isinstance(value, str) and value in meta["choices"]
        rule = f"one of {', '.join(meta['choices'])}"
    else:
        bounds = {name: meta[name] for name in _BOUNDS if meta[name] is not None}
        fits = (isinstance(value, (int, float) if kind is float else kind)
                and isinstance(value, bool) == (kind is bool)
                and (kind is not float or abs(value) <= sys.float_info.max)
                and all(_BOUNDS[name](value, bound) for name, bound in bounds.items()))
        words = " and ".join(f"{name} {bound}" for name, bound in bounds.items())
        words = words.replace("at_least", "of at least" if kind is int else "at least")
        rule = f"{_KINDS[kind]} {words}".strip()
    _require(fits, field.name, value, rule)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Settings whose fields are checked when they are made."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check_field(field, value)
            if isinstance(value, list):  # a shape from JSON
                object.__setattr__(self, field.name, tuple(value))


@dataclasses.dataclass(frozen=True)
class DRAWConfig(_Settings):
    """What the model is. The defaults are the article's. Bad values raise ConfigError."""

    image_shape: tuple[int, int, int] = _field((28, 28, 1), "height, width, channels in pixels")
    glimpses: int = _field(10, "T: steps in which an image is drawn (the article's T)", below=2**12)
    hidden_size: int = _field(256, "D: units of each LSTM (the article's n_hidden)", below=2**14)
    latent_size: int = _field(10, "Z: latent variables per step (the article's n_z)", below=2**14)
    read_size: int = _field(5, "n: side of the grid that reads (the article's attention_n)")
    write_size: int = _field(5, "n: side of the grid that writes (the article's attention_n)")
    read_attention: bool = _field(True, "read through an attention window, not the whole image")
    write_attention: bool = _field(True, "write through an attention window, not everywhere")
    equations: str = _field("article", "follow the article's code or the paper where they differ "
                            "(assets/article_and_paper.md has the table)", ("article", "paper"))
    shared_noise: bool = _field(False, "reuse the first step's noise at every step, as the "
                                "article does by mistake; such a model cannot generate")
    likelihood: str = _field("bernoulli", "of the pixels, given the canvas: bernoulli, where an "
                             "intensity is a probability of ink; or gaussian, of variance 1",
                             LIKELIHOODS)

    kind: ClassVar[str] = "draw"  # its name as --model and in config.json

    def __post_init__(self):
        super().__post_init__()
        side = min(self.image_shape[:2])
        for scope in ("read", "write"):
            size, attention = getattr(self, f"{scope}_size"), getattr(self, f"{scope}_attention")
            _require(size <= side or not attention, f"{scope}_size", size,
                     f"at most the image's shorter side, {side}")


@dataclasses.dataclass(frozen=True)
class VAEConfig(_Settings):
    """What the plain VAE is: one latent vector, two dense layers each way. See DRAWConfig."""

    image_shape: tuple[int, int, int] = _field((28, 28, 1), "height, width, channels in pixels")
    hidden_size: int = _field(500, "D: units of each dense layer", below=2**14)
    latent_size: int = _field(50, "Z: latent variables", below=2**14)
    likelihood: str = _field("bernoulli", "of the pixels; see DRAWConfig", LIKELIHOODS)

    kind: ClassVar[str] = "vae"


ModelConfig = DRAWConfig | VAEConfig  # the settings of any model
MODELS = {config.kind: config for config in (DRAWConfig, VAEConfig)}


@dataclasses.dataclass(frozen=True)
class TrainConfig(_Settings):
    """How it is trained. The defaults are the article's where it has any. See DRAWConfig."""

    dataset: str = _field("digits", "what to train on; the README has the list", fixed=True)
    binarize: str = _field("none", "make pixels 0 or 1: never, by one fixed draw, or by a new "
                           "draw each time an image is seen", BINARIZE, fixed=True)
    image_size: str = _field("64,64", "height,width that the pictures of --dataset=folder:PATH are "
                             "brought to; other data sets have their own", fixed=True)
    image_channels: int = _field(3, "1 (grey) or 3 (colour) for --dataset=folder:PATH", below=4,
                                 fixed=True)
    batch_size: int = _field(64, "N: images per step, over all devices")
    train_steps: int = _field(10_000, "steps in all, those of resumed runs included")
    learning_rate: float = _field(1e-3, "Adam's rate at its highest", above=0)
    final_learning_rate: float = _field(1e-5, "where the exponential schedule ends", above=0)
    schedule: str = _field("constant", "the learning rate over the run: constant, or constant for "
                           "the first half and exponential decay over the second",
                           ("constant", "exponential"))
    cooldown_steps: int = _field(0, "the last steps of the run, in which the rate also falls "
                                 "linearly to zero; 0 is none")
    adam_beta1: float = _field(0.5, "Adam's first decay rate", at_least=0, below=1)
    clip_norm: float = _field(5.0, "clip the gradients to this norm; 0 is off", at_least=0)
    clip: str = _field("auto", "what clip_norm is of: each gradient, or all together; auto is each "
                       "under the article's equations, else all", ("auto", "each", "all"))
    average_decay: float = _field(0.0, "decay of an exponential moving average of the weights, "
                                  "which is then what is evaluated and drawn from; lower while "
                                  "the average is young; 0 is off", at_least=0, below=1, fixed=True)
    start: str = _field("listing", "the initial weights: listing, the article's; data, with biases "
                        "so that windows cover the image and the mean image is drawn; or DIR or "
                        "NAME, those of a run or of weights that ship (./data is a folder)")
    seed: int = _field(0, "of the initial weights, the data order and the noise", below=2**31)
    jit_compile: bool = _field(True, "compile with XLA")
    unroll: int = _field(0, "glimpses unrolled in the compiled program, the rest being a loop over "
                         "such pieces; 0 chooses for this device")
    steps_per_call: int = _field(0, "training steps in one program, between two returns to Python; "
                                 "their noise is in memory at once; 0 is 8 on a CPU, 32 on a GPU")
    log_every: int = _field(100, "steps between lines of the log")
    eval_every: int = _field(1000, "steps between evaluations on held-out images")
    save_every: int = _field(1000, "steps between checkpoints")
    image_every: int = _field(500, "steps between pictures: strokes.gif and TensorBoard's")
    distribute: str = _field("none", "over one device, all of this machine's, or several "
                             "machines' (TF_CONFIG)", ("none", "mirrored", "multi_worker"))

    def __post_init__(self):
        super().__post_init__()
        _require(self.image_channels != 2, "image_channels", self.image_channels, "1 or 3")
        _require(self.cooldown_steps <= self.train_steps, "cooldown_steps", self.cooldown_steps,
                 f"at most train_steps, {self.train_steps}")
        fits = re.fullmatch(r"\d{1,4},\d{1,4}", self.image_size) and all(
            0 < side < 2**13 for side in self.folder_shape[:2])
        _require(fits, "image_size", self.image_size,
                 "height,width in pixels, each above 0 and below 8192")

    @property
    def folder_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) that the pictures of a folder are brought to."""
        height, width = map(int, self.image_size.split(","))
        return height, width, self.image_channels


def fixed_fields() -> list[str]:
    """The names of the training settings that cannot change when a run is resumed."""
    return [field.name for field in dataclasses.fields(TrainConfig) if field.metadata["fixed"]]


def config_to_dict(model_config: ModelConfig, train_config: TrainConfig) -> dict:
    """Both settings as one plain dictionary, as `config.json` holds them."""
    return {"model": {"kind": model_config.kind, **dataclasses.asdict(model_config)},
            "train": dataclasses.asdict(train_config)}


def config_from_dict(content: object) -> tuple[ModelConfig, TrainConfig]:
    """Both settings from the dictionary of `config_to_dict`; fields that it lacks are the defaults.

    Raises ConfigError where a part is missing, or a field is unknown or out of its range.
    """
    configs: list[Any] = []
    config_class: Any
    for part, config_class in (("model", DRAWConfig), ("train", TrainConfig)):
        if not isinstance(content, dict) or not isinstance(content.get(part), dict):
            raise ConfigError(f"the configuration has no part named {part!r}")
        fields = dict(content[part])
        if part == "model":
            kind = fields.pop("kind", "draw")
            _require(isinstance(kind, str) and kind in MODELS, "kind", kind,
                     f"one of {', '.join(MODELS)}")
            config_class = MODELS[kind]
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(config_class)})
        if unknown:
            raise ConfigError(
                f"the configuration's part {part!r} has an unknown field: {unknown[0]!r}")
        configs.append(config_class(**fields))
    model_config, train_config = configs
    return model_config, train_config
