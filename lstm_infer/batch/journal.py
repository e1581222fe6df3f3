"""What a job has done, kept beside its output, so that another process can go on."""

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field

import numpy as np

from .. import __version__
from ..errors import InputError

NAME = "journal.json"


@dataclass
class Progress:
    """How far a job is.

    Attributes
    ----------
    samples : int
        Samples whose predictions are written, or that were rejected.
    rows : int
        Predictions written.
    read_rejected, rejected : int
        Rows that were rejected before they became samples; all rejected rows.
    rejected_bytes : int
        The size of the file of rejected rows.
    state : object
        Of the writer.
    """

    samples: int = 0
    rows: int = 0
    read_rejected: int = 0
    rejected: int = 0
    rejected_bytes: int = 0
    state: object = field(default=None)


def save(folder, identity, progress):
    """Replace the journal of a folder, at once and for good."""
    document = {"identity": identity, "progress": asdict(progress)}
    path = os.path.join(folder, NAME)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    sync_folder(folder)


def load(folder, identity, target):
    """Return the `Progress` of the job that left a folder.

    Raises
    ------
    InputError
        That was another job: the message says what differs.
    """
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError:
        return Progress()
    except ValueError:
        raise InputError(f"{target}: found a broken journal in {folder}; run without resume to begin anew") from None
    for part, words in PARTS.items():
        if document["identity"].get(part) != identity[part]:
            raise InputError(f"{target}: found a job that was stopped, but {words}; run without resume to begin anew")
    return Progress(**document["progress"])


PARTS = {
    "model": "with another model",
    "inputs": "with other input (files, or their sizes or times, differ)",
    "settings": "with other options",
    "version": "of another version of lstm_infer",
}


def identity(model, sources, settings):
    """Return what makes a job the same job: the model, the files, the options, this program."""
    plain = json.loads(json.dumps(settings.identity(), default=str, sort_keys=True))
    for name in ("scale", "tokenizer"):  # what the files say, not what they are called
        if isinstance(plain[name], str):
            with open(plain[name], "rb") as file:
                plain[name] = hashlib.sha256(file.read()).hexdigest()
    return {"model": digest(model), "inputs": [_stamp(s) for s in sources], "settings": plain, "version": __version__}


def _stamp(source):
    if source.path == "-" or not source.is_file:
        return [str(source), None, None]
    status = os.stat(source.path)
    return [os.path.abspath(source.path), source.inside, status.st_size, status.st_mtime_ns]


def digest(model):
    """Return a digest of a model: its layers, their options and their weights."""
    found = hashlib.sha256(repr([(t.name, t.shape, str(t.dtype)) for t in (*model.inputs, *model.outputs)]).encode())
    for path, layer in model.walk():
        about = path, type(layer).__name__, _plain(layer.get_config()), _plain(asdict(layer.semantics))
        found.update(repr(about).encode())
        for name, array in layer.weights.items():
            found.update(repr((name, array.shape, str(array.dtype))).encode())
            found.update(memoryview(np.ascontiguousarray(array)).cast("B") if array.size else b"")
    return found.hexdigest()


def _plain(value):
    """Return what is the same in every process: a function is known by its name."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)


def sync_folder(folder):
    """Make renames in a folder durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
