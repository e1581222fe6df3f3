"""The layers around the recurrent ones: independence of rows, shapes, refusals. Their numbers: test_golden."""

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.spec import Semantics

RNG = np.random.default_rng(3)
TIMESTEPS, FEATURES = 7, 6

LAYERS = {
    "dense": lambda: li.Dense(5, activation="gelu"),
    "dense_softmax": lambda: li.Dense(5, activation="softmax"),
    "activation": lambda: li.Activation("softplus"),
    "softmax_over_time": lambda: li.Softmax(axis=1),
    "softmax_over_both": lambda: li.Softmax(axis=(1, 2)),
    "prelu": lambda: li.PReLU(shared_axes=[1]),
    "elu": lambda: li.ELU(),
    "batch_normalization": lambda: li.BatchNormalization(),
    "layer_normalization": lambda: li.LayerNormalization(),
    "layer_normalization_over_both": lambda: li.LayerNormalization(axis=[1, 2]),
    "conv": lambda: li.Conv1D(4, 3, padding="same", activation="tanh"),
    "conv_groups": lambda: li.Conv1D(4, 2, strides=2, groups=2),
    "conv_causal": lambda: li.Conv1D(3, 3, padding="causal", dilation_rate=2),
    "max_pooling": lambda: li.MaxPooling1D(3, 2, "same"),
    "average_pooling": lambda: li.AveragePooling1D(3, 2, "same"),
    "global_average": lambda: li.GlobalAveragePooling1D(),
    "global_max": lambda: li.GlobalMaxPooling1D(keepdims=True),
    "flatten": lambda: li.Flatten("channels_first"),
    "permute": lambda: li.Permute((2, 1)),
    "reshape": lambda: li.Reshape((-1, 3)),
    "bidirectional": lambda: li.Bidirectional(li.GRU(4, return_sequences=True), merge_mode="ave"),
    "time_distributed": lambda: li.TimeDistributed(li.Dense(3)),
    "rnn": lambda: li.RNN([li.LSTMCell(3), li.SimpleRNNCell(2)], return_sequences=True),
}


def with_weights(layer, shape=(None, TIMESTEPS, FEATURES)):
    layer.build(shape)
    shapes = [expected for holder in layer.holders() for expected in holder.expected_shapes.values()]
    layer.set_weights([RNG.uniform(0.1, 1, expected) for expected in shapes])
    return layer


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_do_not_depend_on_their_batch(name, dtype):
    layer = LAYERS[name]()
    for _, inner in layer.walk():
        inner.policy = dtype
        if hasattr(inner, "cell"):
            inner.cell.policy = dtype
    layer = with_weights(layer)
    x = RNG.normal(size=(70, TIMESTEPS, FEATURES)).astype(dtype)
    together = layer(x)
    assert together.dtype == dtype
    assert together.shape == (70, *layer.compute_output_shape((None, TIMESTEPS, FEATURES))[1:])
    for rows in (1, 2, 3, 5, 9):
        np.testing.assert_array_equal(layer(x[20 : 20 + rows]), together[20 : 20 + rows])


@pytest.mark.parametrize(
    "layer", [li.Add(), li.Multiply(), li.Average(), li.Maximum(), li.Concatenate(), li.Dot(2), li.Dot((1, 2), True)],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_rows_of_merges_do_not_depend_on_their_batch(layer):
    x, y = (RNG.normal(size=(70, 6, 6)).astype(np.float32) for _ in range(2))
    together = layer([x, y])
    for rows in (1, 4, 9):
        np.testing.assert_array_equal(layer([x[5 : 5 + rows], y[5 : 5 + rows]]), together[5 : 5 + rows])


@pytest.mark.parametrize(
    ("rule", "joined"),
    [("all", [True, False, False, False]), ("any", [True, True, True, False]), ("none", None)],
)
def test_masks_of_merges(rule, joined):
    masks = [np.array([[True, True, False, False]]), np.array([[True, False, True, False]])]
    values = [np.ones((1, 4, 2), np.float32)] * 2
    for layer in (li.Add(), li.Concatenate()):
        layer.adopt(Semantics(merge_mask=rule))
        found = layer.compute_mask(values, masks)
        assert found is joined is None or found.tolist() == [joined]


def test_ranks_are_broadcast_after_the_batch():
    found = li.Add()([np.ones((2, 3)), np.zeros((2, 4, 3))])
    assert found.shape == (2, 4, 3)
    assert li.Add().compute_output_shape([(None, 3), (None, None, 3)]) == (None, None, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: li.Reshape((4,))(np.ones((2, 3))), "found inputs"),
        (lambda: li.Permute((1, 3)), "found dims"),
        (lambda: li.RepeatVector(2)(np.ones((2, 3, 4))), "expected .batch, features."),
        (lambda: li.Concatenate()([np.ones((2, 3)), np.ones((2, 3, 4))]), "shapes that fit"),
        (lambda: li.Subtract()([np.ones((2, 3))]), "expected 2"),
        (lambda: li.Dot(1)([np.ones((2, 3)), np.ones((2, 4))]), "the same size"),
        (lambda: li.Conv1D(3, 2, padding="full"), "found padding"),
        (lambda: li.Conv1D(3, 2, groups=2), "sizes that do not fit"),
        (lambda: li.MaxPooling1D(0), "found pool_size"),
        (lambda: li.Dense(2, activation="nonsense"), "unknown activation 'nonsense'"),
        (lambda: li.Bidirectional(li.LSTM(2), merge_mode="min"), "unknown merge_mode"),
        (lambda: with_weights(li.Embedding(3, 2), (None, 4))(np.array([[0, 3]])), "found id 3, expected .* 0 to 2"),
        (lambda: with_weights(li.Embedding(3, 2), (None, 4))(np.array([[-1]])), "found id -1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(li.InputError, match=message):
        call()


def test_sizes_that_only_the_data_has():
    a, b = li.Input((None, 3), name="a"), li.Input((None, 3), name="b")
    layers = li.Dot(1, name="dot"), li.Concatenate(name="con")
    dot, concatenate = (li.Model([a, b], layer([a, b])) for layer in layers)
    x, y = np.ones((2, 4, 3)), np.ones((2, 5, 3))
    with pytest.raises(li.InputError, match="layer 'dot'"):
        dot.predict([x, y])
    with pytest.raises(li.InputError, match="layer 'con'"):
        concatenate.predict([x, y])
