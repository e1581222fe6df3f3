"""Numbers of categories written as vectors, and the layers that make or encode such numbers."""

import numpy as np

from ..errors import InputError
from .base import Layer
from .core import join_given_mask

MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


class Categorical(Layer):
    """A layer that gives numbers of categories, or encodes them (`encode`).

    Parameters
    ----------
    output_mode : {"int", "one_hot", "multi_hot", "count", "tf_idf"}
    sparse : bool
        Must be False: there are no sparse arrays here.
    **kwargs
        ``name``, ``dtype``.
    """

    modes = ("int", "one_hot", "multi_hot", "count")
    per_timestep = False

    def __init__(self, output_mode="int", sparse=False, **kwargs):
        kwargs.pop("max_values", None)
        super().__init__(**kwargs)
        output_mode = OLD_MODES.get(output_mode, output_mode)
        if output_mode not in self.modes:
            raise InputError(f"layer '{self.name}': found output_mode={output_mode!r}, expected one of {self.modes}")
        if sparse:
            raise InputError(f"layer '{self.name}': found sparse=True, expected False: there are no sparse arrays here")
        self.output_mode, self.sparse = output_mode, False
        self.per_timestep = output_mode == "int"

    def output_dtype(self, inputs):
        if self.policy in WHOLE:
            return np.dtype(self.policy)
        return np.dtype(np.int64) if self.output_mode == "int" else self.dtype

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        outputs, own = super().run(inputs, carried_mask, context, mask=mask, **kwargs)
        return outputs, join_given_mask(own, carried_mask, context) if self.per_timestep else own

    def encoded_shape(self, input_shape, depth):
        """Return the shape of what `encode` makes of inputs of a shape."""
        if self.output_mode == "int":
            return tuple(input_shape)
        if self.output_mode == "one_hot":
            kept = input_shape[:-1] if len(input_shape) > 1 and input_shape[-1] == 1 else input_shape
            return (*kept, depth)
        if len(input_shape) < 2:
            raise InputError(
                f"layer '{self.name}': found inputs of shape {tuple(input_shape)}, expected two axes or more for "
                f"output_mode={self.output_mode!r}"
            )
        return (input_shape[0], *input_shape[2:], depth)

    def encode(self, numbers, depth, weights=None):
        """Return the numbers themselves, or vectors of `depth`; numbers from `depth` on count for nothing.

        Parameters
        ----------
        numbers : (batch, ...) array of int64
        depth : int
        weights : array like `numbers`, optional
            What each counts for, in the mode "count".
        """
        self.encoded_shape(numbers.shape, depth)
        dtype = self.output_dtype(numbers)
        if self.output_mode == "int":
            return numbers.astype(dtype, copy=False)
        if self.output_mode == "one_hot":
            if numbers.ndim > 1 and numbers.shape[-1] == 1:
                numbers = numbers[..., 0]
            return (numbers[..., None] == np.arange(depth)).astype(dtype)
        if numbers.ndim == 2 and (numbers < 0).any():
            raise InputError(f"layer '{self.name}': found the number {numbers.min()}, expected numbers from 0")
        return self._count(numbers, depth, weights).astype(dtype, copy=False)

    def _count(self, numbers, depth, weights):
        """Join the numbers along axis 1, which is the last one unless there are more than two."""
        ones = np.ones(numbers.shape, self.dtype) if weights is None else np.asarray(weights, self.dtype)
        if ones.shape != numbers.shape:
            raise InputError(f"layer '{self.name}': found count_weights {ones.shape}, expected {numbers.shape}")
        numbers, ones = (np.moveaxis(a, 1, -1) for a in (numbers, ones))
        y = np.zeros((*numbers.shape[:-1], depth), self.dtype)
        *places, which = np.nonzero((numbers >= 0) & (numbers < depth))
        at = (*places, numbers[(*places, which)])
        if self.output_mode == "multi_hot":
            y[at] = 1
        else:
            np.add.at(y, at, ones[(*places, which)])
        return y


class Discretization(Categorical):
    """The number of the bin that a value falls into.

    Parameters
    ----------
    bin_boundaries : list of float, optional
        Ascending; bin n ends before boundary n.
    num_bins : int, optional
        Where the boundaries follow from a weight ``summary`` (tf.keras).
    output_mode : {"int", "one_hot", "multi_hot", "count"}
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Discretization([0.0, 1.0])(np.array([[-1.0, 0.0, 0.5, 7.0]]))
    array([[0, 1, 1, 2]], dtype=int32)
    """

    config_names = ("bin_boundaries", "num_bins", "output_mode")

    def __init__(self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int", sparse=False, **kwargs):
        super().__init__(output_mode, sparse, **kwargs)
        if bin_boundaries is None and not num_bins:
            raise InputError(f"layer '{self.name}': found neither bin_boundaries nor num_bins, expected one")
        self.bin_boundaries, self.num_bins = bin_boundaries, num_bins
        self.boundaries = None if bin_boundaries is None else np.array(bin_boundaries, np.float32).ravel()

    def weight_shapes(self, input_shape):
        return {"summary": (2, None)} if self.bin_boundaries is None else {}

    def build_from(self, weights):
        self.build(None)

    def pack(self):
        if "summary" in self.weights:
            self.boundaries = boundaries_of(self.weights["summary"], self.num_bins)

    def compute_output_shape(self, input_shape):
        depth = self.num_bins if self.boundaries is None else self.boundaries.size + 1
        return self.encoded_shape(input_shape, depth)

    def output_dtype(self, inputs):
        newest = self.output_mode == "int" and self.semantics.bins == "int32"
        return np.dtype(np.int32) if newest else super().output_dtype(inputs)

    def call(self, inputs):
        numbers = np.searchsorted(self.boundaries, inputs, side="right").astype(np.int64)
        return self.encode(numbers, self.boundaries.size + 1)


def boundaries_of(summary, num_bins):
    """Return the boundaries of bins that hold equally many of the values in a summary.

    Parameters
    ----------
    summary : (2, n) array
        Ascending values, and how many each stands for.
    num_bins : int

    Returns
    -------
    (num_bins - 1,) array of float32
        Fewer if there are fewer values. Source: ``keras/src/layers/preprocessing/discretization.py``.
    """
    values, counts = np.asarray(summary, np.float32)
    epsilon = 1.0 / num_bins
    if values.size * epsilon >= 1:
        sums = counts.cumsum()
        values = np.interp(epsilon + np.arange(0.0, 1.0, epsilon), sums / sums[-1], values)
    return values[:-1].astype(np.float32)


class CategoryEncoding(Categorical):
    """Numbers of categories as vectors.

    Parameters
    ----------
    num_tokens : int
    output_mode : {"multi_hot", "one_hot", "count"}
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> CategoryEncoding(4, "count")(np.array([[0, 2, 2]]))
    array([[1., 0., 2., 0.]], dtype=float32)
    """

    modes = ("multi_hot", "one_hot", "count")
    config_names = ("num_tokens", "output_mode")

    def __init__(self, num_tokens=None, output_mode="multi_hot", sparse=False, **kwargs):
        kwargs["num_tokens"] = kwargs.pop("max_tokens", num_tokens)  # TensorFlow 2.3 called it so
        num_tokens = kwargs.pop("num_tokens")
        super().__init__(output_mode, sparse, **kwargs)
        if not isinstance(num_tokens, int) or num_tokens < 1:
            raise InputError(f"layer '{self.name}': found num_tokens={num_tokens!r}, expected a positive whole number")
        self.num_tokens = num_tokens

    def compute_output_shape(self, input_shape):
        return self.encoded_shape(input_shape, self.num_tokens)

    def cast(self, inputs):
        return inputs

    def call(self, inputs, count_weights=None):
        if count_weights is not None and self.output_mode != "count":
            raise InputError(f"layer '{self.name}': found count_weights, expected output_mode='count' with them")
        return self.encode(np.asarray(inputs).astype(np.int64), self.num_tokens, count_weights)
