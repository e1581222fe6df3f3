"""Ready functions for the Lambda layers that people publish; the code in a file is never run, so one names them::

    li.load_model(path, custom_objects={"lambda_1": li.custom.last_timestep})

Each is a function of an array, or makes one. ``lstm-infer inspect FILE`` says which of them fits. As at a Lambda of
Keras, a mask ends here. A row's answer never depends on the other rows: sums are made in one fixed order.
"""

import math

import numpy as np

from .errors import InputError
from .kernels.reductions import add_middle, scale_middle_to_norm
from .layers.base import readonly


def _float(x):
    """Return an array of float32 or float64, C-contiguous."""
    x = np.asarray(x)
    return np.ascontiguousarray(x, x.dtype if x.dtype in (np.float32, np.float64) else np.float32)


def _blocks(x, axis):
    """Return `x` as (before, axis, after), and its shape without the axis."""
    if not isinstance(axis, (int, np.integer)) or not -x.ndim < axis < x.ndim or axis % x.ndim == 0:
        raise InputError(f"found axis={axis!r} for {x.ndim} axes, expected one behind that of the batch")
    axis %= x.ndim
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    return x.reshape(math.prod(before), x.shape[axis], math.prod(after)), before, after


def _per_timestep(function):
    """Mark a function that treats every timestep alike, so that `Model.step` goes through it."""
    function.per_timestep = True
    return function


# ---------------------------------------------------------------- timesteps
def last_timestep(x):
    """Return the last timestep: ``x[:, -1, :]``; `Model.step` goes through it.

    Parameters
    ----------
    x : (batch, timesteps, ...) array

    Returns
    -------
    (batch, ...) array

    Examples
    --------
    >>> last_timestep(np.array([[[1.0], [2.0]]])).tolist()
    [[2.0]]
    """
    return x[:, -1]


last_timestep.takes_last_timestep = True


def reverse_time(x):
    """Return the timesteps in reverse order: ``x[:, ::-1]``, ``K.reverse(x, axes=1)``.

    Parameters
    ----------
    x : (batch, timesteps, ...) array

    Returns
    -------
    array of the same shape

    Examples
    --------
    >>> reverse_time(np.array([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 2.0, 1.0]]
    """
    return x[:, ::-1]


def timesteps(start, stop=None, step=None):
    """Make the function ``x[:, start:stop:step]``; ``timesteps(-1)`` is ``x[:, -1:, :]``.

    Parameters
    ----------
    start, stop, step : int or None

    Returns
    -------
    callable

    Examples
    --------
    >>> timesteps(-2)(np.array([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 3.0]]
    """
    return lambda x: x[:, start:stop:step]


# ---------------------------------------------------------------- over an axis
def sum_over(axis=1, keepdims=False):
    """Make the function ``K.sum(x, axis)``, or ``tf.reduce_sum``; over time unless told otherwise.

    Parameters
    ----------
    axis : int
        Any but that of the batch.
    keepdims : bool
        Whether an axis of one stays in its place.

    Returns
    -------
    callable
        Adds in float64, in order, and rounds once.

    Raises
    ------
    InputError
        When called on an array that has no such axis, or if it is the batch's.

    Examples
    --------
    >>> sum_over()(np.array([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[4.0, 6.0]]
    """
    return lambda x: _add(_float(x), axis, keepdims, average=False)


def mean_over(axis=1, keepdims=False):
    """Make the function ``K.mean(x, axis)``, or ``tf.reduce_mean``; as `sum_over`.

    Examples
    --------
    >>> mean_over()(np.array([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[2.0, 3.0]]
    """
    return lambda x: _add(_float(x), axis, keepdims, average=True)


def max_over(axis=1, keepdims=False):
    """Make the function ``K.max(x, axis)``, or ``tf.reduce_max``; as `sum_over`.

    Examples
    --------
    >>> max_over()(np.array([[[1.0, 4.0], [3.0, 2.0]]])).tolist()
    [[3.0, 4.0]]
    """

    def largest(x):
        _blocks(x, axis)
        return np.max(x, axis=axis, keepdims=keepdims)

    return largest


def _add(x, axis, keepdims, average):
    blocks, before, after = _blocks(x, axis)
    y = np.empty((len(blocks), blocks.shape[2]), x.dtype)
    add_middle(readonly(blocks), float(blocks.shape[1] if average else 1), y)
    return y.reshape(*before, *([1] if keepdims else []), *after)


def l2_normalize(axis=-1, epsilon=1e-12):
    """Make the function ``x / sqrt(max(sum(x**2), epsilon))`` over one axis.

    Parameters
    ----------
    axis : int
        Any but that of the batch.
    epsilon : float
        Source: ``tf.math.l2_normalize``, whose default this is.

    Returns
    -------
    callable

    Examples
    --------
    >>> l2_normalize()(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """

    def normalize(x):
        x = _float(x)
        blocks, _, _ = _blocks(x, axis)
        y = np.empty_like(blocks)
        scale_middle_to_norm(readonly(blocks), float(epsilon), y)
        return y.reshape(x.shape)

    return normalize


# ---------------------------------------------------------------- shapes
def squeeze(axis):
    """Make the function ``K.squeeze(x, axis)``, which takes an axis of one away.

    Parameters
    ----------
    axis : int

    Returns
    -------
    callable

    Examples
    --------
    >>> squeeze(axis=2)(np.ones((2, 3, 1))).shape
    (2, 3)
    """
    return lambda x: np.squeeze(x, axis)


def expand_dims(axis=-1):
    """Make the function ``K.expand_dims(x, axis)``, which puts in an axis of one.

    Parameters
    ----------
    axis : int
        Where it stands in the result.

    Returns
    -------
    callable

    Examples
    --------
    >>> expand_dims()(np.ones((2, 3))).shape
    (2, 3, 1)
    """
    return lambda x: np.expand_dims(x, axis)


def reshape(shape):
    """Make the function ``K.reshape(x, shape)``, whose shape counts the batch too (as ``li.Reshape`` does not).

    Parameters
    ----------
    shape : tuple of int
        -1 for the one size that follows from the others: that of the batch, in nearly every model.

    Returns
    -------
    callable

    Examples
    --------
    >>> reshape((-1, 6))(np.ones((2, 3, 2))).shape
    (2, 6)
    """
    return lambda x: np.reshape(x, shape)


# ---------------------------------------------------------------- numbers
def scale(factor, offset=0.0):
    """Make the function ``x * factor + offset``.

    Parameters
    ----------
    factor, offset : float

    Returns
    -------
    callable

    Examples
    --------
    >>> scale(0.5, offset=1.0)(np.array([[3.0]])).tolist()
    [[2.5]]
    """

    def multiply(x):
        x = _float(x)
        y = x * x.dtype.type(factor)
        return y + x.dtype.type(offset) if offset else y

    return _per_timestep(multiply)


def one_hot(depth):
    """Make the function ``K.one_hot(K.cast(x, "int32"), depth)``: ids become rows with a single 1.

    Parameters
    ----------
    depth : int
        The number of ids; others give a row of zeros.

    Returns
    -------
    callable
        Of ids (...) to an array (..., depth).

    Examples
    --------
    >>> one_hot(3)(np.array([[2.0, 0.0]])).tolist()
    [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]
    """

    def encode(x):
        x = _float(x)
        return (np.trunc(x)[..., None] == np.arange(depth, dtype=x.dtype)).astype(x.dtype)

    return _per_timestep(encode)
