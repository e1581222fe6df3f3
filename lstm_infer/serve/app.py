"""The HTTP application: which path leads where. What a path means is in ``inference``, ``tensorflow`` and ``socket``.

Starlette is imported when an application is made.
"""

import asyncio
import functools
from contextlib import asynccontextmanager
from math import prod

from .. import __version__
from ..errors import InputError
from ..layers.structure import map_structure
from . import inference, openapi, socket, tensorflow
from .bodies import read_body
from .door import Door
from .failures import Failure
from .metrics import Metrics
from .replies import Endpoint, Reply, json_reply, no_route
from .requests import ClosedError
from .settings import need
from .waiting import off_loop, wait

HEADER_LENGTH = "inference-header-content-length"
EXTENSIONS = ["binary_tensor_data", "sequence"]


def make_app(repository, settings):
    """Return the ASGI application.

    Parameters
    ----------
    repository : Repository
        Started; the application closes it when it ends.
    settings : Settings
    """
    routing = need("starlette.routing")
    need("orjson")
    metrics = Metrics(repository)
    api = _Api(repository, settings, metrics)

    @asynccontextmanager
    async def lifespan(app):
        yield
        await asyncio.get_running_loop().run_in_executor(None, repository.close)

    def route(path, handler, method="GET"):
        return routing.Route(path, Endpoint(handler, method))

    def versions(path, handler, method="GET"):
        name, last = path.split("{name}")
        return [
            route(path, handler, method),
            route(f"{name}{{name}}/versions/{{version}}{last}", handler, method),
        ]

    routes = [  # looked through in this order
        *versions("/v2/models/{name}/infer", api.infer, "POST"),
        *versions("/v1/models/{name}:predict", api.predict, "POST"),
        route("/v2", api.server),
        route("/v2/", api.server),
        route("/v2/health/live", api.live),
        route("/v2/health/ready", api.ready),
        route("/v2/repository/index", api.index, "POST"),
        *versions("/v2/models/{name}/ready", api.model_ready),
        *versions("/v2/models/{name}", api.model_metadata),
        *versions("/v1/models/{name}/metadata", api.signature),
        *versions("/v1/models/{name}", api.status),
        *(
            routing.WebSocketRoute(path, functools.partial(socket.stream, repository, settings, metrics))
            for path in ("/stream/{name}", "/stream/{name}/versions/{version}")
        ),
        route("/metrics", api.metrics),
        route("/openapi.json", api.openapi),
        route("/docs", api.docs),
        route("/", api.docs),
    ]
    app = routing.Router(routes, redirect_slashes=False, default=no_route, lifespan=lifespan)
    return Door(app, settings.token, metrics)


class _Api:
    """What is behind the paths."""

    def __init__(self, repository, settings, metrics):
        self._repository, self._settings, self._metrics = repository, settings, metrics

    def _get(self, request):
        return self._repository.get(request.path_params["name"], request.path_params.get("version"))

    # ------------------------------------------------------------ about the server
    async def server(self, request):
        return json_reply({"name": "lstm_infer", "version": __version__, "extensions": EXTENSIONS})

    async def live(self, request):
        return json_reply({"live": True})

    async def ready(self, request):
        is_ready = self._repository.is_ready
        return json_reply({"ready": is_ready}, 200 if is_ready else 503)

    async def index(self, request):
        found = [
            {"name": one.name, "version": one.version, "state": "READY", "reason": ""} for one in self._repository.all()
        ]
        failed = self._repository.failed().items()
        found += [{"name": name, "version": v, "state": "UNAVAILABLE", "reason": why} for (name, v), why in failed]
        return json_reply(found)

    async def metrics(self, request):
        return Reply(self._metrics.text(), kind="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request):
        return json_reply(openapi.document())

    async def docs(self, request):
        names = dict.fromkeys(served.name for served in self._repository.all())
        return Reply(openapi.page(names).encode(), kind="text/html; charset=utf-8")

    # ------------------------------------------------------------ Open Inference Protocol
    async def model_metadata(self, request):
        found = inference.metadata(self._get(request))
        found["versions"] = [s.version for s in self._repository.all() if s.name == found["name"]]
        return json_reply(found)

    async def model_ready(self, request):
        self._get(request)
        return json_reply({"ready": True})

    async def infer(self, request):
        self._get(request)  # nobody's body is read
        length = request.headers.get(HEADER_LENGTH)
        if length is not None and not (length.isdecimal() and len(length) < 19):
            raise Failure(400, f"found {HEADER_LENGTH} {length:.40}, expected a number of bytes")
        body = await read_body(request, self._settings)
        length = None if length is None else int(length)
        params = request.path_params
        choose = functools.partial(self._repository.get_for_stream, params["name"], params.get("version"))
        question = await off_loop(len(body), inference.read, body, length, choose)
        if question.sequence is None:
            y = await self._predict(request, question.x, question.timeout)
        else:
            y = await self._continue(request, question)
        text, length = await off_loop(_size(y), inference.write, question, y)
        if length is None:
            return Reply(text)
        return Reply(text, headers={HEADER_LENGTH: str(length)}, kind="application/octet-stream")

    async def _continue(self, request, question):
        """Compute a piece of a stream."""
        if any(value.shape[:1] != (1,) for value in question.x):
            shapes = [value.shape for value in question.x]
            raise Failure(400, f"found inputs of shapes {shapes} as a piece of a stream, expected one row")
        x = [value[0] for value in question.x]

        name, version = question.served.name, question.served.version

        def submit(served):
            self._check_sizes(served.model, question.x)
            if served.streams is None:
                raise Failure(400, f"model '{served.name}' has no streams: {served.scheduler.reason}")
            future = served.streams.submit(question.sequence, x, question.starts, question.ends)
            if question.starts:
                self._repository.note_start(served, question.sequence, request.path_params.get("version"))
            return future

        find = functools.partial(self._repository.get, name, version)
        y = await self._wait(request, submit, question.timeout, find)
        return map_structure(lambda array: array[None], y)

    async def _predict(self, request, x, timeout=None):
        most = self._settings.timeout
        seconds = most if timeout is None else min(most, timeout)

        def submit(served):
            self._check_sizes(served.model, x)
            return served.scheduler.submit(x, seconds)

        return await self._wait(request, submit)

    def _check_sizes(self, model, x):
        """Refuse what would take too long or too much memory: a few bytes of input may mean many of output."""
        lengths = [v.shape[1] for v, t in zip(x, model.inputs, strict=True) if len(t.shape) > 1 and v.ndim > 1]
        timesteps, most = max(lengths, default=1), self._settings
        if timesteps > most.timesteps:
            raise Failure(413, f"found {timesteps} timesteps, expected {most.timesteps} at most")
        rows = x[0].shape[0] if x[0].ndim else 1
        shapes = ([timesteps if n is None else n for n in tensor.shape[1:]] for tensor in model.outputs)
        size = rows * sum(prod(shape) * t.dtype.itemsize for shape, t in zip(shapes, model.outputs, strict=True))
        if size > most.answer:
            raise Failure(413, f"found a request whose answer has {size} bytes, expected {most.answer} at most")

    async def _wait(self, request, submit, timeout=None, find=None):
        """Submit to the model that `find` finds, or the one that the request names, and wait for the answer."""
        seconds = self._settings.timeout if timeout is None else min(self._settings.timeout, timeout)
        future = await self._submit(submit, find or functools.partial(self._get, request))
        return await wait(request, future, seconds + 1)

    async def _submit(self, submit, find):
        while True:
            served = find()
            try:
                return submit(served)
            except ClosedError:  # just being replaced
                if not self._repository.is_ready:
                    raise
                await asyncio.sleep(0.02)

    # ------------------------------------------------------------ TensorFlow Serving
    async def status(self, request):
        found = [self._get(request)]
        if "version" not in request.path_params:
            found = [served for served in self._repository.all() if served.name == found[0].name]
        return json_reply(tensorflow.status(found))

    async def signature(self, request):
        return json_reply(tensorflow.metadata(self._get(request)))

    async def predict(self, request):
        served = self._get(request)
        body = await read_body(request, self._settings)
        question = await off_loop(len(body), tensorflow.read, body, served.model)
        if len(question.batches) > self._settings.queue:
            raise InputError(f"found {len(question.batches)} instances, expected {self._settings.queue} at most")
        answers = await asyncio.gather(*(self._predict(request, x) for x in question.batches))
        return Reply(await off_loop(sum(map(_size, answers)), tensorflow.write, question, served.model, answers))


def _size(y):
    sizes = []
    map_structure(lambda array: sizes.append(array.nbytes), y)
    return sum(sizes)
