"""How many floating point operations the matrix products of an image take."""

from draw_tf.config import DRAWConfig


def _products(config):
    """The matrix products of one step and image: from a name to its multiply-adds."""
    height, width, channels = config.image_shape
    pixels, hidden = height * width * channels, config.hidden_size
    read = 2 * channels * config.read_size**2 if config.read_attention else 2 * pixels
    patch = channels * config.write_size**2 if config.write_attention else pixels
    products = {
        "encoder": (read + 2 * hidden) * 4 * hidden,  # its input is [r, h_dec_prev], then h_enc
        "mu, logsigma": hidden * 2 * config.latent_size,
        "decoder": (config.latent_size + hidden) * 4 * hidden,
        "patch": hidden * patch,
    }
    if config.read_attention:
        n = config.read_size
        products["read window"] = hidden * 5
        products["x Fx'"] = products["x_hat Fx'"] = pixels * n
        products["Fy (x Fx')"] = products["Fy (x_hat Fx')"] = n * height * n * channels
    if config.write_attention:
        n = config.write_size
        products["write window"] = hidden * 5
        products["w Fx"] = n * n * width * channels
        products["Fy' (w Fx)"] = n * pixels
    return products


def matmul_flops(config: DRAWConfig, task: str = "train") -> int:
    """Floating point operations in the matrix products that one image needs, 2 per multiply-add.

    Counted are, at each of the T steps, both LSTMs, every dense layer, and reading and writing
    through the windows, which are matrix products in the paper however a program computes them.
    Training is a forward pass and its gradients, two more products for each: one per factor.
    Three gradients are left out because nothing needs them: with respect to the image; and, at the
    first step under the article's equations, with respect to the canvas and to the states, which
    are constants there. These states are zero, so a compiled program also leaves out their products
    with the weights of the LSTMs, but these products are counted. Not counted are biases, gates,
    filters, the loss and the update, nor what is computed a second time to save memory, as
    `draw_tf.models.recurrence` does.

    The result is 52.46 MFLOP per training image for the article's model, 370.4 for the paper's.

    Args:
      config: DRAWConfig.
      task: "train", or "generate" for an image drawn from the prior.

    Returns:
      A whole number of operations, the same at every batch size.
    """
    products = _products(config)
    if task == "generate":
        drawing = ("decoder", "patch", "write window", "w Fx", "Fy' (w Fx)")
        return 2 * config.glimpses * sum(products.get(name, 0) for name in drawing)
    multiply_adds = 3 * config.glimpses * sum(products.values())
    multiply_adds -= config.glimpses * products.get("x Fx'", 0)
    if config.equations == "article":
        constants = ("x_hat Fx'", "read window") if config.read_attention else ("encoder",)
        multiply_adds -= sum(products[name] for name in constants)
    return 2 * multiply_adds
