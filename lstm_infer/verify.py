"""Replays recorded answers of Keras and tells how far ours are from them.

A golden file is an npz with ``input_0``, ... and ``output_0``, ...; the calls of a stateful model in a row have the
prefixes ``call0_``, ``call1_``, ....
"""

import re
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .layers.structure import flatten

TOLERANCES = {"float64": 1e-11, "float32": 2e-5, "half": 2e-2, "quantised": 2e-2}
"""How far, relative to ``1 + |Keras|``, an output may be from Keras's, by what the model computes in. Keras computes
16-bit policies in 16 bits; here they are computed in float32."""


@dataclass(frozen=True)
class Difference:
    """How far one output is from the recorded one.

    Attributes
    ----------
    name : str
        The key of the recorded output.
    largest : float
        Largest ``|ours - Keras| / (1 + |Keras|)``; infinite where shapes differ or only one of them is a number.
    tolerance : float
    """

    name: str
    largest: float
    tolerance: float

    @property
    def agrees(self):
        """Whether the difference is within the tolerance."""
        return self.largest <= self.tolerance


def verify(model, golden, tolerance=None):
    """Run `model` on recorded inputs and compare.

    Parameters
    ----------
    model : Model
    golden : mapping of str to array
        See the module.
    tolerance : float, optional
        Instead of `TOLERANCES`.

    Returns
    -------
    list of Difference

    Raises
    ------
    InputError
        `golden` holds no calls, or its inputs do not fit the model.
    """
    model.reset_states()
    allowed = tolerance_of(model) if tolerance is None else tolerance
    differences = []
    for prefix in _calls(golden):
        inputs = _numbered(golden, f"{prefix}input_")
        recorded = _numbered(golden, f"{prefix}output_")
        ours = flatten(model.predict(inputs if len(inputs) > 1 else inputs[0]))
        if len(ours) != len(recorded):
            raise InputError(f"the model has {len(ours)} outputs, but {len(recorded)} are recorded as {prefix}output_N")
        for n, (mine, theirs) in enumerate(zip(ours, recorded, strict=True)):
            differences.append(Difference(f"{prefix}output_{n}", difference(mine, theirs), allowed))
    return differences


def tolerance_of(model):
    """Return the tolerance of `TOLERANCES` for what `model` computes in: that of its least precise layer."""
    policies = {layer.policy for layer in model.holders()}
    if any("_from_" in policy for policy in policies):
        return TOLERANCES["quantised"]
    if any("16" in policy for policy in policies):
        return TOLERANCES["half"]
    return TOLERANCES["float64" if policies == {"float64"} else "float32"]


def difference(ours, theirs):
    """Return the largest ``|ours - theirs| / (1 + |theirs|)``; NaN agrees with NaN and infinity with itself.

    >>> difference(np.array([1.0, np.nan]), np.array([1.5, np.nan]))
    0.2
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        return float("inf")
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        far = np.where(same, 0.0, np.abs(ours - theirs) / (1 + np.abs(theirs)))
    return float(np.nan_to_num(far, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _calls(golden):
    prefixes = {m.group(1) for m in (re.match(r"(call\d+_|)input_\d+$", key) for key in golden) if m}
    if not prefixes:
        raise InputError(f"found arrays {sorted(golden)[:8]}, expected input_0, ... (or call0_input_0, ...)")
    return sorted(prefixes, key=lambda prefix: int(prefix[4:-1] or 0) if prefix else 0)


def _numbered(golden, stem):
    keys = sorted((key for key in golden if re.fullmatch(stem + r"\d+", key)), key=lambda key: int(key[len(stem) :]))
    if [int(key[len(stem) :]) for key in keys] != list(range(len(keys))) or not keys:
        raise InputError(f"found arrays {sorted(golden)[:8]}, expected {stem}0, {stem}1, ...")
    return [golden[key] for key in keys]
