"""What a layer costs: multiplications and additions, and bytes of weights, per timestep or per sequence.

Products of matrices are counted (a multiplication and an addition are two operations); activations, norms and sums
are not, and for classes that this page does not know the number is None. Bytes are those of the weights that one
timestep (or sequence) reads, in the type they are computed in: for one sequence at a time that is what takes the time.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import Layer
from ..layers.base import Tensor
from ..layers.structure import flatten

CONVOLUTIONS = ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv", "SeparableConv", "LocallyConnected", "Deconv")
OTHER_PRODUCTS = ("Dot", "CosineMerge", "Attention", "AdditiveAttention", "Lambda")  # no weights, yet not for nothing


def of(layer: Layer) -> dict:
    """Return the cost of one call of a layer.

    Parameters
    ----------
    layer : Layer
        Called on symbolic tensors.

    Returns
    -------
    dict
        ``flops`` (None where they are not known), ``per`` ("timestep" or "sequence") and ``weight_bytes``.
    """
    if not layer.nodes:
        return {"flops": None, "per": "sequence", "weight_bytes": _weight_bytes(layer)}
    before, after = (next((leaf.shape for leaf in flatten(end) if isinstance(leaf, Tensor)), None) for end in
                     (layer.nodes[0].inputs, layer.nodes[0].outputs))  # fmt: skip
    flops, per = _flops(layer, before or after, after)
    return {"flops": flops, "per": per, "weight_bytes": _weight_bytes(layer)}


def _weight_bytes(layer: Layer) -> int:
    total = 0
    for holder in layer.holders():
        for name, shape in (holder.expected_shapes or {}).items():
            read = shape[1:] if name == "embeddings" else shape  # one row is looked up
            total += math.prod(size or 0 for size in read) * holder.dtype.itemsize
    return total


def _flops(layer: Layer, before: tuple, after: tuple) -> tuple[int | None, str]:
    kind, inside = type(layer).__name__, layer.children()
    if kind == "TimeDistributed":
        return _flops(inside["layer"], (before[0], *before[2:]), (after[0], *after[2:]))[0], "timestep"
    if _is_recurrent(layer):
        return _recurrent(layer), "timestep"
    per = "timestep" if len(before) == 3 else "sequence"
    kernels = _kernels(layer)
    if kernels and kind == "Dense":
        return _times(kernels, before[2:-1] if per == "timestep" else before[1:-1]), per
    if kernels and kind.startswith(CONVOLUTIONS):
        return _convolution(layer, kernels, before, after)
    unknown = kernels or inside or kind in OTHER_PRODUCTS
    return (None if unknown else 0), per


def _kernels(layer: Layer) -> list[tuple]:
    shapes = layer.expected_shapes or {}
    return [shape for name, shape in shapes.items() if len(shape) >= 2 and name not in ("embeddings", "bias")]


def _is_recurrent(layer: Layer) -> bool:
    inside = ("forward_layer", "cell", "0")
    return "recurrent_kernel" in (layer.expected_shapes or {}) or any(
        _is_recurrent(child) for key, child in layer.children().items() if key in inside)  # fmt: skip


def _recurrent(layer: Layer) -> int | None:
    kernels = _kernels(layer)
    parts = [_recurrent(child) for child in layer.children().values()]
    if None in parts or any(len(shape) != 2 for shape in kernels):  # a cell may be a convolution
        return None
    own = _times(kernels, ())
    return None if own is None else own + sum(parts)


def _convolution(layer: Layer, kernels: list, before: tuple, after: tuple) -> tuple[int | None, str]:
    transposed = "Transpose" in type(layer).__name__ or type(layer).__name__.startswith("Deconv")
    shape = before if transposed else after  # the positions that the whole kernel is multiplied at
    spatial = shape[2:] if getattr(layer, "data_format", None) == "channels_first" else shape[1:-1]
    if len(spatial) > 1:
        return _times(kernels, spatial), "sequence"
    once = _times(kernels, ())
    steps = 1 if transposed else flatten([getattr(layer, "strides", 1)])[0]
    return (None if once is None else once // steps), "timestep"


def _times(kernels: list, positions: Any) -> int | None:
    sizes = [size for shape in kernels for size in shape] + list(positions)
    return None if None in sizes else 2 * sum(math.prod(shape) for shape in kernels) * math.prod(positions)
