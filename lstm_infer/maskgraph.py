"""The operations on masks that Keras 3 would have recorded in a model built in Python.

In a functional model of Keras 3 the computation of a mask is part of the graph, which changes the depth of the layers
around it and so the order of ``model.layers``, by which weights files are read when names differ. Here masks simply
travel with the values; this module adds the calls that Keras would have made, for the sake of that order alone.
"""

from .layers.base import Tensor
from .layers.structure import flatten


def calls_with_masks(nodes):
    """Return ``(call, sources)`` pairs in an order that can be computed: those of `nodes` and the operations between.

    Parameters
    ----------
    nodes : list of Node

    Returns
    -------
    list of pairs
        A source is the call that makes an argument. Operations are plain objects.
    """
    calls, masks = [], {}

    def operation(*sources):
        made = object()
        calls.append((made, list(sources)))
        return made

    for node in nodes:
        given = node.kwargs.get("mask")
        carried = given.node if isinstance(given, Tensor) else _carried(node, masks)
        taken = [carried] if carried is not None and _takes(node) else []
        if node.layer.mask_role in ("attends", "keeps the first"):
            found = [masks.get(id(tensor)) for tensor in node.inputs]
            carried, taken = found[0], [mask for mask in found if mask is not None]
        calls.append((node, [tensor.node for tensor in node.parents] + taken))
        _note_output_masks(node, carried, masks, operation)
    return calls


def _carried(node, masks):
    """Return the call that makes the mask of a node's only input, if there is one."""
    return masks.get(id(node.inputs)) if isinstance(node.inputs, Tensor) else None


def _takes(node):
    states = flatten(node.kwargs.get("initial_state") or [])
    return (node.layer.has_mask_argument or hasattr(node.layer, "graph")) and not states


def _note_output_masks(node, carried, masks, operation):
    """Note in `masks` which call makes the mask of each output."""
    layer, outputs, role = node.layer, flatten(node.outputs), node.layer.mask_role
    if role == "makes":
        masks[id(outputs[0])] = operation(operation(node.inputs.node))
    elif role == "looks up":
        if layer.mask_zero:
            masks[id(outputs[0])] = operation(node.inputs.node)
    elif role in ("joins", "joins in time"):
        masks[id(outputs[0])] = _joined(node, masks, operation)
    elif role == "attends":
        masks[id(outputs[0])] = carried and operation(carried)
    elif role == "keeps the first":
        masks[id(outputs[0])] = carried
    elif role == "recurs":
        sequences = 2 if getattr(layer, "merge_mode", "") is None else 1
        for output in outputs[: sequences if layer.return_sequences else 0]:
            masks[id(output)] = carried
    elif role == "passes" and layer.supports_masking and not hasattr(layer, "graph"):
        masks[id(outputs[0])] = carried


def _joined(node, masks, operation):
    found = [masks.get(id(tensor)) for tensor in node.inputs]
    if node.layer.mask_role == "joins in time" and any(found):
        wide = [
            operation(tensor.node) if mask is None else operation(operation(mask), operation(tensor.node))
            for tensor, mask in zip(node.inputs, found, strict=True)
        ]
        return operation(operation(*wide))
    if not all(found):
        return None
    first, *rest = found
    for mask in rest:
        first = operation(first, mask)
    return first
