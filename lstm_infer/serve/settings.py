"""What a server may be told, in one place; and the packages of its extra, imported when they are needed."""

import importlib
from typing import NamedTuple

from ..errors import LSTMInferError


class MissingExtraError(LSTMInferError):
    """A package of the extra ``serve`` is not installed."""


def need(name):
    """Import a package of the extra ``serve``.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"serving over HTTP needs {error.name}: pip install 'lstm-infer[serve]'") from error


class Settings(NamedTuple):
    """What a server may be told.

    Attributes
    ----------
    rows, queue : int
        Of every model: sequences computed at the same time, and sequences that may wait.
    threads : int or None
        Threads of every model's scheduler; the model's own number where None.
    timeout : float
        Seconds a request may take unless it says less itself.
    body, body_seconds : int, float
        Bytes of a request's body (unpacked, too), and seconds in which it must have arrived; a caller that reads
        nothing of its answer is cut off when they have passed twice.
    timesteps : int
        The most of one sequence.
    answer : int
        Bytes of an answer's numbers.
    sessions : int
        Streams of every model.
    idle : float
        Seconds after which a stream that nobody steps is forgotten.
    poll : float
        Seconds between looks for changed files; 0 for never.
    snapshots : str or None
        Folder where streams are kept over a restart.
    token : str or None
        What callers must show as a bearer token.
    """

    rows: int = 128
    queue: int = 4096
    threads: int | None = None
    timeout: float = 30.0
    body: int = 64 << 20
    body_seconds: float = 30.0
    timesteps: int = 100_000
    answer: int = 256 << 20
    sessions: int = 10_000
    idle: float = 3600.0
    poll: float = 2.0
    snapshots: str | None = None
    token: str | None = None
