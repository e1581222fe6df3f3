"""The register tile: a few rows times the vectors of one block, every sum in one register from the bias to the end.

Weights are packed once as ``[block][k][vector][lane]``. A block is what one tile finishes: for an LSTM the four gates
of `LANES` units. Units are padded with zero weights up to whole blocks, so that nothing inside needs a mask.

The sum of each output begins at the bias (or at a partial sum read from memory) and takes one fused multiply-add per
k, k ascending. Rows and vectors share no arithmetic, so a result is the same bits for every tile shape, and whether
the sum was interrupted and kept in memory as float32 or not.

The shape fills the register file and no more: ``rows * vectors`` sums, the shorter side of the tile held in
registers, and one register through which the longer side passes. 3 rows x 4 gates use all of 16 registers; with the
longer side held instead LLVM spills, and the same tile runs at 44 % of the speed.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import kernel
from .vector import LANES, MACHINE, aligned, broadcast, count, data, fma, i64, load, offset, store


class Rows(NamedTuple):
    """Rows of numbers in a flat array: element k of row r is ``array[first + r * row + k]``."""

    array: np.ndarray
    first: int
    row: int


class Vectors(NamedTuple):
    """Vectors in a flat array: vector v of row r begins at ``array[first + r * row + v * vector]``."""

    array: np.ndarray
    first: int
    row: int
    vector: int


def most_rows(vectors):
    """Return the rows of the largest tile of so many vectors that stays in registers."""
    rows = 1
    while (rows + 1) * vectors + min(rows + 1, vectors) + 1 <= MACHINE.registers:
        rows += 1
    return rows


def pack(weights, vectors):
    """Return `weights` as tiles read them.

    Parameters
    ----------
    weights : (k, vectors, units) array

    Returns
    -------
    (blocks * k * vectors * LANES,) float32 array, aligned
    """
    k, _, units = weights.shape
    blocks = -(-units // LANES)
    packed = aligned(blocks, k, vectors, LANES)
    padded = np.zeros((k, vectors, blocks * LANES), np.float32)
    padded[:, :, :units] = weights
    packed[:] = padded.reshape(k, vectors, blocks, LANES).transpose(2, 0, 1, 3)
    return packed.reshape(-1)


# ---------------------------------------------------------------- emitting
def _accumulate(builder, sums, rows, vectors, a, a_row, n, w):
    """Return ``sums[r, v] + sum over k < n of a[r, k] * w[k, v]``, with `sums` a list by row, then vector."""
    row = [offset(builder, a, builder.mul(a_row, i64(r))) for r in range(rows)]

    def body(k, sums):
        sums = list(sums)
        w_k = offset(builder, w, builder.mul(k, i64(vectors * LANES)))
        values = [lambda r=r: broadcast(builder, builder.load(offset(builder, row[r], k))) for r in range(rows)]
        weights = [lambda v=v: load(builder, w_k, v * LANES) for v in range(vectors)]
        short, long = (values, weights) if rows <= vectors else (weights, values)
        held = [read() for read in short]
        for m, read in enumerate(long):
            passing = read()
            for n, other in enumerate(held):
                at = n * vectors + m if rows <= vectors else m * vectors + n
                sums[at] = fma(builder, passing, other, sums[at])
        return sums

    return count(builder, n, sums, body, name="k")


def _unpack(context, builder, kind, value):
    """Return (pointer to the first element, strides...) of a `Rows` or `Vectors`."""
    array, first, *strides = (builder.extract_value(value, k) for k in range(len(kind.types)))
    return offset(builder, data(context, builder, kind.types[0], array), first), *strides


def _emit_tile(builder, rows, vectors, start, a, n, w, z):
    def places(view):
        pointer, row, vector = view
        return [
            offset(builder, pointer, builder.add(builder.mul(row, i64(r)), builder.mul(vector, i64(v))))
            for r in range(rows)
            for v in range(vectors)
        ]

    sums = [load(builder, place) for place in places(start)]
    sums = _accumulate(builder, sums, rows, vectors, *a, n, w)
    for value, place in zip(sums, places(z), strict=True):
        store(builder, value, place)


def make_tile(vectors):
    """Return the intrinsic ``tile(rows, start, a, n, w, w0, z)`` for blocks of so many vectors.

    It writes ``z = start + a @ w`` for 1 to ``most_rows(vectors)`` rows: `start` and `z` are `Vectors`, `a` is `Rows`
    of `n` elements, and the block's weights begin at ``w[w0]``. `start` and `z` may be the same.
    """

    @intrinsic
    def tile(typingctx, rows, start, a, n, w, w0, z):
        def codegen(context, builder, sig, args):
            rows, _, _, n, w, w0, _ = args
            start, a, z = (_unpack(context, builder, sig.args[k], args[k]) for k in (1, 2, 6))
            w = offset(builder, data(context, builder, sig.args[4], w), w0)
            done = builder.append_basic_block("tile.done")
            switch = builder.switch(rows, done)
            for m in range(1, most_rows(vectors) + 1):
                case = builder.append_basic_block(f"tile.{m}")
                switch.add_case(ir.Constant(rows.type, m), case)
                builder.position_at_end(case)
                _emit_tile(builder, m, vectors, start, a, n, w, z)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return types.void(types.int64, start, a, types.int64, w, types.int64, z), codegen

    return tile


def make_product(vectors):
    """Return the kernel ``product(start, a, rows, n, w, w0, z)``: a tile over any number of rows, shared out evenly."""
    tile, largest = make_tile(vectors), most_rows(vectors)

    @kernel
    def product(start, a, rows, n, w, w0, z):
        tiles = (rows + largest - 1) // largest
        row = 0
        for i in range(tiles):
            m = (rows - row + tiles - i - 1) // (tiles - i)
            tile(
                m,
                Vectors(start.array, start.first + row * start.row, start.row, start.vector),
                Rows(a.array, a.first + row * a.row, a.row),
                n,
                w,
                w0,
                Vectors(z.array, z.first + row * z.row, z.row, z.vector),
            )
            row += m

    return product
