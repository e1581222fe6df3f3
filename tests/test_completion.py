"""The scripts for shells: run by the shell itself, where it is here."""

import shutil
import subprocess

import pytest

from lstm_infer.cli import _parser
from lstm_infer.completion import script


def completed(line, folder=None):
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"{script('bash', _parser())}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_lstm_infer\n"
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash():
    assert completed("lstm-infer pre") == ["predict"]
    assert {"predict", "summary", "verify", "generate"} <= set(completed("lstm-infer "))
    assert completed("lstm-infer predict model.h5 --win") == ["--window"]
    assert completed("lstm-infer predict model.h5 x.csv --on-error ") == ["fail", "skip"]
    assert completed("lstm-infer completion f") == ["fish"]
    assert "/etc/passwd" in completed("lstm-infer predict /etc/pass")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_and_names_with_blanks(tmp_path):
    (tmp_path / "my model.h5").write_text("")
    assert completed("lstm-infer predict my", tmp_path) == ["my model.h5"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish(tmp_path):
    (tmp_path / "script").write_text(script("fish", _parser()))

    def offered(line):
        command = ["fish", "-c", f"source {tmp_path}/script; complete -C '{line}'"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [one.partition("\t")[0] for one in out.splitlines()]

    assert offered("lstm-infer pre") == ["predict"]
    assert offered("lstm-infer predict model.h5 --win") == ["--window"]
    assert offered("lstm-infer predict model.h5 x.csv --on-error ") == ["fail", "skip"]
    assert offered("lstm-infer completion f") == ["fish"]
    assert "/etc/passwd" in offered("lstm-infer predict /etc/pass")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh(tmp_path):
    """In a terminal of zsh's own, where it completes the line that is typed."""
    (tmp_path / "script").write_text(script("zsh", _parser()))
    (tmp_path / "play").write_text(ZSH.replace("FOLDER", str(tmp_path)))
    done = subprocess.run(["zsh", "-f", tmp_path / "play"], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["predict", "--window", "bash", "/etc/passwd"], done


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -D; source FOLDER/script; print 're''ady'"
zpty -r shell line '*ready*'
try() {
    zpty -w -n shell "lstm-infer $1"$'\\t'
    zpty -r -m shell line "*$2*" && print -- $2
    zpty -w -n shell $'\\x15'
}
try pre predict
try "predict model.h5 --wind" --window
try "completion ba" bash
try "predict /etc/passw" /etc/passwd
zpty -d shell
"""


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
