"""Which array of a file belongs to which layer of a model, and under which name.

Two layouts, two rules. The legacy layout lists layers and weights by name: exact names first, then Keras's own rule,
by position. The object store numbers objects by class: see `objects`. Only shapes are looked at; nothing is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from ..errors import LoadError
from ..spec import Handle, LayerSpec, ModelSpec, RawWeights
from . import normalised, objects
from .packings import ALIASES, KERAS1, KERAS1_NAMES, LORA_WORDS, Form, Misfit, forms, packed
from .variables import EVERY_PART, QUANTISED_INSIDE, parts
from .words import LOOKUPS

Path = tuple[str, ...]
Pairs = Sequence[tuple[str, Handle]]
Found = dict[Path, dict[str, Handle]]

CLUES = {"forward_layer": "forward_*", "backward_layer": "backward_*"}
IGNORED = {  # of training: pruning, dropout; what lookup layers have in their config too
    "mask", "threshold", "pruning_step", "seed_generator_state", "Variable",
}
WORDS = {word for part in EVERY_PART for word in part.names} | ALIASES.keys() | LORA_WORDS
KERAS1_WORDS = "|".join(sorted({*KERAS1_NAMES.values(), "gamma", "beta", "W_carry", "b_carry", "betas",
                               "[at]_(?:left|right)", "[WUb]_[icfozrh]"}))
KERAS1_END = re.compile(rf"^(?:(.*)_)?({KERAS1_WORDS})$")


class Owner(NamedTuple):
    """A layer, or an object inside it, that owns arrays. `names` is None where the class is unknown."""

    path: Path
    class_name: str
    config: Mapping[str, Any]
    names: tuple[str, ...] | None
    label: str
    clues: tuple[str, ...]  # what may stand in front of its arrays' names, outermost first


class Parsed(NamedTuple):
    """A weight name taken apart: ``a/b/kernel_1:0`` is (("a", "b"), "kernel", 1)."""

    prefix: tuple[str, ...]
    word: str
    number: int
    handle: Handle
    known: bool = True  # whether the word is one of Keras's


def match(spec: ModelSpec, weights: RawWeights) -> Found:
    """Find every layer's arrays.

    Parameters
    ----------
    spec : ModelSpec
        From `canonical`, or built in Python: its layer names need not be those of the file.
    weights : RawWeights

    Returns
    -------
    dict
        Path of layer names and child keys, from the root model's layers down, to the layer's arrays: today's
        variable name to a handle in today's packing.

    Raises
    ------
    LoadError
        If an array is missing, surplus, or has a shape that contradicts the config.
    """
    wanted = [layer.name for layer in spec.layers if any(owner.names for owner in owners(layer))]
    if wanted and not any(weights.groups.values()):
        raise LoadError(f"{weights.source}: holds no arrays at all, expected some for {_count(wanted)}; the model was "
                        "probably saved before it was built: call it once, or give it an Input, and save it again")
    if weights.layout == "objects":
        return objects.match(spec, weights)
    found: Found = {}
    for layer, pairs in _pair_layers(spec, weights):
        found.update(_layer_arrays(layer, pairs, weights))
    return found


# ---------------------------------------------------------------- layers


def _pair_layers(spec: ModelSpec, weights: RawWeights) -> Iterator[tuple[LayerSpec | ModelSpec, Pairs]]:
    lookups = {layer.name for layer in spec.layers if layer.class_name in LOOKUPS}  # whose weights the config says
    filled = {name: pairs for name, pairs in weights.groups.items() if pairs and name not in lookups}
    must = [layer for layer in spec.layers if any(owner.names for owner in owners(layer))]
    may = [layer for layer in spec.layers if any(owner.names is None for owner in owners(layer))]
    known = {layer.name for layer in (*must, *may)}
    if filled.keys() <= known and {layer.name for layer in must} <= filled.keys():
        return ((layer, filled[layer.name]) for layer in spec.layers if layer.name in filled)
    for wanted in (must, [layer for layer in spec.layers if layer.name in known]):
        if len(wanted) == len(filled):
            return zip(wanted, filled.values(), strict=True)
    raise LoadError(f"{weights.source}: holds arrays for {_count(filled)}, expected {_count([m.name for m in must])}")


def _count(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{len(names)} layers ({shown})"


def owners(layer: LayerSpec | ModelSpec, path: Path = (), clues: tuple[str, ...] = ()) -> list[Owner]:
    """Everything in a layer that owns arrays, in the order of creation."""
    path = path or (layer.name,)
    if isinstance(layer, ModelSpec):
        return [owner for child in layer.layers for owner in owners(child, (*path, child.name), (*clues, child.name))]
    own = parts(layer.class_name, layer.config, layer.registered_name)
    if own is None:
        found = [Owner(path, layer.class_name, layer.config, None, "", clues)]
    else:
        found = [Owner(path, layer.class_name, layer.config, part.names, part.label,
                       (*clues, part.label) if part.label else clues) for part in own]
    for key, child in layer.children.items():
        found += owners(child, (*path, key), (*clues, CLUES.get(key, child.name)))
    return found


# ---------------------------------------------------------------- arrays of one layer


def _layer_arrays(layer: LayerSpec | ModelSpec, pairs: Pairs, weights: RawWeights) -> Found:
    inside = owners(layer)

    def fail(found: str, expected: str) -> NoReturn:
        raise LoadError(f"{weights.source}: layer {layer.name}: {found}, expected {expected}")

    if [owner.names for owner in inside] == [None]:
        return {inside[0].path: _as_found(pairs)}
    try:
        pairs = normalised.by_names(pairs) if normalised.is_inside(layer) else pairs
    except Misfit as misfit:
        raise LoadError(str(misfit)) from misfit
    parsed = [parse(name, handle) for name, handle in pairs]
    expected = sum(len(owner.names or ()) for owner in inside)
    if len(parsed) > expected:
        parsed = [item for item in parsed if item.word not in IGNORED]
    try:
        first = _first_places(inside)
        chosen = _by_names(inside, parsed) or _by_order(layer, inside, parsed)
        chosen = chosen or _by_names(list(first.values()), parsed)
        if chosen is None and LORA_WORDS & {item.word for item in parsed} and layer.class_name in QUANTISED_INSIDE:
            fail("holds low-rank factors (LoRA), but not by how much Keras scales them",
                 "the same model saved as .keras or .weights.h5, where they are merged into the kernels")
        if chosen is None:
            fail(f"holds the arrays {', '.join(name for name, _ in pairs)}", _wanted(inside))
        found = collect(chosen, weights)
        return {owner.path: found.get(owner.path) or found[first[_identity(owner)].path] for owner in inside
                if owner.names or owner.path in found}
    except Misfit as misfit:
        raise LoadError(str(misfit)) from misfit


def _identity(owner: Owner) -> tuple:
    """What is the same of two places of one layer: a layer that stands twice in another has its arrays listed once."""
    return (owner.class_name, owner.clues[-1:], owner.label, repr(owner.config))


def _first_places(inside: Sequence[Owner]) -> dict[tuple, Owner]:
    found: dict[tuple, Owner] = {}
    for owner in inside:
        found.setdefault(_identity(owner), owner)
    return found


def collect(chosen: Iterable[tuple[Owner, Form, Mapping[str, Handle]]], weights: RawWeights) -> Found:
    """Arrays under today's names, in today's packing."""
    found: Found = {}
    backend = weights.backend or (KERAS1 if weights.layout == "legacy" else None)  # later files of this layout name one
    for owner, form, arrays in chosen:
        own = packed(owner.class_name, form.unpack(arrays, owner.config), owner.config, backend)
        prefix = f"{owner.label}/" if owner.label else ""
        found.setdefault(owner.path, {}).update({prefix + name: handle for name, handle in own.items()})
    return found


def _wanted(inside: Sequence[Owner]) -> str:
    return ", ".join("/".join((*owner.path[1:], *filter(None, (owner.label, name))))
                     for owner in inside for name in owner.names or ("any",)) or "none"


def _as_found(pairs: Pairs) -> dict[str, Handle]:
    words = [name.rpartition("/")[2].partition(":")[0] for name, _ in pairs]
    names = words if len(set(words)) == len(words) else [str(index) for index in range(len(words))]
    return {name: handle for name, (_, handle) in zip(names, pairs, strict=True)}


def parse(name: str, handle: Handle) -> Parsed:
    *prefix, word = re.sub(r":\d+$", "", name).split("/")
    if word in WORDS:
        return Parsed(tuple(prefix), ALIASES.get(word, word), 0, handle)
    numbered = re.fullmatch(r"(.+)_(\d{1,6})", word)
    if numbered and numbered[1] in WORDS:
        return Parsed(tuple(prefix), ALIASES.get(numbered[1], numbered[1]), int(numbered[2]), handle)
    old = KERAS1_END.match(word)
    if old:
        return Parsed((*prefix, old[1] or ""), old[2], 0, handle)
    return Parsed(tuple(prefix), word, 0, handle, known=False)


def _by_names(inside: Sequence[Owner], parsed: Sequence[Parsed]) -> list | None:
    """Arrays that share a prefix belong to one owner: the one whose clues the prefix shows best."""
    clusters: dict[tuple, dict[str, Handle]] = {}
    for item in parsed:
        cluster = clusters.setdefault((item.prefix, item.number), {})
        if item.word in cluster:
            return None
        cluster[item.word] = item.handle
    chosen: dict[int, tuple[Owner, Form, Mapping[str, Handle]]] = {}
    for (prefix, _), arrays in clusters.items():
        fitting = [(_shown(owner.clues, prefix), index, form) for index, owner in enumerate(inside)
                   if (form := _form(owner, arrays)) is not None]
        best = [row for row in fitting if row[0] == max(fitting)[0]] if fitting else []
        if len(best) != 1 or best[0][1] in chosen:
            return None
        chosen[best[0][1]] = (inside[best[0][1]], best[0][2], arrays)
    complete = all(index in chosen or not owner.names for index, owner in enumerate(inside))
    return list(chosen.values()) if complete else None


def _form(owner: Owner, arrays: Mapping[str, Handle]) -> Form | None:
    if owner.names is None:
        return Form(tuple(arrays), lambda arrays, config: arrays)
    return next((form for form in forms(owner.class_name, owner.names) if set(form.names) == arrays.keys()), None)


def _shown(clues: Sequence[str], prefix: Sequence[str]) -> int:
    """How many of the clues stand in the prefix, in order."""
    count, start = 0, 0
    for clue in clues:
        for index in range(start, len(prefix)):
            if prefix[index] == clue or clue.endswith("*") and prefix[index].startswith(clue[:-1]):
                count, start = count + 1, index + 1
                break
    return count


# ---------------------------------------------------------------- Keras's official order


def _by_order(layer: LayerSpec | ModelSpec, inside: Sequence[Owner], parsed: Sequence[Parsed]) -> list | None:
    """Trainable arrays first, as Keras saves them; or layer after layer, as its first releases did."""
    if any(owner.names is None for owner in inside):
        return None
    for choice in (0, 1, 2):  # today's form; that of Keras 1 with an array per gate; that with the gates joined
        chosen = {}
        for owner in inside:
            available = forms(owner.class_name, owner.names)
            chosen[owner.path, owner.label] = available[min(choice, len(available) - 1)]
        trainable, others = _in_order(layer, (layer.name,), chosen)
        for slots in (trainable + others, [(key, name) for key, form in chosen.items() for name in form.names]):
            if len(slots) == len(parsed) and all(
                    not item.known or item.word == name for item, (_, name) in zip(parsed, slots, strict=True)):
                arrays: dict[tuple[Path, str], dict[str, Handle]] = {key: {} for key in chosen}
                for item, (key, name) in zip(parsed, slots, strict=True):
                    arrays[key][name] = item.handle
                return [(owner, chosen[owner.path, owner.label], arrays[owner.path, owner.label]) for owner in inside]
    return None


def _in_order(layer: LayerSpec | ModelSpec, path: Path, chosen: Mapping[tuple[Path, str], Form]) -> tuple[list, list]:
    """Slots of the trainable arrays of a layer and of the others, each as (owner's key, name of the array)."""
    trainable: list = []
    others: list = []
    if isinstance(layer, ModelSpec):
        children, frozen = {child.name: child for child in layer.layers}, not layer.trainable
    else:
        children, frozen = layer.children, layer.config.get("trainable") is False
        for part in parts(layer.class_name, layer.config, layer.registered_name) or ():
            key = (path, part.label)
            for index, name in enumerate(chosen[key].names):
                fixed = len(chosen[key].names) == len(part.names) and part.names[index] in part.fixed
                (others if fixed else trainable).append((key, name))
    for name, child in children.items():
        first, second = _in_order(child, (*path, name), chosen)
        trainable, others = (trainable, others + first + second) if frozen else (trainable + first, others + second)
    return ([], trainable + others) if frozen else (trainable, others)
