"""TensorFlow Serving's REST interface: rows (``instances``) and columns (``inputs``).

https://www.tensorflow.org/tfx/serving/api_rest. Bytes and dicts only, as in ``inference``. Rows of one request may be
of different length here, which TensorFlow Serving does not allow.
"""

from typing import NamedTuple

import numpy as np

from ..layers.structure import flatten
from .failures import Failure
from .inference import output_names, parse
from .notation import dump
from .numbers import TEXT, as_array, as_batches, texts_for_json

DTYPES = {
    "f": "DT_FLOAT", "d": "DT_DOUBLE", "i": "DT_INT32", "l": "DT_INT64", "?": "DT_BOOL", "q": "DT_INT64",
    "O": "DT_STRING",
}  # fmt: skip


class Question(NamedTuple):
    """A request to predict.

    Attributes
    ----------
    batches : list of list of arrays
        What is to be predicted: one batch, or one of a single row for every row where they are of different length.
    is_row : bool
        Whether the answer is in rows.
    """

    batches: list
    is_row: bool


def read(body, model):
    """Return the `Question` in a request's body.

    Raises
    ------
    Failure
        It is no such request.
    """
    request = parse(body)
    signature = request.get("signature_name")
    if signature not in (None, "", "serving_default"):
        raise Failure(400, f"found signature_name {signature!r:.80}, expected 'serving_default'")
    if ("instances" in request) == ("inputs" in request):
        raise Failure(400, f"found {sorted(request)!s:.80}, expected either instances or inputs")
    if "inputs" in request:
        return Question([_columns(request["inputs"], model)], False)
    return Question(_rows(request["instances"], model), True)


def write(question, model, answers):
    """Return the body of an answer to a question, given what the model returned for every batch."""
    names, flat = output_names(model), [flatten(y) for y in answers]
    if not question.is_row:
        [arrays] = flat
        plain = [_plain(array) for array in arrays]
        return dump({"outputs": plain[0] if len(names) == 1 else dict(zip(names, plain, strict=True))}, arrays)
    rows = [row for arrays in flat for row in zip(*arrays, strict=True)]
    rows = [[_plain(value) for value in row] for row in rows]
    rows = [row[0] if len(names) == 1 else dict(zip(names, row, strict=True)) for row in rows]
    return dump({"predictions": rows}, (array for arrays in flat for array in arrays))


def status(served):
    """Return the status of some versions of a model."""
    error = {"error_code": "OK", "error_message": ""}
    states = [{"version": one.version, "state": "AVAILABLE", "status": error} for one in served]
    return {"model_version_status": states}


def metadata(served):
    """Return a model's metadata."""

    def describe(names, tensors):
        return {
            name: {
                "dtype": DTYPES.get(tensor.dtype.char, "DT_INVALID"),
                "tensor_shape": {
                    "dim": [{"size": str(-1 if n is None else n), "name": ""} for n in (None, *tensor.shape[1:])],
                    "unknown_rank": False,
                },
                "name": name,
            }
            for name, tensor in zip(names, tensors, strict=True)
        }

    model = served.model
    signature = {
        "inputs": describe(model.input_names, model.inputs),
        "outputs": describe(output_names(model), model.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": served.version},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def _columns(inputs, model):
    names = model.input_names
    if not isinstance(inputs, dict):
        if len(names) > 1:
            raise Failure(400, f"found inputs without names, expected {names}")
        inputs = {names[0]: inputs}
    dtypes = [tensor.dtype for tensor in model.inputs]
    pairs = zip(_by_name(inputs, names), dtypes, strict=True)
    return as_batches([as_array(value, name, dtype) for (name, value), dtype in pairs], model)


def _rows(instances, model):
    names = model.input_names
    if not isinstance(instances, list) or not instances:
        raise Failure(400, "found instances that are no list of one or more")
    is_bare = len(names) == 1 and not (isinstance(instances[0], dict) and list(instances[0]) == names)
    if is_bare and model.inputs[0].dtype != TEXT:
        is_bare = not isinstance(instances[0], dict)
    if is_bare:
        columns = [instances]
    else:
        if not all(isinstance(instance, dict) for instance in instances):
            raise Failure(400, f"found instances without names, expected objects with {names}")
        columns = list(zip(*([value for _, value in _by_name(row, names)] for row in instances), strict=True))
    triples = list(zip(columns, names, model.inputs, strict=True))
    if all(len(set(map(_length, column))) == 1 for column in columns):
        return [as_batches([_batch(list(column), *pair) for column, *pair in triples], model)]
    return [as_batches([_batch([column[n]], *pair) for column, *pair in triples], model) for n in range(len(instances))]


def _batch(rows, name, tensor):
    """Return some rows as an array, which must have as many."""
    array = as_array(rows, name, tensor.dtype)
    if array.ndim < len(tensor.shape) and tensor.dtype != TEXT:  # the rows would be taken for timesteps
        raise Failure(400, f"input '{name}': found instances of shape {array.shape[1:]}, expected {tensor.shape[1:]}")
    return array


def _plain(array):
    """Return an array as JSON can be made of it; numpy's scalars become arrays."""
    array = np.asarray(array) if not isinstance(array, (str, bytes)) else np.array(array, TEXT)
    return texts_for_json(array, packs=True) if array.dtype == TEXT else np.ascontiguousarray(array)


def _length(value):
    return len(value) if isinstance(value, list) else -1


def _by_name(values, names):
    if sorted(values) != sorted(names):
        raise Failure(400, f"found inputs {sorted(values)!s:.200}, expected {names}")
    return [(name, values[name]) for name in names]
