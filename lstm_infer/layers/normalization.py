"""Normalization layers."""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import find_moments, standardise_rows
from .base import Layer, readonly


class BatchNormalization(Layer):
    """``gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta``.

    Parameters
    ----------
    axis : int or list of int
        The axes with a mean of its own for every entry.
    epsilon : float
    center, scale : bool
        Whether there are beta and gamma.
    renorm : bool
        Whether there are also the statistics of batch renormalisation, which have no say at inference.
    mode : int
        Of Keras 1: 0 as above; 1 standardises each sample over the last axis, by
        ``(x - mean) / (sqrt(variance + epsilon) + epsilon)``.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Sources: ``keras/src/layers/normalization/batch_normalization.py`` of Keras 3.15, of tf_keras 2.21 for several axes;
    ``keras/layers/normalization.py`` of Keras 1.2.2 for `mode`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer.build((None, 1))
    >>> layer.set_weights([[2.0], [1.0], [5.0], [4.0]])
    >>> layer(np.array([[9.0]]))
    array([[5.]], dtype=float32)
    """

    has_mask_argument = True
    supports_masking = True
    per_timestep = True
    config_names = ("axis", "epsilon", "center", "scale", "renorm", "mode")

    def __init__(
        self, axis=-1, epsilon=0.001, center=True, scale=True, synchronized=False, renorm=False, mode=0, **kwargs
    ):
        for word in ("fused", "virtual_batch_size", "renorm_momentum", "renorm_clipping"):
            kwargs.pop(word, None)
        super().__init__(**kwargs)
        if mode not in (0, 1):
            raise InputError(f"layer '{self.name}': found mode {mode}, which depends on the other rows of a batch")
        self.axis = [int(n) for n in axis] if isinstance(axis, (list, tuple)) else int(axis)
        self.epsilon, self.center, self.scale = float(epsilon), center, scale
        self.renorm, self.mode = bool(renorm), int(mode)
        if not self.axes:
            raise InputError(f"layer '{self.name}': found axis {axis}, expected one at least")

    @property
    def axes(self):
        """The axes as a list."""
        return self.axis if isinstance(self.axis, list) else [self.axis]

    def build(self, input_shape):
        super().build(input_shape)
        # timesteps with weights of their own cannot be told apart one by one
        self.per_timestep = self.per_timestep and all(axis % len(input_shape) != 1 for axis in self.axes)

    def weight_shapes(self, input_shape):
        sizes = {axis % len(input_shape): axis_size(self, input_shape, axis) for axis in self.axes}
        several = len(sizes) > 1
        shape = tuple(sizes.get(n, 1) for n in range(len(input_shape))) if several else tuple(sizes.values())
        optional = [name for name, wanted in (("gamma", self.scale), ("beta", self.center)) if wanted]
        more = ["moving_stddev", "renorm_mean", "renorm_stddev"] if self.renorm else []
        return dict.fromkeys([*optional, "moving_mean", "moving_variance", *more], shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def pack(self):
        variance = self.weights["moving_variance"].astype(np.float64)
        factor = self.weights.get("gamma", 1.0) / np.sqrt(variance + self.epsilon)
        self.factor = factor.astype(self.dtype)
        self.shift = self.weights.get("beta", np.zeros(variance.shape, self.dtype))

    def call(self, inputs):
        if self.mode == 1:
            return self._standardise_samples(inputs)
        mean, factor, shift = self.weights["moving_mean"], self.factor, self.shift
        if len(self.axes) == 1:
            shape = [1] * inputs.ndim
            shape[self.axes[0]] = -1
            mean, factor, shift = (a.reshape(shape) for a in (mean, factor, shift))
        return (inputs - mean) * factor + shift

    def _standardise_samples(self, inputs):
        rows = readonly(inputs.reshape(-1, inputs.shape[-1]))
        means, variances = np.empty((2, len(rows)), np.float64)
        find_moments(rows, means, variances)
        deviation = np.sqrt(variances + self.epsilon) + self.epsilon
        y = ((rows - means[:, None]) / deviation[:, None]).astype(inputs.dtype).reshape(inputs.shape)
        return y * self.weights.get("gamma", y.dtype.type(1)) + self.weights.get("beta", y.dtype.type(0))


class WholeNumbers(Layer):
    """A normalization whose answers about whole numbers are cast to these first, in some Keras."""

    @property
    def keeps_integers(self):
        """Whether whole numbers have answers without what is behind the point."""
        return type(self).__name__ in self.semantics.truncating

    def output_dtype(self, inputs):
        kept = type(self).__name__ in self.semantics.stay_whole and inputs.dtype.kind in "biu"
        return inputs.dtype if kept else self.dtype

    def call(self, inputs):
        if inputs.dtype == self.dtype:
            return self.normalise(inputs)
        y = self.normalise(inputs.astype(self.dtype))
        return truncated(y, inputs.dtype).astype(self.output_dtype(inputs))


def truncated(y, dtype):
    """Return floats as whole numbers of `dtype`; where it has no negative ones, as the nearest."""
    return (np.maximum(y, 0) if dtype.kind == "u" else y).astype(dtype)


class LayerNormalization(WholeNumbers):
    """Every row standardised over some axes: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    Parameters
    ----------
    axis : int or list of int
    epsilon : float
    center, scale : bool
        Whether there are beta and gamma.
    rms_scaling : bool
        Divide only (by the standard deviation about the mean, as Keras does), and use gamma alone.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LayerNormalization(epsilon=0.0, center=False, scale=False)
    >>> layer(np.array([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    supports_masking = True
    per_timestep = True
    config_names = ("axis", "epsilon", "center", "scale", "rms_scaling")

    def __init__(self, axis=-1, epsilon=0.001, center=True, scale=True, rms_scaling=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = [int(n) for n in axis] if isinstance(axis, (list, tuple)) else int(axis)
        self.epsilon, self.center, self.scale, self.rms_scaling = float(epsilon), center, scale, rms_scaling

    @property
    def axes(self):
        """The axes as a list, in the order of the weights' axes: Keras sorts them, -1 before 1."""
        return sorted(self.axis) if isinstance(self.axis, list) else [self.axis]

    def build(self, input_shape):
        super().build(input_shape)
        self.per_timestep = self.per_timestep and all(axis % len(input_shape) != 1 for axis in self.axes)

    def weight_shapes(self, input_shape):
        shape = tuple(axis_size(self, input_shape, axis) for axis in self.axes)
        if self.rms_scaling:
            return {"gamma": shape}
        return {**({"gamma": shape} if self.scale else {}), **({"beta": shape} if self.center else {})}

    def compute_output_shape(self, input_shape):
        return input_shape

    def normalise(self, inputs):
        """Compute on numbers of this layer's dtype."""
        axes, ends = sorted(axis % inputs.ndim for axis in self.axes), list(range(-len(self.axes), 0))
        last = np.moveaxis(inputs, axes, ends)
        rows = readonly(last.reshape(-1, int(np.prod(last.shape[-len(ends) :]))))
        y = np.empty(rows.shape, rows.dtype)
        standardise_rows(rows, self.epsilon, not self.rms_scaling, y)
        y = y.reshape(last.shape)
        if "gamma" in self.weights:
            y = y * self.weights["gamma"].reshape(last.shape[-len(ends) :])  # not a transpose: so Keras does it
        if "beta" in self.weights:
            y = y + self.weights["beta"].reshape(last.shape[-len(ends) :])
        return np.moveaxis(y, ends, axes)


def axis_size(layer, input_shape, axis):
    """Return the size of an axis that weights depend on.

    Raises
    ------
    InputError
        There is no such axis, or it is free.
    """
    inside = -len(input_shape) <= axis < len(input_shape)
    if not inside or input_shape[axis] is None:
        raise InputError(f"layer '{layer.name}': found inputs {input_shape}, expected a fixed size on axis {axis}")
    return input_shape[axis]


class Normalization(Layer):
    """``(x - mean) / max(sqrt(variance), 1e-7)``, with what was learnt from data or given.

    Parameters
    ----------
    axis : int, list of int or None
        The axes along which every place has a mean and variance of its own.
    mean, variance : float or nested lists, optional
        Instead of weights.
    invert : bool
        The other way round: ``mean + x * max(sqrt(variance), 1e-7)``.
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    Weights: mean, variance (the sizes of `axis`), count. Source: ``keras/src/layers/preprocessing/normalization.py``.

    Examples
    --------
    >>> import numpy as np
    >>> Normalization(mean=1.0, variance=4.0)(np.array([[5.0, 1.0]]))
    array([[2., 0.]], dtype=float32)
    """

    supports_masking = True
    per_timestep = True
    config_names = ("axis", "mean", "variance", "invert")

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        axes = () if axis is None else axis if isinstance(axis, (list, tuple)) else (axis,)
        if (mean is None) != (variance is None):
            raise InputError(f"layer '{self.name}': found only one of mean and variance, expected both or neither")
        self.axis, self.mean, self.variance, self.invert = [int(n) for n in axes], mean, variance, bool(invert)

    def build(self, input_shape):
        if any(not -len(input_shape) <= n < len(input_shape) for n in self.axis):
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, but its axis is {self.axis}")
        self.kept = sorted(n % len(input_shape) for n in self.axis)
        super().build(input_shape)
        self.per_timestep = 1 not in self.kept or len(input_shape) < 3

    def weight_shapes(self, input_shape):
        if self.mean is not None:
            return {}
        shape = tuple(input_shape[n] for n in self.kept)
        return {"mean": shape, "variance": shape, "count": ()}

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        wide = [inputs.shape[n] if n in self.kept else 1 for n in range(inputs.ndim)]
        if self.mean is None:
            mean, variance = self.weights["mean"], self.weights["variance"]
        else:
            shape = [inputs.shape[n] for n in self.kept]
            mean, variance = (np.broadcast_to(np.asarray(a, self.dtype), shape) for a in (self.mean, self.variance))
        mean, variance = mean.reshape(wide), variance.reshape(wide)
        spread = np.maximum(np.sqrt(variance), self.dtype.type(1e-7))
        return mean + inputs * spread if self.invert else (inputs - mean) / spread


class Rescaling(Layer):
    """``x * scale + offset``.

    Parameters
    ----------
    scale, offset : float or list of float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Rescaling(0.5, offset=-1.0)(np.array([[4.0]]))
    array([[1.]], dtype=float32)
    """

    supports_masking = True
    per_timestep = True
    config_names = ("scale", "offset")

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return inputs * np.asarray(self.scale, self.dtype) + np.asarray(self.offset, self.dtype)
