"""Which streams of a model have gone on since the last snapshot, on disk: so much survives a server that is killed.

One id a line, as JSON; an id is written once between two snapshots. A file is not forced to the disk: it is to outlive
the process, not the machine.
"""

import json
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

log = logging.getLogger("lstm_infer.serve")


class Journal:
    """The ids of one model's streams.

    Parameters
    ----------
    path : str
        Of the file; while a snapshot is written there is another, ``PATH.before``.
    """

    def __init__(self, path):
        self._path, self._before = Path(path), Path(f"{path}.before")
        self._lock, self._ids, self._file, self._is_broken = threading.Lock(), set(), None, False

    def read(self):
        """Return the ids that the files hold."""
        ids = set()
        for path in (self._before, self._path):
            with suppress(OSError):
                for line in path.read_bytes().splitlines():
                    with suppress(ValueError, TypeError, RecursionError):
                        ids.add(json.loads(line))
        return ids

    def note(self, ids):
        """Write the ids that are not there yet; those that no snapshot keeps are left out."""
        with self._lock:
            new = [id for id in ids if id not in self._ids and isinstance(id, (str, int))]
            if not new:
                return
            try:
                if self._file is None:
                    self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                os.write(self._file, "".join(f"{json.dumps(id)}\n" for id in new).encode())
                self._ids.update(new)
            except OSError as error:
                self._complain(error)

    def turn(self, ids):
        """Begin anew, with some ids: a snapshot is about to be written. The old ones are kept until `settle`."""
        with self._lock:
            self._close()
            try:
                if self._path.exists():
                    with self._before.open("ab") as file:
                        file.write(self._path.read_bytes())
                    self._path.unlink()
            except OSError as error:
                self._complain(error)
        self.note(ids)

    def settle(self):
        """Forget the old ids: the snapshot is written."""
        with suppress(OSError):
            self._before.unlink(missing_ok=True)

    def move(self, path):
        """Begin anew; the old ids become those of another journal, with a snapshot that has another name now."""
        self.turn([])
        with suppress(OSError):
            os.replace(self._before, f"{path}.before")

    def close(self):
        """Write no more."""
        with self._lock:
            self._close()

    def _close(self):
        if self._file is not None:
            os.close(self._file)
        self._file, self._ids = None, set()

    def _complain(self, error):
        if not self._is_broken:
            self._is_broken = True
            log.error("no journal", extra={"data": {"path": str(self._path), "reason": str(error)}})
