"""What TensorFlow computes on, in words; and why not on a card that is there."""

import contextlib
import glob
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess

# TensorFlow is imported where it is needed, because `card_is_there` is asked before.

# of a driver: on Linux, and on Linux within Windows
_SIGNS = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*", "/usr/lib/wsl/lib/libcuda.so*")


def card_is_there() -> bool:
    """Whether this machine seems to have an NVIDIA card, whatever TensorFlow says."""
    return any(map(glob.glob, _SIGNS))


def gpu_names() -> list[str]:
    """The names of the GPUs that TensorFlow uses, such as "NVIDIA H100 80GB HBM3"."""
    import tensorflow as tf
    return [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in tf.config.list_physical_devices("GPU")]


def device_kind() -> str:
    """What TensorFlow computes on here: "GPU", or "CPU" where there is none."""
    import tensorflow as tf
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def cpu_cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def with_article(name: str) -> str:
    """A device's name with "a" or "an" before it, as it is spoken."""
    return f"{'an' if name.startswith(('NVIDIA', *'AEIO')) else 'a'} {name}"


def in_words() -> str:
    """What TensorFlow computes on: "an NVIDIA H100 80GB HBM3", or "2 CPU cores"."""
    names, cores = gpu_names(), cpu_cores()
    if not names:
        return f"{cores} CPU core{'s' if cores > 1 else ''}"
    others = f" (of {len(names)} GPUs, the first where nothing else is said)"
    return with_article(names[0]) + (others if len(names) > 1 else "")


def unused_card() -> str | None:
    """A sentence about an NVIDIA card of this machine that TensorFlow does not use, and why.

    None where it uses one, or there is none.
    """
    if device_kind() == "GPU" or not (names := _card_names()):
        return None
    import tensorflow as tf
    try:
        libraries = all(map(importlib.util.find_spec, ("nvidia.cuda_runtime", "nvidia.cudnn")))
    except ImportError:  # nor is the package there that they are in
        libraries = False
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        reason = f"CUDA_VISIBLE_DEVICES={hidden!r} hides it"
    elif not tf.test.is_built_with_cuda():
        reason = "this TensorFlow is built without CUDA"
    elif libraries:
        reason = ("CUDA's libraries are installed, and TensorFlow cannot use them: with "
                  "TF_CPP_MIN_LOG_LEVEL=0 set, it says why")
    else:
        reason = "CUDA's libraries are missing: pip install -e '.[gpu]'"
    return f"This machine has {with_article(names[0])}, and TensorFlow does not use it: {reason}"


def _card_names():
    """The names of this machine's NVIDIA cards, by its driver."""
    names = []
    for path in sorted(glob.glob(f"{_SIGNS[0]}/information")):
        with contextlib.suppress(OSError):
            text = pathlib.Path(path).read_text("utf-8", "replace")
            names += re.findall(r"^Model:\s*(\S.*?)\s*$", text, re.MULTILINE)
    if not names and shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            text = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True,
                                  errors="replace", timeout=20).stdout
            names = re.findall(r"^GPU \d+: (.+?) \(UUID", text, re.MULTILINE)
    return names or (["NVIDIA card"] if card_is_there() else [])
