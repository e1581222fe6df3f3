"""What went wrong, as HTTP says it: a status, a reason in one sentence, and when to come again."""

import math

from ..errors import InputError
from ..streaming import CapacityError
from .requests import ClosedError, DeadlineError, QueueFullError
from .streams import SequenceError

RETRY = 1
"""Seconds after which to come again, where nothing better is known."""


class Failure(Exception):
    """An answer that is an error.

    Attributes
    ----------
    status : int
    reason : str
    headers : dict
    """

    def __init__(self, status, reason, headers=None):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or {}


def as_failure(error):
    """Return the `Failure` that an error means, or None where it is a fault of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, QueueFullError):
        return Failure(503, str(error), {"retry-after": str(max(1, math.ceil(error.retry_after)))})
    if isinstance(error, (CapacityError, ClosedError)):
        return Failure(503, str(error), {"retry-after": str(RETRY)})
    if isinstance(error, DeadlineError):
        return Failure(504, str(error))
    if isinstance(error, SequenceError):
        return Failure(409, str(error))
    if isinstance(error, InputError):
        return Failure(400, str(error))
    return None
