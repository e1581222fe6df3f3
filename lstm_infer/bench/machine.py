"""The machine: what it is, and what it can do at best.

Runs in the process of this engine (``workers/ours.py``), so that whoever starts the benchmark need not import Numba.
"""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def describe():
    """Return the CPU, the cores this process may use, the vector registers and the versions below this engine."""
    import llvmlite
    import numba

    from ..kernels.vector import MACHINE

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"numba": numba.__version__, "llvmlite": llvmlite.__version__}
    return {"cpu": cpu_name(), "system": platform.platform(), "cores": cores, **MACHINE._asdict(), "versions": versions}


def cpu_name():
    """Return the CPU's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def measure_peak(threads, seconds):
    """Return the GFLOP/s of multiply-adds on registers, all threads together."""
    from ..kernels import peak

    return _together(threads, seconds, peak.multiply_add, lambda n: 2 * n * peak.NUMBERS)


def measure_bandwidth(threads, size, seconds):
    """Return the GB/s at which `size` bytes, shared out over the threads, are read again and again."""
    import numpy as np

    from ..kernels import peak
    from ..kernels.vector import aligned

    rounds = max(1, round(size / threads / 4 / peak.NUMBERS))
    arrays = [aligned(rounds * peak.NUMBERS) for _ in range(threads)]
    for array in arrays:
        array[:] = np.float32(0)
    waiting = list(arrays)

    def run(n, sums):
        array = waiting.pop()
        peak.read(array, n, sums)
        waiting.append(array)

    return _together(threads, seconds, run, lambda n: n * arrays[0].nbytes)


def _together(threads, seconds, run, work):
    """Return 1e9ths of ``work(n)`` a second for ``run(n, sums)`` on every thread at once, n being as `seconds` want."""
    from ..kernels import peak
    from ..kernels.vector import aligned

    def timed(n):
        sums = aligned(peak.NUMBERS)
        sums[:] = 0
        begin = time.perf_counter()
        run(n, sums)
        return max(time.perf_counter() - begin, 1e-9)

    timed(1)  # compiles
    n = 2
    while (took := timed(n)) < seconds / 10:
        n *= 2
    n = max(1, int(n * seconds / took))
    with ThreadPoolExecutor(threads) as pool:
        return sum(work(n) / took / 1e9 for took in pool.map(timed, [n] * threads))
