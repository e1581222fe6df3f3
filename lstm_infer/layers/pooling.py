"""Pooling over time."""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import average_timesteps
from .base import Layer, readonly


def number(value):
    """Return a whole number that a config may give as a list of one."""
    return int(value[0]) if isinstance(value, (list, tuple)) else int(value)


class _Pooling1D(Layer):
    """A window that moves over time."""

    config_names = ("pool_size", "strides", "padding", "data_format")

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = number(pool_size)
        self.strides = self.pool_size if strides is None else number(strides)
        self.padding, self.data_format = padding, data_format or "channels_last"
        if padding not in ("valid", "same") or min(self.pool_size, self.strides) < 1:
            found = f"pool_size {pool_size}, strides {strides}, padding {padding!r}"
            raise InputError(f"layer '{self.name}': found {found}, expected positive sizes and 'valid' or 'same'")

    def _windows(self, timesteps):
        """Return how many windows there are and where the first begins."""
        if self.padding == "valid":
            return max((timesteps - self.pool_size) // self.strides + 1, 0), 0
        count = -(-timesteps // self.strides)
        return count, -(max((count - 1) * self.strides + self.pool_size - timesteps, 0) // 2)

    def compute_output_shape(self, input_shape):
        axis = 1 if self.data_format == "channels_last" else 2
        shape = list(input_shape)
        shape[axis] = None if shape[axis] is None else self._windows(shape[axis])[0]
        return tuple(shape)

    def call(self, inputs):
        x = inputs if self.data_format == "channels_last" else np.swapaxes(inputs, 1, 2)
        timesteps = x.shape[1]
        count, start = self._windows(timesteps)
        first = start + self.strides * np.arange(count)
        y = None
        for k in range(self.pool_size):  # one element of all windows at a time: a fixed order of summation
            t = first + k
            inside = ((t >= 0) & (t < timesteps))[:, None]
            y = self._include(y, x[:, np.clip(t, 0, timesteps - 1)], inside)
        y = self._finish(y, first, timesteps)
        return y if self.data_format == "channels_last" else np.swapaxes(y, 1, 2)


class MaxPooling1D(_Pooling1D):
    """The largest of every window.

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[[3.0]]]
    """

    def _include(self, y, x, inside):
        x = np.where(inside, x, x.dtype.type(-np.inf))
        return x if y is None else np.maximum(y, x)

    def _finish(self, y, first, timesteps):
        return y


class AveragePooling1D(_Pooling1D):
    """The mean of every window, of what lies inside the sequence.

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling1D(2, padding="same")(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[[2.0], [2.0]]]
    """

    def _include(self, y, x, inside):
        x = np.where(inside, x, x.dtype.type(0))
        return x if y is None else y + x

    def _finish(self, y, first, timesteps):
        inside = np.minimum(first + self.pool_size, timesteps) - np.maximum(first, 0)
        return y / inside.astype(y.dtype)[:, None]


class _GlobalPooling1D(Layer):
    """All timesteps become one."""

    config_names = ("data_format", "keepdims")

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format, self.keepdims = data_format or "channels_last", keepdims

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        batch, channels = input_shape[0], input_shape[2 if last else 1]
        if not self.keepdims:
            return (batch, channels)
        return (batch, 1, channels) if last else (batch, channels, 1)

    def _time_first(self, inputs):
        return np.moveaxis(inputs, 1 if self.data_format == "channels_last" else 2, 0)

    def _placed(self, y):
        if not self.keepdims:
            return y
        return y[:, None] if self.data_format == "channels_last" else y[..., None]


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest over time.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[3.0]]
    """

    def call(self, inputs):
        return self._placed(self._time_first(inputs).max(axis=0))


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over time, of the timesteps that are not masked.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    A row of which everything is masked gives NaN, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[2.0]]
    """

    def compute_mask(self, inputs, mask=None):
        return None

    def call(self, inputs, mask=None):
        x = inputs if self.data_format == "channels_last" else np.swapaxes(inputs, 1, 2)
        mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask, bool)
        if mask.shape != x.shape[:2]:
            raise InputError(f"layer '{self.name}': found a mask of shape {mask.shape}, expected {x.shape[:2]}")
        y = np.empty((x.shape[0], x.shape[2]), x.dtype)
        average_timesteps(readonly(x), readonly(mask), y)
        return self._placed(y)
