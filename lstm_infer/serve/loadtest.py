"""Load for a server, and how it bears it: ``python -m lstm_infer.serve.loadtest URL MODEL``.

Open loop (``--rate``): requests begin at random moments, whether the server keeps up or not, and latency counts from
the moment each was to begin; what the server delays is not left out. Closed loop (``--clients``): each client asks
again as soon as it has its answer. ``--streams`` adds clients that send sequences piece by piece, ``--rude`` some that
hang up, send rubbish, bodies that are too large, and bodies that never end. With ``--check FILE``, the model's own
file, every answer is compared with what this package computes from it, bit for bit.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ..arguments import positive, seconds
from .client import Answer, Connection, Connections

PERCENTILES = (50, 90, 99, 99.9)
SEQUENCES = 256
"""Different sequences that are sent."""
PATIENCE = 60.0
"""Seconds after which an answer no longer counts."""


class Case(NamedTuple):
    """A request that is ready to be sent, and the right answer where it is known."""

    head: bytes
    body: bytes
    expected: np.ndarray | None


class Plan(NamedTuple):
    """What is asked of whom."""

    host: str
    port: int
    model: str
    name: str
    features: tuple
    cases: list
    local: object


class Tally:
    """What came of the requests."""

    def __init__(self):
        self.latencies, self.statuses, self.wrong, self.lost = [], {}, 0, 0
        self.pieces, self.rude = 0, {}

    def count(self, status):
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def count_rude(self, what):
        self.rude[what] = self.rude.get(what, 0) + 1


def encode(plan, x, **parameters):
    """Return the head and body of a request to infer, with x as bytes."""
    size = {"binary_data_size": x.nbytes}
    item = {"name": plan.name, "datatype": "FP32", "shape": list(x.shape), "parameters": size}
    parameters = {"binary_data_output": True, **parameters}
    text = json.dumps({"inputs": [item], "parameters": parameters}).encode()
    head = (
        f"POST /v2/models/{plan.model}/infer HTTP/1.1\r\nhost: {plan.host}:{plan.port}\r\n"
        f"inference-header-content-length: {len(text)}\r\n"
    ).encode()
    return head, text + x.tobytes()


def decode(headers, body):
    """Return the numbers of an answer."""
    length = int(headers[b"inference-header-content-length"])
    return np.frombuffer(body[length:], np.float32)


async def make_plan(options, random):
    """Ask the server what its model takes, and make the requests."""
    url = urlsplit(options.url if "//" in options.url else f"//{options.url}")
    host, port = url.hostname, url.port or 80
    connections = Connections(host, port)
    head = f"GET /v2/models/{options.model} HTTP/1.1\r\nhost: {host}:{port}\r\n".encode()
    status, _, body = await connections.ask(head, b"")
    connections.close()
    if status != 200:
        raise SystemExit(f"{options.url}: found status {status} for model '{options.model}': {body.decode()}")
    described = json.loads(body)["inputs"]
    if len(described) != 1 or len(described[0]["shape"]) < 3:
        raise SystemExit(f"found inputs {described}, expected one of shape (rows, timesteps, features)")
    _, timesteps, *features = described[0]["shape"]
    local = None
    if options.check:
        from ..loading import load_model

        local = load_model(options.check)
    plan = Plan(host, port, options.model, described[0]["name"], tuple(abs(n) for n in features), [], local)
    lengths = np.minimum(random.geometric(1 / options.mean, SEQUENCES), options.longest)
    for length in lengths if timesteps < 0 else [timesteps] * SEQUENCES:
        x = random.normal(size=(1, int(length), *plan.features)).astype(np.float32)
        expected = None if local is None else local.predict(x).ravel()
        plan.cases.append(Case(*encode(plan, x), expected))
    return plan


# ---------------------------------------------------------------- clients
async def one(connections, case, tally, began):
    """Send a request that was to begin at some moment."""
    try:
        status, headers, body = await connections.ask(case.head, case.body, PATIENCE)
    except (Answer, OSError):
        tally.lost += 1
        return
    tally.latencies.append(time.perf_counter() - began)
    tally.count(status)
    if status == 200 and case.expected is not None and not np.array_equal(decode(headers, body), case.expected):
        tally.wrong += 1


async def open_loop(plan, tally, rate, duration, random):
    """Begin requests at random moments."""
    connections, tasks, began, moment = Connections(plan.host, plan.port), set(), time.perf_counter(), 0.0
    while (moment := moment + random.exponential(1 / rate)) < duration:
        wait = began + moment - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(one(connections, plan.cases[random.integers(SEQUENCES)], tally, began + moment))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    connections.close()


async def closed_loop(plan, tally, duration, random):
    """Ask again and again."""
    connections, until = Connections(plan.host, plan.port), time.perf_counter() + duration
    while time.perf_counter() < until:
        await one(connections, plan.cases[random.integers(SEQUENCES)], tally, time.perf_counter())
    connections.close()


async def stream(plan, tally, duration, random, number, pause):
    """Send sequences piece by piece, each under a number of its own."""
    connections, until = Connections(plan.host, plan.port), time.perf_counter() + duration
    while time.perf_counter() < until:
        number += 1_000_000
        pieces = random.integers(1, 20, 10).tolist()
        x = random.normal(size=(1, sum(pieces), *plan.features)).astype(np.float32)
        session, first = None if plan.local is None else plan.local.session(), 0
        for n, length in enumerate(pieces):
            piece = np.ascontiguousarray(x[:, first : first + length])
            flags = {"sequence_start": n == 0, "sequence_end": n == len(pieces) - 1}
            question = encode(plan, piece, sequence_id=number, **flags)
            try:
                status, headers, body = await connections.ask(*question, PATIENCE)
            except (Answer, OSError):
                tally.lost += 1
                break
            tally.pieces += 1
            tally.count(status)
            if status != 200:
                break
            if session is not None and not np.array_equal(decode(headers, body), session.predict(piece).ravel()):
                tally.wrong += 1
            first += length
            await asyncio.sleep(random.exponential(pause))
    connections.close()


async def rude(plan, tally, duration, random, pause):
    """Do what clients should not."""
    until = time.perf_counter() + duration
    while time.perf_counter() < until:
        what = ("hang up", "rubbish", "no JSON", "too large", "slow")[random.integers(5)]
        try:
            answer = await _misbehave(plan, what, random)
        except (Answer, OSError):
            answer = "no answer"
        tally.count_rude(f"{what}: {answer}")
        await asyncio.sleep(random.exponential(pause))


async def _misbehave(plan, what, random):
    connection, case = await Connection.open(plan.host, plan.port), plan.cases[random.integers(SEQUENCES)]
    try:
        if what == "hang up":
            whole = case.head + b"content-length: %d\r\n\r\n" % len(case.body) + case.body
            connection.send(whole[: random.integers(1, len(whole) + 1)])
            await asyncio.sleep(random.exponential(0.01))
            return "gone"
        if what == "rubbish":
            connection.send(random.bytes(200) + b"\r\n\r\n")
        elif what == "no JSON":
            connection.send(case.head + b"content-length: 50\r\n\r\n" + random.bytes(50))
        elif what == "too large":
            connection.send(case.head + b"content-length: 99999999999\r\n\r\n" + bytes(1 << 16))
        else:
            connection.send(case.head + b"content-length: 1000\r\n\r\n{")
        return (await connection.answer(PATIENCE))[0]
    finally:
        connection.close()


async def watch(pid, duration, show):
    """Show the memory and threads of a process every minute."""
    until = time.perf_counter() + duration
    minute = 0
    while time.perf_counter() < until:
        found = memory_of(pid)
        show(f"minute {minute}: {found[0] / 1024:.1f} MiB, {found[1]} threads")
        minute += 1
        await asyncio.sleep(min(60.0, max(0.0, until - time.perf_counter())))


def memory_of(pid):
    """Return a process's resident memory in KiB and its number of threads (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["VmRSS"].split()[0]), int(values["Threads"])


# ---------------------------------------------------------------- the command
async def run(options, show=print):
    """Do as the command line says; returns the `Tally`."""
    random, tally = np.random.default_rng(options.seed), Tally()
    plan = await make_plan(options, random)
    warm = Connections(plan.host, plan.port)
    for case in plan.cases[:20]:
        await one(warm, case, Tally(), 0.0)
    warm.close()

    def seeds():
        return np.random.default_rng(random.integers(1 << 32))

    began, tasks = time.perf_counter(), []
    if options.rate:
        tasks.append(open_loop(plan, tally, options.rate, options.seconds, seeds()))
    tasks += [closed_loop(plan, tally, options.seconds, seeds()) for _ in range(options.clients)]
    streams = range(1, options.streams + 1)
    tasks += [stream(plan, tally, options.seconds, seeds(), n, options.pause) for n in streams]
    tasks += [rude(plan, tally, options.seconds, seeds(), options.pause) for _ in range(options.rude)]
    if options.pid:
        tasks.append(watch(options.pid, options.seconds, show))
    await asyncio.gather(*tasks)
    report(tally, time.perf_counter() - began, show)
    return tally


def run_loop(main):
    """Run a coroutine, in the quicker loop of uvloop where that is installed: a client takes time of the server's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def report(tally, duration, show):
    """Print what was measured."""
    latencies = 1000 * np.sort(np.array(tally.latencies))
    if len(latencies):
        numbers = "  ".join(f"p{p:g} {np.percentile(latencies, p):.2f}" for p in PERCENTILES)
        show(f"{len(latencies)} answers, {len(latencies) / duration:.0f}/s; ms: {numbers}  max {latencies[-1]:.2f}")
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(tally.statuses.items()))
    show(f"statuses {statuses or 'none'}; pieces of streams {tally.pieces}; wrong {tally.wrong}, lost {tally.lost}")
    for what, number in sorted(tally.rude.items()):
        show(f"rude: {what} {number} times")


def plot(tally, path):
    """Draw the latencies up to which how many answers came."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    latencies = 1000 * np.sort(np.array(tally.latencies))
    figure, axes = pyplot.subplots(figsize=(7, 4))
    later = 1 - np.arange(len(latencies)) / max(1, len(latencies))
    axes.plot(latencies, later)
    axes.set(xscale="log", yscale="log", xlabel="latency [ms]", ylabel="share of answers that took longer")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m lstm_infer.serve.loadtest", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="of the server: http://127.0.0.1:8000")
    parser.add_argument("model", metavar="MODEL", help="the model's name there")
    parser.add_argument("--rate", type=_rate, metavar="R", help="open loop: requests a second")
    parser.add_argument("--clients", type=positive, metavar="N", default=0, help="closed loop: clients")
    parser.add_argument("--streams", type=positive, metavar="N", default=0, help="clients that send piece by piece")
    parser.add_argument("--rude", type=positive, metavar="N", default=0, help="clients that misbehave")
    parser.add_argument("--pause", type=seconds, metavar="S", default=0.05, help="between pieces, in the mean (0.05)")
    parser.add_argument("--seconds", type=seconds, metavar="S", default=10.0, help="of the load (10)")
    parser.add_argument("--mean", type=positive, metavar="T", default=32, help="timesteps in the mean, geometric (32)")
    parser.add_argument("--longest", type=positive, metavar="T", default=128, help="timesteps at most (128)")
    parser.add_argument("--check", metavar="FILE", help="the model's file: compare every answer")
    parser.add_argument("--pid", type=positive, metavar="PID", help="of the server: show its memory every minute")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE", help="write the latencies")
    parser.add_argument("--plot", metavar="FILE", help="draw the latencies (needs matplotlib)")
    return parser


def _rate(text):
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate < 1e6:
        raise argparse.ArgumentTypeError(f"found {text}, expected a positive number of requests a second")
    return rate


def main(arguments=None):
    """Run the command; returns 1 if an answer was wrong or lost."""
    options = parser().parse_args(arguments)
    if not (options.rate or options.clients or options.streams or options.rude):
        options.clients = 1
    try:
        tally = run_loop(run(options, lambda line: print(line, flush=True)))
    except OSError as error:
        print(f"{options.url}: {error}", file=sys.stderr)
        return 2
    if options.json:
        document = {"latencies": tally.latencies, "statuses": tally.statuses, "wrong": tally.wrong, "lost": tally.lost}
        Path(options.json).write_text(json.dumps(document))
    if options.plot:
        plot(tally, options.plot)
    return 1 if tally.wrong or tally.lost else 0


if __name__ == "__main__":
    sys.exit(main())
