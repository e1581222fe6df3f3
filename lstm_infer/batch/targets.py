"""Where predictions go: beside a file that takes its place once all is done, or straight into a stream.

All of a job that is not done stands in one folder beside the target, ``.NAME.partial``: the output so far, the rejected
rows, and the journal that says how much of them counts. Whatever stops the program, a file under the target's name is
whole.
"""

import contextlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

from ..errors import InputError
from . import journal
from .spool import FINISH, Spool
from .writers import CsvWriter, JsonlWriter, NpyWriter

FORMATS = ("npy", "npz", "csv", "jsonl", "parquet", "arrow", "h5")
SUFFIXES = {"feather": "arrow", "hdf5": "h5", "ndjson": "jsonl", "pq": "parquet", **{kind: kind for kind in FORMATS}}
STDOUT = ("-", "/dev/stdout", "/dev/fd/1")
DIRECT = {"npy": NpyWriter, "csv": CsvWriter, "jsonl": JsonlWriter}
SECONDS = 1.0
"""How often progress is made durable."""


def format_of(path, chosen):
    """Return the format of an output: the `chosen` one, else what its suffix says; CSV for a pipe.

    Raises
    ------
    InputError
        The suffix says nothing.
    """
    if chosen is not None and chosen not in FORMATS:
        raise InputError(f"found output_format={chosen!r}, expected one of {FORMATS}")
    if chosen or str(path) in STDOUT:
        found = chosen or "csv"
    else:
        suffix = Path(path).suffix[1:].lower()
        found = SUFFIXES.get(suffix)
        if found is None:
            raise InputError(f"{path}: found the suffix {suffix!r}, expected one of {FORMATS} or --output-format")
    if found in ("parquet", "arrow"):
        from .typed import arrow

        arrow()
    return found


def open_target(path, settings, names, identity):
    """Return a target for an output.

    Parameters
    ----------
    path : str or PathLike
        A file, or ``-`` for standard output.
    settings : Settings
    names : list of str
        Of the outputs.
    identity : callable
        Returns what a job that goes on must agree in.
    """
    kind = format_of(path, settings.output_format)
    if kind == "npy" and len(names) > 1:
        raise InputError(f"the model has {len(names)} outputs, expected an .npz target or --output-format npz")
    if kind == "npy" and (settings.index or settings.with_input or settings.time):
        raise InputError("an npy target holds the predictions alone, expected another format for what stands beside")
    if str(path) in STDOUT:
        if sys.stdout is None:
            raise OSError("standard output is closed")
        return StreamTarget(os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0), kind, settings, names)
    target = Path(os.path.realpath(path))  # what a link points to, not the link
    if target.is_dir():
        raise InputError(f"{path}: found a folder, expected a file to write")
    if target.exists() and not target.is_file():  # a pipe or a device is written into, not replaced
        return StreamTarget(open(target, "wb", buffering=0), kind, settings, names)
    return FileTarget(target, kind, settings, names, identity())


class _Rejects:
    """A file of JSON lines, one for each row that was skipped."""

    def __init__(self, path, size, is_whole=False):
        self._path, self._file, self.size = path, None, size
        if not is_whole and (size or os.path.exists(path)):
            self._open()

    def _open(self):
        self._file = open(self._path, "ab")  # noqa: SIM115  (closed at the end of the job)
        self._file.truncate(self.size)
        self._file.seek(self.size)

    def write(self, rejected):
        if rejected and self._file is None:
            self._open()
        for one in rejected:
            line = {"source": one.source, "row": one.row, "where": one.where, "reason": one.reason, "text": one.text}
            self.size += self._file.write((json.dumps(line) + "\n").encode())

    def sync(self):
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self):
        if self._file is not None:
            self._file.close()


class FileTarget:
    """A file that appears when it is whole.

    Attributes
    ----------
    progress : journal.Progress
        How far the job is: where to begin, too.
    is_whole : bool
        Whether a job before has computed everything, and only the renaming is left.
    """

    def __init__(self, target, kind, settings, names, identity):
        self.path, self._kind, self._settings, self._identity = target, kind, settings, identity
        self.folder = target.parent / f".{target.name}.partial"
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            error.filename = str(target)
            raise
        self._lock, self._file = _lock(self.folder, target), None
        try:
            self.progress = journal.load(self.folder, identity, target) if settings.resume else journal.Progress()
        except InputError:
            if self._lock is not None:
                os.close(self._lock)
            raise
        self._data = self.folder / "data"
        if self.progress.state == "whole" and not self._data.exists() and not target.exists():
            self.progress = journal.Progress()  # the output was in its place, and somebody has taken it away since
        self.begins = not self.progress.samples and not self.progress.rejected
        if self.begins:
            _clear(self.folder)
        self.is_whole = self.progress.state == "whole"
        self._rejects = _Rejects(self.folder / "rejected", self.progress.rejected_bytes, self.is_whole)
        self._writer = None if self.is_whole else self._open_writer(names)
        self._saved, self._may_save = time.monotonic(), True

    def _open_writer(self, names):
        state = None if self.begins else self.progress.state
        if self._kind not in DIRECT:
            return Spool(str(self.folder), names, state)
        handle = os.open(self._data, os.O_RDWR | os.O_CREAT, 0o666)
        self._file = os.fdopen(handle, "r+b", buffering=0)
        if not state:
            self._file.truncate(0)
        return DIRECT[self._kind](self._file, names, self._settings, state or 0)

    def write(self, results):
        """Append results; what is durable is noted every second."""
        if results.rows:
            self._writer.write(results)
        self._rejects.write(results.rejected)
        progress = self.progress
        progress.samples += results.samples
        progress.rows += results.rows
        progress.read_rejected += results.read_rejected
        progress.rejected += len(results.rejected)
        progress.rejected_bytes = self._rejects.size
        if time.monotonic() - self._saved > SECONDS:
            self.save()

    def save(self):
        """Make what was written durable and note how much it is."""
        self.progress.state = self._writer.state()
        self._rejects.sync()
        journal.save(self.folder, self._identity, self.progress)
        self._saved = time.monotonic()

    def finish(self, empty):
        """Put the file in its place; `empty` makes the results of no rows, if there were none."""
        if not self.is_whole:
            if not self.progress.rows:
                self._writer.write(empty())
            self.save()
            self._may_save = False
            self._complete()
        self._rejects.close()
        if self.progress.rejected and (self.folder / "rejected").exists():
            shutil.move(self.folder / "rejected", self.rejected_file)
        elif not self.progress.rejected and self._settings.rejected is None:
            Path(self.rejected_file).unlink(missing_ok=True)  # of the output that was here before
        if self._data.exists():
            os.replace(self._data, self.path)
        journal.sync_folder(self.path.parent)
        self._remove()

    def _complete(self):
        """Make the output whole, under its temporary name; from then on a job that goes on has but to rename it."""
        if self._kind in DIRECT:
            self._writer.finish()
            self._writer.state()
            self._file.close()
        else:
            self._writer.close()
            FINISH[self._kind](str(self._data), self._writer.columns)
            with open(self._data, "rb+") as file:
                os.fsync(file.fileno())
        mode = stat.S_IMODE(self.path.stat().st_mode) if self.path.exists() else 0o666 & ~_umask()
        os.chmod(self._data, mode)
        self._rejects.sync()
        self.progress.state = "whole"
        journal.save(self.folder, self._identity, self.progress)

    @property
    def rejected_file(self):
        """Where the rejected rows go."""
        return str(self._settings.rejected or self.path.with_name(self.path.name + ".rejected.jsonl"))

    def keep(self):
        """Leave what is done for a job that goes on; return whether there is anything."""
        if self._may_save and not self.is_whole:
            with contextlib.suppress(OSError):  # a disk that is full: then the note of a second ago holds
                self.save()
            self._close()
        return (self.folder / journal.NAME).exists() and bool(self.progress.rows)

    def abandon(self):
        """Leave everything as it is: a thread may still be writing, and the last note holds."""
        self._may_save = False

    def discard(self):
        """Remove everything."""
        self._remove()

    def _remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self._close()

    def _close(self):
        with contextlib.suppress(OSError):  # what was not written yet need not be
            self._rejects.close()
        for file in (self._file, self._writer if self._kind not in DIRECT else None):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class StreamTarget:
    """Standard output, a pipe or a device: written as results come, or at the end where the format needs all."""

    is_whole = False

    def __init__(self, file, kind, settings, names):
        self._file, self._kind = file, kind
        if settings.resume:
            file.close()
            raise InputError("resume needs an output file: a stream cannot be taken back")
        self.progress, self.begins = journal.Progress(), True
        self._folder = self._temporary = None
        if kind in ("csv", "jsonl"):
            self._writer = DIRECT[kind](file, names, settings)
        else:
            self._folder = tempfile.mkdtemp(prefix="lstm-infer.")
            self._data = os.path.join(self._folder, "data")
            if kind == "npy":
                self._temporary = open(self._data, "w+b")  # noqa: SIM115  (closed in finish or discard)
                self._writer = NpyWriter(self._temporary, names, settings)
            else:
                self._writer = Spool(self._folder, names)
        self.rejected_file = settings.rejected
        self._rejects = _Rejects(settings.rejected, 0) if settings.rejected else None

    def write(self, results):
        """Write results."""
        if results.rows:
            self._writer.write(results)
        if self._rejects is not None:
            self._rejects.write(results.rejected)
        self.progress.samples += results.samples
        self.progress.rows += results.rows
        self.progress.rejected += len(results.rejected)

    def finish(self, empty):
        """Write what is left."""
        if self._folder is not None:
            if not self.progress.rows:
                self._writer.write(empty())
            if self._temporary is not None:
                self._writer.finish()
                self._temporary.close()
            else:
                self._writer.close()
                FINISH[self._kind](self._data, self._writer.columns)
            with open(self._data, "rb") as whole:
                shutil.copyfileobj(whole, self._file, 1 << 20)
        self._file.close()
        self.discard()

    def abandon(self):
        """Nothing can be left: what was written is out."""

    def keep(self):
        """Keep nothing: what was written is out."""
        self.discard()
        return False

    def discard(self):
        """Remove what is temporary."""
        if self._rejects is not None:
            self._rejects.close()
        for file in (self._temporary, self._file, self._writer if isinstance(self._writer, Spool) else None):
            if file is not None:
                with contextlib.suppress(OSError):  # whose reader has gone, for instance
                    file.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _clear(folder):
    for path in folder.iterdir():
        path.unlink()


def _lock(folder, target):
    """Return a handle that keeps other jobs away from a folder, for as long as it is open."""
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"{target}: found another job that writes it now") from None
    except OSError:  # a file system without locks
        pass
    return handle


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
