"""Operations that put numbers in other places, or make arrays."""

import contextlib
import math
import re
import threading

import numpy as np

from .dtypes import FLOAT32, INT32, joint, named, together, whole


def sizes(shape):
    """Return a shape given as numbers, arrays of one number, or one array, as a list of int (None is -1)."""
    if isinstance(shape, (int, np.integer)) or (isinstance(shape, np.ndarray) and shape.ndim == 0):
        return [int(shape)]
    return [-1 if n is None else int(np.asarray(n).reshape(())) for n in shape]


MOST = 1 << 30
"""Numbers of an array that an operation may make of sizes that a file gives."""
MOST_IN_TRIALS = 1 << 22
"""The same while a model is put together."""
MOST_POWERS = 4096
"""Powers of a number that `vander` makes, one after the other."""
_limit = threading.local()


@contextlib.contextmanager
def in_trials():
    """Bound what this thread's operations make more narrowly: a file's sizes are only tried."""
    _limit.most = MOST_IN_TRIALS
    try:
        yield
    finally:
        del _limit.most


def bounded(shape):
    """Return `shape`, unless an array of it would be of absurd size."""
    shape = list(shape)
    most = getattr(_limit, "most", MOST)
    if math.prod(max(int(n), 1) for n in shape) > most:
        raise ValueError(f"found sizes {shape[:8]}, expected an array of {most:,} numbers at most")
    return shape


def many(xs):
    """Return a list of arrays given as such, or as one array or tensor."""
    return list(xs) if isinstance(xs, (list, tuple)) else [xs]


def reshape(x, newshape, **rest):
    return np.ascontiguousarray(x).reshape(sizes(newshape))


def transpose(x, axes=None, conjugate=False):
    return np.transpose(np.asarray(x), None if axes is None else sizes(axes))


def expand_dims(x, axis):
    return np.expand_dims(np.asarray(x), tuple(sizes(axis)))


def squeeze(x, axis=None):
    x = np.asarray(x)
    return np.squeeze(x, None if axis is None or axis == [] else tuple(sizes(axis)))


def concatenate(xs, axis=0, floatx=FLOAT32):
    return np.concatenate(together(many(xs), floatx), axis=int(axis))


def stack(x, axis=0, floatx=FLOAT32):
    return np.stack(together(many(x), floatx), axis=int(axis))


def stacking(function):
    def operation(xs, floatx=FLOAT32):
        return function(together(many(xs), floatx))

    return operation


def append(x1, x2, axis=None, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return np.append(x1, x2, axis=axis)


def unstack(x, num=None, axis=0):
    x = np.asarray(x)
    return [np.asarray(part, order="C") for part in np.moveaxis(x, axis, 0)]


def splitting(function, axis=0):
    def operation(x, indices_or_sections, axis=axis):
        x, given = np.asarray(x), indices_or_sections
        given = int(given) if np.ndim(given) == 0 else sizes(given)
        return list(function(x, given, axis=axis))

    return operation


def getitem(x, key):
    """``x[key]``; a list of keys is one key for every axis, and a dict is a slice with a tensor in it."""

    def part(item):
        if isinstance(item, dict):
            item = slice(*(item.get(word) for word in ("start", "stop", "step")))
        if isinstance(item, slice):
            return slice(*(None if n is None else int(np.asarray(n)) for n in (item.start, item.stop, item.step)))
        if isinstance(item, list):
            return np.asarray(item)
        return int(item) if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu" else item

    key = tuple(part(item) for item in key) if isinstance(key, (list, tuple)) else part(key)
    return np.asarray(np.asarray(x)[key])


def boolean_mask(tensor, mask, axis=0):
    """As ``tf.boolean_mask``: what is at the places that a mask names, on one axis."""
    x, mask, axis = np.asarray(tensor), np.asarray(mask).astype(bool), int(axis)
    if mask.ndim < 1 or x.shape[axis : axis + mask.ndim] != mask.shape:
        raise ValueError(f"found a mask {mask.shape} for an array {x.shape}, expected its sizes from axis {axis} on")
    return x[(slice(None),) * axis + (mask,)]


def _masked_by_anything(tensor, mask, axis=0):
    """In a trial every place counts, so that the number of them is free; a constant mask is a list."""
    return boolean_mask(tensor, np.ones_like(mask, bool) if isinstance(mask, np.ndarray) else mask, axis)


boolean_mask.in_trials = _masked_by_anything


def take(x, indices, axis=None):
    x, places = np.asarray(x), whole(indices)
    return np.take(x, _inside(places, x.size if axis is None else x.shape[axis]), axis=axis)


def _inside(places, size):
    if places.size and (places.min() < -size or places.max() >= size):
        raise ValueError(f"found index {places.min() if places.min() < -size else places.max()} for {size} places")
    return places


def take_along_axis(x, indices, axis=None):
    x, places = np.asarray(x), whole(indices)
    if axis is None:
        return np.take_along_axis(x.ravel(), places.ravel(), 0)
    if x.ndim == places.ndim:
        wide = list(np.broadcast_shapes(*(tuple(1 if n == axis % x.ndim else s for n, s in enumerate(a.shape))
                                          for a in (x, places))))  # fmt: skip
        x, places = (np.broadcast_to(a, [a.shape[n] if n == axis % x.ndim else s for n, s in enumerate(wide)])
                     for a in (x, places))  # fmt: skip
    return np.take_along_axis(x, places, axis)


def gather(params, indices, axis=None, batch_dims=0, validate_indices=None):
    """As ``tf.gather``."""
    params, places = np.asarray(params), whole(indices)
    axis = batch_dims if axis is None else int(axis) % params.ndim
    if batch_dims:
        batch_dims = batch_dims % places.ndim
        rows = zip(params.reshape(-1, *params.shape[batch_dims:]), places.reshape(-1, *places.shape[batch_dims:]),
                   strict=True)  # fmt: skip
        taken = [take(row, place, axis - batch_dims) for row, place in rows]
        return np.stack(taken).reshape(*params.shape[:batch_dims], *taken[0].shape)
    return take(params, places, axis)


def gather_nd(params, indices, batch_dims=0):
    params, places = np.asarray(params), whole(indices)
    if batch_dims:
        batch_dims, outside = int(batch_dims), params.shape[: int(batch_dims)]
        if not 0 < batch_dims < min(params.ndim, places.ndim) or places.shape[:batch_dims] != outside:
            raise ValueError(f"found batch_dims={batch_dims} for arrays of shapes {params.shape} and {places.shape}")
        rows = [gather_nd(params[at], places[at]) for at in np.ndindex(outside)]
        return np.reshape(rows, (*outside, *rows[0].shape)) if rows else np.zeros(
            (*outside, *places.shape[batch_dims:-1], *params.shape[batch_dims + places.shape[-1] :]), params.dtype)
    parts = zip(np.moveaxis(places, -1, 0), params.shape, strict=False)
    return params[tuple(_inside(part, size) for part, size in parts)]


def flip(x, axis=None):
    return np.flip(np.asarray(x), None if axis is None else tuple(sizes(axis)))


def rearranged(function):
    """Make an operation of a NumPy function of one array that puts its numbers elsewhere."""

    def operation(x, *args, **kwargs):
        return np.asarray(function(np.asarray(x), *args, **kwargs))

    return operation


def moveaxis(x, source, destination):
    return np.moveaxis(np.asarray(x), sizes(source), sizes(destination))


def swapaxes(x, axis1, axis2):
    return np.swapaxes(np.asarray(x), axis1, axis2)


def tile(x, repeats):
    bounded([np.size(x), *sizes(repeats)])
    return np.tile(np.asarray(x), sizes(repeats))


def repeat(x, repeats, axis=None):
    given = sizes(repeats)
    bounded([np.size(x), max(given, default=0)])
    return np.repeat(np.asarray(x), given[0] if len(given) == 1 else given, axis=axis)


def roll(x, shift, axis=None):
    given = sizes(shift)
    return np.roll(np.asarray(x), given[0] if len(given) == 1 else given, None if axis is None else
                   sizes(axis)[0] if len(sizes(axis)) == 1 else sizes(axis))  # fmt: skip


def broadcast_to(x, shape):
    x, shape = np.asarray(x), sizes(shape)
    lead = len(shape) - x.ndim
    bounded(shape)
    return np.array(np.broadcast_to(x, [x.shape[n - lead] if s == -1 else s for n, s in enumerate(shape)]))


def pad(x, pad_width, mode="constant", constant_values=None):
    x = np.asarray(x)
    width = np.asarray(pad_width)
    width = np.broadcast_to(width, (x.ndim, 2)) if width.ndim < 2 or len(width) == 1 else width
    bounded(before + size + after for size, (before, after) in zip(x.shape, width.tolist(), strict=True))
    mode = str(mode).lower()
    if mode not in ("constant", "reflect", "symmetric"):
        raise ValueError(f"found mode={mode!r}, expected constant, reflect or symmetric")
    more = {"constant_values": x.dtype.type(constant_values or 0)} if mode == "constant" else {}
    return np.pad(x, width.tolist(), mode, **more)


def sort(x, axis=-1, direction="ASCENDING"):
    y = np.sort(np.asarray(x), axis=axis)
    return np.flip(y, axis) if direction == "DESCENDING" else y


def argsort(x, axis=-1, direction="ASCENDING", stable=False):
    x = np.asarray(x)
    if direction == "DESCENDING":
        x = -x
    axis, x = (0, x.ravel()) if axis is None else (axis, x)
    return np.argsort(x, axis=axis, kind="stable").astype(INT32)


def top_k(x, k=1, sorted=True):
    x = np.asarray(x)
    order = np.argsort(-x, axis=-1, kind="stable")[..., : int(k)]
    return [np.take_along_axis(x, order, -1), order.astype(INT32)]


def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False, on_value=None, off_value=None, floatx=FLOAT32):
    if sparse:
        raise ValueError("found sparse=True, expected False")
    places, count = whole(x), int(num_classes)
    bounded([places.size, count])
    y = (places[..., None] == np.arange(count)).astype(named(dtype, floatx))
    if on_value is not None or off_value is not None:
        on, off = (1 if on_value is None else on_value), (0 if off_value is None else off_value)
        y = np.where(y != 0, y.dtype.type(on), y.dtype.type(off))
    return np.moveaxis(y, -1, axis)


def multi_hot(x, num_classes=None, axis=-1, dtype=None, sparse=False, num_tokens=None, floatx=FLOAT32):
    y = one_hot(x, num_classes or num_tokens, axis, dtype, sparse, floatx=floatx)
    return y.max(axis=1 if np.ndim(x) > 1 else 0)


def diag(x, k=0):
    return np.diag(np.asarray(x), k)


def diagonal(x, offset=0, axis1=0, axis2=1):
    return np.array(np.diagonal(np.asarray(x), offset, axis1, axis2))


def trace(x, offset=0, axis1=0, axis2=1):
    x = np.asarray(x)
    diagonals = np.diagonal(x, offset, axis1, axis2)
    narrow = np.uint32 if x.dtype.kind == "u" else INT32
    y = np.zeros(diagonals.shape[:-1], x.dtype if x.dtype.itemsize >= 4 or x.dtype.kind == "f" else narrow)
    for n in range(diagonals.shape[-1]):
        y = y + diagonals[..., n]
    return y


def diff(a, n=1, axis=-1):
    a = np.asarray(a)
    return np.diff(a, n=n, axis=axis)


# ---------------------------------------------------------------- new arrays
def zeros_like(x, dtype=None, floatx=FLOAT32):
    return np.zeros(np.shape(x), np.asarray(x).dtype if dtype is None else named(dtype, floatx))


def ones_like(x, dtype=None, floatx=FLOAT32):
    return np.ones(np.shape(x), np.asarray(x).dtype if dtype is None else named(dtype, floatx))


def full_like(x, fill_value, dtype=None, floatx=FLOAT32):
    return np.full(np.shape(x), fill_value, np.asarray(x).dtype if dtype is None else named(dtype, floatx))


def full(fill_value, shape, dtype=None, floatx=FLOAT32):
    return np.full(bounded(sizes(shape)), fill_value, named(dtype, floatx))


def filled(dims, value, floatx=FLOAT32):
    """As ``tf.fill``."""
    return np.full(bounded(sizes(dims)), value, joint([value], floatx))


def zeros(shape, dtype=None, floatx=FLOAT32):
    return np.zeros(bounded(sizes(shape)), named(dtype, floatx))


def ones(shape, dtype=None, floatx=FLOAT32):
    return np.ones(bounded(sizes(shape)), named(dtype, floatx))


def arange(start, stop=None, step=None, dtype=None, floatx=FLOAT32):
    given = [np.asarray(n).item() for n in (start, stop, step) if n is not None]
    if len(given) == 1:
        given = [0, *given]
    if math.isfinite(sum(given)) and (given[1] - given[0]) / (given[2] if len(given) > 2 else 1) > 1 << 28:
        raise ValueError(f"found a range of {given}, expected a shorter one")
    dtype = joint([n for n in (start, stop, step) if n is not None], floatx) if dtype is None else named(dtype, floatx)
    return np.arange(*given).astype(dtype)


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0, floatx=FLOAT32):
    given = together([start, stop, 0.0], floatx)[:2]
    dtype = given[0].dtype if dtype is None else named(dtype, floatx)
    y, step = np.linspace(*(a.astype(np.float64) for a in given), int(bounded([num])[0]), endpoint, True, axis=axis)
    return [y.astype(dtype), np.asarray(step).astype(dtype)] if retstep else y.astype(dtype)


def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0, floatx=FLOAT32):
    given = together([start, stop, 0.0], floatx)[:2]
    dtype = given[0].dtype if dtype is None else named(dtype, floatx)
    bounded([num])
    return np.logspace(*(a.astype(np.float64) for a in given), int(num), endpoint, base, axis=axis).astype(dtype)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0, floatx=FLOAT32):
    given = together([start, stop, 0.0], floatx)[:2]
    dtype = given[0].dtype if dtype is None else named(dtype, floatx)
    bounded([num])
    return np.geomspace(*(a.astype(np.float64) for a in given), int(num), endpoint, axis=axis).astype(dtype)


def eye(num_rows, num_columns=None, batch_shape=None, dtype=None, floatx=FLOAT32):
    bounded([num_rows, num_rows if num_columns is None else num_columns])
    y = np.eye(int(num_rows), None if num_columns is None else int(num_columns), dtype=named(dtype, floatx))
    return y if batch_shape is None else np.array(np.broadcast_to(y, (*sizes(batch_shape), *y.shape)))


def array(x, dtype=None, floatx=FLOAT32):
    x = np.asarray(x)
    return x if dtype is None else x.astype(named(dtype, floatx))


def meshgrid(*x, indexing="xy"):
    return list(np.meshgrid(*(np.asarray(a) for a in x), indexing=indexing))


def shape_of(x, out_type="int32"):
    return np.array(np.shape(x), named(out_type))


def batch_flatten(x):
    x = np.ascontiguousarray(x)
    return x.reshape(len(x), math.prod(x.shape[1:]))


def crelu(features, axis=-1):
    x = np.asarray(features)
    return np.maximum(np.concatenate([x, -x], int(axis)), np.zeros((), x.dtype))


def sequence_mask(lengths, maxlen=None, dtype="bool"):
    lengths = np.asarray(lengths)
    most = int(lengths.max(initial=0)) if maxlen is None else int(maxlen)
    return (np.arange(most) < lengths[..., None]).astype(named(dtype))


def size_of(x, out_type="int32"):
    return np.array(np.size(x), named(out_type))


def rank_of(x):
    return np.array(np.ndim(x), INT32)


def unravel_index(indices, shape):
    return [a.astype(INT32) for a in np.unravel_index(whole(indices), sizes(shape))]


def vander(x, N=None, increasing=False):  # noqa: N803  (Keras's name)
    x = np.asarray(x)
    y = np.empty(bounded([x.size, x.size if N is None else N]), x.dtype)
    if y.shape[1] > max(x.size, MOST_POWERS):
        raise ValueError(f"found N={N}, expected {MOST_POWERS} powers at most")
    powers = np.arange(y.shape[1])
    value = np.ones_like(x)
    for n in powers:
        y[:, n if increasing else -1 - n] = value
        value = value * x
    return y


def bincount(x, weights=None, minlength=0, sparse=False):
    if sparse:
        raise ValueError("found sparse=True, expected False")
    x = whole(x)
    length = max(int(minlength), int(x.max(initial=-1)) + 1)
    flat = x.reshape(-1, x.shape[-1])
    ones = np.ones(flat.shape, INT32) if weights is None else np.asarray(weights).reshape(flat.shape)
    y = np.zeros((len(flat), length), ones.dtype)
    rows = np.broadcast_to(np.arange(len(flat))[:, None], flat.shape)
    np.add.at(y, (rows, flat), ones)
    return y.reshape(*x.shape[:-1], length)


# ---------------------------------------------------------------- parts of arrays
def slice_of(inputs, start_indices, shape):
    """As ``keras.ops.slice``; a size of -1 reaches to the end."""
    x, starts, wanted = np.asarray(inputs), sizes(start_indices), sizes(shape)
    ends = [size if n == -1 else start + n for start, n, size in zip(starts, wanted, x.shape, strict=True)]
    return np.array(x[tuple(slice(start, end) for start, end in zip(starts, ends, strict=True))])


def slice_update(inputs, start_indices, updates):
    x, updates = np.array(inputs), np.asarray(updates)
    starts = sizes(start_indices)
    x[tuple(slice(start, start + n) for start, n in zip(starts, updates.shape, strict=True))] = updates
    return x


def strided_slice(
    x, begin, end, strides=None, begin_mask=0, end_mask=0, ellipsis_mask=0, new_axis_mask=0, shrink_axis_mask=0,
    var=None,
):  # fmt: skip
    """As ``tf.strided_slice``: bit n of a mask says how entry n is meant."""
    begin, end = sizes(begin), sizes(end)
    strides = [1] * len(begin) if strides is None else sizes(strides)
    key = []
    for n, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << n
        if int(ellipsis_mask) & bit:
            key.append(Ellipsis)
        elif int(new_axis_mask) & bit:
            key.append(None)
        elif int(shrink_axis_mask) & bit:
            key.append(first)
        else:
            key.append(slice(None if int(begin_mask) & bit else first, None if int(end_mask) & bit else last, step))
    return np.array(np.asarray(x)[tuple(key)])


def scatter(indices, values, shape):
    places, values = whole(indices), np.asarray(values)
    y = np.zeros(bounded(sizes(shape)), values.dtype)
    np.add.at(y, tuple(np.moveaxis(places, -1, 0)), values)
    return y


def scatter_update(inputs, indices, updates, reduction=None):
    y, places = np.array(inputs), tuple(np.moveaxis(whole(indices), -1, 0))
    updates = np.asarray(updates, y.dtype)
    functions = {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}
    if reduction is None:
        y[places] = updates
    else:
        functions[reduction].at(y, places, updates)
    return y


def extract_sequences(x, sequence_length, sequence_stride):
    x = np.asarray(x)
    windows = np.lib.stride_tricks.sliding_window_view(x, sequence_length, axis=-1)
    return np.ascontiguousarray(windows[..., ::sequence_stride, :])


def split_sizes(value, num_or_size_splits, axis=0, num=None):
    """As ``tf.split``: a number of parts, or their sizes."""
    value = np.asarray(value)
    if np.ndim(num_or_size_splits) == 0:
        return list(np.split(value, int(num_or_size_splits), axis=int(axis)))
    given = sizes(num_or_size_splits)
    left = value.shape[int(axis)] - sum(n for n in given if n != -1)
    given = [left if n == -1 else n for n in given]
    if sum(given) != value.shape[int(axis)]:
        raise ValueError(f"found parts of sizes {given} for {value.shape[int(axis)]} places")
    return list(np.split(value, np.cumsum(given)[:-1], axis=int(axis)))


def depth_to_space(x, block_size, data_format="channels_last"):
    first = data_format in ("channels_first", "NCHW")
    x, b = np.moveaxis(np.asarray(x), 1, -1) if first else np.asarray(x), block_size
    n, h, w, c = x.shape
    y = x.reshape(n, h, w, b, b, c // (b * b)).transpose(0, 1, 3, 2, 4, 5).reshape(n, h * b, w * b, c // (b * b))
    return np.moveaxis(y, -1, 1) if first else y


def space_to_depth(x, block_size, data_format="channels_last"):
    first = data_format in ("channels_first", "NCHW")
    x, b = np.moveaxis(np.asarray(x), 1, -1) if first else np.asarray(x), block_size
    n, h, w, c = x.shape
    y = x.reshape(n, h // b, b, w // b, b, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h // b, w // b, b * b * c)
    return np.moveaxis(y, -1, 1) if first else y


def rearrange(tensor, pattern, **lengths):
    """As ``einops.rearrange``."""
    x = np.asarray(tensor)
    left, right = (re.findall(r"\([^)]*\)|\w+", side) for side in pattern.split("->"))
    if len(left) != x.ndim:
        raise ValueError(f"found an array of {x.ndim} axes for the pattern {pattern!r}")
    known = {word: int(n) for word, n in lengths.items()}
    for group, size in zip(left, x.shape, strict=True):
        words = group.strip("()").split()
        free = [word for word in words if word not in known]
        if len(free) > 1:
            raise ValueError(f"found the axes {free} without lengths in {pattern!r}")
        rest = math.prod(known[word] for word in words if word in known)
        known.update((word, size // rest) for word in free)
    names = [word for group in left for word in group.strip("()").split()]
    order = [word for group in right for word in group.strip("()").split()]
    x = x.reshape([known[word] for word in names]).transpose([names.index(word) for word in order])
    return x.reshape([math.prod(known[word] for word in group.strip("()").split()) for group in right])


