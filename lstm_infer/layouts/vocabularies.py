"""The vocabularies of lookup layers: a ``.keras`` file keeps those that were learnt beside the config, as texts.

Knows how the object store names its places; knows no files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ..spec import LayerSpec, ModelSpec, RawWeights
from .objects import CONTAINERS, snake_case
from .words import LOOKUPS

INNER = "_lookup_layer"  # the object inside a TextVectorization


def fill(spec: ModelSpec, weights: RawWeights | None) -> ModelSpec:
    """Give every lookup layer without a vocabulary the one that the file keeps for it, if it does.

    Parameters
    ----------
    spec : ModelSpec
    weights : RawWeights or None

    Returns
    -------
    ModelSpec
    """
    if weights is None or weights.layout != "objects":
        return spec
    return _model(spec, "", weights)


def _model(spec: ModelSpec, base: str, weights: RawWeights) -> ModelSpec:
    layers = tuple(_layer(layer, place, weights) for layer, place in _places(spec, base, weights))
    changed = any(new is not old for new, old in zip(layers, spec.layers, strict=True))
    return replace(spec, layers=layers) if changed else spec


def _places(spec: ModelSpec, base: str, weights: RawWeights) -> Iterator[tuple[LayerSpec | ModelSpec, str]]:
    """Every layer of a model with the place of its object: they are numbered by class, perhaps with gaps."""
    paths = [*weights.assets, *weights.groups]
    containers = [f"{base}{name}/" for name in CONTAINERS]
    container = next((name for name in containers if any(path.startswith(name) for path in paths)), "")
    inside = {path[len(container):].partition("/")[0] for path in paths if container and path.startswith(container)}
    kinds = [snake_case(layer.class_name) for layer in spec.layers]
    counts, seen = Counter(kinds), Counter()
    numbered = {kind: _numbered(inside, kind) for kind in counts}
    for layer, kind in zip(spec.layers, kinds, strict=True):
        before = seen[kind]
        seen[kind] += 1
        if len(numbered[kind]) == counts[kind]:
            yield layer, container + numbered[kind][before]
        else:
            yield layer, container + (f"{kind}_{before}" if before else kind)


def _numbered(names: set[str], kind: str) -> list[str]:
    """The names of a class among others, by their numbers."""
    mine = re.compile(rf"{re.escape(kind)}(?:_(\d{{1,8}}))?")
    found = [(int(match[1] or 0), match[0]) for match in map(mine.fullmatch, names) if match]
    return [name for _, name in sorted(found)]


def _layer(layer: LayerSpec | ModelSpec, place: str, weights: RawWeights) -> LayerSpec | ModelSpec:
    if isinstance(layer, ModelSpec):
        return _model(layer, f"{place}/", weights)
    children = {key: _layer(child, f"{place}/{key}", weights) for key, child in layer.children.items()}
    if any(child is not layer.children[key] for key, child in children.items()):
        return replace(layer, children=children)
    if layer.class_name not in LOOKUPS or layer.registered_name is not None:
        return layer
    return replace(layer, config={**layer.config, **_found(layer, place, weights)})


def _found(layer: LayerSpec, place: str, weights: RawWeights) -> dict:
    found: dict = {}
    text = weights.assets.get(place, weights.assets.get(f"{place}/{INNER}"))
    if layer.config.get("vocabulary") is None and text is not None:
        words = text.split("\n")
        while len(words) > 1 and words[-1] == "":
            words.pop()
        is_number = layer.class_name == "IntegerLookup"
        found["vocabulary"] = [int(word) for word in words] if is_number else words
    if layer.config.get("idf_weights") is None and "vocabulary" in found:
        pairs = weights.groups.get(place) or weights.groups.get(f"{place}/{INNER}") or ()
        handle = next((handle for name, handle in pairs if len(handle.shape) == 1), None)
        if handle is not None:  # its size in the file has been looked at
            found["idf_weights"] = handle.read().tolist()
    return found
