"""Convolutions over time, images and volumes."""

import numpy as np

from ..errors import InputError
from ..kernels.activations import LEAKY_RELU, LINEAR, RELU
from ..kernels.convolution import convolve
from . import activations, memory
from .base import readonly, tell_watchers
from .core import _Activated
from .low_rank import LowRank
from .products import Product
from .space import (
    FORMATS,
    at_door,
    channels_back,
    channels_last,
    check_places,
    check_rank,
    join,
    one_of,
    sizes,
    split,
    three,
    widened,
    windows,
)


class _Windowed(_Activated):
    """A kernel that moves over one, two or three spatial axes, with an activation.

    A subclass says how many channels come out (`_filters`) and computes on channels-last arrays (`_compute`).
    """

    rank = 1
    paddings = ("valid", "same")
    is_activated = False
    """Whether `_compute` applies the activation too."""

    def __init__(self, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs):
        super().__init__(activation, **kwargs)
        with at_door(self):
            self.kernel_size = sizes(kernel_size, self.rank, "kernel_size")
            self.strides = sizes(strides, self.rank, "strides")
            self.dilation_rate = sizes(dilation_rate, self.rank, "dilation_rate")
            self.padding = one_of(padding, self.paddings, "padding")
            self.data_format = one_of(data_format or "channels_last", FORMATS, "data_format")
        self.use_bias = use_bias

    def adopt(self, semantics):
        super().adopt(semantics)
        if self.weights:  # they may be packed together with the activation
            self.pack()
            tell_watchers()

    def _channels(self, input_shape):
        """Return the number of channels of inputs, which must be known."""
        check_rank(self, input_shape, self.rank)
        channels = split(input_shape, self.data_format)[1]
        if channels is None:
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, expected a number of channels")
        return channels

    def _windows(self, places):
        """Return how many outputs each axis has (None where free), and the place under the first element."""
        words = zip(places, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        found = [(None, None) if n is None else windows(n, *rest, self.padding) for n, *rest in words]
        counts, first = zip(*found, strict=True)
        check_places(self, counts, places)
        return counts, first

    def compute_output_shape(self, input_shape):
        check_rank(self, input_shape, self.rank)
        places, channels = split(input_shape, self.data_format)
        return join(input_shape[0], self._windows(places)[0], self._filters(channels), self.data_format)

    def call(self, inputs):
        check_rank(self, inputs.shape, self.rank)
        x = np.ascontiguousarray(channels_last(inputs, self.data_format))
        y = self._compute(x)
        if self.is_activated:
            return channels_back(y, self.data_format)
        # Keras applies an activation to the layer's own order of axes, and a softmax is over the last
        return self._apply(self.function, channels_back(y, self.data_format))

    def _apply(self, function, y):
        return activations.apply_on_vectors(function, y)

    def _empty(self, x, counts, channels):
        return memory.empty((len(x), *counts, channels), self.dtype)

    def _check_channels(self, x, expected):
        """Refuse channels that would let a kernel read outside its arrays."""
        if x.shape[-1] != expected:
            raise InputError(f"layer '{self.name}': found {x.shape[-1]} channels, expected {expected}")


class _Convolution(LowRank, _Windowed):
    config_names = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation",
                    "use_bias", "data_format", "lora_rank", "lora_alpha")  # fmt: skip

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        groups=1,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs)
        self.filters, self.groups = int(filters), int(groups)
        if min(self.filters, self.groups) < 1 or self.filters % self.groups:
            raise InputError(f"layer '{self.name}': found sizes that do not fit in {self.get_config()}")

    def weight_shapes(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise InputError(f"layer '{self.name}': found {channels} channels, expected {self.groups} equal groups")
        kernel = (*self.kernel_size, channels // self.groups, self.filters)
        bias = {"bias": (self.filters,)} if self.use_bias else {}
        return {"kernel": kernel, **bias, **self.factor_shapes(kernel)}

    def build_from(self, weights):
        if not weights or weights[0].ndim != self.rank + 2:
            raise InputError(f"layer '{self.name}': the first weight must be the kernel, of {self.rank + 2} axes")
        channels = weights[0].shape[-2] * self.groups
        self.build(join(None, (None,) * self.rank, channels, self.data_format))

    def pack(self):
        kernel = self.adapt(self.weights["kernel"])
        apart = kernel.reshape(*kernel.shape[:-1], self.groups, self.filters // self.groups)
        self.kernel = np.ascontiguousarray(widened(np.moveaxis(apart, -2, 0), self.rank))
        self.bias = self.weights.get("bias", np.zeros(self.filters, self.dtype)).reshape(self.groups, -1)
        fits = self.dtype == np.float32 and self.groups == 1 and self.kernel.size
        words = [self.function] if self._fits_tiles(self.function) else []
        self.product = Product(kernel.reshape(-1, self.filters), self.bias[0], *words) if fits else None
        self.is_activated = self.product is not None and bool(words)

    def _fits_tiles(self, function):
        """Whether the tiles may apply an activation."""
        return activations.looks_at_one(function)

    def _filters(self, channels):
        return self.filters

    def _compute(self, x):
        counts, first = self._windows(x.shape[1:-1])
        self._check_channels(x, self.groups * self.kernel.shape[-2])
        y = self._empty(x, counts, self.filters)
        steps = three(first, 0), three(self.strides, 1), three(self.dilation_rate, 1)
        if self.product is not None:
            size = three(self.kernel_size, 1)
            self.product.of_images(widened(x, self.rank), size, *steps, widened(y, self.rank))
            return y
        grouped = readonly(widened(x.reshape(*x.shape[:-1], self.groups, -1 if x.size else self.kernel.shape[-2]),
                                   self.rank))  # fmt: skip
        convolve(grouped, self.kernel, self.bias, *steps, activations.get(None), widened(y, self.rank))
        return y


class Conv1D(_Convolution):
    """A convolution over time (a cross-correlation, as everywhere in deep learning).

    Parameters
    ----------
    filters, kernel_size : int
    strides, dilation_rate, groups : int
    padding : {"valid", "same", "causal"}
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv1D(1, 2, padding="causal")
    >>> layer.build((None, None, 1))
    >>> layer.set_weights([np.ones((2, 1, 1)), [0.0]])
    >>> layer(np.array([[[1.0], [2.0], [3.0]]])).ravel().tolist()
    [1.0, 3.0, 5.0]
    """

    paddings = ("valid", "same", "causal")

    # its results have been the same bits ever since: vectors compute only what they compute alike
    def _fits_tiles(self, function):
        return super()._fits_tiles(function) and function.code in (LINEAR, RELU, LEAKY_RELU)

    def _apply(self, function, y):
        return activations.apply(function, y)


class Conv2D(_Convolution):
    """A convolution over images (a cross-correlation, as everywhere in deep learning).

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of two int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    groups : int
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2D(1, (1, 2), use_bias=False)
    >>> layer.set_weights([np.ones((1, 2, 1, 1))])
    >>> layer(np.array([[[[1.0], [2.0], [3.0]]]])).ravel().tolist()
    [3.0, 5.0]
    """

    rank = 2


class Conv3D(_Convolution):
    """A convolution over volumes (a cross-correlation, as everywhere in deep learning).

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of three int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    groups : int
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv3D(4, 3, padding="same")
    >>> layer.set_weights([np.ones((3, 3, 3, 2, 4)), np.zeros(4)])
    >>> layer(np.ones((1, 5, 6, 7, 2))).shape
    (1, 5, 6, 7, 4)
    """

    rank = 3
