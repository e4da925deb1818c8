"""The bound of a trained model over a whole split: python -m draw_tf.evaluate --workdir=DIR

Prints a table, in nats per image. With --json=FILE the same numbers are also written as JSON; with
--json=- they are one line on standard output, and the table is on standard error.
"""

import json
import sys

from absl import flags
from tqdm import tqdm

from draw_tf import checkpoints, commands, data
from draw_tf.config import BINARIZE
from draw_tf.evaluation import evaluate_run
from draw_tf.files import check_output, write_json
from draw_tf.pictures import curves


def _define_flags():
    flags.DEFINE_string("workdir", None, "folder of a run, or the name of weights that ship with "
                        "the package", required=True)
    flags.DEFINE_string("split", "test", "train, validation or test")
    flags.DEFINE_string("dataset", None, f"{', '.join(data.names())}; the run's where not given")
    flags.DEFINE_string("data_dir", None, "folder of TensorFlow Datasets (~/tensorflow_datasets)")
    flags.DEFINE_enum("binarize", None, BINARIZE, "the run's where not given; static and dynamic "
                      "mean the same fixed draw here")
    flags.DEFINE_integer("batch_size", 100, "images at once; it changes speed and memory only",
                         lower_bound=1)
    flags.DEFINE_integer("noise_samples", 1, "draws of the noise that the bound is averaged over; "
                         "more than one give a standard error", lower_bound=1)
    flags.DEFINE_integer("importance_samples", None, "K: also the importance-weighted bound of K "
                         "samples per image, nearer to the likelihood; takes K times as long",
                         lower_bound=1)
    flags.DEFINE_bool("jit_compile", True, "compile with XLA")
    flags.DEFINE_string("kl_plot", None, "a .png to draw the KL of every step to")
    flags.DEFINE_string("json", None, "a file to write the numbers to as JSON; - is standard "
                        "output, which then has nothing else")


def table(report: dict) -> str:
    """What `evaluate_run` found, for people."""
    step = "" if report["step"] is None else f", step {report['step']}"
    lines = ["{dataset}/{split}, {examples} images, binarize={binarize}{step}; nats per image:",
             "  reconstruction      {recon_nats:10.3f}",
             "  KL                  {kl_nats:10.3f}",
             "  bound               {bound_nats:10.3f}"]
    if report["bound_se"] is not None:
        lines[-1] += "  (+- {bound_se:.3f}, {noise_samples} draws of the noise)"
    if report["iwae_nats"] is not None:
        lines.append("  importance-weighted {iwae_nats:10.3f}  ({importance_samples} samples per "
                     "image)")
    lines.append("  KL per step: " + " ".join(f"{nats:.2f}" for nats in report["kl_step_nats"]))
    if report["grey"]:
        lines.append("These pixels are not 0 or 1, so the bound is not that of a likelihood: "
                     "compare it between models on the same images only.")
    if report["shared_noise"]:
        lines.append("The model shares one noise between its steps, so this is not a bound.")
    return "\n".join(lines).format(**{**report, "step": step})


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Evaluates, prints the table, and writes what the flags name."""
    text = sys.stderr if given.json == "-" else sys.stdout
    if given.kl_plot:
        check_output("kl_plot", given.kl_plot, ".png")
        curves.pyplot()  # missing? say so now, not after the work
    if given.json and given.json != "-":
        check_output("json", given.json)
    report = evaluate_run(
        given.workdir, given.split, given.dataset, given.binarize, given.data_dir,
        batch_size=given.batch_size, noise_samples=given.noise_samples,
        importance_samples=given.importance_samples, jit_compile=given.jit_compile,
        watch=lambda batches: tqdm(batches, unit=" batches", leave=False, disable=None))
    print(table(report), file=text)
    _, trained = checkpoints.read_config(checkpoints.resolve(given.workdir))
    if data.overlaps(trained.dataset, report["dataset"]):
        print(f"Most images of {report['dataset']} are among the training images of "
              f"{trained.dataset}, so this model has seen them: the bound is not that of new "
              "images.", file=text)
    if given.kl_plot:
        curves.kl_curve(given.kl_plot, report["kl_step_nats"])
    if given.json == "-":
        print(json.dumps(report))
    elif given.json:
        write_json(given.json, report)


if __name__ == "__main__":
    command()
