"""The engines as the benchmark sees them: a process each, started when it is needed, that answers requests."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import InputError

WORKERS = Path(__file__).parent / "workers"
OURS = "lstm_infer"
ENGINES = {  # name -> script, modules it needs
    OURS: ("ours.py", ("lstm_infer", "numba")),
    "onnxruntime": ("onnxruntime_worker.py", ("onnxruntime", "onnx")),
    "openvino": ("openvino_worker.py", ("openvino",)),
    "torch": ("torch_worker.py", ("torch",)),
    "tensorflow": ("tensorflow_worker.py", ("tensorflow", "keras")),
}
FIND = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
"""A program: exit status 0 if the interpreter has the modules."""


class EngineError(Exception):
    """An engine failed: what it said last."""


class EngineUnsupported(Exception):
    """An engine does not offer what a case needs."""


class Engine:
    """One engine.

    Parameters
    ----------
    name : str
    python : str
        The interpreter that has it.
    threads : int
        The most its process may use.
    environment : dict, optional
        Variables to set for the process.

    Attributes
    ----------
    versions : dict
        Known once the process has started.
    environment : dict
        Of the process.
    """

    def __init__(self, name, python, threads, environment=None):
        self.name, self.python, self.threads = name, python, threads
        self.versions, self._process, self._log = {}, None, None
        self.environment = {**os.environ, **_environment(name, threads), **(environment or {})}

    @property
    def is_installed(self):
        """Whether the interpreter finds the engine's modules."""
        command = [self.python, "-c", FIND, *ENGINES[self.name][1]]
        return subprocess.run(command, env=self.environment, stderr=subprocess.DEVNULL).returncode == 0

    def start(self):
        """Start the process, unless it runs, and wait until it has imported the engine."""
        if self._process is not None:
            return
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (closed by `stop`)
        self._process = subprocess.Popen(
            [self.python, WORKERS / ENGINES[self.name][0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            errors="replace",
            env=self.environment,
        )
        self.versions = self._read().get("versions", {})

    def ask(self, do, **what):
        """Return the process's reply to a request.

        Raises
        ------
        EngineUnsupported, EngineError
        """
        self.start()
        with contextlib.suppress(BrokenPipeError):  # it is gone: reading says why
            print(json.dumps({"do": do, **what}), file=self._process.stdin, flush=True)
        reply = self._read()
        if "unsupported" in reply:
            raise EngineUnsupported(reply["unsupported"])
        if "error" in reply:
            raise EngineError(reply["error"])
        return reply

    def _read(self):
        line = self._process.stdout.readline()
        if line:
            return self._understand(line)
        status = self._process.wait()
        self._log.seek(0)
        last = (self._log.read().strip().splitlines() or ["it said nothing"])[-1]
        self.stop()
        raise EngineError(f"its process ended with status {status}: {last}")

    def _understand(self, line):
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            self.stop()
            raise EngineError(f"its process answered {line.strip()[:80]!r}, expected JSON")
        return reply

    def stop(self):
        """End the process, if it runs; a request that comes later starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(BrokenPipeError):  # a request that was never read
                file.close()
        self._process = None


def _environment(name, threads):
    variables = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    if name == OURS:
        home = str(Path(__file__).parents[2])  # this very code, installed or not
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    else:
        variables["PYTHONPATH"] = ""
    return variables


def choose(names, pythons, threads, note):
    """Return the engines to measure; this one is always the first.

    Parameters
    ----------
    names : list of str, or None
        All that are installed for None.
    pythons : dict
        Interpreters by engine; this process's own where none is given.
    threads : int
    note : callable
        Called with a line about each engine that is left out.

    Raises
    ------
    InputError
        An engine that was asked for is unknown or not installed.
    """
    for name in {*(names or ()), *pythons}:
        if name not in ENGINES:
            raise InputError(f"found engine {name!r}, expected some of {', '.join(ENGINES)}")
    chosen = []
    for name in ENGINES:
        engine = Engine(name, pythons.get(name, sys.executable), threads)
        if names is not None and name not in names:
            continue
        if engine.is_installed:
            chosen.append(engine)
        elif names is not None or name in pythons:
            raise InputError(f"engine {name}: {engine.python} has no {' and '.join(ENGINES[name][1])}")
        else:
            note(f"{name} is not installed here (--python {name}=PATH names an interpreter that has it)")
    return chosen
