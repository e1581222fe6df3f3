"""How many steps a second a pool of sessions takes: ``python -m lstm_infer.bench.streams``.

All sessions of one LSTM are stepped in rounds, each round as one call, in a new order of sessions every time.
"""

import argparse
import sys
import time

import numpy as np

from ..arguments import positive
from ..layers import LSTM, Input
from ..model import Sequential
from ..streaming import SessionPool


def measure(sessions, units, features, threads, rounds):
    """Return the steps a second of `SessionPool.step_many` and of `SessionPool.step`, medians of all rounds."""
    random = np.random.default_rng(0)
    model = Sequential([Input((None, features)), LSTM(units)])
    shapes = [(features, 4 * units), (units, 4 * units), (4 * units,)]
    model.set_weights([random.normal(size=shape) * 0.1 for shape in shapes])
    pool, x = SessionPool(model, sessions), random.normal(size=(sessions, features)).astype(np.float32)
    many, by_id = [], []
    for _ in range(rounds):
        ids = random.permutation(sessions)
        rows = dict(zip(ids.tolist(), list(x), strict=True))
        for times, call in (
            (many, lambda ids=ids: pool.step_many(ids, x, threads)),
            (by_id, lambda rows=rows: pool.step(rows, threads)),
        ):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return sessions / np.median(many), sessions / np.median(by_id)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lstm_infer.bench.streams", description=__doc__)
    for name, default in (("sessions", 10_000), ("units", 64), ("features", 16), ("threads", 2), ("rounds", 200)):
        parser.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=f"({default})")
    many, by_id = measure(**vars(parser.parse_args(arguments)))
    print(f"step_many(ids, x)   {many:>12,.0f} steps a second\nstep({{id: x_t}})     {by_id:>12,.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
