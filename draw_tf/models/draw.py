"""DRAW: the article's model, its methods under the article's names and in its argument order.

Letters in shapes: T glimpses, N images, H height, W width, C channels, D hidden size, Z latent
size, n side of an attention grid. Images lie in [0, 1]; a canvas holds logits.
"""

import keras
import tensorflow as tf

from draw_tf.config import DRAWConfig
from draw_tf.models import attention, losses
from draw_tf.models.base import ImageModel
from draw_tf.models.layers import LSTMCell, dense, flat, heads
from draw_tf.models.recurrence import auto_unroll, scan
from draw_tf.models.steps import DRAWOutput, Generation, Glimpse, State, Stroke, Trace

# the first state, which the paper's equations learn
FIRST = ("encoder_h", "encoder_c", "decoder_h", "decoder_c", "canvas")


@keras.saving.register_keras_serializable(package="draw_tf")
class DRAW(ImageModel):
    """Deep Recurrent Attentive Writer (Gregor et al. 2015, arXiv 1502.04623).

    Args:
      config: a DRAWConfig.
      unroll: steps unrolled in a compiled program, the rest being a loop over such pieces (see
        `draw_tf.models.recurrence`); 0 chooses by `auto_unroll`. It changes speed and memory only.
      **kwargs: of keras.Model, such as dtype="float64".
    """

    Config = DRAWConfig

    def __init__(self, config: DRAWConfig = DRAWConfig(), unroll: int = 0, **kwargs):
        super().__init__(config, **kwargs)
        self.unroll = unroll or auto_unroll(config.glimpses)
        height, width, channels = config.image_shape
        pixels = height * width * channels
        read = 2 * channels * config.read_size**2 if config.read_attention else 2 * pixels
        patch = channels * config.write_size**2 if config.write_attention else pixels

        hidden, dtype = config.hidden_size, self.dtype_policy
        # built at once, so that a new model has its weights before its first call
        self.lstm_enc = LSTMCell(read + hidden, hidden, "encoder", dtype)
        self.lstm_dec = LSTMCell(config.latent_size, hidden, "decoder", dtype)
        self.mu_layer = dense(hidden, config.latent_size, "mu", dtype)
        self.logsigma_layer = dense(hidden, config.latent_size, "sigma", dtype)
        self.patch_layer = dense(hidden, patch, "writeW", dtype)
        if config.read_attention:
            self.read_window = dense(hidden, 5, "read", dtype)
        if config.write_attention:
            self.write_window = dense(hidden, 5, "write", dtype)
        if config.equations == "paper":
            for name in FIRST:
                shape = config.image_shape if name == "canvas" else (hidden,)
                setattr(self, f"first_{name}", self.add_weight(
                    shape=shape, name=name, initializer="zeros"))  # [D], or [H, W, C]
        self.built = True

    def get_config(self) -> dict:
        """What `from_config` makes the same model of, without its weights."""
        return {**super().get_config(), "unroll": self.unroll}

    # ------------------------------------------------------------ the article's methods

    def encode(self, prev_state, image):
        """From what was read to the distribution of z (article "Encoder", paper eq. 1-2, 5).

        Args:
          prev_state: h and c of the encoder, [N, D] each.
          image: [N, R + D], what was read and the decoder's last h; or a list of the two.

        Returns:
          mu, logsigma, sigma: [N, Z] each; and the next state.
        """
        hidden_layer, next_state = self.lstm_enc(image, prev_state)  # [N, D]
        mu, logsigma = heads(hidden_layer, self.mu_layer, self.logsigma_layer)  # [N, Z] each
        return mu, logsigma, tf.exp(logsigma), next_state

    def sample(self, mu, sigma, distrib):
        """z ~ N(mu, sigma^2) from standard normal noise `distrib` (paper eq. 6); all [N, Z]."""
        return mu + sigma * distrib  # [N, Z]

    def decode_layer(self, prev_state, latent):
        """From z to what to draw (article "Sampling z and decode", paper eq. 7).

        Args:
          prev_state: h and c of the decoder, [N, D] each.
          latent: [N, Z].

        Returns:
          h of the decoder [N, D], and the next state.
        """
        return self.lstm_dec(latent, prev_state)  # [N, D] and [N, D] twice

    def attn_window(self, scope, h_dec):
        """Where to read or write (article "Attention implementation", paper eq. 21-26).

        Args:
          scope: "read" or "write"; each has its own dense layer.
          h_dec: [N, D].

        Returns:
          Fx [N, n, W], Fy [N, n, H], gamma [N, 1].

        Raises:
          ValueError: the model has no attention of this scope.
        """
        window = self._window(scope, h_dec)
        return window.Fx, window.Fy, window.gamma

    def filterbank(self, gx, gy, sigma2, delta, size=None):
        """The Gaussian filters of a window; see `attention.filterbank`.

        Args:
          gx, gy, sigma2, delta: [N, 1] each.
          size: n, side of the grid; the read grid's where None.

        Returns:
          Fx [N, n, W] and Fy [N, n, H].
        """
        return attention.filterbank(gx, gy, sigma2, delta, *self.config.image_shape[:2],
                                    size or self.config.read_size, self.config.equations)

    def read_attention(self, x, x_hat, h_dec_prev):
        """Two glimpses through one window (article `read_attention`, paper eq. 27).

        Args:
          x, x_hat: image and residual image, [N, H, W, C] each.
          h_dec_prev: [N, D].

        Returns:
          [N, 2 n n C].
        """
        return _glimpses(x, x_hat, self._window("read", h_dec_prev))  # [N, 2 n n C]

    def write_attention(self, hidden_layer):
        """One stroke through a window (article `write_attention`, paper eq. 28-29).

        Args:
          hidden_layer: h of the decoder, [N, D].

        Returns:
          [N, H, W, C], to be added to the canvas.
        """
        Fx, Fy, gamma = self.attn_window("write", hidden_layer)  # [N, n, W], [N, n, H], [N, 1]
        return attention.write(self._patch(hidden_layer), Fx, Fy, gamma)  # [N, H, W, C]

    def _window(self, scope, h_dec):
        """The whole `attention.Window` that `attn_window` returns a part of."""
        layer = getattr(self, f"{scope}_window", None)
        if layer is None:
            raise ValueError(f"scope must be that of a window of this model, got {scope!r}")
        height, width, _ = self.config.image_shape
        size = self.config.read_size if scope == "read" else self.config.write_size
        params = layer(h_dec)  # [N, 5]
        gx, gy, sigma2, delta, gamma = attention.window_parameters(
            params, height, width, size, self.config.equations)  # [N, 1] each
        Fx, Fy = self.filterbank(gx, gy, sigma2, delta, size)  # [N, n, W], [N, n, H]
        return attention.Window(gx, gy, delta, sigma2, gamma, Fx, Fy, params)

    def _patch(self, hidden_layer):
        """What is written: [N, n, n, C], or [N, H, W, C] without write attention."""
        height, width, channels = self.config.image_shape
        if self.config.write_attention:
            height = width = self.config.write_size
        return tf.reshape(self.patch_layer(hidden_layer), [-1, height, width, channels])

    # ------------------------------------------------------------ one step

    def initial_state(self, num) -> State:
        """The state before the first step: zeros, or learned under the paper's equations."""
        shapes = [[self.config.hidden_size]] * 4 + [self.config.image_shape]
        with tf.name_scope("initial_state"):
            h_enc, c_enc, h_dec, c_dec, canvas = (
                tf.zeros([num, *shape], self.compute_dtype) if self.config.equations == "article"
                else tf.repeat(getattr(self, f"first_{name}")[tf.newaxis], num, axis=0)
                for name, shape in zip(FIRST, shapes))  # [N, D] four times, [N, H, W, C]
        return State([h_enc, c_enc], [h_dec, c_dec], canvas)

    def infer_step(self, state, noise, x):
        """One step of the pass: read, encode, sample, draw.

        Args:
          state: State.
          noise: [N, Z].
          x: images [N, H, W, C].

        Returns:
          The next State, and what happened: Glimpse and Stroke.
        """
        h_dec_prev = state.decoder[0]  # [N, D]
        with tf.name_scope("read"):
            x_hat = x - tf.sigmoid(state.canvas)  # [N, H, W, C]
            window = self._window("read", h_dec_prev) if self.config.read_attention else ()
            r = _glimpses(x, x_hat, window) if window else flat(x, x_hat)  # [N, R]
        with tf.name_scope("encode"):
            mu, logsigma, sigma, encoder = self.encode(
                state.encoder, [r, h_dec_prev])  # [N, Z] three times
        with tf.name_scope("sample"):
            z = self.sample(mu, sigma, noise)  # [N, Z]
            kl_nats = losses.kl_nats(mu, logsigma)  # [N]
        glimpse = Glimpse(r, window, *encoder, mu, logsigma, sigma, z, kl_nats)
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
        with tf.name_scope("decode"):
            h_dec, decoder = self.decode_layer(decoder, z)  # [N, D]
        with tf.name_scope("write"):
            w = self._patch(h_dec)  # [N, n, n, C], or [N, H, W, C]
            window = self._window("write", h_dec) if self.config.write_attention else ()
            stroke = (attention.write(w, window.Fx, window.Fy, window.gamma) if window
                      else w)  # [N, H, W, C]
        with tf.name_scope("canvas"):
            canvas = canvas + stroke  # [N, H, W, C]
        return decoder, Stroke(*decoder, w, window, canvas)

    def one_step(self, images, noise):
        """`infer_step` from the first state, for TensorBoard's graph."""
        return self.infer_step(self.initial_state(images.shape[0]), noise, images)

    # ------------------------------------------------------------ all steps

    def call(self, images, noise=None) -> DRAWOutput:
        """Encodes and redraws images.

        Args:
          images: [N, H, W, C] in [0, 1].
          noise: standard normal, [T, N, Z]; drawn where None.

        Returns:
          DRAWOutput: logits [N, H, W, C] and kl_nats [T, N].

        Raises:
          ValueError: images or noise are of another shape.
        """
        _, _, state, kl_nats = self._infer(images, noise, lambda glimpse, stroke: glimpse.kl_nats)
        return DRAWOutput(state.canvas, kl_nats)

    def trace(self, images, noise=None) -> Trace:
        """The pass of `call`, every step of it kept.

        Args and errors are those of `call`. `window_box` in `draw_tf.models.attention` turns
        the windows of a trace into rectangles.
        """
        _, _, _, steps = self._infer(images, noise, lambda glimpse, stroke: (glimpse, stroke))
        trace = Trace(*steps[0], *steps[1])
        return trace._replace(read=trace.read or None, write=trace.write or None)

    def latents(self, images, noise=None):
        """What `log_weights` is made of: images, noise, z, logsigma, and the last canvas."""
        images, noise, state, latents = self._infer(
            images, noise, lambda glimpse, stroke: (glimpse.z, glimpse.logsigma))  # [T, N, Z]
        return images, noise, *latents, state.canvas

    def generate(self, num, noise=None, seed=None) -> Generation:
        """Draws new images from the prior (paper eq. 13-15).

        Args:
          num: N.
          noise: the latent variables themselves, standard normal [T, N, Z]; drawn where None.
          seed: a whole number that the noise is drawn from; random where None.

        Returns:
          Generation: canvases [T, N, H, W, C] in logits, write windows, and the decoder's states.

        Raises:
          ValueError: num is under 1, or noise of another shape.
        """
        if isinstance(num, int) and num < 1:  # in a graph it may be a tensor
            raise ValueError(f"num must be at least 1, got {num}")
        noise = self.check_noise(noise, num, seed)  # [T, N, Z]
        state = self.initial_state(num)

        def step(state, z, _):
            decoder, stroke = self.draw_step(*state, z)
            return (decoder, stroke.canvases), stroke

        _, strokes = scan(step, (state.decoder, state.canvas), noise, (), self.unroll)
        return Generation(*strokes)._replace(write=strokes.write or None)

    def _infer(self, images, noise, keep):
        """Runs all steps.

        Args:
          images, noise: as for `call`.
          keep: a function of a step's Glimpse and Stroke; what it returns is stacked over steps.

        Returns:
          The images and the noise as used, the last State, and what was kept.
        """
        images = self.check_images(images)  # [N, H, W, C]
        num = images.shape[0] or tf.shape(images)[0]
        noise = self.check_noise(noise, num)  # [T, N, Z]
        if self.config.shared_noise:
            noise = tf.repeat(noise[:1], self.config.glimpses, axis=0)  # [T, N, Z]

        def step(state, noise, x):
            state, (glimpse, stroke) = self.infer_step(state, noise, x)
            return state, keep(glimpse, stroke)

        return images, noise, *scan(step, self.initial_state(num), noise, images, self.unroll)


def _glimpses(x, x_hat, window):
    """What a window shows of image and residual image, [N, 2 n n C]."""
    return flat(*(attention.read(image, window.Fx, window.Fy, window.gamma)
                   for image in (x, x_hat)))  # [N, 2 n n C]

