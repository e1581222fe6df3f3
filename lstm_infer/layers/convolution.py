"""Convolution over time."""

import numpy as np

from ..errors import InputError
from ..kernels.convolution import convolve
from . import activations
from .base import readonly
from .core import _Activated
from .pooling import number


class Conv1D(_Activated):
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

    config_names = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "activation",
                    "use_bias", "data_format")  # fmt: skip

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
        super().__init__(activation, **kwargs)
        self.filters, self.kernel_size, self.strides = int(filters), number(kernel_size), number(strides)
        self.dilation_rate, self.groups, self.use_bias = number(dilation_rate), int(groups), use_bias
        self.padding, self.data_format = padding, data_format or "channels_last"
        if padding not in ("valid", "same", "causal"):
            raise InputError(f"layer '{self.name}': found padding {padding!r}, expected 'valid', 'same' or 'causal'")
        if min(self.kernel_size, self.strides, self.dilation_rate, self.groups) < 1 or self.filters % self.groups:
            raise InputError(f"layer '{self.name}': found sizes that do not fit in {self.get_config()}")

    def weight_shapes(self, input_shape):
        channels = input_shape[-1 if self.data_format == "channels_last" else 1]
        if len(input_shape) != 3 or channels is None or channels % self.groups:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, timesteps, channels)")
        kernel = {"kernel": (self.kernel_size, channels // self.groups, self.filters)}
        return {**kernel, **({"bias": (self.filters,)} if self.use_bias else {})}

    def pack(self):
        kernel = self.weights["kernel"]
        self.kernel = np.ascontiguousarray(
            np.moveaxis(kernel.reshape(*kernel.shape[:2], self.groups, self.filters // self.groups), 2, 0)
        )
        self.bias = self.weights.get("bias", np.zeros(self.filters, self.dtype)).reshape(self.groups, -1)

    def _places(self, timesteps):
        """Return how many outputs there are, and the timestep under the first element of the first."""
        span = (self.kernel_size - 1) * self.dilation_rate
        if self.padding == "valid":
            return max((timesteps - span - 1) // self.strides + 1, 0), 0
        count = -(-timesteps // self.strides)
        if self.padding == "causal":
            return count, -span
        return count, -(max((count - 1) * self.strides + span + 1 - timesteps, 0) // 2)

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        timesteps = input_shape[1 if last else 2]
        count = None if timesteps is None else self._places(timesteps)[0]
        return (input_shape[0], count, self.filters) if last else (input_shape[0], self.filters, count)

    def call(self, inputs):
        last = self.data_format == "channels_last"
        x = np.ascontiguousarray(inputs if last else np.swapaxes(inputs, 1, 2))
        count, first = self._places(x.shape[1])
        y = np.empty((len(x), count, self.filters), self.dtype)
        # Keras applies an activation to the layer's own order of axes, and a softmax is over the last
        inside = last and not callable(self.function)
        f = self.function if inside else activations.get(None)
        grouped = readonly(x.reshape(*x.shape[:2], self.groups, -1))
        if grouped.shape[3] != self.kernel.shape[2]:
            raise InputError(f"layer '{self.name}': found {inputs.shape}, expected the channels it was built for")
        convolve(grouped, self.kernel, self.bias, first, self.strides, self.dilation_rate, f, y)
        return y if inside else activations.apply(self.function, y if last else np.swapaxes(y, 1, 2))
