"""The one way this package compiles a function, and where compiled code is kept between processes.

Numba's own cache looks only at the file that defines a function, so an edit in another kernel file, or of an option
below, would silently run old code. Here the cache folder is named after a digest of every kernel source, of Python and
of Numba: whatever changes, the folder changes too. Numba itself keys the entries inside by CPU.

A Numba cache is a pickle, so whoever can write the folder can run code as its reader. It is therefore
``LSTM_INFER_CACHE_DIR`` if that is set, else ``lstm_infer`` in the user's own cache folder (``XDG_CACHE_HOME``,
``LOCALAPPDATA`` on Windows), created with mode 0700; a folder that belongs to somebody else or that others can write is
not used. Without a usable folder, and whenever reading or writing a cached kernel fails, kernels are compiled in
memory.
"""

import functools
import hashlib
import os
import stat
import sys
from pathlib import Path

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys

OPTIONS = {
    "nogil": True,  # other Python threads run while a kernel does
    "error_model": "numpy",  # 1/0 is inf, as in the formulas, instead of a branch and an exception
    "fastmath": False,  # a fixed order of summation and honest NaN are promises of this package
}


def kernel(function):
    """Compile `function` with the package's options, on its first call, through the package's cache."""
    dispatcher = numba.njit(**OPTIONS)(function)
    if cache_folder() is not None:
        dispatcher._cache = _KernelCache(function)
    return dispatcher


def inner(function):
    """Make `function` a part of the kernels that call it: it is written into them before they are compiled.

    So the compiler sees all of a kernel once, instead of once per function and again in every caller, and no call is
    left in it.
    """
    return numba.njit(**OPTIONS, inline="always")(function)


@functools.cache
def cache_folder():
    """Return the folder of compiled kernels that belongs to this very code, or None where there is no safe one."""
    chosen = os.environ.get("LSTM_INFER_CACHE_DIR")
    try:
        # absolute, since Numba comes back to it later, when this process may have changed its directory
        folder = (Path(chosen) if chosen else _user_cache() / "lstm_infer").absolute() / _digest()
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for private in (folder.parent, folder):  # one by one: with parents=True the mode would hold for the last alone
            private.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(private):
                return None
        return folder if os.access(folder, os.R_OK | os.X_OK) else None
    except (OSError, RuntimeError):
        return None


def _user_cache():
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _is_private(folder):
    if os.name == "nt":  # folders below the user's profile are the user's own there
        return True
    status = folder.stat()
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _digest():
    text = repr((sys.version_info[:2], numba.__version__, llvmlite.__version__, sorted(OPTIONS.items()))).encode()
    digest = hashlib.sha256(text)
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


class _Locator(_CacheLocator):
    """Tells Numba the folder; the folder's name already vouches that the code is today's."""

    def __init__(self, function):
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func)

    def get_cache_path(self):
        return str(cache_folder())

    def get_source_stamp(self):
        return "current"

    def get_disambiguator(self):
        return str(self._line)


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = (_Locator,)


class _KernelCache(FunctionCache):
    """Numba's cache, for which no state of the disk is an error: it then compiles in memory."""

    _impl_class = _CacheImpl

    def load_overload(self, sig, target_context):
        try:
            # Numba would import all that it compiles with, 90 ms of a new process; to run, kernels need its runtime
            # alone (dictionaries and parallel loops, which no kernel has, would need more). Compiling imports the rest.
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)
        except Exception:  # a truncated or foreign file may raise anything while it is unpickled
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception:  # a damaged index, a read-only folder, a full disk
            self._replace_index(sig, data)

    def _replace_index(self, sig, data):
        try:
            self.flush()
            super().save_overload(sig, data)
        except Exception:
            self.disable()
