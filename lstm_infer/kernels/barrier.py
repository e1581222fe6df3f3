"""Where threads that share a call meet: an atomic counter, and waiting that never hogs a core for long.

A thread that waits spins for some ten microseconds, then gives its core away between looks, and after about a
millisecond sleeps between them: more threads than cores come to an end, and nobody waits busily for long. It must not
sleep sooner: waking takes longer than a timestep, so the others would sleep by then, and each timestep would cost
everybody a nap. Whoever cannot come sets the second number, which sends all others home.
"""

import os

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .address import pointer
from .jit import inner
from .vector import I32, I64, i64, offset

SPINS, YIELDS = 400, 2000
YIELD, SLEEP, NAP = ("SwitchToThread", "Sleep", 0) if os.name == "nt" else ("sched_yield", "usleep", 10)
"""The system's functions, and how long to sleep: milliseconds on Windows, elsewhere microseconds."""
X86 = "86" in cpu_target.target_context.codegen().magic_tuple()[0]


@intrinsic
def _arrive(typingctx, meeting):
    """Add 1 to the counter."""

    def codegen(context, builder, sig, args):
        counter = pointer(builder, args[0], I64)
        builder.atomic_rmw("add", counter, i64(1), "seq_cst")
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def look(typingctx, meeting, n):
    """Read one of the numbers, and everything that others wrote before they changed it."""

    def codegen(context, builder, sig, args):
        counter = pointer(builder, args[0], I64)
        return builder.load_atomic(offset(builder, counter, args[1]), "acquire", align=8)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Tell the core that this is a waiting loop."""

    def codegen(context, builder, sig, args):
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _give_away(typingctx):
    """Let another thread have the core."""

    def codegen(context, builder, sig, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(I32, []), YIELD)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _nap(typingctx):
    """Sleep a little."""

    def codegen(context, builder, sig, args):
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(I32, [I32]), SLEEP)
        builder.call(function, [ir.Constant(I32, NAP)])
        return context.get_dummy_value()

    return types.void(), codegen


@inner
def meet(meeting, parts, times):
    """Wait until all parts have come here for the `times`-th time; return whether all came.

    Parameters
    ----------
    meeting : int
        Address of two int64: the counter, and whether somebody will not come.
    """
    if parts == 1:
        return True
    _arrive(meeting)
    looks = 0
    while look(meeting, 0) < times * parts:
        if look(meeting, 1) != 0:
            return False
        looks += 1
        wait(looks)
    return True


@inner
def wait(looks):
    """Wait a little after having looked so many times."""
    if looks < SPINS:
        pause()
    elif looks < SPINS + YIELDS:
        _give_away()
    else:
        _nap()
