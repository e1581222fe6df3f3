"""Operations that add up, or choose, along axes: every row in one fixed order, whatever the batch."""

import math

import numpy as np

from ...kernels.reductions import multiply_rows, sum_rows
from .dtypes import FLOAT32, INT32, axes_of, floating, joint, named, together, whole


def _as_rows(x, axis):
    """Return `x` with the axes to be reduced at the end and flattened, (rows, n), and the shape of the rest."""
    axes = axes_of(axis, x.ndim)
    kept = [n for n in range(x.ndim) if n not in axes]
    rest = tuple(x.shape[n] for n in kept)
    size = math.prod(x.shape[n] for n in axes)
    return np.ascontiguousarray(np.transpose(x, (*kept, *axes)).reshape(math.prod(rest), size)), rest, axes


def _reduced(kernel, x, axis, keepdims):
    rows, rest, axes = _as_rows(x, axis)
    y = np.empty(len(rows), np.float64)
    rows.flags.writeable = False
    kernel(rows, y)
    y = y.reshape(rest)
    return np.expand_dims(y, axes) if keepdims else y


def float_sum(x, axis=None, keepdims=False):
    """Return the sums of an array of floats, as float64."""
    return _reduced(sum_rows, x, axis, keepdims)


def float_mean(x, axis=None, keepdims=False):
    """Return the means of an array of floats, as float64."""
    count = math.prod(x.shape[n] for n in axes_of(axis, x.ndim))
    with np.errstate(all="ignore"):
        return float_sum(x, axis, keepdims) / np.float64(count)


def _whole_dtype(x):
    if x.dtype.itemsize >= 4:
        return x.dtype
    return np.dtype(np.uint32) if x.dtype.kind == "u" else INT32


def total(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = np.asarray(x)
    if x.dtype.kind == "f":
        return float_sum(x, axis, keepdims).astype(x.dtype)
    return np.sum(x, axis=axes_of(axis, x.ndim), keepdims=keepdims, dtype=_whole_dtype(x))


def prod(x, axis=None, keepdims=False, dtype=None, floatx=FLOAT32):
    x = np.asarray(x) if dtype is None else np.asarray(x).astype(named(dtype, floatx))
    if x.dtype.kind == "f":
        return _reduced(multiply_rows, x, axis, keepdims).astype(x.dtype)
    return np.prod(x, axis=axes_of(axis, x.ndim), keepdims=keepdims, dtype=_whole_dtype(x))


def mean(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return float_mean(x, axis, keepdims).astype(x.dtype)


def tf_mean(x, axis=None, keepdims=False, floatx=FLOAT32):
    """TensorFlow's mean, which of whole numbers is one, too: what is behind the point is cut off."""
    x = np.asarray(x)
    if x.dtype.kind not in "iu":
        return mean(x, axis, keepdims, floatx)
    axes = axes_of(axis, x.ndim)
    sums, count = np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype), math.prod(x.shape[n] for n in axes)
    return np.asarray(np.sign(sums) * (np.abs(sums) // count)).astype(x.dtype)


def _variance(x, axis, keepdims):
    centre = float_mean(x, axis, keepdims=True)
    return float_mean((x - centre) ** 2, axis, keepdims)


def var(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return _variance(x, axis, keepdims).astype(x.dtype)


def std(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return np.sqrt(_variance(x, axis, keepdims)).astype(x.dtype)


def moments(x, axes=None, keepdims=False, synchronized=False, floatx=FLOAT32):
    return [mean(x, axes, keepdims, floatx), var(x, axes, keepdims, floatx)]


def average(x, weights=None, axis=None, floatx=FLOAT32):
    if weights is None:
        return mean(x, axis, floatx=floatx)
    x, weights = (floating(a, floatx) for a in together([x, weights], floatx))
    if weights.shape != x.shape:
        wide = [1] * x.ndim
        wide[axis] = -1
        weights = np.broadcast_to(weights.reshape(wide), x.shape)
    with np.errstate(all="ignore"):
        return (float_sum(x * weights, axis) / float_sum(weights, axis)).astype(x.dtype)


def logsumexp(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    wide = x.astype(np.float64)
    top = np.max(wide, axis=axes_of(axis, x.ndim), keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(all="ignore"):
        y = np.log(float_sum(np.exp(np.ascontiguousarray(wide - top)), axis, keepdims=True)) + top
    return (y if keepdims else y.squeeze(axes_of(axis, x.ndim))).astype(x.dtype)


def choosing(function, empty=None):
    """Make an operation of a NumPy function that chooses among the numbers along axes."""

    def operation(x, axis=None, keepdims=False, initial=None):
        x = np.asarray(x)
        more = {} if initial is None else {"initial": initial}
        return np.asarray(function(x, axis=axes_of(axis, x.ndim), keepdims=keepdims, **more))

    return operation


def is_any(x, axis=None, keepdims=False):
    x = np.asarray(x).astype(bool)
    return np.asarray(np.any(x, axis=axes_of(axis, x.ndim), keepdims=keepdims))


def are_all(x, axis=None, keepdims=False):
    x = np.asarray(x).astype(bool)
    return np.asarray(np.all(x, axis=axes_of(axis, x.ndim), keepdims=keepdims))


def place_of(function):
    """Make an operation of argmax or argmin."""

    def operation(x, axis=None, keepdims=False, output_type="int32"):
        return np.asarray(function(np.asarray(x), axis=axis, keepdims=keepdims)).astype(named(output_type))

    return operation


def count_nonzero(x, axis=None):
    x = np.asarray(x)
    return np.asarray(np.count_nonzero(x, axis=axes_of(axis, x.ndim))).astype(INT32)


def ptp(x, axis=None, keepdims=False):
    x = np.asarray(x)
    axes = axes_of(axis, x.ndim)
    return np.asarray(np.max(x, axes, keepdims=keepdims) - np.min(x, axes, keepdims=keepdims))


def quantile(x, q, axis=None, method="linear", keepdims=False, floatx=FLOAT32, percent=False, skip_nan=False):
    x = floating(x, floatx)
    rows, rest, axes = _as_rows(x, axis)
    q = np.asarray(q, np.float64) / (100 if percent else 1)
    function = np.nanquantile if skip_nan else np.quantile
    y = np.asarray(function(rows.astype(np.float64), q, axis=1, method=method)).astype(x.dtype)
    y = y.reshape((*q.shape, *rest))
    return np.expand_dims(y, [n + q.ndim for n in axes]) if keepdims else y


def median(x, axis=None, keepdims=False, floatx=FLOAT32, skip_nan=False):
    return quantile(x, 0.5, axis, "linear", keepdims, floatx, skip_nan=skip_nan)


def without_nan(function, fill):
    """Make an operation that leaves out what is not a number, of one that does not; `fill` changes nothing there."""

    def operation(x, *args, **kwargs):
        x = np.asarray(x)
        return function(np.where(np.isnan(x), x.dtype.type(fill), x) if x.dtype.kind == "f" else x, *args, **kwargs)

    return operation


def _nan_moments(x, axis, keepdims):
    real = ~np.isnan(x)
    count = float_sum(real.astype(np.float64), axis, keepdims=True)
    with np.errstate(all="ignore"):
        centre = float_sum(np.where(real, x, 0).astype(np.float64), axis, keepdims=True) / count
        spread = float_sum(np.where(real, (x - centre) ** 2, 0), axis, keepdims) / (
            count if keepdims else count.squeeze(axes_of(axis, x.ndim))
        )
    return centre if keepdims else centre.squeeze(axes_of(axis, x.ndim)), spread


def nanmean(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return _nan_moments(x, axis, keepdims)[0].astype(x.dtype)


def nanvar(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return _nan_moments(x, axis, keepdims)[1].astype(x.dtype)


def nanstd(x, axis=None, keepdims=False, floatx=FLOAT32):
    x = floating(x, floatx)
    return np.sqrt(_nan_moments(x, axis, keepdims)[1]).astype(x.dtype)


def nan_choosing(function, fill):
    def operation(x, axis=None, keepdims=False):
        x = np.asarray(x)
        if x.dtype.kind != "f":
            return np.asarray(function(x, axis=axes_of(axis, x.ndim), keepdims=keepdims))
        axes, missing = axes_of(axis, x.ndim), np.isnan(x)
        y = function(np.where(missing, x.dtype.type(fill), x), axis=axes, keepdims=keepdims)
        return np.where(missing.all(axis=axes, keepdims=keepdims), x.dtype.type(np.nan), y)

    return operation


def nan_place_of(function, fill):
    def operation(x, axis=None, keepdims=False):
        x = np.asarray(x)
        missing = np.isnan(x)
        y = function(np.where(missing, x.dtype.type(fill), x), axis=axis, keepdims=keepdims)
        return np.where(missing.all(axis=axis, keepdims=keepdims), -1, y).astype(INT32)

    return operation


def running(function):
    """Make an operation of cumsum or cumprod."""

    def operation(x, axis=None, dtype=None, exclusive=False, reverse=False, floatx=FLOAT32):
        x = np.asarray(x) if dtype is None else np.asarray(x).astype(named(dtype, floatx))
        x = x.astype(INT32) if x.dtype == bool else x
        if axis is None:
            x, axis = x.ravel(), 0
        x = np.moveaxis(x, axis, 0)
        x = x[::-1] if reverse else x
        y = function(x, axis=0, dtype=x.dtype)
        if exclusive:
            first = np.full_like(y[:1], 0 if function is np.cumsum else 1)
            y = np.concatenate([first, y[:-1]])
        return np.moveaxis(y[::-1] if reverse else y, 0, axis)

    return operation


def norm(x, ord=None, axis=None, keepdims=False, floatx=FLOAT32):
    """As ``keras.ops.norm``: of vectors; of matrices where there are two axes and `ord` says which."""
    x = floating(x, floatx)
    axes = axes_of(axis, x.ndim)
    if ord is not None and len(axes) > 1:
        return matrix_norm(x, ord, axes if axis is None else tuple(int(n) % x.ndim for n in axis), keepdims)
    size = np.abs(x).astype(np.float64)
    if ord is None or ord == 2:
        y = np.sqrt(float_sum(size**2, axes, keepdims))
    elif ord in (np.inf, "inf"):
        y = size.max(axes, keepdims=keepdims)
    elif ord in (-np.inf, "-inf"):
        y = size.min(axes, keepdims=keepdims)
    elif ord == 0:
        y = float_sum((size != 0).astype(np.float64), axes, keepdims)
    elif isinstance(ord, (int, float)):
        with np.errstate(all="ignore"):
            y = float_sum(np.ascontiguousarray(size) ** ord, axes, keepdims) ** (1.0 / ord)
    else:
        raise ValueError(f"found the norm {ord!r}, expected a number")
    return np.asarray(y).astype(x.dtype)


def matrix_norm(x, ord, axes, keepdims=False):
    """The norm of the matrices on two axes, rows and columns."""
    if len(set(axes)) != 2:
        raise ValueError(f"found the matrix norm {ord!r} over {len(set(axes))} axes, expected two")
    if ord == "fro":
        return np.sqrt(float_sum(x.astype(np.float64) ** 2, axes, keepdims)).astype(x.dtype)
    rows, columns = axes
    wide = np.abs(x).astype(np.float64)
    choose = np.min if isinstance(ord, (int, float)) and ord < 0 else np.max
    if ord in (1, -1, np.inf, -np.inf, "inf", "-inf"):
        choose = np.min if ord == "-inf" else choose
        summed, chosen = (rows, columns) if ord in (1, -1) else (columns, rows)
        y = choose(float_sum(wide, summed, keepdims=True), axis=chosen, keepdims=True)
    elif ord in (2, -2, "nuc"):  # one matrix after the other
        values = np.linalg.svd(np.moveaxis(x.astype(np.float64), axes, (-2, -1)), compute_uv=False)
        y = values.sum(-1) if ord == "nuc" else choose(values, axis=-1)
        y = np.expand_dims(y, axes_of(axes, x.ndim))
    else:
        raise ValueError(f"found the matrix norm {ord!r}, expected 'fro', 'nuc', or 1, 2 or inf of either sign")
    return (y if keepdims else y.squeeze(axes)).astype(x.dtype)


def normalize(x, axis=-1, order=2, epsilon=None, floatx=FLOAT32):
    x = floating(x, floatx)
    x = x[None] if x.ndim == 0 else x
    epsilon = 1e-7 if epsilon is None else epsilon
    if order == 2:
        with np.errstate(all="ignore"):
            inverse = 1 / np.sqrt(float_sum(x.astype(np.float64) ** 2, axis, keepdims=True))
        return x * np.minimum(inverse, 1.0 / epsilon).astype(x.dtype)
    return x / np.maximum(norm(x, order, axis, keepdims=True), x.dtype.type(epsilon))


def l2_normalize(x, axis=None, epsilon=1e-12, floatx=FLOAT32):
    """As ``tf.math.l2_normalize``."""
    x = floating(x, floatx)
    squares = float_sum(x.astype(np.float64) ** 2, axis, keepdims=True)
    return x * (1 / np.sqrt(np.maximum(squares, epsilon))).astype(x.dtype)


def batch_norm(x, mean, variance, offset=None, scale=None, axis=-1, epsilon=0.001, floatx=FLOAT32):
    x = floating(x, floatx)
    wide = [1] * x.ndim
    wide[axis] = -1
    given = [None if a is None else np.asarray(a, x.dtype).reshape(wide) for a in (mean, variance, offset, scale)]
    factor = 1 / np.sqrt(given[1] + x.dtype.type(epsilon)) * (1 if given[3] is None else given[3])
    y = (x - given[0]) * factor
    return y if given[2] is None else y + given[2]


def fused_batch_norm(x, scale, offset, mean, variance, epsilon=0.0001, data_format="NHWC", is_training=True,
                     floatx=FLOAT32):  # fmt: skip
    """As TensorFlow's node FusedBatchNormV3 at inference, all six of its outputs."""
    if is_training:
        raise ValueError("found is_training, expected the statistics that the model learnt")
    y = batch_norm(x, mean, variance, offset, scale, 1 if data_format == "NCHW" else -1, epsilon, floatx)
    mean, variance = (np.asarray(a, y.dtype) for a in (mean, variance))
    return [y, mean, variance, mean, variance, np.zeros((0,), y.dtype)]


def layer_norm(x, gamma=None, beta=None, axis=-1, epsilon=None, rms_scaling=False, floatx=FLOAT32):
    given, x = np.asarray(x).dtype, floating(x, floatx)
    axes = axes_of(axis, x.ndim)
    epsilon = 1e-7 if epsilon is None else epsilon
    centre, spread = float_mean(x, axes, keepdims=True), _variance(x, axes, keepdims=True)
    y = ((x if rms_scaling else x - centre) / np.sqrt(spread + epsilon)).astype(x.dtype)
    wide = [x.shape[n] if n in axes else 1 for n in range(x.ndim)]
    for weight, join in ((gamma, np.multiply), (None if rms_scaling else beta, np.add)):
        if weight is not None:
            weight = np.asarray(weight, x.dtype)
            y = join(y, weight if weight.ndim == x.ndim else weight.reshape(wide))
    return _back(y, given)


def _back(y, given):
    """Return a normalized array in the dtype it was `given` in: of whole numbers, without what is behind the point."""
    return np.maximum(y, 0).astype(given) if given.kind == "u" else y.astype(given, copy=False)


def rms_norm(x, scale=None, axis=-1, epsilon=None, floatx=FLOAT32):
    given, x = np.asarray(x).dtype, floating(x, floatx)
    squares = float_mean(x.astype(np.float64) ** 2, axis, keepdims=True)
    y = (x / np.sqrt(squares + (1e-7 if epsilon is None else epsilon))).astype(x.dtype)
    return _back(y if scale is None else y * np.asarray(scale, x.dtype), given)


def trapezoid(y, x=None, dx=1.0, axis=-1, floatx=FLOAT32):
    y = np.moveaxis(floating(y, floatx), axis, -1)
    width = dx
    if x is not None:
        x = np.asarray(x, np.float64)
        width = np.diff(np.moveaxis(x, axis, -1) if x.ndim > 1 else x)
    return float_sum((y[..., 1:] + y[..., :-1]) * width / 2.0, -1).astype(y.dtype)


def segments(function, start):
    """Make an operation that joins what has the same id along the first axis."""

    def operation(data, segment_ids, num_segments=None, sorted=False):
        data, ids = np.asarray(data), whole(segment_ids)
        if not isinstance(num_segments, int):
            raise ValueError("found no num_segments, expected a number: else the result has no fixed shape")
        limits = np.finfo(data.dtype) if data.dtype.kind == "f" else np.iinfo(data.dtype)
        first = {"low": limits.min, "high": limits.max}.get(start, start)
        y = np.full((num_segments, *data.shape[1:]), first, data.dtype)
        inside = (ids >= 0) & (ids < num_segments)
        function.at(y, ids[inside], data[inside])
        return y

    return operation


def all_close(x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False):
    dtype = joint([np.asarray(x1), np.asarray(x2)])
    return np.asarray(np.allclose(np.asarray(x1, dtype), np.asarray(x2, dtype), rtol, atol, equal_nan))
