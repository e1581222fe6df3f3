"""What docs/ shows is run here, and the list of layer classes in it is that of today."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = [
    pytest.param(kind, text, id=f"{path.stem}-{number}")
    for path in sorted((ROOT / "docs").glob("*.md"))
    for number, (kind, text) in enumerate(
        re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
    if kind in ("python", "")
]


CHECK_CLUSTERS = """
import numpy
found = answers["y"].to_numpy() if "answers" in dir() and hasattr(answers, "to_numpy") else y[:, 0]
expected = li.load_model("models/sunspots.h5").predict(numpy.load("models/sunspots.input.npy"))[:, 0]
assert sorted(found.tolist()) == sorted(expected.tolist())
"""


@pytest.mark.parametrize(("kind", "text"), BLOCKS)
def test_block(kind, text, request):
    for package in ("ray", "pyspark", "pandas", "pyarrow"):
        if re.search(rf"import {package}\b|from {package}\b", text) and importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package} here")
    text += CHECK_CLUSTERS if "clusters" in request.node.name else ""
    warns_of_itself = re.search(r"import (ray|pyspark)\b|from pyspark\b", text)
    strict = [] if warns_of_itself else ["-W", "error"]
    command = [sys.executable, *strict, "-c", text]
    if not kind:
        command = ["sh", "-ec", text.replace("lstm-infer", f"{sys.executable} -m lstm_infer")]
    spark = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **spark}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def compatibility():
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "docs" / "compatibility.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_layers_is_todays():
    script, page = compatibility(), (ROOT / "docs" / "compatibility.md").read_text("utf-8")
    section = page[page.index(script.BEGIN) : page.index(script.END) + len(script.END)]
    assert section.splitlines() == script.layer_section(), "run: python docs/compatibility.py --layers"


def test_every_class_is_told():
    rows = {name: (marks, what) for name, marks, what in compatibility().layer_rows()}
    assert len(rows) >= 150 and all(what for _, what in rows.values())
    assert rows["LSTM"] == ("3 2", "loads") and rows["ThresholdedReLU"] == ("2", "loads")
    assert rows["Wrapper"] == ("3 2", "a base class, which no file holds")


def test_refusals_in_a_few_words():
    from lstm_infer.errors import LoadError, UnsupportedLayerError

    script = compatibility()
    text = (
        "a.h5: cannot load layer 'x/y' (Conv9D): there is no such layer here; layer 'b' (Bidirectional): it contains "
        "what is named here; layer 'l' (LSTM): unknown activation 'mine>act'; give it as custom_objects={'mine>act': "
        "function}; layer 'm' (Merge(mode='cos')): no"
    )
    assert script.reason(UnsupportedLayerError(text)) == "needs Conv9D, Merge(mode='cos'), the activation mine>act"
    assert script.reason(LoadError("a.h5: layer l: ...; the save was cut short")) == "the file is half-written"
    assert script.reason(LoadError("a.h5: layer 'd': found the array 'x', expected none")) == (
        "found the array 'x', expected none")  # fmt: skip


@pytest.mark.parametrize(
    ("word", "name"), [("k1", "Keras 1.2.2"), ("k2.2.4", "Keras 2.2.4"), ("tfk_2.4.4", "tf.keras 2.4.4"),
                       ("tfk_2.21.0", "tf_keras 2.21.0"), ("K3_3.0.5", "Keras 3.0.5"), ("other", "other")],
)  # fmt: skip
def test_names_of_producers(word, name):
    assert compatibility().producer_name(word) == name
