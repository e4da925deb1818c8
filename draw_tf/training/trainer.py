"""The update: gradients, clipping, Adam and the average, on one device or several.

What happens at a step follows from (seed, step) alone: the batch (`draw_tf.data`), and the noise,
both drawn outside the compiled program, so that every mode and number of devices sees the same.
A checkpoint therefore holds weights, optimizer and the step, and resuming is exact.
"""

import functools

import keras
import tensorflow as tf

from draw_tf import checkpoints
from draw_tf.checkpoints import saves
from draw_tf.config import ModelConfig, TrainConfig
from draw_tf.data import Images
from draw_tf.errors import ConfigError, TrainingError, WorkdirError
from draw_tf.evaluation import Evaluator
from draw_tf.models import losses, make_model
from draw_tf.noise import noise_for
from draw_tf.training.optimizer import make_optimizer


class Trainer:
    """A model, its optimizer and its compiled functions, on one device or those of a strategy."""

    def __init__(self, model_config: ModelConfig, config: TrainConfig,
                 strategy: tf.distribute.Strategy | None = None):
        self.config = config
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        keras.utils.set_random_seed(config.seed)
        with self.strategy.scope():
            self.model = make_model(model_config, config.unroll)
            # what is evaluated and drawn from: the averaged weights where there are any
            self.evaluated = (make_model(model_config, config.unroll) if config.average_decay
                              else self.model)
            self.optimizer = make_optimizer(
                config, getattr(model_config, "equations", "paper"), self.replicas)
            self.optimizer.build(self.model.trainable_variables)
        self.evaluated.set_weights(self.model.get_weights())
        self.step = tf.Variable(0, dtype=tf.int64)
        self.skipped_in_a_row = tf.Variable(0, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, dtype=tf.float64)  # of training, for the log
        # without autograph, which only `train` needs, tracing takes less time
        graph = functools.partial(tf.function, autograph=False)
        self._gradients = graph(self._gradients, jit_compile=config.jit_compile)
        # XLA compiles no update of a variable that several devices hold
        self._update = graph(self._update, jit_compile=config.jit_compile and self.replicas == 1)
        self._step_gradients = graph(self._step_gradients)
        self._step_update = graph(self._step_update)
        if self.replicas == 1:
            # a graph cannot make updates on several devices conditional: there, Python decides
            self.train = tf.function(self.train)
        self._sum = graph(self._sum)
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

    def check_workers(self) -> None:
        """Raises TrainingError unless all processes that train together are at the same step."""
        if self.config.distribute == "multi_worker":
            step = tf.cast(self.step, tf.float64)  # []
            if self.agree(bool(self._sum(step) != self.replicas * step)):
                raise TrainingError(
                    f"the workers would start at different steps (this one at {int(step)}): give "
                    "all of them the same --workdir, in a folder that they share")

    def _gradients(self, images, noise):
        """This replica's share of a step's metrics [1 + T] and of its gradients."""
        recon_nats, kl_nats, gradients = self.model.bound_and_gradients(images, noise)
        metrics = losses.batch_means(recon_nats, kl_nats)  # [1 + T]
        return [x / self.replicas for x in (metrics, *gradients)]

    def _replica_step(self, images):
        """The metrics and gradients of a step, summed over all replicas."""
        config = self.model.config
        noise = noise_for(self.config.seed, self.step, [
            self.model.glimpses, self.config.batch_size, config.latent_size])  # [T, N, Z]
        context = tf.distribute.get_replica_context()
        rows = self.config.batch_size // self.replicas
        first = context.replica_id_in_sync_group * rows
        share = self._gradients(images, noise[:, first:first + rows])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, share)

    def _update(self, gradients):
        """Clips and applies a step's gradients."""
        # under a strategy, Keras sums over replicas what is already their sum
        gradients = [x / self.replicas for x in gradients]
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
        if self.config.average_decay:
            step = tf.cast(self.step, self.model.variable_dtype)  # []
            # a young average forgets faster, or it would long hold the initial weights
            young = (1 + step) / (10 + step)  # []
            decay = tf.minimum(tf.cast(self.config.average_decay, young.dtype), young)  # []
            for average, now in zip(self.evaluated.trainable_variables,
                                    self.model.trainable_variables):
                self.strategy.extended.update(
                    average.value, lambda a, x: a.assign(decay * a + (1 - decay) * x),
                    args=(now.value,))

    def train(self, iterator, steps) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains for `steps` steps (a tensor), on one device without returning to Python.

        An update whose metrics or gradients are not finite is skipped. `iterator` is over
        `data.train_dataset`, as the strategy distributes it.

        Returns:
          Sums over the updates made: their number and the norm of their gradients [2], and their
          `losses.batch_means` [1 + T].
        """
        dtype = self.model.compute_dtype
        counts = tf.zeros([2], dtype)  # [2]
        means = tf.zeros([1 + self.model.glimpses], dtype)  # [1 + T]
        for _ in tf.range(steps):
            new_means, gradients, norm = self._step_gradients(iterator)
            if tf.math.is_finite(norm + tf.reduce_sum(new_means)):
                self._step_update(gradients)
                counts, means = counts + tf.stack([tf.ones_like(norm), norm]), means + new_means
                self.skipped_in_a_row.assign(0)
            else:
                self.skipped_in_a_row.assign_add(1)
            self.step.assign_add(1)
        return counts, means

    def agree(self, wish: bool) -> bool:
        """Whether any of the processes that train together wishes so; each asks at this step."""
        if self.config.distribute != "multi_worker":
            return wish
        return bool(self._sum(tf.constant(float(wish))) > 0)

    def _sum(self, x):
        """The sum [] of each replica's x []."""
        # a copy, for only what a replica made can be reduced
        return self.strategy.reduce("SUM", self.strategy.run(tf.identity, args=(x,)), axis=None)

    def evaluate(self, dataset) -> dict:
        """The `losses.report` of the whole of a `data.eval_dataset`, every image counted once."""
        return losses.report(self.evaluator.means(dataset)[0])
