"""Datasets of HDF5 files, read piece by piece: ``file.h5:/path``."""

import math
import os

import h5py
import numpy as np

from ..errors import InputError
from .block import BLOCK_BYTES, Block, Ragged
from .reader import Reader, ranges


class Hdf5Reader(Reader):
    """A dataset, or the datasets of a group by their names.

    Links out of the file and virtual datasets are refused, since data may come from strangers. A dataset of arrays of
    variable length is ragged.
    """

    def __init__(self, source, settings):
        super().__init__(source, settings)
        if not os.path.isfile(source.path):
            raise InputError(f"{source}: found no regular file, which HDF5 needs")
        try:
            self._file = h5py.File(source.path, "r")
            found = self._file[source.inside or "/"]
            self._datasets = self._inside(found)
        except KeyError:
            raise InputError(f"{source.path}: found no '{source.inside}', only {sorted(self._file)[:20]}") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise self.broken(error) from None
        if not self._datasets:
            raise InputError(f"{source}: found no datasets, expected one of numbers; name it as {source.path}:/PATH")
        self.names = None if list(self._datasets) == [""] else list(self._datasets)

    def _inside(self, found):
        if isinstance(found, h5py.Dataset):
            return {"": self._checked(found)}
        own = [name for name in found if isinstance(found.get(name, getlink=True), h5py.HardLink)]
        return {name: self._checked(found[name]) for name in own if isinstance(found[name], h5py.Dataset)}

    def _checked(self, dataset):
        if dataset.is_virtual or dataset.external or dataset.file.filename != self._file.filename:
            raise ValueError(f"{dataset.name} keeps its data outside of the file")
        if not dataset.shape:
            raise ValueError(f"{dataset.name} has no rows")
        return dataset

    def parts(self, wanted, rows):
        return ranges(self._count(wanted), rows)

    def _count(self, wanted):
        rows = {name: len(self._datasets[name]) for name in [*wanted.numbers, *wanted.others]}
        if len(set(rows.values())) > 1:
            raise InputError(f"{self.source}: found different numbers of rows: {rows}")
        return next(iter(rows.values()))

    def blocks(self, wanted):
        with self._file:
            self.rows = rows = self._count(wanted)
            datasets = {name: self._datasets[name] for name in [*wanted.numbers, *wanted.others]}
            step = max(1, BLOCK_BYTES // max(1, sum(map(_row_bytes, datasets.values()))))
            begin, end = self.source.part or (0, rows)
            for first in range(begin, end, step):
                last = min(end, first + step)
                try:
                    columns = {name: _column(dataset, first, last) for name, dataset in datasets.items()}
                except (OSError, RuntimeError, ValueError) as error:
                    raise self.broken(error) from None
                self.reached = first
                yield Block(str(self.source), columns, np.arange(first, last))


def _row_bytes(dataset):
    guess = 4096 if h5py.check_vlen_dtype(dataset.dtype) else dataset.dtype.itemsize
    return guess * math.prod(dataset.shape[1:])


def _column(dataset, first, last):
    if h5py.check_string_dtype(dataset.dtype):
        return dataset.asstr()[first:last]
    part = dataset[first:last]
    if h5py.check_vlen_dtype(dataset.dtype):
        return Ragged.of(list(part))
    return part


def write(path, columns):
    """Write the columns of a `spool.Spool` as datasets.

    Rows of different length become a dataset of variable length, NAME; where a timestep is several numbers, they stand
    one after the other, and the attribute ``timestep_shape`` tells how many there are.
    """
    with h5py.File(path, "w") as file:
        for column in columns:
            kind, rows = column.about["kind"], column.rows
            if kind == "array":
                dataset = file.create_dataset(column.name, (rows, *column.shape), column.dtype)
            elif kind == "text":
                dataset = file.create_dataset(column.name, (rows,), h5py.string_dtype())
            else:
                dataset = file.create_dataset(column.name, (rows,), h5py.vlen_dtype(column.dtype))
                dataset.attrs["timestep_shape"] = np.array(column.shape, np.int64)
            first = 0
            for part in column.parts():
                last = first + len(part)
                if kind == "ragged":
                    for n, row in enumerate(part, first):
                        dataset[n] = row.reshape(-1)
                elif last > first:
                    dataset[first:last] = part if kind == "array" else [text or "" for text in part.tolist()]
                first = last
