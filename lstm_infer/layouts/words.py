"""The words of older Keras releases and today's words for them, as tables. Nothing here reads a file or decides."""

from __future__ import annotations

CLASSES = {  # old class name: (today's, words that the old one implies)
    "Convolution1D": ("Conv1D", {}), "Convolution2D": ("Conv2D", {}), "Convolution3D": ("Conv3D", {}),
    "AtrousConvolution1D": ("Conv1D", {}), "AtrousConvolution2D": ("Conv2D", {}),
    "SeparableConvolution2D": ("SeparableConv2D", {}),
    "TimeDistributedDense": ("Dense", {}),
    "CuDNNLSTM": ("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}),
    "CuDNNGRU": ("GRU", {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
                         "reset_after": True}),
    "UnifiedLSTM": ("LSTM", {}), "UnifiedGRU": ("GRU", {}), "LSTMV2": ("LSTM", {}), "GRUV2": ("GRU", {}),
    "LSTMV1": ("LSTM", {}), "GRUV1": ("GRU", {}),
    "BatchNormalizationV1": ("BatchNormalization", {}), "BatchNormalizationV2": ("BatchNormalization", {}),
    "SyncBatchNormalization": ("BatchNormalization", {}), "GroupedQueryAttention": ("GroupQueryAttention", {}),
}
MODELS = {"Sequential": "Sequential", "Model": "Functional", "Functional": "Functional", "Container": "Functional"}
ADDONS = {  # of TensorFlow Addons: registered name: what it is called here
    **{f"Addons>{name}": name for name in ("PeepholeLSTMCell", "LayerNormLSTMCell", "LayerNormSimpleRNNCell", "NASCell",
                                           "ESNCell", "ESN")},
    "Addons>CRF": "AddonsCRF",
}
AUGMENTATIONS = frozenset("""
    AugMix CutMix MixUp RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform
    RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert RandomPerspective
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom
""".split())  # noqa: SIM905
LOOKUPS = {"TextVectorization", "StringLookup", "IntegerLookup"}
TRANSPARENT = {  # class or registered name of wrappers that do nothing at inference but to arrays: their class
    "PruneLowMagnitude": "PruneLowMagnitude", "Addons>WeightNormalization": "WeightNormalization",
}

KERAS1 = {  # of every class that is Keras's own
    "inner_activation": "recurrent_activation", "consume_less": "implementation", "bias": "use_bias",
    "nb_filter": "filters", "filter_length": "kernel_size", "border_mode": "padding",
    "subsample_length": "strides", "subsample": "strides", "atrous_rate": "dilation_rate",
    "dim_ordering": "data_format", "pool_length": "pool_size", "stride": "strides", "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "init": "kernel_initializer", "inner_init": "recurrent_initializer", "input_dtype": "dtype",
}
OF_CLASS = {  # of these classes only
    **dict.fromkeys(("Dense", "LSTM", "GRU", "SimpleRNN"), {"output_dim": "units"}),
    **dict.fromkeys(("Dropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"),
                    {"p": "rate"}),
    "GaussianNoise": {"sigma": "stddev"},
    "UpSampling1D": {"length": "size"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "InputLayer": {"batch_input_shape": "batch_shape"},
}
VALUES = {  # (today's word, old value): today's value
    ("implementation", "cpu"): 1, ("implementation", "mem"): 1, ("implementation", "gpu"): 2, ("implementation", 0): 1,
    ("data_format", "th"): "channels_first", ("data_format", "tf"): "channels_last",
}
KERNEL_SIZES = (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3"))  # Keras 1 Conv2D and Conv3D
PADDING_SIDES = {  # before and after on each axis, in Keras 1
    "ZeroPadding1D": (("left_pad", "right_pad"),),
    "ZeroPadding2D": (("top_pad", "bottom_pad"), ("left_pad", "right_pad")),
}
UNSAID_FORMAT = {  # whose dim_ordering Keras 1 does not save
    "Cropping2D", "Cropping3D", "UpSampling2D", "UpSampling3D", "ZeroPadding2D", "ZeroPadding3D",
}
MERGES = {  # Keras 1 Merge: mode: (class, words of Merge that it takes)
    "sum": ("Add", {}), "mul": ("Multiply", {}), "ave": ("Average", {}), "max": ("Maximum", {}),
    "concat": ("Concatenate", {"concat_axis": "axis"}), "dot": ("Dot", {"dot_axes": "axes"}),
    "cos": ("CosineMerge", {"dot_axes": "axes"}),
}
ACTIVATIONS = {"softmax_v2": "softmax", "relu_v2": "relu"}  # TensorFlow's names for the same functions

CONV_RECURRENT = {"ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}
NO_EFFECT = {  # class: words that some Keras writes for it, but never follows
    **dict.fromkeys(CONV_RECURRENT, {"implementation"}),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D", "SeparableConv2D"),
                    {"groups"}),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), {"groups", "filters"}),
}

LAYER_WORDS = ("layer", "backward_layer", "cell")  # config words that hold layers
WRAPPERS = {"Bidirectional", "TimeDistributed", "SpectralNormalization", "RNN", "StackedRNNCells"}
RECURRENT = {"LSTM", "GRU", "SimpleRNN", "LSTMCell", "GRUCell", "SimpleRNNCell"}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 40


def _wholes(value: object) -> bool:
    return _whole(value) or isinstance(value, list) and len(value) < 100 and all(map(_whole, value))


def _flag(value: object) -> bool:
    return isinstance(value, bool) or value in (0, 1)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


TYPES = (  # (words, whether a value will do, what it should be); null is always allowed
    (("units", "filters", "input_dim", "output_dim", "n", "num_heads", "key_dim", "value_dim", "depth_multiplier",
      "implementation"), lambda v: _whole(v) and v > 0, "a positive whole number"),
    (("kernel_size", "strides", "pool_size", "dilation_rate"), _wholes, "a whole number or a list of them"),
    (("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "use_bias", "reset_after", "mask_zero",
      "zero_output_for_mask", "time_major", "trainable", "center"), _flag, "true or false"),
    (("epsilon", "rate", "negative_slope", "theta", "threshold", "max_value"), _number, "a number"),
    (("padding",), lambda v: isinstance(v, (str, int, list)), "a word or numbers"),
    (("data_format", "merge_mode", "score_mode"), lambda v: isinstance(v, str), "a word"),
)
