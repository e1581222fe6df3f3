"""Streams: a model together with the state it carries from one call to the next; one stream, or thousands at once."""

from .directory import CapacityError
from .pool import SessionPool
from .session import Session

__all__ = ["CapacityError", "Session", "SessionPool"]
