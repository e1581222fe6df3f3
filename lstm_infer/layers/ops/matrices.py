"""Operations on the diagonals, bands and norms of matrices, in the form that TensorFlow has them."""

import math

import numpy as np

from .dtypes import FLOAT32, axes_of, floating, named, whole
from .reductions import float_sum, matrix_norm, norm
from .shapes import bounded, sizes


def tf_norm(tensor, ord="euclidean", axis=None, keepdims=False, floatx=FLOAT32):
    """As ``tf.norm``: of vectors, or of matrices where `axis` is a pair."""
    x = floating(tensor, floatx)
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if isinstance(axis, (list, tuple)):
        if ord not in ("fro", "euclidean", 1, 2, np.inf):
            raise ValueError(f"found the matrix norm {ord!r}, expected 'fro', 'euclidean', 1, 2 or inf")
        rows, columns = _pair(axis, x.ndim)
        return matrix_norm(x, "fro" if ord == "euclidean" else ord, (rows, columns), keepdims)
    if ord != "euclidean" and (isinstance(ord, str) or not ord > 0):
        raise ValueError(f"found the norm {ord!r}, expected 'euclidean' or a positive number")
    shape = [1] * x.ndim
    y = norm(x if axis is not None else x.ravel(), 2 if ord == "euclidean" else ord, 0 if axis is None else axis,
             keepdims and axis is not None)  # fmt: skip
    return y.reshape(shape) if axis is None and keepdims else y


def _pair(axis, rank):
    found = [int(n) for n in axis]
    if len(found) != 2 or len(axes_of(found, rank)) != 2:
        raise ValueError(f"found axis {axis}, expected one axis or two different ones")
    return tuple(n % rank for n in found)


def tf_normalize(tensor, ord="euclidean", axis=None, floatx=FLOAT32):
    """As ``tf.linalg.normalize``: the quotient and the norm."""
    x = floating(tensor, floatx)
    length = tf_norm(x, ord, axis, keepdims=True, floatx=floatx)
    with np.errstate(all="ignore"):
        return [x / length, length]


def clip_by_norm(t, clip_norm, axes=None, floatx=FLOAT32):
    x = floating(t, floatx)
    most = np.asarray(clip_norm, x.dtype)
    length = np.sqrt(float_sum(x.astype(np.float64) ** 2, axes, keepdims=True)).astype(x.dtype)
    return x * most / np.maximum(length, most)


def ensure_shape(x, shape):
    """Return `x` if it is of this shape, where it says one."""
    x, wanted = np.asarray(x), sizes(shape)
    if len(wanted) != x.ndim or any(n not in (-1, size) for n, size in zip(wanted, x.shape, strict=True)):
        raise ValueError(f"found an array of shape {x.shape}, expected {tuple(None if n < 0 else n for n in wanted)}")
    return x


def _of_ensured_shape(x, shape):
    """What `ensure_shape` returns in a trial, where free sizes are any."""
    x, wanted = np.asarray(x), sizes(shape)
    if len(wanted) != x.ndim:
        return ensure_shape(x, shape)
    return np.zeros(bounded([size if n < 0 else n for n, size in zip(wanted, x.shape, strict=True)]), x.dtype)


ensure_shape.in_trials = _of_ensured_shape


def count_nonzero(input, axis=None, keepdims=False, dtype="int64"):  # noqa: A002  (TensorFlow's name)
    x = np.asarray(input)
    return np.asarray(np.count_nonzero(x, axis=axes_of(axis, x.ndim), keepdims=keepdims)).astype(named(dtype))


# ---------------------------------------------------------------- diagonals
def _matrices(x):
    x = np.asarray(x)
    if x.ndim < 2:
        raise ValueError(f"found an array of shape {x.shape}, expected matrices")
    return x


def band_part(input, num_lower, num_upper):  # noqa: A002
    """As ``tf.linalg.band_part``: zeros but in a band; a negative number keeps the whole triangle."""
    x, lower, upper = _matrices(input), int(num_lower), int(num_upper)
    below = np.arange(x.shape[-2])[:, None] - np.arange(x.shape[-1])
    inside = ((below <= lower) | (lower < 0)) & ((-below <= upper) | (upper < 0))
    return np.where(inside, x, np.zeros((), x.dtype))


def _band(k):
    given = sizes(k)
    if len(given) not in (1, 2) or given[0] > given[-1]:
        raise ValueError(f"found diagonals k={k}, expected one number or the lowest and the highest")
    return given[0], given[-1]


def _diagonals(band, rows, columns, longest, align):
    """Yield of every diagonal, the highest first, its rows, its columns and its places in an array of diagonals."""
    upper, _, lower = align.partition("_")
    if {upper, lower} - {"LEFT", "RIGHT"}:
        raise ValueError(f"found align {align!r}, expected 'RIGHT_LEFT' or another pair of the two")
    for k in range(band[1], band[0] - 1, -1):
        size = min(rows + min(k, 0), columns - max(k, 0))
        if size < 0 or size > longest:
            raise ValueError(f"found diagonal {k} for matrices of {rows} x {columns}, and room for {longest} numbers")
        left = (k >= 0 and upper == "LEFT") or (k <= 0 and lower == "LEFT")
        n = np.arange(size)
        yield n - min(k, 0), n + max(k, 0), n + (0 if left else longest - size)


def diag(diagonal, k=0, num_rows=-1, num_cols=-1, padding_value=0, align="RIGHT_LEFT"):
    """As ``tf.linalg.diag``."""
    x, band = np.asarray(diagonal), _band(k)
    x = x[..., None, :] if band[0] == band[1] else x
    if x.ndim < 2 or x.shape[-2] != band[1] - band[0] + 1:
        raise ValueError(f"found an array of shape {np.shape(diagonal)} for the diagonals {band[0]} to {band[1]}")
    least = [x.shape[-1] + max(-band[1], 0), x.shape[-1] + max(band[0], 0)]
    given = [int(num_rows), int(num_cols)]
    if given == [-1, -1]:
        given = [max(least)] * 2
    shape = [smallest if n < 0 else n for n, smallest in zip(given, least, strict=True)]
    if any(n < smallest for n, smallest in zip(shape, least, strict=True)) or all(
        n > smallest for n, smallest in zip(shape, least, strict=True)
    ):
        raise ValueError(f"found num_rows={num_rows} and num_cols={num_cols}, expected matrices whose longest diagonal "
                         f"has {x.shape[-1]} numbers")  # fmt: skip
    y = np.full(bounded([*x.shape[:-2], *shape]), padding_value, x.dtype)
    for n, (rows, columns, places) in enumerate(_diagonals(band, *shape, x.shape[-1], align)):
        y[..., rows, columns] = x[..., n, places]
    return y


def diag_part(input, k=0, padding_value=0, align="RIGHT_LEFT"):  # noqa: A002
    """As ``tf.linalg.diag_part``."""
    x, band = _matrices(input), _band(k)
    rows, columns = x.shape[-2:]
    longest = min(rows + min(band[1], 0), columns - max(band[0], 0))
    y = np.full((*x.shape[:-2], band[1] - band[0] + 1, max(longest, 0)), padding_value, x.dtype)
    for n, (here, there, places) in enumerate(_diagonals(band, rows, columns, longest, align)):
        y[..., n, places] = x[..., here, there]
    return y[..., 0, :] if band[0] == band[1] else y


def set_diag(input, diagonal, k=0, align="RIGHT_LEFT"):  # noqa: A002
    """As ``tf.linalg.set_diag``."""
    y, band = _matrices(input).copy(), _band(k)
    x = np.asarray(diagonal).astype(y.dtype, copy=False)
    x = x[..., None, :] if band[0] == band[1] else x
    rows, columns = y.shape[-2:]
    longest = min(rows + min(band[1], 0), columns - max(band[0], 0))
    if x.shape != (*y.shape[:-2], band[1] - band[0] + 1, longest):
        raise ValueError(f"found diagonals of shape {np.shape(diagonal)} for matrices of shape {y.shape}")
    for n, (here, there, places) in enumerate(_diagonals(band, rows, columns, longest, align)):
        y[..., here, there] = x[..., n, places]
    return y


def tensor_diag(diagonal):
    x = np.asarray(diagonal)
    y = np.zeros(bounded([x.size, x.size]), x.dtype)
    y[np.arange(x.size), np.arange(x.size)] = x.ravel()
    return y.reshape(x.shape * 2)


def tensor_diag_part(input):  # noqa: A002
    x = np.asarray(input)
    half = x.shape[: x.ndim // 2]
    if x.ndim < 2 or x.shape != half * 2:
        raise ValueError(f"found an array of shape {x.shape}, expected every size twice, as (a, b, a, b)")
    n = math.prod(half)
    return np.array(np.diagonal(x.reshape(n, n))).reshape(half)


# ---------------------------------------------------------------- sequences
def reverse_sequence(input, seq_lengths, seq_axis, batch_axis=0):  # noqa: A002
    """As ``tf.reverse_sequence``: the first numbers of each sequence the other way round."""
    x, lengths = np.asarray(input), whole(seq_lengths)
    time, batch = int(seq_axis) % x.ndim, int(batch_axis) % x.ndim
    if lengths.shape != (x.shape[batch],) or time == batch:
        raise ValueError(f"found {lengths.size} lengths for {x.shape[batch]} sequences")
    steps = x.shape[time]
    if lengths.size and (lengths.min() < 0 or lengths.max() > steps):
        raise ValueError(f"found lengths from {lengths.min()} to {lengths.max()} for {steps} places")
    n = np.arange(steps)
    places = np.where(n < lengths[:, None], lengths[:, None] - 1 - n, n)
    wide = [1] * x.ndim
    wide[batch], wide[time] = places.shape
    places = (places if batch < time else places.T).reshape(wide)
    return np.take_along_axis(x, places, time)
