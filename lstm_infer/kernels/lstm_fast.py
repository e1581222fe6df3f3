"""The LSTM on register tiles (float32): whole sequences and single steps, any batch, any units, masked or not.

Layout of the scratch, chosen so that no inner loop needs a mask and activations run over neighbours:

    w      [block][k of x, then h][gate][lane]      packed once; a block is LANES units
    bias   [gate][unit]                             units padded to whole vectors
    a, b   [row][x_t, then h]                       this timestep's and the next one's, by turns
    c      [block][row][lane]
    z      [gate][block][row][lane]                 of a few blocks at a time

Gates are in the order i, f, o, c here, so that those that share an activation are neighbours.

`sequence` takes one of two ways, whose results are the same bits:

* three rows or more: one product over [x_t ; h] per timestep;
* one or two rows: the weights arrive more slowly than they could be used, so the input product of a stretch of
  timesteps is made first, with timesteps as the rows of the tile; only the product over h remains inside the loop.

Odd timesteps walk the blocks backwards: the weights used last are then used first, while still in cache.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from .activate_vector import activate_vectors
from .activations import Activation
from .jit import kernel
from .product import add_product
from .sequence import PREVIOUS, STATE
from .tile import Rows, Vectors, make_product, pack
from .vector import LANES, aligned, count, data, fma, i64, load, offset, padded, store
from .vector_math import ON_VECTORS

GATES = 4
ORDER = (0, 1, 3, 2)
"""Keras's i, f, c, o in the order kept here."""
BLOCK = GATES * LANES
ROWS_AT_ONCE = 64
"""Rows that go through the whole sequence together, so that their state and scratch stay in the L2 cache."""
SLOTS = 32
"""Vectors per gate whose pre-activations are gathered before they are activated."""
FEW = 2
"""Rows up to which the input product is made ahead."""
STRETCH = 24
"""Timesteps whose input product is made ahead at once."""

product = make_product(GATES)


class LSTMWeights(NamedTuple):
    """Packed weights, read-only. w, bias : flat float32 arrays (layout: module docstring)."""

    w: np.ndarray
    bias: np.ndarray
    features: int
    units: int
    activation: Activation
    recurrent_activation: Activation


def pack_lstm(params):
    """Return the `LSTMWeights` of an `lstm.LSTMParams`."""
    features, units = params.kernel.shape[0], params.recurrent_kernel.shape[0]
    rows = np.concatenate([params.kernel, params.recurrent_kernel]).reshape(-1, GATES, units)[:, ORDER]
    bias = aligned(GATES, padded(units))
    bias[:] = 0
    bias[:, :units] = params.bias.reshape(GATES, units)[ORDER, :]
    return LSTMWeights(
        pack(rows, GATES), bias.reshape(-1), features, units, params.activation, params.recurrent_activation
    )


def knows(params):
    """Whether the fast path has what `params`, an `lstm.LSTMParams`, need: float32 and element-wise activations."""
    codes = (params.activation.code, params.recurrent_activation.code)
    return params.kernel.dtype == np.float32 and all(code in ON_VECTORS for code in codes)


# ---------------------------------------------------------------- the cell, vector by vector
@intrinsic
def _update_carry(typingctx, z, z0, gate, keep, rows, c, c0):
    """For one block: ``c = f * c + i * g``, and a copy of it where g was; rows with ``keep == 0`` keep their c."""

    def codegen(context, builder, sig, args):
        z, z0, gate, keep, rows, c, c0 = args
        z = offset(builder, data(context, builder, sig.args[0], z), z0)
        keep = data(context, builder, sig.args[3], keep)
        c = offset(builder, data(context, builder, sig.args[5], c), c0)

        def body(r, state):
            at = builder.mul(r, i64(LANES))
            i, f, g = (offset(builder, z, builder.add(at, builder.mul(gate, i64(m)))) for m in (0, 1, 3))
            old = load(builder, c, at)
            new = fma(builder, load(builder, f), old, builder.fmul(load(builder, i), load(builder, g)))
            real = builder.load(offset(builder, keep, r))
            new = builder.select(builder.icmp_unsigned("!=", real, real.type(0)), new, old)
            store(builder, new, c, at)
            store(builder, new, g)
            return []

        count(builder, rows, [], body)
        return context.get_dummy_value()

    return types.void(z, z0, gate, keep, rows, c, c0), codegen


@intrinsic
def _update_hidden(typingctx, z, o0, t0, keep, rows, old, old0, new, new0, row):
    """For one block: ``h = o * t`` into `new`, rows `row` elements apart; rows with ``keep == 0`` copy `old`."""

    def codegen(context, builder, sig, args):
        z, o0, t0, keep, rows, old, old0, new, new0, row = args
        z = data(context, builder, sig.args[0], z)
        keep = data(context, builder, sig.args[3], keep)
        old, new = (offset(builder, data(context, builder, sig.args[k], args[k]), args[k + 1]) for k in (5, 7))

        def body(r, state):
            at, place = builder.mul(r, i64(LANES)), builder.mul(r, row)
            o, t = (load(builder, z, builder.add(first, at)) for first in (o0, t0))
            real = builder.load(offset(builder, keep, r))
            real = builder.icmp_unsigned("!=", real, real.type(0))
            h = builder.select(real, builder.fmul(o, t), load(builder, old, place))
            store(builder, h, new, place)
            return []

        count(builder, rows, [], body)
        return context.get_dummy_value()

    return types.void(z, o0, t0, keep, rows, old, old0, new, new0, row), codegen


@kernel
def _finish(weights, z, gate, keep, rows, block, blocks, old, new, c):
    """Turn the pre-activations of `blocks` blocks from `block` on into `c` and `h`; gates are `gate` apart in z."""
    n = blocks * rows
    activate_vectors(weights.recurrent_activation, z, 0, 3 * n)
    activate_vectors(weights.activation, z, 3 * gate, n)
    for j in range(blocks):
        _update_carry(z, j * rows * LANES, gate, keep, rows, c, (block + j) * rows * LANES)
    activate_vectors(weights.activation, z, 3 * gate, n)
    for j in range(blocks):
        o, h = 2 * gate + j * rows * LANES, (block + j) * LANES
        _update_hidden(z, o, o + gate, keep, rows, old.array, old.first + h, new.array, new.first + h, new.row)


@kernel
def _step(weights, a, depth, rows, start, start_block, keep, old, new, c, z, backwards):
    """One timestep: ``z = start + a @ the last depth rows of w``, then the cell.

    Parameters
    ----------
    a : Rows
        What is multiplied: [x_t ; h], or h alone where `start` already holds the input product.
    depth : int
        Elements in a row of `a`.
    start : Vectors
        The bias, or the input product, of block 0; that of the next block is `start_block` elements on.
    keep : (rows,) uint8 array
        0 where the row's timestep is masked.
    old, new : Rows
        h before and after.
    c, z : flat arrays
    """
    blocks, full = (weights.units + LANES - 1) // LANES, weights.features + weights.units
    at_once = max(1, SLOTS // rows)
    groups = (blocks + at_once - 1) // at_once
    for i in range(groups):
        first = (groups - 1 - i if backwards else i) * at_once
        last = min(first + at_once, blocks)
        gate = (last - first) * rows * LANES
        for b in range(last - first):
            j = last - 1 - b if backwards else first + b
            product(
                Vectors(start.array, start.first + j * start_block, start.row, start.vector),
                a,
                rows,
                depth,
                weights.w,
                ((j + 1) * full - depth) * BLOCK,
                Vectors(z, (j - first) * rows * LANES, LANES, gate),
            )
        _finish(weights, z, gate, keep, rows, first, last - first, old, new, c)


# ---------------------------------------------------------------- single steps
@kernel
def step_fused(x_t, weights, h, c):
    """One timestep, implementation 2; parameters as in `lstm.step_fused`, with `LSTMWeights`."""
    batch, units = h.shape
    x = x_t.reshape(batch, 1, x_t.shape[1])
    y = np.empty((batch, 1, units), np.float32)
    sequence(x, np.empty((batch, 0), np.bool_), weights, False, PREVIOUS, h, c, y)


@kernel
def step_gates(x_t, gates, weights, h, c):
    """One timestep, implementation 1: one product per gate; as `lstm.step_gates`, with `LSTMWeights` too."""
    units, gate = h.shape[1], weights.bias.size // GATES
    z, s, c_packed = np.zeros(GATES * gate, np.float32), np.empty(2 * gate, np.float32), np.empty(gate, np.float32)
    keep = np.ones(1, np.uint8)
    for row in range(h.shape[0]):
        _load_state(h, c, row, 1, s, 0, gate, c_packed)
        for m in range(GATES):
            block = z[m * gate : m * gate + units]
            block[:] = gates.bias[ORDER[m]]
            add_product(x_t[row], gates.kernel[ORDER[m]], block)
            add_product(h[row], gates.recurrent_kernel[ORDER[m]], block)
        _finish(weights, z, gate, keep, 1, 0, gate // LANES, Rows(s, 0, gate), Rows(s, gate, gate), c_packed)
        _store_state(h, c, row, 1, s, gate, gate, c_packed)


# ---------------------------------------------------------------- sequences
@kernel
def _load_state(h, c, r0, rows, s, first, row, c_packed):
    """Bring `rows` rows of state from `r0` on into the scratch; padding becomes 0."""
    units = h.shape[1]
    c_packed[:] = 0
    for r in range(rows):
        at = first + r * row
        for j in range(units):
            s[at + j] = h[r0 + r, j]
            c_packed[(j // LANES * rows + r) * LANES + j % LANES] = c[r0 + r, j]


@kernel
def _store_state(h, c, r0, rows, s, first, row, c_packed):
    units = h.shape[1]
    for r in range(rows):
        at = first + r * row
        for j in range(units):
            h[r0 + r, j] = s[at + j]
            c[r0 + r, j] = c_packed[(j // LANES * rows + r) * LANES + j % LANES]


@kernel
def _load_mask(mask, t, r0, keep):
    if mask.shape[1] > 0:
        for r in range(keep.size):
            keep[r] = mask[r0 + r, t]


@kernel
def _write_output(n, masked_output, keep, r0, s, first, row, y):
    """Copy h to output `n`; the meaning of `masked_output` is in `sequence`."""
    units, slot = y.shape[2], min(n, y.shape[1] - 1)
    for r in range(keep.size):
        out = y[r0 + r, slot]
        if keep[r] != 0 or masked_output == STATE:
            at = first + r * row
            for j in range(units):
                out[j] = s[at + j]
        elif masked_output == PREVIOUS and n > 0:
            previous = y[r0 + r, min(n - 1, y.shape[1] - 1)]
            for j in range(units):
                out[j] = previous[j]
        else:
            out[:] = 0


@kernel
def _sequence_rows(x, mask, weights, backwards, masked_output, h, c, y, r0, rows):
    """Rows `r0` to ``r0 + rows``: one product over [x_t ; h] per timestep."""
    timesteps, features, units = x.shape[1], weights.features, weights.units
    # 16 elements more than needed: a row length of a power of two would put all rows into the same cache sets
    row = features + (units + LANES - 1) // LANES * LANES + 16
    half = rows * row
    s = np.empty(2 * half, np.float32)
    c_packed = np.empty((units + LANES - 1) // LANES * LANES * rows, np.float32)
    z = np.empty(max(SLOTS, rows) * BLOCK, np.float32)
    keep = np.ones(rows, np.uint8)
    bias = Vectors(weights.bias, 0, 0, weights.bias.size // GATES)
    _load_state(h, c, r0, rows, s, features, row, c_packed)
    now, then = 0, half
    for n in range(timesteps):
        t = timesteps - 1 - n if backwards else n
        for r in range(rows):
            at = now + r * row
            for k in range(features):
                s[at + k] = x[r0 + r, t, k]
        _load_mask(mask, t, r0, keep)
        old, new = Rows(s, now + features, row), Rows(s, then + features, row)
        _step(weights, Rows(s, now, row), features + units, rows, bias, LANES, keep, old, new, c_packed, z, n & 1 == 1)
        now, then = then, now
        _write_output(n, masked_output, keep, r0, s, now + features, row, y)
    _store_state(h, c, r0, rows, s, now + features, row, c_packed)


@kernel
def _project(x, weights, r0, rows, t0, step, n, z):
    """z[n][gate][block][row] = bias + the input product of `n` timesteps from `t0` on, in steps of `step`."""
    features, full = weights.features, weights.features + weights.units
    blocks = (weights.units + LANES - 1) // LANES
    vector = blocks * rows * LANES
    flat = x.reshape(x.size)
    for j in range(blocks):
        for r in range(rows):
            product(
                Vectors(weights.bias, j * LANES, 0, blocks * LANES),
                Rows(flat, ((r0 + r) * x.shape[1] + t0) * features, step * features),
                n,
                features,
                weights.w,
                j * full * BLOCK,
                Vectors(z, (j * rows + r) * LANES, GATES * vector, vector),
            )


@kernel
def _sequence_few(x, mask, weights, backwards, masked_output, h, c, y, r0, rows):
    """The same for one or two rows: the input product of a stretch of timesteps first, then that over h."""
    timesteps, units = x.shape[1], weights.units
    blocks = (units + LANES - 1) // LANES
    row, vector, stretch = blocks * LANES, blocks * rows * LANES, min(STRETCH, timesteps)
    s = np.empty(2 * rows * row, np.float32)
    c_packed = np.empty(rows * row, np.float32)
    z = np.empty(max(SLOTS, rows) * BLOCK, np.float32)
    ahead = np.empty(stretch * GATES * vector, np.float32)
    keep = np.ones(rows, np.uint8)
    _load_state(h, c, r0, rows, s, 0, row, c_packed)
    now, then = 0, rows * row
    for n in range(timesteps):
        t = timesteps - 1 - n if backwards else n
        if n % stretch == 0:
            _project(x, weights, r0, rows, t, -1 if backwards else 1, min(stretch, timesteps - n), ahead)
        _load_mask(mask, t, r0, keep)
        start = Vectors(ahead, n % stretch * GATES * vector, LANES, vector)
        old, new = Rows(s, now, row), Rows(s, then, row)
        _step(weights, old, units, rows, start, rows * LANES, keep, old, new, c_packed, z, n & 1 == 1)
        now, then = then, now
        _write_output(n, masked_output, keep, r0, s, now, row, y)
    _store_state(h, c, r0, rows, s, now, row, c_packed)


@kernel
def sequence(x, mask, weights, backwards, masked_output, h, c, y):
    """The fused loop over a sequence; parameters as in `lstm.sequence`, with `LSTMWeights`, all float32."""
    batch = x.shape[0]
    groups = (batch + ROWS_AT_ONCE - 1) // ROWS_AT_ONCE
    r0 = 0
    for i in range(groups):
        rows = (batch - r0) // (groups - i)
        if rows <= FEW and x.shape[1] > 1:
            _sequence_few(x, mask, weights, backwards, masked_output, h, c, y, r0, rows)
        else:
            _sequence_rows(x, mask, weights, backwards, masked_output, h, c, y, r0, rows)
        r0 += rows
