"""The scripts for shells: run by the shell itself, where it is here."""

import shutil
import subprocess

import pytest

from lstm_infer.cli import _parser
from lstm_infer.completion import script


def completed(line):
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"{script('bash', _parser())}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_lstm_infer\n"
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash():
    assert completed("lstm-infer pre") == ["predict"]
    assert {"predict", "summary", "verify", "generate"} <= set(completed("lstm-infer "))
    assert completed("lstm-infer predict model.h5 --win") == ["--window"]
    assert completed("lstm-infer predict model.h5 x.csv --on-error ") == ["fail", "skip"]
    assert completed("lstm-infer completion f") == ["fish"]
    assert "/etc/passwd" in completed("lstm-infer predict /etc/pass")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_every_option_is_there(shell):
    text = script(shell, _parser())
    for word in ("window", "on-error", "temperature", "tokenizer"):
        assert f"-l {word} " in text if shell == "fish" else f"--{word}[" in text


@pytest.mark.parametrize(("shell", "check"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_shells_accept_them(tmp_path, shell, check):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(script(shell, _parser()))
    subprocess.run([shell, *check, tmp_path / "script"], check=True)
