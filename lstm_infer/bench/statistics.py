"""From the times of many calls to a few numbers."""

import numpy as np

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p99.9": 99.9}


def summarize(rounds):
    """Return the percentiles of the calls of all rounds, in seconds.

    Parameters
    ----------
    rounds : list of lists of int
        Nanoseconds of each call.

    Returns
    -------
    dict
        ``calls``, ``min``, ``p50``, ``p90``, ``p99``, ``p99.9``, and ``rounds``, each round's median. A percentile
        that so few calls cannot tell is None.

    Examples
    --------
    >>> summarize([[1000, 3000], [2000]])["p50"]
    2e-06
    >>> summarize([[1000, 3000], [2000]])["p99"] is None
    True
    """
    times = np.concatenate([np.asarray(each, np.float64) for each in rounds]) / 1e9
    found = {"calls": len(times), "min": float(times.min())}
    for name, percent in PERCENTILES.items():
        enough = percent == 50 or round(len(times) * (100 - percent), 3) >= 100
        found[name] = float(np.percentile(times, percent)) if enough else None
    return {**found, "rounds": [float(np.median(each)) / 1e9 for each in rounds]}


def differs(old, new):
    """Return whether two lists of rounds' medians are further apart than noise: every one of one list above the other.

    A single round says nothing of noise.

    Examples
    --------
    >>> differs([1.0, 1.1], [1.2, 1.3]), differs([1.0, 1.25], [1.2, 1.3])
    (True, False)
    >>> differs([1.0], [1.2])
    False
    """
    if min(len(old), len(new)) < 2:
        return False
    return min(old) > max(new) or min(new) > max(old)
