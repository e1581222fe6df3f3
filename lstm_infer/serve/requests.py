"""What callers of a scheduler give and get: requests, rows of them, and the ways in which they can fail."""

import contextlib
from concurrent.futures import Future, InvalidStateError

import numpy as np

from ..errors import InputError, LSTMInferError
from ..inputs import pack, take


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
    deadline : float
        By the scheduler's clock; infinity where there is none.
    future : concurrent.futures.Future
    left : int
        Rows that are not done yet.
    """

    __slots__ = ("values", "rows", "timesteps", "begun", "deadline", "future", "left", "is_over", "_model", "_outputs")

    def __init__(self, model, x, temporal, begun, deadline):
        self.values, _ = take(model, x, None, None)
        self.rows, self.begun, self.deadline = len(self.values[0]), begun, deadline
        self.timesteps = _timesteps(self.values, temporal)
        self.future, self.left, self.is_over = Future(), self.rows, False
        self._model, self._outputs = model, None

    def keep(self, row, place, y, number):
        """Keep some of a row's answers: `y` of output `number`, at the timesteps `place`, or all there is."""
        if self._outputs is None:
            self._outputs = [None] * len(self._model.outputs)
        if self._outputs[number] is None:
            shape = y.shape if place is None else (self.timesteps, *y.shape[1:])
            self._outputs[number] = np.empty((self.rows, *shape), y.dtype)
        self._outputs[number][row if place is None else (row, place)] = y

    def complete(self, outputs=None):
        """Answer, with what was kept unless something is given."""
        self.end(lambda: self.future.set_result(pack(self._model, self._outputs if outputs is None else outputs)))

    def fail(self, error):
        """Answer with an error."""
        self.end(lambda: self.future.set_exception(error))

    def end(self, tell):
        """Answer through `tell`, unless the caller has gone; nothing is computed for it any more."""
        self.is_over = True
        with contextlib.suppress(InvalidStateError):  # cancelled
            tell()
        self._outputs = None


def _timesteps(values, temporal):
    """Return the timesteps of the inputs that have time: 1 where none has."""
    lengths = {value.shape[1] for value, is_temporal in zip(values, temporal, strict=True) if is_temporal}
    if len(lengths) > 1 or 0 in lengths:
        raise InputError(f"found {sorted(lengths)} timesteps, expected the same number from 1 in every input")
    return max(lengths, default=1)
