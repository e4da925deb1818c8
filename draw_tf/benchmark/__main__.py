"""Speed of training and generation on this machine: python -m draw_tf.benchmark

Prints one row per measurement, as soon as it is made. Each is made in a process of its own, between
two measurements of the machine's matmul peak; a row whose two peaks differ is marked as disturbed.
A step is one of training, or a batch generated. Columns: the median time of a step and how far it
varied; images and floating point operations per second, and their share of the peak; seconds to
compile; page faults per step; MiB that the device held at most (on a CPU, by how much the process
grew); and MiB that the whole process held at most.
"""

import collections
import json
import math

from absl import flags

from draw_tf import commands, devices
from draw_tf.benchmark import jobs, measure
from draw_tf.config import TrainConfig
from draw_tf.errors import ConfigError, why
from draw_tf.files import check_output, local_path, write_json
from draw_tf.pictures import curves

# Head, alignment and width, and the record's field and its format.
COLUMNS = (
    ("", "<14", "config", ""), ("mode", "<7", "mode", ""), ("task", "<9", "task", ""),
    ("ms/step", ">9", "ms_per_step", ".2f"), ("spread", ">8", "spread", ".0%"),
    ("images/s", ">10", "images_per_second", ",.0f"),
    ("GFLOP/s", ">9", "gflops_per_second", ",.1f"), ("of peak", ">9", "fraction_of_peak", ".1%"),
    ("peak", ">8", "peak_gflops_per_second_before", ",.0f"),
    ("compile s", ">11", "compile_seconds", ".1f"),
    ("faults", ">9", "page_faults_per_step", ",.0f"), ("MiB", ">7", "memory_mib", ",.0f"),
    ("process MiB", ">13", "peak_memory_mib", ",.0f"))
NO_SWEEP = f"plot needs measurements of a sweep: --sweep={','.join(jobs.SWEEPS)}"


def _define_flags():
    flags.DEFINE_list("configs", None, f"among {', '.join(jobs.CONFIGS)}; by default all, or none "
                      "where there is a sweep")
    flags.DEFINE_list("modes", ["xla"], f"among {', '.join(jobs.MODES)}")
    flags.DEFINE_list("tasks", list(jobs.TASKS), f"among {', '.join(jobs.TASKS)}")
    flags.DEFINE_list("sweep", ["none"], f"among {', '.join(jobs.SWEEPS)}: how speed changes as "
                      "one setting of the article's configuration grows")
    flags.DEFINE_integer("unroll", TrainConfig.unroll, "as train.py's")
    flags.DEFINE_integer("steps_per_call", TrainConfig.steps_per_call, "as train.py's")
    flags.DEFINE_float("seconds", 3.0, "of steady work per measurement, about; compiling and the "
                       "peak come on top")
    flags.DEFINE_bool("peak", True, "measure the machine's matmul peak before and after each")
    flags.DEFINE_string("json", None, "a file for all measurements, written again after each")
    flags.DEFINE_string("plot", None, "a .png to draw the sweeps to")
    flags.DEFINE_string("from_json", None, "measure nothing: print and draw what --json wrote")


def _heading(machine):
    """The first lines of the table: the machine, and the names of the columns."""
    device, cores = machine["device"], f"{machine['cpu_cores']} CPU cores"
    parts = [cores, device] if machine["kind"] == "CPU" else [devices.with_article(device), cores]
    heads = "".join(f"{head:{width}}" for head, width, _, _ in COLUMNS)
    return f"On {', '.join(parts)}, TensorFlow {machine['tensorflow']}\n{heads}"


def _row(record):
    """One line of the table, with a dash for what was not measured."""
    text = "".join(format("-" if record[field] is None else format(record[field], form), width)
                   for _, width, field, form in COLUMNS)
    if record["disturbed"]:
        text += f"  disturbed: after it the peak was {record['peak_gflops_per_second_after']:,.0f}"
    return text


def _plot(path, records):
    """Draws how speed and the share of the peak change, one column per sweep."""
    lines = collections.defaultdict(list)
    for record in records:
        if record["sweep"]:
            lines[record["sweep"], f"{record['task']}, {record['mode']}"].append(record)
    if not lines:
        raise ConfigError(NO_SWEEP)
    sweeps = [name for name in jobs.SWEEPS if any(name == sweep for sweep, _ in lines)]
    with curves.subplots(path, 2, len(sweeps), figsize=(1 + 4 * len(sweeps), 6), squeeze=False,
                         sharex="col", sharey="row") as axes:
        for (sweep, label), line in lines.items():
            upper, lower = axes[:, sweeps.index(sweep)]
            field, _ = jobs.SWEEPS[sweep]
            x = [record[field] for record in line]
            upper.plot(x, [record["images_per_second"] for record in line], "o-", label=label)
            lower.plot(x, [100 * (record["fraction_of_peak"] or math.nan) for record in line], "o-")
            upper.set_xscale("log", base=2)
            upper.set_xticks(x, [str(value) for value in x])
            lower.set_xlabel(field)
        axes[0, 0].set(ylabel="images/s", yscale="log")
        axes[1, 0].set(ylabel="% of the matmul peak", ylim=(0, None))
        axes[0, 0].legend()


def _read(path):
    """Reads and prints the report that `--json` wrote."""
    try:
        report = json.loads(local_path(path, "from_json").read_text(encoding="utf-8"))
        for record in report["records"]:
            if record["sweep"]:
                record[jobs.SWEEPS[record["sweep"]][0]]  # which a plot needs
        table = "\n".join([_heading(report["machine"]), *map(_row, report["records"])])
    except OSError as error:
        raise ConfigError(f"from_json {path} cannot be read: {why(error)}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"from_json {path} was not written by --json: {error!r}") from error
    print(table)
    return report


def _measure(given):
    """Measures, prints and writes what the flags ask for: a report as `_read` returns it."""
    if given.seconds <= 0:
        raise ConfigError(f"seconds must be above 0, got {given.seconds}")
    sweeps = [sweep for sweep in given.sweep if sweep != "none"]
    if given.plot and not sweeps:
        raise ConfigError(NO_SWEEP)
    configs = given.configs
    if configs is None:
        configs = [] if sweeps else jobs.CONFIGS
    chosen = jobs.make_jobs(configs, given.modes, given.tasks, sweeps, unroll=given.unroll,
                            steps_per_call=given.steps_per_call)
    if not chosen:
        raise ConfigError("configs, modes and tasks must name at least one each")
    if unused := devices.unused_card():
        print(unused)
    report: dict = {"machine": measure.machine(), "records": []}
    print(_heading(report["machine"]), flush=True)
    for job in chosen:
        report["records"].append(measure.measure_apart(job, given.seconds, given.peak))
        print(_row(report["records"][-1]), flush=True)
        if given.json:
            write_json(given.json, report)
    return report


@commands.command(_define_flags)
def command(given: flags.FlagValues) -> None:
    """Prints a report, measured or read, and writes what the flags name."""
    if given.plot:
        check_output("plot", given.plot, ".png")
        curves.pyplot()  # so that a missing package is reported before the work
    if given.json:
        check_output("json", given.json)
    report = _read(given.from_json) if given.from_json else _measure(given)
    if given.plot:
        _plot(given.plot, report["records"])


if __name__ == "__main__":
    command()
