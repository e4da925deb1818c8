"""A recurrence over T steps, unrolled whole or in pieces.

Unrolled whole, it is a Python loop: the fastest program for few steps, and one whose size and
compile time grow with T. In pieces, it is a loop over short unrolled stretches. Its gradient keeps
only the state between two pieces and redoes each piece on the way back: exact, and it needs the
memory of one piece instead of T steps.
"""

import tensorflow as tf


def _length(inputs):
    return tf.nest.flatten(inputs)[0].shape[0]


def _unrolled(step, state, inputs):
    """The recurrence as a Python loop: `step` is traced T times."""
    outputs = []
    for t in range(_length(inputs)):
        state, output = step(state, tf.nest.map_structure(lambda x: x[t], inputs))
        outputs.append(output)
    return state, tf.nest.map_structure(lambda *steps: tf.stack(steps), *outputs)


def _cut(x, pieces, unroll):
    """[T, ...] to [P, U, ...]; the batch may be of unknown size."""
    shape = tf.concat([[pieces, unroll], tf.shape(x)[1:]], axis=0)
    return tf.reshape(x, shape)  # [P, U, ...]


def _arrays(tensors, size):
    """A TensorArray of `size` elements for each of the tensors."""
    return [tf.TensorArray(x.dtype, size, element_shape=x.shape, clear_after_read=False)
            for x in tensors]


def _join(array, length):
    """A TensorArray of pieces to [T, ...]."""
    x = array.concat()  # [T, ...]
    return tf.ensure_shape(x, [length, *x.shape[1:]])


def _in_pieces(step, state, inputs, constants, unroll):
    length = _length(inputs)
    pieces = length // unroll
    state_like, input_like, constant_like = state, inputs, constants
    pack = tf.nest.pack_sequence_as
    sizes = [len(tf.nest.flatten(part)) for part in (state, inputs, constants)]
    output_like = None

    def split(flat):
        a, b = sizes[0], sizes[0] + sizes[1]
        return flat[:a], flat[a:b], flat[b:]

    def piece(flat_state, flat_inputs, flat_constants):
        """`unroll` steps: flat lists in, the state and the stacked outputs out, flat."""
        nonlocal output_like
        constants = pack(constant_like, flat_constants)
        state, outputs = _unrolled(lambda s, x: step(s, x, constants),
                                   pack(state_like, flat_state), pack(input_like, flat_inputs))
        output_like = outputs
        return tf.nest.flatten(state), tf.nest.flatten(outputs)

    @tf.custom_gradient
    def run(*arguments):
        state, inputs, constants = split(list(arguments))
        cut = [_cut(x, pieces, unroll) for x in inputs]  # [P, U, ...]
        # traced once, apart, for the outputs' shapes alone
        shapes = tf.function(piece).get_concrete_function(
            state, [x[0] for x in cut], constants).structured_outputs[1]

        def forward(p, state, starts, outputs):
            starts = [array.write(p, x) for array, x in zip(starts, state)]
            state, new = piece(state, [x[p] for x in cut], constants)
            return p + 1, state, starts, [array.write(p, x) for array, x in zip(outputs, new)]

        _, end, starts, outputs = tf.while_loop(
            lambda p, *_: p < pieces, forward,
            (0, state, _arrays(state, pieces), _arrays(shapes, pieces)),
            maximum_iterations=pieces)
        joined = [_join(array, length) for array in outputs]  # [T, ...]

        def gradient(*upstream, variables=()):
            variables = list(variables)
            state_up, output_up = list(upstream[:sizes[0]]), upstream[sizes[0]:]
            output_up = [_cut(x, pieces, unroll) for x in output_up]  # [P, U, ...]

            def backward(p, state_up, input_ups, constant_up, variable_up):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    start = [array.read(p) for array in starts]
                    now = [x[p] for x in cut]  # [U, ...]
                    tape.watch((start, now, constants, variables))
                    end, outputs = piece(start, now, constants)
                start_up, now_up, constant_more, variable_more = tape.gradient(
                    (end, outputs), (start, now, constants, variables),
                    output_gradients=(state_up, [x[p] for x in output_up]),
                    unconnected_gradients="zero")
                return (p - 1, start_up,
                        [array.write(p, x) for array, x in zip(input_ups, now_up)],
                        [a + b for a, b in zip(constant_up, constant_more)],
                        [a + b for a, b in zip(variable_up, variable_more)])

            zeros = [tf.zeros_like(x) for x in constants + variables]
            _, state_up, input_ups, constant_up, variable_up = tf.while_loop(
                lambda p, *_: p >= 0, backward,
                (pieces - 1, state_up, _arrays([x[0] for x in cut], pieces),
                 zeros[:len(constants)], zeros[len(constants):]),
                maximum_iterations=pieces)
            arguments_up = [*state_up, *(_join(array, length) for array in input_ups), *constant_up]
            return (arguments_up, variable_up) if variables else arguments_up

        return [*end, *joined], gradient

    flat = run(*tf.nest.flatten((state, inputs, constants)))
    return pack(state_like, flat[:sizes[0]]), pack(output_like, flat[sizes[0]:])


def scan(step, state, inputs, constants, unroll):
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
        return _unrolled(lambda s, x: step(s, x, constants), state, inputs)
    # the pieces are of one size, so what does not fill one goes first
    head = length % unroll
    first = None
    if head:
        state, first = _unrolled(lambda s, x: step(s, x, constants), state,
                                 tf.nest.map_structure(lambda x: x[:head], inputs))
        inputs = tf.nest.map_structure(lambda x: x[head:], inputs)
    state, outputs = _in_pieces(step, state, inputs, constants, unroll)
    if head:
        outputs = tf.nest.map_structure(lambda a, b: tf.concat([a, b], 0), first, outputs)
    return state, outputs
