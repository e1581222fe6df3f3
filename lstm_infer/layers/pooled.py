"""A line of layers over rows whose states lie anywhere in larger arrays: read and written in place by the kernels.

Rows are shared out among threads, and each thread takes its rows through the whole line.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import blocks, fused
from ..kernels.address import address_of
from ..kernels.job import ROWS_AT_ONCE, Job
from ..kernels.update import functions_of
from ..threads import together
from . import memory
from .base import Context
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .sequences import FLOAT32, ROWS_EACH, few_of, plan_of

THREAD_WORK = 4_000_000
"""Multiply-adds of a call from which waking a thread costs less than it saves."""
ORDER = Job._fields.index("order")


class _Rows(NamedTuple):
    """Rows that one thread takes through the line.

    Attributes
    ----------
    slots : (rows,) int64 array
    x : (rows, timesteps, ...) array
    counts : (rows,) int64 array or None
        How many timesteps are real, descending; all of them where it is None.
    """

    slots: np.ndarray
    x: np.ndarray
    counts: np.ndarray | None


def is_fused(layer):
    """Whether a recurrent layer, one of ours, runs forwards on a fused kernel."""
    if type(layer) not in (LSTM, GRU, SimpleRNN, RNN) or not getattr(layer.cell, "is_ours", False):
        return False  # a subclass may override what the kernel does
    return getattr(layer.cell, "packed", None) is not None and not layer.time_major and not layer.go_backwards


class PooledLine:
    """Layers one after the other.

    Parameters
    ----------
    layers : list of Layer
    states : dict of Layer to list of (slots, units) float32 arrays
        Of those that remember, all of which `is_fused`.
    """

    def __init__(self, layers, states):
        last = max(n for n, layer in enumerate(layers, 1) if layer in states)
        ends = last if not layers[last - 1].return_sequences else len(layers)
        self._layers, self._tail, self._states = layers[:ends], layers[ends:], states
        self._work = sum(layer.cell.packed.weights.size for layer in states)

    def advance(self, slots, x, counts, threads):
        """Compute some timesteps; the states change in place.

        Parameters
        ----------
        slots : (rows,) int64 array
            Where the states of each row are; no two the same.
        x : (rows, timesteps, ...) C-contiguous array
        counts : (rows,) int64 array or None
            How many timesteps of each row are real, from 1; None where all are.
        threads : int
            The most to use.

        Returns
        -------
        (rows, timesteps, ...) array, or (rows, ...) where the last recurrent layer returns no sequences
            For `finish`. Whatever it may be where timesteps are not real.
        """
        is_shared = threads > 1 and len(slots) >= ROWS_EACH * threads
        parts = threads if is_shared and self._work * x.shape[1] * len(slots) >= THREAD_WORK else 1
        if counts is None:
            edges = [len(slots) * part // parts for part in range(parts + 1)]
            shares = [_Rows(slots[a:b], x[a:b], None) for a, b in zip(edges, edges[1:], strict=False)]
            return self._join(shares)
        longest_first = np.argsort(-counts, kind="stable")
        order = np.concatenate([longest_first[part::parts] for part in range(parts)])
        shares = [
            _Rows(slots[rows], x[rows], counts[rows])
            for rows in (longest_first[part::parts] for part in range(parts))
        ]  # fmt: skip
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return self._join(shares)[back]

    def finish(self, y):
        """Compute what comes after the last recurrent layer that returns no sequences, for any rows of `advance`."""
        return self._through(self._tail, y)

    def _through(self, layers, x):
        context = Context(carries=_nobody)
        for layer in layers:
            x, _ = layer.run(x, None, context)
        return x

    def _join(self, shares):
        results = [None] * len(shares)

        def compute(part, parts):
            for share in range(part, len(shares), parts):
                results[share] = self._compute(shares[share])

        together(len(shares), compute)
        return results[0] if len(results) == 1 else np.concatenate(results)

    def _compute(self, rows):
        for layer in self._layers:
            if layer in self._states:
                rows = rows._replace(x=_drive(layer, rows, self._states[layer]))
            else:
                rows = rows._replace(x=self._through([layer], rows.x))
        return rows.x


def _nobody(layer):
    return False


def _drive(layer, rows, states):
    """Run the fused kernel of a recurrent layer; returns its output."""
    packed, (number, timesteps, features) = layer.cell.packed, rows.x.shape
    x = np.ascontiguousarray(layer.cast(rows.x))
    outputs = timesteps if layer.return_sequences else 1
    make = np.empty if rows.counts is None else np.zeros  # later layers see what is not written
    y = make((number, outputs, packed.units), FLOAT32)
    few = few_of(packed, timesteps)
    numbers = (timesteps, features, packed.units, outputs, ROWS_AT_ONCE, 0, 0, 0, 0, 0, few, 0, 1, 0, 0)
    job, floats = plan_of(packed, Job(*numbers, *functions_of(packed.cell), 0, 0))
    job, own = job.copy(), memory.empty((floats,), FLOAT32)
    entry, function = blocks.compiled(), fused.function(packed.loop)
    arguments = function, packed.weights, job, rows.slots, x, states[0], states[-1], y, own
    if rows.counts is None:
        entry(*arguments, 0, number)
    else:
        for first in range(0, number, ROWS_AT_ONCE):
            counts = rows.counts[first : first + ROWS_AT_ONCE]
            order = np.stack([np.arange(len(counts)), counts, np.zeros_like(counts)])
            job[ORDER] = address_of(order)
            entry(*arguments, first, first + len(counts))
    return y if layer.return_sequences else y[:, 0]
