"""State on disk: npz files, written beside their place and then moved there, read without believing a word of them."""

import os
import zipfile
from math import prod

import numpy as np

from ..errors import LoadError
from ..wholefile import replacing

MOST_HEADER = 4096
"""Characters of an array's header; ours have about a hundred."""


def write(path, arrays):
    """Write named arrays; what stood there before stays whole until all is on the disk.

    Parameters
    ----------
    path : str or PathLike
    arrays : dict of str to array
    """
    with replacing(path) as file:
        np.savez(file, **arrays)


def read(path):
    """Return the named arrays of a file that `write` made.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    dict of str to array

    Raises
    ------
    LoadError
        It is no such file, or it is damaged.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or sum(entry.file_size for entry in entries) > os.fstat(file.fileno()).st_size:
                raise LoadError(f"{path}: found compressed or overlapping entries, expected a file of saved state")
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}
    except LoadError:
        raise
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise LoadError(f"{path}: found no readable file of saved state ({error})") from error


def _array(archive, entry):
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if header is None:
            raise ValueError(f"array of format {version}")
        shape, is_fortran, dtype = header(file, max_header_size=MOST_HEADER)
        size = prod(shape) * dtype.itemsize
        if dtype.hasobject or is_fortran or size != entry.file_size - file.tell():
            raise ValueError(f"array '{entry.filename}' of {dtype} and shape {shape} in {entry.file_size} bytes")
        return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)
