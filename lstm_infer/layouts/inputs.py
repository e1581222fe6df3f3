"""The input of a Sequential whose file has no InputLayer: from the first layer's words, or from its arrays.

Knows configs and the shapes of arrays; knows no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..spec import Handle, LayerSpec, ModelSpec
from .context import Context
from .words import CONV_RECURRENT, RECURRENT

Shape = list
Arrays = Mapping[tuple[str, ...], Mapping[str, Handle]]

RANKS = {  # rank of the input of classes that tell it
    **dict.fromkeys(RECURRENT | {"RNN", "Conv1D", "SeparableConv1D", "DepthwiseConv1D", "LocallyConnected1D"}, 3),
    **dict.fromkeys(("MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D"), 3),
    **dict.fromkeys(("Conv2D", "SeparableConv2D", "DepthwiseConv2D", "ConvLSTM1D"), 4),
    **dict.fromkeys(("Conv2DTranspose", "LocallyConnected2D", "MaxPooling2D", "AveragePooling2D"), 4),
    **dict.fromkeys(("Conv3DTranspose", "MaxPooling3D", "AveragePooling3D"), 5), "Conv1DTranspose": 3,
    **dict.fromkeys(("Conv3D", "ConvLSTM2D"), 5), "ConvLSTM3D": 6, "SpatialDropout1D": 3, "RepeatVector": 2,
}
PASSING = {  # classes whose output has the shape of their input
    "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU", "GaussianDropout",
    "GaussianNoise", "LayerNormalization", "LeakyReLU", "Masking", "PReLU", "ReLU", "Softmax", "SpatialDropout1D",
    "ThresholdedReLU", "Identity", "Normalization", "Rescaling",
}


def complete(spec: ModelSpec, config: dict, items: list, context: Context) -> ModelSpec:
    """A Sequential with the InputLayer that its words tell; unchanged where they do not."""
    first = spec.layers[0]
    if first.class_name == "InputLayer":
        return spec
    words = items[0].get("config") if isinstance(items[0], dict) else None
    words = words if isinstance(words, dict) else {}
    shape = _from_words(first, words, context) or _from_build(config, items[0], first, context)
    return spec if shape is None else _with_input(spec, shape, words.get("dtype", words.get("input_dtype")))


def _with_input(spec: ModelSpec, shape: Shape, dtype: Any = None) -> ModelSpec:
    first = spec.layers[0]
    inner = first if isinstance(first, LayerSpec) else _own_input(first)
    own = None if inner is None else inner.config.get("dtype")
    dtype = next(name for name in (dtype, own, "float32") if isinstance(name, str))
    dtype = "float32" if dtype.startswith("mixed_") else dtype.rpartition("_from_")[2]
    words = {"batch_shape": shape, "dtype": dtype}
    return replace(spec, layers=(LayerSpec("InputLayer", f"{first.name}_input", words), *spec.layers))


def _from_words(first: LayerSpec | ModelSpec, words: dict, context: Context) -> Shape | None:
    if isinstance(first, ModelSpec):
        own = _own_input(first)
        return None if own is None else own.config.get("batch_shape")
    for word in ("batch_input_shape", "batch_shape"):
        if words.get(word) is not None:
            return read_shape(words[word], first.name, context)
    if words.get("input_shape") is not None:
        return [None, *read_shape(words["input_shape"], first.name, context)]
    if first.class_name == "Bidirectional":
        inner = words.get("layer")
        inner = inner.get("config") if isinstance(inner, dict) else None
        return _from_words(first.children["forward_layer"], inner, context) if isinstance(inner, dict) else None
    width = words.get("input_dim")
    if first.class_name == "Embedding":
        return [None, words.get("input_length")] if isinstance(words.get("input_length"), int) else None
    if isinstance(width, int) and first.class_name in RECURRENT | {"Conv1D"}:
        return [None, words.get("input_length"), width]
    return [None, width] if isinstance(width, int) and first.class_name == "Dense" else None


def _own_input(model: ModelSpec) -> LayerSpec | None:
    """The InputLayer of a model that has one input."""
    found = [layer for layer in model.layers if isinstance(layer, LayerSpec) and layer.class_name == "InputLayer"]
    single = model.class_name == "Sequential" or not isinstance(model.inputs, (list, dict)) or len(model.inputs) == 1
    return found[0] if single and found else None


def _from_build(config: dict, item: Any, first: LayerSpec | ModelSpec, context: Context) -> Shape | None:
    """Shapes noted when a model was built by being called: their batch size binds nobody."""
    build = item.get("build_config") if isinstance(item, dict) else None
    for value in (config.get("build_input_shape"), build.get("input_shape") if isinstance(build, dict) else None):
        if value is not None:
            return [None, *read_shape(value, first.name, context)[1:]]
    return None


def read_shape(value: Any, name: str, context: Context) -> Shape:
    """A shape of any spelling as a list of whole numbers and None."""
    if isinstance(value, dict):
        value = value.get("items", value.get("config"))
    if not isinstance(value, list) or len(value) > 32:
        context.fail(name, f"its input shape is {str(value)[:60]!r}", "a list of sizes")
    for size in value:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 40):
            context.fail(name, f"its input shape is {str(value)[:60]!r}", "sizes from 0, or null where free")
    return list(value)


# ---------------------------------------------------------------- from arrays


def infer(spec: ModelSpec, arrays: Callable[[], Arrays], context: Context, path: tuple[str, ...] = ()) -> ModelSpec:
    """Give every Sequential that lacks one, at any depth, the InputLayer that its arrays tell."""
    layers = tuple(_inside(layer, arrays, context, path) for layer in spec.layers)
    if any(new is not old for new, old in zip(layers, spec.layers, strict=True)):
        spec = replace(spec, layers=layers)
    if spec.class_name != "Sequential" or spec.layers[0].class_name == "InputLayer":
        return spec
    shape = _from_words(spec.layers[0], {}, context) or _from_arrays(spec, arrays(), context, path)
    dtype = "int32" if spec.layers[0].class_name == "Embedding" else None
    return _with_input(spec, shape, dtype)


def _inside(layer: LayerSpec | ModelSpec, arrays: Callable[[], Arrays], context: Context,
            path: tuple[str, ...]) -> LayerSpec | ModelSpec:
    path = (*path, layer.name)
    if isinstance(layer, ModelSpec):
        return infer(layer, arrays, context, path)
    children = {key: infer(child, arrays, context, (*path, key)) if isinstance(child, ModelSpec) else child
                for key, child in layer.children.items()}
    changed = any(child is not layer.children[key] for key, child in children.items())
    return replace(layer, children=children) if changed else layer


def _from_arrays(spec: ModelSpec, arrays: Arrays, context: Context, path: tuple[str, ...]) -> Shape:
    rank, features = None, None
    for layer in spec.layers:
        if layer.class_name == "Embedding" and rank is None and features is None:
            return [None, None]
        rank, width = _rank(layer, arrays, (*path, layer.name))
        features = features or width
        if rank is not None or layer.class_name not in PASSING | {"Dense"}:
            break
    else:
        rank = 2
    if rank is None or features is None:
        context.fail(spec.layers[0].name, "has no input shape, and the model's arrays do not tell it",
                     "batch_input_shape or an InputLayer")
    axis = _channel_axis(spec.layers[0])
    shape = [None] * rank
    shape[-1 if axis is None else axis] = features
    return shape


def _channel_axis(layer: LayerSpec | ModelSpec) -> int | None:
    """The axis of the features where a layer says that it is not the last."""
    if not isinstance(layer, LayerSpec):
        return None
    inner = layer.children.get("layer") or layer.children.get("forward_layer")
    if inner is not None:
        axis = _channel_axis(inner)
        return axis + 1 if axis is not None and "layer" in layer.children else axis
    if layer.config.get("data_format") != "channels_first" or layer.class_name not in RANKS:
        return None
    return 2 if layer.class_name in CONV_RECURRENT else 1


def _rank(layer: LayerSpec | ModelSpec, arrays: Arrays, path: tuple[str, ...]) -> tuple[int | None, int | None]:
    """Rank and features of a layer's input, as far as its class and its arrays tell."""
    for key, more in (("forward_layer", 0), ("layer", 1)):
        if isinstance(layer, LayerSpec) and key in layer.children:
            rank, width = _rank(layer.children[key], arrays, (*path, key))
            return (rank + more if rank is not None else None), width
    own = arrays.get((*path, "cell") if layer.class_name == "RNN" else path, {})
    kernel = own.get("kernel", own.get("depthwise_kernel"))
    if layer.class_name.startswith("LocallyConnected"):
        width = None
    elif kernel is not None and len(kernel.shape) >= 2:
        groups = layer.config.get("groups") if isinstance(layer, LayerSpec) else None
        turned = layer.class_name.endswith("Transpose")
        width = kernel.shape[-1] if turned else kernel.shape[-2] * (groups if isinstance(groups, int) else 1)
    else:
        width = next((handle.shape[0] for handle in own.values() if len(handle.shape) == 1), None)
    return RANKS.get(layer.class_name), width
