"""Predictions over files of data, of any size, in constant memory.

`predict_files` goes from files to a file, `predict_batches` from an iterable to a generator; ``lstm-infer predict``
calls the former. On the way: ``sources`` finds the files, a ``reader`` of each format yields blocks of columns,
``plan`` and ``samples`` make inputs of them, ``compute`` predicts, ``writers`` and ``targets`` write; ``job`` lets all
of them work at once. Names are resolved when they are first used, so that ``lstm-infer --help`` imports nothing heavy.
"""

import importlib

_HOMES = {
    "predict_files": "job",
    "predict_batches": "job",
    "predict_on_cluster": "cluster",
    "Done": "job",
    "Settings": "settings",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
