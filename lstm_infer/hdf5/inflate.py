"""Looks whether the compressed pieces of an HDF5 array grow to what they should, before libhdf5 lets them grow.

libhdf5 inflates a piece into memory whatever its size becomes: a megabyte makes a gigabyte. Knows HDF5 filters only.
"""

from __future__ import annotations

import math
import zlib

import h5py

STEP = 1 << 18  # bytes inflated at once
BESIDE = 64  # bytes that other filters may add to a piece


def objection(dataset: h5py.Dataset) -> str | None:
    """What is wrong if a piece of `dataset` that gzip packed becomes larger than its pieces are."""
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(index)[0] for index in range(plan.get_nfilters())]
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return None
    if sum(code in (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_LZF) for code in filters) > 1:
        return "is compressed twice, expected once"
    skipped = 1 << filters.index(h5py.h5z.FILTER_DEFLATE)
    most = math.prod(dataset.chunks) * dataset.dtype.itemsize + BESIDE
    places: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda piece: places.append(piece.chunk_offset))
    for place in places:
        mask, data = dataset.id.read_direct_chunk(place)
        if not mask & skipped and _grows_beyond(data, most):
            return f"has a compressed piece at {place} that grows beyond the {most - BESIDE:,} bytes it should have"
    return None


def _grows_beyond(data: bytes, most: int) -> bool:
    size, unpacking = 0, zlib.decompressobj()
    while data and not unpacking.eof and size <= most:
        size += len(unpacking.decompress(data, STEP))
        data = unpacking.unconsumed_tail
    return size > most
