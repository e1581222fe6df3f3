"""One model, many threads at once, more threads inside, and a fork: the bits are those of one thread alone.

Everything is waited for with a limit, so that a deadlock is a failure and not a test run that hangs.
"""

import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest

import lstm_infer as li

THREADS, ROUNDS, LIMIT = 8, 5, 60


def in_threads(work):
    """Run ``work(n)`` in many threads that start together; return what each returns."""
    results, barrier = [None] * THREADS, threading.Barrier(THREADS, timeout=LIMIT)

    def run(n):
        try:
            barrier.wait()
            results[n] = work(n)
        except BaseException as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LIMIT
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), f"still running after {LIMIT} s"
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def make(*layers):
    model = li.Sequential([li.Input((None,), dtype="int32"), li.Embedding(11, 6, mask_zero=True), *layers])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w) / 2 for layer in model.holders() for w in layer.expected_shapes.values()])
    return model


def make_model():
    return make(
        li.LSTM(17, return_sequences=True),
        li.GRU(5, return_sequences=True),
        li.RNN([li.LSTMCell(4), li.SimpleRNNCell(3)], return_sequences=True),
        li.Dense(2, activation="softmax"),
    )


@pytest.fixture(scope="module")
def model():
    return make_model()


def ids_of(n, rows=3, timesteps=12):
    """Different data for every thread, some of it masked."""
    return np.random.default_rng(n).integers(0, 11, (rows, timesteps))


def bits(arrays):
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


def step_through(model, ids):
    state, outputs = model.initial_state(len(ids)), []
    for t in range(ids.shape[1]):
        y, state = model.step(ids[:, t], state)
        outputs.append(y)
    return outputs


def stream_through(model, ids):
    session = model.session()
    outputs = [session.step(ids[:, t]) for t in range(4)]
    return [*outputs, session.predict(ids[:, 4:]), *sum(session.state.values(), [])]


@pytest.mark.parametrize(
    "use",
    [
        lambda model, ids: [model.predict(ids)],
        lambda model, ids: [model.predict(ids, threads=2, batch_size=1)],
        lambda model, ids: [model.predict(ids, lengths=[3, 12, 7])],
        step_through,
        stream_through,
    ],
    ids=["predict", "threads", "lengths", "step", "session"],
)
def test_each_thread_gets_what_it_gets_alone(model, use):
    alone = [bits(use(model, ids_of(n))) for n in range(THREADS)]
    together = in_threads(lambda n: [bits(use(model, ids_of(n))) for _ in range(ROUNDS)])
    assert together == [[one] * ROUNDS for one in alone]


def test_a_new_model_used_by_all_at_once():
    """Whatever is prepared on first use is prepared once, or to the same effect."""
    fresh, alone = make_model(), make_model()
    expected = [bits(stream_through(alone, ids_of(n)) + step_through(alone, ids_of(n))) for n in range(THREADS)]
    assert in_threads(lambda n: bits(stream_through(fresh, ids_of(n)) + step_through(fresh, ids_of(n)))) == expected


def test_one_layer_used_by_all_at_once():
    layer = li.LSTM(9, return_sequences=True, return_state=True)
    layer.set_weights([np.ones((4, 36)) / 9, np.eye(9, 36), np.zeros(36)])
    data = [np.random.default_rng(n).normal(size=(2, 30, 4)) for n in range(THREADS)]
    alone = [bits(layer(x)) for x in data]
    assert in_threads(lambda n: bits(layer(data[n]))) == alone


def consecutive(call):
    """Return the results of as many calls in a row as all threads make together."""
    return Counter(call().tobytes() for _ in range(THREADS * ROUNDS))


def test_stateful_model_in_many_threads():
    """Calls come in any order, but each continues the one before it: all the results of calls in a row, each once."""
    stateful = make(li.LSTM(7, stateful=True, return_sequences=True), li.GRU(3, stateful=True))
    ids = ids_of(0, timesteps=5) + (ids_of(0, timesteps=5) == 0)
    expected = consecutive(lambda: stateful.predict(ids))
    assert len(expected) > THREADS
    stateful.reset_states()
    results = in_threads(lambda n: [stateful.predict(ids).tobytes() for _ in range(ROUNDS)])
    assert Counter(sum(results, [])) == expected


@pytest.mark.parametrize("way", ["predict", "step"])
def test_one_session_in_many_threads(model, way):
    ids = ids_of(0, timesteps=1) + 1
    data = ids % 11 if way == "predict" else ids[:, 0] % 11

    def call_of(session):
        return lambda: getattr(session, way)(data)

    expected = consecutive(call_of(model.session()))
    call = call_of(model.session())
    results = in_threads(lambda n: [call().tobytes() for _ in range(ROUNDS)])
    assert Counter(sum(results, [])) == expected


def test_sessions_of_a_stateful_model_do_not_meet():
    stateful = make(li.LSTM(7, stateful=True))
    alone = []
    for n in range(THREADS):
        session = stateful.session()
        alone.append(bits(session.predict(ids_of(n)) for _ in range(ROUNDS)))

    def work(n):
        session = stateful.session()
        return bits(session.predict(ids_of(n)) for _ in range(ROUNDS))

    assert in_threads(work) == alone
    first = stateful.predict(ids_of(0))
    assert bits([first]) == alone[0][:1], "sessions leave the model's own state alone"


def test_number_of_threads_changes_no_bit():
    layers = li.Sequential([li.Input((None, 37)), li.Bidirectional(li.LSTM(9, return_sequences=True)), li.GRU(4)])
    rng = np.random.default_rng(1)
    layers.set_weights([rng.normal(size=w) / 3 for layer in layers.holders() for w in layer.expected_shapes.values()])
    x, lengths = rng.normal(size=(70, 20, 37)).astype(np.float32), rng.integers(1, 21, 70)
    for given in ({}, {"lengths": lengths}, {"batch_size": 9}):
        one, two, five = (layers.predict(x, threads=threads, **given) for threads in (1, 2, 5))
        assert one.tobytes() == two.tobytes() == five.tobytes()
        layers.threads = 3
        assert layers.predict(x, **given).tobytes() == one.tobytes()
    rows = np.concatenate([layers.predict(x[n : n + 1], threads=1) for n in range(70)])
    assert rows.tobytes() == layers.predict(x, threads=5).tobytes()


def test_an_error_in_one_thread_leaves_the_others_alone(model):
    """Every other thread gives ids that the model does not know."""
    alone = [bits([model.predict(ids_of(n))]) for n in range(THREADS)]

    def work(n):
        if n % 2:
            with pytest.raises(li.InputError, match="id 11"):
                model.predict(np.full((2, 3), 11))
        return bits([model.predict(ids_of(n))])

    assert in_threads(work) == alone


def test_a_failed_call_frees_the_lock():
    stateful = make(li.LSTM(3, stateful=True))
    for _ in range(2):
        with pytest.raises(li.InputError, match="id 11"):
            stateful.predict(np.full((2, 3), 11))
    in_threads(lambda n: stateful.predict(ids_of(0)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_model_after_a_fork(model):
    """A model that was used with threads is used in a child, which must neither hang nor answer otherwise."""
    ids, stateful = ids_of(3, rows=40), make(li.LSTM(3, stateful=True))

    def answers():
        stateful.reset_states()
        outputs = [model.predict(ids, threads=2, batch_size=8), stateful.predict(ids)]
        return bits(outputs + step_through(model, ids) + stream_through(model, ids))

    expected = answers()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if answers() == expected else 2
        finally:
            os._exit(status)
    assert exit_status(child) == 0
    assert answers() == expected


def exit_status(child):
    """Return how a child process ended; end it and fail where it does not."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the child was still running after {LIMIT} s")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_predicts():
    """The lock that the other thread holds would stay locked for ever in the child."""
    model = li.Sequential([li.Input(batch_shape=(1, None, 2)), li.LSTM(3, stateful=True)])
    model.set_weights([np.full(shape, 0.1) for shape in ((2, 12), (3, 12), (12,))])
    data = np.ones((1, 4, 2), np.float32)
    model.predict(data)
    held, done = threading.Event(), threading.Event()

    def hold():
        with model._lock:
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert held.wait(60)
    child = os.fork()
    if child == 0:
        model.predict(data)
        os._exit(0)
    done.set()
    holder.join(60)
    assert exit_status(child) == 0
