"""A file for each input: streams of samples side by side, row by row.

Where rows may be skipped, a row that one stream lacks is left out of the others, too. Rows are told by their positions:
their numbers in all sources of the stream, one after the other.
"""

import numpy as np

from ..errors import InputError
from .block import Samples


class Stream:
    """The samples of one input: those that wait, and what comes after them.

    Parameters
    ----------
    sources : iterable
        Functions that open a source when their turn comes; they return its blocks, and a function that makes `Samples`
        of blocks.
    """

    def __init__(self, sources):
        self._before, self._reach = 0, 0
        self._samples = self._all(sources)
        self.waiting, self.positions, self.rejected, self.is_over = None, np.empty(0, np.int64), [], False
        self.source = None

    @property
    def rows(self):
        """How many rows its sources had, those that it is done with."""
        return self._before

    def look(self):
        """Let some samples wait, unless it is over."""
        while not self.is_over and not len(self.positions):
            self.waiting = next(self._samples, None)
            self.is_over = self.waiting is None
            if not self.is_over:
                self.positions = self._before + self.waiting.rows
                self.rejected += self.waiting.rejected

    def take(self, limit, wanted):
        """Return the waiting samples up to position `limit` that are at the positions `wanted`."""
        count = int(np.searchsorted(self.positions, limit, "right"))
        some, kept = self.waiting.take(slice(0, count)), np.isin(self.positions[:count], wanted)
        self.waiting, self.positions = self.waiting.take(slice(count, None)), self.positions[count:]
        return some if kept.all() else _chosen(some, kept)

    def _all(self, sources):
        for opened in sources:
            blocks, assembled = opened()
            yield from assembled(self._counted(blocks))
            self._before, self._reach = self._before + self._reach, 0

    def _counted(self, blocks):
        for block in blocks:
            self.source = block.source
            last = [*block.rows[-1:].tolist(), *(one.row for one in block.rejected)]
            self._reach = max([self._reach, *(row + 1 for row in last)])
            yield block


def side_by_side(streams, model):
    """Yield samples of streams of one input each as samples of all inputs.

    Parameters
    ----------
    streams : list of Stream
    model : Model

    Yields
    ------
    Samples

    Raises
    ------
    InputError
        Some stream has more rows than another.
    """
    joined = Samples({}, None, {}, [], np.empty(0, np.int64), [])
    while True:
        for stream in streams:
            stream.look()
        if any(stream.is_over for stream in streams):
            break
        limit = min(stream.positions[-1] for stream in streams)
        wanted = streams[0].positions
        for stream in streams[1:]:
            wanted = np.intersect1d(wanted, stream.positions, assume_unique=True)
        joined = _joined([stream.take(limit, wanted) for stream in streams], model)
        yield joined._replace(rejected=_rejected(streams))
    _end(streams)
    rejected = _rejected(streams)
    if rejected:
        yield joined.take(slice(0, 0))._replace(rejected=rejected)


def _end(streams):
    """See that what is left has the positions of rows that were skipped elsewhere."""
    rows = min(stream.rows for stream in streams if stream.is_over)
    for stream in streams:
        while not stream.is_over and stream.positions[-1] < rows:
            stream.positions = stream.positions[:0]
            stream.look()
    longest = max(streams, key=lambda stream: (not stream.is_over, stream.rows))
    if not all(stream.is_over and stream.rows == longest.rows for stream in streams):
        raise InputError(f"{longest.source}: found more rows than in the files of the other inputs")


def _rejected(streams):
    rejected = [one for stream in streams for one in stream.rejected]
    for stream in streams:
        stream.rejected = []
    return rejected


def _joined(parts, model):
    inputs = {name: column for part in parts for name, column in part.inputs.items()}
    beside = {name: column for part in parts for name, column in part.beside.items()}
    lengths = next((part.lengths for part in parts if part.lengths is not None), None)
    inputs = {name: inputs[name] for name in model.input_names}
    return Samples(inputs, lengths, beside, parts[0].origins, parts[0].rows, [])


def _chosen(samples, kept):
    """Return some of the samples of one source."""
    kept = np.flatnonzero(kept)
    inputs, beside = ({n: column[kept] for n, column in part.items()} for part in (samples.inputs, samples.beside))
    lengths = None if samples.lengths is None else samples.lengths[kept]
    origins = [(source, len(kept)) for source, _ in samples.origins]
    return Samples(inputs, lengths, beside, origins, samples.rows[kept], [])
