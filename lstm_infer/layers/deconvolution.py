"""The transposed convolution of Keras 1, whose layers say how large their outputs are.

Source: ``keras/layers/convolutional.py`` and ``keras/backend/tensorflow_backend.py`` of Keras 1.2.2.
"""

from ..errors import InputError
from .space import at_door, sizes, windows
from .transposed import Conv2DTranspose


class Deconvolution2D(Conv2DTranspose):
    """A transposed convolution over images whose outputs have a given size, as Keras 1 on TensorFlow computes it.

    Parameters
    ----------
    filters : int
    kernel_size : int or sequence of two int
    output_shape : sequence of four int
        Of the whole output, in the order of `data_format`; the batch and the channels are not looked at.
    strides : int or sequence of two int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation : str or callable, optional
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Deconvolution2D(1, 2, (None, 4, 5, 1), strides=2)
    >>> layer.set_weights([np.ones((2, 2, 1, 1)), [0.0]])
    >>> layer(np.ones((1, 2, 2, 1)))[0, ..., 0].tolist()[0]
    [1.0, 1.0, 1.0, 1.0, 0.0]
    """

    config_names = ("filters", "kernel_size", "output_shape", "strides", "padding", "data_format", "activation",
                    "use_bias")  # fmt: skip

    def __init__(
        self,
        filters,
        kernel_size,
        output_shape,
        strides=1,
        padding="valid",
        data_format=None,
        activation=None,
        use_bias=True,
        **kwargs,
    ):
        kwargs.pop("weights", None)
        super().__init__(filters, kernel_size, strides, padding, None, data_format, 1, activation, use_bias, **kwargs)
        self.output_shape = list(output_shape) if isinstance(output_shape, (list, tuple)) else output_shape
        first = 2 if self.data_format == "channels_first" else 1
        if not isinstance(self.output_shape, list) or len(self.output_shape) != 4:
            raise InputError(f"layer '{self.name}': found output_shape {output_shape!r}, expected four sizes")
        with at_door(self):
            self.places = sizes(self.output_shape[first : first + 2], 2, "output_shape")

    def _windows(self, places):
        """Return the given sizes, and how many outputs are cut off in front: those that a convolution would pad."""
        words = zip(self.places, self.kernel_size, self.strides, strict=True)
        counts, before = zip(*(windows(n, *rest, 1, self.padding) for n, *rest in words), strict=True)
        if any(n is not None and n != count for n, count in zip(places, counts, strict=True)):
            raise InputError(f"layer '{self.name}': found inputs of {places} places, expected {counts} to make "
                             f"{self.places} of")  # fmt: skip
        return self.places, tuple(-n for n in before)
