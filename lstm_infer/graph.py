"""The order in which the calls of a model are computed, and their computation.

A graph is made once, from symbolic inputs and outputs; a Sequential model is a graph that is a line. Masks travel
beside the values.
"""

from .errors import InputError
from .layers.base import Tensor, map_shapes
from .layers.structure import flatten, map_structure
from .maskgraph import calls_with_masks

MAX_CALLS = 100_000
"""More calls than any real model makes; models that call models twice, ten levels deep, would never end."""


class Graph:
    """The calls between some inputs and some outputs, in an order that can be computed.

    Parameters
    ----------
    inputs, outputs : list of Tensor

    Raises
    ------
    InputError
        An output needs something that is not among the inputs.

    Attributes
    ----------
    nodes : list of Node
    masks_recorded : bool
        Whether the calls come from a file, where those that Keras 3 gave a mask have it as an argument; a mask that
        travels is then only for the others.
    """

    def __init__(self, inputs, outputs):
        self.inputs, self.outputs = inputs, outputs
        self.nodes, self._met = _depth_first(inputs, outputs)
        if any(node.layer.is_called_by_depth for node in self.nodes):
            self.nodes = _by_depth(self.nodes)  # it matters there who comes first
        self.masks_recorded = False
        self._orders, self._shapes = {}, {}
        inside = (getattr(node.layer, "graph", None) for node in self.nodes)
        self.calls = sum(graph.calls if graph else 1 for graph in inside)
        if self.calls > MAX_CALLS:
            found = f"{self.calls:,} calls, models inside models counted"
            raise InputError(f"found {found}, expected {MAX_CALLS:,} at most")

    def layers(self, masks_in_graph):
        """Return the layers in the order of Keras's ``model.layers``, on which weights files rely.

        Parameters
        ----------
        masks_in_graph : bool
            As in Keras 3, where operations on masks are calls too and push other layers back (`Semantics`).
        """
        recorded = any(node.layer.is_recorded for node in self.nodes)
        rule = masks_in_graph and not recorded
        if rule not in self._orders:
            nodes = calls_with_masks(self.nodes) if rule else [(node, _sources(node)) for node in self.nodes]
            self._orders[rule] = _order_layers(nodes, self._met, self.inputs)
        return self._orders[rule]

    def run(self, values, masks, context):
        """Compute the outputs.

        Parameters
        ----------
        values, masks : list
            Arrays for the inputs, and their masks or None.
        context : Context

        Returns
        -------
        values, masks : list
            Of the outputs.
        """
        known = {id(tensor): pair for tensor, *pair in zip(self.inputs, values, masks, strict=True)}

        def value(leaf):
            return known[id(leaf)][0] if isinstance(leaf, Tensor) else leaf

        def mask(leaf):
            return known[id(leaf)][1] if isinstance(leaf, Tensor) else None

        for node in self.nodes:
            inputs, carried = map_structure(value, node.inputs), map_structure(mask, node.inputs)
            kwargs = {name: map_structure(value, argument) for name, argument in node.kwargs.items()}
            outputs, out_mask = self._run(node.layer, inputs, carried, context, kwargs)
            leaves = flatten(node.outputs)
            out_masks = flatten(out_mask) if isinstance(out_mask, (list, tuple, dict)) else [out_mask] * len(leaves)
            for tensor, array, array_mask in zip(leaves, flatten(outputs), out_masks, strict=True):
                known[id(tensor)] = (array, array_mask)
            if self.masks_recorded and getattr(node.layer, "takes_masks_away", False):
                known.update((id(tensor), (value(tensor), None)) for tensor in node.parents)
        return [value(t) for t in self.outputs], [mask(t) for t in self.outputs]

    def _run(self, layer, inputs, carried, context, kwargs):
        try:
            outputs, mask = layer.run(inputs, carried, context, **kwargs)
            return outputs, None if type(layer).__name__ in layer.semantics.masks_stop_at else mask
        except InputError:
            raise
        except ValueError as error:  # sizes that only this data has, and that do not fit each other
            raise InputError(f"layer '{layer.name}': {error}") from error

    def infer_shapes(self, shapes):
        """Return the shapes of the outputs, a list, for inputs of `shapes`."""
        key = tuple(shapes)
        if key not in self._shapes:  # models inside models would be gone through again for every call
            self._shapes[key] = self._infer_shapes(shapes)
        return self._shapes[key]

    def _infer_shapes(self, shapes):
        known = {id(tensor): shape for tensor, shape in zip(self.inputs, shapes, strict=True)}
        for node in self.nodes:
            inputs = map_structure(lambda leaf: known[id(leaf)] if isinstance(leaf, Tensor) else leaf, node.inputs)
            found = []
            map_shapes(found.append, node.layer.compute_call_shape(inputs, node.kwargs))
            known.update((id(tensor), shape) for tensor, shape in zip(flatten(node.outputs), found, strict=True))
        return [known[id(tensor)] for tensor in self.outputs]


def _depth_first(inputs, outputs):
    """Return the nodes in an order that can be computed, and the layers in the order they were met."""
    stop = {id(tensor) for tensor in inputs}
    nodes, done, met = [], set(), {}
    work = [(tensor, False) for tensor in reversed(outputs)]
    while work:  # a loop, not recursion: models with thousands of calls exist
        tensor, parents_done = work.pop()
        node = tensor.node
        if node in done:
            continue
        met.setdefault(node.layer, len(met))
        if parents_done:
            done.add(node)
            if id(tensor) not in stop:
                nodes.append(node)
        elif id(tensor) in stop:
            continue
        elif not node.parents:
            raise InputError(f"'{tensor.name}' is needed by the outputs but is not among the model's inputs")
        else:
            work.append((tensor, True))
            work.extend((parent, False) for parent in reversed(node.parents))
    return nodes, met


def _sources(node):
    return [tensor.node for tensor in node.parents]


def _depths(calls):
    """Return how far calls and layers are from the outputs (as ``keras/src/models/functional.py``)."""
    node_depths, layer_depths = {}, {}
    for node, sources in reversed(calls):
        layer = getattr(node, "layer", node)
        if layer is node and node not in node_depths:
            continue  # an operation on masks that no output needs
        depth = max(node_depths.get(node, 0), layer_depths.get(layer, 0))
        node_depths[node] = layer_depths[layer] = depth
        for source in sources:
            node_depths[source] = max(depth + 1, node_depths.get(source, 0))
    return node_depths, layer_depths


def _by_depth(nodes):
    """Return calls in the order in which Keras 3 computes them: the deepest first."""
    depths, _ = _depths([(node, _sources(node)) for node in nodes])
    known = set(nodes)
    return [node for node in sorted(depths, key=lambda node: -depths[node]) if node in known]


def _order_layers(calls, met, inputs):
    """Order layers by depth, then as they were met."""
    node_depths, layer_depths = _depths(calls)
    for tensor in inputs:
        depth = max(node_depths.get(tensor.node, 0), layer_depths.get(tensor.node.layer, 0))
        layer_depths[tensor.node.layer] = depth
        met.setdefault(tensor.node.layer, len(met))
    return sorted(met, key=lambda layer: (-layer_depths[layer], met[layer]))
