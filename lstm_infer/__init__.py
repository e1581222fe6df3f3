"""Fast CPU inference for pretrained Keras LSTMs, without TensorFlow.

Names are resolved when they are first used: importing the package imports neither Numba nor h5py nor NumPy.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load_model": "loading",
    "inspect": "inspection",
    "Model": "model",
    "Sequential": "model",
    "Session": "streaming",
    "SessionPool": "streaming",
    "CapacityError": "streaming",
    "Semantics": "spec",
    "LSTMInferError": "errors",
    "LoadError": "errors",
    "UnsupportedLayerError": "errors",
    "InputError": "errors",
}
_LAYERS = (
    "Layer", "Input", "InputLayer", "Dense", "Embedding", "Lambda", "Masking", "Identity", "Activation", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "StackedRNNCells", "Bidirectional", "TimeDistributed", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU",
    "Softmax", "Flatten", "Reshape", "Permute", "RepeatVector", "Concatenate", "Add", "Subtract", "Multiply", "Average",
    "Maximum", "Minimum", "Dot", "BatchNormalization", "LayerNormalization", "Conv1D", "MaxPooling1D",
    "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D", "EinsumDense", "Attention",
    "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention", "RMSNormalization", "GroupNormalization",
    "UnitNormalization", "SpectralNormalization", "ReversibleEmbedding", "Highway", "MaxoutDense", "ParametricSoftplus",
    "SReLU", "Deconvolution2D", "CosineMerge",
    "Normalization", "Rescaling", "Discretization", "CategoryEncoding", "Hashing", "HashedCrossing", "IntegerLookup",
    "StringLookup", "TextVectorization",
    "CRF", "AddonsCRF", "PeepholeLSTMCell", "LayerNormLSTMCell", "LayerNormSimpleRNNCell", "NASCell", "ESNCell", "ESN",
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "RandomHeight", "RandomWidth", "RandomColorDegeneration", "RandomColorJitter", "RandomElasticTransform",
    "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective",
    "RandomSaturation", "RandomSharpness", "RandomShear", "AugMix", "CutMix", "MixUp",
    "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D",
    "SeparableConv1D", "SeparableConv2D", "LocallyConnected1D", "LocallyConnected2D", "ConvLSTM1D", "ConvLSTM2D",
    "ConvLSTM3D", "MaxPooling2D", "MaxPooling3D", "AveragePooling2D", "AveragePooling3D", "GlobalMaxPooling2D",
    "GlobalMaxPooling3D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Cropping1D", "Cropping2D",
    "Cropping3D", "UpSampling1D", "UpSampling2D", "UpSampling3D",
)  # fmt: skip
_HOMES.update(dict.fromkeys(_LAYERS, "layers"))

_ROOMS = ("batch", "custom", "text")
"""Modules that are reached through the package, too."""

__all__ = sorted([*_HOMES, *_ROOMS, "__version__"])


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_infer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOMES, *_ROOMS})
