"""What people hand over by mistake, told by its bytes, and how to make a Keras file of it. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

EXPECTED = "expected a Keras .h5, .keras, .weights.h5 or architecture .json file"
TABLE_END = bytes.fromhex("57fb808b247547db")  # of LevelDB's tables, which hold the index of a TensorFlow checkpoint
PICKLE0 = re.compile(rb"\(dp|\(lp|\(ilp|c[a-z_.]+\n\w+\n")  # the text forms of old pickles
ONNX_START = re.compile(rb"\x08[\x03-\x14][\x12\x1a\x22\x2a\x32\x3a\x42]")  # ir_version, then another field

WITH_TF_KERAS = """; convert it where tf_keras is installed:
    model = tf_keras.models.load_model({name!r})  # not if export() or tf.saved_model made it: they keep none
    model.save("model.h5")"""
WITH_THE_CODE = """; convert it where tf_keras and the code that builds the model are:
    model.load_weights({stem!r})
    # or, if tf.train.Checkpoint wrote it (restoring the other kind so does nothing, so that one asserts):
    # tf.train.Checkpoint(model=model).restore({stem!r}).assert_existing_objects_matched()
    model.save("model.h5")"""
NO_WAY_BACK = "; it cannot become a Keras model again: save the one it was made from"
PICKLED = """, which runs code when it is opened; convert it where it was made and is trusted:
    model = pickle.load(open({name!r}, "rb"))  # if it is a list of arrays, give it to model.set_weights()
    model.save("model.h5")"""
FROM_YAML = """; convert it with Keras 2 before TensorFlow 2.6:
    model = keras.models.model_from_yaml(open({name!r}).read())
    open("model.json", "w").write(model.to_json())"""
UNPACK = """; unpack it first:
    import {module}, shutil
    shutil.copyfileobj({module}.open({name!r}), open({stem!r}, "wb"))"""
FROM_LFS = """; fetch the file that it stands for:
    git lfs install
    git lfs pull --include {name!r}"""
FROM_JS = """; convert it with the package tensorflowjs:
    tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras {name} model.h5"""
DOWNLOAD = "; download the file itself (on GitHub the address with /raw/ in place of /blob/)"

FILES = (  # (does it look so, what it is, what to do)
    (lambda head, tail, name: not head, "an empty file", "; its download, copy or save was probably interrupted"),
    (lambda head, tail, name: not head.strip(b"\0"), "a file of zeros", "; its download was probably interrupted"),
    (lambda head, tail, name: head.startswith(b"version https://git-lfs"), "a Git LFS pointer, not the file itself",
     FROM_LFS),
    (lambda head, tail, name: name.endswith((".pt", ".pth")), "a PyTorch file", NO_WAY_BACK),
    (lambda head, tail, name: (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5") or PICKLE0.match(head),
     "a Python pickle", PICKLED),
    (lambda head, tail, name: head[4:8] == b"TFL3", "a TensorFlow Lite model", NO_WAY_BACK),
    (lambda head, tail, name: name.startswith("variables.") and (tail == TABLE_END or ".data-0" in name)
     or name in ("saved_model.pb", "saved_model.pbtxt", "keras_metadata.pb", "fingerprint.pb")
     or head.startswith(b"\x08\x01\x12"), "a part of a TensorFlow SavedModel",
     WITH_TF_KERAS.replace("{name!r}", '"the folder that holds saved_model.pb"')),
    (lambda head, tail, name: b"model_checkpoint_path:" in head or tail == TABLE_END or ".data-0" in name,
     "a part of a TensorFlow checkpoint", WITH_THE_CODE),
    (lambda head, tail, name: ONNX_START.match(head) or name.endswith(".onnx"), "an ONNX model", NO_WAY_BACK),
    (lambda head, tail, name: name.endswith((".pb", ".pbtxt")) or (head[:1] == b"\n" and b"Placeholder" in head),
     "a TensorFlow graph", NO_WAY_BACK),
    (lambda head, tail, name: head.startswith(b"\x1f\x8b"), "a gzip archive", UNPACK.replace("{module}", "gzip")),
    (lambda head, tail, name: head.startswith(b"BZh"), "a bzip2 archive", UNPACK.replace("{module}", "bz2")),
    (lambda head, tail, name: head.startswith(b"\xfd7zXZ\0"), "an xz archive", UNPACK.replace("{module}", "lzma")),
    (lambda head, tail, name: head.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd"))
     or head[257:262] == b"ustar", "an archive", "; unpack it first"),
    (lambda head, tail, name: head[:1] == b"x" and head[1:2] in b"\x01\x5e\x9c\xda", "a compressed file of joblib",
     PICKLED.replace("pickle.load(open({name!r}, \"rb\"))", "joblib.load({name!r})")),
    (lambda head, tail, name: head.startswith(b"\x93NUMPY"), "a NumPy .npy file", ""),
    (lambda head, tail, name: head.startswith(b"MATLAB 5"), "a MATLAB file", ""),
    (lambda head, tail, name: head[2:8] == bytes(6) and head[8:9] == b"{" or head[4:10] == b"\0\0\0\0{\"",
     "a safetensors file", NO_WAY_BACK),
    (lambda head, tail, name: head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")),
     "an HTML page saved in place of the file", DOWNLOAD),
    (lambda head, tail, name: head.lstrip()[:1] == b"<", "an XML file", ""),
    (lambda head, tail, name: name.endswith((".yaml", ".yml")) or b"class_name:" in head, "a YAML architecture",
     FROM_YAML),
    (lambda head, tail, name: head.startswith(b"PK"), "an empty or cut zip archive",
     "; its download, copy or save was probably interrupted"),
)
MEMBERS = (  # of zip archives and folders: (end of a name, what it is, what to do)
    ("data.pkl", "a PyTorch archive", NO_WAY_BACK),
    ("saved_model.pb", "a TensorFlow SavedModel", WITH_TF_KERAS),
    ("saved_model.pbtxt", "a TensorFlow SavedModel", WITH_TF_KERAS),
    ("variables.h5", "the experimental archive of TensorFlow 2.11", WITH_TF_KERAS),
    (".npy", "a NumPy .npz file", ""),
    ("checkpoint", "a TensorFlow checkpoint", WITH_THE_CODE),
    (".index", "a TensorFlow checkpoint", WITH_THE_CODE),
    (".h5", "HDF5 files", ""),  # see `_of_files`
    (".keras", "Keras files", ""),
)


def file(head: bytes, tail: bytes, name: str) -> str:
    """A sentence about a file that begins with `head` and ends with the 8 bytes `tail`."""
    for looks, what, advice in FILES:
        if looks(head, tail, name.lower()):
            prefix = re.search(rb'model_checkpoint_path: "([^"\n]{1,200})"', head)
            return _sentence(name, what, advice, prefix and prefix[1].decode("utf-8", "replace"))
    return _sentence(name, f"of an unknown kind, it begins with {head[:8]!r}", "")


def members(names: list[str], name: str, kind: str) -> str:
    """The same about a zip archive or a folder that holds `names`."""
    for end, what, advice in MEMBERS:
        if any(member.endswith(end) for member in names):
            prefix = next((f"{name}/{member[:-6]}" for member in names if member.endswith(".index")), None)
            if end in (".h5", ".keras"):
                return _sentence(name, *_of_files(names, end, kind))
            return _sentence(name, what, advice, prefix)
    return _sentence(name, f"{kind} without config.json", _of_others(names, kind))


def _of_others(names: list[str], kind: str) -> str:
    """What is in a zip archive or a folder that holds no model that is known, and what to do."""
    files = [member for member in names if not member.endswith("/")]
    if not files:
        return "; it is empty"
    first = min(files)[:80].replace("{", "{{").replace("}", "}}")
    found = first if len(files) == 1 else f"{len(files):,} files, {first} the first of them"
    give = "give the model's own file" if "folder" in kind else "unpack it, and give the model's own file"
    return f"; it holds {found}: {give}, if it is among them"


def _of_files(names: list[str], end: str, kind: str) -> tuple[str, str]:
    """What a zip archive or a folder of models is, and what to do."""
    first = min(member for member in names if member.endswith(end))[:80]
    if any(member.endswith("/config.json") for member in names):
        return f"{kind} with config.json in a folder inside it", "; give that folder" if "folder" in kind else (
            "; zip the content of that folder, not the folder")
    if "folder" in kind:
        return f"{kind} without config.json, but with {first}", "; give that file"
    return f"{kind} without config.json, but with {first}", "; unpack it first, and give that file"


def checkpoint(name: str) -> str:
    """The same about the common beginning of a TensorFlow checkpoint's names."""
    return _sentence(name, "a TensorFlow checkpoint", WITH_THE_CODE)


def json(value: Any, name: str) -> str | None:
    """The same about JSON, if it is of a known kind that is no architecture."""
    if not isinstance(value, Mapping):
        return None
    if value.get("format") == "graph-model":
        return _sentence(name, "a TensorFlow.js graph", NO_WAY_BACK)
    if "modelTopology" in value or "weightsManifest" in value:
        return _sentence(name, "a TensorFlow.js model", FROM_JS)
    if "architectures" in value and "model_type" in value:
        return _sentence(name, "the configuration of a Hugging Face model", "")
    return None


def _sentence(name: str, what: str, advice: str, stem: str | None = None) -> str:
    stem = stem or re.sub(r"\.(index|data-\d+-of-\d+|gz|bz2|xz)$", "", name)
    return f"{name}: is {what}, {EXPECTED}{advice.format(name=name, stem=stem)}"
