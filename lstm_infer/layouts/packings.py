"""How the same arrays were packed over the years, and the one packing used today.

A form is a list of array names as a file writes them and the way from there to today's names. Results are handles
too: shapes are worked out at once, values when somebody reads them. Knows no layer order and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..spec import Handle
from .variables import QUANTISED_INSIDE, quantised_kernels

Arrays = Mapping[str, Handle]
GATES = {"LSTM": "ifco", "GRU": "zrh", "ConvLSTM2D": "ifco"}
SAVED_GATES = {**GATES, "LSTM": "icfo", "ConvLSTM2D": "icfo"}  # the order Keras 1 saved them in
GATE_COUNTS = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3, "SimpleRNN": 1, "SimpleRNNCell": 1,
               "ConvLSTM1D": 4, "ConvLSTM2D": 4, "ConvLSTM3D": 4}
LORA_WORDS = {f"lora_{word}_{side}" for word in ("kernel", "embeddings") for side in "ab"}
CONVOLUTIONS = {  # that files written with Theano have flipped
    "Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D", "Deconvolution2D",
}


class Form(NamedTuple):
    """One way a class was saved: `names` in file order, `unpack` gives the same arrays under today's names."""

    names: tuple[str, ...]
    unpack: Callable[[Arrays, Mapping[str, Any]], Arrays]


class Misfit(ValueError):
    """Arrays that cannot be what they are called; the message says which and why."""


def derived(parts: Sequence[Handle], shape: Sequence[int], make: Callable[..., np.ndarray]) -> Handle:
    """An array made of others once it is read."""
    where = parts[0].where if len(parts) == 1 else f"{parts[0].where} ... {parts[-1].where.rpartition(': ')[2]}"
    return Handle(where, tuple(map(int, shape)), parts[0].dtype, lambda: make(*(part.read() for part in parts)))


def forms(class_name: str, names: Sequence[str]) -> tuple[Form, ...]:
    """All known ways the arrays `names` of a class were saved, today's first."""
    today = Form(tuple(names), _as_they_are)
    found = [today]
    if class_name in GATES and "kernel" in names:
        gates = SAVED_GATES[class_name]
        found.append(Form(tuple(f"{word}_{gate}" for gate in gates for word in "WUb"), _joined(class_name)))
    old = tuple(_keras1_name(class_name, name) for name in names)
    if old != today.names:
        found.append(Form(old, _renamed(old, names)))
    if class_name.startswith("DepthwiseConv"):  # renamed in Keras 3
        new = tuple("kernel" if name == "depthwise_kernel" else name for name in names)
        found.append(Form(new, _renamed(new, names)))
    if class_name in QUANTISED_INSIDE:
        found += [Form(names, _as_they_are) for names in quantised_kernels(today.names)]
    if class_name in LOW_RANK and {"kernel", "embeddings"} & set(names):
        pair = [f"lora_{word}_{side}" for word in ("kernel", "embeddings") if word in names for side in "ab"]
        found.append(Form((*names, *pair), _as_they_are))  # in .h5 files; elsewhere they are merged into the kernel
    return tuple(found)


def _as_they_are(arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
    return arrays


LOW_RANK = {"Dense", "EinsumDense", "Embedding", "ReversibleEmbedding", "Conv1D", "Conv2D", "Conv3D"}
KERAS1_NAMES = {
    "kernel": "W", "recurrent_kernel": "U", "bias": "b", "embeddings": "W", "alpha": "alphas",
    "moving_mean": "running_mean", "moving_variance": "running_std",  # holds a variance from Keras 1.0.7 on
}
ALIASES = {"sn_u": "vector_u", "zero_point": "kernel_zero"}


def _keras1_name(class_name: str, name: str) -> str:
    return KERAS1_NAMES.get(name, name)


def _renamed(old: Sequence[str], new: Sequence[str]) -> Callable[[Arrays, Mapping[str, Any]], Arrays]:
    return lambda arrays, config: {today: arrays[word] for word, today in zip(old, new, strict=True)}


def _joined(class_name: str) -> Callable[[Arrays, Mapping[str, Any]], Arrays]:
    def unpack(arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
        first = config.get("data_format") == "channels_first"  # Keras 1 has the filters first there
        return {today: _concatenate([arrays[f"{word}_{gate}"] for gate in GATES[class_name]], first)
                for word, today in (("W", "kernel"), ("U", "recurrent_kernel"), ("b", "bias"))}

    return unpack


def _concatenate(parts: Sequence[Handle], first: bool) -> Handle:
    shape = parts[0].shape
    odd = next((part for part in parts if part.shape != shape or not shape), None)
    if odd is not None:
        raise Misfit(f"{odd.where} has the shape {odd.shape}, expected {shape} as the other gates")
    axis = 0 if first else len(shape) - 1
    sizes = (*shape[:axis], shape[axis] * len(parts), *shape[axis + 1 :])
    return derived(parts, sizes, lambda *arrays: np.concatenate(arrays, axis=axis))


# ---------------------------------------------------------------- after the names are today's


def packed(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> Arrays:
    """Arrays under today's names in today's packing, their shapes compared with the config."""
    arrays = dict(arrays)
    for evidence, unpack in PACKINGS:
        if evidence(class_name, arrays, config, backend):
            arrays = unpack(class_name, arrays, config)
    problem = _misfit(class_name, arrays, config)
    if problem:
        raise Misfit(problem)
    return arrays


def _shapes(arrays: Arrays, *names: str) -> list[tuple[int, ...]]:
    return [arrays[name].shape for name in names if name in arrays]


def _is_cudnn(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> bool:
    if class_name not in ("LSTM", "GRU") or not {"kernel", "recurrent_kernel", "bias"} <= arrays.keys():
        return False
    kernel, recurrent, bias = _shapes(arrays, "kernel", "recurrent_kernel", "bias")
    gates = GATE_COUNTS[class_name]
    return (len(kernel) == len(recurrent) == 2 and recurrent[1] == kernel[1] == gates * recurrent[0]
            and bias == (2 * gates * recurrent[0],) and bias != (0,))


def _from_cudnn(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> dict[str, Handle]:
    kernel, recurrent, bias = (arrays[name] for name in ("kernel", "recurrent_kernel", "bias"))
    gates = GATE_COUNTS[class_name]

    def blocks(values: np.ndarray) -> list[np.ndarray]:
        return np.split(values, gates, axis=1)

    def input_kernel(values: np.ndarray) -> np.ndarray:  # each block's buffer holds the transposed block
        return np.concatenate([np.ascontiguousarray(b).reshape(b.shape[::-1]).T for b in blocks(values)], axis=1)

    def recurrent_kernel(values: np.ndarray) -> np.ndarray:
        return np.concatenate([block.T for block in blocks(values)], axis=1)

    half = bias.shape[0] // 2
    if class_name == "LSTM":
        joined = derived([bias], (half,), lambda values: values[:half] + values[half:])
    else:
        joined = derived([bias], (2, half), lambda values: values.reshape(2, half))
    return {"kernel": derived([kernel], kernel.shape, input_kernel),
            "recurrent_kernel": derived([recurrent], recurrent.shape, recurrent_kernel), "bias": joined}


def _is_dummy_axis(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> bool:
    return class_name == "Conv1D" and "kernel" in arrays and len(arrays["kernel"].shape) == 4


def _without_dummy_axis(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
    """Keras 1: (length, 1, in, filters), and before 1.2 (filters, in, length, 1)."""
    kernel = arrays["kernel"]
    shape = kernel.shape
    if shape[1] == 1 and shape[3] == config.get("filters", shape[3]):
        new = derived([kernel], (shape[0], *shape[2:]), lambda values: values[:, 0])
    elif shape[3] == 1:
        new = derived([kernel], (shape[2], shape[1], shape[0]), lambda values: values[..., 0].transpose(2, 1, 0))
    else:
        raise Misfit(f"{kernel.where} has the shape {shape}, expected (length, 1, features, filters)")
    return {**arrays, "kernel": new}


KERAS1 = "keras1"  # instead of the backend that later files name
OLD_AXES = {  # class: where today's axes were in Keras 1, by data_format
    ("Conv2D", "channels_first"): (2, 3, 1, 0), ("ConvLSTM2D", "channels_first"): (2, 3, 1, 0),
    ("Conv3D", "channels_first"): (2, 3, 4, 1, 0),
    ("SeparableConv2D", "channels_first"): (2, 3, 1, 0),
}


def _is_theano_ordered(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> bool:
    """Keras 1 with dim_ordering 'th': filters first, where today's kernel has them last."""
    axes = OLD_AXES.get((class_name, config.get("data_format")))
    kernel = arrays.get("kernel", arrays.get("depthwise_kernel"))
    if axes is None or kernel is None or len(kernel.shape) != len(axes):
        return False
    size, places = config.get("kernel_size"), len(axes) - 2
    size = tuple(size) if isinstance(size, (list, tuple)) else (size,) * places
    first, last = kernel.shape[:places] == size, kernel.shape[-places:] == size
    return last and (not first or backend == KERAS1)


def _filters_last(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
    axes = OLD_AXES[class_name, config["data_format"]]

    def turned(handle: Handle) -> Handle:
        shape = tuple(handle.shape[axis] for axis in axes)
        return derived([handle], shape, lambda values: values.transpose(axes))

    return {name: turned(handle) if len(handle.shape) == len(axes) else handle for name, handle in arrays.items()}


def _is_deconvolution(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> bool:
    return class_name == "Deconvolution2D" and "kernel" in arrays and len(arrays["kernel"].shape) == 4


def _as_transposed(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
    """Keras 1 keeps the kernel of the convolution that it transposes: (rows, columns, in, out) or (out, in, ...)."""
    axes = (2, 3, 0, 1) if config.get("data_format") == "channels_first" else (0, 1, 3, 2)
    kernel = arrays["kernel"]
    shape = tuple(kernel.shape[axis] for axis in axes)
    return {**arrays, "kernel": derived([kernel], shape, lambda values: values.transpose(axes))}


def _is_flipped(class_name: str, arrays: Arrays, config: Mapping[str, Any], backend: str | None) -> bool:
    return backend == "theano" and class_name in CONVOLUTIONS  # true convolutions, where others correlate


def _flipped(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> Arrays:
    def flip(values: np.ndarray) -> np.ndarray:
        return np.flip(values, axis=tuple(range(values.ndim - 2)))

    return {name: derived([handle], handle.shape, flip) if name.endswith("kernel") else handle
            for name, handle in arrays.items()}


PACKINGS = (  # every row whose evidence holds is undone, in this order
    (_is_dummy_axis, _without_dummy_axis),
    (_is_theano_ordered, _filters_last),
    (_is_deconvolution, _as_transposed),
    (_is_flipped, _flipped),
    (_is_cudnn, _from_cudnn),
)


def _misfit(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> str | None:
    """What contradicts the config, as far as it tells without knowing the input."""
    for name, expected in _expected(class_name, arrays, config).items():
        shape = arrays[name].shape if name in arrays else None
        if shape is not None and (len(shape) < len(expected) or shape[len(shape) - len(expected):] != expected):
            wanted = (*[None] * (len(shape) - len(expected)), *expected)
            return f"{arrays[name].where} has the shape {shape}, expected {wanted}"
    return None


def _expected(class_name: str, arrays: Arrays, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Last sizes of the shapes of some arrays."""
    width = config.get("units", config.get("filters"))
    if str(config.get("dtype")).startswith(("int4", "gptq", "awq")):  # two values in a byte, or columns first
        return {}
    if class_name == "Embedding":
        sizes = (config.get("input_dim"), config.get("output_dim"))
        return {"embeddings": sizes} if all(isinstance(size, int) for size in sizes) else {}
    if not isinstance(width, int):
        return {}
    if class_name in GATE_COUNTS:
        total = GATE_COUNTS[class_name] * width
        double = class_name.startswith("GRU") and config.get("reset_after", True)
        return {"kernel": (total,), "recurrent_kernel": (width, total), "bias": (2, total) if double else (total,)}
    if class_name == "Dense" or (class_name.startswith("Conv") and not class_name.endswith("Transpose")):
        return {"kernel": (width,), "bias": (width,)}
    return {}
