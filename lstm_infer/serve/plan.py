"""What a load test asks: requests that are ready to be sent, with the right answers where they are known."""

import json
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from .client import Connections

SEQUENCES = 256
"""Different sequences that are sent."""


class Case(NamedTuple):
    """A request that is ready to be sent, and the right answer where it is known."""

    head: bytes
    body: bytes
    expected: np.ndarray | None


class Plan(NamedTuple):
    """What is asked of whom."""

    host: str
    port: int
    model: str
    name: str
    features: tuple
    cases: list
    local: object


def encode(plan, x, **parameters):
    """Return the head and body of a request to infer, with x as bytes."""
    size = {"binary_data_size": x.nbytes}
    item = {"name": plan.name, "datatype": "FP32", "shape": list(x.shape), "parameters": size}
    parameters = {"binary_data_output": True, **parameters}
    text = json.dumps({"inputs": [item], "parameters": parameters}).encode()
    head = (
        f"POST /v2/models/{plan.model}/infer HTTP/1.1\r\nhost: {plan.host}:{plan.port}\r\n"
        f"inference-header-content-length: {len(text)}\r\n"
    ).encode()
    return head, text + x.tobytes()


def decode(headers, body):
    """Return the numbers of an answer."""
    length = int(headers[b"inference-header-content-length"])
    return np.frombuffer(body[length:], np.float32)


async def make_plan(options, random):
    """Ask the server what its model takes, and make the requests."""
    url = urlsplit(options.url if "//" in options.url else f"//{options.url}")
    if url.scheme not in ("", "http"):
        raise SystemExit(f"{options.url}: found {url.scheme}, expected http")
    host, port = url.hostname, url.port or 80
    connections = Connections(host, port)
    head = f"GET /v2/models/{options.model} HTTP/1.1\r\nhost: {host}:{port}\r\n".encode()
    status, _, body = await connections.ask(head, b"")
    connections.close()
    if status != 200:
        raise SystemExit(f"{options.url}: found status {status} for model '{options.model}': {body.decode()}")
    described = json.loads(body)["inputs"]
    if len(described) != 1 or len(described[0]["shape"]) < 3:
        raise SystemExit(f"found inputs {described}, expected one of shape (rows, timesteps, features)")
    _, timesteps, *features = described[0]["shape"]
    local = None
    if options.check:
        from ..loading import load_model

        local = load_model(options.check)
        found, expected = local.inputs[0].shape[1:], tuple(None if n < 0 else n for n in described[0]["shape"][1:])
        if len(local.inputs) > 1 or found != expected:
            raise SystemExit(f"{options.check}: found a model of inputs {found}, the server's has {expected}")
    plan = Plan(host, port, options.model, described[0]["name"], tuple(abs(n) for n in features), [], local)
    lengths = np.minimum(random.geometric(1 / options.mean, SEQUENCES), options.longest)
    for length in lengths if timesteps < 0 else [timesteps] * SEQUENCES:
        x = random.normal(size=(1, int(length), *plan.features)).astype(np.float32)
        expected = None if local is None else local.predict(x).ravel()
        plan.cases.append(Case(*encode(plan, x), expected))
    return plan
