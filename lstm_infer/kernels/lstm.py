"""The LSTM: its parameters, one timestep (implementation 1 and 2) and the fused loop over a sequence.

Equations (Keras ``layers/rnn/lstm.py``; Hochreiter & Schmidhuber 1997), with ``f`` the activation, ``g`` the recurrent
activation, and gate blocks in the order i, f, c, o::

    z_i, z_f, z_c, z_o = x_t @ kernel + h @ recurrent_kernel + bias
    c' = g(z_f) * c + g(z_i) * f(z_c)
    h' = g(z_o) * f(c')
"""

from typing import NamedTuple

import numpy as np

from .activations import Activation, activate
from .jit import kernel
from .product import add_product
from .sequence import emit_masked


class LSTMParams(NamedTuple):
    """The weights of an LSTM cell.

    Attributes
    ----------
    kernel : (features, 4 * units) array
    recurrent_kernel : (units, 4 * units) array
    bias : (4 * units,) array
        Zeros where the cell has none.
    activation, recurrent_activation : Activation
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    activation: Activation
    recurrent_activation: Activation


class LSTMGateParams(NamedTuple):
    """The same weights with each gate's apart, as implementation 1 multiplies them.

    Attributes
    ----------
    kernel : (4, features, units) array
    recurrent_kernel : (4, units, units) array
    bias : (4, units) array
    activation, recurrent_activation : Activation
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    activation: Activation
    recurrent_activation: Activation


def split_gates(params):
    """Return `params` as `LSTMGateParams`."""

    def gates(array):
        return np.ascontiguousarray(np.moveaxis(array.reshape(*array.shape[:-1], 4, -1), -2, 0))

    kernel, recurrent_kernel, bias, *activations = params
    return LSTMGateParams(gates(kernel), gates(recurrent_kernel), gates(bias), *activations)


@kernel
def _update(z, params, h, c):
    """Finish a timestep of one row: `z` (4 * units,) pre-activations, scratch; `h` and `c` (units,) in place."""
    units = h.size
    activate(params.recurrent_activation, z[:units])
    activate(params.recurrent_activation, z[units : 2 * units])
    activate(params.activation, z[2 * units : 3 * units])
    activate(params.recurrent_activation, z[3 * units :])
    for j in range(units):
        c[j] = z[units + j] * c[j] + z[j] * z[2 * units + j]
        h[j] = c[j]
    activate(params.activation, h)
    for j in range(units):
        h[j] = z[3 * units + j] * h[j]


@kernel
def _step_row(x_t, params, h, c, z):
    z[:] = params.bias
    add_product(x_t, params.kernel, z)
    add_product(h, params.recurrent_kernel, z)
    _update(z, params, h, c)


@kernel
def step_fused(x_t, params, h, c):
    """One timestep, implementation 2: the four gates in one product.

    Parameters
    ----------
    x_t : (batch, features) array
    params : LSTMParams
    h, c : (batch, units) arrays, changed in place
    """
    z = np.empty(params.bias.size, h.dtype)
    for row in range(x_t.shape[0]):
        _step_row(x_t[row], params, h[row], c[row], z)


@kernel
def step_gates(x_t, params, h, c):
    """One timestep, implementation 1: one product per gate.

    Parameters
    ----------
    x_t : (batch, features) array
    params : LSTMGateParams
    h, c : (batch, units) arrays, changed in place
    """
    units = h.shape[1]
    z = np.empty(4 * units, h.dtype)
    for row in range(x_t.shape[0]):
        for gate in range(4):
            block = z[gate * units : (gate + 1) * units]
            block[:] = params.bias[gate]
            add_product(x_t[row], params.kernel[gate], block)
            add_product(h[row], params.recurrent_kernel[gate], block)
        _update(z, params, h[row], c[row])


@kernel
def sequence(x, mask, params, backwards, masked_output, h, c, y):
    """The fused loop over a sequence.

    Parameters
    ----------
    x : (batch, timesteps, features) C-contiguous array
    mask : (batch, timesteps) bool array
        True where a timestep counts; of shape (batch, 0) where all do.
    params : LSTMParams
    backwards : bool
        Begin at the last timestep. `y` is in order of processing all the same.
    masked_output : int
        What to emit at a masked timestep: a code of `sequence`.
    h, c : (batch, units) arrays
        Initial state; the final state on return.
    y : (batch, timesteps or 1, units) array, written
        The outputs, or only the last.
    """
    timesteps = x.shape[1]
    z = np.empty(params.bias.size, h.dtype)
    for row in range(x.shape[0]):
        y[row, 0] = 0
        previous = y[row, 0]
        for n in range(timesteps):
            t = timesteps - 1 - n if backwards else n
            out = y[row, min(n, y.shape[1] - 1)]
            if mask.shape[1] > 0 and not mask[row, t]:
                emit_masked(masked_output, previous, h[row], out)
            else:
                _step_row(x[row, t], params, h[row], c[row], z)
                out[:] = h[row]
            previous = out
