"""What came of a load test: counts and latencies, shown and drawn; and what the server took meanwhile."""

import asyncio
import time
from pathlib import Path

import numpy as np

PERCENTILES = (50, 90, 99, 99.9)


class Tally:
    """What came of the requests."""

    def __init__(self):
        self.latencies, self.statuses, self.wrong, self.lost = [], {}, 0, 0
        self.pieces, self.rude = 0, {}

    def count(self, status):
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def count_rude(self, what):
        self.rude[what] = self.rude.get(what, 0) + 1


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
