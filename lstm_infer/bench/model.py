"""A user's own model: what loading, the first call and every later call cost, and which layers the time goes to."""

import time

import numpy as np

from ..errors import InputError
from ..graph import Graph
from ..layers.core import Embedding
from ..layers.structure import flatten
from .machine import cpu_name
from .statistics import summarize
from .table import aligned, microseconds

LEGEND = """\
Times in µs. Single calls are due at fixed times, at half the rate the model could keep up with, and count from when
they were due: so a stall counts for everybody it keeps waiting.\
"""
PERCENTILES = ("min", "p50", "p90", "p99", "p99.9")
now = time.perf_counter_ns


def measure(load, since, batch=256, timesteps=100, seconds=2.0):
    """Return what a model costs, as plain data; times in seconds.

    Parameters
    ----------
    load : callable
        Returns the model.
    since : int
        When the work began: the ``time.perf_counter_ns()`` before this module was imported, and so much with it.
    batch : int
        Rows of a call for throughput.
    timesteps : int
        Used where the model leaves them free.
    seconds : float
        For each measurement.
    """
    model = load()
    loaded = now()
    one, many = (random_inputs(model, rows, timesteps) for rows in (1, batch))
    first = now()
    model.predict(one)
    ended = now()
    document = {
        "model": model.name,
        "parameters": model.count_params(),
        "cpu": cpu_name(),
        "threads": model.threads,
        "load": (loaded - since) / 1e9,
        "first_call": (ended - first) / 1e9,
        "timesteps": one[0].shape[1] if one[0].ndim > 1 else 1,
        "predict": {"rows": len(one[0]), **_latency(lambda: model.predict(one), seconds)},
        "step": _step(model, one, seconds),
        "throughput": _throughput(model, many, seconds),
    }
    return document | _layers(model, one, many, seconds)


# ---------------------------------------------------------------- inputs
def random_inputs(model, rows, timesteps):
    """Return a list of inputs that the model takes: ids in range for an Embedding, 0 or 1 for other whole numbers, and
    known words for whatever looks words up.

    Parameters
    ----------
    model : Model
    rows : int
        A stateful model of fixed batch size gets that instead.
    timesteps : int
        For every axis that the model leaves free.
    """
    random = np.random.default_rng(0)
    rows = (model.inputs[0].shape[0] if model.is_stateful else None) or rows
    inputs = []
    for tensor in model.inputs:
        shape = [rows, *(timesteps if n is None else n for n in tensor.shape[1:])]
        readers, kind = list(_readers(model.graph, tensor)), np.dtype(tensor.dtype).kind
        ids = min((r.input_dim for r in readers if isinstance(r, Embedding)), default=2 if kind in "biu" else None)
        if kind == "O":
            values = _texts(readers, shape, timesteps, random)
        else:
            values = random.uniform(size=shape) if ids is None else random.integers(0, ids, shape)
        inputs.append(values.astype(tensor.dtype))
    return inputs


def _readers(graph, tensor):
    """Yield the layers that are given `tensor`, in models inside the model too."""
    for node in graph.nodes:
        layer = getattr(node.layer, "layer", node.layer)  # what a TimeDistributed contains
        for place, leaf in enumerate(flatten(node.inputs)):
            if leaf is tensor and hasattr(layer, "graph"):
                yield from _readers(layer.graph, layer.graph.inputs[place])
            elif leaf is tensor:
                yield layer


def _texts(readers, shape, timesteps, random):
    """Return an array of words that the readers know; of texts of so many words, if a reader splits them."""
    known = next((r.tokens for r in readers if getattr(r, "tokens", None)), [b"a", b"word"])
    words = timesteps if any(getattr(r, "split", None) for r in readers) else 1
    picked = random.choice(np.array(known, object), (int(np.prod(shape)), words))
    texts = np.empty(len(picked), object)
    texts[:] = [b" ".join(row) for row in picked.tolist()]
    return texts.reshape(shape)


# ---------------------------------------------------------------- times
def _latency(call, seconds):
    """Return statistics of a stream of calls that are due at fixed times, at half the rate the model could keep up.

    A call's time counts from when it was due. If it counted from when it began, a stall would show as one slow call,
    although everybody who came during the stall had to wait.
    """
    times = _repeat(call, seconds / 10)
    interval = int(2 * np.median(times))
    times, due = [], now()
    end = due + int(seconds * 1e9)
    while due < end or len(times) < 3:
        while now() < due:
            pass
        call()
        times.append(now() - due)
        due += interval
    return {"interval": interval / 1e9, **_statistics(times)}


def _repeat(call, seconds):
    call()
    times, end = [], now() + int(seconds * 1e9)
    while len(times) < 3 or now() < end:
        begin = now()
        call()
        times.append(now() - begin)
    return times


def _statistics(times):
    return {name: value for name, value in summarize([times]).items() if name != "rounds"}


def _step(model, inputs, seconds):
    """Return statistics of one timestep, or why the model cannot be stepped."""
    try:
        temporal = model.step_plan.inputs
    except InputError as reason:
        return {"reason": str(reason)}
    x_t = [x[:, 0] if is_temporal else x for x, is_temporal in zip(inputs, temporal, strict=True)]
    x_t = x_t[0] if len(x_t) == 1 else x_t
    session = model.session()
    return _latency(lambda: session.step(x_t), seconds)


def _throughput(model, inputs, seconds):
    rows = len(inputs[0])
    found = _statistics(_repeat(lambda: model.predict(inputs, verbose=0), seconds))
    timesteps = inputs[0].shape[1] if inputs[0].ndim > 1 else 1
    per_second = rows / found["p50"]
    return {"rows": rows, "rows_per_second": per_second, "timesteps_per_second": per_second * timesteps, **found}


class _TimedGraph(Graph):
    """A graph that notes what each of its calls takes."""

    def __init__(self, graph):
        self.__dict__.update(graph.__dict__)
        self.times = []

    def _run(self, layer, *arguments):
        begin = now()
        result = super()._run(layer, *arguments)
        self.times.append(now() - begin)
        return result


def _layers(model, one, many, seconds):
    """Return the median times of each layer's call, for one row and for many, and of what is around them; and for which
    of the two `predict` computes no layer apart."""
    graph, sizes = model.graph, {"one": one, "many": many}
    model.graph = timed = _TimedGraph(graph)
    try:
        columns = [_layer_times(model, timed, x, seconds / 2) for x in sizes.values()]
        whole = [size for size, x in sizes.items() if _passes_by(model, timed, x)]
    finally:
        model.graph = graph
    names = [(node.layer.name, type(node.layer).__name__) for node in graph.nodes] + [("around them", "checks, copies")]
    rows = zip(names, *columns, strict=True)
    return {"layers": [{"name": n, "type": kind, "one": a, "many": b} for (n, kind), a, b in rows], "whole": whole}


def _passes_by(model, graph, inputs):
    """Whether `predict` of the inputs does without the graph."""
    graph.times = []
    model.predict(inputs, verbose=0)
    return not graph.times


def _layer_times(model, graph, inputs, seconds):
    found = []

    def call():
        graph.times = []
        begin = now()
        model.predict(inputs, batch_size=len(inputs[0]))  # with a batch size it goes through the graph
        took = now() - begin
        found.append([*graph.times, took - sum(graph.times)])

    _repeat(call, seconds)
    return [float(median) / 1e9 for median in np.median(found[1:], axis=0)]


# ---------------------------------------------------------------- the table
def table(document):
    """Return the lines of a table of what `measure` found."""
    one, many, timesteps = document["predict"], document["throughput"], document["timesteps"]
    rows = [["", *PERCENTILES, "calls"], _row(f"predict, {one['rows']} x {timesteps} timesteps", one)]
    if "p50" in document["step"]:
        rows.append(_row("session.step", document["step"]))
    rows.append(_row(f"predict, {many['rows']} x {timesteps} timesteps", many))
    layers = document["layers"]
    sums = {size: sum(layer[size] for layer in layers) for size in ("one", "many")}
    shares = [["layer", "type", f"{one['rows']} row(s)", "", f"{many['rows']} rows", ""]]
    for layer in layers:
        cells = [(microseconds(layer[size]), f"{layer[size] / sums[size]:.0%}") for size in ("one", "many")]
        shares.append([layer["name"], layer["type"], *cells[0], *cells[1]])
    size, threads = f"{document['parameters']:,} parameters", f"{document['threads']} thread(s)"
    return [
        f"{document['model']}: {size}; {document['cpu']}, {threads}",
        f"load, imports included: {document['load']:.2f} s; first call: {document['first_call']:.2f} s",
        f"throughput: {many['rows_per_second']:,.0f} rows/s, {many['timesteps_per_second']:,.0f} timesteps/s",
        *([document["step"]["reason"]] if "reason" in document["step"] else []),
        "",
        *aligned(rows),
        "",
        *aligned(shares, left=2),
        *_apart(document["whole"], one["rows"], many["rows"]),
        "",
        *LEGEND.splitlines(),
    ]


def _apart(whole, one, many):
    """Return a line on the layers' times, unless `predict` computes layer by layer anyway."""
    if not whole:
        return []
    sizes = " and ".join({"one": f"{one} row(s)", "many": f"{many} rows"}[size] for size in whole)
    return [f"The layers were timed one by one; predict computes {sizes} in one call, with less around them."]


def _row(name, times):
    return [name, *(microseconds(times[p]) for p in PERCENTILES), f"{times['calls']:,}"]
