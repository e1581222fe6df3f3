"""Who calls whom in a functional model, in every dialect: ``inbound_nodes`` to calls. Knows JSON only, no arrays.

Keras 1, 2 and tf.keras write a call as lists ``[layer, node, tensor, kwargs]``; Keras 3 as ``{"args", "kwargs"}``.
Both may stand in one file. Node numbers become numbers of calls, counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..spec import Call, LayerSpec, ModelSpec, TensorRef
from . import operators
from .context import Context
from .words import AUGMENTATIONS, CONV_RECURRENT, RECURRENT

STATEFUL = {"Bidirectional", "RNN"} | RECURRENT | CONV_RECURRENT  # classes that take [x, states, constants]
UNSET = {"mask": (None,), "training": (None, False, 0), "initial_state": (None,), "constants": (None,)}
POSITIONS = ("initial_state", "mask", "training")  # of a recurrent layer's call, after x


class _Reader:
    """Reads the calls of one model; remembers every reference, since node numbers depend on all of them."""

    def __init__(self, layers: Sequence[LayerSpec | ModelSpec], context: Context) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.context = context
        self.layer = "?"  # whose calls are being read

    def fail(self, found: str, expected: str) -> Any:
        self.context.fail(self.layer, found, expected)

    # ------------------------------------------------ tensors

    def is_ref(self, value: Any) -> bool:
        return (isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)
                and all(isinstance(number, int) and not isinstance(number, bool) for number in value[1:3]))

    def ref(self, value: list) -> TensorRef:
        layer, call, tensor = value[:3]
        self.context.count(self.layer)
        if layer not in self.layers:
            self.fail(f"is called on the output of {layer[:60]!r}, which is not there", "a layer of the same model")
        if not (0 <= call < 1 << 20 and 0 <= tensor < 1 << 20):
            self.fail(f"is called on output [{call}, {tensor}] of {layer}", "numbers from 0")
        return TensorRef(layer, call, tensor)

    def value(self, value: Any) -> Any:
        """An argument: tensors become references, typed dicts become what they mean, the rest stays."""
        if self.is_ref(value) and len(value) == 3 and value[0] in self.layers:
            return self.ref(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind, config = value.get("class_name"), value.get("config")
        if kind == "__keras_tensor__" and isinstance(config, dict) and self.is_ref(config.get("keras_history")):
            return self.ref(config["keras_history"])
        if kind == "__slice__" and isinstance(config, dict):
            value = config
        if value.keys() == {"start", "stop", "step"}:
            parts = {word: self.value(value[word]) for word in ("start", "stop", "step")}
            return parts if operators.has_tensors(parts.values()) else slice(*parts.values())
        if kind == "__ellipsis__":
            return Ellipsis
        if kind in ("__tensor__", "__numpy__") and isinstance(config, dict):
            return self.array(config)
        return {key: self.value(item) for key, item in value.items()}

    def array(self, config: dict) -> np.ndarray:
        try:
            dtype = np.dtype(str(config.get("dtype") or "float32"))
            if dtype.kind not in "biuf":
                raise TypeError
            return np.array(config["value"], dtype=dtype)
        except (KeyError, TypeError, ValueError, OverflowError):
            return self.fail("has a constant that is not an array", "nested lists of numbers and a dtype")

    # ------------------------------------------------ calls

    def calls(self, layer: LayerSpec | ModelSpec, item: Any) -> list[Call]:
        self.layer, nodes = layer.name, item.get("inbound_nodes")
        if nodes is None or layer_is_input(layer):
            return [Call(layer.name, (), {})] if layer_is_input(layer) else []
        if not isinstance(nodes, list):
            self.fail("inbound_nodes is not a list", "one")
        self.context.count(layer.name, len(nodes))
        if operators.is_recorded(layer.class_name):
            return [self.operation(layer, item, node) for node in nodes]
        return [self.call(layer, node) for node in nodes]

    def operation(self, layer: LayerSpec | ModelSpec, item: Any, node: Any) -> Call:
        """A call of an operation, whose arguments are positional and may be tensors or constants, all of them."""
        if isinstance(node, dict) and "args" in node:
            args, kwargs = self.value(node["args"]), self.value(node.get("kwargs") or {})
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                self.fail("is called with args that are not a list or kwargs that are not an object", "both")
        else:
            kwargs = {}
            args = [self.first(node, kwargs)]
            if isinstance(args[0], list) and len(args[0]) == 1:  # a call that is nested one level deeper
                args = args[0]
        try:
            args, kwargs = operators.call_of(item["class_name"], item.get("config", {}), args, kwargs)
        except operators.Lost as error:
            self.fail(str(error), "them: build this model in Python and give this file to its load_weights()")
        except (TypeError, ValueError) as error:
            self.fail(str(error), "an operation as TensorFlow writes it")
        return Call(layer.name, tuple(args), kwargs)

    def call(self, layer: LayerSpec | ModelSpec, node: Any) -> Call:
        if isinstance(node, dict) and "args" in node:
            args, kwargs = self.value(node["args"]), self.value(node.get("kwargs") or {})
            if not isinstance(args, list) or not isinstance(kwargs, dict):
                self.fail("is called with args that are not a list or kwargs that are not an object", "both")
            if not args:  # called as layer(inputs=x)
                args = [kwargs.pop(word) for word in ("inputs", "sequences", "sequence", "x") if word in kwargs][:1]
        else:
            kwargs = {}
            first = self.first(node, kwargs)
            args = [first[0] if isinstance(first, list) and len(first) == 1 else first]
        if layer.class_name in STATEFUL:
            args, kwargs = self.states(layer, args, kwargs)
        kwargs = {word: value for word, value in kwargs.items() if not _unset(word, value)}
        if layer.class_name in AUGMENTATIONS and self.context.writer.family == "keras3":
            kwargs.pop("training", None)  # Keras 3 writes its default, which is True, and ignores it in predict()
        return Call(layer.name, tuple(args), kwargs)

    def first(self, node: Any, kwargs: dict) -> Any:
        """The first argument of a call in list form; what follows is in `kwargs`, repeated for every tensor."""
        if isinstance(node, dict):
            return {key: self.first(item, kwargs) for key, item in node.items()}
        if not isinstance(node, list):
            self.fail(f"is called on {str(node)[:60]!r}", "tensors")
        constant = len(node) >= 3 and node[0] == "_CONSTANT_VALUE"
        if not constant and not self.is_ref(node):
            return [self.first(item, kwargs) for item in node]
        if len(node) > 3 and isinstance(node[3], dict):
            more = self.value(node[3])
            if not isinstance(more, dict):
                self.fail(f"is called with {str(more)[:60]!r} for its keywords", "an object")
            kwargs.update(more)
        return self.value(node[2]) if constant else self.ref(node)

    def states(self, layer: LayerSpec, args: list, kwargs: dict) -> tuple[list, dict]:
        """[x, states, constants] and positional arguments of a recurrent layer as keywords."""
        kwargs = {**kwargs, **dict(zip(POSITIONS, args[1:], strict=False))}
        x, extra = (args[0][0], args[0][1:]) if args and isinstance(args[0], list) and args[0] else (args[0:1], [])
        if isinstance(x, list):
            x = x[0] if len(x) == 1 else self.fail("is called on nothing or on nested lists", "a tensor and its states")
        count = layer.config.get("num_constants") or kwargs.pop("num_constants", None) or 0
        if not isinstance(count, int) or not 0 <= count <= len(extra):
            self.fail(f"num_constants is {count!r} with {len(extra)} further tensors", "no more than there are")
        states, constants = extra[:len(extra) - count], extra[len(extra) - count:]
        for word, found in (("initial_state", states), ("constants", constants)):
            given = kwargs.get(word)
            if found:
                kwargs[word] = found
            elif given is not None:
                kwargs[word] = list(_flat(given))
        return [x], kwargs


def layer_is_input(layer: LayerSpec | ModelSpec) -> bool:
    return layer.class_name == "InputLayer"


def _unset(word: str, value: Any) -> bool:
    return word in UNSET and (value is None or isinstance(value, (bool, int)) and value in UNSET[word])


def _flat(value: Any) -> list:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flat(item)]
    return [value]


# ---------------------------------------------------------------- the whole model


def read(config: dict, items: list, layers: Sequence[LayerSpec | ModelSpec],
         context: Context) -> tuple[tuple[Call, ...], Any, Any]:
    """Calls, inputs and outputs of a functional model."""
    reader = _Reader(layers, context)
    calls = [call for layer, item in zip(layers, items, strict=True)
             for call in reader.calls(layer, item)]
    reader.layer = str(config.get("name"))
    ends = [_structure(reader, config.get(word)) for word in ("input_layers", "output_layers")]
    counts: dict[str, int] = {}
    for call in calls:
        counts[call.layer] = counts.get(call.layer, 0) + 1
    if context.writer.family == "keras3":  # its two places follow two conventions
        calls, ends = _renumber(reader, calls, counts, False), _renumber(reader, ends, counts, True)
    else:
        calls, ends = _renumber(reader, [calls, ends], counts, True)
    inputs, outputs = ends
    _check_acyclic(reader, calls)
    return tuple(calls), inputs, outputs


def _structure(reader: _Reader, value: Any) -> Any:
    """Inputs or outputs as the user gave them: one tensor, or lists and dicts of tensors."""
    if reader.is_ref(value):
        return reader.ref(value)
    if isinstance(value, dict) and value:
        return {key: _structure(reader, item) for key, item in value.items()}
    if isinstance(value, list) and value:
        return [_structure(reader, item) for item in value]
    return reader.fail("has no input_layers or output_layers, or malformed ones", "lists [layer, call, tensor]")


def _renumber(reader: _Reader, values: list, counts: Mapping[str, int], outputs: bool) -> list:
    """Node numbers to call numbers: a nested model's numbers begin at 1 in some places, since it is its own node 0.

    Where they should begin at 1 but a 0 occurs, or should begin at 0 but reach the number of calls, the file follows
    the other convention.
    """
    used: dict[str, set[int]] = {}
    _each_ref(values, lambda ref: used.setdefault(ref.layer, set()).add(ref.call) or ref)
    first: dict[str, int] = {}
    for name, numbers in used.items():
        layer, count = reader.layers[name], counts.get(name, 0)
        keras3 = reader.context.writer.family == "keras3"
        kind = _kind_of_model(layer)
        nested = kind is not None and (not keras3 or outputs and kind == "Functional")
        begins = 1 if (nested and 0 not in numbers) or (kind is not None and max(numbers) == count) else 0
        if not all(0 <= number - begins < count for number in numbers):
            reader.layer = name
            reader.fail(f"has {count} calls, and output of call {max(numbers)} is used", "a call that is there")
        first[name] = begins
    return _each_ref(values, lambda ref: replace(ref, call=ref.call - first[ref.layer]))


def _kind_of_model(layer: LayerSpec | ModelSpec) -> str | None:
    """``Functional`` or ``Sequential``, also of a model of somebody's own class; None of a layer."""
    if isinstance(layer, ModelSpec):
        return layer.class_name
    if isinstance(layer.config.get("layers"), list):
        return "Functional" if "output_layers" in layer.config else "Sequential"
    return None


def _each_ref(value: Any, change: Any) -> Any:
    if isinstance(value, TensorRef):
        return change(value)
    if isinstance(value, Call):
        return replace(value, args=_each_ref(value.args, change), kwargs=_each_ref(value.kwargs, change))
    if isinstance(value, (list, tuple)):
        return type(value)(_each_ref(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each_ref(item, change) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(_each_ref(item, change) for item in (value.start, value.stop, value.step)))
    return value


def _check_acyclic(reader: _Reader, calls: Sequence[Call]) -> None:
    numbers: dict[str, int] = {}
    waits: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for call in calls:
        key = (call.layer, numbers.get(call.layer, 0))
        numbers[call.layer] = key[1] + 1
        needs = waits.setdefault(key, set())
        _each_ref([call.args, call.kwargs], lambda ref, needs=needs: needs.add((ref.layer, ref.call)) or ref)
    wanted: dict[tuple[str, int], list] = {}
    for key, needs in waits.items():
        for need in needs:
            wanted.setdefault(need, []).append(key)
    ready = [key for key, needs in waits.items() if not needs]
    while ready:
        done = ready.pop()
        for key in wanted.get(done, ()):
            waits[key].discard(done)
            if not waits[key]:
                ready.append(key)
        del waits[done]
    if waits:
        reader.layer = min(waits)[0]
        reader.fail("waits for its own output", "a graph without cycles")
