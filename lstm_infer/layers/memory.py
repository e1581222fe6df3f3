"""Large arrays for results, in memory that earlier results have left.

The system hands out memory page by page, when it is first touched, and writing an array of some megabytes row by row
may spend more time in that than in the arithmetic (measured in a virtual machine: up to three times as long). So the
memory of a large result is kept when the last array that looks at it is gone, and given to the next one.
"""

import ctypes
import math
import weakref

import numpy as np

LARGE = 1 << 19
"""Bytes from which an array's memory is kept."""
MOST = 1 << 27
"""Bytes that are kept at most."""
ALIGNMENT = 64

_left = {}  # size -> blocks that nobody looks at; changed by single, atomic operations only


def empty(shape, dtype):
    """Return an uninitialised C-contiguous array.

    >>> empty((2, 3), np.float32).shape
    (2, 3)
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < LARGE or np.dtype(dtype).hasobject:
        return np.empty(shape, dtype)
    block = _take(-(-size // LARGE) * LARGE + ALIGNMENT)
    holder = (ctypes.c_char * block.size).from_buffer(block)  # every view of the array keeps it alive
    weakref.finalize(holder, _give, block).atexit = False
    start = -ctypes.addressof(holder) % ALIGNMENT
    return np.frombuffer(holder, dtype, math.prod(shape), start).reshape(shape)


def _take(size):
    try:
        return _left[size].pop()
    except (KeyError, IndexError):
        return np.empty(size, np.uint8)


def _give(block):
    if block.size + sum(size * len(blocks) for size, blocks in list(_left.items())) > MOST:
        _left.clear()
    if block.size <= MOST:
        _left.setdefault(block.size, []).append(block)
