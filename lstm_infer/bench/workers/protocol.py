"""What the benchmark and an engine's process say to each other: one JSON object a line, arrays in npz files.

The process builds a case, answers it once, and then runs rounds of it on request. In between it waits for the next
line and so leaves the machine to the others.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np


class Unsupported(Exception):
    """The engine does not offer what the case needs."""


class Way(NamedTuple):
    """One way in which an engine computes a case. Of ways with the same name only the quickest is measured.

    Attributes
    ----------
    name : str
        What a user of the engine calls.
    call : callable
        What is timed.
    answer : callable or None
        Returns the outputs, (batch, timesteps, units); None for another computation, there to compare its time.
    how : str
        The configuration.
    prepare : callable
        Called before each round, for what is set for a whole process.
    counts : bool
        Whether this is a contender, and not mere information.
    """

    name: str
    call: Callable
    answer: Callable
    how: str = ""
    prepare: Callable = lambda: None
    counts: bool = True


def threads_of(count):
    """Return a number of threads in words."""
    return f"{count} thread{'s' if count > 1 else ''}"


def steps_of(x):
    """Return the timesteps of ``x`` as contiguous (batch, features) arrays."""
    return [np.ascontiguousarray(x[:, t]) for t in range(x.shape[1])]


def serve(versions, build, **measures):
    """Do what the lines of standard input ask for until there are no more.

    Parameters
    ----------
    versions : dict
        Of the engine and of what it rests on.
    build : callable
        ``build(case, arrays, threads)`` returns a list of `Way`.
    **measures : callable
        More that can be asked for by name; the answer is what they return.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print must not land among the replies
    server = _Server(build)

    def say(reply):
        print(json.dumps(reply), file=replies, flush=True)

    say({"versions": {**versions, "numpy": np.__version__, "python": sys.version.split()[0]}})
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        try:
            say(measures[do](**request) if do in measures else getattr(server, do)(**request))
        except Unsupported as reason:
            say({"unsupported": str(reason)})
        except Exception as error:
            traceback.print_exc()
            say({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


class _Server:
    def __init__(self, build):
        self._build, self._ways = build, []

    def build(self, case, arrays, threads):
        """Make the ways of a case ready; those of the case before are dropped first."""
        self._ways.clear()
        with np.load(arrays) as archive:
            self._ways += self._build(SimpleNamespace(**case), dict(archive), threads)
        return self._names()

    def choose(self, seconds):
        """Keep the quickest of the ways with the same name."""
        best = {}
        for way in self._ways:
            rivals = sum(way.name == other.name for other in self._ways)
            took = min(_timed(way, seconds)) if rivals > 1 else 0
            if way.name not in best or took < best[way.name][0]:
                best[way.name] = (took, way)
        self._ways[:] = [way for _, way in best.values()]
        return self._names()

    def _names(self):
        return {"ways": [{"name": way.name, "how": way.how, "counts": way.counts} for way in self._ways]}

    def answer(self, way, file):
        """Compute the outputs and save them in `file`, an npy; a way without an answer saves nothing."""
        self._ways[way].prepare()
        if self._ways[way].answer is not None:
            np.save(file, np.asarray(self._ways[way].answer()))
        return {}

    def round(self, way, seconds):
        """Return the nanoseconds of every call in `seconds`."""
        return {"times": _timed(self._ways[way], seconds)}


def _timed(way, seconds):
    """Return the nanoseconds of the calls in `seconds`, one at least; warmed up before."""
    way.prepare()
    call, now, times = way.call, time.perf_counter_ns, []
    warm = now() + int(seconds * 1e8)
    call()
    while now() < warm:
        call()
    end = now() + int(seconds * 1e9)
    while not times or now() < end:
        begin = now()
        call()
        times.append(now() - begin)
    return times
