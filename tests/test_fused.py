"""The fused kernels (float32): every cell, size, mask, thread count and way of the loop, against the oracle and bit
for bit against each other; strange numbers; and no byte touched that is not theirs."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from forced import share_everything

import lstm_infer as li
from lstm_infer import chains
from lstm_infer.kernels import activations, fused, vector
from lstm_infer.kernels.address import address_of
from lstm_infer.kernels.constant import Constant
from lstm_infer.kernels.tile import Cell
from lstm_infer.kernels.update import Update, reset, update
from lstm_infer.kernels.vector_math import ON_VECTORS
from lstm_infer.layers import sequences, sharing, wrappers

KINDS = list(reference.CELLS)
FUSED_KINDS = {"lstm": "lstm", "gru": "gru", "gru_before": "gru_reset_before", "simple_rnn": "simple"}
UNITS = [1, 3, 16, 17, 64, 65, 100, 130]
FEATURES = [1, 5, 37]
BATCHES = [*range(1, 10), 70, 130]
TIMESTEPS = [1, 2, 7, fused.STRETCH + 1, 2 * fused.STRETCH + 3]
NAMES = [name for name, code in activations.CODES.items() if code in ON_VECTORS]
HIDE_NAN = ["soft_shrink", "hard_shrink", "threshold", "thresholded_relu"]  # in Keras on TensorFlow; both will do
WORDS = [(kind, "activation") for kind in KINDS] + [(kind, "recurrent_activation") for kind in KINDS[:3]]


def make(kind, features, units, **arguments):
    """Return a layer that returns everything, and its weights."""
    cell = reference.CELLS[kind]
    arguments = {"return_sequences": True, "return_state": True, **arguments}
    layer = getattr(li, cell.name)(units, **cell.arguments, **arguments)
    weights = reference.random_weights(kind, features, units)
    layer.set_weights(weights)
    assert layer.cell.packed is not None, "not on the fused kernels"
    return layer, weights


def make_loop(kind, features, units, cell_arguments=None, **arguments):
    """Return ``RNN(cell)`` with the weights of `make`: the same computation, step by step."""
    cell = reference.CELLS[kind]
    ours = getattr(li, cell.name + "Cell")(units, **cell.arguments, **(cell_arguments or {}))
    layer = li.RNN(ours, return_sequences=True, return_state=True, **arguments)
    layer.set_weights(reference.random_weights(kind, features, units))
    return layer


def make_model(kind, features, units, **arguments):
    """Return a model of one such layer, which returns sequences only."""
    cell = reference.CELLS[kind]
    layer = getattr(li, cell.name)(units, return_sequences=True, **cell.arguments, **arguments)
    model = li.Sequential([li.Input((None, features)), layer])
    model.set_weights(reference.random_weights(kind, features, units))
    return model


def random_array(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_states(kind, batch, units, seed=2):
    return list(random_array(reference.CELLS[kind].states, batch, units, seed=seed))


def flat(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def bits(outputs):
    """Return arrays as what can be compared."""
    return [(array.dtype, array.shape, np.ascontiguousarray(array).tobytes()) for array in flat(outputs)]


def check(outputs, y, states, return_sequences=True):
    """Compare what a layer returns with what the oracle does."""
    first, *rest = outputs
    reference.assert_close(first, y if return_sequences else y[:, -1], np.float32)
    for ours, theirs in zip(rest, states, strict=True):
        reference.assert_close(ours, theirs, np.float32)


def masks(timesteps, seed=3):
    """One row each: nothing masked, right, left, a hole, several holes, everything, all but the first, all but the
    last, at random, nothing again."""
    t, rng = np.arange(timesteps), np.random.default_rng(seed)
    third = timesteps // 3
    hole, holes = (t < third) | (t >= 2 * third), t % 3 != 1
    some = rng.random(timesteps) < 0.5
    return np.array([t >= 0, t < third, t >= third, hole, holes, t < 0, t < 1, t > timesteps - 2, some, t >= 0])


# ---------------------------------------------------------------- against the oracle
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("kind", KINDS)
def test_sizes(kind, units):
    """Every batch size of every number of units; the rest is drawn, so that all values come up."""
    rng = np.random.default_rng([KINDS.index(kind), units])
    features, timesteps = (itertools.cycle(rng.permutation(sizes).tolist()) for sizes in (FEATURES, TIMESTEPS))
    for batch in BATCHES:
        n, t, (backwards, sequences_too, given) = next(features), next(timesteps), rng.integers(2, size=3).astype(bool)
        layer, weights = make(kind, n, units, go_backwards=backwards, return_sequences=sequences_too)
        x = random_array(batch, t, n)
        states = random_states(kind, batch, units) if given else reference.zeros(kind, batch, units)
        expected = reference.rnn(reference.step(kind, weights), x, states, go_backwards=backwards)
        check(layer(x, initial_state=states if given else None), *expected, sequences_too)


@pytest.mark.parametrize("units", [33, 1000])
def test_many_features_and_few_units(units):
    """Longer products than a tile's stretch of rows; for every kind in one go."""
    for kind in KINDS:
        layer, weights = make(kind, 300, units)
        x = random_array(3, 3, 300)
        check(layer(x), *reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, 3, units)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "word"), WORDS)
def test_activations(kind, word, name):
    step = reference.step(kind, reference.random_weights(kind, 5, 17), **{"f" if word == "activation" else "g": name})
    timesteps = 1 if name == "exponential" else 3  # with more it amplifies every rounding, and overflows
    x, states = random_array(5, timesteps, 5), random_states(kind, 5, 17)
    for backwards in (False, True):
        layer, _ = make(kind, 5, 17, go_backwards=backwards, **{word: name})
        expected = reference.rnn(step, x, states, go_backwards=backwards)
        check(layer(x, initial_state=states), *expected)


# ---------------------------------------------------------------- masks
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sequences_too", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("rule", ["previous", "state", "zero"])
@pytest.mark.parametrize("kind", KINDS)
def test_masks(kind, rule, backwards, sequences_too, given):
    """Against the oracle, and bit for bit against the cell step by step, all rows together and each alone."""
    timesteps = fused.STRETCH + 7
    arguments = {"go_backwards": backwards, "zero_output_for_mask": rule == "zero"}
    layer, weights = make(kind, 5, 17, return_sequences=sequences_too, **arguments)
    loop = make_loop(kind, 5, 17, **arguments)
    for one in (layer, loop):
        one.adopt(li.Semantics(masked_output="state" if rule == "state" else "previous", mask_with_initial_state=True))
    mask, step = masks(timesteps), reference.step(kind, weights)
    x, states = random_array(len(mask), timesteps, 5), random_states(kind, len(mask), 17) if given else None
    begin = states or reference.zeros(kind, len(mask), 17)
    ours = layer(x, mask=mask, initial_state=states)
    check(ours, *reference.rnn(step, x, begin, mask, backwards, rule), sequences_too)
    y, *final = loop(x, mask=mask, initial_state=states)
    assert bits(ours) == bits([y if sequences_too else y[:, -1], *final])
    for r in range(len(mask)):
        row = slice(r, r + 1)
        alone = layer(x[row], mask=mask[row], initial_state=[state[row] for state in states] if given else None)
        assert bits(alone) == bits([array[row] for array in ours])


@pytest.mark.parametrize("name", ["none", "right", "left", "hole", "holes", "everything", "first", "last", "some"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_mask_in_every_row(kind, name):
    number = ["none", "right", "left", "hole", "holes", "everything", "first", "last", "some"].index(name)
    layer, weights = make(kind, 5, 17)
    for batch, timesteps in ((1, 8), (3, 1), (4, 30)):
        mask = np.tile(masks(timesteps)[number], (batch, 1))
        x = random_array(batch, timesteps, 5)
        check(
            layer(x, mask=mask),
            *reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, batch, 17), mask),
        )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_ragged_rows_are_what_they_are_alone(kind, threads, monkeypatch):
    share_everything(monkeypatch)
    model = make_model(kind, 5, 17)
    timesteps = 2 * fused.STRETCH + 5
    x = random_array(70, timesteps, 5)
    lengths = np.random.default_rng(5).integers(0, timesteps + 1, 70)
    lengths[:4] = 0, 1, timesteps, fused.STRETCH
    together = model.predict(x, lengths=lengths, threads=threads)
    rows = [row[:length] for row, length in zip(x, lengths, strict=True)]
    assert bits(model.predict(rows, threads=threads)) == bits(together[:, : lengths.max()])
    mask = np.arange(timesteps) < lengths[:, None]
    assert bits(model.predict(x, mask=mask, threads=threads, batch_size=9)) == bits(together)
    for row, length, result in zip(rows, lengths, together, strict=True):
        if length:
            assert bits(model.predict(row[None], threads=1)[0]) == bits(result[:length])
            assert (result[length:] == result[length - 1]).all()
        else:
            assert not result.any()


@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_masked_is_never_read(backwards):
    """NaN and infinities at masked timesteps leave no trace."""
    for kind in KINDS:
        layer, _ = make(kind, 5, 17, go_backwards=backwards)
        mask = masks(30)
        x = random_array(len(mask), 30, 5)
        expected = layer(x, mask=mask)
        x[~mask] = np.random.default_rng(6).choice(np.float32([np.nan, np.inf, -np.inf]), x[~mask].shape)
        assert bits(layer(x, mask=mask)) == bits(expected)


# ---------------------------------------------------------------- the same bits, whatever the way
SIZES = [(1, 1), (3, 37), (17, 5), (65, 5), (130, 37)]
LONG = fused.STRETCH + 4


def step_by_step(kind, features, units, x, backwards=False):
    """Return outputs and states of a row-by-row loop of single steps: what all other ways are compared with."""
    return [
        np.concatenate(arrays)
        for arrays in zip(
            *(make_loop(kind, features, units, go_backwards=backwards)(x[r : r + 1]) for r in range(len(x))),
            strict=True,
        )
    ]


@pytest.mark.parametrize(("units", "features"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_chunks(kind, units, features):
    x = random_array(130, 3, features)
    expected = step_by_step(kind, features, units, x)
    layer, _ = make(kind, features, units)
    for rows in (slice(n) for n in BATCHES):
        assert bits(layer(x[rows])) == bits([array[rows] for array in expected])
    model = make_model(kind, features, units)
    for batch_size in (None, 1, 2, 7, 64, 65, 1000):
        assert bits(model.predict(x, batch_size=batch_size)) == bits(expected[0])


@pytest.mark.parametrize(("units", "features"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_pieces(kind, units, features):
    model, (layer, _) = make_model(kind, features, units), make(kind, features, units)
    for batch in (1, 2, 9):
        x = random_array(batch, LONG, features)
        whole = model.predict(x)
        assert bits(whole) == bits(step_by_step(kind, features, units, x)[0])
        assert bits(layer(x)[0]) == bits(whole)
        state, steps, session, streamed = model.initial_state(batch), [], model.session(), []
        for t in range(LONG):
            y, state = model.step(x[:, t], state)
            steps.append(y)
            streamed.append(session.step(x[:, t]))
        assert bits(np.stack(steps, axis=1)) == bits(whole)
        assert bits(np.stack(streamed, axis=1)) == bits(whole)
        session, pieces = model.session(), np.split(x, [1, 3, 4, fused.STRETCH], axis=1)
        assert bits(np.concatenate([session.predict(piece) for piece in pieces], axis=1)) == bits(whole)


@pytest.mark.parametrize(("units", "features"), SIZES)
def test_implementations_of_lstm(units, features):
    x = random_array(9, LONG, features)
    expected = step_by_step("lstm", features, units, x)
    assert bits(make("lstm", features, units, implementation=1)[0](x)) == bits(expected)
    for implementation in (1, 2):
        loop = make_loop("lstm", features, units, {"implementation": implementation})
        assert bits(loop(x)) == bits(expected)


@pytest.mark.parametrize("few", [0, 1, 8, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_ways_of_the_loop(kind, few, monkeypatch):
    """The input product ahead for a stretch of timesteps, or with the recurrent one; or first one, then the other."""
    monkeypatch.setattr(sequences, "few_of", lambda packed, timesteps: few)
    for (units, features), backwards in itertools.product(SIZES, (False, True)):
        x = random_array(10, LONG, features)
        expected = step_by_step(kind, features, units, x, backwards)
        layer, _ = make(kind, features, units, go_backwards=backwards)
        for rows in (1, 2, 7, 10):
            assert bits(layer(x[:rows])) == bits([array[:rows] for array in expected])
        loop = make_loop(kind, features, units, go_backwards=backwards)
        assert bits(layer(x, mask=masks(LONG))) == bits(loop(x, mask=masks(LONG)))


@pytest.mark.parametrize("rows_each", [1, 1000], ids=["rows", "units"])
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_threads(kind, threads, rows_each, monkeypatch):
    """Threads share the rows, or the units of every row; also where there are fewer units than threads."""
    share_everything(monkeypatch)
    monkeypatch.setattr(sequences, "ROWS_EACH", rows_each)
    context = li.layers.base.Context(threads=threads)
    for units, features in SIZES:
        for batch in (1, 2, 10, 130 if rows_each == 1 else 70):
            timesteps = LONG if batch <= 10 else 3
            x = random_array(batch, timesteps, features)
            layer, _ = make(kind, features, units)
            expected = layer(x)
            assert bits(layer.run(x, None, context)[0]) == bits(expected)
            assert bits(make_model(kind, features, units).predict(x, threads=threads)) == bits(expected[0])
            if batch == 10:
                mask = masks(timesteps)
                assert bits(layer.run(x, mask, context)[0]) == bits(layer(x, mask=mask))
                small = make_model(kind, features, units).predict(x, threads=threads, batch_size=3)
                assert bits(small) == bits(expected[0])


def test_more_rows_than_go_at_once_in_threads_that_share_units(monkeypatch):
    share_everything(monkeypatch)
    monkeypatch.setattr(sequences, "ROWS_EACH", 1000)
    for kind in KINDS:
        layer, _ = make(kind, 5, 65, go_backwards=True)
        x, mask = random_array(150, 6, 5), np.random.default_rng(8).random((150, 6)) < 0.6
        expected = layer(x, mask=mask)
        assert bits(layer.run(x, mask, li.layers.base.Context(threads=3))[0]) == bits(expected)


def test_more_rows_than_go_at_once_where_there_are_many_cores(monkeypatch):
    """So many that the rows are too few to be shared out: threads then share the units of all of them."""
    share_everything(monkeypatch)
    calls, run = [], sharing.Shared.run
    monkeypatch.setattr(sharing.Shared, "run", lambda *args: (calls.append(len(args[1])), run(*args)))
    for kind in KINDS:
        layer, _ = make(kind, 5, 65)
        model, x = make_model(kind, 5, 65), random_array(150, 6, 5)
        expected = layer(x)[0]
        for _ in range(3):
            assert bits(model.predict(x, threads=64)) == bits(expected)
    assert calls.count(150) >= len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional_in_threads(kind, monkeypatch):
    inner, weights = make(kind, 5, 17)
    layer = li.Bidirectional(inner)
    layer.set_weights(weights + reference.random_weights(kind, 5, 17, seed=9))
    x, mask = random_array(10, LONG, 5), masks(LONG)
    expected = [layer(x), layer(x, mask=mask)]
    share_everything(monkeypatch)
    monkeypatch.setattr(wrappers, "SHARED_WORK", 0)
    for threads in (2, 3, 4, 5):
        context = li.layers.base.Context(threads=threads)
        assert [bits(layer.run(x, None, context)[0]), bits(layer.run(x, mask, context)[0])] == [*map(bits, expected)]


@pytest.mark.parametrize("name", ["linear", "tanh", "softplus"])
@pytest.mark.parametrize("units", [1, 7, 16, 17, 33, 65, 100, 130])
def test_dense(units, name):
    """Rows alone, together, in panels, and as a chain's link; against float64."""
    layer = li.Dense(units, activation=name)
    kernel, bias = random_array(37, units) / 6, random_array(units, seed=4)
    layer.set_weights([kernel, bias])
    x = random_array(200, 37, seed=5)
    together = layer(x)
    reference.assert_close(together, reference.activation(name)(x.astype(float) @ kernel + bias), np.float32)
    for rows in (*range(1, 10), 47, 48, 49, 97):
        assert bits(layer(x[-rows:])) == bits(together[-rows:])
    assert bits(layer(x.reshape(4, 50, 37))) == bits(together.reshape(4, 50, units))


# ---------------------------------------------------------------- strange numbers
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_strange_numbers_stay_in_their_row(kind, strange, monkeypatch):
    """From their timestep on; and however the loop goes."""
    layer, weights = make(kind, 5, 17)
    x = random_array(9, LONG, 5)
    clean = layer(x)
    x[4, 10, 2] = strange
    with np.errstate(invalid="ignore", over="ignore"):
        y, states = reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, 9, 17))
    for few, threads in itertools.product((0, 64), (1, 2)):
        monkeypatch.setattr(sequences, "few_of", lambda packed, timesteps, few=few: few)
        monkeypatch.setattr(sequences, "SHARED_WORK", 0)
        ours = layer.run(x, None, li.layers.base.Context(threads=threads))[0]
        others = np.arange(9) != 4
        assert bits([array[others] for array in ours]) == bits([array[others] for array in clean])
        assert bits(ours[0][4, :10]) == bits(clean[0][4, :10])
        check(ours, y, states)
        assert np.isnan(ours[0][4, 10:]).all() if np.isnan(strange) else np.isfinite(ours[0][4]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_strange_states_stay_in_their_row(kind):
    layer, weights = make(kind, 5, 17)
    x = random_array(9, 4, 5)
    for which, strange in itertools.product(range(reference.CELLS[kind].states), (np.nan, np.inf, -np.inf)):
        states = random_states(kind, 9, 17)
        clean = layer(x, initial_state=states)
        states[which][4, 3] = strange
        with np.errstate(invalid="ignore", over="ignore"):
            expected = reference.rnn(reference.step(kind, weights), x, states)
        ours = layer(x, initial_state=states)
        for array, theirs in zip(ours, [expected[0], *expected[1]], strict=True):
            # a gate that is shut leaves an infinity infinite or makes it NaN: 0 * inf, or almost 0 * inf
            counts = ~np.isnan(theirs) if np.isinf(strange) else np.full(theirs.shape, True)
            reference.assert_close(array[counts], theirs[counts], np.float32)
        others = np.arange(9) != 4
        assert bits([array[others] for array in ours]) == bits([array[others] for array in clean])


def every_magnitude():
    """Float32 numbers of both signs, subnormal to infinite, evenly over their bit patterns, and a fine grid near 0."""
    positive = np.arange(0, 0x7F800001, 2999, dtype=np.uint32).view(np.float32)
    grid = np.linspace(-30, 30, 400_001, dtype=np.float32)
    return np.concatenate([positive, -positive, grid, np.float32([np.inf, -np.inf, 0.0, -0.0])])


class OneUpdate:
    """What the compiled update of a cell makes of sums and states that are given number by number."""

    def __init__(self, kind, n, *names):
        self.cell = Constant(Cell(FUSED_KINDS[kind], 1, *(activations.activation(name) for name in names)))
        self.n, self.size, slots = n, vector.padded(n), self.cell.value.slots
        self.z = vector.aligned(slots, self.size)
        self.h, self.c, self.new = (vector.aligned(self.size) for _ in range(3))
        for array in (self.z, self.h, self.c, self.new):
            array[:] = 0
        self.writes = np.full(1, -1, np.int64)

    def run(self, function=update):
        given = Update(
            0, self.size // vector.LANES, 0, 1, address_of(self.z), self.size, 1, address_of(self.c),
            address_of(self.h), address_of(self.new), self.size, 0, address_of(self.writes), self.size,
        )  # fmt: skip
        function(self.cell, *given)
        return self.new[: self.n], self.c[: self.n]


def exposed(kind, gate, x):
    """Return what a cell makes of the values `x` of one of its gates, and what the gate is, where everything else is
    chosen such that nothing but the gate is seen."""
    names = ("linear" if gate == "reset" else "tanh", "sigmoid")
    cell = OneUpdate(kind, x.size, *(names[:1] if kind == "simple_rnn" else names))
    z, n, much = cell.z, x.size, 200
    if kind == "lstm":
        i, f, candidate, o = z
        if gate == "input":
            i[:n], candidate[:] = x, much
            return cell.run()[1], "sigmoid"
        if gate == "forget":
            f[:n], cell.c[:] = x, 1
            return cell.run()[1], "sigmoid"
        if gate == "output":
            o[:n], cell.c[:], f[:] = x, much, much
            return cell.run()[0], "sigmoid"
        if gate == "candidate":
            i[:], candidate[:n] = much, x
            return cell.run()[1], "tanh"
        f[:], o[:], cell.c[:n] = much, much, x  # the carry
        return cell.run()[0], "tanh"
    if kind == "simple_rnn":
        z[0, :n] = x
        return cell.run()[0], "tanh"
    before = kind == "gru_before"
    if gate == "update":
        z[1, :n], cell.h[:] = x, 1
        return cell.run()[0], "sigmoid"
    if gate == "candidate":
        z[0, :n], z[1] = x, -much
        return cell.run()[0], "tanh"
    z[2, :n], z[1] = x, -much  # the reset gate, times h or the recurrent sum
    if before:
        cell.h[:] = 1
        return cell.run(reset)[0], "sigmoid"
    z[3] = 1
    return cell.run()[0], "sigmoid"


GATES = [
    *itertools.product(["lstm"], ["input", "forget", "output", "candidate", "carry"]),
    *itertools.product(["gru", "gru_before"], ["update", "reset", "candidate"]),
    ("simple_rnn", "candidate"),
]


@pytest.mark.parametrize(("kind", "gate"), GATES)
def test_gates_of_every_magnitude(kind, gate):
    """Updates take sigmoid and tanh apart to save divisions; what remains is as accurate."""
    x = every_magnitude()
    found, name = exposed(kind, gate, x)
    exact = reference.activation(name)(x)
    error = np.abs(found - exact)
    if name == "sigmoid":
        assert error.max() <= 2e-7
        assert found.min() >= 0 and found.max() <= 1
    else:
        ulp = np.spacing(np.maximum(np.abs(exact), np.finfo(np.float32).tiny).astype(np.float32))
        assert (error / ulp).max() <= 5
        assert np.abs(found).max() == 1


@pytest.mark.parametrize(("kind", "gate"), GATES)
def test_any_nan_in_a_gate_stays_nan(kind, gate):
    """Quiet or signalling, of both signs, and with any payload: exponents are made of bits, which NaN also has."""
    payloads = np.concatenate([2 ** np.arange(23), 2 ** np.arange(1, 24) - 1, np.arange(1, 2**23, 8191)])
    x = np.concatenate([0x7F800000 + payloads, 0xFF800000 + payloads]).astype(np.uint32).view(np.float32)
    assert np.isnan(x).all()
    found, _ = exposed(kind, gate, x)
    assert np.isnan(found).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HIDE_NAN])
@pytest.mark.parametrize(("kind", "word"), WORDS)
def test_nan_passes_through_every_activation(kind, word, name):
    """Also through clamps and comparisons, in whichever place the activation stands."""
    layer, weights = make(kind, 5, 17, **{word: name})
    x = random_array(3, 2, 5)
    x[1, 0] = np.nan
    with np.errstate(all="ignore"):
        step = reference.step(kind, weights, **{"f" if word == "activation" else "g": name})
        y, _ = reference.rnn(step, x, reference.zeros(kind, 3, 17))
    ours = layer(x)[0]
    assert (np.isnan(ours) == np.isnan(y)).all()


# ---------------------------------------------------------------- what must not be written
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_given_is_changed(kind, threads, monkeypatch):
    share_everything(monkeypatch)
    layer, _ = make(kind, 5, 17, implementation=1)
    packed = layer.cell.packed
    mask = masks(LONG)
    given = [random_array(10, LONG, 5), mask, *random_states(kind, 10, 17), packed.weights, *layer.get_weights()]
    given += [layer.cell.packed_gates] if kind == "lstm" else []
    before = bits(given)
    for array in given:
        array.setflags(write=False)
    states = given[2 : 2 + reference.CELLS[kind].states]
    for mask_too in (None, mask):
        context = li.layers.base.Context(threads=threads)
        layer.run(given[0], None, context, mask=mask_too, initial_state=states)
    layer.cell(given[0][:, 0], states)
    make_loop(kind, 5, 17).cell(given[0][:, 0], states)
    assert bits(given) == before
    assert not packed.weights.flags.writeable


def test_a_cell_does_not_remember_every_batch_size():
    cell, x_t = make_loop("lstm", 5, 17).cell, random_array(300, 5)
    states = random_states("lstm", 300, 17)
    expected = bits(cell(x_t, states)[1])
    for rows in (*range(1, 301), 300):
        new = cell(x_t[:rows], [state[:rows] for state in states])[1]
        assert len(cell._steppers) <= 64
    assert bits(new) == expected


def test_results_stay_as_they_are():
    """Large results take the memory of earlier ones, but never of one that somebody still looks at."""
    model, x = make_model("gru", 5, 130), random_array(40, 200, 5)
    first = model.predict(x)
    kept, part = first.copy(), first[3, 7, 2:4]
    others = [model.predict(x + n) for n in range(3)]
    assert bits(first) == bits(kept)
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([first, *others], 2))
    del first, others
    for n in range(5):
        model.predict(x + n)
    assert bits(part) == bits(kept[3, 7, 2:4])


@pytest.mark.skipif(sys.platform != "linux", reason="guards memory with Linux's mprotect")
def test_no_byte_beside_an_array_is_touched():
    """In a process of its own, which such a byte ends (`guarded`)."""
    here = Path(__file__).resolve().parent
    environment = {**os.environ, "PYTHONPATH": str(here.parent)}
    program = [sys.executable, str(here / "guarded.py")]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=300)
    cases = done.stdout.splitlines()
    assert done.returncode == 0 and cases[-1:] == ["done"], f"{cases[-1:]} {done.stderr}"


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_keeps_its_state_where_the_update_gate_is_shut(gate, reset_after):
    """The old h, and not one rounded to a multiple of the candidate's last place at every timestep."""
    units, rng = 5, np.random.default_rng(0)
    layer = li.GRU(units, activation="linear", recurrent_activation=gate, reset_after=reset_after)
    kernel = np.zeros((3, 3 * units))
    kernel[:, 2 * units :] = 1000  # candidates far larger than h
    bias = np.zeros((2, 3 * units) if reset_after else 3 * units)
    bias[..., :units] = 30
    layer.set_weights([kernel, np.zeros((units, 3 * units)), bias])
    h = rng.normal(size=(4, units)).astype(np.float32)
    y = layer(rng.normal(size=(4, 500, 3)), initial_state=h)
    np.testing.assert_allclose(y, h, rtol=1e-6 if gate == "sigmoid" else 0)


# ---------------------------------------------------------------- lines of layers
LINES = {
    "gru_lstm": lambda: [li.GRU(17, return_sequences=True), li.LSTM(5)],
    "dense_between": lambda: [
        li.LSTM(5, return_sequences=True), li.Dense(9, "relu"), li.Dense(33), li.Dropout(0.5),
        li.SimpleRNN(3, return_sequences=True), li.GRU(20, reset_after=False), li.Dense(2), li.Dense(7, "tanh"),
    ],
    "three_lstms": lambda: [*(li.LSTM(units, return_sequences=True) for units in (33, 16)), li.LSTM(1), li.Dense(70)],
}  # fmt: skip


def line_of(name):
    model = li.Sequential([li.Input((None, 4)), *LINES[name]()])
    shapes = [shape for _, layer in model.walk() for shape in layer.expected_shapes.values()]
    model.set_weights([random_array(*shape, seed=n) / 2 for n, shape in enumerate(shapes)])
    return model


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_layers_steps_as_it_predicts(name, rows):
    """Bit for bit; the state it is given stays as it is, and steps of others in between change nothing."""
    model = line_of(name)
    x, state, session = random_array(rows, 6, 4), model.initial_state(rows), model.session()
    for t in range(6):
        before = {key: [array.copy() for array in arrays] for key, arrays in state.items()}
        y, after = model.step(x[:, t], state)
        other = model.step(-x[:, t], state)[0]
        assert bits(model.step(x[:, t], state)[0]) == bits(y) == bits(session.step(x[:, t])) != bits(other)
        assert all(bits(old) == bits(new) for key in state for old, new in zip(before[key], state[key], strict=True))
        state = after
    assert bits(y) == bits(model.predict(x))


@pytest.mark.parametrize("at_once", [1, sequences.WORK_AT_ONCE])
@pytest.mark.parametrize("rows", [64, 65, 200, 256, 257])
def test_a_line_of_layers_takes_many_rows(rows, at_once, monkeypatch):
    """Bit for bit what they are in small batches, whether Python is looked at after every group of rows or not."""
    monkeypatch.setattr(sequences, "WORK_AT_ONCE", at_once)
    model, x = line_of("gru_lstm"), random_array(rows, 3, 4)
    expected = np.concatenate([model.predict(x[first : first + 9], threads=1) for first in range(0, rows, 9)])
    for batch_size in (None, 256, 1000):
        assert bits(model.predict(x, batch_size, threads=1)) == bits(expected)


@pytest.mark.parametrize("short", [0, chains.SHORT_WORK])
@pytest.mark.parametrize("threads", [2, 3])
def test_a_line_of_layers_in_threads(threads, short, monkeypatch):
    """Bit for bit, whether threads share the units of all rows or each has rows of its own."""
    monkeypatch.setattr(chains, "SHORT_WORK", short)
    monkeypatch.setattr(sequences, "QUICK_WORK", 1)
    monkeypatch.setattr(sequences, "SHARED_WORK", 1)
    monkeypatch.setattr(sequences, "STEP_WORK", 1)
    model, x = line_of("three_lstms"), random_array(65, 5, 4)
    for rows in (15, 16, 33, 64, 65):
        assert bits(model.predict(x[:rows], threads=threads)) == bits(model.predict(x[:rows], threads=1))


@pytest.mark.parametrize("name", LINES)
def test_a_line_of_layers_takes_only_what_fits(name):
    """Everything else goes the general way, with the same answer or a refusal."""
    model = line_of(name)
    x_t, state = random_array(3, 4), model.initial_state(3)
    y, after = model.step(x_t, state)
    for other in (x_t.astype(float), np.asfortranarray(x_t), x_t.tolist(), x_t.view(type("Array", (np.ndarray,), {}))):
        assert bits(model.step(other, state)[0]) == bits(y)
    for wrong in (x_t[:, :3], x_t[:2], x_t[0], None):
        with pytest.raises(li.InputError):
            model.step(wrong, state)
    last = list(state)[-1]
    for arrays in ([array.astype(float) for array in after[last]], [np.asfortranarray(a) for a in after[last]]):
        assert bits(model.step(x_t, {**after, last: arrays})[0]) == bits(model.step(x_t, after)[0])
    for wrong in ([], after[last][:1] * 3, [array[:2] for array in after[last]], [None] * len(after[last])):
        with pytest.raises(li.InputError):
            model.step(x_t, {**after, last: wrong})
    with pytest.raises(li.InputError):
        model.step(x_t, {**after, "other": after[last]})


# ---------------------------------------------------------------- classes of the user's
class TwiceDense(li.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class TwiceLSTM(li.LSTM):
    def run(self, *args, **kwargs):
        outputs, mask = super().run(*args, **kwargs)
        return 2 * outputs, mask


class TwiceCell(li.LSTMCell):
    def step(self, x_t, h, c):
        super().step(x_t, h, c)
        h *= 2


@pytest.mark.parametrize("rows", [2, 80])
@pytest.mark.parametrize("end", [TwiceDense(3), TwiceLSTM(3), li.RNN(TwiceCell(3))], ids=lambda layer: layer.name)
def test_methods_that_are_overridden_are_called(end, rows):
    """Whatever short way a model would go otherwise."""
    plain = {"TwiceDense": li.Dense, "TwiceLSTM": li.LSTM}.get(type(end).__name__, lambda n: li.RNN(li.LSTMCell(n)))(3)
    models = [li.Sequential([li.Input((1, 5)), li.LSTM(4, return_sequences=True), last]) for last in (end, plain)]
    weights = [random_array(*shape) for _, layer in models[0].walk() for shape in layer.expected_shapes.values()]
    x, answers = random_array(rows, 1, 5), []
    for model in models:
        model.set_weights(weights)
        answers.append([model.predict(x).reshape(rows, 3), model(x).reshape(rows, 3)])
        answers[-1].append(model.step(x[:, 0], model.initial_state(rows))[0])
    assert bits(answers[0]) == bits([2 * y for y in answers[1]])


def test_an_rnn_around_a_cell_is_the_layer_of_that_name():
    layers = li.RNN(li.LSTMCell(7)), li.LSTM(7)
    models = [li.Sequential([li.Input((None, 5)), layer, li.Dense(2)]) for layer in layers]
    for model in models:
        model.set_weights([random_array(*s) for _, layer in models[1].walk() for s in layer.expected_shapes.values()])
    x = random_array(3, 6, 5)
    assert bits(models[0].predict(x)) == bits(models[1].predict(x))
