"""Models in other processes: small pickles, equal answers."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
GOLDEN = sorted((ROOT / "tests" / "golden").glob("keras*.keras"))[::3]


def inputs_of(model, path):
    """What Keras was asked when the golden file was recorded; of several calls the first."""
    with np.load(path.with_suffix(".npz")) as recorded:
        prefix = "" if "input_0" in recorded else "call0_"
        return [recorded[f"{prefix}input_{n}"] for n in range(len(model.inputs))]


def answers(model, x):
    model.reset_states()
    return li.layers.structure.flatten(model.predict(x, batch_size=len(x[0])))


def test_a_loaded_model_travels_by_name(tmp_path):
    shutil.copy(MODELS / "sunspots.h5", tmp_path / "model.h5")
    model = li.load_model(tmp_path / "model.h5", dtype="float64", threads=1)
    x = np.load(MODELS / "sunspots.input.npy")
    model.predict(x)
    data = pickle.dumps(model)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again.threads == 1
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).output_shape)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, cwd=ROOT, check=True)
    assert done.stdout.decode().strip() == str(model.output_shape)
    (tmp_path / "model.h5").write_bytes((MODELS / "co2.h5").read_bytes())
    with pytest.raises(li.LoadError, match="found another file"):
        pickle.loads(data)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))  # now by its weights
    (tmp_path / "model.h5").unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))


def test_architecture_and_weights_apart():
    model = li.load_model(MODELS / "sunspots.json", weights=MODELS / "sunspots.weights.h5")
    x = np.load(MODELS / "sunspots.input.npy")
    data = pickle.dumps(model)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).predict(x), model.predict(x))


def test_a_changed_model_travels_with_its_weights():
    model = li.load_model(MODELS / "sunspots.h5")
    x = np.load(MODELS / "sunspots.input.npy")
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    data = pickle.dumps(model)
    assert len(data) > 4 * model.count_params()
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="read-only"):
        again.layers[0].cell.weights["kernel"][0] = 1


def test_a_model_from_bytes_or_made_in_python():
    x = np.load(MODELS / "sunspots.input.npy")
    model = li.load_model((MODELS / "sunspots.h5").read_bytes())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x), model.predict(x))
    past = li.Input((None, 1))
    states = li.LSTM(3, return_state=True)(past)
    made = li.Model(past, [li.Dense(2, "relu")(states[0]), *states[1:]])
    made.set_weights([np.ones(s) for layer in made.holders() for s in layer.expected_shapes.values()])
    for mine, other in zip(pickle.loads(pickle.dumps(made)).predict(x), made.predict(x), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_streams_of_a_pickled_model():
    model = li.load_model((MODELS / "licence.keras").read_bytes())
    again = pickle.loads(pickle.dumps(model))
    x = np.load(MODELS / "licence.input.npy")
    np.testing.assert_array_equal(again.session().predict(x), model.session().predict(x))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_layer_travels(path):
    model = li.load_model(path.read_bytes())
    x = inputs_of(model, path)
    expected = answers(model, x)
    for mine, other in zip(answers(pickle.loads(pickle.dumps(model)), x), expected, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_model_of_thousands_of_layers():
    x = y = li.Input((2, 3))
    for _ in range(2500):
        y = li.Activation("relu")(y)
    model = li.Model(x, y)
    values = np.ones((1, 2, 3), np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(values), model.predict(values))
