"""The fused loop over any number of rows whose states are scattered over larger arrays, without Python in between."""

import functools

from numba import types

from .address import BUFFER, address, ask, write
from .jit import kernel
from .job import ODD, ROW, ROWS, ROWS_AT_ONCE, SLOTS


@kernel
def in_blocks(function, weights, job, slots, x, h, c, y, own, first, last):
    """Compute the rows from `first` to `last`, `ROWS_AT_ONCE` at most at a time; the states change in place.

    Parameters
    ----------
    function : int
        Address of `fused.sequence`.
    weights : flat float32 array
        Packed.
    job : int64 array
        A `Job` for `ROWS_AT_ONCE` rows; changed.
    slots : (rows,) int64 array
        Where in h and c the state of each row is, no two the same.
    x : (rows, timesteps, features) array
    h, c : (slots, units) arrays
        `h` twice where the cell has no c.
    y : (rows, timesteps or 1, units) array, written
    own : array
        Scratch.
    first, last : int
    """
    numbers, rows = address(job), last - first
    blocks = (rows + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE
    write(numbers, SLOTS, address(slots))
    for block in range(blocks):
        r0, r1 = first + rows * block // blocks, first + rows * (block + 1) // blocks
        write(numbers, ROW, r0)
        write(numbers, ROWS, r1 - r0)
        write(numbers, ODD, block & 1)
        ask(function, (weights, job, x, h, c, h, c, y, own))


@functools.cache
def compiled():
    """Return `in_blocks`, a function to call without further ado."""
    i = types.int64
    return in_blocks.compile(types.void(i, *[BUFFER] * 8, i, i))
