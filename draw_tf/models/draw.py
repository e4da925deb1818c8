"""DRAW: the article's model, its methods under the article's names and in its argument order.

Letters in shapes: T steps, N images, H height, W width, C channels, D hidden size, Z latent size,
R numbers read, n side of an attention grid. Images lie in [0, 1]; a canvas holds logits.
"""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from draw_tf.config import DRAWConfig
from draw_tf.models import attention, losses, start
from draw_tf.models.base import ImageModel
from draw_tf.models.layers import LSTMCell, ZeroState, affine, dense, flat
from draw_tf.models.recurrence import scan
from draw_tf.models.steps import Count, Generation, State, Steps, Trace

# the parts of the first state, which are learned under the paper's equations
FIRST = ("encoder_h", "encoder_c", "decoder_h", "decoder_c", "canvas")


def grid_sizes(config: DRAWConfig) -> dict[str, int]:
    """The side n of the grid of each window that a model has, of "read" and "write"."""
    sizes = {"read": config.read_size, "write": config.write_size}
    return {scope: n for scope, n in sizes.items() if getattr(config, f"{scope}_attention")}


@keras.saving.register_keras_serializable(package="draw_tf")
class DRAW(ImageModel):
    """Deep Recurrent Attentive Writer (Gregor et al. 2015, arXiv 1502.04623).

    >>> images = draw_tf.data.load("digits", "train").floats()  # [N, 28, 28, 1] in [0, 1]
    >>> model = draw_tf.DRAW(draw_tf.DRAWConfig(glimpses=10))
    >>> model.compile("adam")
    >>> history = model.fit(images, batch_size=64, verbose=0)
    >>> draw_tf.save("strokes.gif", model, model.generate(16))
    """

    Config = DRAWConfig
    config: DRAWConfig
    has_strokes = True

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
        for name, shape in self.first_shapes(config).items():
            setattr(self, f"first_{name}", self.add_weight(
                shape, "zeros", name=name))  # [D], or [H, W, C]
        self.built = True

    @staticmethod
    def layer_sizes(config: DRAWConfig) -> dict[str, tuple[int, int]]:
        """Inputs and units of each layer, by name; "encoder" and "decoder" are the LSTM cells."""
        pixels, channels = math.prod(config.image_shape), config.image_shape[-1]
        hidden, latent, sizes = config.hidden_size, config.latent_size, grid_sizes(config)
        read = channels * config.read_size**2 if config.read_attention else pixels
        patch = channels * config.write_size**2 if config.write_attention else pixels
        return {"encoder": (2 * read + hidden, hidden), "decoder": (latent, hidden),
                "mu": (hidden, latent), "sigma": (hidden, latent), "writeW": (hidden, patch),
                **dict.fromkeys(sizes, (hidden, 5))}

    @staticmethod
    def first_shapes(config: DRAWConfig) -> dict[str, tuple[int, ...]]:
        """The shape of each part of the first state that is learned, by its name in FIRST."""
        shapes = [(config.hidden_size,)] * 4 + [config.image_shape]
        return dict(zip(FIRST, shapes, strict=True)) if config.equations == "paper" else {}

    # ------------------------------------------------------------ the article's methods

    def encode(self, prev_state: list, image: tf.Tensor) -> tuple[
            tf.Tensor, tf.Tensor, tf.Tensor, list]:
        """From what was read to the distribution of z (article "Encoder", paper eq. 1-2, 5).

        Args:
          prev_state: h and c of the encoder, [N, D] each.
          image: what was read and the decoder's last h, joined: [N, R + D]. Where that h is zeros
            by definition, at the article's first step, it may be what was read alone: [N, R].

        Returns:
          mu, logsigma and sigma of z, [N, Z] each, and the next h and c of the encoder.
        """
        hidden_layer, next_state = self.lstm_enc(image, states=prev_state)  # [N, D], and twice
        # both in one product: training is 1.08 times as fast
        heads = self.mu_layer, self.logsigma_layer
        kernel = tf.concat([layer.kernel for layer in heads], axis=1)  # [D, 2 Z]
        bias = tf.concat([layer.bias for layer in heads], axis=0)  # [2 Z]
        mu, logsigma = tf.split(affine([(hidden_layer, kernel)], bias), 2, axis=1)  # [N, Z] each
        # as Keras does where it calls a layer
        for layer, output in zip(heads, (mu, logsigma), strict=True):
            if layer.activity_regularizer:
                self.add_loss(layer.activity_regularizer(output))
        return mu, logsigma, tf.exp(logsigma), next_state

    def sample(self, mu: tf.Tensor, sigma: tf.Tensor, distrib: tf.Tensor) -> tf.Tensor:
        """z ~ N(mu, sigma^2) from standard normal noise `distrib` (paper eq. 6); all [N, Z]."""
        return mu + sigma * distrib

    def decode_layer(self, prev_state: list, latent: tf.Tensor) -> tuple[tf.Tensor, list]:
        """From z [N, Z] to h of the decoder, and its next h and c, [N, D] each.

        Article "Sampling z and decode", paper eq. 7.
        """
        return self.lstm_dec(latent, states=prev_state)

    def attn_window(self, scope: str, h_dec: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Fx [N, n, W], Fy [N, n, H] and gamma [N, 1] of a window, from h_dec [N, D].

        Article "Attention implementation", paper eq. 21-26. The scope is "read" or "write"; raises
        ValueError where the model has no such window.
        """
        grid = self._grid(scope)
        params = getattr(self, f"{scope}_window")(h_dec)  # [N, 5]
        gx, gy, sigma2, delta, gamma = attention.window_parameters(params, *grid)  # [N, 1] each
        Fx, Fy = self.filterbank(gx, gy, sigma2, delta, grid_sizes(self.config)[scope])
        return Fx, Fy, gamma  # [N, n, W], [N, n, H], [N, 1]

    def filterbank(self, gx: tf.Tensor, gy: tf.Tensor, sigma2: tf.Tensor, delta: tf.Tensor,
                   size: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Fx [N, n, W] and Fy [N, n, H] of a grid of side n = `size`, from [N, 1] each.

        See `attention.filterbank`, and `attention.Window` for the units. The size may be left out
        where the model's grids have only one; ValueError is raised where they have two, or the
        model has no grid.
        """
        if size is None:
            sizes = set(grid_sizes(self.config).values())
            if len(sizes) != 1:
                raise ValueError("size must be given, the sides of this model's grids being "
                                 f"{sorted(sizes)}, got None")
            size, = sizes
        grid = *self.config.image_shape[:2], size, self.config.equations
        return attention.filterbank(gx, gy, sigma2, delta, *grid)  # [N, n, W], [N, n, H]

    def read_attention(self, x: tf.Tensor, x_hat: tf.Tensor, h_dec_prev: tf.Tensor) -> tf.Tensor:
        """What the encoder sees of x and x_hat, both [N, H, W, C]: [N, R] (paper eq. 27).

        Through the window that h_dec_prev [N, D] sets; without read attention, all of both images.
        """
        if not self.config.read_attention:
            return flat(x, x_hat)  # [N, 2 H W C]
        Fx, Fy, gamma = self.attn_window("read", h_dec_prev)  # [N, n, W], [N, n, H], [N, 1]
        x = attention.read(x, Fx, Fy, gamma)  # [N, n, n, C]
        x_hat = attention.read(x_hat, Fx, Fy, gamma)  # [N, n, n, C]
        return flat(x, x_hat)  # [N, 2 n n C]

    def write_attention(self, hidden_layer: tf.Tensor) -> tf.Tensor:
        """From h of the decoder [N, D] to the stroke [N, H, W, C] (paper eq. 28-29).

        Without write attention, the stroke is what the dense layer gives for the whole image.
        """
        w = self._patch(hidden_layer)  # [N, n, n, C], or [N, H, W, C]
        if not self.config.write_attention:
            return w
        Fx, Fy, gamma = self.attn_window("write", hidden_layer)  # [N, n, W], [N, n, H], [N, 1]
        return attention.write(w, Fx, Fy, gamma)  # [N, H, W, C]

    # ------------------------------------------------------------ one step

    def initial_state(self, num: Count) -> State:
        """The state before the first step: zeros, or learned under the paper's equations."""
        with tf.name_scope("initial_state"):
            if self.config.equations == "article":
                shape = num, *self.config.image_shape
                canvas = tf.zeros(shape, self.compute_dtype)  # [N, H, W, C]
                return State(self.lstm_enc.zero_state(num), self.lstm_dec.zero_state(num), canvas)
            h_enc, c_enc, h_dec, c_dec, canvas = (
                tf.repeat(getattr(self, f"first_{name}")[tf.newaxis], num, axis=0)
                for name in FIRST)
            return State([h_enc, c_enc], [h_dec, c_dec], canvas)  # [N, D] each, [N, H, W, C]

    def infer_step(self, state: State, noise: tf.Tensor,
                   x: tf.Tensor) -> tuple[State, dict[str, tf.Tensor]]:
        """One step of the pass, as in the article's loop; noise is [N, Z], images x [N, H, W, C].

        Returns the next state, and what a Trace holds of the step, by its names.
        """
        h_dec_prev = state.decoder[0]  # [N, D]
        with tf.name_scope("read"):
            x_hat = x - tf.sigmoid(state.canvas)  # [N, H, W, C]
            r = self.read_attention(x, x_hat, h_dec_prev)  # [N, R]
        with tf.name_scope("encode"):
            known_zeros = isinstance(state.decoder, ZeroState)
            # [N, R + D], or [N, R] where h_dec_prev is known to be zeros
            image = r if known_zeros else tf.concat([r, h_dec_prev], axis=1)
            mu, logsigma, sigma, enc_state = self.encode(state.encoder, image)  # [N, Z] each
        with tf.name_scope("sample"):
            z = self.sample(mu, sigma, noise)  # [N, Z]
            kl_nats = losses.kl_nats(mu, logsigma)  # [N]
        # [N, D] twice, [N, H, W, C]
        dec_state, canvas = self.draw_step(state.decoder, state.canvas, z)
        (h_enc, c_enc), (h_dec, c_dec) = enc_state, dec_state  # [N, D] each
        return State(enc_state, dec_state, canvas), dict(
            canvases=canvas, z=z, mu=mu, logsigma=logsigma, sigma=sigma, kl_nats=kl_nats, r=r,
            h_enc=h_enc, c_enc=c_enc, h_dec=h_dec, c_dec=c_dec)

    def draw_step(self, dec_state: list, c_prev: tf.Tensor,
                  z: tf.Tensor) -> tuple[list, tf.Tensor]:
        """The second half of a step, and all of one when drawing from the prior.

        From h and c of the decoder [N, D] each, the canvas [N, H, W, C] and z [N, Z] to the next
        h and c, and the next canvas.
        """
        with tf.name_scope("decode"):
            h_dec, dec_state = self.decode_layer(dec_state, z)  # [N, D], and twice
        with tf.name_scope("write"):
            c = c_prev + self.write_attention(h_dec)  # [N, H, W, C]
        return dec_state, c

    def one_step(self, images: tf.Tensor, noise: tf.Tensor) -> tuple:
        """`infer_step` from the first state, for TensorBoard's graph."""
        return self.infer_step(self.initial_state(images.shape[0]), noise, images)

    # ------------------------------------------------------------ all steps

    def infer_steps(self, num: Count, images: tf.Tensor, noise: tf.Tensor,
                    keep: Sequence[str]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The last canvas [N, H, W, C], and what a Trace holds of all steps, by name.

        Of these, only the names in `keep` are kept, or all where it is empty.
        """
        def step(state, noise, images):
            state, parts = self.infer_step(state, noise, images)
            return state, {name: parts[name] for name in keep or parts}

        state, kept = scan(step, self.initial_state(num), noise, images, self.unroll)
        return state.canvas, kept  # [N, H, W, C], and [T, N, ...] each

    def draw_steps(self, num: Count, noise: tf.Tensor) -> Generation:
        """All steps from latent variables `noise` [T, N, Z], without the windows."""
        def step(state, z, _):
            dec_state, canvas = self.draw_step(state[0], state[1], z)  # [N, D] twice, [N, H, W, C]
            return (dec_state, canvas), (canvas, *dec_state)

        _, decoder, canvas = self.initial_state(num)  # [N, D] twice, [N, H, W, C]
        _, (canvases, h_dec, c_dec) = scan(step, (decoder, canvas), noise, (), self.unroll)
        return Generation(canvases, noise, h_dec, c_dec)  # [T, N, ...] each

    def with_windows(self, steps: Steps) -> Steps:
        """Adds to all steps where the model read and wrote, and the patches that it wrote."""
        h_dec: tf.Tensor = steps.h_dec  # [T, N, D]
        set_by = {"write": h_dec}
        if isinstance(steps, Trace):
            first = self.initial_state(h_dec.shape[1] or tf.shape(h_dec)[1]).decoder[0]  # [N, D]
            # a step reads where h_dec of the step before it says
            set_by["read"] = tf.concat([first[tf.newaxis], h_dec[:-1]], axis=0)  # [T, N, D]
        rows = {scope: tf.reshape(h, [-1, h.shape[-1]]) for scope, h in set_by.items()}  # [T N, D]
        added = {scope: self._window(scope, rows[scope])
                 for scope in grid_sizes(self.config) if scope in rows}
        added["w"] = self._patch(rows["write"])  # [T N, n, n, C], or [T N, H, W, C]
        return steps._replace(**tf.nest.map_structure(
            lambda x: tf.reshape(x, [self.glimpses, -1, *x.shape[1:]]), added))  # [T, N, ...] each

    def boxes(self, steps: Trace | Generation) -> dict[str, attention.Box]:
        """The rectangles, in pixels, of the windows "read" and "write" that `steps` has."""
        return {scope: attention.window_box(getattr(steps, scope), size, self.config.equations)
                for scope, size in grid_sizes(self.config).items()
                if getattr(steps, scope, None) is not None}

    def start_from(self, log_odds: np.ndarray) -> None:
        """Sets biases so that windows cover the image and `log_odds` [H, W, C] are drawn.

        Under the paper's equations, `log_odds` become the first canvas.
        """
        for scope in grid_sizes(self.config):
            window = start.covering_window(*self._grid(scope))  # [5]
            getattr(self, f"{scope}_window").bias.assign(window)
        if self.config.equations == "paper":
            self.first_canvas.assign(log_odds)  # [H, W, C]
            return
        # the article has no first canvas: there, the same patch is written at each step
        patch = log_odds / self.glimpses  # [H, W, C]
        if self.config.write_attention:
            size, equations = self.config.write_size, self.config.equations
            patch = start.nearest_patch(patch, size, equations)  # [n, n, C]
        self.patch_layer.bias.assign(np.ravel(patch))

    # ------------------------------------------------------------ parts of windows

    def _grid(self, scope):
        """H, W, n and the equations of a window; raises ValueError where the model has none."""
        if scope not in grid_sizes(self.config):
            raise ValueError(f"scope must be that of a window of this model, got {scope!r}")
        height, width, _ = self.config.image_shape
        return height, width, grid_sizes(self.config)[scope], self.config.equations

    def _window(self, scope, h_dec):
        """The Window that h_dec [N, D] sets."""
        params = getattr(self, f"{scope}_window")(h_dec)  # [N, 5]
        gx, gy, sigma2, delta, _ = attention.window_parameters(
            params, *self._grid(scope))  # [N, 1] each
        Fx, Fy, gamma = self.attn_window(scope, h_dec)  # [N, n, W], [N, n, H], [N, 1]
        return attention.Window(gx=gx, gy=gy, delta=delta, sigma2=sigma2, gamma=gamma, Fx=Fx,
                                Fy=Fy, params=params)

    def _patch(self, hidden_layer):
        """What is written: [N, n, n, C], or [N, H, W, C] without write attention."""
        height, width, channels = self.config.image_shape
        if self.config.write_attention:
            height = width = self.config.write_size
        w = self.patch_layer(hidden_layer)  # [N, n n C], or [N, H W C]
        return tf.reshape(w, [-1, height, width, channels])  # [N, n, n, C], or [N, H, W, C]
