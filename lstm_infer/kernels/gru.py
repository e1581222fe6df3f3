"""The GRU: its parameters, one timestep and the fused loop over a sequence.

Equations (Keras ``layers/rnn/gru.py``; Cho et al. 2014), with ``f`` the activation, ``g`` the recurrent activation, and
gate blocks in the order z, r, h::

    z, r = g(x_t @ kernel[z, r] + bias[z, r] + h @ recurrent_kernel[z, r] + recurrent_bias[z, r])
    reset_after=False:  n = f(x_t @ kernel[h] + bias[h] + (r * h) @ recurrent_kernel[h])
    reset_after=True:   n = f(x_t @ kernel[h] + bias[h] + r * (h @ recurrent_kernel[h] + recurrent_bias[h]))
    h' = z * h + (1 - z) * n
"""

from typing import NamedTuple

import numpy as np

from .activations import Activation, activate
from .jit import kernel
from .product import add_product
from .sequence import emit_masked


class GRUParams(NamedTuple):
    """The weights of a GRU cell.

    Attributes
    ----------
    kernel : (features, 3 * units) array
    recurrent_gates : (units, 2 * units) array
        The blocks z and r of the recurrent kernel.
    recurrent_candidate : (units, units) array
        Its block h: apart, since ``reset_after=False`` multiplies it by another vector.
    bias, recurrent_bias : (3 * units,) arrays
        Zeros where the cell has none.
    activation, recurrent_activation : Activation
    reset_after : bool
    """

    kernel: np.ndarray
    recurrent_gates: np.ndarray
    recurrent_candidate: np.ndarray
    bias: np.ndarray
    recurrent_bias: np.ndarray
    activation: Activation
    recurrent_activation: Activation
    reset_after: bool


@kernel
def _step_row(x_t, params, h, z, s):
    """One timestep of one row, `h` in place; `z` and `s` are (3 * units,) scratch."""
    units = h.size
    z[:] = params.bias
    s[:] = params.recurrent_bias
    add_product(x_t, params.kernel, z)
    add_product(h, params.recurrent_gates, s[: 2 * units])
    for j in range(2 * units):
        z[j] += s[j]
    activate(params.recurrent_activation, z[:units])
    activate(params.recurrent_activation, z[units : 2 * units])
    candidate, inner = z[2 * units :], s[2 * units :]
    if params.reset_after:
        add_product(h, params.recurrent_candidate, inner)
        for j in range(units):
            candidate[j] += z[units + j] * inner[j]
    else:
        for j in range(units):
            s[j] = z[units + j] * h[j]
        add_product(s[:units], params.recurrent_candidate, candidate)
    activate(params.activation, candidate)
    for j in range(units):
        h[j] = z[j] * h[j] + (1 - z[j]) * candidate[j]


@kernel
def step(x_t, params, h):
    """One timestep.

    Parameters
    ----------
    x_t : (batch, features) array
    params : GRUParams
    h : (batch, units) array, changed in place
    """
    z, s = np.empty(params.bias.size, h.dtype), np.empty(params.bias.size, h.dtype)
    for row in range(x_t.shape[0]):
        _step_row(x_t[row], params, h[row], z, s)


@kernel
def sequence(x, mask, params, backwards, masked_output, h, y):
    """The fused loop over a sequence; parameters as in `lstm.sequence`, with one state."""
    timesteps = x.shape[1]
    z, s = np.empty(params.bias.size, h.dtype), np.empty(params.bias.size, h.dtype)
    for row in range(x.shape[0]):
        y[row, 0] = 0
        previous = y[row, 0]
        for n in range(timesteps):
            t = timesteps - 1 - n if backwards else n
            out = y[row, min(n, y.shape[1] - 1)]
            if mask.shape[1] > 0 and not mask[row, t]:
                emit_masked(masked_output, previous, h[row], out)
            else:
                _step_row(x[row, t], params, h[row], z, s)
                out[:] = h[row]
            previous = out
