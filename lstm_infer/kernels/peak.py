"""What this CPU can do at best, as kernels: multiply-adds on registers alone, and reads of an array alone.

The yardsticks of the benchmark, made of the same instructions as the kernels they are held against. They do nothing
useful; only their time counts.
"""

from numba import types
from numba.extending import intrinsic

from .jit import kernel
from .vector import LANES, MACHINE, const, count, data, fma, load, offset, store

SUMS = MACHINE.registers - 4
"""Independent sums: more than any core's latency times its units, with room left for the two constants."""

NUMBERS = SUMS * LANES
"""float32 values in the registers of one round: the size of ``sums``, and the unit in which arrays are read."""


def _in_registers(context, builder, array_type, array, body, n):
    """Emit a loop of `n` rounds whose `SUMS` vectors begin and end in `array`."""
    pointer = data(context, builder, array_type, array)
    sums = [load(builder, pointer, LANES * s) for s in range(SUMS)]
    for s, value in enumerate(count(builder, n, sums, body)):
        store(builder, value, pointer, LANES * s)
    return context.get_dummy_value()


@intrinsic
def _multiply_add(typingctx, n, sums):
    def codegen(context, builder, sig, args):
        def body(k, sums):  # x/2 + 1 comes to rest at 2: neither denormal nor infinite, which some CPUs are slow on
            return [fma(builder, x, const(0.5), const(1)) for x in sums]

        return _in_registers(context, builder, sig.args[1], args[1], body, args[0])

    return types.void(types.int64, sums), codegen


@intrinsic
def _read(typingctx, array, first, step, n, sums):
    def codegen(context, builder, sig, args):
        array, first, step, n, sums = args
        begin = offset(builder, data(context, builder, sig.args[0], array), first)

        def body(k, sums):
            place = offset(builder, begin, builder.mul(k, step))
            return [builder.fadd(x, load(builder, place, LANES * s)) for s, x in enumerate(sums)]

        return _in_registers(context, builder, sig.args[4], sums, body, n)

    return types.void(array, types.int64, types.int64, types.int64, sums), codegen


@kernel
def multiply_add(n, sums):
    """Compute ``n * NUMBERS`` multiply-adds without touching memory; `sums` are `NUMBERS` float32 values."""
    _multiply_add(n, sums)


@kernel
def read(array, passes, sums):
    """Read `array`, of a multiple of `NUMBERS` float32 values, so many times: forwards and backwards in turn.

    So the kernels of a recurrent layer walk their weights, since what was read last is still in the cache.
    """
    n = array.size // NUMBERS
    for k in range(passes):
        if k % 2 == 0:
            _read(array, 0, NUMBERS, n, sums)
        else:
            _read(array, (n - 1) * NUMBERS, -NUMBERS, n, sums)
