"""The models of a server: found in a file or folder (``files``), loaded, and replaced when their files change."""

import logging
import threading
from pathlib import Path

from ..errors import InputError, LSTMInferError
from .failures import Failure
from .files import SUFFIXES, find
from .garbage import settle_again
from .served import Served
from .snapshots import Snapshots

log = logging.getLogger("lstm_infer.serve")


class Repository:
    """All models of a path.

    Parameters
    ----------
    path : str or PathLike
        A model file, or a folder of them.
    settings : Settings
    """

    def __init__(self, path, settings):
        self._path, self._settings = Path(path), settings
        self._models, self._failed, self._seen = {}, {}, {}  # by (name, version): Served; (stamp, reason); Source
        self._versions = {}  # by name: `Served` by version, never changed but replaced
        self._lock, self._stopped, self._thread = threading.Lock(), threading.Event(), None
        self._snapshots = None
        self.is_ready = False

    # ------------------------------------------------------------ asking
    def get(self, name, version=None):
        """Return the `Served` of a name: of its highest version unless one is given.

        Raises
        ------
        Failure
            There is none.
        """
        versions = self._versions.get(name)
        if versions is None:
            raise Failure(404, f"found no model {name!r:.80} here")
        if version is None:
            return versions[max(versions, key=int)] if len(versions) > 1 else next(iter(versions.values()))
        if version not in versions:
            raise Failure(404, f"found no version {version!r:.20} of model '{name}', only {sorted(versions, key=int)}")
        return versions[version]

    def get_for_stream(self, name, version, id, starts):
        """Return the `Served` that a piece of a stream is for.

        Where no version is asked for, a stream begins with the highest and goes on with the one that it began with.

        Raises
        ------
        Failure
            There is none.
        """
        served = self.get(name, version)
        if version is None and not starts:
            return next((one for one in self._able(name) if id in one.streams.loose), served)
        return served

    def note_start(self, served, id, version):
        """Note that a stream has begun with a model, and which version was asked for, if any."""
        for one in self._able(served.name):
            if version is None or one is served:
                one.streams.loose.discard(id)
        if version is None:
            served.streams.loose.add(id)

    def _able(self, name):
        return [one for one in self._versions.get(name, {}).values() if one.streams is not None]

    def all(self):
        """Return every `Served`, in order."""
        return [self._models[key] for key in sorted(self._models, key=_by_number)]

    def failed(self):
        """Return what could not be loaded: reasons by (name, version)."""
        return {key: reason for key, (_, reason) in sorted(self._failed.items(), key=lambda item: _by_number(item[0]))}

    # ------------------------------------------------------------ loading
    def start(self):
        """Load all models; then look for changes now and then.

        Raises
        ------
        FileNotFoundError
        InputError
            There is no model, or none could be loaded, or another server keeps its streams in the same folder.
        """
        self._path.stat()
        if self._settings.snapshots is not None:
            self._snapshots = Snapshots(self._settings.snapshots)
        try:
            self.refresh(is_first=True)
            if not self._models:
                reasons = "; ".join(self.failed().values()) or f"{self._path}: found no model file, expected {SUFFIXES}"
                raise InputError(reasons)
        except BaseException:
            self._let_go_of_snapshots(False)
            raise
        if self._snapshots is not None:
            self._snapshots.begin()
        self.is_ready = True
        if self._settings.poll > 0:
            self._thread = threading.Thread(target=self._watch, name="lstm_infer reload", daemon=True)
            self._thread.start()

    def close(self):
        """Answer what is there, keep the streams where that is wanted, and end all threads."""
        self.is_ready = False
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        for served in self.all():
            served.close()
        self._let_go_of_snapshots(self.snapshot())
        self._models.clear()
        self._sort()

    def _watch(self):
        while not self._stopped.wait(self._settings.poll):
            try:
                if self._look():
                    settle_again()
            except OSError as error:  # a folder that is gone for a moment
                log.error("reload failed", extra={"data": {"reason": str(error)}})
            except Exception:  # noqa: BLE001  (nothing may end the reloading)
                log.exception("reload failed")

    def _look(self):
        """Do what is to be done now and then; return as `refresh`. Nothing of a model that is gone is held after it."""
        is_changed = self.refresh()
        for served in self.all():
            if served.streams is not None:
                served.streams.evict()
        self.snapshot()
        return is_changed

    def refresh(self, is_first=False):
        """Load what is new or has changed, and let go what is gone; requests on their way are answered.

        Returns
        -------
        bool
            Whether there is another set of models now.
        """
        with self._lock:
            found, before = {}, self._versions
            for key, source in find(self._path):
                if found.setdefault(key, source) is not source and is_first:
                    files = {"model": key[0], "used": found[key].path.name, "passed_over": source.path.name}
                    log.warning("two files of one name", extra={"data": files})
            for key, source in found.items():
                served, failed = self._models.get(key), self._failed.get(key)
                if served and served.source == source:
                    self._failed.pop(key, None)  # what stood in its place for a while is gone
                is_known = (served and served.source == source) or (failed and failed[0] == source)
                is_settled = is_first or self._seen.get(key) == source  # not just being written
                if not is_known and is_settled:
                    self._load(key, source)
            for key in [key for key in self._models if key not in found]:
                gone = self._models.pop(key)
                self._sort()
                log.info("removed", extra={"data": {"model": key[0], "version": key[1]}})
                gone.close()
                if self._snapshots is not None:
                    self._snapshots.save(gone)
            self._failed = {key: value for key, value in self._failed.items() if key in found}
            self._seen = found
        return self._versions is not before

    def _load(self, key, source):
        name, version = key
        try:
            served = Served(name, version, source, self._settings)
        except (LSTMInferError, OSError, MemoryError) as error:
            self._failed[key] = source, str(error)
            log.error("not loaded", extra={"data": {"model": name, "version": version, "reason": str(error)}})
            return
        self._failed.pop(key, None)
        old = self._models.get(key)
        self._hand_over(old, served)
        if self._snapshots is not None:
            self._snapshots.attach(served)
        self._models[key] = served
        self._sort()
        if old is not None:
            old.close()
        how = {"mode": served.scheduler.mode, "reason": served.scheduler.reason}
        log.info("loaded", extra={"data": {"model": name, "version": version, **how}})

    def _sort(self):
        """Note which versions there are of every name."""
        versions = {}
        for (name, version), served in self._models.items():
            versions.setdefault(name, {})[version] = served
        self._versions = versions

    # ------------------------------------------------------------ streams
    def _hand_over(self, old, served):
        """Give a model that comes up the streams of the one in its place, or else those on disk."""
        if old is not None and old.streams is not None:
            old.streams.close()  # callers that come in this moment find it closed, and ask for the new one
            try:
                if served.streams is not None:
                    served.streams.inherit(old.streams)
                    return
            except InputError as error:
                log.warning("streams ended", extra={"data": {"model": served.name, "reason": str(error)}})
            if self._snapshots is not None:
                self._snapshots.save(old)
        if self._snapshots is not None:
            self._snapshots.restore(served)

    def snapshot(self):
        """Write the streams of all models to the folder of snapshots, if there is one; return whether all are there."""
        if self._snapshots is None:
            return True
        return all([self._snapshots.save(served) for served in self.all()])

    def _let_go_of_snapshots(self, is_whole):
        if self._snapshots is not None:
            self._snapshots.close(is_whole)
            self._snapshots = None


def _by_number(key):
    name, version = key
    return name, int(version)
