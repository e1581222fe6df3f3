"""Files made to exhaust: each is refused within seconds, before it has taken much memory.

Every file is loaded in a child, which tells the time on the CPU and the memory that it took. The time here is wide, for
busy machines; an idle one takes less than a second.
"""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5files
import h5py
import numpy as np
import pytest

import lstm_infer as li

MOST_SECONDS, MOST_MEMORY = 10, 64 << 20
ZIP, _ = h5files.keras3_zip(h5files.weights())
SCRIPT = """
import json, sys, time
import lstm_infer as li
li.load_model(sys.argv[2])
def memory(word):
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(word))
before, start = memory("VmRSS"), time.process_time()
try:
    said = repr(li.load_model(sys.argv[1]))
except li.LoadError as error:
    said = f"LoadError: {error}"
print(json.dumps([said, time.process_time() - start, memory("VmHWM") - before]))
"""


def sequential(features, *layers):
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, features]}}
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *layers]}, "keras_version": "3.1"}


def dense(name, units):
    return {"class_name": "Dense", "config": {"name": name, "units": units, "use_bias": False}}


def functional(*layers, end):
    first = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]}}
    config = {"name": "m", "layers": [{**first, "inbound_nodes": []}, *layers]}
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[end, 0, 0]]}
    return {"class_name": "Functional", "config": {**config, **ends}, "keras_version": "2.4.0"}


def activation(name, calls):
    return {"class_name": "Activation", "name": name, "config": {"name": name, "activation": "tanh"},
            "inbound_nodes": calls}  # fmt: skip


def no_weights(file):
    file.create_group("model_weights").attrs["layer_names"] = np.zeros(0)


def h5(path, config, fill=no_weights, **options):
    with h5py.File(path, "w", **options) as file:
        if config is not None:
            file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
        fill(file)


def kernels(make, count=1):
    """Fills a file with `count` Dense layers whose kernel make(group) creates."""

    def fill(file):
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [f"d{n}".encode() for n in range(count)]
        for n in range(count):
            group = root.create_group(f"d{n}")
            group.attrs["weight_names"] = [b"kernel"]
            make(group)

    return fill


def many(count, features, units):
    return sequential(features, *(dense(f"d{n}", units) for n in range(count)))


# ---------------------------------------------------------------- arrays
def hard_links(path):
    def link(group):
        if "base" not in group.parent:
            group.parent.create_dataset("base", data=np.zeros((512, 512), "f4"), chunks=(512, 512), compression=9)
        group["kernel"] = group.parent["base"]

    h5(path, many(1000, 512, 512), kernels(link, 1000))


def gzip_of_zeros(path):
    zeros = np.zeros((2048, 2048), "f4")
    h5(path, many(16, 2048, 2048), kernels(
        lambda group: group.create_dataset("kernel", data=zeros, chunks=zeros.shape, compression=9), 16))  # fmt: skip


def unallocated(path):
    shape = (512, 512)
    h5(path, many(500, *shape), kernels(
        lambda group: group.create_dataset("kernel", shape, "f4", chunks=shape, compression=1), 500))  # fmt: skip


def one_piece_of_many(path):
    def make(group):
        group.create_dataset("kernel", (1024, 16384), "f4", chunks=(64, 64), fillvalue=1.0, compression=1)
        group["kernel"][:64, :] = np.random.default_rng(0).random((64, 16384), "f4")

    h5(path, many(1, 1024, 16384), kernels(make))


def fill_value(path):
    def make(group):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
        h5py.h5d.create(group.id, b"kernel", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((16, 1 << 26)), plan)

    h5(path, many(1, 16, 1 << 26), kernels(make))


def piece_that_grows(path):
    def make(group):
        array = group.create_dataset("kernel", (16, 16), "f4", chunks=(16, 16), compression=1)
        packer = zlib.compressobj(9)
        data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()
        array.id.write_direct_chunk((0, 0), data)

    h5(path, many(1, 16, 16), kernels(make))


def shared_pieces(path):
    """Two arrays whose descriptions name the same bytes."""
    shape, first = (512, 512), []

    def make(group):
        value = np.full(shape, len(first) + 1, "f4")
        first.append(group.create_dataset("kernel", data=value).id.get_offset())

    h5(path, many(2, 512, 512), kernels(make, 2))
    data = Path(path).read_bytes()
    old, new = (offset.to_bytes(8, "little") for offset in (first[1], first[0]))
    data = data.replace(old + struct.pack("<Q", 1 << 20), new + struct.pack("<Q", 1 << 20))
    data = bytearray(data[: len(data) - (1 << 20)])
    struct.pack_into("<Q", data, 40, len(data))  # the end that the file's head tells
    Path(path).write_bytes(data)


# ---------------------------------------------------------------- attributes and groups
def huge_attribute(path):
    def fill(file):
        text = h5py.h5t.C_S1.copy()
        text.set_size(100 << 20)
        h5py.h5a.create(file.id, b"model_config", text, h5py.h5s.create(h5py.h5s.SCALAR))

    h5(path, None, fill, libver="latest")


def long_text(path):
    h5(path, json.dumps({"class_name": "x" * (40 << 20)}))


def names_in_pieces(path):
    def fill(file):
        for n in range(5000):
            file.attrs.create(f"layer_names{n}", np.array([b"n"]))

    h5(path, None, fill, libver="latest")


def deep_groups(path):
    def fill(file):
        group = file
        for _ in range(3000):
            group = group.create_group("a")

    h5(path, None, fill)


# ---------------------------------------------------------------- architectures
def empty_lists(path):
    Path(path).write_text('{"class_name": "Sequential", "config": {"layers": [' + "[]," * 2_000_000 + "1]}}")


def many_calls(path):
    h5(path, functional(activation("a", [[["x", 0, 0, {}]]] * 40_000), end="a"))


def many_tensors(path):
    layer = {"class_name": "Concatenate", "name": "c", "config": {"name": "c", "axis": -1}}
    h5(path, functional({**layer, "inbound_nodes": [[["x", 0, 0, {}]] * 40_000]}, end="c"))


def own_output(path):
    h5(path, functional(activation("a", [[["a", 0, 0, {}]]]), end="a"))


def doubled_sixty_times(path):
    layer = {"class_name": "Concatenate", "config": {"axis": -1}}
    names = ["x", *(f"c{n}" for n in range(60))]
    layers = [{**layer, "name": name, "config": {"name": name}, "inbound_nodes": [[[before, 0, 0, {}]] * 2]}
              for before, name in zip(names, names[1:], strict=False)]  # fmt: skip
    h5(path, functional(*layers, end="c59"))


def enormous_number(path):
    h5(path, many(1, 3, 10**30))


def long_number(path):
    Path(path).write_text('{"class_name": "Sequential", "config": {"layers": [' + "1" * (7 << 20) + "]}}")


def long_name(path):
    h5(path, sequential(3, {"class_name": "Activation", "config": {"name": "a", "activation": "x" * (1 << 20)}}))


# ---------------------------------------------------------------- archives
def members(**change):
    with zipfile.ZipFile(io.BytesIO(ZIP)) as archive:
        return {**{name: archive.read(name) for name in archive.namelist()}, **change}


def archive(path, content, packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in content.items():
            file.writestr(name, data)


def zip_bomb(path):
    content = members()
    content["model.weights.h5"] += bytes(150 << 20) + os.urandom(1 << 20)
    archive(path, content)


def archive_of_many(path):
    archive(path, {**{f"f{n}": b"" for n in range(20_000)}, "x": b""})


def zip64_lies(path):
    end = ZIP.rfind(b"PK\5\6")
    lies = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, *[1 << 60] * 4)
    lies += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    data = bytearray(ZIP[:end] + lies + ZIP[end:])
    struct.pack_into("<HHII", data, data.rfind(b"PK\5\6") + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    Path(path).write_bytes(data)


HOSTILE = [
    (hard_links, "under two names"), (gzip_of_zeros, "declare 268,435,456 bytes together"),
    (unallocated, "has 0 of its 1 pieces"), (one_piece_of_many, "has 256 of its 4,096 pieces"),
    (fill_value, "declares 4,294,967,296 bytes and holds 0"), (piece_that_grows, "grows beyond the 1,024 bytes"),
    (shared_pieces, "which is more than the file"), (huge_attribute, "more than 64 KB"),
    (long_text, "text of 41,"), (names_in_pieces, "cut into more than"),
    (deep_groups, "without end"), (empty_lists, "too many values"), (many_calls, "more than 30,000 layers and calls"),
    (many_tensors, "more than 30,000"), (own_output, "waits for its own output"), (doubled_sixty_times, ""),
    (enormous_number, "units"), (long_number, "broken JSON"), (long_name, "unknown activation"),
    (zip_bomb, "declares"), (archive_of_many, "without config.json"), (zip64_lies, "cut short|damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "found"), HOSTILE, ids=[make.__name__ for make, _ in HOSTILE])
def test_refused_soon_and_in_little_memory(tmp_path, make, found):
    path, first = tmp_path / "file", tmp_path / "first.h5"
    make(path)
    first.write_bytes(h5files.tf_keras2(h5files.weights())[0])
    home = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", SCRIPT, str(path), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, timeout=300)
    assert done.returncode == 0, done.stderr
    said, seconds, memory = json.loads(done.stdout)
    if found:
        with pytest.raises(li.LoadError, match=found):
            raise li.LoadError(said)
        assert said.startswith("LoadError")
    assert len(said) < 5000
    assert seconds < MOST_SECONDS
    assert memory < MOST_MEMORY


def test_a_heap_whose_free_places_go_round(tmp_path):
    """libhdf5 would follow them, and remember each, for ever."""
    data = bytearray(h5files.tf_keras2(h5files.weights())[0])
    heap = data.index(b"HEAP\0\0\0\0")
    _, free, place = struct.unpack_from("<3Q", data, heap + 8)
    if free == 1:  # none is free: make one of the first bytes
        free = 0
        struct.pack_into("<Q", data, heap + 16, free)
    struct.pack_into("<2Q", data, place + free, free, 16)
    with pytest.raises(li.LoadError, match="go round in a circle"):
        li.load_model(bytes(data))


def test_marks_are_found_at_every_byte():
    """The quick look at words must not miss what the slow search would find, wherever it begins."""
    from lstm_infer.hdf5 import heaps

    weights = np.random.default_rng(0).normal(size=heaps.WINDOW // 2).astype("<f4").tobytes()
    marks = [heaps.GLOBAL_HEAP, heaps.LOCAL_HEAP, heaps.FRACTAL_HEAP + b"\x08\0\0\0\2", heaps.TEXT_END]
    for mark in marks:
        for at in [*range(4000, 4004), *range(heaps.WINDOW - 20, heaps.WINDOW + 5)]:
            data = weights[:at] + mark + weights[at:]
            found = [start + window.find(mark) for window, start in
                     heaps._suspects(heaps._Bytes(io.BytesIO(data), 0, "x")) if mark in window]  # fmt: skip
            assert at in found
    assert not list(heaps._suspects(heaps._Bytes(io.BytesIO(weights), 0, "x")))


def test_sizes_of_operations_are_tried_in_little_memory():
    """A number that was spoiled: a one-hot of millions is refused where it stands, and not made first."""
    data = Path(__file__).resolve().parent / "golden" / "keras3_operations_on_shapes.keras"
    with zipfile.ZipFile(data) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["config.json"] = content["config.json"].replace(b'"num_classes": 4,', b'"num_classes": 4000000,')
    spoilt = io.BytesIO()
    with zipfile.ZipFile(spoilt, "w") as archive:
        for name, part in content.items():
            archive.writestr(name, part)
    with pytest.raises(li.LoadError, match="found sizes .*4000000"):
        li.load_model(spoilt.getvalue())
