"""The cache of compiled kernels: it never runs old code, never trusts a strange folder, and never fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import numpy as np
from lstm_infer.kernels import activations, jit
row = np.array([[-1.0, 3.0]], np.float32)
activations.activate_rows(activations.activation("relu"), row)
print(row.tolist(), jit.cache_folder())
"""


def run(package_root, cache, folder="/", before="", **environment):
    """Run `PROGRAM`, after something else, in another process; returns the result and the cache folder it chose."""
    variables = {**os.environ, "PYTHONPATH": str(package_root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    variables.pop("LSTM_INFER_CACHE_DIR", None)
    if cache is not None:
        variables["LSTM_INFER_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-c", before + PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    values, _, folder = done.stdout.strip().rpartition(" ")
    return values, folder


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package whose sources may be edited."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "lstm_infer", root / "lstm_infer", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_second_process_loads_what_the_first_compiled(tmp_path):
    values, folder = run(ROOT, tmp_path)
    assert values == "[[0.0, 3.0]]"
    compiled = {path.name: path.stat().st_mtime_ns for path in Path(folder).glob("*.nbc")}
    assert compiled
    assert run(ROOT, tmp_path) == (values, folder)
    assert {path.name: path.stat().st_mtime_ns for path in Path(folder).glob("*.nbc")} == compiled


def test_relative_folder_stays_where_it_was(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moving = "import os\nfrom lstm_infer.kernels import activations\nos.chdir('elsewhere')\n"
    _, folder = run(ROOT, "kernels", tmp_path, moving)
    assert Path(folder).parent == tmp_path / "kernels" and list(Path(folder).glob("*.nbc"))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_edit_in_any_kernel_file_leaves_the_old_code_behind(copy, tmp_path):
    _, before = run(copy, tmp_path)
    source = copy / "lstm_infer" / "kernels" / "activations.py"
    text = source.read_text()
    changed = text.replace("return a if x > a else x", "return x + 1.0")
    assert changed != text
    source.write_text(changed)
    values, after = run(copy, tmp_path)
    assert values == "[[0.0, 4.0]]"
    assert after != before


def test_damaged_cache_is_compiled_anew(tmp_path):
    _, folder = run(ROOT, tmp_path)
    for path in Path(folder).iterdir():
        path.write_bytes(b"\x80nonsense")
    assert run(ROOT, tmp_path)[0] == "[[0.0, 3.0]]"


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_folder_that_others_can_write_is_not_used(tmp_path):
    tmp_path.chmod(0o777)
    values, folder = run(ROOT, tmp_path)
    assert (values, folder) == ("[[0.0, 3.0]]", "None") and not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_default_folder_is_the_users_own(tmp_path):
    _, folder = run(ROOT, None, XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path))
    assert Path(folder).parent == tmp_path / "cache" / "lstm_infer"
    assert Path(folder).stat().st_mode & 0o777 == Path(folder).parent.stat().st_mode & 0o777 == 0o700


def test_no_folder_at_all_compiles_in_memory(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert run(ROOT, tmp_path / "file")[1] == "None"
