"""The history of Keras: a model of any generation as a file tells it becomes the same model in today's words.

`canonical` translates the architecture, `match` finds every layer's arrays and packs them as today's Keras does,
`semantics` says what the same words meant to the writer. Pure NumPy and JSON: nothing here opens files, computes
layers or runs what a file brings along. Past this door nobody knows a Keras version.
"""

from __future__ import annotations

from functools import cache

from ..errors import LoadError
from ..spec import ModelSpec, RawModel
from . import configs, inputs, vocabularies
from .context import Context
from .matching import match
from .semantics import only_value, semantics, writer
from .words import MODELS, VALUES

__all__ = ["canonical", "match", "semantics"]


def canonical(raw: RawModel, keras_version: str | None = None) -> ModelSpec:
    """A model's architecture in today's Keras words.

    Parameters
    ----------
    raw : RawModel
        As `hdf5.read` returns it.
    keras_version : str, optional
        What to believe instead of the version the file names.

    Returns
    -------
    ModelSpec
        Layers of unknown classes are in it as found; who builds the model refuses them, all at once.

    Raises
    ------
    LoadError
        If the file holds no architecture or a malformed one.
    """
    if raw.config is None:
        raise LoadError(f"{raw.source}: holds weights without an architecture, expected a complete model, "
                        "or the architecture's JSON with these as its weights")
    version = keras_version or raw.keras_version
    class_name = raw.config.get("class_name")
    if not isinstance(class_name, str) or class_name not in MODELS:
        raise LoadError(f"{raw.source}: the model is of class {str(class_name)[:100]!r}, "
                        "expected a Sequential or functional model; the architecture of a subclassed one is code: "
                        "rebuild it in Python, as lstm-infer inspect suggests, and give its load_weights() this file")
    meaning = semantics(version, raw.backend, raw.config)
    said = VALUES.get(("data_format", only_value(raw.config, "dim_ordering")))
    context = Context(raw.source, writer(version, raw.config), meaning, raw.weights, data_format=said)
    try:
        spec = vocabularies.fill(configs.model(raw.config, context), raw.weights)
        return inputs.infer(spec, cache(lambda: match(spec, raw.weights) if raw.weights else {}), context)
    except RecursionError:
        raise LoadError(f"{raw.source}: the architecture is nested too deeply") from None
