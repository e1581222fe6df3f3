"""The same comparison over HTTP: a server in a process of its own, and its clients in this one, on the same cores."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from ..serve import loadtest
from .workers import openloop

WORKER = Path(__file__).parent / "workers" / "server.py"
PATIENCE = 120.0
"""Seconds in which a server must be up."""


@contextlib.contextmanager
def server(python, job):
    """Run a server of `workers/server.py`; yields its URL.

    Parameters
    ----------
    python : str
        The interpreter.
    job : dict
        What the worker reads, without the port.
    """
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [python, str(WORKER)], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        try:
            with process.stdin:
                process.stdin.write(json.dumps({**job, "port": port}))
            url = f"http://127.0.0.1:{port}"
            if not _comes_up(process, url):
                log.seek(0)
                raise SystemExit(f"{python} {WORKER} failed:\n{log.read()[-2000:]}")
            yield url
        finally:
            process.terminate()
            process.wait()


def sweep(python, job, rates, seconds, give_up):
    """Return (rate, p50, p99) of ascending rates, as `workers.openloop.sweep`; answers that fail are late for ever."""
    with server(python, job) as url:

        def measure(rate):
            load(url, rate, 0.5, seed=1)
            return load(url, rate, seconds)

        return openloop.ascend(measure, rates, give_up)


def load(url, rate, seconds, seed=0):
    """Return the latencies of an open loop, in seconds, sorted."""
    words = [url, "model", "--rate", str(rate), "--seconds", str(seconds), "--seed", str(seed)]
    options = loadtest.parser().parse_args([*words, "--mean", "32", "--longest", str(openloop.LONGEST)])
    tally = loadtest.run_loop(loadtest.run(options, lambda line: None))
    failed = tally.lost + sum(number for status, number in tally.statuses.items() if status != 200)
    return np.sort([*tally.latencies, *[np.inf] * failed])


def _comes_up(process, url):
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False
