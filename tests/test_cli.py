"""The command ``lstm-infer``, run as a user runs it."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li

MODELS = Path(__file__).resolve().parent.parent / "models"
SUNSPOTS = MODELS / "sunspots.h5"


def run(*arguments, stdin=None, cwd=None, text=True):
    command = [sys.executable, "-m", "lstm_infer", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
    return subprocess.run(command, input=stdin, capture_output=True, text=text, cwd=cwd, env=environment, timeout=300)


@pytest.fixture(scope="module")
def expected():
    return li.load_model(SUNSPOTS).predict(np.load(MODELS / "sunspots.input.npy"))


def test_predict_to_stdout(expected):
    done = run("predict", SUNSPOTS, MODELS / "sunspots.input.csv")
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(done.stdout), np.float32, ndmin=2), expected)


def test_predict_through_a_pipe(expected):
    text = "year,value\n" + (MODELS / "sunspots.input.csv").read_text()  # a header is skipped
    text = text.replace("year,value", ",".join(["lag"] * 24))
    done = run("predict", SUNSPOTS, "-", stdin=text)
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(done.stdout), np.float32, ndmin=2), expected)


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_predict_to_a_file(tmp_path, expected, suffix):
    target = tmp_path / f"y.{suffix}"
    done = run("predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", target, "--batch-size", 7)
    assert (done.returncode, done.stdout) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    if suffix == "csv":
        found = np.loadtxt(target, np.float32, delimiter=",", ndmin=2)
    elif suffix == "npy":
        found = np.load(target)
    else:
        with np.load(target) as archive:
            (found,) = archive.values()
    np.testing.assert_array_equal(found, expected)


def test_several_inputs():
    done = run("predict", MODELS / "co2.h5", MODELS / "co2.input.npz", "--output-format", "npy", text=False)
    with np.load(MODELS / "co2.golden.npz") as golden:
        np.testing.assert_allclose(np.load(io.BytesIO(done.stdout)), golden["output_0"], atol=1e-5)


def test_summary_names_the_path():
    done = run("summary", SUNSPOTS)
    assert done.returncode == 0
    assert "fast vector float32 sequence kernel" in done.stdout
    assert "Total params" in done.stdout


def test_verify(tmp_path):
    done = run("verify", SUNSPOTS, MODELS / "sunspots.golden.npz")
    assert done.returncode == 0
    assert "output_0: largest difference" in done.stdout
    assert "agrees" in done.stdout
    with np.load(MODELS / "sunspots.golden.npz") as golden:
        wrong = {**golden, "output_0": golden["output_0"] + 0.01}
    np.savez(tmp_path / "wrong.npz", **wrong)
    done = run("verify", SUNSPOTS, tmp_path / "wrong.npz")
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


def test_verify_stateful_calls_and_two_files(tmp_path):
    assert run("verify", MODELS / "licence.keras", MODELS / "licence.golden.npz").stdout.count("agrees") == 40
    with np.load(MODELS / "sunspots.golden.npz") as golden:
        np.savez(tmp_path / "in.npz", input_0=golden["input_0"])
        np.savez(tmp_path / "out.npz", output_0=golden["output_0"])
    assert run("verify", SUNSPOTS, tmp_path / "in.npz", tmp_path / "out.npz").returncode == 0


WRONG = [
    (["predict", "missing.h5", "x.npy"], "missing.h5: No such file or directory"),
    (["predict", SUNSPOTS, "missing.npy"], "missing.npy: No such file or directory"),
    (["predict", SUNSPOTS, MODELS / "README.md"], "found the suffix 'md'"),
    (["predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", "y.txt"], "found the suffix 'txt'"),
    (["predict", MODELS / "README.md", MODELS / "sunspots.input.npy"], "README.md"),
    (["predict", SUNSPOTS, MODELS / "digits.input.npy"], "input 'sunspots': found shape"),
    (["verify", SUNSPOTS, MODELS / "digits.input.npy"], "expected an npz file"),
    (["predict", SUNSPOTS], "the following arguments are required: INPUT"),
    (["predict", SUNSPOTS, "x.npy", "--threads", "0"], "expected a positive number"),
    ([], "the following arguments are required: COMMAND"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: None if isinstance(value, list) else value)
def test_wrong_usage_model_or_input(tmp_path, arguments, message):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_bad_csv_names_the_line():
    done = run("predict", SUNSPOTS, "-", stdin="1,2,3\n4,5,x\n")
    assert done.returncode == 2
    assert "-, line 2: could not convert string to float: 'x'" in done.stderr


def test_unwritable_target(tmp_path):
    done = run("predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", tmp_path / "missing" / "y.npy")
    assert done.returncode == 2
    assert "No such file or directory" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "lstm_infer", "predict", SUNSPOTS, MODELS / "sunspots.input.npy"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=MODELS.parent, timeout=300)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(tmp_path, number, status):
    pipe = tmp_path / "data.csv"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "lstm_infer", "predict", SUNSPOTS, pipe]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=MODELS.parent
    )
    with open(pipe, "w"):  # which returns when the command opens its input, the model loaded
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in error


def test_reader_that_leaves_early():
    """``lstm-infer predict ... | head -1``."""
    command = f"{sys.executable} -m lstm_infer predict {SUNSPOTS} {MODELS / 'sunspots.input.csv'} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=MODELS.parent, timeout=300)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_version():
    assert run("--version").stdout == f"lstm-infer {li.__version__}\n"
