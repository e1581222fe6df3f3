"""Recurrent layers: they command a cell over the timesteps of a sequence.

Everything about sequences (direction, masks, states, what is returned) is written once, in `RNN`, which commands any
cell step by step. `LSTM`, `GRU` and `SimpleRNN` contain a cell of their own and drive its fused sequence kernel
instead.
"""

import numpy as np

from ..errors import InputError
from ..kernels.sequence import PREVIOUS, STATE, ZERO
from . import memory
from .base import Layer, tell_watchers
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells, command, output_size_of, state_sizes
from .structure import flatten, pack_like


class RNN(Layer):
    """A recurrent layer: commands a cell over the timesteps of a sequence.

    Parameters
    ----------
    cell : cell or list of cells
        `LSTMCell`, `GRUCell`, `SimpleRNNCell`, `StackedRNNCells`, or any object with ``state_size`` and
        ``call(x_t, states)`` that returns ``output, states``. A list is stacked.
    return_sequences : bool
        Return the output of every timestep instead of the last.
    return_state : bool
        Return the final states too.
    go_backwards : bool
        Begin at the last timestep; a returned sequence is in order of processing.
    stateful : bool
        Begin where the previous call ended, until `reset_states`.
    unroll : bool
        No effect but on masked outputs of files from Keras 2.2.5 and earlier.
    zero_output_for_mask : bool
        Emit zeros at masked timesteps, instead of the previous output.
    time_major : bool
        Inputs and outputs are (timesteps, batch, ...) (tf.keras).
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Called as ``layer(x, mask=None, initial_state=None)`` with x (batch, timesteps, features). Returns the output, or
    with `return_state` a list ``[output, state, ...]``. Semantics: ``keras/src/layers/rnn/rnn.py``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RNN(LSTMCell(2), return_state=True)
    >>> layer.set_weights([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
    >>> [a.shape for a in layer(np.ones((5, 4, 3)))]
    [(5, 2), (5, 2), (5, 2)]
    """

    has_mask_argument, mask_role = True, "recurs"
    supports_masking = True
    config_names = (
        "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask", "time_major",
    )  # fmt: skip

    def __init__(
        self,
        cell,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=False,
        zero_output_for_mask=False,
        time_major=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask, self.time_major = zero_output_for_mask, time_major

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in RNN.config_names:  # as people set ``layer.stateful = True`` on a loaded model
            tell_watchers()

    # ------------------------------------------------------------ shapes and weights
    def children(self):
        return {"cell": self.cell} if isinstance(self.cell, Layer) else {}

    def build(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        if len(shape) < 3:
            raise InputError(f"layer '{self.name}': found inputs {shape}, expected (batch, timesteps, features)")
        if isinstance(self.cell, Layer):
            self.cell.build((shape[0], *shape[2:]))
        self.expected_shapes = {}

    def build_from(self, weights):
        self.cell.build_from(weights)
        self.expected_shapes = {}

    def compute_output_shape(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        batch, timesteps = (shape[1], shape[0]) if self.time_major else shape[:2]
        size = output_size_of(self.cell)
        sequence = (timesteps, batch) if self.time_major else (batch, timesteps)
        output = (*(sequence if self.return_sequences else (batch,)), *_as_shape(size))
        if not self.return_state:
            return output
        return [output, *((batch, *_as_shape(size)) for size in flatten(state_sizes(self.cell)))]

    def compute_mask(self, inputs, mask=None):
        output = mask if self.return_sequences else None
        if not self.return_state:
            return output
        return [output] + [None] * len(flatten(state_sizes(self.cell)))

    def get_initial_state(self, batch_size):
        """Return a flat list of zero states for `batch_size` rows."""
        sizes = flatten(state_sizes(self.cell))
        return [np.zeros((batch_size, *_as_shape(size)), self.dtype) for size in sizes]

    def zero_states(self, x):
        """Return a flat list of zero states for the inputs `x`."""
        return self.get_initial_state(len(x))

    # ------------------------------------------------------------ computing
    def call(self, inputs, initial_state=None, mask=None, training=False):
        """Never called: `run` does the work. Its signature names the arguments of a call."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, initial_state=None, training=False):
        if isinstance(inputs, list):  # Keras also takes [x, *initial_state]
            inputs, *initial_state = inputs
            carried_mask, mask = (m[0] if isinstance(m, list) else m for m in (carried_mask, mask))
        initial_state = [] if initial_state is None else flatten(initial_state)
        applied, travelling = self.choose_masks(carried_mask, mask, initial_state, context)
        x, applied = self._batch_major(self.cast(inputs), applied)
        if x.shape[1] == 0:
            raise InputError(f"layer '{self.name}': found zero timesteps, expected at least one")
        states = self._begin(x, initial_state, context)
        y, states = self._sequence(x, applied, states, context)
        if applied is not None and self._zeroes_late:
            y = np.where(_columns(applied, y), y, np.zeros((), y.dtype))
        self._remember(states, initial_state, context)
        y = y if self.return_sequences else y[:, 0]
        y = np.swapaxes(y, 0, 1) if self.time_major and self.return_sequences else y
        return ([y, *states] if self.return_state else y), self.compute_mask(inputs, travelling)

    def choose_masks(self, carried, explicit, initial_state, context):
        """Return the mask to apply and the mask that travels on (which differ: see `Semantics`)."""
        if explicit is not None:
            return explicit, explicit
        ignored = bool(initial_state) and not self.semantics.mask_with_initial_state and not context.is_given(carried)
        return (None if ignored else carried), carried

    def _batch_major(self, x, mask):
        if self.time_major:
            x, mask = np.swapaxes(x, 0, 1), None if mask is None else np.swapaxes(mask, 0, 1)
        if mask is not None:
            mask = mask[..., 0] if mask.ndim == 3 and mask.shape[2] == 1 else mask
            if mask.shape != x.shape[:2]:
                raise InputError(f"layer '{self.name}': found a mask of shape {mask.shape}, expected {x.shape[:2]}")
            mask = np.ascontiguousarray(mask, bool)
        return x, mask

    def _begin(self, x, initial_state, context):
        """Return fresh copies of the states to begin with, a flat list."""
        recorded = context.states.get(self) if context.carries(self) else None
        if initial_state and recorded is not None:
            wins = self.semantics.recorded_state_wins and any(np.any(state) for state in recorded)
            recorded = recorded if wins else None
        zeros = self.zero_states(x)
        states = recorded if recorded is not None else initial_state or zeros
        if [np.shape(state) for state in states] != [zero.shape for zero in zeros]:
            raise InputError(
                f"layer '{self.name}': found states of shapes {[np.shape(state) for state in states]}, "
                f"expected {[zero.shape for zero in zeros]}"
                + (f" ({context.begin} begins a new batch)" if recorded is not None else "")
            )
        return [np.array(state, self.dtype, order="C") for state in states]

    def _remember(self, states, initial_state, context):
        if context.carries(self) and not (initial_state and not self.semantics.stateful_keeps_given_state):
            context.states[self] = [state.copy() for state in states]

    @property
    def _zeroes_late(self):
        """Whether masked outputs are zeroed after the loop, by the mask in order of time although the outputs are in
        order of processing: so Keras does in an unrolled layer that goes backwards (``backend/tensorflow/rnn.py``)."""
        return self.zero_output_for_mask and self.unroll and self.go_backwards and self.return_sequences

    @property
    def masked_output(self):
        """What is emitted at masked timesteps, as a code of ``kernels.sequence``."""
        if self.zero_output_for_mask and not self._zeroes_late:
            return ZERO
        return STATE if self.semantics.masked_output == "state" and not self.unroll else PREVIOUS

    def _sequence(self, x, mask, states, context):
        """Command the cell over time; returns (batch, timesteps or 1, ...) outputs and the final flat states."""
        timesteps, outputs = x.shape[1], []
        nested = pack_like(state_sizes(self.cell), states)
        for n in range(timesteps):
            t = timesteps - 1 - n if self.go_backwards else n
            output, new = command(self.cell, x[:, t], nested)
            if mask is not None:
                real = mask[:, t]
                if not real.all():
                    emitted = self._emitted(outputs, output, nested, context)
                    output = np.where(_columns(real, output), output, emitted)
                kept = zip(flatten(new), flatten(nested), strict=True)
                new = [np.where(_columns(real, a), a, b) for a, b in kept]
            nested = pack_like(nested, flatten(new))
            if not self.return_sequences:
                outputs.clear()
            outputs.append(output)
        return np.stack(outputs, axis=1), flatten(nested)

    def _emitted(self, outputs, output, states, context):
        """Return the output of a masked timestep, given the outputs and the nested states before it."""
        if self.masked_output == STATE:
            return flatten(states)[0]
        if self.masked_output == PREVIOUS and outputs:
            return outputs[-1]
        if self.masked_output == PREVIOUS and context.continues and context.carries(self):
            return self._output_before(states)
        return np.zeros_like(output)

    def _output_before(self, states):
        """Return the last output of a sequence that ended in `states`; only built-in cells tell it."""
        cell = self.cell
        if isinstance(cell, StackedRNNCells):
            cell, states = cell.cells[-1], cell.in_state_order(states)[-1]
        if not isinstance(cell, (LSTMCell, GRUCell, SimpleRNNCell)):
            raise InputError(
                f"layer '{self.name}': found a masked timestep where a sequence continues, expected a real one: "
                f"the states of {type(cell).__name__} do not tell its last output"
            )
        return flatten(states)[0]


def _as_shape(size):
    return tuple(size) if isinstance(size, (list, tuple)) else (size,)


def _columns(mask, like):
    return mask.reshape(*mask.shape, *[1] * (like.ndim - mask.ndim))


class _WithOwnCell(RNN):
    """A recurrent layer that contains a cell of its own; the cell's weights are the layer's."""

    def children(self):
        return {}

    def weight_shapes(self, input_shape):
        return self.cell.weight_shapes(input_shape)

    def build(self, input_shape):
        super().build(input_shape)
        self.expected_shapes = self.cell.expected_shapes

    def unbuild(self):
        super().unbuild()
        self.cell.unbuild()

    def build_from(self, weights):
        super().build_from(weights)
        self.expected_shapes = self.cell.expected_shapes

    def assign(self, arrays, copy=True):
        self.cell.assign(arrays, copy)
        self.weights, self.expected_shapes = self.cell.weights, self.cell.expected_shapes

    def adopt(self, semantics):
        super().adopt(semantics)
        self.cell.adopt(semantics)

    def get_config(self):
        cell = self.cell.get_config()
        return {**cell, **super().get_config()}


class _FusedRNN(_WithOwnCell):
    """A recurrent layer whose own cell has a fused sequence kernel."""

    def build(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        if len(shape) != 3:
            raise InputError(f"layer '{self.name}': found inputs {shape}, expected (batch, timesteps, features)")
        super().build(input_shape)

    @property
    def units(self):
        """The number of outputs of a timestep."""
        return self.cell.units

    def _sequence(self, x, mask, states, context):
        if not self.cell.compiled:
            return super()._sequence(x, mask, states, context)
        batch, timesteps, features = x.shape
        expected = len(self.weights["kernel"])
        if features != expected:
            raise InputError(f"layer '{self.name}': found {x.shape}, expected {expected} features")
        rule = self.masked_output
        if rule == PREVIOUS and context.continues and context.carries(self):
            rule = STATE  # the output before the first timestep is the state it begins with
        y = memory.empty((batch, timesteps if self.return_sequences else 1, self.units), self.dtype)
        x = np.ascontiguousarray(x)
        self.cell.sequence(x, mask, self.go_backwards, rule, states, y, context.threads)
        return y, states


class LSTM(_FusedRNN):
    """A long short-term memory layer: contains an `LSTMCell` and drives its fused sequence kernel.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, implementation
        As for `LSTMCell`.
    **kwargs
        As for `RNN`: ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``, ...

    Examples
    --------
    >>> import numpy as np
    >>> layer = LSTM(2, return_sequences=True)
    >>> layer.set_weights([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
    >>> layer(np.ones((5, 4, 3))).shape
    (5, 4, 2)
    """

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, implementation=2, **kwargs
    ):
        dtype = kwargs.get("dtype")
        cell = LSTMCell(units, activation, recurrent_activation, use_bias, implementation, name="cell", dtype=dtype)
        super().__init__(cell, **kwargs)


class GRU(_FusedRNN):
    """A gated recurrent layer: contains a `GRUCell` and drives its fused sequence kernel.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, reset_after, implementation
        As for `GRUCell`.
    **kwargs
        As for `RNN`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = GRU(2)
    >>> layer.set_weights([np.ones((3, 6)), np.ones((2, 6)), np.zeros((2, 6))])
    >>> layer(np.ones((5, 4, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        reset_after=True,
        implementation=2,
        **kwargs,
    ):
        dtype = kwargs.get("dtype")
        cell = GRUCell(
            units, activation, recurrent_activation, use_bias, reset_after, implementation, name="cell", dtype=dtype
        )
        super().__init__(cell, **kwargs)


class SimpleRNN(_FusedRNN):
    """A simple recurrent layer: contains a `SimpleRNNCell` and drives its fused sequence kernel.

    Parameters
    ----------
    units, activation, use_bias
        As for `SimpleRNNCell`.
    **kwargs
        As for `RNN`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SimpleRNN(2, go_backwards=True)
    >>> layer.set_weights([np.ones((3, 2)), np.ones((2, 2)), np.zeros(2)])
    >>> layer(np.ones((5, 4, 3))).shape
    (5, 2)
    """

    def __init__(self, units, activation="tanh", use_bias=True, **kwargs):
        kwargs.pop("implementation", None)  # files of Keras 2 have it; here there is one way only
        cell = SimpleRNNCell(units, activation, use_bias, name="cell", dtype=kwargs.get("dtype"))
        super().__init__(cell, **kwargs)
