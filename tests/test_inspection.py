"""`inspect`: what it says about whole, broken, unsupported and weights-only files; and that it stays within bounds."""

import contextlib
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import h5files
import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.inspection.text import lines

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
GOLDEN = sorted(path for path in (ROOT / "tests" / "golden").iterdir() if path.suffix in (".h5", ".keras"))


def report(found):
    """The text of what was found, which must be printable whatever the file says."""
    json.dumps(found, allow_nan=False)
    text = "\n".join(lines(found))
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    return text


# ---------------------------------------------------------------- whole models
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_every_golden_file(path):
    found = li.inspect(path)
    report(found)
    assert not found["problems"] and not found["unsupported"]
    if found["holds"] == "weights":
        assert found["guess"] and not found["loads"]
        return
    model = li.load_model(path)
    assert found["loads"] and found["totals"]["parameters"] == model.count_params()
    assert [tuple(t["shape"]) for t in found["model"]["inputs"]] == [t.shape for t in model.inputs]
    shown = {row["name"]: row for row in found["layers"]}
    for layer in model.layers:
        assert shown[layer.name]["parameters"] == layer.count_params()
        assert shown[layer.name]["output_shape"] is not None


def test_what_it_says_about_a_model():
    found = li.inspect(MODELS / "sunspots.h5")
    assert (found["holds"], found["container"], found["generation"]) == ("model", "HDF5", "Keras 2 of TensorFlow")
    assert found["version_is"] == "given" and found["size"] == (MODELS / "sunspots.h5").stat().st_size
    rows = {row["name"]: row for row in found["layers"]}
    first = rows["lstm"]
    assert first["flops"] == 2 * (1 + 24) * 4 * 24 and first["per"] == "timestep"
    assert first["weight_bytes"] == 4 * first["parameters"] == 4 * 4 * 24 * (1 + 24 + 1)
    assert first["path"] == "fast: float32 on register tiles"
    assert (rows["dense"]["flops"], rows["dense"]["per"]) == (2 * 12, "sequence")
    assert found["totals"]["flops_per_timestep"] == sum(rows[n]["flops"] for n in ("lstm", "lstm_1"))
    text = report(found)
    assert "lstm (LSTM)" in text and text.endswith("Loads.")


def test_bytes_folders_and_open_files():
    data = (MODELS / "digits.keras").read_bytes()
    with open(MODELS / "digits.keras", "rb") as file:
        a, b, c = li.inspect(MODELS / "digits.keras"), li.inspect(data), li.inspect(file)
    for found in (a, b, c):
        found.pop("file"), found.pop("size")
    assert a == b == c


@pytest.mark.parametrize("name", h5files.GENERATIONS)
def test_every_generation(name):
    model, weights = h5files.GENERATIONS[name](h5files.weights())
    found = li.inspect(model, weights)
    report(found)
    assert found["loads"] and found["totals"]["parameters"] == 12 * (4 + 3 + 1) + 4 * 2
    assert found["totals"]["flops_per_timestep"] == 2 * 12 * (4 + 3)


def test_statistics():
    kernel = np.zeros((6, 8), np.float32)
    kernel[:, 0], kernel[0, 1:4] = np.arange(6), (np.nan, np.inf, 1e-40)
    arrays = {"dense": {"dense/kernel:0": kernel, "dense/bias:0": np.array([1.0, 3.0, 0, 0, 0, 0, 0, 0])}}
    found = li.inspect(h5files.legacy(arrays, version="2.2.4"))
    first, bias = found["arrays"]
    finite = kernel[np.isfinite(kernel)].astype(np.float64)
    expected = (finite.min(), finite.max(), finite.mean(), finite.std())
    np.testing.assert_allclose([first[word] for word in ("min", "max", "mean", "std")], expected, rtol=1e-12)
    assert [first[word] for word in ("nan", "infinite", "subnormal", "zero_columns")] == [1, 1, 1, 4]
    assert (first["bytes"], bias["bytes"], bias["dtype"], bias["zero_columns"]) == (192, 64, "float64", None)
    assert len(found["warnings"]) == 4 and "4 of 8 units (columns along axis 1) have" in found["warnings"][3]
    report(found)


@pytest.mark.parametrize("chunks", [None, (3, 5), (1, 7)])
def test_statistics_in_pieces(chunks, monkeypatch):
    values = np.random.default_rng(0).normal(size=(2, 11, 17)).astype(np.float32)
    values[..., 5] = 0
    monkeypatch.setattr("lstm_infer.hdf5.store.PIECE", 5 * 4)

    def fill(file):
        file.attrs["layer_names"], file.attrs["keras_version"] = [b"a"], "2.2.4"
        group = file.create_group("a")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", data=values, chunks=chunks and (1, *chunks), compression=chunks and "gzip")

    found = li.inspect(h5files.hdf5(fill))["arrays"][0]
    wide = values.astype(np.float64)
    np.testing.assert_allclose([found["mean"], found["std"]], [wide.mean(), wide.std()], rtol=1e-12)
    assert (found["min"], found["max"], found["zero_columns"]) == (wide.min(), wide.max(), 1)


def test_all_nan_and_empty_arrays():
    arrays = {"a": {"kernel": np.full((2, 3), np.nan), "bias": np.zeros((0,), "f4"), "scalar": np.float32(2)}}
    found = li.inspect(h5files.legacy(arrays, version="2.2.4"))["arrays"]
    assert [row["mean"] for row in found] == [None, None, 2.0]
    assert found[0]["nan"] == 6


def test_numbers_at_both_ends_of_the_range(monkeypatch):
    monkeypatch.setattr("lstm_infer.hdf5.store.PIECE", 8)
    values = np.array([-1.7e308, 1.7e308, 1.7e308, 5e-324])
    found = li.inspect(h5files.legacy({"a": {"kernel": values}}, version="2.2.4"))
    json.dumps(found, allow_nan=False)
    row = found["arrays"][0]
    assert (row["min"], row["max"], row["std"], row["subnormal"]) == (-1.7e308, 1.7e308, None, 1)


# ---------------------------------------------------------------- what does not load
def lambda_model(**config):
    layers = [
        {"class_name": "LSTM", "config": {"name": "l", "units": 3, "batch_input_shape": [None, 5, 4]}},
        {"class_name": "Lambda", "config": {"name": "after", "function": ["", None, None], **config}},
        {"class_name": "Att", "config": {"name": "own"}, "registered_name": "mine>Att"},
        {"class_name": "Dense", "config": {"name": "d", "units": 2}},
    ]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": layers}, "keras_version": "2.2.4"}


def test_what_is_missing_is_named():
    found = li.inspect(json.dumps(lambda_model()).encode())
    assert not found["loads"] and found["holds"] == "architecture"
    assert [(row["layer"], row["keys"]) for row in found["unsupported"]] == [
        ("after", ["after"]), ("own", ["own", "mine>Att", "Att"])]  # fmt: skip
    shapes = {row["name"]: row["output_shape"] for row in found["layers"]}
    assert shapes == {"l_input": [None, 5, 4], "l": [None, 3], "after": None, "own": None, "d": None}
    assert "own (Att): there is no such layer here" in report(found)


def test_an_activation_of_the_users():
    layer = {"class_name": "Dense", "config": {"name": "d", "units": 2, "activation": "mine>act",
                                               "batch_input_shape": [None, 3]}}  # fmt: skip
    config = {"class_name": "Sequential", "config": [layer], "keras_version": "2.2.4"}
    found = li.inspect(json.dumps(config).encode())
    assert found["unsupported"][0]["keys"] == ["mine>act", "act"]
    report(found)


def test_shapes_up_to_what_is_missing_in_a_graph():
    def layer(name, kind, sources, **config):
        return {"class_name": kind, "name": name, "config": {"name": name, **config},
                "inbound_nodes": [[[source, 0, 0, {}] for source in sources]] if sources else []}  # fmt: skip

    layers = [layer("x", "InputLayer", [], batch_input_shape=[None, 3]), layer("a", "Dense", ["x"], units=2),
              layer("strange", "Strange", ["x"]), layer("b", "Dense", ["a"], units=4),
              layer("join", "Add", ["b", "strange"])]  # fmt: skip
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [["join", 0, 0]]}
    config = {"class_name": "Model", "config": {"name": "m", "layers": layers, **ends}, "keras_version": "2.2.4"}
    found = li.inspect(json.dumps(config).encode())
    shapes = {row["name"]: row["output_shape"] for row in found["layers"]}
    assert shapes == {"x": [None, 3], "a": [None, 2], "strange": None, "b": [None, 4], "join": None}
    assert not found["problems"] and not found["loads"]


def test_a_subclassed_model_keeps_its_arrays():
    arrays = {"d": {"d/kernel:0": np.ones((3, 2), "f4")}}
    found = li.inspect(h5files.legacy(arrays, {"class_name": "MyModel", "config": {"name": "own"}}, "2.12.0"))
    assert found["model"]["class_name"] == "MyModel" and found["layers"] == [] and len(found["arrays"]) == 1
    assert "MyModel" in found["problems"][0] and "Does not load" in report(found)




def test_a_subclassed_model_is_rebuilt_from_the_names_of_its_groups():
    """The suggested code needs no change here: layers that attributes hold are called by the paths of their groups."""
    path = ROOT / "tests" / "golden" / "subclassed" / "keras3.keras"
    with pytest.raises(li.LoadError, match="the architecture of a subclassed one is code: .*inspect"):
        li.load_model(path)
    names, golden = {}, np.load(path.with_suffix(".npz"))
    code = li.inspect(path)["guess"]["python"].replace("'keras3.keras'", repr(str(path)))
    exec(code.replace("name='adapter'", "'tanh', name='adapter'"), names)  # activations are not told
    assert [layer.name for layer in names["model"].layers][:3] == ["encoder/bi", "encoder/proj", "adapter"]
    np.testing.assert_allclose(names["model"].predict(golden["input_0"]), golden["output_0"], rtol=1e-5, atol=1e-6)
    renamed = li.Sequential([li.Input((None, 2)), li.Dense(4, name="elsewhere")])
    with pytest.raises(li.LoadError, match="called after its attributes|groups layers/dense|has the shape"):
        renamed.load_weights(path)


def test_a_file_that_was_cut_short():
    config = lambda_model()
    config["config"]["layers"] = [config["config"]["layers"][n] for n in (0, 3)]
    arrays = h5files.weights()
    whole = {"l": {f"l/{n}:0": a for n, a in arrays["lstm"].items()},
             "d": {f"d/{n}:0": a for n, a in arrays["dense"].items()}}  # fmt: skip

    def fill(file):
        file.attrs["model_config"] = json.dumps(config)
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [b"l", b"d"]
        root.create_group("d").attrs["weight_names"] = [name.encode() for name in whole["d"]]
        for name, values in whole["d"].items():
            root["d"][name] = values

    found = li.inspect(h5files.hdf5(fill))
    assert "layer l: the file has no group for it" in found["problems"][0] and not found["loads"]
    assert [row["layer"] for row in found["arrays"]] == ["d", "d"]
    assert {row["name"]: row["parameters"] for row in found["layers"]} == {"l_input": 0, "l": 96, "d": 8}
    report(found)
    with pytest.raises(li.LoadError, match="cut short"):
        li.load_model(h5files.hdf5(fill))


def test_an_array_of_a_wrong_shape():
    arrays = h5files.weights()
    arrays["dense"]["kernel"] = np.ones((5, 2), "f4")
    found = li.inspect(h5files.keras2(arrays)[0])
    assert not found["loads"] and "found shape (5, 2), expected (3, 2)" in found["problems"][0]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"x" * 99, b'{"class_name": 3}', b"PK\x03\x04"])
def test_not_a_model(data):
    with pytest.raises(li.LoadError):
        li.inspect(data)
    with pytest.raises(FileNotFoundError):
        li.inspect("missing.h5")


def test_damaged_architectures_raise_nothing_else():
    """Characters changed in the JSON; damaged HDF5 is what test_hdf5 is for."""
    chance = random.Random(0)
    text = (MODELS / "sunspots.json").read_text()
    weights = (MODELS / "sunspots.weights.h5").read_bytes()
    for _ in range(400):
        bad = list(text)
        for _ in range(chance.randint(1, 6)):
            bad[chance.randrange(len(bad))] = chance.choice('0123456789{}[],:"-.aeltrunsf \\')
        with contextlib.suppress(li.LoadError):
            report(li.inspect("".join(bad).encode(), chance.choice([None, weights])))


@pytest.mark.parametrize("word", "class_name config name units activation batch_shape function layers dtype".split())
def test_values_of_other_types_raise_nothing_else(word):
    strange = (None, 3, -1, 1 << 70, 1e999, "", "x", [], {}, [[]], {"class_name": "x"}, True, [None] * 9)

    def changed(item, value):
        if isinstance(item, dict):
            return {key: value if key == word else changed(inner, value) for key, inner in item.items()}
        return [changed(inner, value) for inner in item] if isinstance(item, list) else item

    for config in (json.loads((MODELS / "sunspots.json").read_text()), lambda_model()):
        for value in strange:
            with contextlib.suppress(li.LoadError):
                report(li.inspect(json.dumps(changed(config, value)).encode()))


def test_memory_stays_bounded(tmp_path):
    """Half a gigabyte, nearly all zeros, in some twenty megabytes of file."""

    def fill(file):
        file.attrs["layer_names"], file.attrs["keras_version"] = [b"a"], "2.2.4"
        group = file.create_group("a")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", (1 << 13, 1 << 14), "f4", chunks=(64, 1 << 14), compression="gzip")
        piece = np.zeros((64, 1 << 14), "f4")
        piece[:, :700] = np.random.default_rng(0).normal(size=(64, 700))
        for row in range(0, 1 << 13, 64):
            group["kernel"][row : row + 64] = piece

    path = tmp_path / "bomb.h5"
    path.write_bytes(h5files.hdf5(fill))
    assert path.stat().st_size < 30 << 20
    script = (
        "import resource, sys, lstm_infer as li\n"
        "li.inspect(sys.argv[2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = li.inspect(sys.argv[1])\n"
        "assert found['arrays'][0]['zero_columns'] == (1 << 14) - 700, found['arrays']\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", script, str(path), str(MODELS / "sunspots.h5")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200 << 10  # kB


# ---------------------------------------------------------------- weights without an architecture
def build(guess):
    """Run the code that was suggested; it loads the weights."""
    names = {}
    exec(guess["python"], names)
    return names["model"]


def weights_only():
    """(name, bytes of the weights alone, their model) of small models in every layout."""
    arrays = h5files.weights()
    flat = {"lstm": {f"lstm/{n}:0": a for n, a in arrays["lstm"].items()},
            "dense": {f"dense/{n}:0": a for n, a in arrays["dense"].items()}}  # fmt: skip
    objects = {"layers/lstm/cell": list(arrays["lstm"].values()), "layers/dense": list(arrays["dense"].values())}
    old = {"dense": "layers/dense", "lstm": "layers/lstm/cell"}
    return {
        "keras1": h5files.legacy(h5files.keras1_arrays(arrays)),
        "keras2": h5files.legacy(flat, version="2.2.4"),
        "objects": h5files.store(objects),
        "objects with names": h5files.store(objects, {path: name for name, path in old.items()}),
        "first tf.keras store": h5files.store(
            {path.replace("layers", "_layer_checkpoint_dependencies"): own for path, own in objects.items()}),
        "windows": h5files.store(objects, slash="\\"),
    }  # fmt: skip


@pytest.mark.parametrize("name", weights_only())
def test_suggested_code_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("w.h5").write_bytes(weights_only()[name])
    found = li.inspect("w.h5")
    assert found["guess"]["in_line"] and not found["guess"]["unknown"], found["guess"]["python"]
    model = build(found["guess"])
    arrays = h5files.weights()
    expected = [*arrays["lstm"].values(), *arrays["dense"].values()]
    assert [type(layer).__name__ for layer in model.layers] == ["LSTM", "Dense"]
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found["guess"]["python"] in report(found)


STACK = {
    "gru and embedding": lambda: [li.Input((None,), dtype="int32"), li.Embedding(9, 4), li.GRU(3, reset_after=False),
                                  li.Dense(2, use_bias=False)],  # fmt: skip
    "bidirectional": lambda: [li.Input((None, 4)), li.Bidirectional(li.LSTM(3, return_sequences=True)),
                              li.Bidirectional(li.GRU(2)), li.Dense(1)],  # fmt: skip
    "convolution and norms": lambda: [li.Input((None, 4)), li.Conv1D(6, 3), li.BatchNormalization(),
                                      li.SimpleRNN(5, use_bias=False), li.LayerNormalization(),
                                      li.Dense(2)],  # fmt: skip
    "flat": lambda: [li.Input((7, 4)), li.LSTM(3, return_sequences=True), li.Flatten(), li.Dense(2)],
    "cells": lambda: [li.Input((None, 4)), li.RNN([li.LSTMCell(3), li.GRUCell(2)]), li.Dense(1)],
}
BY_CLASS = {"BatchNormalization": "batch_normalization", "LayerNormalization": "layer_normalization",
            "SimpleRNN": "simple_rnn"}  # fmt: skip


def as_objects(model):
    """The object store of a model, its classes in alphabetical order as HDF5 lists them."""
    objects = {}
    for layer in model.layers:
        kind = BY_CLASS.get(type(layer).__name__, type(layer).__name__.lower())
        number = sum(path.split("/")[1].startswith(kind) for path in objects)
        kind += f"_{number}" if number else ""
        for path, holder in layer.walk():
            place = "/".join(("layers", kind, *path))
            place = place.replace("cell/0", "cell/cells/lstm_cell").replace("cell/1", "cell/cells/gru_cell")
            cell = "/cell" if type(holder).__name__ in ("LSTM", "GRU", "SimpleRNN") else ""
            if holder.weights:
                objects[place + cell] = list(holder.weights.values())
    return h5files.store(objects)


def as_legacy(model):
    """The legacy layout of a model."""
    groups = {}
    for layer in model.layers:
        arrays = {}
        for path, holder in layer.walk():
            place = "/".join((layer.name, *("forward_" if key.startswith("forward") else
                                            "backward_" if key.startswith("backward") else key for key in path)))
            arrays.update({f"{place}/{name}:0": array for name, array in holder.weights.items()})
        groups[layer.name] = arrays
    return h5files.legacy(groups, version="2.12.0")


@pytest.mark.parametrize("layout", [as_legacy, as_objects])
@pytest.mark.parametrize("stack", STACK)
def test_suggested_stacks_run(stack, layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = li.Sequential(STACK[stack]())
    values = np.random.default_rng(0)
    shapes = [shape for layer in model.holders() for shape in layer.expected_shapes.values()]
    model.set_weights([values.uniform(0.5, 1, shape) for shape in shapes])
    Path("w.weights.h5").write_bytes(layout(model))
    guess = li.inspect("w.weights.h5")["guess"]
    assert guess["in_line"], guess["python"]
    again = build(guess)
    assert [type(layer).__name__ for layer in again.layers] == [type(layer).__name__ for layer in model.layers]
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_said():
    arrays = {"a": {"a/kernel:0": np.ones((4, 3), "f4"), "a/bias:0": np.ones(3, "f4")},
              "strange\n": {"strange/q:0": np.ones((2, 2, 2, 2, 2), "f4")},
              "b": {"b/kernel:0": np.ones((5, 2), "f4")}}  # fmt: skip
    found = li.inspect(h5files.legacy(arrays, version="2.2.4"))
    assert not found["guess"]["in_line"] and found["guess"]["unknown"] == ["strange\n"]
    assert "name='b'" in found["guess"]["python"]
    compile(found["guess"]["python"], "guess", "exec")
    report(found)


def test_arrays_of_strange_shapes_suggest_nothing_and_break_nothing():
    chance = random.Random(1)
    words = "kernel recurrent_kernel bias gamma W U b W_i U_i embeddings alpha param_0".split()
    for _ in range(300):
        layers = {}
        for n in range(chance.randint(1, 4)):
            chosen = chance.sample(words, chance.randint(0, 4))
            layers[f"x_{n}"] = {
                f"x/{word}:0": np.zeros([chance.randint(0, 4) for _ in range(chance.randint(0, 4))], "f4")
                for word in chosen
            }
        legacy = h5files.legacy(layers, version="2.2.4")
        kinds = ("lstm", "dense", "rnn", "bidirectional/forward_layer", "time_distributed/layer", "conv1d", "odd")
        objects = {f"layers/{chance.choice(kinds)}_{n}": list(own.values()) for n, own in enumerate(layers.values())}
        for data in (legacy, h5files.store(objects)):
            try:
                found = li.inspect(data)
            except li.LoadError:
                continue
            compile(found["guess"]["python"], "guess", "exec")
            report(found)


# ---------------------------------------------------------------- costs
def cost_of(*layers):
    from lstm_infer.inspection import costs

    model = li.Sequential(list(layers))
    return costs.of(model.layers[-1])


@pytest.mark.parametrize(
    ("layers", "flops", "per"),
    [
        ([li.Input((5, 4)), li.GRU(3)], 2 * 9 * (4 + 3), "timestep"),
        ([li.Input((5, 4)), li.Bidirectional(li.SimpleRNN(3))], 2 * 2 * 3 * (4 + 3), "timestep"),
        ([li.Input((5, 4)), li.RNN([li.LSTMCell(3), li.GRUCell(2)])], 2 * (12 * 7 + 6 * 5), "timestep"),
        ([li.Input((5, 4)), li.Dense(3)], 2 * 4 * 3, "timestep"),
        ([li.Input((None, 4)), li.TimeDistributed(li.Dense(3))], 2 * 4 * 3, "timestep"),
        ([li.Input((4,)), li.Dense(3)], 2 * 4 * 3, "sequence"),
        ([li.Input((6, 5, 4)), li.Dense(3)], 2 * 4 * 3 * 30, "sequence"),
        ([li.Input((None, 4)), li.Conv1D(3, 2)], 2 * 2 * 4 * 3, "timestep"),
        ([li.Input((8, 4)), li.Conv1D(3, 2, strides=2)], 2 * 4 * 3, "timestep"),
        ([li.Input((2, 3, 4)), li.Deconvolution2D(5, 2, [None, 3, 4, 5])], 2 * 16 * 5 * 6, "sequence"),
        ([li.Input((None, 4)), li.BatchNormalization()], 0, "timestep"),
        ([li.Input((None,), dtype="int32"), li.Embedding(9, 3)], 0, "sequence"),
    ],
)
def test_costs(layers, flops, per):
    found = cost_of(*layers)
    assert (found["flops"], found["per"]) == (flops, per)


def test_bytes_of_a_lookup_are_those_of_one_row():
    assert cost_of(li.Input((None,), dtype="int32"), li.Embedding(900, 3))["weight_bytes"] == 12
    assert cost_of(li.Input((None, 4)), li.LSTM(3, dtype="float64"))["weight_bytes"] == 8 * 12 * (4 + 3 + 1)


# ---------------------------------------------------------------- the command
def run(*arguments):
    command = [sys.executable, "-m", "lstm_infer", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_command(tmp_path):
    done = run(MODELS / "sunspots.json", "--weights", MODELS / "sunspots.weights.h5")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("Loads.\n")
    done = run(MODELS / "sunspots.h5", "--json")
    found = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(word))
    assert done.returncode == 0 and found == li.inspect(MODELS / "sunspots.h5")
    (tmp_path / "x.h5").write_text("no model")
    for path in (tmp_path / "x.h5", tmp_path / "missing.h5"):
        done = run(path)
        assert done.returncode == 2 and done.stderr.startswith("lstm-infer: ") and not done.stdout


def test_the_same_keys_for_every_file():
    empty = json.dumps(lambda_model()).encode()
    arrays = h5files.legacy({"d": {"d/kernel:0": np.ones((3, 2), "f4")}}, version="2.2.4")
    keys = [list(li.inspect(one)) for one in (MODELS / "sunspots.h5", empty, arrays)]
    assert keys[0] == keys[1] == keys[2]
    assert math.isfinite(li.inspect(arrays)["arrays"][0]["mean"])


def test_a_recurrent_unit_is_dead_when_the_columns_of_all_its_gates_are():
    kernel, recurrent = np.ones((4, 9)), np.ones((3, 9))
    kernel[:, [1, 4]], recurrent[:, [2, 5, 8]] = 0, 0
    found = li.inspect(h5files.store({"layers/gru/cell": [kernel, recurrent, np.zeros((2, 9))]}))
    assert found["warnings"] == [
        "array 'layers/gru/cell/vars/1': 1 of 3 units (columns along axis 1) have only zeros for weights"]
