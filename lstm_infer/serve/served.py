"""One version of a model at work: loaded, with its scheduler and streams, and warmed."""

import logging

from ..errors import InputError
from ..inputs import blank
from ..loading import load_model
from .scheduler import Scheduler
from .streams import Streams

log = logging.getLogger("lstm_infer.serve")


class Served:
    """One version of a model at work.

    Attributes
    ----------
    name, version : str
    model : Model
    scheduler : Scheduler
    streams : Streams or None
        None where the model cannot be stepped.
    source : Source
    """

    def __init__(self, name, version, source, settings):
        self.name, self.version, self.source = name, version, source
        self.model = load_model(source.path, weights=source.weights, threads=settings.threads)
        self.model.check_ready()
        self.streams = None
        self.scheduler = Scheduler(self.model, settings.rows, settings.queue, settings.threads)
        try:
            if self.scheduler.mode == "continuous":
                self.streams = Streams(
                    self.model, settings.sessions, settings.idle, settings.queue, self.scheduler.model.threads
                )
            self._warm()
        except BaseException:
            self.close()
            raise

    def _warm(self):
        """Compute a few zeros in every way a caller may, so that the first one does not wait for the compiler."""
        for rows, timesteps in ((1, 1), (1, 2), (20, 3)):
            x = [
                blank((rows, *(timesteps if n is None else n for n in tensor.shape[1:])), tensor.dtype)
                for tensor in self.model.inputs
            ]
            try:
                self.scheduler.submit(x).result()
                if self.streams is not None:
                    self.streams.submit("warm", [value[0] for value in x], starts=True, ends=True).result()
            except InputError as error:  # some models want more timesteps than these
                log.info("warming", extra={"data": {"model": self.name, "reason": str(error)}})

    def close(self):
        """Answer what is there, and end the threads."""
        self.scheduler.close()
        if self.streams is not None:
            self.streams.close()
