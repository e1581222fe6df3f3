"""A stream over a WebSocket: one timestep in, one prediction out, one stream as long as the connection lasts.

A text message is JSON: the timestep of a model with one input as nested lists, or an object by input names; the answer
likewise. A binary message holds the numbers of the only input, little-endian in its dtype; the answer those of the only
output.
"""

import asyncio
import uuid

import numpy as np

from ..errors import InputError
from ..layers.structure import flatten
from .failures import Failure, as_failure
from .inference import output_names
from .notation import dump, load
from .numbers import TEXT, as_array, texts_for_json
from .replies import refuse_socket
from .requests import ClosedError
from .settings import need

WRONG, AGAIN, RESTART = 1008, 1013, 1012
"""Why a server closes: what came does not fit; come again later; the service restarts."""
TRIES = 100


async def stream(repository, settings, metrics, websocket):
    """Serve one connection."""
    id = "websocket", uuid.uuid4().hex  # what no request can name, and no snapshot keeps
    name, version = map(websocket.path_params.get, ("name", "version"))
    try:
        served = repository.get(name, version)
        if served.streams is None:
            raise Failure(400, f"model '{served.name}' has no streams: {served.scheduler.reason}")
    except Failure as failure:
        await refuse_socket(websocket.scope, websocket.send, failure.status, failure.reason, WRONG)
        return
    await websocket.accept()
    metrics.stream(1)
    try:
        await _converse(repository, settings, websocket, (name, version), id)
    except need("starlette.websockets").WebSocketDisconnect:
        pass
    finally:
        metrics.stream(-1)
        for served in repository.all():
            if served.streams is not None:
                served.streams.pool.close([id])


async def _converse(repository, settings, websocket, key, id):
    is_new = True
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        is_text = message.get("text") is not None
        try:
            served, future = await _submit(repository, key, id, message, is_new)
            y = await asyncio.wait_for(asyncio.wrap_future(future), settings.timeout)
            is_new, key = False, (served.name, served.version)  # there it goes on, whatever versions come
            answer = _write(served.model, y, is_text)
        except Exception as error:  # noqa: BLE001  (the caller hears of it)
            failure = _failure_of(error)
            await websocket.send_text(dump({"error": failure.reason}).decode())
            if failure.status != 400:
                code = {503: AGAIN, 409: RESTART}.get(failure.status, WRONG)
                await websocket.close(code, failure.reason[:120])
                return
            continue
        await (websocket.send_text(answer.decode()) if is_text else websocket.send_bytes(answer))


def _failure_of(error):
    if isinstance(error, asyncio.TimeoutError):
        return Failure(504, "found no answer in the time it may take")
    return as_failure(error) or Failure(500, "internal error")


async def _submit(repository, key, id, message, is_new):
    for _ in range(TRIES):
        served = repository.get(*key)
        if served.streams is None:
            raise Failure(409, f"model '{served.name}' has no streams any more")
        try:
            return served, served.streams.submit(id, _read(served.model, message), starts=is_new)
        except ClosedError:  # just being replaced
            await asyncio.sleep(0.02)
    raise ClosedError(f"the streams of model '{key[0]}' are closed")


def _read(model, message):
    """Return a message's timestep as what `SessionPool.predict` takes."""
    [tensor, *others], temporal = model.inputs, model.step_plan.inputs
    if message.get("text") is None:
        if others or tensor.dtype == TEXT:
            raise InputError(f"found a binary message, expected text with inputs {model.input_names}")
        shape = [-1 if n is None else n for n in tensor.shape[2:]]
        data, dtype = message["bytes"], tensor.dtype.newbyteorder("<")
        if len(data) % dtype.itemsize or shape.count(-1) > 1:
            raise InputError(f"found {len(data)} bytes, expected {tensor.dtype} of shape {tensor.shape[2:]}")
        try:
            return np.frombuffer(data, dtype).reshape(1, *shape)
        except ValueError:
            found = f"found {len(data)} bytes"
            raise InputError(f"{found}, expected {tensor.dtype} of shape {tensor.shape[2:]}") from None
    try:
        given = load(message["text"])
    except ValueError as error:
        raise InputError(f"found a message that is no JSON ({error!s:.100})") from None
    is_named = isinstance(given, dict) and not (tensor.dtype == TEXT and list(given) == ["b64"])
    given = given if is_named else {tensor.name: given}
    if sorted(given) != sorted(model.input_names):
        raise InputError(f"found inputs {sorted(given)!s:.200}, expected {model.input_names}")
    names = zip(model.input_names, model.inputs, strict=True)
    values = [as_array([given[name]], name, one.dtype) for name, one in names]
    return [value if is_temporal else value[0] for value, is_temporal in zip(values, temporal, strict=True)]


def _write(model, y, is_text):
    pairs = zip(flatten(y), model.step_plan.outputs, strict=True)
    arrays = [np.ascontiguousarray(array[0] if is_temporal else array) for array, is_temporal in pairs]
    if not is_text:
        if len(arrays) > 1:
            raise InputError(f"found a binary message, expected text: the answer is {output_names(model)}")
        return arrays[0].astype(arrays[0].dtype.newbyteorder("<"), copy=False).tobytes()
    plain = [texts_for_json(array, packs=True) if array.dtype == TEXT else array for array in arrays]
    return dump(plain[0] if len(plain) == 1 else dict(zip(output_names(model), plain, strict=True)), arrays)
