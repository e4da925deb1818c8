"""DRAW: the article's model, its methods under the article's names and in its argument order.

Letters in shapes: T glimpses, N images, H height, W width, C channels, D hidden size, Z latent
size, n side of an attention grid. Images lie in [0, 1]; a canvas holds logits.
"""

import dataclasses

import keras
import tensorflow as tf

from draw_tf import attention
from draw_tf import losses
from draw_tf.config import DRAWConfig
from draw_tf.layers import LSTMCell, dense, heads
from draw_tf.records import DRAWOutput, Generation, Glimpse, State, Stroke, Trace
from draw_tf.scan import scan

# Up to here a whole unroll compiles in seconds and runs fastest; beyond it, pieces do.
WHOLE_UNROLL = 16
PIECE = {"CPU": 4, "GPU": 8}


def auto_unroll(glimpses):
    """Steps to unroll on this machine: all of up to 16, else 4 to a piece on a CPU, 8 on a GPU."""
    if glimpses <= WHOLE_UNROLL:
        return glimpses
    return PIECE["GPU" if tf.config.list_physical_devices("GPU") else "CPU"]


class DRAW(keras.Model):
    """Deep Recurrent Attentive Writer (Gregor et al. 2015, arXiv 1502.04623).

    Args:
      config: a DRAWConfig.
      unroll: steps unrolled in a compiled program, the rest being a loop over such pieces (see
        `draw_tf.scan`); None picks by `auto_unroll`. It changes speed and memory only.
    """

    def __init__(self, config=DRAWConfig(), unroll=None, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.unroll = unroll or auto_unroll(config.glimpses)
        height, width, channels = config.image_shape
        pixels = height * width * channels
        read = 2 * channels * config.read_size**2 if config.read_attention else 2 * pixels
        patch = channels * config.write_size**2 if config.write_attention else pixels

        hidden = config.hidden_size
        # built at once, so that a new model has its weights before its first call
        self.lstm_enc = LSTMCell(read + hidden, hidden, "encoder")
        self.lstm_dec = LSTMCell(config.latent_size, hidden, "decoder")
        self.mu_layer = dense(hidden, config.latent_size, "mu")
        self.logsigma_layer = dense(hidden, config.latent_size, "sigma")
        self.patch_layer = dense(hidden, patch, "writeW")
        self.window_layers = {}
        if config.read_attention:
            self.window_layers["read"] = dense(hidden, 5, "read")
        if config.write_attention:
            self.window_layers["write"] = dense(hidden, 5, "write")
        self.first = {}
        if config.equations == "paper":
            for name in ("encoder_h", "encoder_c", "decoder_h", "decoder_c"):
                self.first[name] = self.add_weight(shape=(config.hidden_size,), name=name,
                                                   initializer="zeros")
            self.first["canvas"] = self.add_weight(shape=config.image_shape, name="canvas",
                                                   initializer="zeros")
        # tf.train.Checkpoint finds what is an attribute, and not what is in a dictionary of Keras
        for scope, layer in self.window_layers.items():
            setattr(self, f"{scope}_window", layer)
        for name, weight in self.first.items():
            setattr(self, f"first_{name}", weight)
        self.trackers = [keras.metrics.Mean(name=name) for name in (
            "bound_nats", "recon_nats", "kl_nats")]
        self.built = True

    def get_config(self):
        return {"config": dataclasses.asdict(self.config), "unroll": self.unroll}

    @classmethod
    def from_config(cls, config):
        return cls(DRAWConfig(**config["config"]), config["unroll"])

    # ------------------------------------------------------------ the article's methods

    def encode(self, prev_state, image):
        """What was read, to the distribution of z (article "Encoder", paper eq. 1-2, 5).

        Args:
          prev_state: h and c of the encoder, [N, D] each.
          image: [N, R], what was read and the decoder's last h, joined.

        Returns:
          mu, logsigma, sigma: [N, Z] each; and the next state.
        """
        hidden_layer, next_state = self.lstm_enc(image, prev_state)  # [N, D]
        mu, logsigma = heads(hidden_layer, self.mu_layer, self.logsigma_layer)  # [N, Z] each
        return mu, logsigma, tf.exp(logsigma), next_state

    def sample(self, mu, sigma, distrib):
        """z ~ N(mu, sigma^2) from standard normal noise `distrib`; all [N, Z]."""
        return mu + sigma * distrib  # [N, Z]

    def decode_layer(self, prev_state, latent):
        """z to what to draw (article "Sampling z and decode", paper eq. 7).

        Args:
          prev_state: h and c of the decoder, [N, D] each.
          latent: [N, Z].

        Returns:
          h of the decoder [N, D], and the next state.
        """
        hidden_layer, next_state = self.lstm_dec(latent, prev_state)  # [N, D]
        return hidden_layer, next_state

    def attn_window(self, scope, h_dec, return_window=False):
        """Where to look or write (article "Attention implementation", paper eq. 21-26).

        Args:
          scope: "read" or "write"; each has its own dense layer.
          h_dec: [N, D].
          return_window: return the whole `attention.Window` instead.

        Returns:
          Fx [N, n, W], Fy [N, n, H], gamma [N, 1].

        Raises:
          ValueError: the model has no attention of this scope.
        """
        if scope not in self.window_layers:
            raise ValueError(f"scope must be one of {sorted(self.window_layers)} in this model, "
                             f"got {scope!r}")
        height, width, _ = self.config.image_shape
        size = self.config.read_size if scope == "read" else self.config.write_size
        params = self.window_layers[scope](h_dec)  # [N, 5]
        gx, gy, sigma2, delta, gamma = attention.window_parameters(
            params, height, width, size, self.config.equations)  # [N, 1] each
        Fx, Fy = self.filterbank(gx, gy, sigma2, delta, size)  # [N, n, W], [N, n, H]
        if return_window:
            return attention.Window(gx, gy, delta, sigma2, gamma, Fx, Fy, params)
        return Fx, Fy, gamma

    def filterbank(self, gx, gy, sigma2, delta, size=None):
        """The Gaussian filters of a window; see `attention.filterbank`.

        Args:
          gx, gy, sigma2, delta: [N, 1] each.
          size: n, side of the grid; the read grid's where None.

        Returns:
          Fx [N, n, W] and Fy [N, n, H].
        """
        height, width, _ = self.config.image_shape
        return attention.filterbank(gx, gy, sigma2, delta, height, width,
                                    size or self.config.read_size, self.config.equations)

    def read_attention(self, x, x_hat, h_dec_prev, return_window=False):
        """Two glimpses through one window (article `read_attention`, paper eq. 27).

        Args:
          x, x_hat: image and residual image, [N, H, W, C] each.
          h_dec_prev: [N, D].
          return_window: return the window too.

        Returns:
          [N, 2 n n C].
        """
        window = self.attn_window("read", h_dec_prev, return_window=True)
        glimpses = [attention.read(image, window.Fx, window.Fy, window.gamma)
                    for image in (x, x_hat)]  # [N, n, n, C] each
        r = _flat(*glimpses)  # [N, 2 n n C]
        return (r, window) if return_window else r

    def write_attention(self, hidden_layer, return_window=False):
        """One stroke through a window (article `write_attention`, paper eq. 28-29).

        Args:
          hidden_layer: h of the decoder, [N, D].
          return_window: return the patch [N, n, n, C] and the window too.

        Returns:
          [N, H, W, C], to be added to the canvas.
        """
        size, channels = self.config.write_size, self.config.image_shape[2]
        w = tf.reshape(self.patch_layer(hidden_layer), [-1, size, size, channels])  # [N, n, n, C]
        window = self.attn_window("write", hidden_layer, return_window=True)
        stroke = attention.write(w, window.Fx, window.Fy, window.gamma)  # [N, H, W, C]
        return (stroke, w, window) if return_window else stroke

    # ------------------------------------------------------------ one step

    def initial_state(self, num):
        """The state before the first step: zeros, or learned under the paper's equations."""
        if self.config.equations == "article":
            zeros = tf.zeros([num, self.config.hidden_size])  # [N, D]
            return State([zeros, zeros], [zeros, zeros],
                         tf.zeros([num, *self.config.image_shape]))  # [N, H, W, C]
        h_enc, c_enc, h_dec, c_dec, canvas = (
            tf.repeat(self.first[name][tf.newaxis], num, axis=0) for name in (
                "encoder_h", "encoder_c", "decoder_h", "decoder_c",
                "canvas"))  # [N, D] four times, [N, H, W, C]
        return State([h_enc, c_enc], [h_dec, c_dec], canvas)

    def infer_step(self, state, noise, x):
        """One step of the pass: look, encode, sample, draw.

        Args:
          state: State.
          noise: [N, Z].
          x: images [N, H, W, C].

        Returns:
          The next State, and what happened: Glimpse and Stroke.
        """
        x_hat = x - tf.sigmoid(state.canvas)  # [N, H, W, C]
        h_dec_prev = state.decoder[0]  # [N, D]
        window = ()
        if self.config.read_attention:
            r, window = self.read_attention(x, x_hat, h_dec_prev, return_window=True)
        else:
            r = _flat(x, x_hat)  # [N, 2 H W C]
        mu, logsigma, sigma, encoder = self.encode(
            state.encoder, tf.concat([r, h_dec_prev], axis=1))
        z = self.sample(mu, sigma, noise)  # [N, Z]
        glimpse = Glimpse(r, window, *encoder, mu, logsigma, sigma, z,
                          losses.kl_nats(mu, logsigma))
        decoder, stroke = self.draw_step(state.decoder, state.canvas, z)
        return State(encoder, decoder, stroke.canvases), (glimpse, stroke)

    def draw_step(self, decoder, canvas, z):
        """The second half of a step, and all of one when drawing from the prior.

        Args:
          decoder: h and c of the decoder, [N, D] each.
          canvas: [N, H, W, C].
          z: [N, Z].

        Returns:
          The decoder's next state, and the Stroke.
        """
        h_dec, decoder = self.decode_layer(decoder, z)  # [N, D]
        window = ()
        if self.config.write_attention:
            stroke, w, window = self.write_attention(h_dec, return_window=True)
        else:
            w = tf.reshape(self.patch_layer(h_dec), tf.shape(canvas))  # [N, H, W, C]
            stroke = w  # [N, H, W, C]
        return decoder, Stroke(*decoder, w, window, canvas + stroke)

    # ------------------------------------------------------------ all steps

    def call(self, images, noise=None):
        """Encodes and redraws images.

        Args:
          images: [N, H, W, C] in [0, 1].
          noise: standard normal, [T, N, Z]; drawn where None.

        Returns:
          DRAWOutput: logits [N, H, W, C] and kl_nats [T, N].

        Raises:
          ValueError: images or noise are of another shape.
        """
        state, kl_nats = self._infer(images, noise, lambda glimpse, stroke: glimpse.kl_nats)
        return DRAWOutput(state.canvas, kl_nats)

    def trace(self, images, noise=None):
        """The pass of `call`, every step of it kept.

        Args and errors are those of `call`.

        Returns:
          Trace; `window_box` in `draw_tf.attention` turns its windows into rectangles.
        """
        _, steps = self._infer(images, noise, lambda glimpse, stroke: (glimpse, stroke))
        trace = Trace(*steps[0], *steps[1])
        return trace._replace(read=trace.read or None, write=trace.write or None)

    def log_weights(self, images, noise=None):
        """log p(images, z) - log q(z | images) of one sample of z, for importance weighting.

        Args and errors are those of `call`.

        Returns:
          [N], nats an image.
        """
        images, noise = self._check(images, noise)
        state, (z, logsigma) = self._infer(
            images, noise, lambda glimpse, stroke: (glimpse.z, glimpse.logsigma))  # [T, N, Z]
        ratios = tf.vectorized_map(lambda step: losses.log_prior_ratio(*step),
                                   (z, noise, logsigma))  # [T, N]
        return tf.reduce_sum(ratios, axis=0) - losses.reconstruction_nats(images, state.canvas)

    def generate(self, num, noise=None, seed=None):
        """Draws new images from the prior.

        Args:
          num: N.
          noise: the latent variables themselves, standard normal [T, N, Z]; drawn where None.
          seed: a whole number that the noise is drawn from; random where None.

        Returns:
          Generation: canvases [T, N, H, W, C] in logits, write windows, and the decoder's states.

        Raises:
          ValueError: num is under 1, or noise of another shape.
        """
        if num < 1:
            raise ValueError(f"num must be at least 1, got {num}")
        config = self.config
        shape = [config.glimpses, num, config.latent_size]
        if noise is None:
            noise = (tf.random.normal(shape) if seed is None else
                     tf.random.stateless_normal(shape, [seed, 0]))  # [T, N, Z]
        noise = self._check_noise(noise, num)
        state = self.initial_state(num)

        def step(state, z, _):
            decoder, stroke = self.draw_step(*state, z)
            return (decoder, stroke.canvases), stroke

        _, strokes = scan(step, (state.decoder, state.canvas), noise, (), self.unroll)
        return Generation(*strokes)._replace(write=strokes.write or None)

    def _infer(self, images, noise, keep):
        """Runs all steps; `keep(glimpse, stroke)` picks what is stacked over them."""
        images, noise = self._check(images, noise)

        def step(state, noise, x):
            state, (glimpse, stroke) = self.infer_step(state, noise, x)
            return state, keep(glimpse, stroke)

        return scan(step, self.initial_state(tf.shape(images)[0]), noise, images, self.unroll)

    def _check(self, images, noise):
        images = tf.convert_to_tensor(images)  # [N, H, W, C]
        if not images.dtype.is_floating:  # grey levels in 0..255 would pass for probabilities
            raise ValueError(f"images must be floating point in [0, 1], got {images.dtype.name}")
        images = tf.cast(images, self.compute_dtype)  # [N, H, W, C]
        if images.shape.rank != 4 or tuple(images.shape[1:]) != self.config.image_shape:
            raise ValueError(f"images must be [N, *{self.config.image_shape}], "
                             f"got {tuple(images.shape)}")
        if noise is None:
            noise = tf.random.normal([self.config.glimpses, tf.shape(images)[0],
                                      self.config.latent_size])  # [T, N, Z]
        noise = self._check_noise(noise, images.shape[0])
        if self.config.shared_noise:
            noise = tf.repeat(noise[:1], self.config.glimpses, axis=0)  # [T, N, Z]
        return images, noise

    def _check_noise(self, noise, num):
        noise = tf.convert_to_tensor(noise, self.compute_dtype)  # [T, N, Z]
        shape = (self.config.glimpses, num, self.config.latent_size)
        if not noise.shape.is_compatible_with(shape):
            raise ValueError(f"noise must be {shape}, got {tuple(noise.shape)}")
        return tf.ensure_shape(noise, shape)

    # ------------------------------------------------------------ training

    def bound(self, images, noise=None):
        """The two terms of the bound on -log p(images), to be minimised.

        Args and errors are those of `call`.

        Returns:
          recon_nats [N] and kl_nats [T, N], nats an image.
        """
        output = self(images, noise)
        images = tf.cast(images, output.logits.dtype)  # [N, H, W, C]; as Keras cast them for call
        return losses.reconstruction_nats(images, output.logits), output.kl_nats

    def bound_and_gradients(self, images, noise=None):
        """The terms of `bound`, and the gradients of its mean over the batch.

        Returns:
          recon_nats [N], kl_nats [T, N], and a gradient for each trainable variable.
        """
        with tf.GradientTape() as tape:
            recon_nats, kl_nats = self.bound(images, noise)  # [N], [T, N]
            loss = tf.reduce_mean(recon_nats + tf.reduce_sum(kl_nats, axis=0))  # []
        return recon_nats, kl_nats, tape.gradient(loss, self.trainable_variables)

    @property
    def metrics(self):
        """The running means that Keras's `fit` and `evaluate` report, in nats an image."""
        return list(self.trackers)

    def train_step(self, data):
        """A step of Keras's `fit`."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        recon_nats, kl_nats, gradients = self.bound_and_gradients(images)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._track(recon_nats, kl_nats)

    def test_step(self, data):
        """A step of Keras's `evaluate`."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._track(*self.bound(images))

    def _track(self, recon_nats, kl_nats):
        kl_nats = tf.reduce_sum(kl_nats, axis=0)  # [N]
        for tracker, nats in zip(self.trackers, (recon_nats + kl_nats, recon_nats, kl_nats)):
            tracker.update_state(nats)
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def predict_step(self, data):
        """Keras's `predict`: the images redrawn, probabilities [N, H, W, C]."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return tf.sigmoid(self(images).logits)  # [N, H, W, C]


def _flat(*images):
    """Joins images, flattened: [N, ...] each to [N, sum of their sizes]."""
    return tf.concat([tf.reshape(image, [tf.shape(image)[0], -1]) for image in images], axis=1)
