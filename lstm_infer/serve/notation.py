"""JSON as these protocols have it: with NaN, Infinity and -Infinity, which strict JSON has no words for.

TensorFlow Serving says so (https://www.tensorflow.org/tfx/serving/api_rest#json_conformance), Triton does likewise, and
so does Python's ``json``, which is what their clients read and write with.
"""

import json

import numpy as np

from .settings import need

WORDS = b"NaN", b"Infinity"


def load(text):
    """Return the value of some JSON, bytes or str.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        return need("orjson").loads(text)
    except ValueError:
        raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        # ``json`` lets halves of characters pass, which nothing can be answered with
        if not any(word in raw for word in WORDS) or b"\\ud" in raw.lower():
            raise
    try:
        return json.loads(raw.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dump(value, arrays=()):
    """Return JSON as bytes; arrays are written as lists.

    Parameters
    ----------
    value : dict or list
    arrays : iterable of arrays
        Those in it, in which numbers may not be finite.
    """
    orjson = need("orjson")
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(value, separators=(",", ":"), default=np.ndarray.tolist).encode()
