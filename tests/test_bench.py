"""The benchmark: that it computes, compares and reports rightly. How fast anything is, no test says."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.bench import cases, compare, engines, main, model, plot, reference, report, rounds, statistics, table
from lstm_infer.warmup import warm_up
from lstm_infer.wholefile import replacing

ROOT = Path(__file__).resolve().parent.parent
SUNSPOTS = ROOT / "models" / "sunspots.h5"
TINY = [
    cases.sequence(5, 4, batch=2, features=3),
    cases.sequence(5, 4, cell="gru"),
    cases.sequence(5, 4, activation="relu", recurrent_activation="hard_sigmoid"),
    cases.step(5, dense=2),
    cases.ragged(5, 8, 4),
]
QUICKLY = ["--engines", "lstm_infer", "--rounds", "2", "--seconds", "0.002"]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(cases.SUITES, "quick", TINY)


@pytest.fixture
def document():
    """Of a run in which a peer was twice as fast."""
    case = TINY[0]
    ours = rounds.Measured("lstm_infer", "predict", rounds=[[2000, 2200], [2100]])
    peer = rounds.Measured("torch", "nn.LSTM", rounds=[[1000, 1100], [1050]])
    absent = rounds.Measured("openvino", status="unsupported", reason="no such thing")
    return {
        "machine": {"cpu": "a CPU", "cores": 1, "lanes": 8},
        "versions": {"numpy": "2"},
        "threads": 1,
        "cases": [report.case_record(case, [ours, peer, absent], 8, peak=100.0, bandwidth=10.0)],
    }


# ---------------------------------------------------------------- cases and the reference
@pytest.mark.parametrize("case", [case for case in TINY if case.mode == "sequence"], ids=lambda case: case.name)
def test_reference_agrees_with_the_engine(case):
    arrays = case.arrays()
    layer = {"lstm": li.LSTM, "gru": li.GRU}[case.cell](
        case.units,
        activation=case.activation,
        recurrent_activation=case.recurrent_activation,
        return_sequences=True,
    )
    layer.set_weights([arrays[name] for name in ("kernel", "recurrent_kernel", "bias")])
    assert reference.deviation(case, layer(arrays["x"]), reference.answer(case, arrays)) < 1e-6


def test_deviation_looks_at_real_timesteps_only():
    case = cases.ragged(2, 8, 4)
    expected = np.zeros((4, 8, 2))
    real = np.arange(8) < case.lengths[:, None]
    assert reference.deviation(case, np.where(real[..., None], expected, 9), expected) == 0
    assert reference.deviation(case, np.where(real[..., None], 0.5, expected), expected) == 0.5
    assert reference.deviation(case, np.full((4, 8, 2), np.nan), expected) == np.inf
    assert reference.deviation(case, expected[:, :7], expected) == np.inf


def test_cases_are_reproducible_and_named_once():
    for suite in cases.SUITES.values():
        assert len({case.name for case in suite}) == len(suite)
        assert all(case.like in {other.name for other in suite} for case in suite if case.like)
    first, second = TINY[-1].arrays(), TINY[-1].arrays()
    assert all((first[name] == second[name]).all() for name in first)
    assert first["lengths"].max() == 8 and abs(cases.ragged(8, 200, 64).lengths.mean() / 200 - 0.25) < 0.02


def test_multiply_adds_round_units_up_to_lanes():
    case = cases.sequence(5, 4, batch=2, features=3)
    assert case.multiply_adds() == 2 * 4 * 4 * 5 * (3 + 5)
    assert case.multiply_adds(lanes=8) == 2 * 4 * 4 * 8 * (3 + 5)


# ---------------------------------------------------------------- reports
def test_percentiles_need_enough_calls():
    found = statistics.summarize([list(range(1000, 1100))] * 10)
    assert found["calls"] == 1000 and found["p99.9"] is not None
    assert statistics.summarize([[1000] * 99])["p99"] is None


def test_ratio_is_against_the_best_peer(document):
    ours, peer, _ = document["cases"][0]["results"]
    assert ours["ratio"] == pytest.approx(0.5) and ours["best_peer"] == "torch"
    assert "ratio" not in peer
    assert ours["gflops"] == pytest.approx(2 * TINY[0].multiply_adds() / 2100)


def test_rate_like():
    records = [
        report.case_record(case, [rounds.Measured("lstm_infer", "predict", rounds=[[1000]])], 8, 1.0, 1.0)
        for case in (cases.sequence(8, 4), cases.sequence(7, 4, features=8, like=cases.sequence(8, 4).name))
    ]
    report.add_rates(records)
    assert records[1]["results"][0]["rate_like"] == pytest.approx(15 / 16)


def test_table_shows_what_is_missing_and_what_is_wrong(document):
    wrong = document["cases"][0]["results"][1]
    wrong["status"], wrong["reason"] = "wrong", "its answer is off by 0.5"
    text = "\n".join(table.table(document))
    assert "openvino    UNSUPPORTED" in text and "openvino: no such thing" in text
    assert "WRONG nn.LSTM" in text and "torch: its answer is off by 0.5" in text
    assert report.has_failed(document)


def test_compare_marks_what_is_beyond_noise(document, tmp_path):
    old = json.loads(json.dumps(document))
    old["threads"] = 2
    result = old["cases"][0]["results"][0]
    result["p50"], result["rounds"] = 1e-6, [1e-6, 1.1e-6]
    text = "\n".join(compare.compare(old, document))
    assert "0.48  SLOWER" in text and "Careful: that run had 2 thread(s)" in text
    (tmp_path / "no.json").write_text("[1]")
    with pytest.raises(li.InputError, match="no run of this benchmark"):
        compare.read(tmp_path / "no.json")


def test_plot(document, tmp_path):
    if plot.find_spec("matplotlib") is None:
        with pytest.raises(li.InputError, match=r"lstm-infer\[bench\]"):
            plot.check_installed()
        return
    with open(tmp_path / "plot.png", "wb") as file:
        plot.plot(document, file)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- engines
def test_a_worker_that_dies_is_reported_and_replaced(tmp_path):
    engine = engines.Engine("lstm_infer", sys.executable, 1)
    try:
        with pytest.raises(engines.EngineError, match="no_such_file"):
            engine.ask("build", case={}, arrays=str(tmp_path / "no_such_file.npz"), threads=1)
        engine._process.kill()
        with pytest.raises(engines.EngineError, match="its process ended with status"):
            engine.ask("describe")
        assert engine.ask("describe")["lanes"] >= 4
        assert engine.ask("peak", threads=2, seconds=0.001)["gflops"] > 0
    finally:
        engine.stop()


@pytest.mark.parametrize("line", ["hello", "[1]", "7", "\\377"])
def test_a_peer_that_does_not_answer_in_json_has_failed(line, tmp_path, tiny, capsys, monkeypatch):
    monkeypatch.setitem(cases.SUITES, "quick", TINY[:1])
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n[ \"$1\" = -c ] || {{ printf '{line}\\n'; exec sleep 60; }}\n")
    python.chmod(0o755)
    quickly = ["--engines", "lstm_infer,torch", *QUICKLY[2:], "--quiet"]
    assert main([*quickly, "--python", f"torch={python}"]) == 1
    shown = capsys.readouterr()
    assert "FAILED" in shown.out and "its process answered" in shown.out and "expected JSON" in shown.out


def test_a_wrong_answer_is_found(monkeypatch, tiny, capsys):
    monkeypatch.setattr(reference, "lstm", lambda x, *weights: np.zeros((len(x), 4, 5)))
    monkeypatch.setitem(cases.SUITES, "quick", TINY[:1])
    assert main([*QUICKLY, "--quiet"]) == 1
    assert "WRONG" in capsys.readouterr().out


# ---------------------------------------------------------------- bench.py
def test_a_run(tiny, tmp_path, capsys):
    assert main([*QUICKLY, "--json", str(tmp_path / "run.json")]) == 0
    shown = capsys.readouterr()
    assert "bench.py: 1/5 LSTM 3>5 x4 batch 2" in shown.err
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["machine"]["lanes"] >= 4 and found["versions"]["lstm_infer"] == li.__version__
    assert [case["name"] for case in found["cases"]] == [case.name for case in TINY]
    for case in found["cases"]:
        assert case["peak_gflops"] > 0 and case["bandwidth_gbs"] > 0
        assert all(result["status"] == "ok" and result["p50"] > 0 for result in case["results"])
    assert main([*QUICKLY, "--quiet", "--compare", str(tmp_path / "run.json")]) == 0
    shown = capsys.readouterr()
    assert shown.err == "" and "Against the earlier run" in shown.out
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "nonsense"], "nonsense"),
        (["--rounds", "0"], "expected a positive number"),
        (["--seconds", "nan"], "expected a number of seconds"),
        (["--engines", "caffe"], "found engine 'caffe', expected some of lstm_infer, onnxruntime"),
        (["--python", "torch"], "expected ENGINE=PATH"),
        (["--python", "torch=/no/such/python"], "expected ENGINE=PATH"),
        (["--compare", "/no/such/file.json"], "No such file"),
        (["--json", "/no/such/folder/run.json"], "its folder does not exist"),
        (["--plot", "/no/such/folder/run.png"], "its folder does not exist"),
        (["--json", str(ROOT)], "found a folder there, expected a file's name"),
        (["--plot", str(ROOT)], "found a folder there, expected a file's name"),
        (["--json", os.devnull], "found no file there"),
    ],
)
def test_wrong_usage(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_shown_before_it_is_written(tiny, tmp_path, capsys, monkeypatch):
    """On a full disk."""
    monkeypatch.setitem(cases.SUITES, "quick", TINY[:1])
    monkeypatch.setattr(os, "fsync", full_disk)
    file = tmp_path / "run.json"
    assert main([*QUICKLY, "--quiet", "--json", str(file)]) == 1
    shown = capsys.readouterr()
    assert TINY[0].name in shown.out
    assert shown.err == f"bench.py: {file}: No space left on device\n"
    assert os.listdir(tmp_path) == []


def full_disk(handle):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_a_run_is_written_though_nobody_reads_the_table(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(cases.SUITES, "quick", TINY[:1])
    monkeypatch.setattr("sys.stdout", Gone())
    assert main([*QUICKLY, "--quiet", "--json", str(tmp_path / "run.json")]) == 1
    assert json.loads((tmp_path / "run.json").read_text())["cases"]


def test_a_file_that_cannot_be_replaced_is_named(tmp_path):
    (tmp_path / "target").mkdir()
    for target in (tmp_path / "target", tmp_path / "no" / "target"):
        with pytest.raises(OSError) as caught, replacing(target) as file:
            file.write(b"x")
        assert caught.value.filename == str(target)
    assert os.listdir(tmp_path) == ["target"]


def test_an_interpreter_without_the_engine(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(li.InputError, match="has no torch"):
        engines.choose(None, {"torch": str(python)}, 1, lambda line: None)


def test_the_script():
    done = subprocess.run([sys.executable, ROOT / "bench.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--compare OLD.json" in done.stdout


# ---------------------------------------------------------------- lstm-infer bench
def run(*arguments):
    command = [sys.executable, "-m", "lstm_infer", "bench", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_bench_of_a_model(tmp_path):
    done = run(SUNSPOTS, "--seconds", 0.1, "--threads", 1, "--json", tmp_path / "model.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "session.step" in done.stdout and "lstm_1" in done.stdout
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["threads"] == 1 and found["timesteps"] == 24 and found["throughput"]["rows"] == 256
    assert [layer["type"] for layer in found["layers"]] == ["LSTM", "LSTM", "Dense", "checks, copies"]
    assert "one" in found["whole"]
    assert "The layers were timed one by one; predict computes 1 row(s)" in done.stdout


def test_bench_of_a_model_wrong_usage(tmp_path):
    assert run(SUNSPOTS, "--seconds", 0).returncode == 2
    assert run(tmp_path / "no.h5").returncode == 2
    assert run(SUNSPOTS, "--json", tmp_path / "no" / "model.json").returncode == 2
    done = run(SUNSPOTS, "--json", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"lstm-infer: {tmp_path}: found a folder there, expected a file's name\n"


def test_bench_of_a_model_is_shown_before_it_is_written(tmp_path):
    program = (
        "import errno, os, sys; from lstm_infer.cli import main\n"
        "def full_disk(handle): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "os.fsync = full_disk; sys.exit(main(sys.argv[1:]))"
    )
    file = tmp_path / "model.json"
    command = [sys.executable, "-c", program, "bench", SUNSPOTS, "--seconds", "0.01", "--json", file]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 1 and "session.step" in done.stdout
    assert done.stderr == f"lstm-infer: [Errno 28] No space left on device: '{file}'\n"
    assert os.listdir(tmp_path) == []


def test_random_inputs_fit_the_model():
    ids, flags, x = li.Input((None,)), li.Input((3,), dtype="int32"), li.Input((None, 2))
    inner_ids = li.Input((None,))
    inner = li.Model(inner_ids, li.Embedding(4, 2)(inner_ids))
    whole = li.Model([ids, flags, x], [li.Add()([li.Embedding(9, 2)(ids), inner(ids), x]), flags])
    found = model.random_inputs(whole, rows=5, timesteps=50)
    assert [array.shape for array in found] == [(5, 50), (5, 3), (5, 50, 2)]
    assert set(np.unique(found[0])) == {0, 1, 2, 3} and set(np.unique(found[1])) <= {0, 1}
    assert found[2].dtype == np.float32 and len(np.unique(found[2])) > 100


def test_random_texts_are_of_known_words():
    words, text = li.Input((None,), dtype="string"), li.Input((1,), dtype="string")
    number = li.StringLookup(vocabulary=["a", "b"])(words)
    counts = li.TextVectorization(vocabulary=["c", "d"], output_mode="count")(text)
    found = model.random_inputs(li.Model([words, text], [number, counts]), rows=40, timesteps=6)
    assert [array.shape for array in found] == [(40, 6), (40, 1)]
    assert set(found[0].ravel()) == {b"a", b"b"}
    assert {word for cell in found[1].ravel() for word in cell.split()} == {b"c", b"d"}
    assert {len(cell.split()) for cell in found[1].ravel()} == {6}


@pytest.mark.parametrize("name", ["keras3_looked_up_words.h5", "keras3_text_in_a_nested_model.keras"])
def test_bench_and_warmup_of_models_that_take_texts(name):
    file = ROOT / "tests" / "golden" / name
    found = model.measure(lambda: li.load_model(file), 0, batch=4, timesteps=3, seconds=0.01)
    assert found["throughput"]["rows"] == 4 and found["whole"] == []
    assert not any("one by one" in line for line in model.table(found))
    assert warm_up(li.load_model(file)).kernels >= 0
