"""Models as people use them: building, predicting, checks of inputs, features from inside, sessions, weights."""

import json
import threading

import numpy as np
import pytest

import lstm_infer as li

RNG = np.random.default_rng(7)


def filled(model):
    """The model with random weights."""
    model.set_weights([RNG.normal(0, 0.4, np.shape(w)) for w in _shapes(model)])
    return model


def _shapes(model):
    return [np.empty(shape) for layer in model.holders() for shape in layer.expected_shapes.values()]


@pytest.fixture
def tagger():
    layers = [li.Input((None, 3), name="x"), li.LSTM(4, return_sequences=True), li.Dense(2)]
    return filled(li.Sequential(layers, "tagger"))


@pytest.fixture
def two_inputs():
    a, b = li.Input((None, 3), name="a"), li.Input((2,), name="b")
    joined = li.Concatenate(name="joined")([li.LSTM(4, name="lstm")(a), b])
    return filled(li.Model([a, b], {"y": li.Dense(1, name="one")(joined), "z": joined}))


def x(rows=3, timesteps=5, features=3):
    return RNG.normal(size=(rows, timesteps, features)).astype(np.float32)


# ---------------------------------------------------------------- what goes in and comes out
def test_structure_of_inputs_and_outputs(two_inputs):
    a, b = x(), RNG.normal(size=(3, 2))
    by_list, by_name = two_inputs.predict([a, b]), two_inputs.predict({"b": b, "a": a})
    assert set(by_list) == {"y", "z"}
    assert by_list["y"].shape == (3, 1)
    for key in by_list:
        np.testing.assert_array_equal(by_list[key], by_name[key])


def test_descriptions(two_inputs):
    assert two_inputs.input_names == ["a", "b"]
    assert two_inputs.input_shape == [(None, None, 3), (None, 2)]
    assert [(t.name, t.shape, str(t.dtype)) for t in two_inputs.outputs] == [
        ("one", (None, 1), "float32"), ("joined", (None, 6), "float32")]  # fmt: skip
    assert two_inputs.count_params() == sum(w.size for w in two_inputs.get_weights()) == 4 * 4 * (3 + 4 + 1) + 7
    assert [layer.name for layer in two_inputs.layers] == ["a", "lstm", "b", "joined", "one"]
    lines = []
    two_inputs.summary(print_fn=lines.append)
    assert any("lstm (LSTM)" in line and "fast: float32 on register tiles" in line for line in lines)
    assert "Total params: 135" in lines[-1]


@pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
def test_batch_size_changes_nothing(tagger, batch_size):
    data = x(7)
    np.testing.assert_array_equal(tagger.predict(data, batch_size=batch_size), tagger(data))


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, bool])
def test_dtypes_are_cast_once(tagger, kind):
    data = (x() * 3).astype(kind)
    assert tagger.predict(data).dtype == np.float32
    np.testing.assert_array_equal(tagger.predict(data), tagger.predict(data.astype(np.float32)))


def test_a_list_of_one_output_is_an_array(tagger):
    data = x(2)
    np.testing.assert_array_equal(li.Model([tagger.input], [tagger.output]).predict(data), tagger.predict(data))


def test_lists_are_arrays(tagger):
    data = x(2)
    np.testing.assert_array_equal(tagger.predict(data.tolist()), tagger.predict(data))
    np.testing.assert_array_equal(tagger.predict([data]), tagger.predict(data))


def test_no_rows(tagger, two_inputs):
    assert tagger.predict(np.empty((0, 5, 3))).shape == (0, 5, 2)
    assert two_inputs.predict([np.empty((0, 5, 3)), np.empty((0, 2))])["z"].shape == (0, 6)


def test_read_only_and_strided_data(tagger):
    data = x(6)
    frozen = data.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(tagger.predict(frozen), tagger.predict(data))
    np.testing.assert_array_equal(tagger.predict(data[::2]), tagger.predict(data)[::2])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 5, 4)), r"input 'x': found shape \(2, 5, 4\), expected \(None, None, 3\)"),
        (np.zeros((2, 3)), "found shape"),
        (np.zeros((2, 0, 3)), "zero timesteps"),
        (np.array([["a"]]), "found data of type"),
        (np.zeros((2, 5, 3), complex), "found data of type complex128"),
        ({"y": np.zeros((2, 5, 3))}, r"found inputs \['y'\], expected \['x'\]"),
        ([np.zeros((2, 5, 3)), np.zeros((2, 5, 3))], "found shape"),
        ([np.zeros((2, 3)), np.zeros((3, 2))], "found rows of shapes"),
    ],
)
def test_bad_inputs(tagger, bad, message):
    with pytest.raises(li.InputError, match=message):
        tagger.predict(bad)


@pytest.mark.parametrize(
    "arguments",
    [{"lengths": [1, 2]}, {"lengths": [1, 2, 6]}, {"lengths": [1, 2, -1]}, {"lengths": [1.0, 2.0, 3.0]},
     {"mask": np.ones((3, 4), bool)}, {"mask": np.ones((3, 5))}, {"batch_size": 0}, {"threads": 0}],
    ids=str,
)  # fmt: skip
def test_bad_arguments(tagger, arguments):
    with pytest.raises(li.InputError):
        tagger.predict(x(), **arguments)


def test_different_numbers_of_rows(two_inputs):
    with pytest.raises(li.InputError, match="different numbers of rows.*'a': 3, 'b': 2"):
        two_inputs.predict([x(3), np.zeros((2, 2))])


def test_lengths_and_the_models_own_mask_both_count():
    inputs = li.Input((None, 3))
    model = filled(li.Model(inputs, li.LSTM(4)(li.Masking()(inputs))))
    data = x(2)
    data[0, 1] = 0
    shorter = np.delete(data[:1, :4], 1, axis=1)
    np.testing.assert_array_equal(model.predict(data, lengths=[4, 5])[:1], model.predict(shorter))


def test_threads_is_a_setting(tagger):
    tagger.threads = 2
    assert tagger.threads == 2
    data = x(300, 40)
    np.testing.assert_array_equal(tagger.predict(data, threads=1), tagger.predict(data))
    with pytest.raises(li.InputError):
        tagger.threads = 1.5


# ---------------------------------------------------------------- graphs
def test_features_from_inside(tagger):
    inner = li.Model(tagger.input, tagger.layers[0].output)
    data = x()
    dense = tagger.layers[1]
    np.testing.assert_array_equal(dense(inner.predict(data)), tagger.predict(data))


def test_shared_layer_and_model_inside_a_model():
    shared = li.Sequential([li.Input((None, 3)), li.LSTM(4), li.Dense(2)], "shared")
    a, b = li.Input((None, 3), name="a"), li.Input((None, 3), name="b")
    model = filled(li.Model([a, b], li.Subtract()([shared(a), shared(b)])))
    assert len(model.get_weights()) == 5
    first, second = x(), x(3, 8)
    np.testing.assert_array_equal(model.predict([first, second]), shared.predict(first) - shared.predict(second))


def test_missing_input_is_named():
    a, b = li.Input((3,), name="a"), li.Input((3,), name="b")
    with pytest.raises(li.InputError, match="'b' is needed"):
        li.Model(a, li.Add()([a, b]))


def test_keras_order_of_layers():
    """By depth, then by the order in which the outputs reach them (``model.layers`` of real Keras)."""
    i = li.Input((4, 3), name="i")
    left, right = li.LSTM(2, name="left")(i), li.Dense(2, name="right_1")(i)
    right = li.LSTM(2, name="right_2")(right)
    model = li.Model(i, li.Add(name="add")([left, right]))
    assert [layer.name for layer in model.layers] == ["i", "right_1", "left", "right_2", "add"]


def test_layer_without_weights_says_so():
    model = li.Sequential([li.Input((None, 3)), li.LSTM(2, name="empty")])
    with pytest.raises(li.InputError, match="layer 'empty' has no weights yet"):
        model.predict(x())


def test_sequential_needs_a_shape():
    with pytest.raises(li.InputError, match="begins with Input"):
        li.Sequential([li.LSTM(2)])
    assert li.Sequential([li.LSTM(2, input_shape=(5, 3))]).input_shape == (None, 5, 3)


def test_unknown_layer_argument():
    with pytest.raises(TypeError, match="unexpected argument 'unit'"):
        li.LSTM(3, unit=4)


# ---------------------------------------------------------------- stepping
@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([li.Bidirectional(li.LSTM(2), name="both")], "both"),
        ([li.LSTM(2, go_backwards=True, name="back")], "back"),
        ([li.Conv1D(3, 2, name="conv"), li.LSTM(2)], "conv"),
        ([li.LSTM(2, return_sequences=True), li.GlobalMaxPooling1D(name="pool")], "pool"),
        ([li.Flatten(name="flat"), li.Dense(2)], "flat"),
    ],
)
def test_what_cannot_be_stepped(layers, name):
    model = li.Sequential([li.Input((4, 3)), *layers])
    with pytest.raises(li.InputError, match=f"layer '{name}' needs the whole sequence"):
        model.initial_state()


def test_step_never_changes_the_state_it_is_given(tagger):
    state = tagger.initial_state(3)
    before = json.dumps({name: [a.tolist() for a in arrays] for name, arrays in state.items()})
    tagger.step(x()[:, 0], state)
    assert json.dumps({name: [a.tolist() for a in arrays] for name, arrays in state.items()}) == before


def test_decoder_behind_repeat_vector_follows_the_encoder():
    layers = [li.Input((None, 3)), li.LSTM(4), li.RepeatVector(2), li.LSTM(3, return_sequences=True)]
    model, data = filled(li.Sequential(layers)), x()
    state = model.initial_state(3)
    for t in range(5):
        y_t, state = model.step(data[:, t], state)
    np.testing.assert_array_equal(y_t, model.predict(data))


# ---------------------------------------------------------------- sessions
def test_sessions_are_independent(tagger):
    data, one, two = x(), tagger.session(), tagger.session()
    whole = tagger.predict(data)
    first = one.predict(data[:, :2])
    two.predict(x())
    np.testing.assert_array_equal(np.concatenate([first, one.predict(data[:, 2:])], axis=1), whole)


def test_a_state_that_does_not_fit_says_how_to_begin_anew(tagger):
    data, session = x(3), tagger.session()
    with pytest.raises(li.InputError, match=r"\(initial_state\(batch\) begins a new batch\)"):
        tagger.step(data[:, 0], tagger.initial_state(2))
    session.step(data[:2, 0])
    with pytest.raises(li.InputError, match=r"\(reset_states\(\) begins a new batch\)"):
        session.step(data[:, 0])


def test_session_state_can_be_put_back(tagger):
    data, session = x(), tagger.session()
    session.step(data[:, 0])
    saved = session.state
    y = session.step(data[:, 1])
    session.state = saved
    np.testing.assert_array_equal(session.step(data[:, 1]), y)
    session.reset_states()
    assert session.state == {}
    with pytest.raises(li.InputError, match="found the state of layer 'strange'"):
        session.state = {"strange": []}
    with pytest.raises(li.InputError, match="found a state of type"):
        session.state = None


def test_stateful_layers_carry_state_as_in_keras_2():
    model = filled(li.Sequential([li.Input(batch_shape=(2, None, 3)), li.GRU(4, stateful=True, return_sequences=True)]))
    data = x(2, 6)
    parts = np.concatenate([model.predict(data[:, :3]), model.predict(data[:, 3:])], axis=1)
    model.reset_states()
    np.testing.assert_array_equal(model.predict(data), parts)
    model.layers[0].reset_states()
    np.testing.assert_array_equal(model.predict(data[:, :3]), parts[:, :3])
    with pytest.raises(li.InputError, match="reset_states"):
        model.predict(x(3))


# ---------------------------------------------------------------- weights
def test_weights_round_trip(tagger):
    data, weights = x(), tagger.get_weights()
    expected = tagger.predict(data)
    tagger.set_weights([w * 2 for w in weights])
    assert not np.array_equal(tagger.predict(data), expected)
    tagger.set_weights(weights)
    np.testing.assert_array_equal(tagger.predict(data), expected)
    with pytest.raises(li.InputError, match="found 4 weights, expected 5"):
        tagger.set_weights(weights[:4])
    with pytest.raises(li.InputError, match=r"weight 'kernel': found \(1,\), expected \(3, 16\)"):
        tagger.set_weights([np.zeros(1), *weights[1:]])


def test_weights_are_read_only_and_unchanged_by_kernels(tagger):
    before = tagger.get_weights()
    tagger.predict(x())
    for layer in tagger.holders():
        for array in layer.weights.values():
            assert not array.flags.writeable
    for old, new in zip(before, tagger.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layers_of_the_users_own():
    class Scale(li.Layer):
        config_names = ("by",)

        def __init__(self, by, **kwargs):
            super().__init__(**kwargs)
            self.by = by

        def weight_shapes(self, input_shape):
            return {"offset": (input_shape[-1],)}

        def call(self, inputs):
            return inputs * self.by + self.weights["offset"]

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = li.Input((None, 3))
    model = filled(li.Model(inputs, Scale(2.0)(inputs)))
    data = x()
    np.testing.assert_allclose(model.predict(data), data * 2 + model.get_weights()[0], rtol=1e-6)


def test_many_threads_share_a_model(tagger):
    data = [x(4, 6) for _ in range(8)]
    expected = [tagger.predict(d) for d in data]
    answers = [None] * 8

    def work(n):
        answers[n] = [tagger.predict(data[n]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for n in range(8):
        for answer in answers[n]:
            np.testing.assert_array_equal(answer, expected[n])


def test_masks_count_in_the_order_of_layers_as_in_keras_3():
    """Weights go by the order of layers where names differ; Keras 3's operations on masks push layers back."""
    a, b = li.Input((None, 3), name="a"), li.Input((None, 3), name="b")
    second = li.LSTM(4, name="lstm_b")(li.Dense(3, name="d2")(li.Dense(3, name="d1")(b)))
    first = li.LSTM(4, name="lstm_a")(li.Masking(name="m")(li.Dense(3, name="d3")(a)))
    model = li.Model([b, a], li.Concatenate(name="c")([second, first]))
    assert [layer.name for layer in model.layers] == ["a", "b", "d3", "d1", "d2", "m", "lstm_b", "lstm_a", "c"]


# ---------------------------------------------------------------- what the short ways must not remember
def line(units=4):
    model = li.Sequential([li.Input((None, 3)), li.LSTM(units, return_sequences=True), li.Dense(2)])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=shape) for layer in model.layers for shape in layer.expected_shapes.values()])
    return model


def test_short_ways_see_what_changes():
    model, x = line(), np.random.default_rng(1).normal(size=(2, 5, 3)).astype(np.float32)
    session = model.session()

    def short():
        session.reset_states()
        return [model.predict(x), session.step(x[:, 0]), session.step(x[:, 1])]

    def general():
        y = model.predict(x, batch_size=1)
        return [y, *(y[:, :2].swapaxes(0, 1) if y.ndim == 3 else [y, y])]

    for change in (lambda: None, lambda: model.layers[0].set_weights([w * 2 for w in model.layers[0].get_weights()])):
        change()
        for ours, theirs in zip(short(), general(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    model.layers[0].return_sequences = False
    np.testing.assert_array_equal(model.predict(x), model.predict(x, batch_size=1))
    model.layers[0].stateful = True
    assert (model.predict(x) != model.predict(x)).any()


@pytest.mark.parametrize("make", [li.LSTM, li.GRU, li.SimpleRNN, li.Dense])
def test_nobody_remembers_old_weights_who_looked_while_they_changed(make, monkeypatch):
    """Whoever computes just before the new weights are in place may use the old ones, but not afterwards."""
    from lstm_infer.kernels import packing

    model = li.Sequential([li.Input((None, 3)), li.LSTM(3, return_sequences=True), make(4)])
    rng = np.random.default_rng(0)
    shapes = [shape for layer in model.layers for shape in layer.expected_shapes.values()]
    model.set_weights([rng.normal(size=shape) for shape in shapes])
    x = rng.normal(size=(2, 5, 3)).astype(np.float32)
    pack = packing._packed

    def look_first(*args, **kwargs):
        model.predict(x)
        return pack(*args, **kwargs)

    monkeypatch.setattr(packing, "_packed", look_first)
    model.set_weights([rng.normal(size=shape) for shape in shapes])
    monkeypatch.undo()
    np.testing.assert_array_equal(model.predict(x), model.predict(x, batch_size=1))


def test_predict_takes_any_numbers_by_the_short_way():
    model, x = line(), np.arange(30).reshape(2, 5, 3)
    expected = model.predict(x.astype(np.float32), batch_size=2)
    for same in (x, x.astype(float), [x.astype(np.float32)], np.asfortranarray(x.astype(np.float32)), x.tolist()):
        np.testing.assert_array_equal(model.predict(same), expected)


@pytest.mark.parametrize("state", [{"lstm": None}, {"lstm": ["a", "b"]}, {"lstm": 3}])
def test_session_refuses_a_state_of_no_arrays(state):
    model = line()
    with pytest.raises(li.InputError, match="expected a list of arrays"):
        model.session().state = {model.layers[0].name: state["lstm"]}


def test_step_refuses_no_state():
    model = line()
    with pytest.raises(li.InputError, match="found None as the state of layer 'lstm"):
        model.step(x(1, 3), {model.layers[0].name: None})


@pytest.mark.parametrize("rows", [3, 40, 300, 700])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_ragged_rows_are_shared_out_and_come_back_in_order(rows, threads):
    model = li.Sequential([li.Input((None, 3)), li.LSTM(17, return_sequences=True), li.Dense(2)])
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=shape) for shape in ((3, 68), (17, 68), (68,), (17, 2), (2,))])
    data, lengths = random.normal(size=(rows, 40, 3)).astype(np.float32), random.permutation(rows) % 41
    whole = model.predict(data, lengths=lengths, threads=threads)
    for row in (0, rows // 2, rows - 1):
        np.testing.assert_array_equal(
            whole[row], model.predict(data[row : row + 1], lengths=lengths[row : row + 1], threads=1)[0]
        )


@pytest.mark.parametrize("batch_size", [None, 2, 3, 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_outputs_without_rows_are_those_of_the_first_batch(batch_size, threads):
    class First(li.Layer):
        def call(self, inputs):
            return inputs[0] * 1

        def compute_output_shape(self, input_shape):
            return input_shape[1:]

    class Words(li.Layer):
        def call(self, inputs):
            return np.array([b"a", "b", ""], object)[np.zeros(inputs.shape, int)]

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = li.Input((20, 30))
    model = li.Model(inputs, [First()(inputs), inputs, Words()(inputs)])
    data = x(600 if batch_size is None else 7, 20, 30)
    first, whole, words = model.predict(data, batch_size, threads=threads)
    np.testing.assert_array_equal(first, data[0])
    np.testing.assert_array_equal(whole, data)
    assert words.dtype == object and set(words.ravel()) == {b"a"}


def of_rows(call):
    """A model of (4, 3) inputs whose output has a number of rows of its own."""

    class Rows(li.Layer):
        def call(self, inputs):
            return call(inputs)

        def compute_output_shape(self, input_shape):
            return (None, 3)

    inputs = li.Input((4, 3))
    return li.Model(inputs, [Rows()(inputs), inputs])


@pytest.mark.parametrize("batch_size", [None, 2, 300])
@pytest.mark.parametrize("threads", [1, 3])
def test_outputs_may_have_other_rows_than_inputs(batch_size, threads):
    """Those of the batches, one after the other."""
    data = x(300, 4, 3)
    found, same = of_rows(lambda inputs: inputs.reshape(-1, 3)).predict(data, batch_size, threads=threads)
    np.testing.assert_array_equal(found, data.reshape(-1, 3))
    np.testing.assert_array_equal(same, data)
    found, _ = of_rows(lambda inputs: inputs[:1, 0]).predict(data, batch_size, threads=threads)
    np.testing.assert_array_equal(found, data[:: batch_size or 256, 0])


def test_words_of_later_batches_may_be_longer():
    words = np.array(["a", "ab", "abc"])[:, None].repeat(3, axis=1)
    model = of_rows(lambda inputs: words[inputs[:, 0, 0].astype(int)].astype(f"U{1 + int(inputs.max())}"))
    data = np.arange(3)[:, None, None] * np.ones((3, 4, 3))
    for batch_size in (1, 2, 3):
        assert model.predict(data, batch_size, threads=1)[0].tolist() == words.tolist()


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_of_different_shapes_are_refused(threads):
    """And never spread over each other's shape."""
    layer = li.TextVectorization(vocabulary=["a", "b"])  # as long as a batch's longest text
    model = li.Sequential([li.Input((1,), dtype="string"), layer])
    texts = np.array([["a b a"]] * 2 + [["b"]] * 2, object)
    assert model.predict(texts).tolist() == [[2, 3, 2]] * 2 + [[3, 0, 0]] * 2
    for some in (texts, texts[::-1]):
        with pytest.raises(li.InputError, match="output 'text_vec.*': found batches of shapes .* batch_size=4"):
            model.predict(some, batch_size=2, threads=threads)
