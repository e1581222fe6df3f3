"""Weights as the fused kernels take them: one flat array per layer, made once, when the weights are set."""

from typing import NamedTuple

import numpy as np

from .constant import Constant
from .tile import Cell, pack
from .vector import LANES, aligned
from .vector_math import ON_VECTORS


class Packed(NamedTuple):
    """A layer's weights, read-only, and what the compiler is told of it.

    Attributes
    ----------
    loop : Constant
        The `tile.Cell` without its activations: what the fused loop, or Dense, is compiled for.
    cell : Constant
        With them: what its end is compiled for.
    weights : flat float32 array
        The bias ``[slot][unit]``, units padded to whole blocks, then what `tile.pack` returns.
    features, units : int
    """

    loop: Constant
    cell: Constant
    weights: np.ndarray
    features: int
    units: int


def knows(dtype, *activations):
    """Whether the fused kernels have what a layer needs: float32, and activations that look at one number at a time."""
    return dtype == np.float32 and all(f.code in ON_VECTORS for f in activations)


def _packed(kind, wide, activations, bias, *parts, last=()):
    """Join a bias (slots, units) and the packed parts (k, slots, units)."""
    slots, units = bias.shape
    padded = np.zeros((slots, -(-units // (LANES * wide)) * LANES * wide), np.float32)
    padded[:, :units] = bias
    pieces = [padded.reshape(-1), pack(*parts, wide=wide), *last]
    weights = aligned(sum(piece.size for piece in pieces))
    np.concatenate(pieces, out=weights)
    weights.setflags(write=False)
    loop, cell = _constant(Cell(kind, wide)), _constant(Cell(kind, wide, *activations))
    return Packed(loop, cell, weights, parts[0].shape[0], units)


_constants = {}


def _constant(cell):
    return _constants.setdefault(cell, Constant(cell))


def activation_cell(activation):
    """Return the `Constant` of a cell with an activation, for ``update.activate``."""
    return _constant(Cell("simple", 1, activation))


def _wide(units):
    """How many unit vectors make a block of a layer with one sum per unit."""
    return min(4, 1 << (-(-units // LANES) - 1).bit_length())


def pack_lstm(kernel, recurrent_kernel, bias, activation, recurrent_activation):
    """Return the `Packed` weights of an LSTM; arrays as Keras has them."""
    units = len(recurrent_kernel)
    parts = [w.reshape(-1, 4, units) for w in (kernel, recurrent_kernel)]
    return _packed("lstm", 1, (activation, recurrent_activation), bias.reshape(4, units), *parts)


def pack_lstm_gates(kernel, recurrent_kernel, bias):
    """Return the weights of an LSTM with each gate's apart, a (4, ...) array for `gates.step_gates`."""
    parts = [np.split(w, 4, axis=-1) for w in (kernel, recurrent_kernel, bias[None])]
    gates = [_packed("simple", 4, (), b, *(w[:, None] for w in (k, r))).weights for k, r, b in zip(*parts, strict=True)]
    packed = aligned(4, gates[0].size)
    packed[:] = gates
    packed.setflags(write=False)
    return packed


def pack_gru(kernel, recurrent_kernel, biases, activation, recurrent_activation, reset_after):
    """Return the `Packed` weights of a GRU; `biases` is (2, 3 * units)."""
    units = len(recurrent_kernel)
    x, h = (w.reshape(-1, 3, units) for w in (kernel, recurrent_kernel))
    (z, r, candidate), (rz, rr, recurrent) = biases.reshape(2, 3, units)
    activations = (activation, recurrent_activation)
    if reset_after:
        return _packed("gru", 1, activations, np.stack([candidate, z + rz, r + rr, recurrent]), x[:, [2, 0, 1]], h)
    parts, last = (x[:, [2, 0, 1]], h[:, :2]), pack(h[:, 2:], wide=4)
    return _packed("gru_reset_before", 1, activations, np.stack([candidate, z, r]), *parts, last=[last])


def pack_simple(kernel, recurrent_kernel, bias, activation):
    """Return the `Packed` weights of a simple cell."""
    parts = [w[:, None] for w in (kernel, recurrent_kernel)]
    return _packed("simple", _wide(bias.size), (activation,), bias[None], *parts)


def pack_dense(kernel, bias, activation):
    """Return the `Packed` weights of a Dense layer."""
    return _packed("simple", _wide(bias.size), (activation,), bias[None], kernel[:, None])
