"""A recurrence over T steps, unrolled whole or in P pieces of U steps.

Unrolled whole, it is a Python loop: the fastest program, but one whose size and compile time grow
with T. In pieces, it is a loop over short unrolled stretches, and its gradient is gradient
checkpointing that saves the results of matrix products, as `jax.checkpoint` with the policy
`dots_saveable` does: the state between two pieces and large products are kept, and the rest of each
piece is computed again on the way back. It is exact, and needs little more memory than one piece.
`tf.recompute_grad` does not do: it computes products again, and takes no loop under XLA.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from draw_tf.devices import device_kind

# Within a piece: the list of the products that it makes, and the list of the results that it takes
# instead, in the same order; None on the way forward.
_PRODUCTS: ContextVar[tuple[list, list | None] | None] = ContextVar("products", default=None)
_FORWARD_ONLY: ContextVar[bool] = ContextVar("forward_only", default=False)

# On two CPU cores, at T = 16, a whole unroll was 1.21 (article) and 1.12 times (paper) as fast as
# pieces, and took 31 s to compile, pieces 12 to 15 s. On an H100 (paper, T = 64), pieces of 8 took
# 12.0 ms a step, pieces of 16 took 12.4, and pieces of 4 a third more than pieces of 8.
WHOLE = 16
PIECE = {"CPU": 2, "GPU": 8}

_each = tf.nest.map_structure


@contextlib.contextmanager
def forward_only() -> Iterator[None]:
    """What is traced in the block has no gradient in pieces, which a SavedModel cannot hold."""
    token = _FORWARD_ONLY.set(True)
    try:
        yield
    finally:
        _FORWARD_ONLY.reset(token)


def auto_unroll(steps: int) -> int:
    """Steps to unroll here: all T if at most 16, else pieces of 2 (CPU) or 8 (GPU)."""
    return steps if steps <= WHOLE else PIECE[device_kind()]


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`tf.matmul(a, b)` of two matrices, which a recurrence in pieces computes only once.

    The backward pass takes the result from the forward pass: worth its memory for large products.
    """
    made, known = _PRODUCTS.get() or ([], None)
    if known is None:
        made.append(tf.matmul(a, b))
        return made[-1]
    result = known.pop(0) if known else None
    if result is None or not result.shape.is_compatible_with((a.shape[0], b.shape[1])):
        raise RuntimeError("a step must make the same products each time that it is traced, and "
                           f"one of {a.shape} by {b.shape} was not made before")

    @tf.custom_gradient
    def as_known(a, b):
        return tf.identity(result), lambda upstream: (
            tf.matmul(upstream, b, transpose_b=True), tf.matmul(a, upstream, transpose_a=True))

    return as_known(a, b)


def scan(step: Callable, state: Any, inputs: tf.Tensor, constants: Any,
         unroll: int) -> tuple[Any, Any]:
    """Runs `state, output = step(state, inputs[t], constants)` for t = 0 .. T-1.

    The inputs are a tensor [T, ...], T known; the others are structures of tensors, and the state
    keeps its structure and shapes. Gradients reach all of them and the variables that a step reads,
    not other tensors that it closes over. An `unroll` of T or more steps unrolls everything.
    Returns the last state, and the outputs, stacked: [T, ...] each.
    """
    # eager execution has no program to keep small
    if unroll >= inputs.shape[0] or tf.executing_eagerly():
        return _unrolled(step, state, inputs, constants)
    head = inputs.shape[0] % unroll
    if not head:
        return _in_pieces(step, state, inputs, constants, unroll)
    # the pieces are of one size, so what does not fill one goes first
    state, first = _unrolled(step, state, inputs[:head], constants)
    state, rest = _in_pieces(step, state, inputs[head:], constants, unroll)
    return state, _each(lambda *parts: tf.concat(parts, axis=0), first, rest)  # [T, ...] each


def _unrolled(step, state, inputs, constants):
    """The recurrence as a Python loop: `step` is traced T times."""
    outputs = []
    for t in range(inputs.shape[0]):
        state, output = step(state, inputs[t], constants)
        outputs.append(output)
    return state, _each(lambda *steps: tf.stack(steps), *outputs)  # [T, ...] each


def _in_pieces(step, state, inputs, constants, unroll):
    """The recurrence as a loop over P pieces; a backward loop computes all but products again."""
    length = inputs.shape[0]
    pieces = length // unroll

    def piece(state, inputs, constants, known=None):
        """The state after U steps with inputs [U, ...], their outputs and their products."""
        made: list[tf.Tensor] = []
        token = _PRODUCTS.set((made, known))
        try:
            results = _unrolled(step, state, inputs, constants)
        finally:
            _PRODUCTS.reset(token)
        if known:
            raise RuntimeError("a step must make the same products each time that it is traced, "
                               f"and {len(known)} were not made again")
        return *results, made

    def cut(x):
        # N may be unknown
        return tf.reshape(x, tf.concat([[pieces, unroll], tf.shape(x)[1:]], axis=0))  # [P, U, ...]

    def array_of(x):
        return tf.TensorArray(x.dtype, pieces, element_shape=x.shape, clear_after_read=False)

    def join(array):
        x = array.concat()  # [T, ...]
        return tf.ensure_shape(x, [length, *x.shape[1:]])  # [T, ...]

    def run(state, inputs, constants):
        inputs = cut(inputs)  # [P, U, ...]
        # traced once, apart, for structures and shapes alone
        end, *shapes = tf.function(piece, autograph=False).get_concrete_function(
            state, inputs[0], constants).structured_outputs
        # a first state that is known to be zeros is no more than tensors in a loop
        state = tf.nest.pack_sequence_as(end, tf.nest.flatten(state))

        def forward(p, start, arrays):
            end, *kept = piece(start, inputs[p], constants)
            return p + 1, end, _each(lambda array, x: array.write(p, x), arrays, (start, *kept))

        _, end, (starts, outputs, products) = tf.while_loop(
            lambda p, *_: p < pieces, forward, (0, state, _each(array_of, (state, *shapes))),
            maximum_iterations=pieces)

        def gradient(*upstream, variables=()):
            end_up, output_ups = tf.nest.pack_sequence_as((end, outputs), upstream)
            output_ups = _each(cut, output_ups)  # [P, U, ...]

            def backward(p, end_up, input_ups, sums):
                start, known = _each(lambda array: array.read(p), (starts, products))
                given = start, inputs[p], constants, list(variables)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(given)
                    results = piece(*given[:3], known)[:2]
                start_up, input_up, *more = tape.gradient(
                    results, given, output_gradients=(end_up, _each(lambda x: x[p], output_ups)),
                    unconnected_gradients="zero")
                return p - 1, start_up, input_ups.write(p, input_up), _each(tf.add, sums, more)

            _, state_up, input_ups, (constants_up, variables_up) = tf.while_loop(
                lambda p, *_: p >= 0, backward,
                (pieces - 1, end_up, array_of(inputs[0]),
                 _each(tf.zeros_like, [constants, list(variables)])),
                maximum_iterations=pieces)
            given_up = state_up, join(input_ups), constants_up
            return (given_up, variables_up) if variables else given_up

        return (end, _each(join, outputs)), gradient

    if _FORWARD_ONLY.get():
        return run(state, inputs, constants)[0]
    return tf.custom_gradient(run)(state, inputs, constants)
