"""python -m draw_tf.benchmark: the table, the files it writes and reads, and what it refuses."""

import json
import math
import re

import pytest
from matplotlib.axes import Axes

from draw_tf import devices
from draw_tf.benchmark import jobs, measure
from draw_tf.benchmark.measure import Times
from draw_tf.errors import DRAWError
from tests.support.cli import ROOT, run_module

MACHINE = {"kind": "CPU", "device": "a processor", "cpu_cores": 2, "tensorflow": "2.21.0"}


def record_of(job, seconds=0.1, peaks=(100.0, 100.0)):
    return measure.record(job, Times(12.34, [seconds], 1, 4321.0), peaks, 678.0, 910.0)


def sweep_report(peaks=(100.0, 100.0)):
    """A report of made-up times of all sweeps."""
    made = jobs.make_jobs(["article"], ["xla"], jobs.TASKS, jobs.SWEEPS)
    return {"machine": MACHINE, "records": [
        record_of(job, 0.1 * n, peaks) for n, job in enumerate(made, 1)]}


@pytest.fixture
def measured(monkeypatch):
    """Replaces each measurement by a made-up record; the list of what was to be measured."""
    calls = []

    def measure_apart(job, *arguments):
        calls.append((str(job), job.unroll, job.config.steps_per_call, *arguments))
        return record_of(job)

    monkeypatch.setattr(measure, "machine", lambda: MACHINE)
    monkeypatch.setattr(devices, "unused_card", lambda: None)
    monkeypatch.setattr(measure, "measure_apart", measure_apart)
    return calls


def run(*arguments):
    return run_module("draw_tf.benchmark", *arguments)


def columns(text):
    """The cells of each line of a table but for the machine's; two blanks or more part them."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[1:]]


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- measuring


def test_it_measures_prints_and_writes(measured, tmp_path, capsys):
    path = tmp_path / "speed.json"
    assert run("--modes=graph,xla", "--configs=paper", "--tasks=generate", "--unroll=7",
               "--steps_per_call=3", "--seconds=0.5", "--nopeak", f"--json={path}") == 0
    assert measured == [("paper, graph, generate", 7, 3, 0.5, False),
                        ("paper, xla, generate", 7, 3, 0.5, False)]
    printed = capsys.readouterr().out
    assert printed.startswith("On 2 CPU cores, a processor, TensorFlow 2.21.0\n")
    report = json.loads(path.read_text())
    assert report["machine"] == MACHINE
    assert [record["mode"] for record in report["records"]] == ["graph", "xla"]
    assert run(f"--from_json={path}") == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("flags, expected", [
    ([], ["article, xla, train", "article, xla, generate", "paper, xla, train",
          "paper, xla, generate"]),
    (["--sweep=size", "--tasks=train"], [f"size={n}, xla, train" for n in (64, 128, 256, 512,
                                                                           1024)]),
    (["--sweep=none", "--configs=article", "--tasks=train"], ["article, xla, train"])])
def test_what_is_measured_by_default(flags, expected, measured):
    assert run(*flags) == 0
    assert [name for name, *_ in measured] == expected


def test_what_was_measured_before_a_failure_is_kept(measured, monkeypatch, tmp_path, capsys):
    made_up = measure.measure_apart

    def fail_later(job, *arguments):
        if job.task == "generate":
            raise DRAWError("there is too little memory")
        return made_up(job, *arguments)

    monkeypatch.setattr(measure, "measure_apart", fail_later)
    assert run("--configs=article", f"--json={tmp_path / 'speed.json'}") == 1
    [record] = json.loads((tmp_path / "speed.json").read_text())["records"]
    assert record["task"] == "train"
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and err.endswith(": there is too little memory\n")


# ---------------------------------------------------------------- the table


def test_each_column_shows_its_field(measured, capsys):
    assert run("--configs=article", "--tasks=train") == 0
    heads, cells = columns(capsys.readouterr().out)
    shown = dict(zip(["configuration", *heads], cells, strict=True))
    gflops = 640 * 52.46e-3
    assert shown == {
        "configuration": "article", "mode": "xla", "task": "train", "ms/step": "12.50",
        "spread": "0%", "images/s": "5,120", "GFLOP/s": f"{8 * gflops:.1f}",
        "of peak": f"{8 * gflops:.1f}%", "peak": "100", "compile s": "12.3", "faults": "540",
        "MiB": "678", "process MiB": "910"}


@pytest.mark.parametrize("peaks, last", [
    ((100.0, 150.0), "disturbed: after it the peak was 150"), ((100.0, 101.0), "910")])
def test_a_disturbed_row_is_marked(peaks, last, monkeypatch, measured, capsys):
    monkeypatch.setattr(measure, "measure_apart", lambda job, *_: record_of(job, peaks=peaks))
    assert run("--configs=article", "--tasks=train") == 0
    assert columns(capsys.readouterr().out)[-1][-1] == last


def test_a_dash_stands_for_what_was_not_measured(tmp_path, capsys):
    report = sweep_report(peaks=(None, None))
    for record in report["records"]:
        record.update(page_faults_per_step=None, peak_memory_mib=None)
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(report))
    assert run(f"--from_json={path}") == 0
    heads, *rows = columns(capsys.readouterr().out)
    dashes = {"of peak", "peak", "faults", "process MiB"}
    for cells in rows:
        shown = dict(zip(["configuration", *heads], cells, strict=True))
        assert {name for name in shown if shown[name] == "-"} == dashes


@pytest.mark.parametrize("path", sorted((ROOT / "assets" / "results").glob("benchmark_cpu*.json")),
                         ids=lambda path: path.name)
def test_the_results_in_the_repository_can_be_read(path, capsys):
    assert run(f"--from_json={path}") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(
        json.loads(path.read_text())["records"])


# ---------------------------------------------------------------- the plot


@pytest.fixture
def drawn(monkeypatch):
    """The lines that are drawn: label, x and y of each."""
    lines, draw = [], Axes.plot

    def plot(axes, x, y, *arguments, label="", **keywords):
        lines.append((label, x, y))
        return draw(axes, x, y, *arguments, label=label, **keywords)

    monkeypatch.setattr(Axes, "plot", plot)
    return lines


def test_sweeps_are_drawn_from_a_file(drawn, tmp_path):
    report = sweep_report(peaks=(None, None))
    (tmp_path / "speed.json").write_text(json.dumps(report))
    assert run(f"--from_json={tmp_path / 'speed.json'}", f"--plot={tmp_path / 'growth.png'}") == 0
    assert is_png(tmp_path / "growth.png")
    assert [label for label, *_ in drawn[::2]] == ["train, xla", "generate, xla"] * 3
    assert drawn[4][1] == drawn[6][1] == [2, 4, 8, 16, 32, 64]
    assert sorted(speed for _, _, y in drawn[::2] for speed in y) == sorted(
        record["images_per_second"] for record in report["records"] if record["sweep"])
    assert all(math.isnan(share) for _, _, y in drawn[1::2] for share in y)


def test_a_sweep_is_drawn_when_it_is_measured(drawn, measured, tmp_path):
    assert run("--sweep=glimpses", "--tasks=train", f"--plot={tmp_path / 'growth.png'}") == 0
    assert is_png(tmp_path / "growth.png")
    (_, _, speeds), (_, _, shares) = drawn
    assert speeds == [5120.0] * 6
    records = [record_of(job) for job in jobs.make_jobs([], ["xla"], ["train"], ["glimpses"])]
    assert shares == [100 * record["fraction_of_peak"] for record in records]


def test_without_a_sweep_nothing_is_drawn(tmp_path, capsys):
    report = sweep_report()
    report["records"] = [record for record in report["records"] if not record["sweep"]]
    (tmp_path / "speed.json").write_text(json.dumps(report))
    assert run(f"--from_json={tmp_path / 'speed.json'}", f"--plot={tmp_path / 'growth.png'}") == 1
    assert "plot needs measurements of a sweep" in capsys.readouterr().err
    assert not (tmp_path / "growth.png").exists()


# ---------------------------------------------------------------- what it refuses


def refusal(capsys, *arguments):
    """The one sentence that the command ends with."""
    assert run(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.rstrip("\n")


@pytest.mark.parametrize("content", ["{", "[]", '{"machine": {}, "records": []}',
                                     '{"machine": {}, "records": [1]}'])
def test_a_file_of_something_else_is_refused(content, tmp_path, capsys):
    path = tmp_path / "speed.json"
    path.write_text(content)
    assert f": from_json {path} was not written by --json: " in refusal(capsys,
                                                                        f"--from_json={path}")


@pytest.mark.parametrize("missing", ["sweep", "glimpses"])
def test_a_file_without_what_a_plot_needs_is_refused(missing, tmp_path, capsys):
    report = sweep_report(peaks=(None, None))
    for record in report["records"]:
        del record[missing]
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(report))
    assert f"was not written by --json: KeyError('{missing}')" in refusal(
        capsys, f"--from_json={path}", f"--plot={tmp_path / 'growth.png'}")


def test_a_file_that_does_not_exist_is_refused(tmp_path, capsys):
    path = tmp_path / "speed.json"
    assert refusal(capsys, f"--from_json={path}").endswith(
        f": from_json {path} cannot be read: No such file or directory")


@pytest.mark.parametrize("flag, message", [
    ("--configs=rnn", "configs must be among article, paper, got 'rnn'"),
    ("--configs=", "configs, modes and tasks must name at least one each"),
    ("--seconds=0", "seconds must be above 0, got 0.0"),
    ("--unroll=-1", "unroll must be a whole number of at least 0, got -1"),
    ("--plot=growth.png", "plot needs measurements of a sweep: --sweep=batch,glimpses,size"),
    ("--plot=growth.pdf", "plot must end in .png, got 'growth.pdf'"),
    ("--json=missing/speed.json", "json cannot be written: missing is not a folder that can be "
     "written to")])
def test_bad_flags_are_refused_in_a_sentence(flag, message, measured, capsys, tmp_path,
                                             monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, flag).endswith(f": {message}")
    assert not measured
