"""`hdf5.read`: kinds of files told by their bytes, and everything a file may try."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import time
import zipfile
from pathlib import Path

import h5files
import h5py
import numpy as np
import pytest

from lstm_infer import hdf5, layouts
from lstm_infer.errors import LoadError

ARRAYS = h5files.weights()
MODEL, _ = h5files.tf_keras2(ARRAYS)
ZIP, _ = h5files.keras3_zip(ARRAYS)


def spoiled(change, name="dense/kernel:0") -> bytes:
    """The tf.keras model with its Dense kernel replaced: change(group, name) creates the new one."""
    buffer = io.BytesIO(MODEL)
    with h5py.File(buffer, "r+") as file:
        group = file["model_weights/dense"]
        del group[name]
        change(group, name)
    return buffer.getvalue()


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize("data", [MODEL, ZIP])
def test_path_bytes_and_open_file_say_the_same(tmp_path, data):
    path = tmp_path / "misleading.json"
    path.write_bytes(data)
    with open(path, "rb") as file:
        opened = hdf5.read(file)
    for raw in (hdf5.read(path), hdf5.read(str(path)), hdf5.read(data), opened):
        kernel = layouts.match(layouts.canonical(raw), raw.weights)["dense",]["kernel"]
        np.testing.assert_array_equal(kernel.read(), ARRAYS["dense"]["kernel"])
    assert opened.source == "misleading.json"


def test_arrays_outlive_the_model_and_leave_no_descriptor(tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(MODEL)
    handle = hdf5.read(path).weights.groups["dense"][0][1]
    gc.collect()
    assert handle.shape == (3, 2) and handle.dtype == "float32"
    np.testing.assert_array_equal(handle.read(), ARRAYS["dense"]["kernel"])
    del handle
    gc.collect()
    if os.path.isdir("/proc/self/fd"):
        assert str(path) not in [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()
                                 and entry.exists()]


def test_user_block_before_hdf5(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w", userblock_size=1024) as file, h5py.File(io.BytesIO(MODEL)) as model:
        model.copy("model_weights", file)
        file.attrs["model_config"] = model.attrs["model_config"]
    assert hdf5.read(path).weights.groups.keys() == {"lstm", "dense"}


def test_architecture_alone_twice_encoded_and_with_weights(tmp_path):
    text, weights = h5files.tf_keras_gaps(ARRAYS)
    alone = hdf5.read(text)
    assert alone.weights is None and alone.keras_version == "2.12.0"
    assert hdf5.read(json.dumps(text.decode()).encode()).config == alone.config
    assert hdf5.read(b"\xef\xbb\xbf  " + text).config == alone.config
    both = hdf5.read(text, weights)
    assert both.config == alone.config and both.weights.layout == "objects"
    with pytest.raises(LoadError, match="architecture only"):
        hdf5.read(text, text)


def test_unzipped_folder(tmp_path):
    with zipfile.ZipFile(io.BytesIO(ZIP)) as archive:
        archive.extractall(tmp_path / "model.keras")
    raw = hdf5.read(tmp_path / "model.keras")
    assert raw.keras_version == "3.15.1" and raw.source == "model.keras"
    (tmp_path / "model.keras" / "config.json").rename(tmp_path / "model.keras" / "saved_model.pb")
    with pytest.raises(LoadError, match="SavedModel"):
        hdf5.read(tmp_path / "model.keras")


def shards(folder: Path, **change) -> Path:
    cell = list(ARRAYS["lstm"].values())
    for number, indices in enumerate(((0,), (1, 2))):
        def fill(file, indices=indices):
            for index in indices:
                file[f"layers/lstm/cell/vars/{index}"] = cell[index]
        (folder / f"m_{number}.weights.h5").write_bytes(h5files.hdf5(fill))
    weight_map = {"/layers/lstm/cell/vars": ["m_0.weights.h5", "m_1.weights.h5"], **change}
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "m.weights.json").write_text(json.dumps(index))
    return folder / "m.weights.json"


def test_a_layer_split_over_shards(tmp_path):
    weights = hdf5.read(shards(tmp_path)).weights
    assert [name for name, _ in weights.groups["layers/lstm/cell"]] == ["0", "1", "2"]
    np.testing.assert_array_equal(weights.groups["layers/lstm/cell"][2][1].read(), ARRAYS["lstm"]["bias"])


@pytest.mark.parametrize("name", ["../m_0.weights.h5", "/etc/passwd", "a\\b.h5", "..", "absent.h5"])
def test_shards_only_beside_the_index(tmp_path, name):
    with pytest.raises(LoadError, match="shard"):
        hdf5.read(shards(tmp_path, x=name))


@pytest.mark.parametrize("data, found", [
    (b"", "empty"), (b"\x80\x04\x95abc", "pickle"), (b"\x20\0\0\0TFL3....", "TensorFlow Lite"),
    (b"\x08\x07\x12\x07pytorch", "ONNX"), (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (b"<!DOCTYPE html>", "HTML"), (b"backend: tensorflow\nclass_name: Model\n", "YAML"), (b"garbage!", "unknown kind"),
    (b'{"a": 1}', "class_name"), (b'{"a": 1', "broken JSON"),
])
def test_foreign_files_are_named(data, found):
    with pytest.raises(LoadError, match=found):
        hdf5.read(data)


def test_foreign_archives_and_hdf5():
    with pytest.raises(LoadError, match=r"\.npz"):
        np.savez(buffer := io.BytesIO(), a=np.zeros(2))
        hdf5.read(buffer.getvalue())
    with pytest.raises(LoadError, match="without Keras weights .*it holds data"):
        hdf5.read(h5files.hdf5(lambda file: file.create_dataset("data", data=np.zeros(3))))


def test_errors_of_the_system_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError):
        hdf5.read(tmp_path / "absent.h5")
    with pytest.raises(LoadError, match="text mode"):
        hdf5.read(io.StringIO("{}"))


# ---------------------------------------------------------------- hostile and broken


def external(group, name):
    group[name.replace("/", "_")] = np.ones(1)
    group["dense"][name.split("/")[1]] = h5py.ExternalLink("other.h5", "/k")


def virtual(group, name):
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "k", (3, 2))
    group.create_virtual_dataset(name, layout)


def raw_storage(group, name):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_external(b"/etc/passwd", 0, 24)
    space = h5py.h5s.create_simple((3, 2))
    h5py.h5d.create(group["dense"].id, name.split("/")[1].encode(), h5py.h5t.IEEE_F32LE, space, plan)


@pytest.mark.parametrize("change, found", [
    (external, "link"),
    (lambda g, n: g.__setitem__(n, h5py.SoftLink("/model_weights/lstm/lstm/lstm_cell_7/kernel:0")), "link"),
    (virtual, "another file"), (raw_storage, "another file"),
    (lambda g, n: g.create_dataset(n, (1 << 20, 1 << 15), "f4", chunks=(1024, 1024), compression="gzip"), "declares"),
    (lambda g, n: g.create_dataset(n, (1 << 40,), "f4", chunks=(1 << 16,)), "declares"),
    (lambda g, n: g.create_dataset(n, data=h5py.Empty("f4")), "no shape"),
    (lambda g, n: g.create_dataset(n, data=np.array([b"a", b"b"])), "type"),
    (lambda g, n: g.create_dataset(n, data=np.zeros(2, [("a", "f4")])), "type"),
    (lambda g, n: g.create_dataset(n, data=np.zeros(2, "c8")), "type"),
    (lambda g, n: g.create_dataset(n, (2,), h5py.enum_dtype({"NO": 0, "YES": 1}, "i1")), "type"),
    (lambda g, n: g.create_dataset(n, data=["x"], dtype=h5py.string_dtype()), "type"),
    (lambda g, n: g.create_dataset(n, data=np.zeros((3, 2), "V2")), "type"),
    (lambda g, n: g.create_dataset(n, (64, 64), "f4", chunks=(64, 64), scaleoffset=2), "filter"),
    (lambda g, n: None, "missing"), (lambda g, n: g.create_group(n), "missing"),
])
def test_what_no_keras_writes_is_refused_before_reading(change, found):
    with pytest.raises(LoadError, match=found) as caught:
        hdf5.read(spoiled(change))
    assert "dense" in str(caught.value)


@pytest.mark.parametrize("name", ["/model_weights/lstm", "./dense", "dense//kernel:0", "..", "dense/kernel:0/"])
def test_odd_weight_names_are_refused(name):
    buffer = io.BytesIO(MODEL)
    with h5py.File(buffer, "r+") as file:
        file["model_weights/dense"].attrs["weight_names"] = np.array([name], dtype=object)
    with pytest.raises(LoadError):
        hdf5.read(buffer.getvalue())


def test_weights_without_a_version_are_of_keras_1():
    assert hdf5.read(h5files.legacy({"a": {"a_W": np.zeros(1)}})).weights.keras_version == "1"
    assert hdf5.read(MODEL).weights.keras_version == "2.4.0"


def test_a_model_without_weights_is_a_model():
    assert not any(hdf5.read(h5files.store({"layers/flatten": [], "": []})).weights.groups.values())


def test_hard_link_cycle_in_the_object_store():
    def fill(file):
        file["layers/dense/vars/0"] = np.zeros((3, 2), "f4")
        file["layers/dense/up"] = file["layers"]

    with pytest.raises(LoadError, match="twice"):
        hdf5.read(h5files.hdf5(fill))


def test_half_written_files():
    twice = h5files.legacy({"a": {"kernel": np.zeros(1)}})
    buffer = io.BytesIO(twice)
    with h5py.File(buffer, "r+") as file:
        file["a"].attrs["weight_names"] = np.array([b"kernel", b"kernel"])
    with pytest.raises(LoadError, match="twice"):
        hdf5.read(buffer.getvalue())
    with h5py.File(buffer, "r+") as file:
        file.attrs["layer_names"] = np.array([b"a", b"b"])
        file["a"].attrs["weight_names"] = np.array([b"kernel"])
    with pytest.raises(LoadError, match="layer b.*no group"):
        hdf5.read(buffer.getvalue())


def test_names_cut_into_chunks():
    buffer = io.BytesIO(MODEL)
    with h5py.File(buffer, "r+") as file:
        group = file["model_weights/lstm"]
        names = list(group.attrs["weight_names"])
        del group.attrs["weight_names"]
        group.attrs["weight_names0"], group.attrs["weight_names1"] = np.array(names[:2]), np.array(names[2:])
    assert len(hdf5.read(buffer.getvalue()).weights.groups["lstm"]) == 3


@pytest.mark.parametrize("text", ["[" * 200_000, '{"class_name":' * 300 + "1" + "}" * 300, '{"a": ' + "1" * 5000 + "}"])
def test_hostile_json(text):
    with pytest.raises(LoadError, match="JSON"):
        hdf5.read(h5files.hdf5(lambda file: file.attrs.__setitem__("model_config", text)))


def test_zip_bombs_and_double_members():
    config = json.dumps(h5files.sequential(h5files.TF_FIRST, "3.1")).encode()
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", bytes(64 << 20))
    with pytest.raises(LoadError, match="declares 67,108,864 bytes"):
        hdf5.read(buffer.getvalue())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("config.json", config)
    with pytest.raises(LoadError, match="same name"):
        hdf5.read(buffer.getvalue())


def test_recompressed_archive_and_foreign_byte_order():
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ZIP)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert hdf5.read(out.getvalue()).weights is not None
    raw = hdf5.read(spoiled(lambda g, n: g.create_dataset(n, data=ARRAYS["dense"]["kernel"].astype(">f4"))))
    values = dict(raw.weights.groups["dense"])["dense/kernel:0"].read()
    assert values.dtype == np.float32 and values.dtype.isnative
    np.testing.assert_array_equal(values, ARRAYS["dense"]["kernel"])


def test_bfloat16_is_widened():
    values = np.array([1.0, -2.5, 3.140625], "f4")
    half = (values.view("<u4") >> 16).astype("<u2").view("V2")

    def fill(file):
        file["layers/dense/vars/0"] = half
        file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"

    handle = hdf5.read(h5files.hdf5(fill)).weights.groups["layers/dense"][0][1]
    assert handle.dtype == "bfloat16"
    np.testing.assert_array_equal(handle.read(), values)


def test_text_heap_that_libhdf5_would_walk_for_ever():
    data = h5files.hdf5(lambda file: file.attrs.__setitem__("model_config", "{}"))
    heap = data.index(b"GCOL")
    broken = bytearray(data)
    broken[heap + 16:heap + 32] = bytes(16)  # entry 0 of size 0
    with pytest.raises(LoadError, match="impossible size"):
        hdf5.read(bytes(broken))


def test_text_that_declares_more_than_its_heap_holds():
    data = bytearray(h5files.hdf5(lambda file: file.attrs.__setitem__("model_config", "{}")))
    place = data.index(b"\x02\0\0\0" + data.index(b"GCOL").to_bytes(8, "little"))  # length, heap, index
    data[place + 3] = 0x7F  # 2 GB: libhdf5 would ask for them
    with pytest.raises(LoadError, match="declares 2,1"):
        hdf5.read(bytes(data))


def test_attributes_of_odd_types():
    def sequences(file):
        values = np.empty(1, object)
        values[0] = np.array([1, 2], "i4")
        file.attrs.create("model_config", values, dtype=h5py.vlen_dtype("i4"))

    for fill in (sequences, lambda file: file.attrs.__setitem__("model_config", np.arange(3)),
                 lambda file: file.attrs.__setitem__("layer_names", np.arange(3))):
        with pytest.raises(LoadError):
            hdf5.read(h5files.hdf5(fill))


@pytest.mark.parametrize("data", [MODEL, ZIP], ids=["h5", "zip"])
def test_truncated_anywhere(data):
    for size in range(0, len(data) - 1, max(1, len(data) // 150)):
        with pytest.raises(LoadError):
            raw = hdf5.read(data[:size])
            for pairs in raw.weights.groups.values():
                [handle.read() for _, handle in pairs]


def test_nothing_but_load_errors_from_overwritten_bytes():
    draw = random.Random(11)
    for _ in range(150):
        data = bytearray(draw.choice((MODEL, ZIP)))
        start = draw.randrange(len(data))
        data[start:start + 8] = bytes(draw.randrange(256) for _ in range(8))
        try:
            raw = hdf5.read(bytes(data))
            found = layouts.match(layouts.canonical(raw), raw.weights)
            [handle.read() for arrays in found.values() for handle in arrays.values()]
        except LoadError:
            pass


def test_hostile_file_of_the_collection():
    folder = os.environ.get("LSTM_INFER_FILES")
    if not folder:
        pytest.skip("LSTM_INFER_FILES is not set: strangers' files are not here")
    with pytest.raises(LoadError, match="JSON"):
        hdf5.read(Path(folder) / "generations" / "evil" / "e.h5")


def test_heaps_inside_each_other_end_soon():
    """Every text of the first heap holds the head of another heap, which reaches to the end too."""
    count = 8000
    total, body = 16 + 32 * count, bytearray()
    for n in range(count):
        rest = total - (32 * n + 32)
        body += (n % 65535 + 1).to_bytes(2, "little") + bytes(6) + (16).to_bytes(8, "little")
        body += b"GCOL\1\0\0\0" + rest.to_bytes(8, "little")
    data = b"\x89HDF\r\n\x1a\n" + bytes(504) + b"GCOL\1\0\0\0" + total.to_bytes(8, "little") + bytes(body)
    start = time.monotonic()
    with pytest.raises(LoadError, match="overlap"):
        hdf5.read(data)
    assert time.monotonic() - start < 60


def test_one_array_under_many_names_is_refused(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("dense")
        file.attrs["layer_names"], group.attrs["weight_names"] = ["dense"], ["kernel", "bias"]
        group["kernel"] = np.zeros((2, 2), np.float32)
        group["bias"] = group["kernel"]
    with pytest.raises(LoadError, match="under two names"):
        hdf5.read(tmp_path / "m.h5")
