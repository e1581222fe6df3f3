"""The Open Inference Protocol, version 2 (KServe): requests and answers in JSON, arrays also as bytes after it.

https://github.com/kserve/open-inference-protocol and Triton's extensions for binary tensor data and sequences. Bytes
and dicts only: nothing of HTTP is known here, and no size in a request is believed.
"""

from typing import NamedTuple

import numpy as np

from ..layers.structure import flatten
from .failures import Failure
from .notation import dump, load
from .numbers import TEXT, as_array, as_batches, fit, pack_texts, shaped, texts_for_json, unpack_texts

DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
WORDS = {**{np.dtype(code).newbyteorder("="): word for word, code in DTYPES.items()}, TEXT: "BYTES"}


class Question(NamedTuple):
    """A request to infer.

    Attributes
    ----------
    x : list of arrays
        In the order of the model's inputs.
    id : str or None
        To be given back.
    outputs : list of (str, bool)
        The names of the outputs wanted, and whether each is wanted as bytes.
    sequence : str or int or None
        The stream that this is a piece of.
    starts, ends : bool
        Whether the stream starts and ends with it.
    timeout : float or None
        Seconds.
    served : Served
        Who is asked.
    """

    x: list
    id: str | None
    outputs: list
    sequence: object
    starts: bool
    ends: bool
    timeout: float | None
    served: object


def read(body, header_length, choose):
    """Return the `Question` in a request's body.

    Parameters
    ----------
    body : bytes
    header_length : int or None
        How many bytes of it are JSON, where arrays follow.
    choose : callable
        Returns the `Served` that is asked, given the stream that this is a piece of, or None, and whether it starts.

    Raises
    ------
    Failure
        It is no such request; the reason says what was found and what was expected.
    """
    if header_length is not None and not 0 <= header_length <= len(body):
        raise Failure(400, f"found inference-header-content-length {header_length} in a body of {len(body)} bytes")
    text, rest = (body, b"") if header_length is None else (body[:header_length], memoryview(body)[header_length:])
    request = parse(text)
    parameters = _dict(request, "parameters")
    sequence, starts, ends = _sequence(parameters)
    served = choose(sequence, starts)
    model, given, place = served.model, {}, 0
    for item in _list(request, "inputs"):
        name, options = _word(item, "name"), _options(item)
        size = options.get("binary_data_size")
        if name in given:
            raise Failure(400, f"found input '{name}' twice")
        raw = None
        if size is not None:
            if not _is_count(size) or place + size > len(rest):
                raise Failure(400, f"input '{name}': found binary_data_size {size!r:.40} with {len(rest) - place} left")
            if "data" in item:
                raise Failure(400, f"input '{name}': found binary_data_size beside data, expected one of them")
            raw, place = rest[place : place + size], place + size
        given[name] = _array(item, name, raw)
    if place != len(rest):
        raise Failure(400, f"found {len(rest) - place} bytes after the last input")
    names = model.input_names
    if sorted(given) != sorted(names):
        raise Failure(400, f"found inputs {sorted(given)!s:.200}, expected {names}")
    x = [fit(given[name], tensor.dtype, name) for name, tensor in zip(names, model.inputs, strict=True)]
    timeout = parameters.get("timeout")
    if timeout is not None and not (_is_count(timeout) and timeout > 0):
        raise Failure(400, f"found timeout {timeout!r:.40}, expected a positive number of microseconds")
    id = request.get("id")
    if id is not None and not isinstance(id, str):
        raise Failure(400, f"found id {id!r:.40}, expected a string")
    return Question(
        as_batches(x, model), id, _wanted(request, parameters, model), sequence, starts, ends,
        None if timeout is None else timeout / 1e6, served,
    )  # fmt: skip


def write(question, y):
    """Return the body of an answer, and how many bytes of it are JSON (None where all are).

    Parameters
    ----------
    question : Question
    y : array, or nested
        What the model returned.
    """
    served = question.served
    arrays, outputs, blobs = dict(zip(output_names(served.model), flatten(y), strict=True)), [], []
    for name, is_binary in question.outputs:
        array = np.ascontiguousarray(arrays[name])
        item = {"name": name, "datatype": word_of(array.dtype), "shape": list(array.shape)}
        if is_binary:
            is_text = array.dtype == TEXT
            blobs.append(pack_texts(array) if is_text else array.astype(array.dtype.newbyteorder("<")).tobytes())
            item["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            item["data"] = texts_for_json(array.reshape(-1)) if array.dtype == TEXT else array.reshape(-1)
        outputs.append(item)
    answer = {"model_name": served.name, "model_version": served.version, "outputs": outputs}
    if question.id is not None:
        answer["id"] = question.id
    text = dump(answer, (arrays[name] for name, is_binary in question.outputs if not is_binary))
    return (text, None) if not blobs else (b"".join([text, *blobs]), len(text))


def metadata(served):
    """Return a model's metadata."""
    model = served.model

    def describe(names, tensors):
        shapes = [[-1, *(-1 if n is None else n for n in tensor.shape[1:])] for tensor in tensors]
        return [
            {"name": name, "datatype": word_of(tensor.dtype), "shape": shape}
            for name, tensor, shape in zip(names, tensors, shapes, strict=True)
        ]

    return {
        "name": served.name,
        "versions": [served.version],
        "platform": "lstm_infer",
        "inputs": describe(model.input_names, model.inputs),
        "outputs": describe(output_names(model), model.outputs),
    }


def output_names(model):
    """Return the outputs' names, numbered where one layer makes several."""
    names = model.output_names
    return names if len(set(names)) == len(names) else [f"output_{n}" for n in range(len(names))]


def word_of(dtype):
    """Return the protocol's word for a dtype."""
    return WORDS[np.dtype(dtype).newbyteorder("=")]


def parse(text):
    """Return the JSON object in some bytes.

    Raises
    ------
    Failure
        There is none.
    """
    try:
        request = load(text)
    except ValueError as error:
        raise Failure(400, f"found a body that is no JSON ({error!s:.100})") from None
    if not isinstance(request, dict):
        raise Failure(400, f"found JSON of type {type(request).__name__}, expected an object")
    return request


def _array(item, name, raw):
    word, shape = _word(item, "datatype"), item.get("shape")
    if word not in DTYPES and word != "BYTES":
        raise Failure(400, f"input '{name}': found datatype {word!r:.20}, expected one of {' '.join(DTYPES)} BYTES")
    if not isinstance(shape, list) or not all(map(_is_count, shape)) or len(shape) > 32:
        raise Failure(400, f"input '{name}': found shape {shape!r:.80}, expected a list of whole numbers")
    dtype = TEXT if word == "BYTES" else np.dtype(DTYPES[word])
    if raw is None:
        array = as_array(item.get("data"), name, dtype)
    elif word == "BYTES":
        array = unpack_texts(raw, name)
    elif len(raw) % dtype.itemsize:
        raise Failure(400, f"input '{name}': found {len(raw)} bytes, expected whole numbers of {dtype.itemsize}")
    else:
        array = np.frombuffer(raw, dtype)
    return shaped(array, shape, name)


def _sequence(parameters):
    id = parameters.get("sequence_id")
    flags = [parameters.get(f"sequence_{word}", False) for word in ("start", "end")]
    if not all(isinstance(flag, bool) for flag in flags):
        raise Failure(400, "found sequence_start or sequence_end that is neither true nor false")
    if id is None or id == 0 or id == "":  # so the protocol says: no sequence
        return None, False, False
    if isinstance(id, bool) or not isinstance(id, (str, int)) or len(str(id)) > 256:
        raise Failure(400, f"found sequence_id {id!r:.40}, expected a whole number or a string of 256 characters")
    return id, *flags


def _wanted(request, parameters, model):
    """Return the names of the outputs wanted, and whether as bytes."""
    every = parameters.get("binary_data_output", False) is True
    names = output_names(model)
    if not request.get("outputs"):
        return [(name, every) for name in names]
    wanted = []
    for item in _list(request, "outputs"):
        name, options = _word(item, "name"), _options(item)
        if name not in names:
            raise Failure(400, f"found output '{name:.80}', expected one of {names}")
        if options.get("classification"):
            raise Failure(400, f"output '{name}': classification is not offered here")
        wanted.append((name, options.get("binary_data", every) is True))
    return wanted


def _list(request, name):
    value = request.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Failure(400, f"found {name} of type {type(value).__name__}, expected a list of objects")
    return value


def _dict(item, name):
    value = item.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Failure(400, f"found {name} of type {type(value).__name__}, expected an object")
    return value


def _options(item):
    """Return the parameters of an input or output, whose numbers are to travel with the request and nowhere else."""
    options = _dict(item, "parameters")
    if "shared_memory_region" in options:
        raise Failure(400, f"'{item['name']:.80}': found shared_memory_region, which is not offered here")
    return options


def _word(item, name):
    value = item.get(name)
    if not isinstance(value, str):
        raise Failure(400, f"found {name} {value!r:.40}, expected a string")
    return value


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62
