"""A short run of `fuzz`: spoiled copies of every model file give a model or LoadError, soon and in little memory."""

import sys

import fuzz
import numpy as np
import pytest


def test_spoiled_files_give_a_model_or_a_load_error(monkeypatch):
    monkeypatch.delenv("LSTM_INFER_FILES", raising=False)  # the same files everywhere
    findings, counts = fuzz.run(1500, seed=7)
    assert findings == []
    assert counts["model"] + counts["refused"] == 1500
    assert min(counts.values()) > 150


def test_mutations_follow_from_their_numbers_and_spoil_something(monkeypatch):
    monkeypatch.delenv("LSTM_INFER_FILES", raising=False)
    seeds = fuzz.corpus()
    made = [fuzz.mutation(3, number, seeds) for number in range(200)]
    assert made == [fuzz.mutation(3, number, seeds) for number in range(200)]
    changed = [(data, architecture) != (seed.data, seed.architecture) for seed, data, architecture in made]
    assert np.mean(changed) > 0.8


@pytest.mark.skipif(sys.platform == "win32", reason="statuses are told otherwise there")
def test_what_ends_a_child_is_a_finding(monkeypatch, tmp_path, capsys):
    """A child that crashes at mutation 1, and the next, which hangs at mutation 3."""
    script = tmp_path / "fuzz.py"
    begin = f"import sys; sys.path[:0] = [{str(fuzz.HERE)!r}, {str(fuzz.HERE.parent)!r}]; import fuzz, os, time"
    script.write_text(f"""{begin}
def attempt(data, architecture, folder):
    attempt.number += 1
    first = int(sys.argv[sys.argv.index("--first") + 1])
    if (first, attempt.number) == (0, 2):
        os.abort()
    if (first, attempt.number) == (2, 2):
        time.sleep(600)
    return "model"
attempt.number = -1
fuzz.attempt, fuzz.corpus = attempt, lambda: [fuzz.Seed("x", b"{{}}", None)]
fuzz.main()
""")
    monkeypatch.setattr(fuzz, "HERE", tmp_path)
    monkeypatch.setattr(fuzz, "HANGS_AFTER", 5.0)
    findings, counts = fuzz.run(6, seed=1)
    assert [number for number, _ in findings] == [1, 3]
    assert "ended with status -6" in findings[0][1] and "mutation 1" in capsys.readouterr().out
    assert counts == {"model": 4, "refused": 0}
