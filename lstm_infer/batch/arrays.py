"""NumPy's files: npy and npz, read piece by piece.

Pieces are read, not mapped: a file that shrinks meanwhile is then an error and not a bus error, and what was read does
not stay in the process. Only an array in Fortran's order, whose rows are scattered, is mapped.
"""

import io
import math
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

from ..errors import InputError
from .block import BLOCK_BYTES, Block
from .reader import Reader, open_bytes, ranges, read_fully


class NpyStream:
    """An npy file, or a member of an npz file, read row by row.

    Parameters
    ----------
    file : binary file
    name : str
        For messages.

    Raises
    ------
    ValueError
        It is no such file.
    """

    def __init__(self, file, name):
        self._file, self._name = file, name
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, self.fortran, self.dtype = read_header(file)
        if self.dtype.hasobject:
            raise ValueError("it holds Python objects")
        if not self.shape:
            raise ValueError("it holds a single number")
        self.rows = self.shape[0]
        self.row_bytes = self.dtype.itemsize * math.prod(self.shape[1:])

    def read(self, count):
        """Return the next `count` rows.

        Raises
        ------
        ValueError
            There are fewer.
        """
        data = read_fully(self._file, count * self.row_bytes)
        if len(data) < count * self.row_bytes:
            raise ValueError("it ends early")
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])


class NpyReader(Reader):
    """One array, a row per sample (or per timestep, for windows)."""

    def __init__(self, source, settings):
        super().__init__(source, settings)
        self._file = open_bytes(source)
        try:
            self._stream = NpyStream(self._file, source)
            self._array = self._whole_or_mapped()
        except (ValueError, OverflowError, MemoryError, EOFError) as error:
            raise self.broken(error) from None
        self.rows = self._stream.rows

    def _whole_or_mapped(self):
        stream = self._stream
        if self.source.is_file:
            left = os.fstat(self._file.fileno()).st_size - self._file.tell()
            if left < stream.rows * stream.row_bytes:
                raise ValueError(f"it holds {left} of {stream.rows * stream.row_bytes} bytes")
        if not stream.fortran or not stream.rows:
            return None
        if self.source.is_file:
            start = self._file.tell()
            return np.memmap(self.source.path, stream.dtype, "r", start, stream.shape, order="F")
        flat = np.frombuffer(read_fully(self._file, stream.rows * stream.row_bytes), stream.dtype)
        return flat.reshape(stream.shape, order="F")

    def parts(self, wanted, rows):
        return ranges(self.rows, rows)

    def blocks(self, wanted):
        with self._file:
            step = max(1, BLOCK_BYTES // max(1, self._stream.row_bytes))
            begin, end = self.source.part or (0, self.rows)
            if begin and self._array is None:
                self._file.seek(begin * self._stream.row_bytes, os.SEEK_CUR)
            for first in range(begin, end, step):
                count = min(step, end - first)
                try:
                    part = self._stream.read(count) if self._array is None else self._array[first : first + count]
                except ValueError as error:
                    raise self.broken(error) from None
                self.reached = first
                yield Block(str(self.source), {"": part}, np.arange(first, first + count))


class NpzReader(Reader):
    """Several arrays, by name."""

    def __init__(self, source, settings):
        super().__init__(source, settings)
        try:
            if source.path == "-":
                with open_bytes(source) as pipe:
                    self._file = io.BytesIO(pipe.read())
            else:
                self._file = open(source.path, "rb")  # noqa: SIM115  (closed when all is read)
            self._archive = zipfile.ZipFile(self._file)
            self.names = [name.removesuffix(".npy") for name in self._archive.namelist()]
        except OSError:
            raise
        except Exception as error:  # strange bytes make zipfile raise nearly anything
            raise self.broken(error) from None

    def blocks(self, wanted):
        names = [*wanted.numbers, *wanted.others]
        try:
            streams = {name: NpyStream(self._archive.open(f"{name}.npy"), name) for name in names}
        except Exception as error:
            raise self.broken(error) from None
        rows = {name: stream.rows for name, stream in streams.items()}
        if len(set(rows.values())) > 1:
            raise InputError(f"{self.source}: found different numbers of rows: {rows}")
        self.rows = rows = next(iter(rows.values()))
        step = max(1, BLOCK_BYTES // max(1, sum(stream.row_bytes for stream in streams.values())))
        if any(stream.fortran for stream in streams.values()):
            step = max(1, rows)
        for first in range(0, rows, step):
            count = min(step, rows - first)
            try:
                columns = {name: _in_order(stream, stream.read(count)) for name, stream in streams.items()}
            except Exception as error:  # zlib, zipfile and NumPy have an error of their own each
                raise self.broken(error) from None
            self.reached = first
            yield Block(str(self.source), columns, np.arange(first, first + count))
        self._archive.close()
        self._file.close()


def _in_order(stream, array):
    return array.reshape(-1).reshape(stream.shape, order="F") if stream.fortran else array
