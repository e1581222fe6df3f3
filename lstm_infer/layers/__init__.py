"""Keras layers under their Keras names: they check shapes, allocate, and call a kernel.

One file per Keras family. Layers know nothing of files and Keras versions; `LAYERS` is what a file may name.
"""

from .activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from .adaptive_pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
)
from .addons import ESN, ESNCell, LayerNormLSTMCell, LayerNormSimpleRNNCell, NASCell, PeepholeLSTMCell
from .attention import AdditiveAttention, Attention
from .augmentation import AUGMENTATIONS
from .base import Context, Layer, Node, Tensor
from .categories import CategoryEncoding, Discretization
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .contraction import EinsumDense
from .conv_recurrent import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from .convolution import Conv1D, Conv2D, Conv3D
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
    Lambda,
    Masking,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from .crf import CRF, AddonsCRF
from .global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from .keras1 import Highway, MaxoutDense, ParametricSoftplus, SReLU
from .local import LocallyConnected1D, LocallyConnected2D
from .lookups import HashedCrossing, Hashing, IntegerLookup, StringLookup
from .merge import Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
from .multi_head import GroupQueryAttention, MultiHeadAttention
from .normalization import BatchNormalization, LayerNormalization, Normalization, Rescaling
from .operations import OPERATIONS
from .pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from .recurrent import GRU, LSTM, RNN, SimpleRNN
from .reshaping import Flatten, Permute, RepeatVector, Reshape
from .resizing import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from .reversible_embedding import ReversibleEmbedding
from .scaling import GroupNormalization, RMSNormalization, UnitNormalization
from .separable import DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from .text import TextVectorization
from .transposed import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
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
        Conv2D, Conv3D, Conv1DTranspose, Conv2DTranspose, Conv3DTranspose,
        DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D, LocallyConnected1D, LocallyConnected2D,
        MaxPooling2D, MaxPooling3D, AveragePooling2D, AveragePooling3D,
        GlobalMaxPooling2D, GlobalMaxPooling3D, GlobalAveragePooling2D, GlobalAveragePooling3D,
        AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D,
        AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D,
        ZeroPadding1D, ZeroPadding2D, ZeroPadding3D, Cropping1D, Cropping2D, Cropping3D,
        UpSampling1D, UpSampling2D, UpSampling3D, ConvLSTM1D, ConvLSTM2D, ConvLSTM3D,
    )
}  # fmt: skip
"""The layers a model file may name, by their Keras class names."""

globals().update(AUGMENTATIONS)

__all__ = ["LAYERS", "Context", "Input", "Lambda", "Layer", "Node", "Tensor", *LAYERS]

LAYERS.update(OPERATIONS)  # recorded by Keras: nobody writes them by hand
