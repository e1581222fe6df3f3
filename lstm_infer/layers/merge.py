"""Layers that join several values into one.

How their masks join differs between releases of Keras (`Semantics.merge_mask`), and in Keras 3.5 and later
some values depend on the masks too. Sources: ``keras/src/layers/merging`` of Keras 3.15, ``layers/merge.py`` of
Keras 2.
"""

import functools

import numpy as np

from ..errors import InputError
from ..kernels.reductions import multiply_pairs
from .base import Layer, readonly


class _Merge(Layer):
    """An operation on the elements of several inputs; inputs with fewer axes get new ones after the batch."""

    mask_role = "joins"
    supports_masking = True
    per_timestep = True
    keeps_integers = True

    def build(self, input_shape):
        if not isinstance(input_shape, list) or len(input_shape) < 1:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected a list of them")
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        rank = max(len(shape) for shape in input_shape)
        shapes = [(*shape[:1], *[1] * (rank - len(shape)), *shape[1:]) for shape in input_shape]
        return tuple(self._joined(sizes, input_shape) for sizes in zip(*shapes, strict=True))

    def _joined(self, sizes, input_shape):
        fixed = {n for n in sizes if n not in (None, 1)}
        if len(fixed) > 1:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected shapes that fit each other")
        return fixed.pop() if fixed else None if None in sizes else 1

    def call(self, inputs, mask=None):
        rank = max(x.ndim for x in inputs)
        values = [x.reshape(len(x), *[1] * (rank - x.ndim), *x.shape[1:]) for x in inputs]
        masks = mask if isinstance(mask, list) else [None] * len(values)
        if self.semantics.merge_mask != "any" or all(m is None for m in masks):
            return self.merge(values)
        # Keras forgets the mask of a value to which it adds axes
        masks = [None if m is None or x.ndim < rank else _wide(m, x) for m, x in zip(masks, inputs, strict=True)]
        return self.merge_masked(values, masks)

    def merge_masked(self, values, masks):
        """Merge where masks may matter: they do not, unless a subclass says so."""
        return self.merge(values)

    def compute_mask(self, inputs, mask=None):
        if not isinstance(mask, list) or all(m is None for m in mask) or self.semantics.merge_mask == "none":
            return None
        if self.semantics.merge_mask == "any":
            return None if any(m is None for m in mask) else functools.reduce(np.logical_or, mask)
        return functools.reduce(np.logical_and, [m for m in mask if m is not None])


def _wide(mask, value):
    """Return a (batch, timesteps) mask in the shape of a value."""
    return np.broadcast_to(mask.reshape(*mask.shape, *[1] * (value.ndim - mask.ndim)), value.shape)


class Add(_Merge):
    """The sum of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> Add()([np.ones((1, 2)), np.ones((1, 2))]).tolist()
    [[2.0, 2.0]]
    """

    def merge(self, values):
        return functools.reduce(np.add, values)


class Subtract(_Merge):
    """The first input less the second.

    Examples
    --------
    >>> import numpy as np
    >>> Subtract()([np.ones((1, 2)), np.ones((1, 2))]).tolist()
    [[0.0, 0.0]]
    """

    def build(self, input_shape):
        super().build(input_shape)
        if len(input_shape) != 2:
            raise InputError(f"layer '{self.name}': found {len(input_shape)} inputs, expected 2")

    def merge(self, values):
        return values[0] - values[1]


class Multiply(_Merge):
    """The product of the inputs; in Keras 3.5 and later a masked value counts as one, and as zero if all are masked.

    Examples
    --------
    >>> import numpy as np
    >>> Multiply()([np.full((1, 2), 3.0), np.full((1, 2), 2.0)]).tolist()
    [[6.0, 6.0]]
    """

    def merge(self, values):
        return functools.reduce(np.multiply, values)

    def merge_masked(self, values, masks):
        ones = [v if m is None else np.where(m, v, v.dtype.type(1)) for v, m in zip(values, masks, strict=True)]
        product = self.merge(ones)
        if any(m is None for m in masks):
            return product
        return np.where(functools.reduce(np.logical_or, masks), product, product.dtype.type(0))


class Average(_Merge):
    """The mean of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> Average()([np.full((1, 2), 3.0), np.full((1, 2), 2.0)]).tolist()
    [[2.5, 2.5]]
    """

    def output_dtype(self, inputs):
        return self._quotient_of(super().output_dtype(inputs))

    def _quotient_of(self, dtype):
        """Return what Keras makes of `dtype` by a division."""
        if dtype.kind == "f":
            return dtype
        return np.dtype(np.float64) if dtype.kind in "iu" and dtype.itemsize > 2 else self.dtype

    def merge(self, values):
        total = functools.reduce(np.add, values)
        quotient = self._quotient_of(total.dtype)
        return total.astype(quotient, copy=False) / quotient.type(len(values))


class _Extreme(_Merge):
    """The largest or smallest of the inputs; in Keras 3.5 and later a masked value gives way to the others."""

    def merge(self, values):
        return functools.reduce(self.choose, values)

    def merge_masked(self, values, masks):
        y, known = values[0], masks[0]
        for value, mask in zip(values[1:], masks[1:], strict=True):
            value = value if mask is None else np.where(mask, value, y)
            y = y if known is None else np.where(known, y, value)
            known = None if mask is None or known is None else known | mask
            y = self.choose(y, value)
        return y


class Maximum(_Extreme):
    """The largest of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> Maximum()([np.full((1, 2), 3.0), np.full((1, 2), 2.0)]).tolist()
    [[3.0, 3.0]]
    """

    choose = staticmethod(np.maximum)


class Minimum(_Extreme):
    """The smallest of the inputs.

    Examples
    --------
    >>> import numpy as np
    >>> Minimum()([np.full((1, 2), 3.0), np.full((1, 2), 2.0)]).tolist()
    [[2.0, 2.0]]
    """

    choose = staticmethod(np.minimum)


class Concatenate(Layer):
    """The inputs behind each other along an axis.

    Parameters
    ----------
    axis : int
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Concatenate()([np.ones((1, 2)), np.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """

    mask_role = "joins in time"
    supports_masking = True
    per_timestep = True
    keeps_integers = True
    config_names = ("axis",)

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = int(axis)

    def build(self, input_shape):
        super().build(input_shape)
        # joined along time, an answer is no longer that of a timestep
        self.per_timestep = self.per_timestep and self.axis % len(input_shape[0]) != 1

    def compute_output_shape(self, input_shape):
        shape = list(input_shape[0])
        fits = all(len(other) == len(shape) for other in input_shape) and -len(shape) <= self.axis < len(shape)
        if fits:
            rest = [[n for k, n in enumerate(s) if k != self.axis % len(shape)] for s in input_shape]
            fits = all(len({n for n in sizes if n is not None}) <= 1 for sizes in zip(*rest, strict=True))
        if not fits:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected shapes that fit each other")
        sizes = [other[self.axis] for other in input_shape]
        shape[self.axis] = None if None in sizes else sum(sizes)
        return tuple(shape)

    def call(self, inputs):
        return np.concatenate(inputs, axis=self.axis)

    def compute_mask(self, inputs, mask=None):
        if not isinstance(mask, list) or all(m is None for m in mask) or self.semantics.merge_mask == "none":
            return None
        shapes = [np.shape(x) for x in inputs]
        wide = [np.ones(s, bool) if m is None else np.broadcast_to(_as_column(m, s), s if m.ndim < len(s) else m.shape)
                for m, s in zip(mask, shapes, strict=True)]  # fmt: skip
        joined = np.concatenate(wide, axis=self.axis)
        return joined.any(axis=-1) if self.semantics.merge_mask == "any" else joined.all(axis=-1)


def _as_column(mask, shape):
    return mask.reshape(*mask.shape, *[1] * (len(shape) - mask.ndim))


class Dot(Layer):
    """The dot product of two inputs along an axis of each.

    Parameters
    ----------
    axes : int or pair of int
    normalize : bool
        Scale both to unit length along the axis first.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).tolist()
    [[11.0]]
    """

    config_names = ("axes", "normalize")
    keeps_integers = True

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        self.axes = axes if isinstance(axes, int) else [int(n) for n in axes]
        self.normalize = normalize

    def _axes(self, *ranks):
        pair = [self.axes] * 2 if isinstance(self.axes, int) else self.axes
        return [axis % rank for axis, rank in zip(pair, ranks, strict=True)]

    def compute_output_shape(self, input_shape):
        (first, second), (a, b) = input_shape, self._axes(*map(len, input_shape))
        if min(a, b) < 1 or (first[a] != second[b] and None not in (first[a], second[b])):
            raise InputError(f"layer '{self.name}': found {input_shape}, expected the same size on axes {self.axes}")
        shape = [n for k, n in enumerate(first) if k != a] + [n for k, n in enumerate(second) if k not in (0, b)]
        return tuple(shape) if len(shape) > 1 else (*shape, 1)

    def output_dtype(self, inputs):
        return self.dtype if self.normalize else self._product_dtype(super().output_dtype(inputs))

    def _product_dtype(self, dtype):
        """Return the dtype of a product of numbers of `dtype`; 8 bits have no room for it."""
        return np.dtype(np.int32) if dtype == np.int8 else dtype

    def call(self, inputs):
        x, y = inputs
        a, b = self._axes(x.ndim, y.ndim)
        wanted = [self.dtype if self.normalize else self._product_dtype(value.dtype) for value in inputs]
        x, y = x.astype(wanted[0], copy=False), y.astype(wanted[1], copy=False)
        if self.normalize:
            x, y = _unit_length(x, a), _unit_length(y, b)
        x, y = np.moveaxis(x, a, -1), np.moveaxis(y, b, 1)
        if x.shape[-1] != y.shape[1] or len(x) != len(y):
            raise InputError(f"layer '{self.name}': found {x.shape} and {y.shape}, which do not fit")
        shape = (*x.shape[:-1], *y.shape[2:])
        x = x.reshape(len(x), int(np.prod(x.shape[1:-1])), x.shape[-1])
        y = y.reshape(len(y), y.shape[1], int(np.prod(y.shape[2:])))
        out = _products(x, y)
        return out.reshape(shape if len(shape) > 1 else (*shape, 1))


def _products(x, y):
    """Return ``x[b] @ y[b]`` for every b."""
    if x.dtype.kind in "biu":  # exact in any order
        return np.matmul(x, y)
    out = np.empty((len(x), x.shape[1], y.shape[2]), x.dtype)
    multiply_pairs(readonly(x), readonly(y), out)
    return out


def _unit_length(x, axis):
    squares = np.zeros_like(np.take(x, 0, axis=axis))
    for part in np.moveaxis(x, axis, 0):  # a fixed order of summation
        squares = squares + part * part
    return x / np.expand_dims(np.sqrt(np.maximum(squares, x.dtype.type(1e-12))), axis)
