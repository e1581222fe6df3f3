"""Operations that functional models record, in today's words: those of TensorFlow become those of ``keras.ops``.

Keras 3 writes classes of operations; tf.keras 2.4 and later ``TFOpLambda`` with the name of a Python function; before,
``TensorFlowOpLayer`` with a node of TensorFlow's own graph. Knows names only: those of the tables in `operations`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..spec import TensorRef
from .operations import DTYPES, FUNCTIONS, IMPLIED, KERAS_CLASSES, NODES, NOISE, RANDOM, WHY_NOT

PREFIX, OF_TENSORFLOW = "keras.ops.", "tf."
LAMBDAS = {"TFOpLambda", "SlicingOpLambda"}
RECORDED = LAMBDAS | {"TensorFlowOpLayer"}
UNCHECKED = re.compile(r"[^\w.]")



def class_of(item: Mapping[str, Any], class_name: str, config: Mapping[str, Any], family: str) -> str | None:
    """The canonical name of the operation that a layer of a config is; None if it is no operation.

    Parameters
    ----------
    item, class_name, config
        As found.
    family : str
        Of Keras, as `semantics.writer` tells it.

    Returns
    -------
    str or None
        ``"keras.ops.Tanh"``, ``"tf.gather"``; what is not in the tables keeps its own name.
    """
    if class_name in LAMBDAS:
        function = str(config.get("function"))
        bare = _bare(function)
        if bare == "nn.dropout" and _never_drops(item):
            return "tf.identity"
        return _canonical(FUNCTIONS[bare][0]) if bare in FUNCTIONS else f"{class_name} {_shown(function)}"
    if class_name == "TensorFlowOpLayer":
        op = str(_node(config).get("op"))
        return _canonical(NODES[op][0]) if op in NODES else f"TensorFlowOpLayer {_shown(op)}"
    module = item.get("module")
    if isinstance(module, str) and module.startswith(("keras.src.ops.", "keras.ops", "keras.src.activations.")):
        return PREFIX + _shown(class_name)
    own = item.get("registered_name") in (None, class_name) and module in (None, "builtins")
    if family == "keras3" and own and "trainable" not in config and class_name in KERAS_CLASSES:
        return PREFIX + class_name
    return None


def is_recorded(class_name: str) -> bool:
    """Whether this is what `class_of` calls an operation, known or not."""
    return class_name.startswith((PREFIX, OF_TENSORFLOW, *(f"{kind} " for kind in RECORDED)))


def why_not(class_name: str, config: Mapping[str, Any]) -> str | None:
    """Why an operation is not here, where that is more than that it is missing."""
    bare = _bare(str(config.get("function"))) if class_name in LAMBDAS else ""
    if bare in FUNCTIONS:
        return None
    return RANDOM if bare.startswith("random.") else WHY_NOT.get(bare.removeprefix("nn."), WHY_NOT.get(bare))


def _never_drops(item: Mapping[str, Any]) -> bool:
    nodes = item.get("inbound_nodes")
    rates = [node[3].get("rate") for node in nodes if isinstance(node, list) and len(node) == 4
             and isinstance(node[3], dict)] if isinstance(nodes, list) else []  # fmt: skip
    return bool(rates) and len(rates) == len(nodes) and all(rate == 0 for rate in rates)


def _shown(name: str) -> str:
    return UNCHECKED.sub("?", name)[:60]


def _bare(function: str) -> str:
    return function.removeprefix("compat.v1.").removeprefix("tf.")


def _canonical(name: str) -> str:
    return name if name.startswith(OF_TENSORFLOW) else PREFIX + name


def options_of(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that an operation's own config gives; TensorFlow's are all in its calls."""
    if class_name in RECORDED:
        return {}
    return {word: value for word, value in config.items() if word not in ("name", "trainable")}


class Lost(ValueError):
    """A call of which tf.keras saved too little; the message says what it saved."""


def call_of(class_name: str, config: Mapping[str, Any], args: list, kwargs: dict) -> tuple[list, dict]:
    """Arguments of a call in today's words.

    Raises
    ------
    ValueError
        An argument means what there is no word for.
    Lost
        The arrays that it is called on were not saved.
    """
    if class_name in LAMBDAS:
        return _call_of_function(_bare(str(config.get("function"))), args, kwargs)
    if class_name == "TensorFlowOpLayer":
        return _call_of_node(config, args)
    return args, kwargs


def _call_of_function(function: str, args: list, kwargs: dict) -> tuple[list, dict]:
    if function == "nn.dropout" and kwargs.get("rate") == 0:
        return args, {}
    if function in ("einsum", "meshgrid"):
        return _call_of_many(function, args, kwargs)
    if function not in FUNCTIONS:
        return args, {word: value for word, value in kwargs.items() if word != "name"}
    if function in ("__operators__.eq", "__operators__.ne") and len(args) + len(kwargs) < 2:
        raise ValueError("tf.keras did not save what it is compared with")
    words = FUNCTIONS[function][1]
    given = {word: value for word, value in kwargs.items() if word != "name" and not _is_noise(word, value)}
    given = {**IMPLIED.get(function, {}), **given}
    return args, {words.get(word, word): value for word, value in given.items()}


def _call_of_many(function: str, args: list, kwargs: dict) -> tuple[list, dict]:
    """A call on any number of arrays: tf.keras saves the first argument of such functions only."""
    given = list(args[0]) if len(args) == 1 and isinstance(args[0], list) else list(args)
    words = {word: value for word, value in kwargs.items() if word == "indexing"}
    if function == "meshgrid":
        if len(given) < 2:
            raise Lost("tf.keras saved only the first of the arrays that tf.meshgrid is called on")
        return given, words
    equation = given[0] if given and isinstance(given[0], str) else "?"
    if len(given) != equation.partition("->")[0].count(",") + 2:
        raise Lost(f"tf.keras saved the equation {equation[:60]!r} of tf.einsum, but not the arrays that it joins")
    return given[1:], {"subscripts": equation}


def _is_noise(word: str, value: Any) -> bool:
    """Whether an argument says nothing: one that is null, and some with the value they have of themselves."""
    return (value is None and word != "slice_spec") or (word in NOISE and value == NOISE[word])


def _call_of_node(config: Mapping[str, Any], args: list) -> tuple[list, dict]:
    node = _node(config)
    op = str(node.get("op"))
    if op not in NODES:
        return _with_constants(args, config.get("constants")), _attributes(op, node)
    _, words, attributes = NODES[op]
    inputs = _with_constants(args, config.get("constants"))
    kwargs = {word: _attribute(op, name, node) for name, word in attributes.items()}
    kwargs = {word: value for word, value in kwargs.items() if value is not None}
    if not words:
        return inputs, kwargs
    if words[0] == "*operands":
        return inputs, kwargs
    if words[0].startswith("*"):
        tail = words[1:]
        count = len(inputs) - len(tail)
        return [inputs[:count]], {**kwargs, **dict(zip(tail, inputs[count:], strict=True))}
    if len(inputs) > len(words):
        raise ValueError(f"{op} has {len(inputs)} inputs, expected {len(words)}")
    return [], {**kwargs, **dict(zip(words, inputs, strict=False))}


def _with_constants(args: list, constants: Any) -> list:
    """The inputs of a node: its tensors in order, and between them the constants at their places."""
    tensors = list(args[0]) if len(args) == 1 and isinstance(args[0], list) else list(args)
    constants = constants if isinstance(constants, dict) else {}
    places = {int(place): value for place, value in constants.items() if str(place).isdecimal() and len(str(place)) < 6}
    if len(places) != len(constants):
        raise ValueError("its constants are not numbered")
    inputs, count = [], len(tensors) + len(places)
    for place in range(count):
        if place not in places and not tensors:
            raise ValueError("its constants have places that are not there")
        inputs.append(places[place] if place in places else tensors.pop(0))
    return inputs


def _node(config: Mapping[str, Any]) -> Mapping[str, Any]:
    node = config.get("node_def")
    return node if isinstance(node, dict) else {}


def _attribute(op: str, name: str, node: Mapping[str, Any]) -> Any:
    """The value of a node's attribute, which JSON wraps by its kind and, if a number, writes as text."""
    attributes = node.get("attr")
    value = attributes.get(name) if isinstance(attributes, dict) else None
    if not isinstance(value, dict) or not value:
        return None
    kind, found = next(iter(value.items()))
    if kind == "i":
        return int(found)
    if kind == "list":
        whole, others = ([make(n) for n in found.get(word, [])] for word, make in (("i", int), ("f", float)))
        return whole or others or None
    if kind == "s":
        try:
            return base64.b64decode(found, validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise ValueError(f"{op}: the attribute {name} is not text") from None
    if kind == "type":
        return DTYPES.get(found, str(found).removeprefix("DT_").lower())
    return found


def _attributes(op: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Every attribute of a node but the types of its arrays and TensorFlow's private ones."""
    attributes = node.get("attr")
    names = [name for name, value in attributes.items() if isinstance(value, dict) and "type" not in value
             and not str(name).startswith("_")] if isinstance(attributes, dict) else []  # fmt: skip
    found = {name: _attribute(op, name, node) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def has_tensors(values: Sequence[Any]) -> bool:
    """Whether a slice's parts include a tensor."""
    return any(isinstance(value, TensorRef) for value in values)
