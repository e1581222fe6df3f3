"""What the application answers with, and what makes an answer of a handler: what it returns, or what fails in it.

Starlette would do this through several layers of functions, which cost as much as all the rest of a request.
"""

import logging

from .failures import Failure, as_failure
from .notation import dump
from .settings import need

log = logging.getLogger("lstm_infer.serve")
JSON = "application/json"


class Reply:
    """A whole answer.

    Parameters
    ----------
    body : bytes
    status : int
    headers : dict of str
    kind : str
        The content type.
    """

    __slots__ = ("body", "status", "headers")

    def __init__(self, body, status=200, headers=None, kind=JSON):
        pairs = {"content-type": kind, "content-length": str(len(body)), **(headers or {})}
        self.body, self.status = body, status
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs.items()]

    async def send(self, send):
        """Send it, as ASGI has it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(value, status=200, headers=None):
    """Return a `Reply` with a value as JSON."""
    return Reply(dump(value), status, headers)


class Endpoint:
    """The ASGI application at the end of a route.

    Parameters
    ----------
    handler : coroutine function
        Takes a Starlette request and returns a `Reply`.
    method : str
        The only one that is allowed; with GET, HEAD too.
    """

    def __init__(self, handler, method):
        self._handler, self._methods = handler, ("GET", "HEAD") if method == "GET" else (method,)
        requests = need("starlette.requests")
        self._make, self._gone = requests.Request, requests.ClientDisconnect

    async def __call__(self, scope, receive, send):
        if scope["method"] in self._methods:
            reply = await self._handle(self._make(scope, receive))
        else:
            allowed = ", ".join(self._methods)
            reply = json_reply({"error": f"{_found(scope)}, expected {allowed}"}, 405, {"allow": allowed})
        await reply.send(send)

    async def _handle(self, request):
        try:
            return await self._handler(request)
        except self._gone:
            return json_reply({"error": "the caller has gone"}, 499)
        except Exception as error:  # noqa: BLE001  (callers get an answer, and the log the traceback)
            failure = as_failure(error)
            if failure is None:
                id = request.state.request_id
                log.exception("internal error", extra={"data": {"id": id}})
                failure = Failure(500, f"internal error; the log has it under request id {id}")
            return json_reply({"error": failure.reason}, failure.status, failure.headers)


async def no_route(scope, receive, send):
    """Answer a path that leads nowhere."""
    reason = f"{_found(scope)}, which is not here (see /docs)"
    if scope["type"] == "websocket":
        await refuse_socket(scope, send, 404, reason)
    else:
        await json_reply({"error": reason}, 404).send(send)


async def refuse_socket(scope, send, status, reason, code=1008, headers=None):
    """Refuse a WebSocket that has not opened: as a request, or by a code where the server knows no other way."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
        return

    async def send_to_socket(message):
        await send({**message, "type": f"websocket.{message['type']}"})

    await json_reply({"error": reason}, status, headers).send(send_to_socket)


def _found(scope):
    return f"found {scope.get('method', 'WEBSOCKET')} {scope['path']:.200}"
