"""The states of many independent rows of one model, and the way to advance some of them together.

A row's state lives in a *slot*: the same place in one contiguous array per state of every recurrent layer. What a row
computes does not depend on the others that are advanced with it: the same bits as `Model.step`.
"""

import numpy as np

from ..chains import line_of
from ..errors import InputError
from ..inputs import blank
from ..layers.base import Context, watch
from ..layers.pooled import PooledLine, is_fused

CHUNK_ROWS = 256
"""Rows that go through a general graph together."""


class Rows:
    """Slots for the states of a model.

    Parameters
    ----------
    model : Model
    slots : int

    Raises
    ------
    InputError
        The model cannot be stepped; the message names the layer that needs the whole sequence.
    """

    def __init__(self, model, slots):
        self.model, self.slots = model, slots
        self.plan = model.step_plan
        self.arrays = {
            name: [np.zeros((slots, *zero.shape[1:]), zero.dtype) for zero in layer.get_initial_state(1)]
            for name, layer in self.plan.carried.items()
        }
        self._line = None
        watch(self)

    def forget(self):
        """Begin anew: some layer has changed."""
        self._line = None

    @property
    def is_fused(self):
        """Whether the kernels read and write the slots themselves, many timesteps and unequal lengths at a time."""
        return bool(self._prepared())

    def clear(self, slots):
        """Set the states of some slots to zero."""
        for arrays in self.arrays.values():
            for array in arrays:
                array[slots] = 0

    def advance(self, slots, values, counts=None, threads=1):
        """Compute some timesteps of some rows.

        Parameters
        ----------
        slots : (rows,) int64 array
            No two the same.
        values : list of arrays
            One per input of the model, checked and cast: (rows, timesteps, ...), or (rows, ...) where it has no time.
        counts : (rows,) int64 array, optional
            How many timesteps of each row are real, from 1; all of them unless given.
        threads : int
            The most to use.

        Returns
        -------
        list of arrays
            One per output: (rows, timesteps, ...), where only real timesteps mean anything, or (rows, ...) after the
            last real timestep; the latter are still to `finish`.

        Raises
        ------
        InputError
            A layer finds an id that it does not know; no state has changed.
        """
        self.model.check_ready()
        line = self._prepared()
        if line and values[0].dtype.kind == "f":  # in which nothing can be wrong
            return [line.advance(slots, np.ascontiguousarray(values[0]), counts, threads)]
        arrays = [array for some in self.arrays.values() for array in some]
        before = [array[slots] for array in arrays]
        try:
            if line:
                return [line.advance(slots, np.ascontiguousarray(values[0]), counts, threads)]
            return self._advance_graph(slots, values, counts)
        except BaseException:
            for array, states in zip(arrays, before, strict=True):
                array[slots] = states
            raise

    def finish(self, outputs):
        """Complete what `advance` returned, or some rows of it: what need not be computed at every timestep."""
        line = self._prepared()
        return [line.finish(outputs[0])] if line else outputs

    def _prepared(self):
        """Return the `PooledLine`, or False where the model is none."""
        if self._line is None:
            states = {layer: self.arrays[name] for name, layer in self.plan.carried.items()}
            layers = line_of(self.model, lambda layer: is_fused(layer) if layer in states else _is_plain(layer))
            self._line = PooledLine(layers, states) if layers and not self._makes_masks(layers) else False
        return self._line

    def _makes_masks(self, layers):
        [tensor] = self.model.graph.inputs
        x = blank((1, 1, *(n or 1 for n in tensor.shape[2:])), tensor.dtype)
        for layer in layers:
            x, mask = layer.run(x, None, Context(carries=lambda layer: False))
            if mask is not None:
                return True
        return False

    def _advance_graph(self, slots, values, counts):
        """Advance through the general graph: whole stretches where all rows have them, else timestep by timestep."""
        if counts is None:
            return self._run_graph(slots, values)
        outputs, timesteps = None, int(counts.max())
        for t in range(timesteps):
            rows = np.flatnonzero(counts > t)
            some = [v[rows, t : t + 1] if is_temporal else v[rows] for v, is_temporal in self._by_time(values)]
            results = self._run_graph(slots[rows], some)
            if outputs is None:
                outputs = [
                    np.zeros((len(slots), timesteps, *y.shape[2:]) if is_temporal else y.shape, y.dtype)
                    for y, is_temporal in zip(results, self.plan.outputs, strict=True)
                ]
            for output, y, is_temporal in zip(outputs, results, self.plan.outputs, strict=True):
                if is_temporal:
                    output[rows, t] = y[:, 0]
                else:
                    output[rows] = y
        return outputs

    def _by_time(self, values):
        return zip(values, self.plan.inputs, strict=True)

    def _run_graph(self, slots, values):
        parts = []
        for first in range(0, len(slots), CHUNK_ROWS):
            some, chunk = slots[first : first + CHUNK_ROWS], [v[first : first + CHUNK_ROWS] for v in values]
            states = {layer: [a[some] for a in self.arrays[name]] for name, layer in self.plan.carried.items()}
            context = Context(states=states, carries=states.__contains__, continues=True)
            parts.append(self.model.graph.run(chunk, [None] * len(chunk), context)[0])
            for name, layer in self.plan.carried.items():
                for array, new in zip(self.arrays[name], states[layer], strict=True):
                    array[some] = new
        return [part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*parts, strict=True)]


def _is_plain(layer):
    return not hasattr(layer, "graph")


def check_capacity(number, word="capacity"):
    """Return a number of slots.

    Raises
    ------
    InputError
        It is not a positive whole number.
    """
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
        raise InputError(f"found {word}={number!r}, expected a positive whole number")
    return int(number)
