"""The model files of a server: which there are, under which names.

    FOLDER/sunspots.h5              model 'sunspots', version 1
    FOLDER/digits/digits.keras      model 'digits', version 1
    FOLDER/weather/1/model.h5       model 'weather', version 1
    FOLDER/weather/2/model.h5       ... and version 2, which callers get unless they ask for another
    FOLDER/co2.json, co2.weights.h5 model 'co2': an architecture and its weights

Of two files that give one name, the first in order of names counts. A folder that may not be read (``lost+found``) is
one model that cannot be loaded.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".keras", ".h5", ".hdf5")
STRANGE = re.compile(r"[^A-Za-z0-9._-]")


class Source(NamedTuple):
    """Files of a model, and what of them would change if they did."""

    path: Path
    weights: Path | None
    stamp: tuple


def find(path):
    """Yield ((name, version), `Source`) of every model of a file or folder."""
    if path.is_file():
        yield (_name(path.stem), "1"), _source(path)
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_file() and _is_model(entry):
            yield (_name(entry.stem), "1"), _source(entry)
        elif entry.is_dir():
            versions = [folder for folder in _inside(entry) or () if folder.is_dir() and folder.name.isdecimal()]
            for folder in versions or [entry]:
                files = _inside(folder)
                models = [folder] if files is None else [file for file in files if file.is_file() and _is_model(file)]
                if models:
                    yield (_name(entry.name), str(int(folder.name)) if versions else "1"), _source(models[0])


def _inside(folder):
    """Return what is in a folder, in order; None where that is not to be known."""
    try:
        return sorted(folder.iterdir())
    except PermissionError:
        return None


def _is_model(path):
    if path.suffix == ".json":
        return _weights_of(path) is not None
    return path.suffix in SUFFIXES and not path.name.endswith(".weights.h5") and not path.name.startswith(".")


def _weights_of(path):
    weights = path.with_name(f"{path.stem}.weights.h5")
    return weights if path.suffix == ".json" and weights.is_file() else None


def _name(text):
    """Return the name of a model: what of a file's name needs no quoting in a URL."""
    name = STRANGE.sub("_", text).lstrip("._-")
    return name[:128] or hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _source(path):
    weights = _weights_of(path)
    states = [file.stat() for file in (path, weights) if file is not None]
    return Source(path, weights, tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in states))
