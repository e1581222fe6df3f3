"""The command: settings from the command line, a log, and uvicorn around the application."""

import logging
import os
import signal
import sys
from pathlib import Path

from ..errors import InputError
from .app import make_app
from .arguments import TOKEN
from .connection import MOST_HEAD, make_protocol
from .lines import Lines
from .repository import Repository
from .settings import Settings, need

SWITCH = 0.0005
"""Seconds a thread of Python's may keep others waiting: the threads that compute wait for the one that talks, and a
round of theirs is as short as this."""
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
    uvicorn, settings = need("uvicorn"), settings_of(options)
    for name in ("starlette", "orjson", "prometheus_client", "websockets"):
        need(name)
    log = set_up_log(options.log_level)
    repository = Repository(options.path, settings)
    repository.start()
    app = make_app(repository, settings)
    protocol = make_protocol(options.body_timeout, options.connections)
    config = uvicorn.Config(
        app, host=options.host, port=options.port, http=protocol, log_config=None, access_log=False,
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
    server = Server(config)
    try:
        server.run()
    except SystemExit:  # uvicorn's word for what is below
        pass
    finally:
        repository.close()
    if not server.started:
        raise InputError(f"cannot listen on {options.host} port {options.port}")
    log.info("stopped")
    return 0


def set_up_log(level):
    """Send what the server has to say to standard error, one JSON object a line; return the logger."""
    log, handler = logging.getLogger("lstm_infer.serve"), Lines(sys.stderr)
    log.handlers, log.propagate = [handler], False
    log.setLevel(level.upper())
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers, uvicorn.propagate = [handler], False
    uvicorn.setLevel(max(logging.WARNING, log.level))
    return log


def _token(options):
    token = os.environ.get(TOKEN, "")
    if options.token_file is not None:
        token = Path(options.token_file).read_text().strip()
        if not token:
            raise InputError(f"{options.token_file}: found no token")
    return token or None
