"""Iterators that run ahead of whoever takes from them, each in a thread of its own."""

import queue
import threading

END = object()


def ahead(iterator, stop, depth=2, abandon=False):
    """Yield what `iterator` yields, a few items ahead.

    Parameters
    ----------
    iterator : generator
        Used by one other thread only, and closed there.
    stop : threading.Event
        Once set, no more items are begun.
    depth : int
        Items that may wait.
    abandon : bool
        Whether to leave an item alone that is not there when `stop` is set: a pipe may never give it.

    Raises
    ------
    BaseException
        Whatever the iterator raises, after the items before.
    """
    items, left = queue.Queue(depth), threading.Event()

    def put(item):
        while not left.is_set():
            try:
                items.put(item, timeout=0.1)
                return True
            except queue.Full:
                if stop.is_set() and abandon:
                    return False
        return False

    def run():
        try:
            for item in iterator:
                if not put((item, None)) or stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  (whoever takes the items gets it)
            put((END, error))
        else:
            put((END, None))
        finally:
            iterator.close()  # here, where it ran: what it takes from ends, too

    threading.Thread(target=run, name="lstm_infer batch", daemon=True).start()
    try:
        while True:
            try:
                item, error = items.get(timeout=0.1)
            except queue.Empty:
                if stop.is_set() and abandon:
                    return
                continue
            if error is not None:
                raise error
            if item is END:
                return
            yield item
    finally:
        left.set()


class Apart:
    """A function that runs in a thread of its own, such that a signal can end the waiting for it.

    Parameters
    ----------
    function : callable
        Without arguments.
    """

    def __init__(self, function):
        self._function, self._errors = function, []
        self._thread = threading.Thread(target=self._run, name="lstm_infer batch", daemon=True)
        self._thread.start()

    def _run(self):
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
            self._errors.append(error)

    @property
    def is_running(self):
        """Whether it has not ended."""
        return self._thread.is_alive()

    def wait(self):
        """Wait for the end and raise what the function raised; again, after an interrupt."""
        while self._thread.is_alive():
            self._thread.join(0.2)
        if self._errors:
            raise self._errors.pop()
