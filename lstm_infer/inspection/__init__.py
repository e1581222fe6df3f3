"""Everything a file says, without running the model: what it is, its layers, arrays, costs, and what is missing here.

Stands on the same staircase as loading (``hdf5``, ``layouts``, the assembly of layers), but goes on where loading
stops: a broken or unsupported file is described as far as it can be read. Code that a file stores is read as data.
"""

from __future__ import annotations

import math
import os
from typing import Any

from .. import hdf5, layouts, loading
from ..assembly import ACTIVATION_WORDS, CONTAINS_MISSING, Assembly
from ..errors import MAY_BE_PLAIN, LoadError
from ..layers import LAYERS
from ..layers.structure import flatten
from ..layouts.semantics import writer
from ..spec import ModelSpec, RawModel, RawWeights
from . import guesses, lambdas, recorded, rows
from .statistics import Survey, warnings_of

CONTAINERS = {"hdf5": "HDF5", "zip": ".keras archive", "folder": "unzipped .keras folder", "json": "JSON"}
GENERATIONS = {"keras1": "Keras 1", "keras2": "Keras 2 (several backends)", "tf.keras": "Keras 2 of TensorFlow",
               "keras3": "Keras 3"}  # fmt: skip
LAYOUTS = {"legacy": "groups named after layers", "objects": "object store, groups named after classes"}


def inspect(path: Any, weights: Any = None) -> dict:
    """Describe a model or weights file without running anything in it.

    Parameters
    ----------
    path : str, PathLike, open binary file or bytes
        Whatever `load_model` takes, and weights without an architecture.
    weights : same, optional
        The weights of an architecture.

    Returns
    -------
    dict
        Plain data, ready for JSON (no NaN in it):

        ``file``, ``size`` (bytes), ``container``, ``holds`` ("model", "weights" or "architecture"), ``layout`` of
        the weights; ``keras_version``, ``version_is`` ("given" by the file or "guessed"), ``generation``, ``backend``.

        ``model`` : ``class_name``, ``name``, ``inputs``, ``outputs`` (name, shape, dtype), or None.

        ``layers`` : for each its ``name``, ``class_name``, ``output_shape``, ``parameters``, ``dtype``, ``path``
        (of a recurrent layer: fast or general, and why), ``calls``, ``flops`` per ``per`` ("timestep" or
        "sequence") and ``weight_bytes``. None stands for what is not known.

        ``totals`` : the sums. FLOPs are two for each multiplication and addition of a product of matrices.

        ``arrays`` : for each its ``name``, ``layer``, ``shape``, ``dtype``, ``bytes``, ``min``, ``max``, ``mean``,
        ``std`` (of the finite numbers), the counts ``nan``, ``infinite``, ``subnormal``, ``zero_columns`` (units
        whose weights are all zero), and ``problem`` where it was not read.

        ``loads`` : whether `load_model` takes the file as it is (of an architecture alone: with its weights).

        ``unsupported`` : layers that are not here, with ``reason``, the ``keys`` of ``custom_objects`` that would
        supply each, what the ``code`` of a Lambda tells, a ``suggestion`` where a ready function fits, and the
        ``calls`` of a function that the model recorded; of a layer of somebody's own class the ``arguments`` that its
        config has, as text.

        ``problems`` : what is wrong with the file; ``warnings`` : what is strange in its numbers.

        ``guess`` : of weights alone, the architecture that they suggest, as Python code.

    Raises
    ------
    LoadError
        It is not a Keras file, or nothing in it can be read.
    FileNotFoundError, PermissionError

    Examples
    --------
    >>> import lstm_infer as li
    >>> layer = '{"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [null, 3]}}'
    >>> found = li.inspect(f'{{"class_name": "Sequential", "config": [{layer}]}}'.encode())
    >>> found["holds"], found["generation"], found["totals"]["parameters"]
    ('architecture', 'Keras 2 (several backends)', 8)
    """
    damages: list[str] = []
    raw = hdf5.read(path, weights, damages)
    found = {**_file(path, raw), **_writer(raw)}
    if raw.config is None:
        part = {"model": None, "layers": [], "totals": None, "unsupported": [], "loads": False}
        names: dict[int, str] = {}
    else:
        part, names = _architecture(raw, damages)
    arrays = [] if raw.weights is None else _arrays(raw.weights, names)
    guess = None if raw.weights is None or part["layers"] else guesses.code(raw.weights, raw.source)
    return {**found, **part, "arrays": arrays, "problems": damages, "warnings": warnings_of(arrays), "guess": guess,
            "loads": part["loads"] and not damages}  # fmt: skip


# ---------------------------------------------------------------- the file
def _file(path: Any, raw: RawModel) -> dict:
    holds = "weights" if raw.config is None else "architecture" if raw.weights is None else "model"
    size = None
    if isinstance(path, (bytes, bytearray, memoryview)):
        size = len(path)
    elif isinstance(path, (str, os.PathLike)) and not os.path.isdir(path):
        size = os.path.getsize(path)
    layout = None if raw.weights is None else LAYOUTS[raw.weights.layout]
    return {"file": raw.source, "size": size, "container": CONTAINERS.get(raw.container, raw.container),
            "holds": holds, "layout": layout}  # fmt: skip


def _writer(raw: RawModel) -> dict:
    version = raw.keras_version
    is_guess = version is None or (raw.config is None and (raw.weights.layout == "objects" or version == "1"))
    family, numbers = writer(version, raw.config)
    if version is None and raw.config is not None:
        version = ".".join(map(str, numbers))
    return {"keras_version": version, "version_is": "guessed" if is_guess else "given",
            "generation": GENERATIONS[family] if version else None, "backend": raw.backend}  # fmt: skip


# ---------------------------------------------------------------- the architecture
def _architecture(raw: RawModel, damages: list[str]) -> tuple[dict, dict[int, str]]:
    """The parts about a model and its layers, and the names of its arrays by their handles' ids."""
    try:
        spec = layouts.canonical(raw, plain=(str(raw.config.get("class_name")),))
    except LoadError as error:
        _note(damages, error)
        empty = {"model": _outline(raw.config), "layers": [], "totals": None, "unsupported": [], "loads": False}
        return empty, {}
    semantics = layouts.semantics(raw.keras_version, raw.backend, raw.config)
    assembly = Assembly(raw.source, semantics=semantics)
    model = assembly.explore(spec)
    for error in assembly.errors:
        _note(damages, error)
    arrays = _match(spec, raw, damages)
    if model is not None:
        model.adopt(semantics)
        _check(model, arrays, raw, damages)
    table = rows.of(spec, assembly, arrays)
    ends = {"inputs": [], "outputs": []}
    if model is not None:
        ends = {"inputs": [_tensor(t) for t in model.inputs], "outputs": [_tensor(t) for t in flatten(model.outputs)]}
    part = {
        "model": {"class_name": spec.own_class or spec.class_name, "name": spec.name, **ends},
        "layers": table,
        "totals": rows.totals(table),
        "unsupported": _unsupported(assembly, spec),
        "loads": model is not None and spec.own_class is None,
    }
    names = {id(handle): "/".join((*path, name)) for path, own in arrays.items() for name, handle in own.items()}
    return part, names


def _note(damages: list[str], error: Any) -> None:
    if str(error) not in damages:
        damages.append(str(error))


def _outline(config: dict) -> dict:
    inner = config.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    return {"class_name": str(config.get("class_name"))[:200], "name": name if isinstance(name, str) else None,
            "inputs": [], "outputs": []}  # fmt: skip


def _match(spec: ModelSpec, raw: RawModel, damages: list[str]) -> dict:
    if raw.weights is None:
        return {}
    try:
        return layouts.match(spec, raw.weights)
    except LoadError as error:
        if not damages:  # where arrays are known to be missing, that they do not match says nothing new
            damages.append(str(error))
        return {}


def _check(model: Any, arrays: dict, raw: RawModel, damages: list[str]) -> None:
    if raw.weights is None or damages:
        return
    try:
        loading.fitting(model, arrays, raw.weights.source)
    except LoadError as error:
        damages.append(str(error))


def _tensor(tensor: Any) -> dict:
    shape = [None if size is None else int(size) for size in tensor.shape]
    return {"name": tensor.name, "shape": shape, "dtype": tensor.dtype.name}


# ---------------------------------------------------------------- what is missing
def _unsupported(assembly: Assembly, model: ModelSpec) -> list[dict]:
    found, calls = [], recorded.calls_of(model)
    if model.own_class:
        reason = f"a model of its own class, {MAY_BE_PLAIN.format(model.own_class)}"
        found.append({"layer": model.name, "class_name": model.own_class, "reason": reason, "keys": [model.own_class],
                      "code": None, "suggestion": "li.Model", "calls": [], "arguments": {}})  # fmt: skip
    for path, spec, reason in assembly.problems:
        if reason == CONTAINS_MISSING:
            continue
        row = {"layer": "/".join(path), "class_name": spec.class_name, "reason": reason,
               "keys": _keys(spec, reason), "code": None, "suggestion": None,
               "calls": recorded.texts(spec, calls.get(tuple(path), ())), "arguments": {}}  # fmt: skip
        if spec.class_name == "Lambda":
            row["code"] = lambdas.describe(spec.config)
            row["suggestion"] = lambdas.suggestion(row["code"])
        elif isinstance(spec.config.get("layers"), list):
            row["suggestion"] = "li.Model"
        elif not row["calls"] and (spec.class_name not in LAYERS or spec.registered_name):
            row["arguments"] = recorded.arguments(spec)
        found.append(row)
    return found


def _keys(spec: Any, reason: str) -> list[str]:
    """Keys of ``custom_objects`` that would supply what is missing, the most exact first; none where nothing would."""
    for word in ACTIVATION_WORDS:
        if reason.startswith(f"unknown activation {spec.config.get(word)!r};"):
            return list(dict.fromkeys([spec.config[word], str(spec.config[word]).rpartition(">")[2]]))
    if spec.class_name in LAYERS and spec.registered_name is None:
        return []
    names = [spec.name, spec.registered_name, None if spec.class_name == "Lambda" else spec.class_name]
    return list(dict.fromkeys(name for name in names if name))


# ---------------------------------------------------------------- arrays
def _arrays(weights: RawWeights, names: dict[int, str]) -> list[dict]:
    survey, found = Survey(), []
    for layer, pairs in weights.groups.items():
        units = _units(layer, pairs, names)
        for name, handle in pairs:
            where = f"{layer}/vars/{name}" if weights.layout == "objects" else name
            found.append({
                "name": where,
                "layer": weights.names.get(layer, layer),
                "means": names.get(id(handle)),
                "shape": [int(size) for size in handle.shape],
                "dtype": handle.dtype,
                "bytes": math.prod(handle.shape) * _itemsize(handle.dtype),
                **survey.of(handle, units if units and handle.shape and handle.shape[-1] % units == 0 else None),
            })  # fmt: skip
    return found


def _units(layer: str, pairs: Any, names: dict[int, str]) -> int | None:
    """The units of a recurrent layer or cell; None of other layers, where every column is a unit."""
    for number, (name, handle) in enumerate(pairs):
        called = (names.get(id(handle)) or name).partition(":")[0]
        in_cell = layer.rpartition("/")[2] == "cell" and number == 1 and len(pairs) <= 3
        if len(handle.shape) == 2 and handle.shape[0] and (called.endswith("recurrent_kernel") or in_cell):
            gates, rest = divmod(handle.shape[1], handle.shape[0])
            return handle.shape[0] if gates in (1, 3, 4) and not rest else None
    return None


def _itemsize(dtype: str) -> int:
    return 1 if dtype == "bool" else int("".join(filter(str.isdigit, dtype))) // 8
