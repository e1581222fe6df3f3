"""Layers that change images at random while training: at inference they give what they get, as floats."""

from ..errors import InputError
from .base import TRAINING_WORDS, Layer

NAMES = (
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "RandomHeight", "RandomWidth", "RandomColorDegeneration", "RandomColorJitter", "RandomElasticTransform",
    "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective",
    "RandomSaturation", "RandomSharpness", "RandomShear", "AugMix", "CutMix", "MixUp",
)  # fmt: skip
"""Keras's classes of which this is so; it is not of RandomCrop, AutoContrast and Equalization."""


class Augmentation(Layer):
    """A layer that does something while training only.

    Parameters
    ----------
    *args, **kwargs
        Those of Keras's layer, which change nothing here.

    Examples
    --------
    >>> import numpy as np
    >>> AUGMENTATIONS["RandomFlip"]("horizontal")(np.array([[1, 2]]))
    array([[1., 2.]], dtype=float32)
    """

    per_timestep = True
    words = frozenset({"name", "dtype", "trainable", "input_shape", "batch_input_shape"}) | TRAINING_WORDS

    def __init__(self, *args, **kwargs):
        super().__init__(**{word: value for word, value in kwargs.items() if word in self.words})
        self.given = {word: value for word, value in kwargs.items() if word not in self.words}

    def get_config(self):
        return {**super().get_config(), **self.given}

    def compute_output_shape(self, input_shape):
        return input_shape

    def run(self, inputs, carried_mask, context, mask=None, training=False, **kwargs):
        if training:
            raise InputError(f"layer '{self.name}' was called with training=True: its results are random by design")
        return super().run(inputs, carried_mask, context, mask=mask)

    def call(self, inputs):
        return inputs


AUGMENTATIONS = {name: type(name, (Augmentation,), {"__doc__": "Nothing, at inference."}) for name in NAMES}
"""The classes by their names."""

globals().update(AUGMENTATIONS)  # where pickle looks for them
