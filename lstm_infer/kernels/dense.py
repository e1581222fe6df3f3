"""Dense layers on register tiles (float32): any number of rows, any units."""

import functools

from numba import types
from numba.extending import intrinsic

from .address import BUFFER, address, call, function_of, pointer
from .constant import get
from .jit import kernel
from .tile import Rows, Vectors, product
from .update import in_rows, store_some
from .vector import LANES, count, i64, load

PANEL = 48
"""Rows that pass through all units together, so that they stay in the cache."""


@intrinsic
def store_rows(typingctx, z, vectors, rows, y, row, units):
    """Copy z, which is [unit vector][row][lane], to the first `units` of rows that are `row` apart."""

    def codegen(context, builder, sig, args):
        z, vectors, rows, y, row, units = args
        z, y = pointer(builder, z), in_rows(builder, y, row)

        def vector(u, state):
            left = builder.sub(units, builder.mul(u, i64(LANES)))

            def one(r, state):
                at = builder.mul(builder.add(builder.mul(u, rows), r), i64(LANES))
                store_some(builder, load(builder, z, at), y(u, r), left)
                return []

            count(builder, rows, [], one, name="row")
            return []

        count(builder, vectors, [], vector, name="unit")
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, i, i, i), codegen


@kernel
def dense(cell, weights, activate, x, y, rows, features, units, own):
    """Write ``activation(x @ kernel + bias)`` into `y`.

    Parameters
    ----------
    cell : Constant
        A `tile.Cell` of kind "simple" whose activation does not matter.
    weights : flat float32 array
        Packed.
    activate : int
        Address of the activation (`update.activation_function`).
    x : (rows, features) array
    y : (rows, units) array, written
    rows, features, units : int
    own : array
        Scratch of `SCRATCH` floats.
    """
    wide = get(cell, "wide")
    width = wide * LANES
    blocks = (units + width - 1) // width
    bias, z = address(weights), (address(own) + 63) & ~63
    w = bias + 4 * blocks * width
    for r in range(0, rows, PANEL):
        some, a = min(PANEL, rows - r), Rows(address(x) + 4 * r * features, features)
        for j in range(blocks):
            start, to = Vectors(bias + 4 * j * width, 0, LANES), Vectors(z, LANES, some * LANES)
            product(cell, start, a, some, features, 0, w + 4 * j * features * width, to)
            left = min(units - j * width, width)
            vectors = (left + LANES - 1) // LANES
            call(activate, (z, vectors * some))
            store_rows(z, vectors, some, address(y) + 4 * (r * units + j * width), units, left)


SCRATCH = 4 * PANEL * LANES + 16
"""The floats that `dense` needs in `own`."""


@functools.cache
def compiled(cell):
    """Return `dense` for the `Constant` of a layer, a function to call without further ado."""
    return dense.compile(_signature(cell))


@functools.cache
def function(cell):
    """Return the address of `dense` for the `Constant` of a layer, for `address.call`."""
    return function_of(dense, _signature(cell))


def _signature(cell):
    i = types.int64
    return types.void(cell.numba_type, BUFFER, i, BUFFER, BUFFER, i, i, i, BUFFER)
