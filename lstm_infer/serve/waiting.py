"""Waiting for an answer as long as its caller does, and no longer than it may take; the loop kept free meanwhile."""

import asyncio
import functools

from .failures import Failure

LARGE = 1 << 18
"""Bytes of a body from which it is read in another thread, so that other requests go on."""
SOON = 0.05
"""Seconds after which a caller is watched: whether it still waits. Nearly all answers are there before."""


async def off_loop(size, function, *arguments):
    """Call a function that works on so many bytes: in another thread if that takes long."""
    if size < LARGE:
        return function(*arguments)
    return await asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *arguments))


async def wait(request, future, seconds):
    """Return the result of a future that another thread fills.

    Parameters
    ----------
    request : starlette.requests.Request
        Whose body has been read.
    future : concurrent.futures.Future
    seconds : float

    Raises
    ------
    Failure
        The caller has gone, or it has taken too long.
    """
    answer, watch = asyncio.wrap_future(future), None

    def begin_to_watch():
        nonlocal watch
        watch = asyncio.ensure_future(_watch(request, answer, seconds))

    soon = asyncio.get_running_loop().call_later(SOON, begin_to_watch)
    try:
        return await answer
    except asyncio.CancelledError:
        if watch is None or not watch.done():  # it is we who are cancelled: the server ends
            raise
        raise watch.result() from None
    finally:
        soon.cancel()
        if watch is not None:
            watch.cancel()


async def _watch(request, answer, seconds):
    """Cancel `answer` when the caller has gone, or when it has taken too long; return why."""
    try:
        await asyncio.wait_for(_disconnected(request), seconds)
        reason = Failure(499, "the caller has gone")
    except asyncio.TimeoutError:
        reason = Failure(504, f"found no answer in {seconds:g} s, the time it may take")
    asyncio.get_running_loop().call_soon(answer.cancel)  # when this is done
    return reason


async def _disconnected(request):
    """Return when the caller has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
