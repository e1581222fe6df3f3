"""Operations of ``keras.ops`` on arrays, as functions: what functional models record among their layers.

`KERAS` has them by the names of Keras 3's classes, `TENSORFLOW` those that only TensorFlow has in this form. A function
takes the arguments of the call and those of the class's constructor by their names. Nothing outside the tables can be
named by a file. None of them but `spatial` knows layers.
"""

from functools import partial

import numpy as np

from . import elementwise as each
from . import matrices, products, reductions, shapes, spatial

_UNARY = (  # of floats: NumPy's function of the same meaning
    ("Arccos", np.arccos), ("Arccosh", np.arccosh), ("Arcsin", np.arcsin), ("Arcsinh", np.arcsinh),
    ("Arctan", np.arctan), ("Arctanh", np.arctanh), ("Cbrt", np.cbrt), ("Cos", np.cos), ("Cosh", np.cosh),
    ("Deg2rad", np.deg2rad), ("Exp", np.exp), ("Exp2", np.exp2), ("Expm1", np.expm1), ("I0", np.i0), ("Log", np.log),
    ("Log10", np.log10), ("Log1p", np.log1p), ("Log2", np.log2), ("Rad2deg", np.rad2deg), ("Sin", np.sin),
    ("Sinc", np.sinc), ("Sinh", np.sinh), ("Sqrt", np.sqrt), ("Tan", np.tan), ("Tanh", np.tanh),
    ("Reciprocal", np.reciprocal), ("Rsqrt", lambda x: 1 / np.sqrt(x)), ("Fabs", np.fabs),
    ("Ceil", np.ceil), ("Floor", np.floor),
)  # fmt: skip
_EXACT = (
    ("Trunc", np.trunc), ("Sign", np.sign), ("Signbit", np.signbit),
    ("Isfinite", np.isfinite), ("Isinf", np.isinf), ("Isnan", np.isnan), ("Isneginf", np.isneginf),
    ("Isposinf", np.isposinf), ("Isreal", np.isreal), ("Conj", np.conj), ("Conjugate", np.conjugate),
    ("Real", np.real), ("Imag", np.imag), ("Copy", np.array), ("StopGradient", np.asarray),
    ("Flipud", np.flipud), ("Fliplr", np.fliplr), ("Ravel", np.ravel), ("Diagflat", np.diagflat),
    ("Negative", np.negative),
)  # fmt: skip
_SIMPLE = (
    ("Multiply", np.multiply), ("Maximum", np.maximum), ("Minimum", np.minimum), ("Equal", np.equal),
    ("NotEqual", np.not_equal), ("Greater", np.greater), ("GreaterEqual", np.greater_equal), ("Less", np.less),
    ("LessEqual", np.less_equal), ("FloorDivide", np.floor_divide), ("Mod", np.mod), ("Fmod", np.fmod),
    ("Fmax", np.fmax), ("Fmin", np.fmin), ("Gcd", np.gcd), ("Lcm", np.lcm),
)  # fmt: skip
_BINARY = (  # not rounded once: see `elementwise.binary`
    ("Arctan2", np.arctan2, True), ("Logaddexp", np.logaddexp, True), ("Logaddexp2", np.logaddexp2, True),
    ("Hypot", np.hypot, True), ("Heaviside", np.heaviside, True), ("Nextafter", np.nextafter, True),
)  # fmt: skip
_ACTIVATIONS = (  # operation, activation of the kernels, parameters in their order
    ("HardSigmoid", "hard_sigmoid", {}), ("HardSilu", "hard_silu", {}), ("HardTanh", "hard_tanh", {}),
    ("Celu", "celu", {"alpha": 1.0}), ("Elu", "elu", {"alpha": 1.0}), ("Selu", "selu", {}),
    ("HardShrink", "hard_shrink", {"threshold": 0.5}), ("SoftShrink", "soft_shrink", {"threshold": 0.5}),
    ("LeakyRelu", "leaky_relu", {"negative_slope": float(np.float32(0.2))}), ("LogSigmoid", "log_sigmoid", {}),
    ("LogSoftmax", "log_softmax", {}), ("Softmax", "softmax", {}), ("Sigmoid", "sigmoid", {}),
    ("Silu", "silu", {}), ("Softplus", "softplus", {}), ("Softsign", "softsign", {}), ("SparsePlus", "sparse_plus", {}),
    ("SparseSigmoid", "sparse_sigmoid", {}), ("Sparsemax", "sparsemax", {}), ("Squareplus", "squareplus", {"b": 4.0}),
    ("TanhShrink", "tanh_shrink", {}),
    ("Mish", "mish", {}),
)  # fmt: skip
KERAS = {
    **{name: each.unary(function) for name, function in _UNARY},
    **{name: each.exact(function) for name, function in _EXACT},
    **{name: each.simple(function) for name, function in _SIMPLE},
    **{name: each.binary(function, floats) for name, function, floats in _BINARY},
    **{name: each.activation(kernel, **words) for name, kernel, words in _ACTIVATIONS},
    "Add": each.add, "Subtract": each.subtract, "Divide": each.divide, "TrueDivide": each.divide,
    "DivideNoNan": each.divide_no_nan, "Power": each.power, "Square": each.square, "Abs": each.absolute,
    "Absolute": each.absolute, "Round": each.rounded, "Clip": each.clip, "Cast": each.cast,
    "SaturateCast": each.saturate_cast, "ConvertToTensor": each.convert, "Where": each.where, "Select": each.select,
    "NanToNum": each.nan_to_num, "Isclose": each.isclose, "Digitize": each.digitize, "SearchSorted": each.searchsorted,
    "IsIn": each.isin, "Erf": each.number_by_number(each.math.erf), "Erfc": each.number_by_number(each.math.erfc),
    "Erfinv": each.number_by_number(each.erfinv_of), "Gelu": each.gelu, "Glu": each.glu, "Relu": each.relu,
    "Relu6": each.relu6, "Threshold": each.threshold,
    "InTopK": each.in_top_k, "ReLU": each.bounded_relu, "Ldexp": each.ldexp, "Angle": each.unary(np.angle),
   
    "LogicalAnd": each.logical(np.logical_and), "LogicalOr": each.logical(np.logical_or),
    "LogicalNot": each.logical_not, "LogicalXor": each.logical(np.logical_xor),
    "BitwiseAnd": each.bitwise(np.bitwise_and), "BitwiseOr": each.bitwise(np.bitwise_or),
    "BitwiseXor": each.bitwise(np.bitwise_xor), "BitwiseNot": each.bitwise(np.invert),
    "BitwiseInvert": each.bitwise(np.invert), "BitwiseLeftShift": each.bitwise(np.left_shift),
    "LeftShift": each.bitwise(np.left_shift), "BitwiseRightShift": each.bitwise(np.right_shift),
    "RightShift": each.bitwise(np.right_shift),
    "Sum": reductions.total, "Prod": reductions.prod, "Mean": reductions.mean, "Var": reductions.var,
    "Std": reductions.std, "Moments": reductions.moments, "Average": reductions.average,
    "Logsumexp": reductions.logsumexp, "Max": reductions.choosing(np.max), "Amax": reductions.choosing(np.max),
    "Min": reductions.choosing(np.min), "Amin": reductions.choosing(np.min), "Any": reductions.is_any,
    "All": reductions.are_all, "Argmax": reductions.place_of(np.argmax), "Argmin": reductions.place_of(np.argmin),
    "CountNonzero": reductions.count_nonzero, "Ptp": reductions.ptp, "Quantile": reductions.quantile,
    "Percentile": lambda x, q, **more: reductions.quantile(x, q, percent=True, **more), "Median": reductions.median,
    "Nanquantile": lambda x, q, **more: reductions.quantile(x, q, skip_nan=True, **more),
    "Nanpercentile": lambda x, q, **more: reductions.quantile(x, q, percent=True, skip_nan=True, **more),
    "Nanmedian": lambda x, **more: reductions.median(x, skip_nan=True, **more),
    "Nansum": reductions.without_nan(reductions.total, 0), "Nanprod": reductions.without_nan(reductions.prod, 1),
    "Nanmean": reductions.nanmean, "Nanvar": reductions.nanvar, "Nanstd": reductions.nanstd,
    "Nanmax": reductions.nan_choosing(np.max, -np.inf), "Nanmin": reductions.nan_choosing(np.min, np.inf),
    "Nanargmax": reductions.nan_place_of(np.argmax, -np.inf), "Nanargmin": reductions.nan_place_of(np.argmin, np.inf),
    "Cumsum": reductions.running(np.cumsum), "Cumprod": reductions.running(np.cumprod),
    "Nancumsum": reductions.without_nan(reductions.running(np.cumsum), 0),
    "Nancumprod": reductions.without_nan(reductions.running(np.cumprod), 1),
    "Norm": reductions.norm, "Normalize": reductions.normalize, "BatchNorm": reductions.batch_norm,
    "LayerNorm": reductions.layer_norm, "RMSNorm": reductions.rms_norm, "Trapezoid": reductions.trapezoid,
    "SegmentSum": reductions.segments(np.add, 0), "SegmentProd": reductions.segments(np.multiply, 1),
    "SegmentMax": reductions.segments(np.maximum, "low"), "SegmentMin": reductions.segments(np.minimum, "high"),
    "AllClose": reductions.all_close,
    "Matmul": products.matmul, "Tensordot": products.tensordot, "Dot": products.dot, "Inner": products.inner,
    "Vdot": products.vdot, "Outer": products.outer, "Kron": products.kron, "Cross": products.cross,
    "Einsum": products.einsum, "DotProductAttention": products.attention, "CDist": products.cdist,
    "Correlate": products.correlate, "Cholesky": products.of_matrices(products.cholesky),
    "Det": products.of_matrices(np.linalg.det), "Inv": products.of_matrices(np.linalg.inv),
    "Solve": products.of_matrices(products.solve), "Slogdet": products.of_matrices(products.slogdet),
    "SolveTriangular": products.of_matrices(products.solve_triangular),
    "Logdet": products.of_matrices(products.logdet), "FFT": products.fourier(np.fft.fft),
    "IRFFT": products.fourier(products.irfft), "RFFT": products.rfft,
    "Reshape": shapes.reshape, "Transpose": shapes.transpose, "ExpandDims": shapes.expand_dims,
    "Squeeze": shapes.squeeze, "Concatenate": shapes.concatenate, "Stack": shapes.stack, "Append": shapes.append,
    "Hstack": shapes.stacking(np.hstack), "Vstack": shapes.stacking(np.vstack), "Dstack": shapes.stacking(np.dstack),
    "Unstack": shapes.unstack, "Split": shapes.splitting(np.split), "ArraySplit": shapes.splitting(np.array_split),
    "Hsplit": lambda x, indices_or_sections: shapes.splitting(np.split)(x, indices_or_sections, 1 if x.ndim > 1 else 0),
    "Vsplit": shapes.splitting(np.split, 0), "Dsplit": shapes.splitting(np.split, 2), "GetItem": shapes.getitem,
    "Take": shapes.take, "TakeAlongAxis": shapes.take_along_axis, "Flip": shapes.flip, "Moveaxis": shapes.moveaxis,
    "Swapaxes": shapes.swapaxes, "Tile": shapes.tile, "Repeat": shapes.repeat, "Roll": shapes.roll,
    "Rot90": shapes.rearranged(np.rot90), "Tril": shapes.rearranged(np.tril), "Triu": shapes.rearranged(np.triu),
    "BroadcastTo": shapes.broadcast_to, "Pad": shapes.pad, "Sort": shapes.sort, "Argsort": shapes.argsort,
    "TopK": shapes.top_k, "OneHot": shapes.one_hot, "MultiHot": shapes.multi_hot, "Diag": shapes.diag,
    "Diagonal": shapes.diagonal, "Trace": shapes.trace, "Diff": shapes.diff, "ZerosLike": shapes.zeros_like,
    "EmptyLike": shapes.zeros_like, "OnesLike": shapes.ones_like, "FullLike": shapes.full_like, "Full": shapes.full,
    "Arange": shapes.arange, "Linspace": shapes.linspace, "Logspace": shapes.logspace, "Geomspace": shapes.geomspace,
    "Array": shapes.array, "Meshgrid": shapes.meshgrid, "Size": shapes.size_of, "Ndim": shapes.rank_of,
    "UnravelIndex": shapes.unravel_index, "Vander": shapes.vander, "Bincount": shapes.bincount,
    "Slice": shapes.slice_of, "SliceUpdate": shapes.slice_update, "Scatter": shapes.scatter,
    "ScatterUpdate": shapes.scatter_update, "ExtractSequences": shapes.extract_sequences,
    "DepthToSpace": shapes.depth_to_space, "SpaceToDepth": shapes.space_to_depth, "Rearrange": shapes.rearrange,
    "Conv": spatial.conv, "DepthwiseConv": spatial.depthwise_conv, "SeparableConv": spatial.separable_conv,
    "MaxPool": spatial.pooling("Max"),
    "AveragePool": spatial.pooling("Average"), "AdaptiveMaxPool": spatial.adaptive_pooling("Max"),
    "AdaptiveAveragePool": spatial.adaptive_pooling("Average"),
}  # fmt: skip
"""Functions by the names of Keras 3's classes of operations."""

TENSORFLOW = {
    "shape": shapes.shape_of, "rank": shapes.rank_of, "split": shapes.split_sizes, "gather": shapes.gather,
    "gather_nd": shapes.gather_nd, "strided_slice": shapes.strided_slice, "fill": shapes.filled, "zeros": shapes.zeros,
    "ones": shapes.ones, "eye": shapes.eye, "l2_normalize": reductions.l2_normalize,
    "identity": each.exact(np.asarray), "swap_last": lambda a: np.swapaxes(np.asarray(a), -1, -2),
    "add_n": each.add_n, "squared_difference": each.squared_difference,
    "batch_flatten": shapes.batch_flatten, "sequence_mask": shapes.sequence_mask,
    "xlogy": each.xlogy, "xdivy": each.xdivy, "multiply_no_nan": each.multiply_no_nan, "crelu": shapes.crelu,
    "boolean_mask": shapes.boolean_mask, "mean": reductions.tf_mean,
    "norm": matrices.tf_norm, "normalize": matrices.tf_normalize, "clip_by_norm": matrices.clip_by_norm,
    "ensure_shape": matrices.ensure_shape, "count_nonzero": matrices.count_nonzero, "band_part": matrices.band_part,
    "diag": matrices.diag, "diag_part": matrices.diag_part, "set_diag": matrices.set_diag,
    "tensor_diag": matrices.tensor_diag, "tensor_diag_part": matrices.tensor_diag_part,
    "trace": lambda x: shapes.trace(x, axis1=-2, axis2=-1), "reverse_sequence": matrices.reverse_sequence,
    **{f"{name}_left": partial(function, align="LEFT_LEFT") for name, function in (
        ("diag", matrices.diag), ("diag_part", matrices.diag_part), ("set_diag", matrices.set_diag))},
    "inverse": products.of_matrices(products.inverted), "truncatediv": each.truncatediv,
    "lgamma": each.number_by_number(each.lgamma_of), "fused_batch_norm": reductions.fused_batch_norm,
    "conv": spatial.tf_conv, "depthwise_conv": spatial.tf_depthwise_conv, "max_pool": spatial.tf_pooling("Max"),
    "avg_pool": spatial.tf_pooling("Average"), "pool": spatial.tf_pool,
}  # fmt: skip
"""Functions that TensorFlow has in a form of its own."""

ELEMENTWISE = frozenset((
    *(name for name, *_ in (*_UNARY, *_EXACT[:15], *_SIMPLE, *_BINARY)), "Negative", "Add", "Subtract", "Divide",
    "TrueDivide", "DivideNoNan", "Power", "Square", "Abs", "Absolute", "Round", "Clip", "Cast", "SaturateCast",
    "ConvertToTensor", "Where", "Select", "NanToNum", "Isclose", "Erf", "Erfc", "Erfinv", "Gelu", "Relu", "Relu6",
    "Threshold", "ZerosLike",
    "OnesLike", "FullLike", "EmptyLike", "LogicalAnd", "LogicalOr", "LogicalNot", "LogicalXor",
    *(name for name, *_ in _ACTIVATIONS if name not in ("Softmax", "LogSoftmax", "Sparsemax")),
))  # fmt: skip
"""Operations that compute every number by itself, so every timestep too."""
