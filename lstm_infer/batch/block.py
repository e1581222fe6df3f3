"""What travels from a reader to a writer: columns of rows, of which some may differ in length.

A column is an array whose first axis is the row, a `Ragged`, or an object array of texts.
"""

from typing import NamedTuple

import numpy as np

BLOCK_BYTES = 4 << 20
"""Bytes that are read, computed or written at once: enough to keep all cores busy, few enough to hold several."""


class Ragged:
    """Rows of different length, one after the other.

    Parameters
    ----------
    values : (sum of lengths, ...) array
    lengths : (rows,) int array

    Examples
    --------
    >>> column = Ragged(np.array([1, 2, 3]), np.array([2, 0, 1]))
    >>> [row.tolist() for row in column]
    [[1, 2], [], [3]]
    >>> column[np.array([2, 0])].values
    array([3, 1, 2])
    """

    def __init__(self, values, lengths):
        self.values, self.lengths = np.asarray(values), np.asarray(lengths, np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    @classmethod
    def of(cls, rows, empty=(0,)):
        """Return arrays of different length as one column; `empty` is the shape of no rows."""
        if not rows:
            return cls(np.empty(empty), np.empty(0, np.int64))
        return cls(np.concatenate(rows), [len(row) for row in rows])

    def __len__(self):
        return len(self.lengths)

    def __iter__(self):
        return (self.values[a:b] for a, b in zip(self._starts, self._starts[1:], strict=False))

    def __getitem__(self, rows):
        if isinstance(rows, slice) and rows.step in (None, 1):
            first, last, _ = rows.indices(len(self))
            last = max(first, last)
            return Ragged(self.values[self._starts[first] : self._starts[last]], self.lengths[first:last])
        rows = np.arange(len(self))[rows]
        lengths = self.lengths[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.values[np.repeat(self._starts[rows], lengths) + within], lengths)

    def padded(self, timesteps, dtype, value=0, left=False):
        """Return the rows as one array, filled up with `value` on the right or on the left."""
        array = np.full((len(self), timesteps, *self.values.shape[1:]), value, dtype)
        place = np.arange(timesteps)
        array[place >= timesteps - self.lengths[:, None] if left else place < self.lengths[:, None]] = self.values
        return array


class Typed(str):
    """What a cell of a table says, as a text that knows its type there.

    Attributes
    ----------
    arrow : str
        The type, as ``typed`` writes it down.
    is_null : bool
        Whether there was nothing in the cell.
    is_json : bool
        Whether the text is a number or a truth value of JSON.
    """

    __slots__ = ()
    arrow, is_null, is_json = None, False, False


class Rejected(NamedTuple):
    """A row that could not be used.

    Attributes
    ----------
    source : str
    row : int
        Its number in the source, from 0.
    where : str
        The same for people: ``line 3``, say.
    reason : str
    text : str or None
        What it holds, if that is text.
    others : dict or None
        By name, what it says in the columns that are no numbers of an input, if they are known.
    """

    source: str
    row: int
    where: str
    reason: str
    text: str | None = None
    others: dict | None = None


class Block(NamedTuple):
    """Some rows of a source.

    Attributes
    ----------
    source : str
    columns : dict
        By name.
    rows : (n,) int64 array
        The rows' numbers in the source, from 0.
    rejected : list of Rejected
        The rows between them that could not be used.
    texts : dict
        By name, columns as they stand in the source, where they are wanted as numbers, too.
    """

    source: str
    columns: dict
    rows: np.ndarray
    rejected: list = []
    texts: dict = {}

    def beside(self, name):
        """Return a column as it is written beside predictions."""
        return self.texts[name] if name in self.texts else self.columns[name]


class Samples(NamedTuple):
    """Some inputs of a model, and what stands beside them.

    Attributes
    ----------
    inputs : dict
        Columns by input name, in the model's order.
    lengths : (n,) int array or None
        The true lengths of right-padded rows.
    beside : dict
        Columns that are written beside the predictions.
    origins : list of (str, int)
        Sources in order, and how many of the samples are of each.
    rows : (n,) int64 array
        The rows' numbers in their sources.
    rejected : list of Rejected
    """

    inputs: dict
    lengths: np.ndarray | None
    beside: dict
    origins: list
    rows: np.ndarray
    rejected: list

    def take(self, rows):
        """Return some of the samples, a slice; the rejected rows stay with the first."""
        first, last, _ = rows.indices(len(self.rows))
        origins, start = [], 0
        for source, count in self.origins:
            count, start = max(0, min(start + count, last) - max(start, first)), start + count
            origins += [(source, count)] if count else []
        lengths = None if self.lengths is None else self.lengths[rows]
        inputs, beside = ({name: column[rows] for name, column in part.items()} for part in (self.inputs, self.beside))
        return Samples(inputs, lengths, beside, origins, self.rows[rows], self.rejected if first == 0 else [])

    def origin(self, sample):
        """Return the source of a sample."""
        for source, count in self.origins:
            if sample < count:
                return source
            sample -= count
        raise IndexError(sample)


def join(columns):
    """Return columns of the same kind, one after the other, as one.

    Ragged ones may be among equally long ones.
    """
    if len(columns) == 1:
        return columns[0]
    if any(isinstance(column, Ragged) for column in columns):
        columns = [as_ragged(column) for column in columns]
        return Ragged(*(np.concatenate(parts) for parts in zip(*((c.values, c.lengths) for c in columns), strict=True)))
    return np.concatenate(columns)


def as_ragged(column):
    """Return a column of equally long rows as a `Ragged`; a `Ragged` as it is."""
    if isinstance(column, Ragged):
        return column
    rows, length = column.shape[:2]
    return Ragged(column.reshape(rows * length, *column.shape[2:]), np.full(rows, length))


def join_samples(parts):
    """Return several `Samples` as one."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Samples(
        {name: join([part.inputs[name] for part in parts]) for name in first.inputs},
        None if first.lengths is None else np.concatenate([part.lengths for part in parts]),
        {name: join([part.beside[name] for part in parts]) for name in first.beside},
        [origin for part in parts for origin in part.origins],
        np.concatenate([part.rows for part in parts]),
        [rejected for part in parts for rejected in part.rejected],
    )
