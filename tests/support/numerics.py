"""What the numeric tests share: tolerances, modes, small models, and how arrays are compared.

Modes draw different random numbers from one seed, so noise is always given, never drawn.
"""

import numpy as np
import tensorflow as tf

from draw_tf import DRAW, DRAWConfig
from draw_tf.checkpoints import assign_weights, named_weights
from tests.support import reference

# Tolerances, in units of the largest number of the tensor that is compared. "Seen" is the worst on
# one machine, over 10 seeds of every case or over the 200 seeds of one.

# Float64 against float64, whatever computes it. Seen: 1.2e-14; 1.8e-13 where filters lie far off
# the image, for exp multiplies the rounding of its exponent by the exponent, up to 745; 2e-14 in
# slopes and between modes. No machine's rounding comes near, and no mistake is as small.
EXACT = 1e-9

# Float32 against float64: ten times what is seen, 9.0e-6 under the article's equations and 4.5e-6
# under the paper's, in both cases in a filter or what is read through it.
SINGLE = 1e-4

# Float64 against the listing's recording, which is float32. Seen: 4.5e-6, which is the rounding of
# the recording and so the same on every machine; 1.7e-6 in norms of gradients.
RECORDED = 1e-5

MODES = ("eager", "graph", "xla")

# on a GPU it would round the factors of a product to 10 bits
tf.config.experimental.enable_tensor_float_32_execution(False)

# settings that make a pass another: what small_config takes
CASES = {
    "two grid sizes": dict(read_size=2, write_size=5),
    "grids of one point": dict(read_size=1, write_size=1),
    "colour": dict(image_shape=(7, 9, 3), read_size=3, write_size=2),
    "a tall image": dict(image_shape=(11, 6, 2)),
    "shared noise": dict(shared_noise=True),
    "no read attention": dict(read_attention=False, image_shape=(7, 9, 3)),
    "no write attention": dict(write_attention=False, image_shape=(7, 9, 3)),
    "no attention": dict(read_attention=False, write_attention=False),
    "T over Z": dict(glimpses=4, latent_size=2),
}


def in_mode(function, mode):
    """The function as it is, as a graph, or compiled with XLA."""
    return function if mode == "eager" else tf.function(
        function, jit_compile=mode == "xla", autograph=False)  # traced in less time


def small_config(**fields):
    """A config small enough for a test: an image that is not square, grids of two sizes."""
    return DRAWConfig(**{**dict(image_shape=(7, 9, 1), glimpses=2, hidden_size=8, latent_size=3,
                                read_size=2, write_size=5), **fields})


def example(config, num=4, seed=0):
    """Images [N, H, W, C] in [0, 1] and noise [T, N, Z], float64, the same for the same seed."""
    random = np.random.default_rng(seed)
    return (random.random((num, *config.image_shape)),
            random.normal(size=(getattr(config, "glimpses", 1), num, config.latent_size)))


def our_name(name):
    """The name in `named_weights` of a weight of `reference.random_weights`."""
    return name if "/" in name else f"first/{name}"


def model_with(config, weights, unroll=0, dtype="float32"):
    """A model with the weights of `reference.random_weights`."""
    model = DRAW(config, unroll, dtype=dtype)
    assign_weights(model, {our_name(name): value for name, value in weights.items()})
    return model


def exact_model(config, seed, unroll=0):
    """A float64 model with the weights that `reference.random_weights` draws from `seed`."""
    return model_with(config, reference.random_weights(config, seed), unroll, "float64")


def named_gradients(model, gradients):
    """The gradients of `bound_and_gradients` under the names of `named_weights`."""
    gradient_of = {id(variable): gradient
                   for variable, gradient in zip(model.trainable_variables, gradients, strict=True)}
    return {name: gradient_of[id(variable)].numpy()
            for name, variable in named_weights(model).items()}


def arrays(trace):
    """A Trace or Generation as a flat dictionary; its windows are read_gx, write_Fx and so on."""
    flat = {}
    for name, value in trace._asdict().items():
        if hasattr(value, "_asdict"):
            flat.update({f"{name}_{part}": x.numpy() for part, x in value._asdict().items()})
        elif value is not None:
            flat[name] = value.numpy()
    return flat


def relative_error(got, want):
    """The largest difference, in units of the largest number that was wanted."""
    return np.max(np.abs(np.asarray(got, np.float64) - want)) / np.max(np.abs(want))


def assert_close(got, want, tolerance):
    """Asserts that dictionaries hold the same arrays, each within `tolerance` of its scale."""
    assert sorted(got) == sorted(want)
    errors = {name: relative_error(np.reshape(got[name], np.shape(want[name])), want[name])
              for name in want}
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    assert not wrong, f"relative errors above {tolerance}: {wrong}"
