"""Cells: what a recurrent layer does at one timestep.

A cell is called as ``cell(x_t, states)`` and returns the output and the new states. `LSTM`, `GRU` and `SimpleRNN`
contain the cell of the same name and drive its fused sequence kernel; `RNN` commands any cell step by step.
"""

import numpy as np

from ..errors import InputError
from ..kernels import gates, gru, lstm, packing, simple_rnn
from ..kernels.product import dense
from ..kernels.sequence import PREVIOUS
from ..kernels.update import functions_of
from . import activations, sequences
from .base import Layer, readonly, tell_watchers
from .lines import make_cell_stepper
from .structure import flatten

MOST_SIZES = 64
"""Batch sizes that a cell remembers: each keeps some scratch."""


class _Cell(Layer):
    """What the three built-in cells share: their arguments, states and activations."""

    config_names = ("units", "activation", "use_bias", "implementation")
    gates = 1

    def __init__(self, units, activation="tanh", use_bias=True, implementation=2, **kwargs):
        super().__init__(**kwargs)
        if isinstance(units, bool) or units != int(units) or units < 1:
            raise InputError(f"layer '{self.name}': found units={units!r}, expected a positive whole number")
        if implementation not in (0, 1, 2):
            raise InputError(f"layer '{self.name}': found implementation={implementation!r}, expected 1 or 2")
        self.units, self.use_bias, self.implementation = int(units), use_bias, implementation
        self.given_activations = {"activation": activation}
        self.packed, self._steppers, self._made = None, {}, {}
        self.is_ours = type(self) in (LSTMCell, GRUCell, SimpleRNNCell)  # whose methods nobody has overridden
        self.settle_activations()

    def settle_activations(self):
        """Find out what the activations' names mean; sets ``functions`` and the attributes of the same names."""
        self.functions = {}
        for word, given in self.given_activations.items():
            name = activations.settle(given, self.semantics)
            setattr(self, word, name)
            self.functions[word] = activations.get(name)

    def adopt(self, semantics):
        super().adopt(semantics)
        self.settle_activations()
        if self.weights:
            self.pack()
            tell_watchers()

    @property
    def compiled(self):
        """Whether the kernels know all activations of the cell."""
        return not any(callable(f) for f in self.functions.values())

    @property
    def fits_tiles(self):
        """Whether the fused kernels on register tiles can compute this cell."""
        return self.compiled and packing.knows(self.dtype, *self.functions.values())

    def once(self, name, make):
        """Return another form of the weights, made when it is needed first: it would double their memory."""
        made = self._made  # looked at before the weights are: another thread may put others in their place
        if name not in made:
            made[name] = make()
        return made[name]

    def sequence(self, x, mask, backwards, masked_output, states, y, threads=1):
        """The fused loop over a sequence; parameters as in `sequences.run`."""
        if self.packed is not None:
            sequences.run(self.packed, x, mask, backwards, masked_output, states, y, threads)
        else:
            mask = np.empty((len(x), 0), bool) if mask is None else mask
            self.general_sequence(readonly(x), readonly(mask), self.params, backwards, masked_output, *states, y)

    def runner(self, shape, return_sequences, backwards):
        """Return a function for sequences of one shape again and again (`sequences.make_runner`)."""
        return sequences.make_runner(self.packed, shape, return_sequences, backwards)

    def __call__(self, inputs, *args, **kwargs):
        """Compute one timestep, or record a call on symbolic tensors."""
        if self.packed is not None and self.is_ours and self.implementation == 2 and len(args) == 1 and not kwargs:
            try:
                steppers = self._steppers  # another thread may put others in their place
                stepper = steppers.get(len(inputs))
                if stepper is None:
                    if len(steppers) >= MOST_SIZES:
                        steppers.clear()
                    stepper = steppers[len(inputs)] = make_cell_stepper(self.packed, len(inputs))
                result = stepper(inputs, args[0])
            except (TypeError, ValueError):
                result = None
            if result is not None:
                return result
        return super().__call__(inputs, *args, **kwargs)

    def step(self, x_t, *states):
        """One timestep; `states` in place."""
        if self.packed is not None:
            y = np.empty((len(x_t), 1, self.units), np.float32)
            sequences.run(self.packed, x_t[:, None], None, False, PREVIOUS, list(states), y, threads=1)
        elif self.compiled:
            self.general_step(readonly(x_t), self.params, *states)
        else:
            self.step_with_functions(x_t, *states)

    @property
    def state_size(self):
        """The sizes of the states, a list."""
        return [self.units]

    @property
    def output_size(self):
        """The number of outputs."""
        return self.units

    def weight_shapes(self, input_shape):
        features, width = input_shape[-1], self.gates * self.units
        shapes = {"kernel": (features, width), "recurrent_kernel": (self.units, width)}
        return {**shapes, **({"bias": self.bias_shape()} if self.use_bias else {})}

    def bias_shape(self):
        return (self.gates * self.units,)

    def build_from(self, weights):
        if not weights or weights[0].ndim != 2:
            raise InputError(f"layer '{self.name}': the first weight must be the kernel, a matrix")
        self.build((None, weights[0].shape[0]))

    def compute_output_shape(self, input_shape):
        state = (input_shape[0], self.units)
        return [state, [state] * len(self.state_size)]

    def get_initial_state(self, batch_size):
        """Return a list of zero states for `batch_size` rows."""
        return [np.zeros((batch_size, size), self.dtype) for size in self.state_size]

    def call(self, inputs, states):
        """Compute one timestep.

        Parameters
        ----------
        inputs : (batch, features) array
        states : list of (batch, units) arrays
            Not changed.

        Returns
        -------
        output : (batch, units) array
        states : list of (batch, units) arrays
        """
        states = [np.array(state, self.dtype, order="C") for state in flatten(states)]
        self._check(inputs, states)
        self.step(np.ascontiguousarray(inputs), *states)
        return states[0], states

    def _check(self, x_t, states):
        """Refuse shapes that would let a kernel read or write outside its arrays."""
        features = len(self.weights["kernel"])
        if x_t.ndim != 2 or x_t.shape[1] != features:
            raise InputError(f"layer '{self.name}': found inputs {x_t.shape}, expected (batch, {features})")
        expected = [(len(x_t), size) for size in self.state_size]
        if [state.shape for state in states] != expected:
            raise InputError(
                f"layer '{self.name}': found states of shapes {[s.shape for s in states]}, expected {expected}"
            )

    def product(self, a, name, bias, columns=slice(None)):
        """Return ``a @ weight + bias`` for some columns, summed as the kernels do."""
        weight, bias = self.weights[name][:, columns], bias[columns]
        z = np.empty((len(a), bias.size), self.dtype)
        dense(readonly(a), readonly(weight), readonly(bias), activations.get("linear"), z)
        return z

    def preactivations(self, x_t, h):
        """Return ``x_t @ kernel + bias + h @ recurrent_kernel``."""
        bias = self.weights.get("bias", np.zeros(self.gates * self.units, self.dtype))
        z = self.product(x_t, "kernel", bias)
        return z + self.product(h, "recurrent_kernel", np.zeros_like(bias))

    def f(self, z):
        """The activation, on an array of its own."""
        return activations.apply(self.functions["activation"], z)

    def g(self, z):
        """The recurrent activation, on an array of its own."""
        return activations.apply(self.functions["recurrent_activation"], z)


class LSTMCell(_Cell):
    """One timestep of an LSTM.

    Parameters
    ----------
    units : int
    activation, recurrent_activation : str or callable
        Names of Keras activations, or functions of one array.
    use_bias : bool
    implementation : {2, 1}
        2: the four gates in one product; 1: one product per gate. The results are the same bits.
    **kwargs
        ``name``, ``dtype`` and the arguments of Keras that only training uses.

    Notes
    -----
    Weights: kernel (features, 4*units), recurrent_kernel (units, 4*units), bias (4*units,), gates i, f, c, o. Formula:
    ``keras/src/layers/rnn/lstm.py``.

    Examples
    --------
    >>> import numpy as np
    >>> cell = LSTMCell(2)
    >>> cell.set_weights([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)])
    >>> h, [h, c] = cell(np.ones((1, 3)), [np.zeros((1, 2)), np.zeros((1, 2))])
    >>> h.shape, c.round(4)
    ((1, 2), array([[0.9479, 0.9479]], dtype=float32))
    """

    config_names = ("units", "activation", "recurrent_activation", "use_bias", "implementation")
    gates = 4

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True, implementation=2, **kwargs
    ):
        super().__init__(units, activation, use_bias, implementation, **kwargs)
        self.given_activations["recurrent_activation"] = recurrent_activation
        self.settle_activations()

    @property
    def state_size(self):
        """The sizes of the states h and c."""
        return [self.units, self.units]

    def pack(self):
        if not self.compiled:
            return
        bias = self.weights.get("bias", np.zeros(4 * self.units, self.dtype))
        f, g = self.functions["activation"], self.functions["recurrent_activation"]
        self.params = lstm.LSTMParams(self.weights["kernel"], self.weights["recurrent_kernel"], bias, f, g)
        self.packed = packing.pack_lstm(*self.params) if self.fits_tiles else None
        self._steppers, self._made = {}, {}  # after it, so that none is made of the old weights

    @property
    def gate_params(self):
        """The weights with each gate's apart, for implementation 1."""
        return self.once("gate_params", lambda: lstm.split_gates(self.params))

    @property
    def packed_gates(self):
        """The same as its fused kernel takes them."""
        return self.once("packed_gates", lambda: packing.pack_lstm_gates(*self.params[:3]))

    general_step, general_sequence = staticmethod(lstm.step_fused), staticmethod(lstm.sequence)

    def step(self, x_t, h, c):
        """One timestep; `h` and `c` in place."""
        if self.implementation != 1 or not self.compiled:
            super().step(x_t, h, c)
        elif self.packed is None:
            lstm.step_gates(readonly(x_t), self.gate_params, h, c)
        else:
            (rows, features), update = x_t.shape, functions_of(self.packed.cell)[0]
            own = np.empty(gates.scratch_size(features, self.units), np.float32)
            gates.compiled()(self.packed_gates, update, x_t, h, c, rows, features, self.units, own)

    def step_with_functions(self, x_t, h, c):
        """`step`, with activations that are Python functions."""
        i, f, candidate, o = np.split(self.preactivations(x_t, h), 4, axis=1)
        c[:] = self.g(f) * c + self.g(i) * self.f(candidate)
        h[:] = self.g(o) * self.f(c)


class GRUCell(_Cell):
    """One timestep of a GRU.

    Parameters
    ----------
    units : int
    activation, recurrent_activation : str or callable
    use_bias : bool
    reset_after : bool
        Whether the reset gate is applied after the recurrent product (as cuDNN does) or before it.
    **kwargs
        ``name``, ``dtype``, ``implementation`` (no effect here) and the arguments that only training uses.

    Notes
    -----
    Weights: kernel (features, 3*units), recurrent_kernel (units, 3*units), bias (3*units,), or (2, 3*units) with
    `reset_after`; gates z, r, h. Formula: ``keras/src/layers/rnn/gru.py``.

    Examples
    --------
    >>> import numpy as np
    >>> cell = GRUCell(2, reset_after=False)
    >>> cell.set_weights([np.ones((3, 6)), np.ones((2, 6)), np.zeros(6)])
    >>> h, [h] = cell(np.ones((1, 3)), [np.zeros((1, 2))])
    >>> h.round(4)
    array([[0.0472, 0.0472]], dtype=float32)
    """

    config_names = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "implementation")
    gates = 3

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
        self.reset_after = reset_after
        super().__init__(units, activation, use_bias, implementation, **kwargs)
        self.given_activations["recurrent_activation"] = recurrent_activation
        self.settle_activations()

    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def pack(self):
        u = self.units
        bias = np.zeros((2, 3 * u), self.dtype)
        bias[: 2 if self.reset_after else 1] = self.weights.get("bias", 0)
        self.biases = bias
        if self.compiled:
            f, g = self.functions["activation"], self.functions["recurrent_activation"]
            weights = self.weights["kernel"], self.weights["recurrent_kernel"], bias, f, g, self.reset_after
            self.packed = packing.pack_gru(*weights) if self.fits_tiles else None
            self._steppers, self._made = {}, {}  # after it, so that none is made of the old weights

    @property
    def params(self):
        """The weights as the general kernels take them."""
        return self.once("params", self._general_params)

    def _general_params(self):
        recurrent, u = self.weights["recurrent_kernel"], self.units
        gates, candidate = (np.ascontiguousarray(part) for part in (recurrent[:, : 2 * u], recurrent[:, 2 * u :]))
        functions = self.functions["activation"], self.functions["recurrent_activation"]
        return gru.GRUParams(
            self.weights["kernel"], gates, candidate, *self.biases, *functions, bool(self.reset_after)
        )

    general_step, general_sequence = staticmethod(gru.step), staticmethod(gru.sequence)

    def step_with_functions(self, x_t, h):
        """`step`, with activations that are Python functions."""
        u, (bias, recurrent_bias) = self.units, self.biases
        x_part = self.product(x_t, "kernel", bias)
        gates = x_part[:, : 2 * u] + self.product(h, "recurrent_kernel", recurrent_bias, slice(2 * u))
        z, r = (self.g(gate) for gate in np.split(gates, 2, axis=1))
        last = slice(2 * u, 3 * u)
        if self.reset_after:
            inner = r * self.product(h, "recurrent_kernel", recurrent_bias, last)
        else:
            inner = self.product(r * h, "recurrent_kernel", recurrent_bias, last)  # whose bias is zero then
        h[:] = z * h + (1 - z) * self.f(x_part[:, last] + inner)


class SimpleRNNCell(_Cell):
    """One timestep of a simple recurrent layer: ``h' = activation(x_t @ kernel + bias + h @ recurrent_kernel)``.

    Parameters
    ----------
    units : int
    activation : str or callable
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Weights: kernel (features, units), recurrent_kernel (units, units), bias (units,). Formula:
    ``keras/src/layers/rnn/simple_rnn.py``.

    Examples
    --------
    >>> import numpy as np
    >>> cell = SimpleRNNCell(2, activation="relu")
    >>> cell.set_weights([np.ones((3, 2)), np.ones((2, 2)), np.zeros(2)])
    >>> cell(np.ones((1, 3)), [np.ones((1, 2))])[0]
    array([[5., 5.]], dtype=float32)
    """

    config_names = ("units", "activation", "use_bias")

    def pack(self):
        if self.compiled:
            bias = self.weights.get("bias", np.zeros(self.units, self.dtype))
            f = self.functions["activation"]
            self.params = simple_rnn.SimpleRNNParams(self.weights["kernel"], self.weights["recurrent_kernel"], bias, f)
            self.packed = packing.pack_simple(*self.params) if self.fits_tiles else None
            self._steppers = {}  # after it, so that none is made of the old weights

    general_step, general_sequence = staticmethod(simple_rnn.step), staticmethod(simple_rnn.sequence)

    def step_with_functions(self, x_t, h):
        """`step`, with activations that are Python functions."""
        h[:] = self.f(self.preactivations(x_t, h))


class StackedRNNCells(Layer):
    """Cells on top of each other, commanded as one.

    Parameters
    ----------
    cells : list of cells
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> StackedRNNCells([LSTMCell(4), GRUCell(3)]).state_size
    [[4, 4], [3]]
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        self.cells = list(cells)

    def children(self):
        return {str(n): cell for n, cell in enumerate(self.cells) if isinstance(cell, Layer)}

    @property
    def state_size(self):
        """The sizes of the cells' states, nested; in the order in which the layer around them lists states."""
        return [state_sizes(cell) for cell in self.in_state_order(self.cells)]

    def in_state_order(self, items):
        """Return the cells' `items` in the order in which states are listed (or back again)."""
        return list(items)[::-1] if self.semantics.stacked_states_reversed else list(items)

    @property
    def output_size(self):
        """The number of outputs of the last cell."""
        return output_size_of(self.cells[-1])

    def build_from(self, weights):
        self.build((None, weights[0].shape[0]))

    def build(self, input_shape):
        self.expected_shapes = {}
        for cell in self.cells:
            if isinstance(cell, Layer):
                cell.build(input_shape)
            input_shape = (*input_shape[:-1], output_size_of(cell))

    def call(self, inputs, states):
        """Compute one timestep; `states` is a list with one list per cell."""
        new = []
        for cell, state in zip(self.cells, self.in_state_order(states), strict=True):
            inputs, state = command(cell, inputs, state)
            new.append(flatten(state))
        return inputs, self.in_state_order(new)


def command(cell, x_t, states):
    """One timestep of any cell: ours, an `Layer` of the user's, or any object with ``call`` or that is callable."""
    function = getattr(cell, "call", cell)
    output, new = function(x_t, states)
    return np.asarray(output), new


def state_sizes(cell):
    """Return the sizes of a cell's states as a list (nested for stacked cells)."""
    sizes = cell.state_size
    return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]


def output_size_of(cell):
    """Return the size of a cell's output: its ``output_size``, else that of its first state."""
    size = getattr(cell, "output_size", None)
    if size is None:
        size = flatten(state_sizes(cell))[0]
    return size
