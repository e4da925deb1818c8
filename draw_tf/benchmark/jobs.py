"""What the benchmark measures: the article's and the paper's model, and sweeps of one setting."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.devices import device_kind
from draw_tf.errors import ConfigError
from draw_tf.models.recurrence import auto_unroll
from draw_tf.training.trainer import auto_steps_per_call

MODES = ("eager", "graph", "xla")
TASKS = ("train", "generate")
# The model and the batch size of each configuration, as in the article and as in the paper.
CONFIGS = {
    "article": (DRAWConfig(), 64),
    "paper": (DRAWConfig(glimpses=64, latent_size=100, read_size=2, equations="paper"), 100),
}
# The setting of the article's configuration that each sweep changes, and its values.
SWEEPS = {
    "batch": ("batch_size", (16, 32, 64, 128, 256, 512, 1024)),
    "glimpses": ("glimpses", (2, 4, 8, 16, 32, 64)),
    "size": ("hidden_size", (64, 128, 256, 512, 1024)),
}
LARGEST_BATCH = {"CPU": 256, "GPU": 1024}  # of a sweep; a CPU gains nothing from larger ones


@dataclasses.dataclass(frozen=True)
class Job:
    """One thing to measure.

    The task "train" is steps as `train.py` makes them, from the data pipeline to the update;
    "generate" is batches of new images, with every step of their drawing.
    """

    name: str  # of the configuration, such as "article" or "batch=128"
    model_config: DRAWConfig  # for images of 28 x 28 x 1, as the digits in the package are
    config: TrainConfig  # only batch_size, seed, unroll, steps_per_call and Adam's settings count
    mode: str  # one of MODES: eager, tf.function, or tf.function compiled with XLA
    task: str  # one of TASKS
    sweep: str = ""  # the sweep that the job belongs to; "" for none

    def __str__(self):
        return f"{self.name}, {self.mode}, {self.task}"

    @property
    def unroll(self) -> int:
        """How many glimpses are unrolled in the program."""
        glimpses = self.model_config.glimpses
        return min(self.config.unroll, glimpses) or auto_unroll(glimpses)

    @property
    def steps_per_call(self) -> int:
        """Steps between two returns to Python; 1 for eager training and for generation."""
        several = self.task == "train" and self.mode != "eager"
        return auto_steps_per_call(self.config) if several else 1


def make_jobs(configs: Iterable[str], modes: Iterable[str], tasks: Iterable[str],
              sweeps: Iterable[str], **settings) -> list[Job]:
    """The jobs for names in CONFIGS, MODES, TASKS and SWEEPS, in the order of the table.

    The settings are fields of TrainConfig. Raises ConfigError for an unknown name, or a setting
    out of its range.
    """
    for flag, names, known in (("configs", configs, CONFIGS), ("modes", modes, MODES),
                               ("tasks", tasks, TASKS), ("sweep", sweeps, SWEEPS)):
        for name in names:
            if name not in known:
                raise ConfigError(f"{flag} must be among {', '.join(known)}, got {name!r}")
    cases = [(name, *CONFIGS[name], "") for name in configs]
    article, article_batch = CONFIGS["article"]
    for sweep in sweeps:
        field, values = SWEEPS[sweep]
        for value in values:
            change: dict[str, Any] = {field: value}
            if field != "batch_size":
                model_config = dataclasses.replace(article, **change)
                cases.append((f"{sweep}={value}", model_config, article_batch, sweep))
            elif value <= LARGEST_BATCH[device_kind()]:
                cases.append((f"{sweep}={value}", article, value, sweep))
    return [Job(name, model_config, TrainConfig(batch_size=batch, **settings), mode, task, sweep)
            for name, model_config, batch, sweep in cases for mode in modes for task in tasks]


def matmul_flops(config: DRAWConfig, task: str = "train") -> int:
    """Floating point operations in the matrix products that one image needs, 2 per multiply-add.

    At each of the T steps these are both LSTMs, every dense layer, and reading and writing through
    windows, which are products in the paper however a program computes them. Training (52.46 MFLOP
    for the article's model, 370.4 for the paper's) adds two products for each, the gradients by its
    factors, except those that nothing needs: by the image and, under the article's equations, by
    the first canvas and states, which are zero. (The products of these zeros are counted.) The
    task "generate" is an image drawn from the prior. Not counted are biases, gates, filters, the
    loss, the update, and what is computed again to save memory.
    """
    height, width, channels = config.image_shape
    pixels, hidden = height * width * channels, config.hidden_size
    drawing = (config.latent_size + hidden) * 4 * hidden  # multiply-adds of a step, as all below
    if config.write_attention:
        n = config.write_size
        drawing += hidden * (5 + channels * n**2)  # the window, and the patch w
        drawing += n * n * width * channels + n * pixels  # w Fx, and Fy' (w Fx)
    else:
        drawing += hidden * pixels
    if task == "generate":
        return 2 * config.glimpses * drawing
    window, x_Fx, reading, r_size = 0, 0, 0, 2 * pixels
    if config.read_attention:
        n = config.read_size
        window, x_Fx = hidden * 5, n * pixels  # x Fx', and as many for x_hat Fx'
        reading = window + 2 * (x_Fx + n * height * n * channels)  # Fy (x Fx')
        r_size = 2 * channels * n**2  # numbers in r
    encoder = (r_size + 2 * hidden) * 4 * hidden  # its input is [r, h_dec_prev], then h_enc
    latent = hidden * 2 * config.latent_size  # mu and logsigma
    multiply_adds = config.glimpses * (3 * (reading + encoder + latent + drawing) - x_Fx)
    if config.equations == "article":
        multiply_adds -= window + x_Fx if config.read_attention else encoder
    return 2 * multiply_adds
