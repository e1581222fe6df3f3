"""The object store (``.weights.h5``): its groups are named after classes, so layers are found by counting.

Inside one container the groups of a class, sorted by their number, belong to the layers of that class in the order of
``model.layers``; numbers may have gaps. Where the file tells layer names (Keras 3.6 and later), those decide.

A layer that stands in several places (a cell, or a whole model, used again inside another) has its arrays where Keras
met it first, and in its other places no group, or an empty one: Keras itself does not read most of these files.

A subclassed model's groups are named after attributes, but for the layers that no attribute before ``layers`` in the
alphabet holds. Whoever rebuilds such a model gives its layers the paths of their groups for names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, NoReturn

from ..errors import LoadError
from ..spec import Handle, LayerSpec, ModelSpec, RawWeights
from . import normalised
from .packings import Misfit, packed
from .variables import QUANTISED_INSIDE, parts, quantised_kernels

Path = tuple[str, ...]
CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second: TensorFlow 2.12 to 2.14
OLD_CLASSES = {"lstm": "cu_dnnlstm", "gru": "cu_dnngru", "group_query_attention": "grouped_query_attention"}
NOT_WEIGHTS = re.compile(  # random numbers; what `vocabularies` reads; summaries; masks of pruning
    r"(^|/)_?(seed|random)_generator(_\d+)?(/|$)|(^|/)(text_vectorization|string_lookup|integer_lookup)(_\d+)?(/|$)"
    r"|(^|/)(discretization|prune_low_magnitude)(_\d+)?$")


def match(spec: ModelSpec, weights: RawWeights) -> dict[Path, dict[str, Handle]]:
    """As `matching.match`, for the object store."""
    reader = _Reader(weights)
    try:
        reader.model(spec, "", ())
        reader.share()
    except Misfit as misfit:
        raise LoadError(str(misfit)) from misfit
    surplus = [path for path, pairs in weights.groups.items()
               if pairs and path not in reader.used and not NOT_WEIGHTS.search(path)]
    if surplus:
        raise LoadError(f"{weights.source}: holds arrays for {', '.join(sorted(surplus)[:8])} "
                        "that belong to no layer, expected arrays of the model's layers only")
    return reader.found


def snake_case(class_name: str) -> str:
    class_name = "CRF" if class_name == "AddonsCRF" else class_name
    name = re.sub(r"\W+", "", class_name.rpartition(">")[2])
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def kind_of(layer: LayerSpec | ModelSpec) -> str:
    """What the groups of a layer's class are called."""
    other = layer.wrapped_in if isinstance(layer, LayerSpec) else layer.own_class
    return snake_case(other or layer.class_name)


def owns_arrays(layer: LayerSpec | ModelSpec) -> bool | None:
    """None if the table of classes does not tell."""
    if isinstance(layer, ModelSpec):
        inside = [owns_arrays(child) for child in layer.layers]
    else:
        own = parts(layer.class_name, layer.config, layer.registered_name)
        inside = [None if own is None else any(part.names for part in own)]
        inside += [owns_arrays(child) for child in layer.children.values()]
    return True if True in inside else None if None in inside else False


class Lacking(NamedTuple):
    """A layer that has no arrays in its place, and the error where it has none elsewhere."""

    layer: LayerSpec
    path: Path
    error: tuple[str, str, str]


class _Reader:
    def __init__(self, weights: RawWeights) -> None:
        self.weights, self.groups = weights, dict(weights.groups)
        self.found: dict[Path, dict[str, Handle]] = {}
        self.used: set[str] = set()
        self.homes: list[tuple[LayerSpec, Path]] = []  # layers whose arrays were found
        self.lacking: list[Lacking] = []
        self.seen: set[tuple] = set()  # identities of layers whose groups were found
        self.inside: dict[str, dict[str, None]] = {}  # path to the names of the groups in it
        for path in weights.groups:
            while path:
                parent, _, name = path.rpartition("/")
                self.inside.setdefault(parent, {})[name] = None
                path = parent

    def fail(self, layer: str, found: str, expected: str) -> NoReturn:
        raise LoadError(f"{self.weights.source}: layer {layer}: {found}, expected {expected}")

    # ------------------------------------------------ which group is which layer

    def model(self, spec: ModelSpec, base: str, path: Path) -> None:
        container = next((name for name in CONTAINERS if _join(base, name) in self.inside), None)
        layers = []
        for layer in spec.layers:
            group = _join(base, layer.name)
            if layer.name not in CONTAINERS and (group in self.inside or group in self.groups):
                self.layer(layer, group, (*path, layer.name))
            else:
                layers.append(layer)
        wanted = [layer for layer in layers if owns_arrays(layer) is not False]
        if container is None:
            if any(map(owns_arrays, wanted)):
                held = ", ".join(sorted(self.inside.get(base, ()))[:8])
                error = (spec.name, f"the file has no group 'layers' for it (it has {held or 'nothing'})",
                         "one for every layer; those of a subclassed model are called after its attributes, and so "
                         "must be the layers")
                for layer in wanted:
                    self.lack(layer, (*path, layer.name), error)
            return
        container = _join(base, container)
        for layer, group, error in self.pair(layers, wanted, container):
            if group is None:
                self.lack(layer, (*path, layer.name), error)
            else:
                self.layer(layer, _join(container, group), (*path, layer.name))

    def pair(self, layers: Sequence[LayerSpec | ModelSpec], wanted: Sequence[LayerSpec | ModelSpec],
             container: str) -> list[tuple[LayerSpec | ModelSpec, str | None, tuple[str, str, str]]]:
        """The group of each layer, or None; and the error that there is none."""
        groups = list(self.inside.get(container, ()))
        named = {self.weights.names.get(_join(container, group)): group for group in groups}
        absent = [layer for layer in wanted if layer.name not in named]
        if len(named) == len(groups) and (not absent or named.keys() < {layer.name for layer in layers}):
            absence = ", ".join(layer.name for layer in absent[:8])
            error = (absence, f"the file has no group for it in {container}", "one for every layer")
            return [(layer, named.get(layer.name), error) for layer in wanted]
        pairs: list[tuple[LayerSpec | ModelSpec, str | None, tuple[str, str, str]]] = []
        needed, kinds = {id(layer) for layer in wanted}, defaultdict(list)
        for layer in layers:
            kinds[kind_of(layer)].append(layer)
        for kind in dict.fromkeys(kind_of(layer) for layer in wanted):
            same = kinds[kind]
            numbered = self.numbered(groups, kind)
            error = (", ".join(layer.name for layer in same[:8]),
                     f"the file has {len(numbered)} groups {_join(container, kind)}*", f"{len(same)}")
            if len(numbered) > len(same) and any(map(owns_arrays, same)):
                self.fail(*error)
            places = self.places(same, layers, numbered)
            pairs += [(layer, places.get(n), error) for n, layer in enumerate(same) if id(layer) in needed]
        order = {id(layer): n for n, layer in enumerate(layers)}
        return sorted(pairs, key=lambda pair: order[id(pair[0])])

    def places(self, same: Sequence[LayerSpec | ModelSpec], layers: Sequence[LayerSpec | ModelSpec],
               numbered: Sequence[tuple[int, str]]) -> dict[int, str]:
        """The groups of layers of one class by their number among these: some have their arrays in another place."""
        in_order = [group for _, group in numbered]
        if len(numbered) == len(same):
            return dict(enumerate(in_order))
        seen, new, numbers = set(self.seen), [], {id(layer): n for n, layer in enumerate(same)}
        for layer in layers:
            new += [numbers[id(layer)]] if id(layer) in numbers and _identity(layer) not in seen else []
            seen.update(_identities(layer))
        if len(new) == len(in_order):  # tf.keras passes the others over, Keras 3 counts them
            return dict(zip(new, in_order, strict=True))
        return {n: group for n, group in numbered if n < len(same)} if not set(new) - dict(numbered).keys() else {}

    def numbered(self, groups: Sequence[str], kind: str) -> list[tuple[int, str]]:
        for name in (kind, OLD_CLASSES.get(kind, kind)):
            found = [(int(group[len(name) + 1:] or 0), group) for group in groups
                     if re.fullmatch(re.escape(name) + r"(_\d{1,6})?", group)]
            if found:
                break
        return sorted(found)

    # ------------------------------------------------ which array is which variable

    def layer(self, layer: LayerSpec | ModelSpec, base: str, path: Path) -> None:
        self.seen.add(_identity(layer))
        if isinstance(layer, ModelSpec):
            return self.model(layer, base, path)
        if layer.wrapped_in == normalised.WRAPPER:
            self.used |= normalised.in_store(self.groups, layer, base)
        if layer.wrapped_in:  # its own arrays are of training
            self.used.add(base)
            base = _join(base, "layer")
        own = parts(layer.class_name, layer.config, layer.registered_name)
        if own is None:
            return self.as_found(base, path)
        for part in own:
            place = next((place for place in (_join(base, part.store), _join(base, "_" + part.store))
                          if self.groups.get(place)), _join(base, part.store))
            self.variables(layer, part.names, part.label, place, path)
        if layer.class_name == "StackedRNNCells":
            cells = {id(cell): key for key, cell in layer.children.items()}
            children = list(layer.children.values())
            for cell, group, error in self.pair(children, children, _join(base, "cells")):
                if group is None:
                    self.lack(cell, (*path, cells[id(cell)]), error)
                else:
                    self.layer(cell, _join(base, "cells", group), (*path, cells[id(cell)]))
            return None
        for key, child in layer.children.items():
            self.layer(child, _join(base, key), (*path, key))
        if layer.class_name == "Bidirectional":
            self.copied(layer.children.get("forward_layer"), _join(base, "layer"), (*path, "layer"))
        return None

    def copied(self, forward: LayerSpec | ModelSpec | None, base: str, path: Path) -> None:
        """Find the layer that tf.keras's Bidirectional made copies of, if it was used elsewhere too."""
        if isinstance(forward, LayerSpec) and any(self.groups.get(_join(base, place)) for place in ("cell", "")):
            self.layer(_original(forward), base, path)

    def variables(self, layer: LayerSpec, names: Sequence[str], label: str, place: str, path: Path) -> None:
        arrays = [handle for _, handle in self.groups.get(place, ())]
        if names and not arrays:
            error = ("/".join(path), f"{place}/vars holds 0 arrays", f"{len(names)} ({', '.join(names)})")
            self.lacking.append(Lacking(layer, path, error))
            return
        if layer.class_name == "SpectralNormalization":
            arrays = arrays[-1:]  # the kernel of the layer inside is listed here too
        if layer.class_name in QUANTISED_INSIDE and len(arrays) != len(names):
            names = self.quantised(arrays, names)
        if len(arrays) == len(names) - 1 and {"kernel_zero", "g_idx"} < set(names):
            mode = str(layer.config.get("dtype")).partition("/")[0]
            self.fail("/".join(path), f"Keras saved it without its zero points ({mode}), so its kernel is lost",
                      "the model before it was quantised, or quantised as int8 or int4")
        if len(arrays) != len(names):
            self.fail("/".join(path), f"{place}/vars holds {len(arrays)} arrays", f"{len(names)} ({', '.join(names)})")
        self.used.add(place)
        own: Mapping[str, Handle] = packed(layer.class_name, dict(zip(names, arrays, strict=True)), layer.config, None)
        self.homes.append((layer, path))
        prefix = f"{label}/" if label else ""
        self.found.setdefault(path, {}).update({prefix + name: handle for name, handle in own.items()})

    def quantised(self, arrays: Sequence[Handle], names: Sequence[str]) -> Sequence[str]:
        """The names of as many arrays as a quantised kernel has: its whole numbers tell where it stands."""
        at = next((n for n, handle in enumerate(arrays) if re.match("u?int", handle.dtype)), 0)
        fitting = (row for row in quantised_kernels(tuple(names)) if len(row) == len(arrays) and row[at] == "kernel")
        return next(fitting, names)

    def lack(self, layer: LayerSpec | ModelSpec, path: Path, error: tuple[str, str, str]) -> None:
        """Note that whatever is inside a layer has no arrays in its place."""
        if isinstance(layer, ModelSpec):
            for child in layer.layers:
                self.lack(child, (*path, child.name), error)
            return
        own = parts(layer.class_name, layer.config, layer.registered_name)
        if any(part.names for part in own or ()):
            self.lacking.append(Lacking(layer, path, error))
        for key, child in layer.children.items():
            self.lack(child, (*path, key), error)

    def share(self) -> None:
        """Give layers that have no arrays in their place those of the place where the same layer has them."""
        homes: dict[tuple[str, str], dict[Path, LayerSpec]] = {}
        for layer, path in self.homes if self.lacking else ():
            homes.setdefault((layer.class_name, layer.name), {})[path] = layer
        for layer, path, error in self.lacking:
            same = [place for place, other in homes.get((layer.class_name, layer.name), {}).items()
                    if _is_same(layer, other)]
            same = [place for place in same if _copy(place) == _copy(path)] or same
            likely = [place for place in same if _likeness(place, path) == max(_likeness(p, path) for p in same)]
            if len(likely) != 1:
                self.fail(*error)
            self.found[path] = self.found[likely[0]]

    def as_found(self, base: str, path: Path) -> None:
        for place, pairs in self.weights.groups.items():
            if place == base or place.startswith(base + "/"):
                self.used.add(place)
                inner = place[len(base) + 1:]
                for name, handle in pairs:
                    self.found.setdefault(path, {})[_join(inner, name)] = handle


def _identity(layer: LayerSpec | ModelSpec) -> tuple:
    """What is the same of a layer in all its places."""
    if isinstance(layer, ModelSpec):
        return (layer.class_name, layer.name, len(layer.layers))
    config = {**layer.config, "zero_output_for_mask": None}  # Bidirectional sets it
    return (layer.class_name, layer.name, repr(sorted(config.items())))


def _identities(layer: LayerSpec | ModelSpec) -> Iterator[tuple]:
    yield _identity(layer)
    children = list(layer.layers if isinstance(layer, ModelSpec) else layer.children.values())
    if layer.class_name == "Bidirectional":
        children += [_original(child) for child in children[:1] if isinstance(child, LayerSpec)]
    for child in children:
        yield from _identities(child)


def _original(forward: LayerSpec) -> LayerSpec:
    """The layer that a Bidirectional was made of."""
    return replace(forward, name=forward.name.removeprefix("forward_"))


def _is_same(layer: LayerSpec, other: LayerSpec) -> bool:
    return _identity(layer) == _identity(other) and (
        None in (layer.shared, other.shared) or layer.shared == other.shared)


def _copy(path: Path) -> Path:
    """The path of the copy that a Bidirectional made of a layer, if this is the path of something in it."""
    last = max((n for n, name in enumerate(path, 1) if name in ("forward_layer", "backward_layer")), default=0)
    return path[:last]


def _likeness(place: Path, path: Path) -> int:
    """With how many of the same names two paths end: a layer is inside the same models wherever these stand."""
    pairs = zip(reversed(place), reversed(path), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(place), len(path)))


def _join(*names: str) -> str:
    return "/".join(filter(None, names))
