"""A compiled call shared out among threads without Python in between: who has just helped waits a little for more.

To wake a thread and to give it the GIL takes some 50 us, as long as a small model takes for a sequence. So a helper
that has nothing more to do lingers for about 100 us: it looks at a *mailbox*, where whoever wants help puts a kernel's
address and arguments. Only if nobody does it goes to sleep.

A mailbox is an int64 array: its state, whether the helper is wanted elsewhere, a kernel's address and its arguments.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .address import BUFFER, address, address_of, ask, pointer, read, write
from .barrier import X86, look, pause, wait
from .jit import inner, kernel
from .vector import I64, offset

AWAY, LINGERS, TAKEN, WORKS = range(4)
STATE, WANTED, CALL = range(3)
"""Places in a mailbox; from `CALL` on the address of a kernel and its nine arguments."""
SIZE = CALL + 10
LINGER = 4000 if X86 else 100_000
"""How often a helper looks before it goes: about 100 us."""


@intrinsic
def _change(typingctx, mailbox, old, new):
    """Set a mailbox's state if it is `old`, at once; return whether it was."""

    def codegen(context, builder, sig, args):
        state = offset(builder, pointer(builder, args[0], I64), ir.Constant(I64, STATE))
        return builder.extract_value(builder.cmpxchg(state, args[1], args[2], "acq_rel", "monotonic"), 1)

    return types.boolean(types.int64, types.int64, types.int64), codegen


@intrinsic
def _set(typingctx, mailbox, state):
    """Set a mailbox's state, after everything that was written before."""

    def codegen(context, builder, sig, args):
        place = offset(builder, pointer(builder, args[0], I64), ir.Constant(I64, STATE))
        builder.store_atomic(args[1], place, "release", align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@inner
def _compute(call):
    """Call the kernel that is written down at an address."""
    arguments = (
        read(call, 1), read(call, 2), read(call, 3), read(call, 4), read(call, 5),
        read(call, 6), read(call, 7), read(call, 8), read(call, 9),
    )  # fmt: skip
    ask(read(call, 0), arguments)


@kernel
def linger(mailbox):
    """Wait a while for calls and compute them; return when none comes, or when the helper is wanted elsewhere."""
    box, looks = address(mailbox), 0
    _set(box, LINGERS)
    while True:
        if look(box, STATE) == WORKS:
            _compute(box + 8 * CALL)
            _set(box, LINGERS)
            looks = 0
        if looks < LINGER and look(box, WANTED) == 0:
            pause()
            looks += 1
        elif _change(box, LINGERS, AWAY):
            return


@kernel
def share(mailboxes, calls):
    """Compute the first of some calls here, and the others where the mailboxes are, all at once.

    Parameters
    ----------
    mailboxes : int64 array
        Their number n and addresses.
    calls : (n + 1, 10) int64 array
        The address of a kernel that takes nine arguments, and these.

    Returns
    -------
    int
        0 if some helper does not linger: then nothing was computed. 1 otherwise.
    """
    boxes, call, number = address(mailboxes), address(calls), read(address(mailboxes), 0)
    for taken in range(1, number + 1):
        if not _change(read(boxes, taken), LINGERS, TAKEN):
            for other in range(1, taken):
                _set(read(boxes, other), LINGERS)
            return 0
    for part in range(1, number + 1):
        for n in range(10):
            write(read(boxes, part) + 8 * CALL, n, read(call + 80 * part, n))
        _set(read(boxes, part), WORKS)
    _compute(call)
    for part in range(1, number + 1):
        looks = 0
        while look(read(boxes, part), STATE) == WORKS:
            looks += 1
            wait(looks)
    return 1


@functools.cache
def compiled():
    """Return `linger` and `share`, functions to call without further ado."""
    return linger.compile(types.void(BUFFER)), share.compile(types.int64(BUFFER, BUFFER))


class Mailbox:
    """A helper's mailbox, for `threads`."""

    def __init__(self):
        self._numbers = np.zeros(SIZE, np.int64)
        self._linger, self.address = compiled()[0], address_of(self._numbers)

    def linger(self):
        """Wait a while for calls, and compute them."""
        self._linger(self._numbers)

    def want(self, is_wanted):
        """Say whether the helper is wanted elsewhere: then it does not linger."""
        self._numbers[WANTED] = is_wanted
