"""Transposed convolutions: every place of the input spreads over as many outputs as the kernel has places."""

import numpy as np

from ..errors import InputError
from ..kernels.convolution import convolve_transposed
from . import activations
from .base import readonly
from .convolution import _Windowed
from .space import at_door, check_places, join, sizes, three, widened


class _ConvolutionTranspose(_Windowed):
    config_names = ("filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate",
                    "activation", "use_bias")  # fmt: skip

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, **kwargs)
        self.filters, self.output_padding = int(filters), output_padding
        if output_padding is not None:
            with at_door(self):
                self.output_padding = sizes(output_padding, self.rank, "output_padding", least=0)
            if any(more >= stride for more, stride in zip(self.output_padding, self.strides, strict=True)):
                found = f"output_padding {self.output_padding}"
                raise InputError(f"layer '{self.name}': found {found}, expected less than strides {self.strides}")
        if self.filters < 1:
            raise InputError(f"layer '{self.name}': found {filters} filters, expected at least 1")

    def weight_shapes(self, input_shape):
        kernel = {"kernel": (*self.kernel_size, self.filters, self._channels(input_shape))}
        return {**kernel, **({"bias": (self.filters,)} if self.use_bias else {})}

    def build_from(self, weights):
        if not weights or weights[0].ndim != self.rank + 2:
            raise InputError(f"layer '{self.name}': the first weight must be the kernel, of {self.rank + 2} axes")
        self.build(join(None, (None,) * self.rank, weights[0].shape[-1], self.data_format))

    def pack(self):
        turned = np.swapaxes(self.weights["kernel"], -1, -2)
        self.kernel = np.ascontiguousarray(turned.reshape((1,) * (3 - self.rank) + turned.shape))
        self.bias = self.weights.get("bias", np.zeros(self.filters, self.dtype))

    def _filters(self, channels):
        return self.filters

    def _windows(self, places):
        """Return how many outputs each axis has, and how many are cut off in front of them.

        Source: ``keras/src/backend/common/backend_utils.py`` (the number), TensorFlow's ``conv2d_backprop_input``.
        """
        more = self.output_padding or (None,) * self.rank
        words = zip(places, self.kernel_size, self.strides, self.dilation_rate, more, strict=True)
        found = [(None, None) if n is None else self._outputs(n, *rest) for n, *rest in words]
        counts, before = zip(*found, strict=True)
        check_places(self, counts, places)
        return counts, before

    def _outputs(self, length, size, stride, dilation, more):
        span = (size - 1) * dilation + 1
        reach = (length - 1) * stride + span
        if self.padding == "valid":
            return reach + (max(stride - span, 0) if more is None else more), 0
        count = length * stride if more is None else (length - 1) * stride + span % 2 + more
        return count, max(reach - count, 0) // 2

    def _compute(self, x):
        counts, before = self._windows(x.shape[1:-1])
        self._check_channels(x, self.kernel.shape[-2])
        y = self._empty(x, counts, self.filters)
        steps = three(before, 0), three(self.strides, 1), three(self.dilation_rate, 1)
        x, out = readonly(widened(x, self.rank)), widened(y, self.rank)
        convolve_transposed(x, self.kernel, self.bias, *steps, activations.get(None), out)
        return y


class Conv1DTranspose(_ConvolutionTranspose):
    """A transposed convolution over time.

    Parameters
    ----------
    filters, kernel_size : int
    strides, dilation_rate : int
    padding : {"valid", "same"}
    output_padding : int, optional
        Outputs added at the end, instead of what `padding` implies.
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv1DTranspose(1, 2, strides=2, use_bias=False)
    >>> layer.set_weights([np.array([1.0, 10.0]).reshape(2, 1, 1)])
    >>> layer(np.array([[[1.0], [2.0]]])).ravel().tolist()
    [1.0, 10.0, 2.0, 20.0]
    """


class Conv2DTranspose(_ConvolutionTranspose):
    """A transposed convolution over images.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of two int
    padding : {"valid", "same"}
    output_padding : int or sequence of two int, optional
        Outputs added at the end of each axis, instead of what `padding` implies.
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2DTranspose(3, 2, strides=2, padding="same")
    >>> layer.set_weights([np.ones((2, 2, 3, 4)), np.zeros(3)])
    >>> layer(np.ones((1, 5, 6, 4))).shape
    (1, 10, 12, 3)
    """

    rank = 2


class Conv3DTranspose(_ConvolutionTranspose):
    """A transposed convolution over volumes.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of three int
    padding : {"valid", "same"}
    output_padding : int or sequence of three int, optional
        Outputs added at the end of each axis, instead of what `padding` implies.
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv3DTranspose(3, 2, strides=2)
    >>> layer.set_weights([np.ones((2, 2, 2, 3, 4)), np.zeros(3)])
    >>> layer(np.ones((1, 2, 3, 4, 4))).shape
    (1, 4, 6, 8, 3)
    """

    rank = 3
