"""One timestep of a line of layers in one compiled call: to call each from Python would take half of the time.

Every layer's own kernel is called by its address, with the arguments that a *program* tells: numbers, or arrays by
their place in a tuple. The tuple comes from Python as it is; its items are just what `Buffer` arguments are.
"""

import functools

import numpy as np
from numba import types
from numba.extending import intrinsic

from . import dense, fused
from .address import BUFFER, address, ask, call, pointer, read
from .jit import kernel
from .vector import I64, i64

WIDTH = 11
"""Numbers of a program per link: whether it is recurrent, the address of its function, and the arguments."""
ITEMS = tuple.__basicsize__
"""Bytes from the beginning of a tuple to its items."""


@intrinsic
def _argument(typingctx, program, n, arrays):
    """Return the n-th number of a program; where it is negative, the array in place -1 - number of the tuple."""

    def codegen(context, builder, sig, args):
        number = builder.load(builder.gep(pointer(builder, args[0], I64), [args[1]]))
        items = pointer(builder, builder.add(args[2], i64(ITEMS)), I64)
        is_place = builder.icmp_signed("<", number, i64(0))
        item = builder.load(builder.gep(items, [builder.select(is_place, builder.not_(number), i64(0))]))
        return builder.select(is_place, item, number)

    return types.int64(types.int64, types.int64, BUFFER), codegen


@kernel
def line(program, arrays):
    """Compute one timestep of every link in turn.

    Parameters
    ----------
    program : int64 array
        From `assemble`.
    arrays : tuple of arrays

    Returns
    -------
    int
        0 if some array does not fit: nothing after it was computed. 1 otherwise.
    """
    p = address(program)
    for link in range(read(p, 0)):
        n = 1 + link * WIDTH
        function, last = read(p, n + 1), _argument(p, n + 10, arrays)
        arguments = (
            _argument(p, n + 2, arrays), _argument(p, n + 3, arrays), _argument(p, n + 4, arrays),
            _argument(p, n + 5, arrays), _argument(p, n + 6, arrays), _argument(p, n + 7, arrays),
            _argument(p, n + 8, arrays), _argument(p, n + 9, arrays),
        )  # fmt: skip
        if read(p, n) == 0:
            call(function, arguments)
        elif ask(function, (*arguments, last)) == 0:
            return 0
    return 1


def recurrent_link(packed, job, places):
    """Return the numbers of a recurrent layer.

    Parameters
    ----------
    packed : packing.Packed
    job : int64 array
        A `Job`. Whoever uses the numbers keeps it and `packed` alive.
    places : list of int
        In the tuple: of x, h and c, the new h and c, y, and scratch.
    """
    return [1, fused.function(packed.loop), id(packed.weights), id(job), *(-1 - place for place in places)]


def dense_link(packed, activate, rows, places):
    """Return the numbers of a Dense layer; `places` of x, y, and scratch."""
    x, y, own = (-1 - place for place in places)
    arguments = [activate, x, y, rows, packed.features, packed.units, own]
    return [0, dense.function(packed.loop), id(packed.weights), *arguments, 0]


def assemble(links):
    """Return the program of some links."""
    return np.array([len(links), *(number for link in links for number in link)], np.int64)


@functools.cache
def compiled():
    """Return `line`, a function to call without further ado."""
    return line.compile(types.int64(BUFFER, BUFFER))
