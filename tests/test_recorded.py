"""Recorded calls of functions that are not here: shown with their arguments, computed by a function of the user's."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import layouts
from lstm_infer.errors import LoadError, UnsupportedLayerError
from lstm_infer.layers import LAYERS
from lstm_infer.layers.operations import Recorded
from lstm_infer.spec import RawModel
from lstm_infer.verify import verify

FOLDER = Path(__file__).resolve().parent / "golden" / "lambdas"
LOGSUMEXP, POLYVAL = "TFOpLambda math.cumulative_logsumexp", "TFOpLambda math.polyval"


def cumulative_logsumexp(x, axis, reverse=False):
    y = np.flip(x, axis) if reverse else x
    y = np.logaddexp.accumulate(y, axis)
    return np.flip(y, axis) if reverse else y


def polyval(coeffs, x):
    return sum(c * x**n for n, c in enumerate(reversed(coeffs)))


def crossentropy(target, output, from_logits, axis):
    assert from_logits
    shifted = output - output.max(axis, keepdims=True)
    return (target * (np.log(np.exp(shifted).sum(axis, keepdims=True)) - shifted)).sum(axis)


KERAS2 = {LOGSUMEXP: cumulative_logsumexp, POLYVAL: polyval}
KERAS3 = {"keras.ops.CategoricalCrossentropy": crossentropy}


@pytest.mark.parametrize(("file", "functions"), [("recorded_keras2.h5", KERAS2), ("recorded_keras3.keras", KERAS3)])
def test_a_function_gets_what_is_recorded(file, functions):
    model = li.load_model(FOLDER / file, custom_objects=functions)
    with np.load((FOLDER / file).with_suffix(".npz")) as golden:
        assert [found for found in verify(model, golden) if not found.agrees] == []


def test_the_name_of_a_layer_comes_before_that_of_its_function():
    functions = {**KERAS2, "tf.math.cumulative_logsumexp_1": lambda x, axis: x * 0 + axis}
    outputs = li.load_model(FOLDER / "recorded_keras2.h5", custom_objects=functions).predict(np.ones((2, 5, 3)))
    assert np.unique(outputs[2]).tolist() == [2.0]
    assert np.unique(outputs[0]).size > 1


def test_what_is_missing_is_shown_as_a_call():
    rows = li.inspect(FOLDER / "recorded_keras2.h5")["unsupported"]
    assert {row["layer"]: row["calls"] for row in rows} == {
        "tf.math.cumulative_logsumexp": ["tf.math.cumulative_logsumexp(·, axis=1, reverse=True)"],
        "tf.math.polyval": ["tf.math.polyval([0.5, 2.0, -1.0], x=·)"],
        "tf.math.cumulative_logsumexp_1": ["tf.math.cumulative_logsumexp(·, axis=2)"],
    }
    (row,) = li.inspect(FOLDER / "recorded_keras3.keras")["unsupported"]
    assert row["calls"] == ["keras.ops.CategoricalCrossentropy(·, ·, from_logits=True, axis=-1)"]
    with pytest.raises(UnsupportedLayerError, match=r"no such function here; give it as custom_objects=\{'TFOpLambda"):
        li.load_model(FOLDER / "recorded_keras2.h5")


def test_dtypes_follow_the_arrays():
    functions = {**KERAS2, POLYVAL: lambda coeffs, x: np.float64(2.0) * x.astype(np.float64)}
    outputs = li.load_model(FOLDER / "recorded_keras2.h5", custom_objects=functions).predict(np.ones((2, 5, 3)))
    assert {y.dtype for y in outputs} == {np.dtype(np.float32)}
    model = li.load_model(FOLDER / "recorded_keras2.h5", custom_objects=functions, dtype="float64")
    assert {y.dtype for y in model.predict(np.ones((2, 5, 3)))} == {np.dtype(np.float64)}


def test_such_a_model_is_pickled():
    model = li.load_model(FOLDER / "recorded_keras2.h5", custom_objects=KERAS2)
    data = np.linspace(-1, 1, 30).reshape(2, 5, 3)
    for ours, copied in zip(model.predict(data), pickle.loads(pickle.dumps(model)).predict(data), strict=True):
        np.testing.assert_array_equal(ours, copied)


def test_who_says_so_can_be_stepped():
    def scaled(x, factor):
        return x * np.float32(factor)

    def model_of(function):
        x = li.Input((None, 2))
        model = li.Model(x, Recorded(function, name="scaled")(li.SimpleRNN(2, return_sequences=True)(x), factor=2.0))
        model.set_weights([np.ones((2, 2)), np.eye(2), np.zeros(2)])
        return model

    with pytest.raises(li.InputError, match="needs the whole sequence"):
        model_of(scaled).initial_state()
    scaled.per_timestep = True
    model = model_of(scaled)
    values = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 3, 2)
    whole, state = model.predict(values), model.initial_state(2)
    for t in range(3):
        y_t, state = model.step(values[:, t], state)
        np.testing.assert_array_equal(y_t, whole[:, t])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda c, x: [][1], r"its function raised IndexError \(list index out of range\); it is tried on zeros"),
        (lambda c: c, "its function raised TypeError"), (lambda c, x: None, "returned object, expected an array"),
        (lambda c, x: np.full(3, "a"), "expected an array of numbers"),
    ],
)  # fmt: skip
def test_functions_that_do_not_do(function, message):
    with pytest.raises(LoadError, match=message):
        li.load_model(FOLDER / "recorded_keras2.h5", custom_objects={**KERAS2, POLYVAL: function})


# ---------------------------------------------------------------- what files say
def raw(function, node, kind="TFOpLambda", config=None, wrap=None):
    layer = {"class_name": kind, "name": "op", "config": config or {"function": function}, "inbound_nodes": [node]}
    config = {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "name": "x", "config": {"batch_input_shape": [None, 5, 4], "name": "x"}},
            layer,
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["op", 0, 0]],
    }
    return RawModel("f.h5", {"class_name": "Functional", "config": config}, None, "2.15.0")


@pytest.mark.parametrize(
    ("function", "node", "message"),
    [
        ("einsum", ["_CONSTANT_VALUE", -1, "btf,bsf->bts", {}],
         "saved the equation 'btf,bsf->bts' of tf.einsum, but not the arrays that it joins, expected them: build this"),
        ("meshgrid", ["x", 0, 0, {"indexing": "ij"}], "saved only the first of the arrays that tf.meshgrid"),
    ],
)  # fmt: skip
def test_calls_that_were_not_saved_whole(function, node, message):
    with pytest.raises(LoadError, match=message):
        layouts.canonical(raw(function, node))


def test_an_einsum_with_its_arrays_is_one():
    node = [["_CONSTANT_VALUE", -1, "btf,bsf->bts", {}], ["x", 0, 0, {}], ["x", 0, 0, {}]]
    spec = layouts.canonical(raw("einsum", node))
    assert spec.layers[1].class_name == "keras.ops.Einsum"
    assert spec.calls[1].kwargs == {"subscripts": "btf,bsf->bts"} and len(spec.calls[1].args) == 2


@pytest.mark.parametrize(
    ("function", "words", "reason"),
    [
        ("nn.dropout", {"rate": 0.5}, "drops numbers at random here in predict"),
        ("random.uniform", {}, "draws random numbers here in predict"),
        ("compat.v1.nn.embedding_lookup", {}, "reads its table back as a list of tables"), ("math.digamma", {}, None),
    ],
)  # fmt: skip
def test_why_not(function, words, reason):
    spec = layouts.canonical(raw(function, ["x", 0, 0, words])).layers[1]
    assert spec.class_name not in LAYERS
    assert spec.lacks is None if reason is None else reason in spec.lacks


def test_dropout_that_drops_nothing_is_nothing():
    spec = layouts.canonical(raw("nn.dropout", ["x", 0, 0, {"rate": 0.0, "name": None}]))
    assert spec.layers[1].class_name == "tf.identity" and spec.calls[1].kwargs == {}


def test_a_node_of_a_graph_that_is_not_here():
    attributes = {"T": {"type": "DT_FLOAT"}, "alpha": {"f": 0.5}, "_class": {"s": "eA=="}, "size": {"i": "3"}}
    node_def = {"op": "Digamma", "attr": attributes}
    config = {"node_def": node_def, "constants": {"1": [1.0, 2.0]}}
    spec = layouts.canonical(raw(None, [["x", 0, 0, {}]], "TensorFlowOpLayer", config))
    assert spec.layers[1].class_name == "TensorFlowOpLayer Digamma"
    assert spec.calls[1].args[1] == [1.0, 2.0] and spec.calls[1].kwargs == {"alpha": 0.5, "size": 3}


def test_constants_are_shown_by_their_shape():
    table = np.zeros((3, 4)).tolist()
    words = {"table": table, "key": {"start": 1, "stop": None, "step": None}, "y": ["x", 0, 0], "way": "up"}
    file = json.dumps(raw("nothing.known", ["x", 0, 0, words]).config | {"keras_version": "2.15.0"}).encode()
    (row,) = li.inspect(file)["unsupported"]
    assert row["calls"] == ["tf.nothing.known(·, table=array of (3, 4), key=1:, y=·, way='up')"]
