"""Keras layers under their Keras names: they check shapes, allocate, and call a kernel.

One file per Keras family, imported when a layer of it is first asked for: a model needs few of them, and to import all
takes as long as to load a small model. Layers know nothing of files and Keras versions; `LAYERS` is what a file may
name.
"""

import importlib
from collections.abc import Mapping

from .base import Context, Layer, Node, Tensor
from .core import Input, Lambda

HOMES = {
    "activation_layers": "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU",
    "adaptive_pooling": """
        AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
        AdaptiveMaxPooling2D AdaptiveMaxPooling3D""",
    "addons": "ESN ESNCell LayerNormLSTMCell LayerNormSimpleRNNCell NASCell PeepholeLSTMCell",
    "attention": "AdditiveAttention Attention",
    "augmentation": """
        AugMix CutMix MixUp RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
        RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight
        RandomHue RandomInvert RandomPerspective RandomRotation RandomSaturation RandomSharpness
        RandomShear RandomTranslation RandomWidth RandomZoom""",
    "categories": "CategoryEncoding Discretization",
    "cells": "GRUCell LSTMCell SimpleRNNCell StackedRNNCells",
    "contraction": "EinsumDense",
    "conv_recurrent": "ConvLSTM1D ConvLSTM2D ConvLSTM3D",
    "convolution": "Conv1D Conv2D Conv3D",
    "core": """
        Activation ActivityRegularization AlphaDropout Dense Dropout Embedding GaussianDropout
        GaussianNoise Identity InputLayer Masking SpatialDropout1D SpatialDropout2D SpatialDropout3D""",
    "cosine": "CosineMerge",
    "crf": "AddonsCRF CRF",
    "deconvolution": "Deconvolution2D",
    "global_pooling": """
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D""",
    "keras1": "Highway MaxoutDense ParametricSoftplus SReLU",
    "local": "LocallyConnected1D LocallyConnected2D",
    "lookups": "HashedCrossing Hashing IntegerLookup StringLookup",
    "merge": "Add Average Concatenate Dot Maximum Minimum Multiply Subtract",
    "multi_head": "GroupQueryAttention MultiHeadAttention",
    "normalization": "BatchNormalization LayerNormalization Normalization Rescaling",
    "pooling": "AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D",
    "recurrent": "GRU LSTM RNN SimpleRNN",
    "reshaping": "Flatten Permute RepeatVector Reshape",
    "resizing": """
        Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
        ZeroPadding2D ZeroPadding3D""",
    "reversible_embedding": "ReversibleEmbedding",
    "scaling": "GroupNormalization RMSNormalization UnitNormalization",
    "separable": "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D",
    "text": "TextVectorization",
    "transposed": "Conv1DTranspose Conv2DTranspose Conv3DTranspose",
    "wrappers": "Bidirectional SpectralNormalization TimeDistributed",
}
"""The files, and the layers in them."""
RECORDED = ("keras.ops.", "tf.")
"""Beginnings of the names of operations, which Keras records: nobody writes them by hand."""
UNKNOWN = ("TFOpLambda ", "SlicingOpLambda ", "TensorFlowOpLayer ")
"""Beginnings of the names of recorded functions that are not here."""
_HOME_OF = {name: home for home, names in HOMES.items() for name in names.split()}


class _Layers(Mapping):
    def __getitem__(self, name):
        if name in _HOME_OF:
            return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
        if str(name).startswith(RECORDED):
            return self._operations()[name]
        raise KeyError(name)

    def __contains__(self, name):
        return name in _HOME_OF or (str(name).startswith(RECORDED) and name in self._operations())

    def __iter__(self):
        return iter([*_HOME_OF, *self._operations()])

    def __len__(self):
        return len(_HOME_OF) + len(self._operations())

    def _operations(self):
        return importlib.import_module(".operations", __name__).OPERATIONS


def recorded(name):
    """Return the class for a recorded call that a function of the user's computes; None if `name` is of no such call.

    >>> recorded("Dense"), recorded("TFOpLambda math.lgamma").__name__
    (None, 'Recorded')
    """
    if not str(name).startswith((*RECORDED, *UNKNOWN)):
        return None
    return importlib.import_module(".operations", __name__).Recorded


LAYERS = _Layers()
"""The layers a model file may name, by their Keras class names."""

__all__ = ["LAYERS", "Context", "Input", "Lambda", "Layer", "Node", "Tensor", "is_ours", *_HOME_OF]


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return LAYERS[name]


def is_ours(layer):
    """Whether a layer is one of `LAYERS` itself, and not of a subclass, which may override anything."""
    kind = type(layer)
    return kind.__module__.startswith(f"{__name__}.") and (kind.__name__ in _HOME_OF or layer.is_recorded)
