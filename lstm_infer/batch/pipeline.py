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


class Pool:
    """Threads that call functions, in the order in which they were submitted.

    Parameters
    ----------
    threads : int

    Examples
    --------
    >>> pool = Pool(2)
    >>> calls = [pool.submit(pow, 2, n) for n in range(4)]
    >>> [call.wait() for call in calls]
    [1, 2, 4, 8]
    >>> pool.close()
    """

    def __init__(self, threads):
        self._calls, self._threads, self._is_closed = queue.SimpleQueue(), threads, False
        for _ in range(threads):
            threading.Thread(target=self._run, name="lstm_infer batch", daemon=True).start()

    def submit(self, function, *given):
        """Let a thread call a function; ``wait()`` of what this returns gives what it returned, or raises."""
        call = _Call(function, given)
        self._calls.put(call)
        return call

    def close(self):
        """Begin no more calls: who waits for those that are left would wait for ever."""
        self._is_closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _run(self):
        while (call := self._calls.get()) is not None:
            if not self._is_closed:
                call.run()
            call = None  # what it holds may be large


class _Call:
    """What one thread of a `Pool` does, and another one waits for."""

    def __init__(self, function, given):
        self._function, self._given, self._found, self._error = function, given, None, None
        self._is_over = threading.Event()

    def run(self):
        try:
            self._found = self._function(*self._given)
        except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
            self._error = error
        self._given = None
        self._is_over.set()

    def wait(self):
        self._is_over.wait()
        found, error, self._found, self._error = self._found, self._error, None, None
        try:
            if error is not None:
                raise error
        finally:
            error = None  # its traceback leads back here
        return found


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
