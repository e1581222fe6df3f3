"""Sizes and axes of sequences, images and volumes: what all layers over one, two or three spatial axes share."""

import numpy as np

from ..errors import InputError

FORMATS = ("channels_last", "channels_first")


def sizes(value, rank, where, least=1):
    """Return a config's number, or list of numbers, as a tuple with one for each spatial axis.

    >>> sizes(3, 2, "kernel_size"), sizes([2], 1, "strides")
    ((3, 3), (2,))
    """
    given = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= least for n in given)
    if len(given) != rank or not whole:
        raise InputError(f"found {where} {value!r}, expected {rank} whole numbers from {least}")
    return tuple(int(n) for n in given)


def pairs(value, rank, where):
    """Return the numbers before and after on each axis: one for all, one for each axis, or a pair for each axis.

    >>> pairs(1, 2, "padding"), pairs([1, [0, 2]], 2, "padding")
    (((1, 1), (1, 1)), ((1, 1), (0, 2)))
    """
    if rank == 1:  # a pair is that of the only axis
        nested = isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple))
        return (sizes(value[0] if nested else value, 2, where, least=0),)
    given = tuple(value) if isinstance(value, (list, tuple)) else (value,) * rank
    if len(given) != rank:
        raise InputError(f"found {where} {value!r}, expected a number, or {rank} numbers or pairs")
    return tuple(sizes(pair, 2, where, least=0) for pair in given)


def one_of(value, allowed, where):
    """Return a word, in small letters as Keras takes it, if it is one of the `allowed`."""
    word = value.lower() if isinstance(value, str) else value
    if word not in allowed:
        raise InputError(f"found {where} {value!r}, expected " + " or ".join(map(repr, allowed)))
    return word


def windows(length, size, stride, dilation, padding):
    """Return how many windows fit into `length` places, and the place under the first element of the first window.

    Parameters
    ----------
    length : int
    size, stride, dilation : int
    padding : {"valid", "same", "causal"}

    Examples
    --------
    >>> windows(5, 3, 2, 1, "same"), windows(5, 3, 1, 1, "valid"), windows(5, 3, 1, 2, "causal")
    ((3, -1), (3, 0), (5, -4))
    """
    span = (size - 1) * dilation + 1
    if padding == "valid":
        return max((length - span) // stride + 1, 0), 0
    count = -(-length // stride)
    if padding == "causal":
        return count, 1 - span
    return count, -(max((count - 1) * stride + span - length, 0) // 2)


def split(shape, data_format):
    """Return the spatial part of a shape that has a batch, and its channels."""
    return (tuple(shape[1:-1]), shape[-1]) if data_format == "channels_last" else (tuple(shape[2:]), shape[1])


def join(batch, places, channels, data_format):
    """Return the shape with these parts.

    >>> join(None, (4, 5), 3, "channels_first")
    (None, 3, 4, 5)
    """
    return (batch, *places, channels) if data_format == "channels_last" else (batch, channels, *places)


def channels_last(x, data_format):
    """Return an array whose channels are its last axis."""
    return x if data_format == "channels_last" else np.moveaxis(x, 1, -1)


def channels_back(y, data_format):
    """Return an array whose channels, its last axis, are where `data_format` has them."""
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


def widened(x, rank):
    """Return (batch, *places, ...) with three spatial axes: those that `rank` lacks have one place, in front."""
    return x.reshape(len(x), *(1,) * (3 - rank), *x.shape[1:])


def three(numbers, filler):
    """Return a tuple of three, `filler` in front."""
    return (filler,) * (3 - len(numbers)) + tuple(numbers)


def check_rank(layer, shape, rank):
    """Refuse inputs that have another number of axes."""
    if len(shape) != rank + 2:
        axes = ("timesteps",) if rank == 1 else ("rows", "columns") if rank == 2 else ("depth", "rows", "columns")
        expected = ", ".join(join("batch", axes, "channels", getattr(layer, "data_format", "channels_last")))
        raise InputError(f"layer '{layer.name}': found inputs {tuple(shape)}, expected ({expected})")


def check_places(layer, found, places):
    """Refuse inputs that are too small for a single output."""
    if any(n is not None and n < 1 for n in found):
        raise InputError(f"layer '{layer.name}': found inputs of {places} places, expected enough for one output")


class at_door:  # noqa: N801  (used like a function)
    """Puts the name of a layer in front of what is wrong with its arguments."""

    def __init__(self, layer):
        self.layer = layer

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is InputError:
            raise InputError(f"layer '{self.layer.name}': {error}") from None
