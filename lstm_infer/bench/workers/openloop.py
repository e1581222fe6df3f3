"""An open loop in one process: sequences arrive when they arrive, whether the engine keeps up or not.

Latency counts from the moment a sequence was to arrive, so an engine that holds up the arrivals gains nothing by it.
"""

import threading
import time

import numpy as np

LONGEST = 128


def lengths(random, number):
    """Return geometric lengths of mean 32, at most 128."""
    return np.minimum(random.geometric(1 / 32, number), LONGEST)


def run(submit, features, rate, seconds, seed=0):
    """Send sequences at random moments, `rate` a second in the mean; return their latencies in seconds, sorted.

    Parameters
    ----------
    submit : callable
        Called with x (timesteps, features) and a function to call with the answer when it is there.
    """
    random = np.random.default_rng(seed)
    number = max(1, int(rate * seconds))
    moments = np.cumsum(random.exponential(1 / rate, number)).tolist()
    data = random.normal(size=(LONGEST, features)).astype(np.float32)
    xs = [data[:n].copy() for n in lengths(random, number)]
    latencies, done, began = [None] * number, threading.Semaphore(0), time.perf_counter() + 0.05
    for n, (moment, x) in enumerate(zip(moments, xs, strict=True)):
        wait = began + moment - time.perf_counter()
        if wait > 0:
            time.sleep(wait)

        def end(answer, n=n, moment=moment):
            latencies[n] = time.perf_counter() - began - moment
            done.release()

        submit(x, end)
    for _ in range(number):
        done.acquire()
    return np.sort(latencies)


def sweep(make, features, rates, seconds, give_up):
    """Return (rate, p50, p99) of ascending rates; a new engine for each rate.

    It ends when p99 is over `give_up` seconds twice in a row: once may be another process's doing.

    Parameters
    ----------
    make : callable
        Returns ``submit`` and a function that ends it.
    """

    def measure(rate):
        submit, close = make()
        run(submit, features, rate, 0.5, seed=1)
        latencies = run(submit, features, rate, seconds)
        close()
        return latencies

    return ascend(measure, rates, give_up)


def ascend(measure, rates, give_up):
    """Return (rate, p50, p99) of ascending rates, as far as they can be borne.

    Parameters
    ----------
    measure : callable
        Returns the latencies of a rate.
    """
    found = []
    for rate in rates:
        p50, p99 = np.percentile(measure(rate), [50, 99], method="higher").tolist()
        found.append((float(rate), p50, p99))
        if all(late > give_up for _, _, late in found[-2:]) and len(found) > 1:
            break
    return found
