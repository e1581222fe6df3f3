"""Data files for the command line: npy, npz and csv in and out, ``-`` for a pipe.

An output file is written beside its target under a temporary name, made durable, then renamed: whatever stops the
program, a file under the target's name is whole.
"""

import contextlib
import io
import os
import re
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np

from ..errors import InputError

FORMATS = ("npy", "npz", "csv")


def format_of(path, chosen, what):
    """Return the format of a file: the `chosen` one, else what its suffix says; CSV for a pipe.

    Raises
    ------
    InputError
        The suffix says nothing.
    """
    if chosen or str(path) == "-":
        return chosen or "csv"
    suffix = Path(path).suffix[1:].lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: found the suffix {suffix!r}, expected one of {FORMATS} or --{what}-format")
    return suffix


def read_inputs(path, chosen, model):
    """Read what `model` takes.

    Parameters
    ----------
    path : str
        A file, or ``-`` for standard input.
    chosen : str or None
        A format of `FORMATS`; by suffix if None.
    model : Model

    Returns
    -------
    array, or dict of arrays by input name

    Raises
    ------
    InputError
        The file is not what its format says, or does not fit the model.
    """
    kind = format_of(path, chosen, "input")
    if str(path) == "-" and sys.stdin is None:
        raise InputError("standard input is closed")
    source = io.BytesIO(sys.stdin.buffer.read()) if str(path) == "-" else open(path, "rb")  # noqa: SIM115
    with source:
        if kind == "csv":
            return _from_csv(source, path, model)
        data = _load(source, path, kind)
    if isinstance(data, dict):
        return _by_input(data, path, model)
    return data


def read_golden(path):
    """Read an npz file of recorded calls as a dict of arrays.

    Raises
    ------
    InputError
        The file is no npz file.
    """
    with open(path, "rb") as source:
        data = _load(source, path, "npz")
    if not isinstance(data, dict):
        raise InputError(f"{path}: found a single array, expected an npz file")
    return data


def _load(source, path, kind):
    try:
        data = np.load(source, allow_pickle=False)
        return data if isinstance(data, np.ndarray) else dict(data)
    except Exception as error:  # strange bytes make NumPy, zipfile and zlib raise nearly anything
        raise InputError(f"{path}: found no valid {kind} file ({error})") from None


def _by_input(data, path, model):
    names = model.input_names
    numbered = [f"input_{n}" for n in range(len(names))]
    for keys in (names, numbered):
        if set(keys) <= set(data):
            return {name: data[key] for name, key in zip(names, keys, strict=True)}
    if len(names) == 1 and len(data) == 1:
        return next(iter(data.values()))
    raise InputError(f"{path}: found arrays {sorted(data)}, expected {names} or {numbered}")


def _from_csv(source, path, model):
    """One row of numbers per sample, its timesteps one after the other; a header line is skipped."""
    if len(model.inputs) > 1:
        raise InputError(f"{path}: the model has {len(model.inputs)} inputs, expected an npz file")
    try:
        lines = source.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: found bytes that are not text ({error.reason}), expected CSV") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split(next((mark for mark in "\t;," if mark in line), None))
        try:
            rows.append([_number(cell) for cell in cells])
        except ValueError as error:
            if number == 1 and not any(re.match(r"\s*[-+]?\.?\d", cell) for cell in cells):
                continue  # a header: nothing in it begins like a number
            raise InputError(f"{path}, line {number}: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise InputError(f"{path}, line {number}: found {len(rows[-1])} numbers, expected {len(rows[0])}")
    return _shaped(np.array(rows), path, model.inputs[0])


def _number(cell):
    if "_" in cell:  # which float() takes for a separator of thousands
        raise ValueError(f"could not convert string to float: {cell!r}")
    return float(cell)


def _shaped(table, path, tensor):
    shape = tensor.shape[1:]
    if not table.size:
        return np.empty((0, *(n or 1 for n in shape)))
    free = sum(n is None for n in shape)
    known = int(np.prod([n for n in shape if n is not None], dtype=int))
    fits = table.shape[1] == known if free == 0 else free == 1 and table.shape[1] % known == 0
    if not fits:
        raise InputError(f"{path}: found {table.shape[1]} numbers a row, expected inputs of shape {tensor.shape}")
    return table.reshape(len(table), *(-1 if n is None else n for n in shape))


def write_outputs(path, chosen, names, outputs):
    """Write predictions.

    Parameters
    ----------
    path : str
        The target, or ``-`` for standard output.
    chosen : str or None
        A format of `FORMATS`; by suffix if None.
    names : list of str
        The outputs' names: the keys of an npz file.
    outputs : list of arrays

    Raises
    ------
    InputError
        Several outputs do not fit into the format.
    """
    kind = format_of(path, chosen, "output")
    if kind != "npz" and len(outputs) > 1:
        raise InputError(f"the model has {len(outputs)} outputs, expected an .npz target or --output-format npz")
    if str(path) == "-":
        if sys.stdout is None:
            raise OSError("standard output is closed")
        buffer = io.BytesIO()
        _write(buffer, kind, names, outputs)
        sys.stdout.buffer.write(buffer.getbuffer())
        sys.stdout.buffer.flush()
        return
    target = Path(os.path.realpath(path))  # what a link points to, not the link
    if target.exists() and not target.is_file():  # a pipe or a device is written into, not replaced
        with open(target, "wb") as file:
            _write(file, kind, names, outputs)
        return
    with _replacing(target) as file:
        _write(file, kind, names, outputs)


def _write(file, kind, names, outputs):
    if kind == "npy":
        np.save(file, outputs[0])
    elif kind == "npz":
        np.savez(file, **dict(zip(names, outputs, strict=True)))
    else:
        rows = outputs[0].reshape(len(outputs[0]), int(np.prod(outputs[0].shape[1:])))
        digits = "%.9g" if rows.dtype == np.float32 else "%.17g"  # enough to read the same number back
        np.savetxt(file, rows, fmt=digits, delimiter=",")


@contextlib.contextmanager
def _replacing(target):
    """Open a temporary file beside `target` that takes its place once it is whole and on the disk."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name[:32]}.", dir=target.parent)
    except OSError as error:
        error.filename = str(target)
        raise
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
