"""Thousands of streams of one model, stepped together."""

import contextlib
import json
import time

import numpy as np

from .. import inputs as doors
from ..errors import InputError
from ..model import check_threads, renew_lock
from . import statefile
from .directory import Directory
from .rows import Rows, check_capacity

IDS = "ids.json"
AGES = "ages"


class SessionPool:
    """Many streams of one model, each under an id of its own, stepped together as one batch.

    A session begins from a zero state when its id is first stepped. What a session computes does not depend on which
    others are stepped with it: the same bits as `Model.step`. Threads may share a pool.

    Parameters
    ----------
    model : Model
    capacity : int
        The most sessions.
    idle : float, optional
        Seconds without a step after which a session may be forgotten: when another needs its room, or in `evict`.
    clock : callable
        Returns seconds.

    Raises
    ------
    InputError
        The model cannot be stepped; the message names the layer that needs the whole sequence.

    Examples
    --------
    >>> import numpy as np, lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 3)), li.LSTM(4)])
    >>> model.set_weights([np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)])
    >>> pool = li.SessionPool(model, capacity=1000)
    >>> sorted(pool.step({"ann": np.ones(3), "bob": np.zeros(3)}))
    ['ann', 'bob']
    >>> pool.step_many(["ann", "eve"], np.ones((2, 3))).shape
    (2, 4)
    >>> len(pool), "eve" in pool
    (3, True)
    """

    def __init__(self, model, capacity=10_000, idle=None, clock=time.monotonic):
        self.model, self.capacity, self.idle = model, check_capacity(capacity), idle
        if idle is not None and not (isinstance(idle, (int, float)) and idle > 0):
            raise InputError(f"found idle={idle!r}, expected a positive number of seconds")
        self._rows, self._directory = Rows(model, self.capacity), Directory(self.capacity, idle, clock)
        renew_lock(self)

    def __len__(self):
        return len(self._directory)

    def __contains__(self, id):
        return id in self._directory

    @property
    def ids(self):
        """The ids of the sessions, a list."""
        with self._lock:
            return self._directory.ids()

    # ------------------------------------------------------------ stepping
    def step(self, inputs, threads=None):
        """Compute one timestep of some sessions.

        Parameters
        ----------
        inputs : dict
            By id: what `Model.step` takes, without the batch: an array (features,); a list or dict of them where the
            model has several inputs.
        threads : int, optional
            The most threads to use.

        Returns
        -------
        dict
            By id: the output of `Model.step`, without the batch.
        """
        if not isinstance(inputs, dict):
            raise InputError(f"found inputs of type {type(inputs).__name__}, expected a dict by session")
        if not inputs:
            return {}
        with self._lock:
            outputs = self._step(inputs, self._stack(list(inputs.values())), threads)
            rows = [list(y) for y in outputs]
        if len(rows) == 1 and not isinstance(self.model.output, (list, tuple, dict)):
            return dict(zip(inputs, rows[0], strict=True))
        return {id: self._pack(row) for id, *row in zip(inputs, *rows, strict=True)}

    def step_many(self, ids, x_t, threads=None):
        """Compute one timestep of some sessions.

        Parameters
        ----------
        ids : sequence of hashable, or (rows,) array of int
            No two the same.
        x_t : array_like, list or dict
            What `Model.step` takes: (rows, *input shape without time).
        threads : int, optional
            The most threads to use.

        Returns
        -------
        numpy.ndarray, or nested
            What `Model.step` returns: (rows, *output shape without time).

        Raises
        ------
        InputError
            The data does not fit the model, or an id comes twice; no session has changed.
        CapacityError
            There is no room for the new ones among them; no session has changed.
        """
        ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
        with self._lock:
            values = doors.take_step(self.model, x_t, self._rows.plan.inputs)
            return self._pack(self._step(ids, values, threads))

    def predict(self, id, x, threads=None):
        """Compute some timesteps of one session, as `Session.predict`.

        Parameters
        ----------
        id : hashable
        x : array_like, list or dict
            (timesteps, *input shape without batch and time).
        threads : int, optional

        Returns
        -------
        numpy.ndarray, or nested
            (timesteps, ...), or (...) where the model returns no sequence.
        """
        return self.predict_many({id: x}, threads)[id]

    def predict_many(self, inputs, threads=None):
        """Compute some timesteps of some sessions, as many as each brings.

        Parameters
        ----------
        inputs : dict
            By id: what `predict` takes.
        threads : int, optional

        Returns
        -------
        dict
            By id: what `predict` returns.
        """
        pieces = {id: self.check(x) for id, x in inputs.items()}
        return self.predict_checked(pieces, threads)

    def check(self, x):
        """Return what `predict` takes as a list of arrays, one per input, checked and cast.

        Raises
        ------
        InputError
            The data does not fit the model.
        """
        inputs, values, temporal = self.model.inputs, [], self._rows.plan.inputs
        is_bare = len(inputs) == 1 and not isinstance(x, dict)
        if is_bare and isinstance(x, list) and len(x) == 1 and np.ndim(x[0]) == len(inputs[0].shape) - 1:
            is_bare = False  # the only input in a list, as `Model.predict` takes it, too
        given = [x] if is_bare else doors.in_order(self.model, x)
        for value, tensor, is_temporal in zip(given, inputs, temporal, strict=True):
            values.append(doors.cast(value, tensor))
            shape = (None, *tensor.shape[2:]) if is_temporal else tensor.shape[1:]
            doors.check_shape(values[-1], tensor.name, shape)
        lengths = {len(value) for value, is_temporal in zip(values, temporal, strict=True) if is_temporal}
        if len(lengths) > 1 or 0 in lengths:
            raise InputError(f"found {sorted(lengths)} timesteps, expected the same number from 1 in every input")
        return values

    def predict_checked(self, pieces, threads=None):
        """`predict_many` of what `check` returned."""
        if not pieces:
            return {}
        temporal = self._rows.plan.inputs
        counts = np.array([len(values[temporal.index(True)]) for values in pieces.values()], np.int64)
        columns = zip(zip(*pieces.values(), strict=True), temporal, strict=True)
        batch = [_pad(column, counts.max()) if is_temporal else np.stack(column) for column, is_temporal in columns]
        with self._lock:
            outputs = self._advance(list(pieces), batch, threads, None if (counts == counts[0]).all() else counts)
        return {
            id: self._pack([y[n, :count] if t else y[n] for y, t in zip(outputs, self._rows.plan.outputs, strict=True)])
            for n, (id, count) in enumerate(zip(pieces, counts.tolist(), strict=True))
        }

    def _step(self, ids, values, threads):
        """Advance by one timestep."""
        outputs = self._advance(ids, values, threads)
        return [y[:, 0] if temporal else y for y, temporal in zip(outputs, self._rows.plan.outputs, strict=True)]

    def _advance(self, ids, values, threads, counts=None):
        threads = self.model.threads if threads is None else check_threads(threads)
        rows = len(values[0])
        if len(ids) != rows or any(len(value) != rows for value in values):
            found = f"{len(ids)} sessions and {[len(value) for value in values]} rows"
            raise InputError(f"found {found}, expected one row for each")
        slots, new = self._directory.find(ids)
        try:
            self._rows.clear(new)
            return self._rows.finish(self._rows.advance(slots, values, counts, threads))
        except BaseException:
            new = set(new)
            self._directory.close([id for id, slot in zip(ids, slots.tolist(), strict=True) if slot in new])
            raise

    def _stack(self, rows):
        """Return the inputs of several sessions as the values of a batch."""
        inputs = self.model.inputs
        if len(inputs) == 1 and not isinstance(rows[0], dict):
            columns = [rows]
        else:
            columns = list(zip(*(doors.in_order(self.model, row) for row in rows), strict=True))
        temporal = self._rows.plan.inputs
        return [_stack(*column) for column in zip(columns, inputs, temporal, strict=True)]

    def _pack(self, outputs):
        return doors.pack(self.model, outputs)

    # ------------------------------------------------------------ sessions
    def reset(self, ids):
        """Let some sessions, new ones among them, begin anew from a zero state."""
        with self._lock:
            slots, _ = self._directory.find(list(ids))
            self._rows.clear(slots)

    def close(self, ids):
        """Forget some sessions; ids that are not there are passed over."""
        with self._lock:
            self._directory.close(ids)

    def evict(self, idle=None):
        """Forget the sessions that were not stepped for so many seconds.

        Parameters
        ----------
        idle : float, optional
            The pool's own unless given.

        Returns
        -------
        list
            Their ids.
        """
        idle = self.idle if idle is None else idle
        if idle is None:
            raise InputError("found no idle seconds, expected evict(idle) or SessionPool(..., idle=)")
        with self._lock:
            return self._directory.evict(idle)

    def state(self, id):
        """Return a copy of one session's state, as `Session.state`: lists of (1, units) arrays by the layers' names.

        Raises
        ------
        InputError
            There is no such session.
        """
        with self._lock:
            if id not in self._directory:
                raise InputError(f"found no session {id!r:.80} in the pool of model '{self.model.name}'")
            slot = self._directory.slot(id)
            return {name: [a[slot : slot + 1].copy() for a in arrays] for name, arrays in self._rows.arrays.items()}

    # ------------------------------------------------------------ on disk
    def save(self, path, ids=None):
        """Write sessions to a file (npz), which is then whole or as it was before.

        Parameters
        ----------
        path : str or PathLike
        ids : collection, optional
            Which: all of them unless given. Those that are not there are passed over.

        Raises
        ------
        InputError
            An id is neither a string nor a whole number.
        """
        with self._lock:
            ids, ages, arrays = self._sessions(ids)
        ids = [int(id) if isinstance(id, np.integer) else str(id) if isinstance(id, str) else id for id in ids]
        strange = next((id for id in ids if type(id) not in (str, int)), None)
        if strange is not None:
            raise InputError(f"found a session {strange!r:.80}, expected strings or whole numbers to save them")
        text = json.dumps(ids).encode("utf-8", "surrogatepass")
        statefile.write(path, {IDS: np.frombuffer(text, np.uint8), AGES: ages, **arrays})

    def restore(self, path):
        """Take over the sessions that `save` wrote, in this process or another, in place of all there are.

        Parameters
        ----------
        path : str or PathLike

        Raises
        ------
        LoadError
            It is no such file, or it is damaged.
        InputError
            It holds sessions of another model; no session has changed.
        CapacityError
            It holds more than there is room for; no session has changed.
        """
        arrays = statefile.read(path)
        ids, ages = _ids_of(arrays.pop(IDS, None)), arrays.pop(AGES, None)
        if ids is None or ages is None or ages.shape != (len(ids),) or ages.dtype != np.float64:
            raise InputError(f"{path}: found no sessions, expected those of model '{self.model.name}'")
        try:
            self._take_over(ids, ages, arrays)
        except InputError as error:
            raise type(error)(f"{path}: {error}") from None

    def adopt(self, other):
        """Take over the sessions of another pool, in place of all there are: of a model with the same states.

        Parameters
        ----------
        other : SessionPool

        Raises
        ------
        InputError
            Its states are not like these; no session has changed.
        CapacityError
            It holds more than there is room for; no session has changed.
        """
        with other._lock:
            sessions = other._sessions()
        self._take_over(*sessions)  # never holding both locks: the other may adopt this one

    def _sessions(self, wanted=None):
        """Return the ids, the seconds since each was stepped, and the states as named arrays."""
        ids, ages, slots = self._directory.ids(), self._directory.ages(), self._directory.slots()
        if wanted is not None:
            wanted = set(wanted)
            places = [n for n, id in enumerate(ids) if id in wanted]
            ids, ages, slots = [ids[n] for n in places], ages[places], slots[places]
        return ids, ages, {name: array[slots] for name, array in self._arrays().items()}

    def _arrays(self):
        return {f"{name}/{n}": array for name, some in self._rows.arrays.items() for n, array in enumerate(some)}

    def _take_over(self, ids, ages, arrays):
        expected = {name: ((len(ids), *array.shape[1:]), array.dtype) for name, array in self._arrays().items()}
        found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        if found != expected:
            raise InputError(f"found states {found}, expected those of model '{self.model.name}': {expected}")
        with self._lock:
            slots = self._directory.replace(ids, ages)
            for name, array in self._arrays().items():
                array[slots] = arrays[name]


def _stack(rows, tensor, is_temporal):
    """Return one input's rows as an array, with a time axis of one if it is temporal."""
    shape = tensor.shape[2 if is_temporal else 1 :]
    batch = None
    if len(shape) == 1 and set(map(type, rows)) == {np.ndarray}:
        with contextlib.suppress(ValueError, TypeError):  # what is wrong is said below
            if set(map(np.ndarray.__len__, rows)) == {shape[0]} and set(map(_ndim, rows)) == {1}:
                batch = np.concatenate(rows).reshape(len(rows), -1)
    if batch is None:
        try:
            batch = np.stack([np.asarray(row) for row in rows])
        except ValueError:
            found = sorted({np.shape(row) for row in rows})
            raise InputError(f"input '{tensor.name}': found rows of shapes {found[:4]}, expected {shape}") from None
    batch = doors.cast(batch, tensor)
    doors.check_shape(batch, tensor.name, (None, *shape))
    return batch[:, None] if is_temporal else batch


def _pad(rows, timesteps):
    """Return rows of different length as one array."""
    if all(len(row) == timesteps for row in rows):
        return np.stack(rows)
    batch = doors.blank((len(rows), timesteps, *rows[0].shape[1:]), rows[0].dtype)
    for target, row in zip(batch, rows, strict=True):
        target[: len(row)] = row
    return batch


def _ndim(array):
    return array.ndim


def _ids_of(array):
    """Return the ids that an array of characters holds, or None if it holds no ids."""
    if array is None or array.dtype != np.uint8 or array.ndim != 1:
        return None
    try:
        ids = json.loads(array.tobytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(ids, list) and all(type(id) in (str, int) for id in ids)
    return ids if is_list and len(set(ids)) == len(ids) else None
