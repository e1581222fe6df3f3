"""From a file to a model: the staircase that joins ``hdf5``, ``layouts`` and ``layers``.

A file is read into a `RawModel`, translated into a `ModelSpec`, built into layers (everything unsupported is reported
at once), and only then are weights read: every array's declared shape is compared with the one its layer needs first.
"""

import re
import warnings
from contextlib import nullcontext
from functools import partial

import numpy as np

from . import hdf5, layouts
from .assembly import Assembly, naming
from .errors import InputError, LoadError
from .layers import is_ours
from .layers.base import shape_fits
from .layers.low_rank import LowRank
from .model import Model, Sequential
from .origin import Origin
from .spec import Handle, LayerSpec, ModelSpec


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
        ``package>Name`` or class name. Code in a file is never executed. `li.Model` says of a class of models that it
        computes no more than the layers that the file lists.
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
    with hdf5.reading_isolated(path, weights) if isolate else nullcontext(hdf5.read(path, weights)) as raw:
        model = _assemble(raw, custom_objects, keras_version, dtype, threads)
    arguments = {"custom_objects": custom_objects, "keras_version": keras_version, "dtype": dtype, "isolate": isolate}
    model.origin = Origin.of(model, path, weights, arguments)
    return model


def _assemble(raw, custom_objects, keras_version, dtype, threads):
    if raw.config is None:
        raise LoadError(
            f"{raw.source}: found weights without an architecture; give load_model() the JSON of model.to_json() and "
            "this file as weights=, or rebuild the model in Python and call its load_weights()"
        )
    if raw.weights is None:
        raise LoadError(f"{raw.source}: found an architecture without weights; name the weights file as weights=")
    with naming(raw.source, "?"):
        plain = [name for name, given in (custom_objects or {}).items() if given in (Model, Sequential)]
        spec = layouts.canonical(raw, keras_version, plain)
    semantics = layouts.semantics(keras_version or raw.keras_version, raw.backend, raw.config)
    model = Assembly(raw.source, custom_objects, dtype, semantics).build(spec)
    model.threads = threads
    found = layouts.match(spec, raw.weights)
    model.adopt(semantics)
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
    spoilt, number = [], 0
    for layer, handles in fitting(model, found, source):
        arrays = {name: handles[name].read() for name in layer.expected_shapes}
        for name, array in arrays.items():
            number += 1
            if array.size and np.isnan(array.flat[0]) and np.isnan(array).all():
                spoilt.append(f"array '{name}' of layer '{layer.name}'")
        with naming(source, layer.name):
            layer.assign(arrays, copy=False)
    if spoilt:
        which = spoilt[0] if len(spoilt) == 1 else f"{len(spoilt)} of {number} arrays, {spoilt[0]} the first of them"
        warnings.warn(f"{source}: found nothing but NaN in {which}", stacklevel=3)


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
        handles = _with_factors(layer, _by_our_names(layer, found.get(path, {})))
        with naming(source, "/".join(path)):
            layer.take_form({name: tuple(handle.shape) for name, handle in handles.items()})
        _check_arrays(source, path, layer, handles)
        handles_of[layer] = handles
    return list(handles_of.items())


def _by_our_names(layer, handles):
    """Give the arrays of a class of the user's its own names: files list them in the order of creation."""
    ours = layer.expected_shapes
    if is_ours(layer) or ours.keys() == handles.keys() or len(ours) != len(handles):
        return handles
    return dict(zip(ours, handles.values(), strict=True))


def _with_factors(layer, handles):
    """Add the low-rank factors, zeros as in Keras, where a file keeps them merged into the kernel."""
    absent = [name for name in layer.expected_shapes if name.startswith("lora_")]
    if not isinstance(layer, LowRank) or not handles or any(name in handles for name in absent):
        return handles
    shapes = {name: layer.expected_shapes[name] for name in absent}
    return {**handles, **{name: Handle(name, shape, "float32", partial(np.zeros, shape, np.float32))
                          for name, shape in shapes.items()}}  # fmt: skip


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
