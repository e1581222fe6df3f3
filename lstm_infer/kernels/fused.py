"""The fused sequence loop on register tiles (float32), for every cell: any batch, any units, ragged or not.

A call takes a number of rows, longest first, and for each how many timesteps it really has. Rows whose sequence has
ended leave, so the time follows the number of real timesteps; there are no masks here. The scratch is laid out so that
no inner loop needs one for the padding either, and the cell update runs over neighbours:

    weights  bias [slot][unit], units padded to whole blocks; then [block][k of x, then h][slot][lane] (tile.py)
    shared   [half][row][x_t, then h]: this timestep's and the next one's, by turns
    own      c [unit vector][row][lane]; z [slot][unit vector][row][lane], of a few unit vectors at a time; ...

A timestep goes one of two ways, whose results are the same bits:

* many rows: one product over [x_t ; h];
* few rows: the weights arrive more slowly than they could be used, so the input product of a stretch of timesteps is
  made first, with timesteps as the rows of the tile; only the product over h remains inside the loop.

Odd timesteps walk the blocks backwards: the weights used last are then used first, while still in cache.

Several threads may share a call: each computes some of the unit vectors of every timestep, and all meet before the
next. Everything is an address or a number here (address.py); numbers of floats unless said otherwise.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from .address import BUFFER, Kinds, address, call, fits, function_of, read, write
from .barrier import meet
from .constant import Constant, get
from .jit import inner, kernel
from .job import APART, STRETCH, Job, layout
from .tile import Apart, Cell, Rows, Vectors, pair, product
from .update import Update, copy, fetch
from .vector import LANES

AT_ONCE = 32
"""Vectors per slot whose sums are gathered before the cell is updated, where there are few rows."""
TILES_AT_ONCE = 6
"""Tiles of rows whose sums are gathered before the cell is updated, where there are many."""
QUAD = Constant(Cell("simple", 4))
"""Four unit vectors in one tile: the candidate's recurrent product where the reset gate comes before it."""


class Work(NamedTuple):
    """A `Layout` with addresses.

    Attributes
    ----------
    bias, w, x, y : int
        Addresses.
    s, own : int
        Addresses of the shared scratch and the thread's own.
    reads, writes : int
        Addresses of int64s: where in x each row's next timestep begins, where in y its output goes; -1 for nowhere.
    """

    bias: int
    w: int
    x: int
    y: int
    s: int
    own: int
    reads: int
    writes: int


class Sums(NamedTuple):
    """What the sums of a timestep begin with and take.

    Attributes
    ----------
    start : Vectors
        The bias, or the input product: that of the thread's first unit vector.
    vector : int
        Floats from there to that of the next one.
    a : Rows
        [x_t ; h], or h alone.
    n_x : int
        Elements of x in it.
    """

    start: Vectors
    vector: int
    a: Rows
    n_x: int


class Step(NamedTuple):
    """One timestep: its number, the rows that have it, the addresses of the halves that hold it and the next one."""

    n: int
    active: int
    now: int
    then: int


@inner
def _slot(cell, at, rows):
    """Floats from slot to slot of this thread's vectors, in an array with room for so many rows."""
    return at.vectors * rows * LANES if get(cell, "wide") == 1 else rows * LANES


@inner
def _padded_units(cell, job):
    vector = LANES * get(cell, "wide")
    return (job.units + vector - 1) // vector * vector


@inner
def _block(cell, job):
    """Floats in the weights of a block."""
    return job.features * get(cell, "x_width") + job.units * get(cell, "h_width")


@inner
def _weights(cell, job, at, work, u):
    """Address of the weights of this thread's unit vector u."""
    return work.w + 4 * ((at.first + u) // get(cell, "wide") * _block(cell, job))


@inner
def _bias(cell, job, at, work):
    """The bias, for any row."""
    slot = _padded_units(cell, job) if get(cell, "wide") == 1 else LANES
    return Vectors(work.bias + 4 * at.first * LANES, 0, slot)


# ---------------------------------------------------------------- in and out
@inner
def _row(job, r):
    return job.row + (read(job.order, r) if job.order != 0 else r)


@inner
def _state_row(job, r):
    return read(job.slots, _row(job, r)) if job.slots != 0 else _row(job, r)


@inner
def _count(job, r):
    return read(job.order, job.rows + r) if job.order != 0 else job.timesteps


@inner
def _time(job, r, n):
    """Return the n-th timestep to be computed of row r."""
    k = _count(job, r) - 1 - n if job.backwards != 0 else n
    return read(job.times, read(job.order, 2 * job.rows + r) + k) if job.times != 0 else k


@inner
def _x_of(job, r, n):
    """Where in x the n-th timestep of row r begins."""
    return (_row(job, r) * job.timesteps + _time(job, r, n)) * job.features


@inner
def _y_of(job, r, n):
    """Where in y its output goes: in order of processing, or where only the last is asked for; -1 if nowhere."""
    if job.outputs == 0 or (job.outputs == 1 and _count(job, r) > n + 1):
        return -1
    t = _time(job, r, n)
    slot = min(job.timesteps - 1 - t if job.backwards != 0 else t, job.outputs - 1)
    return (_row(job, r) * job.outputs + slot) * job.units


@inner
def _copy_state(cell, job, at, work, r, half, h, c, is_store):
    """Bring this thread's units of row r's state from h and c to the scratch, or back."""
    column, n = at.first * LANES, min(job.units - at.first * LANES, at.vectors * LANES)
    outside, inside = 4 * (_state_row(job, r) * job.units + column), half + 4 * (at.h + r * at.row + column)
    if is_store:
        copy(inside, h + outside, n)
    else:
        copy(h + outside, inside, n)
    if get(cell, "carries") == 1:
        for j in range(0, n, LANES):
            packed, some = work.own + 4 * (j // LANES * job.rows + r) * LANES, min(LANES, n - j)
            if is_store:
                copy(packed, c + outside + 4 * j, some)
            else:
                copy(c + outside + 4 * j, packed, some)


@inner
def _load_x(job, at, work, step, first, last):
    """Bring x of the next timestep for the rows from `first` to `last`, and begin to fetch that of the one after it."""
    further = -job.features if job.backwards != 0 else job.features
    for r in range(first, last):
        place = read(work.reads, r)
        if place >= 0:
            copy(work.x + 4 * place, step.then + 4 * (at.x + r * at.row), job.features)
            fetch(work.x + 4 * (place + further), job.features)


# ---------------------------------------------------------------- one timestep
@inner
def _project(cell, job, at, work, n, timesteps, active):
    """ahead[timestep][slot][unit vector][row] = bias + the input product of some timesteps from the n-th on."""
    bias, slot, row = _bias(cell, job, at, work), _slot(cell, at, at.few), job.features + APART
    timestep = get(cell, "slots") * at.vectors * at.few * LANES
    stretch = work.own + 4 * at.stretch
    for r in range(active):
        some = min(timesteps, _count(job, r) - n)
        for k in range(some):
            copy(work.x + 4 * _x_of(job, r, n + k), stretch + 4 * k * row, job.features)
        for u in range(0, at.vectors, get(cell, "wide")):
            start = Vectors(bias.address + 4 * u * LANES, 0, bias.slot)
            z = Vectors(work.own + 4 * (at.ahead + (u * at.few + r) * LANES), timestep, slot)
            product(cell, start, Rows(stretch, row), some, job.features, 0, _weights(cell, job, at, work, u), z)


@inner
def _projected(cell, at, work, n, now):
    """The sums of the n-th timestep after `_project`."""
    timestep = get(cell, "slots") * at.vectors * at.few * LANES
    start = Vectors(work.own + 4 * (at.ahead + n * timestep), LANES, _slot(cell, at, at.few))
    return Sums(start, at.few * LANES, Rows(now + 4 * at.h, at.row), 0)


@inner
def _sum(cell, job, at, work, sums, r0, r1, u0, u1, slot, backwards):
    """z = start + a @ w for some rows and some of this thread's unit vectors."""
    wide, start, rows = get(cell, "wide"), sums.start, r1 - r0
    skipped = 0 if sums.n_x > 0 else 4 * job.features * get(cell, "x_width")
    a = Rows(sums.a.address + 4 * r0 * sums.a.row, sums.a.row)
    apart = Apart(wide * sums.vector, _block(cell, job), wide * job.rows * LANES)
    pairs, done = rows <= get(cell, "most_rows_of_pair"), 0
    while done < u1 - u0:
        some = 2 * wide if pairs and done + 2 * wide <= u1 - u0 else wide
        u = u1 - done - some if backwards else u0 + done
        first = Vectors(start.address + 4 * (r0 * start.row + u * sums.vector), start.row, start.slot)
        z = Vectors(work.own + 4 * (at.z + (u - u0) * job.rows * LANES), LANES, slot if wide == 1 else job.rows * LANES)
        w = _weights(cell, job, at, work, u) + skipped
        if some > wide:
            pair(cell, rows, first, a, sums.n_x, job.units, w, z, apart)
        else:
            product(cell, first, a, rows, sums.n_x, job.units, w, z)
        done += some


@inner
def _update(cell, job, at, work, step, r0, r1, u0, u1, slot):
    """The cell update of some rows and unit vectors, whose sums are at the beginning of z."""
    stride = 4 * job.rows * LANES
    z, c = work.own + 4 * (at.z - r0 * LANES) - (at.first + u0) * stride, work.own - at.first * stride
    old, new = step.now + 4 * at.h, step.then + 4 * at.h
    numbers = Update(
        at.first + u0, u1 - u0, r0, r1 - r0, z, slot, job.rows, c, old, new, at.row, work.y, work.writes, job.units
    )
    call(job.update, numbers)


@inner
def _update_at_once(cell, job, at, work, sums, step):
    """One timestep: the sums of a few tiles, then their update, and so on.

    Updating soon, and copying the next x in between, spreads what has to wait for memory among the products.
    """
    most, wide, active, backwards = get(cell, "most_rows"), get(cell, "wide"), step.active, (step.n + job.odd) & 1 == 1
    at_once = (AT_ONCE // active + wide - 1) // wide * wide if active <= most else wide
    groups, most = (at.vectors + at_once - 1) // at_once, most * TILES_AT_ONCE
    runs, loaded, done = (active + most - 1) // most, 0, 0
    for i in range(groups):
        u0 = (groups - 1 - i if backwards else i) * at_once
        u1 = min(u0 + at_once, at.vectors)
        slot = (u1 - u0) * job.rows * LANES
        for k in range(runs):
            r0, r1 = active * k // runs, active * (k + 1) // runs
            _sum(cell, job, at, work, sums, r0, r1, u0, u1, slot, backwards)
            _update(cell, job, at, work, step, r0, r1, u0, u1, slot)
            done += active
            load = done // (groups * runs)
            _load_x(job, at, work, step, loaded, load)
            loaded = load
    return True


@inner
def _reset_first(cell, job, at, work, sums, step):
    """One timestep where the candidate's recurrent product needs the reset gate of all units."""
    active, stride = step.active, 4 * job.rows * LANES
    slot = (at.vectors + 3) // 4 * 4 * job.rows * LANES
    _sum(cell, job, at, work, sums, 0, active, 0, at.vectors, slot, (step.n + job.odd) & 1 == 1)
    z, gated = work.own + 4 * at.z, Rows(work.s + 4 * (2 * at.half + at.h), at.row)
    old = step.now + 4 * at.h
    numbers = Update(
        at.first, at.vectors, 0, active, z - at.first * stride, slot, job.rows, 0, old, gated.address, at.row, 0, 0, 0
    )
    call(job.reset, numbers)
    if not meet(job.meeting, job.parts, 2 * step.n + 2):
        return False
    weights = work.w + 4 * (_padded_units(cell, job) // LANES * _block(cell, job))
    for u in range(0, at.vectors, 4):
        inside = Vectors(z + u * stride, LANES, job.rows * LANES)
        product(QUAD, inside, gated, active, 0, job.units, weights + 4 * (at.first + u) * job.units * LANES, inside)
    _update(cell, job, at, work, step, 0, active, 0, at.vectors, slot)
    _load_x(job, at, work, step, 0, active)
    return True


def _timestep(cell, job, at, work, sums, step):
    """Compute one timestep; returns False where another thread did not come."""
    raise NotImplementedError("only compiled code calls this")


@overload(_timestep, inline="always")
def _choose(cell, job, at, work, sums, step):
    way = _reset_first if cell.value.kind == "gru_reset_before" else _update_at_once
    return lambda cell, job, at, work, sums, step: way(cell, job, at, work, sums, step)


# ---------------------------------------------------------------- the loop
@inner
def _begin(cell, job, at, weights, x, y, own, shared):
    """Return the `Work` of a call; own and shared scratch begin at a cache line."""
    bias = address(weights)
    w = bias + 4 * get(cell, "slots") * _padded_units(cell, job)
    own, s = (own + 63) & ~63, (shared + 63) & ~63
    places = own + 4 * at.places
    return Work(bias, w, address(x), address(y), s, own, places, places + 8 * job.rows)


@inner
def _fit(cell, job, x, h, c):
    """Whether one timestep of x and the states are as they must be."""
    kinds = Kinds(job.array, job.float32)
    if not (fits(x, kinds, job.rows, job.features) and fits(h, kinds, job.rows, job.units)):
        return False
    return get(cell, "carries") == 0 or fits(c, kinds, job.rows, job.units)


@kernel
def sequence(cell, weights, job, x, h, c, new_h, new_c, y, own):
    """The fused loop over sequences.

    Parameters
    ----------
    cell : Constant
        A `tile.Cell` whose activations do not matter.
    weights : flat float32 array
        Packed.
    job : int64 array
        A `Job`.
    x : (rows, timesteps, features) array
    h : (rows, units) array
        The initial state; of more rows, in any order, where the job has slots.
    c : (rows, units) array
        The same; anything where the cell has none.
    new_h, new_c : (rows, units) arrays, written
        The final state of the rows that have a timestep; may be `h` and `c`.
    y : (rows, timesteps or 1, units) array, written
        The outputs at real timesteps, or only the last of them; the rest is left as it was.
    own : array
        Scratch: of one thread that works alone, 64 bytes more than the `Layout` says for `own` and `shared`; else 64
        more than for `own`.

    Returns
    -------
    int
        0 if the arrays were to be checked and do not fit: then nothing was computed. 1 otherwise.
    """
    numbers = address(job)
    job = Job(
        read(numbers, 0), read(numbers, 1), read(numbers, 2), read(numbers, 3), read(numbers, 4),
        read(numbers, 5), read(numbers, 6), read(numbers, 7), read(numbers, 8), read(numbers, 9),
        read(numbers, 10), read(numbers, 11), read(numbers, 12), read(numbers, 13), read(numbers, 14),
        read(numbers, 15), read(numbers, 16), read(numbers, 17), read(numbers, 18), read(numbers, 19),
    )  # fmt: skip
    if job.array != 0 and not _fit(cell, job, x, h, c):
        return 0
    at = layout(get(cell, "wide"), get(cell, "grain"), get(cell, "slots"), job)
    shared = job.shared if job.parts > 1 else address(own) + 4 * at.own + 64
    work = _begin(cell, job, at, weights, x, y, address(own), shared)
    now, then = work.s, work.s + 4 * at.half
    for r in range(job.rows):
        _copy_state(cell, job, at, work, r, now, address(h), address(c), False)
    active, meetings = job.rows, get(cell, "meetings")
    while active > 0 and _count(job, active - 1) == 0:
        active -= 1
    for r in range(active if active > job.few else 0):
        copy(work.x + 4 * _x_of(job, r, 0), now + 4 * (at.x + r * at.row), job.features)
    n = ahead_from = ahead_until = np.int64(0)
    while active > 0:
        if not meet(job.meeting, job.parts, meetings * n + 1):
            return 0
        if active <= job.few and n >= ahead_until:
            left = _count(job, 0) - n
            stretches = (left + STRETCH - 1) // STRETCH
            ahead_from, ahead_until = n, n + (left + stretches - 1) // stretches
            _project(cell, job, at, work, n, ahead_until - n, active)
        if n < ahead_until:
            sums = _projected(cell, at, work, n - ahead_from, now)
        else:
            sums = Sums(_bias(cell, job, at, work), LANES, Rows(now + 4 * at.x, at.row), job.features)
        for r in range(active):
            more = active > job.few and _count(job, r) > n + 1
            write(work.reads, r, _x_of(job, r, n + 1) if more else -1)
            write(work.writes, r, _y_of(job, r, n))
        if not _timestep(cell, job, at, work, sums, Step(n, active, now, then)):
            return 0
        now, then = then, now
        n += 1
        while active > 0 and _count(job, active - 1) == n:
            active -= 1
            _copy_state(cell, job, at, work, active, now, address(new_h), address(new_c), True)
    return 1


@functools.cache
def compiled(cell):
    """Return `sequence` for the `Constant` of a cell, a function to call without further ado."""
    return sequence.compile(_signature(cell))


@functools.cache  # also because to ask again takes a lock, which an interrupt or a fork may leave shut
def function(cell):
    """Return the address of `sequence` for the `Constant` of a cell, for `address.ask`."""
    return function_of(sequence, _signature(cell))


def _signature(cell):
    return types.int64(cell.numba_type, *[BUFFER] * 9)
