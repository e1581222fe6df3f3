"""Jobs that are stopped: killed at any moment, interrupted, out of disk; and what goes on from there."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.batch import journal, predict_files, spool, targets, writers

MODELS = Path(__file__).resolve().parent.parent / "models"
SUNSPOTS = MODELS / "sunspots.h5"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


class Killed(Exception):
    """As sudden as a process that is killed, as far as the files are concerned."""


@pytest.fixture(scope="module")
def model():
    return li.load_model(SUNSPOTS)


@pytest.fixture(scope="module")
def lines():
    """Rows as CSV, some of which cannot be used."""
    values = np.random.default_rng(3).normal(size=(4000, 24)).astype(np.float32)
    lines = [",".join(f"{v:.6g}" for v in row) for row in values]
    for row in (3, 1500, 1501, 3999):
        lines[row] += ",oops"
    return lines


@pytest.fixture
def small_pieces(monkeypatch):
    """Many small pieces, each of them noted in the journal."""
    monkeypatch.setattr("lstm_infer.batch.delimited.ROWS", 100)
    monkeypatch.setattr("lstm_infer.batch.feed.FEW_ROWS", 150)
    monkeypatch.setattr("lstm_infer.batch.compute.ROWS", 70)
    monkeypatch.setattr("lstm_infer.batch.targets.SECONDS", 0.0)


def content(path):
    """What is in an output, such that equal is equal."""
    if path.suffix in (".npy", ".csv", ".jsonl"):
        return path.read_bytes()
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {name: array.tolist() for name, array in archive.items()}
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return {name: file[name][()].tolist() for name in file}
    pyarrow = pytest.importorskip("pyarrow")
    if path.suffix == ".arrow":
        return pyarrow.ipc.open_file(path).read_all().to_pydict()
    import pyarrow.parquet as parquet

    return parquet.read_table(path).to_pydict()


@pytest.mark.parametrize("suffix", ["npy", "csv", "jsonl", "npz", "h5", "parquet", "arrow"])
def test_killed_at_any_moment(tmp_path, model, lines, small_pieces, monkeypatch, suffix):
    """Everything that a job does to its files may be the last thing it does."""
    if suffix in ("parquet", "arrow"):
        pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text("\n".join(lines))
    given = {"on_error": "skip", "index": suffix != "npy"}
    predict_files(model, tmp_path / "x.csv", tmp_path / f"whole.{suffix}", **given)
    dice, target = random.Random(suffix), tmp_path / f"y.{suffix}"
    real_save, real_write, real_replace = journal.save, targets.FileTarget.write, os.replace
    left = 0

    def maybe(function, then_write_rubbish=False):
        def act(*arguments, **named):
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            result = function(*arguments, **named)
            if left == 1 and then_write_rubbish:
                raise Killed
            return result

        return act

    monkeypatch.setattr(journal, "save", maybe(real_save))
    monkeypatch.setattr(targets.FileTarget, "write", maybe(real_write, True))
    monkeypatch.setattr(os, "replace", maybe(real_replace))
    monkeypatch.setattr(targets.FileTarget, "keep", lambda self: self._close())
    kills = 0
    for _ in range(200):
        left = dice.randint(1, 40)
        try:
            done = predict_files(model, tmp_path / "x.csv", target, resume=True, **given)
        except Killed:
            kills += 1
            continue
        break
    assert kills >= 5
    assert (done.rows, done.rejected) == (3996, 4)
    assert content(target) == content(tmp_path / f"whole.{suffix}")
    rejected = [(tmp_path / f"{name}.{suffix}.rejected.jsonl").read_bytes() for name in ("y", "whole")]
    assert rejected[0] == rejected[1]
    assert len([name for name in os.listdir(tmp_path) if name.startswith(".")]) == 0


# ---------------------------------------------------------------- real processes
def start(*arguments, **given):
    command = [sys.executable, "-m", "lstm_infer", "predict", str(SUNSPOTS), *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE, **given)


def finish(process):
    """Return the exit status and what was said on standard error."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


@pytest.fixture(scope="module")
def slow_job(tmp_path_factory):
    """A job of some seconds: its input and what becomes of it."""
    folder = tmp_path_factory.mktemp("slow")
    np.save(folder / "x.npy", np.random.default_rng(4).normal(size=(150_000, 24, 1)).astype(np.float32))
    began = time.monotonic()
    assert finish(start(folder / "x.npy", "-o", folder / "y.csv", "--threads", 1))[0] == 0
    return folder / "x.npy", (folder / "y.csv").read_bytes(), time.monotonic() - began


def test_killed_for_good(tmp_path, slow_job):
    x, expected, seconds = slow_job
    dice = random.Random(1)
    for _ in range(4):
        process = start(x, "-o", tmp_path / "y.csv", "--resume", "--threads", 1)
        time.sleep(dice.uniform(0.2, 1.0) * seconds)
        process.kill()
        process.communicate()
        assert not (tmp_path / "y.csv").exists() or (tmp_path / "y.csv").read_bytes() == expected
    process = start(x, "-o", tmp_path / "y.csv", "--resume", "--quiet", "--stats")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert (tmp_path / "y.csv").read_bytes() == expected
    stats = json.loads(errors)
    assert stats["rows"] == 150_000 and stats["peak_memory"] > 1 << 20


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path, slow_job, number, status):
    x, expected, _ = slow_job
    process = start(x, "-o", tmp_path / "y.csv", "--threads", 1)
    partial = tmp_path / ".y.csv.partial" / "data"
    while not partial.exists() or not partial.stat().st_size:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "rows are done and kept; the same command with --resume goes on" in errors
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == [".y.csv.partial"]
    status, errors = finish(start(x, "-o", tmp_path / "y.csv", "--resume", "--stats"))
    assert status == 0 and json.loads(errors)["resumed_at"] > 0
    assert (tmp_path / "y.csv").read_bytes() == expected
    assert os.listdir(tmp_path) == ["y.csv"]


def test_two_jobs_at_once(tmp_path, slow_job):
    x, _, _ = slow_job
    first = start(x, "-o", tmp_path / "y.csv", "--threads", 1, "--batch-size", 4)  # so that it takes its time
    while not (tmp_path / ".y.csv.partial").exists():
        time.sleep(0.01)
    status, errors = finish(start(x, "-o", tmp_path / "y.csv"))
    assert status == 2 and "another job that writes it now" in errors
    assert finish(first)[0] == 0


# ---------------------------------------------------------------- another job
def stop_early(model, x, target, monkeypatch, **given):
    """Run a job that runs out of disk in the middle."""
    real, calls = targets.FileTarget.write, []

    def write(self, results):
        calls.append(0)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        real(self, results)

    with monkeypatch.context() as patch:
        patch.setattr(targets.FileTarget, "write", write)
        with pytest.raises(OSError, match="No space left"):
            predict_files(model, x, target, **given)


@pytest.fixture
def stopped(tmp_path, model, lines, small_pieces, monkeypatch):
    good = [line for line in lines if "oops" not in line]
    (tmp_path / "x.csv").write_text("\n".join(good))
    stop_early(model, tmp_path / "x.csv", tmp_path / "y.csv", monkeypatch)
    assert sorted(os.listdir(tmp_path)) == [".y.csv.partial", "x.csv"]
    return tmp_path


def test_another_model(stopped, model):
    other = li.load_model(SUNSPOTS)
    weights = other.get_weights()
    weights[0][0, 0] += 1e-3
    other.set_weights(weights)
    with pytest.raises(li.InputError, match="another model"):
        predict_files(other, stopped / "x.csv", stopped / "y.csv", resume=True)
    with pytest.raises(li.InputError, match="another model"):
        predict_files(li.load_model(SUNSPOTS, dtype="float64"), stopped / "x.csv", stopped / "y.csv", resume=True)
    done = predict_files(li.load_model(SUNSPOTS), stopped / "x.csv", stopped / "y.csv", resume=True)
    assert done.resumed_at > 0


def test_another_input(stopped, model):
    shutil.copy(stopped / "x.csv", stopped / "z.csv")
    with pytest.raises(li.InputError, match="other input"):
        predict_files(model, stopped / "z.csv", stopped / "y.csv", resume=True)
    os.utime(stopped / "x.csv")
    with pytest.raises(li.InputError, match="other input"):
        predict_files(model, stopped / "x.csv", stopped / "y.csv", resume=True)


def test_other_options(stopped, model):
    with pytest.raises(li.InputError, match="other options"):
        predict_files(model, stopped / "x.csv", stopped / "y.csv", resume=True, round=3)
    done = predict_files(model, stopped / "x.csv", stopped / "y.csv", resume=True, threads=1, batch_size=13)
    assert done.resumed_at > 0 and done.rows == 3996


def test_without_resume_it_begins_anew(stopped, model):
    done = predict_files(model, stopped / "x.csv", stopped / "y.csv")
    assert (done.resumed_at, done.rows) == (0, 3996)
    assert predict_files(model, stopped / "x.csv", stopped / "y.csv", resume=True).resumed_at == 0


def test_a_broken_journal(stopped, model):
    (stopped / ".y.csv.partial" / "journal.json").write_text("{")
    with pytest.raises(li.InputError, match="broken journal"):
        predict_files(model, stopped / "x.csv", stopped / "y.csv", resume=True)


def test_streams_cannot_resume(model, tmp_path):
    with pytest.raises(li.InputError, match="resume needs an output file"):
        predict_files(model, MODELS / "sunspots.input.csv", "-", resume=True)
    process = start("-", "-o", tmp_path / "y.csv", "--resume", stdin=subprocess.DEVNULL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and "standard input" in errors


# ---------------------------------------------------------------- disks and folders
@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where we may mount one."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("suffix", ["npy", "csv", "npz"])
def test_full_disk(tmp_path, slow_job, small_disk, suffix):
    x, _, _ = slow_job
    (small_disk / "in the way").write_bytes(bytes(900_000))
    process = start(x, "-o", small_disk / f"y.{suffix}")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "No space left on device" in errors and "Traceback" not in errors
    assert not (small_disk / f"y.{suffix}").exists()


def test_full_disk_then_resume(tmp_path, model, small_disk):
    x = np.random.default_rng(4).normal(size=(12_000, 24, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    (small_disk / "in the way").write_bytes(bytes((1 << 20) - 40_000))
    process = start(tmp_path / "x.npy", "-o", small_disk / "y.npy")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    (small_disk / "in the way").unlink()
    assert finish(start(tmp_path / "x.npy", "-o", small_disk / "y.npy", "--resume"))[0] == 0
    np.testing.assert_array_equal(np.load(small_disk / "y.npy"), model.predict(x))


def test_read_only_folder(tmp_path, model):
    with pytest.raises(OSError):
        predict_files(model, MODELS / "sunspots.input.npy", "/proc/y.npy")
    process = start(MODELS / "sunspots.input.npy", "-o", "/proc/y.npy")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and "/proc/y.npy" in errors


def test_broken_pipe(slow_job):
    x, _, _ = slow_job
    process = start(x, stdout=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.mark.parametrize("suffix", ["npz", "h5", "jsonl", "npy"])
def test_disk_full_between_columns(tmp_path, model, lines, small_pieces, monkeypatch, suffix):
    """What one column has got and another has not does not count."""
    (tmp_path / "x.csv").write_text("\n".join(lines))
    given = {"on_error": "skip", "index": suffix != "npy"}
    predict_files(model, tmp_path / "x.csv", tmp_path / f"whole.{suffix}", **given)
    real, left = (spool._Column.append, writers.Writer.write)[suffix in ("jsonl", "npy")], 0

    def append(self, part):
        nonlocal left
        left -= 1
        if left == 0:
            if suffix in ("jsonl", "npy"):
                self._file.write(b"rubbish")
            raise OSError(28, "No space left on device")
        real(self, part)

    monkeypatch.setattr(spool._Column, "append", append if suffix in ("npz", "h5") else spool._Column.append)
    monkeypatch.setattr(writers.Writer, "write", append if suffix in ("jsonl", "npy") else writers.Writer.write)
    for number in (5, 9, 13):
        left = number
        with pytest.raises(OSError, match="No space"):
            predict_files(model, tmp_path / "x.csv", tmp_path / f"y.{suffix}", resume=True, **given)
    done = predict_files(model, tmp_path / "x.csv", tmp_path / f"y.{suffix}", resume=True, **given)
    assert done.resumed_at > 0
    assert content(tmp_path / f"y.{suffix}") == content(tmp_path / f"whole.{suffix}")
    rejected = [(tmp_path / f"{name}.{suffix}.rejected.jsonl").read_bytes() for name in ("y", "whole")]
    assert rejected[0] == rejected[1]


def test_interrupted_twice(tmp_path, slow_job):
    x, expected, _ = slow_job
    process = start(x, "-o", tmp_path / "y.csv", "--threads", 1)
    partial = tmp_path / ".y.csv.partial" / "data"
    while not partial.exists() or not partial.stat().st_size:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    status, errors = finish(process)
    assert status == 130 and "Traceback" not in errors
    assert finish(start(x, "-o", tmp_path / "y.csv", "--resume"))[0] == 0
    assert (tmp_path / "y.csv").read_bytes() == expected


def test_an_output_that_was_taken_away_is_made_again(tmp_path, model, lines, monkeypatch):
    """The job was killed when its output was in its place, and before it had tidied up."""
    (tmp_path / "x.csv").write_text("\n".join(lines))
    given = {"on_error": "skip", "resume": True}
    monkeypatch.setattr(targets.FileTarget, "_remove", lambda self: self._close())
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)
    expected = (tmp_path / "y.npy").read_bytes()
    done = predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)
    assert done.resumed_at == done.rows == len(lines) - 4
    monkeypatch.undo()
    (tmp_path / "y.npy").unlink()
    done = predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)
    assert (done.resumed_at, done.rows, done.rejected) == (0, len(lines) - 4, 4)
    assert (tmp_path / "y.npy").read_bytes() == expected
    assert not (tmp_path / ".y.npy.partial").exists()


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "npz", "h5"])
def test_numbers_that_become_texts_in_the_middle(tmp_path, model, small_pieces, monkeypatch, suffix):
    """A column beside is of plain numbers until the first row that lacks one."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    monkeypatch.setattr("lstm_infer.batch.tables.READ_ROWS", 50)
    x = np.random.default_rng(3).normal(size=(600, 24)).astype(np.float32)
    n = pa.array([None if row in (333, 334, 599) else row for row in range(600)])
    parquet.write_table(pa.table({"x": x.tolist(), "n": n, "text": n.cast(pa.string())}), tmp_path / "x.parquet")
    given = {"columns": ["x"], "with_input": ["n", "text"]}
    predict_files(model, tmp_path / "x.parquet", tmp_path / f"whole.{suffix}", **given)
    if suffix == "parquet":
        assert parquet.read_table(tmp_path / "whole.parquet")["n"].combine_chunks().equals(n)
    write = targets.FileTarget.write

    def full():
        raise OSError(28, "No space left on device")

    for most in range(1, 10):
        calls = []

        def some(self, results, calls=calls, most=most):
            if len(calls) == most:
                self._writer.write(results)  # what the journal does not know of
                self.save = full
                raise Killed
            calls.append(0)
            write(self, results)

        target = tmp_path / f"y{most}.{suffix}"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(targets.FileTarget, "write", some)
            predict_files(model, tmp_path / "x.parquet", target, **given)
        done = predict_files(model, tmp_path / "x.parquet", target, resume=True, **given)
        assert 0 < done.resumed_at < done.rows == 600
        assert content(target) == content(tmp_path / f"whole.{suffix}")
