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
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from .errors import LoadError
from .spec import Handle, RawModel, RawWeights

MAX_JSON = 64 << 20  # bytes; the largest real architecture seen has 1 MB
MAX_DEPTH = 200  # nesting of JSON and of groups: everything that walks them may recurse
MAX_GROUPS = 100_000
MAX_DECLARED = 64 << 30  # bytes of all arrays together
MAX_EXPANSION = 1000  # declared : stored. Deflate cannot do more; float weights reach 1.1
SMALL = 1 << 20  # bytes that are never worth an expansion check

NUMBERS = {f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items()
           for size in sizes}
SAFE_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
SHRINKING_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF}
NOT_WEIGHTS = {"optimizer", "metrics", "compile_metrics", "loss_tracker", "assets"}  # at the root of an object store

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
EXPECTED = "expected a Keras .h5, .keras, .weights.h5 or architecture .json file"


class _Source(NamedTuple):
    """Where bytes come from: a path, or the bytes themselves."""

    name: str
    path: Path | None
    data: bytes | None

    def open(self) -> io.BufferedIOBase:
        return io.BytesIO(self.data) if self.path is None else open(self.path, "rb")


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
    model = _read_one(_source(path))
    if weights is None:
        return model
    other = _read_one(_source(weights))
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


def _read_one(source: _Source) -> RawModel:
    with _damage(source.name):
        if source.path is not None and source.path.is_dir():
            return _read_folder(source)
        with _regular(source) as file:
            kind = _kind(source.name, file)
        return READERS[kind](source)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turn whatever h5py, zipfile or json raise on bad bytes (nearly any class of error) into LoadError."""
    try:
        yield
    except (LoadError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        lines = str(error).splitlines()
        raise LoadError(f"{name}: cannot be read, the file looks damaged ({lines[0] if lines else error!r})") from error


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
    groups = {path: tuple(sorted(pairs.items(), key=lambda pair: _number(pair[0]))) for path, pairs in arrays.items()}
    return RawModel(source.name, None, RawWeights(source.name, "objects", groups, names, "3.10"), "3.10")


# ---------------------------------------------------------------- .keras


def _read_zip(source: _Source) -> RawModel:
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

        return _read_parts(source.name, member)


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LoadError(f"{name}: {info.filename} uses compression method {info.compress_type}, expected none or deflate")
    limit = MAX_JSON if info.filename.endswith(".json") else MAX_DECLARED
    if info.file_size > min(limit, 200 * info.compress_size + SMALL):
        raise LoadError(f"{name}: {info.filename} declares {info.file_size:,} bytes and holds {info.compress_size:,}")
    return archive.read(info)


def _read_folder(source: _Source) -> RawModel:
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
    with _damage(source.name):
        file = h5py.File(source.path or io.BytesIO(source.data), "r")  # stays open as long as a handle refers to it
        store = _Store(source.name, file)
        text = store.text(file, "model_config")
        config = None if text is None else _architecture(text, source.name)
        store.bfloat16 = "bfloat16" in (text or "")
        version, backend = store.text(file, "keras_version"), store.text(file, "backend")
        weights = store.weights()
        return RawModel(source.name, config, weights, version or weights.keras_version, backend or weights.backend)


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 9 else (1 << 30, name)


class _Store:
    """An open HDF5 file, read with suspicion."""

    def __init__(self, name: str, file: h5py.File) -> None:
        self.name, self.file = name, file
        self.bfloat16 = False  # whether 2-byte opaque data may be bfloat16: legacy files do not mark it
        self.declared = 0

    # ------------------------------------------------ finding things

    def child(self, group: h5py.Group, name: str, where: str) -> h5py.Group | h5py.Dataset | None:
        """What `group` itself holds under a plain name; None if nothing. No link is followed."""
        if name in ("", ".", "..") or "\0" in name or "/" in name:
            raise LoadError(f"{self.name}: {where} has the component {name!r}, expected plain names")
        key = name.encode("utf-8", "surrogateescape")
        if not group.id.links.exists(key):
            return None
        if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise LoadError(f"{self.name}: {where} is a link to elsewhere, expected the data itself")
        return group[name]

    def find(self, group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
        found = group
        for name in path.split("/"):
            found = self.child(found, name, path) if isinstance(found, h5py.Group) else None
        return found

    def text(self, holder: h5py.Group | h5py.Dataset, attribute: str) -> str | None:
        value = holder.attrs.get(attribute)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode("utf-8")
        raise LoadError(f"{self.name}: attribute {attribute} is a {type(value).__name__}, expected text")

    def names(self, group: h5py.Group, attribute: str) -> list[str] | None:
        """A list of names; Keras cuts one that HDF5 cannot hold into ``attribute0``, ``attribute1``, ..."""
        if attribute in group.attrs:
            pieces = [group.attrs[attribute]]
        else:
            pieces = []
            while f"{attribute}{len(pieces)}" in group.attrs:
                pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
            if not pieces:
                return None
        items = [item for piece in pieces for item in np.ravel(piece).tolist()]  # an empty one is of type float64
        if len(items) > MAX_GROUPS or not all(isinstance(item, (str, bytes)) for item in items):
            raise LoadError(f"{self.name}: {group.name}@{attribute} is not a list of names")
        return [item.decode("utf-8") if isinstance(item, bytes) else item for item in items]

    # ------------------------------------------------ the three layouts

    def weights(self) -> RawWeights:
        root = self.file
        inner = self.child(root, "model_weights", "model_weights") if "layer_names" not in root.attrs else None
        group = inner if isinstance(inner, h5py.Group) else root
        if (layers := self.names(group, "layer_names")) is not None:
            groups = self.legacy(group, layers)
        elif "nb_layers" in group.attrs:
            groups = self.numbered(group)
        elif group is not root:
            raise LoadError(f"{self.name}: model_weights has no layer_names; the save was probably cut short")
        else:
            return self.objects()
        version, backend = self.text(group, "keras_version"), self.text(group, "backend")
        return RawWeights(self.name, "legacy", groups, {}, version, backend)

    def legacy(self, parent: h5py.Group, layers: list[str]) -> dict[str, tuple[tuple[str, Handle], ...]]:
        groups = {}
        for layer in layers:
            group = self.find(parent, layer)
            if layer in groups or not isinstance(group, h5py.Group):
                found = "lists it twice" if layer in groups else "has no group for it; the save was probably cut short"
                raise LoadError(f"{self.name}: layer {layer}: the file {found}")
            names = self.names(group, "weight_names")
            if names is None:
                raise LoadError(f"{self.name}: layer {layer} has no weight_names; the save was probably cut short")
            if len(set(names)) < len(names):
                twice = max(names, key=names.count)
                raise LoadError(f"{self.name}: layer {layer} lists the array {twice} twice; the save was cut short")
            groups[layer] = tuple((name, self.array(group, name, f"{layer}: {name}")) for name in names)
        return groups

    def numbered(self, parent: h5py.Group) -> dict[str, tuple[tuple[str, Handle], ...]]:
        """Keras 0.x and early 1.0: ``layer_0/param_0``, ..."""
        groups = {}
        for layer in range(min(int(parent.attrs["nb_layers"]), MAX_GROUPS)):
            group = self.find(parent, name := f"layer_{layer}")
            if not isinstance(group, h5py.Group):
                raise LoadError(f"{self.name}: {name} is missing, expected {parent.attrs['nb_layers']} layers")
            params = [f"param_{index}" for index in range(min(int(group.attrs.get("nb_params", 0)), MAX_GROUPS))]
            groups[name] = tuple((param, self.array(group, param, f"{name}: {param}")) for param in params)
        return groups

    def objects(self) -> RawWeights:
        """The object store: every object's arrays in a group ``vars`` under its path, named by their number."""
        groups: dict[str, tuple[tuple[str, Handle], ...]] = {}
        names: dict[str, str] = {}
        todo: list[tuple[tuple[str, ...], h5py.Group]] = [((), self.file)]
        seen = set()
        windows = False
        while todo:
            path, group = todo.pop()
            where = "/".join(path)
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or len(seen) > MAX_GROUPS or len(path) > MAX_DEPTH or len(group) > MAX_GROUPS:
                raise LoadError(f"{self.name}: group {where or '/'} is reached twice, or groups are without end")
            seen.add(address)
            if path and path[-1] == "vars":
                owner = "/".join(path[:-1])
                if groups.get(owner):
                    raise LoadError(f"{self.name}: {owner} has its arrays twice")
                groups[owner] = self.variables(group, where)
                if (name := self.text(group, "name")) is not None:
                    names[owner] = name
                continue
            groups.setdefault(where, ())
            for key in group:
                parts = tuple(key.split("\\"))  # Windows wrote whole paths as one name
                windows |= len(parts) > 1
                if (path + parts)[0] in NOT_WEIGHTS:
                    continue
                child = self.child(group, key, "/".join(path + parts))
                if isinstance(child, h5py.Group):
                    todo.append((path + parts, child))
        if not any(groups.values()):
            held = ", ".join(sorted(map(str, self.file))[:5]) or "nothing"
            raise LoadError(f"{self.name}: an HDF5 file without Keras weights (it holds {held}), {EXPECTED}")
        return RawWeights(self.name, "objects", groups, names, self.writer(groups, names, windows))

    def writer(self, groups: Mapping[str, Any], names: Mapping[str, str], windows: bool) -> str | None:
        """The oldest Keras that leaves such traces: the object store names no version."""
        tf_keras = windows or "metrics" in self.file or "_layer_checkpoint_dependencies" in groups
        return "2.12" if tf_keras else "3.6" if names else None

    def variables(self, group: h5py.Group, where: str) -> tuple[tuple[str, Handle], ...]:
        return tuple((key, self.array(group, key, f"{where}/{key}")) for key in sorted(group, key=_number))

    # ------------------------------------------------ arrays

    def array(self, group: h5py.Group, path: str, where: str) -> Handle:
        dataset = self.find(group, path)
        if not isinstance(dataset, h5py.Dataset):
            raise LoadError(f"{self.name}: {where}: the array is missing; the save was probably cut short")
        marked = self.text(dataset, "dtype") == "bfloat16" or self.bfloat16
        bfloat16 = marked and dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2 and not dataset.dtype.names
        problem = self.objection(dataset, bfloat16)
        if problem:
            raise LoadError(f"{self.name}: {where} {problem}")

        def read() -> np.ndarray:
            with _damage(f"{self.name}: {where}"):
                values = np.asarray(dataset[()])
                if bfloat16:  # the upper half of a float32
                    return (values.view("<u2").astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)
                return values.astype(values.dtype.newbyteorder("="), copy=False)

        return Handle(f"{self.name}: {where}", dataset.shape, "bfloat16" if bfloat16 else dataset.dtype.name, read)

    def objection(self, dataset: h5py.Dataset, bfloat16: bool) -> str | None:
        """Why this array must not be read, if so. Looks at its description only."""
        if dataset.is_virtual or dataset.external:
            return "keeps its data in another file, expected it in this one"
        if dataset.shape is None:
            return "has no shape"
        if not bfloat16 and (dataset.dtype.str[1:] not in NUMBERS or h5py.check_enum_dtype(dataset.dtype)):
            return f"has the type {dataset.dtype}, expected a number type"
        plan = dataset.id.get_create_plist()
        filters = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if filters - SAFE_FILTERS:
            return f"needs the HDF5 filter {min(filters - SAFE_FILTERS)}, expected gzip, shuffle, fletcher32 or lzf"
        return self.size_objection(dataset, filters)

    def size_objection(self, dataset: h5py.Dataset, filters: set[int]) -> str | None:
        size = dataset.dtype.itemsize
        for length in dataset.shape:  # Python integers: no overflow
            size *= int(length)
        stored = dataset.id.get_storage_size()
        most = SMALL + MAX_EXPANSION * stored if filters & SHRINKING_FILTERS else stored
        if size > most:
            return f"declares {size:,} bytes and holds {stored:,}"
        if dataset.chunks and np.prod(dataset.chunks, dtype=float) * dataset.dtype.itemsize > 2 * size + 16 * SMALL:
            return f"is cut into chunks of {dataset.chunks} for a shape of {dataset.shape}"
        self.declared += size
        return "brings the declared size of all arrays over the limit" if self.declared > MAX_DECLARED else None


READERS = {"hdf5": _read_hdf5, "zip": _read_zip, "json": _read_json}
