"""Convolutions on register tiles (float32): neighbouring outputs are the rows of a tile, and nothing is copied.

Along the last axis the places under the kernel follow each other in memory, so that a row of a tile is a piece of the
image; the pieces of the other axes are added to it one after the other, in the order of the general kernel.
"""

import functools

from numba import types

from .address import BUFFER, address, call
from .constant import get
from .dense import PANEL, store_rows
from .jit import kernel
from .tile import Rows, Vectors, product
from .vector import LANES


@kernel
def convolve(cell, weights, activate, x, y, images, image, outputs, size, n, steps, reach, filters, own):
    """Write the activation of the cross-correlation of padded images with a kernel.

    Parameters
    ----------
    cell : Constant
        A `tile.Cell` of kind "simple" whose activation does not matter.
    weights : flat float32 array
        Packed, the rows of the kernel in the order of its places and channels.
    activate : int
        Address of the activation (`update.activation_function`).
    x : array
        Images, with zeros around them as far as the kernel reaches.
    y : (images, *outputs, filters) array, written
    images, image : int
        How many, and the floats of one.
    outputs, size : tuple of three int
        Outputs of an image, and pieces of the kernel, on each axis.
    n : int
        The floats of a piece.
    steps, reach : tuple of three int
        Floats from one output to the next, and from one piece of the kernel to the next, on each axis.
    filters : int
    own : array
        Scratch of ``dense.SCRATCH`` floats.
    """
    width = get(cell, "wide") * LANES
    blocks = (filters + width - 1) // width
    bias, z = address(weights), (address(own) + 63) & ~63
    features = size[0] * size[1] * size[2] * n
    out = address(y)
    for line in range(images * outputs[0] * outputs[1]):
        whole, j = divmod(line, outputs[1])
        m, i = divmod(whole, outputs[0])
        corner = address(x) + 4 * (m * image + i * steps[0] + j * steps[1])
        for r in range(0, outputs[2], PANEL):
            some = min(PANEL, outputs[2] - r)
            for u in range(blocks):
                start, to = Vectors(bias + 4 * u * width, 0, LANES), Vectors(z, LANES, some * LANES)
                w = bias + 4 * (blocks + u * features) * width
                for ki in range(size[0]):
                    for kj in range(size[1]):
                        for k in range(size[2]):
                            piece = ki * reach[0] + kj * reach[1] + k * reach[2]
                            a = Rows(corner + 4 * (r * steps[2] + piece), steps[2])
                            product(cell, start, a, some, n, 0, w, to)
                            start, w = to, w + 4 * n * width
                left = min(filters - u * width, width)
                vectors = (left + LANES - 1) // LANES
                call(activate, (z, vectors * some))
                store_rows(z, vectors, some, out + 4 * (r * filters + u * width), filters, left)
        out += 4 * outputs[2] * filters


@functools.cache
def compiled(cell):
    """Return `convolve` for the `Constant` of a layer, a function to call without further ado."""
    i, three = types.int64, types.UniTuple(types.int64, 3)
    return convolve.compile(
        types.void(cell.numba_type, BUFFER, i, BUFFER, BUFFER, i, i, three, three, i, three, three, i, BUFFER)
    )
