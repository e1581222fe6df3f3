"""From a `ModelSpec` to layers and graphs: everything that cannot be made is found out first, and named at once."""

import inspect
from collections import deque
from typing import NamedTuple

from .errors import MAY_BE_PLAIN, InputError, LoadError, UnsupportedLayerError
from .layers import LAYERS, InputLayer, Lambda, Layer, recorded
from .layers.activations import UnknownActivation
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

    def __init__(self, source, custom_objects=None, dtype=None, semantics=None):
        self.source, self.dtype, self.semantics = source, dtype, semantics
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
            layer = self._layer(spec, path)
            if self.semantics is not None:  # on which the dtype of an answer may depend
                layer.adopt(self.semantics)
            self.made[path] = layer
        except _Missing as missing:
            self.problems.append(Problem(path, spec, str(missing)))
        except UnknownActivation as error:
            reason = f"{error}; give it as custom_objects={{{error.name!r}: function}}"
            self.problems.append(Problem(path, spec, reason))
        except Exception as error:  # what a hostile or strange config does to a constructor is its own fault
            self.problems.append(Problem(path, spec, _what_is_strange(spec, error)))

    def _layer(self, spec, path):
        given = next((self.custom[n] for n in self._names(spec) if n in self.custom), None)
        if given is not None and not isinstance(given, type):
            return given if isinstance(given, Layer) else self._of_function(given, spec)
        if given in (Model, Sequential):
            raise _Missing("the file does not list its layers, so that li.Model cannot stand for it")
        if given is None and spec.class_name not in LAYERS:
            raise _Missing(_what_is_missing(spec))
        config = {word: self._function(word, value) for word, value in spec.config.items()}
        kind = given or LAYERS[spec.class_name]
        if getattr(kind, "is_recorded", False):  # whose dtype is that of the result, where it can be chosen
            config.update({"floatx": self.dtype} if self.dtype else {})
            if self.dtype and config.get("dtype") not in (None, *NOT_FLOATS):
                config["dtype"] = self.dtype
        elif self.dtype and config.get("dtype") not in NOT_FLOATS:
            config["dtype"] = _computed_in(self.dtype, config.get("dtype"))
        config.update(self._children(spec, path))
        return kind(**config, name=spec.name)

    def _of_function(self, function, spec):
        """Make a layer of a function of the user's: of a recorded call with the arguments that are recorded."""
        kind = recorded(spec.class_name)
        if kind is None:
            return Lambda(function, name=spec.name)
        return kind(function, **({"floatx": self.dtype} if self.dtype else {}), **spec.config, name=spec.name)

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
            with naming(self.source, child.name):
                value = layer.output if isinstance(layer, InputLayer) else layer(value)

    def _join(self, spec, layers, path):
        if spec.class_name == "Sequential":
            where = "/".join((*path, spec.name))
            with naming(self.source, where):
                return Sequential(list(layers.values()), spec.name)
        tensors = self._connect(spec.calls, layers)

        def tensor(leaf):
            return tensors[leaf.layer, leaf.call][leaf.tensor]

        try:
            ends = map_structure(tensor, spec.inputs), map_structure(tensor, spec.outputs)
        except (KeyError, IndexError, AttributeError):
            raise LoadError(f"{self.source}: model '{spec.name}': its inputs or outputs name calls it lacks") from None
        with naming(self.source, spec.name):
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
        with naming(self.source, call.layer):
            outputs = layer(*args, **kwargs)
        return flatten(outputs)


def _computed_in(dtype, policy):
    """Return a layer's policy for computing in `dtype`: a quantised layer stays quantised."""
    mode, is_quantised, _ = str(policy).rpartition("_from_")
    return f"{mode}_from_{dtype}" if is_quantised else dtype


class _Missing(Exception):
    """A layer that cannot be made, and why."""


class naming:
    """Turns whatever goes wrong while a layer is called into a LoadError that names it."""

    def __init__(self, source, layer):
        self.source, self.layer = source, layer

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind and issubclass(kind, Exception) and not issubclass(kind, LoadError):
            message = str(error) if isinstance(error, InputError) else f"layer '{self.layer}': {error}"
            raise LoadError(f"{self.source}: {message}") from error


def _what_is_strange(spec, error):
    """Why a constructor refused a config, without Python's words for it."""
    if isinstance(error, InputError) or "unexpected argument" in str(error):
        return str(error)
    kind = LAYERS.get(spec.class_name, object)
    makers = [inspect.signature(base.__init__).parameters for base in kind.__mro__ if "__init__" in base.__dict__]
    words = {word: parameter.default for parameters in reversed(makers) for word, parameter in parameters.items()}
    null = next((word for word in spec.config if spec.config[word] is None and words.get(word) is not None), None)
    if null:
        return f"its {null!r} is null, expected a value"
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for word, parameter in list(makers[0].items())[1:]:
        needed = parameter.kind in plain and parameter.default is inspect.Parameter.empty
        if needed and word not in spec.config and word not in spec.children:
            return f"its config has no {word!r}"
    config = {word: value for word, value in spec.config.items() if word in words}
    return f"found {str(config)[:120]} in its config, expected values of another kind"


def _what_is_missing(spec):
    if spec.lacks:
        return f"{spec.lacks}; for another one give custom_objects={{{spec.class_name!r}: function}}"
    if recorded(spec.class_name):
        return f"there is no such function here; give it as custom_objects={{{spec.class_name!r}: function}}"
    if spec.class_name == "Lambda":
        return f"code in a file is never executed; give the function as custom_objects={{{spec.name!r}: function}}"
    if isinstance(spec.config.get("layers"), list):
        return f"a model of its own class, {MAY_BE_PLAIN.format(spec.class_name)}"
    return f"there is no such layer here; give it as custom_objects={{{spec.class_name!r}: layer class or function}}"


def _references(call: Call):
    found = []

    def note(leaf):
        if isinstance(leaf, TensorRef):
            found.append((leaf.layer, leaf.call))

    map_structure(note, [list(call.args), dict(call.kwargs)])
    return found
