"""Convolutions whose kernel differs from place to place (Keras 1 and 2)."""

import itertools
import math

import numpy as np

from ..errors import InputError
from ..kernels.reductions import multiply_pairs
from .base import readonly
from .convolution import _Windowed
from .space import join, split, windows

MOST_PAIRS = 1 << 22
"""Of outputs and places under the kernel on an axis: they are listed before anybody has seen the weights."""


class _LocallyConnected(_Windowed):
    """Every output place has weights of its own.

    Keras keeps them in three ways (`implementation`): 1, the weights of each output place; 2, of every input place and
    every output place, most of them without meaning; 3, those of 2 that mean something, in one line. Sources:
    ``tf_keras/src/layers/locally_connected`` and ``tf_keras/src/utils/conv_utils.py``.
    """

    config_names = ("filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias",
                    "implementation")  # fmt: skip

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        activation=None,
        use_bias=True,
        implementation=1,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, data_format, 1, activation, use_bias, **kwargs)
        self.filters, self.implementation = int(filters), implementation
        if self.filters < 1 or implementation not in (1, 2, 3):
            found = f"{filters} filters, implementation {implementation!r}"
            raise InputError(f"layer '{self.name}': found {found}, expected at least 1 filter and 1, 2 or 3")
        if implementation == 1 and self.padding != "valid":
            raise InputError(f"layer '{self.name}': found padding 'same', expected 'valid' with implementation 1")

    # ------------------------------------------------------------ where the weights are
    def weight_shapes(self, input_shape):
        channels = self._channels(input_shape)
        places = split(input_shape, self.data_format)[0]
        if None in places:
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, expected sizes without None")
        if self.built and (*places, channels) != (*self.places, self.channels):
            expected = join(None, self.places, self.channels, self.data_format)
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, expected {expected}")
        outputs = self._windows(places)[0]
        pairs = max(count * size for count, size in zip(outputs, self.kernel_size, strict=True))
        if pairs > MOST_PAIRS:
            raise InputError(f"layer '{self.name}': found {pairs} places under the kernel, expected {MOST_PAIRS:,}")
        self.places, self.channels, self.outputs = places, channels, outputs
        bias = {"bias": (*self.outputs, self.filters)} if self.use_bias else {}
        return {"kernel": self._kernel_shape(), **bias}

    def build_from(self, weights):
        raise InputError(f"layer '{self.name}' must be called before its weights can be set")

    def _kernel_shape(self):
        if self.implementation == 1:
            return (math.prod(self.outputs), math.prod(self.kernel_size) * self.channels, self.filters)
        if self.implementation == 2:
            ends = [(self.places, self.channels), (self.outputs, self.filters)]
            return tuple(n for end in ends for n in join(None, *end, self.data_format)[1:])
        on_axes = (sum(self._exists(axis, at) for window in self._axis(axis) for at in window)
                   for axis in range(self.rank))  # fmt: skip
        return (math.prod(on_axes) * self.channels * self.filters,)

    def _axis(self, axis):
        """Return the input places under the kernel for every output place of an axis; some may not exist."""
        size, stride, n = self.kernel_size[axis], self.strides[axis], self.places[axis]
        count, _ = windows(n, size, stride, 1, self.padding)
        first = 0 if self.padding == "valid" else -(size // 2)  # the middle lies on the place, as only here in Keras
        return [[first + o * stride + k for k in range(size)] for o in range(count)]

    def _exists(self, axis, at):
        return 0 <= at < self.places[axis]

    def pack(self):
        axes = [self._axis(axis) for axis in range(self.rank)]
        under = [list(itertools.product(*some)) for some in itertools.product(*axes)]
        under = np.array(under)  # (outputs, places under the kernel, axes)
        last = np.array(self.places) - 1
        self.inside = np.all((under >= 0) & (under <= last), axis=-1)
        self.at = np.ravel_multi_index(np.moveaxis(np.clip(under, 0, last), -1, 0), self.places)
        weights = self.weights["kernel"].ravel()[self._positions()]
        weights = np.where(self.inside[:, :, None, None], weights, np.zeros((), self.dtype))
        self.kernel = readonly(weights.reshape(len(self.at), -1, self.filters))
        self.bias = self._bias()

    def _positions(self):
        """Return where in the flat kernel each weight is: (outputs, places under the kernel, channels, filters)."""
        count, size = self.at.shape
        o, k, c, f = np.ogrid[:count, :size, : self.channels, : self.filters]
        channels_last = self.data_format == "channels_last"
        if self.implementation == 1:
            inner = k * self.channels + c if channels_last else c * size + k
            return (o * size * self.channels + inner) * self.filters + f
        i, inputs = self.at[:, :, None, None], math.prod(self.places)
        into = i * self.channels + c if channels_last else c * inputs + i
        out = o * self.filters + f if channels_last else f * count + o
        if self.implementation == 2:
            return into * (count * self.filters) + out
        pairs = np.where(self.inside[:, :, None, None], out * (inputs * self.channels) + into, -1)
        known = np.unique(pairs[pairs >= 0])
        return np.clip(np.searchsorted(known, pairs), 0, len(known) - 1)

    def _bias(self):
        """Return the bias as (*outputs, filters)."""
        bias = self.weights.get("bias", np.zeros((*self.outputs, self.filters), self.dtype))
        if self.data_format == "channels_last":
            return bias
        # Keras reshapes it there, which mixes places and filters (``bias_add`` in ``tf_keras/src/backend.py``)
        return np.moveaxis(bias.reshape(self.filters, *self.outputs), 0, -1)

    # ------------------------------------------------------------ computing
    def _filters(self, channels):
        return self.filters

    def _compute(self, x):
        expected = (*self.places, self.channels)
        if x.shape[1:] != expected:
            raise InputError(f"layer '{self.name}': found inputs of {x.shape[1:]}, expected {expected}")
        under = np.moveaxis(x.reshape(len(x), -1, self.channels)[:, self.at], 1, 0)
        under = np.where(self.inside[:, None, :, None], under, np.zeros((), x.dtype))
        y = np.empty((len(under), len(x), self.filters), self.dtype)
        multiply_pairs(readonly(under.reshape(*y.shape[:2], self.kernel.shape[1])), self.kernel, y)
        y = np.moveaxis(y, 0, 1).reshape(len(x), *self.outputs, self.filters)
        return y + self.bias


class LocallyConnected1D(_LocallyConnected):
    """A convolution over time whose kernel differs from timestep to timestep (Keras 1 and 2).

    Parameters
    ----------
    filters, kernel_size : int
    strides : int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    implementation : {1, 2, 3}
        How the kernel is kept, as in Keras.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LocallyConnected1D(1, 1, use_bias=False)
    >>> layer.build((None, 2, 1))
    >>> layer.set_weights([np.array([1.0, 10.0]).reshape(2, 1, 1)])
    >>> layer(np.array([[[1.0], [2.0]]])).tolist()
    [[[1.0], [20.0]]]
    """


class LocallyConnected2D(_LocallyConnected):
    """A convolution over images whose kernel differs from place to place (Keras 1 and 2).

    Parameters
    ----------
    filters : int
    kernel_size, strides : int or sequence of two int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    implementation : {1, 2, 3}
        How the kernel is kept, as in Keras.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = LocallyConnected2D(3, 2)
    >>> layer.build((None, 4, 5, 2))
    >>> layer.set_weights([np.ones((12, 8, 3)), np.zeros((3, 4, 3))])
    >>> layer(np.ones((1, 4, 5, 2))).shape
    (1, 3, 4, 3)
    """

    rank = 2
