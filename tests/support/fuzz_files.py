"""Damages files and reads them: each must load, or be refused in one sentence, at little cost.

    python tests/support/fuzz_files.py [--count=2000] [--seed=0] [--kind=weights]

Prints the files that fail, and keeps them.
"""

import argparse
import contextlib
import io
import pathlib
import random
import sys
import tempfile
import time
import traceback
from unittest import mock

import numpy as np
from PIL import Image

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from draw_tf import checkpoints, data, training
from draw_tf.checkpoints import saves, workdir
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import DRAWError
from draw_tf.figures import draw_runs
from draw_tf.models import make_model
from draw_tf.training.trainer import Trainer
from tests.support import damage
from tests.support.cli import run_script

SECONDS = 5  # of the processors, for one file
MODEL = DRAWConfig(glimpses=2, hidden_size=8, latent_size=2, equations="paper")
TRAIN = TrainConfig(jit_compile=False)


class Files:
    """The files of one kind: how they are damaged, and how they are read.

    Args:
      folder: an empty folder, where the files are.
    """

    mib = 50  # of memory for one file; most are little
    damage = staticmethod(damage.some_bytes)

    def __init__(self, folder):
        self.folder = folder
        self.good = {path: path.read_bytes() for path in self.make()}
        for path in self.good:  # what is done once is not counted
            self.read(path)

    def make(self):
        """Writes the files; returns the paths of those to damage."""

    def read(self, path):
        """Reads a file as the package does."""

    def try_one(self, dice):
        """Damages and reads one file; returns its content and what was wrong, or None."""
        path = dice.choice(list(self.good))
        content = self.damage(self.good[path], dice)
        path.write_bytes(content)
        forget_peak()
        before, began = peak_mib(), time.process_time()
        wrong = None
        try:
            self.read(path)
        except DRAWError as error:
            lines = str(error).splitlines()
            wrong = None if len(lines) == 1 else f"not one line: {lines}"
        except Exception:
            wrong = traceback.format_exc()
        seconds, mib = time.process_time() - began, peak_mib() - before
        path.write_bytes(self.good[path])
        if seconds > SECONDS or mib > self.mib:
            wrong = f"took {seconds:.1f} seconds and {mib:.0f} MiB; {wrong or ''}"
        return content, wrong


def forget_peak():
    """Starts `peak_mib` anew, on Linux."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_mib():
    """The most memory that this process had, in MiB; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0


class Config(Files):
    """The settings of weights, and of a run with a checkpoint."""

    damage = staticmethod(damage.json_text)

    def make(self):
        for name in ("weights", "run"):
            checkpoints.write_settings(self.folder / name, MODEL, TRAIN)
            yield self.folder / name / "config.json"
        checkpoints.save_weights(make_model(MODEL), self.folder / "weights" / "weights.safetensors")
        saves.save(Trainer(MODEL, TRAIN).checkpoint(), self.folder / "run", 1)

    def read(self, path):
        checkpoints.load(path.parent)


class Weights(Files):
    """Weights alone."""

    damage = staticmethod(damage.tensors)

    def make(self):
        checkpoints.write_settings(self.folder, MODEL, TRAIN)
        path = self.folder / "weights.safetensors"
        checkpoints.save_weights(make_model(MODEL), path, np.float16, step=7)
        yield path

    def read(self, path):
        checkpoints.load(self.folder)


class Metrics(Files):
    """The numbers of a run."""

    damage = staticmethod(damage.json_lines)

    def make(self):
        path = self.folder / "metrics.jsonl"
        line = '{"step": %d, "seconds": 1.5, "split": "%s", "bound_nats": 99.5, "kl": [1, 2]}\n'
        path.write_text("".join(line % (step, split) for step in range(100, 900, 100)
                                for split in ("train", "test")))
        yield path

    def read(self, path):
        with mock.patch("draw_tf.pictures.curves.training_curves"):
            draw_runs([self.folder], self.folder)


class Flags(Files):
    """Flagfiles."""

    mib = 200  # absl compares a long name with all that there are
    damage = staticmethod(damage.flags)

    def make(self):
        for name in ("quickstart", "binarized_mnist"):
            path = self.folder / f"{name}.flags"
            shipped = pathlib.Path(checkpoints.__file__).parent.parent / "configs" / path.name
            path.write_bytes(shipped.read_bytes())
            yield path

    def read(self, path):
        images = data.Images(np.zeros((1000, 28, 28, 1), np.uint8), 255)
        errors = io.StringIO()
        with (contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()),
              mock.patch.object(data, "load", lambda *_: images),
              mock.patch.object(training, "train_and_evaluate",
                                lambda *arguments: workdir.check_name(arguments[2]))):
            status = run_script("train.py", "--workdir=run", f"--flagfile={path}")
        if status:
            raise DRAWError(errors.getvalue().removesuffix("\n"))


class Pictures(Files):
    """Pictures in a folder, in all formats."""

    mib = 1024

    def make(self):
        random = np.random.default_rng(0)
        pixels = random.integers(0, 255, (40, 50, 3), np.uint8)
        picture = Image.fromarray(pixels)
        for name in ("a.png", "z.png"):
            picture.save(self.folder / name)
        for kind in ("png", "bmp", "gif", "webp", "jpg"):
            picture.save(self.folder / f"{kind}.{kind}")
            yield self.folder / f"{kind}.{kind}"
        picture.save(self.folder / "progressive.jpg", progressive=True)
        yield self.folder / "progressive.jpg"
        picture.convert("P").save(self.folder / "palette.png")
        yield self.folder / "palette.png"

    def read(self, path):
        with contextlib.redirect_stderr(io.StringIO()):
            images = [data.load(f"folder:{self.folder}", split, None, (16, 16, 3))
                      for split in ("train", "test")]
        assert sum(map(len, images)) >= 8 and {part.shape for part in images} == {(16, 16, 3)}


KINDS = {"config": Config, "weights": Weights, "metrics": Metrics, "flags": Flags,
         "pictures": Pictures}


def fuzz(kind, count, seed, folder):
    """Damages and reads files of a kind; yields number, content and what was wrong."""
    files = KINDS[kind](folder)
    for number in range(count):
        content, wrong = files.try_one(random.Random(f"{seed} {number}"))
        if wrong:
            yield number, content, wrong


def main():
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="of damaged files of all kinds")
    parser.add_argument("--seed", type=int, default=0, help="of the damage")
    parser.add_argument("--kind", choices=KINDS, help="one kind only")
    options = parser.parse_args()
    kinds = [options.kind] if options.kind else list(KINDS)
    kept, failures = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-")), 0
    for kind in kinds:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for number, content, wrong in fuzz(kind, options.count // len(kinds), options.seed,
                                               pathlib.Path(folder)):
                (kept / f"{kind}-{number}").write_bytes(content)
                print(f"{kept / f'{kind}-{number}'}: {wrong}", flush=True)
                failures += 1
        print(f"{kind}: {options.count // len(kinds)} files in {time.monotonic() - began:.0f} "
              "seconds", flush=True)
    if not failures:
        kept.rmdir()
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
