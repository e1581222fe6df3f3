"""`layouts`: one model written by every generation of Keras becomes one spec with the same arrays."""

from __future__ import annotations

import copy
import os
from collections import defaultdict
from pathlib import Path

import h5files
import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import hdf5, layouts
from lstm_infer.errors import LoadError
from lstm_infer.spec import Call, Handle, LayerSpec, ModelSpec, RawModel, RawWeights, Semantics, TensorRef

ARRAYS = h5files.weights()


def handle(*shape: int, fill: float = 0.0) -> Handle:
    return Handle(f"array {shape}", shape, "float32", lambda: np.full(shape, fill, "f4"))


def locked(*shape: int) -> Handle:
    def read():
        raise AssertionError("match must not read")
    return Handle("locked", shape, "float32", read)


def legacy(backend: str | None = None, **groups) -> RawWeights:
    pairs = {layer: tuple(arrays.items()) for layer, arrays in groups.items()}
    return RawWeights("w.h5", "legacy", pairs, {}, None, backend)


def canonical(config: dict, version: str | None = None, weights: RawWeights | None = None) -> ModelSpec:
    return layouts.canonical(RawModel("m.h5", config, weights, version))


def sequential(*layers: tuple[str, dict], shape=(None, None, 4)) -> dict:
    items = [{"class_name": name, "config": {"name": f"{name.lower()}_{index}", **config}}
             for index, (name, config) in enumerate(layers)]
    if shape:
        items[0]["config"]["batch_input_shape"] = list(shape)
    return {"class_name": "Sequential", "config": {"name": "s", "layers": items}}


def only(config: tuple[str, dict], version: str, **kwargs) -> LayerSpec:
    return canonical(sequential(config, **kwargs), version).layers[1]


# ---------------------------------------------------------------- every generation


@pytest.mark.parametrize("generation", h5files.GENERATIONS)
def test_same_model_from_every_generation(generation):
    raw = hdf5.read(*h5files.GENERATIONS[generation](ARRAYS))
    spec = layouts.canonical(raw)
    assert [(layer.class_name, layer.name) for layer in spec.layers] == [
        ("InputLayer", "lstm_input"), ("LSTM", "lstm"), ("Dense", "dense")]
    steps = None if generation == "tf 1.12" else 5
    assert spec.layers[0].config["batch_shape"] == [None, steps, h5files.FEATURES]
    lstm = spec.layers[1].config
    old = generation[0] in "012" and "cudnn" not in generation or generation == "tf 1.12"
    assert lstm["recurrent_activation"] == ("hard_sigmoid" if old else "sigmoid")
    assert lstm["units"] == h5files.UNITS and lstm["activation"] == "tanh" and lstm["use_bias"] is True
    assert "time_major" not in lstm and lstm.get("dtype") in (None, "float32")
    assert spec.layers[2].config["activation"] == "softmax" and spec.layers[2].config["units"] == h5files.OUT
    found = layouts.match(spec, raw.weights)
    assert found.keys() == {("lstm",), ("dense",)}
    for layer, arrays in ARRAYS.items():
        assert found[layer,].keys() == arrays.keys()
        for name, values in arrays.items():
            assert found[layer,][name].shape == values.shape
            np.testing.assert_array_equal(found[layer,][name].read(), values)


@pytest.mark.parametrize("generation", h5files.GENERATIONS)
def test_weights_fit_a_model_rebuilt_under_other_names(generation):
    raw = hdf5.read(*h5files.GENERATIONS[generation](ARRAYS))
    lstm = LayerSpec("LSTM", "a", {"units": 3, "use_bias": True})
    spec = ModelSpec("Sequential", "m", (LayerSpec("InputLayer", "i", {"batch_shape": [None, 5, 4]}), lstm,
                                         LayerSpec("Dropout", "d", {}), LayerSpec("Dense", "b", {"units": 2})))
    found = layouts.match(spec, raw.weights)
    np.testing.assert_array_equal(found["a",]["recurrent_kernel"].read(), ARRAYS["lstm"]["recurrent_kernel"])
    np.testing.assert_array_equal(found["b",]["kernel"].read(), ARRAYS["dense"]["kernel"])


# ---------------------------------------------------------------- semantics


KERAS2 = {
    "hard_sigmoid": "keras2", "masked_output": "state", "mask_with_initial_state": True, "merge_mask": "all",
    "bidirectional_zeroes_masked": False, "stacked_states_reversed": True, "stateful_keeps_given_state": False,
    "recorded_state_wins": False, "masks_in_graph": False, "masked_softmax": "faint", "attention_is_fused": False,
    "attention_takes_masks": False, "attention_takes_masks_away": False, "attention_scale": "exact",
    "least_norm": 1e-12, "convolutions_zero_masked": False, "time_distributed_asks_inside": True,
    "upsampling_from_corner": True, "softmax_mask": "ignored", "masks_stop_at": frozenset(), "whole_means": True,
    "weight_order": "trained first", "autocast": False, "bins": "int64", "whole_codes": False,
    "truncating": frozenset(), "stay_whole": frozenset({"RMSNormalization"}),
}
NATURAL = {**KERAS2, "stacked_states_reversed": False}
TF = {**NATURAL, "masked_output": "previous", "bidirectional_zeroes_masked": True, "stateful_keeps_given_state": True,
      "recorded_state_wins": True, "upsampling_from_corner": False, "weight_order": "trained first in wrappers",
      "autocast": True,
      "masks_stop_at": frozenset({"Identity", "Rescaling", "Normalization", "ReLU", "MultiHeadAttention"})}
TF26 = {**TF, "softmax_mask": "taken", "masks_stop_at": TF["masks_stop_at"] - {"ReLU"}}
KERAS3 = {
    "hard_sigmoid": "keras3", "masked_output": "previous", "mask_with_initial_state": False, "merge_mask": "any",
    "bidirectional_zeroes_masked": True, "stacked_states_reversed": False, "stateful_keeps_given_state": True,
    "recorded_state_wins": False, "masks_in_graph": True, "masked_softmax": "zeros", "attention_is_fused": True,
    "attention_takes_masks": True, "attention_takes_masks_away": True, "attention_scale": "float32",
    "least_norm": 1e-24, "convolutions_zero_masked": True, "time_distributed_asks_inside": False,
    "upsampling_from_corner": False, "softmax_mask": "taken", "masks_stop_at": frozenset(), "whole_means": False,
    "weight_order": "layers", "autocast": True, "bins": "int32", "whole_codes": True,
    "truncating": frozenset({f"{word}Normalization" for word in ("Layer", "Group", "RMS", "Spectral")}),
    "stay_whole": frozenset({"RMSNormalization"}),
}
KERAS314 = {**KERAS3, "stay_whole": frozenset({"GroupNormalization", "RMSNormalization"})}
KERAS310 = {**KERAS314, "bins": "int64", "truncating": frozenset({"GroupNormalization", "SpectralNormalization"})}
KERAS38 = {**KERAS310, "masked_softmax": "faint"}
KERAS36 = {**KERAS38, "attention_is_fused": False, "attention_takes_masks_away": False,
           "truncating": frozenset({"SpectralNormalization"}), "stay_whole": KERAS3["stay_whole"]}
KERAS35 = {**KERAS36, "least_norm": 1e-12}
TF210 = {**TF26, "attention_takes_masks": True, "masks_stop_at": TF26["masks_stop_at"] - {"MultiHeadAttention"}}


@pytest.mark.parametrize("version, backend, expected", [
    ("1.2.2", None, KERAS2), ("2.0.9", "tensorflow", KERAS2), ("2.2.4", "tensorflow", NATURAL),
    ("2.2.2", "theano", {**KERAS2, "masked_output": "previous"}),
    ("2.3.1", "tensorflow", {**NATURAL, "masked_output": "previous"}),
    ("2.2.4-tf", "tensorflow", TF), ("2.4.0", None, {**TF, "softmax_mask": "fitting"}),
    ("2.9.0", "tensorflow", TF26), ("2.10.0", None, TF210), ("2.21.0", None, TF210),
    ("3.0.5", "jax", {**KERAS35, "merge_mask": "none"}), ("3.5.0", "tensorflow", KERAS35), ("3.6.0", None, KERAS36),
    ("3.7.0", "torch", {**KERAS38, "attention_takes_masks_away": False}), ("3.8.0", "tensorflow", KERAS38),
    ("3.10.0", None, KERAS310), ("3.11.0", None, {**KERAS314, "bins": "int64"}), ("3.12.1", None, KERAS314),
    ("3.15.0", None, KERAS3), (None, None, KERAS3),
])
def test_semantic_profiles(version, backend, expected):
    assert vars(layouts.semantics(version, backend)) == expected


@pytest.mark.parametrize(("layer", "version", "stops"), [
    (lambda: li.ReLU(), "2.4.0", True), (lambda: li.ReLU(), "2.6.0", False), (lambda: li.Identity(), "2.15.0", True),
    (lambda: li.Rescaling(0.5), "2.15.0", True), (lambda: li.Rescaling(0.5), "3.0.0", False),
    (lambda: li.Softmax(), "2.2.4", False), (lambda: li.ActivityRegularization(), "2.1.6-tf", True)])
def test_where_masks_stop(layer, version, stops):
    """As tf.keras does it (measured with TF 1.12 to 2.15): what follows sees all timesteps, or those that count."""
    ids = li.Input((4,))
    model = li.Model(ids, li.GlobalAveragePooling1D()(layer()(li.Embedding(5, 2, mask_zero=True)(ids))))
    model.set_weights([np.arange(10.0).reshape(5, 2)])
    model.adopt(layouts.semantics(version))
    x = np.array([[1, 2, 0, 0]])
    pooled = model.get_layer(model.layers[-2].name).output
    every = li.Model(ids, pooled).predict(x)
    expected = every.mean(axis=1) if stops else every[:, :2].mean(axis=1)
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-6)


def test_tensorflow_before_its_own_loop():
    found = layouts.semantics("2.1.6-tf", "tensorflow")
    assert found.masked_output == "state" and found.stacked_states_reversed and not found.bidirectional_zeroes_masked


@pytest.mark.parametrize("words, family", [
    ({"inner_activation": "relu"}, "state"), ({"batch_input_shape": [1]}, "state"),
    ({"time_major": False}, "previous")])
def test_dialect_tells_the_writer_where_no_version_does(words, family):
    found = layouts.semantics(None, None, {"config": [{"config": words}]})
    assert found.masked_output == family and found.hard_sigmoid == "keras2"
    assert layouts.semantics(None, None, {"config": {"batch_shape": []}}) == Semantics()


# ---------------------------------------------------------------- words


@pytest.mark.parametrize("item, version, expected", [
    (("GRU", {"units": 2}), "2.1.2", {"reset_after": False, "recurrent_activation": "hard_sigmoid"}),
    (("GRU", {"units": 2}), "3.1", {"reset_after": True, "recurrent_activation": "sigmoid"}),
    (("LSTM", {"units": 2}), "2.2.5", {"recurrent_activation": "hard_sigmoid"}),
    (("LSTM", {"units": 2}), "2.3.0", {"recurrent_activation": "sigmoid", "activation": "tanh", "use_bias": True}),
    (("LSTM", {"units": 2.0, "implementation": 0}), "2.0.8", {"units": 2, "implementation": 1}),
    (("ConvLSTM2D", {"filters": 2}), "2.15.0", {"recurrent_activation": "hard_sigmoid"}),
    (("ConvLSTM2D", {"filters": 2}), "3.5.0", {"recurrent_activation": "sigmoid"}),
    (("Convolution1D", {"nb_filter": 6, "filter_length": 3, "border_mode": "same", "subsample_length": 2}),
     "1.2.2", {"filters": 6, "kernel_size": 3, "padding": "same", "strides": 2}),
    (("Dense", {"output_dim": 6, "bias": False}), "1.2.2", {"units": 6, "use_bias": False}),
    (("MaxPooling1D", {"pool_length": 2, "stride": 3}), "1.0.8", {"pool_size": 2, "strides": 3}),
    (("Convolution2D", {"nb_filter": 6, "nb_row": 3, "nb_col": 2, "dim_ordering": "th", "subsample": [1, 2]}),
     "1.2.2", {"filters": 6, "kernel_size": [3, 2], "data_format": "channels_first", "strides": [1, 2]}),
    (("ZeroPadding2D", {"padding": {"top_pad": 1, "left_pad": 2}}), "1.2.2", {"padding": [[1, 0], [2, 0]]}),
    (("ZeroPadding2D", {"padding": [1, 2, 3, 4]}), "1.2.2", {"padding": [[1, 2], [3, 4]]}),
    (("ZeroPadding1D", {"padding": {"left_pad": 2}}), "1.2.2", {"padding": [[2, 0]]}),
    (("Dropout", {"p": 0.5}), "1.2.2", {"rate": 0.5}),
    (("LeakyReLU", {"alpha": 0.1}), "2.2.4", {"negative_slope": 0.1}),
    (("Dense", {"units": 1, "activation": None}), "2.2.4", {"activation": "linear"}),
    (("Dense", {"units": 1, "activation": "softmax_v2"}), "2.2.4-tf", {"activation": "softmax"}),
    (("Dense", {"activation": {"class_name": "LeakyReLU", "config": {"name": "x", "alpha": 0.1}}}), "2.21.0",
     {"activation": {"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}}}),
    (("Dense", {"activation": {"class_name": "function", "config": "pkg>fn", "module": "builtins"}}), "3.8",
     {"activation": "pkg>fn"}),
    (("Dense", {"dtype": {"class_name": "Q", "config": {"mode": "int8", "source_name": "float32"}}}), "3.8",
     {"dtype": "int8_from_float32"}),
    (("LSTM", {"units": 1, "time_major": True}), "2.15.0", {"time_major": True}),
    (("Masking", {"mask_value": {"class_name": "__tensor__", "config": {"value": 0.0, "dtype": "float32"}}}), "3.8",
     {"mask_value": 0.0}),
    (("Masking", {"mask_value": {"type": "ndarray", "value": 1.0}}), "2.15.0", {"mask_value": 1.0}),
])
def test_old_words_become_todays(item, version, expected):
    config = only(item, version).config
    assert {word: config.get(word) for word in expected} == expected
    assert not {"inner_activation", "output_dim", "alpha", "nb_filter", "bias", "p"} & config.keys()


def test_embedding_dtype_of_old_keras_is_its_inputs():
    embedding = ("Embedding", {"input_dim": 9, "output_dim": 2, "dtype": "int32"})
    spec = canonical(sequential(embedding, shape=(None, 7)), "2.0.2")
    assert spec.layers[0].config == {"batch_shape": [None, 7], "dtype": "int32"}
    assert spec.layers[1].config == {"input_dim": 9, "output_dim": 2}


def test_somebodys_own_class_is_never_taken_for_keras_own():
    for class_name, registered in (("Custom>Attention", None), ("Attention", "Custom>Attention")):
        item = sequential((class_name, {"W": 1}))
        item["config"]["layers"][0]["registered_name"] = registered
        layer = canonical(item, "2.15.0").layers[1]
        assert layer.class_name == layer.registered_name == "Custom>Attention"
    layer = only(("Mine>CRF", {"units": 3}), "2.15.0")
    assert (layer.class_name, layer.registered_name) == ("Mine>CRF", "Mine>CRF")
    assert only(("CRF", {"units": 3}), "2.2.4").registered_name == "CRF"  # that of keras-contrib says more
    assert only(("CRF", {"units": 3, "learn_mode": "join"}), "2.2.4").registered_name is None
    assert only(("Addons>CRF", {"units": 3}), "2.15.0").class_name == "AddonsCRF"
    assert only(("Mystery", {"output_dim": 3}), "1.2.2").config["output_dim"] == 3


# ---------------------------------------------------------------- layers inside layers


@pytest.mark.parametrize("version, wrapped, turned, zero", [
    ("2.2.4", False, True, None), ("2.2.4", True, False, None), ("2.15.0", True, False, True),
    ("3.2.0", False, True, True)])
def test_bidirectional_always_has_both_children(version, wrapped, turned, zero):
    words = {"name": "l", "units": 2, "return_sequences": True, "go_backwards": wrapped}
    inner = {"class_name": "LSTM", "config": words}
    children = only(("Bidirectional", {"layer": inner, "merge_mode": "sum"}), version).children
    forward, backward = children["forward_layer"], children["backward_layer"]
    assert (forward.name, backward.name) == ("forward_l", "backward_l")
    assert forward.config["go_backwards"] is wrapped and backward.config["go_backwards"] is turned
    assert forward.config.get("zero_output_for_mask") == backward.config.get("zero_output_for_mask") == zero


def test_cells_saved_without_words_are_told_by_their_arrays():
    cells = [{"class_name": name, "config": {"name": name, "trainable": True}} for name in ("LSTMCell", "GRUCell")]
    config = sequential(("RNN", {"cell": {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": cells}}}))
    config["config"]["layers"][0]["config"]["name"] = "rnn"
    weights = legacy(rnn={
        "rnn/kernel:0": locked(4, 12), "rnn/recurrent_kernel:0": locked(3, 12), "rnn/bias:0": locked(12),
        "rnn/kernel_1:0": locked(3, 6), "rnn/recurrent_kernel_1:0": locked(2, 6)})
    spec = canonical(config, "2.0.9", weights)
    first, second = spec.layers[1].children["cell"].children.values()
    assert (first.config["units"], first.config["use_bias"]) == (3, True)
    assert (second.config["units"], second.config["use_bias"], second.config["reset_after"]) == (2, False, False)
    found = layouts.match(spec, weights)
    assert found["rnn", "cell", "1"]["kernel"].shape == (3, 6) and found["rnn", "cell", "0"].keys() >= {"bias"}


def test_keras1_merge_of_branches_becomes_a_functional_model():
    def branch(name):
        return {"class_name": "Sequential", "config": [
            {"class_name": "Dense", "config": {"name": name, "batch_input_shape": [None, 4], "output_dim": 3}}]}

    merge = {"class_name": "Merge", "config": {"name": "m", "mode": "concat", "concat_axis": -1,
                                               "layers": [branch("a"), branch("b")]}}
    top = {"class_name": "Dense", "config": {"name": "top", "output_dim": 1}}
    spec = canonical({"class_name": "Sequential", "config": [merge, top]}, "1.2.2")
    assert [layer.name for layer in spec.layers] == ["a_input", "a", "b_input", "b", "m", "top"]
    assert spec.inputs == [TensorRef("a_input", 0, 0), TensorRef("b_input", 0, 0)]
    assert Call("m", ([TensorRef("a", 0, 0), TensorRef("b", 0, 0)],), {}) in spec.calls
    assert spec.layers[4].class_name == "Concatenate" and spec.layers[4].config["axis"] == -1


# ---------------------------------------------------------------- input shapes


@pytest.mark.parametrize("layers, groups, expected", [
    ([("LSTM", {"units": 2})], {"lstm_0": {"kernel:0": (7, 8), "recurrent_kernel:0": (2, 8), "bias:0": (8,)}},
     [None, None, 7]),
    ([("Masking", {}), ("SimpleRNN", {"units": 2})],
     {"simplernn_1": {"kernel:0": (7, 2), "recurrent_kernel:0": (2, 2), "bias:0": (2,)}}, [None, None, 7]),
    ([("Dense", {"units": 3}), ("GRU", {"units": 1, "use_bias": False})],
     {"dense_0": {"kernel:0": (5, 3), "bias:0": (3,)}, "gru_1": {"kernel:0": (3, 3), "recurrent_kernel:0": (1, 3)}},
     [None, None, 5]),
    ([("Embedding", {"input_dim": 9, "output_dim": 2})], {"embedding_0": {"embeddings:0": (9, 2)}}, [None, None]),
    ([("Dense", {"units": 3})], {"dense_0": {"kernel:0": (5, 3), "bias:0": (3,)}}, [None, 5]),
])
def test_input_shape_inferred_from_arrays(layers, groups, expected):
    weights = legacy(**{layer: {name: locked(*shape) for name, shape in own.items()} for layer, own in groups.items()})
    assert canonical(sequential(*layers, shape=None), "2.1.6-tf", weights).layers[0].config["batch_shape"] == expected


def test_input_shape_from_words_and_builds():
    config = sequential(("LSTM", {"units": 2}), shape=None)
    config["config"]["build_input_shape"] = [32, 5, 4]  # noted when called: its batch size binds nobody
    assert canonical(config, "3.1").layers[0].config["batch_shape"] == [None, 5, 4]
    fixed = canonical(sequential(("LSTM", {"units": 2}), shape=(8, 5, 4)), "2.4.0")
    assert fixed.layers[0].config["batch_shape"] == [8, 5, 4]
    with pytest.raises(LoadError, match="input shape"):
        canonical(sequential(("LSTM", {"units": 2}), shape=None), "2.4.0")


# ---------------------------------------------------------------- calls


def functional(*layers, inputs=(("a", 0, 0),), outputs=(("d", 0, 0),)) -> dict:
    items = [{"class_name": "InputLayer", "name": "a", "inbound_nodes": [],
              "config": {"name": "a", "batch_input_shape": [None, None, 4]}}]
    items += [{"class_name": kind, "name": name, "inbound_nodes": nodes, "config": {"name": name, **config}}
              for kind, name, config, nodes in layers]
    ends = json_like({"input_layers": inputs, "output_layers": outputs})
    return {"class_name": "Functional", "config": {"name": "f", "layers": items, **ends}}


def json_like(value):
    if isinstance(value, dict):
        return {key: json_like(item) for key, item in value.items()}
    return [json_like(item) for item in value] if isinstance(value, (list, tuple)) else value


def tensor(*history) -> dict:
    return {"class_name": "__keras_tensor__", "config": {"shape": [None], "keras_history": list(history)}}


def call_of(spec: ModelSpec, layer: str) -> Call:
    return next(call for call in spec.calls if call.layer == layer)


def test_states_and_constants_of_a_recurrent_call():
    node = [[["a", 0, 0, {"training": True}], ["a", 0, 0, {}], ["a", 0, 0, {}], ["a", 0, 0, {}]]]
    call = call_of(canonical(functional(("LSTM", "d", {"units": 4, "num_constants": 1}, node)), "2.4.0"), "d")
    ref = TensorRef("a", 0, 0)
    assert call.args == (ref,)
    assert call.kwargs == {"initial_state": [ref, ref], "constants": [ref], "training": True}


def test_keras3_calls():
    node = {"args": [tensor("a", 0, 0), [tensor("a", 0, 0), tensor("a", 0, 0)]],
            "kwargs": {"mask": None, "training": False}}
    lstm = ("LSTM", "d", {"units": 4}, [node])
    spec = canonical(functional(lstm, inputs=("a", 0, 0), outputs={"y": ["d", 0, 0]}), "3.15")
    ref = TensorRef("a", 0, 0)
    assert call_of(spec, "d") == Call("d", (ref,), {"initial_state": [ref, ref]})
    assert spec.inputs == ref and spec.outputs == {"y": TensorRef("d", 0, 0)}


def test_arguments_of_operations():
    nodes = [["a", 0, 0, {"y": ["a", 0, 0], "slice_spec": [{"start": None, "stop": 2, "step": None}, -1]}]]
    call = call_of(canonical(functional(("TFOpLambda", "d", {"function": "x"}, nodes)), "2.4.0"), "d")
    assert call.args == (TensorRef("a", 0, 0),) and call.kwargs["y"] == TensorRef("a", 0, 0)
    assert call.kwargs["slice_spec"] == [slice(None, 2, None), -1]
    args = [tensor("a", 0, 0), [{"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": None}}, 0,
                                {"class_name": "__ellipsis__", "config": {}}]]
    call = call_of(canonical(functional(("GetItem", "d", {}, [{"args": args, "kwargs": {}}])), "3.15"), "d")
    assert call.args[1] == [slice(1, None, None), 0, Ellipsis]
    constant = [[["_CONSTANT_VALUE", -1, [1.0, 2.0], {}], ["a", 0, 0, {}]]]
    call = call_of(canonical(functional(("Add", "d", {}, constant)), "2.4.0"), "d")
    assert call.args == ([[1.0, 2.0], TensorRef("a", 0, 0)],)


@pytest.mark.parametrize("version, wrap, inner, outputs", [
    ("2.2.4", lambda n: [["inner", n, 0, {}]], 1, 2), ("2.2.4", lambda n: [["inner", n, 0, {}]], 0, 1),
    ("3.15.1", lambda n: {"args": [tensor("inner", n, 0)], "kwargs": {}}, 0, 2),
])
def test_calls_of_nested_models_are_counted_from_0(version, wrap, inner, outputs):
    nested = functional(("Dense", "d", {"units": 4}, [[["a", 0, 0, {}]]]))["config"]
    nodes = [[["a", 0, 0, {}]], wrap(inner)]
    spec = canonical(functional(("Functional", "inner", {**nested, "name": "inner"}, nodes),
                                ("Dense", "e", {"units": 1}, [wrap(inner)]),
                                outputs=(("e", 0, 0), ("inner", outputs, 0))), version)
    assert [call.args[0].call for call in spec.calls if call.args] == [0, 0, 0]
    assert spec.outputs == [TensorRef("e", 0, 0), TensorRef("inner", 1, 0)]


# ---------------------------------------------------------------- matching


LSTM = {"kernel": (4, 8), "recurrent_kernel": (2, 8), "bias": (8,)}


def half(prefix: str, fill: float) -> dict:
    return {f"{prefix}/{name}:0": handle(*shape, fill=fill) for name, shape in LSTM.items()}


def both_ways(**words) -> ModelSpec:
    inner = {"class_name": "LSTM", "config": {"name": "l", "units": 2, **words}}
    return canonical(sequential(("Bidirectional", {"layer": inner})), "2.15.0")


def test_names_beat_order_when_the_forward_half_was_frozen():
    weights = legacy(bidirectional_0={**half("b/backward_l/lstm_cell", 2), **half("b/forward_l/lstm_cell", 1)})
    found = layouts.match(both_ways(), weights)
    assert found["bidirectional_0", "forward_layer"]["bias"].read()[0] == 1
    assert found["bidirectional_0", "backward_layer"]["bias"].read()[0] == 2


def test_official_order_where_names_tell_nothing():
    inner = [("LSTM", {"name": "l", "units": 2, "trainable": False}), ("BatchNormalization", {"name": "bn"}),
             ("Dense", {"name": "d", "units": 3})]
    nested = sequential(*inner)["config"]
    spec = canonical(sequential(("Sequential", nested), shape=None), "2.2.4")
    shapes = [(2,), (2,), (2, 3), (3,), (4, 8), (2, 8), (8,), (2,), (2,)]
    weights = legacy(s={f"param_{index}": handle(*shape, fill=index) for index, shape in enumerate(shapes)})
    found = layouts.match(spec, weights)
    path = spec.layers[1].name
    assert {key: [array.read().flat[0] for array in own.values()] for key, own in found.items()} == {
        (path, "l"): [4, 5, 6], (path, "bn"): [0, 1, 7, 8], (path, "d"): [2, 3]}


def test_gru_variants_told_by_the_bias():
    for bias, expected in (((6,), (6,)), ((2, 6), (2, 6)), ((12,), (2, 6))):
        weights = legacy(gru_0={"kernel:0": handle(4, 6), "recurrent_kernel:0": handle(2, 6), "bias:0": handle(*bias)})
        config = {"units": 2, "reset_after": True} if bias == (12,) else {"units": 2}
        spec = canonical(sequential(("GRU", config)), "2.15.0", weights)
        assert spec.layers[1].config["reset_after"] is (len(expected) == 2)
        assert layouts.match(spec, weights)["gru_0",]["bias"].shape == expected


def test_keras1_convolution_and_theano_flip():
    values = np.arange(24, dtype="f4").reshape(3, 1, 4, 2)
    array = Handle("W", values.shape, "float32", lambda: values)
    spec = canonical(sequential(("Convolution1D", {"nb_filter": 2, "filter_length": 3})), "1.2.2")
    weights = legacy(convolution1d_0={"c_W:0": array, "c_b:0": handle(2)})
    np.testing.assert_array_equal(layouts.match(spec, weights)["convolution1d_0",]["kernel"].read(), values[:, 0])
    old = Handle("W", (2, 4, 3, 1), "float32", lambda: values.transpose(3, 2, 0, 1))
    weights = legacy(convolution1d_0={"c_W": old, "c_b": handle(2)})
    np.testing.assert_array_equal(layouts.match(spec, weights)["convolution1d_0",]["kernel"].read(), values[:, 0])
    flipped = Handle("k", (3, 4, 2), "float32", lambda: values[::-1, 0])
    weights = legacy("theano", convolution1d_0={"c/kernel": flipped, "c/bias": handle(2)})
    np.testing.assert_array_equal(layouts.match(spec, weights)["convolution1d_0",]["kernel"].read(), values[:, 0])


def test_pruning_wrapper_is_looked_through():
    inner = {"class_name": "LSTM", "config": {"name": "l", "units": 2}}
    spec = canonical(sequential(("PruneLowMagnitude", {"name": "p", "layer": inner})), "2.4.0")
    assert spec.layers[1].class_name == "LSTM" and spec.layers[1].name == "p"
    extra = {"p/mask:0": handle(2, 8), "p/threshold:0": handle(), "p/pruning_step:0": handle()}
    assert layouts.match(spec, legacy(p={**half("p/lstm_cell", 1), **extra}))["p",].keys() == LSTM.keys()


def test_pruning_wrapper_inside_another_wrapper():
    inner = {"class_name": "Dense", "config": {"name": "d", "units": 2}}
    pruned = {"class_name": "PruneLowMagnitude", "config": {"name": "p", "layer": inner}}
    config = {"name": "t", "layer": pruned, "batch_input_shape": [None, 3, 2]}
    spec = canonical(sequential(("TimeDistributed", config)), "2.15.0")
    place = "layers/time_distributed/layer"
    arrays = {place: (("0", handle(2, 2)), ("1", handle()), ("2", handle())),
              f"{place}/layer": (("0", handle(2, 2)), ("1", handle(2)))}
    assert list(layouts.match(spec, RawWeights("w", "objects", arrays))["t", "layer"]) == ["kernel", "bias"]


def test_object_store_counts_by_class_and_trusts_names():
    spec = canonical(sequential(("LSTM", {"name": "z", "units": 2}), ("Dense", {"name": "y", "units": 2}),
                                ("Dense", {"name": "x", "units": 2})), "2.13.1")
    def dense(fill):
        return (("0", handle(2, 2, fill=fill)), ("1", handle(2)))
    groups = {"layers/dense_10": dense(2), "layers/dense_2": dense(1), "optimizer": (), "layers/lstm": (),
              "layers/lstm/cell": tuple((str(i), handle(*shape)) for i, shape in enumerate(LSTM.values())),
              "layers/lstm/cell/seed_generator": (("0", handle(2)),)}
    found = layouts.match(spec, RawWeights("w", "objects", groups))
    assert (found["y",]["kernel"].read()[0, 0], found["x",]["kernel"].read()[0, 0]) == (1, 2)
    names = {"layers/dense_10": "y", "layers/dense_2": "x", "layers/lstm": "z"}
    found = layouts.match(spec, RawWeights("w", "objects", groups, names))
    assert (found["y",]["kernel"].read()[0, 0], found["x",]["kernel"].read()[0, 0]) == (2, 1)
    with pytest.raises(LoadError, match="belong to no layer"):
        layouts.match(spec, RawWeights("w", "objects", {**groups, "layers/conv1d": dense(0)}))
    with pytest.raises(LoadError, match="y, x.*1 groups.*expected 2"):
        layouts.match(spec, RawWeights("w", "objects", {k: v for k, v in groups.items() if "10" not in k}))


def test_zero_points_that_keras_does_not_save():
    dense = ("Dense", {"name": "d", "units": 2, "dtype": "gptq/4/2_from_float32", "batch_input_shape": [None, 4]})
    arrays = {"layers/dense": tuple((str(n), handle(*shape)) for n, shape in enumerate([(2,), (1, 4), (2, 2), (4,)]))}
    with pytest.raises(LoadError, match="layer d: Keras saved it without its zero points .gptq."):
        layouts.match(canonical(sequential(dense), "3.15.1"), RawWeights("w", "objects", arrays))


def in_two_places(*names):
    """Sequentials called after the letters of `names`; the last of each has the layer "d" of its own name."""
    dense = {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 2]}}
    return canonical(sequential(*(("Sequential", {"name": name, "layers": [dense]}) for name in names)), "3.0.5")


def test_a_layer_without_arrays_has_them_where_the_same_layer_has_them():
    arrays = {"layers/sequential/layers/dense": (("0", handle(2, 2, fill=1)), ("1", handle(2))),
              "layers/sequential_1": ()}
    found = layouts.match(in_two_places("a", "b"), RawWeights("w", "objects", arrays))
    assert found["a", "d"] == found["b", "d"]
    other = {**arrays, "layers/sequential_1/layers/dense": (("0", handle(2, 2, fill=2)), ("1", handle(2)))}
    found = layouts.match(in_two_places("a", "b"), RawWeights("w", "objects", other))
    assert [found[name, "d"]["kernel"].read()[0, 0] for name in "ab"] == [1, 2]
    for missing in ({}, {"layers/sequential_2": ()}):
        with pytest.raises(LoadError, match="2 groups layers/sequential.*expected 3|c: the file has no group"):
            layouts.match(in_two_places(*"abc"), RawWeights("w", "objects", {**other, **missing}))  # those of a, or b?


@pytest.mark.parametrize("change, found", [
    (lambda own: own.pop("lstm/bias:0"), "lstm_0.*lstm/kernel.*expected kernel, recurrent_kernel, bias"),
    (lambda own: own.update({"lstm/extra:0": handle(2)}), "extra"),
    (lambda own: own.update({"lstm/recurrent_kernel:0": handle(3, 8)}), r"\(3, 8\).*expected .*2, 8"),
    (lambda own: own.update({"lstm/bias:0": handle(2, 2)}), r"\(2, 2\)"),
    (lambda own: own.clear(), "no arrays at all.*expected some for 1 layers"),
])
def test_arrays_that_do_not_fit_are_refused(change, found):
    own = half("lstm", 1)
    change(own)
    with pytest.raises(LoadError, match=found):
        layouts.match(canonical(sequential(("LSTM", {"units": 2})), "2.4.0"), legacy(lstm_0=own))


def test_match_reads_nothing():
    weights = legacy(bidirectional_0={f"b/{side}_l/{name}:0": locked(*shape)
                                      for side in ("forward", "backward") for name, shape in LSTM.items()})
    assert len(layouts.match(both_ways(), weights)) == 2


# ---------------------------------------------------------------- malformed configs


NODE = [[["a", 0, 0, {}]]]


@pytest.mark.parametrize("config", [
    {"class_name": "Graph", "config": {}}, {"class_name": "Sequential"}, {"class_name": "Sequential", "config": []},
    {"class_name": "Sequential", "config": {"layers": "x"}}, {"class_name": "Sequential", "config": [1]},
    {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": 3}]},
    sequential(("LSTM", {"units": "many"})), sequential(("LSTM", {"units": -1})),
    sequential(("LSTM", {"units": True})),
    sequential(("LSTM", {"units": 2, "return_sequences": "yes"})), sequential(("LSTM", {"units": 2, "activation": 7})),
    sequential(("LSTM", {"units": 2, "dtype": [1]})), sequential(("LSTM", {"units": 2}), shape=[None, "x", 2]),
    sequential(("Bidirectional", {})), sequential(("Bidirectional", {"layer": 3})),
    sequential(("TimeDistributed", {"layer": []})),
    sequential(("RNN", {"cell": {"class_name": "StackedRNNCells", "config": {"name": "s", "cells": 3}}})),
    sequential(("Dense", {"name": "x", "units": 1}), ("Dense", {"name": "x", "units": 1})),
    functional(("Dense", "d", {"units": 1}, [[["zzz", 0, 0, {}]]])),
    functional(("Dense", "d", {"units": 1}, [[["a", 1, 0, {}]]])),
    functional(("Dense", "d", {"units": 1}, [[["a", "0", 0, {}]]])), functional(("Dense", "d", {"units": 1}, "x")),
    functional(("Dense", "d", {"units": 1}, [[["e", 0, 0, {}]]]), ("Dense", "e", {"units": 1}, [[["d", 0, 0, {}]]])),
    functional(("Dense", "d", {"units": 1}, [[["d", 0, 0, {}]]])),
    functional(("Dense", "d", {"units": 1}, NODE), outputs=()),
    functional(("Dense", "d", {"units": 1}, NODE), outputs=("q", 0, 0)),
    functional(("LSTM", "d", {"units": 1}, [{"args": [], "kwargs": {}}])),
    functional(("LSTM", "d", {"units": 1, "num_constants": 9}, NODE)),
    functional(("Dense", "d", {"units": 1}, [{"args": 1, "kwargs": 2}])),
])
def test_malformed_configs_raise_load_error(config):
    before = copy.deepcopy(config)
    for version in ("1.2.2", "2.2.4", "3.15.1", None):
        with pytest.raises(LoadError, match="m.h5"):
            canonical(config, version)
    assert config == before


def test_models_nested_for_ever():
    item = {"class_name": "Dense", "config": {"name": "d", "units": 1}}
    for _ in range(60):
        item = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": item}}
    with pytest.raises(LoadError, match="nested too deeply"):
        canonical({"class_name": "Sequential", "config": [item]}, "2.2.4")


def test_lambda_keeps_its_code_as_data():
    code = ["4wEAAAAA", None, None]
    assert only(("Lambda", {"function": code, "function_type": "lambda"}), "2.2.4").config["function"] == code


# ---------------------------------------------------------------- real files


def test_twins_of_real_files_hold_the_same_arrays():
    folder = os.environ.get("LSTM_INFER_FILES")
    if not folder:
        pytest.skip("LSTM_INFER_FILES is not set: the files of 13 Keras releases are not here")
    twins = defaultdict(list)
    for path in sorted((Path(folder) / "generations").glob("*")):
        for end in ("_w.h5", ".weights.h5", ".keras", ".h5"):
            if path.name.endswith(end):
                twins[path.name.removesuffix(end)].append(path)
                break
    compared = 0
    for name, paths in twins.items():
        if "subclass" in name or "custom" in name or "_shard_" in name:
            continue
        models = [path for path in paths if path.name in (name + ".keras", name + ".h5")]
        found = []
        for path in paths:
            try:
                raw = hdf5.read(path) if path in models else hdf5.read(models[0], path)
                found.append(layouts.match(layouts.canonical(raw), raw.weights))
            except LoadError:
                assert path.name.startswith("K3_3.0.5") or name == "k2.0.9_chunk", path.name  # those are cut short
        for other in found[1:]:
            compared += 1
            assert other.keys() == found[0].keys(), name
            for path, own in other.items():
                assert own.keys() == found[0][path].keys(), (name, path)
                for word, array in own.items():
                    np.testing.assert_array_equal(array.read(), found[0][path][word].read(), str((name, path, word)))
    assert compared > 300
