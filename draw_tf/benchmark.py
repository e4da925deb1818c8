"""Speed of training and generation on this machine: python -m draw_tf.benchmark

Prints a table, a row as soon as it is measured. Each measurement runs in a process of its own,
between two measurements of the machine's matmul peak: a row whose peaks differ is marked as
disturbed. `draw_tf.timing.record` says what the numbers are.
"""

import dataclasses
import json
import os
import pathlib

from absl import flags

from draw_tf import commands
from draw_tf import plots
from draw_tf import timing
from draw_tf.config import DRAWConfig, TrainConfig, write_json
from draw_tf.errors import ConfigError
from draw_tf.evaluate import check_output
from draw_tf.speed import TASKS

FLAGS = flags.FLAGS

# The model and the batch size of each configuration: as in the article, and as in the paper.
CONFIGS = {
    "article": (DRAWConfig(), 64),
    "paper": (DRAWConfig(glimpses=64, latent_size=100, read_size=2, equations="paper"), 100),
}
# What grows from the article's configuration, the field it is, and through which values.
SWEEPS = {
    "batch": ("batch_size", (16, 32, 64, 128, 256, 512, 1024)),
    "glimpses": ("glimpses", (2, 4, 8, 16, 32, 64)),
    "size": ("hidden_size", (64, 128, 256, 512, 1024)),
}
LARGEST_BATCH = {"CPU": 256, "GPU": 1024}  # of a sweep; beyond it a CPU is just as fast

COLUMNS = (  # head, width, and what stands there
    ("ms/step", 9, lambda r: f"{r['ms_per_step']:.2f}"),
    ("spread", 8, lambda r: f"{r['spread']:.0%}"),
    ("images/s", 10, lambda r: f"{r['images_per_second']:,.0f}"),
    ("GFLOP/s", 9, lambda r: f"{r['gflops_per_second']:,.1f}"),
    ("of peak", 9, lambda r: _or_dash(r["fraction_of_peak"], ".1%")),
    ("peak", 9, lambda r: _or_dash(r["peak_gflops_per_second_before"], ",.0f")),
    ("compile s", 11, lambda r: f"{r['compile_seconds']:.1f}"),
    ("MiB", 8, lambda r: f"{r['memory_mib']:,.0f}"),
)


def define_flags():
    """The command's flags; not at import, where they would be in another command's way."""
    flags.DEFINE_list("configs", None, f"of {', '.join(CONFIGS)}; all, or none where there is a "
                      "sweep")
    flags.DEFINE_list("modes", ["xla"], f"of {', '.join(timing.MODES)}")
    flags.DEFINE_list("tasks", list(TASKS), f"of {', '.join(TASKS)}")
    flags.DEFINE_list("sweep", ["none"], f"of {', '.join(SWEEPS)}: how speed changes as one thing "
                      "grows from the article's configuration")
    flags.DEFINE_string("unroll", TrainConfig.unroll, "as train.py's")
    flags.DEFINE_integer("steps_per_call", TrainConfig.steps_per_call, "as train.py's")
    flags.DEFINE_float("seconds", 3.0, "of steady work in a measurement, about; compiling and the "
                       "peak come on top")
    flags.DEFINE_bool("peak", True, "measure the machine's matmul peak before and after each")
    flags.DEFINE_string("json", None, "a file for all that was measured, renewed after each")
    flags.DEFINE_string("plot", None, "a .png to draw what was swept to")
    flags.DEFINE_string("from_json", None, "measure nothing: tell and draw what --json wrote")


# ---------------------------------------------------------------- what to measure


def _sweep_cases(sweep):
    """What a sweep measures: name, model, batch size and sweep of each case."""
    field, values = SWEEPS[sweep]
    model_config, batch_size = CONFIGS["article"]
    for value in values:
        name = f"{sweep}={value}"
        if field != "batch_size":
            yield name, dataclasses.replace(model_config, **{field: value}), batch_size, sweep
        elif value <= LARGEST_BATCH[timing.device_kind()]:
            yield name, model_config, value, sweep


def make_jobs(configs, modes, tasks, sweeps, **settings):
    """What to measure, in the order of its telling.

    Args:
      configs, modes, tasks, sweeps: lists of names in CONFIGS, timing.MODES, TASKS and SWEEPS.
      **settings: fields of TrainConfig.

    Returns:
      A list of `timing.Job`.

    Raises:
      ConfigError: a name is not known, or a setting is out of its range.
    """
    for flag, names, known in (("configs", configs, CONFIGS), ("modes", modes, timing.MODES),
                               ("tasks", tasks, TASKS), ("sweep", sweeps, SWEEPS)):
        for name in names:
            if name not in known:
                raise ConfigError(f"{flag} must be among {', '.join(known)}, got {name!r}")
    cases = [(name, *CONFIGS[name], "") for name in configs]
    for sweep in sweeps:
        cases += _sweep_cases(sweep)
    return [timing.Job(name, model_config, TrainConfig(batch_size=batch_size, **settings), mode,
                       task, sweep)
            for name, model_config, batch_size, sweep in cases for mode in modes for task in tasks]


# ---------------------------------------------------------------- what was found


def _or_dash(number, form):
    return "-" if number is None else format(number, form)


def heading(machine):
    """The first lines of the table: the machine in words, and what stands in the columns."""
    names = f"{'':<14}{'mode':<7}{'task':<9}"
    return (f"{machine['device']}, {machine['cpu_cores']} CPU cores, "
            f"TensorFlow {machine['tensorflow']}\n"
            + names + "".join(f"{head:>{width}}" for head, width, _ in COLUMNS))


def row(record):
    """A line of the table."""
    names = f"{record['config']:<14}{record['mode']:<7}{record['task']:<9}"
    numbers = "".join(f"{tell(record):>{width}}" for _, width, tell in COLUMNS)
    disturbed = ("  disturbed: after it the peak was "
                 f"{record['peak_gflops_per_second_after']:,.0f}" if record["disturbed"] else "")
    return names + numbers + disturbed


def table(report):
    """All of it; `report` is what `read_report` returns."""
    return "\n".join([heading(report["machine"]), *map(row, report["records"])])


def _check_swept(sweeps):
    if not sweeps:
        raise ConfigError(f"plot needs measurements of a sweep: --sweep={','.join(SWEEPS)}")


def _draw_line(upper, lower, records, field, label):
    """One task in one mode: its speed above, its share of the peak below."""
    x = [record[field] for record in records]
    upper.plot(x, [record["images_per_second"] for record in records], marker="o", label=label)
    shares = [record["fraction_of_peak"] for record in records]
    if None not in shares:
        lower.plot(x, [100 * share for share in shares], marker="o")
    upper.set_xticks(x, [str(value) for value in x], minor=False)


def plot(path, records):
    """Draws how speed and the share of the peak change as one thing grows, a column a sweep.

    Args:
      path: of the picture, a .png.
      records: of `timing.record`; those of no sweep are left out.

    Raises:
      ConfigError: there are no others.
    """
    sweeps = [sweep for sweep in SWEEPS if any(record["sweep"] == sweep for record in records)]
    _check_swept(sweeps)
    plt = plots.pyplot()
    figure, axes = plt.subplots(2, len(sweeps), figsize=(1 + 4 * len(sweeps), 6), squeeze=False,
                                sharex="col", sharey="row", layout="constrained")
    for sweep, (upper, lower) in zip(sweeps, axes.T):
        upper.set_xscale("log", base=2)
        upper.set_yscale("log")
        lines = {}
        for record in records:
            if record["sweep"] == sweep:
                lines.setdefault(f"{record['task']}, {record['mode']}", []).append(record)
        for label, chosen in lines.items():
            _draw_line(upper, lower, chosen, SWEEPS[sweep][0], label)
        lower.set_xlabel(SWEEPS[sweep][0])
        upper.grid(alpha=0.3)
        lower.grid(alpha=0.3)
    axes[0, 0].set_ylabel("images/s")
    axes[1, 0].set_ylabel("% of the matmul peak")
    axes[1, 0].set_ylim(bottom=0)
    axes[0, 0].legend()
    figure.savefig(path, dpi=150, format="png")
    plt.close(figure)


# ---------------------------------------------------------------- the command


def read_report(path):
    """What `--json` wrote: a dictionary of machine and records.

    Raises:
      ConfigError: the file is not there, or holds something else.
    """
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        table(report)  # what can be told is whole
    except OSError as error:
        raise ConfigError(f"from_json {path} can not be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"from_json {path} is no file that --json wrote: {error!r}") from error
    return report


def run_jobs(jobs):
    """Measures, tells and keeps; returns what `read_report` does."""
    report = {"machine": timing.machine(), "records": []}
    print(heading(report["machine"]), flush=True)
    for job in jobs:
        record = timing.measure_apart(job, FLAGS.seconds, FLAGS.peak)
        print(row(record), flush=True)
        report["records"].append(record)
        if FLAGS.json:
            write_json(FLAGS.json, report)
    return report


def measure_from_flags():
    """Measures what the flags ask for; returns what `read_report` does."""
    if FLAGS.seconds <= 0:
        raise ConfigError(f"seconds must be above 0, got {FLAGS.seconds}")
    sweeps = [sweep for sweep in FLAGS.sweep if sweep != "none"]
    configs = FLAGS.configs
    if configs is None:
        configs = [] if sweeps else CONFIGS
    jobs = make_jobs(configs, FLAGS.modes, FLAGS.tasks, sweeps, unroll=FLAGS.unroll,
                     steps_per_call=FLAGS.steps_per_call)
    if not jobs:
        raise ConfigError("configs, modes and tasks must name at least one each")
    if FLAGS.plot:
        _check_swept(sweeps)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hushes the processes to come
    return run_jobs(jobs)


def main(_):
    if FLAGS.plot:
        check_output("plot", FLAGS.plot, ".png")
        plots.pyplot()  # told now if it is missing
    if FLAGS.json:
        check_output("json", FLAGS.json)
    if FLAGS.from_json:
        report = read_report(FLAGS.from_json)
        print(table(report))
    else:
        report = measure_from_flags()
    if FLAGS.plot:
        plot(FLAGS.plot, report["records"])


if __name__ == "__main__":
    define_flags()
    commands.run(main)
