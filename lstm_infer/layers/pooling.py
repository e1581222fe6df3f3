"""Pooling over time, images and volumes: windows that move."""

import itertools

import numpy as np

from .base import Layer
from .space import (
    FORMATS,
    at_door,
    channels_back,
    channels_last,
    check_places,
    check_rank,
    join,
    one_of,
    sizes,
    split,
    windows,
)


class _Pooling(Layer):
    """A window that moves over one, two or three spatial axes."""

    rank = 1
    config_names = ("pool_size", "strides", "padding", "data_format")
    outside = 0.0

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, **kwargs):
        super().__init__(**kwargs)
        with at_door(self):
            self.pool_size = sizes(pool_size, self.rank, "pool_size")
            self.strides = self.pool_size if strides is None else sizes(strides, self.rank, "strides")
            self.padding = one_of(padding, ("valid", "same"), "padding")
            self.data_format = one_of(data_format or "channels_last", FORMATS, "data_format")

    def _windows(self, places):
        """Return how many windows each axis has (None where free), and where the first begins."""
        words = zip(places, self.pool_size, self.strides, strict=True)
        found = [(None, None) if n is None else windows(n, *rest, 1, self.padding) for n, *rest in words]
        counts, first = zip(*found, strict=True)
        check_places(self, counts, places)
        return counts, first

    def compute_output_shape(self, input_shape):
        check_rank(self, input_shape, self.rank)
        places, channels = split(input_shape, self.data_format)
        return join(input_shape[0], self._windows(places)[0], channels, self.data_format)

    def call(self, inputs):
        check_rank(self, inputs.shape, self.rank)
        x = channels_last(inputs, self.data_format)
        places = x.shape[1:-1]
        counts, first = self._windows(places)
        ranges = [self._elements(axis, n, counts, first) for axis, n in enumerate(places)]
        x = self._padded(x, counts, first, ranges)
        y = None
        for at in itertools.product(*(range(len(elements)) for elements in ranges)):  # in a fixed order
            spans = zip(at, counts, self.strides, strict=True)
            part = x[(slice(None), *(slice(k, k + (count - 1) * stride + 1, stride) for k, count, stride in spans))]
            y = part.copy() if y is None else self._include(y, part)
        return channels_back(self._finish(y, counts, first, places), self.data_format)

    def _elements(self, axis, n, counts, first):
        """Return the elements of the windows of an axis that lie on a place for some window: all, but for odd sizes."""
        last = first[axis] + (counts[axis] - 1) * self.strides[axis]
        return range(max(-last, 0), min(self.pool_size[axis], n - first[axis]))

    def _padded(self, x, counts, first, ranges):
        """Return `x` from the place of the first element of the first window on, as far as the windows reach."""
        spans = zip(counts, first, self.strides, ranges, strict=True)
        reach = [(start + used[0], start + (count - 1) * stride + used[-1]) for count, start, stride, used in spans]
        ends = [(max(-a, 0), max(b + 1 - n, 0)) for (a, b), n in zip(reach, x.shape[1:-1], strict=True)]
        x = x[(slice(None), *(slice(max(a, 0), None) for a, _ in reach))]
        outside = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else self.outside
        return np.pad(x, [(0, 0), *ends, (0, 0)], constant_values=outside) if any(map(any, ends)) else x


class _MaxPooling(_Pooling):
    keeps_integers = True
    outside = -np.inf

    def _include(self, y, part):
        return np.maximum(y, part, out=y)

    def _finish(self, y, counts, first, places):
        return y


class _AveragePooling(_Pooling):
    def _include(self, y, part):
        return np.add(y, part, out=y)

    def _finish(self, y, counts, first, places):
        inside = np.ones((), y.dtype)
        for count, start, stride, size, n in zip(counts, first, self.strides, self.pool_size, places, strict=True):
            begin = start + stride * np.arange(count)
            here = np.minimum(begin + size, n) - np.maximum(begin, 0)
            inside = inside[..., None] * here.astype(y.dtype)
        return np.divide(y, inside[..., None], out=y)


class MaxPooling1D(_MaxPooling):
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


class MaxPooling2D(_MaxPooling):
    """The largest of every window of images.

    Parameters
    ----------
    pool_size : int or sequence of two int
    strides : int or sequence of two int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling2D((1, 2))(np.array([[[[1.0], [3.0], [2.0]]]])).tolist()
    [[[[3.0]]]]
    """

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The largest of every window of volumes.

    Parameters
    ----------
    pool_size : int or sequence of three int
    strides : int or sequence of three int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling3D((1, 2, 3))(np.ones((1, 4, 4, 6, 2))).shape
    (1, 4, 2, 2, 2)
    """

    rank = 3


class AveragePooling1D(_AveragePooling):
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


class AveragePooling2D(_AveragePooling):
    """The mean of every window of images, of what lies inside the image.

    Parameters
    ----------
    pool_size : int or sequence of two int
    strides : int or sequence of two int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling2D(2, padding="same")(np.array([[[[1.0], [3.0], [2.0]]]])).tolist()
    [[[[2.0], [2.0]]]]
    """

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of every window of volumes, of what lies inside the volume.

    Parameters
    ----------
    pool_size : int or sequence of three int
    strides : int or sequence of three int, optional
        `pool_size` unless given.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling3D((1, 2, 3))(np.ones((1, 4, 4, 6, 2))).shape
    (1, 4, 2, 2, 2)
    """

    rank = 3
