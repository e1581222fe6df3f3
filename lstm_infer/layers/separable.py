"""Convolutions of every channel by itself, and the same followed by a product over the channels."""

import numpy as np

from ..errors import InputError
from ..kernels.convolution import convolve_depthwise
from ..kernels.product import dense
from . import activations
from .base import readonly
from .convolution import _Windowed
from .products import Product
from .space import join, three, widened


class _Depthwise(_Windowed):
    """What both kinds share: the depthwise kernel, (*size, channels, multiplier)."""

    paddings = ("valid", "same")

    def _take_multiplier(self, depth_multiplier):
        self.depth_multiplier = int(depth_multiplier)
        if self.depth_multiplier < 1:
            raise InputError(f"layer '{self.name}': found depth_multiplier {depth_multiplier}, expected at least 1")

    def build_from(self, weights):
        if not weights or weights[0].ndim != self.rank + 2:
            raise InputError(f"layer '{self.name}': the first weight must be the kernel, of {self.rank + 2} axes")
        self.build(join(None, (None,) * self.rank, weights[0].shape[-2], self.data_format))

    def _depthwise_shape(self, channels):
        return (*self.kernel_size, channels, self.depth_multiplier)

    def _pack_depthwise(self, bias):
        """Keep the kernel and a bias of ``channels * multiplier`` numbers as `convolve_depthwise` takes them."""
        turned = np.swapaxes(self.weights["depthwise_kernel"], -1, -2)
        self.kernel = np.ascontiguousarray(turned.reshape((1,) * (3 - self.rank) + turned.shape))
        self.depthwise_bias = np.ascontiguousarray(bias.reshape(-1, self.depth_multiplier).T)

    def _convolve(self, x):
        """Return the outputs, channels last: all multiples of the first channel, then of the second, ..."""
        counts, first = self._windows(x.shape[1:-1])
        channels, multiplier = self.kernel.shape[-1], self.depth_multiplier
        self._check_channels(x, channels)
        y = self._empty(x, counts, multiplier * channels)
        steps = three(first, 0), three(self.strides, 1), three(self.dilation_rate, 1)
        x, out = readonly(widened(x, self.rank)), widened(y, self.rank)
        convolve_depthwise(x, self.kernel, self.depthwise_bias, *steps, activations.get(None), out)
        if multiplier > 1:  # the kernel writes all channels once, then all again, ...
            y = np.swapaxes(y.reshape(*y.shape[:-1], multiplier, channels), -1, -2).reshape(y.shape)
        return y


class _DepthwiseConvolution(_Depthwise):
    config_names = ("kernel_size", "strides", "padding", "depth_multiplier", "data_format", "dilation_rate",
                    "activation", "use_bias")  # fmt: skip

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        depth_multiplier=1,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs)
        self._take_multiplier(depth_multiplier)

    def weight_shapes(self, input_shape):
        channels = self._channels(input_shape)
        bias = {"bias": (channels * self.depth_multiplier,)} if self.use_bias else {}
        return {"depthwise_kernel": self._depthwise_shape(channels), **bias}

    def pack(self):
        outputs = self.weights["depthwise_kernel"].shape[-2] * self.depth_multiplier
        self._pack_depthwise(self.weights.get("bias", np.zeros(outputs, self.dtype)))

    def _filters(self, channels):
        return None if channels is None else channels * self.depth_multiplier

    def _compute(self, x):
        return self._convolve(x)


class DepthwiseConv1D(_DepthwiseConvolution):
    """A convolution over time of every channel by itself.

    Parameters
    ----------
    kernel_size : int
    strides, dilation_rate : int
    padding : {"valid", "same"}
    depth_multiplier : int
        Outputs of every channel.
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = DepthwiseConv1D(2, use_bias=False)
    >>> layer.set_weights([np.array([[1.0, 10.0], [1.0, 10.0]])[..., None]])
    >>> layer(np.array([[[1.0, 1.0], [2.0, 2.0]]])).tolist()
    [[[3.0, 30.0]]]
    """


class DepthwiseConv2D(_DepthwiseConvolution):
    """A convolution over images of every channel by itself.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or sequence of two int
    padding : {"valid", "same"}
    depth_multiplier : int
        Outputs of every channel.
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = DepthwiseConv2D(3, padding="same", depth_multiplier=2)
    >>> layer.set_weights([np.ones((3, 3, 4, 2)), np.zeros(8)])
    >>> layer(np.ones((1, 5, 6, 4))).shape
    (1, 5, 6, 8)
    """

    rank = 2


class _SeparableConvolution(_Depthwise):
    config_names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "depth_multiplier",
                    "activation", "use_bias")  # fmt: skip

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs)
        self._take_multiplier(depth_multiplier)
        self.filters = int(filters)
        if self.filters < 1:
            raise InputError(f"layer '{self.name}': found {filters} filters, expected at least 1")

    def weight_shapes(self, input_shape):
        channels = self._channels(input_shape)
        pointwise = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        bias = {"bias": (self.filters,)} if self.use_bias else {}
        return {"depthwise_kernel": self._depthwise_shape(channels), "pointwise_kernel": pointwise, **bias}

    def pack(self):
        pointwise = self.weights["pointwise_kernel"]
        self.pointwise = readonly(pointwise.reshape(pointwise.shape[-2:]))
        self.bias = self.weights.get("bias", np.zeros(self.filters, self.dtype))
        words = [self.function] if activations.looks_at_one(self.function) else []
        self.product = Product(self.pointwise, self.bias, *words) if self.dtype == np.float32 else None
        self.is_activated = self.product is not None and bool(words)
        self._pack_depthwise(np.zeros(len(self.pointwise), self.dtype))

    def _filters(self, channels):
        return self.filters

    def _compute(self, x):
        between = self._convolve(x)
        y = self._empty(x, between.shape[1:-1], self.filters)
        rows = readonly(between.reshape(-1, between.shape[-1]))
        if self.product is None:
            dense(rows, self.pointwise, self.bias, activations.get(None), y.reshape(-1, self.filters))
        else:
            self.product.of_rows(between, y)
        return y


class SeparableConv1D(_SeparableConvolution):
    """A convolution over time of every channel by itself, then a product over the channels.

    Parameters
    ----------
    filters, kernel_size : int
    strides, dilation_rate : int
    padding : {"valid", "same", "causal"}
    data_format : {"channels_last", "channels_first"}, optional
    depth_multiplier : int
        Outputs of every channel between the two.
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SeparableConv1D(1, 2, use_bias=False)
    >>> layer.set_weights([np.ones((2, 2, 1)), np.array([[[1.0], [10.0]]])])
    >>> layer(np.array([[[1.0, 1.0], [2.0, 2.0]]])).tolist()
    [[[33.0]]]
    """

    paddings = ("valid", "same", "causal")


class SeparableConv2D(_SeparableConvolution):
    """A convolution over images of every channel by itself, then a product over the channels.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of two int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    depth_multiplier : int
        Outputs of every channel between the two.
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SeparableConv2D(5, 3)
    >>> layer.set_weights([np.ones((3, 3, 4, 1)), np.ones((1, 1, 4, 5)), np.zeros(5)])
    >>> layer(np.ones((1, 5, 6, 4))).shape
    (1, 3, 4, 5)
    """

    rank = 2
