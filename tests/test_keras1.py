"""Transposed convolutions of a given size and merging by cosine, of Keras 1; its own answers: test_golden."""

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import layouts
from lstm_infer.layers import LAYERS
from lstm_infer.spec import Handle, RawModel, RawWeights

RNG = np.random.default_rng(3)
Deconvolution2D, CosineMerge = LAYERS["Deconvolution2D"], LAYERS["CosineMerge"]


def deconvolution(shape, *args, **words):
    layer = Deconvolution2D(*args, **words)
    layer.build(shape)
    layer.set_weights([RNG.normal(size=wanted) for wanted in layer.expected_shapes.values()])
    return layer


def by_formula(x, kernel, bias, strides, before, places):
    """Every place of the input spreads over the outputs; those outside are lost."""
    y = np.zeros((len(x), *places, kernel.shape[2]))
    for i, j, k, m in np.ndindex(*x.shape[1:3], *kernel.shape[:2]):
        row, column = i * strides[0] + k - before[0], j * strides[1] + m - before[1]
        if 0 <= row < places[0] and 0 <= column < places[1]:
            y[:, row, column] += x[:, i, j] @ kernel[k, m].T
    return y + bias


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "places", "before"),
    [
        ((3, 2), (1, 1), "valid", (7, 5), (0, 0)), ((3, 3), (2, 2), "valid", (12, 10), (0, 0)),
        ((2, 2), (2, 2), "same", (10, 8), (0, 0)), ((3, 3), (2, 2), "same", (9, 7), (1, 1)),
        ((2, 4), (2, 3), "same", (9, 10), (0, 1)), ((1, 1), (3, 2), "valid", (15, 8), (0, 0)),
    ],
)  # fmt: skip
def test_sizes_are_given(kernel, strides, padding, places, before, dtype):
    shape = (None, *places, 2)
    layer = deconvolution((None, 5, 4, 3), 2, kernel, shape, strides, padding, dtype=dtype)
    x = RNG.normal(size=(70, 5, 4, 3)).astype(dtype)
    y = layer(x)
    assert y.dtype == dtype and y.shape[1:] == layer.compute_output_shape((None, 5, 4, 3))[1:]
    expected = by_formula(x, layer.weights["kernel"], layer.weights["bias"], strides, before, places)
    np.testing.assert_allclose(y, expected, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-5)
    for rows in (1, 2, 9):
        np.testing.assert_array_equal(layer(x[3 : 3 + rows]), y[3 : 3 + rows])
    config = layer.get_config()
    assert Deconvolution2D(**config).get_config() == config


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Deconvolution2D(2, 3, [None, 4, 5]), "expected four sizes"),
        (lambda: Deconvolution2D(2, 3, None), "expected four sizes"),
        (lambda: Deconvolution2D(2, 3, [None, None, 5, 2]), "expected 2 whole numbers from 1"),
        (lambda: Deconvolution2D(2, 3, [None, 4, 5, 2], padding="full"), "found padding 'full'"),
        (lambda: Deconvolution2D(2, 3, [None, 8, 8, 2]).compute_output_shape((None, 5, 6, 1)),
         r"found inputs of \(5, 6\) places, expected \(6, 6\) to make \(8, 8\)"),
        (lambda: CosineMerge([1]), "expected a number or two"), (lambda: CosineMerge("1"), "expected a number or two"),
        (lambda: CosineMerge()([np.ones((2, 3)), np.ones((2, 4))]), "expected two of the same shape"),
        (lambda: CosineMerge()(np.ones((2, 3))), "expected two of the same shape"),
        (lambda: CosineMerge(0)([np.ones((2, 3))] * 2), r"found axes \[0, 0\]"),
        (lambda: CosineMerge(3)([np.ones((2, 3))] * 2), r"found axes \[3, 3\]"),
        (lambda: CosineMerge()([np.ones((2, 3, 4, 5))] * 2), "TensorFlow and Theano make different things"),
        (lambda: CosineMerge([1, 2])([np.ones((2, 3, 4))] * 2), "have no product"),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(li.InputError, match=message):
        make()


@pytest.mark.parametrize("data_format", ["tf", "th"])
def test_the_kernel_of_a_file_is_turned(data_format):
    values = RNG.normal(size=(3, 2, 4, 5) if data_format == "tf" else (5, 4, 3, 2)).astype(np.float32)
    shape = [None, 6, 7, 5] if data_format == "tf" else [None, 5, 6, 7]
    config = {"name": "d", "nb_filter": 5, "nb_row": 3, "nb_col": 2, "output_shape": shape, "subsample": [2, 1],
              "border_mode": "same", "dim_ordering": data_format, "bias": False,
              "batch_input_shape": [None, 3, 7, 4] if data_format == "tf" else [None, 4, 3, 7]}  # fmt: skip
    model = {"class_name": "Sequential", "config": [{"class_name": "Deconvolution2D", "config": config}]}
    spec = layouts.canonical(RawModel("m.h5", model, None, "1.2.2"))
    handle = Handle("kernel", values.shape, "float32", lambda: values)
    found = layouts.match(spec, RawWeights("m.h5", "legacy", {"d": (("d_W:0", handle),)}))["d",]["kernel"]
    assert found.shape == (3, 2, 5, 4)
    turned = values.transpose((0, 1, 3, 2) if data_format == "tf" else (2, 3, 0, 1))
    np.testing.assert_array_equal(found.read(), turned)
    theano = RawWeights("m.h5", "legacy", {"d": (("d_W:0", handle),)}, {}, None, "theano")
    np.testing.assert_array_equal(layouts.match(spec, theano)["d",]["kernel"].read(), turned[::-1, ::-1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), [((6,), -1), ((6,), [1, 1]), ((4, 3), -1), ((4, 3), 1), ((4, 4), [1, 2])])
def test_cosines(shape, axes, dtype):
    x, y = RNG.normal(size=(2, 70, *shape)).astype(dtype)
    layer = CosineMerge(axes, dtype=dtype)
    z = layer([x, y])
    assert z.dtype == dtype and z.shape[1:] == layer.compute_output_shape([(None, *shape)] * 2)[1:]
    for rows in (1, 2, 9):
        np.testing.assert_array_equal(layer([x[3 : 3 + rows], y[3 : 3 + rows]]), z[3 : 3 + rows])
    if len(shape) == 1:
        cosine = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
        np.testing.assert_allclose(z[:, 0, 0], cosine, rtol=1e-4)
