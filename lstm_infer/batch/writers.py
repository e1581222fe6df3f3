"""Predictions as they come, written to a file that grows: text and npy directly, other formats through a spool.

A writer can tell at any time how far it is (`state`, after what was written is durable), and can be opened again at
such a state: what was written after it is cut off.
"""

import csv
import io
import itertools
import json
import math
import os

import numpy as np
from numpy.lib import format as npy

from ..errors import InputError
from .block import Ragged, Typed

DIGITS = {"float16": "%.5g", "float32": "%.9g", "float64": "%.17g"}
"""Enough to read the same number back."""


class Writer:
    """A file that grows.

    Parameters
    ----------
    file : binary file
    names : list of str
        Of the outputs.
    settings : Settings
    state : int, optional
        The size at which to go on.
    """

    def __init__(self, file, names, settings, state=0):
        self._file, self._names, self._settings, self._written = file, names, settings, state
        if state:
            file.truncate(state)
            file.seek(state)

    def write(self, results):
        """Append predictions."""
        data = self._encoded(results)
        if not len(data):
            return
        view = memoryview(data).cast("B")
        while len(view):  # a file without a buffer may take less than it is given
            view = view[self._file.write(view) or 0 :]
        self._written += len(data) if isinstance(data, bytes) else data.nbytes

    def state(self):
        """Return the size of the file, which is on the disk now."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._written

    def finish(self):
        """Write what stands at the end, or at the beginning."""

    def _encoded(self, results):
        raise NotImplementedError

    def _digits(self, dtype):
        if self._settings.round is not None and dtype.kind == "f":
            return f"%.{self._settings.round}f"
        return DIGITS.get(dtype.name, "%d")


class CsvWriter(Writer):
    """A line per row; with a header where there is more than the numbers of one output."""

    def _encoded(self, results):
        columns, formats, header = [], [], []
        for name, values in results.beside.items():
            columns.append(_cells(values))
            formats.append("%s" if values.dtype.kind not in "biuf" else self._digits(values.dtype))
            header.append(_cell(name))
        for name, output in zip(self._names, results.outputs, strict=True):
            if isinstance(output, Ragged):
                raise InputError("found predictions of different length, expected a jsonl, parquet, arrow or h5 output")
            flat = output.reshape(len(output), math.prod(output.shape[1:]))
            columns.append(flat)
            formats += [self._digits(flat.dtype)] * flat.shape[1]
            header += [_cell(name)] if flat.shape[1] == 1 else [_cell(f"{name}_{n}") for n in range(flat.shape[1])]
        line = ",".join(formats) + "\n"
        if len(columns) == 1:
            text = line * len(columns[0]) % tuple(columns[0].reshape(-1).tolist())
            return text.encode()
        flat = [column if isinstance(column, list) else part for column in columns for part in _lists(column)]
        text = line * len(flat[0]) % tuple(itertools.chain.from_iterable(zip(*flat, strict=True)))
        return ("" if self._written else ",".join(header) + "\n").encode() + text.encode()


def _lists(column):
    return [column] if isinstance(column, list) else column.T.tolist()


MARKS = ',"\n\r'
"""What makes a cell need quotes."""


def _cells(values):
    """Return what stands beside predictions as numbers or as cells of CSV."""
    if values.dtype.kind in "biuf":
        return values.tolist()
    values = values.tolist()
    if set(map(type, values)) == {str}:
        joined = "".join(values)
        if not any(mark in joined for mark in MARKS):
            return values
    return [_cell(value) for value in values]


def _cell(value):
    """Return a value as a cell of CSV."""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, (list, dict)) else str(value)
    if not any(mark in text for mark in MARKS):
        return text
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([text])  # whose characters it quotes
    return line.getvalue()[:-2]


class JsonlWriter(Writer):
    """An object per row, with the outputs nested as they are. JSON has no NaN and no infinity: they become null."""

    def _encoded(self, results):
        beside = [(json.dumps(name), values.tolist()) for name, values in results.beside.items()]
        outputs = [
            (json.dumps(name), self._texts(output))
            for name, output in zip(self._names, results.outputs, strict=True)
        ]
        members = [[f"{name}: {_json(value)}" for value in values] for name, values in beside]
        members += [[f"{name}: {text}" for text in texts] for name, texts in outputs]
        return "".join("{" + ", ".join(row) + "}\n" for row in zip(*members, strict=True)).encode()

    def _texts(self, output):
        if isinstance(output, Ragged):
            return [self._text(row, _template(row.shape, self._digits(row.dtype))) for row in output]
        template = _template(output.shape[1:], self._digits(output.dtype))
        if output.dtype.kind != "f" or np.isfinite(output).all():
            flat = output.reshape(len(output), math.prod(output.shape[1:]))
            return [template % tuple(row) for row in flat.tolist()]
        return [self._text(row, template) for row in output]

    def _text(self, row, template):
        numbers = row.reshape(-1).tolist()
        if row.dtype.kind == "f" and not np.isfinite(row).all():
            digits = self._digits(row.dtype)
            texts = tuple(digits % number if math.isfinite(number) else "null" for number in numbers)
            return template.replace(digits, "%s") % texts
        return template % tuple(numbers)


def _json(value):
    if isinstance(value, Typed) and (value.is_null or value.is_json):
        return "null" if value.is_null or value in ("nan", "inf", "-inf") else value.lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    return json.dumps(value)


def _template(shape, digits):
    """Return nested brackets for numbers of a shape.

    >>> _template((2, 1), "%d")
    '[[%d], [%d]]'
    """
    text = digits
    for size in reversed(shape):
        text = "[" + ", ".join([text] * size) + "]"
    return text


class NpyWriter(Writer):
    """One array; its number of rows is written last, into a header that has the room."""

    def __init__(self, file, names, settings, state=0, start=None):
        if len(names) > 1:
            raise InputError(f"the model has {len(names)} outputs, expected an .npz target or --output-format npz")
        super().__init__(file, names, settings, state)
        self._shape = self._dtype = None
        self._header_size = 0
        if state:
            self._read_header()

    def _read_header(self):
        self._file.seek(0)
        version = npy.read_magic(self._file)
        assert version == (1, 0)
        (_, *shape), _, self._dtype = npy.read_array_header_1_0(self._file)
        self._shape, self._header_size = tuple(shape), self._file.tell()
        self._file.seek(self._written)

    def _encoded(self, results):
        (output,) = results.outputs
        if isinstance(output, Ragged) or (self._shape is not None and output.shape[1:] != self._shape):
            raise InputError("found predictions of different length, expected a jsonl, parquet, arrow or h5 output")
        data = np.ascontiguousarray(output)
        if self._shape is not None:
            return data.reshape(-1)
        self._shape, self._dtype = output.shape[1:], output.dtype
        header = self._header(0)
        self._header_size = len(header)
        return header + data.tobytes()

    def _header(self, rows):
        header = io.BytesIO()
        descr = npy.dtype_to_descr(self._dtype)
        npy.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": (rows, *self._shape)})
        return header.getvalue()

    def finish(self):
        row_bytes = self._dtype.itemsize * math.prod(self._shape)
        rows = (self._written - self._header_size) // max(1, row_bytes)
        self._file.seek(0)
        self._file.write(self._header(rows))
        self._file.seek(0, os.SEEK_END)
