"""The benchmark: what it counts, that every mode runs, what it tells. No test asserts a time."""

import dataclasses
import functools
import json
import math
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig, TrainConfig, attention, benchmark, timing
from draw_tf.config import write_json
from draw_tf.errors import ConfigError, DRAWError
from draw_tf.speed import TASKS, matmul_flops
from tests.cli import ROOT, run_module
from tests.numerics import small_config

# the command is run a second time over in this process
pytestmark = pytest.mark.filterwarnings("ignore:'draw_tf.benchmark' found in sys.modules")

TINY = timing.Job("tiny", DRAWConfig(glimpses=2, hidden_size=8, latent_size=3),
                  TrainConfig(batch_size=4, steps_per_call=2), "graph", "train")
MACHINE = {"kind": "CPU", "device": "a processor", "cpu_cores": 2, "tensorflow": "2.21.0"}
ATTENTION = {"attention": {}, "no read attention": dict(read_attention=False),
             "no write attention": dict(write_attention=False),
             "none": dict(read_attention=False, write_attention=False)}


# ---------------------------------------------------------------- the count


@pytest.mark.parametrize("name, megaflops, digits", [("article", 52.46, 2), ("paper", 370.4, 1)])
def test_flops_of_the_two_configurations(name, megaflops, digits):
    config, _ = benchmark.CONFIGS[name]
    assert round(matmul_flops(config) / 1e6, digits) == megaflops


def flops_in(function, *specs):
    """Operations in the matrix products that the outputs of a traced function need."""
    graph = tf.function(function).get_concrete_function(*specs).graph
    found, waiting = set(), [tensor.op for tensor in graph.outputs]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    total = 0
    for op in found:
        if op.type in ("MatMul", "BatchMatMulV2"):
            turned = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
            summed = op.inputs[0].shape[-2 if turned else -1]
            total += 2 * math.prod(op.outputs[0].shape) * summed
    return total


@pytest.fixture
def attention_as_products(monkeypatch):
    """Reading and writing as the products of matrices that they are in the paper."""

    def read(image, Fx, Fy, gamma):
        planes = tf.transpose(image, [0, 3, 1, 2])  # [N, C, H, W]
        rows = tf.matmul(planes, Fx[:, tf.newaxis], transpose_b=True)  # [N, C, H, n]
        glimpse = tf.matmul(Fy[:, tf.newaxis], rows)  # [N, C, n, n]
        return tf.transpose(glimpse, [0, 2, 3, 1]) * gamma[:, :, tf.newaxis, tf.newaxis]

    def write(patch, Fx, Fy, gamma):
        planes = tf.transpose(patch / gamma[:, :, tf.newaxis, tf.newaxis], [0, 3, 1, 2])
        rows = tf.matmul(planes, Fx[:, tf.newaxis])  # [N, C, n, W]
        stroke = tf.matmul(Fy[:, tf.newaxis], rows, transpose_a=True)  # [N, C, H, W]
        return tf.transpose(stroke, [0, 2, 3, 1])  # [N, H, W, C]

    monkeypatch.setattr(attention, "read", read)
    monkeypatch.setattr(attention, "write", write)


@pytest.mark.parametrize("case", ATTENTION)
@pytest.mark.parametrize("equations", ["article", "paper"])
def test_flops_are_those_of_the_graph(equations, case, attention_as_products):
    config = small_config(image_shape=(7, 9, 3), glimpses=3, equations=equations,
                          **ATTENTION[case])
    model = DRAW(config)
    images = tf.TensorSpec([1, *config.image_shape])
    noise = tf.TensorSpec([config.glimpses, 1, config.latent_size])
    assert matmul_flops(config) == flops_in(
        lambda images, noise: model.bound_and_gradients(images, noise), images, noise)
    assert matmul_flops(config, "generate") == flops_in(
        lambda noise: model.generate(1, noise).canvases, noise)


# ---------------------------------------------------------------- measuring


@pytest.fixture
def quick_peak(monkeypatch):
    monkeypatch.setattr(timing, "PEAK_SIDE", {"CPU": 32, "GPU": 32})
    monkeypatch.setattr(timing, "matmul_peak", functools.partial(timing.matmul_peak, 0.01))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", timing.MODES)
def test_every_mode_of_every_task_is_measured(mode, task, quick_peak, monkeypatch):
    tf_function, compiled, eager = tf.function, [], []
    draw_step = DRAW.draw_step

    def watched_function(*args, jit_compile=None, **kwargs):
        compiled.append(jit_compile)
        return tf_function(*args, jit_compile=jit_compile, **kwargs)

    def watched_step(self, *args):
        eager.append(tf.executing_eagerly())
        return draw_step(self, *args)

    monkeypatch.setattr(tf, "function", watched_function)
    monkeypatch.setattr(DRAW, "draw_step", watched_step)
    job = dataclasses.replace(TINY, mode=mode, task=task)
    record = timing.measure(job, seconds=0.01)

    assert any(compiled) == (mode == "xla")
    assert set(eager) == {mode == "eager"}
    assert not tf.config.functions_run_eagerly()  # left as it was
    assert (record["mode"], record["task"], record["glimpses"]) == (mode, task, 2)
    for name in ("ms_per_step", "ms_per_step_min", "images_per_second", "gflops_per_second",
                 "fraction_of_peak", "peak_gflops_per_second_before",
                 "peak_gflops_per_second_after"):
        assert 0 < record[name] < math.inf, name
    for name in ("compile_seconds", "spread", "memory_mib"):
        assert 0 <= record[name] < math.inf, name
    json.dumps(record, allow_nan=False)


def test_a_record_holds_what_follows_from_its_times():
    windows = [0.4, 0.2, 0.3]  # seconds a call of two steps of four images
    record = timing.record(TINY, 5.0, windows, calls=3, memory_mib=12.0, peaks=[2.0, 2.1])
    speed = 4 / 0.15
    gflops = speed * matmul_flops(TINY.model_config) / 1e9
    assert {name: record[name] for name in (
        "compile_seconds", "ms_per_step", "ms_per_step_min", "memory_mib", "steps_per_window",
        "disturbed")} == dict(compile_seconds=5, ms_per_step=150, ms_per_step_min=100,
                              memory_mib=12, steps_per_window=6, disturbed=False)
    assert record["spread"] == pytest.approx(0.2 / 0.3, rel=1e-3)
    assert record["images_per_second"] == pytest.approx(speed, rel=1e-3)
    assert record["gflops_per_second"] == pytest.approx(gflops, rel=1e-3)
    assert record["fraction_of_peak"] == pytest.approx(gflops / 2.05, rel=1e-3)


@pytest.mark.parametrize("peaks, disturbed", [
    ((100, 109), False), ((109, 100), False), ((100, 111), True), ((111, 100), True),
    ((None, None), False)])
def test_peaks_that_differ_say_that_a_run_was_disturbed(peaks, disturbed):
    record = timing.record(TINY, 1.0, [0.1], 1, 1.0, peaks)
    assert record["disturbed"] is disturbed
    assert ("disturbed" in benchmark.row(record)) == disturbed
    assert (record["fraction_of_peak"] is None) == (peaks[0] is None)


def test_want_of_memory_is_told_in_a_sentence(quick_peak, monkeypatch):
    def fail(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(timing, "_time", fail)
    with pytest.raises(DRAWError, match="too little memory for tiny, eager, train"):
        timing.measure(dataclasses.replace(TINY, mode="eager"))
    assert not tf.config.functions_run_eagerly()


class Deadly:
    """Ends the process that it is sent to."""

    def __reduce__(self):
        return os._exit, (1,)

    def __str__(self):
        return "a deadly job"


def test_a_process_that_dies_is_told_in_a_sentence():
    with pytest.raises(DRAWError, match="the process that measured a deadly job died"):
        timing.measure_apart(Deadly())


# ---------------------------------------------------------------- what to measure


def test_jobs_cover_what_was_asked_for():
    jobs = benchmark.make_jobs(["article", "paper"], ["graph", "xla"], ["train"], [], unroll="3")
    assert [str(job) for job in jobs] == ["article, graph, train", "article, xla, train",
                                          "paper, graph, train", "paper, xla, train"]
    assert {job.unroll for job in jobs} == {3}
    assert [job.config.batch_size for job in jobs] == [64, 64, 100, 100]


@pytest.mark.parametrize("sweep", benchmark.SWEEPS)
def test_a_sweep_changes_one_thing_alone(sweep):
    [article] = benchmark.make_jobs(["article"], ["xla"], ["train"], [])
    jobs = benchmark.make_jobs([], ["xla"], ["train"], [sweep])
    field, values = benchmark.SWEEPS[sweep]
    seen = []
    for job in jobs:
        fields = {**dataclasses.asdict(job.model_config), **dataclasses.asdict(job.config)}
        same = {**dataclasses.asdict(article.model_config), **dataclasses.asdict(article.config)}
        assert {name for name in fields if fields[name] != same[name]} <= {field}
        assert job.sweep == sweep and job.name == f"{sweep}={fields[field]}"
        seen.append(fields[field])
    assert seen == list(values)[:len(seen)] and len(seen) >= 5


@pytest.mark.parametrize("wrong, message", [
    (dict(configs=["rnn"]), "configs must be among article, paper, got 'rnn'"),
    (dict(modes=["fast"]), "modes must be among eager, graph, xla, got 'fast'"),
    (dict(tasks=["sleep"]), "tasks must be among train, generate, got 'sleep'"),
    (dict(sweeps=["noise"]), "sweep must be among batch, glimpses, size, got 'noise'"),
    (dict(unroll="0"), "unroll must be auto or a whole number of at least 1, got '0'")])
def test_what_is_not_known_is_refused(wrong, message):
    known = dict(configs=["article"], modes=["xla"], tasks=["train"], sweeps=[])
    with pytest.raises(ConfigError, match=message):
        benchmark.make_jobs(**{**known, **wrong})


# ---------------------------------------------------------------- the command


def sweep_report(peaks=(100.0, 100.0)):
    """A report of made-up times of all sweeps."""
    jobs = benchmark.make_jobs(["article"], ["xla"], TASKS, benchmark.SWEEPS)
    return {"machine": MACHINE, "records": [
        timing.record(job, 1.0, [0.1 * n], 1, 100.0, peaks) for n, job in enumerate(jobs, 1)]}


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("peaks", [(100.0, 100.0), (None, None)])
def test_growth_is_drawn(peaks, tmp_path):
    benchmark.plot(tmp_path / "growth.png", sweep_report(peaks)["records"])
    assert is_png(tmp_path / "growth.png")


def test_nothing_swept_can_not_be_drawn(tmp_path):
    records = [record for record in sweep_report()["records"] if not record["sweep"]]
    with pytest.raises(ConfigError, match="plot needs measurements of a sweep"):
        benchmark.plot(tmp_path / "growth.png", records)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[]", '{"machine": {}, "records": []}'])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "speed.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="speed.json is no file that --json wrote"):
        benchmark.read_report(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="speed.json can not be read: No such file"):
        benchmark.read_report(tmp_path / "speed.json")


def test_the_command_measures_and_writes(tmp_path):
    done = subprocess.run(  # as it is run in earnest, with a process for each measurement
        [sys.executable, "-m", "draw_tf.benchmark", "--configs=article", "--modes=graph",
         "--tasks=generate", "--seconds=0.01", f"--json={tmp_path / 'speed.json'}"],
        cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = benchmark.read_report(tmp_path / "speed.json")
    assert done.stdout.strip() == benchmark.table(report)
    assert report["machine"] == json.loads(json.dumps(timing.machine()))
    [record] = report["records"]
    assert (record["config"], record["batch_size"], record["mode"], record["task"]) == (
        "article", 64, "graph", "generate")
    assert record["peak_gflops_per_second_before"] > 0
    assert record["memory_mib"] > 0


def test_the_command_draws_what_was_measured_before(tmp_path, capsys):
    report = sweep_report()
    write_json(tmp_path / "speed.json", report)
    assert run_module("draw_tf.benchmark", f"--from_json={tmp_path / 'speed.json'}",
                      f"--plot={tmp_path / 'growth.png'}") == 0
    assert capsys.readouterr().out.strip() == benchmark.table(report)
    assert is_png(tmp_path / "growth.png")


@pytest.mark.parametrize("flag, message", [
    ("--configs=rnn", "configs must be among article, paper, got 'rnn'"),
    ("--configs=", "configs, modes and tasks must name at least one each"),
    ("--seconds=0", "seconds must be above 0, got 0.0"),
    ("--plot=growth.png", "plot needs measurements of a sweep: --sweep=batch,glimpses,size"),
    ("--plot=growth.pdf", "plot must end in .png, got 'growth.pdf'")])
def test_the_command_refuses_in_a_sentence(flag, message, capsys):
    assert run_module("draw_tf.benchmark", flag) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.endswith(f": {message}\n") and told.err.count("\n") == 1
