"""Which arrays each Keras class has, in the order it creates them. Knows no files and no old spellings.

Trainable arrays come before the others in the legacy HDF5 layout, whatever the order of creation; an array whose
name begins with ``~`` here is never trainable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .words import AUGMENTATIONS

Config = Mapping[str, Any]


class Part(NamedTuple):
    """Arrays that one object inside a layer owns.

    `label` stands in front of their names in our own spelling and in weight names (``"query"``), `store` is the
    attribute path of the object in the object store (``"query_dense"``).
    """

    names: tuple[str, ...]
    label: str = ""
    store: str = ""
    fixed: frozenset[str] = frozenset()  # those that are never trainable


def _on(config: Config, flag: str, *names: str) -> tuple[str, ...]:
    return names if config.get(flag, True) else ()


def _bias(config: Config) -> tuple[str, ...]:
    return _on(config, "use_bias", "bias")


MODE = re.compile(r"(int8|int4|float8|gptq|awq)(?:/[-\d]+)*(?=_from_)")


def _quantised(config: Config) -> str:
    """The mode of a quantised dtype policy (``int4/32_from_float32``: ``int4/32``); of int4, with its block."""
    found = MODE.match(str(config.get("dtype") or ""))
    if found is None:
        return ""
    return found[0] if found[1] == "int4" else found[1]


def _dense(config: Config) -> tuple[str, ...]:
    bias = ("bias",) if config.get("bias_axes", config.get("use_bias", True)) else ()
    mode = _quantised(config)
    scale, groups = "~kernel_scale", ("~kernel_scale", "~kernel_zero")
    if mode in ("gptq", "awq"):
        return (*bias, "~kernel", *groups, *(("~awq_scales",) if mode == "awq" else ()), "~g_idx")
    if mode in ("int8", "int4", "int4/-1"):
        return ("~kernel", *bias, scale)
    if mode.startswith("int4/"):
        return ("~kernel", *bias, *groups, "~g_idx")
    float8 = tuple(f"{kind}_{what}" for kind in ("inputs", "kernel", "outputs_grad")
                   for what in ("scale", "amax_history")) if mode == "float8" else ()
    return ("kernel", *bias, *float8)


def _embedding(config: Config) -> tuple[str, ...]:
    mode = _quantised(config)
    if mode in ("int8", "int4", "int4/-1"):
        return ("~embeddings", "~embeddings_scale")
    if mode.startswith("int4/"):
        return ("~embeddings", "~embeddings_scale", "~embeddings_zero", "~g_idx")
    return ("embeddings",)


def _einsum_dense(config: Config) -> tuple[str, ...]:
    return _dense({**config, "bias_axes": config.get("bias_axes")})


def _recurrent(config: Config) -> tuple[str, ...]:
    return ("kernel", "recurrent_kernel", *_bias(config))


def _kernel(config: Config) -> tuple[str, ...]:
    return ("kernel", *_bias(config))


def _batch_normalization(config: Config) -> tuple[str, ...]:
    renorm = ("~moving_stddev", "~renorm_mean", "~renorm_stddev") if config.get("renorm") else ()
    return (*_on(config, "scale", "gamma"), *_on(config, "center", "beta"), "~moving_mean", "~moving_variance", *renorm)


def _scale_and_center(config: Config) -> tuple[str, ...]:
    if config.get("rms_scaling"):
        return ("gamma",)
    return (*_on(config, "scale", "gamma"), *_on(config, "center", "beta"))


def _attention(config: Config) -> tuple[str, ...]:
    concat = ("concat_score_weight",) if config.get("score_mode") == "concat" else ()
    return (*(("scale",) if config.get("use_scale") else ()), *concat)


def _multi_head(config: Config) -> tuple[Part, ...]:
    gate = ("gate",) if config.get("use_gate") else ()
    labels = ("query", "key", *gate, "value", "attention_output")
    stores = {"attention_output": "output_dense"}
    return tuple(Part(_kernel(config), label, stores.get(label, f"{label}_dense")) for label in labels)


def quantised_kernels(names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The arrays of a kernel, and perhaps of a bias, in every mode in which Keras quantises it."""
    plain = {"use_bias": "bias" in names}
    modes = ("int8", "int4/2", "float8", "gptq/4/2", "awq/4/2")
    return tuple(_plain(_dense({**plain, "dtype": f"{mode}_from_float32"})) for mode in modes)


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lstrip("~") for name in names)


def _reservoir(config: Config) -> tuple[str, ...]:
    return ("~recurrent_kernel", "~kernel", *_on(config, "use_bias", "~bias"))


def _normalised_lstm(config: Config) -> tuple[Part, ...]:
    norms = ("kernel_norm", "recurrent_norm", "state_norm")
    return (Part(_recurrent(config)), *(Part(("gamma", "beta"), norm, norm) for norm in norms))


def _addons_crf(config: Config) -> tuple[Part, ...]:
    own = Part(("chain_kernel", *_on(config, "use_boundary", "left_boundary", "right_boundary")))
    return (own, *((Part(_kernel({}), "dense", "_dense_layer"),) if config.get("use_kernel", True) else ()))


def _reversible(config: Config) -> tuple[str, ...]:
    own = _embedding(config)
    if config.get("tie_weights", True):
        return own
    if len(own) == 1:
        return (*own, "reverse_embeddings")
    back = ("~reverse_embeddings", "~reverse_embeddings_scale")
    return (*own, *back, *(("~reverse_embeddings_zero",) if len(own) == 4 else ()))


SIMPLE: dict[str, Callable[[Config], tuple[str, ...]]] = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "Embedding": _embedding,
    "ReversibleEmbedding": _reversible,
    **dict.fromkeys(("LSTMCell", "GRUCell", "SimpleRNNCell"), _recurrent),
    **dict.fromkeys((
        "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose",
        "LocallyConnected1D", "LocallyConnected2D", "Deconvolution2D"), _kernel),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), lambda c: ("depthwise_kernel", *_bias(c))),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"),
                    lambda c: ("depthwise_kernel", "pointwise_kernel", *_bias(c))),
    "BatchNormalization": _batch_normalization,
    **dict.fromkeys(("LayerNormalization", "GroupNormalization"), _scale_and_center),
    "RMSNormalization": lambda c: ("scale",),
    "PReLU": lambda c: ("alpha",),
    "Attention": _attention,
    "AdditiveAttention": lambda c: _on(c, "use_scale", "scale"),
    "Normalization": lambda c: () if c.get("mean") is not None else ("~mean", "~variance", "~count"),
    "CRF": lambda c: ("kernel", "chain_kernel", *_bias(c), *_on(c, "use_boundary", "left_boundary", "right_boundary")),
    "PeepholeLSTMCell": lambda c: (
        *_recurrent(c), *(f"{gate}_gate_peephole_weights" for gate in ("input", "forget", "output"))),
    "NASCell": lambda c: ("recurrent_kernel", "kernel", *(("bias",) if c.get("use_bias") else ()),
                          *(("projection_weights",) if c.get("projection") else ())),
    "ESNCell": lambda c: _reservoir(c),
    "Discretization": lambda c: ("~summary",) if c.get("bin_boundaries") is None else (),
    "SpectralNormalization": lambda c: ("~vector_u",),
    "Highway": lambda c: ("W", "W_carry", *_on(c, "use_bias", "b", "b_carry")),  # Keras 1 only
    "MaxoutDense": lambda c: ("W", *_on(c, "use_bias", "b")),
    "ParametricSoftplus": lambda c: ("alphas", "betas"),
    "SReLU": lambda c: ("t_left", "a_left", "t_right", "a_right"),
}
QUANTISED_INSIDE = frozenset({"MultiHeadAttention", "GroupQueryAttention"})
"""Layers of whose quantised kernels their config does not tell."""
PARTS: dict[str, Callable[[Config], tuple[Part, ...]]] = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
                    lambda c: (Part(_recurrent(c), store="cell"),)),
    "ESN": lambda c: (_part(_reservoir(c))[0]._replace(store="cell"),),
    "LayerNormLSTMCell": _normalised_lstm,
    "LayerNormSimpleRNNCell": lambda c: (Part(_recurrent(c)), Part(("gamma",), "layernorm", "layernorm")),
    "AddonsCRF": _addons_crf,
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _multi_head),
}
# no arrays of their own: wrappers and RNN have those of their children
WEIGHTLESS = AUGMENTATIONS | frozenset("""
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AlphaDropout Average
    AveragePooling1D AveragePooling2D AveragePooling3D Bidirectional CategoryEncoding Concatenate CosineMerge Cropping1D
    Cropping2D Cropping3D Dot Dropout ELU Flatten GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D HashedCrossing Hashing Identity InputLayer IntegerLookup Lambda LeakyReLU Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum Multiply Permute ReLU RNN RepeatVector Rescaling Reshape
    SlicingOpLambda Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D StackedRNNCells StringLookup Subtract TFOpLambda
    TensorFlowOpLayer TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""".split())  # noqa: SIM905
KNOWN = frozenset(SIMPLE) | frozenset(PARTS) | WEIGHTLESS


def parts(class_name: str, config: Config, registered_name: str | None = None) -> tuple[Part, ...] | None:
    """The arrays of a class; None where the table does not know it."""
    if registered_name is not None or class_name not in KNOWN:
        return None
    if class_name == "Attention" and "use_scale" not in config:
        return None  # somebody's own class: Keras always writes use_scale
    if class_name in PARTS:
        return PARTS[class_name](config)
    return _part(SIMPLE[class_name](config)) if class_name in SIMPLE else ()


def _part(names: tuple[str, ...]) -> tuple[Part, ...]:
    return (Part(_plain(names), fixed=frozenset(name[1:] for name in names if name[0] == "~")),) if names else ()


EVERY_PART = tuple(  # with every option on: the words that array names are made of
    part for class_name in (*SIMPLE, *PARTS) for mode in ("int8", "int4/2", "float8", "awq/4/2", "float32")
    for part in parts(class_name, {"dtype": f"{mode}_from_float32", "renorm": True, "bias_axes": "a", "use_scale": True,
                                   "tie_weights": False, "score_mode": "concat", "projection": 1}) or ())
