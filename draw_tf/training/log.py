"""What a run reports: lines on the terminal, metrics.jsonl, TensorBoard, and pictures."""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image import metadata as image_metadata
from tqdm import tqdm

from draw_tf.checkpoints.workdir import CONFIG, METRICS, read_metrics
from draw_tf.config import config_to_dict
from draw_tf.data import Images
from draw_tf.errors import why
from draw_tf.files import remove_partial, write_whole
from draw_tf.pictures import strokes, tiles

SHOWN = 16  # images in a grid, at most
NEWEST = "strokes.gif"
FRAME = 16  # bytes around each record of an events file: its length and two checksums


def write_gif(tag: str, gif: bytes, frames: np.ndarray, step: int) -> None:
    """Writes an animation to TensorBoard's images, where it plays.

    Args:
      tag: its name.
      gif: the frames as a GIF.
      frames: uint8 [F, h, w, 3].
      step: of the training.
    """
    height, width = frames.shape[1:3]
    content = [str(width), str(height), gif]
    # tf.summary.image encodes as PNG; the plugin shows whatever image it is given
    tf.summary.write(tag, tf.constant([tf.compat.as_bytes(part) for part in content]), step,
                     metadata=image_metadata.create_summary_metadata(
                         display_name=tag, description=""))


def keep_events(path: pathlib.Path, last_step: int) -> None:
    """Removes from a file of TensorBoard what lies after a step, or was cut short."""
    kept, end, whole, empty = [], 0, True, True
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            start, end = end, end + len(record) + FRAME
            if event.step <= last_step:
                kept.append(slice(start, end))
                empty = empty and event.HasField("file_version")
            else:
                whole = False
    except tf.errors.DataLossError:
        whole = False
    if empty:
        path.unlink()
    elif not whole:
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
    """Everything a run writes except checkpoints; a context manager.

    Args:
      workdir: the run's folder.
      trainer: trainer.Trainer.
      eval_images: `data.Images` to show and count.
      changed: which settings differ from those of the run so far, as text.
    """

    def __init__(self, workdir, trainer, eval_images: Images, changed=()):
        self.workdir, self.trainer = pathlib.Path(workdir), trainer
        shown = dataclasses.replace(eval_images, pixels=eval_images.pixels[:SHOWN])
        binarize = trainer.config.binarize != "none"
        self.shown = (shown.binarized() if binarize else shown).floats()  # [16, H, W, C]
        self.changed = changed
        self.writers = {}
        self.unheard = False  # whether the reader of the terminal's lines has gone
        self.profiling = False

    def __enter__(self):
        step, config = int(self.trainer.step), self.trainer.config
        self._forget(step)
        self.first_step, self.began = step, time.perf_counter()
        self.bar = tqdm(total=config.train_steps, initial=step, unit=" steps", file=sys.stdout,
                        dynamic_ncols=True, disable=None)  # None: only on a terminal
        if step:
            self.say(f"Resuming {self.workdir} at step {step}")
        if self.changed:
            self.say(f"Settings changed: {', '.join(self.changed)}")
        if not step or self.changed:
            self._settings(step)
        return self

    def _forget(self, step):
        """Removes what a killed run logged after its last checkpoint, for it will come again."""
        kept = [line for line in read_metrics(self.workdir) if line["step"] <= step]
        write_whole(self.workdir / METRICS, "".join(json.dumps(line) + "\n" for line in kept))
        for path in (self.workdir / "events").glob("*/events.out.tfevents.*.v2"):
            with _os_errors():
                keep_events(path, step or -1)  # from the start, step 0 comes again too
            remove_partial(path.parent, "events.out.tfevents.*")
        for name in (CONFIG, METRICS, "strokes*.gif"):
            remove_partial(self.workdir, name)

    def _settings(self, step):
        """Writes the settings, and at the start the graph, to TensorBoard."""
        with self._plotting("train", step):
            settings = config_to_dict(self.trainer.model.config, self.trainer.config)
            tf.summary.text("config", f"```\n{json.dumps(settings, indent=2)}\n```")
            hparams.hparams({name: value if isinstance(value, (bool, int, float, str))
                             else str(value) for part in settings.values()
                             for name, value in part.items()})
            if not step:
                self._graph()

    def __exit__(self, *_):
        self.bar.close()
        self.stop_profile()
        with _os_errors():
            for writer in self.writers.values():
                writer.close()

    @contextlib.contextmanager
    def _plotting(self, split, step):
        """Writes what the block gives to TensorBoard's run of a split; at its end, to the file."""
        with _os_errors():
            if split not in self.writers:
                folder = self.workdir / "events" / split
                self.writers[split] = tf.summary.create_file_writer(str(folder))
            with self.writers[split].as_default(step):
                yield

    def _graph(self):
        """The graph of one step, small enough to read in TensorBoard."""
        model = self.trainer.model
        step = tf.function(model.one_step, autograph=False)
        images = tf.TensorSpec([SHOWN, *model.config.image_shape], model.compute_dtype, "images")
        noise = tf.TensorSpec([SHOWN, model.config.latent_size], model.compute_dtype, "noise")
        graph = step.get_concrete_function(images, noise).graph.as_graph_def()
        # the nodes that only hand out results would hide the model's
        nodes = [node for node in graph.node if node.op not in ("Identity", "NoOp")]
        del graph.node[:]
        graph.node.extend(nodes)
        tf.summary.graph(graph)

    def say(self, text: str) -> None:
        """Prints a line that stays, above the progress bar where there is one."""
        try:
            if self.bar.disable:
                print(text, flush=True)
            else:
                self.bar.write(text, file=sys.stdout)
        except BrokenPipeError:  # nobody reads on, as in `train.py ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.unheard = True

    def write(self, split: str, step: int, values: dict) -> None:
        """Writes a line of metrics to metrics.jsonl, TensorBoard and the terminal.

        Args:
          split: "train", or the one evaluated.
          step: of the training.
          values: from name to number, or to a list of one number per glimpse.
        """
        line = {"step": step, "seconds": round(float(self.trainer.seconds), 3), "split": split,
                **values}
        with open(self.workdir / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        with self._plotting(split, step):
            for name, value in values.items():
                for index, number in enumerate(value if isinstance(value, list) else [value]):
                    tag = f"{name}/{index + 1:02d}" if isinstance(value, list) else name
                    tf.summary.scalar(tag, number)
        self._progress(line)

    def _progress(self, line):
        step, steps = line["step"], self.trainer.config.train_steps
        numbers = f"bound {line['bound_nats']:.2f} nats, {line['images_per_second']:.0f} images/s"
        if not self.bar.disable and line["split"] == "train":  # a line that renews itself
            self.bar.set_postfix_str(numbers, refresh=False)
            self.bar.update(step - self.bar.n)
            return
        rate = (time.perf_counter() - self.began) / max(step - self.first_step, 1)
        left = datetime.timedelta(seconds=round(rate * (steps - step)))
        self.say(f"step {step}/{steps}  {line['split']:<10} bound {line['bound_nats']:7.2f} nats  "
                 f"recon {line['recon_nats']:7.2f}  kl {line['kl_nats']:6.2f}  {left} left  "
                 f"{line['images_per_second']:6.0f} images/s")

    def gif(self, step: int) -> pathlib.Path:
        """Where the strokes of a step are drawn."""
        return self.workdir / f"strokes-{step}.gif"

    def pictures(self, step: int) -> pathlib.Path:
        """Writes strokes as a GIF, and to TensorBoard samples, reconstructions and windows.

        Returns:
          The path of the GIF, new images as they are drawn; strokes.gif beside it is the same.
        """
        model = self.trainer.evaluated
        trace = model.trace(self.shown)
        generation = model.generate(SHOWN, seed=0)
        redrawn = strokes.probabilities(trace.canvases[-1])  # [16, H, W, C]
        drawn = strokes.probabilities(generation.canvases[-1])  # [16, H, W, C]
        path = self.gif(step)
        with self._plotting("train", step):
            across = math.gcd(len(self.shown), 4)  # pairs in a row
            pairs = [images[k::across] for k in range(across) for images in (self.shown, redrawn)]
            tf.summary.image("reconstructions", tiles.side_by_side(pairs)[None])
            kl_nats = tf.reduce_mean(trace.kl_nats, axis=1)  # [T]
            tf.summary.image("kl_step_nats", tiles.bars(kl_nats.numpy())[None])
            samples = tiles.grid(tiles.enlarge(tiles.to_uint8(drawn), 2))
            tf.summary.image("samples", samples[None])
            for tag, steps in (("reconstructions", trace), ("samples", generation)):
                frames = strokes.stroke_frames(strokes.probabilities(steps.canvases),
                                               strokes.boxes(model.config, steps))
                gif = strokes.encode_gif(frames)
                write_gif(f"strokes/{tag}", gif, frames, step)
            for name in (path, path.with_name(NEWEST)):  # the last GIF, that of the samples
                write_whole(name, gif)
            for scope in ("read", "write"):
                window = getattr(trace, scope)
                for name in ("gx", "gy", "delta", "sigma2", "gamma") if window else ():
                    tf.summary.histogram(f"{scope}/{name}", getattr(window, name))
        return path

    def start_profile(self) -> None:
        """Starts TensorFlow's profiler."""
        tf.profiler.experimental.start(str(self.workdir / "events" / "train"))
        self.profiling = True

    def stop_profile(self) -> None:
        """Ends the profile and writes it for TensorBoard; nothing where none was started."""
        if not self.profiling:  # resumed after its first step
            return
        with _os_errors():
            tf.profiler.experimental.stop()
        self.profiling = False

    def ended(self, step: int, drawn: pathlib.Path) -> None:
        """The last words of a run that reached its end or was asked to stop."""
        if step < self.trainer.config.train_steps:
            self.say(f"Stopped and saved at step {step}; the same command goes on from there. "
                     f"New images as they are drawn: {drawn}")
        else:
            self.say(f"Trained to step {step}. New images as they are drawn: {drawn}")
