"""The scheduler without HTTP: whatever arrives when, every answer is that of `Model.predict`, bit for bit."""

import functools
import queue
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.errors import InputError
from lstm_infer.serve import workers
from lstm_infer.serve.scheduler import ClosedError, DeadlineError, QueueFullError, Scheduler

RANDOM = np.random.default_rng(11)


def filled(model):
    shapes = [shape for layer in model.holders() for shape in layer.expected_shapes.values()]
    model.set_weights([RANDOM.normal(size=shape) * 0.3 for shape in shapes])
    return model


def line(*layers):
    return filled(li.Sequential([li.Input((None, 5)), *layers]))


def branches():
    x, weight = li.Input((None, 5), name="x"), li.Input((3,), name="w")
    a, b = li.LSTM(6, return_sequences=True, name="a")(x), li.GRU(6, return_sequences=True, name="b")(x)
    last = li.LSTM(4, name="c")(li.Add()([a, b]))
    return filled(li.Model({"x": x, "w": weight}, {"all": li.Add()([a, b]), "w": li.Dense(2)(weight), "last": last}))


def texts():
    words = li.Input((None,), dtype="string")
    numbers = li.StringLookup(vocabulary=["a", "b", "c"])(words)
    again = li.StringLookup(vocabulary=["a", "b", "c"], invert=True)(numbers)
    return filled(li.Model(words, [li.LSTM(5)(li.Embedding(5, 3)(numbers)), again]))


CONTINUOUS = {
    "lstm": lambda: line(li.LSTM(33), li.Dense(4, "softmax")),
    "sequences": lambda: line(li.GRU(20, return_sequences=True), li.SimpleRNN(7, return_sequences=True), li.Dense(3)),
    "float64": lambda: line(li.LSTM(9, dtype="float64")),
    "masks": lambda: filled(
        li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 4, mask_zero=True), li.LSTM(8)])
    ),
    "branches": branches,
    "texts": texts,
}
DYNAMIC = {
    "bidirectional": lambda: line(li.Bidirectional(li.LSTM(6))),
    "convolution": lambda: line(li.Conv1D(4, 3, padding="same"), li.LSTM(6, return_sequences=True)),
    "stateful": lambda: line(li.Bidirectional(li.LSTM(6, stateful=True))),
}


def data(model, rows, timesteps):
    if len(model.inputs) > 1:
        return {"x": RANDOM.normal(size=(rows, timesteps, 5)), "w": RANDOM.normal(size=(rows, 3))}
    if model.inputs[0].dtype == object:
        return np.array(["a", "b", "c", "d", ""], object)[RANDOM.integers(0, 5, (rows, timesteps))]
    if model.inputs[0].dtype.kind == "i":
        return RANDOM.integers(0, 11, (rows, timesteps))
    return RANDOM.normal(size=(rows, timesteps, 5))


def same(found, expected):
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return found.shape == expected.shape and found.dtype == expected.dtype and (found == expected).all()


class Gate:
    """A layer's weights do not matter here: it holds up the scheduler's thread until it is opened."""

    def __init__(self, scheduler, monkeypatch):
        self._event, self.is_reached = threading.Event(), threading.Event()
        for worker in scheduler._workers:
            monkeypatch.setattr(worker, "round", functools.partial(self._round, worker.round))

    def _round(self, inner):
        self.is_reached.set()
        self._event.wait(30)
        inner()

    def open(self):
        self._event.set()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 8, 64])
@pytest.mark.parametrize("name", [*CONTINUOUS, *DYNAMIC])
def test_answers_are_those_of_predict(name, rows, threads):
    model = {**CONTINUOUS, **DYNAMIC}[name]()
    given = [data(model, RANDOM.integers(1, 5), RANDOM.integers(1, 40)) for _ in range(30)]
    expected = [model.session().predict(x) for x in given]
    with Scheduler(model, rows, threads=threads) as scheduler:
        assert scheduler.mode == ("continuous" if name in CONTINUOUS else "dynamic")
        futures = []
        for n, x in enumerate(given):
            futures.append(scheduler.submit(x))
            time.sleep(0.001 * (n % 3))
        assert all(same(f.result(60), y) for f, y in zip(futures, expected, strict=True))
    stats = scheduler.stats()
    assert stats.completed == 30 and stats.live == stats.queued == stats.failed == 0
    if name in CONTINUOUS:
        assert stats.row_rounds <= rows * stats.rounds


@pytest.mark.parametrize("round", [0.0, 1.0])
def test_short_and_long_rounds(round, monkeypatch):
    monkeypatch.setattr(workers, "ROUND", round)
    model = CONTINUOUS["sequences"]()
    given = [data(model, 1, length) for length in (1, 100, 3, 64, 65, 130)]
    expected = [model.predict(x) for x in given]
    with Scheduler(model, 4) as scheduler:
        futures = [scheduler.submit(x) for x in given]
        assert all(same(f.result(60), y) for f, y in zip(futures, expected, strict=True))


def test_the_short_overtake_the_long(monkeypatch):
    monkeypatch.setattr(workers, "ROUND", 0.0)
    model = CONTINUOUS["lstm"]()
    with Scheduler(model, 4) as scheduler:
        long = scheduler.submit(data(model, 1, 100_000))
        short = [scheduler.submit(data(model, 1, 3)).result(30) for _ in range(5)]
        assert len(short) == 5 and not long.done()
        long.cancel()


def test_callers_in_many_threads():
    model, wrong = CONTINUOUS["lstm"](), []
    with Scheduler(model, 16) as scheduler:

        def call(seed):
            random = np.random.default_rng(seed)
            for _ in range(40):
                x = random.normal(size=(1, random.integers(1, 20), 5))
                if not same(scheduler.submit(x).result(60), model.predict(x)):
                    wrong.append(x)

        threads = [threading.Thread(target=call, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong and scheduler.stats().completed == 320


@pytest.mark.parametrize("name", ["lstm", "bidirectional"])
def test_the_queue_is_limited(name, monkeypatch):
    model = {**CONTINUOUS, **DYNAMIC}[name]()
    with Scheduler(model, 4, queue=3) as scheduler:
        gate = Gate(scheduler, monkeypatch)
        first = scheduler.submit(data(model, 1, 2))
        assert gate.is_reached.wait(30)
        rest = [scheduler.submit(data(model, 1, 2)), scheduler.submit(data(model, 1, 3))]
        with pytest.raises(QueueFullError, match="3 rows waiting") as error:
            scheduler.submit(data(model, 1, 2))
        assert error.value.retry_after > 0 and scheduler.stats().queued == 3
        with pytest.raises(InputError, match="4 rows in one request"):
            scheduler.submit(data(model, 4, 2))
        gate.open()
        assert all(future.result(30).shape[0] == 1 for future in [first, *rest])
    assert scheduler.stats().refused == 1


@pytest.mark.parametrize("name", ["lstm", "bidirectional"])
def test_deadlines_and_cancelling_while_waiting(name, monkeypatch):
    model = {**CONTINUOUS, **DYNAMIC}[name]()
    with Scheduler(model, 4) as scheduler:
        gate, x = Gate(scheduler, monkeypatch), data(model, 2, 3)
        late, gone, kept = scheduler.submit(x, timeout=0.001), scheduler.submit(x), scheduler.submit(x, timeout=60)
        assert gone.cancel()
        time.sleep(0.02)
        gate.open()
        with pytest.raises(DeadlineError, match="0.001 s"):
            late.result(30)
        assert same(kept.result(30), model.predict(x))
    stats = scheduler.stats()
    assert (stats.expired, stats.cancelled, stats.completed) == (1, 1, 1) and stats.queued == stats.live == 0


def test_deadlines_and_cancelling_on_the_way():
    model = CONTINUOUS["lstm"]()
    with Scheduler(model, 2, threads=1) as scheduler:
        endless = data(model, 1, 3_000_000)
        late, gone, waits = scheduler.submit(endless, timeout=0.2), scheduler.submit(endless), data(model, 3, 2)
        waiting, hopeless = scheduler.submit(waits), scheduler.submit(endless, timeout=0.05)
        with pytest.raises(DeadlineError):
            hopeless.result(30)
        with pytest.raises(DeadlineError):
            late.result(30)
        assert gone.cancel() and same(waiting.result(30), model.predict(waits))
    stats = scheduler.stats()
    assert (stats.live, stats.expired, stats.cancelled, stats.completed) == (0, 2, 1, 1)


def test_a_failing_round_fails_its_requests_and_no_others(monkeypatch):
    model = CONTINUOUS["lstm"]()
    with Scheduler(model, 4, threads=1) as scheduler:
        [worker], x = scheduler._workers, data(model, 6, 9)
        inner = worker._states.advance

        def broken(*arguments):
            monkeypatch.setattr(worker._states, "advance", inner)
            raise RuntimeError("out of luck")

        monkeypatch.setattr(worker._states, "advance", broken)
        with pytest.raises(RuntimeError, match="out of luck"):
            scheduler.submit(x).result(30)
        assert same(scheduler.submit(x).result(30), model.predict(x))
    assert scheduler.stats().failed == 1


def ids_model(*layers):
    """Fails at ids of 11 and more."""
    return filled(li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 4), *layers]))


WITH_IDS = {
    "fused": lambda: ids_model(li.LSTM(8, return_sequences=True)),
    "graph": lambda: ids_model(li.RNN([li.LSTMCell(8), li.GRUCell(3)])),
    "dynamic": lambda: ids_model(li.Bidirectional(li.LSTM(8))),
}


@pytest.mark.parametrize("name", WITH_IDS)
def test_a_bad_row_fails_its_request_alone(name, monkeypatch):
    model = WITH_IDS[name]()
    good = [RANDOM.integers(0, 11, (rows, 40)) for rows in (1, 3, 2)]
    bad = np.array(good[1])
    bad[1, 20] = 99
    with Scheduler(model, 8, threads=1) as scheduler:
        gate = Gate(scheduler, monkeypatch)
        futures = [scheduler.submit(x) for x in (good[0], bad, *good[1:])]
        gate.open()
        with pytest.raises(InputError, match="found id 99"):
            futures.pop(1).result(60)
        assert all(same(future.result(60), model.predict(x)) for future, x in zip(futures, good, strict=True))
    stats = scheduler.stats()
    assert (stats.failed, stats.completed, stats.live) == (1, 3, 0)


@pytest.mark.parametrize("name", ["fused", "graph"])
def test_a_bad_piece_fails_alone(name):
    from lstm_infer.serve.streams import Streams

    model = WITH_IDS[name]()
    x, bad = RANDOM.integers(0, 11, 30), np.full(8, 99)
    session, streams = model.session(), Streams(model, threads=1)
    for first in (0, 10, 20):
        part = x[first : first + 10]
        with streams._changed:  # so that both are taken together
            asked, failing = (streams.submit(id, y, starts=id == "bad" or first == 0)
                              for id, y in (("good", part), ("bad", bad)))  # fmt: skip
        assert same(asked.result(60), session.predict(part[None])[0])
        with pytest.raises(InputError, match="found id 99"):
            failing.result(60)
    assert streams.pool.ids == ["good"]
    streams.close()


def test_one_that_begins_takes_no_room_of_those_that_go_on():
    from lstm_infer.serve.streams import Streams

    model = CONTINUOUS["lstm"]()
    x = data(model, 1, 20)
    streams, expected = Streams(model, capacity=2, idle=1e-6, threads=1), model.predict(x)[0]
    for id in "ab":
        streams.submit(id, x[0, :10], starts=True).result(60)
    with streams._changed:
        asked = [streams.submit("new", x[0, :10], starts=True), *(streams.submit(id, x[0, 10:]) for id in "ab")]
    assert all(same(future.result(60), expected) for future in asked[1:])
    assert asked[0].exception(60) is None or "expected 2 at most" in str(asked[0].exception())
    streams.close()


@pytest.mark.parametrize("name", ["lstm", "bidirectional"])
def test_closing(name, monkeypatch):
    model, before = {**CONTINUOUS, **DYNAMIC}[name](), threading.active_count()
    scheduler, x = Scheduler(model, 2), data(model, 1, 4)
    gate = Gate(scheduler, monkeypatch)
    futures = [scheduler.submit(x) for _ in range(9)]
    assert not scheduler.close(timeout=0.01)
    with pytest.raises(ClosedError):
        scheduler.submit(x)
    gate.open()
    assert scheduler.close() and all(same(future.result(0), model.predict(x)) for future in futures)
    scheduler = Scheduler(model, 2)
    gate = Gate(scheduler, monkeypatch)
    future = scheduler.submit(x)
    scheduler.close(drain=False, timeout=0.01)
    gate.open()
    scheduler.close(drain=False)
    assert future.exception(30) is None or isinstance(future.exception(), ClosedError)
    end = time.monotonic() + 60
    while threading.active_count() > before + 1 and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before + 1, "at most the helper of all models is left"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((1, 0, 5)), "timesteps"),
        (np.zeros((1, 2, 4)), "found shape"),
        (np.array([["a"]]), "found data"),
        (None, "found data"),
        ([np.zeros((2, 5)), np.zeros((3, 5))], "different length"),
    ],
)
def test_what_does_not_fit_is_refused(given, message):
    with Scheduler(CONTINUOUS["lstm"](), 2) as scheduler, pytest.raises(InputError, match=message):
        scheduler.submit(given)


@pytest.mark.parametrize("timeout", [float("nan"), "1", np.zeros(2)])
def test_a_timeout_is_a_number(timeout):
    with Scheduler(CONTINUOUS["lstm"](), 2) as scheduler, pytest.raises(InputError, match="timeout"):
        scheduler.submit(np.zeros((1, 2, 5)), timeout)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[:]])
def test_what_was_given_may_be_changed(view, monkeypatch):
    model = CONTINUOUS["lstm"]()
    x = data(model, 2, 6).astype(np.float32)
    with Scheduler(model, 2, threads=1) as scheduler:
        gate, expected, given = Gate(scheduler, monkeypatch), model.predict(x), view(x)
        given.flags.writeable = given is x
        answer = scheduler.submit(given)
        x[:] = 0
        gate.open()
        assert same(answer.result(30), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_callback_that_fails_ends_no_thread(error):
    def fail(future):
        raise error("of the caller's")

    model, x = CONTINUOUS["lstm"](), np.ones((1, 3, 5))
    with Scheduler(model, 2, threads=1) as scheduler:
        first = scheduler.submit(x)
        first.add_done_callback(fail)
        first.result(30)
        assert same(scheduler.submit(x).result(30), model.predict(x))


def test_closing_in_a_callback():
    closed = queue.Queue()
    scheduler = Scheduler(CONTINUOUS["lstm"](), 2, threads=1)
    with scheduler._changed:  # so that the callback comes before the answer
        scheduler.submit(np.ones((1, 3, 5))).add_done_callback(lambda future: closed.put(scheduler.close()))
    assert closed.get(timeout=30) is False and scheduler.close() is True


def test_no_rows():
    with Scheduler(CONTINUOUS["lstm"](), 2) as scheduler:
        assert scheduler.submit(np.zeros((0, 3, 5))).result(0).shape == (0, 4)


def test_a_fixed_length_is_held():
    model = filled(li.Sequential([li.Input((4, 5)), li.LSTM(3)]))
    with Scheduler(model) as scheduler:
        with pytest.raises(InputError, match="found shape"):
            scheduler.submit(np.zeros((1, 3, 5)))
        assert scheduler.submit(np.zeros((1, 4, 5))).result(30).shape == (1, 3)


# ---------------------------------------------------------------- the benchmark
def test_the_benchmark_measures():
    from lstm_infer.bench import serving

    found = serving.measure(1, 0.3, rates=[30, 60], give_up=60, units=8, features=3)
    assert [rate for rate, _, _ in found] == [30, 60] and all(0 < p50 <= p99 for _, p50, p99 in found)
    assert serving.best_rate([(10, 0.1, 0.2), (20, 0.1, 0.5)], 0.3) == 10 and serving.best_rate([], 1) == 0
    assert len(serving.measure(1, 0.1, rates=[30, 40, 50], give_up=0, units=8, features=3)) == 2


@pytest.mark.parametrize("is_sorted", [False, True])
def test_the_padding_batcher_answers_everybody(is_sorted, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(li.__file__).parent / "bench" / "workers"))
    import padding

    batches = []

    class Session:
        def run(self, outputs, feed):
            assert feed["x"].shape[0] == feed["lengths"].max() and feed["x"].shape[1] == len(feed["lengths"])
            batches.append(feed["lengths"].tolist())
            time.sleep(0.01)
            return [feed["lengths"][None, :, None]]

    batcher, lengths, done = padding.Batcher([Session()], 4, is_sorted), RANDOM.integers(1, 50, 40), []
    for length in lengths.tolist():
        batcher.submit(np.ones((length, 2), np.float32), lambda h: done.append(h.item()))
    batcher.close()
    assert sorted(done) == sorted(lengths.tolist()) == sorted(sum(batches, []))
    assert max(map(len, batches)) <= 4
