"""Attention, normalization and their kind: formulas, masks, calls, refusals. Their numbers: test_golden."""

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.layers import Context
from lstm_infer.spec import Semantics

RNG = np.random.default_rng(5)


def with_weights(layer, *shapes):
    """Build a layer for inputs of `shapes`, without the batch, and give it random weights."""
    shapes = [(None, *shape) for shape in shapes]
    layer.build(shapes if len(shapes) > 1 else shapes[0])
    expected = [shape for holder in layer.holders() for shape in holder.expected_shapes.values()]
    layer.set_weights([RNG.uniform(0.2, 1, shape) for shape in expected])
    return layer


def numbers(*shape):
    return RNG.normal(size=shape)


# ---------------------------------------------------------------- a row never depends on the others
PAIRS = {
    "attention": lambda dtype: li.Attention(use_scale=True, dtype=dtype),
    "attention_concat": lambda dtype: li.Attention(score_mode="concat", causal=True, dtype=dtype),
    "additive": lambda dtype: li.AdditiveAttention(dtype=dtype),
    "multi_head": lambda dtype: li.MultiHeadAttention(3, 5, value_dim=2, use_gate=True, dtype=dtype),
    "multi_head_window": lambda dtype: li.MultiHeadAttention(2, 20, sliding_window=2, output_shape=(2, 3), dtype=dtype),
    "group_query": lambda dtype: li.GroupQueryAttention(4, 6, 3, dtype=dtype),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_attention_do_not_depend_on_their_batch(name, dtype):
    layer = with_weights(PAIRS[name](dtype), (7, 6), (9, 6))
    query, value = numbers(70, 7, 6).astype(dtype), numbers(70, 9, 6).astype(dtype)
    masks = [RNG.random((70, 7)) < 0.7, RNG.random((70, 9)) < 0.7]

    def run(rows):
        return layer.run([query[rows], value[rows]], [mask[rows] for mask in masks], Context())[0]

    together = run(slice(None))
    assert together.dtype == dtype
    shapes = [(None, 7, 6), (None, 9, 6)]
    assert together.shape == (70, *layer.compute_output_shape(shapes)[1:])
    for count in (1, 2, 3, 5, 9):
        np.testing.assert_array_equal(run(slice(20, 20 + count)), together[20 : 20 + count])


SINGLES = {
    "einsum": lambda dtype: li.EinsumDense("abc,cde->abde", (None, 3, 4), "tanh", "e", dtype=dtype),
    "einsum_over_time": lambda dtype: li.EinsumDense("abc,bcd->ad", (5,), dtype=dtype),
    "einsum_shared": lambda dtype: li.EinsumDense("abc,bcd->abd", (7, 5), dtype=dtype),
    "einsum_summed": lambda dtype: li.EinsumDense("abc,cd->ad", (5,), dtype=dtype),
    "rms": lambda dtype: li.RMSNormalization(dtype=dtype),
    "unit": lambda dtype: li.UnitNormalization(axis=(1, 2), dtype=dtype),
    "group": lambda dtype: li.GroupNormalization(3, dtype=dtype),
    "instance": lambda dtype: li.GroupNormalization(-1, dtype=dtype),
    "batch_over_axes": lambda dtype: li.BatchNormalization([1, 2], renorm=True, dtype=dtype),
    "samples": lambda dtype: li.BatchNormalization(mode=1, dtype=dtype),
    "spectral": lambda dtype: li.SpectralNormalization(li.Dense(4, dtype=dtype), dtype=dtype),
    "highway": lambda dtype: li.Highway("tanh", dtype=dtype),
    "srelu": lambda dtype: li.SReLU(dtype=dtype),
    "parametric_softplus": lambda dtype: li.ParametricSoftplus([1], dtype=dtype),
    "int8": lambda dtype: li.Dense(5, dtype=f"int8_from_{dtype}"),
    "int4": lambda dtype: li.Dense(5, dtype=f"int4/-1_from_{dtype}"),
    "float8": lambda dtype: li.EinsumDense("abc,cd->abd", (None, 5), dtype=f"float8_from_{dtype}"),
}


@pytest.mark.parametrize("name", SINGLES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_do_not_depend_on_their_batch(name, dtype):
    layer = SINGLES[name](dtype)
    shape = (None, 7, 6)
    layer.build(shape)
    expected = [holder.expected_shapes[name] for holder, name in layer.slots()]
    layer.set_weights([RNG.uniform(0.2, 1, [n or 1 for n in wanted]) for wanted in expected])
    x = numbers(70, 7, 6).astype(dtype)
    together = layer(x)
    assert together.dtype == dtype
    assert together.shape == (70, *layer.compute_output_shape(shape)[1:])
    for rows in (1, 2, 3, 5, 9):
        np.testing.assert_array_equal(layer(x[20 : 20 + rows]), together[20 : 20 + rows])


def test_maxout_rows_do_not_depend_on_their_batch():
    layer = with_weights(li.MaxoutDense(5, 3), (6,))
    x = numbers(70, 6)
    np.testing.assert_array_equal(layer(x[3:8]), layer(x)[3:8])


# ---------------------------------------------------------------- plain formulas
def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_multi_head_attention():
    layer = with_weights(li.MultiHeadAttention(2, 3, value_dim=4, dtype="float64"), (5, 6), (7, 2), (7, 3))
    layer.adopt(Semantics(attention_scale="exact"))
    query, value, key = numbers(2, 5, 6), numbers(2, 7, 2), numbers(2, 7, 3)
    w = layer.weights
    q, k, v = (np.einsum("btf,fhd->bhtd", x, w[f"{name}/kernel"]) + w[f"{name}/bias"][:, None]
               for name, x in (("query", query), ("key", key), ("value", value)))  # fmt: skip
    weights = softmax(q @ k.swapaxes(2, 3) / np.sqrt(3))
    expected = np.einsum("bhtd,hdo->bto", weights @ v, w["attention_output/kernel"]) + w["attention_output/bias"]
    found, scores = layer(query, value, key, return_attention_scores=True)
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    np.testing.assert_allclose(scores, weights, rtol=1e-11)


def test_attention_looks_at_what_is_not_masked():
    query, value = numbers(2, 3, 4), numbers(2, 5, 4)
    mask = np.array([[1, 1, 0, 0, 1], [0, 1, 0, 0, 0]], bool)
    for layer in (li.Attention(dtype="float64"), li.AdditiveAttention(use_scale=False, dtype="float64")):
        y, scores = layer([query, value], mask=[None, mask], return_attention_scores=True)
        assert (scores[~np.broadcast_to(mask[:, None], scores.shape)] == 0).all()
        np.testing.assert_allclose(y[1], np.tile(value[1, 1], (3, 1)), rtol=1e-12)
    zeroed = li.Attention()([query, value], mask=[np.zeros((2, 3), bool), mask])
    assert (zeroed == 0).all()


@pytest.mark.parametrize("layer", [li.Attention, li.AdditiveAttention])
def test_causal_by_config_or_by_call(layer):
    inputs = [numbers(2, 3, 4), numbers(2, 5, 4)]
    by_config, by_call = with_weights(layer(causal=True), (3, 4), (5, 4)), layer()
    if by_config.weights:
        by_call.build([(None, 3, 4), (None, 5, 4)])
        by_call.set_weights(by_config.get_weights())
    np.testing.assert_array_equal(by_config(inputs), by_call(inputs, use_causal_mask=True))
    assert np.abs(by_config(inputs) - by_call(inputs)).max() > 1e-3


@pytest.mark.parametrize("rule", ["faint", "even", "zeros"])
def test_a_query_whose_values_are_all_masked(rule):
    layer = with_weights(li.MultiHeadAttention(1, 2, dtype="float64"), (3, 2), (4, 2))
    layer.adopt(Semantics(masked_softmax="faint" if rule == "even" else rule, attention_is_fused=rule == "even"))
    query, value = numbers(1, 3, 2), numbers(1, 4, 2)
    y = layer(query, value, value_mask=np.zeros((1, 4), bool))
    w = layer.weights
    projected = np.einsum("btf,fhd->bthd", value, w["value/kernel"]) + w["value/bias"]
    mean = projected.mean(axis=1) * (rule != "zeros")
    expected = np.einsum("bhd,hdo->bo", mean, w["attention_output/kernel"]) + w["attention_output/bias"]
    if rule == "faint":
        assert np.abs(y - layer(query, value)).max() < 1e-5  # the scores still have their say in float64
    else:
        np.testing.assert_allclose(y, np.tile(expected[:, None], (1, 3, 1)), rtol=1e-9)


def test_masks_travel_only_where_keras_lets_them():
    layer = with_weights(li.MultiHeadAttention(1, 2), (3, 2), (4, 2))
    inputs, mask = [numbers(1, 3, 2), numbers(1, 4, 2)], np.array([[1, 0, 1, 0]], bool)
    free = layer.run(inputs, [None, None], Context())[0]
    assert np.abs(layer.run(inputs, [None, mask], Context())[0] - free).max() > 1e-3
    layer.adopt(Semantics(attention_takes_masks=False))
    np.testing.assert_array_equal(layer.run(inputs, [None, mask], Context())[0], free)


def test_attention_in_a_model_built_here():
    query, value = li.Input((None, 3), name="query"), li.Input((None, 3), name="value")
    attention = li.MultiHeadAttention(2, 2)
    y, scores = attention(query, li.Masking()(value), return_attention_scores=True, use_causal_mask=True)
    z = li.Attention()([li.LSTM(3, return_sequences=True)(query), value], use_causal_mask=True)
    model = li.Model([query, value], [y, scores, z])
    assert [output.shape for output in model.outputs] == [(None, None, 3), (None, 2, None, None), (None, None, 3)]
    shapes = [shape for layer in model.holders() for shape in layer.expected_shapes.values()]
    model.set_weights([RNG.normal(size=shape) for shape in shapes])
    found = model.predict([numbers(2, 4, 3), numbers(2, 5, 3)])
    assert [array.shape for array in found] == [(2, 4, 3), (2, 2, 4, 5), (2, 4, 3)]
    assert (np.triu(found[1], 1) == 0).all()
    with pytest.raises(li.InputError, match="needs the whole sequence"):
        model.initial_state()


# ---------------------------------------------------------------- normalization
def test_normalizations():
    x = numbers(3, 4, 6)
    rms = with_weights(li.RMSNormalization(epsilon=0.1, dtype="float64"), (4, 6))
    expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 0.1) * rms.weights["scale"]
    np.testing.assert_allclose(rms(x), expected, rtol=1e-12)
    unit = li.UnitNormalization([1, 2], dtype="float64")(x)
    np.testing.assert_allclose((unit**2).sum(axis=(1, 2)), np.ones(3), rtol=1e-12)
    group = with_weights(li.GroupNormalization(2, epsilon=0.1, dtype="float64"), (4, 6))
    parts = x.reshape(3, 4, 2, 3)
    centered = parts - parts.mean(axis=(1, 3), keepdims=True)
    plain = (centered / np.sqrt(parts.var(axis=(1, 3), keepdims=True) + 0.1)).reshape(x.shape)
    np.testing.assert_allclose(group(x), plain * group.weights["gamma"] + group.weights["beta"], rtol=1e-11)


@pytest.mark.parametrize(("least", "expected"), [(1e-24, 1.0), (1e-12, 0.01)])
def test_the_length_of_almost_nothing(least, expected):
    layer = li.UnitNormalization(dtype="float64")
    layer.adopt(Semantics(least_norm=least))
    np.testing.assert_allclose(layer(np.array([[1e-8, 0.0]])), [[expected, 0.0]], rtol=1e-9)
    assert layer(np.zeros((1, 2))).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("layer", "follows"),
    [
        (li.EinsumDense("abc,cd->abd", (None, 2)), True), (li.EinsumDense("abc,bcd->ad", 2), False),
        (li.EinsumDense("...x,xy->...y", 2), True), (li.RMSNormalization(), True), (li.UnitNormalization(1), False),
        (li.GroupNormalization(2), False), (li.SpectralNormalization(li.Dense(2)), True), (li.SReLU(), False),
        (li.BatchNormalization([1, 2]), False), (li.Highway(), True),
    ],
    ids=str,
)  # fmt: skip
def test_who_can_follow_a_step(layer, follows):
    layer.build((None, 4, 6))
    assert layer.per_timestep == follows


# ---------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: li.Attention()(np.ones((2, 3, 4))), r"expected \[query, value\]"),
        (lambda: li.Attention(score_mode="general"), "found score_mode"),
        (lambda: li.Attention()([np.ones((2, 3, 4)), np.ones((2, 3, 5))]), "sizes that fit"),
        (lambda: li.MultiHeadAttention(2, 2)(np.ones((2, 3, 4))), "a query alone"),
        (lambda: li.MultiHeadAttention(2, 2)(np.ones((2, 4)), np.ones((2, 4))), "features"),
        (lambda: li.MultiHeadAttention(2, 2, sliding_window=0), "sliding_window"),
        (lambda: with_weights(li.MultiHeadAttention(1, 2, attention_axes=2), (3, 2), (4, 2))(
            np.ones((1, 3, 2)), np.ones((1, 4, 2))), "attention_axes"),
        (lambda: with_weights(li.MultiHeadAttention(1, 2), (3, 2), (4, 2))(
            np.ones((1, 3, 2)), np.ones((1, 4, 2)), attention_mask=np.ones((1, 3, 5))), "a mask of"),
        (lambda: li.GroupQueryAttention(2, 3, 2), "do not fit"),
        (lambda: li.EinsumDense("ab,bc", 2), "found equation"),
        (lambda: li.EinsumDense("aab,bc->ac", 2), "found equation"),
        (lambda: li.EinsumDense("abc,cd->abd", (None, 2), bias_axes="x"), "found bias_axes"),
        (lambda: li.EinsumDense("abc,cd->abd", (2,)).build((None, 3, 4)), "found output_shape"),
        (lambda: li.EinsumDense("abc,bcd->abd", (5, 2)).build((None, 3, 4)), "found size 3 on axis 'b'"),
        (lambda: li.EinsumDense("abc,cd->abd", (None, 2)).build((None, 3, None)), "expected fixed sizes"),
        (lambda: li.GroupNormalization(4).build((None, 6)), "a multiple of 4"),
        (lambda: li.UnitNormalization(3).build((None, 6)), "expected axes"),
        (lambda: li.UnitNormalization(0).build((None, 6)), "mix the rows"),
        (lambda: with_weights(li.RMSNormalization(1), (3, 4))(np.ones((1, 3, 4))), "do not fit"),
        (lambda: li.BatchNormalization(mode=2), "found mode 2"),
        (lambda: li.SpectralNormalization(li.Dropout(0.1)).build((None, 2)), "a layer with a kernel"),
        (lambda: with_weights(li.ReversibleEmbedding(4, 3), (2,))(np.ones((1, 2)), reverse=True), r"\(None, 3\)"),
        (lambda: li.Dense(2, dtype="int4/0_from_float32"), "unknown dtype policy"),
        (lambda: li.Dense(2, dtype="gptq_from_float32"), "unknown dtype policy"),
        (lambda: li.Dense(2, dtype="int8_from_float32", quantization_config={"activation_quantizer": 7}),
         "expected an AbsMaxQuantizer"),
        (lambda: li.Embedding(2, 2, dtype="gptq/4/8_from_float32").build(None), "cannot be quantised"),
        (lambda: li.Dense(2, dtype="int8_from_float32").set_weights([np.ones((2, 2))]), "must be called before"),
    ],
)  # fmt: skip
def test_refusals(call, message):
    with pytest.raises(li.InputError, match=message):
        call()
