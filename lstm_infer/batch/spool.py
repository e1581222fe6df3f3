"""Predictions for formats that are written as a whole: columns grow in plain files first, then make npz, h5 or parquet.

So memory stays constant, and a job that was killed goes on where every column is known to be on the disk.
"""

import copy
import importlib
import json
import math
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

from .block import BLOCK_BYTES, Ragged, Typed, as_ragged

COPY_ROWS = 1 << 14
SUFFIXES = {"array": ["values"], "ragged": ["values", "lengths"], "text": ["texts", "sizes"]}


class _Column:
    """One column in files: ``N.values``, and ``N.lengths`` where rows differ in length.

    Texts, bytes of UTF-8, are in ``N.texts`` and ``N.sizes``; the size of what is missing is -1.
    """

    def __init__(self, folder, number, about):
        self.about = about  # name, dtype, shape of a row (of a timestep, if ragged), kind: "array", "ragged" or "text"
        self._base = os.path.join(folder, str(number))
        self.paths = [f"{self._base}.{suffix}" for suffix in SUFFIXES[about["kind"]]]
        self._files = [open(path, "ab") for path in self.paths]  # noqa: SIM115  (closed when all is written)

    def append(self, column):
        parts = [column]
        if self.about["kind"] == "array" and not isinstance(column, Ragged) and column.dtype.kind not in "biuf":
            self._become_text()
        if self.about["kind"] == "array" and (isinstance(column, Ragged) or column.shape[1:] != self.shape):
            self._become_ragged()
        if self.about["kind"] == "ragged":
            column = as_ragged(column)
            parts = [column.values, column.lengths]
        elif self.about["kind"] == "text":
            if self.about.get("arrow") and _arrow_type(column) != self.about["arrow"]:  # another file has no such type
                self.about = {**self.about, "arrow": None}
            values = column.tolist()
            texts = [_text(value).encode() for value in values]
            self._files[0].write(b"".join(texts))
            sizes = [-1 if _is_null(value) else len(text) for value, text in zip(values, texts, strict=True)]
            parts = [None, np.array(sizes, np.int64)]
        for file, part in zip(self._files, parts, strict=True):
            if part is not None:
                file.write(np.ascontiguousarray(part))

    def _become_ragged(self):
        """Count the timesteps of the rows so far, since the next have another number of them."""
        self._files[0].flush()
        rows, (length, *shape) = self.rows, self.shape
        self.about = {**self.about, "kind": "ragged", "shape": shape}
        self.paths.append(self.paths[0].removesuffix("values") + "lengths")
        self._files.append(open(self.paths[1], "wb"))  # noqa: SIM115  (of a job that was killed one may be there)
        self._files[1].write(np.full(rows, length, np.int64))

    def _become_text(self):
        """Write the numbers so far as texts, since the next rows hold something else.

        A job that was killed meanwhile goes on with the numbers, which stay until the end.
        """
        self._files[0].close()
        before = copy.copy(self)
        arrow = None if self.shape else _arrow_type(np.empty(0, self.dtype))
        self.about = {"name": self.name, "dtype": "|u1", "shape": [], "kind": "text", "arrow": arrow}
        self.paths = [f"{self._base}.{suffix}" for suffix in SUFFIXES["text"]]
        self._files = [open(path, "wb") for path in self.paths]  # noqa: SIM115  (closed when all is written)
        for part in before.parts():
            self.append(part)

    def sizes(self):
        return [file.tell() for file in self._files]

    def sync(self):
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())

    def truncate(self, sizes):
        for file, size in zip(self._files, sizes, strict=True):
            file.truncate(size)
            file.seek(size)

    def close(self):
        for file in self._files:
            file.close()

    # ------------------------------------------------------------ reading it back
    @property
    def name(self):
        return self.about["name"]

    @property
    def dtype(self):
        return np.dtype(self.about["dtype"])

    @property
    def shape(self):
        return tuple(self.about["shape"])

    @property
    def rows(self):
        size = os.path.getsize(self.paths[-1])
        item = 8 if self.about["kind"] != "array" else self.dtype.itemsize * math.prod(self.shape)
        return size // max(1, item)

    def parts(self):
        """Yield the column again, `COPY_ROWS` rows at a time."""
        rows, kind = self.rows, self.about["kind"]
        with open(self.paths[0], "rb") as values, open(self.paths[-1], "rb") as lengths:
            for first in range(0, rows, COPY_ROWS):
                count = min(COPY_ROWS, rows - first)
                if kind == "array":
                    yield self._read(values, count)
                    continue
                sizes = np.frombuffer(lengths.read(8 * count), np.int64)
                if kind == "ragged":
                    yield Ragged(self._read(values, int(sizes.sum())), sizes)
                else:
                    texts = np.empty(count, object)
                    texts[:] = [None if size < 0 else values.read(size).decode() for size in sizes.tolist()]
                    yield texts

    def _read(self, file, count):
        data = file.read(count * self.dtype.itemsize * math.prod(self.shape))
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape)


class Spool:
    """Columns that grow.

    Parameters
    ----------
    folder : str
    names : list of str
        Of the outputs.
    state : dict, optional
        From `state`: where to go on.
    """

    def __init__(self, folder, names, state=None):
        self._folder, self._names, self.columns = folder, names, None
        self._state = state or {"columns": [], "sizes": []}
        if state and state["columns"]:
            self.columns = [_Column(folder, n, about) for n, about in enumerate(state["columns"])]
            for column, sizes in zip(self.columns, state["sizes"], strict=True):
                column.truncate(sizes)

    def write(self, results):
        """Append predictions and what stands beside them."""
        found = [*results.beside.items(), *zip(self._names, results.outputs, strict=True)]
        if self.columns is None:
            self.columns = [_Column(self._folder, n, _about(name, c)) for n, (name, c) in enumerate(found)]
            for column in self.columns:
                column.truncate([0] * len(column.paths))
        for column, (_, values) in zip(self.columns, found, strict=True):
            column.append(values)
        self._state = {"columns": [c.about for c in self.columns], "sizes": [c.sizes() for c in self.columns]}

    def state(self):
        """Return what there is of all columns, which is on the disk now."""
        for column in self.columns or ():
            column.sync()
        return self._state

    def close(self):
        """Close the files of all columns."""
        for column in self.columns or ():
            column.close()


def _about(name, column):
    if isinstance(column, Ragged):
        values = column.values
        return {"name": name, "dtype": values.dtype.str, "shape": list(values.shape[1:]), "kind": "ragged"}
    if column.dtype.kind not in "biuf":
        return {"name": name, "dtype": "|u1", "shape": [], "kind": "text", "arrow": _arrow_type(column)}
    return {"name": name, "dtype": column.dtype.str, "shape": list(column.shape[1:]), "kind": "array"}


def _arrow_type(column):
    """Return what `Typed` texts, or numbers, tell of their type in Arrow; None if they are of none, or of several."""
    if column.dtype.kind in "biuf":
        from .typed import type_of

        return type_of(column.dtype)
    found = {value.arrow if isinstance(value, Typed) else None for value in column.tolist()}
    return found.pop() if len(found) == 1 else None


def _is_null(value):
    return value is None or (isinstance(value, Typed) and value.is_null)


def _text(value):
    if isinstance(value, float):
        return repr(value)  # JSON has no word for some
    return value if isinstance(value, str) else json.dumps(value)


# ---------------------------------------------------------------- the formats
def write_npz(path, columns):
    """Write columns as an npz file: a ragged one as NAME (all timesteps) and NAME.lengths."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for column in columns:
            kind = column.about["kind"]
            if kind == "text":
                _write_texts(archive, column)
                continue
            rows = column.rows if kind == "array" else os.path.getsize(column.paths[0]) // max(
                1, column.dtype.itemsize * math.prod(column.shape)
            )
            _copy_member(archive, column.name, column.paths[0], column.dtype, (rows, *column.shape))
            if kind == "ragged":
                _copy_member(archive, f"{column.name}.lengths", column.paths[1], np.dtype(np.int64), (column.rows,))


def _copy_member(archive, name, path, dtype, shape):
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member, open(path, "rb") as values:
        descr = npy.dtype_to_descr(dtype)
        npy.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": shape})
        while data := values.read(BLOCK_BYTES):
            member.write(data)


def _write_texts(archive, column):
    width = max((len(text or "") for part in column.parts() for text in part), default=1)
    with archive.open(f"{column.name}.npy", "w", force_zip64=True) as member:
        header = {"descr": f"<U{max(1, width)}", "fortran_order": False, "shape": (column.rows,)}
        npy.write_array_header_1_0(member, header)
        for part in column.parts():
            member.write(np.array([text or "" for text in part.tolist()], f"<U{max(1, width)}").tobytes())


def _by(module, name):
    """Return a function of another module, which is imported when it is called."""

    def write(path, columns):
        getattr(importlib.import_module(f".{module}", __package__), name)(path, columns)

    return write


FINISH = {
    "npz": write_npz,
    "h5": _by("hdf5", "write"),
    "arrow": _by("tables", "write_arrow"),
    "parquet": _by("tables", "write_parquet"),
}
"""What makes a file of the columns, by format."""
