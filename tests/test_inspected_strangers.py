"""`inspect` on every file of thirteen Keras releases and of strangers: always something, and never in contradiction.

They lie outside the repository, in the folder that LSTM_INFER_FILES names.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.inspection.text import lines
from lstm_infer.layers import LAYERS
from lstm_infer.verify import verify

FOLDER = os.environ.get("LSTM_INFER_FILES")
if not FOLDER:
    pytest.skip("LSTM_INFER_FILES does not name the folder of strangers' files", allow_module_level=True)
FOLDER = Path(FOLDER)
ENDS = (".h5", ".hdf5", ".keras", ".json")
NOT_MODELS = ("case.json", "published_inputs_and_outputs.h5")
CASES = sorted(path for path in (FOLDER / "cases").glob("*/*") if path.suffix in ENDS and path.name not in NOT_MODELS)
FILES = sorted(path for path in (FOLDER / "generations").iterdir() if path.suffix in ENDS) + CASES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_tells_something(path):
    found = li.inspect(path)
    assert "\n".join(lines(found)) and json.dumps(found, allow_nan=False)
    assert found["generation"] or found["holds"] == "weights"
    if found["holds"] == "weights":
        assert "li." in found["guess"]["python"]
    elif not found["problems"]:
        assert found["layers"] and all(row["parameters"] is not None for row in found["layers"])
    if found["holds"] == "model":
        assert found["loads"] == loads(path) and (found["loads"] or found["problems"] or found["unsupported"])


def loads(path):
    try:
        li.load_model(path)
    except li.LoadError:
        return False
    return True


@pytest.mark.parametrize("path", sorted((FOLDER / "generations" / "evil").iterdir()), ids=lambda path: path.name)
def test_hostile_files_are_no_models(path):
    with pytest.raises(li.LoadError):
        li.inspect(path)


def suggested(path):
    rows = li.inspect(path)["unsupported"]
    return {row["keys"][0]: eval(row["suggestion"], {"li": li}) for row in rows if row["class_name"] == "Lambda"}


@pytest.mark.parametrize("name", ["K3x_lambda.h5", "K3x_lambda.keras", "k2.0.9_conv.h5", "k2.2.4_conv.h5",
                                  "k2.3.1_conv.h5"])  # fmt: skip
def test_what_is_suggested_gives_the_answers_of_keras(name):
    path = FOLDER / "generations" / name
    with np.load(path.with_suffix(".npz")) as recorded:
        golden = {key.replace("x", "input_").replace("y", "output_"): recorded[key] for key in recorded}
    differences = verify(li.load_model(path, custom_objects=suggested(path)), golden)
    assert differences and [found for found in differences if not found.agrees] == []


def test_a_published_model_with_two_squeezes():
    path = FOLDER / "cases" / "crema-beats-bigru-lambda" / "model.h5"
    rows = {row["layer"]: row for row in li.inspect(path)["unsupported"]}
    assert rows["lambda_1"]["suggestion"] == "li.custom.squeeze(axis=-1)"
    assert rows["lambda_2"]["suggestion"] == "li.custom.squeeze(axis=2)"
    if "Conv2D" not in LAYERS:
        return
    with np.load(path.with_name("inputs.npz")) as inputs, np.load(path.with_name("outputs.npz")) as outputs:
        differences = verify(li.load_model(path, custom_objects=suggested(path)), {**inputs, **outputs})
    assert differences and [found for found in differences if not found.agrees] == []


@pytest.mark.parametrize("name", ["w-udacity-charlstm-k1", "w-sentiment-bilstm", "w-url-bilstm", "w-url-cnn-lstm",
                                  "w-lstm-chem-smiles"])  # fmt: skip
def test_suggested_code_loads_published_weights(name, monkeypatch):
    case = FOLDER / "cases" / name
    path = case / json.loads((case / "case.json").read_text())["file"]
    guess = li.inspect(path)["guess"]
    assert guess["in_line"], guess["python"]
    monkeypatch.chdir(case)
    names = {}
    exec(guess["python"], names)
    assert names["model"].count_params() == sum(
        int(np.prod(row["shape"])) for row in li.inspect(path)["arrays"])  # fmt: skip
