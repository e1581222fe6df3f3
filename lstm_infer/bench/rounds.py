"""How a case is measured: every engine answers and is checked first, then they take turns, round after round.

The turns are what makes a ratio honest on a noisy machine: whatever slows it down meets all engines alike. While one
runs the others wait for their next line and use no CPU.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .engines import EngineError, EngineUnsupported
from .reference import TOLERANCE, answer, deviation
from .statistics import summarize

CHOOSING = 0.1
"""Seconds given to each of an engine's ways when the quickest is chosen."""

MEASURING = 0.02
"""Seconds for the peak, and for the bandwidth, in every round."""

SETTLING = 0.05
"""Seconds after a turn with several threads: those of ONNX Runtime spin for 30 ms before they sleep."""


@dataclass
class Measured:
    """One way of one engine in one case: what `Way` says of it, and the times of its calls.

    Attributes
    ----------
    status : str
        ``ok``, ``wrong``, ``failed`` or ``unsupported``; `reason` says more.
    """

    engine: str
    way: str = ""
    how: str = ""
    counts: bool = True
    status: str = "ok"
    reason: str = ""
    deviation: float | None = None
    rounds: list = field(default_factory=list)

    def check(self, off, tolerance):
        """Take note of how far the answer is from the reference."""
        self.deviation = off
        if off > tolerance:
            self.status, self.reason = "wrong", f"its answer is off by {off:.2g}"

    @property
    def times(self):
        """The statistics of the times, None without any."""
        return summarize(self.rounds) if self.rounds else None


class Runner:
    """Measures cases.

    Parameters
    ----------
    engines : list of Engine
    gauge : Engine
        This one, which also measures the machine.
    rounds : int
    seconds : float
        For each way of an engine in each round.
    folder : str
        A temporary one, for arrays.
    """

    def __init__(self, engines, gauge, rounds, seconds, folder):
        self.engines, self.gauge, self.rounds, self.seconds = engines, gauge, rounds, seconds
        self._folder = Path(folder)
        self.arrays = self._folder / "arrays.npz"

    def measure(self, case):
        """Return the list of `Measured`, and the medians of the machine's peak (GFLOP/s) and bandwidth (GB/s)."""
        arrays = case.arrays()
        np.savez(self.arrays, **arrays)
        expected = answer(case, arrays)
        contenders = [found for engine in self.engines for found in self._ready(engine, case, expected)]
        peaks, bandwidths = [], []
        for turn in range(self.rounds):
            peaks.append(self._gauge("peak")["gflops"])
            bandwidths.append(self._gauge("bandwidth", size=case.streamed)["gbs"])
            for engine, place, measured in _rotated(contenders, turn):
                self._round(engine, place, measured)
        found = [measured for _, _, measured in contenders]
        return found, float(np.median(peaks)), float(np.median(bandwidths))

    def _gauge(self, what, **more):
        return self.gauge.ask(what, threads=self.gauge.threads, seconds=min(MEASURING, self.seconds), **more)

    def _ready(self, engine, case, expected):
        """Return (engine, place, Measured) of every way: answered, compared and warmed up."""
        try:
            engine.ask("build", **self.request(case, engine))
            ways = engine.ask("choose", seconds=min(CHOOSING, self.seconds))["ways"]
        except EngineUnsupported as reason:
            return [(engine, None, Measured(engine.name, status="unsupported", reason=str(reason)))]
        except EngineError as reason:
            return [(engine, None, Measured(engine.name, status="failed", reason=str(reason)))]
        contenders = [(engine, n, Measured(engine.name, w["name"], w["how"], w["counts"])) for n, w in enumerate(ways)]
        for engine, place, measured in contenders:
            self._check(engine, place, measured, case, expected)
        return contenders

    def request(self, case, engine):
        """Return what the request to build a case says."""
        return {"case": vars(case), "arrays": str(self.arrays), "threads": engine.threads}

    def _check(self, engine, place, measured, case, expected):
        try:
            y = self.answer(engine, place)
        except EngineError as reason:
            measured.status, measured.reason = "failed", str(reason)
            return
        if y is not None:  # else another computation, there to compare its time
            measured.check(deviation(case, y, expected), TOLERANCE)

    def answer(self, engine, place):
        """Return the outputs of a way, or None where it has none to compare."""
        file = self._folder / "answer.npy"
        engine.ask("answer", way=place, file=str(file))
        y = np.load(file, allow_pickle=False) if file.exists() else None
        file.unlink(missing_ok=True)
        return y

    def _round(self, engine, place, measured):
        if measured.status == "failed" or place is None:
            return
        try:
            measured.rounds.append(engine.ask("round", way=place, seconds=self.seconds)["times"])
            time.sleep(SETTLING if engine.threads > 1 else 0)
        except EngineError as reason:
            measured.status, measured.reason = "failed", str(reason)


def _rotated(contenders, turn):
    start = turn % len(contenders) if contenders else 0
    return contenders[start:] + contenders[:start]
