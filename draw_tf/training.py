"""Training: the update, the evaluation, and the loop around them.

What happens at a step follows from (seed, step) alone: the batch (`draw_tf.data`), and the noise,
both drawn outside the compiled program, so that every mode and number of devices sees the same.
A checkpoint therefore holds weights, optimizer and the step, and resuming is exact.
"""

import contextlib
import os
import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from draw_tf import checkpoint as checkpoints
from draw_tf import data
from draw_tf import losses
from draw_tf.errors import ConfigError, TrainingError
from draw_tf.evaluation import Evaluator
from draw_tf.model import DRAW
from draw_tf.noise import TRAINING, noise_for
from draw_tf.speed import images_per_second
from draw_tf.summaries import Log

# So many updates in a row without a finite gradient end a run.
PATIENCE = 100


class HalfThenExponential(keras.optimizers.schedules.LearningRateSchedule):
    """The peak rate for the first half of the run, then exponential decay to the final rate."""

    def __init__(self, peak, final, steps):
        self.peak, self.final, self.steps = peak, final, steps

    def __call__(self, step):
        late = tf.maximum(2 * tf.cast(step, tf.float32) / self.steps - 1, 0)  # [], 0 to 1
        return self.peak * (self.final / self.peak) ** late

    def get_config(self):
        return {"peak": self.peak, "final": self.final, "steps": self.steps}


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A straight line from zero to a schedule's value over its first steps."""

    def __init__(self, schedule, steps):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step):
        done = tf.minimum((tf.cast(step, tf.float32) + 1) / self.steps, 1)  # []
        return done * self.schedule(step)

    def get_config(self):
        return {"schedule": self.schedule, "steps": self.steps}


def learning_rate(config):
    """The learning rate schedule that a TrainConfig asks for."""
    if config.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, config.train_steps,
            alpha=config.final_learning_rate / config.learning_rate)
    else:  # a constant is a decay to itself
        final = (config.learning_rate if config.schedule == "constant"
                 else config.final_learning_rate)
        schedule = HalfThenExponential(config.learning_rate, final, config.train_steps)
    return WarmUp(schedule, config.warmup_steps) if config.warmup_steps else schedule


def use_xla(jit_compile):
    """Whether to compile with XLA; "auto" does, being faster on CPUs and GPUs alike."""
    return jit_compile != "false"


def make_strategy(distribute):
    """The tf.distribute strategy of the `distribute` setting."""
    if distribute == "mirrored":
        return tf.distribute.MirroredStrategy(tf.config.list_logical_devices(
            "GPU" if tf.config.list_logical_devices("GPU") else "CPU"))
    if distribute == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


class Trainer:
    """A model, its optimizer and its compiled functions.

    Args:
      model_config, config: DRAWConfig and TrainConfig.
      strategy: a tf.distribute strategy; the default one is one device.
    """

    def __init__(self, model_config, config, strategy=None):
        self.config = config
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        keras.utils.set_random_seed(config.seed)
        unroll = None if config.unroll == "auto" else int(config.unroll)
        with self.strategy.scope():
            self.model = DRAW(model_config, unroll)
            # what is evaluated and drawn from: the averaged weights where there are such
            self.evaluated = DRAW(model_config, unroll) if config.average_decay else self.model
            self.optimizer = keras.optimizers.Adam(learning_rate(config),
                                                   beta_1=config.adam_beta1)
            self.optimizer.build(self.model.trainable_variables)
        self.evaluated.set_weights(self.model.get_weights())
        self.step = tf.Variable(0, dtype=tf.int64)
        self.skipped_in_a_row = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)  # of training, for the log
        jit = use_xla(config.jit_compile)
        self._gradients = tf.function(self._gradients, jit_compile=jit)
        # XLA compiles no update of a variable that several devices hold
        self._update = tf.function(self._update, jit_compile=jit and self.replicas == 1)
        self._step_gradients = tf.function(self._step_gradients)
        self._step_update = tf.function(self._step_update)
        if self.replicas == 1:
            # a graph can not make updates on several devices conditional: there, Python decides
            self.train = tf.function(self.train)
        self.evaluator = Evaluator(self.evaluated, jit)

    def checkpoint(self, average=True):
        """What a checkpoint holds; without `average`, that of a run that takes none."""
        parts = {"average": self.evaluated} if self.config.average_decay and average else {}
        return tf.train.Checkpoint(step=self.step, seconds=self.seconds, model=self.model,
                                   optimizer=self.optimizer, **parts)

    def restore(self, path):
        """Goes on from the checkpoint at `path`; raises WorkdirError where it can not be read."""
        average = checkpoints.holds(path, "average")
        checkpoints.restore(self.checkpoint(average), path)
        if self.config.average_decay and not average:  # it starts here
            self.evaluated.set_weights(self.model.get_weights())

    # ------------------------------------------------------------ one update

    def _gradients(self, images, noise):
        """This replica's share of a step's metrics [1 + T] and of its gradients."""
        recon_nats, kl_nats, gradients = self.model.bound_and_gradients(images, noise)
        metrics = losses.batch_means(recon_nats, kl_nats)  # [1 + T]
        return [x / self.replicas for x in (metrics, *gradients)]

    def _replica_step(self, images):
        """The metrics and gradients of a step, summed over all replicas."""
        config = self.model.config
        noise = noise_for(self.config.seed, TRAINING, self.step, [
            config.glimpses, self.config.batch_size, config.latent_size])  # [T, N, Z]
        context = tf.distribute.get_replica_context()
        rows = self.config.batch_size // self.replicas
        first = context.replica_id_in_sync_group * rows
        share = self._gradients(images, noise[:, first:first + rows])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

    def _update(self, gradients):
        """Clips and applies a step's gradients."""
        limit = self.config.clip_norm
        if limit and self.model.config.equations == "paper":
            gradients, _ = tf.clip_by_global_norm(gradients, limit)
        elif limit:
            gradients = tf.nest.map_structure(lambda x: tf.clip_by_norm(x, limit), gradients)
        # under a strategy, Keras sums over replicas what is already their sum
        gradients = tf.nest.map_structure(lambda x: x / self.replicas, gradients)
        self.optimizer.apply(gradients, self.model.trainable_variables)

    def _step_gradients(self, iterator):
        """The next batch's metrics [1 + T], gradients and their norm [], over all replicas."""
        metrics, *gradients = self.strategy.run(self._replica_step, args=(next(iterator),))
        # all replicas hold the same sums
        here = [self.strategy.experimental_local_results(x)[0] for x in (metrics, *gradients)]
        return here[0], gradients, tf.linalg.global_norm(here[1:])

    def _step_update(self, gradients):
        """Updates the weights, and their average where one is wanted."""
        self.strategy.run(self._update, args=(gradients,))
        decay = self.config.average_decay
        if decay:
            for average, now in zip(self.evaluated.trainable_variables,
                                    self.model.trainable_variables):
                self.strategy.extended.update(
                    average.value, lambda a, x: a.assign(decay * a + (1 - decay) * x),
                    args=(now.value,))

    def train(self, iterator, steps):
        """Trains for `steps` steps, on one device without returning to Python.

        An update whose metrics or gradients are not finite is skipped.

        Args:
          iterator: over `data.train_dataset`, as the strategy distributes it.
          steps: a whole number, as a tensor.

        Returns:
          Sums over the updates made: their number and the norm of their gradients [2], and their
          `losses.batch_means` [1 + T].
        """
        updates, norms = 0.0, 0.0
        means = tf.zeros([1 + self.model.config.glimpses])  # [1 + T]
        for _ in tf.range(steps):
            new_means, gradients, norm = self._step_gradients(iterator)
            if tf.math.is_finite(norm + tf.reduce_sum(new_means)):
                self._step_update(gradients)
                updates, norms, means = updates + 1, norms + norm, means + new_means
                self.skipped_in_a_row.assign(0)
            else:
                self.skipped_in_a_row.assign_add(1)
            self.step.assign_add(1)
        return tf.stack([updates, norms]), means

    # ------------------------------------------------------------ evaluation

    def evaluate(self, dataset):
        """The bound over a whole data set, every image counted once.

        Args:
          dataset: from `data.eval_dataset`.

        Returns:
          `losses.report`: the terms of the bound in nats an image.
        """
        return losses.report(self.evaluator.means(dataset)[0])


# ---------------------------------------------------------------- the loop


@contextlib.contextmanager
def stop_requests():
    """Turns Ctrl-C and SIGTERM into a flag: yields a function that says whether one came."""
    received, before = [], {}
    if threading.current_thread() is threading.main_thread():  # others can set no handler
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda *_: received.append(True))
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _training_batches(trainer, images):
    """An iterator over the batches from the trainer's step on, shared out over its devices."""
    config = trainer.config

    def pipeline(context):
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return data.train_dataset(
            images, batch_size=config.batch_size, seed=config.seed,
            start_step=int(trainer.step), binarize=config.binarize,
            num_shards=context.num_replicas_in_sync, shards=range(first, first + here))

    return iter(trainer.strategy.distribute_datasets_from_function(pipeline))


def train_and_evaluate(model_config, config, workdir, train_images, eval_images,
                       profile_steps=()):
    """Trains a model until `config.train_steps`, from where the run in `workdir` stands.

    Args:
      model_config, config: DRAWConfig and TrainConfig.
      workdir: a folder, made where it is not there; the README says what is left in it.
      train_images, eval_images: `data.Images` to learn from, and to evaluate on.
      profile_steps: the first and the last step to profile, or nothing.

    Returns:
      The last evaluation, a `losses.report`; None if the run was stopped before.

    Raises:
      TrainingError: updates are no longer possible, the gradients not being finite.
      WorkdirError: the workdir can not be used.
      ConfigError: the images, batch_size and devices do not fit each other.
    """
    if tuple(train_images.shape) != model_config.image_shape:
        raise ConfigError(f"image_shape must be that of the images, {tuple(train_images.shape)}, "
                          f"got {model_config.image_shape}")
    strategy = make_strategy(config.distribute)
    data.check_batch(train_images, config.batch_size, strategy.num_replicas_in_sync)
    changed = checkpoints.prepare_workdir(workdir, model_config, config)
    trainer = Trainer(model_config, config, strategy)
    manager = tf.train.CheckpointManager(
        trainer.checkpoint(), os.path.join(workdir, checkpoints.FOLDER), max_to_keep=2,
        step_counter=trainer.step)
    path = checkpoints.latest(workdir)
    if path:
        trainer.restore(path)
    log = Log(workdir, trainer, eval_images, changed)
    with stop_requests() as stopping, log:
        return _Loop(trainer, manager, log, train_images, eval_images, profile_steps).run(stopping)


class _Loop:
    """Trains, and at round numbers of steps logs, evaluates, draws and saves."""

    def __init__(self, trainer, manager, log, train_images, eval_images, profile_steps):
        self.trainer, self.manager, self.log = trainer, manager, log
        self.config = trainer.config
        self.batches = _training_batches(trainer, train_images)
        self.held_out = data.eval_dataset(eval_images, self.config.batch_size,
                                          self.config.binarize)
        self.split = eval_images.split
        self.profile_steps = profile_steps
        self.step = int(trainer.step)
        self.report = None
        self._clear()

    def _clear(self):
        """Starts the sums of a new line of the log."""
        self.sums, self.steps, self.busy = None, 0, 0.0

    def _next_stop(self):
        """How many steps to train before there is something to do, or Python looks up."""
        config, step = self.config, self.step
        stops = [config.train_steps, *self.profile_steps]
        stops += [(step // every + 1) * every for every in (
            config.log_every, config.eval_every, config.save_every, config.image_every)]
        return min(config.steps_per_call, *(stop - step for stop in stops if stop > step))

    def _due(self, every):
        return self.step % every == 0 or self.step == self.config.train_steps

    def run(self, stopping):
        """Runs to the end, or until `stopping()`; returns the last evaluation."""
        config, trainer = self.config, self.trainer
        started = time.perf_counter()
        while self.step < config.train_steps and not stopping():
            if self.step in self.profile_steps[:1]:
                self.log.start_profile()
            count = self._next_stop()
            sums = trainer.train(self.batches, tf.constant(count))
            self.sums = sums if self.sums is None else [a + b for a, b in zip(self.sums, sums)]
            self.step, self.steps = self.step + count, self.steps + count
            if self.step in self.profile_steps[1:]:
                self.log.stop_profile()
            if any(map(self._due, (config.log_every, config.eval_every, config.save_every,
                                   config.image_every))):
                self.sums = [np.asarray(x) for x in self.sums]  # waits for the device
                self._tick(started)
                self._events()
                started = time.perf_counter()
        self._tick(started)
        if stopping():
            self.manager.save(self.step)
            self.log.stopped(self.step)
        else:
            self.log.finished(self.step)
        return self.report

    def _tick(self, started):
        """Counts the time since `started` as time of training."""
        elapsed = time.perf_counter() - started
        self.busy += elapsed
        self.trainer.seconds.assign_add(elapsed)

    def _events(self):
        config = self.config
        if self._due(config.log_every):
            self._log_line()
        if self._due(config.eval_every):
            started = time.perf_counter()
            self.report = self.trainer.evaluate(self.held_out)
            speed = images_per_second(self.log.evaluated_images, time.perf_counter() - started)
            self.log.write(self.split, self.step, {**self.report, **speed})
        if self._due(config.image_every):
            self.log.pictures(self.step)
        if self._due(config.save_every):
            self.manager.save(self.step)

    def _log_line(self):
        row = int(self.trainer.skipped_in_a_row)
        if row >= PATIENCE:
            kept = self.manager.latest_checkpoint or "none was saved yet"
            raise TrainingError(
                f"the gradients of the last {row} steps up to step {self.step} were not finite: "
                f"try a lower --learning_rate or --clip_norm (last good checkpoint: {kept})")
        (updates, norms), means = self.sums
        if updates:
            self.log.write("train", self.step, {
                **losses.report(means / updates),
                **images_per_second(self.steps * self.config.batch_size, self.busy),
                "gradient_norm": float(norms / updates),
                "learning_rate": float(self.trainer.optimizer.learning_rate),
                "skipped_updates": int(self.steps - updates)})
        else:
            self.log.say(f"step {self.step}: no finite gradient in the last {self.steps} steps")
        self._clear()
