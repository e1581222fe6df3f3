"""Counting the kernels that are compiled, as against those that the cache had."""

from contextlib import contextmanager

from numba.core.caching import FunctionCache
from numba.core.event import install_recorder


@contextmanager
def compilations():
    """Record in a list, when the block ends, the name of every kernel that was compiled in it.

    Examples
    --------
    >>> with compilations() as names:
    ...     pass
    >>> names
    []
    """
    names = []
    with install_recorder("numba:compile") as recorder:
        yield names
    for _, event in recorder.buffer:
        dispatcher = event.data["dispatcher"]
        if event.is_start and isinstance(dispatcher._cache, FunctionCache):  # others are parts of kernels
            names.append(dispatcher.py_func.__name__)
