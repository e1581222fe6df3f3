"""From a file to a model: the staircase that joins ``hdf5``, ``layouts`` and ``layers``.

A file is read into a `RawModel`, translated into a `ModelSpec`, built into layers (everything unsupported is reported
at once), and only then are weights read: every array's declared shape is compared with the one its layer needs first.
"""

import hashlib
import os
import re
import warnings
from collections import deque
from typing import NamedTuple

import numpy as np

from . import hdf5, layouts
from .errors import InputError, LoadError, UnsupportedLayerError
from .layers import LAYERS, InputLayer, Layer
from .layers.base import shape_fits
from .layers.structure import flatten, map_structure
from .model import Model, Sequential
from .spec import Call, LayerSpec, ModelSpec, TensorRef

ACTIVATION_WORDS = ("activation", "recurrent_activation")

NOT_FLOATS = ("bool", "string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
"""Dtypes of inputs and operations that ``dtype=`` leaves alone."""

CHILD_ARGUMENTS = {"forward_layer": "layer"}
"""Constructor arguments that are called otherwise than the attribute that holds the layer."""


def load_model(path, *, weights=None, custom_objects=None, keras_version=None, dtype=None, threads=None):
    """Load a model that Keras saved.

    Parameters
    ----------
    path : str, PathLike, open binary file or bytes
        A whole model (``.h5``, ``.hdf5``, ``.keras``) of any Keras, or an architecture (``model.to_json()``), which
        then needs `weights`.
    weights : same, optional
        A weights file of any Keras.
    custom_objects : dict, optional
        What the file names but cannot contain: functions of arrays, or `Layer` subclasses, by layer name,
        ``package>Name`` or class name. Code in a file is never executed.
    keras_version : str, optional
        Follow the semantics of this Keras instead of the one that the file names.
    dtype : str, optional
        Compute in ``"float32"`` or ``"float64"`` throughout; as the file says unless given.
    threads : int, optional
        The most threads to use; all the cores this process may use unless given.

    Returns
    -------
    Model

    Raises
    ------
    LoadError
        The file is not a model, is broken, or does not fit itself; the message names file, layer and array.
    UnsupportedLayerError
        It needs layers or functions that are not here; the message names all of them.
    FileNotFoundError, PermissionError

    Examples
    --------
    >>> import lstm_infer as li
    >>> li.load_model("missing.h5")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'missing.h5'
    """
    if dtype not in (None, "float32", "float64"):
        raise InputError(f"found dtype={dtype!r}, expected 'float32' or 'float64'")
    _check_version(keras_version)
    raw = hdf5.read(path, weights)
    if raw.config is None:
        raise LoadError(
            f"{raw.source}: found weights without an architecture; give load_model() the JSON of model.to_json() and "
            "this file as weights=, or rebuild the model in Python and call its load_weights()"
        )
    if raw.weights is None:
        raise LoadError(f"{raw.source}: found an architecture without weights; name the weights file as weights=")
    with _naming(raw.source, "?"):
        spec = layouts.canonical(raw, keras_version)
    model = _Assembly(raw.source, custom_objects, dtype).build(spec)
    model.threads = threads
    _fill(model, layouts.match(spec, raw.weights), raw.weights.source)
    model.adopt(layouts.semantics(keras_version or raw.keras_version, raw.backend, raw.config))
    model.origin = Origin.of(model, path, weights, custom_objects, keras_version, dtype)
    return model


class Origin(NamedTuple):
    """Where a model came from: enough for another process to load it, as long as nobody has changed it."""

    files: tuple
    stamps: tuple
    arguments: dict
    loaded: tuple

    @classmethod
    def of(cls, model, path, weights, custom_objects, keras_version, dtype):
        """Return the origin of a model that was just loaded; None if it did not come from files with names."""
        given = [file for file in (path, weights) if file is not None]
        if not all(isinstance(file, (str, os.PathLike)) for file in given):
            return None
        files = tuple(os.path.abspath(file) for file in given)
        arguments = {"custom_objects": custom_objects, "keras_version": keras_version, "dtype": dtype}
        return cls(files, _stamps(files), arguments, _what_holds(model))

    def describes(self, model):
        """Whether the model is still what the files say."""
        same = all(a is b for a, b in zip(self.loaded, _what_holds(model), strict=False))
        try:
            return same and self.stamps == _stamps(self.files)
        except OSError:
            return False

    def reduced(self, model):
        """Return what pickle takes: the files' names and digests."""
        digests = tuple(_digest(file) for file in self.files)
        return _load_again, (self.files, digests, self.arguments, model.threads)


def _stamps(files):
    return tuple((status.st_size, status.st_mtime_ns) for status in map(os.stat, files))


def _what_holds(model):
    """Return the objects that hold weights and semantics: others take their place when these change."""
    return tuple(part for _, layer in model.walk() for part in (layer.weights, layer.semantics))


def _digest(file):
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _load_again(files, digests, arguments, threads):
    """Load a model that was pickled by the names of its files.

    Raises
    ------
    LoadError
        A file is another one now.
    FileNotFoundError
        It is not there: models travel by name, and every machine needs the file at the same place.
    """
    for file, digest in zip(files, digests, strict=True):
        if _digest(file) != digest:
            raise LoadError(f"{file}: found another file than the pickled model was loaded from")
    return load_model(files[0], weights=files[1] if len(files) > 1 else None, threads=threads, **arguments)


def load_weights(model, path, keras_version=None):
    """Load the weights of a file into a model built in Python; see `Model.load_weights`."""
    _check_version(keras_version)
    raw = hdf5.read(path)
    if raw.weights is None:
        raise LoadError(f"{raw.source}: found an architecture without weights, expected a weights file")
    version = keras_version or raw.weights.keras_version or raw.keras_version
    semantics = layouts.semantics(version, raw.weights.backend or raw.backend, raw.config)
    _fill(model, layouts.match(describe(model, semantics.masks_in_graph), raw.weights), raw.weights.source)
    model.adopt(semantics)


def _check_version(keras_version):
    if keras_version is not None and not re.match(r"\d+\.\d+", str(keras_version)):
        raise InputError(f"found keras_version={keras_version!r}, expected one like '2.2.4' or '3.15'")


# ---------------------------------------------------------------- weights
def _fill(model, found, source):
    """Give every layer its arrays, after all their shapes have been compared."""
    filled = set()
    wanted = []
    for path, layer in model.walk():
        if layer in filled or not layer.expected_shapes:
            continue
        filled.add(layer)
        handles = _by_our_names(layer, found.get(path, {}))
        _check_arrays(source, path, layer, handles)
        wanted.append((layer, handles))
    for layer, handles in wanted:
        arrays = {name: handles[name].read() for name in layer.expected_shapes}
        for name, array in arrays.items():
            if array.size and np.isnan(array).all():
                warnings.warn(f"{source}: layer '{layer.name}', array '{name}': every number is NaN", stacklevel=3)
        layer.assign(arrays)


def _by_our_names(layer, handles):
    """Give the arrays of a class of the user's its own names: files list them in the order of creation."""
    ours = layer.expected_shapes
    if type(layer) in LAYERS.values() or ours.keys() == handles.keys() or len(ours) != len(handles):
        return handles
    return dict(zip(ours, handles.values(), strict=True))


def _check_arrays(source, path, layer, handles):
    name = "/".join(path)
    missing = [array for array in layer.expected_shapes if array not in handles]
    if missing:
        raise LoadError(
            f"{source}: layer '{name}': found arrays {sorted(handles)}, expected {list(layer.expected_shapes)}"
        )
    surplus = [array for array in handles if array not in layer.expected_shapes]
    if surplus:
        raise LoadError(f"{source}: layer '{name}': found the array '{surplus[0]}', which the layer does not have")
    for array, shape in layer.expected_shapes.items():
        if not shape_fits(handles[array].shape, shape):
            raise LoadError(
                f"{source}: layer '{name}', array '{array}' ({handles[array].where}): "
                f"found shape {tuple(handles[array].shape)}, expected {tuple(shape)}"
            )


# ---------------------------------------------------------------- layers
class _Assembly:
    """Builds layers and graphs from specs, collecting what is unsupported."""

    def __init__(self, source, custom_objects, dtype):
        self.source, self.dtype = source, dtype
        self.custom = dict(custom_objects or {})
        self.problems = []
        self.made = {}

    def build(self, spec):
        """Return the model of `spec`; raise UnsupportedLayerError naming everything that is not here."""
        self._collect(spec, ())
        if self.problems:
            raise UnsupportedLayerError(f"{self.source}: cannot load " + "; ".join(dict.fromkeys(self.problems)))
        return self._model(spec, ())

    def _collect(self, spec, path):
        """Make every layer there is, models from the inside out, noting what cannot be made."""
        if isinstance(spec, ModelSpec):
            for layer in spec.layers:
                self._collect(layer, (*path, layer.name))
            return
        for key, child in spec.children.items():
            self._collect(child, (*path, key))
        try:
            self.made[path] = self._layer(spec, path)
        except _Missing as missing:
            self.problems.append(f"layer '{'/'.join(path)}' ({spec.class_name}): {missing}")
        except Exception as error:  # what a hostile or strange config does to a constructor is its own fault
            self.problems.append(f"layer '{'/'.join(path)}' ({spec.class_name}): {error}")

    def _layer(self, spec, path):
        given = next((self.custom[n] for n in self._names(spec) if n in self.custom), None)
        if given is not None and not isinstance(given, type):
            return given if isinstance(given, Layer) else FunctionLayer(given, spec.name)
        if given is None and spec.class_name not in LAYERS:
            raise _Missing(_what_is_missing(spec))
        config = {word: self._function(word, value) for word, value in spec.config.items()}
        if self.dtype and config.get("dtype") not in NOT_FLOATS:
            config["dtype"] = self.dtype
        config.update(self._children(spec, path))
        return (given or LAYERS[spec.class_name])(**config, name=spec.name)

    def _names(self, spec):
        return [name for name in (spec.name, spec.registered_name, spec.class_name) if name]

    def _children(self, spec, path):
        if spec.class_name == "StackedRNNCells":
            return {"cells": [self._child((*path, key), child) for key, child in spec.children.items()]}
        return {CHILD_ARGUMENTS.get(k, k): self._child((*path, k), child) for k, child in spec.children.items()}

    def _child(self, path, spec):
        if isinstance(spec, ModelSpec):
            if self.problems:
                raise _Missing("it contains what is named here")
            return self._model(spec, path)
        if path not in self.made:
            raise _Missing("it contains what is named here")
        return self.made[path]

    def _function(self, word, value):
        """Resolve the name of an activation of the user's: ``package>name``, or the name alone."""
        if word not in ACTIVATION_WORDS or not isinstance(value, str):
            return value
        return self.custom.get(value, self.custom.get(value.rpartition(">")[2], value))

    # ------------------------------------------------------------ graphs
    def _model(self, spec, path):
        layers = {
            layer.name: self._model(layer, (*path, layer.name))
            if isinstance(layer, ModelSpec)
            else self.made[(*path, layer.name)]
            for layer in spec.layers
        }
        if spec.class_name == "Sequential":
            where = "/".join((*path, spec.name))
            with _naming(self.source, where):
                return Sequential(list(layers.values()), spec.name)
        tensors = self._connect(spec.calls, layers)

        def tensor(leaf):
            return tensors[leaf.layer, leaf.call][leaf.tensor]

        try:
            ends = map_structure(tensor, spec.inputs), map_structure(tensor, spec.outputs)
        except (KeyError, IndexError, AttributeError):
            raise LoadError(f"{self.source}: model '{spec.name}': its inputs or outputs name calls it lacks") from None
        with _naming(self.source, spec.name):
            return Model(*ends, spec.name)

    def _connect(self, calls, layers):
        """Make the calls in an order that works; returns the flat outputs by (layer, call number)."""
        keyed, counts = {}, {}
        for call in calls:
            number = counts[call.layer] = counts.get(call.layer, -1) + 1
            keyed[call.layer, number] = call
        missing = {key: set(_references(call)) for key, call in keyed.items()}
        waiting = {}
        for key, references in missing.items():
            for reference in references:
                waiting.setdefault(reference, []).append(key)
        tensors, ready = {}, deque(key for key, references in missing.items() if not references)
        while ready:
            key = ready.popleft()
            tensors[key] = self._call(layers[key[0]], keyed[key], tensors)
            for follower in waiting.get(key, ()):
                missing[follower].discard(key)
                if not missing[follower]:
                    ready.append(follower)
        if len(tensors) < len(keyed):
            names = sorted({layer for layer, _ in keyed.keys() - tensors.keys()})[:8]
            raise LoadError(f"{self.source}: the calls of layers {names} wait for calls that never come")
        return tensors

    def _call(self, layer, call, tensors):
        def tensor(leaf):
            if not isinstance(leaf, TensorRef):
                return leaf
            outputs = tensors[leaf.layer, leaf.call]
            if not 0 <= leaf.tensor < len(outputs):
                raise LoadError(
                    f"{self.source}: layer '{call.layer}' takes output {leaf.tensor} of '{leaf.layer}', "
                    f"which has {len(outputs)}"
                )
            return outputs[leaf.tensor]

        if isinstance(layer, InputLayer):
            return [layer.output]
        args = [map_structure(tensor, argument) for argument in call.args]
        kwargs = {word: map_structure(tensor, value) for word, value in call.kwargs.items()}
        with _naming(self.source, call.layer):
            outputs = layer(*args, **kwargs)
        return flatten(outputs)


class _Missing(Exception):
    """A layer that cannot be made, and why."""


class _naming:
    """Turns whatever goes wrong while a layer is called into a LoadError that names it."""

    def __init__(self, source, layer):
        self.source, self.layer = source, layer

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind and issubclass(kind, Exception) and not issubclass(kind, LoadError):
            message = str(error) if isinstance(error, InputError) else f"layer '{self.layer}': {error}"
            raise LoadError(f"{self.source}: {message}") from error


class FunctionLayer(Layer):
    """A function of arrays in the place of a layer.

    Parameters
    ----------
    function : callable
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> FunctionLayer(lambda x: x[:, -1])(np.ones((2, 5, 3))).shape
    (2, 3)
    """

    def __init__(self, function, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def _what_is_missing(spec):
    if spec.class_name == "Lambda":
        return f"code in a file is never executed; give the function as custom_objects={{{spec.name!r}: function}}"
    return f"there is no such layer here; give it as custom_objects={{{spec.class_name!r}: layer class or function}}"


def _references(call: Call):
    found = []

    def note(leaf):
        if isinstance(leaf, TensorRef):
            found.append((leaf.layer, leaf.call))

    map_structure(note, [list(call.args), dict(call.kwargs)])
    return found


# ---------------------------------------------------------------- a live model as a spec
def describe(layer, masks_in_graph):
    """Return the spec of a live layer or model, for matching it with a weights file of a Keras of this kind."""
    if isinstance(layer, Model):
        layers = tuple(describe(child, masks_in_graph) for child in layer.graph.layers(masks_in_graph))
        kind = "Sequential" if isinstance(layer, Sequential) else "Functional"
        return ModelSpec(kind, layer.name, layers, trainable=layer.trainable)
    config = {word: value for word, value in layer.get_config().items() if word != "name"}
    children = {key: describe(child, masks_in_graph) for key, child in layer.children().items()}
    return LayerSpec(type(layer).__name__, layer.name, config, children)
