"""Where a model's bytes come from: a path, the bytes themselves, or a stretch of either. Knows no format."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import LoadError


class Part(io.RawIOBase):
    """A stretch of a file as a file: what an archive stores uncompressed need not be copied to be read."""

    def __init__(self, file: io.BufferedIOBase, start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[:max(0, self.size - self.at)]
        self.file.seek(self.start + self.at)
        count = self.file.readinto(view)
        self.at += count
        return count

    def close(self) -> None:
        self.file.close()
        super().close()


class Source(NamedTuple):
    """Where bytes come from: a path, or the bytes themselves; a part of them if `place` says (start, size)."""

    name: str
    path: Path | None
    data: bytes | None
    place: tuple[int, int] | None = None

    def open(self) -> io.BufferedIOBase:
        file = io.BytesIO(self.data) if self.path is None else self.path.open("rb")
        return file if self.place is None else Part(file, *self.place)


def source_of(path: Any) -> Source:
    """What a user gave: a path, bytes, or an open binary file."""
    if isinstance(path, (bytes, bytearray, memoryview)):
        return Source("<bytes>", None, bytes(path))
    if hasattr(path, "read"):
        data = path.read()
        name = getattr(path, "name", None)
        if not isinstance(data, bytes):
            raise LoadError(f"{name or '<file>'}: opened in text mode, expected a file opened with mode 'rb'")
        return Source(Path(name).name if isinstance(name, str) else "<file>", None, data)
    path = Path(path)
    return Source(path.name or str(path), path, None)
