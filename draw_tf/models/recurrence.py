"""A recurrence over T steps, unrolled whole or in pieces.

Unrolled whole, it is a Python loop: the fastest program, but one whose size and compile time grow
with T. In pieces, it is a loop over short unrolled stretches. Its gradient keeps only the state
between two pieces and the results of the large products (see `product`), and computes the rest of
each piece again on the way back: it is exact, and needs little more memory than one piece.

Letters in shapes: T steps, U steps in a piece, P pieces.
"""

from contextvars import ContextVar

import tensorflow as tf

# Within a piece: the products that it made, and the known ones that it shall use instead, if any.
_PRODUCTS = ContextVar("products", default=None)

# A whole unroll is faster, but its compile time grows with the steps. On two CPU cores, at T = 16,
# it was 1.21 (article) and 1.12 times (paper) as fast as pieces, and took 31 s to compile, pieces
# 12 to 15 s. (GPUs were not measured.)
WHOLE = 16
PIECE = {"CPU": 2, "GPU": 8}


def device_kind() -> str:
    """What TensorFlow computes on here: "GPU", or "CPU" where there is none."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def auto_unroll(steps: int) -> int:
    """Steps to unroll here: all of up to 16, else pieces of 2 (CPU) or 8 (GPU)."""
    return steps if steps <= WHOLE else PIECE[device_kind()]


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """`tf.matmul(a, b)` of two matrices, which a recurrence in pieces computes only once.

    The backward pass, which repeats each piece, takes the result from the forward pass. Worth its
    memory for the large products of a step.
    """
    made, known = _PRODUCTS.get() or ([], None)
    if known is None:
        made.append(tf.matmul(a, b))
        return made[-1]
    result = known.pop(0)

    @tf.custom_gradient
    def as_known(a, b):
        return tf.identity(result), lambda upstream: (
            tf.matmul(upstream, b, transpose_b=True), tf.matmul(a, upstream, transpose_a=True))

    return as_known(a, b)


def scan(step, state, inputs, constants, unroll: int):
    """Runs `state, output = step(state, inputs[t], constants)` for t = 0 .. T-1.

    Args:
      step: a function as above. Gradients reach what it is given and the variables it reads, not
        other tensors that it closes over.
      state: a structure of tensors that keeps its shapes.
      inputs: a structure of tensors, [T, ...] each, T known.
      constants: a structure of tensors, the same at each step.
      unroll: steps to unroll; T or more unrolls everything.

    Returns:
      The last state, and the outputs, stacked: [T, ...] each.
    """
    length = _length(inputs)
    # eager execution has no program to keep small
    if unroll >= length or tf.executing_eagerly():
        return _unrolled(step, state, inputs, constants)
    # the pieces are of one size, so what does not fill one goes first
    head = length % unroll
    first = None
    if head:
        state, first = _unrolled(step, state, tf.nest.map_structure(lambda x: x[:head], inputs),
                                 constants)
        inputs = tf.nest.map_structure(lambda x: x[head:], inputs)
    state, outputs = _Pieces(step, state, inputs, constants, unroll).run()
    if head:
        outputs = tf.nest.map_structure(lambda a, b: tf.concat([a, b], 0), first, outputs)
    return state, outputs


def _length(inputs):
    return tf.nest.flatten(inputs)[0].shape[0]


def _unrolled(step, state, inputs, constants):
    """The recurrence as a Python loop: `step` is traced T times."""
    outputs = []
    for t in range(_length(inputs)):
        state, output = step(state, tf.nest.map_structure(lambda x: x[t], inputs), constants)
        outputs.append(output)
    return state, tf.nest.map_structure(lambda *steps: tf.stack(steps), *outputs)


class _Pieces:
    """A recurrence of P pieces: a loop forward, and a loop backward that repeats each piece.

    What is repeated is all but the products, whose results the forward loop keeps.

    TensorFlow's loops and gradients take flat lists, so structures are packed only around `step`.
    """

    def __init__(self, step, state, inputs, constants, unroll):
        self.step, self.structures = step, (state, inputs, constants)
        self.sizes = [len(tf.nest.flatten(part)) for part in self.structures]
        self.unroll, self.pieces = unroll, _length(inputs) // unroll
        self.outputs_like = None  # known once a piece is traced

    def run(self):
        """The last state and all outputs, as `scan` returns them."""
        flat = tf.custom_gradient(self._forward)(*tf.nest.flatten(self.structures))
        pack = tf.nest.pack_sequence_as
        return (pack(self.structures[0], flat[:self.sizes[0]]),
                pack(self.outputs_like, flat[self.sizes[0]:]))

    def _piece(self, state, inputs, constants, known=None):
        """U steps: flat lists in; the state, the stacked outputs and the products out, flat."""
        state, inputs, constants = map(tf.nest.pack_sequence_as, self.structures,
                                       (state, inputs, constants))
        made = []
        around = _PRODUCTS.set((made, known))
        try:
            state, outputs = _unrolled(self.step, state, inputs, constants)
        finally:
            _PRODUCTS.reset(around)
        self.outputs_like = outputs
        return tf.nest.flatten(state), tf.nest.flatten(outputs), made

    def _forward(self, *arguments):
        """All pieces: [*last state, *outputs], and the function of their gradients."""
        a, b = self.sizes[0], self.sizes[0] + self.sizes[1]
        state, inputs, constants = (list(part) for part in (
            arguments[:a], arguments[a:b], arguments[b:]))
        inputs = [self._cut(x) for x in inputs]  # [P, U, ...]
        # traced once, apart, for shapes alone
        _, *shapes = tf.function(self._piece, autograph=False).get_concrete_function(
            state, [x[0] for x in inputs], constants).structured_outputs

        def body(p, state, *arrays):
            start = state
            state, outputs, products = self._piece(start, [x[p] for x in inputs], constants)
            return p + 1, state, *([array.write(p, x) for array, x in zip(*pair)]
                                   for pair in zip(arrays, (start, outputs, products)))

        _, end, starts, outputs, products = tf.while_loop(
            lambda p, *_: p < self.pieces, body,
            (0, state, *map(self._arrays, (state, *shapes))),
            maximum_iterations=self.pieces)

        def gradient(*upstream, variables=()):
            return self._backward(starts, products, inputs, constants, list(upstream),
                                  list(variables))

        return [*end, *map(self._join, outputs)], gradient

    def _backward(self, starts, products, inputs, constants, upstream, variables):
        """The gradients by the arguments of `_forward`, and by the variables that it read."""
        state_up = upstream[:self.sizes[0]]
        output_up = [self._cut(x) for x in upstream[self.sizes[0]:]]  # [P, U, ...]

        def body(p, state_up, input_ups, sums):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                start = [array.read(p) for array in starts]
                now = [x[p] for x in inputs]  # [U, ...]
                tape.watch((start, now, constants, variables))
                known = [array.read(p) for array in products]
                end, outputs, _ = self._piece(start, now, constants, known)
            start_up, now_up, *more = tape.gradient(
                (end, outputs), (start, now, constants, variables),
                output_gradients=(state_up, [x[p] for x in output_up]),
                unconnected_gradients="zero")
            return (p - 1, start_up, [array.write(p, x) for array, x in zip(input_ups, now_up)],
                    [a + b for a, b in zip(sums, tf.nest.flatten(more))])

        _, state_up, input_ups, sums = tf.while_loop(
            lambda p, *_: p >= 0, body,
            (self.pieces - 1, state_up, self._arrays([x[0] for x in inputs]),
             [tf.zeros_like(x) for x in constants + variables]),
            maximum_iterations=self.pieces)
        count = len(constants)
        arguments_up = [*state_up, *map(self._join, input_ups), *sums[:count]]
        return (arguments_up, sums[count:]) if variables else arguments_up

    def _cut(self, x):
        """[T, ...] to [P, U, ...]; the batch may be of unknown size."""
        shape = tf.concat([[self.pieces, self.unroll], tf.shape(x)[1:]], axis=0)
        return tf.reshape(x, shape)  # [P, U, ...]

    def _arrays(self, tensors):
        """A TensorArray of P elements for each of the tensors."""
        return [tf.TensorArray(x.dtype, self.pieces, element_shape=x.shape,
                               clear_after_read=False) for x in tensors]

    def _join(self, array):
        """A TensorArray of pieces to [T, ...]."""
        x = array.concat()  # [T, ...]
        return tf.ensure_shape(x, [self.pieces * self.unroll, *x.shape[1:]])
