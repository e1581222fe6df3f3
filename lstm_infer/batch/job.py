"""A job: reading, computing and writing at once, in constant memory.

One thread reads and makes inputs, some compute, one writes; each is a few pieces ahead of the next. Pieces are written
in one order that depends on the data alone, so a job that goes on can leave out exactly what the one before it has
written; and the engine gives a row the same bits in any company.
"""

import dataclasses
import errno
import os
import threading
import time
from typing import NamedTuple

from ..errors import InputError
from ..layers.structure import pack_like
from ..model import Model
from .block import join
from .compute import Computer
from .feed import Feed, exactly, skipping
from .journal import identity
from .pipeline import Apart, ahead
from .progress import Memory, make
from .scaling import Scaling
from .settings import Settings
from .targets import open_target

NO_ROOM = (errno.ENOSPC, getattr(errno, "EDQUOT", None), errno.EFBIG)  # Windows has no EDQUOT of the disk


class Done(NamedTuple):
    """What a job did.

    Attributes
    ----------
    rows : int
        Predictions in the output.
    rejected : int
        Rows that were skipped.
    resumed_at : int
        Predictions that were there before.
    seconds : float
    rows_per_second : float
        Of the predictions that were made now.
    peak_memory, peak_anonymous_memory : int or None
        In bytes, of the whole process; the second without what files stand behind.
    rejected_file : str or None
    """

    rows: int
    rejected: int
    resumed_at: int
    seconds: float
    rows_per_second: float
    peak_memory: int | None
    peak_anonymous_memory: int | None
    rejected_file: str | None


class Stopped(NamedTuple):
    """What is kept of a job that was stopped."""

    rows: int
    path: str


def predict_files(model, inputs, output, *, progress="quiet", kept=None, **settings):
    """Compute predictions of data of any size, from files to a file.

    Parameters
    ----------
    model : Model
    inputs : path, list of paths, dict of paths by input name, or iterable
        Files, folders, globs, ``file.h5:/dataset``, or ``-`` for standard input; or an iterable of batches as
        `predict_batches` takes it.
    output : path
        A file, or ``-`` for standard output. It appears when it is whole; until then a folder ``.NAME.partial`` stands
        beside it.
    progress : {"quiet", "auto"}
        Whether to show it on standard error.
    kept : callable, optional
        Called with a `Stopped` when the job ends before its time and leaves something to go on with.
    **settings
        See `Settings`.

    Returns
    -------
    Done

    Raises
    ------
    InputError
        The settings, a file, or (unless ``on_error="skip"``) a row do not fit the model; the message names file and
        row. Or ``resume=True`` finds another job.
    OSError
        A file cannot be read or written. What was done is kept for ``resume=True``.

    Examples
    --------
    >>> import os, tempfile, numpy as np, lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 1)), li.LSTM(4), li.Dense(1)])
    >>> model.set_weights([np.ones(w) for w in [(1, 16), (4, 16), (16,), (4, 1), (1,)]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/series.npy", np.arange(100.0)[:, None])
    ...     done = predict_files(model, f"{folder}/series.npy", f"{folder}/y.npy", window=10)
    ...     done.rows, np.load(f"{folder}/y.npy").shape
    (91, (91, 1))
    """
    return predict_sources(model, inputs, output, _settings(settings), progress=progress, kept=kept)


def predict_sources(model, inputs, output, original, progress="quiet", kept=None):
    """Do what `predict_files` does, with `Settings`; inputs may be `Source` objects, too."""
    began, memory = time.monotonic(), Memory()
    check_model(model)
    _check_names(model, original)
    settings = loaded(original)
    if model.is_stateful and original.resume:
        raise InputError("a stateful model cannot resume: each row depends on all before it")
    feed = Feed(model, inputs, settings)
    try:
        if original.resume and not _can_be_read_again(feed):
            raise InputError("resume needs input files: standard input, pipes and iterables cannot be read again")
        _check_paths(model, feed.sources, output, original)
        target = open_target(output, original, output_names(model), lambda: identity(model, feed.sources, original))
    except BaseException:
        feed.close()
        raise
    at = target.progress
    resumed_at = at.rows
    shown = make(progress, at.rows)
    try:
        if not target.is_whole:
            _run(model, feed, target, settings, shown, memory)
        target.finish(lambda: Computer(model, settings).empty())
    except (InputError, BrokenPipeError):
        target.discard()
        feed.close()
        raise
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM and error.filename is None:
            error.filename = str(output)
        if model.is_stateful or not _can_be_read_again(feed):
            target.discard()
        elif target.keep() and kept is not None:
            kept(Stopped(at.rows, str(output)))
        if isinstance(error, Exception):  # else a thread may still wait for a pipe
            feed.close()
        raise
    finally:
        shown.close()
    feed.close()
    memory.look()
    seconds = time.monotonic() - began
    rejected_file = target.rejected_file if at.rejected else None
    rate = (at.rows - resumed_at) / max(seconds, 1e-9)
    return Done(at.rows, at.rejected, resumed_at, seconds, rate, memory.peak(), memory.anonymous, rejected_file)


def predict_batches(model, batches, **settings):
    """Compute predictions of batches that Python code makes, some ahead of who takes them.

    Parameters
    ----------
    model : Model
    batches : iterable
        Of arrays (rows, *input shape), of dicts of them by input name, or of lists of arrays of different length. With
        settings that name columns, of dicts by column.
    **settings
        See `Settings`; those of files have no use here.

    Yields
    ------
    numpy.ndarray, or nested lists or dicts of them
        The predictions of one batch, in the model's own structure; with ``window=``, of the windows that end in it.
        Where rows have predictions of different length, a list of arrays.

    Raises
    ------
    InputError
        A batch does not fit the model.

    Examples
    --------
    >>> import numpy as np, lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 1)), li.LSTM(4)])
    >>> model.set_weights([np.ones(shape) for shape in [(1, 16), (4, 16), (16,)]])
    >>> [y.shape for y in predict_batches(model, (np.ones((n, 5, 1)) for n in (2, 3)))]
    [(2, 4), (3, 4)]
    """
    check_model(model)
    settings = loaded(_settings(settings))
    stop = threading.Event()
    computer = Computer(model, settings)

    feed = Feed(model, batches, settings, coalesce=False)
    pool = computer.pool()
    try:
        for calls in ahead(_begun(computer, feed.samples(), pool), stop, abandon=True):
            found = [result.outputs for result in computer.results(calls) if result.rows]
            if found:
                outputs = [join(list(columns)) for columns in zip(*found, strict=True)]
            else:
                outputs = computer.empty().outputs
            yield pack_like(model.output, [list(y) if hasattr(y, "lengths") else y for y in outputs])
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        feed.close()


def check_model(model):
    """See that something is a `Model`."""
    if not isinstance(model, Model):
        raise InputError(f"found {type(model).__name__}, expected a Model: load_model(path) makes one of a file")


def output_names(model):
    """Return the outputs' names, numbered where one layer makes several."""
    names = model.output_names
    return names if len(set(names)) == len(names) else [f"output_{n}" for n in range(len(names))]


def _settings(given):
    try:
        return Settings(**given)
    except TypeError as error:
        raise InputError(str(error).replace("Settings.__init__() got", "found")) from None


def loaded(settings):
    """Return settings in which the files that they name are read."""
    read = {}
    if settings.scale is not None:
        read["scale"] = Scaling(settings.scale)
    if settings.tokenizer is not None:
        from ..text import Tokenizer

        read["tokenizer"] = Tokenizer.load(settings.tokenizer)
    return dataclasses.replace(settings, **read)


def _can_be_read_again(feed):
    return bool(feed.sources) and all(source.is_file for source in feed.sources)


def _check_names(model, settings):
    """See that no two columns of the output have one name."""
    beside = dict.fromkeys([*settings.group_by, *filter(None, [settings.time]), *settings.with_input])
    names = [*(["row"] if settings.has_index else []), *beside, *output_names(model)]
    twice = [name for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise InputError(f"found two columns {twice[0]!r} to write: of the input, an output or row numbers")


def _check_paths(model, sources, output, settings):
    """See that no file that is read is written, nor one file for two ends."""
    origin = getattr(model, "origin", None)
    read = {source.path: "an input" for source in sources if source.path != "-"}
    read.update({path: "the model" for path in (origin.files if origin is not None else ())})
    for path, use in ((settings.scale, "the scaling"), (settings.tokenizer, "the tokenizer")):
        read.update({path: use} if isinstance(path, str) else {})
    written = {}
    for path, use in ((output, "the output"), (settings.rejected, "the rejected rows")):
        if path is None or str(path) == "-" or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        for other, what in {**read, **written}.items():
            if os.path.realpath(path) == os.path.realpath(other):
                raise InputError(f"{path}: found it as {use} and as {what}, expected another file")
        written[path] = use


def _begun(computer, stream, pool):
    """Yield the calls that compute samples, as soon as they are begun."""
    try:
        for samples in stream:
            yield computer.begin(samples, pool)
    finally:
        stream.close()


def _run(model, feed, target, settings, shown, memory):
    """Read, compute and write; a signal that comes meanwhile is heeded after the pieces that are begun."""
    stop = threading.Event()
    computer = Computer(model, settings)
    samples = feed.samples()
    if model.is_stateful:
        samples = exactly(samples, settings.batch_size or model.inputs[0].shape[0])
    at = target.progress
    samples = skipping(samples, at.samples, at.read_rejected)

    pool = computer.pool()

    def write():
        try:
            for calls in ahead(_begun(computer, samples, pool), stop, abandon=True):
                for results in computer.results(calls):
                    target.write(results)
                    memory.look()
                    shown.update(at.rows, feed.fraction())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    writing = Apart(write)
    try:
        writing.wait()
    except BaseException:
        stop.set()
        try:
            writing.wait()
        finally:
            if writing.is_running:  # a second signal: nobody waits for the piece that is begun
                target.abandon()
        raise
