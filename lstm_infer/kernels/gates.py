"""One timestep of an LSTM with implementation 1: a product of its own for every gate, then the same update."""

import functools

from numba import types

from .address import BUFFER, address, call, write
from .fused import QUAD
from .jit import kernel
from .tile import Rows, Vectors, product
from .update import Update, copy
from .vector import LANES

GATES = 4


@kernel
def step_gates(weights, update, x, h, c, rows, features, units, own):
    """One timestep; `h` and `c` in place. The result is the same bits as that of implementation 2.

    Parameters
    ----------
    weights : (4, ...) float32 array
        Of every gate, as a simple cell's with blocks of four vectors.
    update : int
        Address of the cell's function (`update.functions_of`).
    x : (rows, features) array
    h, c : (rows, units) arrays, changed in place
    own : array
        Scratch of `scratch_size` floats.
    """
    width = (units + 4 * LANES - 1) // (4 * LANES) * 4 * LANES
    gate = 4 * width * (1 + features + units)
    a = (address(own) + 63) & ~63
    old = a + 4 * features
    new, packed, z = old + 4 * width, old + 8 * width, old + 12 * width
    writes = z + 4 * GATES * width
    write(writes, 0, -1)
    for r in range(rows):
        state = 4 * r * units
        copy(address(x) + 4 * r * features, a, features)
        copy(address(h) + state, old, units)
        copy(address(c) + state, packed, units)
        for g in range(GATES):
            bias = address(weights) + g * gate
            for u in range(0, width, 4 * LANES):
                w = bias + 4 * width + 4 * u * (features + units)
                to = Vectors(z + 4 * (g * width + u), 0, LANES)
                product(QUAD, Vectors(bias + 4 * u, 0, LANES), Rows(a, 0), 1, features, units, w, to)
        vectors = (units + LANES - 1) // LANES
        call(update, Update(0, vectors, 0, 1, z, width, 1, packed, old, new, 0, address(h), writes, units))
        copy(new, address(h) + state, units)
        copy(packed, address(c) + state, units)


def scratch_size(features, units):
    """Return the floats that `step_gates` needs in `own`."""
    return features + 8 * (units + 4 * LANES) + 64


@functools.cache
def compiled():
    """Return `step_gates`, a function to call without further ado."""
    i = types.int64
    return step_gates.compile(types.void(BUFFER, i, BUFFER, BUFFER, BUFFER, i, i, i, BUFFER))
