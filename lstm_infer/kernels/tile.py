"""The register tile: a few rows times the vectors of one block, every sum in one register from the start to the end.

A block is what one tile finishes; its sums are its *slots*, each a vector of `LANES` units:

* LSTM: the gates i, f, c, o of `LANES` units, each over [x ; h];
* GRU: the candidate's input sum, z, r, and the candidate's recurrent sum. The first is over x alone, the last over h;
* simple cells and Dense: up to four neighbouring vectors of units.

Weights are packed once as ``[block][k][slots that take part][lane]``, k over x, then h. Units are padded with zero
weights up to whole blocks, so that nothing inside needs a mask.

A sum begins at the bias (or at a partial sum read from memory) and takes one fused multiply-add per k, k ascending.
Rows and slots share no arithmetic, so a result is the same bits for every tile shape, and whether the sum was
interrupted and kept in memory as float32 or not.

The shape fills the register file and no more: ``rows * slots`` sums, the shorter side of the tile held in registers,
and one register through which the longer side passes. 6 rows x 4 slots use 29 of 32 registers, 3 x 4 all of 16; with
the longer side held instead LLVM spills, and the same tile runs at 44 % of the speed. One or two rows take two blocks
together (`pair`): 4 sums of one row would each wait for its own multiply-add before, at half the speed.

Nothing here is fetched ahead by an instruction: the CPU sees such streams coming, and the instructions cost one row up
to 15 % (measured on Zen 5, weights in the L2 cache or beyond).
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .activations import LINEAR, Activation
from .address import pointer
from .constant import get
from .jit import inner
from .vector import LANES, MACHINE, broadcast, count, fma, i64, load, offset, store

NOTHING = Activation(LINEAR)
MOST_ROWS = 8
"""Rows of a tile beyond which nothing is gained; each number of rows is compiled."""
MOST_ROWS_OF_PAIR = 2
"""The same where two blocks are computed together. Two multiply-adds a cycle, ready after four, need 8 sums or more."""


class Cell(NamedTuple):
    """What the compiler is told of a cell (or a Dense layer): hashable, the value of a `Constant`.

    Attributes
    ----------
    kind : str
        A key of `SLOTS`.
    wide : int
        Neighbouring unit vectors in a block.
    activation, recurrent_activation : Activation
    """

    kind: str
    wide: int
    activation: Activation = NOTHING
    recurrent_activation: Activation = NOTHING

    @property
    def slots(self):
        """Sums of a unit vector."""
        return len(set(sum(SLOTS[self.kind], ())))

    @property
    def x_slots(self):
        return SLOTS[self.kind][0] if self.wide == 1 else tuple(range(self.wide))

    @property
    def h_slots(self):
        return SLOTS[self.kind][1] if self.wide == 1 else tuple(range(self.wide))

    @property
    def sums(self):
        """Sums of a block."""
        return self.slots * self.wide

    @property
    def x_width(self):
        """Floats in a block's weights for one element of x."""
        return len(self.x_slots) * LANES

    @property
    def h_width(self):
        return len(self.h_slots) * LANES

    @property
    def grain(self):
        """Unit vectors that one thread must compute together."""
        return 4 if self.kind == "gru_reset_before" else self.wide

    @property
    def carries(self):
        """Whether it has a carry state c besides h."""
        return self.kind == "lstm"

    @property
    def meetings(self):
        """How often threads that share a timestep must meet in it."""
        return 2 if self.kind == "gru_reset_before" else 1

    @property
    def most_rows(self):
        """Rows of the largest tile that stays in registers."""
        return max(1, self._rows_in_registers(1, MOST_ROWS))

    @property
    def most_rows_of_pair(self):
        """Rows for which two blocks are computed at a time."""
        return self._rows_in_registers(2, MOST_ROWS_OF_PAIR)

    def _rows_in_registers(self, blocks, most):
        """How many rows of some blocks, `most` at most, leave one register free."""
        sums = blocks * self.sums
        fit = (n for n in range(1, most + 1) if n * sums + min(n, sums) + 1 <= MACHINE.registers)
        return max(fit, default=0)


SLOTS = {  # kind -> the slots that take part in the product over x, and in that over h
    "lstm": ((0, 1, 2, 3), (0, 1, 2, 3)),
    "gru": ((0, 1, 2), (1, 2, 3)),
    "gru_reset_before": ((0, 1, 2), (1, 2)),
    "simple": ((0,), (0,)),
}


class Rows(NamedTuple):
    """Rows of floats: row r begins at ``address + 4 * r * row``."""

    address: int
    row: int


class Vectors(NamedTuple):
    """Vectors of floats: slot v of row r begins at ``address + 4 * (r * row + v * slot)``."""

    address: int
    row: int
    slot: int


class Apart(NamedTuple):
    """Floats from one block to its neighbour."""

    start: int
    w: int
    z: int


def packed_size(*parts, wide=1):
    """Return how many numbers `pack` writes for these parts."""
    width = LANES * wide
    return sum(len(part) * len(part[0]) for part in parts) * -(-parts[0][0].shape[1] // width) * width


def pack(out, *parts, wide=1):
    """Write weights as tiles read them, straight from where they are.

    Parameters
    ----------
    out : (packed_size,) float32 array
    *parts : lists of (k, units) arrays, one for each slot
        The slots that take part may differ from part to part: x, then h.
    wide : int
        Neighbouring unit vectors in a block, each a slot of its own (the parts then have one).
    """
    units, width = parts[0][0].shape[1], LANES * wide
    whole, blocks = units // width, -(-units // width)
    out, at = out.reshape(blocks, -1), 0
    for part in parts:
        k = len(part[0])
        size = k * len(part) * width
        to = out[:, at : at + size].reshape(blocks, k, len(part), wide, LANES)
        for slot, weights in enumerate(part):
            to[:whole, :, slot] = weights[:, : whole * width].reshape(k, whole, wide, LANES).transpose(1, 0, 2, 3)
            if whole < blocks:
                last = np.zeros((k, width), np.float32)
                last[:, : units - whole * width] = weights[:, whole * width :]
                to[whole, :, slot] = last.reshape(k, wide, LANES)
        at += size


# ---------------------------------------------------------------- emitting
def _accumulate(builder, sums, rows, a, n, blocks, slots, of):
    """Return ``sums[b, r, v] + sum over k < n of a[r, k] * blocks[b][k, v]`` for v in `slots` of a row's `of` sums.

    `blocks` are pointers to the weights of one block or of neighbouring ones.
    """
    width = len(slots) * LANES

    def body(k, sums):
        sums = list(sums)
        w = [offset(builder, block, builder.mul(k, i64(width))) for block in blocks]
        values = [lambda r=r: broadcast(builder, builder.load(offset(builder, a[r], k))) for r in range(rows)]
        weights = [lambda w_k=w_k, v=v: load(builder, w_k, v * LANES) for w_k in w for v in range(len(slots))]
        rows_are_held = rows <= len(slots)
        held, passing = (values, weights) if rows_are_held else (weights, values)
        held = [read() for read in held]
        for m, read in enumerate(passing):
            one = read()
            for n, other in enumerate(held):
                r, v = (n, m) if rows_are_held else (m, n)
                at = (v // len(slots) * rows + r) * of + slots[v % len(slots)]
                sums[at] = fma(builder, one, other, sums[at])
        return sums

    return count(builder, n, sums, body, name="k")


def _unpack(builder, value, n):
    """Return (pointer, strides...) of a `Rows` or `Vectors`."""
    first, *strides = (builder.extract_value(value, k) for k in range(n))
    return pointer(builder, first), *strides


def _emit_tile(builder, cell, rows, start, a, n_x, n_h, w, z, blocks):
    """Emit a tile of some rows and neighbouring blocks; `start`, `w`, `z` end with the floats from block to block."""

    def places(view):
        first, row, slot, block = view
        in_row, in_slot, in_block = (
            [builder.mul(stride, i64(n)) for n in range(most)]
            for stride, most in ((row, rows), (slot, cell.sums), (block, blocks))
        )
        return [
            offset(builder, first, builder.add(builder.add(in_row[r], in_slot[v]), in_block[b]))
            for b in range(blocks)
            for r in range(rows)
            for v in range(cell.sums)
        ]

    first, row = a
    a = [offset(builder, first, builder.mul(row, i64(r))) for r in range(rows)]
    w = [offset(builder, w[0], builder.mul(w[1], i64(b))) for b in range(blocks)]
    sums = [load(builder, place) for place in places(start)]
    if cell.x_slots == cell.h_slots:
        sums = _accumulate(builder, sums, rows, a, builder.add(n_x, n_h), w, cell.x_slots, cell.sums)
    else:
        sums = _accumulate(builder, sums, rows, a, n_x, w, cell.x_slots, cell.sums)
        a = [offset(builder, p, n_x) for p in a]
        w = [offset(builder, p, builder.mul(n_x, i64(cell.x_width))) for p in w]
        sums = _accumulate(builder, sums, rows, a, n_h, w, cell.h_slots, cell.sums)
    for value, place in zip(sums, places(z), strict=True):
        store(builder, value, place)


def _emit_tiles(builder, rows, most, emit):
    """Emit ``emit(m)`` for every number of rows up to `most`, and what chooses among them."""
    done = builder.append_basic_block("tile.done")
    switch = builder.switch(rows, done)
    for m in range(1, most + 1):
        case = builder.append_basic_block(f"tile.{m}")
        switch.add_case(ir.Constant(rows.type, m), case)
        builder.position_at_end(case)
        emit(m)
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def tile(typingctx, cell, rows, start, a, n_x, n_h, w, z):
    """Write ``z = start + a @ w`` for 1 to ``cell.most_rows`` rows.

    `start` and `z` are `Vectors`, and may be the same; `a` is `Rows` of `n_x` elements of x, then `n_h` of h; `w` is
    the address of the block's weights for the first of them.
    """

    def codegen(context, builder, sig, args):
        _, rows, start, a, n_x, n_h, w, z = args
        start, a, z = (*_unpack(builder, start, 3), i64(0)), _unpack(builder, a, 2), (*_unpack(builder, z, 3), i64(0))
        w, cell = (pointer(builder, w), i64(0)), sig.args[0].value
        _emit_tiles(builder, rows, cell.most_rows, lambda m: _emit_tile(builder, cell, m, start, a, n_x, n_h, w, z, 1))
        return context.get_dummy_value()

    i = types.int64
    return types.void(cell, i, start, a, i, i, i, z), codegen


@intrinsic
def pair(typingctx, cell, rows, start, a, n_x, n_h, w, z, apart):
    """The same for two neighbouring blocks and 1 to ``cell.most_rows_of_pair`` rows.

    `apart` is an `Apart`.
    """

    def codegen(context, builder, sig, args):
        _, rows, start, a, n_x, n_h, w, z, apart = args
        of_start, of_w, of_z = (builder.extract_value(apart, n) for n in range(3))
        start, a, z = (*_unpack(builder, start, 3), of_start), _unpack(builder, a, 2), (*_unpack(builder, z, 3), of_z)
        w, cell = (pointer(builder, w), of_w), sig.args[0].value
        most = cell.most_rows_of_pair
        _emit_tiles(builder, rows, most, lambda m: _emit_tile(builder, cell, m, start, a, n_x, n_h, w, z, 2))
        return context.get_dummy_value()

    i = types.int64
    return types.void(cell, i, start, a, i, i, i, z, apart), codegen


@inner
def product(cell, start, a, rows, n_x, n_h, w, z):
    """A tile over any number of rows, shared out evenly."""
    largest = get(cell, "most_rows")
    tiles = (rows + largest - 1) // largest
    for k in range(tiles):
        r0, r1 = rows * k // tiles, rows * (k + 1) // tiles
        some = Vectors(start.address + 4 * r0 * start.row, start.row, start.slot)
        to = Vectors(z.address + 4 * r0 * z.row, z.row, z.slot)
        tile(cell, r1 - r0, some, Rows(a.address + 4 * r0 * a.row, a.row), n_x, n_h, w, to)
