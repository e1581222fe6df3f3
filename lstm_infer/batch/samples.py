"""From blocks of columns to inputs of a model: shapes, scaling, windows, text, padding."""

import math

import numpy as np

from ..errors import InputError
from .block import BLOCK_BYTES, Block, Ragged, Rejected, Samples
from .windows import WindowMaker


class Assembler:
    """Makes `Samples` of the blocks of one source.

    Parameters
    ----------
    tensors : list
        The inputs of the model that come from the source.
    plan : Plan
    settings : Settings
        With `scale` and `tokenizer` loaded.
    inputs : int, optional
        How many inputs the model has, if other sources hold some of them.
    """

    def __init__(self, tensors, plan, settings, inputs=None):
        self._tensors, self._plan, self._settings = tensors, plan, settings
        self._inputs = inputs or len(tensors)
        self._maker = WindowMaker(settings.window, settings.stride) if settings.window else None
        self._sizes = {}  # numbers in a row of each input
        self._next_row, self._broken = 0, {}  # which series rows that were rejected belong to; None where nobody knows

    def go_on(self, plan):
        """Take the blocks that come next for those of another source, whose rows follow those of the one before."""
        self._plan = plan
        if self._broken:  # rows at its end
            series = list(self._broken.values())
            self._maker.reset(None if None in series else series)
        self._next_row, self._broken = 0, {}

    def samples(self, blocks):
        """Yield `Samples` of every `Block`; they hold a few megabytes of inputs at most."""
        for block in blocks:
            if self._maker is None:
                yield self._rows(block)
            else:
                yield from self._windows(block)

    # ------------------------------------------------------------ a row, a sample
    def _rows(self, block):
        bad = {}
        inputs = {tensor.name: self._input(tensor, block, bad) for tensor in self._tensors}
        lengths = None
        if self._plan.lengths is not None:
            lengths = self._lengths(block.columns[self._plan.lengths], inputs, bad)
        beside = self._beside(block, np.arange(len(block.rows)))
        samples = Samples(inputs, lengths, beside, [(block.source, len(block.rows))], block.rows, block.rejected)
        return _without(samples, bad, block) if bad else samples

    def _input(self, tensor, block, bad):
        """Return an input's column in the model's dtype; notes in `bad` what is wrong with rows."""
        shape = tensor.shape[1:]
        if self._plan.text is not None:
            texts = block.columns[self._plan.text]
            column = Ragged.of([np.array(ids, np.int64) for ids in self._settings.tokenizer.texts_to_sequences(texts)])
            return self._padded(column, tensor, bad, "pre")
        column = self._features(self._plan.inputs[tensor.name], block)
        if isinstance(column, Ragged):
            column = _in_timesteps(column, shape, tensor, bad)
            values = _cast_ragged(self._scaled(_with_features(column.values, shape), tensor), tensor, column, bad)
            return self._padded(Ragged(values, column.lengths), tensor, bad, "post")
        array = _cast(self._scaled(_shaped(column, tensor, block.source), tensor), tensor, bad)
        if not (self._settings.pad_value is None and self._settings.max_length is None) and array.ndim > 1:
            rows, timesteps = array.shape[:2]
            flat = Ragged(array.reshape(rows * timesteps, *array.shape[2:]), np.full(rows, timesteps))
            return self._padded(flat, tensor, bad, "post")
        return array

    def _features(self, names, block):
        columns = [block.columns[name] for name in names]
        if len(columns) == 1 and (isinstance(columns[0], Ragged) or columns[0].ndim > 1):
            return columns[0]
        if any(isinstance(column, Ragged) for column in columns):
            return _side_by_side(columns, block.source, names)
        return np.stack(columns, axis=1) if columns else np.empty((len(block.rows), 0))

    def _scaled(self, array, tensor):
        if self._settings.scale is None:
            return array
        return self._settings.scale.apply(array, self._plan.inputs[tensor.name])

    def _padded(self, column, tensor, bad, side):
        """Return a ragged column as an array, if it is to be padded; note rows of a length that cannot be."""
        settings, lengths = self._settings, column.lengths
        fixed = tensor.shape[1] if len(tensor.shape) > 1 else None
        timesteps = settings.max_length or fixed
        if fixed is not None and timesteps != fixed:
            raise InputError(f"input '{tensor.name}': found max_length={timesteps}, expected {fixed} timesteps")
        pads = settings.pad_value is not None or (self._plan.text is not None and timesteps is not None)
        if pads and timesteps is None:
            raise InputError("pad_value needs max_length, since the model takes any number of timesteps")
        if settings.max_length is not None or (self._plan.text is not None and timesteps is not None):
            column = _cut(column, timesteps, settings.truncating or side)
            lengths = column.lengths
        wrong = lengths == 0 if not pads else np.zeros(len(lengths), bool)
        if fixed is not None:
            wrong = wrong | (lengths > fixed) | ((lengths < fixed) & (not pads))
        for row in np.flatnonzero(wrong).tolist():
            expected = f"{'at most ' if pads else ''}{fixed}" if fixed is not None else "at least one"
            bad.setdefault(row, f"input '{tensor.name}': found {lengths[row]} timesteps, expected {expected}")
        if not pads and not (fixed is not None and not wrong.any()):
            return column
        left = (settings.padding or side) == "pre"
        if wrong.any():
            column = _emptied(column, wrong)
        return column.padded(timesteps, tensor.dtype, settings.pad_value or 0, left)

    def _lengths(self, lengths, inputs, bad):
        lengths = np.asarray(lengths)
        (name, column), *_ = inputs.items()
        if isinstance(column, Ragged) and len(set(column.lengths.tolist())) < 2:  # lists that are padded already
            timesteps = int(column.lengths[0]) if len(column) else 1
            column = inputs[name] = column.values.reshape(len(column), timesteps, *column.values.shape[1:])
        if isinstance(column, Ragged) or column.ndim < 2:
            raise InputError("lengths are for padded rows: found rows of different length, or without timesteps")
        wrong = ~((lengths >= 1) & (lengths <= column.shape[1]) & (lengths == np.floor(lengths)))
        for row in np.flatnonzero(wrong).tolist():
            bad.setdefault(row, f"found the length {lengths[row]}, expected 1 to {column.shape[1]}")
        return np.where(wrong, 1, lengths).astype(np.int64)

    def _beside(self, block, places):
        beside = {"row": block.rows[places]} if self._settings.has_index else {}
        return {**beside, **{name: block.beside(name)[places] for name in self._plan.beside}}

    # ------------------------------------------------------------ windows
    def _windows(self, block):
        """Yield the windows that end in a block; none spans a row that was rejected."""
        arrays, bad = self._series(block)
        if bad:
            kept = np.delete(np.arange(len(block.rows)), list(bad))
            arrays = [array[kept] for array in arrays]
            rejected = _rejected(bad, block, self._plan.beside)
            columns, texts = ({n: c[kept] for n, c in part.items()} for part in (block.columns, block.texts))
            block = Block(block.source, columns, block.rows[kept], rejected, texts)
        rows, rejected = block.rows, block.rejected
        self._broken.update((one.row, self._series_of(one)) for one in rejected)
        breaks = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for first, last in zip(breaks, breaks[1:], strict=False):
            if first < last and rows[first] != self._next_row:
                broken = [self._broken.pop(row, None) for row in range(self._next_row, rows[first])]
                self._maker.reset(None if None in broken else broken)
            step = self._step(arrays, last - first)
            for start in range(first, last, step):
                part = slice(start, min(last, start + step))
                yield from self._made([array[part] for array in arrays], block, start, rejected)
                rejected = []
                self._next_row = rows[part.stop - 1] + 1
        if rejected:
            yield self._sample_of([array[:0, None] for array in arrays], block, np.arange(0), rejected)

    def _series_of(self, rejected):
        names = self._settings.group_by
        return _key([str(rejected.others[n]) for n in names]) if names and rejected.others is not None else None

    def _step(self, arrays, rows):
        """Return how many rows are taken at once: windows of groups are copies."""
        if not self._settings.group_by:
            return max(1, rows)
        size = sum(array[:1].nbytes for array in arrays) * self._settings.window
        return max(1, BLOCK_BYTES // max(1, size))

    def _series(self, block):
        """Return each input's features of every row, in the model's dtype, and what is wrong with rows."""
        bad, arrays = {}, []
        for tensor in self._tensors:
            column = self._features(self._plan.inputs[tensor.name], block)
            if isinstance(column, Ragged):
                raise InputError(f"{block.source}: found rows of different length, expected numbers for windows")
            column = column.reshape(len(column), math.prod(column.shape[1:]))
            size = self._sizes.setdefault(tensor.name, column.shape[1])
            if column.shape[1] != size:
                raise InputError(f"{block.source}: found {column.shape[1]} numbers a row, expected {size} as before")
            arrays.append(_cast(self._scaled(column, tensor), tensor, bad))
        return arrays, bad

    def _made(self, arrays, block, start, rejected):
        names = self._settings.group_by
        keys = None
        if names:
            texts = [block.beside(n)[start : start + len(arrays[0])].astype(str).tolist() for n in names]
            keys = np.array([_key(key) for key in zip(*texts, strict=True)])
        made = self._maker.feed(arrays, keys)
        size = sum(values[:1].nbytes for values in made.values)
        step = max(256, BLOCK_BYTES // max(1, size))
        for first in range(0, max(1, len(made.ends)), step):
            part = slice(first, first + step)
            values = [array[part] for array in made.values]
            if len(values[0]) or rejected:
                yield self._sample_of(values, block, made.ends[part] + start, rejected)
            rejected = []

    def _sample_of(self, values, block, ends, rejected):
        inputs = {
            tensor.name: _windowed(array, tensor, self._inputs, self._settings.window)
            for tensor, array in zip(self._tensors, values, strict=True)
        }
        beside = self._beside(block, ends)
        return Samples(inputs, None, beside, [(block.source, len(ends))], block.rows[ends], rejected)


# ---------------------------------------------------------------- shapes
def _shaped(column, tensor, source):
    """Return rows of numbers in the shape of an input, their timesteps one after the other."""
    shape = tensor.shape[1:]
    found = column.shape[1:]
    if not len(column):
        return np.empty((0, *(n or 1 for n in shape)), column.dtype)
    if len(found) == len(shape) and all(n is None or n == m for m, n in zip(found, shape, strict=True)):
        return column
    size, free = math.prod(found), sum(n is None for n in shape)
    known = math.prod(n for n in shape if n is not None)
    fits = size == known if free == 0 else free == 1 and known and size and size % known == 0
    if not fits or len(found) > 1:
        raise InputError(
            f"{source}: input '{tensor.name}': found shape {column.shape}, expected {(None, *shape)}"
            + (f" (found {size} numbers a row)" if len(found) == 1 else "")
        )
    return column.reshape(len(column), *(size // known if n is None else n for n in shape))


def _in_timesteps(column, shape, tensor, bad):
    """Return flat rows, whose timesteps are several numbers one after the other, as rows of timesteps."""
    features = shape[-1] if len(shape) == 2 and column.values.ndim == 1 else None
    if not features:
        return column
    wrong = column.lengths % features != 0
    for row in np.flatnonzero(wrong).tolist():
        found = f"found {column.lengths[row]} numbers"
        bad.setdefault(row, f"input '{tensor.name}': {found}, expected {features} for each timestep")
    column = _emptied(column, wrong) if wrong.any() else column
    return Ragged(column.values.reshape(-1, features), column.lengths // features)


def _with_features(values, shape):
    """Return the timesteps of ragged rows with an axis for features, where the input has one of size 1."""
    return values[..., None] if values.ndim == len(shape) - 1 and shape[-1] == 1 else values


def _key(names):
    """Return the name of a series of what its rows say in some columns."""
    return "\x1f".join(names)


def _windowed(array, tensor, inputs, window):
    """Return windows (n, window, features) in the shape of an input."""
    shape = tensor.shape[1:]
    found = array.shape[1:]
    if len(shape) == 2 and shape[0] in (None, window) and shape[1] in (None, found[-1]):
        return array
    if shape in ((None,), (window,)) and found[-1] == 1:
        return array[:, :, 0]
    if inputs > 1 and len(shape) == 1 and shape[0] in (None, found[-1]):
        return array[:, -1]  # an input without timesteps has the numbers of the last row
    raise InputError(
        f"input '{tensor.name}': found windows of {window} rows of {found[-1]} columns, expected {(None, *shape)}"
    )


def _side_by_side(columns, source, names):
    """Return list columns as one, each a feature."""
    ragged = all(isinstance(c, Ragged) and c.values.ndim == 1 for c in columns)
    if not ragged or any((c.lengths != columns[0].lengths).any() for c in columns):
        raise InputError(f"{source}: found columns {names} of different lengths, expected lists of equal length")
    return Ragged(np.stack([column.values for column in columns], axis=1), columns[0].lengths)


def _cut(column, timesteps, side):
    """Return a ragged column without what is more than `timesteps`, at the beginning ("pre") or at the end."""
    if (column.lengths <= timesteps).all():
        return column
    rows = [row[-timesteps:] if side == "pre" else row[:timesteps] for row in column]
    return Ragged.of(rows)


def _emptied(column, which):
    """Return a ragged column in which some rows are empty."""
    kept = np.repeat(~which, column.lengths)
    return Ragged(column.values[kept], np.where(which, 0, column.lengths))


# ---------------------------------------------------------------- numbers
def _cast(array, tensor, bad):
    if array.dtype.kind not in "biuf":
        raise InputError(f"input '{tensor.name}': found data of type {array.dtype}, expected {tensor.dtype}")
    if tensor.dtype.kind in "iu" and array.dtype.kind == "f":
        array = _whole(array, tensor, bad, lambda place: place)
    return array.astype(tensor.dtype, copy=False)


def _cast_ragged(values, tensor, column, bad):
    if values.dtype.kind not in "biuf":
        raise InputError(f"input '{tensor.name}': found data of type {values.dtype}, expected {tensor.dtype}")
    if tensor.dtype.kind in "iu" and values.dtype.kind == "f":
        row_of = np.repeat(np.arange(len(column)), column.lengths)
        values = _whole(values, tensor, bad, lambda place: int(row_of[place]))
    return values.astype(tensor.dtype, copy=False)


def _whole(array, tensor, bad, row_of):
    """Return numbers that are whole; notes in `bad` the rows in which some are not."""
    whole = np.isfinite(array) & (np.floor(array) == array)
    if whole.all():
        return array
    for place in np.unique(np.argwhere(~whole)[:, 0]).tolist():
        found = np.ravel(array[place])[np.ravel(~whole[place])][0]
        bad.setdefault(row_of(place), f"input '{tensor.name}': found {found}, expected whole numbers")
    return np.where(whole, array, 0)


# ---------------------------------------------------------------- rows that cannot be used
def _rejected(bad, block, names=()):
    columns = {name: block.beside(name) for name in names}
    found = []
    for place, reason in bad.items():
        row, others = int(block.rows[place]), {name: column[place] for name, column in columns.items()}
        found.append(Rejected(block.source, row, f"row {row}", reason, None, others))
    return sorted([*block.rejected, *found], key=lambda one: one.row)


def _without(samples, bad, block):
    kept = np.delete(np.arange(len(block.rows)), list(bad))
    inputs = {name: column[kept] for name, column in samples.inputs.items()}
    beside = {name: column[kept] for name, column in samples.beside.items()}
    lengths = None if samples.lengths is None else samples.lengths[kept]
    origins = [(block.source, len(kept))]
    return Samples(inputs, lengths, beside, origins, samples.rows[kept], _rejected(bad, block))
