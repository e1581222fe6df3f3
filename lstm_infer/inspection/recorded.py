"""Calls of functions that a model recorded, as one would write them: ``tf.roll(·, shift=1, axis=1)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers import recorded
from ..spec import Call, LayerSpec, ModelSpec, TensorRef

TENSOR = "·"
MOST = 8  # numbers of a constant, and calls, that are shown
OF_EVERY_LAYER = {"name", "trainable", "dtype", "batch_input_shape", "autocast"}
PREFIXES = {"TFOpLambda": "tf.", "SlicingOpLambda": "tf.", "TensorFlowOpLayer": "tf.raw_ops."}


def calls_of(model: ModelSpec, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[Call]]:
    """Every call of a model and of the models inside it, by the path of names down to the layer."""
    found: dict[tuple[str, ...], list[Call]] = {}
    for call in model.calls:
        found.setdefault((*path, call.layer), []).append(call)
    for layer in model.layers:
        if isinstance(layer, ModelSpec):
            found.update(calls_of(layer, (*path, layer.name)))
    return found


def texts(spec: LayerSpec, calls: Sequence[Call]) -> list[str]:
    """The different calls of a recorded function, as text; none of any other layer."""
    if recorded(spec.class_name) is None:
        return []
    kind, _, function = spec.class_name.rpartition(" ")
    shown = f"{PREFIXES.get(kind, '')}{function}"
    found = [f"{shown}({_arguments(call.args, {**spec.config, **call.kwargs})})" for call in calls[:MOST]]
    return list(dict.fromkeys(found))


def arguments(spec: LayerSpec) -> dict[str, str]:
    """What the config of somebody's own class gives to its constructor, as text."""
    own = ((word, value) for word, value in spec.config.items() if word not in OF_EVERY_LAYER and value is not None)
    return {word: _value(value) for word, value in list(own)[: 4 * MOST]}


def _arguments(args: Sequence[Any], kwargs: dict) -> str:
    return ", ".join([*map(_value, args), *(f"{word}={_value(value)}" for word, value in kwargs.items())])


def _value(value: Any) -> str:
    if isinstance(value, TensorRef):
        return TENSOR
    if isinstance(value, np.ndarray):
        return f"array of {value.shape}" if value.size > MOST else repr(value.tolist())
    if isinstance(value, (list, tuple)):
        if len(value) > MOST or (value and isinstance(value[0], list) and not _has_tensor(value)):
            return f"array of {_shape(value)}"
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_value(item)}' for key, item in list(value.items())[:MOST])}}}"
    if isinstance(value, slice):
        return ":".join("" if part is None else str(part) for part in (value.start, value.stop))
    return repr(value)[:200]


def _has_tensor(value: Any) -> bool:
    return any(map(_has_tensor, value)) if isinstance(value, (list, tuple)) else isinstance(value, TensorRef)


def _shape(value: Any) -> tuple[int, ...]:
    return (len(value), *_shape(value[0])) if isinstance(value, (list, tuple)) and value else ()
