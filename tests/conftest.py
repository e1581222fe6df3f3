"""What several test modules share: the oracle is importable as ``reference``, and kernels also run as plain Python."""

import sys
import types
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def _fma(a, b, c):
    return type(c)(float(a) * float(b) + float(c))


@pytest.fixture(scope="session")
def plain():
    """Return a function that turns a kernel, and all kernels it calls, into plain Python."""
    made = {}

    def turn(value, name=None):
        if name == "fma":  # an intrinsic: it has no Python
            return _fma
        if not hasattr(value, "py_func"):
            return value
        if value not in made:
            code, names = value.py_func.__code__, {}
            made[value] = types.FunctionType(code, names, code.co_name)
            names.update((key, turn(item, key)) for key, item in value.py_func.__globals__.items())
        return made[value]

    return turn
