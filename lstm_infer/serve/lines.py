"""The log: one JSON object a line, and those of requests some at a time."""

import asyncio
import json
import logging
import time

REQUEST = "request"
"""The event of which there is one for every request."""
DELAY = 0.05
"""Seconds that the lines of requests may wait for others: a write for each would cost more than all else in them."""


class Lines(logging.StreamHandler):
    """Writes to a stream. Lines of requests wait a moment for others if an event loop runs; all others go at once."""

    def __init__(self, stream):
        super().__init__(stream)
        self._held = []
        self.setFormatter(JsonLines())

    def emit(self, record):
        """Write a record, or keep it until `flush`."""
        try:
            self._held.append(self.format(record) + self.terminator)
            if record.msg != REQUEST:
                self.flush()
            elif len(self._held) == 1:
                asyncio.get_running_loop().call_later(DELAY, self.flush)
        except RuntimeError:  # no loop
            self.flush()
        except Exception:  # noqa: BLE001  (as every handler: a log that cannot be written ends nothing)
            self.handleError(record)

    def flush(self):
        """Write what was kept."""
        self.acquire()
        try:
            held, self._held = self._held, []
            if held:
                self.stream.write("".join(held))
            super().flush()
        except Exception:  # noqa: BLE001
            self.handleError(logging.makeLogRecord({"msg": "the log"}))
        finally:
            self.release()


class JsonLines(logging.Formatter):
    """Time, level, event and what belongs to it."""

    def format(self, record):
        """Return a record as a line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{int(record.msecs):03d}Z", "level": record.levelname.lower(),
            "event": record.getMessage(), **getattr(record, "data", {}),
        }  # fmt: skip
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
