"""The door through which data enters a model: order, shapes, dtypes, masks and lengths. Past it, data is trusted."""

import numpy as np

from .errors import InputError
from .layers.base import shape_fits
from .layers.structure import flatten, pack_like


def in_order(model, structure):
    """Return the values of a nested `structure` as a list in the order of the model's inputs.

    Raises
    ------
    InputError
        Inputs are missing, or there are too many.
    """
    names = model.input_names
    if isinstance(structure, dict):
        keys = sorted(model.input) if isinstance(model.input, dict) else names
        wanted = names if set(structure) >= set(names) else keys
        missing = [name for name in wanted if name not in structure]
        if missing:
            raise InputError(f"found inputs {sorted(structure)}, expected {wanted}")
        return [structure[name] for name in wanted]
    values = flatten(structure) if isinstance(structure, (list, tuple)) else [structure]
    if len(values) != len(names):
        raise InputError(f"found {len(values)} inputs, expected {len(names)}: {names}")
    return values


def take(model, x, mask, lengths):
    """Check and cast what was given to `predict`.

    Returns
    -------
    values : list of arrays
        Of the dtypes of the model's inputs, C-contiguous.
    masks : list of bool arrays or None
    """
    if len(model.inputs) == 1:
        x, found_lengths = _one_input(model.inputs[0], x)
        lengths = found_lengths if lengths is None else lengths
    values = [cast(v, t) for v, t in zip(in_order(model, x), model.inputs, strict=True)]
    for value, tensor in zip(values, model.inputs, strict=True):
        check_shape(value, tensor.name, (None, *tensor.shape[1:]))
    if len({len(value) for value in values}) > 1:
        rows = {tensor.name: len(value) for value, tensor in zip(values, model.inputs, strict=True)}
        raise InputError(f"found different numbers of rows: {rows}")
    masks = _per_input(model, mask, "mask")
    lengths = _per_input(model, lengths, "lengths")
    triples = zip(values, masks, lengths, model.inputs, strict=True)
    return values, [_join(value, m, n, tensor) for value, m, n, tensor in triples]


def take_step(model, x_t, temporal):
    """Check and cast what was given to `step`: as `take`, with a time axis of one put into temporal inputs."""
    given = [x_t] if len(model.inputs) == 1 and not isinstance(x_t, dict) else in_order(model, x_t)
    values = []
    for value, tensor, is_temporal in zip(given, model.inputs, temporal, strict=True):
        value = cast(value, tensor)
        check_shape(value, tensor.name, (None, *tensor.shape[2 if is_temporal else 1 :]))
        values.append(value[:, None] if is_temporal else value)
    return values


def _one_input(tensor, x):
    """Return the array of a model's only input, and lengths if it came as arrays of different length."""
    if isinstance(x, dict):
        return x, None
    if not isinstance(x, (list, tuple)):
        return [x], None
    rank = len(tensor.shape)
    if len(x) == 1 and np.ndim(x[0]) == rank:
        return list(x), None
    rows = [np.asarray(row) for row in x]
    if len({row.shape for row in rows}) <= 1 or rows[0].ndim != rank - 1:
        return [np.asarray(x) if rows else np.empty((0, *(n or 0 for n in tensor.shape[1:])))], None
    if len({row.shape[1:] for row in rows}) > 1:
        raise InputError(f"input '{tensor.name}': found rows of shapes {[r.shape for r in rows[:4]]}...")
    lengths = np.array([len(row) for row in rows])
    padded = blank((len(rows), tensor.shape[1] or lengths.max(), *rows[0].shape[1:]), np.result_type(*rows))
    if lengths.max() > padded.shape[1]:
        raise InputError(f"input '{tensor.name}': found {lengths.max()} timesteps, expected at most {padded.shape[1]}")
    for row, target in zip(rows, padded, strict=True):
        target[: len(row)] = row
    return [padded], lengths


def pack(model, outputs):
    """Return a flat list of outputs in the model's own structure."""
    return pack_like(model.output, outputs)


def cast(value, tensor):
    """Return data for an input as a C-contiguous array of the input's dtype."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(value, object)
    if tensor.dtype == object:
        from .layers.lookups import as_texts  # few models take texts

        texts = as_texts(array, tensor.name)
        flat = texts.ndim == len(tensor.shape) - 1 and tensor.shape[-1] == 1  # as Keras, which adds the axis
        return texts[..., None] if flat else texts
    if array.dtype.kind not in "biuf":
        raise InputError(f"input '{tensor.name}': found data of type {array.dtype}, expected {tensor.dtype}")
    return np.ascontiguousarray(array, tensor.dtype)


def blank(shape, dtype):
    """Return an array of zeros, or of empty texts."""
    return np.full(shape, b"", dtype) if np.dtype(dtype).kind == "O" else np.zeros(shape, dtype)


def check_shape(array, name, expected):
    """Refuse an array for the input `name` whose shape is not the expected one; None there fits any size."""
    if not shape_fits(array.shape, expected):
        raise InputError(f"input '{name}': found shape {array.shape}, expected {expected}")


def _per_input(model, given, word):
    """Return masks or lengths as a list with one entry per input."""
    if given is None:
        return [None] * len(model.inputs)
    if isinstance(given, dict):
        strange = sorted(set(given) - set(model.input_names))
        if strange:
            raise InputError(f"found {word} for {strange}, expected inputs {model.input_names}")
        return [given.get(name) for name in model.input_names]
    if len(model.inputs) == 1:
        return [given]
    if not isinstance(given, (list, tuple)) or len(given) != len(model.inputs):
        raise InputError(f"found {word} of one array, expected one per input (or None): {model.input_names}")
    return list(given)


def _join(value, mask, lengths, tensor):
    """Return the mask of an input: the given one and the one that lengths mean, both if there are both."""
    if mask is None and lengths is None:
        return None
    if value.ndim < 2:
        raise InputError(f"input '{tensor.name}': a mask needs a time axis, found shape {value.shape}")
    joined = np.ones(value.shape[:2], bool)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != joined.shape or mask.dtype.kind not in "biu":
            raise InputError(
                f"input '{tensor.name}': found a mask of shape {mask.shape} and type {mask.dtype}, "
                f"expected {joined.shape} of bool"
            )
        joined &= mask.astype(bool)
    if lengths is not None:
        lengths = np.asarray(lengths)
        fits = lengths.shape == joined.shape[:1] and lengths.dtype.kind in "iu"
        if not fits or (lengths < 0).any() or (lengths > joined.shape[1]).any():
            raise InputError(
                f"input '{tensor.name}': found lengths {lengths.tolist()[:8] if lengths.ndim else lengths}, "
                f"expected {len(joined)} whole numbers from 0 to {joined.shape[1]}"
            )
        joined &= np.arange(joined.shape[1]) < lengths[:, None]
    return joined
