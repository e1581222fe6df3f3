"""Files of thirteen Keras releases and of strangers: each agrees with its writer, or is refused for a known reason.

They are test data of their authors and lie outside the repository, in the folder that LSTM_INFER_FILES names.
"""

import json
import os
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.verify import verify

FOLDER = os.environ.get("LSTM_INFER_FILES")
if not FOLDER:
    pytest.skip("LSTM_INFER_FILES does not name the folder of strangers' files", allow_module_level=True)

REFUSED = (  # file name pattern, what the one error must say
    ("*_subclass.*", "MyM"),
    ("K3_3.0.5_*.h5", "cut short"),
    ("k2.0.9_chunk.h5", "cut short"),
    ("K3x_custom.*", "mypkg>myact.*Att"),
    ("K3x_lambda.*", "custom_objects"),
    ("K3x_textvec.h5", "vocabulary is missing"),
    ("k2.*_conv.h5", "Lambda"),
)

# Answers that cannot be replayed: Keras 3 named reset_states() otherwise, so the state before these was not zero.
NOT_ANSWERS = ("K3_*_stateful.*",)


def generation_files():
    folder = Path(FOLDER) / "generations"
    for path in sorted(folder.iterdir()):
        whole = path.suffix in (".h5", ".keras") and not path.name.endswith(("_w.h5", ".weights.h5"))
        if whole and path.with_suffix(".npz").exists():
            yield path


def answers(path):
    """A golden mapping from the names x0, y0, ... of the generations' recordings."""
    with np.load(path) as recorded:
        return {key.replace("x", "input_").replace("y", "output_"): recorded[key] for key in recorded}


def expected_refusal(path):
    return next((reason for pattern, reason in REFUSED if fnmatch(path.name, pattern)), None)


@pytest.mark.parametrize("path", list(generation_files()), ids=lambda path: path.name)
def test_generation(path):
    reason = expected_refusal(path)
    try:
        model = li.load_model(path)
    except li.LoadError as error:
        assert reason, f"refused without a known reason: {error}"
        pytest.raises(li.LoadError, li.load_model, path).match(reason)
        return
    if not any(fnmatch(path.name, pattern) for pattern in NOT_ANSWERS):
        differences = verify(model, answers(path.with_suffix(".npz")))
        assert [found for found in differences if not found.agrees] == []


def weights_files():
    """Weights-only files beside a whole model of the same name, whose architecture they fit."""
    for path in sorted((Path(FOLDER) / "generations").iterdir()):
        for ending in ("_w.h5", ".weights.h5"):
            if path.name.endswith(ending):
                stem = path.name.removesuffix(ending)
                whole = next((path.with_name(stem + end) for end in (".keras", ".h5")
                              if path.with_name(stem + end).exists()), None)  # fmt: skip
                if whole and path.with_name(f"{stem}.npz").exists():
                    yield pytest.param(path, whole, id=path.name)


@pytest.mark.parametrize(("path", "whole"), list(weights_files()))
def test_weights_only(path, whole):
    try:
        expected = li.load_model(whole)
    except li.LoadError:
        return  # refused above
    model = li.load_model(whole, weights=path)
    for ours, theirs in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Att(li.Layer):
    """The custom class of K3x_custom: a weighted sum over time."""

    def __init__(self, autocast=True, **kwargs):
        super().__init__(**kwargs)

    def weight_shapes(self, input_shape):
        return {"W": (input_shape[-1], 1)}

    def call(self, inputs):
        exponentials = np.exp(inputs @ self.weights["W"])
        return (inputs * exponentials / exponentials.sum(axis=1, keepdims=True)).sum(axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


@pytest.mark.parametrize("suffix", ["h5", "keras"])
@pytest.mark.parametrize(
    ("stem", "custom_objects"),
    [
        ("K3x_lambda", {"lambda": lambda x: x * 2}),
        ("K3x_custom", {"Att": Att, "myact": lambda x: np.tanh(x) * 1.1}),
        ("K3x_custom", {"mypkg>Att": Att, "mypkg>myact": lambda x: np.tanh(x) * 1.1}),
    ],
)
def test_custom_objects(stem, custom_objects, suffix):
    path = Path(FOLDER) / "generations" / f"{stem}.{suffix}"
    differences = verify(li.load_model(path, custom_objects=custom_objects), answers(path.with_suffix(".npz")))
    assert [found for found in differences if not found.agrees] == []


# ---------------------------------------------------------------- strangers' models
CASES = {path.parent.name: json.loads(path.read_text()) for path in sorted(Path(FOLDER).glob("cases/*/case.json"))}

REFUSED_CASES = {
    "bad-har-gru-pruned-missing-layer": "cut short",
    "crema-beats-bigru-lambda": "Lambda",
}
REBUILT = ("w-dtln-norm-500h", "w-textgenrnn-cudnn", "w-udacity-charlstm-k1")  # no architecture in any file


def golden_of(folder, stem=""):
    golden = {}
    for name in ("inputs.npz", "outputs.npz"):
        with np.load(folder / name) as recorded:
            golden.update({key.removeprefix(stem): recorded[key] for key in recorded if key.startswith(stem)})
    return golden


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n]["file"] and n not in REBUILT])
def test_case(name):
    folder = Path(FOLDER) / "cases" / name
    path, weights = folder / CASES[name]["file"], None
    if CASES[name]["weights_only"]:
        path, weights = folder / "architecture.json", path
    if name in REFUSED_CASES:
        pytest.raises(li.LoadError, li.load_model, path).match(REFUSED_CASES[name])
        return
    golden = golden_of(folder)
    if not all(found.agrees for found in verify(li.load_model(path, weights=weights), golden)):
        assert_as_near_as_keras(path, weights, golden)


def assert_as_near_as_keras(path, weights, golden):
    """Where a chain of layers amplifies rounding, float64 is the judge: we may be twice as far from it as Keras is."""
    models = (li.load_model(path, weights=weights, dtype=dtype) for dtype in (None, "float64"))
    ours, exact = (model.predict(golden["input_0"]) for model in models)
    assert np.abs(ours - exact).max() <= 2 * np.abs(golden["output_0"] - exact).max()


def test_lambdas_of_a_case():
    """Its two Lambdas drop an axis of one; the functions themselves are code in the file."""
    folder = Path(FOLDER) / "cases" / "crema-beats-bigru-lambda"
    squeeze = {"lambda_1": lambda x: x[..., 0], "lambda_2": lambda x: x[:, :, 0]}
    model = li.load_model(folder / "model.h5", custom_objects=squeeze)
    assert [found for found in verify(model, golden_of(folder)) if not found.agrees] == []


def matrix_files():
    return sorted((Path(FOLDER) / "cases" / "dl4j-tfkeras-rnn-matrix" / "h5").iterdir())


@pytest.mark.parametrize("path", matrix_files(), ids=lambda path: path.stem)
def test_matrix(path):
    golden = golden_of(path.parent.parent, f"{path.stem}/")
    assert [found for found in verify(li.load_model(path), golden) if not found.agrees] == []


def test_weights_without_an_architecture_are_refused_with_advice():
    folder = Path(FOLDER) / "cases"
    for name in REBUILT:
        pytest.raises(li.LoadError, li.load_model, folder / name / CASES[name]["file"]).match("to_json.*load_weights")


def test_rebuilt_in_python():
    """The character model of a Keras 1 weights file that names no version, rebuilt with our classes."""
    folder = Path(FOLDER) / "cases" / "w-udacity-charlstm-k1"
    lstm = li.LSTM(200, recurrent_activation="hard_sigmoid")
    model = li.Sequential([li.Input((100, 33)), lstm, li.Dense(33), li.Activation("softmax")])
    model.load_weights(folder / CASES[folder.name]["file"])
    differences = verify(model, golden_of(folder))
    assert [found for found in differences if not found.agrees] == []
