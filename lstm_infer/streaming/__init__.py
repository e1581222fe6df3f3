"""Streams: a model together with the state it carries from one call to the next; one stream, or thousands at once."""

from .pool import CapacityError, SessionPool
from .session import Session

__all__ = ["CapacityError", "Session", "SessionPool"]
