"""Operations on every number by itself."""

import math

import numpy as np

from ...kernels import activations as codes
from .. import activations
from .dtypes import FLOAT32, INT32, floating, joint, named, together, whole


def unary(function):
    """Make an operation of a NumPy function of one array of floats."""

    def operation(x, floatx=FLOAT32):
        with np.errstate(all="ignore"):
            return function(floating(x, floatx))

    return operation


def exact(function):
    """Make an operation of a NumPy function whose result is exact, and of the dtype that the arrays have."""

    def operation(x):
        with np.errstate(all="ignore"):
            return np.asarray(function(np.asarray(x)))

    return operation


def binary(function, needs_float=False):
    """Make an operation of a NumPy function of two arrays, which it sees in their full shape: so every number is
    computed alike wherever it stands."""

    def operation(x1, x2, floatx=FLOAT32):
        x1, x2 = together([x1, x2], floatx)
        if needs_float and x1.dtype.kind != "f":
            x1, x2 = x1.astype(floatx), x2.astype(floatx)
        x1, x2 = (np.ascontiguousarray(a) for a in np.broadcast_arrays(x1, x2))
        with np.errstate(all="ignore"):
            return np.asarray(function(x1, x2))

    return operation


def simple(function):
    """Make an operation of a NumPy function of two arrays that is rounded once, or not at all."""

    def operation(x1, x2, floatx=FLOAT32):
        with np.errstate(all="ignore"):
            return np.asarray(function(*together([x1, x2], floatx)))

    return operation


def logical(function):
    """Make an operation of a NumPy function of two truths."""

    def operation(x1, x2):
        return np.asarray(function(np.asarray(x1).astype(bool), np.asarray(x2).astype(bool)))

    return operation


def logical_not(x):
    return ~np.asarray(x).astype(bool)


def squared_difference(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return (x1 - x2) * (x1 - x2)


def add(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return x1 | x2 if x1.dtype == bool else x1 + x2


def add_n(xs, floatx=FLOAT32):
    """As ``tf.add_n``: from left to right."""
    first, *others = together(xs if isinstance(xs, (list, tuple)) else [xs], floatx)
    for x in others:
        first = first + x
    return first


def divide(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    if x1.dtype.kind != "f":
        x1, x2 = x1.astype(floatx), x2.astype(floatx)
    with np.errstate(all="ignore"):
        return x1 / x2


def divide_no_nan(x1, x2, floatx=FLOAT32):
    y = divide(x1, x2, floatx)
    return np.where(np.asarray(x2) == 0, np.zeros((), y.dtype), y)


def subtract(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return x1 - x2


def negative(x):
    return -np.asarray(x)


def power(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    x1, x2 = (np.ascontiguousarray(a) for a in np.broadcast_arrays(x1, x2))
    with np.errstate(all="ignore"):
        if x1.dtype.kind == "f" and x2.size and (x2 == 2).all():
            return x1 * x1
        return np.power(x1, x2)


def square(x):
    x = np.asarray(x)
    x = x.astype(INT32) if x.dtype == bool else x
    return x * x


def absolute(x):
    x = np.asarray(x)
    return x if x.dtype.kind in "bu" else np.abs(x)


def rounded(x, decimals=0):
    x = np.asarray(x)
    if not decimals or x.dtype.kind != "f":
        return np.round(x, decimals)
    return np.round(x.astype(np.float64) * 10.0**decimals).astype(x.dtype) / x.dtype.type(10.0**decimals)


def clip(x, x_min, x_max, floatx=FLOAT32):
    x = np.asarray(x)
    dtype = joint([x, x_min, x_max], floatx)
    dtype = INT32 if dtype.kind == "b" else dtype
    x, low, high = (np.asarray(a).astype(dtype) for a in (x, x_min, x_max))
    return np.minimum(np.maximum(x, low), high)


def cast(x, dtype=None, floatx=FLOAT32):
    """Return `x` in a dtype; as float32 what the 16 bits of a smaller one would keep.

    Floats outside a dtype of 8 or 16 bits wrap around, as in TensorFlow 2.3; what TensorFlow 2.21 makes of them depends
    on where they stand in an array: some wrap and some become the nearest limit.
    """
    wanted, x = named(dtype, floatx), np.asarray(x)
    with np.errstate(all="ignore"):
        if dtype in ("float16", "half"):
            return x.astype(np.float16).astype(wanted)
        if dtype == "bfloat16":
            bits = x.astype(np.float32).view(np.uint32)
            rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
            return np.where(np.isnan(x), np.float32(np.nan), rounded.astype(np.uint32).view(np.float32))
        return x.astype(wanted, copy=False)


def saturate_cast(x, dtype=None, floatx=FLOAT32):
    dtype, x = named(dtype, floatx), np.asarray(x)
    if dtype.kind in "iu":
        limits, wide = np.iinfo(dtype), x if x.dtype.kind == "f" else x.astype(np.int64)
        with np.errstate(invalid="ignore"):
            inside = wide.astype(dtype)
        return np.where(wide >= limits.max, dtype.type(limits.max), np.where(wide <= limits.min, limits.min, inside))
    return x.astype(dtype)


def convert(x, dtype=None, sparse=None, ragged=None, floatx=FLOAT32):
    if sparse or ragged:
        raise ValueError("found sparse or ragged, expected neither")
    return np.asarray(x) if dtype is None else cast(x, dtype, floatx)


def where(condition, x1=None, x2=None, floatx=FLOAT32):
    if x1 is None or x2 is None:
        raise ValueError("found where() without values, expected two: the places of what is true have no fixed shape")
    x1, x2 = together([x1, x2], floatx)
    return np.where(np.asarray(condition).astype(bool), x1, x2)


def select(condlist, choicelist, default=0, floatx=FLOAT32):
    *choices, otherwise = together([*choicelist, default], floatx)
    y = otherwise
    for condition, choice in reversed(list(zip(condlist, choices, strict=True))):
        y = np.where(np.asarray(condition).astype(bool), choice, y)
    return y


def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    x = np.asarray(x)
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf) if x.dtype.kind == "f" else x


def isclose(x1, x2, rtol=1e-05, atol=1e-08, equal_nan=False, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return np.isclose(x1.astype(np.float64), x2.astype(np.float64), rtol=rtol, atol=atol, equal_nan=equal_nan)


def digitize(x, bins):
    x = np.asarray(x)
    return np.searchsorted(np.asarray(bins, np.float32), x, side="right").astype(INT32)


def searchsorted(sorted_sequence, values, side="left"):
    return np.searchsorted(np.asarray(sorted_sequence), np.asarray(values), side=side).astype(INT32)


def isin(x1, x2, assume_unique=False, invert=False):
    return np.isin(np.asarray(x1), np.asarray(x2), invert=invert)


def number_by_number(function):
    """Make an operation of a function of one Python number, computed in float64."""

    def operation(x, floatx=FLOAT32):
        x = floating(x, floatx)
        return np.array([function(number) for number in x.ravel().tolist()], x.dtype).reshape(x.shape)

    return operation


def lgamma_of(x):
    """The logarithm of the size of gamma: infinite at its poles."""
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x) if abs(x) < 1e300 else math.copysign(math.inf, x)


def erfinv_of(y):
    """The inverse of erf: Giles's polynomial as a start, then Newton's steps."""
    if not -1 < y < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    w = -math.log((1 - y) * (1 + y))
    x = math.copysign(math.sqrt(max(w - 0.5 * math.log(max(w, 1.0)), 0.0)) if w > 1 else 0.8862 * abs(y), y)
    for _ in range(60):
        error = math.erf(x) - y if abs(y) < 0.5 else math.copysign(1, y) * (1 - abs(y) - math.erfc(abs(x)))
        slope = 2 / math.sqrt(math.pi) * math.exp(-x * x)
        change = error / slope
        x -= change / (1 + x * change)
        if abs(change) <= 1e-16 * abs(x):
            break
    return x


# ---------------------------------------------------------------- activations
def activation(name, axis_word=None, **words):
    """Make an operation of an activation of the kernels; `words` are its parameters with their defaults."""

    def operation(x, axis=-1, floatx=FLOAT32, **given):
        strange = given.keys() - words.keys()
        if strange:
            raise TypeError(f"found the argument {min(strange)!r}")
        x = floating(x, floatx)
        f = codes.activation(name, *({**words, **given}[word] for word in words))
        if axis is None:
            return activations.apply(f, x.reshape(1, -1)).reshape(x.shape)
        if x.ndim == 0:
            return activations.apply(f, x.reshape(1)).reshape(())
        if axis % x.ndim == x.ndim - 1:
            return activations.apply(f, x)
        return np.moveaxis(activations.apply(f, np.moveaxis(x, axis, -1)), -1, axis)

    return operation


def gelu(x, approximate=True, floatx=FLOAT32):
    return activations.apply(codes.activation("gelu_tanh" if approximate else "gelu"), floating(x, floatx))


def glu(x, axis=-1, floatx=FLOAT32):
    value, gate = np.split(floating(x, floatx), 2, axis=axis)
    return value * activations.apply(codes.activation("sigmoid"), gate)


def relu(x, floatx=FLOAT32):
    x = np.asarray(x)
    return np.maximum(x, x.dtype.type(0))


def relu6(x, floatx=FLOAT32):
    x = np.asarray(x)
    return activation("relu6")(x, floatx=floatx) if x.dtype.kind not in "iu" else np.clip(x, 0, 6)


def threshold(x, threshold=0.0, default_value=0.0, floatx=FLOAT32):
    x = np.asarray(x)
    if x.dtype.kind in "iu":
        return np.where(x > threshold, x, x.dtype.type(default_value))
    return activation("threshold", threshold=threshold, default_value=default_value)(x, floatx=floatx)


def bounded_relu(x, negative_slope=0.0, max_value=None, threshold=0.0, floatx=FLOAT32):
    x = np.asarray(x)
    if x.dtype.kind in "iu" and activations.relu_keeps_integers(max_value, negative_slope, threshold):
        return activations.relu_of_integers(x, max_value, negative_slope, threshold)
    name, *numbers = activations.relu_of(max_value, negative_slope, threshold)
    return activations.apply(codes.activation(name, *numbers), floating(x, floatx))


def ldexp(x1, x2, floatx=FLOAT32):
    return np.ldexp(floating(x1, floatx), np.asarray(x2))


def in_top_k(targets, predictions, k):
    predictions, targets = np.asarray(predictions), whole(targets)
    own = np.take_along_axis(predictions, targets[:, None], axis=1)
    finite = np.isfinite(predictions).all(axis=1)
    return ((predictions > own).sum(axis=1) < k) & finite


def bitwise(function):
    def operation(x, y=None):
        if y is None:
            return function(np.asarray(x))
        return function(*together([x, y]))

    return operation


def _zero_where(is_zero, y):
    return np.where(is_zero, np.zeros((), y.dtype), y)


def xlogy(x, y, floatx=FLOAT32):
    """``x * log(y)``, 0 where x is."""
    x, y = (floating(a, floatx) for a in together([x, y], floatx))
    with np.errstate(all="ignore"):
        return _zero_where(x == 0, x * np.log(y))


def xdivy(x, y, floatx=FLOAT32):
    """``x / y``, 0 where x is."""
    x, y = (floating(a, floatx) for a in together([x, y], floatx))
    with np.errstate(all="ignore"):
        return _zero_where(x == 0, x / y)


def truncatediv(x1, x2, floatx=FLOAT32):
    """The quotient without what is behind the point."""
    x1, x2 = together([x1, x2], floatx)
    if x1.dtype.kind == "f":
        return np.trunc(x1 / x2)
    return ((x1 - np.fmod(x1, x2)) // x2).astype(x1.dtype)


def multiply_no_nan(x, y, floatx=FLOAT32):
    """``x * y``, 0 where y is."""
    x, y = (floating(a, floatx) for a in together([x, y], floatx))
    with np.errstate(all="ignore"):
        return _zero_where(y == 0, x * y)
