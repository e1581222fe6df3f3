"""Every Keras activation as a jitted function on rows.

An activation is an `Activation`: an integer code and up to three parameters, so that kernels take it as data and
are compiled once for all of them. Each value is computed in float64 and rounded once to the array's dtype.

Formulas: ``keras/src/activations/activations.py`` of Keras 3.15; ``hard_sigmoid_keras2`` is the ``hard_sigmoid`` of
Keras 1 and 2 (``keras/backend/tensorflow_backend.py`` of 2.2.4).
"""

import math
from typing import NamedTuple

import numpy as np

from .jit import kernel


class Activation(NamedTuple):
    """An activation as kernels take it: a code of `CODES` and its parameters (0 where it has none)."""

    code: int
    a: float = 0.0
    b: float = 0.0
    c: float = 0.0


_NAMES = (
    "linear", "sigmoid", "tanh", "hard_sigmoid", "hard_sigmoid_keras2", "relu", "leaky_relu", "elu", "selu", "softplus",
    "softsign", "exponential", "silu", "hard_silu", "gelu", "gelu_tanh", "mish", "softmax", "log_softmax", "relu6",
    "celu", "tanh_shrink", "soft_shrink", "hard_shrink", "hard_tanh", "squareplus", "sparse_plus", "sparse_sigmoid",
    "log_sigmoid", "threshold", "sparsemax", "thresholded_relu",
)  # fmt: skip
CODES = {name: code for code, name in enumerate(_NAMES)}
"""Canonical activation names and their codes."""

(
    LINEAR, SIGMOID, TANH, HARD_SIGMOID, HARD_SIGMOID_KERAS2, RELU, LEAKY_RELU, ELU, SELU, SOFTPLUS,
    SOFTSIGN, EXPONENTIAL, SILU, HARD_SILU, GELU, GELU_TANH, MISH, SOFTMAX, LOG_SOFTMAX, RELU6,
    CELU, TANH_SHRINK, SOFT_SHRINK, HARD_SHRINK, HARD_TANH, SQUAREPLUS, SPARSE_PLUS, SPARSE_SIGMOID,
    LOG_SIGMOID, THRESHOLD, SPARSEMAX, THRESHOLDED_RELU,
) = range(len(_NAMES))  # fmt: skip

SMOOTH = (
    SIGMOID, TANH, ELU, SELU, CELU, SOFTPLUS, EXPONENTIAL, SILU, GELU, GELU_TANH, MISH, TANH_SHRINK, SQUAREPLUS,
    LOG_SIGMOID,
)  # fmt: skip

# The parameters of an activation that is given by its name alone: the defaults of the functions in Keras.
DEFAULTS = {
    "relu": (math.inf, 0.0, 0.0),  # max_value, negative_slope, threshold
    "leaky_relu": (float(np.float32(0.2)),),  # negative_slope, which TensorFlow keeps as a float32 whatever x is
    "elu": (1.0,),  # alpha
    "celu": (1.0,),  # alpha
    "soft_shrink": (0.5,),  # threshold
    "hard_shrink": (0.5,),  # threshold
    "squareplus": (4.0,),  # b
    "threshold": (0.0, 0.0),  # threshold, default value
    "thresholded_relu": (1.0,),  # theta
}

SQRT_HALF = float(np.float32(0.7071067811865476))
"""The factor in ``tf.nn.gelu``, which TensorFlow rounds to float32 whatever x is."""

SYNONYMS = {"swish": "silu", "hard_swish": "hard_silu", "logsigmoid": "log_sigmoid", "softmax_v2": "softmax"}


def activation(name, *parameters):
    """Return the `Activation` called `name`.

    Parameters
    ----------
    name : str
        A key of `CODES` or `SYNONYMS`.
    *parameters : float
        In the order of `DEFAULTS`; the defaults where none are given.

    Raises
    ------
    KeyError
        No activation has this name.
    """
    name = SYNONYMS.get(name, name)
    return Activation(CODES[name], *(float(p) for p in parameters or DEFAULTS.get(name, ())))


@kernel
def _sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@kernel
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@kernel
def _clip(x, low, high):
    # written so that NaN passes through
    if x < low:
        return low
    if x > high:
        return high
    return x


@kernel
def _smooth(code, x, a):
    """The activations made of exp, tanh and their kind."""
    if code == TANH:
        return math.tanh(x)
    if code == SIGMOID:
        return _sigmoid(x)
    if code == ELU:
        return a * math.expm1(x) if x < 0.0 else x
    if code == CELU:
        return a * math.expm1(x / a) if x < 0.0 else x
    if code == SELU:
        return 1.0507009873554805 * (1.6732632423543772 * math.expm1(x) if x < 0.0 else x)
    if code == SOFTPLUS:
        return _softplus(x)
    if code == EXPONENTIAL:
        return math.exp(x)
    if code == SILU:
        return x * _sigmoid(x)
    if code == GELU:
        return 0.5 * x * (1.0 + math.erf(x * SQRT_HALF))
    if code == GELU_TANH:
        return 0.5 * x * (1.0 + math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    if code == MISH:
        return x * math.tanh(_softplus(x))
    if code == TANH_SHRINK:
        return x - math.tanh(x)
    if code == SQUAREPLUS:
        return 0.5 * (x + math.sqrt(x * x + a))
    return -_softplus(-x)  # LOG_SIGMOID


@kernel
def _piecewise(code, x, a, b, c):
    """The activations made of straight pieces and simple fractions."""
    if code == RELU:  # a: max_value, b: negative_slope, c: threshold
        if x > c or x != x:
            return a if x > a else x
        return b * (x - c) if b != 0.0 else 0.0
    if code == LEAKY_RELU:
        return a * x if x < 0.0 else x
    if code == HARD_SIGMOID_KERAS2:
        return _clip(0.2 * x + 0.5, 0.0, 1.0)
    if code == HARD_SIGMOID:
        return _clip(x / 6.0 + 0.5, 0.0, 1.0)
    if code == HARD_SILU:
        return x * _clip(x / 6.0 + 0.5, 0.0, 1.0)
    if code == RELU6:
        return _clip(x, 0.0, 6.0)
    if code == SOFTSIGN:
        return x / (1.0 + abs(x))
    if code == SOFT_SHRINK:
        return x - a if x > a else (x + a if x < -a else 0.0)
    if code == HARD_SHRINK:
        return x if abs(x) > a else 0.0
    if code == HARD_TANH:
        return _clip(x, -1.0, 1.0)
    if code == SPARSE_PLUS:
        return 0.0 if x <= -1.0 else (x if x >= 1.0 else 0.25 * (x + 1.0) * (x + 1.0))
    if code == SPARSE_SIGMOID:
        return _clip(0.5 * (x + 1.0), 0.0, 1.0)
    if code == THRESHOLDED_RELU:
        return x if x > a or x != x else 0.0
    return x if x > a or x != x else b  # THRESHOLD


@kernel
def _softmax(code, z):
    largest = -math.inf
    for j in range(z.size):
        if z[j] > largest or z[j] != z[j]:
            largest = z[j]
    total = 0.0
    for j in range(z.size):
        total += math.exp(np.float64(z[j]) - largest)
    for j in range(z.size):
        x = np.float64(z[j]) - largest
        z[j] = math.exp(x) / total if code == SOFTMAX else x - math.log(total)


@kernel
def _sparsemax(z):
    """Sparsemax as Keras 3 computes it: where several values are kept it sums their running sums, not the values
    (``sparsemax`` in ``keras/src/backend/tensorflow/nn.py``), so that rows do not always sum to one."""
    ordered = np.sort(z.astype(np.float64))[::-1]
    running, kept, summed = 0.0, 0, 0.0
    for j in range(z.size):
        running += ordered[j]
        if ordered[j] - (running - 1.0) / (j + 1) > 0.0:
            kept, summed = kept + 1, summed + running
    threshold = (summed - 1.0) / kept
    for j in range(z.size):
        z[j] = max(np.float64(z[j]) - threshold, 0.0)


@kernel
def activate(f, z):
    """Apply activation `f` in place to the row `z`, a contiguous (n,) array of any float dtype."""
    code = f.code
    if code == LINEAR:
        return
    if code in (SOFTMAX, LOG_SOFTMAX):
        _softmax(code, z)
    elif code == SPARSEMAX:
        _sparsemax(z)
    elif code in SMOOTH:
        for j in range(z.size):
            z[j] = _smooth(code, np.float64(z[j]), f.a)
    else:
        for j in range(z.size):
            z[j] = _piecewise(code, np.float64(z[j]), f.a, f.b, f.c)


@kernel
def activate_rows(f, z):
    """Apply activation `f` in place to every row of the C-contiguous (rows, n) array `z`."""
    for row in range(z.shape[0]):
        activate(f, z[row])
