"""Fast CPU inference for pretrained Keras LSTMs, without TensorFlow.

Names are resolved when they are first used: importing the package imports neither Numba nor h5py nor NumPy.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "load_model": "loading",
    "Model": "model",
    "Sequential": "model",
    "Session": "streaming",
    "Semantics": "spec",
    "LSTMInferError": "errors",
    "LoadError": "errors",
    "UnsupportedLayerError": "errors",
    "InputError": "errors",
}
_LAYERS = (
    "Layer", "Input", "InputLayer", "Dense", "Embedding", "Masking", "Identity", "Activation", "Dropout",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianDropout", "GaussianNoise", "AlphaDropout",
    "ActivityRegularization", "LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "StackedRNNCells", "Bidirectional", "TimeDistributed", "ReLU", "LeakyReLU", "PReLU", "ELU", "ThresholdedReLU",
    "Softmax", "Flatten", "Reshape", "Permute", "RepeatVector", "Concatenate", "Add", "Subtract", "Multiply", "Average",
    "Maximum", "Minimum", "Dot", "BatchNormalization", "LayerNormalization", "Conv1D", "MaxPooling1D",
    "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D",
)  # fmt: skip
_HOMES.update(dict.fromkeys(_LAYERS, "layers"))

_ROOMS = ("batch", "text")
"""Modules that are reached through the package, too."""

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'lstm_infer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOMES, *_ROOMS])
