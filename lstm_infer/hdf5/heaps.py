"""Looks at the bytes of an HDF5 file before libhdf5 does: its end, and its heaps of texts and names. Knows bytes only.

libhdf5 trusts what it finds in a heap: one flipped bit makes it read past the end, ask for gigabytes, or walk a list
for ever. Format: HDF5 File Format Specification 3.0, II.A (superblock), III.D (local heap), III.E (global heap), III.G
(fractal heap), IV.A.2.m (attribute).
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterator

import numpy as np

from ..errors import LoadError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_TEXT = 8 << 20  # bytes of one text; the largest real architecture seen has 1 MB
GLOBAL_HEAP, LOCAL_HEAP, FRACTAL_HEAP = b"GCOL\1\0\0\0", b"HEAP\0\0\0\0", b"FRHP\0"
TEXT_TYPE = re.compile(  # variable-length text: its datatype message, at the head of every attribute that holds some
    rb"\x19[\x01\x11\x21][\x00\x01]\x00\x10\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00\x00\x00\x08\x00")
TEXT_END = b"\0\x10\0\0\0\x10\0\0\0\1\0\0\0\0\0\x08\0"  # what is the same in all of them, quick to find
WINDOW, OVERLAP = 1 << 18, 64  # bytes looked at together: few enough to stay in a core's cache
NOWHERE = (1 << 64) - 1


class _Bytes:
    """Random access to the HDF5 part of a file, whose addresses count from `base`."""

    def __init__(self, file: io.BufferedIOBase, base: int, name: str) -> None:
        self.file, self.base, self.name = file, base, name
        self.size = file.seek(0, os.SEEK_END) - base

    def read(self, at: int, size: int) -> bytes:
        if not 0 <= at < self.size:
            return b""
        self.file.seek(self.base + at)
        return self.file.read(min(size, self.size - at))

    def damaged(self, what: str) -> LoadError:
        return LoadError(f"{self.name}: is damaged, {what}")


def find_start(file: io.BufferedIOBase) -> int | None:
    """Where the HDF5 part of a file begins: at 0, or behind a user block of 512, 1024, 2048, ... bytes."""
    size, offset = file.seek(0, os.SEEK_END), 0
    while offset + len(HDF5_MAGIC) <= size:
        file.seek(offset)
        if file.read(len(HDF5_MAGIC)) == HDF5_MAGIC:
            return offset
        offset = offset * 2 or 512
    return None


def check(file: io.BufferedIOBase, name: str) -> None:
    """Raise LoadError if the file is cut short, or if a text's or a name's declared place or length cannot be."""
    data = _Bytes(file, find_start(file) or 0, name)
    _check_end(data)
    places: dict[bytes, list[int]] = {GLOBAL_HEAP: [], LOCAL_HEAP: [], FRACTAL_HEAP: [], TEXT_END: []}
    for window, start in _suspects(data):
        for mark, found in places.items():
            at = window.find(mark)
            while at >= 0:
                if not found or start + at > found[-1]:
                    found.append(start + at)
                at = window.find(mark, at + 1)
    _check_names(data, places[LOCAL_HEAP])
    for at in places[FRACTAL_HEAP]:
        _check_fractal(data, at)
    _check_texts(data, places[GLOBAL_HEAP], [at - 3 for at in places[TEXT_END]])


def _check_end(data: _Bytes) -> None:
    """Compare the file's size with the end that its superblock tells: a download or a save may have been cut."""
    head = data.read(0, 64)
    version = head[8] if len(head) == 64 else 255
    at = {0: 24, 1: 28, 2: 12, 3: 12}.get(version)  # base address, another, end: 8 bytes each, in files of Keras
    if at is None or head[13 if version < 2 else 9] != 8:
        return
    end = _number(head, at + 16) - _number(head, at)
    if data.size < end < NOWHERE:
        raise LoadError(f"{data.name}: is cut short, found {data.size:,} bytes and expected the {end:,} that its head "
                        "tells; its download, copy or save was probably interrupted")


def _suspects(data: _Bytes) -> Iterator[tuple[bytes, int]]:
    """The parts of a file where a mark may stand.

    Weights are nearly all of a file. Wherever a mark begins, it or what must follow it covers a whole 4-byte word that
    is, as an integer, between 1 and 0x087fffff (as a float: below 8e-34) or between 0x4c000000 and 0x507fffff (above
    3e7), which weights are not: two comparisons for four bytes, instead of a search for each mark.
    """
    buffer = bytearray(WINDOW + OVERLAP)
    words = np.frombuffer(buffer, "<u4")
    shifted = np.empty_like(words)
    for start in range(0, data.size, WINDOW):
        data.file.seek(data.base + start)
        count = data.file.readinto(buffer)
        used = slice(0, -(-count // 4))
        for first, length in ((1, 0x087FFFFF), (0x4C000000, 0x04800000)):
            np.subtract(words[used], np.uint32(first), out=shifted[used])
            if shifted[used].min() < length:
                yield bytes(buffer[:count]), start
                break


# ---------------------------------------------------------------- names of links


def _check_names(data: _Bytes, heaps: list[int]) -> None:
    """Follow the lists of free places in local heaps to their ends: libhdf5 would follow a circle for ever."""
    left = data.size // 16 + 16  # heaps do not overlap, so all of them together have no more places
    for heap in heaps:
        size, at, place = (_number(data.read(heap + 8, 24), 8 * field) for field in range(3))
        content = data.read(place, min(size, data.size))
        while at + 16 <= len(content):  # 1 is the end
            at, left = _number(content, at), left - 1
            if left < 0:
                raise data.damaged(f"the free places of the heap at byte {heap:,} go round in a circle")


def _check_fractal(data: _Bytes, at: int) -> None:
    """Refuse attributes over 64 KB: Keras cuts them up, and opening one reads it all, whatever it holds."""
    head = data.read(at, 32)
    if len(head) < 32 or not 0 < _number(head, 5, 2) <= 64:
        return  # a mark by chance
    if _number(head, 7, 2) or _number(head, 22) not in (0, NOWHERE):  # filters; where what is too large for it lies
        raise LoadError(f"{data.name}: has an attribute or a name of more than 64 KB, expected shorter ones")


# ---------------------------------------------------------------- texts


def _check_texts(data: _Bytes, heaps: list[int], types: list[int]) -> None:
    sizes, left, total, listed = {}, data.size // 16 + 16, 0, 0  # as above
    for heap in heaps:
        length = _number(data.read(heap + 8, 8), 0)
        content = data.read(heap, min(length, data.size))
        sizes[heap] = _entries(data, heap, length, content)
        left, total = left - len(sizes[heap]), total + len(content)
        if left < 0 or total > data.size:
            raise data.damaged("its texts overlap")
    for at in types:
        if not TEXT_TYPE.match(data.read(at, 20)):
            continue
        references = _references(data, at + 20)
        listed += len(references)
        if listed > data.size // 4 + 16:
            raise data.damaged("its texts overlap")
        for length, heap, index in references:
            if length > min(sizes.get(heap, {}).get(index, data.size), data.size):
                raise data.damaged(f"the text at byte {at:,} declares {length:,} bytes")
            if length > MAX_TEXT:
                raise LoadError(f"{data.name}: has a text of {length:,} bytes, expected at most {MAX_TEXT:,}")


def _entries(data: _Bytes, heap: int, length: int, content: bytes) -> dict[int, int]:
    """Sizes of the texts in a heap, by index."""
    sizes, at = {}, 16
    while at + 16 <= len(content):
        index, size = _number(content, at, 2), _number(content, at + 8)
        step = 16 + (size + 7 & ~7) if index else size  # entry 0 is the free space, header included
        if step < 16 or at + step > length:
            raise data.damaged(f"the text at byte {heap + at:,} has an impossible size")
        sizes[index] = size
        at += step
    return sizes


def _references(data: _Bytes, at: int) -> list[tuple[int, int, int]]:
    """(length, heap, index) of each text of the attribute whose datatype message ends at `at`."""
    head = data.read(at, 4 + 8 + 32 * 16)
    spaces = ((4, b"\1", 8), (0, b"\2", 4))  # attributes of version 1 and 3: dataspace, its version, header
    space, header = next(((place, size) for place, version, size in spaces if head[place:place + 1] == version), (0, 0))
    if not header:
        return []
    rank, limited = _number(head, space + 1, 1), _number(head, space + 2, 1) & 1
    first = space + header + 8 * rank * (2 if limited else 1)
    count = math.prod(_number(head, space + header + 8 * axis) for axis in range(min(rank, 32)))
    content = data.read(at + first, 16 * min(count, 100_000))
    return [(_number(content, at, 4), _number(content, at + 4), _number(content, at + 12, 4))
            for at in range(0, len(content) - 15, 16)]


def _number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at:at + size], "little")
