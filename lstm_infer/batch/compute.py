"""Predictions of `Samples`: batches by timesteps, equal bits whatever the batches, and the one row that is to blame."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..layers import RNN, Bidirectional, InputLayer
from ..layers.sequences import ROWS_EACH
from ..layers.structure import flatten
from ..model import Model, check_threads
from .block import BLOCK_BYTES, Ragged, Rejected, as_ragged, join

OUTPUT_BYTES = 4 * BLOCK_BYTES
"""Bytes of predictions that are computed at once."""
ROWS = 1 << 14
"""Rows that are computed at once, at most: progress is kept between."""
FEW_ROWS = 64
"""Rows below which memory is saved at the cost of speed: only where predictions are huge."""
HUGE = 32 * BLOCK_BYTES


class Results(NamedTuple):
    """Predictions of some samples.

    Attributes
    ----------
    outputs : list of arrays or Ragged
    beside : dict
    rejected : list of Rejected
    samples : int
        How many samples they are of, rejected ones included.
    read_rejected : int
        How many of `rejected` never became samples.
    """

    outputs: list
    beside: dict
    rejected: list
    samples: int
    read_rejected: int

    @property
    def rows(self):
        """The number of predictions."""
        return len(self.outputs[0]) if self.outputs else 0


class Computer:
    """Runs a model over `Samples`.

    Parameters
    ----------
    model : Model
    settings : Settings
        With `scale` loaded.
    """

    def __init__(self, model, settings):
        model.check_ready()  # or every row would be blamed
        self._model, self._settings = model, settings
        self._threads = model.threads if settings.threads is None else check_threads(settings.threads)
        self._padding = None  # whether rows of different length may be computed together; looked at when there are any
        self._has_computed = False

    def pool(self):
        """Return the threads for `begin`: in a stateful model one row after the other has its turn."""
        return ThreadPoolExecutor(1 if self._model.is_stateful else self._threads, "lstm_infer batch")

    def begin(self, samples, pool):
        """Return futures of `Results`: pieces that memory allows, one for every thread if there are enough.

        A thread that is through with its piece goes on with one of the samples that come next, and waits for nobody.
        """
        rows, threads = len(samples.rows), self._threads
        if self._padding is None and any(isinstance(column, Ragged) for column in samples.inputs.values()):
            self._padding = padding_is_harmless(self._model)
        step = rows if self._model.is_stateful else self._step(samples)
        if threads > 1 and not self._model.is_stateful and rows >= ROWS_EACH * threads:
            each = -(-rows // threads)
            step, threads = min(step, -(-each // self._batch) * self._batch), 1
        pieces = [slice(first, min(rows, first + step)) for first in range(0, max(1, rows), max(1, step))]
        return [pool.submit(self._result, samples.take(piece), threads) for piece in pieces]

    @property
    def _batch(self):
        return self._settings.batch_size or 1

    def results(self, calls):
        """Yield the `Results` of calls, in their order.

        Raises
        ------
        InputError
            Of the first samples, none fits the model.
        """
        waiting = []
        while calls:
            waiting.append(calls.pop(0).result())  # and forgotten, since it may be large
            self._has_computed = self._has_computed or waiting[-1].rows > 0
            if self._has_computed:
                yield from waiting
                waiting = []
        for first in [one for results in waiting for one in results.rejected[results.read_rejected :]][:1]:
            raise InputError(f"{first.source}: found no row that fits: {first.reason}")
        yield from waiting

    def empty(self):
        """Return the `Results` of no samples at all."""
        shapes = [[1 if n is None else n for n in tensor.shape[1:]] for tensor in self._model.inputs]
        zeros = [np.zeros((1, *s), t.dtype) for s, t in zip(shapes, self._model.inputs, strict=True)]
        outputs = [array[:0] for array in self._call(zeros, None, self._threads)]
        return Results([self._finished(array) for array in outputs], {}, [], 0, 0)

    # ------------------------------------------------------------ how much at once
    def _step(self, samples):
        size = 0
        for tensor in self._model.outputs:
            timesteps = _longest(samples)
            size += math.prod(timesteps if n is None else n for n in tensor.shape[1:]) * tensor.dtype.itemsize
        few = max(1, min(FEW_ROWS, HUGE // max(1, size)))
        return min(ROWS, max(few, OUTPUT_BYTES // max(1, size)))

    # ------------------------------------------------------------ predictions
    def _result(self, samples, threads):
        inputs = list(samples.inputs.values())
        rows = len(samples.rows)
        if not rows:
            return Results([], {}, samples.rejected, 0, len(samples.rejected))
        good, outputs, bad = self._try(inputs, samples.lengths, np.arange(rows), samples, threads)
        beside = samples.beside
        if bad:
            beside = {name: column[good] for name, column in beside.items()}
        outputs = [self._finished(output) for output in outputs]
        return Results(outputs, beside, [*samples.rejected, *bad], rows, len(samples.rejected))

    def _try(self, inputs, lengths, rows, samples, threads):
        """Return the rows that could be computed, their outputs, and what was wrong with the others."""
        try:
            some = inputs if len(rows) == len(samples.rows) else [column[rows] for column in inputs]
            those = lengths if lengths is None or len(rows) == len(lengths) else lengths[rows]
            return rows, self._predict(some, those, threads), []
        except InputError as error:
            if len(rows) == 1:
                return rows[:0], [], [self._blame(int(rows[0]), samples, error)]
            if self._model.is_stateful:
                raise
        halves = [self._try(inputs, lengths, half, samples, threads) for half in np.array_split(rows, 2)]
        good = np.concatenate([half[0] for half in halves])
        parts = [half[1] for half in halves if len(half[0])]
        outputs = [join(list(columns)) for columns in zip(*parts, strict=True)]
        return good, outputs, [*halves[0][2], *halves[1][2]]

    def _blame(self, sample, samples, error):
        source, row = samples.origin(sample), int(samples.rows[sample])
        if self._settings.on_error == "fail":
            raise InputError(f"{source}, row {row}: {error}") from None
        return Rejected(source, row, f"row {row}", str(error))

    def _predict(self, inputs, lengths, threads):
        """Return the outputs of columns, in their order."""
        if not any(isinstance(column, Ragged) for column in inputs):
            return self._call(inputs, lengths, threads)
        return self._predict_ragged(inputs, threads)

    def _call(self, inputs, lengths, threads):
        names = self._model.input_names
        given = dict(zip(names, inputs, strict=True)) if len(inputs) > 1 else inputs[0]
        if lengths is not None and len(inputs) > 1:
            lengths = {tensor.name: lengths for tensor in self._model.inputs if _temporal(tensor)}
        batch_size = self._settings.batch_size
        found = self._model.predict(given, batch_size, 0, lengths=lengths, threads=threads)
        return flatten(found)

    # ------------------------------------------------------------ rows of different length
    def _predict_ragged(self, inputs, threads):
        """Compute rows in groups of about equal length, and put them back in order."""
        ragged = next(column for column in inputs if isinstance(column, Ragged))
        same = all((c.lengths == ragged.lengths).all() for c in inputs if isinstance(c, Ragged))
        parts, places = [], []
        for rows in _groups(inputs, ragged.lengths, self._padding and same):
            parts.append(self._group([column[rows] for column in inputs], threads))
            places.append(rows)
        back = np.argsort(np.concatenate(places))
        return [_in_order(list(outputs), back) for outputs in zip(*parts, strict=True)]

    def _group(self, inputs, threads):
        """Compute rows that are padded to the longest of them; what the padding gave is cut off again."""
        lengths = next(column.lengths for column in inputs if isinstance(column, Ragged))
        equal = all((c.lengths == c.lengths[0]).all() for c in inputs if isinstance(c, Ragged))
        longest = int(lengths.max())
        padded = [
            column.padded(int(column.lengths.max()), column.values.dtype) if isinstance(column, Ragged) else column
            for column in inputs
        ]
        if equal:
            return self._call(padded, None, threads)
        given = {t.name: lengths for t, c in zip(self._model.inputs, inputs, strict=True) if isinstance(c, Ragged)}
        outputs = self._call(padded, given if len(inputs) > 1 else lengths, threads)
        return [
            _trimmed(y, lengths) if _temporal(t) and t.shape[1] is None and y.shape[1] == longest else y
            for y, t in zip(outputs, self._model.outputs, strict=True)
        ]

    # ------------------------------------------------------------ what is written
    def _finished(self, output):
        if isinstance(output, Ragged):
            return Ragged(self._finished(output.values), output.lengths)
        settings = self._settings
        if settings.unscale is not None:
            output = settings.scale.undo(output, settings.unscale)
        if settings.argmax:
            return output.argmax(axis=-1) if output.ndim > 1 and output.shape[-1] > 1 else output
        if settings.round is not None and output.dtype.kind == "f":
            output = np.round(output, settings.round)
        return output if settings.output_dtype is None else output.astype(settings.output_dtype)


def _temporal(tensor):
    return len(tensor.shape) > 1


def _longest(samples):
    longest = 1
    for column in samples.inputs.values():
        if isinstance(column, Ragged):
            longest = max(longest, int(column.lengths.max(initial=1)))
        elif column.ndim > 1:
            longest = max(longest, column.shape[1])
    return longest


def _groups(inputs, lengths, may_pad):
    """Yield places of rows to compute together: equally long ones, or about so."""
    if not may_pad:  # no two inputs may differ within a group either
        keys = np.stack([column.lengths for column in inputs if isinstance(column, Ragged)])
        _, codes = np.unique(keys, axis=1, return_inverse=True)
        order = np.argsort(codes.reshape(-1), kind="stable")
        counts = np.bincount(codes.reshape(-1))
        yield from np.split(order, np.cumsum(counts)[:-1])
        return
    order = np.argsort(-lengths, kind="stable")
    row_bytes = sum(c.values.itemsize * math.prod(c.values.shape[1:]) for c in inputs if isinstance(c, Ragged))
    first = 0
    while first < len(order):
        rows = max(1, BLOCK_BYTES // max(1, int(lengths[order[first]]) * row_bytes))
        yield order[first : first + rows]
        first += rows


def _trimmed(output, lengths):
    within = np.arange(output.shape[1]) < lengths[:, None]
    return Ragged(output[within], lengths)


def _in_order(parts, back):
    """Return the outputs of groups as one column, put back in order."""
    if any(isinstance(part, Ragged) for part in parts) or len({part.shape[1:] for part in parts}) > 1:
        column = join([as_ragged(part) for part in parts])[back]
        same = len(column) and (column.lengths == column.lengths[0]).all()
        return column.values.reshape(len(column), column.lengths[0], *column.values.shape[1:]) if same else column
    return np.concatenate(parts)[back]


# ---------------------------------------------------------------- padding
def padding_is_harmless(model):
    """Whether masked timesteps at the end change no bit of a model's answers.

    Every layer has to carry masks on or to heed them. As a mask may still get lost on the way, a trial on
    a few random rows has to agree, too.
    """
    for path, layer in model.walk():
        if not path or isinstance(layer, (Model, InputLayer, RNN, Bidirectional)):
            continue
        inside = any(isinstance(outer, (RNN, Bidirectional)) for outer in _outer(model, path))
        if not inside and not (layer.per_timestep and (layer.supports_masking or layer.children() or _embeds(layer))):
            return False
    try:
        return _trial(model)
    except InputError:
        return False


def _outer(model, path):
    layer = model
    for name in path[:-1]:
        layer = layer.children()[name]
        yield layer


def _embeds(layer):
    return type(layer).__name__ in ("Embedding", "Masking")


def _trial(model):
    random = np.random.default_rng(0)
    short, long = {}, {}
    for tensor in model.inputs:
        shape = [3 if n is None else n for n in tensor.shape[1:]]
        x = random.normal(size=(2, *shape)) if tensor.dtype.kind == "f" else np.ones((2, *shape))
        short[tensor.name] = long[tensor.name] = x.astype(tensor.dtype)
        if len(tensor.shape) > 1 and tensor.shape[1] is None:
            padding = np.zeros((2, 2, *shape[1:]), tensor.dtype)
            long[tensor.name] = np.concatenate([short[tensor.name], padding], axis=1)
    lengths = {t.name: np.full(2, 3) for t in model.inputs if len(t.shape) > 1 and t.shape[1] is None}
    return all(
        (b[:, :3] == a).all() if a.shape != b.shape else (b == a).all()
        for a, b in zip(flatten(model.predict(short)), flatten(model.predict(long, lengths=lengths)), strict=True)
    )
