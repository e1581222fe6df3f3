"""From a file to a model: what does not fit is refused before it is read, and hostile graphs end soon."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import assembly, hdf5, loading
from lstm_infer.spec import Handle


def architecture(*layers):
    """A Sequential model of Keras 3 as JSON text in bytes."""
    items = [{"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4, 3]}}, *layers]
    return json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": items}}).encode()


def layer(class_name, **config):
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


@pytest.fixture
def loaded(monkeypatch):
    """Loads a model whose file holds the given arrays, each a Handle that fails when it is read."""

    def load(text, **groups):
        def refuse():
            raise AssertionError("read before it was checked")

        found = {
            name: tuple((word, Handle(f"{name}/{word}", shape, "float32", refuse)) for word, shape in arrays.items())
            for name, arrays in groups.items()
        }
        raw = hdf5.read(text)
        weights = hdf5.RawWeights("weights", "legacy", found, {}, "3.15.1")
        monkeypatch.setattr(hdf5, "read", lambda path, weights=None: replace(raw, weights=weights_of_file))
        weights_of_file = weights
        return li.load_model(text)

    return load


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"kernel": (13, 1), "bias": (1,)}, r"layer 'dense', array 'kernel' .*found .*13, 1.*, expected .*3, 1"),
        ({"kernel": (10**9, 1), "bias": (1,)}, "found shape"),
        ({"kernel": (10**9, 10**9), "bias": (1,)}, "kernel has the shape"),
        ({"kernel": (3, 1), "bias": (2,)}, "bias has the shape"),
        ({"kernel": (3, 1)}, "dense"),
        ({"kernel": (3, 1), "bias": (1,), "extra": (1,)}, "dense"),
    ],
)
def test_arrays_that_do_not_fit_are_never_read(loaded, arrays, message):
    with pytest.raises(li.LoadError, match=message):
        loaded(architecture(layer("Dense", units=1)), dense=arrays)


def test_a_surplus_array_is_refused():
    built = li.Sequential([li.Input((3,)), li.Dense(1, name="d")])
    handles = {name: Handle(name, shape, "float32", np.empty) for name, shape in
               {"kernel": (3, 1), "bias": (1,), "extra": (1,)}.items()}  # fmt: skip
    with pytest.raises(li.LoadError, match="found the array 'extra'"):
        loading._fill(built, {("d",): handles}, "weights")


def test_everything_unsupported_at_once(loaded):
    text = architecture(layer("Lambda"), layer("Strange"), layer("LSTM", units=2, activation="mine"))
    with pytest.raises(li.UnsupportedLayerError) as caught:
        loaded(text)
    activation = "unknown activation 'mine'; give it as custom_objects={'mine': function}"
    for word in ("'lambda' (Lambda)", "'strange' (Strange)", activation):
        assert word in str(caught.value)


def functional(name, depth):
    """Models inside models, each called twice: 2**depth calls."""
    if depth == 0:
        inner = {"class_name": "Activation", "name": "a", "config": {"name": "a", "activation": "tanh"}}
    else:
        inner = {**functional(f"m{depth - 1}", depth - 1), "name": f"m{depth - 1}"}
    first = 0 if depth == 0 else 1
    calls = [[["x", 0, 0, {}]], [[inner["name"], first, 0, {}]]]
    layers = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]},
         "inbound_nodes": []},
        {**inner, "inbound_nodes": calls},
    ]  # fmt: skip
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[inner["name"], first + 1, 0]]}
    return {"class_name": "Model", "config": {"name": name, "layers": layers, **ends}}


@pytest.mark.parametrize("depth", [18, 25])
def test_models_that_call_models_twice_end_soon(loaded, depth):
    start = time.monotonic()
    with pytest.raises(li.LoadError, match="models inside models counted"):
        loaded(json.dumps({**functional("m", depth), "keras_version": "2.2.4"}).encode())
    assert time.monotonic() - start < 60


def test_layers_in_reverse_order_load():
    count = 3000
    layers = [{"class_name": "InputLayer", "name": "l0", "config": {"name": "l0", "batch_input_shape": [None, 2]},
               "inbound_nodes": []}]  # fmt: skip
    for n in range(1, count):
        config = {"name": f"l{n}", "activation": "linear"}
        calls = [[[f"l{n - 1}", 0, 0, {}]]]
        layers.append({"class_name": "Activation", "name": f"l{n}", "config": config, "inbound_nodes": calls})
    ends = {"input_layers": [["l0", 0, 0]], "output_layers": [[f"l{count - 1}", 0, 0]]}
    config = {"class_name": "Model", "config": {"name": "m", "layers": layers[::-1], **ends}, "keras_version": "2.2.4"}
    raw = hdf5.read(json.dumps(config).encode())
    start = time.monotonic()
    assembly.Assembly("x").build(loading.layouts.canonical(raw))
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (layer("Dense", units=None), r"layer 'dense' \(Dense\): its 'units' is null, expected a value"),
        (layer("LSTM", units=None), "its 'units' is null"),
        (layer("Permute"), "its config has no 'dims'"),
        (layer("BatchNormalization", axis="x"), "found {'axis': 'x'} in its config"),
    ],
)
def test_a_config_that_no_layer_can_be_made_of(loaded, item, message):
    with pytest.raises(li.LoadError, match=message):
        loaded(architecture(item), dense={"kernel": (3, 1)})


@pytest.mark.parametrize("words", [{"arguments": None}, {}])
def test_a_gigantic_batch_is_not_tried_out(loaded, words):
    """What an operation or a function makes of its inputs is found by computing it once."""
    text = json.loads(architecture(layer("Dense", units=2), layer("Lambda", function="f", **words)))
    text["config"]["layers"][0]["config"]["batch_shape"][0] = 10**9
    path = json.dumps(text).encode()
    started = time.monotonic()
    with pytest.raises(li.LoadError, match="numbers at most"):
        assembly.Assembly("x", {"lambda": np.tanh}).build(loading.layouts.canonical(hdf5.read(path)))
    assert time.monotonic() - started < 5


def test_thousands_of_layers_are_found_in_an_object_store_in_no_time():
    count = 4000
    text = architecture(*({"class_name": "Dense", "config": {"name": f"d{n}", "units": 3}} for n in range(count)))
    groups = {
        f"layers/dense_{n}" if n else "layers/dense": tuple(
            (str(k), Handle("w", shape, "float32", None)) for k, shape in enumerate([(3, 3), (3,)])
        )
        for n in range(count)
    }
    raw = replace(hdf5.read(text), weights=hdf5.RawWeights("w", "objects", groups))
    started = time.process_time()
    found = loading.layouts.match(loading.layouts.canonical(raw), raw.weights)
    assert time.process_time() - started < 4 and len(found) == count
