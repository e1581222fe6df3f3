"""Load for a server, and how it bears it: ``python -m lstm_infer.serve.loadtest URL MODEL``.

Open loop (``--rate``): requests begin at random moments, whether the server keeps up or not, and latency counts from
the moment each was to begin; what the server delays is not left out. Closed loop (``--clients``): each client asks
again as soon as it has its answer. ``--streams`` adds clients that send sequences piece by piece, ``--rude`` some that
hang up, send rubbish, bodies that are too large, and bodies that never end. With ``--check FILE``, the model's own
file, every answer is compared with what this package computes from it, bit for bit.

What is asked is in ``plan``, who asks in ``callers``, what came of it in ``tally``; here is the command.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np

from ..arguments import positive, seconds
from ..errors import LSTMInferError
from .callers import closed_loop, one, open_loop, rude, stream
from .client import Connections
from .plan import make_plan
from .tally import Tally, plot, report, watch


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
    except (OSError, LSTMInferError) as error:
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
