"""A server of one LSTM over HTTP: this package's scheduler, or ONNX Runtime behind a batcher that pads; all else alike.

Reads a JSON object from standard input: units, features, port, threads; and for ONNX Runtime the configuration, as
``padding`` has it. Needs this package with its extra ``serve``, and for ONNX Runtime onnx and onnxruntime.
"""

import json
import sys
from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import padding

from lstm_infer.layers import LSTM, Input
from lstm_infer.model import Sequential
from lstm_infer.serve.scheduler import Scheduler, Stats
from lstm_infer.serve.server import listen, set_up_log
from lstm_infer.serve.settings import Settings


class Padding:
    """A batcher that pads, as the server takes it."""

    def __init__(self, batcher):
        self._batcher = batcher

    def submit(self, x, timeout=None):
        """Ask for the answer to one sequence."""
        future, [value] = Future(), x

        def end(h):
            if future.set_running_or_notify_cancel():
                future.set_result(h[None])

        self._batcher.submit(value[0], end)
        return future

    def stats(self):
        """Return nothing: it counts nothing."""
        return Stats()

    def close(self):
        """Answer what is there."""
        self._batcher.close()


class OneModel:
    """The models of a server, of which there is one."""

    is_ready = True

    def __init__(self, model, scheduler):
        self._served = SimpleNamespace(name="model", version="1", model=model, scheduler=scheduler, streams=None)

    def get(self, name, version=None):
        """Return it."""
        return self._served

    def get_for_stream(self, name, version, id, starts):
        """Return it, as there are no streams."""
        return self._served

    def all(self):
        """Return it in a list."""
        return [self._served]

    def failed(self):
        """Return that nothing has failed."""
        return {}

    def close(self):
        """Answer what is there."""
        self._served.scheduler.close()


def make_model(units, features):
    """Return an LSTM that returns its last h."""
    random = np.random.default_rng(0)
    model = Sequential([Input((None, features)), LSTM(units)])
    shapes = [(features, 4 * units), (units, 4 * units), (4 * units,)]
    model.set_weights([random.normal(size=shape) * 0.05 for shape in shapes])
    return model


def main():
    job = json.load(sys.stdin)
    settings = Settings(queue=1 << 20, threads=job["threads"])
    model = make_model(job["units"], job["features"])
    if job.get("configuration") is None:
        scheduler = Scheduler(model, settings.rows, settings.queue, settings.threads)
    else:
        most, instances, threads, is_sorted = job["configuration"]
        sessions = [padding.make_session(job["units"], job["features"], threads) for _ in range(instances)]
        scheduler = Padding(padding.Batcher(sessions, most, is_sorted))
    set_up_log("info")
    listen(OneModel(model, scheduler), settings, "127.0.0.1", job["port"])


if __name__ == "__main__":
    main()
