"""Connections whose callers do not read: what they asked for would stay in memory for ever, and no server could end.

Uvicorn lets such a connection be, even one that it has closed: a transport ends when all is sent, and nothing is.
"""

import contextlib
import struct

SLOWEST = 1 << 14
"""Bytes a second that a caller must read where some wait for it."""
HASTE = 5.0
"""Seconds between two looks once the server is told to stop."""


def watch_reading(base, patience):
    """Return a protocol of uvicorn's, for HTTP or WebSockets, that breaks off where nobody reads.

    Parameters
    ----------
    base : type
    patience : float
        Seconds between two looks.
    """

    class Watched(base):
        is_paused, _period, _watch, _pauses, _last = False, patience, None, 0, None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._watch = self.loop.call_later(self._period, self._look_for_unread)

        def connection_lost(self, error):
            self.watch_no_more()
            super().connection_lost(error)

        def pause_writing(self):
            self.is_paused = True
            self._pauses += 1
            super().pause_writing()

        def resume_writing(self):
            self.is_paused = False
            super().resume_writing()

        def shutdown(self):
            super().shutdown()
            self._period = min(patience, HASTE)
            self.watch_no_more()
            self._look_for_unread()

        def watch_no_more(self):
            """Leave the connection to another protocol, or be done."""
            if self._watch is not None:
                self._watch.cancel()

        def _look_for_unread(self):
            is_over = self.transport.is_closing()
            unread = unread_of(self.transport) if self.is_paused or is_over else 0
            last, self._last = self._last, (self._pauses, is_over, unread)
            if unread and last and last[:2] == self._last[:2] and 0 < last[2] < unread + SLOWEST * self._period:
                self.transport.abort()  # no more was written since the last look, and too little read
            else:
                self._watch = self.loop.call_later(self._period, self._look_for_unread)

    return Watched


def unread_of(transport):
    """Return how many bytes wait: ours, and those of the system's, which takes from us a megabyte at a time."""
    waiting = transport.get_write_buffer_size()
    if waiting:
        with contextlib.suppress(ImportError, OSError, ValueError, AttributeError):  # there is no such thing everywhere
            import fcntl
            import termios

            handle = transport.get_extra_info("socket").fileno()
            waiting += struct.unpack("i", fcntl.ioctl(handle, termios.TIOCOUTQ, bytes(4)))[0]
    return waiting
