"""The parts of the server that need no extra: streams behind a queue, the folder of models, bodies, failures."""

import asyncio
import gzip
import importlib
import io
import json
import logging
import shutil
import threading
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.errors import InputError
from lstm_infer.serve import failures, files, lines, numbers, repository, served
from lstm_infer.serve.bodies import read_body, unpack
from lstm_infer.serve.connection import make_protocol
from lstm_infer.serve.requests import ClosedError, DeadlineError, QueueFullError
from lstm_infer.serve.settings import MissingExtraError, Settings, need
from lstm_infer.serve.streams import SequenceError, Streams
from lstm_infer.streaming import CapacityError

ROOT = Path(__file__).resolve().parent.parent
RANDOM = np.random.default_rng(3)


@pytest.fixture
def model():
    model = li.Sequential([li.Input((None, 5)), li.LSTM(12, return_sequences=True), li.Dense(3)])
    shapes = [shape for layer in model.holders() for shape in layer.expected_shapes.values()]
    model.set_weights([RANDOM.normal(size=shape) * 0.3 for shape in shapes])
    return model


@pytest.fixture
def streams(model):
    streams = Streams(model, capacity=40, queue=1000)
    yield streams
    streams.close()


def hold_up(streams, monkeypatch):
    """Keep the thread from computing until the event is set."""
    event, inner = threading.Event(), streams._compute
    monkeypatch.setattr(streams, "_compute", lambda pieces: (event.wait(30), inner(pieces)))
    return event


def test_streams_of_many_callers(streams, model):
    x = RANDOM.normal(size=(30, 40, 5))
    edges = [[0, *np.sort(RANDOM.choice(np.arange(1, 40), 6, replace=False)).tolist(), 40] for _ in range(30)]
    futures = [[] for _ in range(30)]
    for n in range(7):
        for row in RANDOM.permutation(30).tolist():
            piece = x[row, edges[row][n] : edges[row][n + 1]]
            futures[row].append(streams.submit(f"s{row}", piece, starts=n == 0, ends=n == 6))
    found = np.stack([np.concatenate([future.result(30) for future in row]) for row in futures])
    assert (found == model.predict(x)).all()
    assert len(streams.pool) == 0


def test_a_piece_must_follow_another(streams):
    x = RANDOM.normal(size=(2, 5))
    with pytest.raises(SequenceError, match="does not exist"):
        streams.submit("a", x).result(30)
    first = streams.submit("a", x, starts=True).result(30)
    streams.submit("a", x).result(30)
    assert (streams.submit("a", x, starts=True, ends=True).result(30) == first).all()
    with pytest.raises(SequenceError):
        streams.submit("a", x).result(30)


def test_one_piece_too_many_spoils_no_other(model, monkeypatch):
    streams, x = Streams(model, capacity=3), RANDOM.normal(size=(1, 5))
    event = hold_up(streams, monkeypatch)
    futures = [streams.submit(n, x, starts=True) for n in range(6)]
    event.set()
    errors = [future.exception(30) for future in futures]
    assert sum(error is None for error in errors) == 3 == len(streams.pool)
    assert all(isinstance(error, CapacityError) for error in errors if error is not None)
    streams.close()


def test_a_stream_is_not_forgotten_while_it_is_stepped(model, monkeypatch):
    streams, x = Streams(model, idle=1e-9), RANDOM.normal(size=(4, 5)).astype(np.float32)
    try:
        first = streams.submit("a", x[:2], starts=True).result(30)
        inner, threads = streams.pool.predict_checked, []

        def predict(*given):
            threads.append(threading.Thread(target=streams.evict))
            threads[0].start()
            threads[0].join(0.2)
            return inner(*given)

        monkeypatch.setattr(streams.pool, "predict_checked", predict)
        second = streams.submit("a", x[2:]).result(30)
        assert np.array_equal(np.concatenate([first, second]), model.predict(x[None])[0])
        threads[0].join(30)
        assert len(streams.pool) == 0
    finally:
        streams.close()


def test_the_queue_of_streams_is_limited_and_closed(model, monkeypatch):
    streams, x = Streams(model, queue=2), RANDOM.normal(size=(1, 5))
    event = hold_up(streams, monkeypatch)
    kept = [streams.submit(0, x, starts=True)]
    with pytest.raises(QueueFullError):
        while True:
            kept.append(streams.submit(len(kept), x, starts=True))
    with pytest.raises(InputError, match="found shape"):
        streams.submit("b", x[:, :3])
    assert kept[-1].cancel()
    event.set()
    assert all(future.result(30).shape == (1, 3) for future in kept[:-1])
    streams.close()
    with pytest.raises(ClosedError):
        streams.submit(0, x)
    assert len(streams.pool) == len(kept) - 1, "the pool stays"


def test_models_are_found_by_name_and_version(tmp_path):
    for name in (
        "a.h5", "b.keras", "c/c.h5", "d/1/x.h5", "d/03/y.keras", "d/notes/z.h5", "e.json", "e.weights.h5", "f.json",
        ".hidden.h5", "notes.txt", "empty/readme", "g.h5/1/m.hdf5", "we ird.h5",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = {key: str(source.path.relative_to(tmp_path)) for key, source in files.find(tmp_path)}
    assert found == {
        ("a", "1"): "a.h5", ("b", "1"): "b.keras", ("c", "1"): "c/c.h5", ("d", "1"): "d/1/x.h5",
        ("d", "3"): "d/03/y.keras", ("e", "1"): "e.json", ("g.h5", "1"): "g.h5/1/m.hdf5",
        ("we_ird", "1"): "we ird.h5",
    }  # fmt: skip
    [(key, source)] = files.find(tmp_path / "we ird.h5")
    assert key == ("we_ird", "1")
    before = source.stamp
    (tmp_path / "we ird.h5").write_bytes(b"more")
    assert next(files.find(tmp_path / "we ird.h5"))[1].stamp != before


def test_a_folder_that_may_not_be_read_keeps_no_other_from_being_served(tmp_path, monkeypatch):
    for name in ("lost+found", "m/1", "m/2"):
        (tmp_path / name).mkdir(parents=True)
    for version in (1, 2):
        shutil.copy(ROOT / "models" / "sunspots.h5", tmp_path / "m" / str(version) / "m.h5")
    inside, closed = Path.iterdir, {"lost+found"}

    def iterdir(path):
        if path.name in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return inside(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    models = repository.Repository(tmp_path, Settings(poll=0, threads=1))
    models.start()
    try:
        assert [(one.name, one.version) for one in models.all()] == [("m", "1"), ("m", "2")]
        assert list(models.failed()) == [("lost_found", "1")]
        closed.add("2")
        for _ in range(2):
            models.refresh()
        assert [one.version for one in models.all()] == ["1", "2"]  # what is loaded stays
        assert list(models.failed()) == [("lost_found", "1"), ("m", "2")]
        closed.clear()
        models.refresh()
        assert not models.failed()
    finally:
        models.close()


class Asked:
    """A request whose body comes in chunks."""

    def __init__(self, chunks, pause=0.0, **headers):
        self._chunks, self._pause = list(chunks), pause
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def receive(self):
        await asyncio.sleep(self._pause)
        return {"type": "http.request", "body": self._chunks.pop(0), "more_body": bool(self._chunks)}


def test_bodies():
    settings = Settings(body=1000, body_seconds=0.05)

    def read(*arguments, **more):
        return asyncio.run(read_body(Asked(*arguments, **more), settings))

    assert read([b"ab", b"", b"c"]) == b"abc"
    assert read([gzip.compress(b"abc")], content_encoding="gzip") == b"abc"
    assert read([zlib.compress(b"abc")], content_encoding="deflate") == b"abc"
    for arguments, status in (
        (([bytes(1001)],), 413), (([bytes(600)] * 2,), 413), (([b""], 5.0), 408), (([b"x"] * 20, 0.01), 408),
    ):  # fmt: skip
        with pytest.raises(failures.Failure) as error:
            read(*arguments)
        assert error.value.status == status
    for more, status in (({"content_encoding": "br"}, 415), ({"content_length": "1001"}, 413)):
        with pytest.raises(failures.Failure) as error:
            read([b""], **more)
        assert error.value.status == status
    two = gzip.compress(b"abc") + gzip.compress(RANDOM.bytes(200)[:100] + bytes(800))
    assert len(unpack(two, "gzip", settings)) == 903
    for body, reason in (
        (two + b"rubbish", "no gzip"), (gzip.compress(b"") * 1001, "after the gzip"), (b"", "cut short"),
        (gzip.compress(bytes(600)) * 2, "more than 1000"), (two[:-1], "cut short"),
    ):  # fmt: skip
        with pytest.raises(failures.Failure, match=reason):
            unpack(body, "gzip", settings)
    with pytest.raises(failures.Failure, match="after the deflate"):
        unpack(zlib.compress(b"abc") + b"x", "deflate", settings)
    with pytest.raises(failures.Failure, match="cut short"):
        unpack(gzip.compress(b"abc")[:-4], "gzip", settings)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("x"), 400), (SequenceError("x"), 409), (CapacityError("x"), 503), (ClosedError("x"), 503),
        (QueueFullError("x", 2.5), 503), (DeadlineError("x"), 504), (failures.Failure(418, "x"), 418),
    ],
)  # fmt: skip
def test_errors_have_a_status(error, status):
    failure = failures.as_failure(error)
    assert failure.status == status and failure.reason == "x"
    assert status != 503 or int(failure.headers["retry-after"]) >= 1


def test_faults_of_ours_are_no_answers():
    assert failures.as_failure(RuntimeError("secret")) is None


def test_what_is_missing_is_named():
    with pytest.raises(MissingExtraError, match=r"needs no_such_package: pip install 'lstm-infer\[serve\]'"):
        need("no_such_package")


def test_texts_travel_as_lengths_and_bytes():
    texts = np.array([b"ab", b"", "\u00e4".encode()], object)
    packed = numbers.pack_texts(texts)
    assert numbers.unpack_texts(packed, "x").tolist() == texts.tolist()
    for raw in (packed[:-1], packed + b"\0", b"\xff\xff\xff\xff"):
        with pytest.raises(failures.Failure, match="found"):
            numbers.unpack_texts(raw, "x")
    strange = np.array([[b"\xff"], [b"a"]], object)
    assert numbers.texts_for_json(strange, packs=True) == [[{"b64": "/w=="}], ["a"]]


def test_versions_are_numbers(tmp_path):
    given = repository.Repository(tmp_path, Settings())
    given._models = {("a", version): version for version in ("10", "9", "1")}
    given._failed = {("a", version): (None, version) for version in ("30", "4")}
    assert given.all() == ["1", "9", "10"] and list(given.failed().values()) == ["4", "30"]


def test_texts_at_every_timestep_are_served(tmp_path, monkeypatch):
    lookup = li.StringLookup(vocabulary=["a"])
    texts = li.Sequential([li.Input((None,), dtype="string"), lookup, li.Embedding(3, 2), li.LSTM(3)])
    texts.set_weights([np.ones(shape) for layer in texts.layers for shape in layer.expected_shapes.values()])
    monkeypatch.setattr(served, "load_model", lambda *given, **options: texts)
    at_work = served.Served("texts", "1", files.Source(tmp_path, None, ()), Settings())
    try:
        x = np.array([["a", "", "b"]], object)
        assert at_work.scheduler.mode == "continuous"
        assert (at_work.scheduler.submit(x).result() == texts.predict(x)).all()
        pieces = [at_work.streams.submit("one", x[0, t : t + 1], starts=t == 0).result() for t in range(3)]
        assert (pieces[-1] == texts.predict(x)[0]).all()
    finally:
        at_work.close()


def test_lines_of_requests_are_written_together_and_in_order():
    written = []

    class Stream(io.StringIO):
        def write(self, text):
            written.append([json.loads(line)["event"] for line in text.splitlines()])

    log = logging.Logger("parts")
    log.addHandler(lines.Lines(Stream()))

    async def talk():
        log.info(lines.REQUEST)
        log.info(lines.REQUEST)
        assert not written
        log.warning("other")
        log.info(lines.REQUEST, extra={"data": {"path": "/"}})
        await asyncio.sleep(4 * lines.DELAY)

    asyncio.run(talk())
    log.info(lines.REQUEST)
    assert written == [["request", "request", "other"], ["request"], ["request"]]


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_connection_that_is_lost_leaves_no_timer(http, error, monkeypatch):
    uvicorn, state = pytest.importorskip("uvicorn"), pytest.importorskip("uvicorn.server").ServerState()
    pytest.importorskip(http)
    module = importlib.import_module(f"uvicorn.protocols.http.{http}_impl")
    base = next(kind for name, kind in vars(module).items() if name in ("H11Protocol", "HttpToolsProtocol"))
    monkeypatch.setattr("uvicorn.protocols.http.auto.AutoHTTPProtocol", base)
    config, loop = uvicorn.Config(None, log_config=None, interface="asgi3"), mock.Mock()
    config.loaded, config.loaded_app, config.ws_protocol_class = True, None, None
    loop.call_later.side_effect = lambda *given: mock.Mock()
    connection = make_protocol(30.0, 10)(config, state, {}, loop)
    connection.connection_made(mock.Mock(get_extra_info=lambda name: None))
    timers = [connection._timer, connection._watch, mock.Mock()]
    connection.timeout_keep_alive_task = timers[2]
    connection.connection_lost(error)
    assert all(timer.cancel.called for timer in timers) and not state.connections


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_websocket_leaves_no_timer(http, monkeypatch):
    timers = [mock.Mock()]
    base = type("Base", (), {"handle_websocket_upgrade": lambda self, *given: timers.append(given)})
    monkeypatch.setattr(pytest.importorskip("uvicorn.protocols.http.auto"), "AutoHTTPProtocol", base)
    connection = make_protocol(30.0, 10)()
    connection._timer, connection._watch = timers[0], mock.Mock()
    given = () if http == "httptools" else ("event",)
    connection.handle_websocket_upgrade(*given)
    assert timers[0].cancel.called and connection._watch.cancel.called and timers[1:] == [given]


def test_load_test_does_not_use_a_connection_that_was_idle_for_long(monkeypatch):
    from lstm_infer.serve import client

    opened = []

    async def serve(reader, writer):
        opened.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def talk():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            connections = client.Connections(*server.sockets[0].getsockname())
            for _ in range(2):
                assert (await connections.ask(b"GET / HTTP/1.1\r\n", b""))[0] == 200
            assert len(opened) == 1
            monkeypatch.setattr(client, "KEPT", 0.0)
            assert (await connections.ask(b"GET / HTTP/1.1\r\n", b""))[0] == 200
            assert len(opened) == 2
            connections.close()

    asyncio.run(asyncio.wait_for(talk(), 60))
