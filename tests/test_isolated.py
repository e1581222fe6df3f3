"""`load_model(..., isolate=True)`: whatever happens to the process that reads the file, this one goes on."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.hdf5 import isolated
from lstm_infer.verify import verify

MODELS = Path(__file__).resolve().parent.parent / "models"
GOLDEN = Path(__file__).resolve().parent / "golden"
SUNSPOTS = MODELS / "sunspots.h5"


def child(monkeypatch, code):
    """Let the child run this code before, or instead of, what it is asked."""
    begin = "import sys, time, lstm_infer.hdf5 as hdf5\nfrom lstm_infer.hdf5 import isolated\n"
    monkeypatch.setattr(isolated, "CHILD", [sys.executable, "-c", begin + code])


def same_weights(model, other):
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["sunspots.h5", "digits.keras"])
def test_the_same_model(name):
    same_weights(li.load_model(MODELS / name, isolate=True), li.load_model(MODELS / name))


def test_vocabularies_come_along():
    path = GOLDEN / "keras3_text_lstm.keras"
    with np.load(path.with_suffix(".npz")) as recorded:
        golden = dict(recorded)
    assert [found for found in verify(li.load_model(path, isolate=True), golden) if not found.agrees] == []


def test_bytes_open_files_and_architecture_with_weights():
    whole = li.load_model(SUNSPOTS)
    same_weights(li.load_model(SUNSPOTS.read_bytes(), isolate=True), whole)
    with open(SUNSPOTS, "rb") as file:
        same_weights(li.load_model(file, isolate=True), whole)
    text, weights = MODELS / "sunspots.json", MODELS / "sunspots.weights.h5"
    same_weights(li.load_model(text, weights=weights, isolate=True), li.load_model(text, weights=weights))


def test_refusals_and_system_errors_are_the_same(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        li.load_model(tmp_path / "absent.h5", isolate=True)
    (tmp_path / "cut.h5").write_bytes(SUNSPOTS.read_bytes()[:20_000])
    with pytest.raises(li.LoadError, match=r"^cut.h5: is cut short"):
        li.load_model(tmp_path / "cut.h5", isolate=True)
    with pytest.raises(li.LoadError, match="architecture without weights"):
        li.load_model(MODELS / "sunspots.json", isolate=True)


def test_a_crash(monkeypatch):
    child(monkeypatch, "import ctypes; ctypes.string_at(0)")
    with pytest.raises(li.LoadError, match=r"sunspots.h5: the HDF5 library crashed reading it"):
        li.load_model(SUNSPOTS, isolate=True)


def test_a_hang(monkeypatch):
    child(monkeypatch, "time.sleep(600)")
    monkeypatch.setattr(isolated, "SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(li.LoadError, match="took more than"):
        li.load_model(SUNSPOTS, isolate=True)
    assert time.monotonic() - start < 60


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_memory_without_end(monkeypatch):
    child(monkeypatch, "isolated._read_both = lambda *sources: bytes(1 << 36)\nisolated.main()")
    with pytest.raises(li.LoadError, match="more memory"):
        li.load_model(SUNSPOTS, isolate=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process by its time on the CPU in the same way")
def test_cpu_without_end(monkeypatch):
    child(monkeypatch, "isolated._limit(1 << 30, 1)\nwhile True: pass")
    with pytest.raises(li.LoadError, match="more time or memory"):
        li.load_model(SUNSPOTS, isolate=True)


@pytest.mark.parametrize("answer", [
    "", "[]", "{}", "nonsense", '{"model": 3, "weights": null}', '{"model": {"source": "x"}, "weights": null}',
    '{"model": {"source": "x", "config": {}, "keras_version": null, "backend": null}, "weights": {"source": "x", '
    '"layout": "legacy", "names": {}, "groups": {"a": [["k", "w", [1000000], "float32", "float32", 0]]}}}',
    '{"model": {"source": "x", "config": {}, "keras_version": null, "backend": null}, "weights": {"source": "x", '
    '"layout": "legacy", "names": {}, "groups": {"a": [["k", "w", [1], "object", "object", 0]]}}}',
])  # fmt: skip
def test_answers_without_sense(monkeypatch, answer):
    write = "import json; where = json.load(sys.stdin)['folder']\nopen(where + '/arrays', 'w').close()\n"
    child(monkeypatch, f"{write}open(where + '/answer.json', 'w').write({answer!r})")
    with pytest.raises(li.LoadError, match="sunspots.h5"):
        li.load_model(SUNSPOTS, isolate=True)


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(isolated.tempfile, "tempdir", None)
    li.load_model(SUNSPOTS, isolate=True)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_every_kind_come_back():
    import h5files

    from lstm_infer import hdf5

    arrays = {f"a{kind}": np.arange(6, dtype=kind).reshape(2, 3) for kind in ("<f2", ">f4", "<f8", "i1", ">u4", "<i8")}
    arrays["empty"], arrays["scalar"] = np.zeros((0, 3), "f4"), np.array(2.5)
    data = h5files.legacy({"a": arrays})
    with hdf5.reading_isolated(data) as raw:
        for (name, handle), (word, here) in zip(
            raw.weights.groups["a"], hdf5.read(data).weights.groups["a"], strict=True
        ):
            assert (name, handle.shape, handle.dtype) == (word, here.shape, here.dtype)
            np.testing.assert_array_equal(handle.read(), here.read())
    assert json.dumps(raw.weights.names) == "{}"
