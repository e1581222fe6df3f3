"""Cells against the oracle: the built-in ones in all sizes and dtypes, compiled and plain; stacks; cells of users."""

import itertools

import numpy as np
import pytest
import reference

import lstm_infer as li
from lstm_infer.kernels import gru, lstm, simple_rnn

DTYPES = ["float32", "float64"]
KINDS = list(reference.CELLS)
SIZES = list(itertools.product([1, 3, 17, 100], [1, 5, 37]))
BATCHES = [*range(1, 10), 70]
ACTIVATION_WORDS = [(kind, "activation") for kind in KINDS] + [(kind, "recurrent_activation") for kind in KINDS[:3]]
STATES = [(kind, n) for kind in KINDS for n in range(reference.CELLS[kind].states)]


def make(kind, features, units, use_bias=True, **arguments):
    """Return a cell of ours with made-up weights, and the weights."""
    cell = reference.CELLS[kind]
    ours = getattr(li, cell.name + "Cell")(units, use_bias=use_bias, **cell.arguments, **arguments)
    weights = reference.random_weights(kind, features, units, use_bias=use_bias)
    ours.set_weights(weights)
    return ours, weights


def random_step(kind, batch, features, units, dtype="float32", seed=1):
    """Return x_t and states."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(batch, features))]
    arrays += [rng.normal(size=(batch, units)) for _ in range(reference.CELLS[kind].states)]
    x_t, *states = (array.astype(np.float32).astype(dtype) for array in arrays)
    return x_t, states


def check(cell, oracle, x_t, states, dtype):
    output, new = cell(x_t, states)
    expected, expected_new = oracle(x_t.astype(float), [state.astype(float) for state in states])
    reference.assert_close(output, expected, dtype)
    assert len(new) == len(expected_new)
    for ours, theirs in zip(new, expected_new, strict=True):
        reference.assert_close(ours, theirs, dtype)


def same_bits(a, b):
    return [(m.dtype, m.shape, m.tobytes()) for m in a] == [(n.dtype, n.shape, n.tobytes()) for n in b]


# ---------------------------------------------------------------- the built-in cells
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("units", "features"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind, units, features, dtype):
    cell, weights = make(kind, features, units, dtype=dtype)
    oracle = reference.step(kind, weights)
    for batch in BATCHES:
        check(cell, oracle, *random_step(kind, batch, features, units, dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_without_bias(kind, dtype):
    cell, weights = make(kind, 5, 3, use_bias=False, dtype=dtype)
    assert len(cell.get_weights()) == 2
    check(cell, reference.step(kind, weights), *random_step(kind, 2, 5, 3, dtype), dtype)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
@pytest.mark.parametrize(("kind", "word"), ACTIVATION_WORDS)
def test_activations(kind, word, name):
    cell, weights = make(kind, 5, 7, dtype="float64", **{word: name})
    oracle = reference.step(kind, weights, **{"f" if word == "activation" else "g": name})
    check(cell, oracle, *random_step(kind, 3, 5, 7, "float64"), "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_functions_as_activations(kind, dtype):
    gates = {} if kind == "simple_rnn" else {"recurrent_activation": lambda x: np.clip(x, 0, 1)}
    cell, weights = make(kind, 5, 3, dtype=dtype, activation=np.sin, **gates)
    oracle = reference.step(kind, weights, np.sin, lambda x: np.clip(x, 0, 1))
    check(cell, oracle, *random_step(kind, 4, 5, 3, dtype), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_given_as_layers(kind):
    cell, weights = make(kind, 5, 3, activation={"class_name": "ReLU", "config": {"max_value": 0.5}})
    oracle = reference.step(kind, weights, reference.activation("relu", 0.5))
    check(cell, oracle, *random_step(kind, 4, 5, 3), "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("units", "features"), SIZES)
def test_implementations_give_the_same_bits(units, features, dtype):
    cells = [make("lstm", features, units, dtype=dtype, implementation=n)[0] for n in (1, 2)]
    for batch in (1, 2, 9):
        x_t, states = random_step("lstm", batch, features, units, dtype)
        (_, one), (_, two) = (cell(x_t, states) for cell in cells)
        assert same_bits(one, two)


@pytest.mark.parametrize("dtype", DTYPES)
def test_implementation_1_agrees_with_the_oracle(dtype):
    cell, weights = make("lstm", 5, 17, dtype=dtype, implementation=1, activation="softmax")
    check(cell, reference.step("lstm", weights, "softmax"), *random_step("lstm", 9, 5, 17, dtype), dtype)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [*itertools.product(KINDS, [{}, {"activation": np.tanh}]), ("lstm", {"implementation": 1})],
)
def test_rows_do_not_depend_on_the_batch(kind, arguments):
    cell, _ = make(kind, 37, 17, **arguments)
    x_t, states = random_step(kind, 70, 37, 17)
    _, together = cell(x_t, states)
    for batch in range(1, 10):
        _, alone = cell(x_t[:batch], [state[:batch] for state in states])
        assert same_bits(alone, [state[:batch] for state in together])


@pytest.mark.parametrize("arguments", [{}, {"activation": np.tanh}])
@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_not_changed(kind, arguments):
    cell, weights = make(kind, 5, 3, **arguments)
    x_t, states = random_step(kind, 2, 5, 3)
    given = [x_t, *states, *cell.get_weights()]
    before = [array.copy() for array in given]
    for state in states:
        state.setflags(write=False)
    _, new = cell(x_t, states)
    cell(x_t, new)
    assert same_bits(given, before)
    assert same_bits(cell.get_weights(), [w.astype(np.float32) for w in weights])
    assert not any(np.shares_memory(a, b) for a in new for b in states)


@pytest.mark.parametrize("kind", KINDS)
def test_layout_of_the_data_does_not_matter(kind):
    cell, _ = make(kind, 6, 4)
    x_t, states = random_step(kind, 4, 6, 4)
    _, plainly = cell(x_t, states)
    wide = np.zeros((4, 12), np.float32)
    wide[:, ::2] = x_t
    for x in (np.asfortranarray(x_t), wide[:, ::2], x_t.astype(">f4"), x_t.astype(np.float64)):
        assert same_bits(cell(x, [np.asfortranarray(state) for state in states])[1], plainly)


def test_read_only_inputs():
    cell, _ = make("lstm", 6, 4)
    x_t, states = random_step("lstm", 4, 6, 4)
    _, expected = cell(x_t, states)
    x_t.setflags(write=False)
    assert same_bits(cell(x_t, states)[1], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind):
    cell, _ = make(kind, 5, 3)
    output, states = cell(np.zeros((0, 5)), cell.get_initial_state(0))
    assert output.shape == (0, 3)
    assert [state.shape for state in states] == [(0, 3)] * reference.CELLS[kind].states


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kernel", "kind", "arguments"),
    [
        (lstm.step_fused, "lstm", {}),
        (lstm.step_gates, "lstm", {"implementation": 1}),
        (gru.step, "gru", {}),
        (gru.step, "gru_before", {}),
        (simple_rnn.step, "simple_rnn", {}),
    ],
)
def test_kernels_as_plain_python(kernel, kind, arguments, dtype, plain):
    cell, weights = make(kind, 3, 2, dtype=dtype, **arguments)
    x_t, states = random_step(kind, 2, 3, 2, dtype)
    ours = [state.copy() for state in states]
    plain(kernel)(x_t, cell.gate_params if arguments else cell.params, *ours)
    _, expected = reference.step(kind, weights)(x_t.astype(float), [state.astype(float) for state in states])
    for a, b in zip(ours, expected, strict=True):
        reference.assert_close(a, b, dtype)


# ---------------------------------------------------------------- weights
@pytest.mark.parametrize("kind", KINDS)
def test_weights_before_build(kind):
    cell, weights = make(kind, 5, 3)
    assert cell.built
    assert same_bits(cell.get_weights(), [w.astype(np.float32) for w in weights])
    assert cell.count_params() == sum(w.size for w in weights)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_can_be_set_again(kind):
    cell, weights = make(kind, 5, 3)
    other = reference.random_weights(kind, 5, 3, seed=9)
    cell.set_weights(other)
    check(cell, reference.step(kind, other), *random_step(kind, 2, 5, 3), "float32")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_copied(kind):
    cell, weights = make(kind, 5, 3)
    x_t, states = random_step(kind, 2, 5, 3)
    _, before = cell(x_t, states)
    for array in weights:
        array *= 0
    for array in cell.get_weights():
        array *= 0
    assert same_bits(cell(x_t, states)[1], before)


@pytest.mark.parametrize("n", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_weights(kind, n):
    cell, weights = make(kind, 5, 3)
    good = cell.get_weights()
    for wrong in (np.zeros((2, 2, 2)), weights[n][..., :-1], weights[n].ravel() if n < 2 else np.zeros(99), 1.0):
        with pytest.raises(li.InputError, match="found"):
            cell.set_weights([*weights[:n], wrong, *weights[n + 1 :]])
    for number in (0, 2, 4):
        with pytest.raises(li.InputError, match="weights"):
            cell.set_weights((weights * 2)[:number])
    assert same_bits(cell.get_weights(), good), "a refused set_weights changes nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_weights_before_build(kind):
    cell = reference.CELLS[kind]
    weights = reference.random_weights(kind, 5, 4)
    for wrong in ([], weights[1:], [w.ravel() for w in weights], weights[:2], weights * 2):
        with pytest.raises(li.InputError):
            getattr(li, cell.name + "Cell")(3, **cell.arguments).set_weights(wrong)


def test_refused_weights_do_not_settle_the_shapes():
    cell, weights = li.LSTMCell(4), reference.random_weights("lstm", 5, 4)
    with pytest.raises(li.InputError):
        cell.set_weights(reference.random_weights("lstm", 3, 7))
    cell.set_weights(weights)
    assert same_bits(cell.get_weights(), [w.astype(np.float32) for w in weights])


def test_gru_biases_of_the_other_kind_are_refused():
    for kind, other in (("gru", "gru_before"), ("gru_before", "gru")):
        with pytest.raises(li.InputError, match="bias"):
            make(kind, 5, 3)[0].set_weights(reference.random_weights(other, 5, 3))


def test_no_weights_yet():
    with pytest.raises(li.InputError, match="no weights"):
        li.LSTMCell(2)(np.zeros((1, 3)), [np.zeros((1, 2))] * 2)


# ---------------------------------------------------------------- wrong data
@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 5), (2, 5, 1), (), (1, 2, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_inputs(kind, shape):
    cell, _ = make(kind, 5, 2)
    with pytest.raises(li.InputError):
        cell(np.zeros(shape, np.float32), cell.get_initial_state(2))


@pytest.mark.parametrize("shape", [(1, 2), (3, 2), (2, 1), (2, 3), (2,), (2, 2, 1), ()])
@pytest.mark.parametrize(("kind", "which"), STATES)
def test_wrong_states(kind, which, shape):
    cell, _ = make(kind, 5, 2)
    states = cell.get_initial_state(2)
    states[which] = np.zeros(shape, np.float32)
    with pytest.raises(li.InputError, match="state"):
        cell(np.zeros((2, 5), np.float32), states)


@pytest.mark.parametrize("more", [-1, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_number_of_states(kind, more):
    number = reference.CELLS[kind].states + more
    with pytest.raises(li.InputError, match="state"):
        make(kind, 5, 2)[0](np.zeros((2, 5)), [np.zeros((2, 2))] * number)


def test_unknown_arguments():
    with pytest.raises(li.InputError, match="nonsense"):
        li.LSTMCell(2, activation="nonsense")
    with pytest.raises(TypeError, match="nonsense"):
        li.LSTMCell(2, nonsense=1)
    li.LSTMCell(2, dropout=0.5, kernel_initializer="zeros", recurrent_dropout=0.1, unit_forget_bias=False)


@pytest.mark.parametrize("kind", KINDS)
def test_config_makes_the_same_cell(kind):
    cell, weights = make(kind, 5, 3, activation="relu", dtype="float64")
    twin = type(cell)(**cell.get_config())
    twin.set_weights(weights)
    x_t, states = random_step(kind, 2, 5, 3, "float64")
    assert same_bits(twin(x_t, states)[1], cell(x_t, states)[1])


# ---------------------------------------------------------------- stacks
def stack(features=5, dtype="float32"):
    """Return a stack of all kinds, and its oracle on nested states."""
    sizes = zip(KINDS, (features, 4, 3, 6), (4, 3, 6, 2), strict=True)
    made = [make(kind, n, units, dtype=dtype) for kind, n, units in sizes]
    steps = [reference.step(kind, weights) for kind, (_, weights) in zip(KINDS, made, strict=True)]

    def oracle(x, states):
        new = []
        for step, state in zip(steps, states, strict=True):
            x, state = step(x, state)
            new.append(state)
        return x, new

    return li.StackedRNNCells([cell for cell, _ in made], dtype=dtype), oracle


@pytest.mark.parametrize("dtype", DTYPES)
def test_stacked_cells(dtype):
    cells, oracle = stack(dtype=dtype)
    assert cells.state_size == [[4, 4], [3], [6], [2]]
    assert cells.output_size == 2
    rng = np.random.default_rng(3)
    x_t = rng.normal(size=(3, 5)).astype(dtype)
    states = [[rng.normal(size=(3, n)).astype(dtype) for n in sizes] for sizes in cells.state_size]
    before = [state.copy() for state in sum(states, [])]
    output, new = cells(x_t, states)
    expected, expected_new = oracle(x_t.astype(float), states)
    reference.assert_close(output, expected, dtype)
    assert [len(state) for state in new] == [2, 1, 1, 1]
    for a, b in zip(sum(new, []), sum(expected_new, []), strict=True):
        reference.assert_close(a, b, dtype)
    assert same_bits(sum(states, []), before)


def test_stacked_cells_take_their_weights_in_order():
    cells, _ = stack()
    weights = cells.get_weights()
    assert [w.shape for w in weights[:3]] == [(5, 16), (4, 16), (16,)]
    twin = li.StackedRNNCells([li.LSTMCell(4), li.GRUCell(3), li.GRUCell(6, reset_after=False), li.SimpleRNNCell(2)])
    twin.set_weights(weights)
    states = [[np.zeros((2, n)) for n in sizes] for sizes in cells.state_size]
    x_t = np.ones((2, 5))
    assert twin(x_t, states)[0].tobytes() == cells(x_t, states)[0].tobytes()


# ---------------------------------------------------------------- cells of users
class PlainCell:
    """A plain object: Keras asks for no more."""

    state_size = 2

    def call(self, x_t, states):
        h = np.tanh(x_t[:, :2] + states[0] / 2)
        return 2 * h, [h]


class LayerCell(li.Layer):
    """A layer with a weight of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = units

    def weight_shapes(self, input_shape):
        return {"kernel": (input_shape[-1], self.state_size)}

    def call(self, inputs, states):
        h = np.tanh(inputs @ self.weights["kernel"] + states[0] / 2)
        return h, [h]


def plain_oracle(x_t, states):
    h = np.tanh(x_t[:, :2] + states[0] / 2)
    return 2 * h, [h]


def layer_oracle(kernel):
    def step(x_t, states):
        h = np.tanh(x_t @ kernel + states[0] / 2)
        return h, [h]

    return step


@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_object_as_cell(dtype):
    x = np.random.default_rng(4).normal(size=(3, 4, 5)).astype(dtype)
    layer = li.RNN(PlainCell(), return_sequences=True, return_state=True, dtype=dtype)
    y, state = layer(x)
    expected, (expected_state,) = reference.rnn(plain_oracle, x, [np.zeros((3, 2))])
    reference.assert_close(y, expected, dtype)
    reference.assert_close(state, expected_state, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_as_cell(dtype):
    x = np.random.default_rng(4).normal(size=(3, 4, 5)).astype(dtype)
    kernel = np.random.default_rng(5).normal(size=(5, 2)).astype(np.float32)
    layer = li.RNN(LayerCell(2, dtype=dtype), return_sequences=True, dtype=dtype)
    layer.build((None, None, 5))
    layer.set_weights([kernel])
    expected, _ = reference.rnn(layer_oracle(kernel.astype(float)), x, [np.zeros((3, 2))])
    reference.assert_close(layer(x), expected, dtype)
    assert layer.compute_output_shape((None, 7, 5)) == (None, 7, 2)


def test_layer_as_cell_whose_weights_come_too_early():
    """It cannot know its inputs yet; the error says so and leaves the layer as it was."""
    layer, kernel = li.RNN(LayerCell(2)), np.ones((5, 2))
    with pytest.raises(li.InputError, match="before its weights can be set"):
        layer.set_weights([kernel])
    layer.build((None, None, 5))
    layer.set_weights([kernel])
    assert layer(np.zeros((1, 3, 5))).shape == (1, 2)


@pytest.mark.parametrize("user", [0, 1])
def test_cell_of_a_user_in_a_stack(user):
    kernel_cell, weights = make("lstm", 5 if user else 2, 2)
    cells = [kernel_cell, PlainCell()] if user else [PlainCell(), kernel_cell]
    oracles = [reference.step("lstm", weights), plain_oracle]
    oracles = oracles if user else oracles[::-1]
    sizes = [2, 1] if user else [1, 2]

    def oracle(x, states):
        first, second = states[: sizes[0]], states[sizes[0] :]
        x, first = oracles[0](x, first)
        x, second = oracles[1](x, second)
        return x, [*first, *second]

    x = np.random.default_rng(6).normal(size=(3, 4, 5))
    expected, _ = reference.rnn(oracle, x, [np.zeros((3, 2))] * 3)
    reference.assert_close(li.RNN(cells, return_sequences=True)(x), expected, "float32")


def test_weights_of_a_stack_with_a_cell_of_a_user():
    layer = li.RNN([li.LSTMCell(2), PlainCell()])
    layer.set_weights(reference.random_weights("lstm", 5, 2))
    assert layer(np.zeros((1, 3, 5))).shape == (1, 2)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("gate, expected", [(-60.0, 1e20), (-1e30, 1e20), (60.0, 3.0)])
def test_gru_with_a_shut_gate_and_a_large_candidate(reset_after, gate, expected):
    cell = li.GRUCell(1, activation="linear", reset_after=reset_after)
    kernel, bias = np.array([[gate, 0.0, 1e20 if gate < 0 else 1.0]]), np.zeros((2, 3) if reset_after else 3)
    cell.set_weights([kernel, np.zeros((1, 3)), bias])
    h, _ = cell(np.ones((1, 1), np.float32), [np.full((1, 1), 3.0, np.float32)])
    np.testing.assert_allclose(h, [[expected]], rtol=1e-6)
