"""The two settings of a run: what the model is (DRAWConfig) and how it is trained (TrainConfig).

Both are frozen, check themselves when made, and travel as JSON in a run's `config.json`. Each
field's help text sits beside its default, so that command line flags can be made from the fields.
"""

import dataclasses
import json
import math
import os

from draw_tf.errors import ConfigError

DATASETS = ("digits", "mnist", "fashion_mnist", "binarized_mnist")
BINARIZE = ("none", "static", "dynamic")


def _field(default, help_text, choices=None):
    return dataclasses.field(default=default, metadata={"help": help_text, "choices": choices})


def _require(condition, name, value, rule):
    if not condition:
        raise ConfigError(f"{name} must be {rule}, got {value!r}")


def _check_choices(config):
    for field in dataclasses.fields(config):
        choices = field.metadata.get("choices")
        if choices:
            value = getattr(config, field.name)
            _require(value in choices, field.name, value, "one of " + ", ".join(choices))


def _check_integers(config, minimum, names):
    for name in names:
        value = getattr(config, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        _require(whole and value >= minimum, name, value, f"a whole number of at least {minimum}")


def _check_number(config, name, low, high=math.inf, low_included=True):
    value = getattr(config, name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    inside = number and (low <= value if low_included else low < value) and value < high
    bounds = ("at least" if low_included else "above") + f" {low}"
    bounds += "" if high == math.inf else f" and below {high}"
    _require(inside, name, value, f"a number {bounds}")


@dataclasses.dataclass(frozen=True)
class DRAWConfig:
    """What the model is. The defaults are the article's.

    Raises:
      ConfigError: a field is out of its range; the message names the field and its value.
    """

    image_shape: tuple[int, int, int] = _field((28, 28, 1), "height, width, channels in pixels")
    glimpses: int = _field(10, "T: steps in which an image is drawn (the article's T)")
    hidden_size: int = _field(256, "D: units of each LSTM (the article's n_hidden)")
    latent_size: int = _field(10, "Z: latent variables a step (the article's n_z)")
    read_size: int = _field(5, "n: side of the grid that reads (the article's attention_n)")
    write_size: int = _field(5, "n: side of the grid that writes (the article's attention_n)")
    read_attention: bool = _field(True, "read through an attention window, not the whole image")
    write_attention: bool = _field(True, "write through an attention window, not everywhere")
    equations: str = _field("article", "follow the article's listing or the paper where they "
                            "differ (the README has the table)", ("article", "paper"))
    shared_noise: bool = _field(False, "reuse the first step's noise at every step, as the "
                                "listing does by mistake; such a model can not generate")

    def __post_init__(self):
        shape = self.image_shape
        is_shape = isinstance(shape, (tuple, list)) and len(shape) == 3 and all(
            type(side) is int and side > 0 for side in shape)
        _require(is_shape, "image_shape", shape, "three whole numbers above 0: height, width, "
                 "channels")
        object.__setattr__(self, "image_shape", tuple(shape))  # JSON gives a list
        _check_integers(self, 1, ("glimpses", "hidden_size", "latent_size", "read_size",
                                  "write_size"))
        side = min(shape[:2])
        for name in ("read_attention", "write_attention", "shared_noise"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name),
                     "True or False")
        for scope in ("read", "write"):
            name = f"{scope}_size"
            fits = getattr(self, name) <= side or not getattr(self, f"{scope}_attention")
            _require(fits, name, getattr(self, name),
                     f"at most the image's shorter side, {side}")
        _check_choices(self)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How the model is trained. The defaults are the article's where it gives a value.

    Raises:
      ConfigError: a field is out of its range; the message names the field and its value.
    """

    dataset: str = _field("digits", "what to train on", DATASETS)
    binarize: str = _field("none", "make pixels 0 or 1: never, by one fixed draw, or by a new "
                           "draw each time an image is seen", BINARIZE)
    batch_size: int = _field(64, "N: images a step, over all devices")
    train_steps: int = _field(10_000, "steps in all, those of resumed runs included")
    learning_rate: float = _field(1e-3, "Adam's rate at its highest")
    final_learning_rate: float = _field(1e-5, "where the cosine and exponential schedules end")
    schedule: str = _field("constant", "the learning rate over the run: constant; cosine; or "
                           "constant for the first half and exponential decay over the second",
                           ("constant", "cosine", "exponential"))
    warmup_steps: int = _field(0, "steps over which the learning rate rises from zero, whatever "
                               "its schedule")
    adam_beta1: float = _field(0.5, "Adam's first decay rate")
    clip_norm: float = _field(5.0, "clip the gradients to this norm: each one under the article's "
                              "equations, all together under the paper's; 0 is off")
    average_decay: float = _field(0.0, "decay of an exponential moving average of the weights, "
                                  "which is then what is evaluated and drawn from; lower while "
                                  "the average is young; 0 is off")
    start: str = _field("listing", "the initial weights: the listing's; or with biases from the "
                        "data, so that windows cover the image and the mean image is drawn",
                        ("listing", "data"))
    seed: int = _field(0, "of the initial weights, the data order and the noise")
    jit_compile: str = _field("auto", "compile with XLA; auto does", ("auto", "true", "false"))
    unroll: str = _field("auto", "glimpses unrolled in the compiled program, the rest being a "
                         "loop over such pieces: a number; auto picks for this device")
    steps_per_call: int = _field(8, "training steps between two returns to Python")
    log_every: int = _field(100, "steps between lines of the log")
    eval_every: int = _field(1000, "steps between evaluations on held-out images")
    save_every: int = _field(1000, "steps between checkpoints")
    image_every: int = _field(1000, "steps between pictures in TensorBoard")
    distribute: str = _field("none", "over one device, all of this machine's, or several "
                             "machines' (TF_CONFIG)", ("none", "mirrored", "multi_worker"))

    def __post_init__(self):
        _check_choices(self)
        _check_integers(self, 1, ("batch_size", "train_steps", "steps_per_call", "log_every",
                                  "eval_every", "save_every", "image_every"))
        _check_integers(self, 0, ("seed", "warmup_steps"))
        number = isinstance(self.unroll, str) and self.unroll.isdecimal() and int(self.unroll) > 0
        _require(self.unroll == "auto" or number, "unroll", self.unroll,
                 "auto or a whole number of at least 1")
        _require(self.seed < 2**31, "seed", self.seed, "below 2147483648")
        _check_number(self, "learning_rate", 0, low_included=False)
        _check_number(self, "final_learning_rate", 0,
                      low_included=self.schedule != "exponential")  # which never arrives at 0
        _check_number(self, "clip_norm", 0)
        _check_number(self, "adam_beta1", 0, 1)
        _check_number(self, "average_decay", 0, 1)

    def binarize_of(self, dataset):
        """How a model that was trained so is given images of `dataset`: 0 or 1 if it learned such.

        Returns:
          "none", "static" or "dynamic", as `binarize` has it.
        """
        if self.dataset == "binarized_mnist" and dataset != self.dataset:
            return "static"
        return self.binarize


def write_json(path, content):
    """Writes `content` as JSON so that the file is whole or not there at all."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    os.replace(partial, path)


def config_to_dict(model_config, train_config):
    """Both settings as one plain dictionary, as `config.json` holds them."""
    return {"model": dataclasses.asdict(model_config), "train": dataclasses.asdict(train_config)}


def config_from_dict(content):
    """Both settings from the dictionary of `config_to_dict`.

    Raises:
      ConfigError: a part or a field is missing, unknown, or out of its range.
    """
    configs = []
    for part, config_class in (("model", DRAWConfig), ("train", TrainConfig)):
        if not isinstance(content, dict) or not isinstance(content.get(part), dict):
            raise ConfigError(f"the configuration has no part named {part!r}")
        known = {field.name for field in dataclasses.fields(config_class)}
        unknown = sorted(set(content[part]) - known)
        if unknown:
            raise ConfigError(f"the configuration's part {part!r} has an unknown field: "
                              f"{unknown[0]!r}")
        configs.append(config_class(**content[part]))
    return tuple(configs)
