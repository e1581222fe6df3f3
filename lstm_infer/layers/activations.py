"""From the ways a Keras config gives an activation to what the kernels take.

An activation is given by name, by an activation layer written as ``{"class_name": ..., "config": {...}}``, or as a
function of one array. Which formula a name means may depend on the Keras that wrote it (`Semantics`).
"""

import math

import numpy as np

from ..errors import InputError
from ..kernels import activations as kernels
from ..kernels.activations import LINEAR
from ..kernels.address import address_of
from ..kernels.packing import activation_cell, knows
from ..kernels.update import activate
from ..kernels.vector import LANES, aligned

FLOAT32 = np.dtype(np.float32)


class UnknownActivation(InputError):
    """There is no activation called `name`."""

    def __init__(self, name):
        super().__init__(f"unknown activation {name!r}")
        self.name = name


def _optional(value, otherwise):
    return otherwise if value is None else float(np.asarray(value))


def _as_float32(slope):
    """Round a number as TensorFlow does in some activations, whatever the dtype of x."""
    return float(np.float32(slope))


def relu_of(max_value, negative_slope, threshold):
    """Return the name and parameters of the kernels' relu for those of Keras."""
    slope, threshold = _optional(negative_slope, 0.0), _optional(threshold, 0.0)
    if max_value is None and threshold == 0.0:  # Keras calls leaky_relu then
        slope = _as_float32(slope)
    return "relu", _as_float32(_optional(max_value, math.inf)), slope, threshold


def relu_keeps_integers(max_value, negative_slope, threshold):
    """Whether whole numbers have whole numbers as answers: a slope alone makes Keras call leaky_relu."""
    return not negative_slope or max_value is not None or bool(threshold)


def relu_of_integers(x, max_value, negative_slope, threshold):
    """Return what TensorFlow makes of whole numbers, to which it rounds the arguments towards zero first."""
    number, zero = x.dtype.type, x.dtype.type(0)
    slope, threshold = (number(int(value or 0)) for value in (negative_slope, threshold))
    y = np.where(x > threshold, x, zero)
    if max_value is not None:
        y = np.clip(y, zero, number(int(max_value)))
    return y - slope * np.maximum(threshold - x, zero) if slope else y


# Activation layers: class name -> activation and its parameters, from the layer's config.
LAYER_ACTIVATIONS = {
    "ReLU": lambda c: relu_of(c.get("max_value"), c.get("negative_slope"), c.get("threshold")),
    "LeakyReLU": lambda c: ("leaky_relu", _as_float32(_optional(c.get("negative_slope"), 0.3))),
    "ELU": lambda c: ("elu", _optional(c.get("alpha"), 1.0)),
    "ThresholdedReLU": lambda c: ("thresholded_relu", _optional(c.get("theta"), 1.0)),
    "Softmax": lambda c: ("softmax",),
    "Activation": lambda c: (c.get("activation"),),
}


def glu(x):
    """Gated linear unit: the first half of the last axis, gated by the sigmoid of the second."""
    value, gate = np.split(x, 2, axis=-1)
    return value * apply(get("sigmoid"), gate)


def settle(given, semantics):
    """Return how `given` is spelled here, for the Keras that `semantics` describes.

    >>> from lstm_infer.spec import Semantics
    >>> settle("hard_sigmoid", Semantics(hard_sigmoid="keras2"))
    'hard_sigmoid_keras2'
    """
    if given is None:
        return "linear"
    if given == "hard_sigmoid" and semantics.hard_sigmoid == "keras2":
        return "hard_sigmoid_keras2"
    return given


def get(given):
    """Return the kernels' `Activation` for a name or an activation layer's config; a function as it is.

    Raises
    ------
    InputError
        Nothing here has this name.
    """
    if given is None:
        return kernels.activation("linear")
    if callable(given):
        return given
    if given == "glu":
        return glu
    try:
        if isinstance(given, dict):
            return kernels.activation(*LAYER_ACTIVATIONS[given["class_name"]](given.get("config", {})))
        return kernels.activation(given)
    except (KeyError, TypeError, ValueError):
        name = given.get("class_name") if isinstance(given, dict) else given
        raise UnknownActivation(name) from None


def looks_at_one(function):
    """Whether an activation looks at one number at a time, and the tiles know it."""
    return not callable(function) and knows(FLOAT32, function)


def apply_on_vectors(function, x):
    """Return `apply`, computed on vectors where they know it: faster, and not always the same bits."""
    if x.dtype != FLOAT32 or not looks_at_one(function):
        return apply(function, x)
    if function.code == LINEAR:
        return x
    y = aligned(-(-x.size // LANES) * LANES)
    y[x.size :] = 0
    y[: x.size].reshape(x.shape)[...] = x
    activate(activation_cell(function), address_of(y), y.size // LANES)
    return y[: x.size].reshape(x.shape)


def apply(function, x):
    """Return `function` (of `get`) of the array `x`, over its last axis where that matters; `x` stays as it is."""
    if callable(function):
        return np.asarray(function(x), x.dtype)
    y = np.array(x, order="C")
    if y.size:
        kernels.activate_rows(function, y.reshape(-1, y.shape[-1]))
    return y
