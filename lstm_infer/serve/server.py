"""The command: settings from the command line, a log, and uvicorn around the application."""

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from .app import make_app
from .arguments import CONNECTIONS, TOKEN
from .connection import MOST_HEAD, make_protocol, make_websocket_protocol
from .garbage import settle
from .lines import Lines
from .repository import Repository
from .settings import Settings, need

log = logging.getLogger("lstm_infer.serve")
SWITCH = 0.0005
"""Seconds a thread of Python's may keep others waiting: the threads that compute wait for the one that talks, and a
round of theirs is as short as this."""
FILES = 300
"""Open files beside those of connections that are counted: of models, snapshots, connections too many."""
GRACE = 60
"""Seconds that requests on their way have when the server is told to stop."""


def settings_of(options):
    """Return the `Settings` of a parsed command line."""
    return Settings(
        options.rows, options.queue, options.threads, options.timeout, options.max_body, options.body_timeout,
        options.max_timesteps, options.max_answer, options.sessions, options.idle, options.poll, options.snapshots,
        _token(options),
    )  # fmt: skip


def run(options):
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    settings = settings_of(options)
    for name in ("uvicorn", "starlette", "orjson", "prometheus_client", "websockets"):
        need(name)
    set_up_log(options.log_level)
    repository = Repository(options.path, settings)
    repository.start()
    listen(repository, settings, options.host, options.port, options.connections)
    log.info("stopped")
    return 0


def listen(repository, settings, host, port, connections=CONNECTIONS):
    """Answer requests until SIGTERM or SIGINT; the repository is then closed.

    Parameters
    ----------
    repository : Repository
        Started.
    settings : Settings
    host : str
    port : int
        0 for any that is free; the log says which.
    connections : int
        The most at the same time.

    Raises
    ------
    InputError
        There is no listening there.
    """
    uvicorn, app = need("uvicorn"), make_app(repository, settings)
    protocol = make_protocol(settings.body_seconds, make_room(connections))
    config = uvicorn.Config(
        app, host=host, port=port, http=protocol, ws=make_websocket_protocol(settings.body_seconds),
        log_config=None, access_log=False,
        server_header=False, proxy_headers=False, h11_max_incomplete_event_size=MOST_HEAD,
        timeout_graceful_shutdown=GRACE, ws_max_size=settings.body, lifespan="on",
    )  # fmt: skip

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            for server in self.servers if self.started else ():
                host, port = server.sockets[0].getsockname()[:2]
                models = [f"{served.name}/{served.version}" for served in repository.all()]
                log.info("ready", extra={"data": {"host": host, "port": port, "models": models}})

    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done: that is then over
        signal.signal(number, lambda *_: None)
    sys.setswitchinterval(SWITCH)
    settle()
    server = Server(config)
    try:
        server.run()
    except SystemExit:  # uvicorn's word for what is below
        pass
    finally:
        repository.close()
    if not server.started:
        raise InputError(f"cannot listen on {host} port {port}")


def make_room(connections):
    """Let this process have as many files open as connections need; return how many connections there is room for."""
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit
        return connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES
    if soft in (-1, resource.RLIM_INFINITY) or soft >= needed:
        return connections
    soft = needed if hard in (-1, resource.RLIM_INFINITY) else min(needed, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft >= needed:
        return connections
    most = max(soft // 3, soft - FILES)
    data = {"asked": connections, "possible": most, "reason": f"this process may have {soft} files open (ulimit -n)"}
    log.warning("fewer connections", extra={"data": data})
    return most


def set_up_log(level):
    """Send what the server has to say to standard error, one JSON object a line."""
    handler = Lines(sys.stderr)
    log.handlers, log.propagate = [handler], False
    log.setLevel(level.upper())
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers, uvicorn.propagate = [handler], False
    uvicorn.setLevel(max(logging.WARNING, log.level))


def _token(options):
    token = os.environ.get(TOKEN, "")
    if options.token_file is not None:
        token = Path(options.token_file).read_text().strip()
        if not token:
            raise InputError(f"{options.token_file}: found no token")
    return token or None
