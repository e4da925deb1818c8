"""The update: gradients, clipping, Adam and the average, on one device or several.

What happens at a step follows from (seed, step) alone: the batch (`draw_tf.data`), and the noise,
both drawn outside the compiled program, so that every mode and number of devices sees the same.
A checkpoint therefore holds weights, optimizer and the step, and resuming is exact.
"""

import keras
import tensorflow as tf

from draw_tf import checkpoint as checkpoints
from draw_tf import losses
from draw_tf.evaluation import Evaluator
from draw_tf.initial import start_from_data
from draw_tf.model import DRAW
from draw_tf.noise import TRAINING, noise_for
from draw_tf.schedules import learning_rate


def use_xla(jit_compile):
    """Whether to compile with XLA; "auto" does, being faster on CPUs and GPUs alike."""
    return jit_compile != "false"


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
        self._sum = tf.function(self._sum)
        self.evaluator = Evaluator(self.evaluated, jit)

    def start(self, images):
        """Sets the first weights as the `start` setting asks, from the training `data.Images`."""
        if self.config.start == "data":
            start_from_data(self.model, images.mean())
            self.evaluated.set_weights(self.model.get_weights())

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
        if self.config.average_decay:
            step = tf.cast(self.step, tf.float32)  # []
            # a young average forgets faster, or it would long hold the initial weights
            decay = tf.minimum(self.config.average_decay, (1 + step) / (10 + step))  # []
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

    def agree(self, wish):
        """Whether any of the processes that train together, all asked at this step, wishes so."""
        if self.config.distribute != "multi_worker":
            return wish
        return bool(self._sum(tf.constant(float(wish))) > 0)

    def _sum(self, x):
        """The sum [] of each replica's x []."""
        context = tf.distribute.get_replica_context
        total = self.strategy.run(
            # a copy, for only what a replica made can be reduced
            lambda: context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(x)))  # []
        return self.strategy.experimental_local_results(total)[0]

    # ------------------------------------------------------------ evaluation

    def evaluate(self, dataset):
        """The bound over a whole data set, every image counted once.

        Args:
          dataset: from `data.eval_dataset`.

        Returns:
          `losses.report`: the terms of the bound in nats an image.
        """
        return losses.report(self.evaluator.means(dataset)[0])
