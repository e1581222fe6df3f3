"""The end of a timestep: from a cell's sums to its new states, vector by vector.

Formulas: `lstm`, `gru`, `simple_rnn`. Every activation is known to the compiler, so a vector's whole update happens in
registers, and one vector's latencies hide behind the next one's arithmetic. The fused loop calls an update by its
address, so that it need not be compiled anew for every activation.

    z      [slot][unit vector][row][lane]
    c      [unit vector][row][lane]
    h      [row][unit], rows apart
"""

import functools
from typing import NamedTuple

from numba import types
from numba.extending import intrinsic

from .activations import SIGMOID, TANH
from .address import function_of, pointer
from .jit import kernel
from .vector import ALIGNMENT, I64, LANES, const, count, fma, i64, load, offset, prefetch, store
from .vector_math import ON_VECTORS, clip, exp_negative_and_one_more, tanh_parts

ROOM = 64.0
"""Limit of the exponent of a gate's power of two where it is multiplied by a denominator, which then is finite."""


def activation_of(builder, f):
    """Return the function of a vector that `Activation` `f` means."""
    parameters = [const(p) for p in (f.a, f.b, f.c)]
    return lambda x: ON_VECTORS[f.code](builder, x, *parameters)


def _gated(builder, g, gate, n, d=None):
    """Return ``g(gate) * n / d``, with one division where the gate is a sigmoid."""
    if g.code != SIGMOID:
        n = builder.fmul(activation_of(builder, g)(gate), n)
        return n if d is None else builder.fdiv(n, d)
    if d is None:
        return builder.fdiv(n, exp_negative_and_one_more(builder, gate)[1])
    return builder.fdiv(n, builder.fmul(d, exp_negative_and_one_more(builder, gate, ROOM)[1]))


def _gated_activation(builder, cell, gate, x):
    """Return ``g(gate) * f(x)``."""
    f, g = cell.activation, cell.recurrent_activation
    if f.code != TANH:
        return _gated(builder, g, gate, activation_of(builder, f)(x))
    product = _gated(builder, g, gate, *tanh_parts(builder, x))
    return clip(builder, product, const(-1.0), const(1.0)) if g.code == SIGMOID else product


def _carry(builder, cell, z, h, c):
    i, forget, candidate, _ = z
    kept = _gated(builder, cell.recurrent_activation, forget, c)
    return builder.fadd(kept, _gated_activation(builder, cell, i, candidate))


def _hidden(builder, cell, z, h, c):
    return _gated_activation(builder, cell, z[3], c)


def _interpolate(builder, cell, z, h, candidate):
    """``g(z) * h + (1 - g(z)) * candidate``; h itself, exactly, where the gate is 1."""
    g = cell.recurrent_activation
    if g.code == SIGMOID:  # g(z) = 1 / (1 + e), and so 1 - g(z) = e / (1 + e)
        e, more = exp_negative_and_one_more(builder, z)
        kept = builder.fdiv(const(1.0), more)
        # not (h + e * candidate) / (1 + e): e may be so large that a large candidate overflows
        return fma(builder, builder.fmul(e, kept), candidate, builder.fmul(kept, h))
    kept = activation_of(builder, g)(z)
    return fma(builder, kept, h, builder.fmul(builder.fsub(const(1.0), kept), candidate))


def _gru(builder, cell, z, h, c):
    inner, update, reset, recurrent = z
    inner = builder.fadd(_gated(builder, cell.recurrent_activation, reset, recurrent), inner)
    return _interpolate(builder, cell, update, h, activation_of(builder, cell.activation)(inner))


def _gru_reset_before(builder, cell, z, h, c):
    return _interpolate(builder, cell, z[1], h, activation_of(builder, cell.activation)(z[0]))


def _simple(builder, cell, z, h, c):
    return activation_of(builder, cell.activation)(z[0])


UPDATES = {"lstm": _hidden, "gru": _gru, "gru_reset_before": _gru_reset_before, "simple": _simple}
"""The new h from the sums, the old h, and c where the cell has it: the new one."""


def _places(builder, view, stride):
    """Return a function that gives the pointer to unit vector u of row r; vectors have room for `stride` rows."""

    def place(u, r):
        return offset(builder, view, builder.mul(builder.add(builder.mul(u, stride), r), i64(LANES)))

    return place


def in_rows(builder, address, row):
    """The same for rows that are `row` apart."""
    first = pointer(builder, address)

    def place(u, r):
        return offset(builder, first, builder.add(builder.mul(r, row), builder.mul(u, i64(LANES))))

    return place


def _sums(builder, cell, z, slot, stride):
    """Return a function that loads the sums of unit vector u and row r."""
    place = _places(builder, pointer(builder, z), stride)
    return lambda u, r: [load(builder, place(u, r), builder.mul(slot, i64(n))) for n in range(cell.slots)]


def store_some(builder, vector, target, n):
    """Store a vector, or its first `n` lanes if those are fewer."""
    with builder.if_else(builder.icmp_signed(">=", n, i64(LANES)), likely=True) as (whole, part):
        with whole:
            store(builder, vector, target)
        with part:

            def one(k, state):
                builder.store(builder.extract_element(vector, k), offset(builder, target, k))
                return []

            count(builder, n, [], one, name="lane")


class Update(NamedTuple):
    """The arguments of an update, in the order of the compiled functions; addresses, and numbers of floats.

    Attributes
    ----------
    vector, vectors, row, rows : int
        Which unit vectors and rows: the first of each, and how many.
    z, slot : int
        The sums of vector 0 and row 0; slots are `slot` apart.
    stride : int
        Rows that vectors in z and c have room for.
    c : int
        That of vector 0 and row 0; in place.
    old, new, row_length : int
        h before and after: row 0, and from row to row.
    y, writes : int
        The output, and int64s: row r of h is also written from element ``writes[r]`` of y on, unless that is negative.
    units : int
        In a row of y.
    """

    vector: int
    vectors: int
    row: int
    rows: int
    z: int
    slot: int
    stride: int
    c: int
    old: int
    new: int
    row_length: int
    y: int
    writes: int
    units: int


def _over_vectors(builder, given, body):
    """Emit ``body(u, r)`` for the vectors and rows of an `Update`."""
    vector, vectors, row, rows = given[:4]

    def over_rows(k, state):
        def one(r, state):
            body(builder.add(vector, k), builder.add(row, r))
            return []

        count(builder, rows, [], one, name="row")
        return []

    count(builder, vectors, [], over_rows, name="unit")


def _unpack(builder, cell, numbers):
    """Return an `Update` with functions of (u, r) in place of its addresses."""
    given = Update(*(builder.extract_value(numbers, k) for k in range(len(Update._fields))))
    return given._replace(
        z=_sums(builder, cell, given.z, given.slot, given.stride),
        c=_places(builder, pointer(builder, given.c), given.stride),
        old=in_rows(builder, given.old, given.row_length),
        new=in_rows(builder, given.new, given.row_length),
        y=pointer(builder, given.y),
        writes=pointer(builder, given.writes, I64),
    )


@intrinsic
def _update(typingctx, cell, numbers):

    def codegen(context, builder, sig, args):
        cell = sig.args[0].value
        given = _unpack(builder, cell, args[1])

        def new_c(u, r):
            c = load(builder, given.c(u, r))
            store(builder, _carry(builder, cell, given.z(u, r), None, c), given.c(u, r))

        def new_h(u, r):
            carry = load(builder, given.c(u, r)) if cell.kind == "lstm" else None
            h = UPDATES[cell.kind](builder, cell, given.z(u, r), load(builder, given.old(u, r)), carry)
            store(builder, h, given.new(u, r))
            to = builder.load(offset(builder, given.writes, r))
            with builder.if_then(builder.icmp_signed(">=", to, i64(0))):
                column = builder.mul(u, i64(LANES))
                place = offset(builder, given.y, builder.add(to, column))
                store_some(builder, h, place, builder.sub(given.units, column))

        # two loops, since the chain from z over c to h is longer than a core can look ahead
        if cell.kind == "lstm":
            _over_vectors(builder, given, new_c)
        _over_vectors(builder, given, new_h)
        return context.get_dummy_value()

    return types.void(cell, numbers), codegen


@intrinsic
def _reset(typingctx, cell, numbers):

    def codegen(context, builder, sig, args):
        cell = sig.args[0].value
        given = _unpack(builder, cell, args[1])

        def body(u, r):
            h = load(builder, given.old(u, r))
            store(builder, _gated(builder, cell.recurrent_activation, given.z(u, r)[2], h), given.new(u, r))

        _over_vectors(builder, given, body)
        return context.get_dummy_value()

    return types.void(cell, numbers), codegen


@kernel
def update(cell, a, b, c, d, e, f, g, h, i, j, k, m, n, o):
    """Write the new states of some unit vectors and rows; the numbers are an `Update`."""
    _update(cell, (a, b, c, d, e, f, g, h, i, j, k, m, n, o))


@kernel
def reset(cell, a, b, c, d, e, f, g, h, i, j, k, m, n, o):
    """The first half of a GRU with ``reset_after=False``: write ``g(r) * h`` into `new`."""
    _reset(cell, (a, b, c, d, e, f, g, h, i, j, k, m, n, o))


@functools.cache
def functions_of(cell):
    """Return the addresses of `update` and `reset` (0 where there is nothing to reset) for the `Constant` of a cell."""
    signature = types.void(cell.numba_type, *[types.int64] * len(Update._fields))
    first = function_of(reset, signature) if cell.value.kind == "gru_reset_before" else 0
    return function_of(update, signature), first


@intrinsic
def copy(typingctx, source, target, n):
    """Copy `n` floats from one address to another: vectors, then the rest one by one."""

    def codegen(context, builder, sig, args):
        source, target, n = pointer(builder, args[0]), pointer(builder, args[1]), args[2]

        def vector(k, state):
            at = builder.mul(k, i64(LANES))
            store(builder, load(builder, source, at), target, at)
            return []

        vectors = builder.ashr(n, i64(LANES.bit_length() - 1))
        count(builder, vectors, [], vector, name="vector")
        done = builder.mul(vectors, i64(LANES))
        rest = [offset(builder, p, done) for p in (source, target)]

        def single(k, state):
            builder.store(builder.load(offset(builder, rest[0], k)), offset(builder, rest[1], k))
            return []

        count(builder, builder.sub(n, done), [], single, name="single")
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i), codegen


@intrinsic
def fetch(typingctx, source, n):
    """Begin to bring `n` floats from an address on into the cache; they may be anywhere."""

    def codegen(context, builder, sig, args):
        source, line = pointer(builder, args[0]), ALIGNMENT // 4

        def one(k, state):
            prefetch(builder, offset(builder, source, builder.mul(k, i64(line))))
            return []

        lines = builder.sdiv(builder.add(args[1], i64(line - 1)), i64(line))
        count(builder, lines, [], one, name="line")
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def _activate(typingctx, cell, z, n):

    def codegen(context, builder, sig, args):
        f, z = activation_of(builder, sig.args[0].value.activation), pointer(builder, args[1])

        def body(k, state):
            place = offset(builder, z, builder.mul(k, i64(LANES)))
            store(builder, f(load(builder, place)), place)
            return []

        count(builder, args[2], [], body)
        return context.get_dummy_value()

    return types.void(cell, z, n), codegen


@kernel
def activate(cell, z, n):
    """Apply a cell's activation in place to `n` vectors from the address `z` on."""
    _activate(cell, z, n)


@functools.cache
def activation_function(cell):
    """Return the address of `activate` for the `Constant` of a cell."""
    return function_of(activate, types.void(cell.numba_type, types.int64, types.int64))
