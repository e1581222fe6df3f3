"""What all readers have in common: they open a source, say what is in it, and yield it block by block."""

import gzip
import importlib
import os
import stat
import sys
from typing import NamedTuple

from ..errors import InputError

READERS = {
    "npy": ("arrays", "NpyReader"),
    "npz": ("arrays", "NpzReader"),
    "csv": ("delimited", "CsvReader"),
    "jsonl": ("jsonl", "JsonlReader"),
    "parquet": ("tables", "ParquetReader"),
    "arrow": ("tables", "ArrowReader"),
    "h5": ("hdf5", "Hdf5Reader"),
}


class Wanted(NamedTuple):
    """What is read of a source.

    Attributes
    ----------
    numbers : list of str
        Columns of numbers, which models take.
    others : list of str
        Columns of anything, which stay beside.
    shapes : dict
        By column of numbers: the shape that the model expects of a row, None where it is free.
    """

    numbers: list
    others: list
    shapes: dict


class Reader:
    """A source that is open.

    Attributes
    ----------
    names : list of str or None
        The names of its columns, if they have any.
    kinds : dict
        By name, what is known of a column: "number", "list" or "text".
    rows : int or None
        Their number, if it is known before they are read.
    """

    names = None
    rows = None
    is_done = False
    """Whether everything has been read."""
    reached = 0
    """The row at which the reader is, if their number is known."""
    is_table = False
    """Whether its columns are single numbers, of which several make an input."""

    def __init__(self, source, settings):
        self.source, self.settings = source, settings
        self.kinds = {}

    def blocks(self, wanted):
        """Yield everything, a `Block` at a time."""
        raise NotImplementedError

    def count(self, wanted):
        """Return the number of rows, which is known."""
        return self.rows

    def close(self):
        """Close the file, if it is not."""
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    def fraction(self):
        """Return how much of the source has been read, from 0 to 1; None where nobody knows."""
        file = getattr(self, "_file", None)
        if self.rows:
            return min(1.0, self.reached / self.rows)
        try:
            handle = file.fileno()
            status = os.fstat(handle)
            return os.lseek(handle, 0, os.SEEK_CUR) / status.st_size if stat.S_ISREG(status.st_mode) else None
        except (AttributeError, OSError, ValueError, ZeroDivisionError):  # closed meanwhile, or no such file
            return None

    def broken(self, error):
        """Return the error that says that the source is not what its name says."""
        return InputError(f"{self.source}: found no valid {self.source.format} file ({error})")


def open_source(source, settings):
    """Return the `Reader` of a source."""
    module, name = READERS[source.format]
    kind = getattr(importlib.import_module(f".{module}", __package__), name)
    reader = kind.__new__(kind)
    try:
        reader.__init__(source, settings)
    except BaseException:
        reader.close()
        raise
    return reader


def open_bytes(source):
    """Return an open binary file: standard input without a buffer, which a thread may leave unread."""
    if source.path == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed")
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    if source.gzipped:
        return gzip.open(source.path, "rb")
    return open(source.path, "rb", buffering=0)


def read_fully(file, size):
    """Return `size` bytes, fewer only at the end: a pipe gives what it has."""
    parts, missing = [], size
    while missing:
        part = file.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
