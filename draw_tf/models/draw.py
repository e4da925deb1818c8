"""DRAW: the article's model, its methods under the article's names and in its argument order.

Letters in shapes: T steps, N images, H height, W width, C channels, D hidden size, Z latent size,
R numbers read, n side of an attention grid. Images lie in [0, 1]; a canvas holds logits.
"""

import math

import keras
import tensorflow as tf

from draw_tf.config import DRAWConfig
from draw_tf.models import attention, losses
from draw_tf.models.base import ImageModel
from draw_tf.models.layers import LSTMCell, dense, flat, heads
from draw_tf.models.recurrence import scan
from draw_tf.models.steps import Generation, State, Trace

# the first state, which the paper's equations learn
FIRST = ("encoder_h", "encoder_c", "decoder_h", "decoder_c", "canvas")


@keras.saving.register_keras_serializable(package="draw_tf")
class DRAW(ImageModel):
    """Deep Recurrent Attentive Writer (Gregor et al. 2015, arXiv 1502.04623).

    Its arguments are those of `ImageModel`.
    """

    Config = DRAWConfig

    def __init__(self, config: DRAWConfig = DRAWConfig(), unroll: int = 0, **kwargs):
        super().__init__(config, unroll, **kwargs)
        sizes, dtype = self.layer_sizes(config), self.dtype_policy
        # built at once, so that a new model has its weights before its first call
        self.lstm_enc = LSTMCell(*sizes["encoder"], "encoder", dtype)
        self.lstm_dec = LSTMCell(*sizes["decoder"], "decoder", dtype)
        self.mu_layer = dense(*sizes["mu"], "mu", dtype)
        self.logsigma_layer = dense(*sizes["sigma"], "sigma", dtype)
        self.patch_layer = dense(*sizes["writeW"], "writeW", dtype)
        if config.read_attention:
            self.read_window = dense(*sizes["read"], "read", dtype)
        if config.write_attention:
            self.write_window = dense(*sizes["write"], "write", dtype)
        if config.equations == "paper":
            for name, shape in self.first_shapes(config).items():
                setattr(self, f"first_{name}", self.add_weight(
                    shape=shape, name=name, initializer="zeros"))  # [D], or [H, W, C]
        self.built = True

    @staticmethod
    def layer_sizes(config: DRAWConfig) -> dict[str, tuple[int, int]]:
        """Inputs and units of each layer, by name; "encoder" and "decoder" are the LSTM cells."""
        pixels, channels = math.prod(config.image_shape), config.image_shape[-1]
        hidden, latent = config.hidden_size, config.latent_size
        read = channels * config.read_size**2 if config.read_attention else pixels
        patch = channels * config.write_size**2 if config.write_attention else pixels
        windows = [scope for scope in ("read", "write") if getattr(config, f"{scope}_attention")]
        return {"encoder": (2 * read + hidden, hidden), "decoder": (latent, hidden),
                "mu": (hidden, latent), "sigma": (hidden, latent), "writeW": (hidden, patch),
                **dict.fromkeys(windows, (hidden, 5))}

    @staticmethod
    def first_shapes(config: DRAWConfig) -> dict[str, tuple[int, ...]]:
        """The shape of each part of an image's first state, by its name in FIRST."""
        return dict(zip(FIRST, [(config.hidden_size,)] * 4 + [config.image_shape]))

    # ------------------------------------------------------------ the article's methods

    def encode(self, prev_state, image):
        """From what was read to the distribution of z (article "Encoder", paper eq. 1-2, 5).

        The states are h and c of the encoder, [N, D] each. `image` is what was read and the
        decoder's last h, [N, R + D], or a list of the two. Returns mu, logsigma and sigma,
        [N, Z] each, and the next state.
        """
        hidden_layer, next_state = self.lstm_enc(image, prev_state)  # [N, D]
        mu, logsigma = heads(hidden_layer, self.mu_layer, self.logsigma_layer)  # [N, Z] each
        return mu, logsigma, tf.exp(logsigma), next_state  # [N, Z] three times, [N, D] twice

    def sample(self, mu, sigma, distrib):
        """z ~ N(mu, sigma^2) from standard normal noise `distrib` (paper eq. 6); all [N, Z]."""
        return mu + sigma * distrib  # [N, Z]

    def decode_layer(self, prev_state, latent):
        """From z [N, Z] to h of the decoder (article "Sampling z and decode", paper eq. 7).

        The states are h and c of the decoder, [N, D] each. Returns h, and the next state.
        """
        return self.lstm_dec(latent, prev_state)  # [N, D] and [N, D] twice

    def attn_window(self, scope, h_dec):
        """Fx [N, n, W], Fy [N, n, H] and gamma [N, 1] of a window, from h_dec [N, D].

        Article "Attention implementation", paper eq. 21-26. The scope is "read" or "write"; raises
        ValueError where the model has no such window.
        """
        window = self._window(scope, h_dec)
        return window.Fx, window.Fy, window.gamma  # [N, n, W], [N, n, H], [N, 1]

    def filterbank(self, gx, gy, sigma2, delta, size=None):
        """`attention.filterbank` for this model's images; `size` is the read grid's by default."""
        return attention.filterbank(gx, gy, sigma2, delta, *self.config.image_shape[:2],
                                    size or self.config.read_size,
                                    self.config.equations)  # [N, n, W], [N, n, H]

    def read_attention(self, x, x_hat, h_dec_prev):
        """Glimpses [N, 2 n n C] of x and x_hat [N, H, W, C] through one window (paper eq. 27)."""
        return _read(x, x_hat, self._window("read", h_dec_prev))  # [N, 2 n n C]

    def write_attention(self, hidden_layer):
        """From h of the decoder [N, D] to the stroke [N, H, W, C] (paper eq. 28-29)."""
        window = self._window("write", hidden_layer)
        return _write(self._patch(hidden_layer), window)  # [N, H, W, C]

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
        w = self.patch_layer(hidden_layer)  # [N, n n C], or [N, H W C]
        return tf.reshape(w, [-1, height, width, channels])  # [N, n, n, C], or [N, H, W, C]

    # ------------------------------------------------------------ one step

    def initial_state(self, num) -> State:
        """The state before the first step: zeros, or learned under the paper's equations."""
        with tf.name_scope("initial_state"):
            h_enc, c_enc, h_dec, c_dec, canvas = (
                tf.zeros([num, *shape], self.compute_dtype) if self.config.equations == "article"
                else tf.repeat(getattr(self, f"first_{name}")[tf.newaxis], num, axis=0)
                for name, shape in self.first_shapes(self.config).items())
        return State([h_enc, c_enc], [h_dec, c_dec], canvas)  # [N, D] four times, [N, H, W, C]

    def infer_step(self, state, noise, x) -> tuple[State, Trace]:
        """One step of the pass: read, encode, sample, draw.

        Noise is [N, Z], the images x are [N, H, W, C]. In the Trace, as in the Generation of
        `draw_step`, a window that the model does not have is ().
        """
        h_dec_prev = state.decoder[0]  # [N, D]
        with tf.name_scope("read"):
            x_hat = x - tf.sigmoid(state.canvas)  # [N, H, W, C]
            window = self._window("read", h_dec_prev) if self.config.read_attention else ()
            r = _read(x, x_hat, window)  # [N, R]
        with tf.name_scope("encode"):
            # [N, Z] three times
            mu, logsigma, sigma, encoder = self.encode(state.encoder, [r, h_dec_prev])
        with tf.name_scope("sample"):
            z = self.sample(mu, sigma, noise)  # [N, Z]
            kl_nats = losses.kl_nats(mu, logsigma)  # [N]
        drawn = self.draw_step(state.decoder, state.canvas, z)
        trace = Trace(mu=mu, logsigma=logsigma, kl_nats=kl_nats, sigma=sigma, r=r, read=window,
                      h_enc=encoder[0], c_enc=encoder[1], **drawn._asdict())
        return State(encoder, [drawn.h_dec, drawn.c_dec], drawn.canvases), trace

    def draw_step(self, decoder, canvas, z) -> Generation:
        """The second half of a step, and all of one when drawing from the prior.

        `decoder` is h and c of the decoder, [N, D] each; the canvas is [N, H, W, C], z is [N, Z].
        """
        with tf.name_scope("decode"):
            h_dec, (_, c_dec) = self.decode_layer(decoder, z)  # [N, D] each
        with tf.name_scope("write"):
            w = self._patch(h_dec)  # [N, n, n, C], or [N, H, W, C]
            window = self._window("write", h_dec) if self.config.write_attention else ()
            stroke = _write(w, window)  # [N, H, W, C]
        with tf.name_scope("canvas"):
            canvas = canvas + stroke  # [N, H, W, C]
        return Generation(canvas, w, window, h_dec, c_dec, z)

    def one_step(self, images, noise):
        """`infer_step` from the first state, for TensorBoard's graph."""
        return self.infer_step(self.initial_state(images.shape[0]), noise, images)

    # ------------------------------------------------------------ all steps

    def infer_steps(self, num, images, noise, keep):
        """The last canvas [N, H, W, C], and what `keep` returns for each step's Trace, stacked."""
        def step(state, noise, images):
            state, trace = self.infer_step(state, noise, images)
            return state, keep(trace)

        state, kept = scan(step, self.initial_state(num), noise, images, self.unroll)
        return state.canvas, kept  # [N, H, W, C], and [T, N, ...] each

    def draw_steps(self, num, noise):
        """The Generation of all steps, stacked, from latent variables `noise` [T, N, Z]."""
        def step(state, z, _):
            drawn = self.draw_step(*state, z)
            return ([drawn.h_dec, drawn.c_dec], drawn.canvases), drawn

        first = self.initial_state(num)
        return scan(step, (first.decoder, first.canvas), noise, (), self.unroll)[1]


def _read(x, x_hat, window):
    """The images [N, H, W, C], or what a window shows of them, flat and joined: [N, R]."""
    if window:
        x, x_hat = (attention.read(image, window.Fx, window.Fy, window.gamma)
                    for image in (x, x_hat))  # [N, n, n, C] each
    return flat(x, x_hat)  # [N, R]


def _write(w, window):
    """The stroke [N, H, W, C] of a patch; without a window, the patch is the stroke."""
    # [N, H, W, C]
    return attention.write(w, window.Fx, window.Fy, window.gamma) if window else w
