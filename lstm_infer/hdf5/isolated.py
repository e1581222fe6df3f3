"""Reads a model file in a child process: what libhdf5 does to that process happens to nobody else.

The parent gives the child a folder: the child writes what `read` found to ``answer.json`` there, and all arrays, one
after the other, to ``arrays``. Nothing is pickled, and the parent believes the child no more than it would the file.

Run as ``python -m lstm_infer.hdf5.isolated``, with the request as JSON on standard input.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import LoadError
from ..spec import Handle, RawModel, RawWeights
from . import _parse, _read_both
from .sources import Source, source_of
from .store import NUMBERS

CHILD = [sys.executable, "-m", "lstm_infer.hdf5.isolated"]
SECONDS = 60.0  # for a small file
BYTES_PER_SECOND = 5e6  # what a large one gets more
MEMORY = 256 << 20  # bytes that a child may take beyond what it begins with
MEMORY_PER_BYTE = 40  # beyond that, for each byte of the file: no accepted file declares more than 32
MAX_ANSWER = 64 << 20  # bytes
DTYPES = {np.dtype(number).name for number in NUMBERS}


@contextmanager
def reading(path: Any, weights: Any = None) -> Iterator[RawModel]:
    """As `read`, in a child process; the arrays can be read as long as the context lasts.

    Raises
    ------
    LoadError
        As `read`; or the child crashed, took too long or too much memory.
    FileNotFoundError, PermissionError
        As the operating system says.
    """
    sources = [source_of(given) for given in (path, weights) if given is not None]
    with tempfile.TemporaryDirectory(prefix="lstm_infer_") as folder:
        request = {"folder": folder, "sources": [], "memory": MEMORY, "seconds": SECONDS}
        for number, source in enumerate(sources):
            place = source.path
            if place is None:
                place = Path(folder, f"source{number}")
                place.write_bytes(source.data)
            size = _size(place)
            request["sources"].append([source.name, str(place.absolute())])
            request["memory"] += MEMORY_PER_BYTE * size
            request["seconds"] += size / BYTES_PER_SECOND
        name = " and ".join(source.name for source in sources)
        _run(request, name)
        yield _received(Path(folder), name)


def _size(place: Path) -> int:
    if place.is_dir():
        return sum(part.stat().st_size for part in place.glob("*.h5"))
    with open(place, "rb"):  # or FileNotFoundError, PermissionError
        return place.stat().st_size


def _run(request: dict, name: str) -> None:
    home = Path(__file__).resolve().parents[2]  # the child finds this package as its working directory
    paths = os.pathsep.join(map(str, filter(None, [*sys.path, os.environ.get("PYTHONPATH")])))
    environment = {**os.environ, "PYTHONPATH": paths, "HDF5_PLUGIN_PRELOAD": "::"}  # no plugins
    try:
        done = subprocess.run(
            CHILD, input=json.dumps(request).encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=home, env=environment, timeout=request["seconds"])  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LoadError(f"{name}: reading it took more than {request['seconds']:.0f} s, "
                        "expected less for a file of its size") from None
    if done.returncode == 0:
        return
    if done.returncode in (-24, -9):  # SIGXCPU, SIGKILL: the limits of the system
        raise LoadError(f"{name}: reading it took more time or memory than a file of its size may")
    raise LoadError(f"{name}: the HDF5 library crashed reading it (exit status {done.returncode}), "
                    "the file is damaged or hostile")


# ---------------------------------------------------------------- what the child says


def _received(folder: Path, name: str) -> RawModel:
    def fail() -> NoReturn:
        raise LoadError(f"{name}: reading it in a process of its own gave no sensible answer")

    place = folder / "answer.json"
    if not place.is_file() or place.stat().st_size > MAX_ANSWER:
        fail()
    answer = _parse(place.read_bytes(), name, MAX_ANSWER)
    if not isinstance(answer, dict):
        fail()
    if "refused" in answer:
        raise LoadError(str(answer["refused"]))
    if "system" in answer:
        raise LoadError(f"{name}: cannot be read, the system says: {answer['system']}")
    try:
        raw = RawModel(**answer["model"], weights=None)
        weights = answer["weights"]
        named = weights or {"names": {}, "assets": {}}
        told = {**answer["model"], **named, **named["names"], **named["assets"]}
        if not all(isinstance(value, (str, type(None), dict)) for value in told.values()):
            fail()
        if weights is None:
            return raw
        groups = {path: tuple((word, _handle(folder / "arrays", *array)) for word, *array in arrays)
                  for path, arrays in weights.pop("groups").items()}
        return replace(raw, weights=RawWeights(**weights, groups=groups))
    except (KeyError, TypeError, ValueError, AttributeError):
        fail()


def _handle(file: Path, where: str, shape: list[int], dtype: str, kept: str, start: int) -> Handle:
    size = math.prod(int(n) for n in shape) * np.dtype(kept).itemsize
    if kept not in DTYPES or min([start, *shape], default=0) < 0 or start + size > file.stat().st_size:
        raise ValueError(where)

    def read() -> np.ndarray:
        values = np.empty(shape, kept)
        with open(file, "rb") as opened:
            opened.seek(start)
            if size and opened.readinto(memoryview(values.reshape(-1)).cast("B")) != size:
                raise LoadError(f"{where}: its bytes were lost between two processes")
        return values

    return Handle(where, tuple(shape), dtype, read)


# ---------------------------------------------------------------- in the child


def main() -> None:
    """Do what the request on standard input asks for."""
    request = json.load(sys.stdin.buffer)
    _limit(request["memory"], math.ceil(request["seconds"]))
    try:
        answer = _answer(request)
    except LoadError as error:
        answer = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": f"{request['sources'][0][0]}: reading it takes more memory than a file of its size may"}
    except OSError as error:
        answer = {"system": str(error)}
    Path(request["folder"], "answer.json").write_text(json.dumps(answer))


def _limit(memory: int, seconds: int) -> None:
    """Limit this process, as far as the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = memory + pages * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(request: dict) -> dict:
    sources = [Source(name, Path(path), None) for name, path in request["sources"]]
    raw = _read_both(*sources)
    model = {word: getattr(raw, word) for word in ("source", "config", "keras_version", "backend", "container")}
    if raw.weights is None:
        return {"model": model, "weights": None}
    words = ("source", "layout", "keras_version", "backend")
    weights = {**{word: getattr(raw.weights, word) for word in words},
               **{word: dict(getattr(raw.weights, word)) for word in ("names", "assets")}}
    with open(Path(request["folder"], "arrays"), "wb") as file:
        weights["groups"] = {path: [[name, *_sent(handle, file)] for name, handle in pairs]
                             for path, pairs in raw.weights.groups.items()}
    return {"model": model, "weights": weights}


def _sent(handle: Handle, file: Any) -> list:
    values, start = np.ascontiguousarray(handle.read()), file.tell()
    file.write(memoryview(values.reshape(-1)).cast("B"))
    return [handle.where, list(handle.shape), handle.dtype, values.dtype.name, start]


if __name__ == "__main__":
    main()
