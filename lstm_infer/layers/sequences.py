"""Between a recurrent layer and its fused kernel: which rows, how many timesteps of each, in how many threads.

The kernel knows no masks. A row's real timesteps are listed once, rows are ordered by their number, and what stands at
masked timesteps is filled in afterwards.
"""

import functools
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ..kernels import fused, line
from ..kernels.address import address_of
from ..kernels.job import ROWS_AT_ONCE, Job, layout
from ..kernels.sequence import fill_masked
from ..kernels.update import functions_of
from ..kernels.vector import LANES
from ..threads import cpus, together
from . import memory
from .sharing import Shared, Worth

empty, FLOAT32 = np.empty, np.dtype(np.float32)

CACHE = 16 << 20
"""Bytes of weights up to which reading them again for a few more rows costs little."""
SHARED_WORK = 20_000_000
"""Multiply-adds of a call from which it pays to let several threads meet at every timestep."""
QUICK_WORK = 4_000_000
"""The same where calls follow one another within `SOON` seconds: then the threads that helped are still awake."""
WORK_AT_ONCE = 100_000_000
"""Multiply-adds that are done without a look at Python: about a millisecond, so that interrupts are still heeded."""
SOON = 1e-4
STEP_WORK = 50_000
"""Multiply-adds of a timestep below which it costs more to meet than is saved."""
IN_LINE = (0, 1, 2, 1, 2, 3, 4)
"""Places in a tuple of x, h, c, y and scratch: x, h and c, the new h and c (the same), y, scratch."""
ROWS_EACH = 8
"""Rows per thread from which every thread takes rows (through the whole model, if it can), not units of all rows."""


def run(packed, x, mask, backwards, masked_output, states, y, threads):
    """Drive the fused kernel of a cell over a batch.

    Parameters
    ----------
    packed : packing.Packed
    x : (batch, timesteps, features) C-contiguous float32 array
    mask : (batch, timesteps) bool array or None
        True where a timestep counts.
    backwards : bool
    masked_output : int
        What to emit at a masked timestep: a code of ``kernels.sequence``.
    states : list of (batch, units) C-contiguous arrays
        In place.
    y : (batch, timesteps or 1, units) C-contiguous array, written
    threads : int
        The most threads to use.
    """
    order, times = (None, None) if mask is None else _real_timesteps(mask)
    h0 = None if mask is None else states[0].copy()
    call = _Call(packed, x, order, times, backwards, states, y)
    if threads > 1 and len(x) >= ROWS_EACH * threads and work_of(packed, len(x), x.shape[1]) >= SHARED_WORK:
        together(threads, call.compute_rows)
    else:
        parts = 1 if threads == 1 else parts_of(packed, len(x), x.shape[1], threads, SHARED_WORK)
        call.compute_units(parts) if parts > 1 else call.compute_rows(0, 1)
    if mask is not None:
        fill_masked(mask, backwards, masked_output, h0, y)


def _real_timesteps(mask):
    """Return `Job.order` and `Job.times` (None where they are 0, 1, 2, ...) as arrays."""
    counts = mask.sum(axis=1)
    rows = np.argsort(-counts, kind="stable")
    first = np.cumsum(counts) - counts
    right_padded = (mask[:, :-1] >= mask[:, 1:]).all()
    times = None if right_padded else np.nonzero(mask)[1].astype(np.int64)
    return np.stack([rows, counts[rows], first[rows]]).astype(np.int64), times


class _Call(NamedTuple):
    """A batch on its way through a kernel."""

    packed: object
    x: np.ndarray
    order: np.ndarray
    times: np.ndarray
    backwards: bool
    states: list
    y: np.ndarray

    def compute_rows(self, part, parts):
        """Compute every `parts`-th row; or, where all are equally long, a run of them."""
        if self.order is None:
            first, last = len(self.x) * part // parts, len(self.x) * (part + 1) // parts
        else:
            order = self.order[:, part::parts]
            first, last = 0, order.shape[1]
        groups = -(-(last - first) // ROWS_AT_ONCE)
        at_once = groups_at_once(self.packed, self.x.shape[1])
        plans, orders = [], []
        for k in range(groups):
            r0, r1 = (first + (last - first) * n // groups for n in (k, k + 1))
            if self.order is None:
                plans.append(self.plan(r1 - r0, row=r0))
            else:
                orders.append(np.ascontiguousarray(order[:, r0:r1]))
                plans.append(self.plan(r1 - r0, order=address_of(orders[-1])))
            if len(plans) == at_once or k == groups - 1:
                self.compute_all(plans)
                plans = []

    def compute_all(self, plans):
        """Compute several groups of rows in one call: after each call, a thread waits for Python to be free."""
        if len(plans) == 1:
            self.compute(*plans[0])
            return
        links = [line.recurrent_link(self.packed, job, IN_LINE) for job, _ in plans]
        own = memory.empty((max(floats for _, floats in plans),), FLOAT32)
        arrays = self.x, self.states[0], self.states[-1], self.y, own
        line.compiled()(line.assemble(links), arrays)

    def compute_units(self, threads):
        """Compute all rows in several threads, each some of the units of every timestep."""
        groups = -(-len(self.x) // ROWS_AT_ONCE)
        for k in range(groups):
            r0, r1 = (len(self.x) * n // groups for n in (k, k + 1))
            some = None if self.order is None else np.ascontiguousarray(self.order[:, r0:r1])
            where = {"row": r0} if some is None else {"order": address_of(some)}
            meeting = np.zeros(2, np.int64)
            shared = np.empty(self.plan(r1 - r0)[1], np.float32)
            plan = functools.partial(
                self.plan, r1 - r0, shared=address_of(shared), meeting=address_of(meeting), **where
            )
            together(
                threads,
                lambda part, parts, plan=plan: self.compute(*plan(part=part, parts=parts)),
                give_up=functools.partial(meeting.__setitem__, 1, 1),
                apart=True,
            )

    def plan(self, rows, row=0, order=0, part=0, parts=1, shared=0, meeting=0):
        """Return the arguments of `compute`: a `Job` as an array, and the scratch it needs."""
        _, timesteps, features = self.x.shape
        times = 0 if self.times is None else address_of(self.times)
        few = few_of(self.packed, timesteps) if parts == 1 else rows
        job = Job(
            timesteps, features, self.packed.units, self.y.shape[1], rows, row, order, times, int(self.backwards), 0,
            few, part, parts, shared, meeting, *functions_of(self.packed.cell), 0, 0,
        )  # fmt: skip
        return plan_of(self.packed, job)

    def compute(self, job, floats):
        own = memory.empty((floats,), FLOAT32)
        h, c = self.states[0], self.states[-1]
        loop = self.packed.loop
        fused.compiled(loop)(loop, self.packed.weights, job, self.x, h, c, h, c, self.y, own)


def make_runner(packed, shape, return_sequences, backwards):
    """Return a function that computes whole sequences of one shape again and again, from zero states.

    Parameters
    ----------
    packed : packing.Packed
    shape : tuple
        (rows, timesteps, features).
    return_sequences, backwards : bool

    Returns
    -------
    callable
        From x, a C-contiguous float32 array of that shape, and the most threads to use, to the output.
    """
    rows, timesteps, features = shape
    outputs, units = timesteps if return_sequences else 1, packed.units
    few, functions = few_of(packed, timesteps), functions_of(packed.cell)
    numbers = (timesteps, features, units, outputs, rows, 0, 0, 0, int(backwards), 0, few, 0, 1, 0, 0)
    whole = Job(*numbers, *functions, 0, 0)
    groups = -(-rows // ROWS_AT_ONCE)
    bounds = [(rows * n // groups, rows * (n + 1) // groups) for n in range(groups)]
    plans = [plan_of(packed, whole._replace(row=first, rows=last - first)) for first, last in bounds]
    entry, loop, weights, floats = fused.compiled(packed.loop), packed.loop, packed.weights, max(n for _, n in plans)
    if groups > 1:
        in_line, links = line.compiled(), [line.recurrent_link(packed, job, IN_LINE) for job, _ in plans]
        at_once = groups_at_once(packed, timesteps)
        programs = [line.assemble(links[n : n + at_once]) for n in range(0, groups, at_once)]
    of_y = (rows, timesteps, units) if return_sequences else (rows, units)
    shared, worth = Shared(packed, whole), Worth()

    def compute(x, threads, soon=False):
        h, c, y = np.zeros((rows, units), FLOAT32), np.zeros((rows, units), FLOAT32), memory.empty(of_y, FLOAT32)
        parts, began = 1, perf_counter()
        if threads > 1 and worth.allows(began):
            parts = parts_of(packed, rows, timesteps, threads, QUICK_WORK if soon else SHARED_WORK)
        if parts > 1:
            shared.run(x, h, c, y, parts)
            worth.note_shared(began, perf_counter() - began)
        else:
            own = empty(floats, FLOAT32)
            if groups == 1:
                entry(loop, weights, plans[0][0], x, h, c, h, c, y, own)
            else:
                for program in programs:
                    in_line(program, (x, h, c, y, own))
            worth.note_alone(perf_counter() - began)
        return y

    compute.kept = plans  # the programs hold their addresses
    return compute


def groups_at_once(packed, timesteps):
    """Return how many groups of rows to compute without a look at Python."""
    return max(1, WORK_AT_ONCE // max(1, work_of(packed, ROWS_AT_ONCE, timesteps)))


def work_of(packed, rows, timesteps):
    """Return the multiply-adds of a call."""
    return rows * timesteps * packed.weights.size


def parts_of(packed, rows, timesteps, threads, least):
    """Return how many threads should share the units of every timestep, if a call has the work that it takes."""
    if work_of(packed, rows, timesteps) < least or work_of(packed, min(rows, ROWS_AT_ONCE), 1) < STEP_WORK:
        return 1
    cell = packed.cell.value
    return min(threads, cpus(), -(-packed.units // (LANES * cell.wide * cell.grain)))


def few_of(packed, timesteps):
    """Return `Job.few`: there is nothing to make ahead of a single timestep."""
    if timesteps == 1:
        return 0
    return 8 if packed.weights.nbytes > CACHE else 2


def plan_of(packed, job):
    """Return a `Job` of a cell as an array, and the floats of scratch it needs."""
    cell = packed.cell.value
    plan = _plan if job.order == job.times == job.shared == 0 else _plan.__wrapped__  # addresses never come again
    return plan(cell.wide, cell.grain, cell.slots, job)


@functools.lru_cache(maxsize=1024)
def _plan(wide, grain, slots, job):
    at = layout.py_func(wide, grain, slots, job)
    return np.array(job, np.int64), at.own + at.shared + 64
