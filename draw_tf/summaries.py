"""What a run tells: a line on the terminal, metrics.jsonl, TensorBoard, and pictures."""

import dataclasses
import datetime
import json
import math
import pathlib
import shutil
import sys
import time

import tensorflow as tf
from tensorboard.plugins.image import metadata as image_metadata

from draw_tf import render
from draw_tf import visualize
from draw_tf.config import config_to_dict

METRICS = "metrics.jsonl"
SHOWN = 16  # images in a grid, at most


def read_metrics(workdir):
    """The lines of a run's metrics.jsonl, as dictionaries; a line cut short is left out."""
    path = pathlib.Path(workdir) / METRICS
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:  # the machine died while it was written
            continue
    return lines


def write_gif(tag, frames, step):
    """Writes an animation to TensorBoard's images, where it plays.

    Args:
      tag: its name.
      frames: uint8 [F, h, w, 3].
      step: of the training.
    """
    height, width = frames.shape[1:3]
    content = [str(width), str(height), visualize.encode_gif(frames)]
    # tf.summary.image encodes as PNG; the plugin shows whatever image it is given
    tf.summary.write(tag, tf.constant([tf.compat.as_bytes(part) for part in content]), step,
                     metadata=image_metadata.create_summary_metadata(
                         display_name=tag, description=""))


class Log:
    """Everything a run writes except checkpoints; a context manager.

    Args:
      workdir: the run's folder.
      trainer: trainer.Trainer.
      eval_images: `data.Images` to show and count.
      changed: names of training settings that differ from those of the run so far.
    """

    def __init__(self, workdir, trainer, eval_images, changed=()):
        self.workdir, self.trainer = pathlib.Path(workdir), trainer
        self.evaluated_images = len(eval_images)
        shown = dataclasses.replace(eval_images, pixels=eval_images.pixels[:SHOWN])
        binarize = trainer.config.binarize != "none"
        self.shown = (shown.binarized() if binarize else shown).floats()  # [16, H, W, C]
        self.changed = changed
        self.terminal = sys.stdout.isatty()
        self.writers = {}
        self.profiling = False

    def __enter__(self):
        step, config = int(self.trainer.step), self.trainer.config
        # what a killed run logged after its last checkpoint will come again
        kept = [line for line in read_metrics(self.workdir) if line["step"] <= step]
        with open(self.workdir / METRICS, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)
        self.first_step, self.began = step, time.perf_counter()
        if step:
            self.say(f"Resuming {self.workdir} at step {step}")
        if self.changed:
            self.say(f"Settings changed since: {', '.join(self.changed)}")
        with self._writer("train").as_default(step):
            settings = config_to_dict(self.trainer.model.config, config)
            tf.summary.text("config", f"```\n{json.dumps(settings, indent=2)}\n```")
            if not step:
                self._graph()
        return self

    def __exit__(self, *_):
        self.stop_profile()
        for writer in self.writers.values():
            writer.close()

    def _writer(self, split):
        if split not in self.writers:
            folder = self.workdir / "events" / split
            self.writers[split] = tf.summary.create_file_writer(str(folder))
        return self.writers[split]

    def _graph(self):
        """The graph of one step, small enough to read in TensorBoard."""
        model = self.trainer.model
        step = tf.function(lambda images, noise: model.infer_step(
            model.initial_state(tf.shape(images)[0]), noise, images))
        images = tf.TensorSpec([None, *model.config.image_shape])
        noise = tf.TensorSpec([None, model.config.latent_size])
        tf.summary.graph(step.get_concrete_function(images, noise).graph)

    def say(self, text):
        """A line of plain text on the terminal."""
        print(text, flush=True)

    def write(self, split, step, values):
        """A line of metrics: to metrics.jsonl, TensorBoard and the terminal.

        Args:
          split: "train", or the one evaluated.
          step: of the training.
          values: from name to number, or to a list of one number a glimpse.
        """
        line = {"step": step, "seconds": round(float(self.trainer.seconds), 3), "split": split,
                **values}
        with open(self.workdir / METRICS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        with self._writer(split).as_default(step):
            for name, value in values.items():
                for index, number in enumerate(value if isinstance(value, list) else [value]):
                    tag = f"{name}/{index + 1:02d}" if isinstance(value, list) else name
                    tf.summary.scalar(tag, number)
        self._progress(line)

    def _progress(self, line):
        step, steps = line["step"], self.trainer.config.train_steps
        rate = (time.perf_counter() - self.began) / max(step - self.first_step, 1)
        left = datetime.timedelta(seconds=round(rate * (steps - step)))
        text = (f"step {step}/{steps}  {line['split']:<10} bound {line['bound_nats']:7.2f} nats  "
                f"recon {line['recon_nats']:7.2f}  kl {line['kl_nats']:6.2f}  {left} left  "
                f"{line['images_per_second']:6.0f} images/s")
        if not self.terminal:
            self.say(text)
        elif line["split"] == "train":  # one line that renews itself, and so must not wrap
            columns = shutil.get_terminal_size().columns - 1
            bar = f"[{'#' * round(20 * step / steps):<20}] "
            if len(bar + text) > columns:
                bar, text = "", " ".join(text.split())
            print(f"\r\x1b[K{(bar + text)[:columns]}", end="", flush=True)
        else:  # and evaluations that stay
            print(f"\r\x1b[K{text}", flush=True)

    def pictures(self, step):
        """Reconstructions, samples, strokes and histograms of the windows, to TensorBoard."""
        model = self.trainer.evaluated
        trace = model.trace(self.shown)
        generation = model.generate(SHOWN, seed=0)
        redrawn = render.probabilities(trace.canvases[-1])  # [16, H, W, C]
        drawn = render.probabilities(generation.canvases[-1])  # [16, H, W, C]
        with self._writer("train").as_default(step):
            across = math.gcd(len(self.shown), 4)  # pairs in a row
            pairs = [images[k::across] for k in range(across) for images in (self.shown, redrawn)]
            tf.summary.image("reconstructions", visualize.side_by_side(pairs)[None])
            samples = visualize.grid(visualize.enlarge(visualize.to_uint8(drawn), 2))
            tf.summary.image("samples", samples[None])
            write_gif("strokes/samples", self.frames(generation), step)
            write_gif("strokes/reconstructions", self.frames(trace), step)
            for scope in ("read", "write"):
                window = getattr(trace, scope)
                for name in ("gx", "gy", "delta", "sigma2", "gamma") if window else ():
                    tf.summary.histogram(f"{scope}/{name}", getattr(window, name))

    def frames(self, trace):
        """The animation of a trace or generation, uint8 [T + 1, h, w, 3]."""
        return visualize.stroke_frames(render.probabilities(trace.canvases),
                                       render.boxes(self.trainer.model.config, trace))

    def start_profile(self):
        """Starts TensorFlow's profiler."""
        tf.profiler.experimental.start(str(self.workdir / "events" / "train"))
        self.profiling = True

    def stop_profile(self):
        """Ends the profile and writes it for TensorBoard; nothing where none was started."""
        if not self.profiling:  # resumed after its first step
            return
        tf.profiler.experimental.stop()
        self.profiling = False

    def finished(self, step):
        """The last words of a run that reached its end, and its strokes as a GIF."""
        path = self.workdir / f"strokes-{step}.gif"
        visualize.save(path, self.frames(self.trainer.evaluated.generate(SHOWN, seed=0)))
        self.say(f"Trained to step {step}. New images as they are drawn: {path}")

    def stopped(self, step):
        """The last words of a run that was asked to stop."""
        self.say(f"\nStopped and saved at step {step}; the same command goes on from there.")
