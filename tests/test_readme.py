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
    """A folder that holds the models and nothing else."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    return tmp_path


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python(folder, code):
    done = run([sys.executable, "-W", "error", "-c", code], folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_command(folder, command):
    done = run(["sh", "-ec", command.replace("lstm-infer", f"{sys.executable} -m lstm_infer")], folder)
    assert done.returncode == 0, done.stderr


def run(command, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
