"""The history of Keras: a model of any generation as a file tells it becomes the same model in today's words.

`canonical` translates the architecture, `match` finds every layer's arrays and packs them as today's Keras does,
`semantics` says what the same words meant to the writer. Pure NumPy and JSON: nothing here opens files, computes
layers or runs what a file brings along. Past this door nobody knows a Keras version.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import NoReturn

from ..errors import MAY_BE_PLAIN, LoadError, UnsupportedLayerError
from ..spec import ModelSpec, RawModel
from . import configs, inputs, vocabularies
from .context import Context
from .matching import match
from .semantics import only_value, semantics, writer
from .words import VALUES

__all__ = ["canonical", "match", "semantics"]


def canonical(raw: RawModel, keras_version: str | None = None, plain: Collection[str] = ()) -> ModelSpec:
    """A model's architecture in today's Keras words.

    Parameters
    ----------
    raw : RawModel
        As `hdf5.read` returns it.
    keras_version : str, optional
        What to believe instead of the version the file names.
    plain : collection of str
        Classes of models, or names of them, that compute what the layers in the file say and nothing else.

    Returns
    -------
    ModelSpec
        Layers of unknown classes are in it as found; who builds the model refuses them, all at once.

    Raises
    ------
    LoadError
        If the file holds no architecture or a malformed one.
    UnsupportedLayerError
        If the model is of a class of somebody's own that is not among `plain`.
    """
    if raw.config is None:
        raise LoadError(f"{raw.source}: holds weights without an architecture, expected a complete model, "
                        "or the architecture's JSON with these as its weights")
    version = keras_version or raw.keras_version
    class_name = raw.config.get("class_name")
    if not isinstance(class_name, str) or configs.kind_of_model(raw.config, plain) is None:
        _refuse(raw)
    meaning = semantics(version, raw.backend, raw.config)
    said = VALUES.get(("data_format", only_value(raw.config, "dim_ordering")))
    wrote = writer(version, raw.config)
    context = Context(raw.source, wrote, meaning, raw.weights, data_format=said, plain=frozenset(plain))
    try:
        spec = vocabularies.fill(configs.model(raw.config, context), raw.weights)
        return inputs.infer(spec, cache(lambda: match(spec, raw.weights) if raw.weights else {}), context)
    except RecursionError:
        raise LoadError(f"{raw.source}: the architecture is nested too deeply") from None


def _refuse(raw: RawModel) -> NoReturn:
    """Say what a model of somebody's own class needs."""
    found = str(raw.config.get("class_name"))[:100]
    config = raw.config.get("config")
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        raise UnsupportedLayerError(f"{raw.source}: the model is of class {found!r}, {MAY_BE_PLAIN.format(found)}")
    raise LoadError(f"{raw.source}: the model is of class {found!r}, "
                    "expected a Sequential or functional model; the architecture of a subclassed one is code: "
                    "rebuild it in Python, as lstm-infer inspect suggests, and give its load_weights() this file")
