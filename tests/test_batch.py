"""Jobs over files: every format in and out, against `predict` of the same numbers in memory."""

import argparse
import csv
import gzip
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.batch import command, predict_batches, predict_files
from lstm_infer.batch.feed import Feed
from lstm_infer.batch.progress import make
from lstm_infer.batch.settings import Settings

RANDOM = np.random.default_rng(5)
TIMESTEPS, FEATURES = 6, 2


def made(*layers, shape=(None, FEATURES), dtype="float32"):
    model = li.Sequential([li.Input(shape, dtype=dtype), *layers])
    random = np.random.default_rng(1)
    shapes = [s for layer in model.holders() for s in layer.expected_shapes.values()]
    model.set_weights([random.normal(size=s) * 0.5 for s in shapes])
    return model


@pytest.fixture(scope="module")
def model():
    return made(li.LSTM(5), li.Dense(3, name="out"))


@pytest.fixture(scope="module")
def x():
    return RANDOM.normal(size=(700, TIMESTEPS, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(model, x):
    return model.predict(x)


def pyarrow():
    return pytest.importorskip("pyarrow")


# ---------------------------------------------------------------- input
def as_npy(path, x):
    np.save(path, x)


def as_fortran(path, x):
    np.save(path, np.asfortranarray(x))


def as_npz(path, x):
    np.savez_compressed(path, x=x)


def as_csv(path, x):
    np.savetxt(path, x.reshape(len(x), -1), "%.9g", delimiter=",")


def as_tsv_with_header(path, x):
    flat = x.reshape(len(x), -1)
    np.savetxt(path, flat, "%.9g", delimiter="\t", header="\t".join(f"c{n}" for n in range(flat.shape[1])), comments="")


def as_csv_gz(path, x):
    text = "".join(",".join(f"{v:.9g}" for v in row) + "\r\n" for row in x.reshape(len(x), -1).tolist())
    path.write_bytes(gzip.compress(text.encode()))


def as_jsonl(path, x):
    path.write_text("".join(json.dumps(row) + "\n" for row in x.tolist()))


def as_jsonl_objects(path, x):
    path.write_text("".join(json.dumps({"id": n, "x": row}) + "\n" for n, row in enumerate(x.tolist())))


def as_h5(path, x):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=x, chunks=(50, TIMESTEPS, FEATURES), compression="gzip")


def as_parquet(path, x):
    pa = pyarrow()
    import pyarrow.parquet as parquet

    flat = x.reshape(len(x), -1)
    table = pa.table({f"c{n}": flat[:, n] for n in range(flat.shape[1])})
    parquet.write_table(table, path, row_group_size=100)


def as_parquet_lists(path, x):
    pa = pyarrow()
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"id": np.arange(len(x)), "x": x.tolist()}), path)


def as_arrow(path, x):
    pa = pyarrow()
    table = pa.table({f"c{n}": column for n, column in enumerate(x.reshape(len(x), -1).T)})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=64)


def as_arrow_stream(path, x):
    pa = pyarrow()
    table = pa.table({f"c{n}": column for n, column in enumerate(x.reshape(len(x), -1).T)})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


INPUTS = [
    ("x.npy", as_npy), ("x.npy", as_fortran), ("x.npz", as_npz), ("x.csv", as_csv), ("x.tsv", as_tsv_with_header),
    ("x.csv.gz", as_csv_gz), ("x.jsonl", as_jsonl), ("x.jsonl", as_jsonl_objects), ("x.h5", as_h5),
    ("x.parquet", as_parquet), ("x.parquet", as_parquet_lists), ("x.arrow", as_arrow), ("x.feather", as_arrow_stream),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write"), INPUTS, ids=lambda value: getattr(value, "__name__", None))
def test_every_input(tmp_path, model, x, expected, name, write):
    write(tmp_path / name, x)
    wanted = {"columns": ["x"]} if write in (as_jsonl_objects, as_parquet_lists) else {}
    done = predict_files(model, tmp_path / name, tmp_path / "y.npy", **wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    assert (done.rows, done.rejected) == (len(x), 0)
    assert sorted(os.listdir(tmp_path)) == sorted([name, "y.npy"])


def test_dataset_in_hdf5(tmp_path, model, x, expected):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["deep/x"] = x
        file["other"] = x + 1
    predict_files(model, f"{tmp_path}/x.h5:/deep/x", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    with pytest.raises(li.InputError, match="found no '/none'"):
        predict_files(model, f"{tmp_path}/x.h5:/none", tmp_path / "y.npy")


def test_hdf5_links_out_are_refused(tmp_path, model, x):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = x
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(li.InputError):
        predict_files(model, f"{tmp_path}/x.h5:/x", tmp_path / "y.npy")
    with pytest.raises(li.InputError):
        predict_files(model, f"{tmp_path}/x.h5", tmp_path / "y.npy")


def test_folders_globs_and_lists(tmp_path, model, x, expected):
    folder = tmp_path / "data" / "deeper"
    folder.mkdir(parents=True)
    for n in range(7):
        (as_npy if n % 2 else as_csv)(folder / f"{n}.{'npy' if n % 2 else 'csv'}", x[100 * n : 100 * n + 100])
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.npy").write_text("")
    (folder / "notes.md").write_text("")
    several = [str(folder / f"{n}.{'npy' if n % 2 else 'csv'}") for n in range(7)]
    for inputs in (tmp_path / "data", f"{tmp_path}/data/**/*[0-9].*", several):
        predict_files(model, inputs, tmp_path / "y.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    predict_files(model, several, tmp_path / "y.csv", index=True)
    lines = (tmp_path / "y.csv").read_text().splitlines()
    assert lines[0] == "source,row,out_0,out_1,out_2"
    assert lines[101].startswith(f"{several[1]},0,")
    with pytest.raises(li.InputError, match="found no files"):
        predict_files(model, f"{tmp_path}/*.nothing", tmp_path / "y.npy")


def test_python_iterables(tmp_path, model, x, expected):
    predict_files(model, (x[n : n + 33] for n in range(0, len(x), 33)), tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    found = list(predict_batches(model, (x[n : n + 33] for n in range(0, len(x), 33))))
    assert [len(y) for y in found] == [33] * 21 + [7]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    with pytest.raises(li.InputError, match="found shape"):
        list(predict_batches(model, [x[:, :, :1]]))
    with pytest.raises(ZeroDivisionError):
        list(predict_batches(model, (1 / 0 for _ in range(2))))


# ---------------------------------------------------------------- several inputs and outputs
@pytest.fixture(scope="module")
def forked():
    past, now = li.Input((None, FEATURES), name="past"), li.Input((3,), name="now")
    h = li.LSTM(4, name="lstm")(past)
    joined = li.Concatenate()([h, now])
    model = li.Model([past, now], [li.Dense(2, name="a")(joined), li.Dense(1, name="b")(joined)])
    random = np.random.default_rng(2)
    model.set_weights([random.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    return model


@pytest.fixture(scope="module")
def pair(x):
    return {"past": x, "now": RANDOM.normal(size=(len(x), 3)).astype(np.float32)}


def check_pair(path, forked, pair):
    a, b = forked.predict(pair)
    with np.load(path) as found:
        np.testing.assert_array_equal(found["a"], a)
        np.testing.assert_array_equal(found["b"], b)


def test_several_inputs(tmp_path, forked, pair):
    np.savez(tmp_path / "x.npz", **pair)
    np.savez(tmp_path / "numbered.npz", input_0=pair["past"], input_1=pair["now"])
    np.save(tmp_path / "past.npy", pair["past"])
    as_csv(tmp_path / "now.csv", pair["now"])
    rows = [{"now": now.tolist(), "past": past.tolist()} for now, past in zip(pair["now"], pair["past"], strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for inputs in ("x.npz", "numbered.npz", "x.jsonl"):
        predict_files(forked, tmp_path / inputs, tmp_path / "y.npz")
        check_pair(tmp_path / "y.npz", forked, pair)
    predict_files(forked, {"past": tmp_path / "past.npy", "now": [tmp_path / "now.csv"]}, tmp_path / "y.npz")
    check_pair(tmp_path / "y.npz", forked, pair)
    np.save(tmp_path / "short.npy", pair["past"][:650])
    with pytest.raises(li.InputError, match="more rows than"):
        predict_files(forked, {"past": tmp_path / "short.npy", "now": tmp_path / "now.csv"}, tmp_path / "y.npz")
    with pytest.raises(li.InputError, match="expected an .npz target"):
        predict_files(forked, tmp_path / "x.npz", tmp_path / "y.npy")


@pytest.mark.parametrize("bad", [({3, 9, 400}, {9, 500}), (set(range(690, 700)), {1}), (set(), {699}), ({0}, {0, 699})])
def test_rows_skipped_in_a_file_of_one_input_are_left_out_of_all(tmp_path, forked, pair, bad, monkeypatch):
    monkeypatch.setattr("lstm_infer.batch.delimited.ROWS", 100)
    for (name, values), rows in zip(pair.items(), bad, strict=True):
        lines = [",".join(f"{v:.9g}" for v in row) for row in values.reshape(len(values), -1)]
        lines = [f"{line}e+" if row in rows else line for row, line in enumerate(lines)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines[:333]) + "\n\n")
        (tmp_path / f"{name}.2.csv").write_text("\n".join(lines[333:]))
    inputs = {name: [tmp_path / f"{name}.csv", tmp_path / f"{name}.2.csv"] for name in ("now", "past")}
    with pytest.raises(li.InputError, match="line"):
        predict_files(forked, inputs, tmp_path / "y.npz")
    kept = np.delete(np.arange(700), list(bad[0] | bad[1]))
    done = predict_files(forked, inputs, tmp_path / "y.npz", on_error="skip")
    assert (done.rows, done.rejected) == (len(kept), len(bad[0]) + len(bad[1]))
    check_pair(tmp_path / "y.npz", forked, {name: values[kept] for name, values in pair.items()})
    np.save(tmp_path / "now.npy", pair["now"][:-1])
    with pytest.raises(li.InputError, match="past.2.csv: found more rows than"):
        predict_files(forked, {**inputs, "now": tmp_path / "now.npy"}, tmp_path / "z.npz", on_error="skip")
    with pytest.raises(li.InputError, match="needs stride=1"):
        predict_files(forked, inputs, tmp_path / "z.npz", on_error="skip", window=2, stride=2)


def test_column_groups(tmp_path, forked, pair):
    flat = np.concatenate([pair["past"].reshape(-1, TIMESTEPS * FEATURES), pair["now"]], axis=1)
    np.savetxt(tmp_path / "x.csv", flat, "%.9g", delimiter=",")
    columns = {"past": ["0-11"], "now": ["12", "13", "14"]}
    predict_files(forked, tmp_path / "x.csv", tmp_path / "y.npz", columns=columns)
    check_pair(tmp_path / "y.npz", forked, pair)
    predict_files(forked, tmp_path / "x.csv", tmp_path / "y.csv", columns=columns)
    assert (tmp_path / "y.csv").read_text().splitlines()[0] == "a_0,a_1,b"
    with pytest.raises(li.InputError, match="found no column '15'"):
        predict_files(forked, tmp_path / "x.csv", tmp_path / "y.npz", columns={**columns, "now": ["15"]})
    with pytest.raises(li.InputError, match="columns to say which"):
        predict_files(forked, tmp_path / "x.csv", tmp_path / "y.npz")


# ---------------------------------------------------------------- output
def read_table(path):
    pa = pyarrow()
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return parquet.read_table(path)
    return pa.ipc.open_file(path).read_all()


def found_in(path):
    """The predictions in a file of any format, as an array."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return archive["out"]
    if path.suffix == ".csv":
        return np.loadtxt(path, np.float32, delimiter=",")
    if path.suffix == ".jsonl":
        return np.array([json.loads(line)["out"] for line in path.read_text().splitlines()], np.float32)
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return file["out"][()]
    return np.array(read_table(path)["out"].to_pylist(), np.float32)


OUTPUTS = ["npy", "npz", "csv", "jsonl", "h5", "parquet", "arrow"]


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_every_output(tmp_path, model, x, expected, suffix):
    if suffix in ("parquet", "arrow"):
        pyarrow()
    np.save(tmp_path / "x.npy", x)
    predict_files(model, tmp_path / "x.npy", tmp_path / f"y.{suffix}")
    np.testing.assert_array_equal(found_in(tmp_path / f"y.{suffix}"), expected)
    assert sorted(os.listdir(tmp_path)) == ["x.npy", f"y.{suffix}"]


def test_npy_and_npz_are_those_of_numpy(tmp_path, model, x, expected):
    np.save(tmp_path / "x.npy", x)
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy")
    np.save(tmp_path / "numpy.npy", expected)
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_no_rows(tmp_path, model, suffix):
    if suffix in ("parquet", "arrow"):
        pyarrow()
    (tmp_path / "x.csv").write_text("")
    assert predict_files(model, tmp_path / "x.csv", tmp_path / f"y.{suffix}").rows == 0
    if suffix in ("npy", "npz", "h5"):
        assert found_in(tmp_path / f"y.{suffix}").shape == (0, 3)


def test_what_is_written(tmp_path, model, x, expected):
    np.save(tmp_path / "x.npy", x)
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", argmax=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected.argmax(axis=-1))
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", output_dtype="float16")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected.astype(np.float16))
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.csv", round=2, index=True)
    row = (tmp_path / "y.csv").read_text().splitlines()[1].split(",")
    assert row == ["0", *(f"{v:.2f}" for v in np.round(expected[0], 2))]
    with pytest.raises(li.InputError, match="found output_dtype='int8'"):
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", output_dtype="int8")
    with pytest.raises(li.InputError, match="unexpected keyword argument 'colums'"):
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", colums=["a"])


def test_columns_beside(tmp_path, model, x, expected):
    lines = ['id,"the ""name""",' + ",".join(f"c{n}" for n in range(12))]
    for n, row in enumerate(x[:5].reshape(5, -1)):
        lines.append(f'00{n},"a, {n}\nb",' + ",".join(f"{v:.9g}" for v in row))
    (tmp_path / "x.csv").write_text("\n".join(lines))
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.csv", with_input=["id", 'the "name"'], argmax=True)
    best = expected[:5].argmax(axis=-1)
    wanted = ['id,"the ""name""",out', *(f'00{n},"a, {n}\nb",{best[n]}' for n in range(5))]
    assert (tmp_path / "y.csv").read_text() == "\n".join(wanted) + "\n"
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.jsonl", with_input=["id", 'the "name"'], index=True)
    rows = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert rows[3]["row"] == 3 and rows[3]["id"] == "003" and rows[3]['the "name"'] == "a, 3\nb"
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npz", with_input=["id", 'the "name"'])
    with np.load(tmp_path / "y.npz") as found:
        assert found["id"].tolist() == ["000", "001", "002", "003", "004"]
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.h5", with_input=["id", 'the "name"'])
    with h5py.File(tmp_path / "y.h5") as file:
        assert file["id"].asstr()[()].tolist() == ["000", "001", "002", "003", "004"]


def test_parquet_beside(tmp_path, model, x, expected):
    as_parquet_lists(tmp_path / "x.parquet", x)
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.parquet", with_input="id")
    table = read_table(tmp_path / "y.parquet")
    assert table["id"].to_pylist() == list(range(len(x)))
    np.testing.assert_array_equal(np.array(table["out"].to_pylist(), np.float32), expected)


def write_parquet(path, columns, **given):
    pa = pyarrow()
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table(columns), path, **given)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["decimal128(12, 4)", "decimal256(40, 4)", "float16", "uint8", "int64", "bool"])
def test_numbers_of_every_type(tmp_path, model, kind):
    pa = pyarrow()
    name, _, digits = kind.rstrip(")").partition("(")
    kind = getattr(pa, {"bool": "bool_"}.get(name, name))(*map(int, digits.split(", ") if digits else ()))
    x = RANDOM.integers(0, 2, (20, TIMESTEPS * FEATURES)).astype(np.float32)
    columns = {f"c{n}": pa.array(column.astype(np.float16) if name == "float16" else column).cast(
        pa.uint8() if name == "bool" else kind).cast(kind) for n, column in enumerate(x.T)}  # fmt: skip
    write_parquet(tmp_path / "x.parquet", columns)
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy")
    expected = model.predict(x.reshape(-1, TIMESTEPS, FEATURES))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    if name.startswith("decimal"):
        lists = pa.ListArray.from_arrays(np.arange(21) * x.shape[1], pa.array(x.reshape(-1)).cast(kind))
        write_parquet(tmp_path / "x.parquet", {"x": lists})
        predict_files(made(li.LSTM(3), shape=(None, 1)), tmp_path / "x.parquet", tmp_path / "y.npy")
        np.testing.assert_array_equal(
            np.load(tmp_path / "y.npy"), made(li.LSTM(3), shape=(None, 1)).predict(x[..., None])
        )


@pytest.mark.filterwarnings("default")
def test_columns_left_out_are_said(tmp_path, model, x, expected, capfd):
    import datetime

    pa = pyarrow()
    flat = x.reshape(len(x), -1)
    columns = {f"c{n}": flat[:, n] for n in range(flat.shape[1])}
    columns["day"] = pa.array([datetime.date(2024, 1, 1)] * len(x))
    columns["none"] = pa.nulls(len(x))
    write_parquet(tmp_path / "x.parquet", columns)
    with pytest.warns(UserWarning, match=r"column '(day|none)' \((date32.*|null)\) is not a number: left out") as said:
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy")
    assert len(said) == 2
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    with pytest.raises(li.InputError, match="column 'none': found nothing"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", columns=["none", "c1"])
    with pytest.raises(li.InputError, match="column 'day': found a column of date32"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", columns=["day", "c1"])
    options = argparse.Namespace(**dict.fromkeys(command.SETTINGS), **dict.fromkeys(
        ["group_by", "with_input", "dask", "columns", "quiet", "stats"]))  # fmt: skip
    options.input, options.output, options.stride, options.quiet = [str(tmp_path / "x.parquet")], "y.npy", 1, True
    options.output, options.on_error, options.argmax, options.resume = str(tmp_path / "y.npy"), "fail", False, False
    assert command.run(options, lambda options: model) == 0
    lines = capfd.readouterr().err.splitlines()
    assert lines == [f"lstm-infer: column '{name}' ({kind}) is not a number: left out"
                     for name, kind in (("day", "date32[day]"), ("none", "null"))]  # fmt: skip


@pytest.mark.parametrize(("unit", "zone"), [("ms", None), ("ms", "Europe/Berlin"), ("us", "UTC"), ("us", "+02:00")])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_times_keep_their_type(tmp_path, model, x, suffix, unit, zone):
    pa = pyarrow()
    first = 1_700_000_000_123 * {"ms": 1, "us": 1000}[unit]
    values = [None, *range(first, first + len(x) - 1)]
    if unit == "us":
        values[5] = -(10**15) * 3  # long before zones
    times = pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone))
    write_parquet(tmp_path / "x.parquet", {"x": x.tolist(), "t": times})
    predict_files(model, tmp_path / "x.parquet", tmp_path / f"y.{suffix}", columns=["x"], time="t")
    found = read_table(tmp_path / f"y.{suffix}")["t"].combine_chunks()
    assert found.type == times.type and found.equals(times)
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.jsonl", columns=["x"], with_input="t")
    rows = [json.loads(line)["t"] for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert rows == [None if value is None else str(value) for value in times.to_pylist()]
    (tmp_path / "z.csv").write_text("t," + ",".join(f"c{n}" for n in range(12)) + "\nsoon" + ",1" * 12)
    write_parquet(tmp_path / "x.parquet", {"t": times, **{f"c{n}": c for n, c in enumerate(x.reshape(-1, 12).T)}})
    predict_files(model, [tmp_path / "x.parquet", tmp_path / "z.csv"], tmp_path / f"y.{suffix}", time="t")
    assert read_table(tmp_path / f"y.{suffix}")["t"].to_pylist()[-1] == "soon"


KEPT = {
    "bool_": [True, False, None], "int8": [-3, None, 5], "uint64": [2**64 - 1, None, 0], "int64": [-(2**63), 1, None],
    "float16": [0.5, None, float("inf")], "float32": [0.1, None, float("nan")], "float64": [1e300, -0.0, None],
    "decimal": ["1.50", None, "-2.25"], "string": ["", None, 'a "b",\n'], "large_string": ["x", None, "ö"],
    "date32": [19000, None, -5], "date64": [86_400_000, None, 0], "time32": [1000, None, 5],
    "time64": [7, None, 10**10],
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
@pytest.mark.parametrize("rows_at_once", [100, 1 << 14])
def test_columns_beside_keep_their_types(tmp_path, model, x, suffix, rows_at_once, monkeypatch):
    """Also where some are missing in some blocks alone, and in jobs that go on."""
    import decimal

    pa = pyarrow()
    monkeypatch.setattr("lstm_infer.batch.tables.READ_ROWS", rows_at_once)
    monkeypatch.setattr("lstm_infer.batch.feed.FEW_ROWS", 1)
    kinds = {"decimal": pa.decimal128(9, 2), "time32": pa.time32("ms"), "time64": pa.time64("us")}
    columns = {}
    for name, (a, b, c) in KEPT.items():
        kind = kinds.get(name) or getattr(pa, name)()
        values = [decimal.Decimal(v) if name == "decimal" and v else v for v in (a, b, c)]
        if name == "float16":
            values = [None if v is None else np.float16(v) for v in values]
        whole = next(v for v in values if v is not None)
        rows = [whole] * 250 + values * 100 + [None] * 150
        if name[:4] in ("date", "time"):
            columns[name] = pa.array(rows, pa.int32() if name.endswith("32") else pa.int64()).cast(kind)
        else:
            columns[name] = pa.array(rows, kind)
    table = pa.table({"x": x.tolist(), **columns})
    for source in ("x.parquet", "x.arrow"):
        if source == "x.arrow":
            with pa.ipc.new_file(tmp_path / source, table.schema) as writer:
                writer.write_table(table)
        else:
            write_parquet(tmp_path / source, dict(zip(table.column_names, table.columns, strict=True)))
        predict_files(model, tmp_path / source, tmp_path / f"y.{suffix}", columns=["x"], with_input=list(KEPT))
        found = read_table(tmp_path / f"y.{suffix}")
        for name, column in columns.items():
            is_short = name == "date64" and "parquet" in source + suffix  # which has no such type
            assert found[name].type == (pa.date32() if is_short else column.type), name
            mine = found[name].combine_chunks()
            if name == "float32":
                mine, column = mine.cast(pa.string()), column.cast(pa.string())
            assert mine.cast(column.type).equals(column), name
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.jsonl", columns=["x"], with_input=list(KEPT))
    rows = [json.loads(line) for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert [row["bool_"] for row in rows[250:253]] == [True, False, None]
    assert [row["float32"] for row in rows[250:253]] == [pytest.approx(0.1), None, None]
    assert [row["int64"] for row in rows[250:253]] == [-(2**63), 1, None] and rows[250]["date32"] == "2022-01-08"
    for other in ("npz", "h5", "csv"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / f"y.{other}", columns=["x"], with_input=list(KEPT))
    with np.load(tmp_path / "y.npz") as archive:
        assert archive["int8"][248:253].tolist() == ["-3", "-3", "-3", "", "5"]


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_feather_of_version_1(tmp_path, model, x, expected):
    pa = pyarrow()
    import pyarrow.feather as feather

    table = pa.table({f"c{n}": column for n, column in enumerate(x.reshape(len(x), -1).T)})
    try:
        feather.write_feather(table, str(tmp_path / "x.feather"), version=1)
    except ValueError as error:
        pytest.skip(str(error))
    predict_files(model, tmp_path / "x.feather", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_a_row_group_may_be_large(tmp_path, model):
    """Only some of it is in memory."""
    pa = pyarrow()
    x = RANDOM.normal(size=(12, 300_000)).astype(np.float32)
    given = {"row_group_size": 300_000, "use_dictionary": False, "compression": "none"}
    write_parquet(tmp_path / "x.parquet", {f"c{n}": column for n, column in enumerate(x)}, **given)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    feed = Feed(model, tmp_path / "x.parquet", Settings())
    for samples in feed.samples():
        most = max(most, pa.total_allocated_bytes() - before)
        rows += len(samples.rows)
    assert rows == 300_000 and most < x.nbytes // 2


def test_lengths_of_lists_that_are_padded(tmp_path, model, x):
    pa = pyarrow()
    lengths = RANDOM.integers(1, TIMESTEPS + 1, len(x))
    write_parquet(tmp_path / "x.parquet", {"x": pa.array(x.tolist()), "n": lengths})
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", lengths="n")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x, lengths=lengths))
    write_parquet(tmp_path / "x.parquet", {"x": pa.array([x[0].tolist(), x[1, :3].tolist()]), "n": [1, 2]})
    with pytest.raises(li.InputError, match="lengths are for padded rows"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", lengths="n")


def test_not_a_number_in_jsonl(tmp_path, model, x):
    x = x[:3].copy()
    x[1] = np.nan
    np.save(tmp_path / "x.npy", x)
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.jsonl")
    rows = [json.loads(line)["out"] for line in (tmp_path / "y.jsonl").read_text().splitlines()]
    assert rows[1] == [None] * 3 and None not in rows[0]


def test_without_pyarrow(tmp_path, model, x, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(li.InputError, match=r"pip install 'lstm-infer\[tables\]'"):
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.parquet")
    with pytest.raises(li.InputError, match=r"pip install 'lstm-infer\[tables\]'"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy")
    assert sorted(os.listdir(tmp_path)) == ["x.npy", "x.parquet"]


# ---------------------------------------------------------------- sequences, huge rows, states
def ragged(number, longest=40, features=FEATURES):
    lengths = RANDOM.integers(1, longest, number)
    return [RANDOM.normal(size=(n, features)).astype(np.float32) for n in lengths]


def as_text(rows):
    return "".join(json.dumps([[float(f"{v:.9g}") for v in t] for t in row.tolist()]) + "\n" for row in rows)


def alone(model, rows):
    return [model.predict(row[None])[0] for row in rows]


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [li.LSTM(5), li.Dense(3, name="out")],
        lambda: [li.Bidirectional(li.GRU(4, return_sequences=True)), li.LSTM(3, name="out")],
        lambda: [li.Conv1D(4, 3, padding="same"), li.LSTM(3, name="out")],
        lambda: [li.LSTM(3, return_sequences=True), li.GlobalMaxPooling1D(name="out")],
    ],
    ids=["lstm", "bidirectional", "conv", "pooling"],
)
def test_ragged_rows_get_the_bits_they_get_alone(tmp_path, layers):
    model, rows = made(*layers()), ragged(300)
    (tmp_path / "x.jsonl").write_text(as_text(rows))
    predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), alone(model, rows))
    (found,) = predict_batches(model, [rows])
    np.testing.assert_array_equal(found, alone(model, rows))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "h5", "npz"])
def test_predictions_of_different_length(tmp_path, suffix):
    if suffix in ("parquet", "arrow"):
        pyarrow()
    model, rows = made(li.LSTM(3, return_sequences=True, name="out")), ragged(50)
    (tmp_path / "x.jsonl").write_text(as_text(rows))
    path = tmp_path / f"y.{suffix}"
    predict_files(model, tmp_path / "x.jsonl", path)
    if suffix == "jsonl":
        found = [np.array(json.loads(line)["out"], np.float32) for line in path.read_text().splitlines()]
    elif suffix == "npz":
        with np.load(path) as archive:
            found = np.split(archive["out"], np.cumsum(archive["out.lengths"])[:-1])
    elif suffix == "h5":
        with h5py.File(path) as file:
            found = [row.reshape(-1, *file["out"].attrs["timestep_shape"]) for row in file["out"]]
    else:
        found = [np.array(row, np.float32) for row in read_table(path)["out"].to_pylist()]
    for mine, wanted in zip(found, alone(model, rows), strict=True):
        np.testing.assert_array_equal(mine, wanted)
    with pytest.raises(li.InputError, match="predictions of different length"):
        predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.npy")


def test_first_equal_then_different_lengths(tmp_path):
    model = made(li.LSTM(3, return_sequences=True, name="out"))
    rows = [*(row for row in RANDOM.normal(size=(3000, 4, FEATURES)).astype(np.float32)), *ragged(3000)]
    (tmp_path / "x.jsonl").write_text(as_text(rows))
    predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as archive:
        assert archive["out.lengths"].tolist() == [len(row) for row in rows]
        np.testing.assert_array_equal(archive["out"][-len(rows[-1]) :], model.predict(rows[-1][None])[0])


def test_ragged_parquet_columns(tmp_path):
    pa = pyarrow()
    import pyarrow.parquet as parquet

    model, rows = made(li.LSTM(5, name="out")), ragged(100)
    columns = {"a": [row[:, 0].tolist() for row in rows], "b": [row[:, 1].tolist() for row in rows]}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet", row_group_size=30)
    predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", columns=["a", "b"])
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), alone(model, rows))


def test_lengths(tmp_path, model, x):
    lengths = RANDOM.integers(1, TIMESTEPS + 1, len(x))
    flat = np.concatenate([lengths[:, None], x.reshape(len(x), -1)], axis=1)
    header = ",".join(["n", *(f"c{n}" for n in range(12))])
    np.savetxt(tmp_path / "x.csv", flat, "%.9g", delimiter=",", header=header, comments="")
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", lengths="n")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x, lengths=lengths))
    np.savez(tmp_path / "x.npz", x=x, n=lengths)
    predict_files(model, tmp_path / "x.npz", tmp_path / "y.npy", lengths="n", columns=["x"])
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x, lengths=lengths))


def test_padding_of_short_rows(tmp_path):
    fixed = made(li.Masking(-1.0), li.LSTM(5, name="out"), shape=(10, FEATURES))
    rows = [row[:10] for row in ragged(80)]
    padded = np.full((len(rows), 10, FEATURES), -1, np.float32)
    for row, target in zip(rows, padded, strict=True):
        target[: len(row)] = row
    (tmp_path / "x.jsonl").write_text(as_text(rows))
    predict_files(fixed, tmp_path / "x.jsonl", tmp_path / "y.npy", pad_value=-1)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), fixed.predict(padded))
    with pytest.raises(li.InputError, match=r"line|row \d+: input .*timesteps, expected 10"):
        predict_files(fixed, tmp_path / "x.jsonl", tmp_path / "y.npy")
    free = made(li.LSTM(5, name="out"))
    left = np.zeros((len(rows), 7, FEATURES), np.float32)
    for row, target in zip(rows, left, strict=True):
        target[max(0, 7 - len(row)) :] = row[-7:]
    given = {"pad_value": 0, "max_length": 7, "padding": "pre", "truncating": "pre"}
    predict_files(free, tmp_path / "x.jsonl", tmp_path / "y.npy", **given)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), free.predict(left))
    with pytest.raises(li.InputError, match="pad_value needs max_length"):
        predict_files(free, tmp_path / "x.jsonl", tmp_path / "y.npy", pad_value=0)


def test_stateful_model(tmp_path, x):
    model = made(li.LSTM(4, stateful=True, name="out"), shape=(TIMESTEPS, FEATURES))
    np.save(tmp_path / "x.npy", x)
    expected = model.predict(x, batch_size=100)
    model.reset_states()
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", batch_size=100)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
    with pytest.raises(li.InputError, match="stateful model cannot resume"):
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", resume=True)


# ---------------------------------------------------------------- rows that cannot be used
def test_bad_rows_are_named_or_skipped(tmp_path, model, x, expected):
    lines = [",".join(f"{v:.9g}" for v in row) for row in x.reshape(len(x), -1)]
    lines[10], lines[500], lines[20] = lines[10] + ",1", "1,2", lines[20].replace(",", ",oops", 1)
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(li.InputError, match="x.csv, line 11: found 13 cells, expected 12"):
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy")
    assert os.listdir(tmp_path) == ["x.csv"]
    done = predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", on_error="skip")
    assert (done.rows, done.rejected) == (len(x) - 3, 3)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.delete(expected, [10, 20, 500], axis=0))
    rejected = [json.loads(line) for line in (tmp_path / "y.npy.rejected.jsonl").read_text().splitlines()]
    assert [(one["row"], one["where"]) for one in rejected] == [(10, "line 11"), (20, "line 21"), (500, "line 501")]
    assert rejected[1]["text"] == lines[20]
    assert "could not convert string to float: 'oops" in rejected[1]["reason"]


def test_bad_json_lines(tmp_path, model, x):
    lines = as_text(x[:20]).splitlines()
    bad = ["[[1, 2], [3]]", "[", "[[1, 2, 3]]", "[]", '{"x": 1}', "[[1, null]]", '["a"]', "[[1, 1e400]]"[:0] + "7 8"]
    (tmp_path / "x.jsonl").write_text("\n".join([*lines[:5], *bad, "", *lines[5:]]))
    done = predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.npy", on_error="skip", rejected=tmp_path / "bad")
    assert (done.rows, done.rejected) == (20, len(bad))
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(x[:20]))
    found = [json.loads(line) for line in (tmp_path / "bad").read_text().splitlines()]
    assert [one["row"] for one in found] == list(range(5, 5 + len(bad)))
    for text in bad:
        (tmp_path / "one.jsonl").write_text(lines[0] + "\n" + text + "\n")
        with pytest.raises(li.InputError, match=r"one.jsonl, (line 2|row 1): "):
            predict_files(model, tmp_path / "one.jsonl", tmp_path / "z.npy")


def test_the_row_with_a_strange_id(tmp_path):
    model = made(li.Embedding(10, 4), li.LSTM(3), shape=(None,), dtype="int32")
    ids = RANDOM.integers(0, 10, (300, 5))
    ids[123, 2] = 10
    np.save(tmp_path / "x.npy", ids)
    with pytest.raises(li.InputError, match=r"x.npy, row 123: .*found id 10"):
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy")
    done = predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", on_error="skip")
    assert (done.rows, done.rejected) == (299, 1)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(np.delete(ids, 123, axis=0)))
    with pytest.raises(li.InputError, match="found no row that fits"):
        np.save(tmp_path / "x.npy", ids + 10)
        predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", on_error="skip")
    (tmp_path / "x.csv").write_text("1,2\n3,1.5\n")
    with pytest.raises(li.InputError, match=r"x.csv, row 1: .*found 1.5, expected whole numbers"):
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy")


def test_missing_cells_in_parquet(tmp_path, model):
    pa = pyarrow()
    import pyarrow.parquet as parquet

    columns = {f"c{n}": [0.5, None if n == 3 else 1.0, 2.0] for n in range(12)}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(li.InputError, match="x.parquet, row 1: column 'c3': found nothing"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy")
    assert predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", on_error="skip").rows == 2


BROKEN = [("x.npy", b"\x93NUMPY\x01\x00v\x00{"), ("x.npz", b"PK\x03\x04broken"), ("x.h5", b"\x89HDF\r\n\x1a\nbroken"),
          ("x.csv.gz", b"\x1f\x8bbroken"), ("x.parquet", b"PAR1broken"), ("x.arrow", b"ARROW1broken")]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), BROKEN, ids=[name for name, _ in BROKEN])
def test_broken_files(tmp_path, model, name, data):
    if name.endswith(("parquet", "arrow")):
        pyarrow()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(li.InputError, match="found no valid"):
        predict_files(model, tmp_path / name, tmp_path / "y.npy")
    assert os.listdir(tmp_path) == [name]


def test_files_that_end_early(tmp_path, model, x):
    np.savez_compressed(tmp_path / "whole.npz", x=x)
    data = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: len(data) // 2] + bytes(len(data) // 4) + data[len(data) * 3 // 4 :])
    as_csv_gz(tmp_path / "whole.csv.gz", x)
    (tmp_path / "x.csv.gz").write_bytes((tmp_path / "whole.csv.gz").read_bytes()[:-2000])
    for name in ("x.npz", "x.csv.gz"):
        with pytest.raises(li.InputError, match="found no valid"):
            predict_files(model, tmp_path / name, tmp_path / "y.npy")
    assert not (tmp_path / "y.npy").exists()


# ---------------------------------------------------------------- progress
def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("lstm_infer.batch.progress.SECONDS", 0)
    shown = make("auto", 0)
    shown.update(1000, 0.25)
    shown.update(2000, None)
    shown.close()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("lstm-infer: 1,000 rows, ") and "rows/s, 25%, " in first and first.endswith("s left")
    assert second.startswith("lstm-infer: 2,000 rows, ") and second.endswith("rows/s")


def test_how_much_is_read(tmp_path, model, x):
    as_csv(tmp_path / "x.csv", np.tile(x, (20, 1, 1)))
    as_npy(tmp_path / "x.npy", np.tile(x, (200, 1, 1)))
    for name in ("x.csv", "x.npy"):
        feed = Feed(model, [tmp_path / name] * 2, Settings())
        found = [feed.fraction() for _ in feed.samples()]
        assert found == sorted(found) and 0 <= found[0] < found[-1] <= 1


# ---------------------------------------------------------------- what people do by mistake
@pytest.fixture(scope="module")
def adder():
    """Adds its three numbers."""
    model = li.Sequential([li.Input((3,)), li.Dense(1, name="dense")])
    model.set_weights([np.ones((3, 1)), np.zeros(1)])
    return model


@pytest.mark.parametrize("block", [4 << 20, 1 << 18])
def test_a_quote_that_nothing_closes_costs_its_line_alone(tmp_path, adder, block, monkeypatch):
    monkeypatch.setattr("lstm_infer.batch.delimited.BLOCK_BYTES", block)
    lines = [f"{n},{n},1" for n in range(100_000)]
    lines[4], lines[70_000], lines[-1] = '"4,4,1', '1,"x,2', '1,"7,2'
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    done = predict_files(adder, tmp_path / "x.csv", tmp_path / "y.npy", on_error="skip")
    assert (done.rows, done.rejected) == (99_997, 3)
    good = np.delete(np.arange(100_000), [4, 70_000, 99_999])
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy")[:, 0], 2 * good + 1)
    rejected = [json.loads(line) for line in (tmp_path / "y.npy.rejected.jsonl").read_text().splitlines()]
    assert [one["where"] for one in rejected] == ["line 5", "line 70001", "line 100000"]
    with pytest.raises(li.InputError, match="line 5: could not") as caught:
        predict_files(adder, tmp_path / "x.csv", tmp_path / "z.npy")
    assert len(str(caught.value)) < 300


def test_files_that_are_read_are_not_written(tmp_path, adder):
    adder_file, x, link = tmp_path / "m.h5", tmp_path / "x.csv", tmp_path / "link.csv"
    shutil.copy(Path(__file__).resolve().parent.parent / "models" / "sunspots.h5", adder_file)
    x.write_text("1,2,3\n")
    link.symlink_to(x)
    (tmp_path / "scale.json").write_text('{"mean": 0, "scale": 1}')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for model, output, given in (
        (adder, x, {}), (adder, link, {}), (adder, tmp_path / "y.csv", {"rejected": x, "on_error": "skip"}),
        (adder, tmp_path / "y.jsonl", {"rejected": tmp_path / "y.jsonl", "on_error": "skip"}),
        (adder, tmp_path / "scale.json", {"scale": str(tmp_path / "scale.json"), "output_format": "csv"}),
        (li.load_model(adder_file), adder_file, {"output_format": "csv"}),
    ):  # fmt: skip
        with pytest.raises(li.InputError, match="expected another file"):
            predict_files(model, x, output, **given)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_leaving_early_leaves_no_thread(adder):
    closed, before = [], threading.active_count()

    def endless():
        try:
            while True:
                yield np.ones((4, 3))
        finally:
            closed.append(True)

    for _ in range(5):
        for _ in predict_batches(adder, endless(), threads=1):
            break
    end = time.monotonic() + 60
    while (len(closed) < 5 or threading.active_count() > before) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(closed) == 5 and threading.active_count() <= before


def test_columns_by_place_and_columns_for_two_uses(tmp_path, adder):
    (tmp_path / "x.csv").write_text("id,a,b,c\n001,1,2,3.50\n002,4,5,6\n")
    predict_files(adder, tmp_path / "x.csv", tmp_path / "y.csv", columns="1-3", with_input=["id", "c"])
    assert (tmp_path / "y.csv").read_text() == "id,c,dense\n001,3.50,6.5\n002,6,15\n"
    rows = [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    predict_files(adder, tmp_path / "x.jsonl", tmp_path / "y.npy", columns="x", with_input=["x"], output_format="jsonl")
    assert [json.loads(line)["dense"] for line in (tmp_path / "y.npy").read_text().splitlines()] == [[6.0], [15.0]]


def test_later_tables_use_the_columns_of_the_first(tmp_path):
    weighted = li.Sequential([li.Input((2,)), li.Dense(1)])
    weighted.set_weights([np.array([[1.0], [10.0]]), [0.0]])
    for name, text in (("1", "a,b\n1,2\n"), ("2", "b,id,a\n2,7,1\n"), ("3", "b,c\n1,2\n"), ("4", "nan,2\n1,2\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    files = [tmp_path / f"{n}.csv" for n in range(1, 5)]
    predict_files(weighted, files[:2], tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy").tolist() == [[21.0], [21.0]]
    for other in files[2:]:
        with pytest.raises(li.InputError, match=f"{other.name}: found no column 'a'"):
            predict_files(weighted, [files[0], other], tmp_path / "z.npy")
    predict_files(weighted, files[3], tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy").shape == (2, 1)


def test_texts_beside_are_quoted_and_names_differ(tmp_path, adder):
    (tmp_path / "x.csv").write_text('t,a,b,c\n"one\ntwo",1,2,3\n"a ""b"", c",4,5,6\n')
    predict_files(adder, tmp_path / "x.csv", tmp_path / "y.csv", columns=["a", "b", "c"], with_input=["t"])
    with open(tmp_path / "y.csv", newline="") as file:
        assert list(csv.reader(file)) == [["t", "dense"], ["one\ntwo", "6"], ['a "b", c', "15"]]
    (tmp_path / "x.csv").write_text("dense,row,a,b,c\n1,2,3,4,5\n")
    for given in ({"with_input": ["dense"]}, {"with_input": ["row"], "index": True}):
        with pytest.raises(li.InputError, match="found two columns"):
            predict_files(adder, tmp_path / "x.csv", tmp_path / "y.jsonl", columns=["a", "b", "c"], **given)


def test_wrong_settings(tmp_path, model, adder):
    (tmp_path / "x.csv").write_text("1,2,3\n")
    for given, message in (
        ({"round": -1}, "decimals from 0"), ({"round": 99}, "to 20"), ({"rejected": "r"}, "needs on_error='skip'"),
        ({"columns": "0-9"}, "'3'"),
    ):  # fmt: skip
        with pytest.raises(li.InputError, match=message):
            predict_files(adder, tmp_path / "x.csv", tmp_path / "y.csv", **given)
    with pytest.raises(li.InputError, match="holds the predictions alone"):
        predict_files(adder, tmp_path / "x.csv", tmp_path / "y.npy", index=True)
    with pytest.raises(li.InputError, match="expected a Model: load_model"):
        predict_files(tmp_path / "m.h5", tmp_path / "x.csv", tmp_path / "y.csv")
    fixed = li.Sequential([li.Input((4, 3)), li.LSTM(2)])
    fixed.set_weights([np.ones(s) for s in ((3, 8), (2, 8), (8,))])
    with pytest.raises(li.InputError, match="found window=9, expected 4"):
        predict_files(fixed, tmp_path / "x.csv", tmp_path / "y.csv", window=9)
    predict_files(adder, tmp_path / "x.csv", tmp_path / "y.csv", argmax=True)
    assert (tmp_path / "y.csv").read_text() == "6\n"


def test_the_first_row_may_be_the_names_that_pandas_gives(tmp_path, adder, capfd):
    (tmp_path / "x.csv").write_text("0,1,2\n5,6,7\n")
    with pytest.warns(UserWarning, match="x.csv: the first row is 0 to 2 and read as data: say --header"):
        predict_files(adder, tmp_path / "x.csv", tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == [3, 18]
    for header, expected in ((True, [18]), (False, [3, 18])):
        predict_files(adder, tmp_path / "x.csv", tmp_path / "y.npy", header=header)
        assert np.load(tmp_path / "y.npy")[:, 0].tolist() == expected


def test_batches_as_keras_takes_them(forked, model, x, expected, pair):
    a, b = forked.predict(pair)
    halves = [slice(0, 300), slice(300, 700)]
    for kind in (list, tuple):
        found = list(predict_batches(forked, (kind([pair["past"][h], pair["now"][h]]) for h in halves)))
        np.testing.assert_array_equal(np.concatenate([y[0] for y in found]), a)
        np.testing.assert_array_equal(np.concatenate([y[1] for y in found]), b)
    (found,) = predict_batches(model, [[x]])
    np.testing.assert_array_equal(found, expected)
    (found,) = predict_batches(model, [[x[0], x[1, :3]]])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize(("batches", "message"), [
    ([None], "found a batch of NoneType"), ([3.5], "found a batch of float"),
    ([{"past": None, "now": 1}], "for 'past'"),
    (3, "found int, expected paths or an iterable"), ([[np.ones((1, 2, 2))]], "found a batch of 1 arrays"),
    ([np.ones((1, 2, 2)), None], "the model has 2 inputs"), ([{"past": np.ones((1, 2, 2))}], "expected"),
])  # fmt: skip
def test_strange_batches(forked, batches, message):
    with pytest.raises(li.InputError, match=message):
        list(predict_batches(forked, batches))


@pytest.mark.parametrize("given", [{"input_format": "xls"}, {"output_format": "xls"}, {"round": "x"}, {"window": "x"}])
def test_strange_settings(tmp_path, adder, given):
    (tmp_path / "x.csv").write_text("1,2,3\n")
    with pytest.raises(li.InputError, match=f"found {next(iter(given))}="):
        predict_files(adder, tmp_path / "x.csv", tmp_path / "y.csv", **given)


@pytest.fixture
def piped(monkeypatch):
    """Let standard input be some bytes, in a pipe."""
    read, write = os.pipe()

    def into(data):
        def fill():
            with open(write, "wb") as end:
                end.write(data)

        threading.Thread(target=fill, daemon=True).start()
        monkeypatch.setattr(sys, "stdin", open(read))  # noqa: SIM115  (closed below)

    yield into
    sys.stdin.close()


def test_compressed_text_through_a_pipe(tmp_path, model, x, expected, piped):
    as_csv_gz(tmp_path / "x.csv.gz", np.tile(x, (20, 1, 1)))
    piped((tmp_path / "x.csv.gz").read_bytes())
    predict_files(model, "-", tmp_path / "y.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.tile(expected, (20, 1)))


def test_compressed_lines_that_end_early(tmp_path, model, x, piped):
    as_jsonl(tmp_path / "x.jsonl", x)
    piped(gzip.compress((tmp_path / "x.jsonl").read_bytes())[:-500])
    with pytest.raises(li.InputError, match="found no valid jsonl file"):
        predict_files(model, "-", tmp_path / "y.npy", input_format="jsonl")


@pytest.mark.parametrize("data", [b"1", b"1,2,3", b"1,2,3\n4,5,6"])
def test_short_pipes(tmp_path, adder, piped, data):
    piped(data)
    one = li.Sequential([li.Input((1,)), li.Dense(1)])
    one.set_weights([[[2.0]], [0.0]])
    done = predict_files(one if data == b"1" else adder, "-", tmp_path / "y.npy")
    assert done.rows == data.count(b"\n") + 1


@pytest.mark.parametrize("write", [as_arrow, as_arrow_stream])
def test_arrow_through_a_pipe(tmp_path, model, x, expected, piped, write):
    write(tmp_path / "x.arrow", x)
    piped((tmp_path / "x.arrow").read_bytes())
    predict_files(model, "-", tmp_path / "y.npy", input_format="arrow")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_what_is_no_text_is_said_in_text(tmp_path, model, x, piped):
    as_npy(tmp_path / "x.npy", x)
    piped((tmp_path / "x.npy").read_bytes())
    with pytest.raises(li.InputError, match="bytes that are no text") as caught:
        predict_files(model, "-", tmp_path / "y.npy")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_columns_beside_from_the_file_of_any_input(tmp_path, forked, pair):
    as_npy(tmp_path / "past.npy", pair["past"])
    ids = [f"id{n}" for n in range(len(pair["now"]))]
    rows = [",".join([name, *map(str, row)]) for name, row in zip(ids, pair["now"].tolist(), strict=True)]
    (tmp_path / "now.csv").write_text("\n".join(["id,a,b,c", *rows]))
    inputs = {"past": tmp_path / "past.npy", "now": tmp_path / "now.csv"}
    predict_files(forked, inputs, tmp_path / "y.npz", with_input="id")
    check_pair(tmp_path / "y.npz", forked, pair)
    with np.load(tmp_path / "y.npz") as found:
        assert found["id"].tolist() == ids
    with pytest.raises(li.InputError, match="found no column 'name' in the files of any input"):
        predict_files(forked, inputs, tmp_path / "y.npz", with_input="name")


def test_windows_of_one_file_beside_the_rows_of_another(tmp_path, forked, pair):
    """An input without timesteps has the numbers of the window's last row."""
    as_npy(tmp_path / "past.npy", pair["past"][:, 0])
    as_csv(tmp_path / "now.csv", pair["now"])
    windows = np.lib.stride_tricks.sliding_window_view(pair["past"][:, 0], 5, axis=0).transpose(0, 2, 1)[::3]
    predict_files(forked, {"past": tmp_path / "past.npy", "now": tmp_path / "now.csv"}, tmp_path / "y.npz", window=5,
                  stride=3)  # fmt: skip
    check_pair(tmp_path / "y.npz", forked, {"past": windows, "now": pair["now"][4::3]})


def test_flat_lists_in_tables_are_timesteps(tmp_path, model, x, expected):
    rows = [*x[:5].reshape(5, -1).tolist(), [1.0, 2.0, 3.0], *x[5:].reshape(len(x) - 5, -1).tolist()]
    write_parquet(tmp_path / "x.parquet", {"x": rows})
    with pytest.raises(li.InputError, match="row 5: input .*: found 3 numbers, expected 2 for each timestep"):
        predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy")
    assert predict_files(model, tmp_path / "x.parquet", tmp_path / "y.npy", on_error="skip").rejected == 1
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_numbers_in_dictionaries(tmp_path, adder):
    pa = pyarrow()
    columns = {"a": pa.array([1.5, 2.5, 1.5]).dictionary_encode(), "b": pa.array([1, None, 3]).dictionary_encode()}
    table = pa.table({**columns, "c": [1, 2, 3]})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    done = predict_files(adder, tmp_path / "x.arrow", tmp_path / "y.npy", on_error="skip")
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == [3.5, 7.5] and done.rejected == 1


def test_huge_whole_numbers_in_json_lines(tmp_path, adder):
    huge = 2**70
    (tmp_path / "x.jsonl").write_text(f"[1, 2, {huge}]\n[1, 2, 1{'0' * 400}]\n[1, 2, 3]\n")
    done = predict_files(adder, tmp_path / "x.jsonl", tmp_path / "y.npy", on_error="skip")
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == [huge, 6] and done.rejected == 1


def test_a_model_without_weights_is_not_blamed_on_the_data(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3, 2)))
    model = li.Sequential([li.Input((3, 2)), li.LSTM(4)])
    with pytest.raises(li.InputError, match=r"^layer 'lstm\w*' has no weights yet"):
        li.batch.predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", on_error="skip")
