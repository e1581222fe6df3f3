"""An open HDF5 file, read with suspicion: the three layouts of Keras weights, as handles.

No link is followed, no data in other files is touched, sizes are compared before anything is read, and nothing but
weights is looked at. Knows HDF5; knows nothing of zip, JSON or Keras's words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from ..errors import LoadError
from ..spec import Handle, RawWeights
from . import inflate
from .foreign import EXPECTED
from .heaps import MAX_TEXT

MAX_DEPTH = 200  # nesting of JSON and of groups: everything that walks them may recurse
MAX_GROUPS = 100_000
MAX_PIECES = 1024  # of a list of names
MAX_EXPANSION = 1000  # declared : stored of one array. Deflate cannot do more; float weights reach 1.1
PIECE = 4 << 20  # bytes that are read at a time where an array is looked at in pieces
MAX_CHUNK = 256 << 20  # bytes that may have to be inflated for that
SMALL = 1 << 20  # bytes that are never worth an expansion check
MAX_TOTAL = 32  # declared : stored of a whole file, beyond FREE: nine tenths of zeros reach 6
FREE = 16 << 20  # bytes
NOT_WEIGHTS = {"optimizer", "metrics", "compile_metrics", "loss_tracker", "assets"}  # at the root of an object store
NUMBERS = {f"{kind}{size}" for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}.items()
           for size in sizes}  # b1: truths
SAFE_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
SHRINKING_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF}


@contextmanager
def damage(name: str) -> Iterator[None]:
    """Turn whatever h5py, zipfile or json raise on bad bytes (nearly any class of error) into LoadError."""
    try:
        yield
    except (LoadError, FileNotFoundError, PermissionError):
        raise
    except MemoryError:
        raise LoadError(f"{name}: reading it takes more memory than there is") from None
    except Exception as error:
        lines = str(error).splitlines()
        raise LoadError(f"{name}: cannot be read, the file looks damaged ({lines[0] if lines else error!r})") from error


def number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isascii() and name.isdigit() and len(name) < 9 else (1 << 30, name)


def places(dataset: h5py.Dataset) -> Iterator[tuple[slice, ...]]:
    """Selections that cover a dataset, each of at most `PIECE` bytes, or of one of the chunks that it is stored in."""
    if dataset.chunks:  # no chunk is read (and inflated) twice
        return dataset.iter_chunks()
    return _slabs(dataset.shape, max(1, PIECE // dataset.dtype.itemsize))


def _slabs(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Cut `shape` into blocks of at most `most` numbers that lie one after the other."""
    if 0 in shape:
        return
    axis, inner = len(shape), 1  # the axes from `axis` on are taken whole
    while axis and inner * shape[axis - 1] <= most:
        axis -= 1
        inner *= shape[axis]
    if not axis:
        yield tuple(slice(0, size) for size in shape)
        return
    step, whole = max(1, most // inner), tuple(slice(0, size) for size in shape[axis:])
    for first in np.ndindex(*shape[:axis - 1]):
        for start in range(0, shape[axis - 1], step):
            end = min(start + step, shape[axis - 1])
            yield (*(slice(i, i + 1) for i in first), slice(start, end), *whole)


class Store:
    """An open HDF5 file, read with suspicion."""

    def __init__(self, name: str, file: h5py.File, damages: list[str] | None = None) -> None:
        self.name, self.file, self.damages = name, file, damages
        self.bfloat16 = False  # whether 2-byte opaque data may be bfloat16: legacy files do not mark it
        self.declared = self.stored = 0  # bytes of all arrays met so far
        self.listed: set[int] = set()  # addresses of the arrays met so far

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

    def attribute(self, holder: h5py.Group | h5py.Dataset, name: str) -> Any:
        """An attribute's value, or None; its size is looked at first."""
        if name not in holder.attrs:
            return None
        found = holder.attrs.get_id(name)
        count = np.prod(found.shape or (), dtype=float)
        if count > MAX_GROUPS or count * found.dtype.itemsize > MAX_TEXT:
            raise LoadError(f"{self.name}: attribute {name} declares {count:,.0f} values, expected fewer")
        if found.dtype.hasobject and h5py.check_string_dtype(found.dtype) is None:
            raise LoadError(f"{self.name}: attribute {name} has the type {found.dtype}, expected text or numbers")
        return holder.attrs[name]

    def text(self, holder: h5py.Group | h5py.Dataset, attribute: str) -> str | None:
        value = self.attribute(holder, attribute)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode("utf-8")
        raise LoadError(f"{self.name}: attribute {attribute} is a {type(value).__name__}, expected text")

    def names(self, group: h5py.Group, attribute: str) -> list[str] | None:
        """A list of names; Keras cuts one that HDF5 cannot hold into ``attribute0``, ``attribute1``, ..."""
        pieces = [piece for piece in (self.attribute(group, attribute),) if piece is not None]
        if not pieces:
            while (piece := self.attribute(group, f"{attribute}{len(pieces)}")) is not None:
                pieces.append(piece)
                if len(pieces) > MAX_PIECES:
                    raise LoadError(f"{self.name}: {attribute} is cut into more than {MAX_PIECES} pieces")
        if not pieces:
            return None
        items = [item for piece in pieces for item in np.ravel(piece).tolist()]  # an empty one is of type float64
        if len(items) > MAX_GROUPS or not all(isinstance(item, (str, bytes)) for item in items):
            raise LoadError(f"{self.name}: {group.name}@{attribute} is not a list of names")
        return [item.decode("utf-8") if isinstance(item, bytes) else item for item in items]

    # ------------------------------------------------ the three layouts

    def weights(self) -> RawWeights:
        found = self.listing()
        if self.declared > FREE + MAX_TOTAL * self.stored:
            raise LoadError(f"{self.name}: its arrays declare {self.declared:,} bytes together and hold "
                            f"{self.stored:,}, expected at most {MAX_TOTAL} times as many")
        if self.stored > self.file.id.get_filesize():
            raise LoadError(f"{self.name}: its arrays hold {self.stored:,} bytes together, which is more than the file")
        return found

    def listing(self) -> RawWeights:
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
        version = self.text(group, "keras_version") or self.text(root, "keras_version") or "1"  # Keras 1 did not sign
        return RawWeights(self.name, "legacy", groups, {}, version, self.text(group, "backend"))

    def legacy(self, parent: h5py.Group, layers: list[str]) -> dict[str, tuple[tuple[str, Handle], ...]]:
        groups = {}
        for layer in layers:
            if layer in groups:
                raise LoadError(f"{self.name}: layer {layer}: the file lists it twice")
            try:
                groups[layer] = self.legacy_layer(parent, layer)
            except LoadError as error:
                if self.damages is None:
                    raise
                self.damages.append(str(error))
        return groups

    def legacy_layer(self, parent: h5py.Group, layer: str) -> tuple[tuple[str, Handle], ...]:
        group = self.find(parent, layer)
        if not isinstance(group, h5py.Group):
            cut = "the file has no group for it; the save was probably cut short"
            raise LoadError(f"{self.name}: layer {layer}: {cut}")
        names = self.names(group, "weight_names")
        if names is None:
            raise LoadError(f"{self.name}: layer {layer} has no weight_names; the save was probably cut short")
        if len(set(names)) < len(names):
            twice = max(names, key=names.count)
            raise LoadError(f"{self.name}: layer {layer} lists the array {twice} twice; the save was cut short")
        return tuple((name, self.array(group, name, f"{layer}: {name}")) for name in names)

    def numbered(self, parent: h5py.Group) -> dict[str, tuple[tuple[str, Handle], ...]]:
        """Keras 0.x and early 1.0: ``layer_0/param_0``, ..."""
        groups = {}
        for layer in range(min(int(self.attribute(parent, "nb_layers")), MAX_GROUPS)):
            group = self.find(parent, name := f"layer_{layer}")
            if not isinstance(group, h5py.Group):
                raise LoadError(f"{self.name}: {name} is missing; the save was probably cut short")
            count = min(int(self.attribute(group, "nb_params") or 0), MAX_GROUPS)
            params = [f"param_{index}" for index in range(count)]
            groups[name] = tuple((param, self.array(group, param, f"{name}: {param}")) for param in params)
        return groups

    def objects(self) -> RawWeights:
        """The object store: every object's arrays in a group ``vars`` under its path, named by their number."""
        groups: dict[str, tuple[tuple[str, Handle], ...]] = {}
        names: dict[str, str] = {}
        todo: list[tuple[tuple[str, ...], h5py.Group]] = [((), self.file)]
        seen = set()
        windows = variables = False
        while todo:
            path, group = todo.pop()
            where = "/".join(path)
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or len(seen) > MAX_GROUPS or len(path) > MAX_DEPTH or len(group) > MAX_GROUPS:
                raise LoadError(f"{self.name}: group {where or '/'} is reached twice, or groups are without end")
            seen.add(address)
            if path and path[-1] == "vars":
                variables, owner = True, "/".join(path[:-1])
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
        if not variables:  # a model without weights still has its empty groups
            held = ", ".join(sorted(map(str, self.file))[:5]) or "nothing"
            raise LoadError(f"{self.name}: an HDF5 file without Keras weights (it holds {held}), {EXPECTED}")
        return RawWeights(self.name, "objects", groups, names, self.writer(groups, names, windows))

    def writer(self, groups: Mapping[str, Any], names: Mapping[str, str], windows: bool) -> str | None:
        """A Keras that leaves such traces: the object store names no version. Tf.keras's oldest, Keras 3's newest."""
        tf_keras = windows or "metrics" in self.file or "_layer_checkpoint_dependencies" in groups
        return "2.12" if tf_keras else "3.15" if names else "3.3"

    def variables(self, group: h5py.Group, where: str) -> tuple[tuple[str, Handle], ...]:
        return tuple((key, self.array(group, key, f"{where}/{key}")) for key in sorted(group, key=number))

    # ------------------------------------------------ arrays

    def array(self, group: h5py.Group, path: str, where: str) -> Handle:
        dataset = self.find(group, path)
        if not isinstance(dataset, h5py.Dataset):
            raise LoadError(f"{self.name}: {where}: the array is missing; the save was probably cut short")
        address = h5py.h5o.get_info(dataset.id).addr
        if address in self.listed:  # hard links make gigabytes of one small array
            raise LoadError(f"{self.name}: {where}: the same array stands under two names, expected one")
        self.listed.add(address)
        marked = self.text(dataset, "dtype") == "bfloat16" or self.bfloat16
        bfloat16 = marked and dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2 and not dataset.dtype.names
        problem = self.objection(dataset, bfloat16)
        if problem:
            raise LoadError(f"{self.name}: {where} {problem}")

        def decoded(values: np.ndarray) -> np.ndarray:
            if bfloat16:  # the upper half of a float32
                return (values.view("<u2").astype("<u4") << 16).view("<f4").astype(np.float32, copy=False)
            if values.dtype == bool:  # whatever the bytes are that stand for them
                return values.view(np.uint8) != 0
            return values.astype(values.dtype.newbyteorder("="), copy=False)

        def check() -> None:
            if problem := inflate.objection(dataset):
                raise LoadError(f"{self.name}: {where} {problem}")

        def read() -> np.ndarray:
            with damage(f"{self.name}: {where}"):
                check()
                values = np.empty(dataset.shape, dataset.dtype)
                if values.size:
                    dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
                return decoded(values)

        def part(place: Any) -> np.ndarray:
            with damage(f"{self.name}: {where}"):
                return decoded(np.asarray(dataset[place]))

        def pieces() -> Iterator[tuple[int, np.ndarray]]:
            if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK:
                raise LoadError(f"{self.name}: {where}: is stored in pieces too large to look at")
            with damage(f"{self.name}: {where}"):
                check()
            return ((place[-1].start or 0 if place else 0, part(place)) for place in places(dataset))

        dtype = "bfloat16" if bfloat16 else dataset.dtype.name
        return Handle(f"{self.name}: {where}", dataset.shape, dtype, read, pieces)

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
        if dataset.chunks and size:
            expected = math.prod(-(-n // m) for n, m in zip(dataset.shape, dataset.chunks, strict=True))
            if math.prod(dataset.chunks) * dataset.dtype.itemsize > 2 * size + FREE or expected > MAX_GROUPS:
                return f"is cut into pieces of {dataset.chunks} for a shape of {dataset.shape}"
            if (found := dataset.id.get_num_chunks()) != expected:
                return f"has {found:,} of its {expected:,} pieces; the save was probably cut short"
        self.declared += size
        self.stored += stored
        return None
