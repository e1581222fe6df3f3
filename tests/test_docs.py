"""The recipes in ``docs/`` are run here as they stand there, where what they need is installed."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECIPES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "clusters.md").read_text(), re.MULTILINE | re.DOTALL)
CHECK = """
import numpy
found = answers["y"].to_numpy() if "answers" in dir() and hasattr(answers, "to_numpy") else y[:, 0]
expected = li.load_model("models/sunspots.h5").predict(numpy.load("models/sunspots.input.npy"))[:, 0]
assert sorted(found.tolist()) == sorted(expected.tolist())
"""


@pytest.mark.parametrize("code", RECIPES, ids=lambda code: re.findall(r"(ray|mapInPandas|pandas_udf)", code)[0])
def test_recipe(code):
    for package in ("ray", "pyspark", "pandas", "pyarrow"):
        if re.search(rf"\b{package}\b", code) and importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package} here")
    spark = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **spark}
    command = [sys.executable, "-c", code + CHECK]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
