"""Which files a model was loaded from: a pickle of it names them, instead of holding their weights."""

import hashlib
import os
from typing import NamedTuple

from .errors import LoadError


class Origin(NamedTuple):
    """Where a model came from: enough for another process to load it, as long as nobody has changed it."""

    files: tuple
    stamps: tuple
    arguments: dict
    loaded: tuple

    @classmethod
    def of(cls, model, path, weights, arguments):
        """Return the origin of a model that was just loaded; None if files with names do not tell all of it."""
        given = [file for file in (path, weights) if file is not None]
        if not all(isinstance(file, (str, os.PathLike)) and os.path.isfile(file) for file in given):
            return None
        if any(os.fspath(file).endswith(".weights.json") for file in given):  # the arrays are in other files
            return None
        files = tuple(os.path.abspath(file) for file in given)
        return cls(files, _stamps(files), arguments, _what_holds(model))

    def describes(self, model):
        """Whether the model is still what the files say."""
        same = all(a is b for a, b in zip(self.loaded, _what_holds(model), strict=False))
        try:
            return same and self.stamps == _stamps(self.files)
        except OSError:
            return False

    def reduced(self, model):
        """Return what pickle takes: the files' names and digests."""
        digests = tuple(_digest(file) for file in self.files)
        return _load_again, (self.files, digests, self.arguments, model.threads)


def _stamps(files):
    return tuple((status.st_size, status.st_mtime_ns) for status in map(os.stat, files))


def _what_holds(model):
    """Return the objects that hold weights and semantics: others take their place when these change."""
    return tuple(part for _, layer in model.walk() for part in (layer.weights, layer.semantics))


def _digest(file):
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _load_again(files, digests, arguments, threads):
    """Load a model that was pickled by the names of its files.

    Raises
    ------
    LoadError
        A file is another one now.
    FileNotFoundError
        It is not there: models travel by name, and every machine needs the file at the same place.
    """
    from .loading import load_model

    for file, digest in zip(files, digests, strict=True):
        if _digest(file) != digest:
            raise LoadError(f"{file}: found another file than the pickled model was loaded from")
    return load_model(files[0], weights=files[1] if len(files) > 1 else None, threads=threads, **arguments)
