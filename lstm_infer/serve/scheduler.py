"""Continuous batching: sequences join the running batch at any timestep, and leave it when they end.

An LSTM is a cell stepped over time, so the unit of work is a row's next few timesteps and not a whole sequence (Gao et
al., "Low latency RNN inference with cellular batching", EuroSys 2018). Every thread has rows of its own and goes round:

    admit    rows that wait get free slots (``streaming.rows``), their states set to zero
    advance  all its rows go some timesteps further in one pass of the kernels; one that ends earlier drops out there
    release  rows that have ended are answered, and their slots are free

A round is as many timesteps as take about a millisecond, one if they are slow: that long a new row waits to join.
Threads share the queue and nothing else, so none waits for another.

A model that needs whole sequences (bidirectional, attention, convolution over time) cannot be stepped. Its requests are
batched as they come: those of one length together, longest waiting first, as many as have come meanwhile. To pad them
would change the answers of such models.
"""

import threading
import time
from collections import deque
from math import inf, isnan
from numbers import Real
from typing import NamedTuple

from ..errors import InputError
from ..model import check_threads
from ..streaming.rows import check_capacity
from .requests import ClosedError, DeadlineError, QueueFullError, Request, Row
from .workers import Continuous, Dynamic

SWEEP = 0.01
"""Seconds between two looks at all requests that wait for whether they are late, at least."""
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
        Threads that compute; the model's number unless given.
    clock : callable
        Returns seconds.

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
        self.model, self.rows, self.queue, self.clock = model, check_capacity(rows, "rows"), queue, clock
        check_capacity(queue, "queue")
        threads = model.threads if threads is None else check_threads(threads)
        self._changed, self._waiting, self._rows_waiting = threading.Condition(), deque(), 0
        self._counts, self._rate = dict.fromkeys(Stats._fields, 0), 0.0
        self._is_open, self._drains, self._next_sweep = True, True, inf
        try:
            self._temporal, self.mode = model.step_plan.inputs, "continuous"
            self.reason = "every layer can follow a sequence timestep by timestep"
            threads = min(threads, rows)
            self._workers = [Continuous(self, rows * (n + 1) // threads - rows * n // threads) for n in range(threads)]
        except InputError as error:
            self._temporal, self.mode, self.reason = [False] * len(model.inputs), "dynamic", str(error)
            self._workers = [Dynamic(self, rows, threads)]
        name = f"lstm_infer scheduler {model.name}"
        self._threads = [threading.Thread(target=self._run, args=(w,), name=name, daemon=True) for w in self._workers]
        for thread in self._threads:
            thread.start()

    # ------------------------------------------------------------ for callers
    def submit(self, x, timeout=None):
        """Ask for the outputs of some sequences of equal length.

        Parameters
        ----------
        x : array_like, list or dict
            As `Model.predict` takes it, a batch: (rows, timesteps, ...). It may be changed afterwards.
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
            The data does not fit the model, or `timeout` is no number.
        QueueFullError
            Too many rows wait.
        ClosedError
            The scheduler is closed.
        """
        timeout = inf if timeout is None else timeout
        if not isinstance(timeout, Real) or isnan(timeout):
            raise InputError(f"found timeout={timeout!r:.40}, expected seconds")
        now = self.clock()
        request = Request(self.model, x, self._temporal, now, now + timeout)
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
                found = f"{self._rows_waiting} rows waiting for model '{self.model.name}'"
                message = f"found {found}, expected room for {request.rows} among {self.queue}"
                raise QueueFullError(message, self._time_to_serve(self._rows_waiting))
            self._waiting.append(request)
            self._rows_waiting += request.rows
            self._next_sweep = min(self._next_sweep, request.deadline)
            self._changed.notify(request.rows)
        return request.future

    def stats(self):
        """Return `Stats`."""
        with self._changed:
            return Stats(**{**self._counts, "queued": self._rows_waiting, "live": self._live()})

    def close(self, drain=True, timeout=None):
        """Accept no more requests; answer those there are, or, without `drain`, let them fail; end the threads.

        Parameters
        ----------
        drain : bool
        timeout : float, optional
            Seconds to wait.

        Returns
        -------
        bool
            Whether they have ended; False from a callback of a request, which one of them runs.
        """
        with self._changed:
            self._is_open, self._drains = False, self._drains and drain
            self._changed.notify_all()
        until = None if timeout is None else time.monotonic() + timeout
        for thread in set(self._threads) - {threading.current_thread()}:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close(drain=error[0] is None)

    def _note(self, future):
        if future.cancelled():
            self._next_sweep = -inf
            self._let_go()

    def _let_go(self):
        """Have the threads look for rows whose answer is of no use any more."""
        for worker in self._workers:
            worker.is_stale = True

    def _live(self):
        return sum(worker.live for worker in self._workers)

    def _time_to_serve(self, rows):
        return min(60.0, rows / self._rate) if self._rate > 0 else 1.0

    # ------------------------------------------------------------ the threads
    def _run(self, worker):
        while True:
            with self._changed:
                while self._is_open and not self._waiting and not worker.live:
                    self._changed.wait()
                is_over = not self._is_open and not (self._drains and (self._waiting or worker.live))
            if is_over:
                break
            try:
                self._expire()
                worker.round()
            except Exception as error:  # noqa: BLE001  (whatever it is, the callers get it, and the others their turn)
                for request in worker.give_up():
                    self.end(request, "failed", error)
        closed = ClosedError(f"the scheduler of model '{self.model.name}' was closed")
        with self._changed:
            waiting, self._waiting, self._rows_waiting = self._waiting, deque(), 0
        for request in [*worker.give_up(), *waiting]:
            self.end(request, "failed", closed)

    def take_rows(self, room, live):
        """Return rows for a thread that has room for so many beside those that are live: its share, oldest first."""
        if not self._waiting or room == 0:
            return []
        with self._changed:
            fair = -(-(self._rows_waiting + self._live()) // len(self._workers)) - live
            rows, over, now = [], [], self.clock()
            while self._waiting and len(rows) < min(room, fair):
                request = self._waiting[0]
                if request.is_of_no_use(now):
                    over.append(request)
                    last = request.rows
                else:
                    last = min(request.rows, request.taken + min(room, fair) - len(rows))
                    rows += [Row(request, index) for index in range(request.taken, last)]
                self._rows_waiting -= last - request.taken
                request.taken = last
                if last == request.rows:
                    self._waiting.popleft()
        for request in over:
            self.drop(request)
        return rows

    def take_alike(self, most):
        """Return whole requests of one shape, `most` rows or one: the oldest, and those like it in order of age."""
        alike, others, over, rows, now = [], deque(), [], 0, self.clock()
        with self._changed:
            for request in self._waiting:
                if request.is_of_no_use(now):
                    over.append(request)
                elif not alike or (request.rows + rows <= most and _shapes(request) == _shapes(alike[0])):
                    alike.append(request)
                    rows += request.rows
                else:
                    others.append(request)
            self._waiting = others
            self._rows_waiting = sum(request.rows for request in others)
        for request in over:
            self.drop(request)
        return alike

    def _expire(self):
        """End the waiting requests that are late or cancelled: they need not come to their turn for that."""
        now = self.clock()
        if now < self._next_sweep:
            return
        with self._changed:
            over = {request for request in self._waiting if request.is_of_no_use(now)}
            if over:
                self._waiting = deque(request for request in self._waiting if request not in over)
                self._rows_waiting -= sum(request.rows - request.taken for request in over)
            soonest = min((request.deadline for request in self._waiting), default=inf)
            self._next_sweep = max(soonest, now + SWEEP)
        for request in over:
            self.drop(request)

    def drop(self, request):
        """End a request that was cancelled or is late."""
        if request.future.cancelled():
            self.end(request, "cancelled")
        else:
            seconds = request.deadline - request.begun
            self.end(request, "expired", DeadlineError(f"found no answer in {seconds:.3g} s, the time it may take"))

    def end(self, request, how, error=None):
        """End a request, once: count it and tell its caller."""
        with self._changed:
            if request.is_over:
                return
            request.is_over = True
            self._counts["cancelled" if request.future.cancelled() else how] += 1
        if how != "completed" and request.rows > 1:
            self._let_go()
        request.end(error)

    def count(self, rows, timesteps, ended, seconds):
        """Count a round: its rows, all their timesteps, the rows that ended in it, and how long it took."""
        with self._changed:
            for name, number in (("rounds", 1), ("row_rounds", rows), ("row_timesteps", timesteps)):
                self._counts[name] += number
            self._rate += 0.02 * (len(self._workers) * ended / max(seconds, 1e-9) - self._rate)


def _shapes(request):
    return [value.shape[1:] for value in request.values]
