"""How fast training and generation run on this machine, beside its own matmul peak.

`measure` turns a Job into a record, a flat dictionary that goes into JSON as it is.
`measure_apart` does so in a process of its own, whose compile time and memory are the job's alone.
"""

import contextlib
import dataclasses
import importlib.metadata
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf

from draw_tf import commands, data
from draw_tf.benchmark.jobs import Job, matmul_flops
from draw_tf.devices import cpu_cores, device_kind, gpu_names
from draw_tf.errors import DRAWError
from draw_tf.models.draw import DRAW
from draw_tf.training.trainer import Trainer

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # as if it were a module

WINDOWS = 7  # stretches of time, whose median is reported
PEAK_SIDE = {"CPU": 1536, "GPU": 8192}  # of the square matrices that the peak is measured with
DISTURBED = 0.1  # by how much of the lower the two peaks of a quiet machine may differ


class Times(NamedTuple):
    """How long the calls of a function took: the first, and more in WINDOWS windows."""

    compile_seconds: float  # of the first call, beyond a later one
    windows: list[float]  # seconds per call
    calls: int  # in each window
    page_faults: float | None  # per call in the windows; None where they are not counted


def machine() -> dict:
    """The machine: its device in words, the CPU cores this process may use, and versions."""
    names = gpu_names()
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        names += [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    device = names[0] if names else platform.processor() or platform.machine()
    return {"kind": device_kind(), "device": device, "cpu_cores": cpu_cores(),
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}}


def matmul_peak(seconds: float = 0.5) -> float:
    """GFLOP/s of a large product of float32 matrices, the best of those made in about `seconds`.

    TensorFlow makes it with TensorFloat-32 factors on GPUs that have them.
    """
    side = PEAK_SIDE[device_kind()]
    a, b = tf.random.normal([2, side, side])  # [side, side] each
    _seconds(lambda: tf.matmul(a, b))  # the first does not count
    times, end = list[float](), time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        times.append(_seconds(lambda: tf.matmul(a, b)))
    return 2 * side**3 / min(times) / 1e9


def _process_memory():
    """MiB that this process holds, and the most it ever held; None where it is not known."""
    # on Linux, ru_maxrss begins at what the parent process held
    with (contextlib.suppress(OSError, LookupError),
          open("/proc/self/status", encoding="utf-8") as file):
        fields = dict(line.split(":", 1) for line in file)
        return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    if resource is None:
        return None, None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (most / (2**20 if sys.platform == "darwin" else 2**10),) * 2


def _page_faults():
    """How often the system had to give this process a page of memory; None if not known."""
    usage = resource and resource.getrusage(resource.RUSAGE_SELF)
    return usage and usage.ru_minflt + usage.ru_majflt


def _memory_watch():
    """Returns a function for the most MiB taken since this call, compilations included."""
    if device_kind() == "GPU":
        tf.config.experimental.reset_memory_stats("GPU:0")
        return lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    before, _ = _process_memory()
    # the kernel's count of the most lags a little
    return lambda: None if before is None else max(0.0, _process_memory()[1] - before)


def _seconds(call, times=1):
    """How long it takes to call a function a number of times, the device's work included."""
    started = time.perf_counter()
    for _ in range(times):
        call()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - started


def _time(call, seconds):
    """The `Times` of `call()`, in about `seconds`; each window has at least one call."""
    first = _seconds(call)
    calls = max(1, round(seconds / WINDOWS / _seconds(call)))
    before = _page_faults()
    windows = [_seconds(call, calls) / calls for _ in range(WINDOWS)]
    faults = None if before is None else (_page_faults() - before) / (WINDOWS * calls)
    return Times(max(0.0, first - statistics.median(windows)), windows, calls, faults)


def _task(job):
    """A function that trains for `job.steps_per_call` steps, or draws a batch from the prior."""
    config = dataclasses.replace(job.config, jit_compile=job.mode == "xla")
    if job.task == "generate":
        model = DRAW(job.model_config, job.unroll, dtype="float32")
        return tf.function(lambda: model.generate(config.batch_size).canvases,
                           jit_compile=config.jit_compile)
    trainer = Trainer(job.model_config, config)
    batches = iter(data.train_dataset(data.load("digits", "train"), seed=config.seed,
                                      batch_size=config.batch_size))
    steps = tf.constant(job.steps_per_call)
    return lambda: trainer.train(batches, steps)


def measure(job: Job, seconds: float = 3.0, with_peak: bool = True) -> dict:
    """Measures a job in this process, and with it the matmul peak, before and after.

    Steady work takes about `seconds`, and at least nine calls of `job.steps_per_call` steps;
    compiling comes on top. Returns the `record`; raises DRAWError where memory is too small.
    """
    peak = matmul_peak if with_peak else lambda: None
    try:
        before, memory = peak(), _memory_watch()
        call = _task(job)
        tf.config.run_functions_eagerly(job.mode == "eager")
        times = _time(call, seconds)
        memory_mib = memory()
        return record(job, times, (before, peak()), memory_mib, _process_memory()[1])
    except tf.errors.ResourceExhaustedError as error:
        raise DRAWError(f"there is too little memory for {job}") from error
    finally:
        tf.config.run_functions_eagerly(False)


def measure_apart(job: Job, seconds: float = 3.0, with_peak: bool = True) -> dict:
    """`measure` in a new process, which holds no memory and no programs of this one.

    Call it before anything here touches a GPU, whose memory this process would take, and from a
    main module that can be imported again.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"),
                                 commands.keep_freed_memory) as pool:  # as `train.py` does
            return pool.submit(measure, job, seconds, with_peak).result()
    except BrokenProcessPool as error:
        raise DRAWError(f"the process that measured {job} died, most likely for lack of memory"
                        ) from error


def record(job: Job, times: Times, peaks: Sequence[Any], memory_mib: float | None,
           peak_memory_mib: float | None) -> dict:
    """What a measurement found: names, whole numbers, and numbers of four digits.

    A call is of `job.steps_per_call` steps, each of training or a batch generated. The peaks are
    those before and after, or None and None; memory is in MiB, or None.
    """
    windows = [window / job.steps_per_call for window in times.windows]  # seconds per step
    step, faults = statistics.median(windows), times.page_faults
    before, after = peaks
    images_per_second = job.config.batch_size / step
    gflops = matmul_flops(job.model_config, job.task) * images_per_second / 1e9
    fields = {
        "config": job.name, "sweep": job.sweep, "mode": job.mode, "task": job.task,
        "batch_size": job.config.batch_size, **dataclasses.asdict(job.model_config),
        "unroll": job.unroll, "steps_per_call": job.steps_per_call,
        "steps_per_window": times.calls * job.steps_per_call,
        "compile_seconds": times.compile_seconds,  # of tracing and compiling
        "ms_per_step": 1000 * step,  # the median of the windows; the speeds follow from it
        "ms_per_step_min": 1000 * min(windows),
        "spread": (max(windows) - min(windows)) / step,  # the range as a share of the median
        "images_per_second": images_per_second,
        "gflops_per_second": gflops,  # of the operations that `matmul_flops` counts
        "peak_gflops_per_second_before": before, "peak_gflops_per_second_after": after,
        "fraction_of_peak": gflops / statistics.mean(peaks) if before else None,
        "page_faults_per_step": None if faults is None else faults / job.steps_per_call,
        # the most that TensorFlow held on a GPU; on a CPU, by how much the process grew at most
        "memory_mib": memory_mib,
        "peak_memory_mib": peak_memory_mib,  # of the process since it began
        "disturbed": bool(before) and max(peaks) > (1 + DISTURBED) * min(peaks),
    }
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in fields.items()}
