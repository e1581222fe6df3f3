"""The vocabularies of lookup layers, which a ``.keras`` archive or folder keeps as text files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..errors import LoadError

MOST = 16 << 20  # bytes of all of them together; a million words have 8 MB
MOST_FILES = 1000
PLACE = re.compile(r"assets/((?:[^/]+/)*)vocabulary\.txt")


def read(name: str, member: Callable[[str], bytes | None], listed: Iterable[str]) -> dict[str, str]:
    """The texts of vocabularies by the path of the object that has them."""
    texts: dict[str, str] = {}
    size = 0
    for path in listed:
        place = PLACE.fullmatch(path.replace("\\", "/"))  # Windows wrote its own separators
        if place is None:
            continue
        data = member(path)
        size += len(data)
        if size > MOST or len(texts) >= MOST_FILES:
            raise LoadError(f"{name}: {path}: the vocabularies are larger or more than expected")
        try:
            texts[place[1].rstrip("/")] = data.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            raise LoadError(f"{name}: {path} is not text in UTF-8, expected a vocabulary") from None
    return texts
