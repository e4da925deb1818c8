"""What a measurement is made of. Clocks and counters are replaced: no test knows a real speed."""

import dataclasses
import io
import json
import math
import re
import types
from concurrent.futures.process import BrokenProcessPool

import pytest
import tensorflow as tf

from draw_tf import commands
from draw_tf.benchmark import measure
from draw_tf.benchmark.jobs import MODES, TASKS, Job, matmul_flops
from draw_tf.benchmark.measure import Times
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import DRAWError

TINY = Job("tiny", DRAWConfig(glimpses=2, hidden_size=8, latent_size=3),
           TrainConfig(batch_size=4, steps_per_call=2), "graph", "train")
TIMES = Times(5.0, [0.4, 0.2, 0.3], 3, 30.0)  # of calls of two steps of four images


class Clock:
    """Stands in for the module `time`: it goes on only where a test says so."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    def call_of(self, *seconds):
        """A function whose calls take these seconds, and all later ones the last of them."""
        left = list(seconds)

        def call():
            self.now += left.pop(0) if len(left) > 1 else left[0]
        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    return clock


# ---------------------------------------------------------------- real measurements


@pytest.mark.parametrize("mode, task", [
    pytest.param("xla", "generate", marks=pytest.mark.slow), ("eager", "train")])
def test_a_job_is_measured(mode, task, monkeypatch):
    monkeypatch.setattr(measure, "matmul_peak", lambda: 2.0)
    job = dataclasses.replace(TINY, mode=mode, task=task)
    record = measure.measure(job, seconds=0.001)
    assert (record["mode"], record["task"], record["glimpses"]) == (mode, task, 2)
    for name in ("ms_per_step", "ms_per_step_min", "images_per_second", "gflops_per_second",
                 "fraction_of_peak", "peak_gflops_per_second_before",
                 "peak_gflops_per_second_after"):
        assert 0 < record[name] < math.inf, name
    for name in ("compile_seconds", "spread", "memory_mib", "peak_memory_mib",
                 "page_faults_per_step"):
        assert record[name] is None or 0 <= record[name] < math.inf, name
    json.dumps(record, allow_nan=False)


@pytest.mark.slow
def test_a_job_is_measured_in_a_quiet_process_of_its_own(monkeypatch, capfd):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    record = measure.measure_apart(TINY, 0.001, with_peak=False)
    assert (record["config"], record["mode"], record["task"]) == ("tiny", "graph", "train")
    assert record["ms_per_step"] > 0
    assert record["peak_gflops_per_second_before"] is record["fraction_of_peak"] is None
    written = "".join(capfd.readouterr())
    assert not re.search("tensorflow|cuda|onednn|absl", written, re.IGNORECASE), written


# ---------------------------------------------------------------- modes and tasks


@pytest.mark.parametrize("mode", MODES)
def test_training_is_measured_in_each_mode(mode, monkeypatch):
    calls = []

    class Trainer:
        def __init__(self, model_config, config):
            assert (model_config, config.batch_size) == (TINY.model_config, 4)
            self.jit_compile = config.jit_compile

        def train(self, batches, steps):
            calls.append((tf.config.functions_run_eagerly(), self.jit_compile, int(steps),
                          next(batches).shape))

    monkeypatch.setattr(measure, "Trainer", Trainer)
    measure.measure(dataclasses.replace(TINY, mode=mode), 0.001, with_peak=False)
    assert set(calls) == {(mode == "eager", mode == "xla", 1 if mode == "eager" else 2,
                           (4, 28, 28, 1))}
    assert len(calls) >= 2 + measure.WINDOWS
    assert not tf.config.functions_run_eagerly()  # left as it was


@pytest.mark.parametrize("mode", MODES)
def test_generation_is_measured_in_each_mode(mode, monkeypatch):
    made, calls = [], []

    class DRAW:
        def __init__(self, *arguments, dtype):
            made.append(arguments)

        def generate(self, num):
            calls.append((tf.executing_eagerly(), num))
            return types.SimpleNamespace(canvases=tf.zeros([2, num, 28, 28, 1]))

    def function(python_function, jit_compile):
        assert jit_compile == (mode == "xla")
        return tf_function(python_function)

    tf_function = tf.function
    monkeypatch.setattr(measure, "DRAW", DRAW)
    monkeypatch.setattr(tf, "function", function)
    job = dataclasses.replace(TINY, mode=mode, task="generate")
    measure.measure(job, 0.001, with_peak=False)
    assert made == [(job.model_config, job.unroll)]
    assert set(calls) == {(mode == "eager", 4)}
    assert (len(calls) > 1) == (mode == "eager")  # a graph is traced once


@pytest.mark.parametrize("task", TASKS)
def test_lack_of_memory_is_reported_in_a_sentence(task, monkeypatch):
    def fail(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(measure, "Trainer", lambda *_: None)
    monkeypatch.setattr(measure, "_time", fail)
    with pytest.raises(DRAWError, match=f"too little memory for tiny, eager, {task}"):
        measure.measure(dataclasses.replace(TINY, mode="eager", task=task), with_peak=False)
    assert not tf.config.functions_run_eagerly()


# ---------------------------------------------------------------- a process of its own


@pytest.fixture
def pool(monkeypatch):
    """Replaces the pool of processes by one that only notes what it is given."""

    class Pool:
        error = None

        def __init__(self, count, context, initializer):
            assert (count, context.get_start_method()) == (1, "spawn")
            self.given = [initializer]
            Pool.last = self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, *call):
            self.given.append(call)
            return self

        def result(self):
            if self.error:
                raise self.error
            return "a record"

    monkeypatch.setattr(measure, "ProcessPoolExecutor", Pool)
    return Pool


def test_the_process_allocates_as_the_commands_do(pool):
    assert measure.measure_apart(TINY, 2.0, False) == "a record"
    assert pool.last.given == [commands.keep_freed_memory, (measure.measure, TINY, 2.0, False)]


def test_a_process_that_dies_is_reported_in_a_sentence(pool):
    pool.error = BrokenProcessPool()
    with pytest.raises(DRAWError, match="the process that measured tiny, graph, train died"):
        measure.measure_apart(TINY)


# ---------------------------------------------------------------- clocks and counters


def test_the_first_call_is_timed_apart(clock):
    times = measure._time(clock.call_of(10.0, 0.5), seconds=7.0)
    assert times.compile_seconds == 9.5
    assert times.windows == [0.5] * measure.WINDOWS
    assert times.calls == 2


def test_a_slow_function_is_called_once_per_window(clock):
    times = measure._time(clock.call_of(10.0, 4.0, *range(1, 1 + measure.WINDOWS)), seconds=7.0)
    assert times.windows == list(range(1, 1 + measure.WINDOWS))
    assert times.calls == 1
    assert times.compile_seconds == 10 - 4


def test_page_faults_are_counted_in_the_windows_alone(clock, monkeypatch):
    usage = types.SimpleNamespace(ru_minflt=50, ru_majflt=7)
    monkeypatch.setattr(measure, "resource", types.SimpleNamespace(
        RUSAGE_SELF="self", getrusage={"self": usage}.get))
    faults = [10_000, 1_000]  # of the first two calls
    wait = clock.call_of(1.0, 0.5)

    def call():
        wait()
        usage.ru_minflt += faults.pop(0) if faults else 3
        usage.ru_majflt += 1
    assert measure._time(call, seconds=7.0).page_faults == 4


def test_a_system_without_counters(clock, monkeypatch):
    monkeypatch.setattr(measure, "resource", None)
    monkeypatch.setattr(measure, "open", no_such_file, raising=False)
    assert measure._process_memory() == (None, None)
    assert measure._time(clock.call_of(1.0), seconds=7.0).page_faults is None
    monkeypatch.setattr(measure, "device_kind", lambda: "CPU")
    assert measure._memory_watch()() is None
    record = measure.record(TINY, TIMES._replace(page_faults=None), (2.0, 2.0), None, None)
    assert record["page_faults_per_step"] is record["memory_mib"] is None
    assert record["peak_memory_mib"] is None


def no_such_file(*_, **__):
    raise FileNotFoundError


def test_memory_is_what_linux_says(monkeypatch):
    monkeypatch.setattr(measure, "open", raising=False, value=lambda *_, **__: io.StringIO(
        "Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"))
    assert measure._process_memory() == (1.0, 2.0)


@pytest.mark.parametrize("platform, unit", [("darwin", 2**20), ("freebsd", 2**10)])
def test_memory_is_what_other_systems_say(platform, unit, monkeypatch):
    monkeypatch.setattr(measure, "open", no_such_file, raising=False)
    monkeypatch.setattr(measure.sys, "platform", platform)
    monkeypatch.setattr(measure, "resource", types.SimpleNamespace(
        RUSAGE_SELF="self", getrusage=lambda _: types.SimpleNamespace(ru_maxrss=3 * unit)))
    assert measure._process_memory() == (3.0, 3.0)


def test_memory_is_that_of_the_work(monkeypatch):
    monkeypatch.setattr(measure, "device_kind", lambda: "CPU")
    held = [(100.0, 400.0), (150.0, 420.0)]
    monkeypatch.setattr(measure, "_process_memory", lambda: held.pop(0))
    assert measure._memory_watch()() == 320


def test_the_peak_is_the_best_of_several_products(clock, monkeypatch):
    product = clock.call_of(9.0, 2.0, 0.5, 1.0)
    monkeypatch.setattr(measure, "PEAK_SIDE", {"CPU": 32, "GPU": 32})
    monkeypatch.setattr(tf, "matmul", lambda a, b: product())
    assert measure.matmul_peak(seconds=3.0) == pytest.approx(2 * 32**3 / 0.5 / 1e9)


def test_the_machine_is_described():
    machine = json.loads(json.dumps(measure.machine()))
    assert machine["kind"] in ("CPU", "GPU")
    assert machine["device"] and machine["cpu_cores"] >= 1
    assert machine["tensorflow"] == tf.__version__


# ---------------------------------------------------------------- the record


def test_a_record_holds_what_follows_from_its_times():
    record = measure.record(TINY, TIMES, (2.0, 2.1), 12.0, 345.67)
    speed = 4 / 0.15
    gflops = speed * matmul_flops(TINY.model_config) / 1e9
    expected = dict(
        config="tiny", sweep="", mode="graph", task="train", batch_size=4, hidden_size=8,
        steps_per_call=2, steps_per_window=6, compile_seconds=5, ms_per_step=150,
        ms_per_step_min=100, page_faults_per_step=15, memory_mib=12, peak_memory_mib=345.7,
        peak_gflops_per_second_before=2, peak_gflops_per_second_after=2.1, disturbed=False)
    assert {name: record[name] for name in expected} == expected
    assert record["spread"] == pytest.approx(0.2 / 0.3, rel=1e-3)
    assert record["images_per_second"] == pytest.approx(speed, rel=1e-3)
    assert record["gflops_per_second"] == pytest.approx(gflops, rel=1e-3)
    assert record["fraction_of_peak"] == pytest.approx(gflops / 2.05, rel=1e-3)


@pytest.mark.parametrize("peaks, disturbed", [
    ((100, 109), False), ((109, 100), False), ((100, 111), True), ((111, 100), True),
    ((None, None), False)])
def test_peaks_that_differ_show_that_a_run_was_disturbed(peaks, disturbed):
    record = measure.record(TINY, TIMES, peaks, 1.0, 1.0)
    assert record["disturbed"] is disturbed
    assert (record["fraction_of_peak"] is None) == (peaks[0] is None)
