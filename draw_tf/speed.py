"""What speed is counted in: images a second, and the matrix products that an image needs."""

TASKS = ("train", "generate")


def images_per_second(images, seconds):
    """Speed under the one name and by the one formula that training's log and benchmarks share.

    Args:
      images: how many went through, each counted as often as it did.
      seconds: of wall time, everything between the first and the last of them included.

    Returns:
      A dictionary of one entry, to be joined to what else is told.
    """
    return {"images_per_second": images / seconds}


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


def matmul_flops(config, task="train"):
    """Floating point operations in the matrix products that one image needs, 2 a multiply-add.

    Counted in each of the T steps: both LSTMs, every dense layer, and reading and writing through
    the windows, which are products of matrices in the paper whatever a program makes of them.
    Training is a pass and its gradients, two more products for each: by the one factor and by the
    other. Three of these are left out, as nothing needs them: the gradients by the image, and in
    the first step under the article's equations those by the canvas and by the states, which are
    constants there. Not counted: what is no matrix product (gates, filters, the loss, the update),
    and whatever is computed a second time to save memory, as `draw_tf.scan` does.

    That makes 52.46 MFLOP a training image of the article's model, 370.4 of the paper's.

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
