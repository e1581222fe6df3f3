"""The simple recurrent cell: its parameters, one timestep and the fused loop over a sequence.

Equation (Keras ``layers/rnn/simple_rnn.py``): ``h' = f(x_t @ kernel + bias + h @ recurrent_kernel)``.
"""

from typing import NamedTuple

import numpy as np

from .activations import Activation, activate
from .jit import kernel
from .product import add_product
from .sequence import emit_masked


class SimpleRNNParams(NamedTuple):
    """The weights of a simple recurrent cell.

    Attributes
    ----------
    kernel : (features, units) array
    recurrent_kernel : (units, units) array
    bias : (units,) array
        Zeros where the cell has none.
    activation : Activation
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    activation: Activation


@kernel
def _step_row(x_t, params, h, z):
    """One timestep of one row, `h` in place; `z` is (units,) scratch."""
    z[:] = params.bias
    add_product(x_t, params.kernel, z)
    add_product(h, params.recurrent_kernel, z)
    activate(params.activation, z)
    h[:] = z


@kernel
def step(x_t, params, h):
    """One timestep.

    Parameters
    ----------
    x_t : (batch, features) array
    params : SimpleRNNParams
    h : (batch, units) array, changed in place
    """
    z = np.empty(params.bias.size, h.dtype)
    for row in range(x_t.shape[0]):
        _step_row(x_t[row], params, h[row], z)


@kernel
def sequence(x, mask, params, backwards, masked_output, h, y):
    """The fused loop over a sequence; parameters as in `lstm.sequence`, with one state."""
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
                _step_row(x[row, t], params, h[row], z)
                out[:] = h[row]
            previous = out
