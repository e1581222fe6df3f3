"""Convolutions and pooling as operations: what the layers of these names compute, on kernels that a call gives.

The only operations that know layers, which are made anew for every call.
"""

from contextlib import contextmanager

import numpy as np

from ...errors import InputError
from .. import LAYERS
from .dtypes import FLOAT32, floating, together


@contextmanager
def _unnamed():
    """Take away the name in front of what a layer finds wrong: whoever calls an operation knows its name."""
    try:
        yield
    except InputError as error:
        raise ValueError(str(error).partition(": ")[2] or str(error)) from None


def _layer(kind, x, *args, **words):
    """Make the layer of a kind, ``"Conv{}D"``, for as many spatial axes as `x` has."""
    name = kind.format(x.ndim - 2)
    if name not in LAYERS:
        raise ValueError(f"found inputs of shape {x.shape}, expected (batch, places, channels)")
    return LAYERS[name](*args, **words, name=name, dtype=x.dtype.name)


def _convolved(kind, x, kernels, *args, **words):
    """Compute a layer with these weights, by their names."""
    with _unnamed():
        layer = _layer(kind, x, *args, **words, use_bias=False)
        for name, shape in layer.weight_shapes(x.shape).items():
            if kernels[name].shape != shape:
                raise ValueError(f"found inputs {x.shape} and a kernel {kernels[name].shape}, expected {shape}")
        layer.weights = {name: np.ascontiguousarray(kernel) for name, kernel in kernels.items()}
        layer.pack()
        return np.ascontiguousarray(layer.call(x))


def _channels(x, data_format):
    return x.shape[1] if data_format == "channels_first" else x.shape[-1]


def _of_one_rank(*arrays, floatx):
    arrays = [floating(a, floatx) for a in together(arrays, floatx)]
    if len({a.ndim for a in arrays}) > 1:
        raise ValueError(f"found arrays of shapes {[a.shape for a in arrays]}, expected equally many axes")
    return arrays


def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, floatx=FLOAT32):
    """As ``keras.ops.conv``; a kernel of fewer channels than `inputs` has works on groups of them."""
    x, kernel = _of_one_rank(inputs, kernel, floatx=floatx)
    groups = max(_channels(x, data_format) // max(kernel.shape[-2], 1), 1)
    words = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation_rate}
    return _convolved("Conv{}D", x, {"kernel": kernel}, kernel.shape[-1], kernel.shape[:-2], groups=groups, **words)


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, floatx=FLOAT32):
    x, kernel = _of_one_rank(inputs, kernel, floatx=floatx)
    words = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation_rate}
    kernels = {"depthwise_kernel": kernel}
    return _convolved("DepthwiseConv{}D", x, kernels, kernel.shape[:-2], depth_multiplier=kernel.shape[-1], **words)


def separable_conv(
    inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1,
    floatx=FLOAT32,
):  # fmt: skip
    x, first, second = _of_one_rank(inputs, depthwise_kernel, pointwise_kernel, floatx=floatx)
    words = {"strides": strides, "padding": padding, "data_format": data_format, "dilation_rate": dilation_rate}
    kernels = {"depthwise_kernel": first, "pointwise_kernel": second}
    sizes = (second.shape[-1], first.shape[:-2])
    return _convolved("SeparableConv{}D", x, kernels, *sizes, depth_multiplier=first.shape[-1], **words)


def pooling(kind):
    """Make an operation of the pooling layers of a kind, ``"Max"`` or ``"Average"``."""

    def operation(inputs, pool_size, strides=None, padding="valid", data_format=None, floatx=FLOAT32):
        x = floating(inputs, floatx)
        with _unnamed():
            layer = _layer(f"{kind}Pooling{{}}D", x, pool_size, strides, padding, data_format)
            return np.ascontiguousarray(layer.call(x))

    return operation


def adaptive_pooling(kind):
    def operation(inputs, output_size, data_format=None, floatx=FLOAT32):
        x = floating(inputs, floatx)
        with _unnamed():
            return np.ascontiguousarray(_layer(f"Adaptive{kind}Pooling{{}}D", x, output_size, data_format).call(x))

    return operation


# ---------------------------------------------------------------- as TensorFlow calls them
def _format(data_format, rank):
    if data_format is None or data_format == f"N{'DHW'[3 - rank :]}C" or (rank == 1 and data_format == "NWC"):
        return "channels_last"
    if data_format == f"NC{'DHW'[3 - rank :]}":
        return "channels_first"
    raise ValueError(f"found data_format {data_format!r} for {rank} spatial axes")


def _numbers(value, rank, data_format):
    """Sizes for every spatial axis, of one number, of one for each, or of one for every axis of the inputs."""
    if not isinstance(value, (list, tuple)):
        return 1 if value is None else value
    if len(value) == rank + 2:
        first = data_format == "channels_first"
        others = value[:2] if first else (value[0], value[-1])
        if tuple(others) != (1, 1):
            raise ValueError(f"found {list(value)}, expected 1 for the batch and the channels")
        return list(value[2:] if first else value[1:-1])
    return list(value) * rank if len(value) == 1 else list(value)


def _padded(x, padding):
    """Pad as ``[[0, 0], [before, after], ..., [0, 0]]`` says; return the array and the padding that is left to do."""
    if isinstance(padding, str):
        return x, padding.lower()
    pairs = [[int(n) for n in pair] for pair in padding]
    if len(pairs) != x.ndim or any(n < 0 for pair in pairs for n in pair):
        raise ValueError(f"found padding {padding}, expected a pair for each of {x.ndim} axes")
    return np.pad(x, pairs), "valid"


def tf_conv(value, filters, strides=1, padding="VALID", data_format=None, dilations=None, depthwise=False,
            explicit_paddings=None, floatx=FLOAT32):  # fmt: skip
    """As ``tf.nn.conv1d``, ``conv2d`` and ``conv3d``; with `depthwise` as ``tf.nn.depthwise_conv2d``.

    A padding ``"EXPLICIT"`` has its numbers in `explicit_paddings`, two for each axis.
    """
    if padding == "EXPLICIT":
        numbers = list(explicit_paddings or ())
        padding = list(zip(numbers[::2], numbers[1::2], strict=True))
    x = floating(value, floatx)
    rank = x.ndim - 2
    data_format = _format(data_format, rank)
    x, padding = _padded(x, padding)
    strides, dilations = (_numbers(n, rank, data_format) for n in (strides, dilations))
    return (depthwise_conv if depthwise else conv)(x, filters, strides, padding, data_format, dilations, floatx)


def tf_depthwise_conv(value, filters, strides, padding, data_format=None, dilations=None, explicit_paddings=None,
                      floatx=FLOAT32):  # fmt: skip
    return tf_conv(value, filters, strides, padding, data_format, dilations, True, explicit_paddings, floatx)


def tf_pooling(kind):
    """Make ``tf.nn.max_pool`` or ``avg_pool``, of any number of spatial axes."""
    pool = pooling(kind)

    def operation(value, ksize, strides=1, padding="VALID", data_format=None, dilations=None, floatx=FLOAT32):
        x = floating(value, floatx)
        rank = x.ndim - 2
        data_format = _format(data_format, rank)
        if not isinstance(padding, str) or np.any(np.asarray(1 if dilations is None else dilations) != 1):
            raise ValueError(f"found padding {padding} and dilations {dilations}, expected VALID or SAME, and none")
        ksize, strides = (_numbers(n, rank, data_format) for n in (ksize, strides))
        return pool(x, ksize, strides, padding.lower(), data_format, floatx)

    return operation


_POOLS = {"MAX": tf_pooling("Max"), "AVG": tf_pooling("Average")}


def tf_pool(value, window_shape, pooling_type, strides=None, padding="VALID", data_format=None, dilations=None,
            floatx=FLOAT32):  # fmt: skip
    """As ``tf.nn.pool``."""
    if pooling_type not in _POOLS:
        raise ValueError(f"found pooling_type {pooling_type!r}, expected 'MAX' or 'AVG'")
    return _POOLS[pooling_type](value, window_shape, strides, padding, data_format, dilations, floatx)
