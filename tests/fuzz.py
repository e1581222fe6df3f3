"""Loads spoiled copies of model files, by the thousand: a model comes back, or LoadError, soon and in little memory.

``python tests/fuzz.py --mutations 200000 --seed 1`` runs at length, ``--replay 4711`` repeats one mutation in this
process and keeps its file. The files are those of tests/golden and models, and the generations in the folder that
LSTM_INFER_FILES names.

Every mutation follows from the seed and its number alone. They run in child processes, so that a crash of the HDF5
library, a hang or an empty memory ends the child and becomes a finding like any other.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
MOST_SECONDS = 2.0  # of one mutation, of the CPU
MOST_MEMORY = 64 << 20  # bytes that one mutation may add, beside 16 x the size of its file
HANGS_AFTER = 60.0  # seconds without a sign of life
BOARD = struct.Struct("<3q")  # where a child says how far it is: mutation, models and refusals so far
OUTCOMES = ("model", "refused")
ADDRESS_SPACE = 6 << 30  # of a child: what asks for more gets MemoryError

EDGES = [0, 1, 2, 7, 8, 255, 256, 65535, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]
VALUES = [
    None, True, False, 0, 1, -1, 2, 3, 10**6, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", ".", "..", "../../etc/passwd", "/", "a/b", "\0", "\ud800", "linear", "tanh", "float64", "float16",
    "int8_from_float32", "InputLayer", "LSTM", "Bidirectional", "Sequential", "Functional", "Lambda", "x" * 10_000,
    [], {}, [None], [0], [[]], [None, None], [None, -1, 3], [None, 10**12, 10**12], {"class_name": "LSTM"},
    {"class_name": "Functional", "config": {}}, {"class_name": "__lambda__", "config": {"code": "4w=="}},
    {"class_name": "__tensor__", "config": {"dtype": "float32", "value": [1]}},
]  # fmt: skip


class Seed(NamedTuple):
    """A file to spoil, and the architecture it belongs to if it holds weights alone."""

    name: str
    data: bytes
    architecture: bytes | None


def corpus():
    """All model files there are, in a fixed order."""
    folders = [HERE / "golden", HERE / "golden" / "keras_cannot_load", HERE.parent / "models"]
    if os.environ.get("LSTM_INFER_FILES"):
        folders += [Path(os.environ["LSTM_INFER_FILES"], "generations", *inside) for inside in ((), ("evil",))]
    return [seed for folder in folders if folder.is_dir() for path in sorted(folder.iterdir()) for seed in _seeds(path)]


def _seeds(path):
    if path.suffix not in (".h5", ".keras", ".json") or path.name == "secret.h5":
        return
    stem = path.name.removesuffix(path.suffix).removesuffix(".weights").removesuffix(".legacy").removesuffix("_w")
    is_whole = f"{stem}{path.suffix}" == path.name
    others = [path.with_name(f"{stem}{end}") for end in (".json", ".keras", ".h5")]
    if not is_whole:
        whole = next((other for other in others if other.is_file()), None)
        yield Seed(path.name, path.read_bytes(), whole and whole.read_bytes())
    elif path.suffix != ".json":
        yield Seed(path.name, path.read_bytes(), None)


# ---------------------------------------------------------------- spoiling bytes
def spoil_bytes(draw, data, others):
    """Return `data` with something done to its bytes."""
    data, at = bytearray(data), draw.randrange(max(1, len(data)))
    size = min(int(2 ** draw.uniform(0, 12)), max(1, len(data) - at))
    way = draw.randrange(10)
    if way <= 1:
        for _ in range(draw.choice((1, 1, 2, 8))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == 2:
        data[at : at + 1] = bytes([draw.randrange(256)])
    elif way == 3:
        width = draw.choice((2, 4, 8))
        edge = draw.choice((*EDGES, len(data), len(data) - 8))
        data[at : at + width] = (edge % (1 << 8 * width)).to_bytes(width, "little")
    elif way == 4:
        data[at : at + size] = bytes([draw.choice((0, 0xFF, draw.randrange(256)))]) * size
    elif way == 5:
        del data[at:]
    elif way == 6:
        del data[at : at + size]
    elif way == 7:
        data[at:at] = data[draw.randrange(len(data)) :][:size]
    elif way == 8:
        start = draw.randrange(len(data))
        data[at : at + size] = data[start : start + size]
    else:
        other = draw.choice(others).data
        start = draw.choice((at, draw.randrange(len(other))))
        data[at : at + size] = other[start : start + size]
    return bytes(data)


# ---------------------------------------------------------------- spoiling JSON
def _places(value, found):
    """All (holder, key) in nested JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        _places(item, found)
    return found


def spoil_json(draw, text):
    """Return JSON text, as bytes, with one to three values changed."""
    try:
        return json.dumps(_spoiled_tree(draw, json.loads(text))).encode()
    except (ValueError, RecursionError):
        return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def _spoiled_tree(draw, tree):
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = _places(tree, [])
        if not places:
            break
        holder, key = draw.choice(places)
        other_holder, other_key = draw.choice(places)
        way = draw.randrange(9)
        if way <= 2:
            holder[key] = draw.choice(VALUES)
        elif way == 3:
            del holder[key]
        elif way == 4:
            holder[key] = json.loads(json.dumps(other_holder[other_key]))
        elif way == 5 and isinstance(holder, dict):
            holder[draw.choice(("name", "units", "layers", "class_name", "config", "dtype", "x"))] = holder.pop(key)
        elif way == 6 and isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        elif way == 7:
            inner = holder[key]
            for _ in range(draw.choice((1, 10, 190, 1000))):
                inner = [inner] if draw.randrange(2) else {"class_name": "Sequential", "config": inner}
            holder[key] = inner
        elif isinstance(holder[key], (int, float)):
            old = holder[key]
            holder[key] = draw.choice((old + 1, old - 1, -old, old * 10**6, str(old)))
        elif isinstance(holder[key], str):
            holder[key] = draw.choice((holder[key][:-1], holder[key] + "_1", holder[key].upper(), [holder[key]]))
    return tree


# ---------------------------------------------------------------- spoiling HDF5 as such
def spoil_hdf5(draw, data):
    """Return an HDF5 file with attributes, groups or arrays changed through the HDF5 library itself."""
    import h5py

    buffer = io.BytesIO(data)
    try:
        with h5py.File(buffer, "r+") as file:
            if draw.randrange(3) == 0 and "model_config" in file.attrs:
                file.attrs["model_config"] = spoil_json(draw, file.attrs["model_config"]).decode()
            else:
                _change_hdf5(draw, file, h5py)
    except Exception:  # what the library itself refuses to write
        return data
    return buffer.getvalue()


def _change_hdf5(draw, file, h5py):
    import numpy as np

    names = []
    file.visit(names.append)
    groups = [file, *(file[name] for name in names if isinstance(file[name], h5py.Group))]
    arrays = [file[name] for name in names if isinstance(file[name], h5py.Dataset)]
    group, way = draw.choice(groups), draw.randrange(9)
    if way <= 1 and arrays:
        array = draw.choice(arrays)
        name, old, parent = array.name, array[()], array.parent
        del parent[name]
        new = [old.T, old[..., None], old[:0], old[:-1], old.astype("f8"), old.astype("i1"), old.astype("c8"),
               np.full_like(old, np.nan), np.zeros((2, *old.shape), "f2"), np.array("text", h5py.string_dtype())]
        parent.create_dataset(name, data=draw.choice(new))
    elif way == 2 and arrays:
        array = draw.choice(arrays)
        name, shape, parent = array.name, array.shape, array.parent
        del parent[name]
        shape = draw.choice((shape, (1 << 30, 1 << 20), (1 << 24,), (*shape, 1 << 16), (0,), (1,) * 32))
        kind, packing = draw.choice(("f4", "f8", "u1")), draw.choice((None, "gzip"))
        parent.create_dataset(name, shape, kind, chunks=True, compression=packing)
    elif way == 3 and len(names) > 1:
        file.move(draw.choice(names), draw.choice(names) + draw.choice(("", "_1", "/x")))
    elif way == 4 and names:
        del file[draw.choice(names)]
    elif way == 5 and names:
        group[draw.choice(("x", "vars", "layers", "0"))] = draw.choice(
            (file[draw.choice(names)], h5py.SoftLink(draw.choice(names)), h5py.ExternalLink("x.h5", "/")))
    elif way == 6:
        owner = draw.choice([*groups, *arrays])
        words = ("weight_names", "layer_names", "keras_version", "backend", "name", "dtype", "nb_layers")
        word = draw.choice([*owner.attrs, *words])
        values = ("", "2.2.4", "9" * 50, b"\xff\xfe", 7, -1, 10**9, np.nan, np.zeros(3), h5py.Empty("f4"), ["a", "b"],
                  [""], np.array(["a"], "S1"), np.zeros(2, [("a", "f4")]), group.ref, np.zeros((2, 2), "S3"))
        owner.attrs[word] = draw.choice(values)
    elif way == 7:
        owner = draw.choice([*groups, *arrays])
        if len(owner.attrs):
            del owner.attrs[draw.choice(list(owner.attrs))]
    else:
        _change_names(draw, draw.choice(groups), np)


def _change_names(draw, group, np):
    for word in ("weight_names", "layer_names"):
        if word in group.attrs and len(group.attrs[word]):
            names = list(group.attrs[word])
            draw.shuffle(names)
            names = names[draw.randrange(2) :] + draw.choice(([], names[:1], [b"x"], [b".."]))
            group.attrs[word] = np.array(names, dtype=object)


# ---------------------------------------------------------------- spoiling zip archives
def spoil_zip(draw, data, others):
    """Return a zip archive with members changed; their checksums are right again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [[name, archive.read(name)] for name in archive.namelist()]
    except Exception:
        return data
    member, way = draw.choice(members), draw.randrange(10)
    if way <= 3:
        member = next((m for m in members if m[0] == "config.json"), member)
        member[1] = spoil_json(draw, member[1])
    elif way <= 6:
        member = next((m for m in members if m[0].endswith(".h5")), member)
        member[1] = spoil_hdf5(draw, member[1]) if draw.randrange(2) else spoil_bytes(draw, member[1], others)
    elif way == 7:
        member[0] = draw.choice(("x", "../config.json", "/config.json", "model.weights.npz", "config.json", "a" * 3000))
    elif way == 8:
        members.remove(member)
    else:
        member[1] = draw.choice((b"", b"{}", b"null", b"[]", bytes(1 << 21), draw.choice(others).data))
    out = io.BytesIO()
    packing = draw.choice((0, 8, 8, 12, 14))
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packing)  # whose time is always the same
    return out.getvalue()


# ---------------------------------------------------------------- one mutation
def mutation(seed, number, seeds):
    """Return (seed file, spoiled file, spoiled architecture or None) of one number."""
    draw = random.Random(f"{seed}:{number}")
    chosen = draw.choice(seeds)
    data, architecture, way = chosen.data, chosen.architecture, draw.randrange(4)
    if architecture is not None and architecture[:1] == b"{" and draw.randrange(4) == 0:
        return chosen, data, spoil_json(draw, architecture)
    if way == 0 or not data:
        data = spoil_bytes(draw, data or b"\0", seeds)
    elif data[:2] == b"PK":
        data = spoil_zip(draw, data, seeds)
    elif way == 1:
        data = spoil_hdf5(draw, data)
    else:
        data = spoil_bytes(draw, data, seeds)
        while draw.randrange(3) == 0:
            data = spoil_bytes(draw, data or b"\0", seeds)
    return chosen, data, architecture


def attempt(data, architecture, folder):
    """Load one file; returns what came of it: ``"model"``, ``"refused"``, or what must not happen."""
    import lstm_infer as li

    source = data
    if len(data) % 2:
        source = Path(folder) / "model"
        source.write_bytes(data)
    try:
        if architecture is None:
            li.load_model(source)
        else:
            li.load_model(architecture, weights=source)
    except li.LoadError as error:
        return "refused" if str(error) and "Traceback" not in str(error) else f"no sentence: {error!r}"
    except MemoryError:
        return "MemoryError"
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {str(error)[:100]}"
    return "model"


# ---------------------------------------------------------------- children
def _memory():
    """(now, most) resident bytes of this process since the last reset; zeros where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0, 0
    sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return sizes["VmRSS"], sizes["VmHWM"]


def _reset_peak():
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def child(seed, first, end, step, board):
    """Run the mutations first, first + step, ... below `end`; one line of JSON for each finding, and a last one."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass
    warnings.simplefilter("ignore")
    seeds = corpus()
    counts = [0, 0]  # models, refusals
    with (
        open(board, "r+b") as file,
        mmap.mmap(file.fileno(), BOARD.size) as here,
        tempfile.TemporaryDirectory() as folder,
    ):
        for item in seeds:  # so that what every first load costs is paid
            attempt(item.data, item.architecture, folder)
        for number in range(first, end, step):
            here[:] = BOARD.pack(number, *counts)
            _, data, architecture = mutation(seed, number, seeds)
            _reset_peak()
            before, start = _memory()[0], time.process_time()
            outcome = attempt(data, architecture, folder)
            seconds, added = time.process_time() - start, _memory()[1] - before
            if outcome in OUTCOMES:
                counts[OUTCOMES.index(outcome)] += 1
            else:
                print(json.dumps([number, outcome]), flush=True)
            if seconds > MOST_SECONDS:
                print(json.dumps([number, f"{seconds:.1f} s ({outcome})"]), flush=True)
            if added > MOST_MEMORY + 16 * len(data):
                print(json.dumps([number, f"{added >> 20} MB ({outcome})"]), flush=True)
        here[:] = BOARD.pack(end, *counts)


def _watch(seed, first, end, step, findings, counts):
    """Keep a child at work from `first` to `end`; whatever ends it early is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        board = Path(folder, "board")
        while first < end:
            board.write_bytes(BOARD.pack(first, 0, 0))
            status, last = _work(seed, first, end, step, findings, board)
            at, *done = BOARD.unpack(board.read_bytes())
            counts.update(dict(zip(OUTCOMES, done, strict=True)))
            if at == end:
                return
            findings.append((at, f"the process ended with status {status} {last}"))
            print(f"seed {seed}, mutation {at}: {findings[-1][1]}", flush=True)
            first = at + step


def _work(seed, first, end, step, findings, board):
    """Run one child to its end; returns its status and its last words."""
    command = [sys.executable, str(HERE / "fuzz.py"), "--child", str(board), "--seed", str(seed)]
    command += ["--first", str(first), "--mutations", str(end), "--step", str(step)]
    errors = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        reading = threading.Thread(target=errors.extend, args=(running.stderr,))
        watching = threading.Thread(target=_kill_if_it_hangs, args=(running, board))
        reading.start(), watching.start()
        for line in running.stdout:
            findings.append(tuple(json.loads(line)))
            print("seed {}, mutation {}: {}".format(seed, *findings[-1]), flush=True)
        status = running.wait()
        reading.join(), watching.join()
    return status, errors[-1].strip() if errors else ""


def _kill_if_it_hangs(running, board):
    last, since = None, time.monotonic()
    while running.poll() is None:
        time.sleep(0.5)
        now = board.read_bytes()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > HANGS_AFTER:
            running.kill()


def run(mutations, seed, jobs=1, first=0):
    """Run so many mutations.

    Returns
    -------
    findings : list of (number, text)
    counts : collections.Counter
        How many gave a model and how many were refused, in children that lived to tell.
    """
    findings, counts = [], Counter(dict.fromkeys(OUTCOMES, 0))
    watchers = [
        threading.Thread(target=_watch, args=(seed, first + job, first + mutations, jobs, findings, counts))
        for job in range(jobs)
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    return sorted(findings), counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="repeat one mutation and keep its file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sys.path.insert(0, str(HERE.parent))
    if asked.child:
        return child(asked.seed, asked.first, asked.mutations, asked.step, asked.child)
    if asked.replay is not None:
        chosen, data, architecture = mutation(asked.seed, asked.replay, corpus())
        kept = Path(tempfile.gettempdir()) / f"fuzz-{asked.seed}-{asked.replay}"
        kept.write_bytes(data)
        if architecture:
            kept.with_suffix(".architecture").write_bytes(architecture)
        print(f"{chosen.name}, spoiled: {kept}", flush=True)
        import lstm_infer as li

        start = time.perf_counter()
        try:
            print(li.load_model(architecture, weights=data) if architecture else li.load_model(data))
        finally:
            print(f"{time.perf_counter() - start:.2f} s")
        return None
    start = time.monotonic()
    findings, counts = run(asked.mutations, asked.seed, asked.jobs, asked.first)
    print(f"{asked.mutations} mutations of {len(corpus())} files in {time.monotonic() - start:.0f} s: {dict(counts)}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
