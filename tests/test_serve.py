"""The server as its clients see it: a process of its own, spoken to by stock clients and by rude ones."""

import base64
import concurrent.futures
import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5files
import numpy as np
import pytest

import lstm_infer as li

for name in ("starlette", "uvicorn", "orjson", "prometheus_client", "websockets"):
    pytest.importorskip(name, reason="needs the extra serve")
httpx = pytest.importorskip("httpx")

ROOT = Path(__file__).resolve().parent.parent
RANDOM = np.random.default_rng(5)
NAME = {"tagger": "characters", "sunspots": "sunspots", "digits": "columns"}
FIRST = {**h5files.TF_FIRST, "return_sequences": True}
del FIRST["time_major"]
INPUT = {"batch_shape": [None, None, h5files.FEATURES], "dtype": "float32", "name": "x"}


def model_file(seed, first=FIRST):
    """A small model with free timesteps, as a ``.keras`` file."""
    arrays = h5files.weights(seed)
    names = {"layers/lstm/cell": "lstm_cell", "layers/lstm": "lstm", "layers/dense": "dense"}
    config = h5files.sequential(first, "3.15.1", input_layer=INPUT)
    return h5files.keras_zip(config, h5files.store(h5files._objects(arrays), names), "3.15.1")


class Running:
    """A server in a process of its own."""

    def __init__(self, path, *options, **environment):
        command = [sys.executable, "-m", "lstm_infer", "serve", str(path), "--port", "0", "--poll", "0.1", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.lines, self._is_new = [], threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self.wait_for("ready", 120)["port"]
        self.url = f"http://127.0.0.1:{self.port}"

    def _read(self):
        for text in self.process.stderr:
            with self._is_new:
                self.lines.append(json.loads(text) if text.startswith("{") else {"event": text})
                self._is_new.notify_all()
        with self._is_new:
            self.lines.append({"event": "end"})
            self._is_new.notify_all()

    def wait_for(self, event, seconds=60, number=1):
        """Wait for the n-th line of a kind in the log."""
        with self._is_new:
            until = time.monotonic() + seconds
            while len(found := [line for line in self.lines if line["event"] == event]) < number:
                if self.lines and self.lines[-1]["event"] == "end" or time.monotonic() > until:
                    raise AssertionError(f"no {event}: {self.lines}")
                self._is_new.wait(1)
            return found[number - 1]

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join(10)
        self.process.stderr.close()
        return status


@contextlib.contextmanager
def running(path, *options, **environment):
    server = Running(path, *options, **environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "tagger").mkdir()
    for version in (1, 2):
        (folder / "tagger" / str(version)).mkdir()
        (folder / "tagger" / str(version) / "model.keras").write_bytes(model_file(version))
    for file in ("digits.keras", "co2.h5", "sunspots.json", "sunspots.weights.h5"):
        shutil.copy(ROOT / "models" / file, folder / file)
    (folder / "broken.h5").write_bytes(b"rubbish")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with running(folder, "--max-body", "100000", "--body-timeout", "0.5", "--max-timesteps", "1000") as server:
        yield server


@pytest.fixture(scope="module")
def tagger(folder):
    return li.load_model(folder / "tagger" / "2" / "model.keras")


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def x_of(timesteps, rows=1):
    return RANDOM.normal(size=(rows, timesteps, h5files.FEATURES)).astype(np.float32)


def ask(client, x, path="/v2/models/tagger/infer", status=200, **parameters):
    item = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.tolist()}
    answer = client.post(path, json={"inputs": [item], "parameters": parameters})
    assert answer.status_code == status, answer.text
    if status != 200:
        return answer
    [output] = answer.json()["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


# ---------------------------------------------------------------- Open Inference Protocol
def test_about_the_server(client):
    assert client.get("/v2").json()["name"] == "lstm_infer"
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    index = {(one["name"], one["version"]): one for one in client.post("/v2/repository/index").json()}
    assert {name for name, _ in index} == {"tagger", "digits", "co2", "sunspots", "broken"}
    assert index["broken", "1"]["state"] == "UNAVAILABLE" and "broken.h5" in index["broken", "1"]["reason"]
    found = client.get("/v2/models/tagger").json()
    assert found["versions"] == ["1", "2"]
    assert found["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1, 4]}]
    assert client.get("/v2/models/tagger/versions/1/ready").status_code == 200
    assert "infer" in str(client.get("/openapi.json").json()["paths"])
    assert "tagger" in client.get("/docs").text


def test_answers_are_the_bits_of_predict(client, tagger, folder):
    for timesteps in (1, 2, 17):
        x = x_of(timesteps, 3)
        assert (ask(client, x) == tagger.predict(x)).all()
    first = li.load_model(folder / "tagger" / "1" / "model.keras")
    assert (ask(client, x, "/v2/models/tagger/versions/1/infer") == first.predict(x)).all()


def test_many_callers_at_once(server, tagger):
    xs = [x_of(int(n)) for n in RANDOM.integers(1, 60, 200)]

    def call(part):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            return [ask(client, x) for x in xs[part::8]]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    for part in range(8):
        assert all((y == tagger.predict(x)).all() for y, x in zip(answers[part], xs[part::8], strict=True))


@pytest.mark.filterwarnings("ignore")
def test_tritonclient(server, tagger):
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("tagger", "2")
    assert client.get_server_metadata()["name"] == "lstm_infer"
    assert client.get_model_metadata("tagger")["inputs"][0]["name"] == "x"
    assert len(client.get_model_repository_index()) == 6
    x = x_of(9, 2)
    for is_binary_in in (True, False):
        for is_binary_out in (True, False):
            for packing in (None, "gzip", "deflate"):
                given = triton.InferInput("x", list(x.shape), "FP32")
                given.set_data_from_numpy(x, binary_data=is_binary_in)
                wanted = triton.InferRequestedOutput("dense", binary_data=is_binary_out)
                result = client.infer(
                    "tagger", [given], outputs=[wanted], request_id="mine", request_compression_algorithm=packing
                )
                assert (result.as_numpy("dense") == tagger.predict(x)).all()
                assert result.get_response()["id"] == "mine"
    result = client.infer("tagger", [given])
    assert (result.as_numpy("dense") == tagger.predict(x)).all()
    session, x = tagger.session(), x_of(12)
    for n in range(4):
        piece = x[:, 3 * n : 3 * n + 3]
        given = triton.InferInput("x", list(piece.shape), "FP32")
        given.set_data_from_numpy(piece)
        result = client.infer("tagger", [given], sequence_id=77, sequence_start=n == 0, sequence_end=n == 3)
        assert (result.as_numpy("dense") == session.predict(piece)).all()
    with pytest.raises(triton.InferenceServerException, match="does not exist"):
        client.infer("tagger", [given], sequence_id=77)
    with pytest.raises(triton.InferenceServerException, match="no model 'nobody'"):
        client.infer("nobody", [given])
    client.close()


def test_binary_tensors_by_hand(client, tagger):
    x = x_of(3)
    item = {"name": "x", "datatype": "FP64", "shape": [1, 3, 4], "parameters": {"binary_data_size": 96}}
    text = json.dumps({"inputs": [item], "outputs": [{"name": "dense"}]}).encode()
    headers = {"inference-header-content-length": str(len(text))}
    answer = client.post("/v2/models/tagger/infer", content=text + x.astype("<f8").tobytes(), headers=headers)
    assert (np.float32(answer.json()["outputs"][0]["data"]) == tagger.predict(x).reshape(-1)).all()
    for content, header in (
        (text, str(len(text))), (text + bytes(95), str(len(text))), (text + bytes(97), str(len(text))), (text, "9999"),
        (text, "-1"), (text, "x"), (text + bytes(96), "9" * 30),
    ):  # fmt: skip
        answer = client.post(
            "/v2/models/tagger/infer", content=content, headers={"inference-header-content-length": header}
        )
        assert answer.status_code == 400 and answer.json()["error"].startswith(("found", "input"))


def test_models_that_need_whole_sequences(client):
    digits, x = li.load_model(ROOT / "models" / "digits.keras"), np.load(ROOT / "models" / "digits.input.npy")[:5]
    item = {"name": "columns", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    answer = client.post("/v2/models/digits/infer", json={"inputs": [item], "id": "a"}).json()
    assert answer["id"] == "a" and answer["model_version"] == "1"
    assert (np.float32(answer["outputs"][0]["data"]) == digits.predict(x).ravel()).all()
    answer = client.post("/v2/models/digits/infer", json={"inputs": [item], "parameters": {"sequence_id": 3}})
    assert answer.status_code == 400 and "piece of a stream" in answer.text


def test_numbers_stay_what_they_were(client, tagger):
    def infer(datatype, data, shape=(1, 1, 4), name="x", model="tagger"):
        item = {"name": name, "datatype": datatype, "shape": list(shape), "data": data}
        return client.post(f"/v2/models/{model}/infer", json={"inputs": [item]})

    for datatype, first in (
        ("INT8", 300), ("INT8", -129), ("UINT8", -1), ("UINT64", -1), ("INT32", 1.7), ("INT64", 1e30), ("FP32", 1e300),
        ("FP64", 1e300), ("FP16", 70000), ("FP16", 70000.0), ("BOOL", 2), ("UINT32", 1 << 32), ("INT64", 1 << 63),
        ("INT64", 1 << 70),
    ):  # fmt: skip
        answer = infer(datatype, [first, 0, 0, 0])
        assert answer.status_code == 400 and "found" in answer.json()["error"], (datatype, first)
    for datatype, first in (("INT8", -128), ("UINT8", 255), ("INT32", 2.0), ("FP32", 3e38), ("BOOL", True)):
        assert infer(datatype, [first, 0, 0, 0]).status_code == 200
    x = x_of(4)
    assert infer("FP32", x[0].tolist(), (1, 4, 4)).status_code == 400
    assert infer("FP32", x.tolist(), (4, 4)).status_code == 400
    assert infer("FP32", x[0].T.tolist(), (2, 8)).status_code == 400
    found = infer("FP32", x.tolist(), (1, 4, 4)).json()["outputs"][0]["data"]
    assert (np.float32(found) == tagger.predict(x).ravel()).all()
    found = infer("FP32", x[0].tolist(), (4, 4)).json()["outputs"][0]
    assert found["shape"] == [1, 4, 2] and (np.float32(found["data"]) == tagger.predict(x).ravel()).all()
    assert infer("FP32", np.zeros((1001, 4)).tolist(), (1001, 4)).status_code == 413
    for shape in ([0, 1 << 61, 3], [1 << 61, 0, 4], [0, 1 << 61, 1 << 61], [0] * 33):
        answer = infer("FP32", [], shape)
        assert answer.status_code in (400, 413) and answer.json()["error"]
    for size, status in ((1000, 200), (1001, 413)):
        answer = client.post("/v1/models/tagger:predict", json={"inputs": np.zeros((size, 4)).tolist()})
        assert answer.status_code == status
    answer = client.post("/v1/models/tagger:predict", json={"instances": np.zeros((6, 4)).tolist()})
    assert answer.status_code == 400 and "instances of shape (4,)" in answer.text
    answer = client.post("/v1/models/tagger:predict", json={"inputs": [[[1e300, 0, 0, 0]]], "signature_name": ""})
    assert answer.status_code == 400 and "float32" in answer.text


def test_numbers_that_are_not_finite(client, server, tagger):
    x = x_of(6)
    x[0, 3:] = [np.nan, np.inf, -np.inf, 1]
    expected = tagger.predict(x)
    assert np.isnan(expected[0, 3:]).all() and np.isfinite(expected[0, :3]).all()
    assert ask(client, x[:, :3]).tobytes() == expected[:, :3].tobytes()
    item = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.tolist()}
    for path, request, read in (
        ("/v2/models/tagger/infer", {"inputs": [item]}, lambda found: found["outputs"][0]["data"]),
        ("/v1/models/tagger:predict", {"instances": x.tolist()}, lambda found: found["predictions"]),
        ("/v1/models/tagger:predict", {"inputs": x.tolist()}, lambda found: found["outputs"]),
    ):
        answer = client.post(path, content=json.dumps(request))
        assert answer.status_code == 200, answer.text
        found = np.array(read(json.loads(answer.text)), np.float32).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)
    tritonhttp = pytest.importorskip("tritonclient.http")
    with tritonhttp.InferenceServerClient(f"127.0.0.1:{server.port}") as triton:
        given = tritonhttp.InferInput("x", x.shape, "FP32")
        given.set_data_from_numpy(x, binary_data=False)
        wanted = [tritonhttp.InferRequestedOutput("dense", binary_data=False)]
        found = triton.infer("tagger", [given], outputs=wanted).as_numpy("dense")
    np.testing.assert_array_equal(found, expected)
    for text in ('{"inputs": NaN}', '{"id": "\\ud800", "inputs": [NaN]}', "[NaN" * 3000, "NaN", '{"instances": [nan]}'):
        for path in ("/v2/models/tagger/infer", "/v1/models/tagger:predict"):
            answer = client.post(path, content=text)
            assert answer.status_code == 400 and answer.json()["error"], text[:40]


def test_ids_are_whole_numbers(folder):
    with running(ROOT / "models" / "licence.keras") as server, httpx.Client(base_url=server.url) as client:
        name = client.get("/v2/models/licence").json()["inputs"][0]["name"]
        for first, status in ((1.5, 400), (1.0, 200)):
            item = {"name": name, "datatype": "FP32", "shape": [1, 2], "data": [first, 2]}
            assert client.post("/v2/models/licence/infer", json={"inputs": [item]}).status_code == status
            answer = client.post("/v1/models/licence:predict", json={"instances": [[first, 2]]})
            assert answer.status_code == status, answer.text


@pytest.mark.filterwarnings("ignore")
def test_texts(tmp_path):
    triton = pytest.importorskip("tritonclient.http")
    for name in ("text_lstm", "looked_up_words"):
        shutil.copy(ROOT / "tests" / "golden" / f"keras3_{name}.keras", tmp_path / f"{name}.keras")
    model, words = li.load_model(tmp_path / "text_lstm.keras"), ["the dogs", "", "b\u00e4 cats dogs"]
    expected, [name] = model.predict(np.array(words)[:, None]), model.input_names
    with running(tmp_path) as server, httpx.Client(base_url=server.url) as client:
        found = client.get("/v2/models/text_lstm").json()["inputs"]
        assert found == [{"name": name, "datatype": "BYTES", "shape": [-1, 1]}]
        for shape in ([3, 1], [3]):
            item = {"name": name, "datatype": "BYTES", "shape": shape, "data": words}
            found = client.post("/v2/models/text_lstm/infer", json={"inputs": [item]}).json()["outputs"][0]["data"]
            assert (np.float32(found) == expected.ravel()).all()
        caller = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        for is_binary in (True, False):
            given = triton.InferInput(name, [3, 1], "BYTES")
            given.set_data_from_numpy(np.array(words, object)[:, None], binary_data=is_binary)
            found = caller.infer("text_lstm", [given]).as_numpy(model.output_names[0])
            assert (found == expected).all()
        caller.close()
        packed = {"b64": base64.b64encode(words[2].encode()).decode()}
        for instances in (words, [[w] for w in words], [{name: [w]} for w in words], [*words[:2], packed]):
            answer = client.post("/v1/models/text_lstm:predict", json={"instances": instances})
            assert answer.status_code == 200, answer.text
            assert (np.float32(answer.json()["predictions"]) == expected).all()
        answer = client.post("/v1/models/text_lstm:predict", json={"inputs": words})
        assert (np.float32(answer.json()["outputs"]) == expected).all()
        for rubbish in ([1], [None], [["a"], 3], [{"b64": "?"}], [[[["a"]]]], [["a", "b"]]):
            answer = client.post("/v1/models/text_lstm:predict", json={"instances": rubbish})
            assert answer.status_code == 400 and answer.json()["error"]
        for datatype, data in (("FP32", [1]), ("BYTES", [1]), ("BYTES", "a"), ("BYTES", ["a", "b"])):
            item = {"name": name, "datatype": datatype, "shape": [1, 1], "data": data}
            answer = client.post("/v2/models/text_lstm/infer", json={"inputs": [item]})
            assert answer.status_code == 400 and answer.json()["error"]
        signature = client.get("/v1/models/text_lstm/metadata").json()["metadata"]["signature_def"]
        assert signature["signature_def"]["serving_default"]["inputs"][name]["dtype"] == "DT_STRING"
        assert client.get("/v2/models/looked_up_words").status_code == 200


def good():
    return {"name": "x", "datatype": "FP32", "shape": [1, 1, 4], "data": [1, 2, 3, 4]}


RUBBISH = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, {}, {"inputs": None}, {"inputs": [1]}, {"inputs": []},
    {"inputs": [good(), good()]},
    *({"inputs": [{**good(), name: value}]} for name, value in (
        ("name", 5), ("name", "y"), ("datatype", "FP99"), ("datatype", None), ("datatype", "BYTES"), ("shape", "x"),
        ("shape", [1, -1, 4]), ("shape", [1 << 40, 1 << 40]), ("shape", [1, 1, 5]), ("shape", [4]), ("shape", [1.5]),
        ("shape", [1] * 40), ("data", None), ("data", "abc"), ("data", [[1, 2], [3]]), ("data", ["a"] * 4),
        ("data", [None] * 4), ("data", [1, 2, 3]), ("data", {}), ("parameters", 3), ("shape", [1, 0, 4]),
        ("parameters", {"binary_data_size": 16}), ("parameters", {"binary_data_size": -1}),
        ("parameters", {"binary_data_size": 0}), ("parameters", {"shared_memory_region": "r"}),
    )),
    *({"inputs": [good()], **more} for more in (
        {"outputs": [{"name": "other"}]}, {"outputs": 3}, {"outputs": [{}]}, {"parameters": []}, {"id": 5},
        {"parameters": {"sequence_id": 1.5}}, {"parameters": {"sequence_id": "x" * 300}},
        {"parameters": {"sequence_id": True}}, {"parameters": {"sequence_id": 1, "sequence_start": 1}},
        {"inputs": [{**good(), "shape": [], "data": [1]}], "parameters": {"sequence_id": 9, "sequence_start": True}},
        {"inputs": [{**good(), "shape": [], "data": [1]}]}, {"parameters": {"timeout": "x"}},
        {"parameters": {"timeout": -1}},
        {"outputs": [{"name": "dense", "parameters": {"classification": 2}}]},
        {"outputs": [{"name": "dense", "parameters": {"shared_memory_region": "r"}}]},
    )),
]  # fmt: skip


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_gets_a_reason(client, rubbish):
    content = rubbish if isinstance(rubbish, bytes) else json.dumps(rubbish)
    answer = client.post("/v2/models/tagger/infer", content=content)
    assert answer.status_code == 400 and len(answer.json()["error"]) > 10
    assert "Traceback" not in answer.text and ask(client, x_of(1)).shape == (1, 1, 2)


def test_paths_that_lead_nowhere(client):
    for path, status in (
        ("/v2/models/nobody", 404), ("/v2/models/tagger/versions/9", 404), ("/v2/models/tagger/versions/x", 404),
        ("/v2/models/..%2f..%2fetc%2fpasswd", 404), ("/etc/passwd", 404), ("/v2/models/tagger/infer", 405),
        ("/v1/models/nobody", 404), ("/v1/models/tagger:predict", 405),
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == status and answer.json()["error"]
    answer = client.delete("/v2/models/tagger")
    assert answer.status_code == 405 and "GET" in answer.headers["allow"] and "expected GET, HEAD" in answer.text


# ---------------------------------------------------------------- streams
def test_streams_are_pieces_of_one_sequence(client, tagger):
    x, session = x_of(20), tagger.session()
    assert ask(client, x[:, :1], sequence_id="a", status=409).json()["error"].endswith("sequence_start with it")
    for n, piece in enumerate(np.split(x, [1, 2, 7], axis=1)):
        y = ask(client, piece, sequence_id="a", sequence_start=n == 0)
        assert (y == session.predict(piece)).all()
    session.reset_states()
    y = ask(client, x[:, :5], sequence_id="a", sequence_start=True, sequence_end=True)
    assert (y == session.predict(x[:, :5])).all()
    ask(client, x[:, :1], sequence_id="a", status=409)
    ask(client, x_of(2, 2), sequence_id="a", sequence_start=True, status=400)


def test_streams_at_once(server, tagger):
    x = x_of(12, 24)

    def call(n):
        with httpx.Client(base_url=server.url, timeout=60) as client:
            pieces = [ask(client, x[n : n + 1, t : t + 1], sequence_id=n + 1, sequence_start=t == 0) for t in range(12)]
            return np.concatenate(pieces, axis=1)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(24)))
    assert (np.concatenate(answers) == tagger.predict(x)).all()


def test_websocket(server, tagger):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    x, url = x_of(6), f"ws://127.0.0.1:{server.port}/stream"
    expected = tagger.predict(x)[0]
    with connect(f"{url}/tagger") as one, connect(f"{url}/tagger/versions/2") as other:
        for t in range(6):
            one.send(json.dumps(x[0, t].tolist()) if t % 2 else json.dumps({"x": x[0, t].tolist()}))
            other.send(x[0, t].astype("<f4").tobytes())
            assert (np.float32(json.loads(one.recv())) == expected[t]).all()
            assert (np.frombuffer(other.recv(), "<f4") == expected[t]).all()
            one.send("rubbish")
            assert "no JSON" in json.loads(one.recv())["error"]
            other.send(b"123")
            assert "3 bytes" in json.loads(other.recv())["error"]
    for name, status, reason in (
        ("nobody", 404, b"no model"), ("digits", 400, b"has no streams"), ("tagger/versions/7", 404, b"no version"),
        ("tagger/nowhere", 404, b"not here"),
    ):  # fmt: skip
        with pytest.raises(InvalidStatus) as refused, connect(f"{url}/{name}"):
            pass
        assert refused.value.response.status_code == status
        assert reason in (refused.value.response.body or reason)  # older clients do not read it
    assert not [line for line in server.lines if "handshake" in line["event"]]


# ---------------------------------------------------------------- TensorFlow Serving
def test_tensorflow_serving(client, tagger, folder):
    assert client.get("/v1/models/tagger").json()["model_version_status"][1]["state"] == "AVAILABLE"
    signature = client.get("/v1/models/tagger/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signature["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    x = x_of(4, 3)
    expected = tagger.predict(x)

    def predict(path="/v1/models/tagger:predict", **request):
        answer = client.post(path, json=request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    rows = predict(instances=x.tolist())["predictions"]
    assert (np.float32(rows) == expected).all()
    rows = predict(instances=[{"x": row} for row in x.tolist()], signature_name="serving_default")["predictions"]
    assert (np.float32(rows) == expected).all()
    assert (np.float32(predict(inputs=x.tolist())["outputs"]) == expected).all()
    assert (np.float32(predict(inputs={"x": x.tolist()})["outputs"]) == expected).all()
    first = li.load_model(folder / "tagger" / "1" / "model.keras").predict(x)
    assert (np.float32(predict("/v1/models/tagger/versions/1:predict", inputs=x.tolist())["outputs"]) == first).all()
    ragged = [x_of(n)[0] for n in (3, 1, 8)]
    rows = predict(instances=[row.tolist() for row in ragged])["predictions"]
    assert all((np.float32(y) == tagger.predict(row[None])[0]).all() for y, row in zip(rows, ragged, strict=True))
    co2, past, previous = li.load_model(ROOT / "models" / "co2.h5"), RANDOM.normal(size=(2, 36, 1)), np.ones((2, 3, 1))
    found = predict("/v1/models/co2:predict", inputs={"past": past.tolist(), "previous": previous.tolist()})
    assert (np.float32(found["outputs"]) == co2.predict([past, previous])).all()
    pairs = zip(past.tolist(), previous.tolist(), strict=True)
    found = predict("/v1/models/co2:predict", instances=[{"past": a, "previous": b} for a, b in pairs])
    assert (np.float32(found["predictions"]) == co2.predict([past, previous])).all()


@pytest.mark.parametrize(
    "rubbish",
    [
        {}, {"instances": 3}, {"instances": []}, {"instances": [1]}, {"instances": ["a"]}, {"instances": [[[1, 2]]]},
        {"instances": [{"y": 1}]}, {"instances": [{"x": [[1, 2, 3, 4]]}, 3]}, {"inputs": {"y": 1}}, {"inputs": "abc"},
        {"inputs": [[[1, 2, 3, 4]]], "instances": []}, {"inputs": [[[1, 2, 3, 4]]], "signature_name": "other"},
    ],
    ids=str,
)  # fmt: skip
def test_tensorflow_rubbish(client, rubbish):
    answer = client.post("/v1/models/tagger:predict", json=rubbish)
    assert answer.status_code == 400 and answer.json()["error"]


# ---------------------------------------------------------------- limits
def test_limits(client, server):
    answer = client.post("/v2/models/tagger/infer", content=b" " * 200_000)
    assert answer.status_code == 413 and "100000 bytes" in answer.json()["error"]
    answer = client.post("/v2/models/tagger/infer", content=iter([b" " * 60_000] * 3))
    assert answer.status_code == 413
    bomb = gzip.compress(b" " * 10_000_000)
    answer = client.post("/v2/models/tagger/infer", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    for content, encoding, status in ((b"x", "gzip", 400), (gzip.compress(b"{}")[:12], "gzip", 400), (b"x", "br", 415)):
        answer = client.post("/v2/models/tagger/infer", content=content, headers={"content-encoding": encoding})
        assert answer.status_code == status and answer.json()["error"]
    assert ask(client, x_of(1001).round(0), status=413).json()["error"].endswith("1000 at most")
    answer = ask(client, x_of(900).round(0), timeout=1, status=504)
    assert "time it may take" in answer.json()["error"]
    assert ask(client, x_of(1)).shape == (1, 1, 2)


def test_slow_and_vanishing_callers(server, client):
    head = b"POST /v2/models/tagger/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(head)
        slow.settimeout(30)
        assert b"408" in slow.recv(1000)
    for start in (b"", b"GET /v2 HTTP/1.1\r\nhost:", b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\nGET"):
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(start)
            slow.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                while slow.recv(1000):
                    pass
    for start in (b"", b"GET", b"\x16\x03\x01\x02", head, b"POST / HTTP/9\r\n\r\n", b"\r\n" * 100):
        with socket.create_connection(("127.0.0.1", server.port)) as rude:
            rude.sendall(start)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert ask(client, x_of(1)).shape == (1, 1, 2)
    assert server.process.poll() is None


def talk(server, *parts, seconds=30, ends=False):
    """Send bytes, and return what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.settimeout(seconds)
        for part in parts:
            caller.sendall(part)
        if ends:
            caller.shutdown(socket.SHUT_WR)
        answer = b""
        while more := caller.recv(1 << 16):
            answer += more
        return answer


def error_of(answer):
    """The status and the reason of an answer that a socket got, which must have a name."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"x-request-id: " in head and b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


POST = b"POST /v2/models/tagger/infer HTTP/1.1\r\nhost: x\r\n"


def open_unread(server, *parts):
    """Send something on a connection on which nobody reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", server.port))
    for part in parts:
        connection.sendall(part)
    return connection


def is_broken_off(connection, more, seconds=60):
    """Whether the other side breaks off a connection on which nobody reads, however much is sent."""
    left, until = more, time.monotonic() + seconds
    connection.settimeout(0.1)
    while time.monotonic() < until:
        try:
            left = left[connection.send(left) :] or more
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def read_late(connection):
    """Return what was sent to a caller until the other side had enough of waiting."""
    connection.settimeout(30)
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def large_request(timesteps=100_000, rows=4):
    x = x_of(timesteps, rows)
    item = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}
    text = json.dumps({"inputs": [item]}).encode()
    head = f"inference-header-content-length: {len(text)}\r\ncontent-length: {len(text) + x.nbytes}\r\n\r\n"
    return f"POST /v2/models/tagger/infer HTTP/1.1\r\nhost: a\r\n{head}".encode(), text, x.tobytes()


UPGRADE = (
    b"GET /stream/tagger HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
)
WORDY = b"\x81\xfe\x00\xc8" + bytes(4) + b'{"' + 194 * b"a" + b'":1}'  # gets a reason as long
PING = b"\x89\xfd" + bytes(4 + 125)


def test_callers_that_do_not_read(folder, tagger):
    with running(folder, "--body-timeout", "1") as server, httpx.Client(base_url=server.url, timeout=60) as client:
        large, stream = open_unread(server, *large_request()), open_unread(server, UPGRADE)
        assert is_broken_off(stream, 100 * WORDY)
        time.sleep(1)
        head, _, body = read_late(large).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and f"content-length: {len(body)}".encode() not in head
        until = time.monotonic() + 10
        while "websockets 0.0" not in (text := client.get("/metrics").text) and time.monotonic() < until:
            time.sleep(0.1)
        assert "lstm_infer_websockets 0.0" in text
        assert 'lstm_infer_sessions{model="tagger",version="2"} 0.0' in text
        x = x_of(7)
        assert np.array_equal(ask(client, x), tagger.predict(x))
        memory = memory_of(server)
        pings, until = open_unread(server, UPGRADE), time.monotonic() + 3
        pings.settimeout(0.1)
        with contextlib.suppress(OSError):
            while time.monotonic() < until:
                pings.sendall(1000 * PING)
        assert memory_of(server) < memory + 20_000  # KiB
        late = open_unread(server, *large_request())
        server.wait_for("request", number=len([1 for line in server.lines if line["event"] == "request"]) + 1)
        began = time.monotonic()
        assert server.stop() == 0 and time.monotonic() - began < 20
        for connection in (large, stream, pings, late):
            connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what the system holds is not known")
@pytest.mark.parametrize("ends", [False, True])
def test_callers_that_read_slowly_get_everything(folder, ends):
    with running(folder, "--body-timeout", "1") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            for part in large_request():
                slow.sendall(part)
            if ends:
                slow.shutdown(socket.SHUT_WR)
            until, begin = time.monotonic() + 6, b""
            while time.monotonic() < until:
                begin += slow.recv(20_000)
                time.sleep(0.1)
            slow.settimeout(3)
            with contextlib.suppress(TimeoutError):
                while part := slow.recv(1 << 20):
                    begin += part
        head, _, body = begin.partition(b"\r\n\r\n")
        assert f"content-length: {len(body)}".encode() in head


def memory_of(server):
    from lstm_infer.serve import tally

    return tally.memory_of(server.process.pid)[0]


@pytest.mark.parametrize(
    "parts",
    [
        [b"GET /v2 HTTP/1.1\r\nhost: x\r\nendless: ", *[b"a" * 10_000] * 100],
        [b"GET /v2 HTTP/1.1\r\nhost: x\r\n", *[b"one: " + b"a" * 900 + b"\r\n"] * 1000],
        [b"GET /v2 HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 70_000 + b"\r\n\r\n"],
        [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
        [b"GET /", *[b"a" * 10_000] * 100],
        [POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nafter: ", *[b"a" * 10_000] * 100],
    ],
    ids=["one header", "many headers", "whole head", "whole path", "path", "trailer"],
)
def test_heads_are_limited(server, client, parts):
    status, reason = error_of(talk(server, *parts))
    assert status == 431 and "65536 bytes" in reason
    assert ask(client, x_of(1)).shape == (1, 1, 2)


def test_long_heads_and_bodies_are_no_endless_ones(server, client):
    assert client.get("/v2", headers={"long": "a" * 60_000}).status_code == 200
    for _ in range(3):
        answer = client.post("/v2/models/tagger/infer", content=iter([b"x" * 9] * 9000))
        assert answer.status_code == 400 and "no JSON" in answer.text


def test_what_is_no_http_gets_a_reason(server, client):
    for rubbish in (b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\nhost x\r\n\r\n", POST + b"content-length: x\r\n\r\n"):
        status, reason = error_of(talk(server, rubbish))
        assert status == 400 and "no HTTP" in reason


def test_half_closed_connections_are_answered(server, tagger):
    x = x_of(3)
    item = {"name": "x", "datatype": "FP32", "shape": [1, 3, 4], "data": x.ravel().tolist()}
    body = json.dumps({"inputs": [item]}).encode()
    whole = POST + b"content-length: %d\r\n\r\n" % len(body) + body
    for number in (1, 3):
        answer = talk(server, whole * number, ends=True)
        assert answer.count(b"HTTP/1.1 200") == number
        found = json.loads(answer[answer.rindex(b"\r\n\r\n") :])["outputs"][0]["data"]
        assert (np.float32(found) == tagger.predict(x).ravel()).all()
    assert talk(server, whole[:-1], ends=True) == b""


def test_rubbish_after_requests_waits_for_their_answers(server, tagger):
    x = x_of(3)
    item = {"name": "x", "datatype": "FP32", "shape": [1, 3, 4], "data": x.ravel().tolist()}
    body = json.dumps({"inputs": [item]}).encode()
    whole = POST + b"content-length: %d\r\n\r\n" % len(body) + body
    for rubbish, status in ((b"rubbish\r\n\r\n", b"400"), (b"GET /" + b"x" * 200_000, b"431")):
        for number, ends in ((1, False), (3, False), (3, True)):
            answer = talk(server, whole * number + rubbish, ends=ends)
            found = re.findall(rb"HTTP/1.1 (\d+)", answer)
            assert found == [b"200"] * number + [status]
    assert not [line for line in server.lines if "traceback" in line]


def test_connections_are_limited(folder):
    with running(folder / "tagger" / "2" / "model.keras", "--connections", "3") as server:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            status, reason = error_of(answer := talk(server, b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n"))
            assert status == 503 and "too many connections" in reason and b"retry-after: 1" in answer
            assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
            assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
            from websockets.sync.client import connect

            with pytest.raises(Exception, match="503"), connect(f"ws://127.0.0.1:{server.port}/stream/model"):
                pass
        until = time.monotonic() + 30
        while httpx.get(f"{server.url}/v2").status_code != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert httpx.get(f"{server.url}/v2").status_code == 200


def test_crowds_of_idle_callers_pass(folder):
    model = folder / "tagger" / "2" / "model.keras"
    with running(model, "--connections", "20") as server, contextlib.ExitStack() as crowd:
        for _ in range(200):  # of which some stay, some are soon gone, and most are gone at once
            crowd.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
                break
            time.sleep(0.1)
        assert time.monotonic() < until


@pytest.mark.parametrize(("soft", "hard", "room"), [(100, 100, 33), (100, 400, 133), (100, 900, 500), (900, 900, 500)])
def test_connections_get_room_among_open_files(soft, hard, room):
    pytest.importorskip("resource")
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from lstm_infer.serve.server import make_room; print(make_room(500))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == [str(room)], done.stderr


def test_metrics_and_request_ids(client, server):
    answer = client.get("/v2", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    for strange in ("two words", "a" * 100):
        assert client.get("/v2", headers={"x-request-id": strange}).headers["x-request-id"] != strange
    ask(client, x_of(3))
    text = client.get("/metrics").text
    for name in (
        'lstm_infer_requests_total{protocol="v2",status="200"}', "lstm_infer_request_seconds_bucket",
        'lstm_infer_row_rounds_total{model="tagger",version="2"}', "lstm_infer_rows_queued", "lstm_infer_sessions",
    ):  # fmt: skip
        assert name in text
    until = time.monotonic() + 10  # lines of requests wait a moment for others
    while not any(line.get("id") == "mine-1" and line["status"] == 200 for line in server.lines):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_sessions_and_queues_are_limited(folder):
    limits = ["--sessions", "2", "--queue", "4", "--max-answer", "800"]
    with running(folder / "tagger" / "2" / "model.keras", *limits) as server:
        with httpx.Client(base_url=server.url) as client:
            path = "/v2/models/model/infer"
            for n in (1, 2):
                ask(client, x_of(1), path, sequence_id=n, sequence_start=True)
            answer = ask(client, x_of(1), path, sequence_id=3, sequence_start=True, status=503)
            assert "2 at most" in answer.json()["error"] and int(answer.headers["retry-after"]) >= 1
            ask(client, x_of(1), path, sequence_id=1, sequence_end=True)
            ask(client, x_of(1), path, sequence_id=3, sequence_start=True)
            ask(client, x_of(1, 5), path, status=400)
            assert "answer has 808 bytes" in ask(client, x_of(101), path, status=413).text
        assert server.stop() == 0


def test_tokens(folder, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret\n")
    with running(folder / "digits.keras", "--token-file", str(token)) as server:
        assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
        for value in (None, "Bearer wrong", "secret", "Basic secret", "Bearer", "Bearer s\u00e9cret".encode()):
            answer = httpx.get(f"{server.url}/v2/models/digits", headers={"authorization": value} if value else {})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert httpx.get(f"{server.url}/metrics").status_code == 401
        answer = httpx.get(f"{server.url}/v2/models/digits", headers={"authorization": "bearer secret"})
        assert answer.status_code == 200
        from websockets.sync.client import connect

        with pytest.raises(Exception, match="401"), connect(f"ws://127.0.0.1:{server.port}/stream/digits"):
            pass
        assert server.stop(signal.SIGINT) == 0


# ---------------------------------------------------------------- changes
def test_models_are_replaced_without_dropping_requests(tmp_path):
    path = tmp_path / "tagger.keras"
    path.write_bytes(model_file(1))
    answers, x, stopped = [], x_of(40), threading.Event()
    with running(tmp_path) as server:

        def call():
            with httpx.Client(base_url=server.url, timeout=60) as client:
                while not stopped.is_set():
                    answers.append(ask(client, x))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        with httpx.Client(base_url=server.url) as client:
            ask(client, x, sequence_id=5, sequence_start=True)
            for version in (2, 3):
                (tmp_path / "new").write_bytes(model_file(version))
                os.replace(tmp_path / "new", path)
                server.wait_for("loaded", number=version)
            ask(client, x, sequence_id=5)
            time.sleep(0.2)
            stopped.set()
            for thread in threads:
                thread.join()
            (tmp_path / "other.keras").write_bytes(b"rubbish")
            server.wait_for("not loaded")
            (tmp_path / "other.keras").write_bytes(model_file(4))
            server.wait_for("loaded", number=4)
            path.unlink()
            server.wait_for("removed")
            assert client.get("/v2/models/tagger").status_code == 404
            assert client.get("/v2/models/other").status_code == 200
        assert server.stop() == 0
    expected = []
    for version in (1, 2, 3):
        path.write_bytes(model_file(version))
        expected.append(li.load_model(path).predict(x))
    which = [[(y == one).all() for one in expected].index(True) for y in answers]
    assert which == sorted(which) or set(which) == {0, 1, 2}
    assert set(which) >= {0, 2}


def test_streams_go_on_with_the_version_they_began_with(tmp_path):
    from websockets.sync.client import connect

    models, x = {}, x_of(6)
    for version in (1, 2):
        (tmp_path / f"{version}.keras").write_bytes(model_file(version))
        models[str(version)] = li.load_model(tmp_path / f"{version}.keras")
        (tmp_path / f"{version}.keras").unlink()
    folder = tmp_path / "tagger"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.keras").write_bytes(model_file(1))
    with running(tmp_path) as server, httpx.Client(base_url=server.url) as client:

        def piece(part, version, where="", **parameters):
            item = {"name": "x", "datatype": "FP32", "shape": [1, 2, 4], "data": x[:, part : part + 2].tolist()}
            request = {"inputs": [item], "parameters": {"sequence_id": "one", **parameters}}
            answer = client.post(f"/v2/models/tagger{where}/infer", json=request)
            if version is None:
                return answer.status_code
            [found], expected = answer.json()["outputs"], models[version].predict(x[:, : part + 2])[0, part:]
            assert answer.json()["model_version"] == version
            return (np.float32(found["data"]).reshape(expected.shape) == expected).all()

        with connect(f"{server.url.replace('http', 'ws')}/stream/tagger") as stream:

            def step(t):
                stream.send(x[0, t].tobytes())
                return (np.frombuffer(stream.recv(), "<f4") == models["1"].predict(x[:, : t + 1])[0, t]).all()

            assert piece(0, "1", sequence_start=True) and step(0)
            (tmp_path / "new").mkdir()
            (tmp_path / "new" / "model.keras").write_bytes(model_file(2))
            os.replace(tmp_path / "new", folder / "2")
            server.wait_for("loaded", number=2)
            assert piece(2, "1") and step(1)
            assert piece(0, "2", "/versions/2", sequence_start=True)  # a stream of its own
            assert piece(4, "1") and step(2) and piece(2, "2", "/versions/2")
            assert piece(0, "2", sequence_start=True) and piece(2, "2") and piece(4, "2", sequence_end=True)
            assert piece(4, None) == 409
            assert server.stop() == 0


def test_being_told_to_stop_ends_no_request(folder):
    model = li.load_model(folder / "tagger" / "2" / "model.keras")
    with running(folder / "tagger" / "2" / "model.keras") as server:
        x = x_of(4000, 8)
        with concurrent.futures.ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.url, timeout=60) as client:
            future = pool.submit(ask, client, x, "/v2/models/model/infer")
            time.sleep(0.15)
            assert server.stop() == 0
            try:
                assert (future.result() == model.predict(x)).all()
            except httpx.TransportError:  # on a slow machine the request may not have arrived before the signal
                assert not any(line["event"] == "request" for line in server.lines)
        assert [line for line in server.lines if line["event"] == "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_streams_survive_a_restart(folder, tmp_path, number):
    path, x = folder / "tagger" / "2" / "model.keras", x_of(9, 3)
    model = li.load_model(path)
    options = [path, "--snapshots", str(tmp_path / "snapshots")]
    with running(*options) as server, httpx.Client(base_url=server.url) as client:
        for n in range(3):
            ask(client, x[n : n + 1, :4], "/v2/models/model/infer", sequence_id=f"s{n}", sequence_start=True)
        if number == signal.SIGKILL:
            time.sleep(1)
        status = server.stop(number)
        assert status == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    with running(*options) as server, httpx.Client(base_url=server.url) as client:
        for n in range(3):
            y = ask(client, x[n : n + 1, 4:], "/v2/models/model/infer", sequence_id=f"s{n}")
            assert (y == model.predict(x[n : n + 1])[:, 4:]).all()
        [line] = [line for line in server.lines if line["event"] == "streams"]
        assert line["restored"] == 3 and line["level"] == ("info" if number == signal.SIGTERM else "warning")
        command = [sys.executable, "-m", "lstm_infer", "serve", *map(str, options), "--port", "0"]
        other = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert other.returncode == 2 and "another server" in other.stderr and "Traceback" not in other.stderr


def test_wrong_usage(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "lstm_infer", "serve", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.h5").write_bytes(b"rubbish")
    (tmp_path / "token").write_text("\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments in (
            [tmp_path / "nothing"], [tmp_path / "empty"], [tmp_path / "bad.h5"], [tmp_path, "--port", "x"],
            [ROOT / "models" / "sunspots.h5", "--token-file", tmp_path / "token"],
            [ROOT / "models" / "sunspots.h5", "--port", taken.getsockname()[1]],
        ):  # fmt: skip
            done = run(*arguments)
            assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


# ---------------------------------------------------------------- the load test
@pytest.mark.filterwarnings("ignore")
def test_the_load_test(server, folder, tmp_path, capsys):
    from lstm_infer.serve import loadtest

    check = ["--check", str(folder / "tagger" / "2" / "model.keras"), "--json", str(tmp_path / "found.json")]
    load = ["--rate", "30", "--clients", "2", "--streams", "3", "--rude", "2", "--seconds", "3"]
    arguments = [server.url, "tagger", *load]
    plots = ["--plot", str(tmp_path / "found.png")] if _has_matplotlib() else []
    status = loadtest.main([*arguments, *check, *plots, "--pid", str(server.process.pid)])
    text = capsys.readouterr().out
    assert status == 0, text
    assert "p99.9" in text and "wrong 0, lost 0" in text and "MiB" in text and "rude: " in text
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found["statuses"]) == {"200"} and len(found["latencies"]) > 50
    assert not plots or (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="status 404"):
        loadtest.main([server.url, "nobody"])
    assert loadtest.main(["http://127.0.0.1:9", "tagger"]) == 2
    with pytest.raises(SystemExit, match="expected http"):
        loadtest.main([server.url.replace("http:", "https:"), "tagger"])
    with pytest.raises(SystemExit, match="the server's has"):
        loadtest.main([server.url, "tagger", "--check", str(folder / "digits.keras")])
    assert loadtest.main([server.url, "tagger", "--check", str(folder / "broken.h5")]) == 2


def test_the_benchmark_measures_over_http(server):
    from lstm_infer.bench import overhttp, serving

    found = serving.measure_over_http(1, 0.5, rates=[30, 60], give_up=60, units=8, features=3)
    assert [rate for rate, _, _ in found] == [30, 60] and all(0 < p50 <= p99 < 60 for _, p50, p99 in found)
    with pytest.raises(SystemExit, match="failed"):
        serving.measure_peer_over_http(sys.executable, 0.5, [(8, 1, 1, "no configuration", 5)])
    with pytest.raises(SystemExit, match="status 404"):  # there it is not
        overhttp.load(server.url, 30, 0.5)


def _has_matplotlib():
    with contextlib.suppress(ImportError):
        import matplotlib  # noqa: F401

        return True
    return False
