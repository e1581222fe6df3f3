"""Streams: sessions saved, copied and resumed; pools of sessions, bit for bit as single ones."""

import os
import threading

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.errors import InputError, LoadError
from lstm_infer.streaming import CapacityError, statefile
from lstm_infer.streaming.rows import Rows

RANDOM = np.random.default_rng(7)


def filled(model, scale=0.3):
    shapes = [shape for layer in model.holders() for shape in layer.expected_shapes.values()]
    model.set_weights([RANDOM.normal(size=shape) * scale for shape in shapes])
    return model


def line(*layers, features=5):
    return filled(li.Sequential([li.Input((None, features)), *layers]))


def branches():
    x, weight = li.Input((None, 5), name="x"), li.Input((3,), name="w")
    a, b = li.LSTM(6, return_sequences=True, name="a")(x), li.GRU(6, return_sequences=True, name="b")(x)
    return filled(li.Model([x, weight], [li.Add()([a, b]), li.Dense(2)(weight)]))


MODELS = {
    "lstm": lambda: line(li.LSTM(33)),
    "two layers": lambda: line(li.LSTM(20, return_sequences=True), li.GRU(7), li.Dense(3)),
    "sequences": lambda: line(li.SimpleRNN(17, return_sequences=True), li.Dense(4, "softmax")),
    "reset before": lambda: line(li.Dense(6), li.GRU(18, reset_after=False), li.LayerNormalization()),
    "autoencoder": lambda: line(li.LSTM(7), li.RepeatVector(3), li.LSTM(5, return_sequences=True)),
    "float64": lambda: line(li.LSTM(9, dtype="float64")),
    "any cell": lambda: line(li.RNN([li.LSTMCell(4), li.GRUCell(3)])),
    "ids": lambda: filled(li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 4), li.LSTM(8)])),
    "masks": lambda: filled(
        li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 4, mask_zero=True), li.LSTM(8)])
    ),
}
FUSED = {name: name not in ("float64", "any cell", "masks") for name in MODELS}


def data(model, rows, timesteps):
    [tensor] = model.inputs
    if tensor.dtype.kind == "i":
        return RANDOM.integers(1, 11, (rows, timesteps)).astype(np.int32)
    return RANDOM.normal(size=(rows, timesteps, *tensor.shape[2:])).astype(tensor.dtype)


@pytest.fixture(params=MODELS, ids=str)
def model(request):
    return MODELS[request.param]()


@pytest.fixture
def plain():
    return MODELS["two layers"]()


# ---------------------------------------------------------------- one session
def test_a_saved_session_goes_on(model, tmp_path):
    x, session = data(model, 3, 6), model.session()
    session.predict(x[:, :3])
    session.save(tmp_path / "state.npz")
    again = model.session()
    again.load(tmp_path / "state.npz")
    other = session.copy()
    expected = session.predict(x[:, 3:])
    assert (again.predict(x[:, 3:]) == expected).all()
    assert (other.predict(x[:, 3:]) == expected).all()
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


def test_a_copy_is_independent(plain):
    x, session = data(plain, 1, 2), plain.session()
    session.step(x[:, 0])
    other = session.copy()
    other.step(x[:, 1])
    assert set(session.state) == set(other.state)
    assert not any((a == b).all() for n in session.state for a, b in zip(session.state[n], other.state[n], strict=True))


def test_a_new_session_is_saved_too(plain, tmp_path):
    plain.session().save(tmp_path / "state.npz")
    session = plain.session()
    session.load(tmp_path / "state.npz")
    assert session.state == {}


def test_the_state_of_another_model_is_refused(plain, tmp_path):
    session = plain.session()
    session.step(data(plain, 1, 1)[:, 0])
    session.save(tmp_path / "state.npz")
    with pytest.raises(InputError, match="does not have"):
        line(li.LSTM(3, name="other")).session().load(tmp_path / "state.npz")
    [first, second, _] = plain.layers
    smaller = line(li.LSTM(3, return_sequences=True, name=first.name), li.GRU(7, name=second.name), li.Dense(3))
    with pytest.raises(InputError, match="do not fit"):
        smaller.session().load(tmp_path / "state.npz")


def hostile_files():
    header = np.lib.format.magic(1, 0)
    yield "no zip", b"rubbish"
    yield "nothing", b""
    for name, kind, size in (("a lie about size", "<f4", 1 << 50), ("objects", "|O", 1)):
        text = repr({"descr": kind, "fortran_order": False, "shape": (size,)}).encode().ljust(117) + b"\n"
        yield name, header + b"\x76\x00" + text + b"12345678"


@pytest.mark.parametrize(("name", "content"), list(hostile_files()), ids=[name for name, _ in hostile_files()])
def test_hostile_state_files_are_refused(plain, tmp_path, name, content):
    import zipfile

    path = tmp_path / "state.npz"
    if content.startswith(b"\x93"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("lstm/0.npy", content)
    else:
        path.write_bytes(content)
    with pytest.raises(LoadError, match="state.npz"):
        plain.session().load(path)
    with pytest.raises(LoadError, match="state.npz"):
        li.SessionPool(plain).restore(path)


def test_compressed_state_files_are_refused(plain, tmp_path):
    np.savez_compressed(tmp_path / "state.npz", x=np.zeros(1 << 20))
    with pytest.raises(LoadError, match="compressed"):
        plain.session().load(tmp_path / "state.npz")


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    statefile.write(tmp_path / "a.npz", {"x": np.arange(3)})

    def full(file):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        statefile.write(tmp_path / "a.npz", {"x": np.arange(4)})
    assert statefile.read(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 1


def test_threads_may_write_the_same_file(tmp_path):
    """Each its own beside it: none fails, and what stands there is always one of them, whole."""
    path, problems = tmp_path / "a.npz", []
    statefile.write(path, {"x": np.zeros(5000)})

    def write(number):
        try:
            for _ in range(50):
                statefile.write(path, {"x": np.full(5000, number)})
                assert len(set(statefile.read(path)["x"].tolist())) == 1
        except BaseException as error:
            problems.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert problems == [] and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- rows in slots
@pytest.mark.parametrize("name", MODELS)
def test_which_models_are_fused(name):
    assert Rows(MODELS[name](), 2).is_fused == FUSED[name]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 3, 70, 300])
def test_advancing_ragged_rows_gives_the_bits_of_predict(model, rows, threads, monkeypatch):
    monkeypatch.setattr("lstm_infer.layers.pooled.THREAD_WORK", 0)
    slots = RANDOM.permutation(rows + 5)[:rows]
    states, x, counts = Rows(model, rows + 5), data(model, rows, 9), RANDOM.integers(1, 6, rows)
    first = states.finish(states.advance(slots, [x[:, :5].copy()], counts, threads))[0]
    second = states.finish(states.advance(slots, [x[:, 5:].copy()], None, threads))[0]
    for row in range(min(rows, 20)):
        real = np.concatenate([x[row, : counts[row]], x[row, 5:]])[None]
        session = model.session()
        a, b = session.predict(real[:, : counts[row]]), session.predict(real[:, counts[row] :])
        if states.plan.outputs[0]:
            assert (first[row, : counts[row]] == a[0]).all() and (second[row] == b[0]).all()
        else:
            assert (first[row] == a[0]).all() and (second[row] == b[0]).all()
            assert (second[row] == model.predict(real)[0]).all()


def test_new_weights_are_used(plain):
    pool, x = li.SessionPool(plain), data(plain, 2, 1)[:, 0]
    pool.step_many([1, 2], x)
    filled(plain)
    pool.reset([1, 2])
    assert (pool.step_many([1, 2], x) == plain.step(x, plain.initial_state(2))[0]).all()


# ---------------------------------------------------------------- pools
def test_a_pool_gives_the_bits_of_single_steps(model):
    pool, x, sessions = li.SessionPool(model, 50), data(model, 40, 8), {}
    for t in range(8):
        due = RANDOM.permutation(40)[: RANDOM.integers(1, 41)]
        found = pool.step_many(due, x[due, t])
        for row, y in zip(due, found, strict=True):
            session = sessions.setdefault(row, model.session())
            assert (session.step(x[row, t][None])[0] == y).all()
        pool_states, single = pool.state(due[0]), sessions[due[0]].state
        assert all((a == b).all() for n in single for a, b in zip(single[n], pool_states[n], strict=True))


def test_dicts_and_arrays_agree(model):
    one, other, x = li.SessionPool(model, 50), li.SessionPool(model, 50), data(model, 20, 3)
    ids = [f"session {n}" for n in range(20)]
    for t in range(3):
        by_id = one.step(dict(zip(ids, x[:, t], strict=True)))
        as_lists = dict(zip(ids, x[:, t].tolist(), strict=True))
        assert list(by_id) == ids
        found = other.step(as_lists) if t == 1 else dict(zip(ids, other.step_many(ids, x[:, t]), strict=True))
        assert all((by_id[id] == found[id]).all() for id in ids)


def test_several_inputs_and_outputs():
    model = branches()
    x, w, pool = RANDOM.normal(size=(3, 4, 5)), RANDOM.normal(size=(3, 3)), li.SessionPool(model, 4)
    sessions = [model.session() for _ in range(3)]
    for t in range(4):
        y, z = pool.step_many("abc", [x[:, t], w])
        for row in range(3):
            a, b = sessions[row].step([x[row : row + 1, t], w[row : row + 1]])
            assert (y[row] == a[0]).all() and (z[row] == b[0]).all()
    pool.reset("abc")
    first = pool.step({id: [x[n, 0], w[n]] for n, id in enumerate("abc")})
    pool.reset("abc")
    second = pool.step({id: {"x": x[n, 0], "w": w[n]} for n, id in enumerate("abc")})
    assert all((a == b).all() for id in "abc" for a, b in zip(first[id], second[id], strict=True))
    pool.reset("a")
    whole = pool.predict("a", [x[0], w[0]])
    assert (whole[0] == model.predict([x[:1], w[:1]])[0][0]).all()


def test_predict_continues_a_session(model):
    pool, x = li.SessionPool(model), data(model, 1, 7)
    session = model.session()
    session.predict(x[:, :4])
    expected = session.predict(x[:, 4:])[0]
    pool.predict("one", x[0, :4])
    assert (pool.predict("one", x[0, 4:]) == expected).all()


def test_sessions_bring_pieces_of_any_length(model):
    pool, x, sessions = li.SessionPool(model), data(model, 12, 30), [model.session() for _ in range(12)]
    place = np.zeros(12, int)
    for _ in range(4):
        pieces = {n: x[n, place[n] : place[n] + RANDOM.integers(1, 7)] for n in RANDOM.permutation(12)[:8].tolist()}
        found = pool.predict_many(pieces)
        for n, piece in pieces.items():
            place[n] += len(piece)
            assert (found[n] == sessions[n].predict(piece[None])[0]).all()
    assert pool.predict_many({}) == {}


def test_capacity_and_idle_sessions(plain):
    now = [0.0]
    pool, x = li.SessionPool(plain, 3, idle=10, clock=lambda: now[0]), data(plain, 4, 1)[:, 0]
    pool.step_many("abc", x[:3])
    with pytest.raises(CapacityError, match="expected 3 at most"):
        pool.step_many("d", x[:1])
    now[0] = 9
    before = pool.step_many("a", x[:1])
    now[0] = 15
    with pytest.raises(CapacityError):
        pool.step_many(["b", "c", "d", "e"], x)
    assert pool.ids == ["a"] or set(pool.ids) == {"a", "b", "c"}
    pool.step_many("d", x[:1])
    assert "a" in pool and "d" in pool and len(pool) == 2
    now[0] = 19.5
    assert pool.evict() == ["a"] and pool.evict(0) == ["d"] and len(pool) == 0
    pool.step_many("a", x[:1])
    assert (pool.step_many("a", x[:1]) == before).all(), "a session that was forgotten begins anew"
    pool.close(["a", "unknown"])
    assert pool.ids == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pool, x: pool.step_many(["a", "a"], x[:2]), "twice"),
        (lambda pool, x: pool.step_many(["z", "z"], x[:2]), "twice"),
        (lambda pool, x: pool.step_many(["a"], x[:2]), "one row for each"),
        (lambda pool, x: pool.step_many(["a"], x[:1, :2]), "found shape"),
        (lambda pool, x: pool.step({"a": x[0, :2]}), "found shape"),
        (lambda pool, x: pool.step({"a": x[0], "b": x[0, :2]}), "rows of shapes"),
        (lambda pool, x: pool.step({"a": x[0], "b": "text"}), "rows of shapes|found data"),
        (lambda pool, x: pool.step([x[0]]), "expected a dict"),
        (lambda pool, x: pool.predict("a", x[0]), "found shape"),
        (lambda pool, x: pool.predict("a", x[:0]), "timesteps"),
        (lambda pool, x: pool.state("nobody"), "no session"),
        (lambda pool, x: pool.evict(), "no idle seconds"),
        (lambda pool, x: li.SessionPool(pool.model, 0), "capacity=0"),
        (lambda pool, x: li.SessionPool(pool.model, idle=-1), "idle=-1"),
        (lambda pool, x: li.SessionPool(line(li.Bidirectional(li.LSTM(2)))), "whole sequence"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(plain, call, message):
    pool, x = li.SessionPool(plain, 4), data(plain, 4, 2)
    pool.step_many("ab", x[:2, 0])
    with pytest.raises(InputError, match=message):
        call(pool, x[:, 1])
    assert pool.ids == ["a", "b"]
    expected = plain.session()
    expected.step(x[:2, 0])
    assert (pool.step_many("ab", x[:2, 1]) == expected.step(x[:2, 1])).all()


def test_nothing_to_step(plain):
    pool = li.SessionPool(plain)
    assert pool.step({}) == {} and pool.step_many([], np.empty((0, 5))).shape == (0, 3)


def test_a_snapshot_survives_a_restart(model, tmp_path):
    now = [100.0]
    pool, x = li.SessionPool(model, 30, clock=lambda: now[0]), data(model, 20, 2)
    ids = [f"naïve \ud800 {n}" if n % 2 else n for n in range(20)]
    pool.step_many(ids[:10], x[:10, 0])
    now[0] = 110.0
    pool.step_many(ids[10:], x[10:, 0])
    pool.close(ids[3:5])
    pool.save(tmp_path / "pool.npz")
    other = li.SessionPool(model, 25, idle=15, clock=lambda: now[0] - 77)
    other.step_many(["old"], x[:1, 0])
    other.restore(tmp_path / "pool.npz")
    assert other.ids == ids[:3] + ids[5:]
    kept = [n for n in range(20) if n not in (3, 4)]
    assert (other.step_many(other.ids, x[kept, 1]) == pool.step_many(pool.ids, x[kept, 1])).all()
    other.restore(tmp_path / "pool.npz")
    now[0] = 117.0
    assert other.evict() == ids[:3] + ids[5:10]


def test_pools_may_adopt_each_other_at_once(plain):
    one, other = li.SessionPool(plain), li.SessionPool(plain)
    one.step({"a": np.ones(5)})

    def adopt(pool, other):
        for _ in range(300):
            pool.adopt(other)

    threads = [threading.Thread(target=adopt, args=pair, daemon=True) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    before = one.ids
    one.adopt(one)
    assert one.ids == before


def test_strange_snapshots_are_refused(plain, tmp_path):
    path, pool, x = tmp_path / "pool.npz", li.SessionPool(plain, 5), data(plain, 5, 1)[:, 0]
    pool.step_many([("a", 1)], x[:1])
    with pytest.raises(InputError, match="strings or whole numbers"):
        pool.save(path)
    pool.close([("a", 1)])
    pool.step_many("abcde", x)
    pool.save(path)
    with pytest.raises(CapacityError, match="expected 4 at most"):
        li.SessionPool(plain, 4).restore(path)
    with pytest.raises(InputError, match="expected those of model"):
        li.SessionPool(line(li.LSTM(4)), 5).restore(path)
    arrays = statefile.read(path)
    for strange in (b"[1, 1, 1, 1, 1]", b"[", b"[[1]]", b"{}", b"\xff", b'["a"]', b"[true]"):
        statefile.write(path, {**arrays, "ids.json": np.frombuffer(strange, np.uint8)})
        with pytest.raises(InputError, match="expected those of model"):
            pool.restore(path)
    with pytest.raises(InputError, match="expected those of model"):
        li.SessionPool(line(li.LSTM(4)), 5).adopt(pool)
    heir = li.SessionPool(plain, 5)
    heir.adopt(pool)
    assert heir.ids == pool.ids and (heir.step_many("abcde", x) == pool.step_many("abcde", x)).all()
    assert sorted(pool.ids) == list("abcde")


def test_threads_share_a_pool(plain):
    pool, x, results = li.SessionPool(plain, 100), data(plain, 40, 12), {}

    def work(part):
        ids = list(range(part * 10, part * 10 + 10))
        results[part] = np.stack([pool.step_many(ids, x[ids, t]) for t in range(12)], axis=1)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (np.concatenate([results[part] for part in range(4)])[:, -1] == plain.predict(x)).all()


def test_the_benchmark_measures(capsys):
    from lstm_infer.bench import streams

    assert streams.main(["--sessions", "9", "--units", "3", "--features", "2", "--threads", "1", "--rounds", "3"]) == 0
    assert "step_many" in capsys.readouterr().out


@pytest.mark.parametrize("cells", [[li.LSTMCell(4)], [li.LSTMCell(4), li.GRUCell(3)]])
def test_a_step_that_fails_changes_nothing(cells):
    rng = np.random.default_rng(0)
    model = li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 4), li.RNN(cells)])
    model.set_weights([rng.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    pool, twin, ids, x = li.SessionPool(model), li.SessionPool(model), np.arange(300), rng.integers(0, 11, (2, 300))
    for one in (pool, twin):
        one.step_many(ids, x[0])
    bad = np.array(x[1])
    bad[299] = 99
    with pytest.raises(li.InputError, match="found id 99"):
        pool.step_many(ids, bad)
    with pytest.raises(li.InputError, match="found id 99"):
        pool.predict_many({0: x[0, :9], 1: bad[290:], "new": x[1, :3]})
    assert pool.ids == ids.tolist()
    np.testing.assert_array_equal(pool.step_many(ids, x[1]), twin.step_many(ids, x[1]))


def test_a_file_without_states_is_no_session(model, tmp_path):
    session = model.session()
    session.save(tmp_path / "new.npz")
    session.load(tmp_path / "new.npz")
    session.reset()
    assert session.state == {}
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(InputError, match="no arrays"):
        session.load(tmp_path / "empty.npz")


def test_texts_are_stepped_and_ragged():
    layers = [li.StringLookup(vocabulary=["a", "b"]), li.Embedding(4, 3), li.LSTM(4)]
    model = filled(li.Sequential([li.Input((None,), dtype="string"), *layers]))
    rows = [np.array(["a", "b", "?", "a"], object), np.array(["b", "a"], object)]
    expected = [model.predict(row[None])[0] for row in rows]
    pool = li.SessionPool(model, capacity=4)
    for t in range(4):
        stepped = pool.step({"one": rows[0][t]})["one"]
    assert (stepped == expected[0]).all()
    found = pool.predict_many({"two": rows[0], "three": rows[1]})
    assert (found["two"] == expected[0]).all() and (found["three"] == expected[1]).all()
    assert (model.predict(rows) == expected).all()
