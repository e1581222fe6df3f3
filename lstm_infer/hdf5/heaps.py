"""Looks at the variable-length text of an HDF5 file before libhdf5 does. Knows bytes only.

libhdf5 trusts the lengths it finds there: one flipped bit makes it read past the end, ask for gigabytes, or walk a heap
for ever. Format: HDF5 File Format Specification 3.0, III.E (global heap), IV.A.2.m (attribute).
"""

from __future__ import annotations

import math
import mmap
import re

from ..errors import LoadError

Bytes = bytes | mmap.mmap
HEAP = b"GCOL\1\0\0\0"
TEXT_TYPE = re.compile(  # variable-length text: its datatype message, at the head of every attribute that holds some
    rb"\x19[\x01\x11\x21][\x00\x01]\x00\x10\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x08\x00")


def check(data: Bytes, base: int, name: str) -> None:
    """Raise LoadError if a text's declared place or length cannot be. `base` is where the HDF5 part begins."""
    heaps, left = {}, len(data) // 16 + 16  # heaps do not overlap, so all of them together have no more entries
    start = data.find(HEAP)
    while start >= 0:
        heaps[start - base] = _entries(data, start, name)
        left -= len(heaps[start - base])
        if left < 0:
            raise LoadError(f"{name}: is damaged, its texts overlap")
        start = data.find(HEAP, start + 8)
    for found in TEXT_TYPE.finditer(data):
        for length, heap, index in _references(data, found.end()):
            if length > heaps.get(heap, {}).get(index, len(data)):
                raise LoadError(f"{name}: is damaged, the text at byte {found.start():,} declares {length:,} bytes")


def _entries(data: Bytes, start: int, name: str) -> dict[int, int]:
    """Sizes of the texts in the heap at `start`, by index."""
    sizes = {}
    end = start + _number(data, start + 8, 8)
    at = start + 16
    while at + 16 <= min(end, len(data)):
        index, size = _number(data, at, 2), _number(data, at + 8, 8)
        step = 16 + (size + 7 & ~7) if index else size  # entry 0 is the free space, header included
        if step < 16 or at + step > end:
            raise LoadError(f"{name}: is damaged, the text at byte {at:,} has an impossible size")
        sizes[index] = size
        at += step
    return sizes


def _references(data: Bytes, at: int) -> list[tuple[int, int, int]]:
    """(length, heap, index) of each text of the attribute whose datatype message ends at `at`."""
    spaces = ((at + 4, b"\1", 8), (at, b"\2", 4))  # attributes of version 1 and 3: dataspace, its version, header
    space, header = next(((place, size) for place, version, size in spaces if data[place:place + 1] == version), (0, 0))
    if not header:
        return []
    rank, limited = _number(data, space + 1, 1), _number(data, space + 2, 1) & 1
    first = space + header + 8 * rank * (2 if limited else 1)
    count = math.prod(_number(data, space + header + 8 * axis, 8) for axis in range(min(rank, 32)))
    places = range(first, min(first + 16 * count, len(data) - 15), 16)
    return [(_number(data, at, 4), _number(data, at + 4, 8), _number(data, at + 12, 4)) for at in places[:100_000]]


def _number(data: Bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at:at + size], "little")
