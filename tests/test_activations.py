"""Every activation of the kernels against the oracle: float32 and float64, compiled and as plain Python."""

import numpy as np
import pytest
import reference

import lstm_infer as li
from lstm_infer.kernels import activations as kernels
from lstm_infer.layers import activations

DTYPES = [np.float32, np.float64]
SWEEP = np.concatenate(
    [np.linspace(-30, 30, 601), np.linspace(-1, 1, 201), [0.0, -0.0, 1e-30, -1e-30, 0.5, -0.5, 1, -1, 2.5, 3, 6]]
)
EXTREMES = np.array([-np.inf, -1e30, -1e4, -800, -104, -89, 89, 104, 800, 1e4, 1e30, np.inf])
OVER_THE_ROW = ["softmax", "log_softmax", "sparsemax"]
ONE_BY_ONE = [name for name in kernels.CODES if name not in OVER_THE_ROW]
# NaN stays NaN; in these Keras on TensorFlow turns it into the value below the threshold, which hides it: both will do
HIDES_NAN = ["soft_shrink", "hard_shrink", "threshold", "thresholded_relu"]

PARAMETERS = [
    ("relu", 2.0),
    ("relu", 2.0, 0.1, 0.0),
    ("relu", np.inf, 0.1, 0.0),
    ("relu", np.inf, 0.0, 0.5),
    ("relu", 2.0, 0.1, 0.5),
    ("leaky_relu", 0.3),
    ("leaky_relu", 0.0),
    ("elu", 0.25),
    ("celu", 2.0),
    ("soft_shrink", 1.25),
    ("soft_shrink", 0.0),
    ("hard_shrink", 1.25),
    ("squareplus", 0.5),
    ("squareplus", 0.0),
    ("threshold", 1.5, -7.0),
    ("thresholded_relu", 0.25),
]


def computed(activate, name, parameters, x):
    row = np.array(x)
    activate(kernels.activation(name, *parameters), row)
    assert row.dtype == x.dtype
    return row


def expected(name, parameters, x):
    return reference.activation(name, *parameters)(x.astype(np.float64)).astype(x.dtype)


def test_the_oracle_knows_every_activation():
    assert set(reference.ACTIVATIONS) == set(kernels.CODES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", kernels.CODES)
def test_sweep(name, dtype):
    x = SWEEP.astype(dtype)
    reference.assert_close(computed(kernels.activate, name, (), x), expected(name, (), x))


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_float32_is_rounded_once(name):
    """Each value is computed in float64: in float32 at most one unit in the last place off."""
    x = SWEEP.astype(np.float32)
    ours, oracle = computed(kernels.activate, name, (), x), expected(name, (), x)
    np.testing.assert_array_max_ulp(ours + np.float32(1), oracle + np.float32(1), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE_BY_ONE)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_extremes(name, dtype):
    x = EXTREMES.astype(dtype)
    reference.assert_close(computed(kernels.activate, name, (), x), expected(name, (), x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in kernels.CODES if name not in HIDES_NAN])
def test_nan_stays_nan(name, dtype):
    row = computed(kernels.activate, name, (), np.array([np.nan], dtype))
    assert np.isnan(row).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_nan_stays_where_it_is(name, dtype):
    x = np.array([1.5, np.nan, -1.5], dtype)
    row = computed(kernels.activate, name, (), x)
    reference.assert_close(row[[0, 2]], expected(name, (), x[[0, 2]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [[-np.inf, 1, 2], [np.inf, 1, 2], [np.nan, 1, 2], [1, 2, np.nan], [3, 3, 3], [7]])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_with_extremes(name, row, dtype):
    x = np.array(row, dtype)
    reference.assert_close(computed(kernels.activate, name, (), x), expected(name, (), x))


@pytest.mark.parametrize("row", [[-1000, 0, 1000], [1e4, 1e4 - 1, 0], [-1e4, -1e4 - 2, -1e4 - 1]])
@pytest.mark.parametrize("name", OVER_THE_ROW)
def test_rows_that_would_overflow(name, row):
    x = np.array(row, np.float32)
    reference.assert_close(computed(kernels.activate, name, (), x), expected(name, (), x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "parameters"), [(name, parameters) for name, *parameters in PARAMETERS])
def test_parameters(name, parameters, dtype):
    x = SWEEP.astype(dtype)
    given = (*parameters, 0.0, 0.0)[:3] if name == "relu" else parameters
    reference.assert_close(computed(kernels.activate, name, given, x), expected(name, given, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "parameters"), [(name, parameters) for name, *parameters in PARAMETERS])
def test_parameters_and_infinities(name, parameters, dtype):
    x = np.array([-np.inf, np.inf], dtype)
    given = (*parameters, 0.0, 0.0)[:3] if name == "relu" else parameters
    reference.assert_close(computed(kernels.activate, name, given, x), expected(name, given, x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", kernels.CODES)
def test_plain_python(name, dtype, plain):
    """The same kernels without the compiler."""
    x = SWEEP[::7].astype(dtype)
    reference.assert_close(computed(plain(kernels.activate), name, (), x), expected(name, (), x))


@pytest.mark.parametrize(("name", "parameters"), [(name, parameters) for name, *parameters in PARAMETERS])
def test_plain_python_with_parameters(name, parameters, plain):
    given = (*parameters, 0.0, 0.0)[:3] if name == "relu" else parameters
    x = SWEEP[::7]
    reference.assert_close(computed(plain(kernels.activate), name, given, x), expected(name, given, x))


@pytest.mark.parametrize("name", kernels.CODES)
def test_rows_do_not_mix(name):
    """`activate_rows` gives each row the bits that it has alone."""
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32) * 3
    together = x.copy()
    kernels.activate_rows(kernels.activation(name), together)
    alone = [computed(kernels.activate, name, (), row) for row in x]
    assert together.tobytes() == np.stack(alone).tobytes()


def test_apply_leaves_its_argument_alone():
    x = np.linspace(-2, 2, 12).reshape(2, 2, 3)
    before = x.copy()
    y = activations.apply(activations.get("softmax"), x)
    assert np.array_equal(x, before)
    reference.assert_close(y, reference.activation("softmax")(x))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3), (3,), (2, 3, 4, 5)])
def test_apply_on_any_shape(shape):
    x = np.random.default_rng(1).normal(size=shape)
    reference.assert_close(activations.apply(activations.get("softmax"), x), _softmax_or_empty(x))


def _softmax_or_empty(x):
    return reference.activation("softmax")(x) if x.size else x


def test_glu():
    x = np.random.default_rng(2).normal(size=(4, 6))
    value, gate = x[:, :3], x[:, 3:]
    reference.assert_close(activations.apply(activations.get("glu"), x), value * reference.sigmoid(gate))


@pytest.mark.parametrize(("name", "same"), kernels.SYNONYMS.items())
def test_synonyms(name, same):
    assert activations.get(name) == activations.get(same)


@pytest.mark.parametrize(
    ("config", "name", "parameters"),
    [
        ({"class_name": "ReLU", "config": {"max_value": 2.0, "negative_slope": 0.1}}, "relu", (2.0, 0.1, 0.0)),
        ({"class_name": "ReLU", "config": {"max_value": None, "threshold": 0.5}}, "relu", (np.inf, 0.0, 0.5)),
        ({"class_name": "LeakyReLU", "config": {}}, "leaky_relu", (reference.in_float32(0.3),)),
        ({"class_name": "LeakyReLU", "config": {"negative_slope": 0.0}}, "leaky_relu", (0.0,)),
        ({"class_name": "ELU", "config": {"alpha": 0.5}}, "elu", (0.5,)),
        ({"class_name": "ThresholdedReLU", "config": {"theta": 2.0}}, "thresholded_relu", (2.0,)),
        ({"class_name": "Softmax", "config": {}}, "softmax", ()),
        ({"class_name": "Activation", "config": {"activation": "gelu"}}, "gelu", ()),
    ],
)
def test_activation_layers_as_activations(config, name, parameters):
    x = SWEEP[::3]
    reference.assert_close(activations.apply(activations.get(config), x), expected(name, parameters, x))


def test_hard_sigmoid_means_what_its_keras_meant():
    x = SWEEP.astype(np.float32)
    layer = li.Activation("hard_sigmoid")
    reference.assert_close(layer(x), expected("hard_sigmoid", (), x))
    layer.adopt(li.Semantics(hard_sigmoid="keras2"))
    reference.assert_close(layer(x), expected("hard_sigmoid_keras2", (), x))


@pytest.mark.parametrize("given", ["nonsense", "", 3, {"class_name": "Nonsense", "config": {}}, {"config": {}}])
def test_unknown_names(given):
    with pytest.raises(li.InputError, match="unknown activation"):
        activations.get(given)
