"""What the server offers, as an OpenAPI document and as a page for people."""

from html import escape

from .. import __version__

PATHS = (
    ("get", "/v2", "The server's name, version and extensions"),
    ("get", "/v2/health/live", "Whether the server runs"),
    ("get", "/v2/health/ready", "Whether all models are loaded"),
    ("post", "/v2/repository/index", "All models, also those that could not be loaded, and why"),
    ("get", "/v2/models/{model}", "A model's inputs and outputs (also /versions/{version})"),
    ("get", "/v2/models/{model}/ready", "Whether a model is ready (also with /versions/{version})"),
    ("post", "/v2/models/{model}/infer", "Open Inference Protocol, JSON and binary tensors, also pieces of streams "
     "by sequence_id, sequence_start and sequence_end (also with /versions/{version})"),
    ("get", "/v1/models/{model}", "TensorFlow Serving: a model's status"),
    ("get", "/v1/models/{model}/metadata", "TensorFlow Serving: a model's signature"),
    ("post", "/v1/models/{model}:predict", "TensorFlow Serving: rows (instances) or columns (inputs)"),
    ("get", "/stream/{model}", "WebSocket: one timestep in, one prediction out, one stream per connection"),
    ("get", "/metrics", "Prometheus"),
)  # fmt: skip
ANSWERS = {
    "200": "The answer",
    "400": "The data does not fit the model: the reason says what was found and what was expected",
    "401": "A bearer token is missing or wrong",
    "404": "No such model",
    "408": "The body did not arrive in time",
    "409": "No such stream",
    "413": "The body is too large",
    "503": "Too many requests or streams; Retry-After says when to come again",
    "504": "No answer within the time the request may take",
}


def document():
    """Return the OpenAPI document."""
    error = {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}
    answers = {s: {"description": d, **({"content": error} if s != "200" else {})} for s, d in ANSWERS.items()}
    paths = {}
    for method, path, text in PATHS:
        parameters = [
            {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
        ] if "{model}" in path else []  # fmt: skip
        entry = {"summary": text, "parameters": parameters, "responses": answers}
        if method == "post":
            entry["requestBody"] = {"content": {"application/json": {"schema": {"type": "object"}}}}
        paths.setdefault(path, {})[method] = entry
    info = {"title": "lstm_infer", "version": __version__, "description": "Predictions of Keras recurrent models."}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def page(models):
    """Return the page for people, with the names of the models."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{escape(text)}</td></tr>"
        for method, path, text in PATHS
    )
    codes = "".join(f"<tr><td>{status}</td><td>{escape(text)}</td></tr>" for status, text in ANSWERS.items())
    names = ", ".join(f"<code>{escape(name)}</code>" for name in models) or "none"
    return (
        "<!doctype html><meta charset=utf-8><title>lstm_infer</title>"
        "<style>body{font:16px sans-serif;margin:2em;max-width:60em}td{padding:.2em 1em .2em 0}</style>"
        f"<h1>lstm_infer {escape(__version__)}</h1><p>Models: {names}</p><table>{rows}</table>"
        f'<h2>Answers</h2><table>{codes}</table><p><a href="/openapi.json">openapi.json</a></p>'
    )
