"""What is no Keras file is named by its content, with the lines that convert it; what is broken says how."""

import gzip
import io
import json
import pickle
import zipfile

import h5files
import h5py
import numpy as np
import pytest

import lstm_infer as li

MODEL, _ = h5files.tf_keras2(h5files.weights())
ZIP, _ = h5files.keras3_zip(h5files.weights())
TABLE_END = bytes.fromhex("57fb808b247547db")

FOREIGN = [
    ("cp.index", b"\0\0\1" + bytes(40) + TABLE_END, "TensorFlow checkpoint", 'load_weights("cp")'),
    ("cp.data-00000-of-00001", b"\1\2\3", "TensorFlow checkpoint", 'load_weights("cp")'),
    ("checkpoint", b'model_checkpoint_path: "best"\n', "TensorFlow checkpoint", 'load_weights("best")'),
    ("variables.index", bytes(9) + TABLE_END, "SavedModel", "tf_keras.models.load_model"),
    ("saved_model.pb", b"\x08\1\x12\x80\xf4\x25", "SavedModel", "tf_keras.models.load_model"),
    ("any", b"\x08\1\x12\x80\xf4\x25", "SavedModel", "tf_keras.models.load_model"),
    ("keras_metadata.pb", b"\n\xa1\1", "SavedModel", "tf_keras.models.load_model"),
    ("frozen.pb", b"\n\x12\n\5input\x12\x0bPlaceholder", "TensorFlow graph", "cannot become"),
    ("m.tflite", b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite", "cannot become"),
    ("m.onnx", b"\x08\x07\x12\x07pytorch", "ONNX", "cannot become"),
    ("any", b"\x08\x08\x3a\x90\1", "ONNX", "cannot become"),
    ("m.pkl", pickle.dumps({"a": 1}), "pickle", "pickle.load"),
    ("m.pkl", pickle.dumps({"a": 1}, 0), "pickle", "runs code"),
    ("m.joblib", b"x\x9c\xcd\1", "joblib", "joblib.load"),
    ("m.pt", b"\x80\2\x8a\n", "PyTorch", "cannot become"),
    ("m.h5.gz", gzip.compress(MODEL), "gzip", "gzip.open('m.h5.gz'), open('m.h5'"),
    ("m.h5.bz2", b"BZh91AY&SY", "bzip2", "bz2.open"),
    ("m.safetensors", (500).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}', "safetensors", "cannot become"),
    ("m.npy", b"\x93NUMPY\1\0", "NumPy", "expected a Keras"),
    ("m.yaml", b"backend: tensorflow\nclass_name: Sequential\n", "YAML", "model_from_yaml"),
    ("m.h5", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer", "git lfs pull"),
    ("m.h5", b"\n\n<!DOCTYPE html><html>", "HTML", "/raw/"),
    ("m.h5", bytes(5000), "zeros", "interrupted"),
    ("m.h5", b"", "empty file", "interrupted"),
    ("model.json", b'{"modelTopology": {}, "weightsManifest": []}', "TensorFlow.js", "tensorflowjs_converter"),
    ("model.json", b'{"format": "graph-model", "modelTopology": {}}', "TensorFlow.js", "cannot become"),
    ("config.json", b'{"architectures": ["Bert"], "model_type": "bert"}', "Hugging Face", "expected a Keras"),
]


@pytest.mark.parametrize(("name", "data", "what", "advice"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_files(tmp_path, name, data, what, advice):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(li.LoadError) as caught:
        li.load_model(tmp_path / name)
    said = str(caught.value)
    assert said.startswith(f"{name}: ") and what in said and advice.replace('"', "'") in said.replace('"', "'")


def test_archives_and_folders(tmp_path):
    for member, what in (("archive/data.pkl", "PyTorch"), ("m/saved_model.pb", "SavedModel"), ("a.h5", "unpack"),
                         ("m/{x}.txt", r"it holds m/\{x\}.txt: unpack it, and give the model's own file"),
                         ("m/", "without config.json.*; it is empty")):  # fmt: skip
        with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
            archive.writestr(member, b"x")
        with pytest.raises(li.LoadError, match=what):
            li.load_model(buffer.getvalue())
    for member, what in (("saved_model.pb", r"load_model\('folder'\)"), ("cp.index", "load_weights.'folder/cp'"),
                         ("other", "without config.json.*; it holds other: give the model's own")):  # fmt: skip
        folder = tmp_path / member.replace(".", "_") / "folder"
        folder.mkdir(parents=True)
        (folder / member).write_bytes(b"x")
        with pytest.raises(li.LoadError, match=what):
            li.load_model(folder)


def test_a_checkpoint_of_the_other_kind_is_not_restored_silently(tmp_path):
    """tf.train.Checkpoint restores nothing of what save_weights() wrote, and says so only if asked."""
    (tmp_path / "cp.index").write_bytes(bytes(9) + TABLE_END)
    with pytest.raises(li.LoadError, match=r"restore\('cp'\)\.assert_existing_objects_matched\(\)"):
        li.load_model(tmp_path / "cp.index")


# ---------------------------------------------------------------- broken
def test_cut_files_say_by_how_much():
    with pytest.raises(li.LoadError, match=f"cut short, found 9,000 bytes and expected the {len(MODEL):,}"):
        li.load_model(MODEL[:9000])
    with pytest.raises(li.LoadError, match="cut short, a zip archive without the directory"):
        li.load_model(ZIP[:9000])


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wrong_checksum(packing):
    with zipfile.ZipFile(io.BytesIO(ZIP)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = bytearray(buffer.getvalue())
    with zipfile.ZipFile(buffer) as archive:
        info = archive.getinfo("model.weights.h5")
    data[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 16
    with pytest.raises(li.LoadError, match="damaged"):
        li.load_model(bytes(data))


def test_a_model_saved_before_it_was_built(tmp_path):
    """Keras 3 saves such a model, and loads it with random numbers."""
    layers = [{"class_name": "LSTM", "config": {"name": "lstm", "units": 3}}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("model.weights.h5", h5files.store({"layers/lstm/cell": [], "": []}))
    with pytest.raises(li.LoadError, match="holds no arrays at all.*saved before it was built"):
        li.load_model(tmp_path / "m.keras")


def test_weights_of_nothing_but_nan_warn_and_load():
    buffer = io.BytesIO(MODEL)
    with h5py.File(buffer, "r+") as file:
        file["model_weights/dense/dense/kernel:0"][()] = np.nan
    with pytest.warns(UserWarning, match="nothing but NaN in array 'kernel' of layer 'dense'"):
        li.load_model(buffer.getvalue())


def test_a_member_of_an_archive_is_read_where_it_is(tmp_path):
    """By any name of the archive, and again after the first model is gone."""
    path = tmp_path / "model"
    path.write_bytes(ZIP)
    for source in (path, ZIP, io.BytesIO(ZIP)):
        for ours, theirs in zip(li.load_model(source).get_weights(), li.load_model(ZIP).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_long_messages_are_cut():
    error = li.LoadError("a" * 100_000 + "end")
    assert len(str(error)) < 4001 and str(error).endswith("end")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_common_name_of_a_checkpoint(tmp_path):
    """What people pass to TensorFlow: no file has this very name."""
    (tmp_path / "ck-1.index").write_bytes(b"\0\0\1" + bytes(40) + TABLE_END)
    with pytest.raises(li.LoadError, match=r"TensorFlow checkpoint[^@]*load_weights\('ck-1'\)"):
        li.load_model(tmp_path / "ck-1")
    with pytest.raises(FileNotFoundError):
        li.load_model(tmp_path / "ck-2")
