"""Reads the code object of a stored lambda as plain data: a parser of Python's marshal format that runs nothing.

A Lambda layer's function is kept as ``marshal.dumps(function.__code__)``. `read` takes such bytes of Python 2.7 and 3.4
to 3.14 apart into a `Code` (names, constants, argument names, the bytecode as bytes). ``marshal.loads`` is never
called: it trusts its bytes, and what it returns could be run. Every length is compared with the bytes that are there;
size, depth and the number of objects are bounded. Format: ``Python/marshal.c`` of those releases.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_OBJECTS = 20_000


class Code(NamedTuple):
    """What a code object says; `family` is the Python whose field order fits: "2.7", "3.4", "3.8" or "3.11"."""

    name: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    variables: tuple[str, ...]  # arguments first; from Python 3.11 on those of `cells` too
    cells: tuple[str, ...]  # variables shared with functions around or inside
    constants: tuple
    bytecode: bytes
    family: str


class Slice(NamedTuple):
    """A slice among the constants (Python 3.14)."""

    start: Any
    stop: Any
    step: Any


class Unreadable(ValueError):
    """Bytes that are not the marshalled code of any known Python."""


LAYOUTS = {  # family: its fields in order; a number is a bare 32-bit one, the others are objects
    "3.11": ("#argcount #posonly #kwonly #stacksize #flags code consts names variables kinds filename name qualname "
             "#firstlineno lines exceptions").split(),
    "3.8": ("#argcount #posonly #kwonly #nlocals #stacksize #flags code consts names variables free cells filename "
            "name #firstlineno lines").split(),
    "3.4": ("#argcount #kwonly #nlocals #stacksize #flags code consts names variables free cells filename name "
            "#firstlineno lines").split(),
    "2.7": ("#argcount #nlocals #stacksize #flags code consts names variables free cells filename name "
            "#firstlineno lines").split(),
}
TEXTS = ("names", "variables", "free", "cells")


def read(data: bytes) -> Code:
    """Return the code object in `data`.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Code

    Raises
    ------
    Unreadable
        It is not the marshalled code of a known Python, too large or too deep.

    Examples
    --------
    >>> import marshal
    >>> code = read(marshal.dumps((lambda x: x[:, -1]).__code__))
    >>> code.arguments, code.constants
    (('x',), (None, -1))
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(f"found {len(data):,} bytes, expected at most {MAX_BYTES:,}")
    for family in LAYOUTS:
        reader = _Reader(data, family)
        try:
            found = reader.item()
        except Unreadable:
            continue
        if isinstance(found, Code) and reader.at == len(data):
            return found
    raise Unreadable("these bytes are not the code of a function of Python 2.7 or 3.4 to 3.14")


class _Reader:
    def __init__(self, data: bytes, family: str) -> None:
        self.data, self.family, self.at, self.depth, self.count = data, family, 0, 0, 0
        self.references: list[Any] = []
        self.interned: list[Any] = []

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise Unreadable("the bytes end too early")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, layout: str = "<i") -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def item(self) -> Any:
        self.count += 1
        if self.depth > MAX_DEPTH or self.count > MAX_OBJECTS:
            raise Unreadable("too deep or too many objects")
        kind = self.take(1)[0]
        slot = None
        if kind & 0x80 and self.family != "2.7":  # FLAG_REF: later ones may point here
            slot = len(self.references)
            self.references.append(None)
        read = KINDS.get(chr(kind & 0x7F))
        if read is None:
            raise Unreadable(f"found the type {kind:#x}")
        self.depth += 1
        value = read(self)
        self.depth -= 1
        if slot is not None:
            self.references[slot] = value
        return value

    # ------------------------------------------------ kinds
    def text(self, size: int) -> str:
        return self.take(size).decode("utf-8", "replace")

    def intern(self) -> str:
        value = self.text(self.number())
        if self.family == "2.7":
            self.interned.append(value)
        return value

    def known(self, values: list[Any]) -> Any:
        index = self.number()
        if not 0 <= index < len(values):
            raise Unreadable("it refers to what is not there")
        return values[index]

    def long(self) -> int:
        size = self.number()
        digits = struct.unpack(f"<{abs(size)}H", self.take(2 * abs(size)))
        value = sum(digit << 15 * place for place, digit in enumerate(digits[:200]))
        return -value if size < 0 else value

    def old_float(self) -> float:
        text = self.take(self.take(1)[0])
        try:
            return float(text)
        except ValueError:
            raise Unreadable(f"found the number {text!r}") from None

    def items(self, size: int) -> tuple:
        if not 0 <= size <= len(self.data) - self.at:  # an item has a byte at least
            raise Unreadable("more items than bytes")
        return tuple(self.item() for _ in range(size))

    def code(self) -> Code:
        fields = {}
        for field in LAYOUTS[self.family]:
            fields[field.lstrip("#")] = self.number() if field[0] == "#" else self.item()
        for field in TEXTS:
            if field in fields:
                fields[field] = self.names(fields[field])
        count = fields["argcount"] + fields.get("kwonly", 0)
        if not isinstance(fields["code"], bytes) or not isinstance(fields["consts"], tuple) or count < 0:
            raise Unreadable("a field of the code is of another type")
        arguments = fields["variables"][:count]
        return Code(self.names((fields["name"],))[0], arguments, fields["names"], fields["variables"],
                    fields.get("cells", ()) + fields.get("free", ()), fields["consts"], fields["code"], self.family)

    def names(self, values: Any) -> tuple[str, ...]:
        if not isinstance(values, tuple) or not all(isinstance(value, (str, bytes)) for value in values):
            raise Unreadable("a list of names is something else")
        return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values)


KINDS: dict[str, Callable[[_Reader], Any]] = {
    "0": lambda r: None,
    "N": lambda r: None,
    "F": lambda r: False,
    "T": lambda r: True,
    ".": lambda r: Ellipsis,
    "S": lambda r: StopIteration,
    "i": lambda r: r.number(),
    "I": lambda r: r.number("<q"),
    "l": lambda r: r.long(),
    "f": lambda r: r.old_float(),
    "g": lambda r: r.number("<d"),
    "x": lambda r: complex(r.old_float(), r.old_float()),
    "y": lambda r: complex(r.number("<d"), r.number("<d")),
    "s": lambda r: r.take(r.number()),  # in Python 2 also texts
    "t": lambda r: r.intern(),
    "R": lambda r: r.known(r.interned),
    "r": lambda r: r.known(r.references),
    "u": lambda r: r.text(r.number()),
    "a": lambda r: r.text(r.number()),
    "A": lambda r: r.text(r.number()),
    "z": lambda r: r.text(r.take(1)[0]),
    "Z": lambda r: r.text(r.take(1)[0]),
    ")": lambda r: r.items(r.take(1)[0]),
    "(": lambda r: r.items(r.number()),
    "[": lambda r: r.items(r.number()),
    "<": lambda r: r.items(r.number()),
    ">": lambda r: r.items(r.number()),
    ":": lambda r: Slice(r.item(), r.item(), r.item()),
    "c": lambda r: r.code(),
}
"""The types of marshal that constants may have; dictionaries do not occur in code."""
