"""Models that are a line of layers, stepped without the graph around them: almost nothing but the kernels.

A chain is made of recurrent layers on fused kernels, Dense layers on tiles, and layers that do nothing at inference. It
computes a step only if everything it is given is just what it should be, which the first kernel tells; else it
returns None, and the general way converts, or says what is wrong.
"""

from .layers.base import Layer, Tensor
from .layers.core import Dense, Identity
from .layers.recurrent import RNN

MOST_SIZES = 64
"""Batch sizes that a chain remembers."""


class Chain:
    """A line of layers that follows a sequence timestep by timestep.

    Parameters
    ----------
    layers : list of Layer
    key : callable
        Tells under which key a recurrent layer's state is found.
    """

    def __init__(self, layers, key):
        self._layers, self._key = layers, key
        self._changes = Layer.changes
        self._steps = {}

    @property
    def is_current(self):
        """Whether no layer anywhere has got new weights since."""
        return self._changes == Layer.changes

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
            steps, new = self._steps.get(len(x_t)) or self._prepare(len(x_t)), {}
            for key, compute in steps:
                if key is None:
                    x_t = compute(x_t)
                else:
                    x_t, new[key] = compute(x_t, state[key])  # None, which cannot be unpacked, where they do not fit
            return (x_t, new) if len(new) == len(state) > 0 else None
        except (KeyError, TypeError, ValueError):
            return None

    def _prepare(self, rows):
        """Return what computes each layer for batches of so many rows."""
        computing = [layer for layer in self._layers if not isinstance(layer, Identity)]
        steps = []
        for layer in computing:
            if isinstance(layer, RNN):
                steps.append((self._key(layer), layer.cell.stepper(rows, is_output=layer is computing[-1])))
            else:
                steps.append((None, layer.stepper(rows)))
        if len(self._steps) < MOST_SIZES:
            self._steps[rows] = steps
        return steps


def chain_of(model, key):
    """Return the `Chain` of a model; one that computes nothing if the model is no line."""
    nothing = Chain([], key)
    tensors, layers = [*model.graph.inputs], []
    for node in model.graph.nodes:
        is_line = node.inputs is tensors[-1] and isinstance(node.outputs, Tensor) and not node.kwargs
        if not is_line or not _can_be_a_link(node.layer):
            return nothing
        tensors.append(node.outputs)
        layers.append(node.layer)
    first = next((layer for layer in layers if not isinstance(layer, Identity)), None)
    if len(model.graph.inputs) != 1 or model.output is not tensors[-1] or not isinstance(first, RNN):
        return nothing
    if str(model.graph.inputs[0].dtype) != "float32" or len(set(layers)) < len(layers):
        return nothing
    return Chain(layers, key)


def _can_be_a_link(layer):
    if isinstance(layer, RNN):
        return getattr(layer.cell, "packed", None) is not None and not (layer.go_backwards or layer.time_major)
    if isinstance(layer, Dense):
        return layer.packed is not None and layer.last is None
    return isinstance(layer, Identity)
