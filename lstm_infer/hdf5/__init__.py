"""Opens model files and says what they hold, without trusting them: the only user of h5py and zipfile for models.

`read` tells a file's kind from its bytes, follows nothing that leads out of the file (links, virtual and external
data), refuses what no Keras writes, and returns a `RawModel` whose arrays are still on disk. Knows file formats;
knows nothing of layers, Keras versions' words or Numba. The optimizer's state is never looked at.

Kinds: HDF5 (complete models and weights, both the legacy layout and the object store of ``.weights.h5``), the
``.keras`` zip and its unzipped folder, architecture JSON, and the JSON index of sharded weights.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from ..errors import LoadError
from ..spec import Handle, RawModel, RawWeights
from . import heaps
from .store import EXPECTED, MAX_DECLARED, MAX_DEPTH, SMALL, Store, damage, number

MAX_JSON = 8 << 20  # bytes; the largest real architecture seen has 1 MB
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
FOREIGN = (  # what people hand over by mistake: (does it look so, what it is)
    (lambda head, name: not head, "an empty file"),
    (lambda head, name: head.startswith(b"version https://git-lfs"), "a Git LFS pointer, not the file itself"),
    (lambda head, name: head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05", "a Python pickle"),
    (lambda head, name: head[4:8] == b"TFL3", "a TensorFlow Lite model"),
    (lambda head, name: name.endswith(".onnx") or (head[:1] == b"\x08" and head[2:3] == b"\x12"), "an ONNX model"),
    (lambda head, name: name.endswith(".pb"), "a TensorFlow SavedModel or graph"),
    (lambda head, name: name == "checkpoint" or name.endswith(".index") or ".data-0" in name,
     "a part of a TensorFlow checkpoint"),
    (lambda head, name: head.startswith(b"\x1f\x8b"), "a gzip archive"),
    (lambda head, name: head.lstrip()[:1] == b"<", "an HTML or XML page"),
    (lambda head, name: name.endswith((".yaml", ".yml")) or b"class_name:" in head, "a YAML architecture"),
)
FOREIGN_MEMBERS = (
    ("data.pkl", "a PyTorch archive"),
    ("saved_model.pb", "a zipped TensorFlow SavedModel"),
    ("variables.h5", "the experimental archive of TensorFlow 2.11"),
    (".npy", "a NumPy .npz file"),
)


class _Source(NamedTuple):
    """Where bytes come from: a path, or the bytes themselves."""

    name: str
    path: Path | None
    data: bytes | None

    def open(self) -> io.BufferedIOBase:
        return io.BytesIO(self.data) if self.path is None else open(self.path, "rb")


def read(path: Any, weights: Any = None, damages: list[str] | None = None) -> RawModel:
    """Read what a model file says; the arrays stay in the file until asked for.

    Parameters
    ----------
    path : str, PathLike, bytes or open binary file
        HDF5 (``.h5``, ``.hdf5``), ``.keras`` (zip, folder or HDF5), architecture JSON, or the index of sharded
        weights. Its content decides, not its name.
    weights : same kinds, optional
        A second file whose arrays are used instead of those of `path`.
    damages : list, optional
        Takes what is wrong with a file of the right kind, one sentence each: then the rest of it is returned.

    Returns
    -------
    RawModel

    Raises
    ------
    LoadError
        If a file is of another kind, is damaged, or holds something no Keras writes.
    FileNotFoundError, PermissionError
        As the operating system says.
    """
    model = _read_one(_source(path), damages)
    if weights is None:
        return model
    other = _read_one(_source(weights), damages)
    if other.weights is None:
        raise LoadError(f"{other.source}: holds an architecture only, expected weights")
    version = model.keras_version or other.keras_version
    return replace(model, weights=other.weights, keras_version=version, backend=model.backend or other.backend)


def _source(path: Any) -> _Source:
    if isinstance(path, (bytes, bytearray, memoryview)):
        return _Source("<bytes>", None, bytes(path))
    if hasattr(path, "read"):
        data = path.read()
        name = getattr(path, "name", None)
        if not isinstance(data, bytes):
            raise LoadError(f"{name or '<file>'}: opened in text mode, expected a file opened with mode 'rb'")
        return _Source(Path(name).name if isinstance(name, str) else "<file>", None, data)
    path = Path(path)
    return _Source(path.name or str(path), path, None)


def _read_one(source: _Source, damages: list[str] | None) -> RawModel:
    with damage(source.name):
        if source.path is not None and source.path.is_dir():
            kind = "folder"
        else:
            with _regular(source) as file:
                kind = _kind(source.name, file)
        return replace(READERS[kind](source, damages), container=kind)


@contextmanager
def _noting(damages: list[str] | None) -> Iterator[None]:
    """Add what is wrong to `damages` and go on, where there is such a list."""
    try:
        yield
    except LoadError as error:
        if damages is None:
            raise
        damages.append(str(error))


def _regular(source: _Source) -> io.BufferedIOBase:
    if source.path is not None and not stat.S_ISREG(os.stat(source.path).st_mode):
        raise LoadError(f"{source.name}: is a device or a pipe, {EXPECTED}")
    return source.open()


def _kind(name: str, file: io.BufferedIOBase) -> str:
    head = file.read(4096)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b'"'):
        return "json"
    size, offset = file.seek(0, os.SEEK_END), 0
    while offset + len(HDF5_MAGIC) <= size:  # HDF5 allows a user block in front: 512, 1024, 2048, ... bytes
        file.seek(offset)
        if file.read(len(HDF5_MAGIC)) == HDF5_MAGIC:
            return "hdf5"
        offset = offset * 2 or 512
    found = next((what for looks, what in FOREIGN if looks(head, name.lower())), None)
    raise LoadError(f"{name}: is {found or 'of an unknown kind, it begins with ' + repr(head[:8])}, {EXPECTED}")


# ---------------------------------------------------------------- JSON


def _parse(text: bytes | str, name: str) -> Any:
    if len(text) > MAX_JSON:
        raise LoadError(f"{name}: {len(text):,} bytes of JSON, expected at most {MAX_JSON:,}")
    try:
        value = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
        if isinstance(value, str):  # json.dump(model.to_json()) is a common slip
            value = json.loads(value)
    except RecursionError:
        raise LoadError(f"{name}: JSON nested too deeply, expected at most {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise LoadError(f"{name}: broken JSON ({error})") from error
    level, depth = [value], 0
    while level:
        level = [child for item in level if isinstance(item, (dict, list))
                 for child in (item.values() if isinstance(item, dict) else item)]
        depth += 1
        if depth > MAX_DEPTH:
            raise LoadError(f"{name}: JSON nested too deeply, expected at most {MAX_DEPTH} levels")
    return value


def _architecture(text: bytes | str, name: str) -> dict:
    config = _parse(text, name)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise LoadError(f"{name}: JSON without 'class_name', expected a Keras architecture")
    return config


def _version(holder: Any, key: str = "keras_version") -> str | None:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, str) else None


def _read_json(source: _Source, damages: list[str] | None) -> RawModel:
    with source.open() as file:
        text = file.read(MAX_JSON + 1)
    value = _parse(text, source.name)
    if isinstance(value, dict) and isinstance(value.get("weight_map"), dict):
        return _read_shards(source, value["weight_map"])
    config = _architecture(text, source.name)
    return RawModel(source.name, config, None, _version(config), _version(config, "backend"))


def _read_shards(source: _Source, weight_map: dict) -> RawModel:
    """Weights cut into files: one object's arrays may lie in several of them."""
    if source.path is None:
        raise LoadError(f"{source.name}: is an index of sharded weights, expected its path: the shards lie beside it")
    listed = [name for names in weight_map.values() for name in (names if isinstance(names, list) else [names])]
    arrays: dict[str, dict[str, Handle]] = {}
    names: dict[str, str] = {}
    for name in dict.fromkeys(map(str, listed)):
        if name in ("", ".", "..") or any(mark in name for mark in "/\\\0:"):
            raise LoadError(f"{source.name}: names the shard {name!r}, expected a bare file name")
        shard = source.path.parent / name
        if not shard.is_file():
            raise LoadError(f"{source.name}: its shard {name} is missing")
        part = _read_hdf5(_Source(name, shard, None), None).weights
        names.update(part.names)
        for path, pairs in part.groups.items():
            known = arrays.setdefault(path, {})
            twice = known.keys() & dict(pairs).keys()
            if twice:
                raise LoadError(f"{source.name}: {path}/vars/{min(twice)} lies in two shards, expected one")
            known.update(pairs)
    groups = {path: tuple(sorted(pairs.items(), key=lambda pair: number(pair[0]))) for path, pairs in arrays.items()}
    return RawModel(source.name, None, RawWeights(source.name, "objects", groups, names, "3.10"), "3.10")


# ---------------------------------------------------------------- .keras


def _read_zip(source: _Source, damages: list[str] | None) -> RawModel:
    with source.open() as file, zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise LoadError(f"{source.name}: two members of the same name in the archive, expected each once")
        if "config.json" not in members:
            found = next((what for end, what in FOREIGN_MEMBERS if any(m.endswith(end) for m in members)),
                         "a zip archive without config.json")
            raise LoadError(f"{source.name}: is {found}, {EXPECTED}")

        def member(name: str) -> bytes | None:
            info = members.get(name)
            return None if info is None else _extract(archive, info, source.name)

        return _read_parts(source.name, member, damages)


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LoadError(f"{name}: {info.filename} is compressed by method {info.compress_type}, expected deflate")
    limit = MAX_JSON if info.filename.endswith(".json") else MAX_DECLARED
    if info.file_size > min(limit, 200 * info.compress_size + SMALL):
        raise LoadError(f"{name}: {info.filename} declares {info.file_size:,} bytes and holds {info.compress_size:,}")
    return archive.read(info)


def _read_folder(source: _Source, damages: list[str] | None) -> RawModel:
    """A ``.keras`` model saved with ``zipped=False``."""
    folder = source.path
    if not (folder / "config.json").is_file():
        saved_model = (folder / "saved_model.pb").is_file()
        what = "a TensorFlow SavedModel" if saved_model else "a folder without config.json"
        raise LoadError(f"{source.name}: is {what}, {EXPECTED}")

    def member(name: str) -> bytes | _Source | None:
        path = folder / name
        if not path.is_file():
            return None
        if name.endswith(".h5"):
            return _Source(f"{source.name}/{name}", path, None)
        with open(path, "rb") as file:
            return file.read(MAX_JSON + 1)

    return _read_parts(source.name, member, damages)


def _read_parts(name: str, member: Any, damages: list[str] | None) -> RawModel:
    config = _architecture(member("config.json"), name)
    metadata = _parse(member("metadata.json") or "{}", name)
    version = _version(metadata) or _version(config)
    with _noting(damages):
        return RawModel(name, config, _weights_part(name, member, version, damages), version)
    return RawModel(name, config, None, version)


def _weights_part(name: str, member: Any, version: str | None, damages: list[str] | None) -> RawWeights | None:
    part = member("model.weights.h5")
    if part is None:
        what = "model.weights.npz (pickled)" if member("model.weights.npz") is not None else "no weights"
        raise LoadError(f"{name}: holds {what}, expected model.weights.h5")
    weights = _read_hdf5(part if isinstance(part, _Source) else _Source(name, None, part), damages).weights
    return None if weights is None else replace(weights, source=name, keras_version=version)


# ---------------------------------------------------------------- HDF5


def _check_text(source: _Source) -> None:
    if source.path is None:
        return heaps.check(source.data, source.data.find(HDF5_MAGIC), source.name)
    with open(source.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return heaps.check(data, data.find(HDF5_MAGIC), source.name)


def _read_hdf5(source: _Source, damages: list[str] | None) -> RawModel:
    with damage(source.name):
        _check_text(source)
        file = h5py.File(source.path or io.BytesIO(source.data), "r")  # stays open as long as a handle refers to it
        store = Store(source.name, file, damages)
        text, config, weights = store.text(file, "model_config"), None, None
        with _noting(damages):
            config = None if text is None else _architecture(text, source.name)
        store.bfloat16 = "bfloat16" in (text or "")
        version, backend = store.text(file, "keras_version"), store.text(file, "backend")
        with _noting(damages), damage(source.name):
            weights = store.weights()
        if config is None and weights is None:
            raise LoadError(damages[0])
        if weights is None:
            return RawModel(source.name, config, None, version, backend)
        return RawModel(source.name, config, weights, version or weights.keras_version, backend or weights.backend)


READERS = {"hdf5": _read_hdf5, "zip": _read_zip, "folder": _read_folder, "json": _read_json}
