"""The layers of a model, loaded or not, as plain rows: from the spec, and from whatever could be made of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ..assembly import Assembly
from ..layers import Layer
from ..layers.base import map_shapes
from ..layers.structure import flatten
from ..spec import Handle, LayerSpec, ModelSpec
from ..summary import path_taken
from . import costs

Path = tuple


def of(spec: ModelSpec, assembly: Assembly, found: Mapping[Path, Mapping[str, Handle]]) -> list[dict]:
    """Return a row for every layer of a model and of the models inside it.

    Parameters
    ----------
    spec : ModelSpec
    assembly : Assembly
        After `explore`.
    found : mapping
        The arrays of each layer, as `layouts.match` finds them; empty where it does not.

    Returns
    -------
    list of dict
        ``name`` (with the models it is inside of), ``class_name``, ``output_shape``, ``parameters``, ``dtype``,
        ``path`` (of a recurrent layer), ``calls``, ``flops``, ``per``, ``weight_bytes``; None where it is not known.
    """
    sizes: Counter = Counter()
    for path, arrays in found.items():
        size = sum(math.prod(handle.shape) for handle in arrays.values())
        for length in range(1, len(path) + 1):
            sizes[path[:length]] += size
    return list(_rows(spec, assembly, sizes, (), 1))


def _rows(spec: ModelSpec, assembly: Assembly, sizes: Counter, path: Path, times: int) -> Iterator[dict]:
    calls = Counter(call.layer for call in spec.calls)
    for child in spec.layers:
        where = (*path, child.name)
        live = assembly.models.get(where) if isinstance(child, ModelSpec) else assembly.made.get(where)
        count = times * max(1, calls[child.name])
        yield _row(child, where, live, sizes, count)
        if isinstance(child, ModelSpec):
            yield from _rows(child, assembly, sizes, where, count)


def _row(spec: LayerSpec | ModelSpec, path: Path, live: Layer | None, sizes: Counter, calls: int) -> dict:
    is_model = isinstance(spec, ModelSpec)
    cost = {"flops": None, "per": "sequence", "weight_bytes": None}
    if live is not None and not is_model:
        cost = costs.of(live)
    return {
        "name": "/".join(path),
        "class_name": spec.class_name,
        "output_shape": _output_shape(live),
        "parameters": _parameters(path, live, sizes),
        "dtype": None if live is None or is_model else live.policy,
        "path": path_taken(live) or None if live is not None else None,
        "calls": calls,
        "is_model": is_model,
        "depth": len(path),
        **cost,
    }


def _output_shape(live: Layer | None) -> Any:
    """The shape of a layer's first answer as a list, or a list of such lists; None where it was never called."""
    if live is None or not live.nodes:
        return None
    shapes: list = []
    map_shapes(shapes.append, [tensor.shape for tensor in flatten(live.nodes[0].outputs)])
    shapes = [[None if size is None else int(size) for size in shape] for shape in shapes]
    return shapes[0] if len(shapes) == 1 else shapes


def _parameters(path: Path, live: Layer | None, sizes: Counter) -> int | None:
    if live is not None and live.built:
        shapes = [shape for holder in live.holders() for shape in (holder.expected_shapes or {}).values()]
        if not any(None in shape for shape in shapes):
            return sum(math.prod(int(size) for size in shape) for shape in shapes)
    return sizes[path] if sizes else None


def totals(rows: list[dict]) -> dict:
    """Return the sums over the rows of layers (those of models are the sums of what is inside them)."""
    layers = [row for row in rows if not row["is_model"]]
    per = {"timestep": 0, "sequence": 0}
    weight_bytes = dict(per)
    for row in layers:
        per[row["per"]] += (row["flops"] or 0) * row["calls"]
        weight_bytes[row["per"]] += (row["weight_bytes"] or 0) * row["calls"]
    known = [row["parameters"] for row in layers]
    return {
        "parameters": None if None in known else sum(known),
        "flops_per_timestep": per["timestep"],
        "flops_per_sequence": per["sequence"],
        "weight_bytes_per_timestep": weight_bytes["timestep"],
        "weight_bytes_per_sequence": weight_bytes["sequence"],
        "flops_not_counted": [row["name"] for row in layers if row["flops"] is None],
    }
