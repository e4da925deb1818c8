"""Puts a run's weights among those that ship: python -m draw_tf.ship --workdir=DIR --name=NAME

They are evaluated as they will be loaded, after any rounding, before anything is written. Beside
them lies a model card, `README.md`, in the form that model hubs read.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import tempfile
from typing import Any

import numpy as np
from absl import flags
from safetensors.numpy import load

from draw_tf import checkpoints, commands
from draw_tf.checkpoints.workdir import CONFIG, PRETRAINED, WEIGHTS
from draw_tf.config import DRAWConfig, config_to_dict
from draw_tf.errors import ConfigError, written
from draw_tf.evaluation import evaluate_run
from draw_tf.files import PathLike, write_json, write_whole

EVALUATION = "evaluation.json"
MNIST = "MNIST of Yann LeCun and Corinna Cortes, which they publish under CC BY-SA 3.0"
DATA = {  # what a card says of the data, all of which is made of MNIST
    "mnist": f"{MNIST}, in grey levels: the first\n50,000 training images, the other 10,000 for "
             "validation, and the 10,000 test images.",
    "binarized_mnist": "The fixed binarization of Salakhutdinov and Murray (2008), which many "
                       f"papers use, of\n{MNIST}: 50,000\nimages for training, 10,000 for "
                       "validation and 10,000 for the test.",
    "digits": f"The 5,000 digits that come with `draw_tf`, which are out of\n{MNIST}.",
    "colour_digits": "The 5,000 digits that come with `draw_tf`, each in a colour on a ground of "
                     f"another colour. They are out of\n{MNIST}."}
LIMITS = {
    "grey": "The pixels are grey levels, so the bound is the article's loss, and not one on a "
            "likelihood.\n  Compare it between models on the same images only.",
    "shared_noise": "The steps share one noise, so the model cannot draw new images, and its "
                    "number is no bound."}


def _define_flags():
    flags.DEFINE_string("workdir", None, "folder of the run", required=True)
    flags.DEFINE_string("name", None, "what the weights will be called", required=True)
    flags.DEFINE_bool("half", False, "half the size: 16 bits a weight")
    flags.DEFINE_string("note", "", "how they were trained: the command, the hardware")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_integer("noise_samples", 1, "draws of the noise that the bound is averaged over",
                         lower_bound=1)
    flags.DEFINE_integer("importance_samples", None, "K of the importance-weighted bound",
                         lower_bound=1)


def ship(workdir: PathLike, name: str, half: bool = False, note: str = "",
         folder: PathLike = PRETRAINED, **options: Any) -> dict:
    """Writes a run's settings, weights, test bound and model card to `folder`/`name`.

    `half` rounds the weights to float16, and `note` says how they were trained. Options, result and
    errors are those of `evaluation.evaluate_run`, which is given the weights as written.

    Raises also ConfigError where the name has characters other than a-z, 0-9, - and _, and
    WorkdirError where the folder cannot be written.
    """
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ConfigError(f"name must be of lower-case letters, digits, - and _, got {name!r}")
    workdir = checkpoints.resolve(workdir)
    model, step = checkpoints.load_with_step(workdir)
    folder = pathlib.Path(folder)
    with written(str(folder / name)):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ship-", dir=folder) as partial:
            new = pathlib.Path(partial)
            write_json(new / CONFIG, config_to_dict(*checkpoints.read_config(workdir)))
            checkpoints.save_weights(model, new / WEIGHTS, np.float16 if half else np.float32, step)
            report = evaluate_run(new, **options)
            write_json(new / EVALUATION, report)
            trained = _trained(step, checkpoints.read_metrics(workdir))
            made = "\n\n".join(filter(None, (note, trained)))
            write_whole(new / "README.md", card(new, name, made))
            (folder / name).mkdir(exist_ok=True)
            for path in new.iterdir():
                path.replace(folder / name / path.name)
    return report


def _trained(step, metrics):
    """A sentence on how long a training took, from its metrics; empty where no step is known."""
    seconds = [line["seconds"] for line in metrics if isinstance(line.get("seconds"), float)]
    minutes = f" in {seconds[-1] / 60:.1f} minutes" if seconds else ""
    return "" if step is None else f"This took {step:,} steps of training{minutes}."


def card(folder: pathlib.Path, name: str, made: str) -> str:
    """The model card of a folder's settings, weights and evaluation.

    `made` says how the weights were trained. Raises WorkdirError where the settings cannot be read.
    """
    config, _ = checkpoints.read_config(folder)
    report = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    content = (folder / WEIGHTS).read_bytes()
    weights = list(load(content).values())
    data, (height, width, channels) = DATA.get(report["dataset"]), config.image_shape
    numbers = {"reconstruction": "recon_nats", "KL": "kl_nats", "bound": "bound_nats",
               "standard error of the bound, {noise_samples} draws of the noise": "bound_se",
               "importance-weighted bound, {importance_samples} samples": "iwae_nats"}
    return (PRETRAINED / "card.md").read_text(encoding="utf-8").format(
        **report, name=name, made=made, quoted=json.dumps(report["dataset"]), height=height,
        width=width, channels=channels, hub="ylecun/mnist" if data else "",
        data=data or f"`{report['dataset']}`, under the licence of those who publish it.",
        kind="DRAW (Gregor et al. 2015, arXiv 1502.04623)" if isinstance(config, DRAWConfig)
        else "A plain variational autoencoder",
        weights=sum(weight.size for weight in weights), dtype=weights[0].dtype,
        limits="".join(f"- {text}\n" for field, text in LIMITS.items() if report[field]),
        numbers="".join(f"| {what.format(**report)} | {report[field]:.2f} |\n"
                        for what, field in numbers.items() if report[field] is not None),
        settings="".join(f"| {field} | {value} |\n"
                         for field, value in dataclasses.asdict(config).items()),
        after="" if report["step"] is None else f", after step {report['step']:,}",
        sha256=hashlib.sha256(content).hexdigest())


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Ships, and prints the bound of what was shipped."""
    report = ship(given.workdir, given.name, given.half, given.note, data_dir=given.data_dir,
                  noise_samples=given.noise_samples, importance_samples=given.importance_samples)
    print(f"{PRETRAINED / given.name}: bound {report['bound_nats']:.2f} nats on "
          f"{report['dataset']}/{report['split']}")


if __name__ == "__main__":
    command()
