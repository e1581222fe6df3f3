"""Cells of TensorFlow Addons: an LSTM that looks at its carry, normalised cells, a searched one, an echo state network.

They are computed step by step. Sources: ``tensorflow_addons/rnn`` (release 0.23), by the names of the classes.
"""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import standardise_rows
from . import activations
from .base import readonly
from .cells import LSTMCell, SimpleRNNCell, _Cell
from .recurrent import _FusedRNN


def normalised(z, epsilon, gamma, beta=None):
    """Return every row of `z` standardised, times `gamma`, plus `beta`."""
    y = np.empty_like(z, order="C")
    standardise_rows(readonly(z), epsilon, True, y)
    return y * gamma if beta is None else y * gamma + beta


class PeepholeLSTMCell(LSTMCell):
    """An `LSTMCell` whose gates see the carry state, each through a weight per unit.

    Notes
    -----
    Weights: those of an `LSTMCell`, then input_gate_peephole_weights, forget_gate_peephole_weights and
    output_gate_peephole_weights (units,). The arguments are those of `LSTMCell`.

    Examples
    --------
    >>> cell = PeepholeLSTMCell(2)
    >>> cell.set_weights([np.ones((3, 8)), np.ones((2, 8)), np.zeros(8), *np.ones((3, 2))])
    >>> h, [h, c] = cell(np.ones((1, 3)), [np.zeros((1, 2)), np.ones((1, 2))])
    >>> c.round(4)
    array([[1.9592, 1.9592]], dtype=float32)
    """

    compiled = False
    peepholes = tuple(f"{gate}_gate_peephole_weights" for gate in ("input", "forget", "output"))

    def weight_shapes(self, input_shape):
        return {**super().weight_shapes(input_shape), **dict.fromkeys(self.peepholes, (self.units,))}

    def step_with_functions(self, x_t, h, c):
        """One timestep; `h` and `c` in place."""
        i, f, candidate, o = np.split(self.preactivations(x_t, h), 4, axis=1)
        to_i, to_f, to_o = (self.weights[name] for name in self.peepholes)
        c[:] = self.g(f + to_f * c) * c + self.g(i + to_i * c) * self.f(candidate)
        h[:] = self.g(o + to_o * c) * self.f(c)


class LayerNormLSTMCell(LSTMCell):
    """An `LSTMCell` that standardises both products and the carry state.

    Parameters
    ----------
    units : int
    norm_epsilon : float
    **kwargs
        As for `LSTMCell`.

    Notes
    -----
    Weights: those of an `LSTMCell`, then gamma and beta of kernel_norm, recurrent_norm (4*units,) and state_norm
    (units,).

    Examples
    --------
    >>> cell = LayerNormLSTMCell(2)
    >>> cell.build((None, 3))
    >>> cell.set_weights([np.ones(shape) for shape in cell.expected_shapes.values()])
    >>> cell(np.ones((1, 3)), [np.zeros((1, 2)), np.zeros((1, 2))])[0].round(4)
    array([[0.7255, 0.7255]], dtype=float32)
    """

    compiled = False
    config_names = (*LSTMCell.config_names, "norm_epsilon")

    def __init__(self, units, norm_epsilon=1e-3, **kwargs):
        kwargs = _without(kwargs, ("norm_gamma_initializer", "norm_beta_initializer"))
        super().__init__(units, **kwargs)
        self.norm_epsilon = float(norm_epsilon)

    def weight_shapes(self, input_shape):
        wide, own = (4 * self.units,), (self.units,)
        norms = {"kernel_norm": wide, "recurrent_norm": wide, "state_norm": own}
        more = {f"{norm}/{name}": shape for norm, shape in norms.items() for name in ("gamma", "beta")}
        return {**super().weight_shapes(input_shape), **more}

    def norm(self, name, z):
        """Standardise the rows of `z` with the weights of a part."""
        return normalised(z, self.norm_epsilon, self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"])

    def step_with_functions(self, x_t, h, c):
        """One timestep; `h` and `c` in place."""
        nothing = np.zeros(4 * self.units, self.dtype)
        z = self.norm("kernel_norm", self.product(x_t, "kernel", nothing))
        z = z + self.norm("recurrent_norm", self.product(h, "recurrent_kernel", nothing))
        i, f, candidate, o = np.split(z + self.weights.get("bias", nothing), 4, axis=1)
        c[:] = self.norm("state_norm", self.g(f) * c + self.g(i) * self.f(candidate))
        h[:] = self.g(o) * self.f(c)


class LayerNormSimpleRNNCell(SimpleRNNCell):
    """A `SimpleRNNCell` that standardises the sum of both products before it adds the bias.

    Parameters
    ----------
    units : int
    layernorm_epsilon : float
    **kwargs
        As for `SimpleRNNCell`.

    Notes
    -----
    Weights: those of a `SimpleRNNCell`, then gamma of layernorm (units,).

    Examples
    --------
    >>> cell = LayerNormSimpleRNNCell(2)
    >>> cell.set_weights([[[1, 2]], np.zeros((2, 2)), np.zeros(2), np.ones(2)])
    >>> cell(np.ones((1, 1)), [np.zeros((1, 2))])[0].round(3)
    array([[-0.762,  0.762]], dtype=float32)
    """

    compiled = False
    config_names = (*SimpleRNNCell.config_names, "layernorm_epsilon")

    def __init__(self, units, layernorm_epsilon=1e-05, **kwargs):
        super().__init__(units, **kwargs)
        self.layernorm_epsilon = float(layernorm_epsilon)

    def weight_shapes(self, input_shape):
        return {**super().weight_shapes(input_shape), "layernorm/gamma": (self.units,)}

    def step_with_functions(self, x_t, h):
        """One timestep; `h` in place."""
        nothing = np.zeros(self.units, self.dtype)
        z = self.product(x_t, "kernel", nothing) + self.product(h, "recurrent_kernel", nothing)
        z = normalised(z, self.layernorm_epsilon, self.weights["layernorm/gamma"])
        h[:] = self.f(z + self.weights.get("bias", nothing))


class NASCell(_Cell):
    """The recurrent cell that a search over architectures found (Zoph and Le, 2017).

    Parameters
    ----------
    units : int
    projection : int, optional
        The size of the output, if it is projected.
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Weights: recurrent_kernel (outputs, 8*units), kernel (features, 8*units), bias (8*units,), projection_weights
    (units, projection). The states are the carry and the output.

    Examples
    --------
    >>> cell = NASCell(3, projection=2)
    >>> cell.state_size, cell.output_size
    ([3, 2], 2)
    """

    compiled = False
    config_names = ("units", "projection", "use_bias")
    gates = 8

    def __init__(self, units, projection=None, use_bias=False, **kwargs):
        kwargs = _without(kwargs, ("projection_initializer",))
        super().__init__(units, use_bias=use_bias, **kwargs)
        if projection is not None and (not isinstance(projection, int) or projection < 1):
            raise InputError(f"layer '{self.name}': found projection={projection!r}, expected a positive whole number")
        self.projection = projection

    @property
    def output_size(self):
        """The number of outputs."""
        return self.projection or self.units

    @property
    def state_size(self):
        """The sizes of the carry and the output."""
        return [self.units, self.output_size]

    def weight_shapes(self, input_shape):
        width = 8 * self.units
        shapes = {"recurrent_kernel": (self.output_size, width), "kernel": (input_shape[-1], width)}
        if self.use_bias:
            shapes["bias"] = (width,)
        return {**shapes, **({"projection_weights": (self.units, self.projection)} if self.projection else {})}

    def compute_output_shape(self, input_shape):
        batch = input_shape[0]
        return [(batch, self.output_size), [(batch, size) for size in self.state_size]]

    def call(self, inputs, states):
        c, m = (np.array(state, self.dtype, order="C") for state in states)
        self._check(inputs, [c, m])
        nothing = np.zeros(8 * self.units, self.dtype)
        x = np.split(self.product(np.ascontiguousarray(inputs), "kernel", nothing), 8, axis=1)
        h = np.split(self.product(m, "recurrent_kernel", self.weights.get("bias", nothing)), 8, axis=1)
        sums = [a + b for a, b in zip(x, h, strict=True)]
        one = [_sigmoid(sums[0]), np.maximum(sums[1], 0), _sigmoid(sums[2]), np.maximum(x[3] * h[3], 0),
               _tanh(sums[4]), _sigmoid(sums[5]), _tanh(sums[6]), _sigmoid(sums[7])]  # fmt: skip
        two = [_tanh(one[0] * one[1]), _tanh(one[2] + one[3]), _tanh(one[4] * one[5]), _sigmoid(one[6] + one[7])]
        c = _tanh(two[0] + c) * two[1]
        m = _tanh(c * _tanh(two[2] + two[3]))
        if self.projection:
            m = self.product(m, "projection_weights", np.zeros(self.projection, self.dtype))
        return m, [c, m]


class ESNCell(_Cell):
    """The cell of an echo state network: ``h' = (1 - leaky) * h + leaky * activation(x @ kernel + h @ recurrent_kernel
    + bias)``.

    Parameters
    ----------
    units : int
    leaky : float
    use_bias : bool
    activation : str or callable
    **kwargs
        ``name``, ``dtype`` and the arguments that only matter before training (``connectivity``, ...).

    Notes
    -----
    Weights: recurrent_kernel (units, units), kernel (features, units), bias (units,).

    Examples
    --------
    >>> cell = ESNCell(1, leaky=0.5, activation="linear")
    >>> cell.set_weights([[[0.0]], [[2.0]], [1.0]])
    >>> cell(np.ones((1, 1)), [np.ones((1, 1))])[0]
    array([[2.]], dtype=float32)
    """

    compiled = False
    config_names = ("units", "leaky", "use_bias", "activation")

    def __init__(self, units, leaky=1.0, use_bias=True, activation="tanh", **kwargs):
        kwargs = _without(kwargs, ("connectivity", "spectral_radius", "use_norm2"))
        super().__init__(units, activation, use_bias, **kwargs)
        self.leaky = float(leaky)

    def build_from(self, weights):
        self.build((None, weights[1].shape[0]))

    def weight_shapes(self, input_shape):
        shapes = super().weight_shapes(input_shape)
        return {"recurrent_kernel": shapes.pop("recurrent_kernel"), **shapes}

    def step_with_functions(self, x_t, h):
        """One timestep; `h` in place."""
        leaky = self.dtype.type(self.leaky)
        h[:] = (1 - leaky) * h + leaky * self.f(self.preactivations(x_t, h))


class ESN(_FusedRNN):
    """An echo state network: contains an `ESNCell`.

    Parameters
    ----------
    units, leaky, use_bias, activation
        As for `ESNCell`.
    **kwargs
        As for `RNN`.

    Examples
    --------
    >>> ESN(3, return_sequences=True).compute_output_shape((None, 5, 2))
    (None, 5, 3)
    """

    def __init__(self, units, leaky=1.0, use_bias=True, activation="tanh", **kwargs):
        kwargs = _without(kwargs, ("connectivity", "spectral_radius", "use_norm2"))
        cell = ESNCell(units, leaky, use_bias, activation, name="cell", dtype=kwargs.get("dtype"))
        super().__init__(cell, **kwargs)


def _sigmoid(z):
    return activations.apply(activations.get("sigmoid"), z)


def _tanh(z):
    return activations.apply(activations.get("tanh"), z)


def _without(kwargs, words):
    return {word: value for word, value in kwargs.items() if word not in words}
