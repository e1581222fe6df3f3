"""Normalization that divides by a length, or standardises groups of features.

Sources: ``keras/src/layers/normalization`` of Keras 3.15, ``layers/normalization`` of tf_keras 2.21.
"""

import math

import numpy as np

from ..errors import InputError
from ..kernels.reductions import add_squares, standardise_rows
from .base import Layer, readonly
from .normalization import WholeNumbers, axis_size


class _OverAxes(Layer):
    """A layer that divides by something it finds along some axes."""

    per_timestep = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = sorted(int(n) for n in axis) if isinstance(axis, (list, tuple)) else int(axis)

    @property
    def axes(self):
        """The axes as a sorted list, as Keras sorts them: -1 before 1."""
        return self.axis if isinstance(self.axis, list) else [self.axis]

    def build(self, input_shape):
        rank = len(input_shape)
        if not self.axes or not all(-rank <= axis < rank for axis in self.axes):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected axes {self.axes} among theirs")
        super().build(input_shape)
        self.per_timestep = self.per_timestep and all(axis % rank != 1 for axis in self.axes)
        if any(axis % rank == 0 for axis in self.axes):
            raise InputError(f"layer '{self.name}': found axis 0, which would mix the rows of a batch")

    def compute_output_shape(self, input_shape):
        return input_shape

    def square_sums(self, x):
        """Return the sums of squares along the axes, which stay as axes of one; in float64."""
        axes = sorted({axis % x.ndim for axis in self.axes})
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        rows = readonly(last.reshape(-1 if x.size else 0, math.prod(last.shape[-len(axes) :])))
        sums = np.empty(len(rows), np.float64)
        add_squares(rows, sums)
        return sums.reshape([1 if n in axes else size for n, size in enumerate(x.shape)] if x.size else (0,) * x.ndim)


class RMSNormalization(WholeNumbers, _OverAxes):
    """``x / sqrt(mean(x ** 2) + epsilon) * scale``.

    Parameters
    ----------
    axis : int or list of int
    epsilon : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RMSNormalization(epsilon=0.0)
    >>> layer.set_weights([[1.0, 10.0]])
    >>> layer(np.array([[1.0, 7.0]])).round(4).tolist()
    [[0.20000000298023224, 14.0]]
    """

    config_names = ("axis", "epsilon")

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(axis, **kwargs)
        self.epsilon = float(epsilon)

    def weight_shapes(self, input_shape):
        return {"scale": tuple(axis_size(self, input_shape, axis) for axis in self.axes)}

    def build(self, input_shape):
        super().build(input_shape)
        scale = self.expected_shapes["scale"]
        if any(m not in (1, n) for m, n in zip(scale, input_shape[-len(scale) :], strict=True)):
            raise InputError(f"layer '{self.name}': found {input_shape} and a scale of {scale}, which do not fit")

    def build_from(self, weights):
        self.expected_shapes = {"scale": weights[0].shape}

    def normalise(self, inputs):
        """Compute on numbers of this layer's dtype."""
        count = math.prod(inputs.shape[axis] for axis in self.axes)
        factor = 1 / np.sqrt(self.square_sums(inputs) / count + self.epsilon)
        # the scale is along the last axes, whatever `axis` is: so Keras does it
        return (inputs * factor).astype(inputs.dtype) * self.weights["scale"]


class UnitNormalization(_OverAxes):
    """``x`` divided by its length along some axes.

    Parameters
    ----------
    axis : int or list of int
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> UnitNormalization()(np.array([[3.0, 4.0]])).round(4).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """

    supports_masking = True
    config_names = ("axis",)

    def call(self, inputs):
        sums = np.maximum(self.square_sums(inputs), self.semantics.least_norm)
        return (inputs / np.sqrt(sums)).astype(inputs.dtype)


class GroupNormalization(WholeNumbers):
    """Every group of features of a row standardised by itself.

    Parameters
    ----------
    groups : int
        How many; -1 for a group for every feature.
    axis : int
        Of the features.
    epsilon : float
    center, scale : bool
        Whether there are beta and gamma.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = GroupNormalization(groups=2, epsilon=0.0, center=False, scale=False)
    >>> layer(np.array([[1.0, 3.0, 10.0, 50.0]])).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    supports_masking = True
    config_names = ("groups", "axis", "epsilon", "center", "scale")

    def __init__(self, groups=32, axis=-1, epsilon=0.001, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon = int(groups), int(axis), float(epsilon)
        self.center, self.scale = center, scale
        if self.groups < 1 and self.groups != -1:
            raise InputError(f"layer '{self.name}': found groups {groups}, expected a positive number or -1")

    def build(self, input_shape):
        size = axis_size(self, input_shape, self.axis)
        if self.groups > 0 and size % self.groups:
            raise InputError(f"layer '{self.name}': found {size} features, expected a multiple of {self.groups}")
        if self.axis % len(input_shape) == 0:
            raise InputError(f"layer '{self.name}': found axis 0, which would mix the rows of a batch")
        super().build(input_shape)

    def weight_shapes(self, input_shape):
        size = axis_size(self, input_shape, self.axis)
        wanted = [name for name, flag in (("gamma", self.scale), ("beta", self.center)) if flag]
        return dict.fromkeys(wanted, (size,))

    def compute_output_shape(self, input_shape):
        return input_shape

    def normalise(self, inputs):
        """Compute on numbers of this layer's dtype."""
        last = np.moveaxis(inputs, self.axis, -1)
        size, rest = last.shape[-1], math.prod(last.shape[1:-1])
        groups = size if self.groups == -1 else self.groups
        rows = last.reshape(len(inputs), rest, groups, size // groups).swapaxes(1, 2)
        flat = readonly(rows.reshape(len(inputs) * groups, rest * (size // groups)))
        y = np.empty(flat.shape, flat.dtype)
        standardise_rows(flat, self.epsilon, True, y)
        y = y.reshape(rows.shape).swapaxes(1, 2).reshape(last.shape)
        y = y * self.weights["gamma"] if self.scale else y
        y = y + self.weights["beta"] if self.center else y
        return np.moveaxis(y, -1, self.axis)
