"""Opens model files and says what they hold, without trusting them: the only user of h5py and zipfile for models.

`read` tells a file's kind from its bytes, follows nothing that leads out of the file (links, virtual and external
data), refuses what no Keras writes, and returns a `RawModel` whose arrays are still on disk. Knows file formats;
knows nothing of layers, Keras versions' words or Numba. The optimizer's state is never looked at.

Kinds: HDF5 (complete models and weights, both the legacy layout and the object store of ``.weights.h5``), the
``.keras`` zip and its unzipped folder, architecture JSON, and the JSON index of sharded weights.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from ..errors import LoadError
from ..spec import Handle, RawModel, RawWeights
from . import foreign, heaps
from .foreign import EXPECTED
from .heaps import MAX_TEXT
from .store import FREE, MAX_DEPTH, Store, damage, number

MAX_JSON = MAX_TEXT
MAX_VALUES = 48 << 20  # bytes that the values of a JSON text may take, as Python keeps them
SHARE = 32  # declared : stored of a member of a zip archive, beyond FREE


class _Part(io.RawIOBase):
    """A stretch of a file as a file: what an archive stores uncompressed need not be copied to be read."""

    def __init__(self, file: io.BufferedIOBase, start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[:max(0, self.size - self.at)]
        self.file.seek(self.start + self.at)
        count = self.file.readinto(view)
        self.at += count
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


class _Source(NamedTuple):
    """Where bytes come from: a path, or the bytes themselves; a part of them if `place` says (start, size)."""

    name: str
    path: Path | None
    data: bytes | None
    place: tuple[int, int] | None = None

    def open(self) -> io.BufferedIOBase:
        file = io.BytesIO(self.data) if self.path is None else self.path.open("rb")
        return file if self.place is None else _Part(file, *self.place)


def read(path: Any, weights: Any = None) -> RawModel:
    """Read what a model file says; the arrays stay in the file until asked for.

    Parameters
    ----------
    path : str, PathLike, bytes or open binary file
        HDF5 (``.h5``, ``.hdf5``), ``.keras`` (zip, folder or HDF5), architecture JSON, or the index of sharded
        weights. Its content decides, not its name.
    weights : same kinds, optional
        A second file whose arrays are used instead of those of `path`.

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
    return _read_both(_source(path), None if weights is None else _source(weights))


def _read_both(path: _Source, weights: _Source | None = None) -> RawModel:
    model = _read_one(path)
    if weights is None:
        return model
    other = _read_one(weights)
    if other.weights is None:
        raise LoadError(f"{other.source}: holds an architecture only, expected weights")
    version = model.keras_version or other.keras_version
    return replace(model, weights=other.weights, keras_version=version, backend=model.backend or other.backend)


def reading_isolated(path: Any, weights: Any = None) -> AbstractContextManager[RawModel]:
    """A context in which the result of `read`, made in a child process, can be used; see `isolated.reading`."""
    from .isolated import reading

    return reading(path, weights)


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


def _read_one(source: _Source) -> RawModel:
    with damage(source.name):
        if source.path is not None and source.path.is_dir():
            return _read_folder(source)
        with _regular(source) as file:
            kind = _kind(source.name, file)
        return READERS[kind](source)


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
    if heaps.find_start(file) is not None:
        return "hdf5"
    file.seek(max(0, file.seek(0, os.SEEK_END) - 8))
    raise LoadError(foreign.file(head, file.read(8), name))


# ---------------------------------------------------------------- JSON


def _parse(text: bytes | str, name: str, most: int = MAX_JSON) -> Any:
    if len(text) > most:
        raise LoadError(f"{name}: {len(text):,} bytes of JSON, expected at most {most:,}")
    marks = ("{", 232), ("[", 88), (",", 64), (":", 170)  # what they cost, at most, in bytes
    if sum(cost * text.count(mark if isinstance(text, str) else mark.encode()) for mark, cost in marks) > MAX_VALUES:
        raise LoadError(f"{name}: JSON of too many values, expected an architecture")
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
    if found := foreign.json(config, name):
        raise LoadError(found)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise LoadError(f"{name}: JSON without 'class_name', expected a Keras architecture")
    return config


def _version(holder: Any, key: str = "keras_version") -> str | None:
    value = holder.get(key) if isinstance(holder, Mapping) else None
    return value if isinstance(value, str) else None


def _read_json(source: _Source) -> RawModel:
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
        part = _read_hdf5(_Source(name, shard, None)).weights
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


def _read_zip(source: _Source) -> RawModel:
    with source.open() as file, _archive(file, source.name) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise LoadError(f"{source.name}: two members of the same name in the archive, expected each once")
        if "config.json" not in members:
            raise LoadError(foreign.members(list(members), source.name, "a zip archive"))

        def member(name: str) -> bytes | _Source | None:
            info = members.get(name)
            if info is None or info.compress_type != zipfile.ZIP_STORED or not name.endswith(".h5"):
                return None if info is None else _extract(archive, info, source.name)
            return _stored(source, file, info)

        return _read_parts(source.name, member)


def _archive(file: io.BufferedIOBase, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise LoadError(f"{name}: is cut short, a zip archive without the directory at its end; its download, copy or "
                        "save was probably interrupted") from None


def _stored(source: _Source, file: io.BufferedIOBase, info: zipfile.ZipInfo) -> _Source:
    """The place of a member that is not compressed, after its checksum has been compared."""
    file.seek(info.header_offset)
    head = file.read(30)
    start = info.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    end = file.seek(0, os.SEEK_END)
    if head[:4] != b"PK\3\4" or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise LoadError(f"{source.name}: {info.filename} is damaged or encrypted, expected it as Keras stores it")
    if start + info.file_size > end:
        raise LoadError(f"{source.name}: {info.filename} is cut short")
    part, checksum = _Part(file, start, info.file_size), 0
    buffer = memoryview(bytearray(1 << 18))
    while count := part.readinto(buffer):
        checksum = zlib.crc32(buffer[:count], checksum)
    if checksum != info.CRC:
        raise LoadError(f"{source.name}: {info.filename} is damaged, its bytes do not match their checksum")
    return _Source(source.name, source.path, source.data, (start, info.file_size))


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LoadError(f"{name}: {info.filename} is compressed by method {info.compress_type}, expected deflate")
    if info.flag_bits & 1:
        raise LoadError(f"{name}: {info.filename} is encrypted, expected it as Keras stores it")
    limit = SHARE * info.compress_size + FREE
    if info.file_size > (min(limit, MAX_JSON) if info.filename.endswith(".json") else limit):
        raise LoadError(f"{name}: {info.filename} declares {info.file_size:,} bytes and holds {info.compress_size:,}")
    return archive.read(info)


def _read_folder(source: _Source) -> RawModel:
    """A ``.keras`` model saved with ``zipped=False``."""
    folder = source.path
    if not (folder / "config.json").is_file():
        names = [entry.name for entry in itertools.islice(folder.iterdir(), 10_000)]
        raise LoadError(foreign.members(names, source.name, "a folder"))

    def member(name: str) -> bytes | _Source | None:
        path = folder / name
        if not path.is_file():
            return None
        if name.endswith(".h5"):
            return _Source(f"{source.name}/{name}", path, None)
        with open(path, "rb") as file:
            return file.read(MAX_JSON + 1)

    return _read_parts(source.name, member)


def _read_parts(name: str, member: Any) -> RawModel:
    config = _architecture(member("config.json"), name)
    metadata = _parse(member("metadata.json") or "{}", name)
    version = _version(metadata) or _version(config)
    part = member("model.weights.h5")
    if part is None:
        what = "model.weights.npz (pickled)" if member("model.weights.npz") is not None else "no weights"
        raise LoadError(f"{name}: holds {what}, expected model.weights.h5")
    weights = _read_hdf5(part if isinstance(part, _Source) else _Source(name, None, part)).weights
    return RawModel(name, config, replace(weights, source=name, keras_version=version), version)


# ---------------------------------------------------------------- HDF5


def _read_hdf5(source: _Source) -> RawModel:
    with damage(source.name):
        with source.open() as opened:
            if heaps.find_start(opened) is None:
                raise LoadError(f"{source.name}: its weights are not an HDF5 file, expected one")
            heaps.check(opened, source.name)
        whole = source.path is not None and source.place is None
        file = h5py.File(source.path if whole else source.open(), "r")  # open as long as a handle refers to it
        store = Store(source.name, file)
        text = store.text(file, "model_config")
        config = None if text is None else _architecture(text, source.name)
        store.bfloat16 = "bfloat16" in (text or "")
        version, backend = store.text(file, "keras_version"), store.text(file, "backend")
        weights = store.weights()
        return RawModel(source.name, config, weights, version or weights.keras_version, backend or weights.backend)


READERS = {"hdf5": _read_hdf5, "zip": _read_zip, "json": _read_json}
