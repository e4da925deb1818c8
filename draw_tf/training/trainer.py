"""The update: gradients, clipping, Adam and the average, on one device or several.

A step's batch and noise follow from (seed, step) alone, and are drawn outside the compiled program,
so that every mode and number of devices sees the same. A checkpoint therefore holds weights,
optimizer and the step, and resuming is exact.
"""

import contextlib
import functools
import random
from collections.abc import Iterator

import keras
import tensorflow as tf

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.config import ModelConfig, TrainConfig
from draw_tf.data import Images
from draw_tf.devices import device_kind
from draw_tf.errors import ConfigError, TrainingError, WorkdirError
from draw_tf.evaluation import Evaluator
from draw_tf.models import losses, make_model
from draw_tf.noise import noise_for

# A call has a cost of its own. On an H100 it was some 4 ms, beside steps of 1.3 ms (article).
STEPS_PER_CALL = {"CPU": 8, "GPU": 32}


def auto_steps_per_call(config: TrainConfig) -> int:
    """Steps of training in one call: the setting, or where it is 0 what suits this device."""
    return config.steps_per_call or STEPS_PER_CALL[device_kind()]


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate at each step: held, or lowered, and at the end cooled to zero.

    The exponential schedule lowers it in the second half of the run, to `final_learning_rate`. In
    the last `cooldown_steps` it also falls linearly to zero.
    """

    def __init__(self, config: TrainConfig):
        self.config = config

    def __call__(self, step) -> tf.Tensor:
        """The rate [] at a step."""
        config, step = self.config, tf.cast(step, tf.float32)  # []
        # a constant rate is a decay to itself, so that both kinds of run have the same checkpoints
        peak = final = config.learning_rate
        if config.schedule == "exponential":
            final = config.final_learning_rate
        late = tf.maximum(2 * step / config.train_steps - 1, 0)  # [], 0 to 1 in the second half
        rate = peak * (final / peak) ** late  # []
        if config.cooldown_steps:
            left = config.train_steps - step  # []
            rate *= tf.clip_by_value(left / config.cooldown_steps, 0, 1)  # []
        return rate


def make_optimizer(config: TrainConfig, model_config: ModelConfig,
                   replicas: int = 1) -> keras.Optimizer:
    """Adam; it clips each gradient, or all together, as the `clip` setting has it.

    Each of R `replicas` holds 1/R of the gradients. Keras clips on each of them and adds up
    afterwards, so each clips to 1/R of the norm.
    """
    article = getattr(model_config, "equations", "paper") == "article"
    each = config.clip == "each" or config.clip == "auto" and article
    clip = {"clipnorm" if each else "global_clipnorm": config.clip_norm / replicas or None}
    return keras.optimizers.Adam(Rate(config), beta_1=config.adam_beta1, **clip)


class Trainer:
    """A model, its optimizer and its compiled functions, on one device or those of a strategy."""

    def __init__(self, model_config: ModelConfig, config: TrainConfig,
                 strategy: tf.distribute.Strategy | None = None):
        self.config, self.steps_per_call = config, auto_steps_per_call(config)
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        with contextlib.ExitStack() as at_end, self.strategy.scope():
            at_end.callback(random.setstate, random.getstate())  # nothing after the block is seeded
            random.seed(config.seed)  # Keras's initializers take their seeds from Python
            make = functools.partial(make_model, model_config, config.unroll)
            self.model = make()
            # what is evaluated and drawn from: the averaged weights where there are any
            self.evaluated = make() if config.average_decay else self.model
            self.optimizer = make_optimizer(config, model_config, self.replicas)
            self.optimizer.build(self.model.trainable_variables)
        self.evaluated.set_weights(self.model.get_weights())
        with tf.device("CPU"):  # so that reading it waits for no other device
            self.step = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)  # of training, for the log
        # without autograph, tracing takes less time
        graph = functools.partial(tf.function, autograph=False)
        # one for each number of steps, which TensorFlow would take for tracing without need
        self._compiled_inputs = functools.cache(
            lambda count: graph(functools.partial(self._inputs, count)))
        # XLA compiles no update of a variable that several devices hold: there it gets a part
        self._compiled_steps = graph(self._steps,
                                     jit_compile=config.jit_compile and self.replicas == 1)
        self._compiled_gradients = graph(self._gradients, jit_compile=config.jit_compile)
        self._compiled_sum = graph(self._sum)
        self.evaluator = Evaluator(self.evaluated, config.jit_compile)

    def start(self, images: Images) -> None:
        """Sets the first weights as the `start` setting asks.

        Raises ConfigError where it names a run that cannot be read or has other shapes.
        """
        start = self.config.start
        if start == "data":
            self.model.start_from_data(images.mean())
        elif start != "listing":
            try:
                weights = checkpoints.named_weights(checkpoints.load(start))
                checkpoints.assign_weights(
                    self.model, {name: weight.numpy() for name, weight in weights.items()})
            except (WorkdirError, ValueError) as error:
                raise ConfigError(f"start={start} must be listing, data, or a run of this model's "
                                  f"shapes ({error})") from error
        self.evaluated.set_weights(self.model.get_weights())

    def checkpoint(self) -> tf.train.Checkpoint:
        """What a checkpoint of this run holds."""
        parts = {"average": self.evaluated} if self.config.average_decay else {}
        return tf.train.Checkpoint(step=self.step, seconds=self.seconds, model=self.model,
                                   optimizer=self.optimizer, **parts)

    def restore(self, path: str) -> None:
        """Goes on from the checkpoint at `path`; raises WorkdirError where it cannot be read."""
        saves.restore(self.checkpoint(), path)

    def agree(self, wish: bool) -> bool:
        """Whether any of the processes that train together wishes so; each asks at this step."""
        if self.config.distribute != "multi_worker":
            return wish
        return bool(self._compiled_sum(tf.constant(float(wish))) > 0)

    def _sum(self, x):
        """The sum [] of each replica's x []."""
        # a copy, for only what a replica made can be reduced
        return self.strategy.reduce("SUM", self.strategy.run(tf.identity, args=(x,)), axis=None)

    def check_workers(self) -> None:
        """Raises TrainingError unless all processes that train together are at the same step."""
        if self.config.distribute == "multi_worker":
            step = tf.cast(self.step, tf.float64)  # []
            if self.agree(bool(self._compiled_sum(step) != self.replicas * step)):
                raise TrainingError(
                    f"the workers would start at different steps (this one at {int(step)}): give "
                    "all of them the same --workdir, in a folder that they share")

    def _gradients(self, images, noise):
        """This replica's share of a step's metrics [1 + T] and of its gradients."""
        recon_nats, kl_nats, gradients = self.model.bound_and_gradients(images, noise)
        metrics = losses.batch_means(recon_nats, kl_nats)  # [1 + T]
        return [x / self.replicas for x in (metrics, *gradients)]

    def _replica_step(self, images, noise):
        """The metrics and gradients of a step, summed over all replicas."""
        context = tf.distribute.get_replica_context()
        rows = self.config.batch_size // self.replicas
        first = context.replica_id_in_sync_group * rows
        share = self._compiled_gradients(images, noise[:, first:first + rows])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

    def _update(self, gradients, step, finite):
        """Updates the weights and their average, or leaves all as it was if not `finite`."""
        weights, update = self.model.trainable_variables, self.strategy.extended.update
        variables = [*weights, *self.optimizer.variables]
        # chosen and not branched: a GPU would wait for the host to branch
        before = self.strategy.run(lambda: [tf.identity(x) for x in variables])
        # under a strategy, Keras sums over replicas what is already their sum
        self.strategy.run(lambda sums: self.optimizer.apply(
            [x / self.replicas for x in sums], weights), args=(gradients,))
        for variable, x in zip(variables, before, strict=True):
            update(variable.value, lambda now, x: now.assign(tf.where(finite, now, x)), args=(x,))
        if self.config.average_decay:
            step = tf.cast(step, self.model.variable_dtype)  # []
            # as tf.train.ExponentialMovingAverage(num_updates) has it: a young average forgets
            # faster, or it would long hold the initial weights
            young = (1 + step) / (10 + step)  # []
            decay = tf.minimum(tf.cast(self.config.average_decay, young.dtype), young)  # []
            decay = tf.where(finite, decay, 1)  # []
            for average, now in zip(self.evaluated.trainable_variables, weights, strict=True):
                update(average.value, lambda a, x: a.assign(decay * a + (1 - decay) * x),
                       args=(now.value,))

    def _steps(self, images, noise, first, count):
        """Trains for `count` steps from step `first` on; returns what `train` does.

        Images [S, N/R, H, W, C] of each of R replicas and noise [S, T, N, Z] are of `count` steps
        and zeros after them, so that one program is for any number of steps up to S.
        """
        def one(k, counts, means):
            metrics, *gradients = self.strategy.run(
                lambda images: self._replica_step(images[k], noise[k]), args=(images,))
            # all replicas hold the same sums
            metrics, *sums = [self.strategy.experimental_local_results(x)[0]
                              for x in (metrics, *gradients)]
            norm = tf.linalg.global_norm(sums)  # []
            finite = tf.math.is_finite(norm + tf.reduce_sum(metrics))  # []
            self._update(gradients, first + tf.cast(k, tf.int64), finite)
            new = tf.stack([tf.ones_like(norm), norm]), metrics  # [2], [1 + T]
            return k + 1, *(x + tf.where(finite, y, tf.zeros_like(y))
                            for x, y in zip((counts, means), new, strict=True))

        sizes, dtype = (2, 1 + self.model.glimpses), self.model.compute_dtype
        zeros = [tf.zeros([size], dtype) for size in sizes]  # [2], [1 + T]
        return tf.while_loop(lambda k, *_: k < count, one, (0, *zeros))[1:]

    def _inputs(self, count, iterator):
        """The images [S, N/R, H, W, C] and the noise [S, T, N, Z] of the next `count` steps."""
        def filled(*steps):
            empty = [[0, self.steps_per_call - count]] + [[0, 0]] * steps[0].shape.rank
            return tf.pad(tf.stack(steps), empty)  # [S, ...]

        shape = [self.model.glimpses, self.config.batch_size, self.model.config.latent_size]
        with tf.device("CPU"):  # where whole numbers cost no transfer
            steps = [self.step.value() + k for k in range(count)]  # [] each
            batches = [next(iterator) for _ in range(count)]  # [N/R, H, W, C] each
            images = self.strategy.run(filled, args=batches)  # [S, N/R, H, W, C]
        return images, filled(*(noise_for(self.config.seed, step, shape) for step in steps))

    def train(self, iterator: Iterator, steps: int) -> list[tf.Tensor]:
        """Trains for `steps` steps, and returns to Python after every steps_per_call of them.

        `iterator` is over `data.train_dataset`, as the strategy distributes it. An update whose
        metrics or gradients are not finite is skipped. Returns sums over the others: their number
        and the norm of their gradients [2], and their `losses.batch_means` [1 + T].
        """
        calls, left = [], int(steps)
        while left:
            count = min(left, self.steps_per_call)
            images, noise = self._compiled_inputs(count)(iterator)
            calls.append(self._compiled_steps(images, noise, self.step.value(), tf.constant(count)))
            self.step.assign_add(count)
            left -= count
        return [tf.add_n(sums) for sums in zip(*calls, strict=True)]

    def evaluate(self, dataset: tf.data.Dataset) -> dict:
        """The `losses.report` of the whole of a `data.eval_dataset`, every image counted once."""
        return losses.report(self.evaluator.means(dataset)[0])
