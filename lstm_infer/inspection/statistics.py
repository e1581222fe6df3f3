"""Numbers about the arrays of a file, read in pieces so that memory stays bounded whatever a file declares."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import LoadError
from ..spec import Handle

MAX_PIECES = 20_000  # of one array
MAX_COLUMNS = 1 << 24
MAX_NUMBERS = 1 << 30  # of all arrays of a file together
KERNEL = re.compile(r"(^|[/_])(kernel|[WU](_[a-z])?|vars/[01])(:0)?$")  # where zeros alone mean a dead unit


class Survey:
    """Looks at arrays one after the other, as long as their sizes stay within reason."""

    def __init__(self) -> None:
        self.left = MAX_NUMBERS

    def of(self, handle: Handle, units: int | None = None) -> dict:
        """Return the statistics of an array.

        Parameters
        ----------
        handle : Handle
            As it lies in the file.
        units : int, optional
            To how many units its columns belong, gate after gate, where one unit has several.

        Returns
        -------
        dict
            ``min``, ``max``, ``mean``, ``std`` (of the finite numbers; None where there are none), ``nan``,
            ``infinite``, ``subnormal`` (counts), ``zero_columns`` (units without any number but zero
            along the last axis; None for a vector), ``units``
            and ``problem`` (why it was not read, or None).
        """
        size = math.prod(handle.shape)
        if handle.pieces is None or size > self.left:
            return _nothing("too many numbers to look at")
        self.left -= size
        try:
            return _gather(handle, units)
        except LoadError as error:
            return _nothing(str(error))
        except MemoryError:
            return _nothing("too large to look at")


def _nothing(problem: str | None) -> dict:
    words = ("min", "max", "mean", "std", "nan", "infinite", "subnormal", "zero_columns", "units")
    return {**dict.fromkeys(words), "problem": problem}


def _gather(handle: Handle, units: int | None) -> dict:
    columns = handle.shape[-1] if len(handle.shape) > 1 else 0
    alive = np.zeros(columns if columns <= MAX_COLUMNS else 0, bool)
    sums = _Sums()
    for number, (column, part) in enumerate(handle.pieces()):
        if number == MAX_PIECES:
            return _nothing("stored in too many pieces to look at")
        sums.add(part)
        if alive.size and part.size:
            used = part.reshape(-1, part.shape[-1]).any(axis=0)
            alive[column : column + used.size] |= used
    units = (units or columns) if alive.size else None
    dead = int((~alive.reshape(-1, units).any(axis=0)).sum()) if units else None
    return {**sums.result(), "zero_columns": dead, "units": units, "problem": None}


class _Sums:
    """Running minimum, maximum, mean and squares (Chan, Golub and LeVeque 1979) of the finite numbers."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.low, self.high = math.inf, -math.inf
        self.nan = self.infinite = self.subnormal = 0

    def add(self, part: np.ndarray) -> None:
        if part.dtype.kind == "f":
            self.nan += int(np.isnan(part).sum())
            self.infinite += int(np.isinf(part).sum())
            tiny = np.finfo(part.dtype).tiny
            self.subnormal += int(((np.abs(part) < tiny) & (part != 0)).sum())
        values = part.ravel().astype(np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            return
        self.low, self.high = min(self.low, values.min()), max(self.high, values.max())
        scale = max(abs(self.low), abs(self.high), 1e-300)  # squares of float64 numbers may overflow
        if scale > 1e150:
            self.squares = math.inf
        mean = float((values / values.size).sum())
        delta, total = mean - self.mean, self.count + values.size
        if self.squares < math.inf:
            self.squares += float(((values - mean) ** 2).sum()) + delta * delta * self.count * values.size / total
        self.mean += delta * values.size / total
        self.count = total

    def result(self) -> dict:
        found: dict[str, Any] = dict.fromkeys(("min", "max", "mean", "std"))
        if self.count:
            std = math.sqrt(self.squares / self.count) if self.squares < math.inf else None
            mean = self.mean if math.isfinite(self.mean) else None  # of float64 numbers at both ends of their range
            found = {"min": float(self.low), "max": float(self.high), "mean": mean, "std": std}
        return {**found, "nan": self.nan, "infinite": self.infinite, "subnormal": self.subnormal}


def warnings_of(arrays: Sequence[dict]) -> list[str]:
    """What in these statistics deserves attention, one sentence for each kind of thing."""
    found = []
    for word, text in (("nan", "NaN"), ("infinite", "infinite"), ("subnormal", "subnormal")):
        some = [array for array in arrays if array[word]]
        for array in some[:1]:
            size = math.prod(array["shape"])
            every = "all" if array[word] == size else f"{array[word]:,} of"
            found.append(f"array '{array['name']}': {every} {size:,} numbers are {text}{_more(some)}")
    dead = [array for array in arrays if array["zero_columns"] and _is_kernel(array["means"] or array["name"])]
    for array in dead[:1]:
        shown = f"{array['zero_columns']:,} of {array['units']:,} units (columns along axis {len(array['shape']) - 1})"
        found.append(f"array '{array['name']}': {shown} have only zeros for weights{_more(dead)}")
    return found


def _is_kernel(name: str) -> bool:
    is_bias = re.search(r"locally_connected_\dd(_\d+)?/vars/1$", name)  # of rank 2
    return bool(KERNEL.search(name)) and not is_bias


def _more(arrays: list[dict]) -> str:
    return f" (and so in {len(arrays) - 1:,} more arrays)" if len(arrays) > 1 else ""
