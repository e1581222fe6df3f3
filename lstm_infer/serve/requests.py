"""What callers of a scheduler give and get: requests, rows of them, and the ways in which they can fail."""

import logging
import threading
from concurrent.futures import Future, InvalidStateError

import numpy as np

from ..errors import InputError, LSTMInferError
from ..inputs import pack, take

log = logging.getLogger("lstm_infer.serve")


class QueueFullError(LSTMInferError):
    """There are too many requests already; ``retry_after`` is an estimate of the seconds until there is room."""

    def __init__(self, message, retry_after):
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineError(LSTMInferError):
    """The time a request may take is over."""


class ClosedError(LSTMInferError):
    """The scheduler accepts no more requests."""


class Request:
    """Some sequences of equal length that are answered together.

    Attributes
    ----------
    values : list of arrays
        One per input, checked and cast: (rows, timesteps, ...) or (rows, ...).
    rows, timesteps : int
    taken, left : int
        Rows that are computed or were, and those that are not done yet.
    begun, deadline : float
        By the scheduler's clock; the latter infinity where there is none.
    future : concurrent.futures.Future
    is_over : bool
        Whether it is answered, or nobody waits for an answer any more.
    """

    __slots__ = (
        "values", "rows", "timesteps", "taken", "left", "begun", "deadline", "future", "is_over", "_model", "_outputs",
        "_lock",
    )  # fmt: skip

    def __init__(self, model, x, temporal, begun, deadline):
        values, masks = take(model, x, None, None)
        if any(mask is not None for mask in masks):
            raise InputError("found sequences of different length in one request, expected a request for each length")
        self.values = [_own(value) for value in values]
        self.rows, self.begun, self.deadline = len(self.values[0]), begun, deadline
        self.timesteps = _timesteps(self.values, temporal)
        self.future, self.taken, self.left, self.is_over = Future(), 0, self.rows, False
        self._model, self._outputs, self._lock = model, [None] * len(model.outputs), threading.Lock()

    def is_of_no_use(self, now):
        """Whether nobody waits for the answer: it is over, late, or cancelled."""
        return self.is_over or self.deadline <= now or self.future.cancelled()

    def output(self, number, shape, dtype):
        """Return the array of output `number`, in which a row's answer has this shape."""
        with self._lock:  # rows of a request may be computed in several threads
            if self._outputs[number] is None:
                self._outputs[number] = np.empty((self.rows, *shape), dtype)
            return self._outputs[number]

    def finish_row(self):
        """Count a row as done; return whether it was the last one."""
        with self._lock:
            self.left -= 1
            return self.left == 0

    def answer(self):
        """Return the outputs in the model's own structure."""
        return pack(self._model, self._outputs)

    def end(self, error=None):
        """Answer, with an error if there is one; a caller that has cancelled hears nothing."""
        try:
            if self.future.cancelled():
                pass
            elif error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(self.answer())
        except InvalidStateError:
            pass
        except BaseException:  # noqa: BLE001  (SystemExit in a callback would end the thread that computes for all)
            log.exception("a callback of a request failed")
        with self._lock:
            self._outputs = [None] * len(self._outputs)


class Row:
    """One sequence of a request on its way: which it is, and its slot."""

    __slots__ = ("request", "index", "slot", "_outputs")

    def __init__(self, request, index):
        self.request, self.index, self.slot, self._outputs = request, index, -1, []

    def output(self, number, shape, dtype):
        """Return `Request.output`, which stays where it is while this row is on its way, whatever becomes of others."""
        self._outputs.append(self.request.output(number, shape, dtype))
        return self._outputs[-1]


def _own(array):
    """Return an array that no caller changes before it is computed: a copy, unless nobody can write to it."""
    base = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return array.copy()
        base = base.base
    return array


def _timesteps(values, temporal):
    """Return the timesteps of the inputs that have time: 1 where none has."""
    lengths = {value.shape[1] for value, is_temporal in zip(values, temporal, strict=True) if is_temporal}
    if len(lengths) > 1 or 0 in lengths:
        raise InputError(f"found {sorted(lengths)} timesteps, expected the same number from 1 in every input")
    return max(lengths, default=1)
