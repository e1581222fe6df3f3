"""What every request passes: a name of its own, the token, a line in the log; and whatever fails becomes an answer."""

import hmac
import logging
import random
import re
import time

from .connection import CROWDED
from .lines import REQUEST
from .replies import json_reply, refuse_socket

log = logging.getLogger("lstm_infer.serve")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
OPEN = ("/v2/health/live", "/v2/health/ready")
"""Paths that need no token, and are answered in any crowd: whoever starts servers looks there."""
STRANGER = "found no bearer token, or a wrong one"
FULL = "found too many connections, expected fewer (--connections)"


def new_id():
    """Return a name for a request; not a secret, so it need not cost a call of the system."""
    return f"{random.getrandbits(128):032x}"


class Door:
    """An ASGI application around another.

    Parameters
    ----------
    app : callable
    token : str or None
        What callers must show.
    metrics : Metrics
    """

    def __init__(self, app, token, metrics):
        self._app, self._metrics = app, metrics
        self._expected = None if token is None else f"bearer {token}".encode()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began, headers, status = time.perf_counter(), dict(scope["headers"]), 0
        given = headers.get(b"x-request-id", b"")
        id = given.decode() if REQUEST_ID.fullmatch(given) else new_id()
        scope.setdefault("state", {})["request_id"] = id

        async def send_named(message):
            nonlocal status
            if message["type"] == "websocket.accept":
                status = 101
            elif message["type"].endswith("http.response.start"):  # of a request, or of a WebSocket that is refused
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id.encode())]
            await send(message)

        is_open = scope["path"] in OPEN
        if scope["state"].get(CROWDED) and not is_open:
            await _refuse(scope, send_named, 503, FULL, 1013, {"retry-after": "1"})
        elif not is_open and not self._is_allowed(headers):
            await _refuse(scope, send_named, 401, STRANGER, 1008, {"www-authenticate": "Bearer"})
        else:
            await self._app(scope, receive, send_named)
        if scope["type"] == "http":
            self._metrics.count(_protocol(scope["path"]), status, began)
        if log.isEnabledFor(logging.INFO):
            milliseconds = round(1000 * (time.perf_counter() - began), 3)
            line = {"id": id, "method": scope.get("method", "WEBSOCKET"), "path": scope["path"][:200]}
            # as log.info, without the search through the stack for who calls, which nobody reads
            data = {"data": {**line, "status": status, "ms": milliseconds}}
            log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, REQUEST, (), None, extra=data))

    def _is_allowed(self, headers):
        if self._expected is None:
            return True
        kind, _, rest = headers.get(b"authorization", b"").partition(b" ")
        return hmac.compare_digest(kind.lower() + b" " + rest.strip(), self._expected)


async def _refuse(scope, send, status, reason, code, headers):
    if scope["type"] == "websocket":
        await refuse_socket(scope, send, status, reason, code, headers)
    else:
        await json_reply({"error": reason}, status, {**headers, "connection": "close"}).send(send)


def _protocol(path):
    start = path[1:].partition("/")[0]
    return start if start in ("v1", "v2") else "other"
