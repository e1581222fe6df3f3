"""Compiling ahead of time: for images, read-only installs, and services whose first answer must not wait.

Kernels are compiled by using them: a model is run on a few zeros, in every way a user may run it.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import InputError
from .kernels import line, share
from .kernels.counting import compilations
from .kernels.jit import cache_folder
from .layers.core import Dense, Input
from .layers.recurrent import GRU, LSTM, SimpleRNN
from .model import Sequential
from .streaming import SessionPool


class Warmed(NamedTuple):
    """Where compiled kernels are kept (None where there is no usable folder), how many are new there, and how many were
    compiled but could not be kept: the folder is read-only, or the disk full."""

    folder: Path | None
    kernels: int
    lost: int = 0


FREE = 16
"""The size of dimensions that a model leaves free."""

COMMON = (
    lambda: LSTM(4),
    lambda: LSTM(4, recurrent_activation="hard_sigmoid"),
    lambda: LSTM(4, recurrent_activation="hard_sigmoid_keras2"),
    lambda: LSTM(4, activation="relu"),
    lambda: GRU(4),
    lambda: GRU(4, reset_after=False, recurrent_activation="hard_sigmoid_keras2"),
    *(lambda units=units: SimpleRNN(units) for units in (4, 32, 64)),
    *(
        lambda units=units, activation=activation: Dense(units, activation)
        for units in (4, 32, 64)
        for activation in ("linear", "relu", "sigmoid", "tanh", "softmax")
    ),
)
"""The layers of most models. Kernels depend on a layer's kind and activations; for simple layers also on the size."""


def warm_up(model=None):
    """Compile the kernels that a model needs, or those of the most common layers.

    Parameters
    ----------
    model : Model, optional

    Returns
    -------
    Warmed
    """
    before = _kept()
    with compilations() as compiled:
        for one in [model] if model is not None else _common_models():
            _exercise(one)
        line.compiled()  # more than 64 rows need it even where the model is not stepped
        share.compiled()  # a second thread needs it for calls that come in a row, here or in a process with more cores
    new = len(_kept() - before)
    return Warmed(cache_folder(), new, max(0, len(compiled) - new))


def _kept():
    """Return the names of the kernels in the cache, and when they were written: they may be written again."""
    folder = cache_folder()
    return set() if folder is None else {(path.name, path.stat().st_mtime_ns) for path in folder.glob("*.nbc")}


def _common_models():
    for make in COMMON:
        model = Sequential([Input((FREE, 3)), make()])
        model.set_weights([np.zeros(shape) for shape in model.layers[0].expected_shapes.values()])
        yield model


def _exercise(model):
    """Run a model in every way, on zeros and empty texts."""
    inputs = [_nothing([FREE if n is None else n for n in (1, *t.shape[1:])], t.dtype) for t in model.inputs]
    model.predict(inputs)
    for use in (_predict_masked, _step, _step_in_pool):
        with contextlib.suppress(InputError):  # not every model takes masks, or can be stepped
            use(model, inputs)
    model.reset_states()


def _nothing(shape, dtype):
    return np.full(shape, b"" if np.dtype(dtype).kind == "O" else 0, dtype)


def _predict_masked(model, inputs):
    masks = [np.arange(x.shape[1])[None] < 1 if x.ndim > 1 else None for x in inputs]
    model.predict(inputs, mask=masks if len(masks) > 1 else masks[0])


def _step(model, inputs):
    temporal = model.step_plan.inputs
    x_t = [x[:, 0] if is_temporal else x for x, is_temporal in zip(inputs, temporal, strict=True)]
    model.step(x_t if len(x_t) > 1 else x_t[0], model.initial_state())


def _step_in_pool(model, inputs):
    SessionPool(model, 1).predict(0, [x[0] for x in inputs])
