"""Training: the loop around `Trainer` that logs, evaluates, draws, saves, stops and resumes."""

import contextlib
import functools
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tensorflow as tf

from draw_tf import data
from draw_tf.checkpoints import saves
from draw_tf.checkpoints import workdir as workdirs
from draw_tf.config import ModelConfig, TrainConfig
from draw_tf.devices import device_kind
from draw_tf.errors import ConfigError, TrainingError, why, written
from draw_tf.files import PathLike
from draw_tf.models import losses
from draw_tf.training import pictures
from draw_tf.training.log import Log
from draw_tf.training.trainer import Trainer

PATIENCE = 100  # a run ends when this many steps in a row had no finite gradient


def make_strategy(distribute: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy of the `distribute` setting."""
    if distribute == "mirrored":
        return _mirrored()
    if distribute == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


@functools.cache  # with two in a process, TensorFlow takes the sums of one for those of the other
def _mirrored():
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    # collective sums on CPUs would take those of another program for their own
    sums = None if devices[0].device_type == "GPU" else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([device.name for device in devices], sums)


@contextlib.contextmanager
def stop_requests(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C, SIGTERM and a closed terminal into a flag: yields a function that returns it.

    The first signal is answered at once, by a call of `say`, if the main thread is in Python or
    waits for a `beside`. A second one does what it did before, for those who do not want to wait,
    but a KeyboardInterrupt waits until TensorFlow has ended a compilation.
    """
    received, numbers = [], []
    if threading.current_thread() is threading.main_thread():  # others can set no handler
        numbers = [signal.SIGINT, signal.SIGTERM]
        # under nohup a run outlives its terminal
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
    with contextlib.ExitStack() as handlers:  # puts back those that were there before

        def receive(*_):
            received.append(True)
            handlers.close()
            say("Stopping after this call, to save what was trained.")

        for number in numbers:
            before = signal.signal(number, receive)
            handlers.callback(signal.signal, number, before)
        yield lambda: bool(received)


def beside(call: Callable, *arguments) -> Any:
    """Returns `call(*arguments)`, made in another thread.

    Python answers signals in its main thread alone, and not before TensorFlow returns there.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments).result()


def train_and_evaluate(model_config: ModelConfig, config: TrainConfig, workdir: PathLike,
                       train_images: data.Images, eval_images: data.Images,
                       profile_steps: Sequence[int] = (),
                       strategy: tf.distribute.Strategy | None = None) -> dict | None:
    """Trains a model until `config.train_steps`, from where the run in `workdir` stands.

    Args:
      model_config, config: the settings of the model, DRAW or VAE, and of the training.
      workdir: a folder, made where it is not there; the README lists what is left in it.
      train_images, eval_images: to learn from, and to evaluate on.
      profile_steps: the first and the last step to profile, or nothing.
      strategy: from `make_strategy`; None makes it here. Several workers need theirs before
        TensorFlow does anything else, so before the images are loaded.

    Returns:
      The last evaluation, a `losses.report`; None where there was none, because the run was stopped
      before it or had already ended.

    Raises:
      TrainingError: updates are no longer possible, the gradients not being finite.
      WorkdirError: the workdir cannot be used.
      ConfigError: the images, batch_size and devices do not fit each other, or images that
        were trained on would be held out.
    """
    if train_images.shape != model_config.image_shape:
        raise ConfigError(f"image_shape must be that of the images, {train_images.shape}, "
                          f"got {model_config.image_shape}")
    workdir = workdirs.check_name(workdir)
    strategy = strategy or make_strategy(config.distribute)
    data.check_batch(config.batch_size, strategy.num_replicas_in_sync)
    # workers beside the chief write what it does, to a folder that is then removed
    folder = (contextlib.nullcontext(workdir) if strategy.extended.should_checkpoint
              else tempfile.TemporaryDirectory())
    with folder as home, workdirs.locked(home), _one_sentence(workdir):
        changed = workdirs.changed_settings(home, model_config, config)
        trainer = Trainer(model_config, config, strategy)
        if not saves.restore_newest(workdir, trainer.restore):
            trainer.start(train_images)
        trainer.check_workers()
        train_images, eval_images, moved = data.keep_apart(workdir, home, train_images,
                                                           eval_images, int(trainer.step))
        saves.tidy(home, int(trainer.step))
        workdirs.write_settings(home, model_config, config)
        log = Log(home, trainer, changed + moved)
        with contextlib.closing(log), stop_requests(log.answer) as stopping:
            return _Loop(trainer, log, train_images, eval_images, profile_steps).run(stopping)


@contextlib.contextmanager
def _one_sentence(workdir):
    """Turns what happens to a disk or to another worker into an error of one sentence."""
    try:
        with written(f"workdir {workdir}"):
            yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError,
            tf.errors.DeadlineExceededError) as error:
        raise TrainingError("another worker has gone: start all of them again with the same "
                            "commands, and they go on from the last checkpoint") from error
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(f"there is too little memory: {why(error)}") from error


def _training_batches(trainer, images):
    """An iterator over the batches from the trainer's step on, shared out over its devices."""
    def pipeline(context):
        config, replicas = trainer.config, context.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return data.train_dataset(
            images, batch_size=config.batch_size, seed=config.seed, start_step=int(trainer.step),
            binarize=config.binarize, num_shards=replicas, shards=range(first, first + here))
    return iter(trainer.strategy.distribute_datasets_from_function(pipeline))


class _Loop:
    """Trains, and at round numbers of steps logs, evaluates, draws and saves."""

    def __init__(self, trainer, log, train_images, eval_images, profile_steps):
        self.trainer, self.log, self.config = trainer, log, trainer.config
        self.eval_images, self.profile_steps = eval_images, profile_steps
        self.batches = _training_batches(trainer, train_images)
        self.held_out = data.eval_dataset(eval_images, self.config.batch_size, self.config.binarize)
        self.shown = pictures.shown_images(eval_images, self.config.binarize)  # [16, H, W, C]
        self.compiled = set()  # the functions that were called before
        self.report = None  # the last evaluation
        self.step = self.logged = int(trainer.step)  # now, and up to the last line of the log
        self.sums: list = [0, 0]  # since then: counts [2] and means [1 + T], as `train` has them
        self.seconds = float(trainer.seconds)  # of training until then
        self.idle = 0  # steps in a row without an update, in whole lines

    def run(self, stopping: Callable[[], bool]) -> dict | None:
        """Runs to the end, or until `stopping()` in any process; returns the last evaluation."""
        config, trainer, log = self.config, self.trainer, self.log
        events = ((config.log_every, self._report), (config.eval_every, self._evaluate),
                  (config.image_every, self._draw), (config.save_every, self._save))
        ends = (config.train_steps, *self.profile_steps)
        if not self.step:  # something to look at from the start
            log.graph(pictures.graph(trainer.model))
            self._draw()
        # the events of this step, which the end does not repeat: where a run goes on there is a
        # checkpoint, and where it had ended there are pictures too
        due = [self._save]
        if log.gif(self.step).exists():
            due.append(self._draw)
        started = time.perf_counter()
        while self.step < config.train_steps:
            if self.step in self.profile_steps[:1]:
                log.start_profile()
            # until there is something to do, and steps_per_call at most
            count = min(trainer.steps_per_call,
                        *(every - self.step % every for every, _ in events),
                        *(end - self.step for end in ends if end > self.step))
            sums = self._call(trainer.train, self.batches, count)
            self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)]
            self.step += count
            if self.step in self.profile_steps[1:]:
                log.profile.close()
            due = [event for every, event in events
                   if self.step % every == 0 or self.step == config.train_steps]
            if due:
                self.sums = [np.asarray(x) for x in self.sums]  # waits for the device
                trainer.seconds.assign_add(time.perf_counter() - started)
                for event in due:
                    event()
                started = time.perf_counter()
            if trainer.agree(stopping() or log.unheard):
                break
        trainer.seconds.assign_add(time.perf_counter() - started)
        for event in (self._save, self._draw):
            if event not in due:
                event()
        ended = (f"Stopped and saved at step {self.step}; the same command goes on from there."
                 if self.step < config.train_steps else f"Trained to step {self.step}.")
        log.say(f"{ended} New images as they are drawn: {log.gif(self.step)}")
        return self.report

    def _call(self, call, *arguments):
        """Calls a function of the trainer; the first time, when it compiles, beside this thread."""
        if call in self.compiled:
            return call(*arguments)
        self.compiled.add(call)
        if call == self.trainer.train and self.config.jit_compile:
            self.log.say("Compiling, about half a minute" if device_kind() == "CPU" else
                         "Compiling, one to two minutes")
        before, started = int(self.trainer.step), time.perf_counter()
        result = beside(call, *arguments)
        self.log.leave_out(int(self.trainer.step) - before, time.perf_counter() - started)
        return result

    def _report(self):
        """Writes a line of the log; TrainingError where PATIENCE steps or more had no update."""
        steps, seconds = self.step - self.logged, float(self.trainer.seconds)
        (updates, norms), means = self.sums
        self.idle = 0 if updates else self.idle + steps
        if self.idle >= PATIENCE:
            raise TrainingError(
                f"the gradients of the last {self.idle} steps up to step {self.step} were not "
                "finite: try a lower --learning_rate or --clip_norm (last good checkpoint: "
                f"{saves.latest(self.log.workdir) or 'none was saved yet'})")
        if updates:
            speed = steps * self.config.batch_size / (seconds - self.seconds)
            self.log.write("train", self.step, {
                **losses.report(means / updates), "images_per_second": speed,
                "gradient_norm": float(norms / updates),
                "learning_rate": float(self.trainer.optimizer.learning_rate),
                "skipped_updates": int(steps - updates)})
        else:
            self.log.say(f"step {self.step}: no finite gradient in the last {steps} steps")
        self.logged, self.seconds, self.sums = self.step, seconds, [0, 0]

    def _evaluate(self):
        started = time.perf_counter()
        self.report = self._call(self.trainer.evaluate, self.held_out)
        speed = len(self.eval_images) / (time.perf_counter() - started)
        self.log.write(self.eval_images.split, self.step,
                       {**self.report, "images_per_second": speed})

    def _draw(self):
        self.log.pictures(self.step, *pictures.draw(self.trainer.evaluated, self.shown))

    def _save(self):
        saves.save(self.trainer.checkpoint(), self.log.workdir, self.step)
