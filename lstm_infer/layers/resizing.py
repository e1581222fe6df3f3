"""Layers that add, drop or repeat places: ZeroPadding, Cropping, UpSampling."""

import numpy as np

from ..errors import InputError
from . import interpolation
from .base import Layer
from .space import (
    FORMATS,
    at_door,
    channels_back,
    channels_last,
    check_rank,
    join,
    one_of,
    pairs,
    sizes,
    split,
)


class _Resizing(Layer):
    """What changes the number of places on each axis by a rule (`_resized`)."""

    rank = 1
    keeps_integers = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        with at_door(self):
            self.data_format = one_of(data_format or "channels_last", FORMATS, "data_format")

    def compute_output_shape(self, input_shape):
        check_rank(self, input_shape, self.rank)
        places, channels = split(input_shape, self.data_format)
        resized = [None if n is None else self._resized(axis, n) for axis, n in enumerate(places)]
        return join(input_shape[0], tuple(resized), channels, self.data_format)

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # which refuses what does not fit
        return channels_back(self._compute(channels_last(inputs, self.data_format)), self.data_format)


class _ZeroPadding(_Resizing):
    config_names = ("padding", "data_format")

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        with at_door(self):
            self.padding = pairs(padding, self.rank, "padding")

    def _resized(self, axis, n):
        return n + sum(self.padding[axis])

    def _compute(self, x):
        return np.pad(x, [(0, 0), *self.padding, (0, 0)])


class _Cropping(_Resizing):
    config_names = ("cropping", "data_format")

    def __init__(self, cropping=1, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        with at_door(self):
            self.cropping = pairs(cropping, self.rank, "cropping")

    def _resized(self, axis, n):
        left = n - sum(self.cropping[axis])
        if left < 1:
            dropped = self.cropping[axis]
            raise InputError(f"layer '{self.name}': found {n} places, expected more than it drops: {dropped}")
        return left

    def _compute(self, x):
        ends = zip(self.cropping, x.shape[1:-1], strict=True)
        return x[(slice(None), *(slice(before, n - after) for (before, after), n in ends))]


class _UpSampling(_Resizing):
    config_names = ("size", "data_format")

    def __init__(self, size=2, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        with at_door(self):
            self.size = sizes(size, self.rank, "size")

    def _resized(self, axis, n):
        return n * self.size[axis]

    def _compute(self, x):
        for axis, times in enumerate(self.size, start=1):
            x = np.repeat(x, times, axis)
        return x


class ZeroPadding1D(_ZeroPadding):
    """Puts zeros before and after a sequence.

    Parameters
    ----------
    padding : int or pair of int
        How many, on both sides or on each.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding1D((0, 1))(np.array([[[1.0], [2.0]]])).ravel().tolist()
    [1.0, 2.0, 0.0]
    """


class ZeroPadding2D(_ZeroPadding):
    """Puts zeros around an image.

    Parameters
    ----------
    padding : int, pair of int, or pair of pairs of int
        How many: everywhere, for each axis, or before and after on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding2D((1, (0, 2)))(np.ones((1, 3, 4, 5))).shape
    (1, 5, 6, 5)
    """

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Puts zeros around a volume.

    Parameters
    ----------
    padding : int, three int, or three pairs of int
        How many: everywhere, for each axis, or before and after on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding3D((0, 1, 2))(np.ones((1, 3, 4, 5, 6))).shape
    (1, 3, 6, 9, 6)
    """

    rank = 3


class Cropping1D(_Cropping):
    """Drops timesteps at both ends of a sequence.

    Parameters
    ----------
    cropping : int or pair of int
        How many, on both sides or on each.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping1D((1, 0))(np.array([[[1.0], [2.0]]])).tolist()
    [[[2.0]]]
    """


class Cropping2D(_Cropping):
    """Drops the border of an image.

    Parameters
    ----------
    cropping : int, pair of int, or pair of pairs of int
        How many: everywhere, for each axis, or before and after on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping2D((1, (0, 2)))(np.ones((1, 3, 4, 5))).shape
    (1, 1, 2, 5)
    """

    rank = 2

    def __init__(self, cropping=0, data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Drops the border of a volume.

    Parameters
    ----------
    cropping : int, three int, or three pairs of int
        How many: everywhere, for each axis, or before and after on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping3D((0, 1, 2))(np.ones((1, 3, 4, 5, 6))).shape
    (1, 3, 2, 1, 6)
    """

    rank = 3


class UpSampling1D(_UpSampling):
    """Repeats every timestep.

    Parameters
    ----------
    size : int
        How often.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]])).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """


class UpSampling2D(_UpSampling):
    """Makes an image larger, by repeating its places or by interpolating between them.

    Parameters
    ----------
    size : int or pair of int
        How many times larger each axis becomes.
    data_format : {"channels_last", "channels_first"}, optional
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic", "area"}
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    Interpolations are those of TensorFlow's ``tf.image.resize``; other backends of Keras differ at the borders.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling2D((1, 2), interpolation="bilinear")(np.array([[[[1.0], [2.0]]]])).ravel().tolist()
    [1.0, 1.25, 1.75, 2.0]
    """

    rank = 2
    config_names = ("size", "data_format", "interpolation")

    def __init__(self, size=2, data_format=None, interpolation="nearest", **kwargs):
        super().__init__(size, data_format, **kwargs)
        with at_door(self):
            self.interpolation = one_of(interpolation, _INTERPOLATIONS, "interpolation")

    def output_dtype(self, inputs):
        found = super().output_dtype(inputs)
        return found if self.interpolation == "nearest" or not self.semantics.whole_means else self.dtype

    def _compute(self, x):
        if self.interpolation in ("nearest", "area"):  # whole factors: every new place lies inside one old place
            return super()._compute(x)
        weights, given = interpolation.WEIGHTS[self.interpolation], x.dtype
        x = x.astype(self.dtype, copy=False)
        for axis, times in enumerate(self.size, start=1):
            weighted = weights(x.shape[axis], times, from_corner=self.semantics.upsampling_from_corner)
            x = interpolation.along(x, axis, weighted)
        whole = given.kind in "biu" and not self.semantics.whole_means
        return np.round(x).astype(given) if whole else x


_INTERPOLATIONS = ("nearest", "area", *interpolation.WEIGHTS)


class UpSampling3D(_UpSampling):
    """Repeats every place of a volume.

    Parameters
    ----------
    size : int or sequence of three int
        How often, on each axis.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling3D((1, 2, 3))(np.ones((1, 2, 3, 4, 5))).shape
    (1, 2, 6, 12, 5)
    """

    rank = 3
