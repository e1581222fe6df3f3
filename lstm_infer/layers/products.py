"""Weights of convolutions and products as the register tiles take them, and calls of the kernels (float32)."""

import math

import numpy as np

from ..kernels import convolution_tiles, packing
from ..kernels.dense import SCRATCH
from ..kernels.tile import NOTHING
from ..kernels.update import activation_function


class Product:
    """A packed kernel and bias.

    Parameters
    ----------
    kernel : (features, units) float32 array
        For a convolution the features are the places of the kernel and the channels, flat.
    bias : (units,) float32 array
    activation : Activation, optional
        One that looks at one number at a time.
    """

    def __init__(self, kernel, bias, activation=NOTHING):
        self.features, self.units = kernel.shape
        self.packed = packing.pack_dense(kernel, bias, activation)
        self.f = activation_function(self.packed.cell)

    def of_rows(self, x, y):
        """Write the activation of ``x @ kernel + bias``; `x` (..., features) and `y` (..., units) are C-contiguous."""
        one, rows = (1, 1, 1), y.size // self.units
        self._run(x, y, 1, x.size, (1, 1, rows), one, self.features, (0, 0, self.features), (0, 0, 0))

    def of_images(self, x, size, first, strides, dilations, y):
        """Write the activation of the cross-correlation of images, zero where they end, with the kernel.

        Parameters
        ----------
        x : (batch, *places, channels) C-contiguous float32 array
        size : tuple of three int
            Places of the kernel.
        first, strides, dilations : tuple of three int
            As in ``kernels.convolution``.
        y : (batch, *outputs, units) C-contiguous float32 array, written
        """
        if size == strides == (1, 1, 1):
            self.of_rows(x, y)
            return
        outputs = y.shape[1:4]
        x = _padded(x, size, first, strides, dilations, outputs)
        channels, floats = x.shape[4], [math.prod(x.shape[axis + 2 :]) for axis in range(3)]
        steps = tuple(stride * n for stride, n in zip(strides, floats, strict=True))
        reach = tuple(dilation * n for dilation, n in zip(dilations, floats, strict=True))
        n = channels
        if dilations[2] == 1:  # places that follow each other are one piece
            size, n = (*size[:2], 1), size[2] * channels
        self._run(x, y, len(x), math.prod(x.shape[1:]), outputs, size, n, steps, reach)

    def _run(self, x, y, *plan):
        loop, own = self.packed.loop, np.empty(SCRATCH, np.float32)
        run = convolution_tiles.compiled(loop)
        run(loop, self.packed.weights, self.f, x, y, *plan, self.units, own)


def _padded(x, size, first, strides, dilations, outputs):
    """Return images that begin at the first place under the kernel and reach as far as the last."""
    words = zip(first, size, strides, dilations, outputs, x.shape[1:4], strict=True)
    ends = [(-a, max(a + (count - 1) * step + (k - 1) * wide + 1 - n, 0)) for a, k, step, wide, count, n in words]
    return np.pad(x, [(0, 0), *ends, (0, 0)]) if any(map(any, ends)) else x
