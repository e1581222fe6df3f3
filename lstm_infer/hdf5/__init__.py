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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import h5py

from ..errors import LoadError
from ..spec import Handle, RawModel, RawWeights
from . import archives, foreign, heaps, vocabularies
from .foreign import EXPECTED
from .heaps import MAX_TEXT
from .sources import Source, source_of
from .store import MAX_DEPTH, Store, damage, number

MAX_JSON = MAX_TEXT
MAX_VALUES = 48 << 20  # bytes that the values of a JSON text may take, as Python keeps them


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
    return _read_both(source_of(path), None if weights is None else source_of(weights), damages)


def _read_both(path: Source, weights: Source | None = None, damages: list[str] | None = None) -> RawModel:
    model = _read_one(path, damages)
    if weights is None:
        return model
    other = _read_one(weights, damages)
    if other.weights is None:
        raise LoadError(f"{other.source}: holds an architecture only, expected weights")
    version = model.keras_version or other.keras_version
    return replace(model, weights=other.weights, keras_version=version, backend=model.backend or other.backend)


def reading_isolated(path: Any, weights: Any = None) -> AbstractContextManager[RawModel]:
    """A context in which the result of `read`, made in a child process, can be used; see `isolated.reading`."""
    from .isolated import reading

    return reading(path, weights)


def _read_one(source: Source, damages: list[str] | None) -> RawModel:
    with damage(source.name):
        if source.path is not None and not source.path.exists() and os.path.exists(f"{source.path}.index"):
            raise LoadError(foreign.checkpoint(source.name))
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


def _regular(source: Source) -> io.BufferedIOBase:
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


def _read_json(source: Source, damages: list[str] | None) -> RawModel:
    with source.open() as file:
        text = file.read(MAX_JSON + 1)
    value = _parse(text, source.name)
    if isinstance(value, dict) and isinstance(value.get("weight_map"), dict):
        return _read_shards(source, value["weight_map"])
    config = _architecture(text, source.name)
    return RawModel(source.name, config, None, _version(config), _version(config, "backend"))


def _read_shards(source: Source, weight_map: dict) -> RawModel:
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
        part = _read_hdf5(Source(name, shard, None), None).weights
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


def _read_zip(source: Source, damages: list[str] | None) -> RawModel:
    with archives.opened(source) as (members, read):
        if "config.json" not in members:
            raise LoadError(foreign.members(members, source.name, "a zip archive"))
        return _read_parts(source.name, read, members, damages)


def _read_folder(source: Source, damages: list[str] | None) -> RawModel:
    """A ``.keras`` model saved with ``zipped=False``."""
    folder = source.path
    if not (folder / "config.json").is_file():
        names = [entry.name for entry in itertools.islice(folder.iterdir(), 10_000)]
        raise LoadError(foreign.members(names, source.name, "a folder"))

    def member(name: str) -> bytes | Source | None:
        path = folder / name
        if not path.is_file():
            return None
        if name.endswith(".h5"):
            return Source(f"{source.name}/{name}", path, None)
        with open(path, "rb") as file:
            return file.read((vocabularies.MOST if name.endswith(".txt") else MAX_JSON) + 1)

    found = (folder / "assets").rglob("vocabulary.txt")
    files = (path for path in found if path.is_file() and not path.is_symlink())
    listed = [path.relative_to(folder).as_posix() for path in itertools.islice(files, vocabularies.MOST_FILES + 1)]
    return _read_parts(source.name, member, listed, damages)


def _read_parts(name: str, member: Any, listed: Iterable[str], damages: list[str] | None) -> RawModel:
    config = _architecture(member("config.json"), name)
    metadata = _parse(member("metadata.json") or "{}", name)
    version = _version(metadata) or _version(config)
    with _noting(damages):
        weights = _weights_part(name, member, version, damages)
        if weights is not None:
            weights = replace(weights, assets=vocabularies.read(name, member, listed))
        return RawModel(name, config, weights, version)
    return RawModel(name, config, None, version)


def _weights_part(name: str, member: Any, version: str | None, damages: list[str] | None) -> RawWeights | None:
    part = member("model.weights.h5")
    if part is None:
        what = "model.weights.npz (pickled)" if member("model.weights.npz") is not None else "no weights"
        raise LoadError(f"{name}: holds {what}, expected model.weights.h5")
    weights = _read_hdf5(part if isinstance(part, Source) else Source(name, None, part), damages).weights
    return None if weights is None else replace(weights, source=name, keras_version=version)


# ---------------------------------------------------------------- HDF5


def _read_hdf5(source: Source, damages: list[str] | None) -> RawModel:
    with damage(source.name):
        with source.open() as opened:
            if heaps.find_start(opened) is None:
                raise LoadError(f"{source.name}: its weights are not an HDF5 file, expected one")
            heaps.check(opened, source.name)
        whole = source.path is not None and source.place is None
        file = h5py.File(source.path if whole else source.open(), "r")  # open as long as a handle refers to it
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
