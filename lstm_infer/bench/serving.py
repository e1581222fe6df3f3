"""Continuous batching beside padding: how many sequences a second at what latency.

``python -m lstm_infer.bench.serving --peer PYTHON`` measures the scheduler of this package in this process, and ONNX
Runtime behind a dynamic batcher that pads in another, whose interpreter has onnx and onnxruntime. LSTM(512), lengths
geometric with mean 32 and at most 128, Poisson arrivals. Every configuration of the peer is tried at every rate; the
best one counts, of those that batch what comes as it comes, as model servers do, and of those that pick batches by
length from a longer queue, which saves most of the padding and lets some wait.

With ``--http`` both stand behind the server of this package in a process of its own, and their clients are in this one.
PYTHON then needs the extra ``serve``, too. Both are also measured at 70 % of the rate that the peer can hold.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..arguments import positive, seconds
from ..layers import LSTM, Input
from ..model import Sequential
from ..serve.scheduler import Scheduler
from . import overhttp
from .workers import openloop

UNITS, FEATURES = 512, 128
RATES = [round(100 * 1.25**n) for n in range(22)]
LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""p99 in seconds at which the highest rates are compared."""
GIVE_UP = 0.4
"""p99 in seconds beyond which a sweep ends."""
CONFIGURATIONS = [
    (most, instances, threads, is_sorted)
    for most in (8, 16, 32, 64)
    for instances, threads in ((1, 2), (2, 1))
    for is_sorted in (False, True)
]
QUICK = [(32, 2, 1, False), (64, 2, 1, False), (16, 2, 1, True), (64, 2, 1, True)]


def measure(threads, duration, rates=RATES, give_up=GIVE_UP, units=UNITS, features=FEATURES):
    """Return (rate, p50, p99) of ascending rates for this package's scheduler."""
    random = np.random.default_rng(0)
    model = Sequential([Input((None, features)), LSTM(units)])
    shapes = [(features, 4 * units), (units, 4 * units), (4 * units,)]
    model.set_weights([random.normal(size=shape) * 0.05 for shape in shapes])

    def make():
        scheduler = Scheduler(model, queue=1 << 20, threads=threads)

        def submit(x, end):
            scheduler.submit(x[None]).add_done_callback(lambda future: end(future.result()))

        return submit, scheduler.close

    return openloop.sweep(make, features, rates, duration, give_up)


def measure_peer(python, duration, configurations, rates=RATES, give_up=GIVE_UP, units=UNITS, features=FEATURES):
    """Return the peer's configurations, each with its (rate, p50, p99)."""
    job = {"units": units, "features": features, "rates": rates, "seconds": duration, "give_up": give_up}
    script = Path(__file__).parent / "workers" / "padding.py"
    text = json.dumps({**job, "configurations": configurations})
    done = subprocess.run([python, str(script)], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{python} {script} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measure_over_http(threads, duration, rates=RATES, give_up=GIVE_UP, units=UNITS, features=FEATURES):
    """Return as `measure`, of this package's server."""
    job = {"units": units, "features": features, "threads": threads}
    return overhttp.sweep(sys.executable, job, rates, duration, give_up)


def measure_peer_over_http(
    python, duration, configurations, rates=RATES, give_up=GIVE_UP, units=UNITS, features=FEATURES
):
    """Return as `measure_peer`, behind this package's server."""
    found = []
    for configuration in configurations:
        job = {"units": units, "features": features, "threads": 1, "configuration": configuration}
        found.append({"configuration": configuration, "rates": overhttp.sweep(python, job, rates, duration, give_up)})
    return found


def best_rate(found, limit):
    """Return the highest rate at which p99 is within `limit`."""
    return max((rate for rate, _, p99 in found if p99 <= limit), default=0.0)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lstm_infer.bench.serving", description=__doc__)
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter with onnx and onnxruntime")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--seconds", type=seconds, default=5.0, help="for each rate (5)")
    parser.add_argument("--quick", action="store_true", help="only the configurations of the peer that were best here")
    parser.add_argument("--http", action="store_true", help="over HTTP")
    options = parser.parse_args(arguments)
    ask, ask_peer = (measure_over_http, measure_peer_over_http) if options.http else (measure, measure_peer)
    ours = ask(options.threads, options.seconds)
    _print("this package", ours)
    if options.peer is None:
        return 0
    peer = ask_peer(options.peer, options.seconds, QUICK if options.quick else CONFIGURATIONS)
    for result in peer:
        _print(_words(result["configuration"]), result["rates"])
    compare(ours, peer)
    if options.http:
        compare_at_70_percent(options, ask, ask_peer, peer)
    return 0


def compare(ours, peer):
    """Print the rates that each can hold."""
    print(f"{'p99 within':>12} {'this package':>12} {'padding':>12} {'ratio':>7} {'by length':>12} {'ratio':>7}")
    for limit in LIMITS:
        rate = best_rate(ours, limit)
        text = f"{1000 * limit:>9.0f} ms {rate:>10.0f}/s"
        for way in (False, True):
            theirs = [best_rate(result["rates"], limit) for result in peer if result["configuration"][3] == way]
            text += f" {max(theirs):>10.0f}/s {rate / max(theirs) if max(theirs) else np.inf:>7.2f}"
        print(text)


def compare_at_70_percent(options, ask, ask_peer, peer):
    """Print latencies at 70 % of the rate that the peer can hold at all, of both; of the peer's the best count."""
    capacity = max(best_rate(result["rates"], LIMITS[-1]) for result in peer)
    if not capacity:
        return
    able = [result["configuration"] for result in peer if best_rate(result["rates"], LIMITS[-1]) >= 0.7 * capacity]
    print(f"at 70 % of {capacity:.0f}/s, what ONNX Runtime holds at a p99 within {1000 * LIMITS[-1]:.0f} ms:")
    _print("this package", ask(options.threads, options.seconds, rates=[0.7 * capacity]))
    theirs = ask_peer(options.peer, options.seconds, able, rates=[0.7 * capacity])
    best = min(theirs, key=lambda result: result["rates"][0][2])
    _print(_words(best["configuration"]), best["rates"])


def _words(configuration):
    most, instances, threads, is_sorted = configuration
    how = "by length" if is_sorted else "as they come"
    return f"ONNX Runtime, {instances} x {threads} threads, batches of {most}, {how}"


def _print(name, found):
    print(name, flush=True)
    for rate, p50, p99 in found:
        print(f"{rate:>8.0f}/s   p50 {1000 * p50:8.1f} ms   p99 {1000 * p99:8.1f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
