"""Convolutions over one, two or three axes, each sum in one fixed order: bias, then the kernel's places, then channels.

Every kernel here sees three spatial axes; where a layer has fewer, the first ones have one place.
"""

from .activations import activate
from .jit import inner, kernel
from .product import add_product, fma


@kernel
def convolve(x, weights, bias, first, strides, dilations, f, y):
    """Write ``f`` of the cross-correlation of images with a kernel; what lies outside an image counts as zero.

    Parameters
    ----------
    x : (batch, *places, groups, channels) C-contiguous array
    weights : (groups, *size, channels, filters) C-contiguous array
        The kernel, each group's filters apart.
    bias : (groups, filters) array
    first : tuple of three ints
        The place under the kernel's first element at the first output; negative where the image is padded.
    strides, dilations : tuple of three ints
    f : Activation
    y : (batch, *outputs, groups * filters) array, written
    """
    groups, filters = weights.shape[0], weights.shape[5]
    for row in range(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for n in range(y.shape[3]):
                    for g in range(groups):
                        out = y[row, i, j, n, g * filters : (g + 1) * filters]
                        out[:] = bias[g]
                        for ki in range(weights.shape[1]):
                            a = first[0] + i * strides[0] + ki * dilations[0]
                            if not 0 <= a < x.shape[1]:
                                continue
                            for kj in range(weights.shape[2]):
                                b = first[1] + j * strides[1] + kj * dilations[1]
                                if not 0 <= b < x.shape[2]:
                                    continue
                                for k in range(weights.shape[3]):
                                    c = first[2] + n * strides[2] + k * dilations[2]
                                    if 0 <= c < x.shape[3]:
                                        add_product(x[row, a, b, c, g], weights[g, ki, kj, k], out)
                    activate(f, y[row, i, j, n])


@kernel
def convolve_transposed(x, weights, bias, before, strides, dilations, f, y):
    """Write ``f`` of a transposed convolution: the one whose gradient a convolution with these words has.

    Parameters
    ----------
    x : (batch, *places, channels) C-contiguous array
    weights : (*size, channels, filters) C-contiguous array
    bias : (filters,) array
    before : tuple of three ints
        How many outputs are cut off at the front of each axis.
    strides, dilations : tuple of three ints
    f : Activation
    y : (batch, *outputs, filters) array, written
    """
    for row in range(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for n in range(y.shape[3]):
                    out = y[row, i, j, n]
                    out[:] = bias
                    for ki in range(weights.shape[0]):
                        a = _place(i + before[0] - ki * dilations[0], strides[0], x.shape[1])
                        if a < 0:
                            continue
                        for kj in range(weights.shape[1]):
                            b = _place(j + before[1] - kj * dilations[1], strides[1], x.shape[2])
                            if b < 0:
                                continue
                            for k in range(weights.shape[2]):
                                c = _place(n + before[2] - k * dilations[2], strides[2], x.shape[3])
                                if c >= 0:
                                    add_product(x[row, a, b, c], weights[ki, kj, k], out)
                    activate(f, out)


@kernel
def _place(position, stride, size):
    """The place of an image that a stride puts at `position`, -1 if there is none."""
    if position < 0 or position % stride != 0 or position // stride >= size:
        return -1
    return position // stride


@kernel
def convolve_depthwise(x, weights, bias, first, strides, dilations, f, y):
    """Write ``f`` of a cross-correlation of every channel by itself.

    Parameters
    ----------
    x : (batch, *places, channels) C-contiguous array
    weights : (*size, multiplier, channels) C-contiguous array
    bias : (multiplier, channels) array
    first, strides, dilations : tuple of three ints
        As in `convolve`.
    f : Activation
    y : (batch, *outputs, multiplier * channels) array, written
        All channels with the first weight, then with the second, ...
    """
    multiplier, channels = weights.shape[3:]
    for row in range(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for n in range(y.shape[3]):
                    out = y[row, i, j, n]
                    for m in range(multiplier):
                        for c in range(channels):
                            out[m * channels + c] = bias[m, c]
                    for ki in range(weights.shape[0]):
                        a = first[0] + i * strides[0] + ki * dilations[0]
                        if not 0 <= a < x.shape[1]:
                            continue
                        for kj in range(weights.shape[1]):
                            b = first[1] + j * strides[1] + kj * dilations[1]
                            if not 0 <= b < x.shape[2]:
                                continue
                            for k in range(weights.shape[2]):
                                p = first[2] + n * strides[2] + k * dilations[2]
                                if 0 <= p < x.shape[3]:
                                    for m in range(multiplier):
                                        _add_pairwise(x[row, a, b, p], weights[ki, kj, k, m], out, m * channels)
                    activate(f, out)


@inner
def _add_pairwise(x, w, z, at):
    """Add ``x * w`` to the numbers of `z` from `at` on."""
    for c in range(x.size):
        z[at + c] = fma(x[c], w[c], z[at + c])
