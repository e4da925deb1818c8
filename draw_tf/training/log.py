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

import tensorflow as tf
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.image import metadata as image_metadata
from tqdm import tqdm

from draw_tf.checkpoints.workdir import CONFIG, METRICS, read_metrics
from draw_tf.config import config_to_dict
from draw_tf.data import Images
from draw_tf.errors import why
from draw_tf.files import found, remove_partial, write_whole
from draw_tf.pictures import strokes, tiles

SHOWN = 16  # images in a grid, at most
FRAME = 16  # bytes around each record of an events file: its length and two checksums


def keep_events(path: pathlib.Path, last_step: int) -> None:
    """Removes from a file of TensorBoard what lies after a step, or was cut short."""
    kept, end, empty = [], 0, True
    with contextlib.suppress(tf.errors.DataLossError):  # cut short
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = event_pb2.Event.FromString(record)
            start, end = end, end + len(record) + FRAME
            if event.step <= last_step:
                kept.append(slice(start, end))
                empty = empty and event.HasField("file_version")
    if empty:
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
    """Everything a run writes except checkpoints; `changed` is from `workdir.changed_settings`."""

    def __init__(self, workdir, trainer, eval_images: Images, changed=()):
        self.workdir, self.trainer, self.changed = pathlib.Path(workdir), trainer, changed
        shown = dataclasses.replace(eval_images, pixels=eval_images.pixels[:SHOWN])
        binarize = trainer.config.binarize != "none"
        self.shown = (shown.binarized() if binarize else shown).floats()  # [16, H, W, C]
        self.writers, self.profile = {}, contextlib.ExitStack()
        self.unheard = False  # whether the reader of the terminal's lines has gone

    def __enter__(self):
        step = int(self.trainer.step)
        self._forget(step)
        self.first_step, self.began = step, time.perf_counter()
        self.bar = tqdm(total=self.trainer.config.train_steps, initial=step, unit=" steps",
                        file=sys.stdout, dynamic_ncols=True, disable=None)  # only on a terminal
        if step:
            self.say(f"Resuming {self.workdir} at step {step}")
        if self.changed:
            self.say(f"Settings changed: {', '.join(self.changed)}")
        if not step or self.changed:
            self._settings(step)
        return self

    def __exit__(self, *_):
        self.bar.close()
        self.profile.close()
        with _os_errors():
            for writer in self.writers.values():
                writer.close()

    def _forget(self, step):
        """Removes what a killed run logged after its last checkpoint, for it will come again."""
        kept = [line for line in read_metrics(self.workdir) if line["step"] <= step]
        write_whole(self.workdir / METRICS, "".join(json.dumps(line) + "\n" for line in kept))
        for path in [path for folder in found(self.workdir / "events", "*")
                     for path in found(folder, "events.out.tfevents.*.v2")]:
            with _os_errors():
                keep_events(path, step or -1)  # from the start, step 0 comes again too
            remove_partial(path.parent, "events.out.tfevents.*")
        for name in (CONFIG, METRICS, "strokes*.gif"):
            remove_partial(self.workdir, name)

    @contextlib.contextmanager
    def _plotting(self, split, step):
        """Writes what the block gives to TensorBoard's run of a split; at its end, to the file."""
        with _os_errors():
            if split not in self.writers:
                folder = self.workdir / "events" / split
                self.writers[split] = tf.summary.create_file_writer(str(folder))
            with self.writers[split].as_default(step):
                yield

    def _settings(self, step):
        """Writes the settings, and at the start the graph, to TensorBoard."""
        model = self.trainer.model
        settings = config_to_dict(model.config, self.trainer.config)
        with self._plotting("train", step):
            tf.summary.text("config", f"```\n{json.dumps(settings, indent=2)}\n```")
            hparams.hparams({**settings["model"], **settings["train"],
                             "image_shape": str(model.config.image_shape)})
            if not step:
                tf.summary.graph(_graph(model))

    def say(self, text: str) -> None:
        """Prints a line that stays, above the progress bar where there is one."""
        try:
            self.bar.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads on, as in `train.py ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self.unheard = True

    def write(self, split: str, step: int, values: dict) -> None:
        """Writes what was found on a split to metrics.jsonl, TensorBoard and the terminal.

        `values` are a `losses.report`, images_per_second, and perhaps others.
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
        bound, speed = values["bound_nats"], values["images_per_second"]
        if not self.bar.disable and split == "train":  # a line that renews itself
            self.bar.set_postfix_str(f"bound {bound:.2f} nats, {speed:.0f} images/s", refresh=False)
            self.bar.update(step - self.bar.n)
            return
        rate = (time.perf_counter() - self.began) / max(step - self.first_step, 1)
        left = datetime.timedelta(seconds=round(rate * (self.bar.total - step)))
        self.say(f"step {step}/{self.bar.total}  {split:<10} bound {bound:7.2f} nats  "
                 f"recon {values['recon_nats']:7.2f}  kl {values['kl_nats']:6.2f}  {left} left  "
                 f"{speed:6.0f} images/s")

    def gif(self, step: int) -> pathlib.Path:
        """Where the strokes of a step are drawn."""
        return self.workdir / f"strokes-{step}.gif"

    def pictures(self, step: int) -> None:
        """Draws new images as a GIF, and for TensorBoard samples, reconstructions and windows."""
        model = self.trainer.evaluated
        trace = model.trace(self.shown)
        generation = model.generate(SHOWN, seed=0)
        redrawn, drawn = (strokes.probabilities(steps.canvases)
                          for steps in (trace, generation))  # [T, 16, H, W, C] each
        with self._plotting("train", step):
            across = math.gcd(len(self.shown), 4)  # pairs in a row
            pairs = [images[k::across] for k in range(across)
                     for images in (self.shown, redrawn[-1])]
            tf.summary.image("reconstructions", tiles.side_by_side(pairs)[None])
            kl_nats = tf.reduce_mean(trace.kl_nats, axis=1)  # [T]
            tf.summary.image("kl_step_nats", tiles.bars(kl_nats.numpy())[None])
            samples = tiles.grid(tiles.enlarge(tiles.to_uint8(drawn[-1]), 2))
            tf.summary.image("samples", samples[None])
            for tag, canvases, steps in (("reconstructions", redrawn, trace),
                                         ("samples", drawn, generation)):
                frames = strokes.stroke_frames(canvases, strokes.boxes(model, steps))
                height, width = frames.shape[1:3]
                gif = strokes.encode_gif(frames)
                # tf.summary.image encodes as PNG; the plugin shows whatever image it is given
                tf.summary.write(
                    f"strokes/{tag}", tf.constant([str(width), str(height), gif]),
                    metadata=image_metadata.create_summary_metadata(f"strokes/{tag}", ""))
            for path in (self.gif(step), self.workdir / "strokes.gif"):
                write_whole(path, gif)  # the last one, that of the samples
            for scope in ("read", "write"):
                window = getattr(trace, scope)
                for name in ("gx", "gy", "delta", "sigma2", "gamma") if window else ():
                    tf.summary.histogram(f"{scope}/{name}", getattr(window, name))

    def start_profile(self) -> None:
        """Starts TensorFlow's profiler; `profile.close()` writes what it saw for TensorBoard."""
        self.profile.enter_context(_os_errors())
        self.profile.enter_context(
            tf.profiler.experimental.Profile(str(self.workdir / "events" / "train")))


def _graph(model):
    """The graph of one step, small enough to read in TensorBoard."""
    images = tf.TensorSpec([SHOWN, *model.config.image_shape], model.compute_dtype, "images")
    noise = tf.TensorSpec([SHOWN, model.config.latent_size], model.compute_dtype, "noise")
    step = tf.function(model.one_step, autograph=False)
    graph = step.get_concrete_function(images, noise).graph.as_graph_def()
    # the nodes that only hand out results would hide the model's
    nodes = [node for node in graph.node if node.op not in ("Identity", "NoOp")]
    del graph.node[:]
    graph.node.extend(nodes)
    return graph
