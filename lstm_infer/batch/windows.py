"""Windows over the rows of a long series, or of several series in one table.

A window ends at every row that has enough rows of its series before it, and then every `stride` rows of the series.
Windows come in the order of their last rows, whatever the blocks in which the rows came.
"""

from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Windows that end in one block.

    Attributes
    ----------
    ends : (n,) int array
        The place of each one's last row in the block.
    values : list of arrays
        One per array that was given: a view (n, window, features) of its rows.
    """

    ends: np.ndarray
    values: list


class WindowMaker:
    """Keeps what the next windows need of the rows before.

    Parameters
    ----------
    window, stride : int

    Examples
    --------
    >>> maker = WindowMaker(2, 1)
    >>> made = maker.feed([np.array([[1], [2], [3]])], None)
    >>> made.ends.tolist(), made.values[0][:, :, 0].tolist()
    ([1, 2], [[1, 2], [2, 3]])
    >>> maker.feed([np.array([[4]])], None).values[0].tolist()
    [[[3], [4]]]
    """

    def __init__(self, window, stride):
        self._window, self._stride = window, stride
        self._series = {}

    def reset(self, names=None):
        """Begin anew, all series or those of some names: the rows to come do not continue those before."""
        if names is None:
            self._series.clear()
        for name in names or ():
            self._series.pop(name, None)

    def feed(self, arrays, keys):
        """Return the windows that end in the next rows.

        Parameters
        ----------
        arrays : list of (rows, features) arrays
        keys : (rows,) array or None
            The series of each row.

        Returns
        -------
        Windows
        """
        if keys is None:
            return self._extend(None, arrays)
        names, codes = np.unique(keys, return_inverse=True)
        order = np.argsort(codes, kind="stable")
        places = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
        made = []
        for name, rows in zip(names.tolist(), places, strict=True):
            ends, values = self._extend(name, [array[rows] for array in arrays])
            made.append((rows[ends], values))
        ends = np.concatenate([ends for ends, _ in made])
        order = np.argsort(ends, kind="stable")
        values = [np.concatenate([parts[n] for _, parts in made])[order] for n in range(len(arrays))]
        return Windows(ends[order], values)

    def _extend(self, name, arrays):
        """Return the windows that end in the next rows of one series."""
        seen, tails = self._series.get(name, (0, [array[:0] for array in arrays]))
        rows, kept = len(arrays[0]), len(tails[0])
        joined = [np.concatenate(pair) for pair in zip(tails, arrays, strict=True)]
        first = max(0, self._window - 1 - seen)
        if seen + first >= self._window:
            first += -(seen + first - self._window + 1) % self._stride
        ends = np.arange(first, rows, self._stride)
        values = [self._views(array, kept + first - self._window + 1, len(ends)) for array in joined]
        tails = [array[max(0, len(array) - self._window + 1) :].copy() for array in joined]
        self._series[name] = (seen + rows, tails)
        return Windows(ends, values)

    def _views(self, array, start, count):
        """Return windows as a view in which each one's numbers lie one after the other."""
        features = array.shape[1]
        if not count:
            return np.empty((0, self._window, features), array.dtype)
        flat = np.lib.stride_tricks.sliding_window_view(array.reshape(-1), self._window * features)
        every = flat[start * features :: self._stride * features][:count]
        return every.reshape(count, self._window, features) if features == 1 else _split(every, self._window, features)


def _split(rows, window, features):
    """Return (n, window * features) as (n, window, features), without a copy."""
    step, item = rows.strides
    shape, strides = (len(rows), window, features), (step, features * item, item)
    return np.lib.stride_tricks.as_strided(rows, shape, strides, writeable=False)
