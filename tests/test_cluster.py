"""A real Dask cluster on this machine, one of whose workers is killed in the middle."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.batch import predict_files, predict_on_cluster
from lstm_infer.batch.settings import Settings
from lstm_infer.batch.sources import Source

ROOT = Path(__file__).resolve().parent.parent
SUNSPOTS = ROOT / "models" / "sunspots.h5"
ROWS = 60_000

JOB = """
import os, signal, subprocess, sys, threading, time
from distributed import Client, LocalCluster
import lstm_infer as li
from lstm_infer.batch import predict_on_cluster

def kill_one(client, folder):
    pids = sorted(client.run(os.getpid).values())
    while not any(name.startswith("part-") for name in (os.listdir(folder) if os.path.isdir(folder) else ())):
        time.sleep(0.01)
    os.kill(pids[0], signal.SIGKILL)
    print("killed", flush=True)

if __name__ == "__main__":
    x, folder = sys.argv[1:]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster:
        with Client(cluster) as client:
            killer = threading.Thread(target=kill_one, args=(client, folder))
            killer.start()
            model = li.load_model("models/sunspots.h5")
            done = predict_on_cluster(model, x, folder, client, partition_rows=5000, output_format="npy")
            killer.join()
            print(done.rows)
            command = [sys.executable, "-m", "lstm_infer", "predict", "models/sunspots.h5", x, "-o", folder + "-cli"]
            command += ["--dask", cluster.scheduler_address, "--output-format", "csv", "--partition-rows", "30000"]
            subprocess.run(command, check=True, timeout=120)
"""


@pytest.fixture(scope="module")
def x(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(ROWS, 24, 1)).astype(np.float32))
    return path


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_worker(tmp_path, x):
    pytest.importorskip("distributed")
    (tmp_path / "job.py").write_text(JOB)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, tmp_path / "job.py", x, tmp_path / "y"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["killed", str(ROWS)]
    expected = li.load_model(SUNSPOTS).predict(np.load(x))
    manifest = json.loads((tmp_path / "y" / "_manifest.json").read_text())
    assert sorted(os.listdir(tmp_path / "y")) == ["_manifest.json", *(f"part-{n:05}.npy" for n in range(12))]
    assert manifest["rows"] == ROWS and [part["part"] for part in manifest["parts"]][1] == [5000, 10_000]
    parts = [np.load(tmp_path / "y" / part["file"]) for part in manifest["parts"]]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    parts = [np.loadtxt(path, np.float32, ndmin=2) for path in sorted((tmp_path / "y-cli").glob("part-*.csv"))]
    assert len(parts) == 2
    np.testing.assert_array_equal(np.concatenate(parts), expected)


# ---------------------------------------------------------------- without a cluster
class Here:
    """A client that computes in this process, and fails at one task."""

    def __init__(self, failing=None):
        self.failing, self.begun = failing, 0

    def submit(self, function, *arguments, **options):
        self.begun += 1
        if self.begun == self.failing:
            return Future(None)
        return Future(function(*arguments))

    def cancel(self, futures):
        pass


class Future:
    def __init__(self, result):
        self._result = result

    def result(self):
        if self._result is None:
            raise KeyboardInterrupt
        return self._result


@pytest.fixture
def no_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(as_completed=iter))


def test_resume(tmp_path, x, no_dask):
    model, folder, kept = li.load_model(SUNSPOTS), tmp_path / "y", []
    given = {"partition_rows": 15_000, "output_format": "npy", "kept": kept.append}
    with pytest.raises(KeyboardInterrupt):
        predict_on_cluster(model, x, folder, Here(failing=3), **given)
    assert kept == [(30_000, str(folder))]
    (folder / "_part-00001.npy.json").unlink()  # as if killed just after the part was renamed
    os.utime(folder / "part-00000.npy", (1, 1))
    with pytest.raises(li.InputError, match=r"not empty; resume \(--resume\) goes on"):
        predict_on_cluster(model, x, folder, Here(), **given)
    for other, message in (({"round": 3}, "other options"), ({"partition_rows": 7000}, "in other parts")):
        with pytest.raises(li.InputError, match=message):
            predict_on_cluster(model, x, folder, Here(), resume=True, **{**given, **other})
    client = Here()
    done = predict_on_cluster(model, x, folder, client, resume=True, **given)
    assert (done.rows, done.resumed_at) == (ROWS, 30_000) and client.begun == 2
    assert os.stat(folder / "part-00000.npy").st_mtime == 1
    assert sorted(os.listdir(folder)) == ["_manifest.json", *(f"part-{n:05}.npy" for n in range(4))]
    manifest = json.loads((folder / "_manifest.json").read_text())
    assert manifest["rows"] == ROWS and set(manifest["parts"][0]) == set(manifest["parts"][1])
    parts = [np.load(folder / part["file"]) for part in manifest["parts"]]
    np.testing.assert_array_equal(np.concatenate(parts), model.predict(np.load(x)))
    with pytest.raises(li.InputError, match="all parts of a job are done"):
        predict_on_cluster(model, x, folder, Here(), resume=True, **given)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(li.InputError, match="no stopped job left"):
        predict_on_cluster(model, x, tmp_path / "full", Here(), resume=True, **given)


def test_a_folder_of_parquet_is_a_dataset(tmp_path, x, no_dask):
    pytest.importorskip("pyarrow")
    import pyarrow.dataset as dataset

    model = li.load_model(SUNSPOTS)
    predict_on_cluster(model, x, tmp_path / "y", Here(), partition_rows=15_000)
    expected = model.predict(np.load(x))[:, 0]
    (name,) = dataset.dataset(tmp_path / "y").schema.names
    np.testing.assert_array_equal(dataset.dataset(tmp_path / "y").to_table()[name].to_numpy(), expected)
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(pandas.read_parquet(tmp_path / "y")[name], expected)


def test_wrong_usage(tmp_path, x, monkeypatch):
    model = li.load_model(SUNSPOTS)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "distributed", None)
        with pytest.raises(li.InputError, match=r"pip install 'lstm-infer\[dask\]'"):
            predict_on_cluster(model, x, tmp_path / "y", "tcp://127.0.0.1:1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    npy = {"output_format": "npy"}
    for output, message in ((tmp_path / "full", "not empty"), ("-", "expected a folder")):
        with pytest.raises(li.InputError, match=message):
            predict_on_cluster(model, x, output, None, **npy)
    with pytest.raises(li.InputError, match="found standard input"):
        predict_on_cluster(model, "-", tmp_path / "y", None, **npy)
    with pytest.raises(li.InputError, match="rejected is not for clusters"):
        predict_on_cluster(model, x, tmp_path / "y", None, on_error="skip", rejected="r.jsonl", **npy)
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("kind", ["npy", "h5", "parquet"])
def test_parts_of_files(tmp_path, kind):
    import h5py

    model, x = li.load_model(SUNSPOTS), np.random.default_rng(0).normal(size=(1000, 24)).astype(np.float32)
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        np.save(path, x)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["x"] = x
    else:
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as parquet

        parquet.write_table(pa.table({str(n): x[:, n] for n in range(24)}), path, row_group_size=100)
    expected = model.predict(x[..., None])
    for part, rows in (((0, 3), slice(0, 3)), ((3, 10), slice(3, 10))):
        scale = 100 if kind == "parquet" else 1
        source, target = Source(str(path), kind, part=part), tmp_path / "y.csv"
        predict_files(model, [source], target, index=True)
        found = np.loadtxt(target, np.float32, delimiter=",", skiprows=1)
        rows = slice(rows.start * scale, rows.stop * scale)
        np.testing.assert_array_equal(found[:, 0], np.arange(1000)[rows])
        np.testing.assert_array_equal(found[:, 1:], expected[rows])


def tables(n):
    """Some odd text files of the same kind of rows, and whether they have a header."""
    rows = [[f"{v:.3f}" for v in row] for row in np.random.default_rng(0).normal(size=(n, 24))]
    rows[7][3], rows[n - 1][0] = "oops", "nan?"
    rows[9][2] = f'" {rows[9][2]}\n"'
    plain, header = [",".join(row) for row in rows], ",".join(f"c{n}" for n in range(24))
    blank = [line for row in plain for line in (row, "", " ")]
    json_rows = [f"[{row}]" if '"' not in row else '{"a": 1}' for row in plain]
    return {
        "plain.csv": "\n".join(plain), "header.csv": "\n\n" + "\n".join([header, *plain]),
        "crlf.csv": "\ufeff" + "\r\n".join(plain) + "\r\n", "blank.csv": "\n".join(blank) + "\n",
        "x.jsonl": "\n".join(json_rows), "blank.jsonl": "\n \n" + "\n\n".join(json_rows) + "\n",
    }  # fmt: skip


@pytest.mark.parametrize("name", tables(10))
@pytest.mark.parametrize("rows", [1, 4, 50, 1000])
def test_parts_of_text(tmp_path, name, rows):
    """Together they are the file: rows, their numbers, and the lines of those that cannot be used."""
    from lstm_infer.batch.cluster import _split

    (tmp_path / name).write_bytes(tables(101)[name].encode())
    model, given = li.load_model(SUNSPOTS), {"index": True, "on_error": "skip"}
    predict_files(model, tmp_path / name, tmp_path / "whole.jsonl", **given)
    parts = _split(Source(str(tmp_path / name), name.rpartition(".")[2]), model, Settings(**given), rows)
    assert len(parts) - -(-101 // rows) in (-1, 0)
    found = {"": b"", ".rejected.jsonl": b""}
    for part in parts:
        target = tmp_path / "part.jsonl"
        (tmp_path / "part.jsonl.rejected.jsonl").unlink(missing_ok=True)
        predict_files(model, [part], target, **given)
        for suffix in found:
            path = tmp_path / f"part.jsonl{suffix}"
            found[suffix] += path.read_bytes() if path.exists() else b""
    for suffix, text in found.items():
        assert text == (tmp_path / f"whole.jsonl{suffix}").read_bytes()
        assert text.count(b"\n") == {"": 99, ".rejected.jsonl": 2}[suffix] or name.endswith("jsonl")


def test_series_stay_whole(x):
    from lstm_infer.batch.cluster import _split

    model, source = li.load_model(SUNSPOTS), Source(str(x), "npy")
    parts = [part.part for part in _split(source, model, Settings(), 25_000)]
    assert parts == [(0, 25_000), (25_000, 50_000), (50_000, ROWS)]
    assert [part.part for part in _split(source, model, Settings(window=3), 25_000)] == [None]


@pytest.fixture(scope="module")
def adder():
    """A model with two inputs, which adds them."""
    a, b = li.Input((2,), name="a"), li.Input((1,), name="b")
    model = li.Model([a, b], li.Dense(1, name="sum")(li.Concatenate()([a, b])))
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    return model


@pytest.mark.parametrize(("suffix", "parts"), [("npy", 6), ("csv", 2)])
def test_a_file_for_each_input(tmp_path, adder, no_dask, suffix, parts):
    """Of npy, ranges of rows; of CSV, whole files."""
    values = np.arange(1.0, 3001.0).reshape(1000, 3)
    inputs = {"a": [], "b": []}
    for number, rows in enumerate((values[:700], values[700:])):
        for name, part in (("a", rows[:, :2]), ("b", rows[:, 2:])):
            inputs[name].append(tmp_path / f"{name}{number}.{suffix}")
            np.save(inputs[name][-1], part) if suffix == "npy" else np.savetxt(inputs[name][-1], part, "%g", ",")
    given = {"partition_rows": 200, "output_format": "npy"}
    with pytest.raises(KeyboardInterrupt):
        predict_on_cluster(adder, inputs, tmp_path / "y", Here(failing=2), **given)
    done = predict_on_cluster(adder, inputs, tmp_path / "y", Here(), resume=True, **given)
    found = [np.load(path) for path in sorted((tmp_path / "y").glob("part-*.npy"))]
    assert len(found) == parts and done.rows == 1000 and done.resumed_at
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], values.sum(axis=1))
    manifest = json.loads((tmp_path / "y" / "_manifest.json").read_text())
    assert manifest["parts"][-1]["source"] == [str(inputs["a"][1]), str(inputs["b"][1])]
    with pytest.raises(li.InputError, match="expected one number"):
        predict_on_cluster(adder, {**inputs, "b": inputs["b"][:1]}, tmp_path / "z", Here(), **given)
    with pytest.raises(li.InputError, match="found more rows than"):
        swapped = {**inputs, "b": inputs["b"][::-1]}
        predict_on_cluster(adder, swapped, tmp_path / "z", Here(), **given)
    with pytest.raises(li.InputError, match="across_files is not for clusters"):
        predict_on_cluster(adder, inputs, tmp_path / "x", Here(), window=2, across_files=True, **given)
