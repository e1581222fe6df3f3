"""As much of an HTTP client as a load test needs: quick enough not to be what is measured. Standard library only."""

import asyncio


class Answer(Exception):
    """A server's answer that is none, or a connection that has ended."""


class Connection:
    """A connection that asks one thing after another."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, host, port):
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, head, body):
        """Send a request, and return the answer's status, headers (lower case) and body."""
        self.writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await self.writer.drain()
        return await self.answer()

    async def answer(self):
        """Return the status, headers and body of the next answer."""
        try:
            lines = (await self.reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            status = int(lines[0].split(b" ")[1])
            pairs = (line.partition(b":") for line in lines[1:] if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            body = await self.reader.readexactly(int(headers.get(b"content-length", b"0")))
        except (asyncio.IncompleteReadError, ConnectionError, IndexError, ValueError) as error:
            raise Answer(f"no answer: {error!r}") from error
        return status, headers, body

    def close(self):
        """Close, at once."""
        self.writer.transport.abort()


class Connections:
    """Connections to one server, each used by one caller at a time."""

    def __init__(self, host, port):
        self._host, self._port, self._idle = host, port, []

    async def ask(self, head, body):
        """As `Connection.ask`, over any that is idle, or a new one."""
        connection = None
        while self._idle and connection is None:
            connection = self._idle.pop()
            if connection.reader.at_eof() or connection.writer.transport.is_closing():  # the server has had enough
                connection.close()
                connection = None
        connection = connection or await Connection.open(self._host, self._port)
        try:
            answer = await connection.ask(head, body)
        except BaseException:
            connection.close()
            raise
        if answer[1].get(b"connection", b"").lower() == b"close":
            connection.close()
        else:
            self._idle.append(connection)
        return answer

    def close(self):
        """Close all that are idle."""
        while self._idle:
            self._idle.pop().close()
