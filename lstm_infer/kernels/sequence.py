"""What all sequence loops share: the output of a masked timestep."""

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
