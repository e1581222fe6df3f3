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
    "normalization": lambda: li.Normalization(),
    "rescaling": lambda: li.Rescaling(0.3, 1.0),
    "peephole": lambda: li.RNN(li.PeepholeLSTMCell(3), return_sequences=True),
    "layer_norm_lstm": lambda: li.RNN([li.LayerNormLSTMCell(3), li.LayerNormSimpleRNNCell(2)]),
    "nas": lambda: li.RNN(li.NASCell(3, projection=2, use_bias=True)),
    "esn": lambda: li.ESN(3, leaky=0.7),
    "rnn": lambda: li.RNN([li.LSTMCell(3), li.SimpleRNNCell(2)], return_sequences=True),
    "conv_transpose": lambda: li.Conv1DTranspose(4, 3, strides=2, padding="same", activation="tanh"),
    "depthwise": lambda: li.DepthwiseConv1D(3, depth_multiplier=2, activation="sigmoid"),
    "separable": lambda: li.SeparableConv1D(4, 3, padding="causal", depth_multiplier=2, activation="softmax"),
    "locally_connected": lambda: li.LocallyConnected1D(4, 3, padding="same", implementation=3, activation="tanh"),
    "adaptive_max": lambda: li.AdaptiveMaxPooling1D(3),
    "adaptive_average": lambda: li.AdaptiveAveragePooling1D(3),
    "zero_padding": lambda: li.ZeroPadding1D((1, 2)),
    "cropping": lambda: li.Cropping1D((1, 2)),
    "upsampling": lambda: li.UpSampling1D(2),
    "time_distributed_model": lambda: li.TimeDistributed(li.Sequential([li.Input((FEATURES,)), li.Dense(3)])),
}
IMAGES = {  # layers over images (rows, columns, channels), or over times of sequences
    "conv": lambda: li.Conv2D(4, (3, 2), padding="same", activation="tanh"),
    "conv_groups": lambda: li.Conv2D(4, 2, strides=(2, 1), groups=2, data_format="channels_first"),
    "conv_transpose": lambda: li.Conv2DTranspose(4, 3, strides=2, activation="gelu"),
    "depthwise": lambda: li.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: li.SeparableConv2D(4, 3, data_format="channels_first", activation="softmax"),
    "locally_connected": lambda: li.LocallyConnected2D(4, (2, 3), implementation=2, data_format="channels_first"),
    "max_pooling": lambda: li.MaxPooling2D((3, 2), 2, "same"),
    "average_pooling": lambda: li.AveragePooling2D((3, 2), 2, "same", "channels_first"),
    "global_max": lambda: li.GlobalMaxPooling2D(),
    "global_average": lambda: li.GlobalAveragePooling2D(keepdims=True),
    "adaptive_max": lambda: li.AdaptiveMaxPooling2D((3, 2)),
    "adaptive_average": lambda: li.AdaptiveAveragePooling2D((3, 2), "channels_first"),
    "zero_padding": lambda: li.ZeroPadding2D(((1, 2), (0, 1)), "channels_first"),
    "cropping": lambda: li.Cropping2D(((1, 2), (0, 1))),
    "upsampling": lambda: li.UpSampling2D((2, 3), "channels_first", "bilinear"),
    "conv_lstm": lambda: li.ConvLSTM1D(3, 2, return_sequences=True),
    "conv_lstm_bidirectional": lambda: li.Bidirectional(li.ConvLSTM1D(3, 2, padding="same", activation="softmax")),
    "time_distributed": lambda: li.TimeDistributed(li.Conv1D(3, 2)),
}
VOLUMES = {  # layers over volumes, or over times of images
    "conv": lambda: li.Conv3D(3, (2, 3, 2), padding="same"),
    "conv_transpose": lambda: li.Conv3DTranspose(3, 2, strides=(1, 2, 1)),
    "max_pooling": lambda: li.MaxPooling3D(2, padding="same"),
    "average_pooling": lambda: li.AveragePooling3D(2, padding="same"),
    "global_max": lambda: li.GlobalMaxPooling3D(),
    "global_average": lambda: li.GlobalAveragePooling3D("channels_first"),
    "adaptive_max": lambda: li.AdaptiveMaxPooling3D(2),
    "adaptive_average": lambda: li.AdaptiveAveragePooling3D(2),
    "zero_padding": lambda: li.ZeroPadding3D(1),
    "cropping": lambda: li.Cropping3D(((0, 1), (1, 1), (1, 0))),
    "upsampling": lambda: li.UpSampling3D((1, 2, 2)),
    "conv_lstm": lambda: li.ConvLSTM2D(3, 2, data_format="channels_first", go_backwards=True),
    "time_distributed": lambda: li.TimeDistributed(li.Conv2D(3, 2, activation="relu")),
}
SPACE = [("image", name, (6, 5, 4)) for name in IMAGES] + [("volume", name, (3, 4, 5, 2)) for name in VOLUMES]


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


def with_policy(layer, dtype):
    for _, inner in layer.walk():
        inner.policy = dtype
        if hasattr(inner, "cell"):
            inner.cell.policy = dtype
    return layer


@pytest.mark.parametrize(("kind", "name", "shape"), SPACE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_images_do_not_depend_on_their_batch(kind, name, shape, dtype):
    layer = {"image": IMAGES, "volume": VOLUMES}[kind][name]()
    layer = with_weights(with_policy(layer, dtype), (None, *shape))
    x = RNG.normal(size=(9, *shape)).astype(dtype)
    together = layer(x)
    assert together.dtype == dtype
    assert together.shape == (9, *layer.compute_output_shape((None, *shape))[1:])
    for rows in (1, 2, 5):
        np.testing.assert_array_equal(layer(x[3 : 3 + rows]), together[3 : 3 + rows])


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
        (lambda: li.Conv2D(3, (1, 2, 3)), "found kernel_size"),
        (lambda: li.Conv2D(3, 2, padding="causal"), "found padding 'causal'"),
        (lambda: li.Conv2D(3, 2, data_format="th"), "found data_format 'th'"),
        (lambda: li.Conv2D(3, 2)(np.ones((2, 5, 4))), "expected .batch, rows, columns, channels."),
        (lambda: with_weights(li.Conv2D(3, 4), (None, 9, 9, 2))(np.ones((1, 3, 9, 2))), "enough for one output"),
        (lambda: with_weights(li.Conv2D(3, 2), (None, 9, 9, 2)).call(np.ones((1, 9, 9, 3))), "found 3 channels"),
        (lambda: with_weights(li.Conv2DTranspose(3, 2), (None, 9, 9, 2)).call(np.ones((1, 9, 9, 3))), "3 channels"),
        (lambda: with_weights(li.DepthwiseConv2D(2), (None, 9, 9, 2)).call(np.ones((1, 9, 9, 3))), "found 3 channels"),
        (lambda: li.Conv2DTranspose(3, 2, strides=2, output_padding=2), "found output_padding"),
        (lambda: li.LocallyConnected2D(3, 2, padding="same"), "expected 'valid' with implementation 1"),
        (lambda: li.LocallyConnected2D(3, 2).build((None, None, 4, 2)), "expected sizes without None"),
        (lambda: with_weights(li.LocallyConnected2D(3, 2), (None, 4, 4, 2))(np.ones((1, 4, 5, 2))), "expected .None"),
        (lambda: li.LocallyConnected1D(1, 2, implementation=3).build((None, 10**9, 1)), "places under the kernel"),
        (lambda: li.MaxPooling2D(3)(np.ones((1, 2, 4, 2))), "enough for one output"),
        (lambda: li.AdaptiveMaxPooling2D((0, 2)), "found output_size"),
        (lambda: li.ZeroPadding2D((1, 2, 3)), "found padding"),
        (lambda: li.ZeroPadding2D(-1), "found padding"),
        (lambda: li.Cropping2D(2)(np.ones((1, 4, 5, 2))), "expected more than it drops"),
        (lambda: li.UpSampling2D(2, interpolation="cubic"), "found interpolation 'cubic'"),
        (lambda: li.ConvLSTM2D(3, 2, padding="causal"), "found padding 'causal'"),
        (lambda: li.ConvLSTM2D(3, 2)(np.ones((1, 3, 4, 5))), "expected 5 axes"),
        (lambda: li.TimeDistributed(li.Dense(2))(np.ones((2, 3))), "expected .batch, timesteps"),
        (lambda: li.Dense(2, activation="nonsense"), "unknown activation 'nonsense'"),
        (lambda: li.Bidirectional(li.LSTM(2), merge_mode="min"), "unknown merge_mode"),
        (lambda: with_weights(li.Embedding(3, 2), (None, 4))(np.array([[0, 3]])), "found id 3, expected .* 0 to 2"),
        (lambda: with_weights(li.Embedding(3, 2), (None, 4))(np.array([[-1]])), "found id -1"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(li.InputError, match=message):
        call()


def test_augmentation_is_for_training():
    from lstm_infer.layers.augmentation import NAMES
    from lstm_infer.layouts.words import AUGMENTATIONS

    assert not AUGMENTATIONS ^ set(NAMES)
    x = li.Input((4, 4, 3))
    model = li.Model(x, li.RandomZoom(0.2)(x, training=True))
    with pytest.raises(li.InputError, match="random by design"):
        model.predict(np.ones((1, 4, 4, 3)))


def test_sizes_that_only_the_data_has():
    a, b = li.Input((None, 3), name="a"), li.Input((None, 3), name="b")
    layers = li.Dot(1, name="dot"), li.Concatenate(name="con")
    dot, concatenate = (li.Model([a, b], layer([a, b])) for layer in layers)
    x, y = np.ones((2, 4, 3)), np.ones((2, 5, 3))
    with pytest.raises(li.InputError, match="layer 'dot'"):
        dot.predict([x, y])
    with pytest.raises(li.InputError, match="layer 'con'"):
        concatenate.predict([x, y])


# ---------------------------------------------------------------- against plain formulas, and what real Keras says
def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def convolve_plainly(x, kernel, bias, stride, dilation, padding, groups):
    """Cross-correlation as its definition says, on (batch, timesteps, channels) in float64."""
    size, channels, filters = kernel.shape
    span = (size - 1) * dilation + 1
    count = (x.shape[1] - (span if padding == "valid" else 1)) // stride + 1
    needed = (count - 1) * stride + span - x.shape[1]
    before = {"valid": 0, "causal": span - 1, "same": max(needed, 0) // 2}[padding]
    x = np.pad(x, [(0, 0), (before, span), (0, 0)])
    y = np.zeros((len(x), count, filters)) + bias
    for n, k, f in np.ndindex(count, size, filters):
        first = f // (filters // groups) * channels
        y[:, n, f] += x[:, n * stride + k * dilation, first : first + channels] @ kernel[k, :, f]
    return y


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (3, 1, 2), (1, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_convolution(padding, stride, dilation, groups, data_format):
    x, kernel, bias = RNG.normal(size=(2, 11, 4)), RNG.normal(size=(3, 4 // groups, 6)), RNG.normal(size=6)
    options = {"padding": padding, "strides": stride, "dilation_rate": dilation, "groups": groups}
    layer = li.Conv1D(6, [3], data_format=data_format, dtype="float64", **options)
    first = data_format == "channels_first"
    given = x.swapaxes(1, 2) if first else x
    layer.build((None, 4, None) if first else (None, None, 4))
    layer.set_weights([kernel, bias])
    found = layer(given)
    assert found.shape == (2, *layer.compute_output_shape(given.shape)[1:])
    expected = convolve_plainly(x, kernel, bias, stride, dilation, padding, groups)
    close(found.swapaxes(1, 2) if first else found, expected)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("strides", "dilation"), [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3))])
@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
def test_tiles_convolve_like_the_general_kernel(padding, strides, dilation, activation):
    words = {"strides": strides, "dilation_rate": dilation, "padding": padding, "activation": activation}
    x, weights = RNG.normal(size=(2, 9, 60, 3)), [RNG.normal(size=(3, 2, 3, 20)), RNG.normal(size=20)]
    found = []
    for tiles in (True, False):
        layer = li.Conv2D(20, (3, 2), **words)
        layer.set_weights(weights)
        if not tiles:
            layer.product, layer.is_activated = None, False
        found.append(layer(x))
    np.testing.assert_array_equal(*found)


def test_an_image_of_one_row_is_a_sequence():
    x, kernel = RNG.normal(size=(2, 11, 4)), RNG.normal(size=(3, 4, 5))
    over_time, over_images = li.Conv1D(5, 3, use_bias=False), li.Conv2D(5, (1, 3), use_bias=False)
    over_time.set_weights([kernel])
    over_images.set_weights([kernel[None]])
    np.testing.assert_array_equal(over_time(x), over_images(x[:, None])[:, 0])


def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    x, y, kernel = RNG.normal(size=(1, 7, 3)), RNG.normal(size=(1, 4, 2)), RNG.normal(size=(2, 3, 2))
    forth = li.Conv1D(2, 2, strides=2, padding="same", use_bias=False, dtype="float64")
    back = li.Conv1DTranspose(3, 2, strides=2, padding="same", use_bias=False, dtype="float64")
    forth.set_weights([kernel])
    back.set_weights([kernel])
    close((forth(x) * y).sum(), (np.pad(x, [(0, 0), (0, 1), (0, 0)]) * back(y)).sum())


def test_windows_of_absurd_sizes_end_soon():
    x = RNG.normal(size=(1, 5, 1))
    assert li.MaxPooling1D(10**9, padding="same")(x).item() == x.max().astype(np.float32)
    close(li.AveragePooling1D(10**9, padding="same", dtype="float64")(x).item(), x.mean())


def test_a_refused_call_leaves_a_layer_as_it_was():
    layer, x = li.LocallyConnected1D(2, 3), RNG.normal(size=(2, 6, 3))
    expected = with_weights(layer, (None, 6, 3))(x)
    with pytest.raises(li.InputError, match="expected .None, 6, 3."):
        layer(x[:, :5])
    np.testing.assert_array_equal(layer(x), expected)


def test_a_convolutional_lstm_can_be_stepped():
    layers = [li.TimeDistributed(li.Conv2D(3, 2)), li.ConvLSTM2D(2, 2, return_sequences=True)]
    model = li.Sequential([li.Input((None, 6, 4, 2)), *layers])
    model.set_weights([RNG.normal(size=shape) for layer in model.holders() for shape in layer.expected_shapes.values()])
    x, state = RNG.normal(size=(2, 5, 6, 4, 2)).astype(np.float32), model.initial_state(2)
    whole = model.predict(x)
    for t in range(5):
        y_t, state = model.step(x[:, t], state)
        np.testing.assert_array_equal(y_t, whole[:, t])


def test_softmax_of_a_convolution_is_over_the_last_axis():
    layer = li.Conv1D(2, 1, activation="softmax", data_format="channels_first")
    layer.build((None, 3, None))
    layer.set_weights([RNG.normal(size=(1, 3, 2)), np.zeros(2)])
    np.testing.assert_allclose(layer(RNG.normal(size=(2, 3, 5))).sum(axis=-1), np.ones((2, 2)), rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], [2, 1], [1, -1]])
def test_layer_normalization(axis):
    x = RNG.normal(size=(3, 4, 5))
    layer = li.LayerNormalization(axis, epsilon=1e-3, dtype="float64")
    layer.build(x.shape)
    shape = tuple(x.shape[n] for n in (sorted(axis) if isinstance(axis, list) else [axis]))
    gamma, beta = RNG.normal(size=(2, *shape))
    layer.set_weights([gamma, beta])
    axes = tuple(sorted(n % 3 for n in np.atleast_1d(axis)))
    wide = [n if k in axes else 1 for k, n in enumerate(x.shape)]
    centered = x - x.mean(axis=axes, keepdims=True)
    unit = centered / np.sqrt(x.var(axis=axes, keepdims=True) + 1e-3)
    close(layer(x), unit * gamma.reshape(wide) + beta.reshape(wide))  # a reshape where Keras sorts -1 before 1


@pytest.mark.parametrize("axis", [-1, 1, [2]])
def test_batch_normalization(axis):
    x = RNG.normal(size=(3, 4, 4))
    gamma, beta, mean, variance = RNG.uniform(0.5, 2, (4, 4))
    layer = li.BatchNormalization(axis, epsilon=1e-5, dtype="float64")
    layer.build(x.shape)
    layer.set_weights([gamma, beta, mean, variance])
    wide = (1, 4, 1) if axis == 1 else (1, 1, 4)
    gamma, beta, mean, variance = (w.reshape(wide) for w in (gamma, beta, mean, variance))
    close(layer(x), (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_average_of_what_is_not_masked(data_format, keepdims):
    x, mask = RNG.normal(size=(3, 4, 2)), np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    x[0, 3] = np.inf  # what is masked has no say at all
    first = data_format == "channels_first"
    layer = li.GlobalAveragePooling1D(data_format, keepdims, dtype="float64")
    found = layer(x.swapaxes(1, 2) if first else x, mask=mask)
    expected = [x[0, :2].mean(axis=0), x[1, [1, 3]].mean(axis=0), [np.nan, np.nan]]
    assert found.shape == ((3, 2) if not keepdims else (3, 2, 1) if first else (3, 1, 2))
    close(found.reshape(3, 2), expected)
    with pytest.raises(li.InputError, match="a mask of shape"):
        layer(x.swapaxes(1, 2) if first else x, mask=mask[:, :3])


def test_pooling_leaves_out_what_is_padded():
    x = -np.arange(1.0, 6.0).reshape(1, 5, 1)
    assert li.AveragePooling1D(3, 2, "same")(x).ravel().tolist() == [-1.5, -3, -4.5]
    assert li.MaxPooling1D(3, 2, "same")(x).ravel().tolist() == [-1, -2, -4]


@pytest.mark.parametrize(("rule", "of_nothing"), [("zeros", [0, 0, 0]), ("faint", [0, 0, 1])])
def test_softmax_of_masked_values(rule, of_nothing):
    layer = li.Softmax(dtype="float64")
    layer.adopt(Semantics(masked_softmax=rule))
    x, mask = np.array([[1.0, 2, 3], [1, 2, 60]]), np.array([[True, True, False], [False] * 3])
    e = np.exp([-1.0, 0.0])
    close(layer(x, mask=mask), [[*e / e.sum(), 0], of_nothing])
    with pytest.raises(li.InputError, match="a mask of shape"):
        layer(x, mask=mask[:, :2])


def joined(layer, values, masks):
    layer.policy = "float64"
    masks = [m and np.array(m, bool) for m in masks]
    return layer.run([np.array(v, float) for v in values], masks, li.layers.Context())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [(li.Maximum, [5, 3, 7, 4]), (li.Minimum, [1, 3, 7, 4]), (li.Multiply, [5, 3, 7, 0]), (li.Add, [6, 8, 9, 8])],
)
def test_masks_change_what_some_merges_say(layer, expected):
    pair = [[[[1], [3], [2], [4]]], [[[5], [5], [7], [4]]]]
    masks = [[[1, 1, 0, 0]], [[1, 0, 1, 0]]]
    y, mask = joined(layer(), pair, masks)
    assert y[0, :, 0].tolist() == expected
    assert mask.tolist() == [[True, True, True, False]]


@pytest.mark.parametrize("layer", [li.Add, li.Multiply, li.Maximum])
def test_a_mask_of_fewer_axes_is_forgotten(layer):
    wide, low = RNG.normal(size=(2, 3, 4, 2)), RNG.normal(size=(2, 4, 2))
    y, mask = joined(layer(), [wide, low], [None, [[1, 1, 0, 0], [1, 0, 0, 0]]])
    np.testing.assert_array_equal(y, joined(layer(), [wide, low], [None, None])[0])
    assert mask is None


@pytest.mark.parametrize(
    ("layer", "follows"),
    [
        (li.Concatenate(), True), (li.Concatenate(1), False), (li.Concatenate(-2), False),
        (li.BatchNormalization(), True), (li.BatchNormalization(-2), False), (li.BatchNormalization([2]), True),
        (li.LayerNormalization(), True), (li.LayerNormalization([1, 2]), False), (li.LayerNormalization([-2]), False),
        (li.PReLU(), False), (li.PReLU([1]), True), (li.Softmax(), True), (li.Softmax(1), False),
    ],
    ids=str,
)  # fmt: skip
def test_who_can_follow_a_step(layer, follows):
    shape = (None, TIMESTEPS, FEATURES)
    layer.build([shape, shape] if isinstance(layer, li.Concatenate) else shape)
    assert layer.per_timestep == follows


@pytest.mark.parametrize("layer", [li.Flatten(), li.Reshape((-1, 2)), li.Permute((2, 1)), li.MaxPooling1D()])
def test_no_rows_at_all(layer):
    assert layer(np.zeros((0, 4, 6))).shape == (0, *layer.compute_output_shape((None, 4, 6))[1:])


def test_a_mask_goes_through_spectral_normalization():
    """As Keras 2.21 and 3.15 do it in predict, whatever `supports_masking` says of the wrapper."""
    rng, models = np.random.default_rng(0), []
    for middle in (li.Dense(3), li.SpectralNormalization(li.Dense(3))):
        layers = [li.Input((7,), dtype="int32"), li.Embedding(9, 4, mask_zero=True), middle, li.LSTM(3)]
        models.append(li.Sequential(layers))
    weights = [rng.normal(size=shape) for shape in ((9, 4), (4, 3), (3,), (3, 12), (3, 12), (12,))]
    models[0].set_weights(weights)
    models[1].set_weights([*weights[:2], np.ones((1, 3)), *weights[2:]])
    x = rng.integers(0, 3, (5, 7))
    np.testing.assert_array_equal(models[1].predict(x), models[0].predict(x))


@pytest.mark.parametrize(
    ("layer", "kept"),
    [
        (lambda: li.Flatten(), True), (lambda: li.MaxPooling1D(2, 1, "same"), True), (lambda: li.Masking(2), True),
        (lambda: li.Masking(0.5), True), (lambda: li.ReLU(), True), (lambda: li.ReLU(negative_slope=0.5), False),
        (lambda: li.Activation("relu6"), True), (lambda: li.Activation("tanh"), False),
        (lambda: li.GlobalMaxPooling1D(), True), (lambda: li.GlobalAveragePooling1D(), False),
        (lambda: li.AveragePooling1D(2), False),
    ],
)  # fmt: skip
def test_whole_numbers_stay_whole_where_they_do_in_keras(layer, kept):
    x = li.Input((TIMESTEPS, FEATURES), dtype="int32")
    model = li.Model(x, layer()(x))
    values = RNG.integers(-5, 5, (9, TIMESTEPS, FEATURES))
    for made in model.layers:
        made.set_weights([np.ones(shape) for shape in (made.expected_shapes or {}).values()])
    together = model.predict(values)
    assert together.dtype == model.outputs[0].dtype == (np.int32 if kept else np.float32)
    np.testing.assert_array_equal(model.predict(values[3:4]), together[3:4])
    floats = li.Model(y := li.Input((TIMESTEPS, FEATURES)), layer()(y))
    for made, other in zip(floats.layers, model.layers, strict=True):
        made.set_weights(other.get_weights())
    np.testing.assert_allclose(together, floats.predict(values.astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize("autocast", [True, False])
def test_float64_stays_in_layers_without_weights_where_nothing_casts(autocast):
    """As in Keras before TensorFlow's own, where means of whole numbers have 64 bits."""
    x = li.Input((TIMESTEPS, FEATURES), dtype="float64")
    layers = [li.Average(), li.Maximum(), li.Concatenate(axis=1)]
    layers += [li.ReLU(max_value=0.5), li.Softmax(), li.Flatten(), li.GlobalAveragePooling1D(), li.Dropout(0.5)]
    for layer in layers:
        layer.adopt(Semantics(autocast=autocast))
    outputs = [layer([x, x]) for layer in layers[:3]] + [layer(x) for layer in layers[3:]]
    model = li.Model(x, outputs)
    values = RNG.normal(size=(2, TIMESTEPS, FEATURES))
    expected = np.float64 if not autocast else np.float32
    assert {y.dtype for y in model.predict(values)} == {y.dtype for y in model.outputs} == {np.dtype(expected)}
