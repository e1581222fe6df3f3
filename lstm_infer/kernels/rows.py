"""Timesteps of many sequences that lie anywhere in memory, copied into one batch, and answers copied back."""

import functools

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .address import VOID
from .jit import kernel


@intrinsic
def _copy(typingctx, target, source, size):
    """Copy bytes from an address to another."""

    def codegen(context, builder, sig, args):
        target, source = (builder.inttoptr(place, VOID) for place in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def _clear(typingctx, target, size):
    """Set bytes from an address on to zero."""

    def codegen(context, builder, sig, args):
        cgutils.memset(builder, builder.inttoptr(args[0], VOID), args[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@kernel
def gather(sequences, slots, done, counts, size, timesteps, batch):
    """Copy the next timesteps of some sequences into a batch; what a row has not is zero.

    Parameters
    ----------
    sequences, done : int64 arrays
        By slot: the address of a sequence, and how many of its timesteps are behind.
    slots, counts : (rows,) int64 arrays
        The slot of each row of the batch, and how many timesteps are copied.
    size : int
        Bytes of a timestep.
    timesteps : int
        Of the batch.
    batch : int
        The address of a (rows, timesteps, ...) array, written.
    """
    for row in range(slots.size):
        slot, target = slots[row], batch + row * timesteps * size
        _copy(target, sequences[slot] + done[slot] * size, counts[row] * size)
        if counts[row] < timesteps:
            _clear(target + counts[row] * size, (timesteps - counts[row]) * size)


@kernel
def scatter(sequences, slots, done, counts, size, timesteps, batch):
    """Copy the timesteps of a batch to where they belong in their sequences; parameters as those of `gather`."""
    for row in range(slots.size):
        slot, source = slots[row], batch + row * timesteps * size
        _copy(sequences[slot] + done[slot] * size, source, counts[row] * size)


@functools.cache
def compiled():
    """Return `gather` and `scatter`, functions to call without further ado."""
    i, numbers = types.int64, types.int64[::1]
    signature = types.void(numbers, numbers, numbers, numbers, i, i, i)
    return gather.compile(signature), scatter.compile(signature)
