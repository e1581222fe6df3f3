"""Streams on disk: a folder with one file for each version of a model, and nobody else's.

    FOLDER/NAME@VERSION.npz          the streams as of the last snapshot; no file where there are none
    FOLDER/NAME@VERSION.npz.unused   ... that did not fit the model that came up; .unused.2 and so on beside it
    FOLDER/NAME@VERSION.npz.since    the ids of streams that have gone on since (``journal``)
    FOLDER/.lock                     held while a server runs; says ``running`` until one has ended in good order

What could not be restored is never written over. It is taken up again when a model comes up whose streams they can be
and which has found no others.
"""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from ..errors import InputError, LSTMInferError
from .journal import Journal

log = logging.getLogger("lstm_infer.serve")
RUNNING = b"running\n"


class Snapshots:
    """The folder, from here on locked.

    Parameters
    ----------
    folder : str or PathLike

    Raises
    ------
    InputError
        Another server has it.
    OSError
    """

    def __init__(self, folder):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _hold(self._lock, self._folder)
            self._has_crashed = os.read(self._lock, len(RUNNING)) == RUNNING
        except BaseException:
            os.close(self._lock)
            raise
        self._written, self._barred, self._journals = set(), set(), {}

    def begin(self):
        """Note that a server runs, so that the next one knows if this one does not come to its end."""
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, RUNNING)
        os.fsync(self._lock)

    def close(self, is_whole):
        """Let the folder go; `is_whole` says that all streams are in it."""
        for journal in self._journals.values():
            journal.close()
        if is_whole:
            os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def attach(self, served):
        """Let a model that comes up, its streams restored, keep a journal."""
        if served.streams is not None:
            served.streams.journal = self._journal(self._path(served))

    def save(self, served):
        """Write a model's streams; those of connections, which nobody can reach again, are left out.

        Returns
        -------
        bool
            Whether they are on the disk now.
        """
        if served.streams is None:
            return True
        path, pool = self._path(served), served.streams.pool
        if path in self._barred:
            return False
        journal = self._journal(path)
        journal.turn(list(served.streams.behind.copy()))
        try:
            ids = [id for id in pool.ids if isinstance(id, (str, int))]
            if ids:
                pool.save(path, ids)
                self._written.add(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            log.error("no snapshot", extra={"data": {"model": served.name, "reason": str(error)}})
            return False
        journal.settle()
        return True

    def restore(self, served):
        """Give a model that has just come up the streams it had; set aside what cannot be its streams."""
        if served.streams is None:
            return
        path = self._path(served)
        try:
            found = self._take(served, path)
        except (LSTMInferError, OSError) as error:
            found = False
            self._set_aside(served, path, error)
        for other in [] if found else self._unused(path):
            try:
                found = self._take(served, other)
            except (LSTMInferError, OSError):  # said when it was set aside
                continue
            if found:
                with suppress(OSError):
                    os.replace(other, path)
                self._journal(other).settle()
                return

    def _take(self, served, path):
        """Restore one file; return whether there was a stream in it."""
        if not path.exists():
            return False
        served.streams.pool.restore(path)
        served.streams.loose.update(served.streams.pool.ids)  # which of them were, no file says
        ids, number = set(served.streams.pool.ids), len(served.streams.pool)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(path.stat().st_mtime))
        served.streams.behind = dict.fromkeys(self._journal(path).read() & ids, moment)
        data = {"model": served.name, "version": served.version, "restored": number, "path": str(path)}
        if self._has_crashed and path not in self._written:
            data["reason"] = "the server before did not end in good order: they are as of its last snapshot"
            data["behind"] = len(served.streams.behind)
            log.warning("streams", extra={"data": data})
        else:
            log.info("streams", extra={"data": data})
        return number > 0

    def _set_aside(self, served, path, error):
        numbers = [_number(other) for other in self._unused(path)]
        kept = f"{path}.unused" + (f".{max(numbers) + 1}" if numbers else "")
        try:
            os.replace(path, kept)
            self._journal(path).move(f"{kept}.since")
            self._barred.discard(path)
        except OSError:  # then there will be no snapshots of this model
            kept = path
            self._barred.add(path)
        data = {"model": served.name, "version": served.version, "reason": str(error), "kept": str(kept)}
        log.error("streams not restored", extra={"data": data})

    def _unused(self, path):
        """Return what was set aside, the newest first."""
        found = [other for other in self._folder.glob(f"{path.name}.unused*") if _number(other)]
        return sorted(found, key=_number, reverse=True)

    def _journal(self, path):
        return self._journals.setdefault(path, Journal(f"{path}.since"))

    def _path(self, served):
        return self._folder / f"{served.name}@{served.version}.npz"


def _number(path):
    """Return the number of a file that was set aside, 0 of others."""
    last = path.name.rpartition(".unused")[2]
    return 1 if last == "" else int(last[1:]) if last[0] == "." and last[1:].isdecimal() else 0


def _hold(handle, folder):
    """Lock a folder as long as the handle is open."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{folder}: found another server that keeps its streams there now, expected none") from None
    except OSError:  # a file system without locks
        pass
