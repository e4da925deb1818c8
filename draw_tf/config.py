"""The two settings of a run: what the model is (DRAWConfig) and how it is trained (TrainConfig).

Both are frozen and travel as JSON in a run's `config.json`. Each field declares its help text and
its range beside its default; checks and command line flags are made from these declarations.
Making one with a field out of its range raises a ConfigError that names the field and the value.
"""

import dataclasses
import numbers
import operator
import sys
from typing import Any, ClassVar

from draw_tf.errors import ConfigError

BINARIZE = ("none", "static", "dynamic")
LIKELIHOODS = ("bernoulli", "gaussian")
_KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}


def _field(default, help_text, choices=None, at_least=None, above=None, below=None, fixed=False):
    """A field with its range: at_least <= value, above < value < below, or one of `choices`.

    A `fixed` field of TrainConfig cannot change when a run is resumed.
    """
    return dataclasses.field(default=default, metadata=dict(
        help=help_text, choices=choices, at_least=at_least, above=above, below=below, fixed=fixed))


def _require(condition, name, value, rule):
    if not condition:
        raise ConfigError(f"{name} must be {rule}, got {value!r:.200}")


def _is_kind(value, kind):
    return (isinstance(value, bool) == (kind is bool)
            and isinstance(value, (int, float) if kind is float else kind))


def check_whole(at_least: int, **values: object) -> None:
    """Raises ConfigError unless each value is a whole number from `at_least` to 2**31 - 1."""
    for name, value in values.items():
        inside = isinstance(value, numbers.Integral) and at_least <= int(value) < 2**31
        _require(inside, name, value, f"a whole number from {at_least} to {2**31 - 1}")


def _check_field(field: dataclasses.Field, value: Any) -> None:
    """Raises ConfigError unless `value` is of the field's type and in its declared range."""
    kind, meta = type(field.default), field.metadata
    rules = [(word, bound, inside) for word, bound, inside in (
        ("of at least" if kind is int else "at least", meta["at_least"], operator.ge),
        ("above", meta["above"], operator.gt), ("below", meta["below"], operator.lt))
        if bound is not None]
    fits = (_is_kind(value, kind) and all(inside(value, bound) for _, bound, inside in rules)
            and (not meta["choices"] or value in meta["choices"])
            and (kind is not float or abs(value) <= sys.float_info.max))
    rule = " and ".join(f"{word} {bound}" for word, bound, _ in rules)
    _require(fits, field.name, value, "one of " + ", ".join(meta["choices"]) if meta["choices"]
             else f"{_KINDS[kind]} {rule}".strip())


@dataclasses.dataclass(frozen=True)
class DRAWConfig:
    """What the model is. The defaults are the article's. Bad values raise ConfigError."""

    image_shape: tuple[int, int, int] = _field((28, 28, 1), "height, width, channels in pixels")
    glimpses: int = _field(10, "T: steps in which an image is drawn (the article's T)",
                           at_least=1, below=2**12)
    hidden_size: int = _field(256, "D: units of each LSTM (the article's n_hidden)",
                              at_least=1, below=2**14)
    latent_size: int = _field(10, "Z: latent variables per step (the article's n_z)",
                              at_least=1, below=2**14)
    read_size: int = _field(5, "n: side of the grid that reads (the article's attention_n)",
                            at_least=1)
    write_size: int = _field(5, "n: side of the grid that writes (the article's attention_n)",
                             at_least=1)
    read_attention: bool = _field(True, "read through an attention window, not the whole image")
    write_attention: bool = _field(True, "write through an attention window, not everywhere")
    equations: str = _field("article", "follow the article's code or the paper where they "
                            "differ (assets/article_and_paper.md has the table)",
                            ("article", "paper"))
    shared_noise: bool = _field(False, "reuse the first step's noise at every step, as the "
                                "article does by mistake; such a model cannot generate")
    likelihood: str = _field("bernoulli", "of the pixels, given the canvas: bernoulli, where an "
                             "intensity is a probability of ink; or gaussian, of variance 1",
                             LIKELIHOODS)

    kind: ClassVar[str] = "draw"  # its name as --model and in config.json

    def __post_init__(self):
        _check_model(self)
        side = min(self.image_shape[:2])
        for scope in ("read", "write"):
            size, attention = getattr(self, f"{scope}_size"), getattr(self, f"{scope}_attention")
            _require(size <= side or not attention, f"{scope}_size", size,
                     f"at most the image's shorter side, {side}")


@dataclasses.dataclass(frozen=True)
class VAEConfig:
    """What the plain VAE is: one latent vector, two dense layers each way. See DRAWConfig."""

    image_shape: tuple[int, int, int] = _field((28, 28, 1), "height, width, channels in pixels")
    hidden_size: int = _field(500, "D: units of each dense layer", at_least=1, below=2**14)
    latent_size: int = _field(50, "Z: latent variables", at_least=1, below=2**14)
    likelihood: str = _field("bernoulli", "of the pixels; see DRAWConfig", LIKELIHOODS)

    kind: ClassVar[str] = "vae"

    def __post_init__(self):
        _check_model(self)


ModelConfig = DRAWConfig | VAEConfig  # the settings of any model
MODELS = {config.kind: config for config in (DRAWConfig, VAEConfig)}


def _check_model(config):
    shape = config.image_shape
    is_shape = isinstance(shape, (tuple, list)) and len(shape) == 3 and all(
        type(side) is int and 0 < side < 2**13 for side in shape)
    _require(is_shape, "image_shape", shape, "three whole numbers above 0 and below 8192: "
             "height, width, channels")
    object.__setattr__(config, "image_shape", tuple(shape))  # JSON gives a list
    for field in dataclasses.fields(config)[1:]:
        _check_field(field, getattr(config, field.name))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How it is trained. The defaults are the article's where it has any. See DRAWConfig."""

    dataset: str = _field("digits", "what to train on; the README has the list", fixed=True)
    binarize: str = _field("none", "make pixels 0 or 1: never, by one fixed draw, or by a new "
                           "draw each time an image is seen", BINARIZE, fixed=True)
    image_size: str = _field("64,64", "height,width that the pictures of --dataset=folder:PATH are "
                             "brought to; other data sets have their own", fixed=True)
    image_channels: int = _field(3, "1 (grey) or 3 (colour) for --dataset=folder:PATH",
                                 at_least=1, below=4, fixed=True)
    batch_size: int = _field(64, "N: images per step, over all devices", at_least=1)
    train_steps: int = _field(10_000, "steps in all, those of resumed runs included", at_least=1)
    learning_rate: float = _field(1e-3, "Adam's rate at its highest", above=0)
    final_learning_rate: float = _field(1e-5, "where the exponential schedule ends", above=0)
    schedule: str = _field("constant", "the learning rate over the run: constant, or constant for "
                           "the first half and exponential decay over the second",
                           ("constant", "exponential"))
    cooldown_steps: int = _field(0, "the last steps of the run, in which the rate also falls "
                                 "linearly to zero; 0 is none", at_least=0)
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
    seed: int = _field(0, "of the initial weights, the data order and the noise", at_least=0,
                       below=2**31)
    jit_compile: bool = _field(True, "compile with XLA")
    unroll: int = _field(0, "glimpses unrolled in the compiled program, the rest being a loop over "
                         "such pieces; 0 chooses for this device", at_least=0)
    steps_per_call: int = _field(0, "training steps in one program, between two returns to Python; "
                                 "their noise is in memory at once; 0 is 8 on a CPU, 32 on a GPU",
                                 at_least=0)
    log_every: int = _field(100, "steps between lines of the log", at_least=1)
    eval_every: int = _field(1000, "steps between evaluations on held-out images", at_least=1)
    save_every: int = _field(1000, "steps between checkpoints", at_least=1)
    image_every: int = _field(500, "steps between pictures: strokes.gif and TensorBoard's",
                              at_least=1)
    distribute: str = _field("none", "over one device, all of this machine's, or several "
                             "machines' (TF_CONFIG)", ("none", "mirrored", "multi_worker"))

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_field(field, getattr(self, field.name))
        _require(self.image_channels != 2, "image_channels", self.image_channels, "1 or 3")
        _require(self.cooldown_steps <= self.train_steps, "cooldown_steps", self.cooldown_steps,
                 f"at most train_steps, {self.train_steps}")
        sides = self.image_size.split(",")
        fits = len(sides) == 2 and all(side.isdecimal() and len(side) < 5 and 0 < int(side) < 2**13
                                       for side in sides)
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

    Raises:
      ConfigError: a part is missing, or a field is unknown or out of its range.
    """
    configs: list[Any] = []
    config_class: Any
    for part, config_class in (("model", DRAWConfig), ("train", TrainConfig)):
        if not isinstance(content, dict) or not isinstance(content.get(part), dict):
            raise ConfigError(f"the configuration has no part named {part!r}")
        fields = dict(content[part])
        if part == "model":
            kind = fields.pop("kind", "draw")
            if not isinstance(kind, str) or kind not in MODELS:
                raise ConfigError(f"kind must be one of {', '.join(MODELS)}, got {kind!r:.200}")
            config_class = MODELS[kind]
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(config_class)})
        if unknown:
            raise ConfigError(
                f"the configuration's part {part!r} has an unknown field: {unknown[0]!r}")
        configs.append(config_class(**fields))
    model_config, train_config = configs
    return model_config, train_config
