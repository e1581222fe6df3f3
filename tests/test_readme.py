"""What the README shows is run here as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if not kind for line in text.splitlines() if "pip install" not in line]


@pytest.fixture
def folder(tmp_path):
    """A folder that holds the models, the benchmark and nothing else."""
    for name in ("models", "bench.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python(folder, code):
    done = run([sys.executable, "-W", "error", "-c", code], folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_command(folder, command):
    command = command.replace("lstm-infer", "python -m lstm_infer").replace("python ", f"{sys.executable} ")
    done = run(["sh", "-ec", command], folder)
    assert done.returncode == 0, done.stderr


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
