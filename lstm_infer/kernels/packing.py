"""Weights as the fused kernels take them: one flat array per layer, made once, when the weights are set."""

from typing import NamedTuple

import numpy as np

from .constant import Constant
from .tile import Cell, pack, packed_size
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


def _packed(kind, wide, activations, bias, *parts, last=None):
    """Join a bias (slots, units), the packed parts, and a `last` part in blocks of four vectors."""
    slots, units = bias.shape
    padded = np.zeros((slots, -(-units // (LANES * wide)) * LANES * wide), np.float32)
    padded[:, :units] = bias
    end = padded.size + packed_size(*parts, wide=wide)
    weights = aligned(end + (packed_size(last, wide=4) if last else 0))
    weights[: padded.size] = padded.reshape(-1)
    pack(weights[padded.size : end], *parts, wide=wide)
    if last:
        pack(weights[end:], last, wide=4)
    weights.setflags(write=False)
    loop, cell = _constant(Cell(kind, wide)), _constant(Cell(kind, wide, *activations))
    return Packed(loop, cell, weights, len(parts[0][0]), units)


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
    parts = [np.split(w, 4, axis=1) for w in (kernel, recurrent_kernel)]
    return _packed("lstm", 1, (activation, recurrent_activation), bias.reshape(4, units), *parts)


def pack_lstm_gates(kernel, recurrent_kernel, bias):
    """Return the weights of an LSTM with each gate's apart, a (4, ...) array for `gates.step_gates`."""
    parts = [np.split(w, 4, axis=-1) for w in (kernel, recurrent_kernel, bias[None])]
    gates = [_packed("simple", 4, (), b, [k], [r]).weights for k, r, b in zip(*parts, strict=True)]
    packed = aligned(4, gates[0].size)
    packed[:] = gates
    packed.setflags(write=False)
    return packed


def pack_gru(kernel, recurrent_kernel, biases, activation, recurrent_activation, reset_after):
    """Return the `Packed` weights of a GRU; `biases` is (2, 3 * units)."""
    units = len(recurrent_kernel)
    (x_z, x_r, x_h), h = (np.split(w, 3, axis=1) for w in (kernel, recurrent_kernel))
    x = [x_h, x_z, x_r]
    (z, r, candidate), (rz, rr, recurrent) = biases.reshape(2, 3, units)
    activations = (activation, recurrent_activation)
    if reset_after:
        return _packed("gru", 1, activations, np.stack([candidate, z + rz, r + rr, recurrent]), x, h)
    return _packed("gru_reset_before", 1, activations, np.stack([candidate, z, r]), x, h[:2], last=h[2:])


def pack_simple(kernel, recurrent_kernel, bias, activation):
    """Return the `Packed` weights of a simple cell."""
    return _packed("simple", _wide(bias.size), (activation,), bias[None], [kernel], [recurrent_kernel])


def pack_dense(kernel, bias, activation):
    """Return the `Packed` weights of a Dense layer."""
    return _packed("simple", _wide(bias.size), (activation,), bias[None], [kernel])
