"""Layers that only Keras 1 has.

Sources: ``keras/layers/core.py`` and ``keras/layers/advanced_activations.py`` of Keras 1.2.2. Their weights keep the
names they have there.
"""

import numpy as np

from ..errors import InputError
from . import activations
from .base import Layer
from .contraction import Matrix
from .core import _Activated


class Highway(_Activated):
    """``t * activation(x @ W + b) + (1 - t) * x``, with the gate ``t = sigmoid(x @ W_carry + b_carry)``.

    Parameters
    ----------
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Highway()
    >>> layer.set_weights([np.eye(2), np.zeros((2, 2)), [2.0, 0.0], [0.0, 0.0]])
    >>> layer(np.array([[1.0, 3.0]])).tolist()
    [[2.0, 3.0]]
    """

    per_timestep = True
    config_names = ("activation", "use_bias")

    def __init__(self, activation=None, use_bias=True, **kwargs):
        for word in ("transform_bias", "weights"):
            kwargs.pop(word, None)
        super().__init__(activation, **kwargs)
        self.use_bias = use_bias

    def weight_shapes(self, input_shape):
        size = input_shape[-1]
        if size is None:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected a fixed number of features")
        biases = dict.fromkeys(("b", "b_carry"), (size,)) if self.use_bias else {}
        return {"W": (size, size), "W_carry": (size, size), **biases}

    def build_from(self, weights):
        self.build((None, weights[0].shape[0]))

    def pack(self):
        self.matrices = [Matrix(self.weights[name]) for name in ("W", "W_carry")]

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        z, gate = (matrix.multiply(inputs) for matrix in self.matrices)
        if self.use_bias:
            z, gate = z + self.weights["b"], gate + self.weights["b_carry"]
        gate = activations.apply(activations.get("sigmoid"), gate)
        return activations.apply(self.function, z) * gate + (1 - gate) * inputs


class MaxoutDense(Layer):
    """The largest of several linear functions, for every output.

    Parameters
    ----------
    output_dim : int
    nb_feature : int
        How many functions there are.
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MaxoutDense(1, nb_feature=2)
    >>> layer.set_weights([[[[1.0]], [[-1.0]]], [[0.0], [0.0]]])
    >>> layer(np.array([[-3.0]])).tolist()
    [[3.0]]
    """

    config_names = ("output_dim", "nb_feature", "use_bias")

    def __init__(self, output_dim, nb_feature=4, use_bias=True, **kwargs):
        kwargs.pop("weights", None)
        super().__init__(**kwargs)
        self.output_dim, self.nb_feature, self.use_bias = int(output_dim), int(nb_feature), use_bias
        if min(self.output_dim, self.nb_feature) < 1:
            raise InputError(f"layer '{self.name}': found sizes below 1 in {self.get_config()}")

    def weight_shapes(self, input_shape):
        if len(input_shape) != 2 or input_shape[1] is None:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, features)")
        bias = {"b": (self.nb_feature, self.output_dim)} if self.use_bias else {}
        return {"W": (self.nb_feature, input_shape[1], self.output_dim), **bias}

    def build_from(self, weights):
        self.build((None, weights[0].shape[1]))

    def pack(self):
        self.matrices = [Matrix(part) for part in self.weights["W"]]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

    def call(self, inputs):
        values = np.stack([matrix.multiply(inputs) for matrix in self.matrices], axis=1)
        return (values + self.weights["b"] if self.use_bias else values).max(axis=1)


class _Learned(Layer):
    """An activation with parameters for every place of the input, or for every place on some axes."""

    supports_masking = True
    names = ()
    config_names = ("shared_axes",)

    def __init__(self, shared_axes=None, **kwargs):
        words = [word for word in kwargs if word.endswith("_init") or word == "weights"]
        super().__init__(**{word: value for word, value in kwargs.items() if word not in words})
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else list(shared_axes or [])

    @property
    def per_timestep(self):
        """Whether all timesteps have the same parameters."""
        return 1 in self.shared_axes

    def weight_shapes(self, input_shape):
        shape = tuple(1 if n in self.shared_axes else size for n, size in enumerate(input_shape) if n)
        return dict.fromkeys(self.names, shape)

    def compute_output_shape(self, input_shape):
        return input_shape


class ParametricSoftplus(_Learned):
    """``alphas * log(1 + exp(betas * x))``.

    Parameters
    ----------
    shared_axes : sequence of int, optional
        Axes along which the parameters are the same; the first after the batch is 1.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ParametricSoftplus()
    >>> layer.build((None, 1))
    >>> layer.set_weights([[2.0], [1.0]])
    >>> layer(np.array([[0.0]])).round(4).tolist()
    [[1.386299967765808]]
    """

    names = ("alphas", "betas")

    def call(self, inputs):
        softplus = activations.apply(activations.get("softplus"), inputs * self.weights["betas"])
        return softplus * self.weights["alphas"]


class SReLU(_Learned):
    """Three straight pieces: ``x`` between two thresholds, and a slope of its own on either side.

    Parameters
    ----------
    shared_axes : sequence of int, optional
        Axes along which the parameters are the same; the first after the batch is 1.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SReLU()
    >>> layer.build((None, 3))
    >>> layer.set_weights([[0.0] * 3, [0.5] * 3, [1.0] * 3, [2.0] * 3])
    >>> layer(np.array([[-1.0, 0.5, 2.0]])).tolist()
    [[-0.5, 0.5, 3.0]]
    """

    names = ("t_left", "a_left", "t_right", "a_right")

    def call(self, inputs):
        left, slope_left, right, slope_right = (self.weights[name] for name in self.names)
        right = left + np.abs(right)  # so that the thresholds never cross
        x, zero = inputs - left, inputs.dtype.type(0)
        center = np.minimum(np.maximum(x, zero), right - left) - slope_left * np.maximum(-x, zero)
        return left + center + np.maximum(inputs - right, zero) * slope_right
