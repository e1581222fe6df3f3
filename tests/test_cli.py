"""The command ``lstm-infer``, run as a user runs it."""

import io
import json
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


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # which hides what Python does with its buffers when it ends


def run(*arguments, stdin=None, cwd=None, text=True):
    command = [sys.executable, "-m", "lstm_infer", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=text, cwd=cwd, env=ENVIRONMENT, timeout=300)


def shell(command):
    """Run a command line of the shell, in which ``lstm-infer`` is ours."""
    command = command.replace("lstm-infer", f"{sys.executable} -m lstm_infer")
    return subprocess.run(command, shell=True, capture_output=True, text=True, cwd=MODELS.parent, env=ENVIRONMENT,
                          timeout=300)  # fmt: skip


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
    assert "fast: float32 on register tiles" in done.stdout
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
    (["summary", SUNSPOTS, "--keras-version", "bogus"], "found keras_version='bogus'"),
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
@pytest.mark.parametrize(
    "arguments",
    ["predict models/sunspots.h5 models/sunspots.input.npy", "summary models/sunspots.h5", "--help",
     "verify models/sunspots.h5 models/sunspots.golden.npz"],
)  # fmt: skip
def test_full_disk(arguments):
    done = shell(f"lstm-infer {arguments} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_no_place_for_errors():
    assert shell("lstm-infer summary missing.h5 2> /dev/full").returncode == 2
    assert shell("lstm-infer summary missing.h5 2>&-").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
def test_closed_streams():
    data = "lstm-infer predict models/sunspots.h5"
    assert shell(f"{data} - <&-").returncode == 2
    done = shell(f"{data} models/sunspots.input.npy >&-")
    assert (done.returncode, done.stderr) == (1, "lstm-infer: standard output is closed\n")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted(tmp_path, number, status):
    if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("started by nohup, which the command heeds")
    pipe = tmp_path / "data.csv"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "lstm_infer", "predict", SUNSPOTS, pipe]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=MODELS.parent, env=ENVIRONMENT
    )
    with open(pipe, "w"):  # which returns when the command opens its input, the model loaded
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in error


def test_reader_that_leaves_early():
    done = shell("lstm-infer predict models/sunspots.h5 models/sunspots.input.csv | head -1")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert shell("lstm-infer summary models/sunspots.h5 | true").stderr == ""


@pytest.mark.parametrize("text", ["", "a,b\n", "\n\n"])
def test_no_rows(text):
    done = run("predict", SUNSPOTS, "-", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "lstm-infer: found no rows\n")


@pytest.mark.parametrize(
    "text",
    ["1,2,3x\n", "1,2,\n", "1,5;1,5\n", "1_0,2\n", "1 2 x\n"],
)
def test_a_broken_first_line_is_no_header(text):
    done = run("predict", SUNSPOTS, "-", stdin=text)
    assert done.returncode == 2
    assert "line 1" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_targets_that_are_there_already(tmp_path):
    target, link = tmp_path / "y.npy", tmp_path / "link.npy"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    assert run("predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", link).returncode == 0
    assert link.is_symlink()
    assert len(np.load(target)) == 60
    assert target.stat().st_mode & 0o777 == 0o600
    done = run("predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", "/dev/null", "--output-format", "csv")
    assert done.returncode == 0
    assert not Path("/dev/null").is_file()


def test_bad_npy_is_bad_input(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 24, 1)})
    done = run("predict", SUNSPOTS, tmp_path / "x.npy")
    assert done.returncode == 2
    assert "found no valid npy file" in done.stderr


def test_version():
    assert run("--version").stdout == f"lstm-infer {li.__version__}\n"


def test_warmup_leaves_nothing_to_compile(tmp_path):
    command = f"LSTM_INFER_CACHE_DIR={tmp_path} lstm-infer warmup models/sunspots.h5"
    first, second = (shell(command) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert int(first.stdout.split()[0]) >= 4
    assert second.stdout.startswith("0 kernels compiled")
    before = sorted(tmp_path.rglob("*.nbc"))
    assert {"share.linger", "share.share"} <= {path.name.partition("-")[0] for path in before}  # of several threads
    predict = "lstm-infer predict models/sunspots.h5 models/sunspots.input.npy"
    assert shell(f"LSTM_INFER_CACHE_DIR={tmp_path} {predict}").returncode == 0
    assert sorted(tmp_path.rglob("*.nbc")) == before


def test_warmup_is_enough_for_many_rows(tmp_path):
    """Of a model that cannot be stepped, too, in a process that has compiled nothing else."""
    program = (
        "import numpy as np, lstm_infer as li; from lstm_infer.warmup import warm_up\n"
        "from lstm_infer.kernels.counting import compilations\n"
        "model = li.Sequential([li.Input((None, 2)), li.SimpleRNN(3, go_backwards=True)])\n"
        "model.set_weights([np.ones(shape) for shape in ((2, 3), (3, 3), (3,))]); warm_up(model)\n"
        "with compilations() as names:\n"
        "    for rows in (1, 3, 70, 200, 300): model.predict(np.ones((rows, 4, 2), np.float32), lengths=[3] * rows)\n"
        "    for rows in (1, 3, 70, 200, 300): model.predict(np.ones((rows, 4, 2), np.float32))\n"
        "print(names)"
    )
    environment = {**ENVIRONMENT, "LSTM_INFER_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=300)
    assert done.stdout == "[]\n", done.stderr


def test_warmup_where_kernels_cannot_be_kept(tmp_path):
    """As on a read-only disk."""
    program = (
        "import sys, numba.core.caching as caching; from lstm_infer.cli import main\n"
        "def save(self, key, data): raise OSError(30, 'Read-only file system')\n"
        "caching.IndexDataCacheFile.save = save; sys.exit(main(['warmup', *sys.argv[1:]]))"
    )
    command, environment = [sys.executable, "-c", program, SUNSPOTS], {"LSTM_INFER_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | environment, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    number, _, rest = done.stderr.removeprefix("lstm-infer: ").partition(" ")
    assert int(number) >= 4 and rest.startswith(f"kernels compiled that could not be kept in {tmp_path}")


def test_warmup_without_a_place_to_keep_kernels(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = shell(f"LSTM_INFER_CACHE_DIR={tmp_path / 'file'} lstm-infer warmup models/sunspots.h5")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"LSTM_INFER_CACHE_DIR={tmp_path / 'file'}: found no folder" in done.stderr and "set LSTM" not in done.stderr
    done = shell(f"env -u LSTM_INFER_CACHE_DIR XDG_CACHE_HOME={tmp_path / 'file'} lstm-infer warmup models/sunspots.h5")
    assert (done.returncode, done.stdout) == (1, "")
    assert "set LSTM_INFER_CACHE_DIR" in done.stderr


# ---------------------------------------------------------------- predict: what only the command line has
def test_predict_a_series(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300, 2))
    lines = [f"{n},{'ab'[n % 2]},{x:.6g},{y:.6g}" for n, (x, y) in enumerate(rows)]
    (tmp_path / "x.csv").write_text("\n".join(["day,sensor,x,y", *lines]))
    options = "--window 24 --group-by sensor --time day --columns x --scale scale.json --unscale x --stats"
    (tmp_path / "scale.json").write_text('{"x": {"mean": 50, "scale": 40}}')
    done = run("predict", SUNSPOTS, "x.csv", "-o", "y.csv", *options.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *found = (tmp_path / "y.csv").read_text().splitlines()
    assert header == "row,sensor,day," + li.load_model(SUNSPOTS).output_names[0]
    assert [line.split(",")[:3] for line in found[:2]] == [["46", "a", "46"], ["47", "b", "47"]]
    assert len(found) == 300 - 2 * 23
    stats = json.loads(done.stderr)
    assert stats["rows"] == 254 and stats["rows_per_second"] > 0 and stats["peak_memory"] > 1 << 20


def test_predict_named_files(tmp_path, expected):
    with np.load(MODELS / "co2.input.npz") as inputs:
        np.save(tmp_path / "a.npy", inputs["input_0"])
        np.save(tmp_path / "b.npy", inputs["input_1"])
    names = li.load_model(MODELS / "co2.h5").input_names
    files = [f"{names[0]}={tmp_path / 'a.npy'}", f"input_1={tmp_path / 'b.npy'}"]
    done = run("predict", MODELS / "co2.h5", *files, "--output-format", "npy", text=False)
    whole = run("predict", MODELS / "co2.h5", MODELS / "co2.input.npz", "--output-format", "npy", text=False)
    assert done.stdout == whole.stdout != b""


def test_bad_rows_are_skipped_on_request(tmp_path):
    lines = (MODELS / "sunspots.input.csv").read_text().splitlines()
    lines[3] += ",1"
    (tmp_path / "x.csv").write_text("\n".join(lines))
    done = run("predict", SUNSPOTS, "x.csv", "-o", "y.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "lstm-infer: x.csv, line 4: found 25 cells, expected 24\n")
    done = run("predict", SUNSPOTS, "x.csv", "-o", "y.csv", "--on-error", "skip", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == f"lstm-infer: 1 row skipped, see {tmp_path / 'y.csv.rejected.jsonl'}\n"
    assert len((tmp_path / "y.csv").read_text().splitlines()) == 59
    done = run("predict", SUNSPOTS, "x.csv", "--on-error", "skip", "--rejected", "bad.jsonl", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count("\n") == 59
    assert json.loads((tmp_path / "bad.jsonl").read_text())["where"] == "line 4"


def test_help_shows_examples():
    done = run("predict", "--help")
    assert done.returncode == 0 and "exit status: 0 done" in done.stdout and "--resume goes on" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_a_bar_on_a_terminal_only(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    arguments = ["predict", SUNSPOTS, MODELS / "sunspots.input.npy", "-o", tmp_path / "y.npy"]
    command = [sys.executable, "-m", "lstm_infer", *arguments]
    subprocess.run(command, stderr=theirs, env=ENVIRONMENT, check=True, timeout=120)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "60.0/60.0" in shown and "rows/s" in shown


# ---------------------------------------------------------------- generate
def test_generate():
    model, characters = MODELS / "licence.keras", MODELS / "licence.characters.json"
    prompt = "subject to the terms and conditions of this license, "
    done = run("generate", model, prompt, "--tokenizer", characters, "--length", 40, "--temperature", 0)
    assert done.returncode == 0
    with np.load(MODELS / "licence.golden.npz") as golden:
        written = [int(golden[f"call{n}_output_0"][0, -1].argmax()) for n in range(40)]
    known = json.loads(characters.read_text())
    assert done.stdout == prompt + "".join(known[i] for i in written) + "\n"
    again = ["generate", model, "-", "--tokenizer", characters, "--seed", 3]
    seeded = [run(*again, stdin="the work").stdout for _ in range(2)]
    assert seeded[0] == seeded[1] and len(seeded[0]) == len("the work") + 201
    assert run("generate", model, "ÄÄÄ", "--tokenizer", characters).returncode == 2
    done = run("generate", model, "aÄbÄ", "--tokenizer", characters, "--length", 2)
    assert done.returncode == 0 and "found 'ä' in the beginning" in done.stderr.lower()
    assert run("generate", model, "a", "--tokenizer", MODELS / "README.md").returncode == 2
