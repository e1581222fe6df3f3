"""Which dtype an operation on arrays has, by the rules of Keras: floats win over whole numbers, Python's are weak.

Arrays of 16-bit floats do not exist here: they are float32.
"""

import numpy as np

INT32 = np.dtype(np.int32)
FLOAT32 = np.dtype(np.float32)


def named(name, floatx=FLOAT32):
    """Return the dtype of a Keras name; the floats smaller than float32 are float32.

    >>> named("bfloat16"), named(None)
    (dtype('float32'), dtype('float32'))
    """
    if name is None:
        return np.dtype(floatx)
    if name in ("float", "float16", "half", "bfloat16"):
        return FLOAT32
    if name == "int":
        return INT32
    dtype = np.dtype(str(name))
    if dtype.kind not in "biuf":
        raise ValueError(f"found dtype {name!r}, expected one of numbers")
    return dtype


def joint(values, floatx=FLOAT32):
    """Return the dtype that several arrays and Python numbers have together."""
    arrays = [value.dtype for value in values if isinstance(value, np.ndarray)]
    weak = [np.asarray(value) for value in values if not isinstance(value, np.ndarray)]
    weak = [value for value in weak if value.size]  # an empty list tells nothing
    floats = [dtype for dtype in arrays if dtype.kind == "f"]
    if floats:
        return max(floats, key=lambda dtype: dtype.itemsize)
    if any(value.dtype.kind == "f" for value in weak):
        return np.dtype(floatx)
    dtype = np.result_type(*arrays) if arrays else np.dtype(bool)
    return INT32 if dtype.kind == "b" and any(value.dtype.kind in "iu" for value in weak) else dtype


def together(values, floatx=FLOAT32):
    """Return the values as arrays of their `joint` dtype."""
    dtype = joint(values, floatx)
    return [np.asarray(value).astype(dtype, copy=False) for value in values]


def floating(x, floatx=FLOAT32):
    """Return `x` as a C-contiguous array of floats: NumPy's loops then treat every number alike."""
    x = np.asarray(x)
    return np.ascontiguousarray(x) if x.dtype.kind == "f" else np.ascontiguousarray(x, floatx)


def whole(x):
    """Return `x` as an array of int64: for what chooses among things."""
    return np.asarray(x).astype(np.int64)


def axes_of(axis, rank):
    """Return an axis, several or None (all) as an ascending tuple of axes from 0.

    >>> axes_of(-1, 3), axes_of(None, 2), axes_of([2, 0], 3)
    ((2,), (0, 1), (0, 2))
    """
    if axis is None:
        return tuple(range(rank))
    given = [int(n) for n in np.ravel(np.asarray(axis, np.int64))]
    if any(not -rank <= n < rank for n in given):
        raise ValueError(f"found axis {axis} for an array of {rank} axes")
    return tuple(sorted({n % rank for n in given}))
