"""DRAW in NumPy float64: what the tests hold the TensorFlow model against.

Written from the equations of Gregor et al. 2015 (arXiv 1502.04623) and of the article's listing,
on purpose without the package's code: nothing of it is imported or copied here, so a mistake would
have to be made twice, in two styles, to pass unseen. It is meant to be obviously right, not fast:
the attention goes image by image, grid point by grid point, with no batched product to get wrong.
Weights may be complex: then all results are, and f(w + ih v) = f(w) + ih f'(w) v for a tiny h gives
the slope of f along v with no rounding of differences ("complex-step" differentiation).

The letters are those of the package: N images, T glimpses, H x W pixels, C channels, an n x n grid,
Z latent numbers, D hidden units. Canvases are logits. `config` is any object that has the fields of
the package's model config, `weights` a dict of arrays under the names that `random_weights` lists.
"""

import numpy as np

ROW_SUM_FLOOR = 1e-8  # a filter far off the image sums to almost nothing: never divide by less


def draw(config, weights, images, noise):
    """One pass of inference: look at images, draw them step by step, and price the result.

    Args:
      config: image_shape (H, W, C), glimpses, hidden_size, latent_size, read_size, write_size,
        read_attention, write_attention, equations ("article" or "paper"), shared_noise.
      weights: see `random_weights`.
      images: [N, H, W, C], in [0, 1].
      noise: [T, N, Z], standard normal; with shared_noise every step uses noise[0].

    Returns:
      A dict of arrays. Step first, [T, N, ...]: mu, logsigma, sigma, z, r, w, h_enc, c_enc,
      h_dec, c_dec, canvases [T, N, H, W, C], kl_nats [T, N], and for the windows in use `read_` and
      `write_` in front of params [T, N, 5], gx, gy, delta, sigma2, gamma [T, N, 1], Fx [T, N, n, W]
      and Fy [T, N, n, H]. Over the whole pass: recon_nats [N] and bound_nats [N].
    """
    weights = _at_least_float64(weights)
    images = np.asarray(images, np.float64)  # [N, H, W, C]
    noise = np.asarray(noise, np.float64)  # [T, N, Z]

    canvas, encoder, decoder = _first_state(config, weights, len(images))
    steps = []
    for t in range(config.glimpses):
        epsilon = noise[0] if config.shared_noise else noise[t]  # [N, Z]
        h_dec_prev = decoder[0]  # [N, D]

        x_hat = images - _sigmoid(canvas)  # [N, H, W, C]
        r, read_window = _read(config, weights, images, x_hat, h_dec_prev)  # [N, 2nnC]
        encoder = _lstm(weights, "encoder", np.concatenate([r, h_dec_prev], axis=1), encoder)
        mu = _dense(weights, "mu", encoder[0])  # [N, Z]
        logsigma = _dense(weights, "sigma", encoder[0])  # [N, Z]
        sigma = np.exp(logsigma)  # [N, Z]
        z = mu + sigma * epsilon  # [N, Z]
        canvas, decoder, drawn = _decode(config, weights, z, canvas, decoder)

        # KL(N(mu, sigma^2) || N(0, 1)), summed over the latent numbers of this step.
        kl = 0.5 * np.sum(mu**2 + sigma**2 - 2.0 * logsigma - 1.0, axis=1)  # [N]
        looked = dict(mu=mu, logsigma=logsigma, sigma=sigma, z=z, r=r, kl_nats=kl,
                      h_enc=encoder[0], c_enc=encoder[1])
        steps.append({**looked, **read_window, **drawn})

    result = _stack(steps)
    result["recon_nats"] = _cross_entropy(images, canvas)  # [N]
    result["bound_nats"] = result["recon_nats"] + result["kl_nats"].sum(axis=0)  # [N]
    return result


def generate(config, weights, noise):
    """The decoder's half alone, from the prior: z_t = noise[t], whatever shared_noise says.

    Args:
      noise: [T, N, Z], standard normal.

    Returns:
      A dict of canvases [T, N, H, W, C] and, with write attention, the `write_` entries of `draw`.
    """
    weights = _at_least_float64(weights)
    noise = np.asarray(noise, np.float64)  # [T, N, Z]

    canvas, _, decoder = _first_state(config, weights, noise.shape[1])
    steps = []
    for t in range(config.glimpses):
        canvas, decoder, drawn = _decode(config, weights, noise[t], canvas, decoder)
        steps.append({name: value for name, value in drawn.items()
                      if name == "canvases" or name.startswith("write_")})
    return _stack(steps)


def window(params, height, width, n, equations):
    """Where a window lies, and its Gaussian filters, worked out one image at a time.

    Args:
      params: [N, 5]: g~x, g~y, log sigma2, log delta~, log gamma.

    Returns:
      A dict of gx, gy, delta, sigma2, gamma [N, 1], Fx [N, n, W] and Fy [N, n, H].
    """
    if equations not in ("article", "paper"):
        raise ValueError(f"equations must be 'article' or 'paper', not {equations!r}")
    windows = []
    for gx_tilde, gy_tilde, log_sigma2, log_delta, log_gamma in params:
        gx = (width + 1) / 2 * (gx_tilde + 1)
        gy = (height + 1) / 2 * (gy_tilde + 1)
        gaps = max(n - 1, 1)  # a grid of one point has no gap: count it as one
        if equations == "article":
            delta = (max(height, width) - 1) / (gaps * np.exp(log_delta))
        else:
            gx, gy = gx - 1, gy - 1  # the paper counts pixels from 1, the arrays from 0
            delta = (max(height, width) - 1) / gaps * np.exp(log_delta)
        sigma2 = np.exp(log_sigma2)
        windows.append(dict(
            gx=np.array([gx]), gy=np.array([gy]), delta=np.array([delta]),
            sigma2=np.array([sigma2]), gamma=np.array([np.exp(log_gamma)]),
            Fx=_filters(gx, delta, sigma2, n, width, equations),
            Fy=_filters(gy, delta, sigma2, n, height, equations)))
    return _stack(windows)


def random_weights(config, seed, window_scale=1.0):
    """Weights for a config, large enough that every path through the model shows in its outputs.

    The values are float32, so that a float32 model can hold the very same numbers. `window_scale`
    multiplies the weights behind the windows: at 1 most filters lie on the image, at 3 a fifth
    to two fifths of them lie so far off it that their sums are under the floor.

    Returns:
      A dict: "encoder/", "decoder/" with kernel [in, 4D], recurrent_kernel [D, 4D], bias [4D];
      "mu/", "sigma/", "writeW/" and, where attention is on, "read/" and "write/" with kernel and
      bias; under `paper` also canvas [H, W, C] and encoder_h, encoder_c, decoder_h, decoder_c [D].
    """
    height, width, channels = config.image_shape
    hidden, latent = config.hidden_size, config.latent_size
    pixels = height * width * channels
    glimpse = config.read_size**2 * channels if config.read_attention else pixels
    patch = config.write_size**2 * channels if config.write_attention else pixels

    rng = np.random.default_rng(seed)
    weights = {}

    def add(name, shape, scale):
        weights[name] = rng.normal(0.0, scale, shape).astype(np.float32)

    def add_dense(name, inputs, outputs, scale=1.0):
        add(f"{name}/kernel", (inputs, outputs), scale / np.sqrt(inputs))
        add(f"{name}/bias", (outputs,), 0.3 * scale)

    for name, inputs in (("encoder", 2 * glimpse + hidden), ("decoder", latent)):
        add_dense(name, inputs, 4 * hidden)
        add(f"{name}/recurrent_kernel", (hidden, 4 * hidden), 1.0 / np.sqrt(hidden))
        weights[f"{name}/bias"][hidden:2 * hidden] += 1.0  # the forget gate's share
    add_dense("mu", hidden, latent)
    add_dense("sigma", hidden, latent)
    add_dense("writeW", hidden, patch, scale=2.0)
    if config.read_attention:
        add_dense("read", hidden, 5, window_scale)
    if config.write_attention:
        add_dense("write", hidden, 5, window_scale)
    if config.equations == "paper":
        add("canvas", config.image_shape, 0.5)
        for name in ("encoder_h", "encoder_c", "decoder_h", "decoder_c"):
            add(name, (hidden,), 0.5)
    return weights


def _first_state(config, weights, num):
    """Before the first glimpse: canvas [N, H, W, C], encoder and decoder (h, c), each [N, D]."""
    def first(name, shape):
        value = weights[name] if config.equations == "paper" else np.zeros(shape)
        return np.stack([value] * num)  # the same for every image

    size = (config.hidden_size,)
    return (first("canvas", config.image_shape),
            (first("encoder_h", size), first("encoder_c", size)),
            (first("decoder_h", size), first("decoder_c", size)))


def _decode(config, weights, z, canvas, decoder):
    """The half of a step that inference and generation share: z [N, Z] to the next canvas."""
    decoder = _lstm(weights, "decoder", z, decoder)
    w, written, write_window = _write(config, weights, decoder[0])
    canvas = canvas + written  # [N, H, W, C]
    drawn = dict(w=w, h_dec=decoder[0], c_dec=decoder[1], canvases=canvas)
    return canvas, decoder, {**drawn, **write_window}


def _read(config, weights, x, x_hat, h_dec_prev):
    """(r [N, 2nnC], entries of the read window); without attention r is all of x and x_hat."""
    num = len(x)
    if not config.read_attention:
        return np.concatenate([x.reshape(num, -1), x_hat.reshape(num, -1)], axis=1), {}

    n, (height, width, channels) = config.read_size, config.image_shape
    params = _dense(weights, "read", h_dec_prev)  # [N, 5]
    win = window(params, height, width, n, config.equations)
    r = []
    for k in range(num):
        glimpses = np.zeros((2, n, n, channels), params.dtype)  # one of x, one of x_hat
        for which, image in enumerate((x[k], x_hat[k])):
            for i in range(n):
                for j in range(n):
                    # A grid point sees the image through one two-dimensional Gaussian.
                    blob = np.outer(win["Fy"][k, i], win["Fx"][k, j])  # [H, W]
                    for c in range(channels):
                        seen = np.sum(blob * image[:, :, c])
                        glimpses[which, i, j, c] = win["gamma"][k, 0] * seen
        r.append(glimpses.reshape(-1))  # [2nnC]
    return np.stack(r), _prefixed("read_", params, win)


def _write(config, weights, h_dec):
    """(w [N, nnC], what it adds to the canvas [N, H, W, C], entries of the write window)."""
    num, n, (height, width, channels) = len(h_dec), config.write_size, config.image_shape
    w = _dense(weights, "writeW", h_dec)  # [N, nnC], without attention [N, HWC]
    if not config.write_attention:
        return w, w.reshape(num, height, width, channels), {}

    params = _dense(weights, "write", h_dec)  # [N, 5]
    win = window(params, height, width, n, config.equations)
    patch = w.reshape(num, n, n, channels)
    written = np.zeros((num, height, width, channels), w.dtype)
    for k in range(num):
        for i in range(n):
            for j in range(n):
                # A grid point leaves one two-dimensional Gaussian of ink.
                blob = np.outer(win["Fy"][k, i], win["Fx"][k, j])  # [H, W]
                for c in range(channels):
                    written[k, :, :, c] += blob * patch[k, i, j, c] / win["gamma"][k, 0]
    return w, written, _prefixed("write_", params, win)


def _filters(centre, delta, sigma2, n, size, equations):
    """The n filters of one axis, [n, size], each a Gaussian over the pixels 0..size-1."""
    filters = np.zeros((n, size), np.result_type(centre))
    for i in range(n):
        offset = i - n / 2 - 0.5 if equations == "article" else i - (n - 1) / 2
        mean = centre + offset * delta
        for a in range(size):
            # Far from its mean a narrow Gaussian is 0; NumPy need not report how it got there.
            with np.errstate(over="ignore", under="ignore"):
                if equations == "article":  # sigma2 squared again: so the listing has it
                    filters[i, a] = np.exp(-((a - mean) / (2.0 * sigma2)) ** 2)
                else:
                    filters[i, a] = np.exp(-((a - mean) ** 2) / (2.0 * sigma2))
        total = filters[i].sum()
        filters[i] /= total if total.real > ROW_SUM_FLOOR else ROW_SUM_FLOOR
    return filters


def _lstm(weights, name, inputs, state):
    """One LSTM step from state (h, c): the next (h, c), each [N, D]. Gates in order i, f, c, o."""
    h, c = state
    gates = (np.dot(inputs, weights[f"{name}/kernel"])
             + np.dot(h, weights[f"{name}/recurrent_kernel"])
             + weights[f"{name}/bias"])  # [N, 4D]
    i, f, candidate, o = np.split(gates, 4, axis=1)  # [N, D] each
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(candidate)  # [N, D]
    return _sigmoid(o) * np.tanh(c), c


def _dense(weights, name, inputs):
    return np.dot(inputs, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]


def _sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # the logistic function, with no exp to overflow


def _cross_entropy(x, logits):
    """Bernoulli cross-entropy of x under sigmoid(logits), summed over an image's pixels: [N]."""
    per_pixel = np.log1p(np.exp(logits)) - logits * x  # as log(1 - p) = -log(1 + e^logits)
    return per_pixel.reshape(len(x), -1).sum(axis=1)


def _prefixed(prefix, params, win):
    return {prefix + name: value for name, value in {"params": params, **win}.items()}


def _stack(dicts):
    """A list of dicts of arrays to one dict of arrays with a new first axis."""
    return {name: np.stack([each[name] for each in dicts]) for name in dicts[0]}


def _at_least_float64(weights):
    kind = np.result_type(np.float64, *weights.values())
    return {name: np.asarray(value, kind) for name, value in weights.items()}
