"""From measurements to the document of a run: what ``--json`` writes, and what the table, plot and comparison read."""

from .engines import OURS


def case_record(case, measured, lanes, peak=None, bandwidth=None):
    """Return a case and all that was measured in it, as plain data.

    Parameters
    ----------
    case : Case
    measured : list of Measured
    lanes : int
        float32 values in a vector register of this machine.
    peak, bandwidth : float, optional
        GFLOP/s and GB/s.
    """
    record = {
        "name": case.name,
        **{name: getattr(case, name) for name in ("mode", "cell", "units", "features", "timesteps", "batch", "like")},
        "multiply_adds": case.multiply_adds(),
        "weight_bytes": case.streamed,
        "peak_gflops": peak,
        "bandwidth_gbs": bandwidth,
    }
    record["results"] = [_result(case, each, lanes, peak, bandwidth) for each in measured]
    _add_ratios(record["results"])
    return record


def _result(case, measured, lanes, peak, bandwidth):
    names = ("engine", "way", "how", "counts", "status", "reason", "deviation")
    result = {name: getattr(measured, name) for name in names}
    times = measured.times
    if times is None:
        return result
    result |= times
    if peak is None:  # the start of a process is no matter of arithmetic
        return result
    p50 = times["p50"]
    gflops = 2 * case.multiply_adds() / p50 / 1e9
    return result | {
        "us_per_timestep": p50 / case.timesteps * 1e6,
        "gflops": gflops,
        "gflops_padded": 2 * case.multiply_adds(lanes) / p50 / 1e9,
        "share_of_peak": gflops / peak,
        "share_of_bandwidth": case.streamed * case.timesteps / p50 / 1e9 / bandwidth,
    }


def _add_ratios(results):
    """Give each of our results the ratio to the best peer's median: above 1 where this engine is quicker."""
    peers = [r for r in results if r["engine"] != OURS and r["counts"] and r["status"] == "ok" and "p50" in r]
    best = min(peers, key=lambda r: r["p50"], default=None)
    for result in results:
        if best and result["engine"] == OURS and "p50" in result:
            result["ratio"], result["best_peer"] = best["p50"] / result["p50"], best["engine"]


def add_rates(cases):
    """Give our result of each case that is held against another the ratio of their rates, units padded alike."""

    def rate(case):
        ours = [r for r in case["results"] if r["engine"] == OURS and "gflops_padded" in r]
        return (ours[0], ours[0]["gflops_padded"]) if ours else (None, None)

    by_name = {case["name"]: case for case in cases}
    for case in cases:
        result, found = rate(case)
        _, expected = rate(by_name[case["like"]]) if case["like"] in by_name else (None, None)
        if found and expected:
            result["rate_like"] = found / expected


def has_failed(document):
    """Return whether an engine failed or computed something wrong."""
    return any(r["status"] in ("wrong", "failed") for case in document["cases"] for r in case["results"])
