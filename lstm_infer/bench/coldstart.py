"""How long a new process takes to its first answer, imports included: what a user waits for."""

import tempfile
import time
from pathlib import Path

import numpy as np

from ..errors import InputError
from .engines import OURS, Engine, EngineError, EngineUnsupported
from .reference import TOLERANCE, answer, deviation
from .rounds import Measured

ROOT = Path(__file__).parents[2]
"""Where ``models`` is, beside ``bench.py``."""


class ColdStart:
    """Measures a case of mode ``start`` or ``file``: in every round each engine starts anew.

    Parameters
    ----------
    runner : Runner
        Knows the engines and the rounds.
    note : callable
        Called with a line on what takes long.
    """

    def __init__(self, runner, note):
        self.runner, self.note = runner, note

    def measure(self, case):
        """Return the list of `Measured`."""
        case, expected = self._prepare(case)
        found = [Measured(engine.name, "new process") for engine in self.runner.engines]
        pairs = list(zip(self.runner.engines, found, strict=True))
        for turn in range(self.runner.rounds + 1):  # the first is a rehearsal: it fills the caches, of files too
            for engine, measured in pairs:
                self._start(engine, measured, case, expected, counts=turn > 0)
        return found + [self._first_ever(engine, case, expected) for engine, _ in pairs if engine.name == OURS]

    def _prepare(self, case):
        """Write the case's arrays where the runner's requests say; return the case and its answer, None for a file."""
        if case.mode == "start":
            arrays = case.arrays()
            np.savez(self.runner.arrays, **arrays)
            return case, answer(case, arrays)
        file = ROOT / case.file
        if not file.exists():
            raise InputError(f"{file}: not found; suite coldstart runs in a clone of the repository")
        np.savez(self.runner.arrays, x=np.zeros((1, case.timesteps, case.features), np.float32))
        return type(case)(**{**vars(case), "file": str(file)}), None

    def _start(self, engine, measured, case, expected, counts=True):
        if measured.status in ("failed", "unsupported"):
            return
        fresh = Engine(engine.name, engine.python, engine.threads, engine.environment)
        begin = time.perf_counter_ns()
        try:
            fresh.ask("build", **self.runner.request(case, fresh))
            y = self.runner.answer(fresh, 0)
        except EngineUnsupported as reason:
            measured.status, measured.reason = "unsupported", str(reason)
            return
        except EngineError as reason:
            measured.status, measured.reason = "failed", str(reason)
            return
        finally:
            took = time.perf_counter_ns() - begin
            fresh.stop()
        if counts:
            measured.rounds.append([took])
        if expected is not None:
            measured.check(deviation(case, y, expected), TOLERANCE)

    def _first_ever(self, engine, case, expected):
        """This engine with no compiled kernels: once, since it takes long and hardly varies."""
        self.note(f"{case.name}: compiling every kernel anew")
        measured = Measured(engine.name, "new process, no kernels yet", counts=False)
        with tempfile.TemporaryDirectory() as folder:
            empty = Engine(engine.name, engine.python, engine.threads, {"LSTM_INFER_CACHE_DIR": folder})
            self._start(empty, measured, case, expected)
        return measured
