"""What all sequence loops share: the output of masked timesteps."""

from .jit import kernel

PREVIOUS, STATE, ZERO = 0, 1, 2
"""Emit the previous output (zeros before the first real timestep), the first state, or zeros."""


@kernel
def emit_masked(masked_output, previous, h, out):
    """Write the output of a masked timestep into `out`; `previous` may be the same memory."""
    if masked_output == PREVIOUS:
        out[:] = previous
    elif masked_output == STATE:
        out[:] = h
    else:
        out[:] = 0


@kernel
def fill_masked(mask, backwards, masked_output, h0, y):
    """Write the outputs of masked timesteps, and zeros where `y` is only the last output and no timestep was real.

    Parameters
    ----------
    mask : (batch, timesteps) bool array
    backwards : bool
        Whether `y` begins with the last timestep.
    masked_output : int
        A code of this module.
    h0 : (batch, units) array
        The first state before the first timestep.
    y : (batch, timesteps or 1, units) array
        The outputs at real timesteps, or the last of them; the rest is written.
    """
    timesteps, units = mask.shape[1], y.shape[2]
    for row in range(y.shape[0]):
        last = -1
        for n in range(timesteps):
            if mask[row, timesteps - 1 - n if backwards else n]:
                last = n
            elif y.shape[1] > 1 or n == timesteps - 1:
                slot = min(n, y.shape[1] - 1)
                if masked_output == ZERO or (masked_output == PREVIOUS and last < 0):
                    for j in range(units):
                        y[row, slot, j] = 0
                elif last < 0:
                    for j in range(units):
                        y[row, slot, j] = h0[row, j]
                elif y.shape[1] > 1:
                    for j in range(units):
                        y[row, slot, j] = y[row, last, j]
