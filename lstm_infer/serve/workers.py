"""The two ways a scheduler's threads compute: timestep by timestep, or whole sequences of one length together."""

import time
from math import inf

import numpy as np

from ..layers.structure import flatten
from ..streaming.rows import Rows

ROUND = 0.001
"""Seconds that a round takes if it can: new rows wait so long to join, and finished ones to leave."""
MOST_TIMESTEPS = 64
"""Timesteps of a round at most."""
SMOOTHING = 0.2
"""Weight of the newest measurement in the average time of a timestep."""


class Continuous:
    """All live rows of one thread, some timesteps at a time.

    Parameters
    ----------
    queue : Scheduler
        Where rows come from, and who is told what became of them.
    slots : int
        The most rows.
    """

    def __init__(self, queue, slots):
        self._queue, self._states = queue, Rows(queue.model, slots)
        self._temporal, self._outputs = self._states.plan.inputs, self._states.plan.outputs
        self._is_last = not all(self._outputs)
        self._timestep, self.is_stale = 0.0, False
        self.give_up()

    @property
    def live(self):
        """How many rows are computed."""
        return len(self._rows)

    def give_up(self):
        """Forget all rows; return their requests."""
        requests = dict.fromkeys(row.request for row in getattr(self, "_rows", ()))
        self._free, self._rows = list(range(self._states.slots - 1, -1, -1)), []
        self._arrange()
        return requests

    def round(self):
        """Let rows come, go all some timesteps further, and let those that have ended go."""
        self._admit()
        if not self._rows:
            return
        began = time.perf_counter()
        timesteps = min(self._most_timesteps(), int(self._left.max()))
        counts = np.minimum(self._left, timesteps)
        outputs = self._states.advance(self._slots, self._gather(timesteps), self._as_ragged(counts, timesteps))
        self._left -= counts
        ended = np.flatnonzero(self._left == 0).tolist()
        self._keep(outputs, counts.tolist(), ended)
        seconds = time.perf_counter() - began
        self._timestep += (seconds / timesteps - self._timestep) * (SMOOTHING if self._timestep else 1)
        self._queue.count(len(self._rows), int(counts.sum()), len(ended), seconds)
        if ended:
            for row in [self._rows[place] for place in ended]:
                if row.request.finish_row():
                    self._queue.end(row.request, "completed")
            self._release(set(ended))

    def _as_ragged(self, counts, timesteps):
        return None if counts.min() == timesteps else counts

    def _most_timesteps(self):
        """Return how many timesteps this round may have; the first one of all is one, to see how long it takes."""
        return max(1, min(MOST_TIMESTEPS, int(ROUND / self._timestep))) if self._timestep else 1

    def _admit(self):
        now = self._queue.clock()
        if self.is_stale or now >= self._soonest:
            self.is_stale = False
            self._sweep(now)
        new = self._queue.take_rows(len(self._free), len(self._rows))
        for row in new:
            row.slot = self._free.pop()
            self._soonest = min(self._soonest, row.request.deadline)
        if new:
            self._states.clear([row.slot for row in new])
            self._rows += new
            self._arrange()

    def _sweep(self, now):
        """Let rows go whose answer is of no use any more."""
        over = {n for n, row in enumerate(self._rows) if row.request.is_of_no_use(now)}
        for request in {self._rows[n].request for n in over}:
            self._queue.drop(request)
        self._release(over)

    def _release(self, places):
        """Free the slots of the rows in some places."""
        self._free += [self._rows[place].slot for place in places]
        self._rows = [row for n, row in enumerate(self._rows) if n not in places]
        self._arrange()

    def _arrange(self):
        """Bring in line with the rows what is kept beside them."""
        self._slots = np.array([row.slot for row in self._rows], np.int64)
        self._left = np.array([row.request.timesteps - row.done for row in self._rows], np.int64)
        self._soonest = min((row.request.deadline for row in self._rows), default=inf)

    def _gather(self, timesteps):
        """Return the next timesteps of all rows as the values of a batch."""
        values = []
        for number, is_temporal in enumerate(self._temporal):
            if not is_temporal:
                values.append(np.stack([row.values[number] for row in self._rows]))
                continue
            parts = [row.values[number][row.done : row.done + timesteps] for row in self._rows]
            if timesteps == 1:
                values.append(np.concatenate(parts)[:, None])
                continue
            batch = np.zeros((len(parts), timesteps, *parts[0].shape[1:]), parts[0].dtype)
            for n, part in enumerate(parts):
                batch[n, : len(part)] = part
            values.append(batch)
        return values

    def _keep(self, outputs, counts, ended):
        """Keep the answers that are there."""
        for number, (y, is_temporal) in enumerate(zip(outputs, self._outputs, strict=True)):
            if is_temporal:
                for n, (row, count) in enumerate(zip(self._rows, counts, strict=True)):
                    row.request.keep(number, row.index, slice(row.done, row.done + count), y[n, :count])
        for row, count in zip(self._rows, counts, strict=True):
            row.done += count
        if ended and self._is_last:
            last = [y if is_temporal else y[ended] for y, is_temporal in zip(outputs, self._outputs, strict=True)]
            for number, y in enumerate(self._states.finish(last)):
                for n, place in enumerate(ended if not self._outputs[number] else ()):
                    self._rows[place].request.keep(number, self._rows[place].index, None, y[n])


class Dynamic:
    """Whole sequences, those of one shape together."""

    live = 0
    is_stale = False

    def __init__(self, queue, rows, threads):
        self._queue, self._model, self._most, self._threads, self._taken = queue, queue.model, rows, threads, []

    def round(self):
        """Compute the requests that have waited longest and have one shape."""
        self._taken = taken = self._queue.take_alike(self._most)
        if not taken:
            return
        began = time.perf_counter()
        columns = zip(*(request.values for request in taken), strict=True)
        values = [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]
        self.live = rows = len(values[0])
        predict = self._model.session().predict if self._model.is_stateful else self._model.predict
        outputs = flatten(predict(values, threads=self._threads))
        timesteps = rows * (values[0].shape[1] if values[0].ndim > 1 else 1)
        self._queue.count(rows, timesteps, rows, time.perf_counter() - began)
        first = 0
        for request in taken:
            for number, y in enumerate(outputs):
                request.keep(number, slice(None), None, y[first : first + request.rows])
            first += request.rows
            self._queue.end(request, "completed")
        self._taken, self.live = [], 0

    def give_up(self):
        """Forget what was taken; return it."""
        taken, self._taken, self.live = self._taken, [], 0
        return taken
