"""Which files a path, a folder, a glob or ``-`` stands for, and what format each has."""

import glob
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError

SUFFIXES = {
    "npy": "npy", "npz": "npz", "csv": "csv", "tsv": "csv", "txt": "csv", "jsonl": "jsonl", "ndjson": "jsonl",
    "parquet": "parquet", "pq": "parquet", "arrow": "arrow", "feather": "arrow", "h5": "h5", "hdf5": "h5", "hdf": "h5",
}  # fmt: skip
INPUT_FORMATS = ("npy", "npz", "csv", "jsonl", "parquet", "arrow", "h5")
TEXT_FORMATS = ("csv", "jsonl")


class Source(NamedTuple):
    """One file of data.

    Attributes
    ----------
    path : str
        ``-`` for standard input.
    format : str
        One of `INPUT_FORMATS`.
    inside : str or None
        The path of a dataset or group in an HDF5 file.
    gzipped : bool
    part : tuple of int or None
        What is to be read, where it is not all: of npy and HDF5, the first row and the one after the last; of parquet,
        row groups; of CSV and JSON lines, the first byte and the one after the last, then the first one's row and line.
    """

    path: str
    format: str
    inside: str | None = None
    gzipped: bool = False
    part: tuple | None = None

    def __str__(self):
        return self.path if self.inside is None else f"{self.path}:{self.inside}"

    @property
    def is_file(self):
        """Whether it can be read again: a regular file."""
        return self.path != "-" and stat.S_ISREG(os.stat(self.path).st_mode)


def find(given, chosen=None):
    """Return the sources that `given` stands for.

    Parameters
    ----------
    given : str or PathLike
        A file, a folder (all data files below it, in order of their names), a glob, ``file.h5:/dataset``, or ``-``.
    chosen : str, optional
        The format, instead of what suffixes say; ``-`` is CSV unless it is given.

    Returns
    -------
    list of Source

    Raises
    ------
    InputError
        There is no data, or of an unknown format.
    FileNotFoundError

    Examples
    --------
    >>> find("-")
    [Source(path='-', format='csv', inside=None, gzipped=False, part=None)]
    """
    given = os.fspath(given)
    if given == "-":
        return [Source("-", chosen or "csv")]
    if os.path.isdir(given):
        found = [str(path) for path in sorted(Path(given).rglob("*")) if _is_data(path, Path(given), chosen)]
        if not found:
            raise InputError(f"{given}: found no data files in the folder, expected suffixes {sorted(SUFFIXES)}")
        return [_source(path, chosen) for path in found]
    if not os.path.exists(given) and glob.has_magic(given):
        found = sorted(path for path in glob.glob(given, recursive=True) if not os.path.isdir(path))
        if not found:
            raise InputError(f"{given}: found no files")
        return [_source(path, chosen) for path in found]
    return [_source(given, chosen)]


def _is_data(path, folder, chosen):
    hidden = any(part[0] in "._" for part in path.relative_to(folder).parts)
    return not hidden and path.is_file() and (chosen or _format(str(path))[0] is not None)


def _source(path, chosen):
    inside = None
    if not os.path.exists(path):
        outer, mark, rest = path.rpartition(":")
        if mark and os.path.exists(outer):
            path, inside = outer, rest
    found, gzipped = _format(path)
    if inside is not None and (chosen or found) != "h5":
        raise InputError(f"{path}:{inside}: found a dataset of a file that is not HDF5")
    if chosen is None and found is None:
        suffix = Path(path).suffix[1:].lower()
        raise InputError(f"{path}: found the suffix {suffix!r}, expected one of {sorted(SUFFIXES)} or --input-format")
    if gzipped and (chosen or found) not in TEXT_FORMATS:
        raise InputError(f"{path}: found compressed {chosen or found}, expected gzip of {TEXT_FORMATS} only")
    os.stat(path)  # so that what is missing is found before the work
    return Source(path, chosen or found, inside, gzipped)


def _format(path):
    """Return the format that a name says, or None, and whether the name says gzip."""
    path = Path(path)
    gzipped = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if gzipped else path).suffix
    return SUFFIXES.get(suffix[1:].lower()), gzipped
