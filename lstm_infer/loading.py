"""From a file to a model: the staircase that joins ``hdf5``, ``layouts`` and ``layers``.

A file is read into a `RawModel`, translated into a `ModelSpec`, built into layers (everything unsupported is reported
at once), and only then are weights read: every array's declared shape is compared with the one its layer needs first.
"""

import re
import warnings
from collections import deque
from typing import NamedTuple

import numpy as np

from . import hdf5, layouts
from .errors import InputError, LoadError, UnsupportedLayerError
from .layers import LAYERS, InputLayer, Layer
from .layers.base import shape_fits
from .layers.operations import OPERATIONS
from .layers.structure import flatten, map_structure
from .model import Model, Sequential
from .spec import Call, LayerSpec, ModelSpec, TensorRef

ACTIVATION_WORDS = ("activation", "recurrent_activation")

NOT_FLOATS = ("bool", "string", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
"""Dtypes of inputs and operations that ``dtype=`` leaves alone."""

CONTAINS_MISSING = "it contains what is named here"
"""Why a layer cannot be made that is not missing itself."""

CHILD_ARGUMENTS = {"forward_layer": "layer"}
"""Constructor arguments that are called otherwise than the attribute that holds the layer."""


def load_model(
    path, *, weights=None, custom_objects=None, keras_version=None, dtype=None, threads=None, isolate=False
):
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
    isolate : bool
        Read the file in a process of its own, for files from strangers: if the HDF5 library crashes, hangs or eats
        memory over it, that process ends, and this one gets a LoadError. Its time, and on Linux its memory, are
        limited by the size of the file. It takes some 0.3 s more, and as much room as the weights in the folder for
        temporary files. In a script of your own it needs no ``if __name__ == "__main__"``.

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
    if isolate:
        with hdf5.reading_isolated(path, weights) as raw:
            return _assemble(raw, custom_objects, keras_version, dtype, threads)
    return _assemble(hdf5.read(path, weights), custom_objects, keras_version, dtype, threads)


def _assemble(raw, custom_objects, keras_version, dtype, threads):
    if raw.config is None:
        raise LoadError(
            f"{raw.source}: found weights without an architecture; give load_model() the JSON of model.to_json() and "
            "this file as weights=, or rebuild the model in Python and call its load_weights()"
        )
    if raw.weights is None:
        raise LoadError(f"{raw.source}: found an architecture without weights; name the weights file as weights=")
    with _naming(raw.source, "?"):
        spec = layouts.canonical(raw, keras_version)
    model = Assembly(raw.source, custom_objects, dtype).build(spec)
    model.threads = threads
    found = layouts.match(spec, raw.weights)
    model.adopt(layouts.semantics(keras_version or raw.keras_version, raw.backend, raw.config))
    _fill(model, found, raw.weights.source)
    return model


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
    for layer, handles in fitting(model, found, source):
        arrays = {name: handles[name].read() for name in layer.expected_shapes}
        for name, array in arrays.items():
            if array.size and np.isnan(array.flat[0]) and np.isnan(array).all():
                warnings.warn(f"{source}: layer '{layer.name}', array '{name}': every number is NaN", stacklevel=3)
        with _naming(source, layer.name):
            layer.assign(arrays, copy=False)


def fitting(model, found, source):
    """Return the layers of `model` that hold weights, each with its handles, once all their shapes have been compared.

    Raises
    ------
    LoadError
        An array is missing, surplus or of another shape than its layer needs.
    """
    handles_of = {}
    for path, layer in model.walk():
        if layer in handles_of or not layer.expected_shapes:
            continue
        handles = _by_our_names(layer, found.get(path, {}))
        _check_arrays(source, path, layer, handles)
        handles_of[layer] = handles
    return list(handles_of.items())


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
class Problem(NamedTuple):
    """A layer that cannot be made: its path of names, its spec, and why."""

    path: tuple
    spec: LayerSpec
    reason: str

    def __str__(self):
        return f"layer '{'/'.join(self.path)}' ({self.spec.class_name}): {self.reason}"


class Assembly:
    """Builds layers and graphs from specs, collecting what is unsupported.

    Attributes
    ----------
    problems : list of Problem
        The layers that cannot be made.
    errors : list of str
        What else was wrong, where `explore` went on.
    made : dict
        The layers that could be made, by their path of names.
    models : dict
        The models that could be made, likewise.
    """

    def __init__(self, source, custom_objects=None, dtype=None):
        self.source, self.dtype = source, dtype
        self.custom = dict(custom_objects or {})
        self.problems = []
        self.errors = []
        self.made = {}
        self.models = {}

    def build(self, spec):
        """Return the model of `spec`; raise UnsupportedLayerError naming everything that is not here."""
        self._collect(spec, ())
        if self.problems:
            names = "; ".join(dict.fromkeys(map(str, self.problems)))
            raise UnsupportedLayerError(f"{self.source}: cannot load {names}")
        return self._model(spec, ())

    def explore(self, spec):
        """Make and connect as much of `spec` as can be; return the model, or None where something is in the way."""
        self._collect(spec, ())
        return self._partial(spec, ())

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
            self.problems.append(Problem(path, spec, str(missing)))
        except Exception as error:  # what a hostile or strange config does to a constructor is its own fault
            self.problems.append(Problem(path, spec, str(error)))

    def _layer(self, spec, path):
        given = next((self.custom[n] for n in self._names(spec) if n in self.custom), None)
        if given is not None and not isinstance(given, type):
            return given if isinstance(given, Layer) else FunctionLayer(given, spec.name)
        if given is None and spec.class_name not in LAYERS:
            raise _Missing(_what_is_missing(spec))
        config = {word: self._function(word, value) for word, value in spec.config.items()}
        if spec.class_name in OPERATIONS:  # whose dtype is that of the result, where it can be chosen
            config.update({"floatx": self.dtype} if self.dtype else {})
            if self.dtype and config.get("dtype") not in (None, *NOT_FLOATS):
                config["dtype"] = self.dtype
        elif self.dtype and config.get("dtype") not in NOT_FLOATS:
            config["dtype"] = _computed_in(self.dtype, config.get("dtype"))
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
                raise _Missing(CONTAINS_MISSING)
            return self._model(spec, path)
        if path not in self.made:
            raise _Missing(CONTAINS_MISSING)
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
        self.models[path] = self._join(spec, layers, path)
        return self.models[path]

    def _partial(self, spec, path):
        """As `_model`, with whatever layers there are; None where it is not whole."""
        layers = {}
        for child in spec.layers:
            where = (*path, child.name)
            layer = self._partial(child, where) if isinstance(child, ModelSpec) else self.made.get(where)
            if layer is not None:
                layers[child.name] = layer
        try:
            if len(layers) == len(spec.layers):
                self.models[path] = self._join(spec, layers, path)
                return self.models[path]
            if spec.class_name == "Sequential":
                self._follow(spec, layers)
            else:
                self._connect(spec.calls, layers)
        except LoadError as error:
            self.errors.append(str(error))
        return None

    def _follow(self, spec, layers):
        """Call the layers of a Sequential one after the other, up to the first that is missing."""
        value = None
        for child in spec.layers:
            if child.name not in layers:
                return
            layer = layers[child.name]
            with _naming(self.source, child.name):
                value = layer.output if isinstance(layer, InputLayer) else layer(value)

    def _join(self, spec, layers, path):
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
            model = Model(*ends, spec.name)
        model.graph.masks_recorded = True
        return model

    def _connect(self, calls, layers):
        """Make the calls in an order that works; returns the flat outputs by (layer, call number).

        Layers may be missing: then only the calls that do without them are made.
        """
        keyed, counts = {}, {}
        for call in calls:
            number = counts[call.layer] = counts.get(call.layer, -1) + 1
            keyed[call.layer, number] = call
        missing = {key: set(_references(call)) for key, call in keyed.items() if key[0] in layers}
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
        if len(tensors) < len(keyed) == len(missing):
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


def _computed_in(dtype, policy):
    """Return a layer's policy for computing in `dtype`: a quantised layer stays quantised."""
    mode, is_quantised, _ = str(policy).rpartition("_from_")
    return f"{mode}_from_{dtype}" if is_quantised else dtype


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
    """A function of arrays in the place of a layer; masks end here, as at a Lambda of Keras.

    Parameters
    ----------
    function : callable
        Of arrays. Its attributes ``per_timestep`` and ``takes_last_timestep`` mean what they mean of a `Layer`.
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
        self.per_timestep = getattr(function, "per_timestep", False)
        self.takes_last_timestep = getattr(function, "takes_last_timestep", False)

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
