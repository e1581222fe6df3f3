"""Threads that help with a call: a few for the whole process, asleep until a call hires them.

Whoever hires gets only threads that are idle, and does the rest alone: many callers at once do not make more threads
than the machine has cores. The threads run kernels, which let go of the GIL.
"""

import contextlib
import ctypes
import functools
import os
import sys
import threading
from queue import SimpleQueue


class _Task:
    """What one helper does for one call."""

    def __init__(self, function):
        self._function, self._done = function, threading.Lock()
        self._is_over, self._error = False, None
        self._done.acquire()

    def run(self):
        try:
            self._function()
        except BaseException as error:  # noqa: BLE001  (whatever it is, the caller gets it)
            self._error = error

    def end(self):
        self._function, self._is_over = None, True
        self._done.release()

    def wait(self):
        """Wait until it is over; again, where an interrupt ended the waiting."""
        while not self._is_over:
            self._done.acquire()

    def take_error(self):
        """Return what the function raised, once: its traceback leads back to this task."""
        error, self._error = self._error, None
        return error


class Helper:
    """A thread that does one task after another for whoever has hired it.

    One that has a `mailbox` (``kernels.share``) lingers there after a task, on the CPU `cpu`, before it goes to sleep.
    """

    def __init__(self, crew):
        self._crew, self.tasks, self.mailbox, self.cpu = crew, SimpleQueue(), None, -1
        thread = threading.Thread(target=self._run, name="lstm_infer helper", daemon=True)
        thread.start()
        self.ident = thread.ident

    def call(self):
        """Fetch it from its mailbox: a task is coming."""
        if self.mailbox is not None:
            self.mailbox.want(True)

    def _run(self):
        while True:
            task = self.tasks.get()
            if self.mailbox is not None:
                self.mailbox.want(False)
            task.run()
            self._crew.release([self])  # here, where no interrupt comes
            task.end()
            task = None
            if self.mailbox is not None:
                self.cpu = _cpu()
                self.mailbox.linger()


class _Crew:
    """The helpers of this process, of which some are idle, and the callers that they help."""

    def __init__(self):
        self._lock, self._idle, self._number, self._cores = threading.Lock(), [], 0, None
        self.callers, self._helpers = set(), set()  # of the threads' numbers

    def hire(self, wanted, helpers):
        """Move up to so many idle helpers, some of them new, to the list `helpers`."""
        if sys.is_finalizing():  # when their threads are no more
            return
        if self._cores is None:
            self._cores = available()
        with self._lock:
            if threading.get_ident() not in self._helpers:
                self.callers.add(threading.get_ident())
            if len(self.callers) > 1:  # every caller computes, too: more threads than cores would only be in the way
                wanted = min(wanted, max(0, self._cores - len(self.callers) - self._number + len(self._idle)))
            most = max(wanted, self._cores - 1)  # those that helpers hire, too
            try:
                while len(self._idle) < wanted and self._number < most:
                    helper = Helper(self)
                    self._helpers.add(helper.ident)
                    self._number += 1
                    self._idle.append(helper)
            except RuntimeError:  # the process may have no more threads, or is about to end
                pass
            _move(min(wanted, len(self._idle)), self._idle, helpers)

    def release(self, helpers):
        """Take helpers back: the list is empty then."""
        with self._lock:
            _move(len(helpers), helpers, self._idle)


def _move(number, source, target):
    """Move the last elements of a list to another, all or none: interrupts come between two steps of Python's."""
    target.extend(map(source.pop, [-1] * number))


_crew = _Crew()


def _begin_anew():
    global _crew
    _crew = _Crew()  # a forked child has no threads but its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def together(parts, function, give_up=None, apart=False, at_once=None):
    """Call ``function(part, parts)`` in several threads at once and wait for all.

    Parameters
    ----------
    parts : int
        The most threads to use, this one included. Where fewer are idle, `parts` is fewer.
    function : callable
        Called with (0, parts) in this thread, with (1, parts), ... in others.
    give_up : callable, optional
        Called when a part has failed: sends home those that wait for it.
    apart : bool
        Whether the parts wait for each other, so that each should have a CPU to itself (`_placed`).
    at_once : object, optional
        Makes short calls shorter: its ``mailbox()`` makes a mailbox for each thread to linger at, and
        ``compute(mailboxes)`` computes all parts through those, or returns False if some thread does not linger.

    Raises
    ------
    Exception
        What a part raised.

    Examples
    --------
    >>> done = []
    >>> together(1, lambda part, parts: done.append((part, parts)))
    >>> done
    [(0, 1)]
    """
    if parts < 2:
        return function(0, 1)
    crew, helpers, tasks, begun = _crew, [], [], []
    is_inside = threading.get_ident() in crew.callers

    def run(part):
        try:
            function(part, len(helpers) + 1)
        except BaseException:
            if give_up is not None:
                give_up()
            raise

    failure, is_new, is_over = None, True, False
    while not is_over:  # whatever comes meanwhile, an interrupt for one: helpers at work still use the arrays
        try:
            if is_new:
                is_new = False
                crew.hire(parts - 1, helpers)
                if at_once is None or not (_linger(helpers, at_once) and at_once.compute([h.mailbox for h in helpers])):
                    for helper in helpers:
                        helper.call()
                    work = _placed(run, helpers) if apart else run
                    tasks = [_Task(functools.partial(work, number)) for number in range(1, len(helpers) + 1)]
                    begun.extend(map(SimpleQueue.put, [helper.tasks for helper in helpers], tasks))  # as in `_move`
                    function(0, len(helpers) + 1)
            elif give_up is not None:
                give_up()
            for task in tasks[: len(begun)]:
                task.wait()
            if not begun:
                crew.release(helpers)
            if not is_inside:
                crew.callers.discard(threading.get_ident())
            is_over = True
        except BaseException as error:  # noqa: BLE001
            failure = error
    errors = [failure, *(task.take_error() for task in tasks)]
    try:
        for error in errors:
            if error is not None:
                raise error
    finally:
        failure = error = errors = None  # their tracebacks lead back here, and so to arrays


def _linger(helpers, at_once):
    """Whether all helpers may be lingering on other CPUs than this thread's; from the next time on they may be."""
    here, is_so = _cpu(), True
    for helper in helpers:
        if helper.mailbox is None:
            helper.mailbox, is_so = at_once.mailbox(), False
    return is_so and bool(helpers) and (here < 0 or len({here, *(h.cpu for h in helpers)}) > len(helpers))


def _find_cpu():
    """Return a function that tells which CPU the calling thread is on; one that says -1 if nobody knows."""
    try:
        function = ctypes.PyDLL(None).sched_getcpu
        function()
    except (AttributeError, OSError, TypeError):
        return lambda: -1
    return function


_cpu = _find_cpu()


def _placed(run, helpers):
    """Return `run`, which helpers do, such that each of them and this thread have CPUs of their own meanwhile.

    The system may wake a thread on the CPU of whoever wakes it, and leave both there as long as they look busy: then
    two threads that wait for each other are ten times slower than one (measured in a virtual machine). So each stays on
    a CPU of its own while the call lasts; where there are too few, they are left to the system. The first helper sees
    to this thread, too: a helper gets no interrupts, which could leave things as they are.
    """
    here, caller = _cpu(), threading.get_native_id()
    if here < 0 or not hasattr(os, "sched_setaffinity") or not helpers:
        return run
    allowed = os.sched_getaffinity(0)
    cpus = [here, *_on_other_cores(here, frozenset(allowed))]
    if len(helpers) >= len(cpus):
        return run

    def placed(part):
        places = {threading.get_native_id(): cpus[part], **({caller: here} if part == 1 else {})}
        try:
            for thread, cpu in places.items():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(thread, {cpu})
            run(part)
        finally:
            for thread in places:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(thread, allowed)

    return placed


@functools.lru_cache(maxsize=64)
def _on_other_cores(here, allowed):
    """Return one CPU of every physical core among those allowed, but the core of CPU `here`."""
    cores = {_siblings(cpu): cpu for cpu in sorted(allowed, reverse=True)}
    cores.pop(_siblings(here), None)
    return tuple(cores.values())


def each(threads, items, function):
    """Call `function` with every item, in up to so many threads, each taking the next item when it is free.

    Examples
    --------
    >>> found = {}
    >>> each(2, [1, 2, 3], lambda n: found.__setitem__(n, n * n))
    >>> sorted(found.items())
    [(1, 1), (2, 4), (3, 9)]
    """
    items, lock, stopped = iter(items), threading.Lock(), threading.Event()

    def work(part, parts):
        while not stopped.is_set():
            with lock:
                item = next(items, lock)
            if item is lock:
                return
            function(item)

    together(threads, work, give_up=stopped.set)


def cpus():
    """Return how many logical cores this process may use now."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available():
    """Return how many physical cores this process may use: those its affinity and its control group leave it.

    Returns
    -------
    int
    """
    if hasattr(os, "sched_getaffinity"):
        cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
        number = len(cores)
    else:
        number = os.cpu_count() or 1
    quota = _quota()
    return max(1, number if quota is None else min(number, quota))


def _siblings(cpu):
    """Name the physical core of a logical one."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") as file:
            return file.read().strip()
    except OSError:
        return str(cpu)


def _quota():
    """Return the cores that control groups leave this process, or None where they do not say.

    What limits a group limits all groups inside it: so each from the process's own up to the root has a say.
    """
    limits = []
    for file in _limit_files():
        numbers = _numbers(file)
        if len(numbers) == 1:  # version 1 has the period beside it
            numbers += _numbers(file.replace("cfs_quota", "cfs_period"))
        if len(numbers) == 2 and min(numbers) > 0:
            limits.append(max(1, numbers[0] // numbers[1]))
    return min(limits, default=None)


def _numbers(file):
    """Return the whole numbers in a file; none where it is not there or says something else, "max" for one."""
    try:
        with open(file) as opened:
            return [int(number) for number in opened.read().split()]
    except (OSError, ValueError):
        return []


def _limit_files():
    """Yield where the limits of this process's control groups may be written, version 2's and version 1's.

    In a container the names may be those of the machine, while only the container's groups are there: the root is.
    """
    groups = [("0", "", "/"), ("1", "cpu", "/")]
    with contextlib.suppress(OSError, ValueError), open("/proc/self/cgroup") as file:
        groups += [tuple(line.strip().split(":", 2)) for line in file if line.count(":") >= 2]
    for number, controllers, path in groups:
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts), -1, -1):
            group = "".join(f"/{part}" for part in parts[:depth])
            if number == "0":
                yield f"/sys/fs/cgroup{group}/cpu.max"
            else:
                for folder in dict.fromkeys(["cpu", controllers]):
                    yield f"/sys/fs/cgroup/{folder}{group}/cpu.cfs_quota_us"
