"""The two ways a scheduler's threads compute: timestep by timestep, or whole sequences of one length together."""

import time
from math import ceil, inf

import numpy as np

from ..errors import InputError
from ..inputs import blank
from ..kernels import rows
from ..kernels.address import address_of
from ..layers.structure import flatten
from ..streaming.rows import Rows

ROUND = 0.001
"""Seconds that a round takes at least: new rows wait so long to join, and finished ones to leave."""
MOST_TIMESTEPS = 64
"""Timesteps of a round at most."""
SMOOTHING = 0.2
"""Weight of the newest measurement in the average time of a timestep."""


class Continuous:
    """All live rows of one thread, some timesteps at a time.

    What is known of the row in a slot stands in arrays by slot, so that a round costs little more than its kernels.

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
        self._is_last, self._gather, self._scatter = not all(self._outputs), *rows.compiled()
        self._timestep, self.is_stale, self._rows = 0.0, False, []
        self.give_up()

    @property
    def live(self):
        """How many rows are computed."""
        return len(self._rows) - len(self._free)

    def give_up(self):
        """Forget all rows; return their requests."""
        requests, slots = dict.fromkeys(row.request for row in self._rows if row is not None), self._states.slots
        self._rows, self._free, self._soonest = [None] * slots, list(range(slots - 1, -1, -1)), inf
        self._left, self._done = np.zeros((2, slots), np.int64)
        self._reads = np.zeros((len(self._temporal), slots), np.int64)  # addresses of sequences
        self._writes = np.zeros((len(self._outputs), slots), np.int64)
        return requests

    def round(self):
        """Let rows come, go all some timesteps further, and let those that have ended go."""
        self._admit()
        slots = np.flatnonzero(self._left)
        if not len(slots):
            return
        try:
            self._go(slots)
        except InputError:  # some row holds what its model does not know, and no state has changed
            for slot in slots.tolist():
                self._go_alone(slot)

    def _go(self, slots):
        """Compute the next timesteps of some rows."""
        began, left = time.perf_counter(), self._left[slots]
        timesteps = min(self._most_timesteps(), int(left.max()))
        counts = np.minimum(left, timesteps)
        values = self._values(slots, counts, timesteps)
        outputs = self._states.advance(slots, values, None if counts.min() == timesteps else counts)
        self._keep(slots, counts, timesteps, outputs)
        self._left[slots], self._done[slots] = left - counts, self._done[slots] + counts
        places = np.flatnonzero(left == counts)
        ended = [self._rows[slot] for slot in slots[places].tolist()]
        if ended and self._is_last:
            self._keep_last(ended, places, outputs)
        seconds = time.perf_counter() - began
        self._timestep += (seconds / timesteps - self._timestep) * (SMOOTHING if self._timestep else 1)
        self._queue.count(len(slots), int(counts.sum()), len(ended), seconds)
        for row in ended:
            if row.request.finish_row():
                self._queue.end(row.request, "completed")
        self._release(slots[places].tolist())

    def _go_alone(self, slot):
        request = self._rows[slot].request
        try:
            self._go(np.array([slot]))
        except InputError as error:
            self._queue.end(request, "failed", error)
            self._release([slot])

    def _most_timesteps(self):
        """Return how many timesteps this round may have; the first one of all is one, to see how long it takes."""
        return max(1, min(MOST_TIMESTEPS, ceil(ROUND / self._timestep))) if self._timestep else 1

    def _admit(self):
        now = self._queue.clock()
        if self.is_stale or now >= self._soonest:
            self.is_stale = False
            self._sweep(now)
        new = self._queue.take_rows(len(self._free), self.live)
        for row in new:
            row.slot = slot = self._free.pop()
            self._rows[slot], self._left[slot], self._done[slot] = row, row.request.timesteps, 0
            self._soonest = min(self._soonest, row.request.deadline)
            for number, (value, is_temporal) in enumerate(zip(row.request.values, self._temporal, strict=True)):
                self._reads[number, slot] = address_of(value) + row.index * value.strides[0] if is_temporal else 0
        if new:
            self._states.clear([row.slot for row in new])

    def _sweep(self, now):
        """Let rows go whose answer is of no use any more."""
        live = [row for row in self._rows if row is not None]
        over = [row for row in live if row.request.is_of_no_use(now)]
        for request in {row.request for row in over}:
            self._queue.drop(request)
        self._release([row.slot for row in over])
        self._soonest = min((row.request.deadline for row in self._rows if row is not None), default=inf)

    def _release(self, slots):
        for slot in slots:
            self._rows[slot], self._left[slot] = None, 0
        self._free += slots

    def _values(self, slots, counts, timesteps):
        """Return the next timesteps of all rows as the values of a batch."""
        live, values = [self._rows[slot] for slot in slots.tolist()], []
        for number, is_temporal in enumerate(self._temporal):
            if not is_temporal:
                values.append(np.stack([row.request.values[number][row.index] for row in live]))
                continue
            example = live[0].request.values[number]
            if example.dtype == object:  # texts, which are not copied byte by byte
                values.append(self._texts(live, number, slots, counts, timesteps))
                continue
            batch = np.empty((len(live), timesteps, *example.shape[2:]), example.dtype)
            size = batch[0, 0].nbytes
            self._gather(self._reads[number], slots, self._done, counts, size, timesteps, address_of(batch))
            values.append(batch)
        return values

    def _texts(self, live, number, slots, counts, timesteps):
        """Return the next texts of all rows as the values of a batch."""
        batch = blank((len(live), timesteps, *live[0].request.values[number].shape[2:]), np.dtype(object))
        for n, (row, count, done) in enumerate(zip(live, counts, self._done[slots], strict=True)):
            batch[n, :count] = row.request.values[number][row.index, done : done + count]
        return batch

    def _keep(self, slots, counts, timesteps, outputs):
        """Keep the answers that are there for every timestep."""
        for number, (y, is_temporal) in enumerate(zip(outputs, self._outputs, strict=True)):
            if not is_temporal:
                continue
            for slot in slots[self._done[slots] == 0].tolist():
                row = self._rows[slot]
                kept = row.output(number, (row.request.timesteps, *y.shape[2:]), y.dtype)
                self._writes[number, slot] = address_of(kept) + row.index * kept.strides[0]
            if y.dtype == object:
                self._keep_texts(number, slots, counts, y)
                continue
            y = np.ascontiguousarray(y)
            size = y[0, 0].nbytes
            self._scatter(self._writes[number], slots, self._done, counts, size, timesteps, address_of(y))

    def _keep_texts(self, number, slots, counts, y):
        for n, (slot, count, done) in enumerate(zip(slots.tolist(), counts, self._done[slots], strict=True)):
            row = self._rows[slot]
            kept = row.request.output(number, (row.request.timesteps, *y.shape[2:]), y.dtype)
            kept[row.index, done : done + count] = y[n, :count]

    def _keep_last(self, ended, places, outputs):
        """Keep the answers of rows that have ended, of which there is one each."""
        last = [y if is_temporal else y[places] for y, is_temporal in zip(outputs, self._outputs, strict=True)]
        for number, y in enumerate(self._states.finish(last)):
            for n, row in enumerate(ended if not self._outputs[number] else ()):
                row.output(number, y.shape[1:], y.dtype)[row.index] = y[n]


class Dynamic:
    """Whole sequences, those of one shape together."""

    live = 0
    is_stale = False

    def __init__(self, queue, rows, threads):
        self._queue, self._model, self._most, self._threads, self._taken = queue, queue.model, rows, threads, []

    def round(self):
        """Compute the requests that have waited longest and have one shape."""
        self._taken = taken = self._queue.take_alike(self._most)
        try:
            self._compute(taken)
        except InputError:
            for request in taken:
                self._compute_alone(request)
        self._taken, self.live = [], 0

    def _compute_alone(self, request):
        try:
            self._compute([request])
        except InputError as error:
            self._queue.end(request, "failed", error)

    def _compute(self, requests):
        if not requests:
            return
        began = time.perf_counter()
        columns = zip(*(request.values for request in requests), strict=True)
        values = [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]
        self.live = rows = len(values[0])
        predict = self._model.session().predict if self._model.is_stateful else self._model.predict
        outputs = flatten(predict(values, threads=self._threads))
        timesteps = rows * (values[0].shape[1] if values[0].ndim > 1 else 1)
        self._queue.count(rows, timesteps, rows, time.perf_counter() - began)
        first = 0
        for request in requests:
            for number, y in enumerate(outputs):
                request.output(number, y.shape[1:], y.dtype)[:] = y[first : first + request.rows]
            first += request.rows
            self._queue.end(request, "completed")

    def give_up(self):
        """Forget what was taken; return it."""
        taken, self._taken, self.live = self._taken, [], 0
        return taken
