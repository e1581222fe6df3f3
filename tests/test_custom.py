"""The ready functions for Lambda layers, alone and inside models; models of classes of their own."""

from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer import custom
from lstm_infer.verify import verify

GOLDEN = Path(__file__).resolve().parent / "golden"
X = np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)

FUNCTIONS = {  # name: ours, the same in float64 NumPy, the output's shape for (None, None, 3)
    "last_timestep": (custom.last_timestep, lambda x: x[:, -1, :], (None, 3)),
    "reverse_time": (custom.reverse_time, lambda x: x[:, ::-1, :], (None, None, 3)),
    "timesteps": (custom.timesteps(-1), lambda x: x[:, -1:, :], (None, 1, 3)),
    "sum_over": (custom.sum_over(), lambda x: x.sum(1), (None, 3)),
    "sum_over_last": (custom.sum_over(axis=-1), lambda x: x.sum(-1), (None, None)),
    "mean_over": (custom.mean_over(keepdims=True), lambda x: x.mean(1, keepdims=True), (None, 1, 3)),
    "max_over": (custom.max_over(), lambda x: x.max(1), (None, 3)),
    "expand_dims": (custom.expand_dims(axis=1), lambda x: x[:, None], (None, 1, None, 3)),
    "l2_normalize": (
        custom.l2_normalize(),
        lambda x: x / np.sqrt(np.maximum((x**2).sum(-1, keepdims=True), 1e-12)),
        (None, None, 3),
    ),
    "l2_normalize_time": (
        custom.l2_normalize(axis=1),
        lambda x: x / np.sqrt((x**2).sum(1, keepdims=True)),
        (None, None, 3),
    ),
    "scale": (custom.scale(2.0, offset=1.0), lambda x: 2 * x + 1, (None, None, 3)),
    "reshape": (custom.reshape((-1, 3)), lambda x: x.reshape(-1, 3), (None, 3)),
    "one_hot": (custom.one_hot(4), lambda x: np.trunc(x)[..., None] == np.arange(4), (None, None, 3, 4)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_shapes(name, dtype):
    function, expected, shape = FUNCTIONS[name]
    layer = li.Lambda(function, dtype=dtype)
    y = layer(X)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected(X.astype(np.float64)), rtol=1e-6 if dtype == "float32" else 1e-12, atol=1e-7)
    assert layer.compute_output_shape((None, None, 3)) == shape


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "reshape"])
def test_rows_are_independent(name):
    layer = li.Lambda(FUNCTIONS[name][0])
    together = layer(X)
    for row in range(len(X)):
        np.testing.assert_array_equal(layer(X[row : row + 1]), together[row : row + 1])
    assert layer(X[:0]).shape == (0, *together.shape[1:])


def test_squeeze():
    layer = li.Lambda(custom.squeeze(axis=2))
    assert layer(X[:, :, :1]).shape == (5, 7)
    assert layer.compute_output_shape((None, None, 1)) == (None, None)


def test_ids_out_of_range_are_rows_of_zeros():
    np.testing.assert_array_equal(custom.one_hot(2)(np.array([-1, 0, 1, 2])), [[0, 0], [1, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("make", [custom.sum_over, custom.mean_over, custom.max_over, custom.l2_normalize])
@pytest.mark.parametrize("axis", [0, -3, 3, "time"])
def test_no_axis_of_the_batch(make, axis):
    with pytest.raises(li.InputError, match="expected one behind that of the batch"):
        make(axis=axis)(X)


def model_with(function, *after):
    layers = [li.Input((None, 3)), li.Masking(), li.LSTM(4, return_sequences=True), li.Lambda(function), *after]
    model = li.Sequential(layers)
    values = np.random.default_rng(1)
    model.set_weights([values.normal(size=w.shape) for w in shapes_of(model)])
    return model


def shapes_of(model):
    return [np.empty(shape) for layer in model.holders() for shape in layer.expected_shapes.values()]


def test_a_mask_ends_here_as_at_a_lambda():
    x = X.copy()
    x[:, 4:] = 0
    model = model_with(custom.scale(1.0), li.GlobalAveragePooling1D())
    inside = li.Model(model.input, model.layers[-2].output)
    np.testing.assert_allclose(model.predict(x), inside.predict(x).mean(axis=1), atol=1e-6)


def test_steps_pass_through_what_treats_timesteps_alike():
    model = model_with(custom.scale(3.0))
    state, y = model.initial_state(5), []
    for t in range(X.shape[1]):
        y_t, state = model.step(X[:, t], state)
        y.append(y_t)
    np.testing.assert_array_equal(np.stack(y, axis=1), model.predict(X))
    with pytest.raises(li.InputError, match="needs the whole sequence"):
        model_with(custom.sum_over()).initial_state(5)


def test_steps_end_at_the_last_timestep():
    model = model_with(custom.last_timestep, li.Dense(2))
    state = model.initial_state(5)
    for t in range(X.shape[1]):
        y_t, state = model.step(X[:, t], state)
        np.testing.assert_array_equal(y_t, model.predict(X[:, : t + 1]))


# ---------------------------------------------------------------- models of somebody's own class
OWN_MODELS = ("keras3_plain.keras", "keras2_plain.h5")


@pytest.mark.parametrize("file", OWN_MODELS)
def test_a_model_of_its_own_class_is_computed_by_its_layers_where_the_user_says_so(file):
    path = GOLDEN / "subclassed" / file
    for given in (li.Model, li.Sequential):
        model = li.load_model(path, custom_objects={"Trainer": given, "Stack": given})
        with np.load(path.with_suffix(".npz")) as golden:
            assert [found for found in verify(model, golden) if not found.agrees] == []
    assert [layer.name for layer in model.layers[1:]] == ["encoder", "head"]
    assert type(model.layers[2]) is li.Sequential and type(model) is li.Model


@pytest.mark.parametrize("file", OWN_MODELS)
def test_a_model_of_its_own_class_is_not_believed_to_be_plain(file):
    path = GOLDEN / "subclassed" / file
    with pytest.raises(li.UnsupportedLayerError, match=r"custom_objects=\{'Trainer': li.Model\}"):
        li.load_model(path)
    with pytest.raises(li.UnsupportedLayerError, match=r"'head' \(Stack\): .* custom_objects=\{'Stack': li.Model\}$"):
        li.load_model(path, custom_objects={"Trainer": li.Model})
    found = li.inspect(path)
    rows = {row["layer"]: (row["keys"][-1], row["suggestion"]) for row in found["unsupported"]}
    assert rows == {"whole": ("Trainer", "li.Model"), "head": ("Stack", "li.Model")}
    assert not found["loads"] and found["model"]["class_name"] == "Trainer" and found["problems"] == []


def test_a_layer_is_no_model_because_the_user_says_so():
    path = GOLDEN / "lambdas" / "attention.keras"
    with pytest.raises(li.UnsupportedLayerError, match=r"\(WeightedSum\): the file does not list its layers"):
        li.load_model(path, custom_objects={"WeightedSum": li.Model, "steep": np.tanh})


def test_the_arguments_of_a_custom_layer_are_shown():
    (row,) = [row for row in li.inspect(GOLDEN / "lambdas" / "attention.keras")["unsupported"] if row["arguments"]]
    assert row["layer"] and row["arguments"] == {"factor": "0.5"}


def test_a_layer_with_weights_is_tried_without_them():
    """Whose compute_output_shape() is left out: `call` is tried on zeros before the weights are read."""

    class WeightedSum(li.Layer):
        def __init__(self, factor, **config):
            super().__init__(**config)
            self.factor = factor

        def weight_shapes(self, input_shape):
            return {"vector": (input_shape[-1],)}

        def call(self, inputs):
            scores = np.exp((inputs * self.weights["vector"]).sum(-1, keepdims=True) * self.factor)
            return (inputs * scores / scores.sum(1, keepdims=True)).sum(1)

    path = GOLDEN / "lambdas" / "attention.keras"
    model = li.load_model(path, custom_objects={"WeightedSum": WeightedSum, "steep": lambda x: np.tanh(3 * x)})
    with np.load(path.with_suffix(".npz")) as golden:
        assert [found for found in verify(model, golden) if not found.agrees] == []
    layer = WeightedSum(1.0)
    assert layer(li.Input((None, 3))).shape == (None, 3) and layer.weights == {}
