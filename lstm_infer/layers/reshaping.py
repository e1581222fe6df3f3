"""Layers that move numbers about without changing them: Flatten, Reshape, Permute, RepeatVector."""

import numpy as np

from ..errors import InputError
from .base import Layer


def size_of(dims):
    """Return the product of some dimensions, None if one of them is free."""
    return None if any(n is None for n in dims) else int(np.prod(dims, dtype=np.int64))


class Flatten(Layer):
    """Joins all axes but the batch.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        With ``"channels_first"`` the channels are moved to the end first.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.ones((2, 3, 4))).shape
    (2, 12)
    """

    keeps_integers = True
    config_names = ("data_format",)

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format or "channels_last"

    def compute_output_shape(self, input_shape):
        return (input_shape[0], size_of(input_shape[1:]))

    def call(self, inputs):
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = np.moveaxis(inputs, 1, -1)
        return inputs.reshape(len(inputs), size_of(inputs.shape[1:]))  # -1 fails for no rows


class Reshape(Layer):
    """Gives the axes after the batch another shape.

    Parameters
    ----------
    target_shape : sequence of int
        One of them may be -1: what is left.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((4, -1))(np.ones((2, 3, 4))).shape
    (2, 4, 3)
    """

    keeps_integers = True
    config_names = ("target_shape",)

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(int(n) for n in target_shape)

    def compute_output_shape(self, input_shape):
        size = size_of(input_shape[1:])
        known = int(np.prod([n for n in self.target_shape if n != -1], dtype=np.int64))
        fits = size is None or (size == known if -1 not in self.target_shape else known and size % known == 0)
        if not fits:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected some for {self.target_shape}")
        left = None if size is None else size // known
        return (input_shape[0], *(left if n == -1 else n for n in self.target_shape))

    def call(self, inputs):
        return inputs.reshape(self.compute_output_shape(inputs.shape))


class Permute(Layer):
    """Changes the order of the axes after the batch.

    Parameters
    ----------
    dims : sequence of int
        The new order; the first axis after the batch is 1.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Permute((2, 1))(np.ones((2, 3, 4))).shape
    (2, 4, 3)
    """

    keeps_integers = True
    config_names = ("dims",)

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(int(n) for n in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise InputError(f"layer '{self.name}': found dims {self.dims}, expected 1 to {len(self.dims)} once each")

    def compute_output_shape(self, input_shape):
        if len(input_shape) != len(self.dims) + 1:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected {len(self.dims) + 1} axes")
        return (input_shape[0], *(input_shape[n] for n in self.dims))

    def call(self, inputs):
        return np.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Makes a sequence of one vector: (batch, features) to (batch, n, features).

    Parameters
    ----------
    n : int
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> RepeatVector(3)(np.ones((2, 4))).shape
    (2, 3, 4)
    """

    keeps_integers = True
    config_names = ("n",)

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        self.n = int(n)

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 2:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, features)")
        return (input_shape[0], self.n, input_shape[1])

    def call(self, inputs):
        return np.repeat(inputs[:, None], self.n, axis=1)
