"""How fast training and generation run on this machine, beside its own matmul peak.

A measurement is described by a Job and told as a record, a flat dictionary that goes into JSON as
it is. `measure_apart` makes each in a process of its own, so that its compile time and memory are
its own too, and whatever becomes of it the others stand.
"""

from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
import contextlib
import dataclasses
import functools
import importlib.metadata
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time

import tensorflow as tf

from draw_tf import data
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import DRAWError
from draw_tf.model import DRAW, auto_unroll
from draw_tf.speed import images_per_second, matmul_flops
from draw_tf.trainer import Trainer

MODES = ("eager", "graph", "xla")
WINDOWS = 7  # stretches of time whose median is told
PEAK_SIDE = {"CPU": 1536, "GPU": 8192}  # of the square matrices that the peak is measured with
DISTURBED = 0.1  # by how much of the lower the two peaks of a quiet machine may differ
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
      name: of the configuration, such as "article" or "batch=128".
      model_config: DRAWConfig, for images like the digits that ship with the package.
      config: TrainConfig, of which batch_size, unroll and steps_per_call matter.
      mode: one of MODES: eager, tf.function, or tf.function compiled with XLA.
      task: "train": steps as `train.py` makes them, from the data pipeline to the update; or
        "generate": batches of new images, every step of their drawing kept.
      sweep: what grows from job to job, "" where nothing does.
    """

    name: str
    model_config: DRAWConfig
    config: TrainConfig
    mode: str
    task: str
    sweep: str = ""

    def __str__(self):
        return f"{self.name}, {self.mode}, {self.task}"

    @property
    def unroll(self):
        """How many steps are unrolled in the program."""
        glimpses, unroll = self.model_config.glimpses, self.config.unroll
        return auto_unroll(glimpses) if unroll == "auto" else min(int(unroll), glimpses)

    @property
    def steps_per_call(self):
        """Steps between two returns to Python; without a graph it is never left."""
        in_graph = self.task == "train" and self.mode != "eager"
        return self.config.steps_per_call if in_graph else 1


# ---------------------------------------------------------------- the machine


def device_kind():
    """What TensorFlow computes on here: "GPU", or "CPU" where there is none."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def _device_name():
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine():
    """What was measured on: the device in words, CPU cores for this process, and versions."""
    # where an operating system can say so, only the cores this process may use
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"kind": device_kind(), "device": _device_name(), "cpu_cores": cores,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}}


def matmul_peak(seconds=0.5):
    """The machine's speed at one large product of float32 matrices, the best of several.

    It is float32 as TensorFlow computes it: on GPUs that have it, with TensorFloat-32 factors.

    Args:
      seconds: how long to try, after a first product that does not count.

    Returns:
      GFLOP/s.
    """
    side = PEAK_SIDE[device_kind()]
    a, b = tf.random.normal([2, side, side])  # [side, side] each
    product = functools.partial(tf.matmul, a, b)
    _seconds(product)
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        times.append(_seconds(product))
    return 2 * side**3 / min(times) / 1e9


def _process_memory():
    """MiB that this process holds, and the most it ever held."""
    # getrusage would do for the latter, did it not start at what the parent process held on Linux
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return [int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")]
    except (OSError, KeyError):  # there is none but on Linux
        unit = 1 if sys.platform == "darwin" else 1024
        return [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB] * 2


@contextlib.contextmanager
def _memory_watch():
    """Yields a function: MiB that what ran inside took at most, its compilation included."""
    if device_kind() == "GPU":
        tf.config.experimental.reset_memory_stats("GPU:0")
        yield lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"] / _MIB
    else:
        before, _ = _process_memory()
        # the kernel counts the most a little behind what there is
        yield lambda: max(0.0, _process_memory()[1] - before)


# ---------------------------------------------------------------- one measurement


def _seconds(call):
    """How long `call()` takes, the device's work included."""
    started = time.perf_counter()
    call()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - started


def _time(call, seconds):
    """Times a function: its first call apart, the others in windows.

    Args:
      call: takes no arguments.
      seconds: for all windows together; each has at least one call.

    Returns:
      compile_seconds, what the first call took beyond another; windows, WINDOWS times in seconds
      a call; and how many calls a window has.
    """
    first = _seconds(call)
    calls = max(1, round(seconds / WINDOWS / _seconds(call)))
    windows = [_seconds(lambda: [call() for _ in range(calls)]) / calls for _ in range(WINDOWS)]
    return max(0.0, first - statistics.median(windows)), windows, calls


def _training(job):
    """A function that trains for `job.steps_per_call` steps, data pipeline and all."""
    jit_compile = "true" if job.mode == "xla" else "false"
    trainer = Trainer(job.model_config, dataclasses.replace(job.config, jit_compile=jit_compile))
    batches = iter(data.train_dataset(data.load("digits", "train"), seed=job.config.seed,
                                      batch_size=job.config.batch_size))
    steps = tf.constant(job.steps_per_call)
    return lambda: trainer.train(batches, steps)


def _generation(job):
    """A function that draws a batch from the prior, [T, N, H, W, C]."""
    model = DRAW(job.model_config, job.unroll)
    return tf.function(lambda: model.generate(job.config.batch_size).canvases,
                       jit_compile=job.mode == "xla")


def measure(job, seconds=3.0, with_peak=True):
    """Makes a measurement in this process.

    Args:
      job: Job.
      seconds: of steady work, about; compiling comes on top, and there are at least
        nine calls, of `job.steps_per_call` steps each.
      with_peak: measure the matmul peak too, before and after.

    Returns:
      `record` of it.

    Raises:
      DRAWError: there is too little memory.
    """
    peak = matmul_peak if with_peak else lambda: None
    try:
        peaks = [peak()]
        with _memory_watch() as memory:
            call = {"train": _training, "generate": _generation}[job.task](job)
            tf.config.run_functions_eagerly(job.mode == "eager")
            times = _time(call, seconds)
            memory_mib = memory()
        peaks.append(peak())
    except tf.errors.ResourceExhaustedError as error:
        raise DRAWError(f"there is too little memory for {job}") from error
    finally:
        tf.config.run_functions_eagerly(False)
    return record(job, *times, memory_mib, peaks)


def measure_apart(job, seconds=3.0, with_peak=True):
    """`measure` in a new process: nothing of this one's memory and programs is in it.

    Call it from where the main module can be imported again, and before anything here touches a
    GPU, whose memory it would take away.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(measure, job, seconds, with_peak).result()
    except BrokenProcessPool as error:
        raise DRAWError(f"the process that measured {job} died, most likely for want of memory"
                        ) from error


def _digits(number):
    """The number to four digits, which is more than can be measured; None stays None."""
    return None if number is None else float(f"{number:.4g}")


def record(job, compile_seconds, windows, calls, memory_mib, peaks):
    """What a measurement found.

    A step is one of training, or a batch generated. `compile_seconds` is what the first call took
    beyond a later one: tracing and compiling. `ms_per_step` is the median of the windows and
    `spread` their range as a share of it; speeds are those of the median. `gflops_per_second`
    counts `speed.matmul_flops`, and `fraction_of_peak` is its share of the two peaks' mean.
    `disturbed` says that the peaks differ too much for any of it to be trusted. `memory_mib` is
    the most that TensorFlow held on a GPU; on a CPU, by how much the process grew at most.

    Args:
      job: Job.
      compile_seconds, windows, calls: as `_time` gives them.
      memory_mib: as `_memory_watch` gives it.
      peaks: GFLOP/s of `matmul_peak` before and after; None and None where it was not measured,
        and so is then what needs it.

    Returns:
      A dictionary of names, whole numbers, and numbers of four digits.
    """
    windows = [window / job.steps_per_call for window in windows]  # seconds a step
    step = statistics.median(windows)
    speed = images_per_second(job.config.batch_size, step)
    gflops = matmul_flops(job.model_config, job.task) * speed["images_per_second"] / 1e9
    before, after = peaks
    measured = {
        "compile_seconds": compile_seconds,
        "ms_per_step": 1000 * step,
        "ms_per_step_min": 1000 * min(windows),
        "spread": (max(windows) - min(windows)) / step,
        **speed,
        "gflops_per_second": gflops,
        "peak_gflops_per_second_before": before,
        "peak_gflops_per_second_after": after,
        "fraction_of_peak": gflops / statistics.mean(peaks) if before else None,
        "memory_mib": memory_mib,
    }
    return {
        "config": job.name, "sweep": job.sweep, "mode": job.mode, "task": job.task,
        "batch_size": job.config.batch_size, **dataclasses.asdict(job.model_config),
        "unroll": job.unroll, "steps_per_call": job.steps_per_call,
        "steps_per_window": calls * job.steps_per_call,
        **{name: _digits(number) for name, number in measured.items()},
        "disturbed": bool(before) and max(peaks) > (1 + DISTURBED) * min(peaks),
    }
