"""All sources of a job as one stream of `Samples`, in an order that never changes."""

import dataclasses
import functools
import itertools
import os

import numpy as np

from ..errors import InputError
from .aligned import Stream, side_by_side
from .block import BLOCK_BYTES, Block, Ragged, join_samples
from .plan import as_first, plan
from .reader import Reader, open_source
from .samples import Assembler
from .sources import Source, find

FEW_ROWS = 1 << 11
"""Rows below which samples of several blocks (many small files, say) are put together."""


class Feed:
    """The samples of all sources.

    Parameters
    ----------
    model : Model
    inputs : path, list of paths, dict of them by input name, or iterable of batches
    settings : Settings
        With `scale` and `tokenizer` loaded.
    coalesce : bool
        Whether to put small pieces together.

    Attributes
    ----------
    sources : list of Source
        Empty for an iterable.
    """

    def __init__(self, model, inputs, settings, coalesce=True):
        self._model, self._settings, self._coalesce = model, settings, coalesce
        self._by_input, self._streams = None, []
        self._done, self._reader, self._readers = 0, None, []
        try:
            self._find(model, inputs, settings)
        except BaseException:
            self.close()
            raise

    def _find(self, model, inputs, settings):
        if isinstance(inputs, dict):
            self._by_input = by_input(model, inputs, settings)
            self.sources = [source for sources in self._by_input.values() for source in sources]
            self._open_all()
            return
        self._several = False
        if isinstance(inputs, (str, os.PathLike)) or (isinstance(inputs, (list, tuple)) and _are_paths(inputs)):
            self._first, paths = None, [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
            self.sources = [source for path in paths for source in _sources(path, settings)]
            self._several = len(self.sources) > 1
            self._first = self._opened(self.sources[0]) if self.sources else None
        else:
            self.sources = []
            self._first = self._planned(IterableReader(inputs, settings, model.inputs), model.inputs)

    def fraction(self):
        """Return how much has been read, from 0 to 1; None where nobody knows."""
        total = max(1, len(self.sources))
        reader = self._reader
        if reader is None:
            return self._done / total
        part = reader.fraction()
        return None if part is None else (self._done + part) / total

    def samples(self):
        """Yield everything, some thousand rows at a time."""
        samples = self._samples() if self._by_input is None else side_by_side(self._streams, self._model)
        if self._settings.on_error == "fail":
            samples = _failing(samples)
        return _coalesced(samples) if self._coalesce else samples

    # ------------------------------------------------------------ one stream
    def _opened(self, source):
        reader, its_plan = self._planned(open_source(source, self._settings), self._model.inputs)
        if self._first is not None:
            its_plan = as_first(its_plan, reader, *reversed(self._first))
        return reader, its_plan

    def close(self):
        """Close what is open."""
        for reader in self._readers:
            reader.close()

    def _planned(self, reader, tensors, settings=None):
        self._readers = [*(one for one in self._readers if not one.is_done), reader]
        return reader, plan(tensors, reader, settings or self._settings)

    def _samples(self):
        if self._first is None:
            return
        rest = (self._opened(source) for source in self.sources[1:])
        assembler = None
        for reader, its_plan in itertools.chain([self._first], rest):
            self._reader = reader
            assembler = _assembler(assembler, self._model.inputs, its_plan, self._settings)
            blocks = reader.blocks(its_plan.wanted(self._model.inputs))
            if self._settings.on_error == "fail":
                blocks = _failing(blocks)
            for samples in assembler.samples(blocks):
                yield self._with_source(samples)
            reader.is_done = True
            self._done += 1

    def _with_source(self, samples):
        if not (self._several and self._settings.has_index):
            return samples
        names = np.empty(len(samples.rows), object)
        names[:] = samples.origins[0][0]
        return samples._replace(beside={"source": names, **samples.beside})

    # ------------------------------------------------------------ a file for each input
    def _open_all(self):
        if self._settings.on_error == "skip" and self._settings.stride > 1:
            raise InputError("on_error='skip' with a file for each input needs stride=1: windows would not match")
        tensors = {tensor.name: tensor for tensor in self._model.inputs}
        for name, sources in self._by_input.items():
            self._streams.append(self._stream(sources, tensors[name]))
        names = {name for reader in self._readers for name in reader.names or ()}
        for column in filter(None, [self._settings.time, *self._settings.with_input]):
            if column not in names:
                raise InputError(f"found no column {column!r} in the files of any input, only {sorted(names)[:20]}")

    def _stream(self, sources, tensor):
        assembler = None

        def opened(source):
            nonlocal assembler
            reader = open_source(source, self._settings)
            settings = of_one(self._settings, reader)
            its_plan = self._planned(reader, [tensor], settings)[1]
            blocks = reader.blocks(its_plan.wanted([tensor]))
            if self._settings.on_error == "fail":
                blocks = _failing(blocks)
            assembler = _assembler(assembler, [tensor], its_plan, settings, len(self._model.inputs))
            return blocks, assembler.samples

        first = opened(sources[0])  # now: so that what is wrong with it is found before the work
        return Stream([lambda: first, *(functools.partial(opened, source) for source in sources[1:])])


def _assembler(before, tensors, its_plan, settings, inputs=None):
    """Return the `Assembler` for a source: the one of the source before, where the rows go on."""
    if before is None or not settings.across_files:
        return Assembler(tensors, its_plan, settings, inputs)
    before.go_on(its_plan)
    return before


def _are_paths(inputs):
    return all(isinstance(one, (str, os.PathLike, Source)) for one in inputs)


def _sources(path, settings):
    return [path] if isinstance(path, Source) else find(path, settings.input_format)


def by_input(model, inputs, settings):
    """Return the sources of every input of a model, a dict of lists."""
    names = model.input_names
    renamed = {f"input_{n}": name for n, name in enumerate(names)}
    found = {renamed.get(name, name) if name not in names else name: paths for name, paths in inputs.items()}
    if set(found) != set(names):
        raise InputError(f"found inputs {sorted(inputs)}, expected {names}")
    listed = {name: [found[name]] if isinstance(found[name], (str, os.PathLike)) else found[name] for name in names}
    return {name: [source for path in listed[name] for source in _sources(path, settings)] for name in names}


def of_one(settings, reader):
    """Return the settings for the source of one input of several, which may hold some of the columns beside."""
    held = reader.names or ()
    time = settings.time if settings.time in held else None
    return dataclasses.replace(settings, time=time, with_input=[n for n in settings.with_input if n in held])


def _failing(stream):
    """Yield blocks or samples until a row was rejected."""
    for one in stream:
        for first in one.rejected:
            raise InputError(f"{first.source}, {first.where}: {first.reason}")
        yield one


# ---------------------------------------------------------------- sizes
def _coalesced(stream):
    """Yield samples, small ones put together."""
    waiting, rows = [], 0
    for samples in stream:
        if waiting and not _alike(waiting[0], samples):
            yield join_samples(waiting)
            waiting, rows = [], 0
        waiting.append(samples)
        rows += len(samples.rows)
        if rows >= FEW_ROWS or sum(map(_bytes, waiting)) >= BLOCK_BYTES:
            yield join_samples(waiting)
            waiting, rows = [], 0
    if waiting:
        yield join_samples(waiting)


def _alike(first, second):
    """Whether samples may be put together: rows of equal shape, or the same kind of ragged ones."""
    if first.beside.keys() != second.beside.keys() or (first.lengths is None) != (second.lengths is None):
        return False
    if any((first.beside[name].dtype == object) != (column.dtype == object) for name, column in second.beside.items()):
        return False  # numbers, of which some may be missing in the second
    pairs = zip(first.inputs.values(), second.inputs.values(), strict=True)
    return all(
        isinstance(a, Ragged) == isinstance(b, Ragged)
        and (a.values.shape[1:] == b.values.shape[1:] if isinstance(a, Ragged) else a.shape[1:] == b.shape[1:])
        for a, b in pairs
    )


def _bytes(samples):
    return sum(c.values.nbytes if isinstance(c, Ragged) else c.nbytes for c in samples.inputs.values())


def exactly(stream, rows):
    """Yield samples again, in pieces of exactly so many rows (but for the last); in one piece for None."""
    waiting, count = [], 0
    for samples in stream:
        waiting.append(samples)
        count += len(samples.rows)
        while rows is not None and count >= rows:
            joined = join_samples(waiting)
            yield joined.take(slice(0, rows))
            waiting, count = [joined.take(slice(rows, count))], count - rows
    if count or any(samples.rejected for samples in waiting):
        yield join_samples(waiting)


def skipping(stream, samples, rejected):
    """Yield a stream without its first samples and rejected rows: those that a job before has written."""
    for one in stream:
        found = one.rejected
        skipped = min(rejected, len(found))
        rejected -= skipped
        rows = min(samples, len(one.rows))
        samples -= rows
        rest = one.take(slice(rows, len(one.rows)))._replace(rejected=found[skipped:])
        if len(rest.rows) or rest.rejected:
            yield rest


# ---------------------------------------------------------------- Python's own
class IterableReader(Reader):
    """Batches that Python code makes: an array, a dict of arrays by name, or a list of arrays of different length.

    For a model with several inputs also a list of arrays in the model's order.
    """

    def __init__(self, batches, settings, tensors):
        super().__init__(Source("batch", "npy"), settings)
        try:
            self._batches = iter(batches)
        except TypeError:
            raise InputError(f"found {type(batches).__name__}, expected paths or an iterable of batches") from None
        self._batches = map(functools.partial(_by_name, tensors), self._batches)
        self._first = next(self._batches, None)
        self.names = None if self._first is None or "" in self._first else list(self._first)

    def fraction(self):
        return None

    def blocks(self, wanted):
        row = 0
        for batch in itertools.chain([] if self._first is None else [self._first], self._batches):
            columns = {name: _column(values, name) for name, values in batch.items()}
            missing = [name for name in (*wanted.numbers, *wanted.others) if name not in columns]
            if missing:
                raise InputError(f"found a batch of {sorted(columns)}, expected {missing[0]!r}")
            rows = {len(column) for column in columns.values()}
            if len(rows) > 1:
                raise InputError(f"found a batch with different numbers of rows: {sorted(rows)}")
            yield Block("batch", columns, np.arange(row, row + max(rows)))
            row += max(rows)


def _by_name(tensors, batch):
    """Return the columns of a batch by name; "" is that of an array alone."""
    if isinstance(batch, dict):
        return batch
    if isinstance(batch, (list, tuple)):
        names = [tensor.name for tensor in tensors]
        if len(names) > 1 and len(batch) != len(names):
            raise InputError(f"found a batch of {len(batch)} arrays, expected one for each of {names}")
        if len(names) > 1:
            return dict(zip(names, batch, strict=True))
        if len(batch) == 1 and getattr(batch[0], "ndim", 0) == len(tensors[0].shape):
            return {"": batch[0]}
    elif np.ndim(batch) == 0:
        raise InputError(f"found a batch of {type(batch).__name__}, expected an array, or a list or dict of them")
    return {"": batch}


def _column(value, name):
    if not isinstance(value, (list, tuple)) and np.ndim(value) == 0:
        found = f"found {type(value).__name__} in a batch{f' for {name!r}' if name else ''}"
        raise InputError(f"{found}, expected an array")
    if isinstance(value, (list, tuple)) and len({np.shape(row) for row in value}) > 1:
        return Ragged.of([np.asarray(row) for row in value])
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else array.astype(object)
