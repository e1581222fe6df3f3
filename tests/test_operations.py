"""Operations that models record: the whole table in small, rows that do not see each other, shapes and refusals.

Their numbers against Keras's: test_golden.
"""

from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import layouts
from lstm_infer.errors import LoadError
from lstm_infer.layers import LAYERS
from lstm_infer.layers.ops import ELEMENTWISE, KERAS, TENSORFLOW
from lstm_infer.layouts import operations, operators
from lstm_infer.spec import RawModel

RNG = np.random.default_rng(7)


def tensorflow(name, *args, **words):
    """The same of TensorFlow's form, whose arguments are all in the call."""
    return LAYERS[f"tf.{name}"]()(*args, **words)


def numbers(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def operation(name, *args, **options):
    """The operation `name` called on arguments that may be tensors."""
    return LAYERS[f"keras.ops.{name}"](**options)(*args)


def test_both_tables_name_the_same():
    assert not operations.KERAS_CLASSES ^ set(KERAS)
    assert not ELEMENTWISE - set(KERAS)
    named = [row[0] for row in (*operations.FUNCTIONS.values(), *operations.NODES.values())]
    assert {name for name in named if not name.startswith("tf.")} <= set(KERAS)
    assert {name.removeprefix("tf.") for name in named if name.startswith("tf.")} <= set(TENSORFLOW)


PRODUCTS = {
    "matmul": lambda x, y: operation("Matmul", x, operation("Transpose", y, axes=[0, 2, 1])),
    "with_a_matrix": lambda x, y: operation("Matmul", x, np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)),
    "einsum": lambda x, y: operation("Einsum", x, y, subscripts="btf,bsf->bts"),
    "einsum_to_numbers": lambda x, y: operation("Einsum", x, y, subscripts="btf,btf->b"),
    "einsum_of_three": lambda x, y: operation("Einsum", x, y, x, subscripts="btf,bsf,bsg->btg"),
    "einsum_of_one": lambda x, y: operation("Einsum", x, subscripts="btf->bf"),
    "einsum_with_dots": lambda x, y: operation("Einsum", x, np.ones((4, 3), np.float32), subscripts="...f,fg"),
    "tensordot": lambda x, y: operation("Tensordot", x, np.ones((7, 4), np.float32), axes=[[1, 2], [0, 1]]),
    "sum": lambda x, y: operation("Sum", x, axis=1), "mean": lambda x, y: operation("Mean", x, axis=[1, 2]),
    "mean_of_the_last": lambda x, y: operation("Mean", x, axis=-1, keepdims=True),
    "std": lambda x, y: operation("Std", x, axis=1), "prod": lambda x, y: operation("Prod", x, axis=1),
    "logsumexp": lambda x, y: operation("Logsumexp", x, axis=1), "norm": lambda x, y: operation("Norm", x, axis=-1),
    "power": lambda x, y: operation("Power", operation("Absolute", x), 1.7), "exp": lambda x, y: operation("Exp", x),
    "arctan2": lambda x, y: operation("Arctan2", x, operation("GetItem", y, [slice(None), slice(0, 1)])),
    "softmax": lambda x, y: operation("Softmax", x, axis=1), "rfft": lambda x, y: operation("RFFT", x)[0],
    "attention": lambda x, y: operation(
        "DotProductAttention", *(operation("ExpandDims", array, axis=2) for array in (x, y, x))),
    "matrix_norm": lambda x, y: operation("Norm", x, ord="nuc", axis=[1, 2]),
    "largest_column": lambda x, y: operation("Norm", x, ord=1, axis=[1, 2]),
    "conv": lambda x, y: operation("Conv", x, numbers(3, 4, 5), padding="same"),
    "conv_in_groups": lambda x, y: operation("Conv", x, numbers(3, 2, 6), strides=2),
    "depthwise": lambda x, y: operation("DepthwiseConv", x, numbers(3, 4, 2)),
    "separable": lambda x, y: operation("SeparableConv", x, numbers(3, 4, 2), numbers(1, 8, 3)),
    "max_pool": lambda x, y: operation("MaxPool", x, pool_size=3, padding="same"),
    "average_pool": lambda x, y: operation("AveragePool", x, pool_size=[2], strides=1),
    "adaptive_pool": lambda x, y: operation("AdaptiveAveragePool", x, output_size=[3]),
    "tf_conv": lambda x, y: tensorflow("conv", x, numbers(3, 4, 5), strides=1, padding="SAME", dilations=2),
    "tf_norm": lambda x, y: tensorflow("norm", x, ord=3, axis=1),
    "tf_normalize": lambda x, y: tensorflow("normalize", x, axis=-1)[0],
    "tf_clip_by_norm": lambda x, y: tensorflow("clip_by_norm", x, 0.5, axes=[1]),
    "tf_trace": lambda x, y: tensorflow("trace", x), "tf_xlogy": lambda x, y: tensorflow("xlogy", x, y),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_rows_do_not_depend_on_their_batch(name, dtype):
    inputs = [li.Input((7, 4), dtype=dtype) for _ in range(2)]
    model = li.Model(inputs, PRODUCTS[name](*inputs))
    x, y = RNG.normal(size=(2, 70, 7, 4)).astype(dtype)
    together = model.predict([x, y])
    assert together.dtype == dtype
    assert together.shape[1:] == model.output_shape[1:]
    assert model.output_shape[0] is None
    for rows in (1, 2, 9):
        np.testing.assert_array_equal(model.predict([x[5 : 5 + rows], y[5 : 5 + rows]]), together[5 : 5 + rows])


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]), ("ij,jk->ki", [(2, 3), (3, 4)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]),
        ("...ij,...jk", [(5, 2, 3), (3, 4)]), ("bi,bi,bi->b", [(2, 3)] * 3), ("i,j->ij", [(2,), (3,)]),
        ("bij,bik->bjk", [(2, 3, 4), (2, 3, 5)]), ("abc->cab", [(2, 3, 4)]),
    ],
)  # fmt: skip
def test_einsum(subscripts, shapes):
    arrays = [RNG.normal(size=shape) for shape in shapes]
    found = KERAS["Einsum"](*arrays, subscripts=subscripts)
    np.testing.assert_allclose(found, np.einsum(subscripts, *arrays), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x: operation("GetItem", x, [slice(None), -1]), (None, 4)),
        (lambda x: operation("Reshape", x, newshape=[-1, 2, 2]), (None, 2, 2)),
        (lambda x: operation("Concatenate", [x, x], axis=1), (None, None, 4)),
        (lambda x: operation("Add", x, np.ones((5, 4), np.float32)), (None, 5, 4)),
        (lambda x: operation("Split", x, 2, axis=-1)[1], (None, None, 2)),
    ],
)
def test_shapes(call, shape):
    assert call(li.Input((None, 4))).shape == shape


def test_a_shape_that_is_ensured_is_known():
    x = li.Input((None, None))
    y = tensorflow("ensure_shape", x, [None, 5, None])
    assert y.shape == (None, 5, None)
    model = li.Model(x, y)
    assert model.predict(np.ones((2, 5, 3))).shape == (2, 5, 3)
    with pytest.raises(li.InputError, match=r"found an array of shape \(2, 6, 3\), expected \(None, 5, None\)"):
        model.predict(np.ones((2, 6, 3)))


def test_what_a_mask_names_has_any_length():
    x, mask = li.Input((4, 2)), li.Input((4,), dtype="bool")
    first_feature = tensorflow("boolean_mask", x, [True, False], axis=2)
    model = li.Model([x, mask], [tensorflow("boolean_mask", x, mask), first_feature])
    assert [tensor.shape for tensor in model.outputs] == [(None, 2), (None, 4, 1)]
    values, chosen = RNG.normal(size=(70, 4, 2)).astype(np.float32), RNG.random((70, 4)) > 0.5
    np.testing.assert_array_equal(model.predict([values, chosen])[0], values[chosen])
    with pytest.raises(li.InputError, match=r"found a mask \(.*, 4\) for an array"):
        tensorflow("boolean_mask", x, mask, axis=1)


def test_lengths_beyond_the_end_are_refused():
    x, lengths = li.Input((4, 2)), li.Input((), dtype="int32")
    model = li.Model([x, lengths], tensorflow("reverse_sequence", x, lengths, seq_axis=1))
    y = model.predict([np.arange(16.0).reshape(2, 4, 2), np.int32([3, 0])])
    assert y[:, :, 0].tolist() == [[4, 2, 0, 6], [8, 10, 12, 14]]
    with pytest.raises(li.InputError, match="found lengths from 0 to 5 for 4 places"):
        model.predict([np.ones((2, 4, 2)), np.int32([5, 0])])


def test_shapes_made_of_shapes():
    x = li.Input((None, 4))
    size = LAYERS["tf.shape"]()(x)
    rows, steps = (operation("GetItem", size, n) for n in (0, 1))
    flat = operation("Reshape", x, operation("Stack", [rows, operation("Multiply", steps, 4)]))
    assert flat.shape == (None, None)
    assert li.Model(x, flat).predict(np.zeros((3, 5, 4))).shape == (3, 20)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([np.int32([1]), 2.5], "float32"), ([np.int32([1]), np.float64([1])], "float64"), ([np.int64([1]), 2], "int64"),
        ([np.bool_([1]), 2], "int32"), ([np.float32([1]), np.int64([1])], "float32"), ([np.int32([1]), 2], "int32"),
    ],
)  # fmt: skip
def test_dtypes_join_as_in_keras(values, dtype):
    assert KERAS["Add"](*values).dtype == dtype


def test_sixteen_bits_are_rounded():
    assert KERAS["Cast"](np.float32([1.0001, 70000]), dtype="float16").tolist() == [1.0, np.inf]
    assert KERAS["Cast"](np.float32([1.01, np.nan]), dtype="bfloat16")[0] == 1.0078125
    assert KERAS["SaturateCast"](np.float32([300, -5, 7.9]), dtype="uint8").tolist() == [255, 0, 7]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: operation("Reshape", x, newshape=[2, 3]), "cannot reshape"),
        (lambda x: operation("Take", x, [9], axis=1), "found index 9 for 7 places"),
        (lambda x: operation("Matmul", x, np.ones((3, 2), np.float32)), "no product"),
        (lambda x: operation("Where", operation("Greater", x, 0)), "no fixed shape"),
        (lambda x: operation("Tanh", x, nonsense=1), "unexpected keyword argument"),
        (lambda x: operation("Einsum", x, subscripts="bt,f"), "expected|found"),
        (lambda x: operation("Cast", x, dtype="complex64"), "expected one of numbers"),
        (lambda x: operation("Sum", x, axis=5), "found axis 5"),
        (lambda x: operation("Tile", x, repeats=[1, 10**6, 10**6]), "numbers at most"),
        (lambda x: operation("Add", x, operation("Full", 1.0, shape=[10**12])), "numbers at most"),
        (lambda x: operation("Pad", x, pad_width=[[0, 0], [0, 10**12], [0, 0]]), "numbers at most"),
        (lambda x: operation("Arange", 0, 10**12), "expected a shorter one"),
        (lambda x: operation("Conv", x, numbers(3, 5, 2)), r"inputs \(.*, 7, 4\) and a kernel \(3, 5, 2\), expected"),
        (lambda x: operation("Conv", x, numbers(3, 4)), "expected equally many axes"),
        (lambda x: operation("Conv", x, numbers(9, 4, 2)), "expected enough for one output"),
        (lambda x: operation("MaxPool", x, pool_size=[2, 2]), "expected 1 whole numbers"),
        (lambda x: operation("MaxPool", operation("Sum", x, axis=1), pool_size=2), "channels"),
        (lambda x: operation("Norm", x, ord=1), "over 3 axes, expected two"),
        (lambda x: operation("Norm", x, ord="odd", axis=[1, 2]), "found the matrix norm 'odd'"),
        (lambda x: tensorflow("norm", x, ord=-1, axis=1), "found the norm -1"),
        (lambda x: tensorflow("norm", x, axis=[1, 1]), "expected one axis or two different ones"),
        (lambda x: tensorflow("norm", x, ord=3, axis=[1, 2]), "found the matrix norm 3"),
        (lambda x: tensorflow("conv", x, numbers(3, 4, 2), data_format="NCHW"), "found data_format 'NCHW' for 1"),
        (lambda x: tensorflow("conv", x, numbers(3, 4, 2), strides=[2, 1, 1]), "expected 1 for the batch"),
        (lambda x: tensorflow("conv", x, numbers(3, 4, 2), padding=[[0, 0]]), "expected a pair for each of 3 axes"),
        (lambda x: tensorflow("max_pool", x, 2, padding=[[0, 0], [1, 1], [0, 0]]), "expected VALID or SAME"),
        (lambda x: tensorflow("pool", x, [2], "MEDIAN"), "expected 'MAX' or 'AVG'"),
        (lambda x: tensorflow("ensure_shape", x, [None, 7]), r"expected \(None, 7\)"),
        (lambda x: tensorflow("diag_part", x, k=9), "found diagonal 9 for matrices of 7 x 4"),
        (lambda x: tensorflow("diag", x, k=[2, 1]), "the lowest and the highest"),
        (lambda x: tensorflow("diag", x, num_rows=9, num_cols=9), "whose longest diagonal has 4 numbers"),
        (lambda x: tensorflow("diag", x, k=[0, 6], align="UP"), "found align 'UP'"),
        (lambda x: tensorflow("diag", x, num_rows=10**9), "whose longest|numbers at most"),
        (lambda x: tensorflow("set_diag", x, numbers(7)), "found diagonals of shape"),
        (lambda x: tensorflow("tensor_diag_part", x), "expected every size twice"),
        (lambda x: tensorflow("reverse_sequence", x, [1, 2, 3, 4, 5], 1), "found 5 lengths for"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(li.InputError, match=message):
        call(li.Input((7, 4)))


def test_who_can_be_stepped():
    x = li.Input((None, 4))
    h = li.SimpleRNN(3, return_sequences=True)(x)
    model = li.Model(x, operation("Multiply", operation("Tanh", h), 2.0))
    model.set_weights([RNG.normal(size=shape) for shape in ((4, 3), (3, 3), (3,))])
    values = RNG.normal(size=(2, 5, 4)).astype(np.float32)
    whole, state = model.predict(values), model.initial_state(2)
    for t in range(5):
        y_t, state = model.step(values[:, t], state)
        np.testing.assert_array_equal(y_t, whole[:, t])
    for blocked in (operation("Sum", h, axis=1), operation("Flip", h, axis=1), operation("Add", h, np.ones((5, 3)))):
        with pytest.raises(li.InputError, match="needs the whole sequence"):
            li.Model(x, blocked).initial_state()


# ---------------------------------------------------------------- what files say
def functional(layer):
    config = {
        "name": "m",
        "layers": [
            {"class_name": "InputLayer", "name": "x", "config": {"batch_input_shape": [None, 5, 4], "name": "x"}},
            layer,
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[layer["name"], 0, 0]],
    }
    return RawModel("f.h5", {"class_name": "Functional", "config": config}, None, "2.15.0")


def tf_lambda(function, node, name="op"):
    return {"class_name": "TFOpLambda", "name": name, "config": {"function": function}, "inbound_nodes": [node]}


def test_functions_of_tensorflow_become_operations():
    node = ["x", 0, 0, {"y": ["x", 0, 0], "name": "product"}]
    spec = layouts.canonical(functional(tf_lambda("math.multiply", node)))
    assert spec.layers[1].class_name == "keras.ops.Multiply"
    assert list(spec.calls[1].kwargs) == ["x2"]
    spec = layouts.canonical(functional(tf_lambda("math.argmax", ["x", 0, 0, {"axis": None}])))
    assert spec.calls[1].kwargs == {"axis": 0, "output_type": "int64"}


@pytest.mark.parametrize("function", ["io.read_file", "py_function", "os.system", "__class__", "math", "x" * 900])
def test_unknown_functions_keep_their_names(function):
    spec = layouts.canonical(functional(tf_lambda(function, ["x", 0, 0, {}])))
    assert spec.layers[1].class_name == f"TFOpLambda {function}"[:71]
    assert spec.layers[1].class_name not in LAYERS


@pytest.mark.parametrize(
    ("node_def", "constants", "message"),
    [
        ({"op": "Mul"}, {"9": 1.0}, "constants have places"), ({"op": "Mul"}, {"y": 1.0}, "constants are not numbered"),
        ({"op": "Mul"}, {"1": 1.0, "2": 2.0}, "has 3 inputs, expected 2"),
        ({"op": "Einsum", "attr": {"equation": {"s": "?"}}}, {}, "attribute equation is not text"),
    ],
)  # fmt: skip
def test_broken_nodes(node_def, constants, message):
    config = {"node_def": node_def, "constants": constants}
    layer = {"class_name": "TensorFlowOpLayer", "name": "op", "config": config, "inbound_nodes": [[["x", 0, 0, {}]]]}
    with pytest.raises(LoadError, match=message):
        layouts.canonical(functional(layer))


def test_an_operation_is_told_from_the_layer_of_its_name():
    def of(config):
        layer = {"class_name": "Add", "name": "add", "config": config, "inbound_nodes": []}
        return operators.class_of(layer, "Add", config, "keras3")

    assert of({"name": "add"}) == "keras.ops.Add"
    assert of({"name": "add", "trainable": True, "dtype": "float32"}) is None


def test_a_mask_that_a_graph_records_can_be_stepped():
    """Keras 3 records what Masking computes: whether any feature of a timestep is another than the mask value."""
    x = li.Input((None, 3))
    any_feature = LAYERS["keras.ops.Any"](axis=-1, keepdims=False)(LAYERS["keras.ops.NotEqual"]()(x, 0.0))
    model = li.Model(x, li.LSTM(4)(li.Masking()(x), mask=any_feature))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=shape) for shape in ((3, 16), (4, 16), (16,))])
    data = rng.normal(size=(2, 5, 3)).astype(np.float32)
    data[1, 3:] = 0
    session = model.session()
    for t in range(5):
        y = session.step(data[:, t])
    np.testing.assert_array_equal(y, model.predict(data))


def test_means_of_whole_numbers_in_tensorflow():
    """Are whole numbers, cut off towards zero, as TensorFlow 2.3 and 2.21 give them."""
    from lstm_infer.layers.ops import TENSORFLOW

    x = np.array([[1, 2, 2], [-1, -2, -2]], np.int32)
    found = TENSORFLOW["mean"](x, axis=-1, keepdims=True)
    assert found.dtype == np.int32 and found.tolist() == [[1], [-1]]
    assert TENSORFLOW["mean"](x.astype(np.float32), axis=1).dtype == np.float32


def test_gather_nd_in_every_row():
    params, places = RNG.normal(size=(3, 4, 5)), RNG.integers(0, 4, (3, 2, 1))
    found = tensorflow("gather_nd", params, places, batch_dims=1)
    np.testing.assert_array_equal(found, np.take_along_axis(params, places, 1))
    assert tensorflow("gather_nd", params[:0], places[:0], batch_dims=1).shape == (0, 2, 5)
    with pytest.raises(li.InputError, match="batch_dims=2"):
        tensorflow("gather_nd", params, places, batch_dims=2)


def test_quotients_towards_zero_and_lgamma():
    assert tensorflow("truncatediv", np.array([-7, 7, -6]), np.array([2, -2, 3])).tolist() == [-3, -3, -2]
    assert tensorflow("truncatediv", np.array([-7.0, 7.0]), np.array([2.0, 2.0])).tolist() == [-3, 3]
    found = tensorflow("lgamma", np.array([0.0, -2.0, 0.5, np.inf, -np.inf]))
    np.testing.assert_allclose(found, [np.inf, np.inf, np.log(np.pi) / 2, np.inf, np.inf])


def test_recorded_operations_are_layers_in_tf_keras_and_not_in_keras_3():
    """The names that each Keras lists in `model.layers` of these files, those of comparisons too."""
    golden = Path(__file__).resolve().parent / "golden"
    shapes, operations = (
        li.load_model(golden / file) for file in ("keras3_operations_on_shapes.keras", "keras2_tf_operations.h5")
    )
    assert [layer.name for layer in shapes.layers] == ["x", "gru"]
    assert shapes.get_layer("argmax").name == "argmax"
    assert [layer.name for layer in operations.layers][8:15] == [
        "tf.math.multiply_2", "tf.math.multiply", "tf.math.greater", "tf.math.greater_1", "tf.stack", "tf.expand_dims",
        "tf.__operators__.getitem_7",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("Tensordot", [numbers(2, 3), numbers(3, 2)], {"axes": 1_000_000}),
        ("Tensordot", [numbers(2, 3), numbers(3, 2)], {"axes": [[1] * 1_000_000, [0] * 1_000_000]}),
        ("Tensordot", [numbers(2, 3), numbers(3, 2)], {"axes": -1}),
        ("Tensordot", [numbers(2, 3), numbers(3, 2)], {"axes": [[1], [0, 1]]}),
        ("Vander", [numbers(3)], {"N": 10_000_000}),
    ],
)
def test_numbers_that_would_take_minutes_are_refused(name, args, words):
    with pytest.raises(li.InputError, match="found (axes|N)"):
        operation(name, *args, **words)
