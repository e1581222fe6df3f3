"""Keras layers under their Keras names: they check shapes, allocate, and call a kernel.

One file per Keras family. Layers know nothing of files and Keras versions; `LAYERS` is what a file may name.
"""

from .activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from .addons import ESN, ESNCell, LayerNormLSTMCell, LayerNormSimpleRNNCell, NASCell, PeepholeLSTMCell
from .attention import AdditiveAttention, Attention
from .augmentation import AUGMENTATIONS
from .base import Context, Layer, Node, Tensor
from .categories import CategoryEncoding, Discretization
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .contraction import EinsumDense
from .convolution import Conv1D
from .core import (
    Activation,
    ActivityRegularization,
    AlphaDropout,
    Dense,
    Dropout,
    Embedding,
    GaussianDropout,
    GaussianNoise,
    Identity,
    Input,
    InputLayer,
    Masking,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from .crf import CRF, AddonsCRF
from .keras1 import Highway, MaxoutDense, ParametricSoftplus, SReLU
from .lookups import HashedCrossing, Hashing, IntegerLookup, StringLookup
from .merge import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from .multi_head import GroupQueryAttention, MultiHeadAttention
from .normalization import BatchNormalization, LayerNormalization, Normalization, Rescaling
from .operations import OPERATIONS
from .pooling import AveragePooling1D, GlobalAveragePooling1D, GlobalMaxPooling1D, MaxPooling1D
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .reshaping import Flatten, Permute, RepeatVector, Reshape
from .reversible_embedding import ReversibleEmbedding
from .scaling import GroupNormalization, RMSNormalization, UnitNormalization
from .text import TextVectorization
from .wrappers import Bidirectional, SpectralNormalization, TimeDistributed

LAYERS = {
    layer.__name__: layer
    for layer in (
        InputLayer, Dense, EinsumDense, Embedding, Masking, Identity, Activation,
        Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, GaussianDropout, GaussianNoise, AlphaDropout,
        ActivityRegularization,
        LSTM, GRU, SimpleRNN, RNN, LSTMCell, GRUCell, SimpleRNNCell, StackedRNNCells, Bidirectional, TimeDistributed,
        ReLU, LeakyReLU, PReLU, ELU, ThresholdedReLU, Softmax,
        Flatten, Reshape, Permute, RepeatVector,
        Concatenate, Add, Subtract, Multiply, Average, Maximum, Minimum, Dot,
        BatchNormalization, LayerNormalization, Conv1D,
        MaxPooling1D, AveragePooling1D, GlobalMaxPooling1D, GlobalAveragePooling1D,
        RMSNormalization, GroupNormalization, UnitNormalization, SpectralNormalization, ReversibleEmbedding,
        Highway, MaxoutDense, ParametricSoftplus, SReLU,
        Attention, AdditiveAttention, MultiHeadAttention, GroupQueryAttention,
        Normalization, Rescaling, Discretization, CategoryEncoding, Hashing, HashedCrossing, IntegerLookup,
        StringLookup, TextVectorization,
        *AUGMENTATIONS.values(),
        CRF, AddonsCRF, PeepholeLSTMCell, LayerNormLSTMCell, LayerNormSimpleRNNCell, NASCell, ESNCell, ESN,
    )
}  # fmt: skip
"""The layers a model file may name, by their Keras class names."""

globals().update(AUGMENTATIONS)

__all__ = ["LAYERS", "Context", "Input", "Layer", "Node", "Tensor", *LAYERS]

LAYERS.update(OPERATIONS)  # recorded by Keras: nobody writes them by hand
