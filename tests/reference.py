"""The oracle: Keras's recurrent cells, activations and loop over time in float64 NumPy, as the formulas are written.

It imports nothing of ours and knows no tricks, so that it can be checked by reading it. Formulas: ``activations.py``
and ``layers/rnn/{lstm,gru,simple_rnn}.py`` of Keras 3.15 (and of Keras 2.2.4 for what says Keras 2).
"""

import functools
import math
from typing import NamedTuple

import numpy as np

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-11}


def assert_close(ours, expected, dtype=None):
    """Fail where ``|ours - expected| > tolerance * (1 + |expected|)``; infinities and NaN stand in the same places."""
    ours, expected = np.asarray(ours), np.asarray(expected, np.float64)
    assert ours.shape == expected.shape
    assert dtype is None or ours.dtype == dtype
    tolerance = TOLERANCE[ours.dtype]
    np.testing.assert_allclose(ours.astype(np.float64), expected, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- activations: functions of the last axis
def in_float32(constant):
    """Return a constant that TensorFlow rounds to float32, whatever the dtype of its input."""
    return float(np.float32(constant))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.logaddexp(0, x)


def relu(x, max_value=math.inf, negative_slope=0.0, threshold=0.0):
    # strictly above the threshold: so Keras computes it, though its documentation has >=
    below = negative_slope * (x - threshold) if negative_slope else np.zeros_like(x)
    y = np.minimum(np.where(x > threshold, x, below), max_value)
    return np.where(np.isnan(x), x, y)


def leaky_relu(x, negative_slope=None):
    negative_slope = in_float32(0.2) if negative_slope is None else negative_slope
    return np.where(x < 0, negative_slope * x, x)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x * in_float32(math.sqrt(0.5))))


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def sparsemax(x):
    # Keras sums the running sums of what is kept, where Martins & Astudillo (2016) have the last one
    ordered = -np.sort(-x, axis=-1)
    running = np.cumsum(ordered, axis=-1)
    kept = ordered - (running - 1) / np.arange(1, x.shape[-1] + 1) > 0
    threshold = (np.sum(np.where(kept, running, 0), axis=-1, keepdims=True) - 1) / np.sum(kept, axis=-1, keepdims=True)
    return np.maximum(x - threshold, 0)


ACTIVATIONS = {
    "linear": lambda x: x,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "silu": lambda x: x * sigmoid(x),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "gelu": gelu,
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "relu6": lambda x: np.clip(x, 0, 6),
    "celu": lambda x, alpha=1.0: np.maximum(x, 0) + np.minimum(alpha * (np.exp(np.minimum(x, 0) / alpha) - 1), 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "soft_shrink": lambda x, threshold=0.5: np.sign(x) * np.maximum(np.abs(x) - threshold, 0),
    "hard_shrink": lambda x, threshold=0.5: np.where(np.abs(x) > threshold, x, 0),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "squareplus": lambda x, b=4.0: (x + np.sqrt(x**2 + b)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
    "log_sigmoid": lambda x: -softplus(-x),
    "threshold": lambda x, threshold=0.0, default_value=0.0: np.where(x > threshold, x, default_value),
    "sparsemax": sparsemax,
    "thresholded_relu": lambda x, theta=1.0: np.where(x > theta, x, 0),
}


def activation(name, *parameters):
    """Return the activation as a function of a float64 array."""

    def compute(x):
        with np.errstate(all="ignore"):  # of infinities and NaN only the results matter
            return np.asarray(ACTIVATIONS[name](np.asarray(x, np.float64), *parameters), np.float64)

    return compute


# ---------------------------------------------------------------- cells: x_t, states, weights -> output, states
def lstm(x, states, kernel, recurrent_kernel, bias, f, g):
    h, c = states
    i, forget, candidate, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=-1)
    c = g(forget) * c + g(i) * f(candidate)
    h = g(o) * f(c)
    return h, [h, c]


def gru_reset_after(x, states, kernel, recurrent_kernel, bias, f, g):
    (h,) = states
    x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, axis=-1)
    h_z, h_r, h_h = np.split(h @ recurrent_kernel + bias[1], 3, axis=-1)
    z, r = g(x_z + h_z), g(x_r + h_r)
    h = z * h + (1 - z) * f(x_h + r * h_h)
    return h, [h]


def gru_reset_before(x, states, kernel, recurrent_kernel, bias, f, g):
    (h,) = states
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=-1)
    u_z, u_r, u_h = np.split(recurrent_kernel, 3, axis=-1)
    z, r = g(x_z + h @ u_z), g(x_r + h @ u_r)
    h = z * h + (1 - z) * f(x_h + (r * h) @ u_h)
    return h, [h]


def simple_rnn(x, states, kernel, recurrent_kernel, bias, f, g):
    h = f(x @ kernel + bias + states[0] @ recurrent_kernel)
    return h, [h]


class Cell(NamedTuple):
    """A kind of cell: its Keras class and further arguments, its formula, and the numbers of its gates and states."""

    name: str
    arguments: dict
    formula: callable
    gates: int
    states: int


CELLS = {
    "lstm": Cell("LSTM", {}, lstm, 4, 2),
    "gru": Cell("GRU", {}, gru_reset_after, 3, 1),
    "gru_before": Cell("GRU", {"reset_after": False}, gru_reset_before, 3, 1),
    "simple_rnn": Cell("SimpleRNN", {}, simple_rnn, 1, 1),
}


def random_weights(kind, features, units, seed=0, use_bias=True):
    """Return kernel, recurrent kernel and bias, exact in float32 so that every dtype starts from the same numbers."""
    rng, width = np.random.default_rng(seed), CELLS[kind].gates * units
    bias_shape = (2, width) if kind == "gru" else (width,)
    weights = [
        rng.normal(size=(features, width)) / math.sqrt(features),
        rng.normal(size=(units, width)) / math.sqrt(units),
        rng.normal(size=bias_shape) / 4,
    ]
    return [w.astype(np.float32).astype(np.float64) for w in weights[: 2 + use_bias]]


def step(kind, weights, f="tanh", g="sigmoid"):
    """Return the cell as a function of x_t and states; `f` and `g` are names of activations or functions."""
    kernel, recurrent_kernel, bias = weights if len(weights) == 3 else (*weights, np.zeros((2, weights[0].shape[1])))
    bias = bias if len(weights) == 3 or kind == "gru" else bias[0]
    f, g = (activation(function) if isinstance(function, str) else function for function in (f, g))
    formula = CELLS[kind].formula
    return functools.partial(
        formula, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias, f=f, g=g
    )


# ---------------------------------------------------------------- the loop over time
def rnn(step, x, states, mask=None, go_backwards=False, masked="previous"):
    """Return all outputs (batch, timesteps, ...), in order of processing, and the final states.

    At a masked timestep the states stay as they are, and the output is the ``"previous"`` one (zeros if there is none),
    the first ``"state"``, or ``"zero"``.
    """
    x, states = np.asarray(x, np.float64), [np.asarray(state, np.float64) for state in states]
    order = range(x.shape[1])[:: -1 if go_backwards else 1]
    outputs = []
    for t in order:
        output, new_states = step(x[:, t], states)
        if mask is not None:
            counts = np.asarray(mask, bool)[:, t, None]
            previous = outputs[-1] if outputs else np.zeros_like(output)
            instead = {"previous": previous, "state": states[0], "zero": np.zeros_like(output)}[masked]
            output = np.where(counts, output, instead)
            new_states = [np.where(counts, new, old) for new, old in zip(new_states, states, strict=True)]
        outputs.append(output)
        states = new_states
    return np.stack(outputs, axis=1), states


def zeros(kind, batch, units):
    """Return the states a layer begins with."""
    return [np.zeros((batch, units))] * CELLS[kind].states
