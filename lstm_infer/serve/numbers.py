"""The numbers and texts of a request as arrays: none of them changed on the way, or a reason why not."""

import base64
import binascii
import struct

import numpy as np

from .failures import Failure

TEXT = np.dtype(object)
"""The dtype of an input or output of texts."""


def as_array(data, name, dtype=None):
    """Return lists of numbers or texts, nested or not, as an array.

    Parameters
    ----------
    data : list
    name : str
        Of the input, for the reason.
    dtype : dtype, optional
        What the model takes: texts where it is that of texts.

    Raises
    ------
    Failure
        They are not numbers (or texts), not rectangular, or there is no such number in the dtype.
    """
    if dtype == TEXT:
        return _texts(data, name)
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError):
        array = np.asarray(None)
    if not isinstance(data, list) or array.dtype.kind not in "biuf":
        raise Failure(400, f"input '{name}': found data that is no rectangular list of numbers")
    return array if dtype is None else fit(array, dtype, name)


def fit(array, dtype, name):
    """Return an array in another dtype, in which its numbers are what they were, to the dtype's precision.

    Raises
    ------
    Failure
        Some are not: too large, no whole numbers, or texts.
    """
    dtype, kind = np.dtype(dtype), array.dtype.kind
    if array.dtype == dtype:
        return array
    if kind not in "biuf" or dtype == TEXT:
        found = "texts" if array.dtype == TEXT else "numbers"
        raise Failure(400, f"input '{name}': found {found}, expected {'texts' if dtype == TEXT else 'numbers'}")
    with np.errstate(invalid="ignore", over="ignore"):
        result = array.astype(dtype)
    if dtype.kind == "f":
        has_room = dtype.itemsize >= array.dtype.itemsize if kind == "f" else dtype.itemsize > 2
        is_same = has_room or not _has_overflown(array, result)
    elif kind == "f":  # beyond the range, a conversion may give anything: the range is looked at itself
        (low, high), wide = _range(dtype), array.astype(np.float64)
        is_same = bool(((wide >= low) & (wide < high + 1.0) & (wide == np.floor(wide))).all())
    else:
        low, high = _range(dtype)
        is_same = not array.size or (int(array.min()) >= low and int(array.max()) <= high)
    if not is_same:
        raise Failure(400, f"input '{name}': found a number that {dtype} does not have, expected only such")
    return result


def shaped(array, shape, name):
    """Return an array in a shape that a request gives.

    Raises
    ------
    Failure
        It has not as many numbers, or is nested in another shape already.
    """
    if array.ndim > 1 and array.shape != tuple(shape):
        raise Failure(400, f"input '{name}': found data nested as {list(array.shape)}, expected shape {shape} or flat")
    try:
        return array.reshape(shape)
    except ValueError:
        found = f"input '{name}': found {array.size} numbers"
        raise Failure(400, f"{found}, expected as many as in shape {str(shape)[:80]}") from None


def as_batches(arrays, model):
    """Return the arrays of a request as batches: `Model.predict` takes a single row, too, and texts without an axis."""
    result = []
    for array, tensor in zip(arrays, model.inputs, strict=True):
        if array.ndim == len(tensor.shape) - 1 and (tensor.dtype == TEXT or len(arrays) == 1):
            is_flat = tensor.dtype == TEXT and tensor.shape[-1] == 1
            array = array[..., None] if is_flat else array[None]
        result.append(array)
    return result


def unpack_texts(raw, name):
    """Return the texts in some bytes, each after its length in four bytes, as an array of bytes objects."""
    texts, place, raw = [], 0, bytes(raw)
    while place < len(raw):
        if place + 4 > len(raw):
            raise Failure(400, f"input '{name}': found {len(raw) - place} bytes after the last text, expected none")
        [size] = struct.unpack_from("<I", raw, place)
        if place + 4 + size > len(raw):
            raise Failure(400, f"input '{name}': found a text of {size} bytes with {len(raw) - place - 4} left")
        texts.append(raw[place + 4 : place + 4 + size])
        place += 4 + size
    return _objects(texts)


def pack_texts(array):
    """Return the bytes of texts, each after its length in four bytes."""
    return b"".join(struct.pack("<I", len(text)) + text for text in map(_bytes, array.ravel().tolist()))


def texts_for_json(array, packs=False):
    """Return texts as nested lists of str; those that are no UTF-8 are ``{"b64": ...}`` where `packs`."""

    def spell(value):
        if isinstance(value, list):
            return [spell(one) for one in value]
        value = _bytes(value)
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()} if packs else value.decode("utf-8", "replace")

    return spell(array.tolist())


def _bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def _texts(data, name):
    flat, shape = [], _shape(data)

    def walk(value, depth):
        if depth < len(shape):
            if not isinstance(value, list) or len(value) != shape[depth]:
                raise Failure(400, f"input '{name}': found data that is no rectangular list of texts")
            for one in value:
                walk(one, depth + 1)
        else:
            flat.append(_text(value, name))

    if not isinstance(data, list) or len(shape) > 32:
        raise Failure(400, f"input '{name}': found data that is no rectangular list of texts")
    walk(data, 0)
    return _objects(flat).reshape(shape)


def _shape(data):
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return shape


def _text(value, name):
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise Failure(400, f"input '{name}': found b64 that is no base64") from None
    raise Failure(400, f"input '{name}': found {type(value).__name__} among texts, expected strings")


def _objects(texts):
    array = np.empty(len(texts), TEXT)
    array[:] = texts
    return array


def _range(dtype):
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _has_overflown(array, result):
    infinite = np.isinf(result)
    return bool(infinite.any()) and bool(np.isfinite(array[infinite]).any())
