"""Models that are a line of layers, computed without the graph around them: almost nothing but the kernels.

A chain is made of recurrent layers on fused kernels, Dense layers on tiles, and layers that do nothing at inference. It
computes only if everything it is given is just what it should be; else it returns None, and the general way converts,
or says what is wrong.
"""

from time import perf_counter

import numpy as np

from .layers import is_ours
from .layers.base import Tensor, shape_fits, watch
from .layers.core import Dense, Identity
from .layers.lines import Link, make_stepper
from .layers.recurrent import RNN
from .layers.sequences import FLOAT32, ROWS_AT_ONCE, ROWS_EACH, SOON, work_of

MOST_ROWS = 256
"""Rows that a chain computes: as many as a batch has that is made for the general way."""
SHORT_WORK = 500_000_000
"""Multiply-adds of a call up to which threads share the units of many rows, too: it takes a tenth of a millisecond more
to give every thread rows of its own (measured with two threads: equal at 256 units, 25 timesteps and 64 rows)."""
MOST_SIZES = 64
"""Batch sizes and shapes that a chain remembers."""


class Chain:
    """A model that may be a line of layers, which then follows a sequence timestep by timestep.

    Parameters
    ----------
    model : Model
    key : callable
        Tells under which key a recurrent layer's state is found.
    """

    def __init__(self, model, key):
        self._model, self._key, self._ended = model, key, 0.0
        self.forget()
        watch(self)

    def step(self, x_t, state):
        """Compute one timestep.

        Parameters
        ----------
        x_t : (batch, features) array
        state : dict
            Lists of (batch, units) arrays; not changed.

        Returns
        -------
        (y_t, new state), or None
        """
        try:
            return (self._steps.get(len(x_t)) or self._prepare(x_t))(x_t, state)
        except (KeyError, TypeError, ValueError):  # a strange state, or None in place of an output and new states
            return None

    def forget(self):
        """Begin anew: some layer has changed."""
        self._steps, self._sequences = {}, {}  # by batch size; by shape

    def predict(self, x, threads):
        """Compute whole sequences of a small batch from zero states.

        Parameters
        ----------
        x : (batch, timesteps, features) array, or a list or dict of it
        threads : int
            The most threads to use.

        Returns
        -------
        array or None
        """
        if type(x) is list and len(x) == 1:
            (x,) = x
        elif type(x) is dict and len(x) == 1:
            x = x.get(self._model.inputs[0].name)
        if type(x) is not np.ndarray or x.ndim != 3:
            return None
        if x.dtype is not FLOAT32 or not x.flags.c_contiguous:
            if x.dtype.kind not in "biuf":
                return None
            x = np.ascontiguousarray(x, FLOAT32)
        known = self._sequences.get(x.shape)
        functions, work = self._prepare_sequences(x.shape) if known is None else known
        if threads > 1 and len(x) >= ROWS_EACH * threads and (len(x) > ROWS_AT_ONCE or work > SHORT_WORK):
            return None  # the general way gives every thread rows of its own
        soon = perf_counter() < self._ended + SOON
        for compute in functions:
            x = compute(x, threads, soon)
        self._ended = perf_counter()
        return x if functions else None

    def _prepare(self, x_t):
        """Return a function of x_t and the state for batches of as many rows."""
        if type(x_t) is not np.ndarray:
            return _nothing
        steps, rows = self._steps, len(x_t)  # if weights change meanwhile, another dict takes its place
        self._model.check_ready()
        layers = _line_of(self._model)
        links = [_link(layer) for layer in layers]
        keys = [self._key(layer) for layer in layers if isinstance(layer, RNN)]
        function = make_stepper(links, keys, rows) if links else _nothing
        _remember(steps, rows, function)
        return function

    def _prepare_sequences(self, shape):
        """Return the functions that compute sequences of a shape (none: it is for the general way), and their work."""
        sequences, given, functions, work = self._sequences, shape, [], 0
        self._model.check_ready()
        for layer in _line_of(self._model) if self._takes(shape) else []:
            if isinstance(layer, RNN):
                functions.append(layer.cell.runner(shape, layer.return_sequences, layer.go_backwards))
                work += work_of(layer.cell.packed, *shape[:2])
                shape = (*shape[: 2 if layer.return_sequences else 1], layer.cell.units)
            else:
                functions.append(layer.runner(shape))
                shape = (*shape[:-1], layer.units)
        _remember(sequences, given, (functions, work))
        return functions, work

    def _takes(self, shape):
        """Whether the model takes inputs of a shape, few enough to be computed at once, and carries no state."""
        fits = shape_fits(shape, (None, *self._model.inputs[0].shape[1:])) and len(shape) == 3
        return fits and 0 < shape[0] <= MOST_ROWS and shape[1] > 0 and not self._model.is_stateful


def _remember(known, size, made):
    if len(known) >= MOST_SIZES:
        known.clear()
    known[size] = made


def _nothing(x_t, state):
    return None


def _link(layer):
    is_recurrent = isinstance(layer, RNN)
    return Link(layer.cell.packed if is_recurrent else layer.packed, is_recurrent)


def _line_of(model):
    """Return the layers that compute something, if the model is a line of layers that can be links; else none."""
    layers = line_of(model, _can_be_a_link)
    is_checked = bool(layers) and isinstance(layers[0], RNN)  # a recurrent layer's kernel looks at what it is given
    return layers if is_checked and model.graph.inputs[0].dtype == "float32" else []


def line_of(model, fits):
    """Return the layers that compute something, if the model is a line of different layers that fit; else none.

    Parameters
    ----------
    model : Model
    fits : callable
        Tells whether a layer may be in the line.
    """
    end, layers = model.graph.inputs[0], []
    for node in model.graph.nodes:
        is_line = node.inputs is end and isinstance(node.outputs, Tensor) and not node.kwargs
        if not is_line or not fits(node.layer):
            return []
        end = node.outputs
        layers.append(node.layer)
    layers = [layer for layer in layers if not (isinstance(layer, Identity) and is_ours(layer))]
    is_whole = len(model.graph.inputs) == 1 and model.output is end and len(set(layers)) == len(layers)
    return layers if is_whole else []


def _can_be_a_link(layer):
    """Whether a layer is one of ours, whose methods nobody has overridden, and has a kernel for lines."""
    if not is_ours(layer):
        return False
    if isinstance(layer, RNN):
        is_fused = is_ours(layer.cell) and getattr(layer.cell, "packed", None) is not None
        return is_fused and not layer.time_major
    if isinstance(layer, Dense):
        return layer.packed is not None and layer.last is None and layer.scheme is None
    return isinstance(layer, Identity)
