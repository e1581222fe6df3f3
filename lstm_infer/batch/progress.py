"""How far a job is, for people: a bar on a terminal, else a plain line now and then."""

import sys
import time

SECONDS = 10
"""Between plain lines."""


class Quiet:
    """Says nothing."""

    def update(self, rows, fraction):
        """Take note of rows that are done, and of the part of the job that they are, if it is known."""

    def close(self):
        """End, so that other lines may follow."""


class Bar(Quiet):
    """A bar with rate and time left."""

    def __init__(self, done=0):
        from tqdm import tqdm

        self._bar = tqdm(unit=" rows", unit_scale=True, initial=done, file=sys.stderr, dynamic_ncols=True)

    def update(self, rows, fraction):
        if fraction:  # an estimate that gets better
            self._bar.total = max(rows, round(rows / fraction))
        self._bar.update(rows - self._bar.n)

    def close(self):
        self._bar.total = self._bar.n
        self._bar.close()


class Lines(Quiet):
    """A line every few seconds."""

    def __init__(self, done=0):
        self._began, self._last, self._done = time.monotonic(), time.monotonic(), done

    def update(self, rows, fraction):
        now = time.monotonic()
        if now - self._last < SECONDS:
            return
        self._last = now
        rate = (rows - self._done) / (now - self._began)
        text = f"{rows:,} rows, {rate:,.0f} rows/s"
        if fraction:
            left = (now - self._began) * (1 - fraction) / fraction
            text += f", {fraction:.0%}, {left:,.0f} s left"
        print(f"lstm-infer: {text}", file=sys.stderr, flush=True)


def make(kind, done):
    """Return what shows progress: "auto", "quiet", or an object like `Quiet`."""
    if kind == "quiet":
        return Quiet()
    if kind != "auto":
        return kind
    return Bar(done) if sys.stderr.isatty() else Lines(done)


def _status(word):
    """Return a number of bytes that Linux tells of this process; None elsewhere."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(f"{word}:"))
    except (OSError, StopIteration):
        return None


class Memory:
    """The most memory this process has had, in bytes: all of it, and what no file stands behind."""

    def __init__(self):
        self.anonymous = None
        self.look()

    def look(self):
        """Look again, since the system keeps no record of anonymous memory."""
        now = _status("RssAnon")
        if now is not None:
            self.anonymous = max(self.anonymous or 0, now)

    @staticmethod
    def peak():
        """Return the peak of all memory; None where the system does not tell."""
        own = _status("VmHWM")
        if own is not None:  # Linux, whose getrusage begins with the peak of whoever started this process
            return own
        try:
            import resource
        except ImportError:
            return None
        unit = 1 if sys.platform == "darwin" else 1 << 10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


