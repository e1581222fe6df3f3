"""Scaling of columns, as it was done before the model was trained; described by a small JSON.

By column, ``{"temperature": {"mean": 11.2, "scale": 3.4}, "rain": {"min": 0, "max": 80}}``, or for all columns in
order, ``{"mean": [11.2, 4.0], "scale": [3.4, 9.1]}``: the attributes of scikit-learn's StandardScaler (``mean_``,
``scale_``) and MinMaxScaler (``data_min_``, ``data_max_``, ``feature_range``).
"""

import json

import numpy as np

from ..errors import InputError

FORMS = "mean and scale, or min and max"


class Scaling:
    """Numbers that were measured, as the numbers that the model knows.

    Parameters
    ----------
    given : str or dict
        A JSON file, or what it holds.

    Raises
    ------
    InputError
        It is not as the module describes.

    Examples
    --------
    >>> scaling = Scaling({"t": {"mean": 10, "scale": 2}, "u": {"min": 0, "max": 4}})
    >>> scaling.apply(np.array([[12.0, 1.0]]), ["t", "u"])
    array([[1.  , 0.25]])
    >>> scaling.undo(np.array([1.0]), "t")
    array([12.])
    """

    def __init__(self, given):
        self._name = given if isinstance(given, str) else "scale"
        if isinstance(given, str):
            try:
                with open(given, encoding="utf-8") as file:
                    given = json.load(file)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{self._name}: found no valid JSON ({error})") from None
        if not isinstance(given, dict):
            raise InputError(f"{self._name}: found {type(given).__name__}, expected an object of columns")
        given = given.get("columns", given)
        self._of_all = _line(given, self._name) if any(word in given for word in ("mean", "min")) else None
        self._by_column = {} if self._of_all else {c: _line(p, f"{self._name}, '{c}'") for c, p in given.items()}

    @property
    def names(self):
        """The columns that are named."""
        return set(self._by_column)

    def apply(self, array, columns):
        """Scale an array in float64; `columns` are its last axis, or all its axes but the first, flattened."""
        if not array.size:
            return array
        if self._of_all is None and len(columns) != array.shape[-1] and len(columns) > 1:
            return self.apply(array.reshape(len(array), len(columns)), columns).reshape(array.shape)
        factor, offset, shift = self._parameters(columns, array.shape[-1])
        return (array - shift) / factor + offset

    def undo(self, array, column):
        """Return what the scaled numbers of one column, given by name or place, meant."""
        if self._of_all is None:
            if column not in self._by_column:
                raise InputError(f"{self._name}: found no column '{column}', only {list(self._by_column)}")
            factor, offset, shift = (part[0] for part in self._by_column[column])
        else:
            place = int(column) if str(column).isdecimal() else -1
            if not 0 <= place < len(self._of_all[0]):
                raise InputError(f"{self._name}: found {column!r}, expected a place below {len(self._of_all[0])}")
            factor, offset, shift = (part[place] for part in self._of_all)
        return ((array - offset) * factor + shift).astype(array.dtype)

    def _parameters(self, columns, size):
        if self._of_all is not None:
            if len(self._of_all[0]) not in (1, size):
                raise InputError(f"{self._name}: found scaling of {len(self._of_all[0])} columns, expected {size}")
            return self._of_all
        missing = [column for column in columns if column not in self._by_column]
        if missing:
            raise InputError(f"{self._name}: found no scaling of {missing}, only of {list(self._by_column)}")
        return [np.concatenate(parts) for parts in zip(*(self._by_column[c] for c in columns), strict=True)]


def _line(given, where):
    """Return factor, offset and shift: the scaled number is ``(x - shift) / factor + offset``."""
    if not isinstance(given, dict):
        raise InputError(f"{where}: found {given!r:.40}, expected {FORMS}")
    try:
        numbers = {k: np.atleast_1d(np.asarray(v, np.float64)) for k, v in given.items()}
    except (TypeError, ValueError):
        raise InputError(f"{where}: found something else than numbers, expected {FORMS}") from None
    if "min" in numbers and "max" in numbers:
        low, high = numbers.get("feature_range", np.array([0.0, 1.0]))
        factor, offset, shift = (numbers["max"] - numbers["min"]) / (high - low), low, numbers["min"]
    elif "mean" in numbers and ("scale" in numbers or "std" in numbers):
        factor, offset, shift = numbers.get("scale", numbers.get("std")), 0.0, numbers["mean"]
    else:
        raise InputError(f"{where}: found {sorted(given)}, expected {FORMS}")
    if factor.shape != shift.shape or not all(np.isfinite(part).all() for part in (factor, offset, shift)):
        raise InputError(f"{where}: found {FORMS} of different size, or not finite")
    factor = np.where(factor == 0, 1.0, factor)  # a constant column, as scikit-learn treats it
    return factor, np.broadcast_to(offset, factor.shape), shift
