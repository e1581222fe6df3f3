"""Calls of one shape whose units are shared out among threads, again and again, with nothing done twice."""

import functools

import numpy as np

from ..kernels import fused, share
from ..kernels.address import address_of
from ..kernels.job import Job, layout
from ..threads import together
from . import memory

PAUSE, MOST_SAVED = 10, 0.02
"""Once sharing has cost more time than it saved lately: for how many times as long nothing is shared; and how many
seconds that were saved count at most."""
WAKING = 4
"""How many times as long as alone a call may take that wakes threads: it is made up for by those after it."""
SHARED, MEETING = (Job._fields.index(name) for name in ("shared", "meeting"))


class Worth:
    """Whether to share out the calls of one shape, judged by how long they took.

    Where cores are busy with something else, threads that meet at every timestep wait for each other.
    """

    def __init__(self):
        self._alone, self._saved, self._not_before = None, 0.0, 0.0
        self._is_awake = False  # whether the call before was shared, so that the threads that helped may be awake

    def allows(self, now):
        """Whether a call may be shared: the second call of all is not, to see what it takes alone."""
        return now >= self._not_before and not (self._alone is None and self._is_awake)

    def note_alone(self, took):
        """Note the seconds of a call in one thread; the shortest counts."""
        self._alone, self._is_awake = took if self._alone is None else min(self._alone, took), False

    def note_shared(self, began, took):
        """Note the seconds of a call that was shared out."""
        alone, was_awake, self._is_awake = self._alone, self._is_awake, True
        if alone is None or (not was_awake and took <= WAKING * alone):
            return
        self._saved = min(self._saved + alone - took, MOST_SAVED)
        if self._saved < 0:
            self._saved, self._not_before = 0.0, began + took - PAUSE * self._saved


class Shared:
    """Calls of a cell for inputs of one shape; threads may make them at once.

    Parameters
    ----------
    packed : packing.Packed
    job : Job
        Of one thread that works alone.
    """

    def __init__(self, packed, job):
        self._packed, self._job, self._spare = packed, job._replace(few=job.rows), {}

    def run(self, x, h, c, y, threads):
        """Compute a batch in up to so many threads; arrays as `fused.sequence` takes them, the states in place."""
        spare = self._spare.setdefault(threads, [])
        try:
            turn = spare.pop()
        except IndexError:  # more callers at once than ever before
            turn = _Turn(self._packed, self._job, threads)
        turn.run((x, h, c, h, c, y))
        spare.append(turn)


class _Turn:
    """What one call needs, and the next one after it; `together` is given it as ``at_once``."""

    mailbox = share.Mailbox

    def __init__(self, packed, job, threads):
        self._packed, self._threads, self._meeting = packed, threads, np.zeros(2, np.int64)
        self._entry, self._share = fused.compiled(packed.loop), share.compiled()[1]
        function, weights = fused.function(packed.loop), id(packed.weights)  # here: no part may wait for a lock
        self._jobs, self._calls, self._floats = {}, {}, {}  # by the number of parts
        cell = packed.cell.value
        for parts in range(1, threads + 1):
            jobs = [job._replace(part=part, parts=parts, meeting=address_of(self._meeting)) for part in range(parts)]
            layouts = [layout.py_func(cell.wide, cell.grain, cell.slots, each) for each in jobs]
            self._jobs[parts] = [np.array(each, np.int64) for each in jobs]
            self._floats[parts] = layouts[0].shared, max(each.own for each in layouts)
            rows = [[function, weights, id(each), *[0] * 7] for each in self._jobs[parts]]
            self._calls[parts] = np.array(rows, np.int64)
        self._arrays = self._shared = self._scratch = None

    def run(self, arrays):
        """Compute; `arrays` are x, h, c, the new h and c, and y."""
        shared, own = self._floats[self._threads][0], max(own for _, own in self._floats.values())
        self._shared = memory.empty((shared + 64,), np.float32)
        self._scratch = [memory.empty((own + shared + 128,), np.float32) for _ in range(self._threads)]
        self._arrays, self._meeting[:] = arrays, 0
        for job in (job for jobs in self._jobs.values() for job in jobs):
            job[SHARED] = address_of(self._shared)
        give_up = functools.partial(self._meeting.__setitem__, 1, 1)
        together(self._threads, self._compute_part, give_up, apart=True, at_once=self)
        self._arrays = self._shared = self._scratch = None

    def compute(self, mailboxes):
        """Compute all parts at once through the mailboxes; False if somebody does not linger there."""
        calls = self._calls[len(mailboxes) + 1]
        calls[:, 3:9] = list(map(id, self._arrays))
        calls[:, 9] = list(map(id, self._scratch[: len(calls)]))
        boxes = np.array([len(mailboxes), *(box.address for box in mailboxes)])
        return self._share(boxes, calls) == 1

    def _compute_part(self, part, parts):
        packed = self._packed
        self._entry(packed.loop, packed.weights, self._jobs[parts][part], *self._arrays, self._scratch[part])
