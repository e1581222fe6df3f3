"""The callers of a load test: patient ones, some that send piece by piece, and some that misbehave."""

import asyncio
import time

import numpy as np

from .client import Answer, Connection, Connections
from .plan import SEQUENCES, decode, encode

PATIENCE = 60.0
"""Seconds after which an answer no longer counts."""


async def one(connections, case, tally, began):
    """Send a request that was to begin at some moment."""
    try:
        status, headers, body = await connections.ask(case.head, case.body, PATIENCE)
    except (Answer, OSError):
        tally.lost += 1
        return
    tally.latencies.append(time.perf_counter() - began)
    tally.count(status)
    if status == 200 and case.expected is not None and not np.array_equal(decode(headers, body), case.expected):
        tally.wrong += 1


async def open_loop(plan, tally, rate, duration, random):
    """Begin requests at random moments."""
    connections, tasks, began, moment = Connections(plan.host, plan.port), set(), time.perf_counter(), 0.0
    while (moment := moment + random.exponential(1 / rate)) < duration:
        wait = began + moment - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(one(connections, plan.cases[random.integers(SEQUENCES)], tally, began + moment))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    connections.close()


async def closed_loop(plan, tally, duration, random):
    """Ask again and again."""
    connections, until = Connections(plan.host, plan.port), time.perf_counter() + duration
    while time.perf_counter() < until:
        await one(connections, plan.cases[random.integers(SEQUENCES)], tally, time.perf_counter())
    connections.close()


async def stream(plan, tally, duration, random, number, pause):
    """Send sequences piece by piece, each under a number of its own."""
    connections, until = Connections(plan.host, plan.port), time.perf_counter() + duration
    while time.perf_counter() < until:
        number += 1_000_000
        pieces = random.integers(1, 20, 10).tolist()
        x = random.normal(size=(1, sum(pieces), *plan.features)).astype(np.float32)
        session, first = None if plan.local is None else plan.local.session(), 0
        for n, length in enumerate(pieces):
            piece = np.ascontiguousarray(x[:, first : first + length])
            flags = {"sequence_start": n == 0, "sequence_end": n == len(pieces) - 1}
            question = encode(plan, piece, sequence_id=number, **flags)
            try:
                status, headers, body = await connections.ask(*question, PATIENCE)
            except (Answer, OSError):
                tally.lost += 1
                break
            tally.pieces += 1
            tally.count(status)
            if status != 200:
                break
            if session is not None and not np.array_equal(decode(headers, body), session.predict(piece).ravel()):
                tally.wrong += 1
            first += length
            await asyncio.sleep(random.exponential(pause))
    connections.close()


async def rude(plan, tally, duration, random, pause):
    """Do what clients should not."""
    until = time.perf_counter() + duration
    while time.perf_counter() < until:
        what = ("hang up", "rubbish", "no JSON", "too large", "slow")[random.integers(5)]
        try:
            answer = await _misbehave(plan, what, random)
        except (Answer, OSError):
            answer = "no answer"
        tally.count_rude(f"{what}: {answer}")
        await asyncio.sleep(random.exponential(pause))


async def _misbehave(plan, what, random):
    connection, case = await Connection.open(plan.host, plan.port), plan.cases[random.integers(SEQUENCES)]
    try:
        if what == "hang up":
            whole = case.head + b"content-length: %d\r\n\r\n" % len(case.body) + case.body
            connection.send(whole[: random.integers(1, len(whole) + 1)])
            await asyncio.sleep(random.exponential(0.01))
            return "gone"
        if what == "rubbish":
            connection.send(random.bytes(200) + b"\r\n\r\n")
        elif what == "no JSON":
            connection.send(case.head + b"content-length: 50\r\n\r\n" + random.bytes(50))
        elif what == "too large":
            connection.send(case.head + b"content-length: 99999999999\r\n\r\n" + bytes(1 << 16))
        else:
            connection.send(case.head + b"content-length: 1000\r\n\r\n{")
        return (await connection.answer(PATIENCE))[0]
    finally:
        connection.close()
