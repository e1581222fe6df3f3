"""What Keras 1 made of two inputs as their cosine.

Source: ``keras/engine/topology.py`` and ``keras/backend/tensorflow_backend.py`` of Keras 1.2.2.
"""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import multiply_pairs
from .base import Layer, readonly


class CosineMerge(Layer):
    """What ``Merge(mode="cos")`` of Keras 1 computes on TensorFlow: a quotient of dot products, with an axis put in.

    For vectors it is their cosine, as (batch, 1, 1). Of matrices it divides every product by that of the two matrices
    with themselves at the same place, which is no cosine; where that is negative, by 1e-7.

    Parameters
    ----------
    axes : int or pair of int
        Those that are summed over.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> CosineMerge(dtype="float64")([np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])]).tolist()
    [[[0.96]]]
    """

    config_names = ("axes",)

    def __init__(self, axes=-1, **kwargs):
        super().__init__(**kwargs)
        whole = [axes] * 2 if isinstance(axes, int) else list(axes) if isinstance(axes, (list, tuple)) else []
        if len(whole) != 2 or not all(isinstance(n, int) for n in whole):
            raise InputError(f"layer '{self.name}': found axes {axes!r}, expected a number or two")
        self.axes = whole

    def _check(self, shapes):
        fits = isinstance(shapes, list) and len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) > 1
        pairs = zip(*shapes, strict=True) if fits else ()
        if not fits or any(a != b and None not in (a, b) for a, b in pairs):
            raise InputError(f"layer '{self.name}': found inputs {shapes}, expected two of the same shape")
        rank = len(shapes[0])
        if rank > 3:
            found = f"found inputs {shapes}, expected vectors or matrices"
            raise InputError(f"layer '{self.name}': {found}: of more axes TensorFlow and Theano make different things")
        if not all(-rank <= n < rank and n % rank for n in self.axes):
            raise InputError(f"layer '{self.name}': found axes {self.axes} for inputs {shapes}, expected others")
        return [n % rank for n in self.axes]

    def compute_output_shape(self, input_shape):
        a, b = self._check(input_shape)
        first, second = input_shape
        rank = len(first)
        if rank == 2:
            return (first[0], 1, 1)
        rows = first[-2] if a == rank - 1 else first[-1]
        columns = second[-2] if b == rank - 1 else second[-1]
        return (first[0], 1, rows, columns)

    def call(self, inputs):
        x, y = inputs
        a, b = self._check([x.shape, y.shape])
        with np.errstate(invalid="ignore"):
            length = np.sqrt(_batch_dot(x, x, a, b) * _batch_dot(y, y, a, b))
        least = x.dtype.type(1e-7)
        quotient = _batch_dot(x, y, a, b) / np.where(length > least, length, least)
        return quotient if x.ndim == 2 else np.expand_dims(quotient, 1)


def _batch_dot(x, y, a, b):
    """The dot products of Keras 1: of vectors, as matrices of one number, or of the matrices on the last two axes."""
    if x.ndim == 2:
        x, y = x[:, None], y[..., None]
    else:
        x = x if a == x.ndim - 1 else np.swapaxes(x, -1, -2)
        y = np.swapaxes(y, -1, -2) if b == y.ndim - 1 else y
    if x.shape[-1] != y.shape[-2]:
        raise InputError(f"found arrays {x.shape} and {y.shape}, which have no product")
    out = np.empty((*x.shape[:-1], y.shape[-1]), x.dtype)
    flat = [readonly(np.ascontiguousarray(part).reshape(-1, *part.shape[-2:])) for part in (x, y)]
    multiply_pairs(*flat, out.reshape(-1, *out.shape[-2:]))
    return out
