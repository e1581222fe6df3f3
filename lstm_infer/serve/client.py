"""As much of an HTTP client as a load test needs: quick enough not to be what is measured. Standard library only."""

import asyncio

END = b"\r\n\r\n"
KEPT = 4.0
"""Seconds for which an idle one is used again: servers close them (uvicorn after 5), maybe as a request comes."""


class Answer(Exception):
    """A server's answer that is none, or a connection that has ended."""


class Connection(asyncio.Protocol):
    """A connection that asks one thing after another."""

    def __init__(self):
        self.transport, self.is_over = None, False
        self._received, self._waiting = bytearray(), None

    @classmethod
    async def open(cls, host, port):
        """Connect."""
        return (await asyncio.get_running_loop().create_connection(cls, host, port))[1]

    async def ask(self, head, body, seconds=None):
        """Send a request, and return the answer's status, headers (lower case) and body.

        Raises
        ------
        Answer
            There is none, or none after so many seconds.
        """
        self.send(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        return await self.answer(seconds)

    def send(self, data):
        """Send some bytes; what the connection does not take now goes later."""
        self.transport.write(data)

    async def answer(self, seconds=None):
        """Return the status, headers and body of the next answer."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, self._fail, "it takes too long")
        self._look()
        try:
            return await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def close(self):
        """Close, at once."""
        self.transport.abort()

    # ------------------------------------------------------------ what asyncio calls
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self._received += data
        self._look()

    def eof_received(self):
        self.is_over = True
        self._look()

    def connection_lost(self, error):
        self.is_over = True
        self._look()

    def _look(self):
        """Give the answer that has come to whom it is for."""
        if self._waiting is None or self._waiting.done():
            return
        received = self._received
        start = received.find(END) + len(END)
        if start >= len(END):
            try:
                status, headers = _read_head(bytes(received[:start]))
                end = start + int(headers.get(b"content-length", b"0"))
            except (IndexError, ValueError) as error:
                self._fail(repr(error))
                return
            if len(received) >= end:
                body = bytes(received[start:end])
                del received[:end]
                self._waiting.set_result((status, headers, body))
                return
        if self.is_over:
            self._fail(f"the connection ended after {len(received)} bytes")

    def _fail(self, reason):
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Answer(f"no answer: {reason}"))


class Connections:
    """Connections to one server, each used by one caller at a time."""

    def __init__(self, host, port):
        self._host, self._port, self._idle = host, port, []

    async def ask(self, head, body, seconds=None):
        """As `Connection.ask`, over any that is idle, or a new one."""
        connection, now = None, asyncio.get_running_loop().time()
        while self._idle and connection is None:
            since, connection = self._idle.pop()
            if now - since > KEPT or connection.is_over or connection.transport.is_closing():
                connection.close()
                connection = None
        connection = connection or await Connection.open(self._host, self._port)
        try:
            answer = await connection.ask(head, body, seconds)
        except BaseException:
            connection.close()
            raise
        if answer[1].get(b"connection", b"").lower() == b"close":
            connection.close()
        else:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        return answer

    def close(self):
        """Close all that are idle."""
        while self._idle:
            self._idle.pop()[1].close()


def _read_head(text):
    """Return the status and the headers, names in lower case."""
    first, *lines = text.split(b"\r\n")
    pairs = (line.partition(b":") for line in lines if line)
    return int(first.split(b" ")[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}
