"""How many floating point operations the matrix products of an image take."""

from draw_tf.config import DRAWConfig


def matmul_flops(config: DRAWConfig, task: str = "train") -> int:
    """Floating point operations in the matrix products that one image needs, 2 per multiply-add.

    At each of the T steps these are both LSTMs, every dense layer, and reading and writing through
    windows, which are products in the paper however a program computes them. Training (52.46 MFLOP
    for the article's model, 370.4 for the paper's) adds two products for each, the gradients by its
    factors, except those that nothing needs: by the image and, under the article's equations, by
    the first canvas and states, which are zero. (The products of these zeros are counted.) The
    task "generate" is an image drawn from the prior. Not counted are biases, gates, filters, the
    loss, the update, and what is computed again to save memory.
    """
    height, width, channels = config.image_shape
    pixels, hidden = height * width * channels, config.hidden_size
    decoder = (config.latent_size + hidden) * 4 * hidden  # multiply-adds of a step, as all below
    if config.write_attention:
        n = config.write_size
        drawing = decoder + hidden * (5 + channels * n**2)  # the window, and the patch w
        drawing += n * n * width * channels + n * pixels  # w Fx, and Fy' (w Fx)
    else:
        drawing = decoder + hidden * pixels
    if task == "generate":
        return 2 * config.glimpses * drawing
    if config.read_attention:
        n = config.read_size
        window, x_Fx = hidden * 5, n * pixels  # x Fx', and as many for x_hat Fx'
        reading = window + 2 * (x_Fx + n * height * n * channels)  # Fy (x Fx')
        r_size = 2 * channels * n**2  # numbers in r
    else:
        window, x_Fx, reading, r_size = 0, 0, 0, 2 * pixels
    encoder = (r_size + 2 * hidden) * 4 * hidden  # its input is [r, h_dec_prev], then h_enc
    latent = hidden * 2 * config.latent_size  # mu and logsigma
    multiply_adds = config.glimpses * (3 * (reading + encoder + latent + drawing) - x_Fx)
    if config.equations == "article":
        multiply_adds -= window + x_Fx if config.read_attention else encoder
    return 2 * multiply_adds
