"""The words for operations that models record: tables that tell TensorFlow's and Keras 3's apart from today's.

What is not in these tables is refused by its name; nothing is looked up in a module or run.
"""

from __future__ import annotations

from typing import Any

KERAS_CLASSES = frozenset("""
    Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh
    Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argsort Array ArraySplit Average AveragePool BatchNorm Bincount
    BitwiseAnd BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo CDist Cast
    Cbrt Ceil Celu Cholesky Clip Concatenate Conj Conjugate Conv ConvertToTensor Copy Correlate Cos Cosh
    CountNonzero Cross Cumprod Cumsum Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide
    DivideNoNan Dot DotProductAttention Dsplit Dstack Einsum Elu EmptyLike Equal Erf Erfc Erfinv Exp Exp2 ExpandDims
    Expm1 ExtractSequences FFT Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Gelu Geomspace
    GetItem Glu Greater GreaterEqual HardShrink HardSigmoid HardSilu HardTanh Heaviside Hsplit Hstack Hypot I0 IRFFT
    Imag InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron LayerNorm Lcm Ldexp LeakyRelu
    LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2 Logdet LogicalAnd
    LogicalNot LogicalOr LogicalXor Logspace Logsumexp Matmul Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mish
    Mod Moments Moveaxis MultiHot Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian
    Nanmin Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Norm Normalize NotEqual OneHot
    OnesLike Outer Pad Percentile Power Prod Ptp Quantile RFFT RMSNorm Rad2deg Ravel ReLU Real Rearrange Reciprocal Relu
    Relu6 Repeat Reshape RightShift Roll Rot90 Round Rsqrt SaturateCast Scatter ScatterUpdate SearchSorted SegmentMax
    SegmentMin SegmentProd SegmentSum Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size Slice
    SliceUpdate Slogdet SoftShrink Softmax Softplus Softsign Solve SolveTriangular Sort SpaceToDepth SparsePlus
    SparseSigmoid Sparsemax Split Sqrt Square Squareplus Squeeze Stack Std StopGradient Subtract Sum Swapaxes Take
    TakeAlongAxis Tan Tanh TanhShrink Tensordot Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc
    UnravelIndex Unstack Vander Var Vdot Vsplit Vstack Where ZerosLike
""".split())  # noqa: SIM905

REDUCED = {"reduction_indices": "axis", "keep_dims": "keepdims"}
CONVOLUTION = {"filter": "filters", "stride": "strides", "dilation_rate": "dilations", "rate": "dilations"}
FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {  # TensorFlow's function: (today's, today's words for its words)
    **{f"math.{name}": (op, {}) for name, op in {
        "tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "expm1": "Expm1", "log": "Log", "log1p": "Log1p",
        "log_sigmoid": "LogSigmoid", "sqrt": "Sqrt", "rsqrt": "Rsqrt", "square": "Square", "abs": "Abs", "sign": "Sign",
        "negative": "Negative", "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos", "tan": "Tan", "sinh": "Sinh",
        "cosh": "Cosh", "asin": "Arcsin", "acos": "Arccos", "atan": "Arctan", "asinh": "Arcsinh", "acosh": "Arccosh",
        "atanh": "Arctanh", "erf": "Erf", "erfc": "Erfc", "erfinv": "Erfinv", "floor": "Floor", "ceil": "Ceil",
        "round": "Round", "rint": "Round", "softplus": "Softplus", "softsign": "Softsign", "is_nan": "Isnan",
        "is_inf": "Isinf", "is_finite": "Isfinite", "logical_not": "LogicalNot", "bessel_i0": "I0",
    }.items()},
    **{f"math.{name}": (op, {"y": "x2"}) for name, op in {
        "add": "Add", "subtract": "Subtract", "multiply": "Multiply", "divide": "Divide", "truediv": "Divide",
        "divide_no_nan": "DivideNoNan", "floordiv": "FloorDivide", "floormod": "Mod", "mod": "Mod", "pow": "Power",
        "maximum": "Maximum", "minimum": "Minimum", "equal": "Equal", "not_equal": "NotEqual", "greater": "Greater",
        "greater_equal": "GreaterEqual", "less": "Less", "less_equal": "LessEqual", "logical_and": "LogicalAnd",
        "logical_or": "LogicalOr", "logical_xor": "LogicalXor",
        "squared_difference": "tf.squared_difference",
    }.items()},
    **{f"math.reduce_{name}": (op, REDUCED) for name, op in {
        "mean": "tf.mean", "sum": "Sum", "max": "Max", "min": "Min", "prod": "Prod", "any": "Any", "all": "All",
        "std": "Std", "variance": "Var", "logsumexp": "Logsumexp", "euclidean_norm": "Norm",
    }.items()},
    "__operators__.add": ("Add", {"y": "x2"}), "__operators__.getitem": ("GetItem", {"slice_spec": "key"}),
    "__operators__.eq": ("Equal", {"other": "x2", "y": "x2"}),
    "__operators__.ne": ("NotEqual", {"other": "x2", "y": "x2"}), "math.atan2": ("Arctan2", {"x": "x2"}),
    "math.cumsum": ("Cumsum", {}), "math.cumprod": ("Cumprod", {}),
    "math.argmax": ("Argmax", {}), "math.argmin": ("Argmin", {}), "math.top_k": ("TopK", {}), "nn.top_k": ("TopK", {}),
    "math.l2_normalize": ("tf.l2_normalize", {"dim": "axis"}), "nn.l2_normalize": ("tf.l2_normalize", {"dim": "axis"}),
    "linalg.l2_normalize": ("tf.l2_normalize", {"dim": "axis"}),
    "nn.relu": ("Relu", {}), "nn.relu6": ("Relu6", {}), "nn.elu": ("Elu", {}), "nn.selu": ("Selu", {}),
    "nn.silu": ("Silu", {}), "nn.swish": ("Silu", {}), "nn.softmax": ("Softmax", {}), "nn.softplus": ("Softplus", {}),
    "nn.softsign": ("Softsign", {}), "nn.tanh": ("Tanh", {}), "nn.sigmoid": ("Sigmoid", {}), "nn.gelu": ("Gelu", {}),
    "nn.log_softmax": ("LogSoftmax", {}), "math.log_softmax": ("LogSoftmax", {}), "math.softmax": ("Softmax", {}),
    "nn.leaky_relu": ("LeakyRelu", {"alpha": "negative_slope"}), "nn.bias_add": ("Add", {"bias": "x2"}),
    "nn.moments": ("Moments", {}), "nn.depth_to_space": ("DepthToSpace", {}), "nn.space_to_depth": ("SpaceToDepth", {}),
    "linalg.matmul": ("Matmul", {"b": "x2"}), "tensordot": ("Tensordot", {"b": "x2"}),
    "linalg.tensordot": ("Tensordot", {"b": "x2"}), "linalg.cross": ("Cross", {"b": "x2"}),
    "concat": ("Concatenate", {}), "stack": ("Stack", {}), "unstack": ("Unstack", {}), "split": ("tf.split", {}),
    "reshape": ("Reshape", {"shape": "newshape"}), "expand_dims": ("ExpandDims", {}), "squeeze": ("Squeeze", {}),
    "transpose": ("Transpose", {"perm": "axes"}), "linalg.matrix_transpose": ("tf.swap_last", {}),
    "tile": ("Tile", {"multiples": "repeats"}), "repeat": ("Repeat", {}), "roll": ("Roll", {}), "reverse": ("Flip", {}),
    "pad": ("Pad", {"paddings": "pad_width"}), "cast": ("Cast", {}), "identity": ("tf.identity", {}),
    "stop_gradient": ("StopGradient", {}), "where": ("Where", {"x": "x1", "y": "x2"}),
    "where_v2": ("Where", {"x": "x1", "y": "x2"}), "gather": ("tf.gather", {}), "gather_nd": ("tf.gather_nd", {}),
    "slice": ("Slice", {"begin": "start_indices", "size": "shape"}), "strided_slice": ("tf.strided_slice", {}),
    "clip_by_value": ("Clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "one_hot": ("OneHot", {"depth": "num_classes"}), "broadcast_to": ("BroadcastTo", {}), "shape": ("tf.shape", {}),
    "size": ("Size", {}), "rank": ("tf.rank", {}), "fill": ("tf.fill", {}), "zeros": ("tf.zeros", {}),
    "ones": ("tf.ones", {}), "eye": ("tf.eye", {}), "zeros_like": ("ZerosLike", {}), "ones_like": ("OnesLike", {}),
    "range": ("Arange", {"limit": "stop", "delta": "step"}), "sort": ("Sort", {}), "argsort": ("Argsort", {}),
    "convert_to_tensor": ("ConvertToTensor", {}), "math.add_n": ("tf.add_n", {}),
    "floor_div": ("FloorDivide", {"y": "x2"}), "truncatemod": ("Fmod", {"y": "x2"}),
    "truncatediv": ("tf.truncatediv", {"y": "x2"}), "math.lgamma": ("tf.lgamma", {}),
    "keras.backend.batch_flatten": ("tf.batch_flatten", {}), "sequence_mask": ("tf.sequence_mask", {}),
    "norm": ("tf.norm", REDUCED), "linalg.norm": ("tf.norm", REDUCED), "linalg.normalize": ("tf.normalize", {}),
    "clip_by_norm": ("tf.clip_by_norm", {}), "ensure_shape": ("tf.ensure_shape", {}),
    "math.count_nonzero": ("tf.count_nonzero", REDUCED), "reverse_sequence": ("tf.reverse_sequence", {
        "seq_dim": "seq_axis", "batch_dim": "batch_axis"}),
    **{f"linalg.{name}": (f"tf.{name}", {}) for name in (
        "band_part", "diag", "diag_part", "set_diag", "tensor_diag", "tensor_diag_part", "trace")},
    "einsum": ("Einsum", {}), "meshgrid": ("Meshgrid", {}), "linalg.adjoint": ("tf.swap_last", {}),
    "linalg.inv": ("Inv", {}), "linalg.det": ("Det", {}),
    "linalg.logdet": ("Logdet", {}), "linalg.cholesky": ("Cholesky", {}), "math.accumulate_n": ("tf.add_n", {}),
    "math.nextafter": ("Nextafter", {}), "math.xlogy": ("tf.xlogy", {}), "math.xdivy": ("tf.xdivy", {}),
    "math.multiply_no_nan": ("tf.multiply_no_nan", {}), "nn.crelu": ("tf.crelu", {}),
    "boolean_mask": ("tf.boolean_mask", {}),
    **{f"nn.{name}": ("tf.conv", CONVOLUTION) for name in ("conv1d", "conv2d", "conv3d", "convolution")},
    "nn.depthwise_conv2d": ("tf.depthwise_conv", CONVOLUTION), "nn.pool": ("tf.pool", CONVOLUTION),
    **{f"nn.{kind}_pool{rank}": (f"tf.{kind}_pool", {}) for kind in ("max", "avg") for rank in ("", "1d", "2d", "3d")},
}  # fmt: skip
IMPLIED: dict[str, dict[str, Any]] = {  # what TensorFlow's functions take for granted and today's do not
    "nn.gelu": {"approximate": False}, "math.argmax": {"axis": 0, "output_type": "int64"},
    "math.argmin": {"axis": 0, "output_type": "int64"}, "math.cumsum": {"axis": 0}, "math.cumprod": {"axis": 0},
    "one_hot": {"axis": -1}, "nn.softmax": {"axis": -1}, "nn.log_softmax": {"axis": -1}, "math.softmax": {"axis": -1},
    "math.log_softmax": {"axis": -1},
}
NOISE = {  # values that change nothing
    "synchronized": False, "conjugate": False, "bad_indices_policy": "", "data_format": "NHWC", "adjoint": False,
    "use_cudnn_on_gpu": True,
}

PAIR = ("x1", "x2")
NODES: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {  # graph op: (today's, its inputs, its attributes)
    **{op: (today, (), {}) for op, today in {
        "Tanh": "Tanh", "Sigmoid": "Sigmoid", "Exp": "Exp", "Expm1": "Expm1", "Log": "Log", "Log1p": "Log1p",
        "Sqrt": "Sqrt", "Rsqrt": "Rsqrt", "Square": "Square", "Abs": "Abs", "Sign": "Sign", "Neg": "Negative",
        "Reciprocal": "Reciprocal", "Inv": "Reciprocal", "Sin": "Sin", "Cos": "Cos", "Tan": "Tan", "Sinh": "Sinh",
        "Cosh": "Cosh", "Asin": "Arcsin", "Acos": "Arccos", "Atan": "Arctan", "Asinh": "Arcsinh", "Acosh": "Arccosh",
        "Atanh": "Arctanh", "Erf": "Erf", "Erfc": "Erfc", "Floor": "Floor", "Ceil": "Ceil", "Round": "Round",
        "Rint": "Round", "Relu": "Relu", "Relu6": "Relu6", "Elu": "Elu", "Selu": "Selu", "Softplus": "Softplus",
        "Softsign": "Softsign", "Softmax": "Softmax", "LogSoftmax": "LogSoftmax", "IsNan": "Isnan", "IsInf": "Isinf",
        "IsFinite": "Isfinite", "LogicalNot": "LogicalNot", "ZerosLike": "ZerosLike", "OnesLike": "OnesLike",
        "Identity": "tf.identity", "StopGradient": "StopGradient", "Rank": "tf.rank",
    }.items()},
    **{op: (today, PAIR, {}) for op, today in {
        "Add": "Add", "AddV2": "Add", "Sub": "Subtract", "Mul": "Multiply", "RealDiv": "Divide", "Div": "Divide",
        "DivNoNan": "DivideNoNan", "FloorDiv": "FloorDivide", "FloorMod": "Mod", "Pow": "Power", "Maximum": "Maximum",
        "Minimum": "Minimum", "Equal": "Equal", "NotEqual": "NotEqual", "Greater": "Greater", "BiasAdd": "Add",
        "GreaterEqual": "GreaterEqual", "Less": "Less", "LessEqual": "LessEqual", "LogicalAnd": "LogicalAnd",
        "LogicalOr": "LogicalOr", "Atan2": "Arctan2", "Cross": "Cross",
        "SquaredDifference": "tf.squared_difference", "LogicalXor": "LogicalXor",
    }.items()},
    **{op: ("tf.mean" if op == "Mean" else op, ("x", "axis"), {"keep_dims": "keepdims"})
       for op in ("Mean", "Sum", "Max", "Min", "Prod", "Any", "All")},
    "EuclideanNorm": ("Norm", ("x", "axis"), {"keep_dims": "keepdims"}), "Roll": ("Roll", ("x", "shift", "axis"), {}),
    "Cumprod": ("Cumprod", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
    "LeakyRelu": ("LeakyRelu", (), {"alpha": "negative_slope"}),
    "MatMul": ("Matmul", PAIR, {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}),
    "BatchMatMul": ("Matmul", PAIR, {"adj_x": "transpose_a", "adj_y": "transpose_b"}),
    "BatchMatMulV2": ("Matmul", PAIR, {"adj_x": "transpose_a", "adj_y": "transpose_b"}),
    "ExpandDims": ("ExpandDims", ("x", "axis"), {}), "Squeeze": ("Squeeze", (), {"squeeze_dims": "axis"}),
    "Reshape": ("Reshape", ("x", "newshape"), {}), "Transpose": ("Transpose", ("x", "axes"), {}),
    "ConcatV2": ("Concatenate", ("*xs", "axis"), {}), "Pack": ("Stack", ("*x",), {"axis": "axis"}),
    "Unpack": ("Unstack", ("x",), {"axis": "axis"}),
    "Split": ("tf.split", ("axis", "value"), {"num_split": "num_or_size_splits"}),
    "SplitV": ("tf.split", ("value", "num_or_size_splits", "axis"), {}), "Tile": ("Tile", ("x", "repeats"), {}),
    "Cast": ("Cast", (), {"DstT": "dtype"}), "Select": ("Where", ("condition", "x1", "x2"), {}),
    "SelectV2": ("Where", ("condition", "x1", "x2"), {}), "Shape": ("tf.shape", (), {"out_type": "out_type"}),
    "GatherV2": ("tf.gather", ("params", "indices", "axis"), {"batch_dims": "batch_dims"}),
    "GatherNd": ("tf.gather_nd", ("params", "indices"), {}), "Pad": ("Pad", ("x", "pad_width"), {}),
    "PadV2": ("Pad", ("x", "pad_width", "constant_values"), {}), "ReverseV2": ("Flip", ("x", "axis"), {}),
    "MirrorPad": ("Pad", ("x", "pad_width"), {"mode": "mode"}),
    "ArgMax": ("Argmax", ("x", "axis"), {"output_type": "output_type"}),
    "ArgMin": ("Argmin", ("x", "axis"), {"output_type": "output_type"}),
    "OneHot": ("OneHot", ("x", "num_classes", "on_value", "off_value"), {"axis": "axis"}),
    "Slice": ("Slice", ("inputs", "start_indices", "shape"), {}), "Fill": ("tf.fill", ("dims", "value"), {}),
    "StridedSlice": ("tf.strided_slice", ("x", "begin", "end", "strides"), {
        word: word for word in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")}),
    "Range": ("Arange", ("start", "stop", "step"), {}), "BroadcastTo": ("BroadcastTo", ("x", "shape"), {}),
    "ClipByValue": ("Clip", ("x", "x_min", "x_max"), {}), "TopKV2": ("TopK", ("x", "k"), {"sorted": "sorted"}),
    "Cumsum": ("Cumsum", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
    "Einsum": ("Einsum", ("*operands",), {"equation": "subscripts"}), "Size": ("Size", (), {"out_type": "out_type"}),
    "AddN": ("tf.add_n", ("*xs",), {}),
    "TruncateMod": ("Fmod", PAIR, {}), "TruncateDiv": ("tf.truncatediv", PAIR, {}),
    "MulNoNan": ("tf.multiply_no_nan", ("x", "y"), {}), "Xlogy": ("tf.xlogy", ("x", "y"), {}),
    "Xdivy": ("tf.xdivy", ("x", "y"), {}), "Lgamma": ("tf.lgamma", (), {}), "MatrixDeterminant": ("Det", (), {}),
    "MatrixInverse": ("tf.inverse", (), {"adjoint": "adjoint"}),
    "MatrixBandPart": ("tf.band_part", ("input", "num_lower", "num_upper"), {}),
    "MatrixDiag": ("tf.diag", ("diagonal",), {}), "MatrixDiagPart": ("tf.diag_part", ("input",), {}),
    "MatrixSetDiag": ("tf.set_diag", ("input", "diagonal"), {}),
    **{f"MatrixDiag{version}": (f"tf.diag{left}", ("diagonal", "k", "num_rows", "num_cols", "padding_value"), more)
       for version, left, more in (("V2", "_left", {}), ("V3", "", {"align": "align"}))},
    **{f"MatrixDiagPart{version}": (f"tf.diag_part{left}", ("input", "k", "padding_value"), more)
       for version, left, more in (("V2", "_left", {}), ("V3", "", {"align": "align"}))},
    **{f"MatrixSetDiag{version}": (f"tf.set_diag{left}", ("input", "diagonal", "k"), more)
       for version, left, more in (("V2", "_left", {}), ("V3", "", {"align": "align"}))},
    "ReverseSequence": ("tf.reverse_sequence", ("input", "seq_lengths"), {
        "seq_dim": "seq_axis", "batch_dim": "batch_axis"}),
    **{op: (op, ("x",), {"block_size": "block_size", "data_format": "data_format"})
       for op in ("SpaceToDepth", "DepthToSpace")},
    "TensorScatterUpdate": ("ScatterUpdate", ("inputs", "indices", "updates"), {}),
    "Bucketize": ("Digitize", ("x",), {"boundaries": "bins"}),
    "FusedBatchNormV3": ("tf.fused_batch_norm", ("x", "scale", "offset", "mean", "variance"), {
        "epsilon": "epsilon", "data_format": "data_format", "is_training": "is_training"}),
    **{f"{kind}Pool{rank}": (f"tf.{kind.lower()}_pool", ("value",), {
        word: word for word in ("ksize", "strides", "padding", "data_format")})
       for kind in ("Max", "Avg") for rank in ("", "3D")},
    **{op: (today, ("value", "filters"), {
        word: word for word in ("strides", "padding", "data_format", "dilations", "explicit_paddings")})
       for op, today in (("Conv2D", "tf.conv"), ("Conv3D", "tf.conv"), ("DepthwiseConv2dNative", "tf.depthwise_conv"))},
}  # fmt: skip
WHY_NOT = {  # function of TensorFlow: what makes every answer wrong
    **dict.fromkeys(("nn.dropout", "nn.experimental.stateless_dropout", "nn.experimental.general_dropout"),
                    "TensorFlow drops numbers at random here in predict() too, so no answer is the right one"),
    "embedding_lookup": "tf.keras reads its table back as a list of tables, and computes something else after that",
}
RANDOM = "TensorFlow draws random numbers here in predict() too, so no answer is the right one"
DTYPES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16"}
