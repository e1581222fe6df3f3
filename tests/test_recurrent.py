"""Recurrent layers against the oracle, and against themselves bit for bit: rows, steps, sessions, lengths, loops."""

import itertools

import numpy as np
import pytest
import reference

import lstm_infer as li

DTYPES = ["float32", "float64"]
KINDS = list(reference.CELLS)
ACTIVATION_WORDS = [(kind, "activation") for kind in KINDS] + [(kind, "recurrent_activation") for kind in KINDS[:3]]
BATCH, TIMESTEPS, FEATURES, UNITS = 6, 7, 5, 3


def masks(timesteps=TIMESTEPS):
    """One row each: nothing masked, right, left, middle, everything, here and there."""
    t = np.arange(timesteps)
    middle = (t < 2) | (t > timesteps - 3)
    return np.array([t >= 0, t < timesteps - 2, t >= 2, middle, t < 0, t % 2 == 1])


MASKS = {
    "none": None,
    "mixed": masks(),
    "left": np.tile(masks()[2], (BATCH, 1)),
    "right": np.tile(masks()[1], (BATCH, 1)),
    "everything": np.zeros((BATCH, TIMESTEPS), bool),
}


def make(kind, features=FEATURES, units=UNITS, use_bias=True, seed=0, **arguments):
    """Return a layer of ours with made-up weights, and the weights."""
    cell = reference.CELLS[kind]
    layer = getattr(li, cell.name)(units, use_bias=use_bias, **cell.arguments, **arguments)
    weights = reference.random_weights(kind, features, units, seed, use_bias)
    layer.set_weights(weights)
    return layer, weights


def make_loop(kind, cell_arguments=None, **arguments):
    """Return ``RNN(cell)`` with the weights of `make`: the same computation, step by step."""
    cell = reference.CELLS[kind]
    ours = getattr(li, cell.name + "Cell")(
        UNITS, **cell.arguments, **(cell_arguments or {}), dtype=arguments.get("dtype")
    )
    layer = li.RNN(ours, **arguments)
    layer.set_weights(reference.random_weights(kind, FEATURES, UNITS))
    return layer


def random_sequence(batch=BATCH, timesteps=TIMESTEPS, features=FEATURES, dtype="float32", seed=1):
    x = np.random.default_rng(seed).normal(size=(batch, timesteps, features))
    return x.astype(np.float32).astype(dtype)


def random_states(kind, batch=BATCH, units=UNITS, dtype="float32", seed=2):
    states = np.random.default_rng(seed).normal(size=(reference.CELLS[kind].states, batch, units))
    return list(states.astype(np.float32).astype(dtype))


def flat(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def check(outputs, y, states, return_sequences=True, dtype="float32"):
    """Compare a layer's outputs with the oracle's."""
    first, *rest = flat(outputs)
    reference.assert_close(first, y if return_sequences else y[:, -1], dtype)
    for ours, theirs in zip(rest, states, strict=True) if rest else ():
        reference.assert_close(ours, theirs, dtype)


def same_bits(a, b):
    a, b = flat(a), flat(b)
    return len(a) == len(b) and all(
        m.shape == n.shape and m.dtype == n.dtype and m.tobytes() == n.tobytes() for m, n in zip(a, b, strict=True)
    )


# ---------------------------------------------------------------- against the oracle
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("units", "features"), [*itertools.product([1, 3, 17, 100], [1, 5, 37])])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind, units, features, dtype):
    layer, weights = make(kind, features, units, dtype=dtype, return_sequences=True, return_state=True)
    for batch, timesteps in [(1, 6), (2, 1), (3, 5), (9, 4)]:
        x = random_sequence(batch, timesteps, features, dtype)
        expected = reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, batch, units))
        check(layer(x), *expected, dtype=dtype)


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
@pytest.mark.parametrize(("kind", "word"), ACTIVATION_WORDS)
def test_activations(kind, word, name):
    for dtype in DTYPES:
        layer, weights = make(kind, dtype=dtype, return_sequences=True, return_state=True, **{word: name})
        step = reference.step(kind, weights, **{"f" if word == "activation" else "g": name})
        x = random_sequence(2, 2, dtype=dtype)  # more timesteps, and "exponential" amplifies every rounding
        check(layer(x), *reference.rnn(step, x, reference.zeros(kind, 2, UNITS)), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_functions_as_activations(kind, mask, dtype):
    gates = {} if kind == "simple_rnn" else {"recurrent_activation": lambda x: np.clip(x, 0, 1)}
    layer, weights = make(kind, dtype=dtype, return_sequences=True, return_state=True, activation=np.sin, **gates)
    step = reference.step(kind, weights, np.sin, lambda x: np.clip(x, 0, 1))
    x = random_sequence(dtype=dtype)
    expected = reference.rnn(step, x, reference.zeros(kind, BATCH, UNITS), MASKS[mask])
    check(layer(x, mask=MASKS[mask]), *expected, dtype=dtype)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("make_layer", [make, make_loop])
@pytest.mark.parametrize("kind", KINDS)
def test_masks_states_and_directions(kind, make_layer, mask, zero, given, sequences, backwards):
    layer = make_layer(
        kind, return_sequences=sequences, return_state=True, go_backwards=backwards, zero_output_for_mask=zero
    )
    layer = layer[0] if isinstance(layer, tuple) else layer
    x, states = random_sequence(), random_states(kind) if given else None
    step = reference.step(kind, reference.random_weights(kind, FEATURES, UNITS))
    y, final = reference.rnn(
        step, x, states or reference.zeros(kind, BATCH, UNITS), MASKS[mask], backwards, "zero" if zero else "previous"
    )
    check(layer(x, mask=MASKS[mask], initial_state=states), y, final, sequences)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("make_layer", [make, make_loop])
@pytest.mark.parametrize("kind", KINDS)
def test_old_keras_emits_the_state_at_masked_timesteps(kind, make_layer, unroll):
    """Keras 2.2.5 and earlier, unless unrolled."""
    layer = make_layer(kind, return_sequences=True, return_state=True, unroll=unroll)
    layer = layer[0] if isinstance(layer, tuple) else layer
    layer.adopt(li.Semantics(masked_output="state", mask_with_initial_state=True))
    x, states = random_sequence(), random_states(kind)
    step = reference.step(kind, reference.random_weights(kind, FEATURES, UNITS))
    expected = reference.rnn(step, x, states, masks(), masked="previous" if unroll else "state")
    check(layer(x, mask=masks(), initial_state=states), *expected)


@pytest.mark.parametrize("kind", KINDS)
def test_time_major(kind):
    layer, weights = make(kind, return_sequences=True, time_major=True)
    x = random_sequence()
    y, _ = reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, BATCH, UNITS), masks())
    ours = layer(np.swapaxes(x, 0, 1), mask=masks().T)
    reference.assert_close(ours, np.swapaxes(y, 0, 1), "float32")


@pytest.mark.parametrize("return_state", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_returned(kind, return_sequences, return_state):
    layer, _ = make(kind, return_sequences=return_sequences, return_state=return_state)
    outputs = layer(random_sequence())
    assert isinstance(outputs, list) == return_state
    expected = [(BATCH, TIMESTEPS, UNITS) if return_sequences else (BATCH, UNITS)]
    expected += [(BATCH, UNITS)] * reference.CELLS[kind].states if return_state else []
    assert [array.shape for array in flat(outputs)] == expected
    symbolic = layer.compute_output_shape((BATCH, TIMESTEPS, FEATURES))
    assert (symbolic if return_state else [symbolic]) == expected
    if return_state:
        last = outputs[0][:, -1] if return_sequences else outputs[0]
        assert same_bits(np.ascontiguousarray(last), outputs[1])
        assert not any(np.shares_memory(outputs[0], state) for state in outputs[1:])


@pytest.mark.parametrize("make_layer", [make, make_loop])
@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_not_changed(kind, make_layer):
    layer = make_layer(kind, return_sequences=True, return_state=True)
    layer = layer[0] if isinstance(layer, tuple) else layer
    given = [random_sequence(), masks(), *random_states(kind), *layer.get_weights()]
    before = [array.copy() for array in given]
    layer(given[0], mask=given[1], initial_state=given[2 : 2 + reference.CELLS[kind].states])
    assert same_bits(given, before)
    assert same_bits(layer.get_weights(), before[-3:])


def test_read_only_inputs():
    layer, _ = make("lstm")
    x = random_sequence()
    expected = layer(x)
    x.setflags(write=False)
    assert same_bits(layer(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_layout_of_the_data_does_not_matter(kind):
    layer, _ = make(kind)
    x = random_sequence()
    expected = layer(x)
    wide = np.zeros((BATCH, TIMESTEPS, 2 * FEATURES), np.float32)
    wide[..., ::2] = x
    reversed_twice = np.ascontiguousarray(x[:, ::-1])[:, ::-1]
    for strange in (np.asfortranarray(x), wide[..., ::2], reversed_twice, x.astype(">f4"), x.astype(np.float64)):
        assert same_bits(layer(strange), expected)


def test_stacked_cells():
    kinds, features = ["lstm", "gru", "simple_rnn"], [FEATURES, UNITS, UNITS]
    weights = [reference.random_weights(kind, n, UNITS) for kind, n in zip(kinds, features, strict=True)]
    layer = li.RNN(
        [li.LSTMCell(UNITS), li.GRUCell(UNITS), li.SimpleRNNCell(UNITS)], return_sequences=True, return_state=True
    )
    layer.set_weights(sum(weights, []))
    lstm, gru, simple = (reference.step(kind, w) for kind, w in zip(kinds, weights, strict=True))

    def step(x, states):
        x, first = lstm(x, states[:2])
        x, second = gru(x, states[2:3])
        x, third = simple(x, states[3:])
        return x, [*first, *second, *third]

    x, states = random_sequence(), random_states("lstm") + random_states("lstm", seed=5)
    for given in (None, states):
        begin = given or [np.zeros((BATCH, UNITS))] * 4
        outputs = layer(x, mask=masks(), initial_state=given)
        assert [array.shape for array in outputs] == [(BATCH, TIMESTEPS, UNITS)] + [(BATCH, UNITS)] * 4
        check(outputs, *reference.rnn(step, x, begin, masks()))


# ---------------------------------------------------------------- Bidirectional
MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": np.add,
    "mul": np.multiply,
    "ave": lambda a, b: (a + b) / 2,
    None: lambda a, b: (a, b),
}


@pytest.mark.parametrize("mask", ["none", "mixed"])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional(kind, merge, sequences, given, mask):
    inner, _ = make(kind, return_sequences=sequences, return_state=True)
    layer = li.Bidirectional(inner, merge_mode=merge)
    both = [reference.random_weights(kind, FEATURES, UNITS, seed) for seed in (0, 1)]
    layer.set_weights(both[0] + both[1])
    x, mask = random_sequence(), MASKS[mask]
    halves = [random_states(kind, seed=seed) if given else reference.zeros(kind, BATCH, UNITS) for seed in (2, 3)]
    outputs = layer(x, mask=mask, initial_state=halves[0] + halves[1] if given else None)

    masked = "zero" if sequences else "previous"
    (y, states), (back, back_states) = (
        reference.rnn(reference.step(kind, weights), x, begin, mask, go_backwards, masked)
        for weights, begin, go_backwards in zip(both, halves, (False, True), strict=True)
    )
    y, back = (y, back[:, ::-1]) if sequences else (y[:, -1], back[:, -1])
    merged = MERGES[merge](y, back)
    expected = [*(merged if merge is None else [merged]), *states, *back_states]
    for ours, theirs in zip(outputs, expected, strict=True):
        reference.assert_close(ours, theirs, "float32")


def test_bidirectional_of_old_keras_repeats_outputs():
    inner, weights = make("lstm", return_sequences=True)
    layer = li.Bidirectional(inner)
    layer.set_weights(weights * 2)
    layer.adopt(li.Semantics(bidirectional_zeroes_masked=False))
    x, step, begin = random_sequence(), reference.step("lstm", weights), reference.zeros("lstm", BATCH, UNITS)
    y, back = (reference.rnn(step, x, begin, masks(), backwards)[0] for backwards in (False, True))
    reference.assert_close(layer(x, mask=masks()), np.concatenate([y, back[:, ::-1]], axis=-1))


def test_bidirectional_around_a_layer_that_goes_backwards():
    """Legal before Keras 3: the backward layer then goes forwards, and its output is reversed all the same."""
    inner, weights = make("gru", return_sequences=True, go_backwards=True)
    layer = li.Bidirectional(inner)
    layer.set_weights(weights * 2)
    x, step = random_sequence(), reference.step("gru", weights)
    y, back = (reference.rnn(step, x, reference.zeros("gru", BATCH, UNITS), None, b)[0] for b in (True, False))
    reference.assert_close(layer(x), np.concatenate([y, back[:, ::-1]], axis=-1))


def test_bidirectional_with_a_backward_layer_of_its_own():
    forward, first = make("lstm")
    backward, second = make("simple_rnn", go_backwards=True)
    layer, x = li.Bidirectional(forward, backward_layer=backward), random_sequence()
    y, _ = reference.rnn(reference.step("lstm", first), x, reference.zeros("lstm", BATCH, UNITS))
    back, _ = reference.rnn(
        reference.step("simple_rnn", second), x, reference.zeros("simple_rnn", BATCH, UNITS), go_backwards=True
    )
    reference.assert_close(layer(x), np.concatenate([y[:, -1], back[:, -1]], axis=-1))


# ---------------------------------------------------------------- the same bits
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_fused_layer_equals_its_cell_in_a_loop(kind, mask, backwards, dtype):
    arguments = {"return_sequences": True, "return_state": True, "go_backwards": backwards, "dtype": dtype}
    x = random_sequence(dtype=dtype)
    fused = make(kind, **arguments)[0](x, mask=MASKS[mask])
    assert same_bits(fused, make_loop(kind, **arguments)(x, mask=MASKS[mask]))


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_implementations_give_the_same_bits(name):
    words = {"activation": name, "recurrent_activation": "hard_sigmoid"}
    x, arguments = random_sequence(), {"return_sequences": True, "return_state": True}
    layers = [make("lstm", implementation=n, **words, **arguments)[0] for n in (1, 2)]
    layers += [make_loop("lstm", {"implementation": n, **words}, **arguments) for n in (1, 2)]
    first, *others = [layer(x, mask=masks()) for layer in layers]
    assert all(same_bits(first, other) for other in others)


@pytest.mark.parametrize("activation", ["tanh", "softmax", np.sin])
@pytest.mark.parametrize(("units", "features"), [(1, 1), (3, 5), (17, 37), (100, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_depend_on_the_batch(kind, units, features, activation):
    layer, _ = make(kind, features, units, activation=activation, return_sequences=True, return_state=True)
    x = random_sequence(70, 4, features)
    mask = np.random.default_rng(3).random((70, 4)) < 0.8
    together = layer(x, mask=mask)
    for rows in [slice(n) for n in range(1, 10)] + [slice(33, 34), slice(61, 70)]:
        assert same_bits(layer(x[rows], mask=mask[rows]), [array[rows] for array in together])


@pytest.mark.parametrize("kind", KINDS)
def test_return_sequences_changes_no_bit(kind):
    x = random_sequence()
    for mask in MASKS.values():
        y = make(kind, return_sequences=True)[0](x, mask=mask)
        assert same_bits(make(kind)[0](x, mask=mask), np.ascontiguousarray(y[:, -1]))


# ---------------------------------------------------------------- models
def sequential(*layers, shape=(None, FEATURES), dtype=None):
    model = li.Sequential([li.Input(shape, dtype=dtype), *layers])
    rng = np.random.default_rng(7)
    model.set_weights([rng.normal(size=w) / 2 for layer in model.holders() for w in layer.expected_shapes.values()])
    return model


def layers_of(kind):
    cell = reference.CELLS[kind]
    return [getattr(li, cell.name)(units, return_sequences=True, **cell.arguments) for units in (4, 3)]


def loops_of(kind):
    """The same as loops over cells."""
    return [li.RNN(layer.cell, return_sequences=True) for layer in layers_of(kind)]


def stacks_of(kind):
    """The same as one loop over a stack of cells."""
    return [li.RNN([layer.cell for layer in layers_of(kind)], return_sequences=True)]


def stepwise(model, x):
    """Return what `Model.step` and a session give, timestep by timestep."""
    state, session, stepped, streamed = model.initial_state(len(x)), model.session(), [], []
    for t in range(x.shape[1]):
        y, state = model.step(x[:, t], state)
        stepped.append(y)
        streamed.append(session.step(x[:, t]))
    return np.stack(stepped, axis=1), np.stack(streamed, axis=1)


def piecewise(model, x, sizes=(1, 3, 2, 1)):
    """Return what a session gives for a sequence in pieces."""
    session, ends = model.session(), np.cumsum(sizes)
    return np.concatenate([session.predict(part) for part in np.split(x, ends[:-1], axis=1)], axis=1)


@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("build", [layers_of, loops_of, stacks_of])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_the_sequence(kind, build, batch):
    model = sequential(*build(kind), li.Dense(2, activation="softmax"))
    x = random_sequence(batch)
    whole = model.predict(x)
    for parts in (*stepwise(model, x), piecewise(model, x)):
        assert same_bits(np.ascontiguousarray(parts), whole)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("build", [layers_of, loops_of, stacks_of])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_the_sequence_with_masked_ids(kind, build, zero):
    layers = build(kind)
    for layer in layers:
        layer.zero_output_for_mask = zero
    model = sequential(li.Embedding(9, 4, mask_zero=True), *layers, li.Dense(2), shape=(None,), dtype="int32")
    ids = np.random.default_rng(8).integers(1, 9, (BATCH, TIMESTEPS)) * masks()
    whole = model.predict(ids)
    for parts in (*stepwise(model, ids), piecewise(model, ids)):
        assert same_bits(np.ascontiguousarray(parts), whole)


class DoublingCell:
    """A cell whose output is not its state."""

    state_size = 4

    def call(self, x_t, states):
        h = np.tanh(x_t + states[0])
        return 2 * h, [h]


def unrolled_stack_of_old_keras():
    layer = li.RNN([li.LSTMCell(3), li.GRUCell(4)], return_sequences=True, unroll=True)
    layer.adopt(li.Semantics(masked_output="state"))
    return layer


@pytest.mark.parametrize("build", [lambda: li.RNN(DoublingCell(), return_sequences=True), unrolled_stack_of_old_keras])
def test_masked_steps_repeat_an_output_that_is_no_state(build):
    """Where states do not tell the previous output: the sequence's numbers all the same, or a refusal, no others."""
    model = sequential(li.Embedding(9, 4, mask_zero=True), build(), shape=(None,), dtype="int32")
    ids = np.random.default_rng(8).integers(1, 9, (BATCH, TIMESTEPS)) * masks()
    whole = model.predict(ids)
    try:
        parts = [*stepwise(model, ids), piecewise(model, ids)]
    except li.InputError:
        return
    assert all(same_bits(np.ascontiguousarray(part), whole) for part in parts)


def test_steps_equal_the_sequence_with_functions_as_activations():
    model = sequential(li.LSTM(4, activation=np.sin, return_sequences=True), li.GRU(3, np.cos, return_sequences=True))
    x = random_sequence()
    whole = model.predict(x)
    for parts in (*stepwise(model, x), piecewise(model, x)):
        assert same_bits(np.ascontiguousarray(parts), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_prefixes(kind):
    """A model that returns the last output: after t steps it is that of the first t timesteps."""
    *_, last = layers_of(kind)
    last.return_sequences = False
    model, x = sequential(last, li.Dense(2)), random_sequence()
    state = model.initial_state(BATCH)
    for t in range(TIMESTEPS):
        y, state = model.step(x[:, t], state)
        assert same_bits(y, model.predict(x[:, : t + 1]))


def test_step_does_not_change_the_state_it_is_given():
    model, x = sequential(*layers_of("lstm")), random_sequence()
    begin = model.initial_state(BATCH)
    _, state = model.step(x[:, 0], begin)
    kept = {name: [array.copy() for array in arrays] for name, arrays in state.items()}
    first, _ = model.step(x[:, 1], state)
    second, _ = model.step(x[:, 1], state)
    assert same_bits(first, second)
    assert all(same_bits(state[name], kept[name]) for name in kept)
    assert not any(array.any() for arrays in begin.values() for array in arrays)


def test_session_state_can_be_put_back():
    model, x = sequential(*layers_of("lstm")), random_sequence()
    whole, session = model.predict(x), model.session()
    session.predict(x[:, :3])
    saved = session.state
    assert same_bits(session.predict(x[:, 3:]), np.ascontiguousarray(whole[:, 3:]))
    other = model.session()
    other.state = saved
    assert same_bits(other.predict(x[:, 3:]), np.ascontiguousarray(whole[:, 3:]))
    other.reset_states()
    assert same_bits(other.predict(x), whole)


def test_session_of_a_model_that_cannot_be_stepped():
    """Nothing is carried, so every call gives what `predict` gives: also where masked timesteps come first."""
    x, encoder_input = li.Input((None, FEATURES)), li.Input((None, FEATURES))
    mask = li.Input((None,), dtype="bool")
    _, h, c = li.LSTM(UNITS, return_state=True, go_backwards=True)(encoder_input)
    y = li.LSTM(UNITS, return_sequences=True)(x, mask=mask, initial_state=[h, c])
    model = li.Model([x, encoder_input, mask], y)
    model.set_weights(reference.random_weights("lstm", FEATURES, UNITS) * 2)
    data = [random_sequence(), random_sequence(seed=9), masks()]
    session, expected = model.session(), model.predict(data)
    for _ in range(2):
        assert same_bits(session.predict(data), expected)


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_masks_and_ragged_lists_are_the_same(kind, stateful):
    layers = layers_of(kind)
    for layer in layers:
        layer.stateful = stateful
    model, x = sequential(*layers), random_sequence()
    lengths = np.array([7, 1, 3, 0, 6, 3])
    mask = np.arange(TIMESTEPS) < lengths[:, None]
    ways = [{"lengths": lengths}, {"lengths": lengths.tolist()}, {"mask": mask}, {"mask": mask, "lengths": lengths}]
    results = []
    for given in ways:
        model.reset_states()
        results.append(model.predict(x, **given))
    model.reset_states()
    results.append(model.predict([row[:n] for row, n in zip(x, lengths, strict=True)]))
    assert all(same_bits(results[0], other) for other in results[1:])
    for row, length in enumerate(lengths):
        if length and not stateful:
            alone = model.predict(x[row : row + 1, :length])
            assert same_bits(np.ascontiguousarray(results[0][row, :length]), alone[0])


def test_what_lies_behind_the_lengths_does_not_matter():
    model, x = sequential(*layers_of("lstm"), li.Dense(2)), random_sequence()
    lengths = np.array([7, 1, 3, 2, 6, 3])
    expected = model.predict(x, lengths=lengths)
    x[np.arange(TIMESTEPS) >= lengths[:, None]] = np.nan
    assert same_bits(model.predict(x, lengths=lengths), expected)


def test_masking_layer_equals_a_mask():
    layer = li.LSTM(4, return_sequences=True)
    plain_model, x = sequential(layer), random_sequence()
    model = li.Sequential([li.Input((None, FEATURES)), li.Masking(mask_value=9.0), layer])
    expected = plain_model.predict(x, mask=masks())
    x[~masks()] = 9
    assert same_bits(model.predict(x), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_stateful_layer_continues(kind):
    cell, x = reference.CELLS[kind], random_sequence(3)
    layer = getattr(li, cell.name)(4, return_sequences=True, stateful=True, **cell.arguments)
    model = sequential(layer)
    parts = np.concatenate([model.predict(x[:, :2]), model.predict(x[:, 2:3]), model.predict(x[:, 3:])], axis=1)
    model.reset_states()
    assert same_bits(parts, model.predict(x))
    with pytest.raises(li.InputError, match="reset_states"):
        model.predict(x[:2])


# ---------------------------------------------------------------- wrong data
@pytest.mark.parametrize("make_layer", [make, make_loop])
@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4), (2, 3), (5,), (2, 3, 2, 5), (2, 3, 5, 1), (2, 0, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_inputs(kind, shape, make_layer):
    layer = make_layer(kind)
    layer = layer[0] if isinstance(layer, tuple) else layer
    with pytest.raises(li.InputError):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(2, 6), (1, 7), (7, 2), (14,), (2, 7, 5)])
def test_wrong_masks(shape):
    layer, _ = make("lstm")
    with pytest.raises(li.InputError, match="mask"):
        layer(random_sequence(2), mask=np.ones(shape, bool))


def test_mask_as_a_list():
    layer, _ = make("lstm", return_sequences=True)
    x = random_sequence()
    assert same_bits(layer(x, mask=masks().tolist()), layer(x, mask=masks()))


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3)] * 3, [(2, 3), (1, 3)], [(2, 3), (2, 4)], [(2, 3), (3,)]])
def test_wrong_initial_states(shapes):
    layer, _ = make("lstm")
    with pytest.raises(li.InputError, match="state"):
        layer(random_sequence(2), initial_state=[np.zeros(shape, np.float32) for shape in shapes])


def test_wrong_steps():
    model = sequential(li.LSTM(4))
    state = model.initial_state(2)
    for wrong in (np.zeros((2, 4)), np.zeros((2, 1, 5)), np.zeros(5), np.zeros((3, 5))):
        with pytest.raises(li.InputError):
            model.step(wrong, state)
    for wrong in ({}, {"nonsense": []}, None, [np.zeros((2, 4))] * 2):
        with pytest.raises(li.InputError, match="state"):
            model.step(np.zeros((2, 5)), wrong)
    (name,) = state
    for wrong in ([], [np.zeros((2, 4))], [np.zeros((2, 4)), np.zeros((2, 3))]):
        with pytest.raises(li.InputError, match="state"):
            model.step(np.zeros((2, 5)), {name: wrong})


def test_layers_that_cannot_be_stepped_are_named():
    for layer in (li.Bidirectional(li.LSTM(2), name="both"), li.LSTM(2, go_backwards=True, name="both")):
        with pytest.raises(li.InputError, match="both"):
            sequential(layer).initial_state()


def test_no_rows():
    for kind in KINDS:
        assert make(kind)[0](random_sequence(0)).shape == (0, UNITS)
    assert sequential(*layers_of("lstm")).predict(random_sequence(0)).shape == (0, TIMESTEPS, 3)
