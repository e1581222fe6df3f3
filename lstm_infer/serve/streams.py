"""Streams of one model that many callers step at once: all that are due go through the model as one batch."""

import threading
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from ..errors import InputError
from ..streaming import SessionPool
from .requests import ClosedError, QueueFullError


class SequenceError(InputError):
    """A stream is continued that does not exist."""


class _Piece:
    """Some timesteps of a stream."""

    __slots__ = ("id", "values", "starts", "ends", "future")

    def __init__(self, id, values, starts, ends):
        self.id, self.values, self.starts, self.ends, self.future = id, values, starts, ends, Future()


class Streams:
    """A `SessionPool` behind a queue and a thread.

    Parameters
    ----------
    model : Model
    capacity : int
        The most streams.
    idle : float
        Seconds after which a stream that nobody steps is forgotten.
    queue : int
        The most pieces that may wait.

    Attributes
    ----------
    pool : SessionPool
    loose : set
        Ids of streams that began where no version of the model was asked for.
    behind : dict
        By the id of a stream that had gone on after the snapshot it was restored from: when that was written. The next
        piece of it is refused once, to say so.
    journal : Journal or None
        Hears of every stream that goes on.
    """

    def __init__(self, model, capacity=10_000, idle=3600.0, queue=4096, threads=None):
        self.pool, self.loose, self.behind, self.journal = SessionPool(model, capacity, idle), set(), {}, None
        self._queue, self._threads = queue, threads
        self._changed, self._waiting, self._is_open = threading.Condition(), deque(), True
        self._computing = threading.Lock()  # a stream that is found must not be forgotten before it is stepped
        self._thread = threading.Thread(target=self._run, name=f"lstm_infer streams {model.name}", daemon=True)
        self._thread.start()

    def submit(self, id, x, starts=False, ends=False):
        """Ask for the outputs of some timesteps of a stream.

        Parameters
        ----------
        id : str or int
        x : array_like, list or dict
            (timesteps, *input shape without batch and time).
        starts, ends : bool
            Whether the stream begins anew before, and is forgotten after.

        Returns
        -------
        concurrent.futures.Future
            Of what `SessionPool.predict` returns. It may fail with `SequenceError` or `CapacityError`. Pieces of one
            stream are computed in the order they come in.

        Raises
        ------
        InputError
            The data does not fit the model.
        QueueFullError, ClosedError
        """
        piece = _Piece(id, self.pool.check(x), starts, ends)
        with self._changed:
            if not self._is_open:
                raise ClosedError(f"the streams of model '{self.pool.model.name}' are closed")
            if len(self._waiting) >= self._queue:
                raise QueueFullError(f"found {len(self._waiting)} pieces of streams waiting, expected fewer", 1.0)
            self._waiting.append(piece)
            self._changed.notify()
        return piece.future

    def evict(self):
        """Forget the streams that are idle."""
        with self._computing:
            self.pool.evict()
        if len(self.loose) > 2 * self.pool.capacity:
            self.loose &= set(self.pool.ids)

    def inherit(self, other):
        """Take over the streams of the one in whose place this comes.

        Raises
        ------
        InputError
            They are of another kind, or too many; nothing has changed.
        """
        self.pool.adopt(other.pool)
        self.loose, self.behind = other.loose, other.behind

    def close(self):
        """Compute what waits, and end the thread; the pool stays."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()

    def _run(self):
        while True:
            with self._changed:
                while self._is_open and not self._waiting:
                    self._changed.wait()
                if not self._waiting:
                    return
                pieces = self._take()
            with self._computing:
                self._compute(pieces)

    def _take(self):
        """Return the pieces that can be computed together: the first of every stream."""
        pieces, rest = {}, deque()
        for piece in self._waiting:
            if piece.id in pieces:
                rest.append(piece)
            else:
                pieces[piece.id] = piece
        self._waiting = rest
        return list(pieces.values())

    def _compute(self, pieces):
        alive = []
        for piece in pieces:
            if piece.future.cancelled():
                continue
            if piece.starts:
                self.pool.close([piece.id])
                self.behind.pop(piece.id, None)
            elif piece.id in self.behind and piece.id in self.pool:
                found = f"found stream {piece.id!r:.80} as of {self.behind.pop(piece.id)}, when it was last written"
                expected = "expected what was sent after that again: the server had broken down"
                self._tell(piece, error=SequenceError(f"{found}, {expected}"))
                continue
            elif piece.id not in self.pool:
                found = f"found a piece of stream {piece.id!r:.80}, which does not exist (any more)"
                self._tell(piece, error=SequenceError(f"{found}, expected sequence_start with it"))
                continue
            alive.append(piece)
        try:
            outputs = self.pool.predict_checked({piece.id: piece.values for piece in alive}, self._threads)
        except Exception as error:  # noqa: BLE001  (each caller gets its own answer, or the error it made)
            if len(pieces) == 1:
                for piece in alive:
                    self._tell(piece, error=error)
            else:  # those that go on first: where room is short, one that begins might take it
                for piece in sorted(alive, key=lambda piece: piece.starts):
                    self._compute([piece])
            return
        if self.journal is not None:
            self.journal.note([piece.id for piece in alive])
        for piece in alive:
            if piece.ends:
                self.pool.close([piece.id])
            self._tell(piece, outputs[piece.id])

    def _tell(self, piece, y=None, error=None):
        with suppress(InvalidStateError):  # cancelled
            if error is None:
                piece.future.set_result(y)
            else:
                piece.future.set_exception(error)
