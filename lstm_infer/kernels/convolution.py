"""Convolution over time."""

from .activations import activate
from .jit import kernel
from .product import add_product


@kernel
def convolve(x, weights, bias, first, stride, dilation, f, y):
    """Write ``f`` of the cross-correlation of sequences with a kernel; what lies outside a sequence counts as zero.

    Parameters
    ----------
    x : (batch, timesteps, groups, channels) C-contiguous array
    weights : (groups, size, channels, filters) C-contiguous array
        The kernel, each group's filters apart.
    bias : (groups, filters) array
    first : int
        Timestep under the kernel's first element at the first output; negative where the sequence is padded.
    stride, dilation : int
    f : Activation
    y : (batch, outputs, groups * filters) array, written
    """
    groups, size, filters = weights.shape[0], weights.shape[1], weights.shape[3]
    for row in range(x.shape[0]):
        for n in range(y.shape[1]):
            for g in range(groups):
                out = y[row, n, g * filters : (g + 1) * filters]
                out[:] = bias[g]
                for k in range(size):
                    t = first + n * stride + k * dilation
                    if 0 <= t < x.shape[1]:
                        add_product(x[row, t, g], weights[g, k], out)
            activate(f, y[row, n])
