"""A model's architecture in today's words: layers, wrappers and models inside models.

Knows the JSON of every generation; knows nothing of files, arrays' values or computing. Nothing a file names is
imported, unmarshalled or run: functions stay names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ..spec import LayerSpec, ModelSpec, RawWeights
from . import inputs, merges, nodes, operators
from .context import Context
from .variables import KNOWN
from .words import (
    ACTIVATIONS,
    ADDONS,
    CLASSES,
    CONV_RECURRENT,
    KERAS1,
    KERNEL_SIZES,
    LAYER_WORDS,
    MERGES,
    MODELS,
    NO_EFFECT,
    OF_CLASS,
    PADDING_SIDES,
    RECURRENT,
    TRANSPARENT,
    TYPES,
    UNSAID_FORMAT,
    VALUES,
    WRAPPERS,
)

MAX_LAYERS = 10_000
TRAINING_WORDS = ("_initializer", "_regularizer", "_constraint")
NOT_OURS = {  # said elsewhere in a spec, or of training
    "cells", "batch_input_shape", "input_shape", "input_length", "forget_bias_init",
}


# ---------------------------------------------------------------- models


def translate(item: Any, context: Context, name: str | None = None) -> LayerSpec | ModelSpec:
    """A layer or a model as found (``{"class_name": ..., "config": ...}``) in today's words."""
    label = name or "?"
    if not isinstance(item, dict):
        context.fail(label, f"is described by a {type(item).__name__}", "an object with class_name and config")
    class_name, config = item.get("class_name"), item.get("config", {})
    if not isinstance(class_name, str) or not isinstance(config, (dict, list)):
        context.fail(label, "has no class_name or no config", "both")
    if isinstance(config, dict):
        name = config.get("name", name)
    name = item.get("name", name)
    kind = kind_of_model(item, context.plain)
    if kind and (isinstance(config, list) or isinstance(config.get("layers"), list)):
        return model(item, context.deeper(label), name)
    if isinstance(config, list):
        context.fail(label, f"{class_name} has a list for its config", "an object")
    if not isinstance(name, str) or not name:
        context.fail(class_name, f"its name is {name!r}", "a text")
    wrapper = TRANSPARENT.get(_identity(item, class_name)[1]) or (">" not in class_name and TRANSPARENT.get(class_name))
    if wrapper:
        inner = translate(config.get("layer"), context.deeper(name))
        wrapped_in = {"wrapped_in": wrapper} if isinstance(inner, LayerSpec) else {}
        return replace(inner, name=name, **wrapped_in)
    return layer(item, class_name, config, name, context)


def model(item: dict, context: Context, name: Any = None) -> ModelSpec:
    """A Sequential or functional model of any generation."""
    item = merges.unfold(item, context.fail)
    class_name, config = kind_of_model(item, context.plain), item.get("config")
    own_class = None if item["class_name"] in MODELS else item["class_name"]
    config = {"layers": config} if isinstance(config, list) else config
    items = config.get("layers") if isinstance(config, dict) else None
    name = config.get("name") or name or class_name.lower() if isinstance(config, dict) else "?"
    if not isinstance(items, list) or not items or len(items) > MAX_LAYERS:
        context.fail(name, f"{class_name} has no list of layers or too many", f"1 to {MAX_LAYERS}")
    if not isinstance(name, str):
        context.fail(class_name, f"its name is {name!r}", "a text")
    context.count(name, len(items))
    layers = tuple(translate(child, context, _default_name(child, index)) for index, child in enumerate(items))
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        context.fail(name, f"has two layers named {max(names, key=names.count)}", "every name once")
    trainable = config.get("trainable") is not False
    if class_name == "Sequential":
        spec = ModelSpec(class_name, name, layers, trainable=trainable, own_class=own_class)
        return inputs.complete(spec, config, items, context)
    graph = nodes.read(config, items, layers, context)
    return ModelSpec(class_name, name, layers, *graph, trainable=trainable, own_class=own_class)


def kind_of_model(item: dict, plain: Collection[str]) -> str | None:
    """``Sequential`` or ``Functional``; None of a layer, and of a model of somebody's own class that is not `plain`.

    What a class adds is code, so only the user can say that it changes nothing in what is predicted.
    """
    if item["class_name"] in MODELS:
        return MODELS[item["class_name"]]
    config = item.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return None
    class_name = item["class_name"]
    names = (config.get("name"), item.get("registered_name"), class_name, class_name.rpartition(">")[2])
    if not any(isinstance(name, str) and name in plain for name in names):
        return None
    return "Functional" if "output_layers" in config else "Sequential"


def _default_name(item: Any, index: int) -> str:
    class_name = item.get("class_name") if isinstance(item, dict) else None
    return f"{str(class_name).lower()}_{index + 1}"


# ---------------------------------------------------------------- layers


def layer(item: dict, class_name: str, config: dict, name: str, context: Context) -> LayerSpec:
    operation = operators.class_of(item, class_name, config, context.writer.family)
    if operation is not None:
        options = operators.options_of(class_name, config)
        options = {word: _dtype(value, name, context) if word == "dtype" else _plain(value)
                   for word, value in options.items()}
        return LayerSpec(operation, name, options, lacks=operators.why_not(class_name, config))
    class_name, registered = _identity(item, class_name)
    if registered in ADDONS:
        class_name, registered = ADDONS[registered], None
    elif class_name == "CRF" and "learn_mode" not in config:  # somebody else's: only that of keras-contrib says so
        registered = registered or class_name
    config = {word: value for word, value in config.items() if word != "name"}
    for word in {"dtype", "input_dtype"} & config.keys():
        config[word] = _dtype(config[word], name, context)
    if registered is not None or (class_name not in KNOWN and class_name not in CLASSES and class_name != "Merge"):
        return LayerSpec(class_name, name, config, {}, registered)
    class_name, config = _todays(class_name, config, name, context)
    config = {word: _activation(value, name, context) if word.endswith("activation") else _plain(value)
              for word, value in config.items() if not word.endswith(TRAINING_WORDS)}
    _check(config, name, context)
    children = _children(class_name, config, name, context) if class_name in WRAPPERS else {}
    config = {word: value for word, value in config.items() if word not in LAYER_WORDS and word not in NOT_OURS}
    if class_name not in ("Embedding", "ReversibleEmbedding"):
        config.pop("input_dim", None)
    if class_name == "InputLayer":
        config["batch_shape"] = inputs.read_shape(config.get("batch_shape"), name, context)
    shared = item.get("shared_object_id")
    return LayerSpec(class_name, name, config, children, shared=shared if isinstance(shared, int) else None)


def _identity(item: dict, class_name: str) -> tuple[str, str | None]:
    """Class name, and ``package>Name`` if it is somebody's own class, even one named like a class of Keras."""
    registered, module = item.get("registered_name"), item.get("module")
    package, _, bare = class_name.rpartition(">")
    if isinstance(registered, str) and ">" in registered:
        own = registered
    elif package:
        own = class_name
    elif isinstance(module, str) and module.split(".")[0] not in ("keras", "tf_keras", "tensorflow", "builtins"):
        own = f"{module}>{class_name}"
    else:
        return class_name, None
    return (own if bare in KNOWN else bare), own


def _todays(class_name: str, config: dict, name: str, context: Context) -> tuple[str, dict]:
    """Today's class name and words, with what the writer's Keras took for granted written out."""
    if class_name == "Merge":
        mode = config.get("mode")
        if not isinstance(mode, str) or mode not in MERGES:
            return f"Merge(mode={mode!r})", config
        class_name, words = MERGES[mode]
        config = {words.get(word, word): value for word, value in config.items() if word in (*words, "trainable")}
    class_name, implied = CLASSES.get(class_name, (class_name, {}))
    names = {**KERAS1, **OF_CLASS.get(class_name, {})}
    renamed: dict[str, Any] = {}
    for word, value in config.items():
        today = names.get(word, word)
        if today == word or today not in config:
            renamed[today] = VALUES.get((today, value), value) if isinstance(value, (str, int)) else value
    for sizes in KERNEL_SIZES:
        if sizes[0] in renamed:
            renamed["kernel_size"] = [renamed.pop(size, None) for size in sizes]
    if class_name.startswith("ZeroPadding"):
        renamed["padding"] = _padding(class_name, renamed.get("padding", 1))
    if class_name == "Conv3DTranspose" and context.writer.family != "keras3":
        renamed.pop("dilation_rate", None)  # written, but without effect there
    renamed = {**_defaults(class_name, renamed, name, context), **renamed, **implied}
    return class_name, _without_noise(class_name, renamed, context)


def _padding(class_name: str, value: Any) -> Any:
    """Keras 1 also names the sides, or lists all four of an image in a row."""
    if isinstance(value, dict):
        return [[value.get(side, 0) for side in pair] for pair in PADDING_SIDES.get(class_name, ())]
    return [value[:2], value[2:]] if isinstance(value, list) and len(value) == 4 else value


def _without_noise(class_name: str, config: dict, context: Context) -> dict:
    drop = {word for word in ("dtype", "mask", "time_major") if word in config and not config[word]}
    if context.writer.family in ("keras1", "keras2") and class_name != "InputLayer":
        drop.add("dtype")  # there it is the type of the input
    drop.update(NO_EFFECT.get(class_name, ()))
    return {word: value for word, value in config.items() if word not in drop}


def _defaults(class_name: str, config: dict, name: str, context: Context) -> dict:
    family, version = context.writer
    if class_name in CONV_RECURRENT:
        gates = "sigmoid" if family == "keras3" else "hard_sigmoid"
        return {"activation": "tanh", "recurrent_activation": gates, "use_bias": True}
    if class_name in ("PReLU", "SReLU", "ParametricSoftplus") and family == "keras1":  # which did not write the word
        shape = next((shape for _, shape in _shapes(context.weights, name)), ())
        return {"shared_axes": [axis for axis, size in enumerate(shape, 1) if size == 1]}
    if class_name in UNSAID_FORMAT and family == "keras1" and context.data_format:
        return {"data_format": context.data_format}
    if class_name not in RECURRENT:
        return {}
    found: dict[str, Any] = {"activation": "tanh", "use_bias": True}
    if not class_name.startswith("SimpleRNN"):
        since = {"keras2": (2, 3), "tf.keras": (2, 2)}.get(family, (3,))
        found["recurrent_activation"] = "sigmoid" if version >= since else "hard_sigmoid"
    if class_name.startswith("GRU"):
        bias = next((shape for word, shape in _shapes(context.weights, name) if word == "bias"), None)
        new = family == "keras3" or (family == "tf.keras" and version >= (2, 3))
        found["reset_after"] = new if bias is None else len(bias) == 2
    return found


def _shapes(weights: RawWeights | None, name: str) -> list[tuple[str, tuple[int, ...]]]:
    """Last word and shape of the arrays of a layer that a legacy file holds under the same name."""
    pairs = weights.groups.get(name, ()) if weights is not None and weights.layout == "legacy" else ()
    return [(path.rpartition("/")[2].partition(":")[0], handle.shape) for path, handle in pairs]


def _check(config: dict, name: str, context: Context) -> None:
    for words, will_do, expected in TYPES:
        for word in words:
            value = config.get(word)
            if isinstance(value, float) and value.is_integer():
                value = config[word] = int(value) if "whole" in expected else value
            if value is not None and not will_do(value):
                context.fail(name, f"{word} is {str(value)[:60]!r}", expected)


def _dtype(value: Any, name: str, context: Context) -> str | None:
    """A dtype policy of any spelling as one name."""
    if value is None or isinstance(value, str):
        return value
    config = value.get("config") if isinstance(value, dict) else None
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            return config["name"]
        if isinstance(config.get("mode"), str):
            return f"{config['mode']}_from_{config.get('source_name')}"
        if isinstance(config.get("default_policy"), (str, dict)):
            return _dtype(config["default_policy"], name, context.deeper(name))
    context.fail(name, f"dtype is {str(value)[:60]!r}", "a name or a policy")


def _plain(value: Any) -> Any:
    """A NumPy or tensor value, written as a typed dict, as a number or nested lists."""
    if isinstance(value, dict) and value.get("class_name") in ("__tensor__", "__numpy__"):
        return value["config"].get("value") if isinstance(value.get("config"), dict) else None
    return value["value"] if isinstance(value, dict) and value.keys() == {"type", "value"} else value


def _activation(value: Any, name: str, context: Context) -> Any:
    """An activation as a name, or as a layer in today's words."""
    if value is None:
        return "linear"
    if isinstance(value, str):
        return ACTIVATIONS.get(value, value)
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        context.fail(name, f"an activation is {str(value)[:60]!r}", "a name, a layer or a function")
    config = value.get("config")
    if isinstance(config, str):
        return ACTIVATIONS.get(config, config)
    if value["class_name"] in ("function", "__lambda__") or not isinstance(config, dict):
        return str(value.get("registered_name") or value["class_name"])
    spec = translate(value, context.deeper(name), value["class_name"])
    if not isinstance(spec, LayerSpec):
        context.fail(name, "has a model for its activation", "a name, a layer or a function")
    return {"class_name": spec.registered_name or spec.class_name, "config": dict(spec.config)}


# ---------------------------------------------------------------- layers inside layers


def _children(class_name: str, config: dict, name: str, context: Context) -> dict[str, LayerSpec | ModelSpec]:
    context = context.deeper(name)
    if class_name == "Bidirectional":
        return _directions(config, name, context)
    if class_name == "StackedRNNCells":
        return _cells(config.get("cells"), name, context)
    word = "cell" if class_name == "RNN" else "layer"
    item = config.get(word)
    if isinstance(item, list):  # RNN([...]) means RNN(StackedRNNCells([...]))
        item = {"class_name": "StackedRNNCells", "config": {"name": f"{name}_cells", "cells": item}}
    child = translate(item, context, f"{name}_{word}")
    return {word: _from_arrays(child, name, context)} if class_name == "RNN" else {word: child}


def _cells(items: Any, name: str, context: Context) -> dict[str, LayerSpec | ModelSpec]:
    if not isinstance(items, list) or not items:
        context.fail(name, "has no list of cells", "one")
    return {str(index): translate(item, context, f"cell_{index}") for index, item in enumerate(items)}


def _directions(config: dict, name: str, context: Context) -> dict[str, LayerSpec]:
    forward = translate(config.get("layer"), context, f"{name}_layer")
    if not isinstance(forward, LayerSpec):
        context.fail(name, "wraps a model", "a recurrent layer")
    inner = forward.name.removeprefix("forward_")
    if config.get("backward_layer") is not None:
        backward = translate(config["backward_layer"], context, f"backward_{inner}")
    else:
        turned = context.writer.family == "keras3" or not forward.config.get("go_backwards")
        backward = replace(forward, config={**forward.config, "go_backwards": turned})
    if not isinstance(backward, LayerSpec):
        context.fail(name, "has a model for its backward_layer", "a recurrent layer")
    pair = {"forward_layer": forward, "backward_layer": backward}
    if context.semantics.bidirectional_zeroes_masked:
        zero = bool(forward.config.get("return_sequences"))
        pair = {key: replace(child, config={**child.config, "zero_output_for_mask": zero})
                for key, child in pair.items()}
    return {key: replace(child, name=_prefixed(key, child.name)) for key, child in pair.items()}


def _prefixed(key: str, name: str) -> str:
    prefix = key.removesuffix("layer")
    return name if name.startswith(prefix) else prefix + name


def _from_arrays(cell: LayerSpec | ModelSpec, name: str, context: Context) -> LayerSpec | ModelSpec:
    """Keras 2.0.9 to 2.1.2 wrote cells without their words: what can be told, their arrays tell."""
    shapes = dict(_shapes(context.weights, name))
    if not isinstance(cell, LayerSpec):
        return cell
    children: Mapping[str, Any] = cell.children or {"0": cell}
    complete = {}
    for index, child in children.items():
        if isinstance(child, LayerSpec) and child.class_name in RECURRENT and "units" not in child.config:
            suffix = f"_{index}" if index != "0" else ""
            recurrent = shapes.get(f"recurrent_kernel{suffix}")
            if recurrent is None:
                context.fail(name, "its cells are saved without their units", "arrays of the same layer to tell them")
            known = {"units": recurrent[0], "use_bias": f"bias{suffix}" in shapes}
            child = replace(child, config={**child.config, **known})
        complete[index] = child
    return replace(cell, children=complete) if cell.children else complete["0"]
