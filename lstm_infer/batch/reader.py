"""What all readers have in common: they open a source, say what is in it, and yield it block by block."""

import gzip
import importlib
import io
import os
import stat
import sys
from typing import NamedTuple

from ..errors import InputError
from .sources import TEXT_FORMATS

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
    types : dict
        By name, what a file that has types calls a column's.
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
        self.kinds, self.types = {}, {}

    def blocks(self, wanted):
        """Yield everything, a `Block` at a time."""
        raise NotImplementedError

    def parts(self, wanted, rows):
        """Return what parts the source may be read in, by itself each, of about so many rows.

        Returns
        -------
        list
            What ``Source.part`` may be; None is all of it.
        """
        return [None]

    def close(self):
        """Close the file, if it is not."""
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    @property
    def is_gzipped(self):
        """Whether it is being unpacked."""
        return isinstance(getattr(self, "_file", None), gzip.GzipFile)

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
        file = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
        return _unpacked(file) if source.format in TEXT_FORMATS else file
    if source.gzipped:
        return gzip.open(source.path, "rb")
    return open(source.path, "rb", buffering=0)


def _unpacked(file):
    """Return what a pipe gives, whether it is compressed or not."""
    head = read_fully(file, 2)
    file = Begun(head, file)
    return gzip.GzipFile(fileobj=file) if head == b"\x1f\x8b" else file


class Begun(io.RawIOBase):
    """A file whose first bytes have been read, to be read from its beginning."""

    def __init__(self, head, file):
        self._head, self._file = head, file

    def readable(self):
        """Yes."""
        return True

    def readinto(self, buffer):
        """Fill a buffer with what comes next; return how many bytes that were."""
        if not self._head:
            return self._file.readinto(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size], self._head = self._head[:size], self._head[size:]
        return size

    def fileno(self):
        """Return the file's handle."""
        return self._file.fileno()

    def close(self):
        """Close the file."""
        self._file.close()
        super().close()


class PartOfFile:
    """What stands between two places in an open file, as a file to read.

    Examples
    --------
    >>> import io
    >>> part = PartOfFile(io.BytesIO(b"0123456789"), 3, 6)
    >>> part.read(2), part.read(2)
    (b'34', b'5')
    """

    def __init__(self, file, begin, end):
        self._file, self._left = file, end - begin
        file.seek(begin)

    def read(self, size):
        """Return the next bytes, `size` at most."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data

    def close(self):
        """Close the file."""
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()


def parts_of_text(starts, source):
    """Return the parts of a text file that begin at `starts`: (byte, row, line) each."""
    ends = [*(byte for byte, _, _ in starts[1:]), os.path.getsize(source.path)]
    return [(begin, end, row, line) for (begin, row, line), end in zip(starts, ends, strict=False)] or [None]


def ranges(rows, most):
    """Return rows in parts, as pairs of the first one and the one after the last.

    Examples
    --------
    >>> ranges(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(first, min(rows, first + most)) for first in range(0, rows, most)]


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
