"""Writes the same tiny weights the way each generation of Keras wrote them, for the tests of `hdf5` and `layouts`.

The model is LSTM(3) on 4 features, then Dense(2). Every writer in `GENERATIONS` takes the arrays in today's packing
and returns (model file, weights file or None), as bytes. Written from the description of the formats, not with the
code under test.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence

import h5py
import numpy as np

FEATURES, UNITS, OUT = 4, 3, 2
Arrays = Mapping[str, Mapping[str, np.ndarray]]


def weights(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Arrays in today's packing, by layer."""
    draw = np.random.default_rng(seed).standard_normal
    shapes = {"lstm": {"kernel": (FEATURES, 4 * UNITS), "recurrent_kernel": (UNITS, 4 * UNITS), "bias": (4 * UNITS,)},
              "dense": {"kernel": (UNITS, OUT), "bias": (OUT,)}}
    return {layer: {name: draw(shape).astype("f4") for name, shape in own.items()} for layer, own in shapes.items()}


# ---------------------------------------------------------------- containers


def hdf5(fill: Callable[[h5py.File], object]) -> bytes:
    """An HDF5 file in memory."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def legacy(layers: Mapping[str, Mapping[str, np.ndarray]], config: dict | None = None, version: str | None = None,
           backend: str | None = "tensorflow") -> bytes:
    """The legacy layout: weight names to arrays, by layer name. With a config, a complete model."""
    def fill(file: h5py.File) -> None:
        root = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
            root = file.create_group("model_weights")
        for holder in {file, root} if version else ():
            holder.attrs["keras_version"] = version
            if backend:
                holder.attrs["backend"] = backend
        root.attrs["layer_names"] = _names(list(layers))
        for layer, arrays in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = _names(list(arrays))
            for name, values in arrays.items():
                group[name] = values

    return hdf5(fill)


def _names(names: Sequence[str]) -> np.ndarray:
    return np.array([name.encode() for name in names]) if names else np.array([])


def store(objects: Mapping[str, Sequence[np.ndarray]], names: Mapping[str, str] | None = None,
          slash: str = "/") -> bytes:
    """The object store: arrays by object path. `slash` is what the writer's system puts between names."""
    def fill(file: h5py.File) -> None:
        for path, arrays in objects.items():
            group = file.create_group(path.replace("/", slash) + "/vars" if path else "vars")
            for index, values in enumerate(arrays):
                group[str(index)] = values
            if names and path in names:
                group.attrs["name"] = names[path]

    return hdf5(fill)


def keras_zip(config: dict, objects: bytes, version: str, **members: bytes) -> bytes:
    """A ``.keras`` archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", objects)
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# ---------------------------------------------------------------- configs


def sequential(first: dict, version: str, as_list: bool = False, input_layer: dict | None = None,
               lstm_class: str = "LSTM", dense: dict | None = None) -> dict:
    dense = {"name": "dense", "units": OUT, "activation": "softmax"} if dense is None else dense
    layers = [{"class_name": lstm_class, "config": {"name": "lstm", **first}},
              {"class_name": "Dense", "config": dense}]
    if input_layer is not None:
        layers.insert(0, {"class_name": "InputLayer", "config": input_layer})
    return {"class_name": "Sequential", "config": layers if as_list else {"name": "sequential", "layers": layers},
            "keras_version": version}


KERAS1_FIRST = {"batch_input_shape": [None, 5, FEATURES], "input_dtype": "float32", "output_dim": UNITS,
                "activation": "tanh", "inner_activation": "hard_sigmoid", "return_sequences": False,
                "init": "glorot_uniform"}
KERAS1_DENSE = {"name": "dense", "output_dim": OUT, "activation": "softmax", "bias": True, "init": "uniform"}
KERAS2_FIRST = {"batch_input_shape": [None, 5, FEATURES], "dtype": "float32", "units": UNITS, "activation": "tanh",
                "recurrent_activation": "hard_sigmoid", "implementation": 1, "return_sequences": False}
TF_FIRST = {"units": UNITS, "activation": "tanh", "recurrent_activation": "sigmoid", "time_major": False,
            "dtype": {"class_name": "Policy", "config": {"name": "float32"}}, "return_sequences": False}
TF_INPUT = {"batch_input_shape": [None, 5, FEATURES], "dtype": "float32", "ragged": False, "name": "lstm_input"}
KERAS3_INPUT = {"batch_shape": [None, 5, FEATURES], "dtype": "float32", "name": "lstm_input"}


def _flat(arrays: Arrays, pattern: str = "{layer}/{name}:0",
          lstm: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    return {layer: {(lstm if lstm and layer == "lstm" else pattern).format(layer=layer, name=name): values
                    for name, values in own.items()} for layer, own in arrays.items()}


# ---------------------------------------------------------------- generations


def keras1(arrays: Arrays, end: str = ":0") -> tuple[bytes, None]:
    config = sequential(KERAS1_FIRST, "1.2.2", True, dense=KERAS1_DENSE)
    return legacy(keras1_arrays(arrays, end), config, "1.2.2", None), None


def keras1_arrays(arrays: Arrays, end: str = ":0") -> dict[str, dict[str, np.ndarray]]:
    gates = {name: dict(zip("ifco", np.split(values, 4, axis=-1), strict=True))
             for name, values in arrays["lstm"].items()}
    lstm = {f"lstm_{word}_{gate}{end}": gates[name][gate] for gate in "icfo"
            for word, name in (("W", "kernel"), ("U", "recurrent_kernel"), ("b", "bias"))}
    dense = {f"dense_W{end}": arrays["dense"]["kernel"], f"dense_b{end}": arrays["dense"]["bias"]}
    return {"lstm": lstm, "dense": dense}


def keras1_joined(arrays: Arrays) -> tuple[bytes, None]:
    words = {"kernel": "W", "recurrent_kernel": "U", "bias": "b"}
    groups = {layer: {f"{layer}_{words[name]}": values for name, values in own.items()}
              for layer, own in arrays.items()}
    first = {**KERAS1_FIRST, "consume_less": "gpu"}
    return legacy(groups, sequential(first, "1.1.0", True, dense=KERAS1_DENSE), "1.1.0", None), None


def keras0(arrays: Arrays) -> tuple[bytes, bytes]:
    def fill(file: h5py.File) -> None:
        file.attrs["nb_layers"] = 2
        for index, own in enumerate(keras1_arrays(arrays).values()):
            group = file.create_group(f"layer_{index}")
            group.attrs["nb_params"] = len(own)
            for number, values in enumerate(own.values()):
                group[f"param_{number}"] = values

    return json.dumps(sequential(KERAS1_FIRST, "1.0.3", True, dense=KERAS1_DENSE)).encode(), hdf5(fill)


def keras2(arrays: Arrays) -> tuple[bytes, None]:
    return legacy(_flat(arrays), sequential(KERAS2_FIRST, "2.1.6", as_list=True), "2.1.6"), None


def keras2_theano(arrays: Arrays) -> tuple[bytes, None]:
    count = iter(range(100))
    groups = {layer: {f"param_{next(count)}": values for values in own.values()} for layer, own in arrays.items()}
    return legacy(groups, sequential(KERAS2_FIRST, "2.0.4"), "2.0.4", "theano"), None


def keras2_cudnn(arrays: Arrays) -> tuple[bytes, None]:
    def block(values: np.ndarray) -> np.ndarray:  # the transposed block in a buffer of the block's own shape
        return np.ascontiguousarray(values.T).reshape(values.shape)

    kernel, recurrent, bias = (arrays["lstm"][name] for name in ("kernel", "recurrent_kernel", "bias"))
    lstm = {"kernel": np.concatenate([block(b) for b in np.split(kernel, 4, 1)], 1),
            "recurrent_kernel": np.concatenate([b.T for b in np.split(recurrent, 4, 1)], 1),
            "bias": np.concatenate([bias, np.zeros_like(bias)])}
    first = {"batch_input_shape": [None, 5, FEATURES], "units": UNITS, "return_sequences": False}
    config = sequential(first, "2.2.4", lstm_class="CuDNNLSTM")
    return legacy(_flat({**arrays, "lstm": lstm}), config, "2.2.4"), None


def tf_keras1(arrays: Arrays) -> tuple[bytes, None]:
    """TF 1.12 dropped the InputLayer: only the arrays tell the features."""
    config = sequential({**TF_FIRST, "recurrent_activation": "hard_sigmoid"}, "2.1.6-tf")
    return legacy(_flat(arrays), config, "2.1.6-tf"), None


def tf_keras2(arrays: Arrays) -> tuple[bytes, None]:
    groups = _flat(arrays, lstm="lstm/lstm_cell_7/{name}:0")
    return legacy(groups, sequential(TF_FIRST, "2.4.0", input_layer=TF_INPUT), "2.4.0"), None


def keras3_h5(arrays: Arrays) -> tuple[bytes, None]:
    groups = _flat(arrays, "sequential/{layer}/{name}", lstm="sequential/lstm/lstm_cell/{name}")
    first = {word: value for word, value in TF_FIRST.items() if word != "time_major"}
    return legacy(groups, sequential(first, "3.15.1", input_layer=KERAS3_INPUT), "3.15.1"), None


def keras3_zip(arrays: Arrays) -> tuple[bytes, None]:
    first = {word: value for word, value in TF_FIRST.items() if word != "time_major"}
    names = {"layers/lstm/cell": "lstm_cell", "layers/lstm": "lstm", "layers/dense": "dense"}
    objects = store(_objects(arrays), names)
    return keras_zip(sequential(first, "3.15.1", input_layer=KERAS3_INPUT), objects, "3.15.1"), None


def tf_keras_windows(arrays: Arrays) -> tuple[bytes, None]:
    objects = store(_objects(arrays), slash="\\")
    return keras_zip(sequential(TF_FIRST, "2.13.1", input_layer=TF_INPUT), objects, "2.13.1"), None


def tf_keras_gaps(arrays: Arrays) -> tuple[bytes, bytes]:
    """TF 2.12 numbered layers with gaps, here beginning after two of each class."""
    renamed = {path.replace("lstm", "lstm_2").replace("dense", "dense_4"): own
               for path, own in _objects(arrays, "_layer_checkpoint_dependencies").items()}
    config = sequential(TF_FIRST, "2.12.0", input_layer=TF_INPUT)
    return json.dumps(config).encode(), store(renamed)


def _objects(arrays: Arrays, container: str = "layers") -> dict[str, list[np.ndarray]]:
    return {f"{container}/dense": list(arrays["dense"].values()), f"{container}/lstm": [],
            f"{container}/lstm/cell": list(arrays["lstm"].values()), "optimizer": [np.zeros(3, "f4")], "": []}


GENERATIONS = {
    "0.x": keras0, "1.2 per gate": keras1, "1.1 joined": keras1_joined, "2.1": keras2, "2.0 theano": keras2_theano,
    "2.2 cudnn": keras2_cudnn, "tf 1.12": tf_keras1, "tf 2.4": tf_keras2, "tf 2.12 gaps": tf_keras_gaps,
    "tf 2.13 windows": tf_keras_windows, "3 h5": keras3_h5, "3 zip": keras3_zip,
}
