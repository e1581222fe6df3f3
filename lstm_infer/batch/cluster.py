"""The same job on a Dask cluster: a partition is one call of `predict_files` on some worker.

Dask schedules the partitions and repeats those of workers that are lost. A worker loads the model once. Every partition
becomes a file that appears when it is whole, so it does not matter how often one is begun; the manifest comes last.
What each did is noted beside it, for a job that goes on with ``resume``.
"""

import dataclasses
import hashlib
import json
import os
import pickle
import threading
import time
from pathlib import Path

from ..errors import InputError
from .feed import Feed, by_input, of_one
from .job import Done, Stopped, loaded, predict_sources
from .journal import PARTS, digest, identity, sync_folder
from .plan import plan
from .progress import Memory, make
from .reader import open_source
from .settings import Settings
from .sources import Source, find

PARTITION_ROWS = 1 << 17
MANIFEST = "_manifest.json"
JOB = "_job.json"
"""With a mark that readers of datasets know: such names are no data."""
BY_ROWS = ("npy", "h5")
"""Formats whose parts are ranges of rows: those of several files go together."""
SMALL = 1 << 20
"""Bytes of a pickled model up to which it travels with every task."""


def predict_on_cluster(
    model, inputs, output, cluster, *, partition_rows=PARTITION_ROWS, progress="quiet", kept=None, **settings
):
    """Compute predictions of many files, or of a few large ones, on a Dask cluster.

    Parameters
    ----------
    model : Model
        One from a file travels by the file's name, so all machines need the file; any other one with its weights.
    inputs : path, list of paths, or dict of them by input name
        As `predict_files` takes them; on a file system that all machines share. Of a dict, the first files of all
        inputs hold the same rows, so do the second ones, and so on.
    output : path
        A folder, new or empty: it gets a file for every partition, in order (``part-00000.npy``), and last
        ``_manifest.json``. Of parquet such a folder is one dataset. With ``resume=True``, that of a job that was
        stopped: parts that are whole are not computed again.
    cluster : str or distributed.Client
        The scheduler's address, or a client.
    partition_rows : int
        About how many rows make a partition. Series for windows are a partition each, and so are npz, Arrow and
        compressed files.
    progress : {"quiet", "auto"}
    kept : callable, optional
        As in `predict_files`.
    **settings
        As `predict_files`. ``output_format`` is parquet unless given.

    Returns
    -------
    job.Done

    Raises
    ------
    InputError
        As `predict_files`; or the folder is not empty, or that of another job.
    """
    began, memory = time.monotonic(), Memory()
    client, is_ours = _connect(cluster)
    try:
        checked = Settings(**{**settings, "output_format": settings.get("output_format") or "parquet"})
        if checked.across_files:
            raise InputError("across_files is not for clusters: each file is a part of its own")
        if checked.rejected:
            raise InputError("rejected is not for clusters: rejected rows are written beside each part")
        sources, parts = _parts(model, inputs, checked, partition_rows)
        pieces = [[source.part for source in part] for part in parts]
        about = {**identity(model, sources, checked), "parts": json.loads(json.dumps(pieces))}
        folder = _folder(output, about, checked.resume)
        results = _run(client, model, parts, folder, checked, make(progress, 0), kept)
    finally:
        if is_ours:
            client.close()
    _finish(folder, model, results)
    rows, rejected, before = (sum(result.get(word, 0) for result in results) for word in ("rows", "rejected", "before"))
    seconds = time.monotonic() - began
    rate = (rows - before) / max(seconds, 1e-9)
    return Done(rows, rejected, before, seconds, rate, memory.peak(), memory.anonymous, None)


def _connect(cluster):
    if not isinstance(cluster, str):
        return cluster, False
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a cluster needs Dask: pip install 'lstm-infer[dask]'") from None
    try:
        return Client(cluster, timeout="10s"), True
    except (OSError, ValueError) as error:
        raise InputError(f"{cluster}: found no Dask scheduler ({error})") from None


def _paths(inputs):
    paths = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, (str, os.PathLike)) for path in paths):
        raise InputError("found something else than files, expected paths: a cluster reads from disks that all share")
    if any(str(path) == "-" for path in paths):
        raise InputError("found standard input, expected files: a cluster reads from disks that all share")
    return paths


def _parts(model, inputs, settings, partition_rows):
    """Return all sources, and the partitions: lists of a source, or of one for each input."""
    if not isinstance(inputs, dict):
        sources = [source for path in _paths(inputs) for source in find(path, settings.input_format)]
        Feed(model, sources[:1], loaded(settings)).close()  # what is wrong is found here
        split = [_split(source, model, settings, partition_rows) for source in sources]
        return sources, [[part] for parts in split for part in parts]
    for paths in inputs.values():
        _paths(paths)
    found = by_input(model, inputs, settings)
    counts = {name: len(sources) for name, sources in found.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"found numbers of files {counts}, expected one number: a cluster takes a file of each input")
    Feed(model, {name: sources[:1] for name, sources in found.items()}, loaded(settings)).close()
    parts = []
    for sources in zip(*found.values(), strict=True):
        split = [
            _split(source, model, settings, partition_rows, [tensor])
            for source, tensor in zip(sources, model.inputs, strict=True)
        ]
        same = all([part.part for part in parts] == [part.part for part in split[0]] for parts in split)
        if not (same and all(source.format in BY_ROWS for source in sources)):
            split = [[source._replace(path=os.path.abspath(source.path))] for source in sources]
        parts += [list(part) for part in zip(*split, strict=True)]
    return [source for sources in found.values() for source in sources], parts


def _split(source, model, settings, partition_rows, tensors=None):
    """Return a source of some of the model's inputs, or of all, as one or several."""
    source = source._replace(path=os.path.abspath(source.path))
    if settings.window or model.is_stateful:
        return [source]
    reader = open_source(source, settings)
    try:
        if tensors is not None:
            settings = of_one(settings, reader)
        tensors = tensors or model.inputs
        wanted = plan(tensors, reader, settings).wanted(tensors)
        return [source._replace(part=part) for part in reader.parts(wanted, partition_rows)]
    finally:
        reader.close()


def _folder(output, about, resumes):
    """Return the folder for the parts, which says of what job they are."""
    if str(output) == "-":
        raise InputError("found standard output, expected a folder to write parts into")
    folder = Path(os.path.abspath(output))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{output}: found a file, expected a folder to write parts into") from None
    found = {path.name for path in folder.iterdir() if not path.name.startswith(f"{JOB}.")}
    if not found:
        _write(folder / JOB, about)
        return folder
    if MANIFEST in found:
        raise InputError(f"{output}: found a folder that is not empty: all parts of a job are done")
    if not resumes:
        hint = "; resume (--resume) goes on with the job that left it" if JOB in found else ""
        raise InputError(f"{output}: found a folder that is not empty{hint}")
    before = _read(folder / JOB)
    if before is None:
        raise InputError(f"{output}: found a folder that no stopped job left, expected one to go on with")
    for word, difference in {**PARTS, "parts": "in other parts"}.items():
        if before.get(word) != about[word]:
            raise InputError(f"{output}: found a job that was stopped, but {difference}; take a new folder")
    return folder


def _note(target):
    """Return the path of what is known of a part."""
    return Path(target).with_name(f"_{Path(target).name}.json")


def _noted(target):
    """Return what a part of a job before did; None where it is not whole."""
    found = _read(_note(target)) if os.path.exists(target) else None
    return found and {**found, "before": found["rows"]}


def _read(path):
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


# ---------------------------------------------------------------- partitions
def _run(client, model, parts, folder, settings, shown, kept):
    """Run all partitions that are not done; return what each of them did, in order."""
    from distributed import as_completed

    data = pickle.dumps(model)
    key = hashlib.sha256(data).hexdigest()
    if len(data) > SMALL:
        data = client.scatter(data, broadcast=True, hash=False)
    given = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)} | {"resume": False}
    suffix = settings.output_format
    targets = [str(folder / f"part-{number:05}.{suffix}") for number in range(len(parts))]
    done = {n: result for n, target in enumerate(targets) if (result := _noted(target))}
    place = {}
    for number, (part, target) in enumerate(zip(parts, targets, strict=True)):
        if number not in done:
            part = [tuple(source) for source in part]
            place[client.submit(_partition, data, key, part, target, given, pure=False, retries=0)] = number
    rows = sum(result["rows"] for result in done.values())
    try:
        for future in as_completed(list(place)):
            done[place[future]] = result = future.result()
            rows += result["rows"]
            shown.update(rows, len(done) / len(parts))
    except BaseException as error:
        client.cancel(list(place))
        if kept is not None and done and not isinstance(error, InputError):
            kept(Stopped(rows, str(folder)))
        raise
    finally:
        shown.close()
    return [done[n] for n in range(len(parts))]


_models, _loading = {}, threading.Lock()


def _partition(data, key, part, target, settings):
    """Compute one partition, on a worker."""
    with _loading:
        model = _models.get(key)
        if model is None:
            _models.clear()
            model = _models[key] = pickle.loads(data)
    part = [Source(*source) for source in part]
    inputs = part if len(part) == 1 else {name: [one] for name, one in zip(model.input_names, part, strict=True)}
    done = predict_sources(model, inputs, target, Settings(**settings))
    rejected = os.path.basename(done.rejected_file) if done.rejected_file else None
    sources, pieces = [str(source) for source in part], [source.part for source in part]
    result = {
        "file": os.path.basename(target), "source": sources[0] if len(part) == 1 else sources, "part": pieces[0],
        "rows": done.rows, "rejected": done.rejected, "rejected_file": rejected,
    }  # fmt: skip
    _write(_note(target), result)
    return result


def _finish(folder, model, results):
    """Write the manifest, and remove what only a job that goes on would read."""
    parts = [{word: value for word, value in result.items() if word != "before"} for result in results]
    _write(folder / MANIFEST, {"model": digest(model), "rows": sum(part["rows"] for part in parts), "parts": parts})
    for path in [folder / JOB, *(_note(folder / part["file"]) for part in parts), *folder.glob("_*.new")]:
        path.unlink(missing_ok=True)


def _write(path, document):
    """Write JSON, which appears when it is whole; two workers may write the same."""
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    with open(new, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    sync_folder(path.parent)
