"""The document of a run as text."""

COLUMNS = "engine way min p50 p90 p99 p99.9 µs/step GFLOP/s peak bandw. ratio".split()
START_COLUMNS = ["engine", "way", "min ms", "p50 ms", "ratio"]
LEGEND = """\
Times in µs: the percentiles of all calls. peak: share of the multiply-adds the machine can do, all threads together.
bandw.: share of the speed at which it can read the weights once per timestep; what else a call does is in the way.
ratio: the best peer's p50 / this engine's, above 1 where this engine is quicker. A way in brackets is no contender.
Of the configurations tried each engine shows its quickest (--json says which).\
"""


def table(document):
    """Return the lines of a run's table.

    Parameters
    ----------
    document : dict
        See ``report``.
    """
    lines = [*_heading(document), ""]
    for case in document["cases"]:
        columns, cells = (COLUMNS, _cells) if case["peak_gflops"] else (START_COLUMNS, _start_cells)
        rows = [_row(result, columns, cells) for result in case["results"]]
        lines += [_case(case), *aligned([columns, *rows], left=2), *_remarks(case), ""]
    return [*lines, *_summary(document["cases"]), *LEGEND.splitlines()]


def _summary(cases):
    """Return the lines of this engine against the best peer, one a case and way; none without peers."""
    rows = [["summary (p50)", "this engine", "", "best peer", "", "ratio", "peak"]]
    for case in cases:
        for ours in (result for result in case["results"] if "ratio" in result and result["counts"]):
            peer = [ours["best_peer"], microseconds(ours["p50"] * ours["ratio"])]
            share = f"{ours['share_of_peak']:.0%}" if case["peak_gflops"] else ""
            rows.append([case["name"], ours["way"], microseconds(ours["p50"]), *peer, f"{ours['ratio']:.2f}", share])
    return [*aligned(rows, left=2), ""] if len(rows) > 1 else []


def aligned(rows, left=1, gap="  "):
    """Return rows of words as lines with their columns in line, the first `left` columns flush left.

    Examples
    --------
    >>> aligned([["name", "n"], ["a", "10"]])
    ['name   n', 'a     10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row):
        cells = zip(row, widths, strict=True)
        return gap.join(c.ljust(w) if n < left else c.rjust(w) for n, (c, w) in enumerate(cells)).rstrip()

    return [line(row) for row in rows]


def _heading(document):
    machine, versions = document["machine"], document["versions"]
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['lanes']} lanes; {document['threads']} thread(s)",
        listed,
    ]


def _case(case):
    if case["peak_gflops"] is None:
        return case["name"]
    millions = case["multiply_adds"] / 1e6
    amount = f"{millions:.3g} million" if millions < 1000 else f"{millions / 1000:.3g} billion"
    text = f"{case['name']}: {amount} multiply-adds"
    megabytes = case["weight_bytes"] / 2**20
    limits = f"peak {case['peak_gflops']:.0f} GFLOP/s, {case['bandwidth_gbs']:.0f} GB/s"
    return f"{text}, {megabytes:.3g} MiB of weights a timestep; {limits}"


def _row(result, columns, cells):
    way = result["way"] if result["counts"] else f"({result['way']})"
    if "p50" not in result or result["status"] == "failed":
        return [result["engine"], result["status"].upper(), *[""] * (len(columns) - 2)]
    if result["status"] == "wrong":
        way = "WRONG " + way
    return [result["engine"], way, *cells(result), f"{result['ratio']:.2f}" if "ratio" in result else ""]


def _cells(result):
    times = [microseconds(result[name]) for name in ("min", "p50", "p90", "p99", "p99.9")]
    rates = [_number(result[name]) for name in ("us_per_timestep", "gflops")]
    return [*times, *rates, f"{result['share_of_peak']:.0%}", f"{result['share_of_bandwidth']:.0%}"]


def _start_cells(result):
    return [f"{result[name] * 1e3:,.0f}" for name in ("min", "p50")]


def _remarks(case):
    for result in case["results"]:
        if result["reason"]:
            yield f"  {result['engine']}: {result['reason']}"
        if "rate_like" in result:
            yield f"  rate per multiply-add, units rounded up: {result['rate_like']:.2f} of {case['like']}"


def microseconds(seconds):
    """Return a time as a word; a dash for a percentile that too few calls cannot tell."""
    return "-" if seconds is None else _number(seconds * 1e6)


def _number(value):
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"
