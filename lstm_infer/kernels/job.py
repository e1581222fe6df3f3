"""What a call of the fused loop is told, and how its scratch is laid out: `fused`, and whoever calls it."""

from typing import NamedTuple

from .jit import inner
from .vector import LANES

ROWS_AT_ONCE = 64
"""Rows that go through the whole sequence together, so that their state and scratch stay in the L2 cache."""
STRETCH = 32
"""The most timesteps whose input product is made ahead at once."""
APART = 16
"""Floats between rows: a row length of a power of two would put all rows into the same cache sets."""


class Job(NamedTuple):
    """One thread's part of a call, as numbers in an int64 array.

    Attributes
    ----------
    timesteps, features, units : int
        Of x and h.
    outputs : int
        Timesteps of y: all of them, or 1; 0 where there is no y.
    rows, row : int
        How many rows there are; the first one in x, h, c and y.
    order : int
        0 where every row has all timesteps, else the address of (3, rows) int64s: which row (after the first), how many
        timesteps of it are real, descending, and where they begin in `times`.
    times : int
        Address of the real timesteps of each row, ascending, int64; 0 where they are 0, 1, 2, ...
    backwards : int
        Whether to begin at the last timestep. The output is in order of processing all the same.
    odd : int
        1 if the first timestep walks the blocks backwards, else 0.
    few : int
        Up to so many rows go the second way. If there are several parts, all must.
    part, parts : int
        Which thread of how many this is.
    shared, meeting : int
        Where there are several: addresses of `Layout.shared` floats, and of two int64 zeros.
    update, reset : int
        Addresses of the cell's functions (`update.functions_of`).
    array, float32 : int
        `address.KINDS` where x and the states are still to be checked (a single timestep), else 0.
    slots : int
        Address of an int64 for every row of x: where in h and c its state is. 0 where it is the same row there.
    """

    timesteps: int
    features: int
    units: int
    outputs: int
    rows: int
    row: int
    order: int
    times: int
    backwards: int
    odd: int
    few: int
    part: int
    parts: int
    shared: int
    meeting: int
    update: int
    reset: int
    array: int
    float32: int
    slots: int = 0


ROWS, ROW, ODD, SLOTS = (Job._fields.index(name) for name in ("rows", "row", "odd", "slots"))
"""Where these are, for whoever changes them from call to call."""


class Layout(NamedTuple):
    """Where things are in the scratch.

    Attributes
    ----------
    first, vectors : int
        The unit vectors that this thread computes: the first, and how many.
    few : int
        Rows that `ahead` has room for.
    x, h, row, half : int
        In the shared scratch: where x_t and h begin in a row; from row to row; from half to half.
    z, ahead, stretch, places : int
        In the thread's own scratch, after c: sums; input products; timesteps of x; int64s that say where in x and y
        each row is.
    shared, own : int
        How many floats they are.
    """

    first: int
    vectors: int
    few: int
    x: int
    h: int
    row: int
    half: int
    z: int
    ahead: int
    stretch: int
    places: int
    shared: int
    own: int


@inner
def layout(wide, grain, slots, job):
    """Return the `Layout` for a `Job` and a cell's constants."""
    vector = LANES * wide
    every = (job.units + vector - 1) // vector * wide
    grains = (every + grain - 1) // grain
    first, last = grains * job.part // job.parts * grain, min(grains * (job.part + 1) // job.parts * grain, every)
    vectors, few = last - first, min(job.rows, job.few)
    h = (job.features + LANES - 1) // LANES * LANES
    row = h + (every + 3) // 4 * 4 * LANES + APART
    z = vectors * job.rows * LANES
    ahead = z + slots * ((vectors + 3) // 4 * 4) * job.rows * LANES
    stretch = ahead + STRETCH * slots * vectors * few * LANES
    places = stretch + STRETCH * (h + APART)
    shared, own = 3 * job.rows * row, places + 4 * job.rows
    return Layout(
        first, vectors, few, h - job.features, h, row, job.rows * row, z, ahead, stretch, places, shared, own
    )
