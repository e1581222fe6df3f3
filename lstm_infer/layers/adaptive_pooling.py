"""Pooling into a given number of places, with windows of nearly the same size (Keras 3.15)."""

import math

import numpy as np

from .base import Layer
from .space import FORMATS, at_door, channels_back, channels_last, check_rank, join, one_of, sizes, split


class _AdaptivePooling(Layer):
    """Every axis is cut into as many windows as there shall be places; one axis after the other, as in Keras."""

    rank = 1
    config_names = ("output_size", "data_format")

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        with at_door(self):
            self.output_size = sizes(output_size, self.rank, "output_size")
            self.data_format = one_of(data_format or "channels_last", FORMATS, "data_format")

    def compute_output_shape(self, input_shape):
        check_rank(self, input_shape, self.rank)
        return join(input_shape[0], self.output_size, split(input_shape, self.data_format)[1], self.data_format)

    def call(self, inputs):
        check_rank(self, inputs.shape, self.rank)
        y = channels_last(inputs, self.data_format)
        for axis, count in enumerate(self.output_size, start=1):
            n = y.shape[axis]
            windows = [slice(k * n // count, math.ceil((k + 1) * n / count)) for k in range(count)]
            y = np.stack([self._reduce(np.moveaxis(y, axis, 0)[window]) for window in windows], axis=axis)
        return channels_back(y, self.data_format)


class _AdaptiveMaxPooling(_AdaptivePooling):
    def _reduce(self, places):
        return places.max(axis=0)


class _AdaptiveAveragePooling(_AdaptivePooling):
    def _reduce(self, places):
        total = places[0].copy()
        for place in places[1:]:  # in order: NumPy's own sum may depend on the shape
            total += place
        return total / total.dtype.type(len(places))


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The largest of each of some windows over time.

    Parameters
    ----------
    output_size : int
        The number of windows.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveMaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[[3.0], [3.0]]]
    """


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The largest of each of some windows of an image.

    Parameters
    ----------
    output_size : int or sequence of two int
        The number of windows on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveMaxPooling2D((2, 3))(np.ones((1, 5, 7, 4))).shape
    (1, 2, 3, 4)
    """

    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The largest of each of some windows of a volume.

    Parameters
    ----------
    output_size : int or sequence of three int
        The number of windows on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveMaxPooling3D(2)(np.ones((1, 5, 6, 7, 4))).shape
    (1, 2, 2, 2, 4)
    """

    rank = 3


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The mean of each of some windows over time.

    Parameters
    ----------
    output_size : int
        The number of windows.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveAveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[[2.0], [2.5]]]
    """


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The mean of each of some windows of an image.

    Parameters
    ----------
    output_size : int or sequence of two int
        The number of windows on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveAveragePooling2D((2, 3))(np.ones((1, 5, 7, 4))).shape
    (1, 2, 3, 4)
    """

    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The mean of each of some windows of a volume.

    Parameters
    ----------
    output_size : int or sequence of three int
        The number of windows on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveAveragePooling3D(2)(np.ones((1, 5, 6, 7, 4))).shape
    (1, 2, 2, 2, 4)
    """

    rank = 3
