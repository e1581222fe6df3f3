"""The command line of the server; light, for ``lstm-infer --help``."""

import argparse

from ..arguments import positive, seconds
from .settings import Settings

TOKEN = "LSTM_INFER_TOKEN"
CONNECTIONS = 2000


def add_arguments(parser):
    """Describe the command line."""
    default = Settings()
    parser.add_argument("path", metavar="MODEL|FOLDER", help="a model file, or a folder of models and versions")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1: this machine only)")
    parser.add_argument("--port", type=_port, default=8000, help="0 for any that is free (8000)")
    parser.add_argument("--threads", type=positive, metavar="N", help="threads of each model (all cores)")
    parser.add_argument("--rows", type=positive, metavar="N", default=default.rows,
                        help=f"sequences computed at the same time ({default.rows})")  # fmt: skip
    parser.add_argument("--queue", type=positive, metavar="N", default=default.queue,
                        help=f"sequences that may wait ({default.queue})")  # fmt: skip
    parser.add_argument("--timeout", type=seconds, metavar="S", default=default.timeout,
                        help=f"seconds a request may take ({default.timeout:g})")  # fmt: skip
    parser.add_argument("--max-body", type=positive, metavar="BYTES", default=default.body,
                        help=f"of a request ({default.body})")  # fmt: skip
    parser.add_argument("--connections", type=positive, metavar="N", default=CONNECTIONS,
                        help=f"at the same time ({CONNECTIONS})")  # fmt: skip
    parser.add_argument("--body-timeout", type=seconds, metavar="S", default=default.body_seconds,
                        help="seconds in which a request must have arrived, and after which a caller that reads "
                             f"nothing of its answer is cut off ({default.body_seconds:g})")  # fmt: skip
    parser.add_argument("--max-timesteps", type=positive, metavar="N", default=default.timesteps,
                        help=f"of a sequence ({default.timesteps})")  # fmt: skip
    parser.add_argument("--max-answer", type=positive, metavar="BYTES", default=default.answer,
                        help=f"of the numbers in an answer ({default.answer})")  # fmt: skip
    parser.add_argument("--sessions", type=positive, metavar="N", default=default.sessions,
                        help=f"streams of each model ({default.sessions})")  # fmt: skip
    parser.add_argument("--idle", type=seconds, metavar="S", default=default.idle,
                        help=f"seconds after which a stream may be forgotten ({default.idle:g})")  # fmt: skip
    parser.add_argument("--poll", type=_poll, metavar="S", default=default.poll,
                        help=f"seconds between looks for changed files, 0 for never ({default.poll:g})")  # fmt: skip
    parser.add_argument("--snapshots", metavar="FOLDER",
                        help="keep streams there over a restart, written every --poll seconds and at the end: after "
                             "SIGTERM nothing is lost; after SIGKILL or a crash streams are as of the last "
                             "snapshot, and callers whose newer pieces are lost get a 409 that says so, once (streams "
                             "of WebSockets end with them)")  # fmt: skip
    parser.add_argument("--token-file", metavar="FILE",
                        help=f"callers must show the bearer token in it, or in the variable {TOKEN}")  # fmt: skip
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")


def _port(text):
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number < 65536:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number up to 65535")
    return number


def _poll(text):
    return 0.0 if text == "0" else seconds(text)
