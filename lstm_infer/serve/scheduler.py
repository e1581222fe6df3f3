"""Continuous batching: one thread advances all sequences that are there, and nobody waits for another's end.

An LSTM is a cell stepped over time, so the unit of work is a row's next few timesteps and not a whole sequence (Gao et
al., "Low latency RNN inference with cellular batching", EuroSys 2018). One round of the loop:

    admit    rows that wait get free slots (``streaming.rows``), their states set to zero
    advance  all live rows go some timesteps further in one pass of the kernels; a row that ends earlier drops out there
    release  rows that have ended are answered, and their slots are free

A round is as many timesteps as take about `ROUND` seconds, one if they are slow: that long a new row waits to join.

A model that needs whole sequences (bidirectional, attention, convolution over time) cannot be stepped. Its requests are
batched when they arrive: those of one length together, longest waiting first, and as many as have come meanwhile.
"""

import threading
import time
from collections import deque
from math import inf
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..layers.structure import flatten
from ..model import check_threads
from ..streaming.rows import Rows, check_capacity
from .requests import ClosedError, DeadlineError, QueueFullError, Request

ROUND = 0.001
"""Seconds that a round takes if it can: new rows wait so long to join, and finished ones to leave."""
MOST_TIMESTEPS = 64
"""Timesteps of a round at most."""
SWEEP = 0.01
"""Seconds after which requests that wait are looked at for whether they are late."""
SMOOTHING = 0.2
"""Weight of the newest measurement in the averages."""
__all__ = ["ClosedError", "DeadlineError", "QueueFullError", "Scheduler", "Stats"]


class Stats(NamedTuple):
    """What a scheduler has done, and does now.

    Attributes
    ----------
    live, queued : int
        Rows that are computed, and that wait.
    rounds, row_rounds : int
        Passes of the kernels, and rows in them: their ratio is the mean occupancy.
    row_timesteps : int
        Timesteps computed.
    completed, failed, expired, cancelled, refused : int
        Requests.
    """

    live: int = 0
    queued: int = 0
    rounds: int = 0
    row_rounds: int = 0
    row_timesteps: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
    refused: int = 0


class _Row:
    """One sequence of a request on its way: which it is, its inputs, its slot, and how many timesteps are done."""

    __slots__ = ("request", "index", "values", "slot", "done")

    def __init__(self, request, index):
        self.request, self.index, self.slot, self.done = request, index, -1, 0
        self.values = [value[index] for value in request.values]


class Scheduler:
    """Answers requests of many threads through one model, batched.

    Parameters
    ----------
    model : Model
    rows : int
        The most that are computed at the same time.
    queue : int
        The most rows that may wait.
    threads : int, optional
        The most threads to use; the model's unless given.

    Attributes
    ----------
    mode : str
        ``"continuous"``, or ``"dynamic"`` where the model needs whole sequences.
    reason : str
        Why.

    Examples
    --------
    >>> import numpy as np, lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 3)), li.LSTM(4)])
    >>> model.set_weights([np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)])
    >>> with Scheduler(model) as scheduler:
    ...     answers = [scheduler.submit(np.ones((1, length, 3))) for length in (2, 7, 3)]
    ...     [answer.result().shape for answer in answers]
    [(1, 4), (1, 4), (1, 4)]
    """

    def __init__(self, model, rows=128, queue=4096, threads=None, clock=time.monotonic):
        self.model, self.capacity = model, check_capacity(rows, "rows")
        self.queue, self._clock = check_capacity(queue, "queue"), clock
        self._threads = model.threads if threads is None else check_threads(threads)
        try:
            self._temporal, self.mode = model.step_plan.inputs, "continuous"
            self.reason = "every layer can follow a sequence timestep by timestep"
        except InputError as error:
            self._temporal, self.mode, self.reason = [False] * len(model.inputs), "dynamic", str(error)
        self._changed = threading.Condition()
        self._waiting, self._rows_waiting = deque(), 0
        self._counts, self._rate = dict.fromkeys(Stats._fields, 0), 0.0
        self._is_open, self._drains, self._is_cancelled, self._swept = True, True, False, clock()
        work = _Continuous(self) if self.mode == "continuous" else _Dynamic(self)
        self._work = work
        self._thread = threading.Thread(target=self._run, name=f"lstm_infer scheduler {model.name}", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------ for callers
    def submit(self, x, timeout=None):
        """Ask for the outputs of some sequences of equal length.

        Parameters
        ----------
        x : array_like, list or dict
            As `Model.predict` takes it, a batch: (rows, timesteps, ...).
        timeout : float, optional
            Seconds after which the answer is of no use.

        Returns
        -------
        concurrent.futures.Future
            Of what ``model.predict(x)`` returns, the same bits. Cancelling it stops the work. It may fail with
            `DeadlineError`.

        Raises
        ------
        InputError
            The data does not fit the model.
        QueueFullError
            Too many rows wait.
        ClosedError
            The scheduler is closed.
        """
        now = self._clock()
        request = Request(self.model, x, self._temporal, now, inf if timeout is None else now + timeout)
        if request.rows == 0:
            request.future.set_result(self.model.predict(x))
            return request.future
        if request.rows > self.queue:
            raise InputError(f"found {request.rows} rows in one request, expected {self.queue} at most")
        request.future.add_done_callback(self._note)
        with self._changed:
            if not self._is_open:
                raise ClosedError(f"the scheduler of model '{self.model.name}' is closed")
            if self._rows_waiting + request.rows > self.queue:
                self._counts["refused"] += 1
                raise QueueFullError(
                    f"found {self._rows_waiting} rows waiting for model '{self.model.name}', expected room for "
                    f"{request.rows} among {self.queue}",
                    self._time_to_serve(self._rows_waiting),
                )
            self._waiting.append(request)
            self._rows_waiting += request.rows
            self._changed.notify()
        return request.future

    def stats(self):
        """Return `Stats`."""
        with self._changed:
            return Stats(**{**self._counts, "queued": self._rows_waiting, "live": self._work.live})

    def close(self, drain=True, timeout=None):
        """Accept no more requests; answer those there are, or, without `drain`, let them fail; end the thread.

        Parameters
        ----------
        drain : bool
        timeout : float, optional
            Seconds to wait.

        Returns
        -------
        bool
            Whether it has ended.
        """
        with self._changed:
            self._is_open, self._drains = False, self._drains and drain
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close(drain=error[0] is None)

    # ------------------------------------------------------------ the thread
    def _run(self):
        while True:
            with self._changed:
                while self._is_open and not self._waiting and not self._work.live:
                    self._changed.wait()
                is_over = not self._is_open and (not self._drains or not (self._waiting or self._work.live))
            if is_over:
                break
            try:
                self.expire()
                self._work.round()
            except Exception as error:  # noqa: BLE001  (whatever it is, the callers get it, and the others their turn)
                for request in self._work.give_up():
                    self.end(request, "failed", error)
        for request in [*self._work.give_up(), *self.take(inf)]:
            self.end(request, "failed", ClosedError(f"the scheduler of model '{self.model.name}' was closed"))

    def expire(self):
        """End the waiting requests that are late or cancelled: they need not come to their turn for that."""
        now = self._clock()
        if now < self._swept + SWEEP:
            return
        self._swept = now
        with self._changed:
            over = [r for r in self._waiting if r.future.cancelled() or r.deadline <= now]
            if over:
                self._waiting = deque(r for r in self._waiting if r not in over)
                self._rows_waiting -= sum(request.rows for request in over)
        for request in over:
            self.drop(request)

    def take(self, rows, fits=None):
        """Return waiting requests, longest waiting first, of so many rows in all or one; only those that are alive."""
        taken, expired, passed, now = [], [], [], self._clock()
        with self._changed:
            while self._waiting and rows > 0:
                request = self._waiting.popleft()
                if request.future.cancelled() or request.deadline <= now:
                    expired.append(request)
                elif (fits is None or fits(request)) and (request.rows <= rows or not taken):
                    taken.append(request)
                    rows -= request.rows
                else:
                    passed.append(request)
                    if fits is None:
                        break
            self._waiting.extendleft(reversed(passed))
            self._rows_waiting -= sum(request.rows for request in [*taken, *expired])
        for request in expired:
            self.drop(request)
        return taken

    def _note(self, future):
        if future.cancelled():
            self._is_cancelled = True

    def found_cancelled(self):
        """Whether some request was cancelled since the last time."""
        was, self._is_cancelled = self._is_cancelled, False
        return was

    def drop(self, request):
        """End a request that was cancelled or is late."""
        if request.future.cancelled():
            self.end(request, "cancelled")
        else:
            seconds = request.deadline - request.begun
            self.end(request, "expired", DeadlineError(f"found no answer in {seconds:.3g} s, the time it may take"))

    def end(self, request, how, error=None):
        """Count a request's end and tell its caller."""
        with self._changed:
            self._counts[how] += 1
        if how == "completed":
            request.complete()
        elif how == "cancelled":
            request.end(lambda: None)
        else:
            request.fail(error)

    def count(self, rows, timesteps, ended, seconds):
        """Count a round: its rows, all their timesteps, the rows that ended in it, and how long it took."""
        with self._changed:
            for name, number in (("rounds", 1), ("row_rounds", rows), ("row_timesteps", timesteps)):
                self._counts[name] += number
            rate = ended / max(seconds, 1e-9)
            self._rate += 0.02 * (rate - self._rate)

    def _time_to_serve(self, rows):
        return min(60.0, rows / self._rate) if self._rate > 0 else 1.0

    @property
    def threads(self):
        """The most threads a round may use."""
        return self._threads

    @property
    def clock(self):
        """The clock of deadlines."""
        return self._clock


class _Continuous:
    """All live rows, timestep by timestep."""

    def __init__(self, scheduler):
        self._scheduler, self._model = scheduler, scheduler.model
        self._states = Rows(self._model, scheduler.capacity)
        self._temporal = self._states.plan.inputs
        self._outputs = self._states.plan.outputs
        self._free = list(range(scheduler.capacity - 1, -1, -1))
        self._pending = deque()  # rows whose request was taken, but for which there is no slot yet
        self._rows, self._slots, self._left = [], np.empty(0, np.int64), np.empty(0, np.int64)
        self._soonest, self._timestep = inf, 0.0

    @property
    def live(self):
        return len(self._rows) + len(self._pending)

    def round(self):
        self._admit()
        if not self._rows:
            return
        began = time.perf_counter()
        timesteps = min(self._timesteps(), int(self._left.max()))
        counts = np.minimum(self._left, timesteps)
        outputs = self._states.advance(
            self._slots, self._gather(timesteps), None if counts.min() == timesteps else counts, self._scheduler.threads
        )
        self._left -= counts
        ended = np.flatnonzero(self._left == 0)
        self._keep(outputs, counts, ended)
        seconds = time.perf_counter() - began
        self._timestep += (seconds / timesteps - self._timestep) * (SMOOTHING if self._timestep else 1)
        self._scheduler.count(len(self._rows), int(counts.sum()), len(ended), seconds)
        if len(ended):
            self._release(ended)

    def give_up(self):
        """Forget all rows; return their requests."""
        requests = dict.fromkeys(row.request for row in [*self._rows, *self._pending] if not row.request.is_over)
        self._pending.clear()
        self._rows = []
        self._free = list(range(self._scheduler.capacity - 1, -1, -1))
        self._arrange()
        return requests

    def _timesteps(self):
        """Return how many timesteps a round may have."""
        if self._timestep == 0:
            return 1
        return max(1, min(MOST_TIMESTEPS, int(ROUND / self._timestep)))

    def _admit(self):
        """Let rows that are of no use any more go, and others come."""
        if self._scheduler.clock() >= self._soonest or self._scheduler.found_cancelled():
            self._sweep()
        room = len(self._free) - len(self._pending)
        for request in self._scheduler.take(room) if room > 0 else ():
            self._pending.extend(_Row(request, index) for index in range(request.rows))
            self._soonest = min(self._soonest, request.deadline)
        new = []
        while self._pending and self._free:
            row = self._pending.popleft()
            row.slot = self._free.pop()
            new.append(row)
        if new:
            self._states.clear([row.slot for row in new])
            self._rows += new
            self._arrange()

    def _sweep(self):
        now = self._scheduler.clock()
        over = {
            row.request
            for row in [*self._rows, *self._pending]
            if row.request.future.cancelled() or row.request.deadline <= now
        }
        for request in over:
            self._scheduler.drop(request)
        self._pending = deque(row for row in self._pending if row.request not in over)
        self._release(np.array([n for n, row in enumerate(self._rows) if row.request in over], np.int64))

    def _arrange(self):
        """Bring the arrays in line with the rows."""
        self._slots = np.array([row.slot for row in self._rows], np.int64)
        self._left = np.array([row.request.timesteps - row.done for row in self._rows], np.int64)

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
                for n, (row, count) in enumerate(zip(self._rows, counts.tolist(), strict=True)):
                    row.request.keep(row.index, slice(row.done, row.done + count), y[n, :count], number)
        for row, count in zip(self._rows, counts.tolist(), strict=True):
            row.done += count
        if len(ended) and not all(self._outputs):
            last = [y if is_temporal else y[ended] for y, is_temporal in zip(outputs, self._outputs, strict=True)]
            for number, y in enumerate(self._states.finish(last)):
                for n, place in enumerate(ended.tolist() if not self._outputs[number] else ()):
                    self._rows[place].request.keep(self._rows[place].index, None, y[n], number)

    def _release(self, places):
        """Answer the requests that have no more rows, and free the slots of the rows in some places."""
        gone = set(places.tolist())
        for place in gone:
            row = self._rows[place]
            self._free.append(row.slot)
            row.request.left -= 1
            if row.request.left == 0 and not row.request.is_over:
                self._scheduler.end(row.request, "completed")
        self._rows = [row for n, row in enumerate(self._rows) if n not in gone]
        self._soonest = min((row.request.deadline for row in [*self._rows, *self._pending]), default=inf)
        self._arrange()


class _Dynamic:
    """Whole sequences, those of one shape together."""

    live = 0

    def __init__(self, scheduler):
        self._scheduler, self._model, self._taken = scheduler, scheduler.model, []

    def round(self):
        first = []

        def is_alike(request):
            first.append(request)
            return [v.shape[1:] for v in request.values] == [v.shape[1:] for v in first[0].values]

        self._taken = self._scheduler.take(self._scheduler.capacity, is_alike)
        if not self._taken:
            return
        began = time.perf_counter()
        columns = zip(*(request.values for request in self._taken), strict=True)
        values = [np.concatenate(column) if len(column) > 1 else column[0] for column in columns]
        predict = self._model.session().predict if self._model.is_stateful else self._model.predict
        outputs = flatten(predict(values, threads=self._scheduler.threads))
        rows, first_row = len(values[0]), 0
        timesteps = rows * (values[0].shape[1] if values[0].ndim > 2 else 1)
        self._scheduler.count(rows, timesteps, rows, time.perf_counter() - began)
        for request in self._taken:
            for number, y in enumerate(outputs):
                for index in range(request.rows):
                    request.keep(index, None, y[first_row + index], number)
            first_row += request.rows
            self._scheduler.end(request, "completed")
        self._taken = []

    def give_up(self):
        """Forget what was taken; return it."""
        taken, self._taken = self._taken, []
        return [request for request in taken if not request.is_over]

