"""Uvicorn's protocol for HTTP, with manners of our own: patience, how long a head may be, how many may come at once.

What arrives is counted, read by read, from the last thing that the parser could make of it, so that neither a head nor
the lines after a chunked body can go on for ever. A caller that has sent its request and closed its half of the
connection is answered if that does not take long; after that it counts as gone, which looks the same from here.
"""

import json
import uuid

from .settings import need
from .unread import watch_reading

MOST_HEAD = 1 << 16
"""Bytes of a request's line and headers."""
HALF_CLOSED = 2.0
"""Seconds in which a caller that will send no more is answered."""
LINGER = 1.0
"""Seconds in which a caller whose request is refused may go on sending: it would miss the answer otherwise."""
HASTE = 1.0
"""Seconds in which a request must begin on a connection that is one too many."""
EXCESS = 100
"""Connections too many that still hear why."""
CROWDED = "is_crowded"
"""What stands in a request's state where its connection is one too many."""
REASONS = {400: "Bad Request", 431: "Request Header Fields Too Large"}


def make_protocol(patience, most):
    """Return the protocol.

    Parameters
    ----------
    patience : float
        Seconds after which a connection is ended on which no whole request comes, or no answer is read.
    most : int
        Connections at the same time; the requests of some more are marked as `CROWDED`, others broken off at once.
    """
    base = watch_reading(need("uvicorn.protocols.http.auto").AutoHTTPProtocol, patience)
    tells = hasattr(base, "on_message_begin")  # httptools; h11 has limits itself

    class Connection(base):
        _seen = _timer = _last_words = None
        _is_begun, _is_refused, _is_half, _is_long, _unread = True, False, False, False, 0

        def connection_made(self, transport):
            super().connection_made(transport)
            is_crowded = len(self.connections) > most
            if is_crowded:
                self.app_state = {**self.app_state, CROWDED: True}
            self._timer = self.loop.call_later(min(patience, HASTE) if is_crowded else patience, self._look)
            if len(self.connections) > most + min(EXCESS, most):
                transport.abort()

        def data_received(self, data):
            if self._is_refused:
                return
            before = self.cycle
            self._unread += len(data) if tells else 0
            super().data_received(data)
            if self._is_long or self._unread > MOST_HEAD:
                self._refuse(431, f"found a head of more than {MOST_HEAD} bytes, the most that are taken")
            is_idle = before is None or before.response_complete
            self._is_begun = is_idle and self.cycle is before  # a request, of which the head is not whole

        def eof_received(self):
            cycle = self.cycle
            if self._is_refused and self._last_words is None:
                return None
            if cycle is None or cycle.response_complete or cycle.more_body:
                return None
            self._is_half = True
            self._timer.cancel()
            self._timer = self.loop.call_later(HALF_CLOSED, self.transport.abort)
            return True

        def on_response_complete(self):
            super().on_response_complete()
            if not self.cycle.response_complete:
                return
            if self._last_words is not None:
                self._say(*self._last_words)
            elif self._is_half:
                self._timer.cancel()  # it has its answer, and may take its time to read it
                self.transport.close()

        def connection_lost(self, error):
            self._timer.cancel()  # a timer would keep the connection's memory until it rings
            super().connection_lost(error)
            if self.timeout_keep_alive_task is not None:  # uvicorn leaves it where a caller broke off
                self.timeout_keep_alive_task.cancel()

        def handle_websocket_upgrade(self, *given):
            self._timer.cancel()
            self.watch_no_more()
            super().handle_websocket_upgrade(*given)

        def send_400_response(self, msg):
            self._refuse(400, f"found a request that is no HTTP ({msg})")

        def _look(self):
            if self._is_begun and self.cycle is self._seen:
                self.transport.abort()
            else:
                self._seen = self.cycle
                self._timer = self.loop.call_later(patience, self._look)

        def _refuse(self, status, reason):
            """Answer what the application never sees, and let no more in."""
            if self._is_refused or self.transport.is_closing():
                return
            self._is_refused = True
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                self._say(status, reason)
            elif not cycle.more_body:
                self._last_words = status, reason  # when the requests before it have their answers
            elif cycle.response_started or getattr(self, "pipeline", None):
                self.transport.abort()  # an answer is on its way: another one cannot be put into it
            else:
                cycle.disconnected = True
                cycle.message_event.set()
                self._say(status, reason)

        def _say(self, status, reason):
            """Answer, and end."""
            self._last_words = None
            if self.transport.is_closing():
                return
            self.transport.write(_answer(status, reason))
            self._timer.cancel()
            if self.transport.can_write_eof():
                self.transport.write_eof()
                self._timer = self.loop.call_later(LINGER, self.transport.abort)
            else:
                self.transport.close()

        if tells:

            def on_message_begin(self):
                self._unread = 0
                super().on_message_begin()

            def on_headers_complete(self):
                size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
                self._unread, self._is_long = 0, size > MOST_HEAD
                if not self._is_long:
                    super().on_headers_complete()

            def on_body(self, body):
                self._unread = 0
                if not self._is_long:
                    super().on_body(body)

            def on_message_complete(self):
                self._unread = 0
                if not self._is_long:
                    super().on_message_complete()

    return Connection


def make_websocket_protocol(patience):
    """Return the protocol of WebSockets; `patience` as in `make_protocol`."""

    class Stream(watch_reading(need("uvicorn.protocols.websockets.auto").AutoWebSocketsProtocol, patience)):
        async def send(self, message):
            await super().send(message)
            if isinstance(message, dict) and message["type"] == "websocket.http.response.body":
                self.handshake_complete = True  # uvicorn would log an error: a refusal is no handshake to it

        def handle_ping(self, *event):
            if not self.is_paused:
                super().handle_ping(*event)
            elif not event:  # a caller that pings and does not read: its answers are forgotten
                self.conn.data_to_send()

    return Stream


def _answer(status, reason):
    body = json.dumps({"error": reason}).encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"x-request-id: {uuid.uuid4().hex}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
