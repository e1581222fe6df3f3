"""Operations on masks that Keras 3 writes into functional models as if they were layers.

When a functional model of Keras 3 has a mask, the computation of that mask is recorded too (``x != 0``, ``any`` over
the features, ``or`` of two masks, ...) and its result given to later layers as their ``mask=`` argument. Their own
arguments are positional, and any of them may be a tensor.
"""

import numpy as np

from .base import Layer, Tensor, _parameters
from .merge import Concatenate
from .structure import map_structure


class Operation(Layer):
    """A function of arrays and constants; its shape is found by trying it out.

    Parameters
    ----------
    axis : int or list of int, optional
    keepdims : bool
    **kwargs
        ``name``; ``dtype`` is that of the result, where the operation lets one choose it.
    """

    per_timestep = True
    result = bool

    def __init__(self, axis=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = tuple(axis) if isinstance(axis, list) else axis
        self.keepdims = keepdims

    def output_dtype(self, inputs):
        return np.dtype(self.result)

    def _connect(self, inputs, kwargs):
        self._arguments = [inputs, *(kwargs[name] for name in _parameters(type(self))[1:] if name in kwargs)]
        return super()._connect(inputs, kwargs)

    def compute_output_shape(self, input_shape):
        def trial(free):
            def zeros(leaf):
                shape = [free if n is None else n for n in leaf.shape] if isinstance(leaf, Tensor) else ()
                return np.zeros(shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf

            return self.call(*map_structure(zeros, self._arguments)).shape

        return tuple(m if m == n else None for m, n in zip(trial(2), trial(3), strict=True))

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        return self.call(inputs, *kwargs.values()), None


class NotEqual(Operation):
    """``x1 != x2``."""

    def call(self, x1, x2):
        return np.not_equal(x1, np.asarray(x2, x1.dtype))


class Equal(Operation):
    """``x1 == x2``."""

    def call(self, x1, x2):
        return np.equal(x1, np.asarray(x2, x1.dtype))


class LogicalAnd(Operation):
    """``x1 and x2``."""

    def call(self, x1, x2):
        return np.logical_and(x1, x2)


class LogicalOr(Operation):
    """``x1 or x2``."""

    def call(self, x1, x2):
        return np.logical_or(x1, x2)


class LogicalNot(Operation):
    """``not x``."""

    def call(self, x):
        return np.logical_not(x)


class Any(Operation):
    """Whether any is true, over some axes."""

    def call(self, x):
        return np.any(x, axis=self.axis, keepdims=self.keepdims)


class All(Operation):
    """Whether all are true, over some axes."""

    def call(self, x):
        return np.all(x, axis=self.axis, keepdims=self.keepdims)


class ExpandDims(Operation):
    """Puts in an axis of one."""

    def call(self, x):
        return np.expand_dims(x, self.axis)


class ZerosLike(Operation):
    """False (or zero) in the shape of `x`."""

    def call(self, x):
        return np.zeros(np.shape(x), bool if self.policy == "bool" else np.asarray(x).dtype)


class OnesLike(Operation):
    """True (or one) in the shape of `x`."""

    def call(self, x):
        return np.ones(np.shape(x), bool if self.policy == "bool" else np.asarray(x).dtype)


class ConvertToTensor(Operation):
    """`x` itself: so Keras passes on the mask of an attention's query."""

    def __init__(self, sparse=None, ragged=None, **kwargs):
        super().__init__(**kwargs)

    def call(self, x):
        return np.asarray(x)


OPERATIONS = (
    NotEqual, Equal, LogicalAnd, LogicalOr, LogicalNot, Any, All, ExpandDims, ZerosLike, OnesLike, ConvertToTensor,
)  # fmt: skip


def is_on_masks(layer):
    """Whether a layer is an operation on masks; one of them has the name of a layer, Concatenate."""
    joins = isinstance(layer, Concatenate) and layer.nodes and layer.output.dtype == bool
    return isinstance(layer, Operation) or bool(joins)
