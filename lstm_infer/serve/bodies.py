"""The bodies of requests: no more bytes than allowed, packed or not, and not slower."""

import asyncio
import zlib

from .failures import Failure
from .settings import need

WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""What zlib must be told for each encoding: 47 also takes what is called deflate and is gzip or zlib."""
CHUNK, MOST_MEMBERS = 1 << 16, 1000
"""Bytes that are unpacked at a time, and members of a gzip: what comes after a member is copied."""


async def read_body(request, settings):
    """Return a request's body, unpacked.

    Raises
    ------
    Failure
        It is too large, too slow, or of an encoding that is not known here.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", *WINDOWS):
        raise Failure(415, f"found content-encoding '{encoding:.40}', expected one of {sorted(WINDOWS)}")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > settings.body:
        raise _too_large(settings)
    body = await _gather_in_time(request, settings)
    return unpack(body, encoding, settings) if encoding in WINDOWS else body


async def _gather_in_time(request, settings):
    """`_gather`, with a timer: ``asyncio.wait_for`` would make a task of it, which costs as much as all the rest."""
    task, is_late = asyncio.current_task(), False

    def end():
        nonlocal is_late
        is_late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(settings.body_seconds, end)
    try:
        return await _gather(request, settings)
    except asyncio.CancelledError:
        if not is_late:
            raise
        if hasattr(task, "uncancel"):
            task.uncancel()
        reason = f"found no whole body after {settings.body_seconds:g} s, the time it may take"
        raise Failure(408, reason, {"connection": "close"}) from None
    finally:
        timer.cancel()


async def _gather(request, settings):
    chunks, size, is_more = [], 0, True
    while is_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise need("starlette.requests").ClientDisconnect()
        chunk, is_more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > settings.body:
            raise _too_large(settings)
        if chunk:
            chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def unpack(body, encoding, settings):
    """Return what a packed body holds, of as many bytes as allowed at most; gzip may have several members."""
    parts, size, place, members, unpacker = [], 0, 0, 0, None
    view = memoryview(body)
    while place < len(body) or unpacker is None:
        if unpacker is None or unpacker.eof:
            members += 1
            if members > (1 if encoding == "deflate" else MOST_MEMBERS):
                raise Failure(400, f"found {len(body) - place} bytes after the {encoding}, expected none")
            unpacker = zlib.decompressobj(WINDOWS[encoding])
        chunk = view[place : place + CHUNK]
        try:
            parts.append(unpacker.decompress(chunk, settings.body + 1 - size))
        except zlib.error as error:
            raise Failure(400, f"found a body that is no {encoding} ({error})") from None
        size += len(parts[-1])
        if size > settings.body:
            raise _too_large(settings)
        place += len(chunk) - len(unpacker.unused_data) - len(unpacker.unconsumed_tail)
        if not chunk:
            break
    if not unpacker.eof:
        raise Failure(400, f"found a body whose {encoding} is cut short")
    return b"".join(parts)


def _too_large(settings):
    reason = f"found a body of more than {settings.body} bytes, the most that are taken"
    return Failure(413, reason, {"connection": "close"})
