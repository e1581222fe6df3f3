"""Windows over series, groups, scaling and text columns in files, against what one would write by hand."""

import json

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.batch import predict_batches, predict_files, targets
from lstm_infer.batch.windows import WindowMaker

RANDOM = np.random.default_rng(11)
WINDOW = 6


@pytest.fixture(scope="module")
def model():
    model = li.Sequential([li.Input((None, 2)), li.LSTM(4), li.Dense(1, name="out")])
    model.set_weights([RANDOM.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    return model


@pytest.fixture(scope="module")
def series():
    return RANDOM.normal(size=(500, 2)).astype(np.float32)


def by_hand(values, stride=1, window=WINDOW):
    ends = np.arange(window - 1, len(values), stride)
    return np.array([values[e - window + 1 : e + 1] for e in ends]).reshape(-1, window, values.shape[-1]), ends


def write_csv(path, columns):
    lines = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append(",".join(f"{v:.9g}" if isinstance(v, float) else str(v) for v in row))
    path.write_text("\n".join(lines) + "\n")


def read_csv(path):
    header, *lines = path.read_text().splitlines()
    return dict(zip(header.split(","), zip(*(line.split(",") for line in lines), strict=True), strict=True))


# ---------------------------------------------------------------- the maker
@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_any_pieces_give_the_same_windows(window, stride):
    values = np.arange(60.0).reshape(30, 2)
    wanted, ends = by_hand(values, stride, window)
    for sizes in ([30], [1] * 30, [3, 0, 4, 1, 9, 13]):
        maker, start, found, found_ends = WindowMaker(window, stride), 0, [], []
        for size in sizes:
            made = maker.feed([values[start : start + size]], None)
            found.append(made.values[0])
            found_ends.extend((made.ends + start).tolist())
            start += size
        np.testing.assert_array_equal(np.concatenate(found), wanted)
        assert found_ends == ends.tolist()


def test_any_pieces_give_the_same_windows_of_groups():
    values, keys = np.arange(80.0).reshape(40, 2), RANDOM.choice(["a", "b", "c"], 40)
    wanted = {}
    for key in "abc":
        rows = np.flatnonzero(keys == key)
        windows, ends = by_hand(values[rows], 2, 4)
        wanted.update(zip(rows[ends].tolist(), windows.tolist(), strict=True))
    for sizes in ([40], [1] * 40, [7, 20, 13]):
        maker, start, found = WindowMaker(4, 2), 0, {}
        for size in sizes:
            part = slice(start, start + size)
            made = maker.feed([values[part]], keys[part])
            found.update(zip((made.ends + start).tolist(), made.values[0].tolist(), strict=True))
            start += size
        assert list(found) == sorted(wanted)
        assert found == wanted


# ---------------------------------------------------------------- files
@pytest.mark.parametrize("stride", [1, 5])
def test_windows_of_a_table(tmp_path, model, series, stride):
    times = [f"2024-01-{n:03}" for n in range(len(series))]
    write_csv(tmp_path / "x.csv", {"time": times, "b": series[:, 1].tolist(), "a": series[:, 0].tolist()})
    windows, ends = by_hand(series, stride)
    given = {"window": WINDOW, "stride": stride, "columns": ["a", "b"], "time": "time"}
    done = predict_files(model, tmp_path / "x.csv", tmp_path / "y.csv", **given)
    found = read_csv(tmp_path / "y.csv")
    assert done.rows == len(ends)
    assert found["row"] == tuple(map(str, ends))
    assert found["time"] == tuple(times[e] for e in ends)
    np.testing.assert_array_equal(np.array(found["out"], np.float32), model.predict(windows)[:, 0])


def test_windows_of_an_array_and_of_every_file(tmp_path, model, series):
    np.save(tmp_path / "x.npy", series)
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", window=WINDOW)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(by_hand(series)[0]))
    np.save(tmp_path / "short.npy", series[: WINDOW - 1])
    several = [tmp_path / "x.npy", tmp_path / "short.npy", tmp_path / "x.npy"]
    predict_files(model, several, tmp_path / "y.csv", window=WINDOW)
    found = read_csv(tmp_path / "y.csv")
    assert found["row"] == tuple(map(str, range(WINDOW - 1, len(series)))) * 2
    assert set(found["source"]) == {str(tmp_path / "x.npy")}
    batches = (series[n : n + 17] for n in range(0, len(series), 17))
    found = np.concatenate(list(predict_batches(model, batches, window=WINDOW)))
    np.testing.assert_array_equal(found, model.predict(by_hand(series)[0]))


def test_many_blocks(tmp_path, model, monkeypatch):
    """A series longer than a block, of which the windows span the borders."""
    monkeypatch.setattr("lstm_infer.batch.delimited.ROWS", 100)
    monkeypatch.setattr("lstm_infer.batch.delimited.BLOCK_BYTES", 3000)
    series = RANDOM.normal(size=(3000, 2)).astype(np.float32)
    sensors = RANDOM.choice(["s1", "s2", "s3"], len(series))
    write_csv(tmp_path / "x.csv", {"sensor": sensors.tolist(), "a": series[:, 0].tolist(), "b": series[:, 1].tolist()})
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.csv", window=WINDOW, columns=["a", "b"])
    expected = model.predict(by_hand(series)[0])[:, 0]
    np.testing.assert_array_equal(np.array(read_csv(tmp_path / "y.csv")["out"], np.float32), expected)
    predict_files(model, tmp_path / "x.csv", tmp_path / "g.csv", window=WINDOW, group_by="sensor", stride=3)
    found = read_csv(tmp_path / "g.csv")
    wanted = []
    for sensor in np.unique(sensors):
        rows = np.flatnonzero(sensors == sensor)
        windows, ends = by_hand(series[rows], 3)
        outputs = model.predict(windows)[:, 0].tolist()
        wanted += zip(rows[ends].tolist(), [str(sensor)] * len(ends), outputs, strict=True)
    wanted.sort()
    rows = zip(map(int, found["row"]), found["sensor"], np.array(found["out"], np.float32).tolist(), strict=True)
    assert list(rows) == wanted


def test_scaling(tmp_path, model, series):
    raw = series.astype(np.float64) * [3.0, 10.0] + [100.0, -5.0]
    write_csv(tmp_path / "x.csv", {"a": raw[:, 0].tolist(), "b": raw[:, 1].tolist(), "other": raw[:, 1].tolist()})
    scaling = {"a": {"mean": 100, "scale": 3}, "b": {"min": -25, "max": 15, "feature_range": [-1, 1]}}
    (tmp_path / "scaling.json").write_text(json.dumps(scaling))
    read = np.array([[float(f"{v:.9g}") for v in row] for row in raw])
    scaled = np.stack([(read[:, 0] - 100) / 3, (read[:, 1] + 25) / 40 * 2 - 1], axis=1).astype(np.float32)
    expected = model.predict(by_hand(scaled)[0])
    given = {"window": WINDOW, "scale": str(tmp_path / "scaling.json")}
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-6)
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given, unscale="a")
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected * 3 + 100, rtol=1e-6)
    np.save(tmp_path / "x.npy", raw)
    lines = {"mean": [100, -5], "scale": [3, 10]}
    predict_files(model, tmp_path / "x.npy", tmp_path / "y.npy", window=WINDOW, scale=lines)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict(by_hand(series)[0]), atol=1e-5)


WRONG_SCALING = [
    ("[]", "expected an object"), ("{", "no valid JSON"), ('{"a": {"mean": 1}}', "expected mean and scale"),
    ('{"a": 3}', "expected mean and scale"), ('{"a": {"mean": "x", "scale": 1}}', "something else than numbers"),
    ('{"a": {"mean": 1, "scale": 1}}', r"found no scaling of \['b'\]"),
    ('{"mean": [1], "scale": [1, 2]}', "different size"),
    ('{"mean": [1, 2, 3], "scale": [1, 2, 3]}', "found scaling of 3 columns, expected 2"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG_SCALING, ids=[message for _, message in WRONG_SCALING])
def test_wrong_scaling(tmp_path, model, text, message):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(li.InputError, match=message):
        given = {"window": 2, "scale": str(tmp_path / "scaling.json"), "columns": ["a", "b"]}
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)


def test_a_bad_row_breaks_a_series(tmp_path, model, series):
    lines = ["a,b", *(f"{a:.9g},{b:.9g}" for a, b in series[:40])]
    lines[21] = "1,oops"  # row 20
    (tmp_path / "x.csv").write_text("\n".join(lines))
    done = predict_files(model, tmp_path / "x.csv", tmp_path / "y.csv", window=WINDOW, on_error="skip")
    assert done.rejected == 1
    found = read_csv(tmp_path / "y.csv")
    assert found["row"] == tuple(map(str, [*range(5, 20), *range(26, 40)]))
    windows = np.concatenate([by_hand(series[:20])[0], by_hand(series[21:40])[0]])
    np.testing.assert_array_equal(np.array(found["out"], np.float32), model.predict(windows)[:, 0])
    with pytest.raises(li.InputError, match="x.csv, line 22: could not convert"):
        predict_files(model, tmp_path / "x.csv", tmp_path / "z.csv", window=WINDOW)


def test_an_input_without_timesteps_has_the_last_row(tmp_path, series):
    past, now = li.Input((WINDOW, 2), name="past"), li.Input((1,), name="now")
    model = li.Model([past, now], li.Dense(1)(li.Concatenate()([li.LSTM(3)(past), now])))
    model.set_weights([RANDOM.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    write_csv(tmp_path / "x.csv", {name: series[:, n % 2].tolist() for n, name in enumerate("abc")})
    columns = {"past": ["a", "b"], "now": ["c"]}
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", window=WINDOW, columns=columns)
    windows, ends = by_hand(series)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict([windows, series[ends, :1]]))


WRONG = [
    ({"window": 3, "columns": ["a"]}, r"found windows of 3 rows of 1 columns, expected \(None, None, 2\)"),
    ({"window": 3, "columns": ["a", "z"]}, "found no column 'z'"),
    ({"window": 3, "group_by": "z"}, "found no column 'z'"),
    ({"group_by": "a"}, "group_by is for windows"),
    ({"window": 0}, "found window=0"),
    ({"unscale": "a"}, "unscale needs scale"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_usage(tmp_path, model, given, message):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(li.InputError, match=message):
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npy", **given)
    assert not (tmp_path / "y.npy").exists()


# ---------------------------------------------------------------- rows that cannot be used
def as_csv(path, rows):
    write_csv(path, {name: [row[name] for row in rows] for name in rows[0]})


def as_records(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(path, rows):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    columns = {n: [None if row[n] == "bad" else row[n] for row in rows] for n in rows[0]}
    parquet.write_table(pa.table(columns), path)


@pytest.mark.parametrize("rows_at_once", [7, 8192])
@pytest.mark.parametrize("write", [as_csv, as_records, as_parquet])
def test_a_bad_row_interrupts_the_windows_of_its_group_alone(tmp_path, model, series, write, rows_at_once, monkeypatch):
    monkeypatch.setattr("lstm_infer.batch.delimited.ROWS", rows_at_once)
    monkeypatch.setattr("lstm_infer.batch.tables.READ_ROWS", rows_at_once)
    values = series[:90].tolist()
    rows = [{"a": a, "b": b, "g": "xyz"[n % 3], "h": n % 3} for n, (a, b) in enumerate(values)]
    bad = [30, 31, 45, 89]  # of x, y, x and z
    for row in bad:
        rows[row]["a"] = "bad"
    path = tmp_path / {as_csv: "x.csv", as_records: "x.jsonl", as_parquet: "x.parquet"}[write]
    write(path, rows)
    given = {"window": 4, "columns": ["a", "b"], "group_by": ["g", "h"], "on_error": "skip"}
    assert predict_files(model, path, tmp_path / "y.csv", **given).rejected == len(bad)
    found = read_csv(tmp_path / "y.csv")
    expected = {}
    for group in range(3):
        run = []
        for row in range(group, 90, 3):
            run = [] if row in bad else [*run, row]
            if len(run) >= 4:
                expected[row] = model.predict(series[None, run[-4:]])[0, 0]
    assert [int(row) for row in found["row"]] == sorted(expected)
    np.testing.assert_array_equal(np.array(found["out"], np.float32), [expected[row] for row in sorted(expected)])


def test_a_bad_row_of_no_known_group_interrupts_all(tmp_path, model):
    lines = ["a,b,g", *(f"{n},1,{'xy'[n % 2]}" for n in range(40))]
    lines[21] = "1,2"
    (tmp_path / "x.csv").write_text("\n".join(lines))
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.csv", window=4, group_by="g", on_error="skip")
    assert [int(row) for row in read_csv(tmp_path / "y.csv")["row"]] == [*range(6, 20), *range(27, 40)]


# ---------------------------------------------------------------- records
def test_json_records_are_columns(tmp_path, model, series):
    rows = [{"t": f"t{n}", "a": a, "flag": True, "b": b} for n, (a, b) in enumerate(series.tolist())]
    rows[7]["a"] = 3
    series = series.copy()
    series[7, 0] = 3
    as_records(tmp_path / "x.jsonl", rows)
    windows, ends = by_hand(series)
    expected = model.predict(windows)[:, 0]
    predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.csv", window=WINDOW, columns=["a", "b"], time="t")
    found = read_csv(tmp_path / "y.csv")
    assert found["t"] == tuple(f"t{n}" for n in ends)
    np.testing.assert_array_equal(np.array(found["out"], np.float32), expected)
    scale = {"b": {"mean": 1, "scale": 2}, "a": {"min": 0, "max": 4}}
    predict_files(model, tmp_path / "x.jsonl", tmp_path / "y.csv", window=WINDOW, columns=["a", "b"], scale=scale)
    scaled = np.stack([series[:, 0].astype(float) / 4, (series[:, 1].astype(float) - 1) / 2], axis=1)
    expected = model.predict(by_hand(scaled.astype(np.float32))[0])[:, 0]
    np.testing.assert_array_equal(np.array(read_csv(tmp_path / "y.csv")["out"], np.float32), expected)


def test_strange_json_records(tmp_path):
    adder = li.Sequential([li.Input((2,)), li.Dense(1, name="sum")])
    adder.set_weights([np.ones((2, 1)), np.zeros(1)])
    rows = [{"a": None, "b": 2}, {"a": 1, "b": 2, "c": 5}, {"b": 4, "a": True}, {"a": [1], "b": 1}, {"a": 1}, [1, 2],
            {"a": "1", "b": 1}, {"b": 1e3, "a": -1}]  # fmt: skip
    as_records(tmp_path / "x.jsonl", rows)
    done = predict_files(adder, tmp_path / "x.jsonl", tmp_path / "y.npy", on_error="skip")
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == [3, 5, 999] and done.rejected == 5
    rejected = [json.loads(line) for line in (tmp_path / "y.npy.rejected.jsonl").read_text().splitlines()]
    assert [one["where"] for one in rejected] == ["line 1", "line 4", "line 5", "line 6", "line 7"]
    assert rejected[1]["reason"] == "member 'a': found [1], expected a number"
    as_records(tmp_path / "2.jsonl", [{"b": 10, "a": 20}])
    as_records(tmp_path / "1.jsonl", [{"a": 1, "b": 2}])
    weighted = li.Sequential([li.Input((2,)), li.Dense(1)])
    weighted.set_weights([np.array([[1.0], [100.0]]), [0.0]])
    predict_files(weighted, [tmp_path / "1.jsonl", tmp_path / "2.jsonl"], tmp_path / "y.npy")
    assert np.load(tmp_path / "y.npy")[:, 0].tolist() == [201, 1020]


# ---------------------------------------------------------------- series in several files
@pytest.fixture
def days(tmp_path, series):
    """A series of two groups, whole and in daily files, with rows that cannot be used at the ends of some."""
    rows = [{"a": a, "b": b, "g": "xy"[n % 5 == 0], "n": n} for n, (a, b) in enumerate(series[:200].tolist())]
    for row in (38, 39, 40, 77, 149, 199):
        rows[row]["a"] = "bad"
    (tmp_path / "days").mkdir()
    for number, (first, last) in enumerate([(0, 40), (40, 41), (41, 43), (43, 150), (150, 200)]):
        as_csv(tmp_path / "days" / f"{number}.csv", rows[first:last])
    as_csv(tmp_path / "whole.csv", rows)
    return tmp_path


DAILY = {"window": WINDOW, "columns": ["a", "b"], "time": "n", "on_error": "skip", "index": False}


@pytest.mark.parametrize("group_by", [(), "g"])
@pytest.mark.parametrize("stride", [1, 3])
def test_windows_across_files(days, model, stride, group_by):
    given = {**DAILY, "stride": stride, "group_by": group_by}
    predict_files(model, days / "whole.csv", days / "whole.y.csv", **given)
    predict_files(model, days / "days", days / "y.csv", across_files=True, **given)
    assert (days / "y.csv").read_bytes() == (days / "whole.y.csv").read_bytes()
    predict_files(model, days / "days", days / "y.csv", **given)
    assert len(read_csv(days / "y.csv")["n"]) < len(read_csv(days / "whole.y.csv")["n"])


def test_windows_across_files_resume(days, model, monkeypatch):
    monkeypatch.setattr("lstm_infer.batch.feed.FEW_ROWS", 1)
    monkeypatch.setattr("lstm_infer.batch.delimited.ROWS", 10)
    monkeypatch.setattr(targets, "SECONDS", 0.0)
    given = {**DAILY, "across_files": True, "group_by": "g"}
    predict_files(model, days / "days", days / "whole.csv", **given)
    write = targets.FileTarget.write
    for most in range(1, 20, 2):
        calls = []

        def some(self, results, calls=calls, most=most):
            calls.append(0)
            if len(calls) > most:
                raise OSError(28, "No space left on device")
            write(self, results)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(targets.FileTarget, "write", some)
            predict_files(model, days / "days", days / "y.csv", **given)
        done = predict_files(model, days / "days", days / "y.csv", resume=True, **given)
        assert done.resumed_at or most < 5
        assert (days / "y.csv").read_bytes() == (days / "whole.csv").read_bytes()
        (days / "y.csv").unlink()


def test_files_of_one_series_have_the_same_columns(tmp_path, model, series):
    np.save(tmp_path / "1.npy", series)
    np.save(tmp_path / "2.npy", series[:, :1])
    with pytest.raises(li.InputError, match="2.npy: found 1 numbers a row, expected 2"):
        predict_files(model, tmp_path, tmp_path / "y.csv", window=3, across_files=True)
    with pytest.raises(li.InputError, match="across_files is for windows"):
        predict_files(model, tmp_path, tmp_path / "y.csv", across_files=True)
