"""Whether a model can follow a sequence one timestep at a time, and what it then has to remember.

A value of a model is *temporal* if it belongs to the timesteps of the input sequence. Recurrent layers that run
forwards over temporal values carry their state from step to step; layers that treat every timestep alike may stand
anywhere between; whatever needs the whole sequence at once cannot be stepped.
"""

from dataclasses import dataclass

from .errors import InputError
from .layers.base import Tensor
from .layers.recurrent import RNN
from .layers.structure import flatten


@dataclass(frozen=True)
class StepPlan:
    """How a model is stepped.

    Attributes
    ----------
    carried : dict
        The recurrent layers that carry state, by their path's name (``"lstm"``, ``"encoder/lstm"``).
    inputs, outputs : tuple of bool
        Which inputs and outputs of the model are temporal.
    """

    carried: dict
    inputs: tuple
    outputs: tuple


def plan(model):
    """Return the `StepPlan` of `model`.

    Raises
    ------
    InputError
        A layer needs the whole sequence at once; the message names it.
    """
    demanded = _sequences_into_recurrent(model.graph, set())
    inputs = tuple(id(tensor) in demanded for tensor in model.graph.inputs)
    carried = {}
    if not any(inputs):
        blocker = next((n.layer for n in model.graph.nodes if not _follows(n.layer)), None)
        reason = f"layer '{blocker.name}' needs the whole sequence" if blocker else "it has no recurrent layer"
        raise InputError(f"model '{model.name}' cannot be stepped: {reason}")
    outputs = _spread(model.graph, inputs, carried, ())
    return StepPlan(carried, inputs, outputs)


def _follows(layer):
    return layer.per_timestep or _is_forward(layer) or hasattr(layer, "graph")


def _is_forward(layer):
    return isinstance(layer, RNN) and not layer.go_backwards and not layer.time_major


def _sequence_of(node):
    """Return the symbolic sequence that a recurrent layer is called on, and its mask if one is given."""
    first = node.inputs[0] if isinstance(node.inputs, (list, tuple)) else node.inputs
    mask = node.kwargs.get("mask")
    return [first] + ([mask] if isinstance(mask, Tensor) else [])


def _sequences_into_recurrent(graph, demanded_outputs):
    """Return the ids of the tensors that reach a recurrent layer, timestep by timestep."""
    demanded = {id(graph.outputs[n]) for n in demanded_outputs}
    for node in reversed(graph.nodes):
        if _is_forward(node.layer):
            demanded.update(id(tensor) for tensor in _sequence_of(node))
            continue
        wanted = {n for n, tensor in enumerate(flatten(node.outputs)) if id(tensor) in demanded}
        if hasattr(node.layer, "graph"):
            inner = node.layer.graph
            inside = _sequences_into_recurrent(inner, wanted)
            pairs = zip(flatten(node.inputs), inner.inputs, strict=True)
            demanded.update(id(outer) for outer, tensor in pairs if id(tensor) in inside)
        elif wanted and node.layer.per_timestep:
            demanded.update(id(tensor) for tensor in node.parents)
    return demanded


def _spread(graph, inputs, carried, path):
    """Follow temporal values from the inputs to the outputs, noting in `carried` the layers that remember."""
    temporal = {id(tensor) for tensor, is_temporal in zip(graph.inputs, inputs, strict=True) if is_temporal}
    for node in graph.nodes:
        layer, outputs = node.layer, flatten(node.outputs)
        name = "/".join((*path, layer.name))
        if not any(id(tensor) in temporal for tensor in node.parents):
            continue
        if hasattr(layer, "graph"):
            reach = tuple(id(tensor) in temporal for tensor in flatten(node.inputs))
            reached = _spread(layer.graph, reach, carried, (*path, layer.name))
            temporal.update(id(tensor) for tensor, does in zip(outputs, reached, strict=True) if does)
        elif _is_forward(layer) and id(_sequence_of(node)[0]) in temporal:
            _check_recurrent(node, name, carried)
            carried[name] = layer
            if layer.return_sequences:
                temporal.add(id(outputs[0]))
        elif layer.per_timestep:
            temporal.update(id(tensor) for tensor in outputs)
        elif not layer.takes_last_timestep:
            raise InputError(f"layer '{name}' needs the whole sequence, so the model cannot be stepped")
    return tuple(id(tensor) in temporal for tensor in graph.outputs)


def _check_recurrent(node, name, carried):
    given = isinstance(node.inputs, (list, tuple)) or node.kwargs.get("initial_state")
    if given:
        raise InputError(f"layer '{name}' takes its initial state from other layers, so the model cannot be stepped")
    if node.layer in carried.values():
        raise InputError(f"layer '{name}' reads two sequences, so the model cannot be stepped")
