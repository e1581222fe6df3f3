"""The same job on a Dask cluster: a partition is one call of `predict_files` on some worker.

Dask schedules the partitions and repeats those of workers that are lost. A worker loads the model once. Every partition
becomes a file that appears when it is whole, so it does not matter how often one is begun; the manifest comes last.
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
from .feed import Feed
from .job import Done, loaded, predict_sources
from .journal import digest, sync_folder
from .plan import plan
from .progress import Memory, make
from .reader import open_source
from .settings import Settings
from .sources import Source, find

PARTITION_ROWS = 1 << 17
SMALL = 1 << 20
"""Bytes of a pickled model up to which it travels with every task."""


def predict_on_cluster(model, inputs, output, cluster, *, partition_rows=PARTITION_ROWS, progress="quiet", **settings):
    """Compute predictions of many files, or of a few large ones, on a Dask cluster.

    Parameters
    ----------
    model : Model
        One from a file travels by the file's name, so all machines need the file; any other one with its weights.
    inputs : path or list of paths
        As `predict_files` takes them; on a file system that all machines share.
    output : path
        A folder, new or empty: it gets a file for every partition, in order (``part-00000.npy``), and last
        ``manifest.json``. Of parquet such a folder is one dataset.
    cluster : str or distributed.Client
        The scheduler's address, or a client.
    partition_rows : int
        About how many rows make a partition. Series for windows are a partition each, and so are npz, Arrow and
        compressed files.
    progress : {"quiet", "auto"}
    **settings
        As `predict_files`. ``output_format`` is parquet unless given.

    Returns
    -------
    job.Done

    Raises
    ------
    InputError
        As `predict_files`; or the folder is not empty.
    """
    began, memory = time.monotonic(), Memory()
    client, is_ours = _connect(cluster)
    try:
        checked = Settings(**{**settings, "output_format": settings.get("output_format") or "parquet"})
        if checked.resume or checked.rejected:
            raise InputError("resume and rejected are not for clusters: Dask repeats what is lost, by itself")
        sources = [source for path in _paths(inputs) for source in find(path, checked.input_format)]
        Feed(model, sources[:1], loaded(checked)).close()  # what is wrong is found here
        parts = [part for source in sources for part in _split(source, model, checked, partition_rows)]
        folder = _new_folder(output)
        results = _run(client, model, parts, folder, checked, make(progress, 0))
    finally:
        if is_ours:
            client.close()
    _write_manifest(folder, model, results)
    rows, rejected = (sum(result[word] for result in results) for word in ("rows", "rejected"))
    seconds = time.monotonic() - began
    return Done(rows, rejected, 0, seconds, rows / max(seconds, 1e-9), memory.peak(), memory.anonymous, None)


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


def _split(source, model, settings, partition_rows):
    """Return a source as one or several."""
    source = source._replace(path=os.path.abspath(source.path))
    if settings.window or model.is_stateful:
        return [source]
    reader = open_source(source, settings)
    try:
        wanted = plan(model.inputs, reader, settings).wanted(model.inputs)
        return [source._replace(part=part) for part in reader.parts(wanted, partition_rows)]
    finally:
        reader.close()


def _new_folder(output):
    if str(output) == "-":
        raise InputError("found standard output, expected a folder to write parts into")
    folder = Path(os.path.abspath(output))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{output}: found a file, expected a folder to write parts into") from None
    if any(folder.iterdir()):
        raise InputError(f"{output}: found a folder that is not empty")
    return folder


# ---------------------------------------------------------------- partitions
def _run(client, model, parts, folder, settings, shown):
    """Run all partitions; return what each of them did, in order."""
    from distributed import as_completed

    data = pickle.dumps(model)
    key = hashlib.sha256(data).hexdigest()
    if len(data) > SMALL:
        data = client.scatter(data, broadcast=True, hash=False)
    given = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    suffix = settings.output_format
    targets = [str(folder / f"part-{number:05}.{suffix}") for number in range(len(parts))]
    futures = [
        client.submit(_partition, data, key, tuple(part), target, given, pure=False, retries=0)
        for part, target in zip(parts, targets, strict=True)
    ]
    place, done, rows = {future.key: n for n, future in enumerate(futures)}, {}, 0
    try:
        for future in as_completed(futures):
            done[place[future.key]] = result = future.result()
            rows += result["rows"]
            shown.update(rows, len(done) / len(parts))
    except BaseException:
        client.cancel(futures)
        raise
    finally:
        shown.close()
    return [done[n] for n in range(len(parts))]


_models, _loading = {}, threading.Lock()


def _partition(data, key, source, target, settings):
    """Compute one partition, on a worker."""
    with _loading:
        model = _models.get(key)
        if model is None:
            _models.clear()
            model = _models[key] = pickle.loads(data)
    source = Source(*source)
    done = predict_sources(model, [source], target, Settings(**settings))
    rejected = os.path.basename(done.rejected_file) if done.rejected_file else None
    return {
        "file": os.path.basename(target), "source": str(source), "part": source.part, "rows": done.rows,
        "rejected": done.rejected, "rejected_file": rejected,
    }  # fmt: skip


def _write_manifest(folder, model, results):
    document = {"model": digest(model), "rows": sum(result["rows"] for result in results), "parts": results}
    path = folder / "manifest.json"
    with open(path.with_suffix(".new"), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path.with_suffix(".new"), path)
    sync_folder(folder)


