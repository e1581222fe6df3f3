"""Weight normalization of TensorFlow Addons: a kernel kept as a direction and a length for each column, made whole.

Inference never sees the wrapper: the layer inside gets ``l2_normalize(v) * g`` for its kernel (a recurrent layer for
its recurrent kernel). Source: ``tensorflow_addons/layers/wrappers.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..errors import LoadError
from ..spec import Handle, LayerSpec, ModelSpec
from .packings import Misfit, derived
from .words import CONV_RECURRENT, RECURRENT

WRAPPER = "WeightNormalization"
CLONE = "_naked_clone_layer"  # what the object store calls the copy that looks at the first batch
SCOPE = "data_dep_init"  # what stands in front of the same copy's weight names
FLAG = re.compile(r"(?:(.*)/)?initialized(_\d{1,6})?:\d+")
EPSILON = 1e-12  # of tf.nn.l2_normalize
RECURRENT_KINDS = {"RNN", *RECURRENT, *CONV_RECURRENT}

Pairs = Sequence[tuple[str, Handle]]


def is_inside(layer: LayerSpec | ModelSpec) -> bool:
    """Whether a layer, or one inside it, is normalised so."""
    if isinstance(layer, ModelSpec):
        return any(map(is_inside, layer.layers))
    return layer.wrapped_in == WRAPPER or any(map(is_inside, layer.children.values()))


def by_names(pairs: Pairs) -> list[tuple[str, Handle]]:
    """The arrays of a legacy file's layer, as the layers inside would have saved them.

    There every wrapper lists ``g``, then the array that it normalises, and somewhere later ``initialized``.
    """
    flags = {found[1] or "": handle for name, handle in pairs if (found := FLAG.fullmatch(name))}
    copied = {_of_copy(name) for name, _ in pairs}
    left, length = [], None
    for name, handle in pairs:
        scope, _, word = name.rpartition("/")
        if FLAG.fullmatch(name) or _of_copy(name) in flags:
            continue
        if word.partition(":")[0] == "g" and scope in flags:
            length = (scope, handle)
        elif length is not None:
            flag, g = length
            left.append((name, kernel(g, handle, flags[flag], flag in copied)))
            length = None
        else:
            left.append((name, handle))
    return left


def _of_copy(name: str) -> str | None:
    """The scope of the wrapper whose copy of its layer an array belongs to, if so."""
    scope, found, _ = f"/{name}".partition(f"/{SCOPE}/")
    return scope[1:] if found else None


def in_store(groups: dict[str, Pairs], layer: LayerSpec, base: str) -> set[str]:
    """Change the groups of an object store as if the layer at `base` had no wrapper; return the paths dealt with."""
    copies = {path for path in (f"{base}/{CLONE}", f"{base}/{CLONE}/cell") if groups.get(path)}
    arrays = [handle for _, handle in groups.get(base, ())]
    if len(arrays) != 3:
        raise Misfit(f"{base}/vars holds {len(arrays)} arrays, expected 3 (g, the kernel, initialized)")
    recurrent = layer.class_name in RECURRENT_KINDS
    place = f"{base}/layer/cell" if recurrent else f"{base}/layer"
    inner = list(groups.get(place, ()))
    inner.insert(1 if recurrent else 0, ("", kernel(*arrays, bool(copies))))
    groups[place] = inner
    return {base, *copies}


def kernel(g: Handle, v: Handle, initialized: Handle, copied: bool) -> Handle:
    """The kernel that direction `v` and lengths `g` make; before the first batch the lengths are those of `v`.

    `copied` tells that the wrapper has a copy of its layer, as with ``data_init=True``: its first batch sets `g`.
    """
    if not v.shape or g.shape != v.shape[-1:]:
        raise Misfit(f"{g.where} has the shape {g.shape}, expected {v.shape[-1:]} as {v.where} has columns")
    if initialized.shape != ():
        raise Misfit(f"{initialized.where} has the shape {initialized.shape}, expected ()")

    def joined(direction: np.ndarray, lengths: np.ndarray, flag: np.ndarray) -> np.ndarray:
        wide = direction.astype(np.float64)
        squares = np.sum(wide**2, axis=tuple(range(wide.ndim - 1)))
        if not flag and copied:
            raise LoadError(f"{initialized.where} is false and data_init is true, expected true: the model has not "
                            "computed anything yet, and its first batch would set its weights")
        lengths = lengths if flag else np.sqrt(squares)
        return (wide / np.sqrt(np.maximum(squares, EPSILON)) * lengths).astype(direction.dtype)

    return derived([v, g, initialized], v.shape, joined)
