"""Keras 1: a Sequential may begin with ``Merge`` of other models; here it becomes a functional model.

JSON in, JSON out, in the words of Keras 1; knows nothing of arrays. The file holds the branches' layers side by side
with the rest, which is exactly the functional model's list of layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def unfold(item: dict, fail: Callable[..., Any]) -> dict:
    """The same model without sub-models in its first layer."""
    items = _items(item)
    if item.get("class_name") != "Sequential" or not items or not _branches(items[0]):
        return item
    layers: list[dict] = []
    inputs: list[list] = []
    end = _chain(item, layers, inputs, fail, 0)
    name = _name(items[-1], fail) + "_model"
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": [end]}
    return {"class_name": "Model", "config": config}


def _items(item: Any) -> list:
    config = item.get("config") if isinstance(item, dict) else None
    items = config.get("layers") if isinstance(config, dict) else config
    return items if isinstance(items, list) else []


def _branches(item: Any) -> list | None:
    config = item.get("config") if isinstance(item, dict) and item.get("class_name") == "Merge" else None
    branches = config.get("layers") if isinstance(config, dict) else None
    return branches if isinstance(branches, list) else None


def _name(item: Any, fail: Callable[..., Any]) -> str:
    config = item.get("config") if isinstance(item, dict) else None
    name = config.get("name") if isinstance(config, dict) else None
    return name if isinstance(name, str) else fail("Merge", "has a layer without a name", "one")


def _chain(item: Any, layers: list[dict], inputs: list[list], fail: Callable[..., Any], depth: int) -> list:
    """Append the layers of one Sequential, each called on the one before; return the last one's output."""
    items = _items(item)
    if not items or depth > 20 or item.get("class_name") != "Sequential":
        fail("Merge", f"joins a {item.get('class_name') if isinstance(item, dict) else item!r}", "Sequential models")
    if branches := _branches(items[0]):
        ends = [_chain(branch, layers, inputs, fail, depth + 1) for branch in branches]
    else:
        first = items[0].get("config") if isinstance(items[0], dict) else None
        if not isinstance(first, dict) or not isinstance(first.get("batch_input_shape"), list):
            fail("Merge", "joins a branch whose input shape is unknown", "batch_input_shape in its first layer")
        name = _name(items[0], fail) + "_input"
        words = {"name": name, "batch_input_shape": first["batch_input_shape"],
                 "input_dtype": first.get("input_dtype", "float32")}
        layers.append({"class_name": "InputLayer", "name": name, "config": words, "inbound_nodes": []})
        inputs.append([name, 0, 0])
        ends = [[name, 0, 0]]
    for child in items:
        name = _name(child, fail)
        layers.append({"class_name": child.get("class_name"), "name": name,
                       "config": {word: value for word, value in child["config"].items() if word != "layers"},
                       "inbound_nodes": [ends]})
        ends = [[name, 0, 0]]
    return ends[0]
