"""The ``.keras`` zip archive: its members are read one by one, into memory only where they must be, nothing to disk."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import LoadError
from . import vocabularies
from .heaps import MAX_TEXT
from .sources import Source
from .store import FREE

SHARE = 32  # declared : stored of a member, beyond FREE
LIMITS = ((".json", MAX_TEXT), (".txt", vocabularies.MOST))  # bytes of members, by the end of their names


@contextmanager
def opened(source: Source) -> Iterator[tuple[list[str], Callable[[str], bytes | Source | None]]]:
    """The names of an archive's members, and a function that gives one: its bytes, its place in the file, or None."""
    with source.open() as file, _archive(file, source.name) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise LoadError(f"{source.name}: two members of the same name in the archive, expected each once")

        def read(name: str) -> bytes | Source | None:
            info = members.get(name)
            if info is None:
                return None
            if info.flag_bits & 1:
                raise LoadError(f"{source.name}: {info.filename} is encrypted, expected it as Keras stores it")
            if info.compress_type == zipfile.ZIP_STORED and name.endswith(".h5"):
                return _stored(source, info)
            return _extract(archive, info, source.name)

        yield list(members), read


def _archive(file: io.BufferedIOBase, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise LoadError(f"{name}: is cut short, a zip archive without the directory at its end; its download, copy or "
                        "save was probably interrupted") from None


def _stored(source: Source, info: zipfile.ZipInfo) -> Source:
    """The place of a member that is not compressed, after its checksum has been compared."""
    with source.open() as file:
        file.seek(info.header_offset)
        head = file.read(30)
        lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    place = (info.header_offset + 30 + lengths, info.file_size)
    member, checksum, size = Source(source.name, source.path, source.data, place), 0, 0
    buffer = memoryview(bytearray(1 << 18))
    with member.open() as part:
        while count := part.readinto(buffer):
            checksum, size = zlib.crc32(buffer[:count], checksum), size + count
    if head[:4] != b"PK\3\4" or size != info.compress_size or checksum != info.CRC:
        raise LoadError(f"{source.name}: {info.filename} is damaged, its bytes do not match their size and checksum")
    return member


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise LoadError(f"{name}: {info.filename} is compressed by method {info.compress_type}, expected deflate")
    most = next((most for end, most in LIMITS if info.filename.endswith(end)), info.file_size)
    if info.file_size > min(SHARE * info.compress_size + FREE, most):
        raise LoadError(f"{name}: {info.filename} declares {info.file_size:,} bytes and holds {info.compress_size:,}")
    return archive.read(info)
