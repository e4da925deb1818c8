"""What a run reports: lines on the terminal, metrics.jsonl, pictures, and TensorBoard's files."""

import contextlib
import datetime
import json
import os
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image import metadata
from tqdm import tqdm

from draw_tf.checkpoints.workdir import CONFIG, METRICS, read_metrics
from draw_tf.config import config_to_dict
from draw_tf.errors import why
from draw_tf.files import found, remove_partial, write_whole
from draw_tf.pictures import strokes

FRAME = 16  # bytes around each record of an events file: its length and two checksums


def keep_events(path: pathlib.Path, last_step: int) -> None:
    """Removes from a file of TensorBoard what lies after a step, or was cut short."""
    kept, end = [], 0  # where the records to keep lie in the file, and the last one's end
    with contextlib.suppress(tf.errors.DataLossError):  # cut short
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            start, end = end, end + len(record) + FRAME
            if event_pb2.Event.FromString(record).step <= last_step:
                kept.append(slice(start, end))
    if len(kept) < 2:  # the first record is the version of the format
        path.unlink()
    elif sum(part.stop - part.start for part in kept) < path.stat().st_size:
        content = path.read_bytes()
        write_whole(path, b"".join(content[part] for part in kept))


@contextlib.contextmanager
def _os_errors():
    """Turns what TensorFlow raises over files into an OSError."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(why(error)) from error


class Log:
    """Everything a run writes except checkpoints; it begins with the `changed` settings, if any."""

    def __init__(self, workdir, trainer, changed):
        self.workdir, self.trainer = pathlib.Path(workdir), trainer
        self.first_step = int(trainer.step)
        self.writers, self.profile = {}, contextlib.ExitStack()
        self.unheard = False  # whether the reader of the terminal's lines has gone
        self._forget(self.first_step)
        self.began = time.perf_counter()
        self.bar = tqdm(total=trainer.config.train_steps, initial=self.first_step, unit=" steps",
                        file=sys.stdout, dynamic_ncols=True, disable=None)  # only on a terminal
        if self.first_step:
            self.say(f"Resuming {workdir} at step {self.first_step}")
        if changed:
            self.say(f"Settings changed: {', '.join(changed)}")
        if changed or not self.first_step:
            settings = config_to_dict(trainer.model.config, trainer.config)
            with self._plotting("train", self.first_step):
                tf.summary.text("config", f"```\n{json.dumps(settings, indent=2)}\n```")
                hparams.hparams({**settings["model"], **settings["train"],
                                 "image_shape": str(trainer.model.config.image_shape)})

    def close(self) -> None:
        """Ends the bar, the profile and the files of TensorBoard."""
        self.bar.close()
        self.profile.close()
        with _os_errors():
            for writer in self.writers.values():
                writer.close()

    def _forget(self, step):
        """Removes what a killed run logged after its last checkpoint, for it will come again."""
        kept = [line for line in read_metrics(self.workdir) if line["step"] <= step]
        write_whole(self.workdir / METRICS, "".join(json.dumps(line) + "\n" for line in kept))
        for folder in found(self.workdir / "events", "*"):
            for path in found(folder, "events.out.tfevents.*.v2"):
                with _os_errors():
                    keep_events(path, step or -1)  # from the start, step 0 comes again too
            remove_partial(folder, "events.out.tfevents.*")
        for name in (CONFIG, METRICS, "strokes*.gif"):
            remove_partial(self.workdir, name)

    @contextlib.contextmanager
    def _plotting(self, split, step):
        """Writes the block's summaries to TensorBoard's run of a split; at its end, to the file."""
        with _os_errors():
            if split not in self.writers:
                folder = self.workdir / "events" / split
                self.writers[split] = tf.summary.create_file_writer(str(folder))
            with self.writers[split].as_default(step):
                yield

    def start_profile(self) -> None:
        """Starts TensorFlow's profiler; `profile.close()` writes what it saw for TensorBoard."""
        folder = str(self.workdir / "events" / "train")
        self.profile.enter_context(_os_errors())
        self.profile.enter_context(tf.profiler.experimental.Profile(folder))

    def say(self, text: str) -> None:
        """Prints a line that stays, above the progress bar where there is one."""
        try:
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as in `train.py ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.unheard = True

    def answer(self, text: str) -> None:
        """Prints a line from the handler of a signal, which may have interrupted a print."""
        with contextlib.suppress(OSError):  # nobody reads on, or there is no such file
            line = f"{text}\n" if self.bar.disable else f"\n{text}\n"
            os.write(sys.stdout.fileno(), line.encode())

    def leave_out(self, steps: int, seconds: float) -> None:
        """Takes steps, and the seconds of compiling with them, out of the speed of the run."""
        self.first_step += steps
        self.began += seconds
        self.bar.unpause()

    def write(self, split: str, step: int, values: dict) -> None:
        """Writes what was found on a split to metrics.jsonl, TensorBoard and the terminal.

        `values` are a `losses.report`, images_per_second, and perhaps others.
        """
        seconds = round(float(self.trainer.seconds), 3)
        line = json.dumps({"step": step, "seconds": seconds, "split": split, **values})
        with open(self.workdir / METRICS, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        with self._plotting(split, step):
            for name, value in values.items():
                numbers = ({f"{name}/{t:02d}": x for t, x in enumerate(value, 1)}
                           if isinstance(value, list) else {name: value})
                for tag, number in numbers.items():
                    tf.summary.scalar(tag, number)
        bound, speed = values["bound_nats"], values["images_per_second"]
        if not self.bar.disable and split == "train":  # a line that renews itself
            self.bar.set_postfix_str(f"bound {bound:.2f} nats, {speed:.0f} images/s", refresh=False)
            self.bar.update(step - self.bar.n)
            return
        left = ""
        if step > self.first_step:
            rate = (time.perf_counter() - self.began) / (step - self.first_step)
            left = f"  {datetime.timedelta(seconds=round(rate * (self.bar.total - step)))} left"
        self.say(f"step {step}/{self.bar.total}  {split:<10} bound {bound:7.2f} nats  "
                 f"recon {values['recon_nats']:7.2f}  kl {values['kl_nats']:6.2f}{left}  "
                 f"{speed:6.0f} images/s")

    def gif(self, step: int) -> pathlib.Path:
        """Where the strokes of a step are drawn."""
        return self.workdir / f"strokes-{step}.gif"

    def pictures(self, step: int, images: dict[str, np.ndarray], animations: dict[str, np.ndarray],
                 histograms: dict[str, tf.Tensor]) -> None:
        """Writes what `pictures.draw` returned to TensorBoard, and the samples' GIF to the run."""
        with self._plotting("train", step):
            for tag, image in images.items():
                tf.summary.image(tag, image[np.newaxis])
            for tag, frames in animations.items():
                height, width = frames.shape[1:3]
                gif = strokes.encode_gif(frames)
                # tf.summary.image encodes as PNG; the plugin shows whatever image it is given
                tf.summary.write(tag, tf.constant([str(width), str(height), gif]),
                                 metadata=metadata.create_summary_metadata(tag, ""))
                if tag == "strokes/samples":
                    for path in (self.gif(step), self.workdir / "strokes.gif"):
                        write_whole(path, gif)
            for tag, values in histograms.items():
                tf.summary.histogram(tag, values)

    def graph(self, graph: tf.compat.v1.GraphDef) -> None:
        """Writes a graph for TensorBoard."""
        with self._plotting("train", 0):
            tf.summary.graph(graph)
