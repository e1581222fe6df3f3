"""Recorded calls: an npz file that is read as a whole."""

import numpy as np

from ..errors import InputError


def read_golden(path):
    """Read an npz file of recorded calls as a dict of arrays.

    Raises
    ------
    InputError
        The file is no npz file.
    """
    with open(path, "rb") as source:
        try:
            data = np.load(source, allow_pickle=False)
            data = data if isinstance(data, np.ndarray) else dict(data)
        except Exception as error:  # strange bytes make NumPy, zipfile and zlib raise nearly anything
            raise InputError(f"{path}: found no valid npz file ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: found a single array, expected an npz file")
    return data
