"""Interpolation between the places of an axis that becomes a whole number of times longer.

New places lie evenly between the old ones, half a new place inside the borders; every new number is a mean of the old
ones near it, weighted by a function of their distance, of those that exist. Formulas: TensorFlow's
``resize_bilinear_op``, ``resize_bicubic_op`` and ``sampling_kernels`` (``tensorflow/core/kernels/image``).
"""

import functools

import numpy as np

TABLE = 1024
"""TensorFlow looks the cubic weights up for distances in steps of this part."""


def triangle(x):
    """The weight of linear interpolation.

    >>> triangle(np.array([0.25]))
    array([0.75])
    """
    return np.maximum(1 - x, 0)


def cubic(x):
    """The cubic of Keys with a = -1/2."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def mitchell(x):
    """The cubic of Mitchell and Netravali."""
    near, far = (7 / 6 * x - 2) * x * x + 8 / 9, ((-7 / 18 * x + 2) * x - 10 / 3) * x + 16 / 9
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def gaussian(x):
    """A bell of standard deviation 1/2, cut off at 3/2."""
    return np.where(x < 1.5, np.exp(-2 * x * x), 0)


def lanczos(radius, x):
    """A sine wave that fades, cut off at `radius`."""
    return np.where(x <= radius, np.sinc(x) * np.sinc(x / radius), 0)


def weights(function, reach, table, n, times, from_corner=False):
    """Return which old places make each new one, and their weights: two arrays (n * times, places).

    Parameters
    ----------
    function : callable
        The weight at a distance.
    reach : int
        The largest distance with a weight.
    table : int or None
        In how many steps the way from one place to the next is cut, if it is.
    n, times : int
        The old places, and how many new ones each becomes.
    from_corner : bool
        Whether a place is where it begins, instead of where its middle is.
    """
    at = np.arange(n * times) / times if from_corner else (np.arange(n * times) + 0.5) / times - 0.5
    before = np.floor(at)
    part = at - before if table is None else np.rint((at - before) * table) / table
    steps = np.arange(1 - reach, reach + 1)
    places = before[:, None].astype(np.int64) + steps
    found = np.where((places >= 0) & (places < n), function(np.abs(steps - part[:, None])), 0)
    return np.clip(places, 0, n - 1), found / found.sum(axis=1, keepdims=True)


WEIGHTS = {
    "bilinear": functools.partial(weights, triangle, 1, None),
    "bicubic": functools.partial(weights, cubic, 2, TABLE),
    "lanczos3": functools.partial(weights, functools.partial(lanczos, 3), 3, None),
    "lanczos5": functools.partial(weights, functools.partial(lanczos, 5), 5, None),
    "gaussian": functools.partial(weights, gaussian, 2, None),
    "mitchellcubic": functools.partial(weights, mitchell, 2, None),
}
"""From the name of an interpolation to its `weights` for a number of places and a factor."""


def along(x, axis, weighted):
    """Return `x` with one axis made longer, terms added in the order of the places."""
    places, shares = weighted
    shape = [1] * x.ndim
    shape[axis] = -1
    y = None
    for place, share in zip(places.T, shares.T, strict=True):
        term = np.take(x, place, axis) * share.astype(x.dtype).reshape(shape)
        y = term if y is None else np.add(y, term, out=y)
    return y
