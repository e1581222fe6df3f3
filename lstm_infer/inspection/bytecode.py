"""Turns the bytecode of a short function back into an expression, for people to read. Nothing is run.

Enough of a decompiler for what Lambda layers hold: names, attributes, calls, subscripts, arithmetic, imports inside
the function. Anything else (branches, loops, comprehensions) gives None. Opcode numbers: ``Lib/opcode.py`` and
``Include/opcode_ids.h`` of Python 2.7 and 3.4 to 3.13; those of 3.14 are not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .marshalled import Code, Slice

MAX_TEXT = 2000  # of an expression
MAX_ITEMS = 50  # of a tuple or a call
MAX_STRING = 200  # characters of a constant

COMMON = {
    11: "UNARY_NEGATIVE", 16: "@", 19: "**", 20: "*", 21: "/", 22: "%", 23: "+", 24: "-", 25: "[]", 26: "//", 27: "/",
    1: "POP_TOP", 9: "NOP", 83: "RETURN", 100: "CONST", 102: "TUPLE", 103: "LIST", 106: "ATTR", 108: "IMPORT",
    109: "IMPORT_FROM", 116: "GLOBAL", 124: "FAST", 125: "STORE", 133: "SLICE", 136: "DEREF", 144: "EXTENDED",
}
OLD_CALLS = {131: "CALL_PAIRS"}  # low byte: positional, high byte: by name
OPCODES = {  # table name: opcode to what it does; names are ours where several releases spell one thing differently
    "2.7": {**COMMON, **OLD_CALLS, 145: "EXTENDED", 30: "[]0", 31: "[]1", 32: "[]2", 33: "[]3"},
    "3.4": {**COMMON, **OLD_CALLS},
    "3.6": {**COMMON, 131: "CALL", 141: "CALL_NAMED", 160: "METHOD", 161: "CALL"},
    "3.11": {**COMMON, 0: "NOP", 2: "NOP", 136: None, 137: "DEREF", 149: "NOP", 151: "NOP", 166: "NOP", 160: "METHOD",
             116: "GLOBAL_NULL", 122: "BINARY", 171: "CALL", 172: "NAMES"},
    "3.12": {**COMMON, 0: "NOP", 2: "NOP", 136: None, 137: "DEREF", 149: "NOP", 151: "NOP", 106: "ATTR_METHOD",
             116: "GLOBAL_NULL", 122: "BINARY", 171: "CALL", 172: "NAMES", 26: "[:]", 121: "RETURN_CONST"},
    "3.13": {0: "NOP", 30: "NOP", 32: "POP_TOP", 34: "NOP", 36: "RETURN", 42: "UNARY_NEGATIVE", 45: "BINARY", 5: "[]",
             4: "[:]", 47: "LIST", 50: "SLICE", 52: "TUPLE", 53: "CALL", 57: "CALL_NAMED", 62: "NOP", 71: "EXTENDED",
             74: "IMPORT_FROM", 75: "IMPORT", 82: "ATTR_METHOD", 83: "CONST", 84: "DEREF", 85: "FAST", 88: "FAST_FAST",
             91: "GLOBAL_NULL", 103: "RETURN_CONST", 110: "STORE", 149: "NOP"},
}
TABLES = {"2.7": ("2.7",), "3.4": ("3.6", "3.4"), "3.8": ("3.6",), "3.11": ("3.11", "3.12", "3.13")}
BINARY = ("+", "&", "//", "<<", "@", "*", "%", "|", "**", ">>", "-", "/", "^")
TIGHTNESS = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "@": 2, "**": 4}
ATOM, SIGN = 9, 3


class Text(NamedTuple):
    """An expression, and how tightly its outermost operator binds; of a tuple also its items."""

    text: str
    tightness: int = ATOM
    items: tuple = ()


def expression(code: Code) -> str | None:
    """Return what a function returns, as an expression; None where it is not a short one.

    Examples
    --------
    >>> import marshal
    >>> from .marshalled import read
    >>> expression(read(marshal.dumps((lambda x: (x[:, -1, :] + 1) / 255.0).__code__)))
    '(x[:, -1, :] + 1) / 255.0'
    """
    for table in TABLES.get(code.family, ()):
        found = _Machine(code, table).run()
        if found is not None:
            return found
    return None


def _steps(bytecode: bytes, table: str) -> Iterator[tuple[int, int]]:
    extended, at = 0, 0
    numbers = OPCODES[table]
    while at + 1 <= len(bytecode):
        opcode = bytecode[at]
        if table in ("2.7", "3.4"):
            size = 3 if opcode >= 90 else 1
            argument = int.from_bytes(bytecode[at + 1:at + size], "little")
            shift = 16
        else:
            size, shift = 2, 8
            argument = bytecode[at + 1] if at + 1 < len(bytecode) else 0
        at += size
        argument |= extended
        extended = argument << shift if numbers.get(opcode) == "EXTENDED" else 0
        if extended > 1 << 32:
            return
        if numbers.get(opcode) != "EXTENDED":
            yield opcode, argument


def constant(value: Any, depth: int = 2) -> str:
    """Return a constant as source text; what is nested deeper than `depth`, or is long, is cut short.

    >>> constant((None, -1, 'axis', 2.5))
    "(None, -1, 'axis', 2.5)"
    """
    if isinstance(value, Code):
        return f"<function {value.name}>"
    if isinstance(value, tuple):
        if not depth:  # the same tuple may stand in another many times: its text has no bound otherwise
            return "..."
        parts = [constant(item, depth - 1) for item in value[:MAX_ITEMS]] + ["..."] * (len(value) > MAX_ITEMS)
        if isinstance(value, Slice):
            return _slice(parts)
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if isinstance(value, (str, bytes)) and len(value) > MAX_STRING:
        return f"{value[:MAX_STRING]!r}..."
    return repr(value) if value is not Ellipsis else "..."


def _slice(parts: list[str]) -> str:
    shown = [part if part != "None" else "" for part in parts]
    return ":".join(shown[:2]) + (f":{shown[2]}" if len(shown) > 2 and shown[2] else "")


class _Stop(Exception):
    """Something that is not part of a short expression."""


class _Machine:
    def __init__(self, code: Code, table: str) -> None:
        self.code, self.table = code, table
        self.stack: list[Any] = []
        self.locals: dict[int, Text] = {}
        self.named: tuple = ()
        self.result: str | None = None

    def run(self) -> str | None:
        try:
            for opcode, argument in _steps(self.code.bytecode, self.table):
                self.step(OPCODES[self.table].get(opcode), argument)
                if self.result is not None:
                    return self.result if not self.stack and len(self.result) <= MAX_TEXT else None
        except (_Stop, IndexError, TypeError, AttributeError):
            return None
        return None

    def step(self, word: str | None, argument: int) -> None:
        if word is None or word == "EXTENDED":
            raise _Stop
        if word in TIGHTNESS:
            return self.binary(word)
        if word == "BINARY":
            if argument >= len(BINARY) or BINARY[argument] not in TIGHTNESS:
                raise _Stop
            return self.binary(BINARY[argument])
        return STEPS[word](self, argument)

    # ------------------------------------------------ values
    def push(self, text: str, tightness: int = ATOM, items: tuple = ()) -> None:
        if len(text) > MAX_TEXT:
            raise _Stop
        self.stack.append(Text(text, tightness, items))

    def pop(self) -> Text:
        value = self.stack.pop()
        if not isinstance(value, Text):
            raise _Stop
        return value

    def popped(self, count: int) -> list[Text]:
        if count > min(len(self.stack), MAX_ITEMS):
            raise _Stop
        return [self.pop() for _ in range(count)][::-1]

    def tight(self, value: Text, needed: int) -> str:
        return value.text if value.tightness >= needed else f"({value.text})"

    def name(self, index: int) -> None:
        self.push(self.code.names[index])

    def const(self, index: int) -> None:
        value = self.code.constants[index]
        negative = isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0
        items = tuple(value) if isinstance(value, tuple) and not isinstance(value, (Slice, Code)) else ()
        self.push(constant(value), SIGN if negative else ATOM, items)

    def fast(self, index: int) -> None:
        self.stack.append(self.locals.get(index, Text(self.code.variables[index])))

    def two_fast(self, argument: int) -> None:
        self.fast(argument >> 4)
        self.fast(argument & 15)

    def deref(self, index: int) -> None:
        self.push((self.code.cells or self.code.variables)[index])

    # ------------------------------------------------ operators
    def binary(self, sign: str) -> None:
        left, right = self.popped(2)
        level, power = TIGHTNESS[sign], sign == "**"
        self.push(f"{self.tight(left, level + power)} {sign} {self.tight(right, level + (not power))}", level)

    def negative(self, _: int) -> None:
        self.push(f"-{self.tight(self.pop(), SIGN)}", SIGN)

    def attribute(self, index: int) -> None:
        self.push(f"{self.tight(self.pop(), ATOM)}.{self.code.names[index]}")

    def sequence(self, count: int, brackets: str) -> None:
        parts = self.popped(count)
        inside = ", ".join(part.text for part in parts) + ("," if brackets == "()" and count == 1 else "")
        self.push(f"{brackets[0]}{inside}{brackets[1]}", ATOM, tuple(parts) if brackets == "()" else ())

    def slice(self, count: int) -> None:
        self.push(_slice([part.text for part in self.popped(count)]))

    def subscript(self, _: int) -> None:
        value, index = self.popped(2)
        inside = index.text
        if index.items:
            if len(index.items) > MAX_ITEMS:
                raise _Stop
            inside = ", ".join(i.text if isinstance(i, Text) else constant(i) for i in index.items)
        self.push(f"{self.tight(value, ATOM)}[{inside}]")

    def subscript_slice(self, which: int | None) -> None:
        """``x[a:b]`` as one instruction: always both ends, or (Python 2) the ends that `which` says."""
        stop = self.pop().text if which is None or which & 2 else ""
        start = self.pop().text if which is None or which & 1 else ""
        self.push(f"{self.tight(self.pop(), ATOM)}[{_slice([start, stop])}]")

    # ------------------------------------------------ calls
    def call(self, names: tuple, count: int) -> None:
        values = self.popped(count)
        function = self.pop()
        first = count - len(names)
        shown = [v.text for v in values[:first]]
        shown += [f"{name}={value.text}" for name, value in zip(names, values[first:], strict=True)]
        self.push(f"{self.tight(function, ATOM)}({', '.join(shown)})")

    def call_plain(self, count: int) -> None:
        names, self.named = self.named, ()
        self.call(names, count)

    def call_named(self, count: int) -> None:
        self.call(self.pop().items, count)

    def call_pairs(self, argument: int) -> None:
        flat = self.popped(2 * (argument >> 8))
        names = tuple(name.text.strip("'b\"") for name in flat[::2])
        self.stack.extend(flat[1::2])
        self.call(names, (argument & 255) + len(names))

    def names_of_call(self, index: int) -> None:
        self.named = self.code.constants[index]

    # ------------------------------------------------ statements
    def imported(self, index: int) -> None:
        self.popped(2)
        self.name(index)

    def imported_from(self, index: int) -> None:
        self.push(f"{self.stack[-1].text}.{self.code.names[index]}")

    def store(self, index: int) -> None:
        self.locals[index] = self.pop()

    def returned(self, _: int) -> None:
        self.result = self.pop().text


STEPS = {
    "NOP": lambda m, a: None,
    "POP_TOP": lambda m, a: m.pop(),
    "CONST": _Machine.const,
    "GLOBAL": _Machine.name,
    "GLOBAL_NULL": lambda m, a: m.name(a >> 1),
    "FAST": _Machine.fast,
    "FAST_FAST": _Machine.two_fast,
    "DEREF": _Machine.deref,
    "ATTR": _Machine.attribute,
    "METHOD": _Machine.attribute,
    "ATTR_METHOD": lambda m, a: m.attribute(a >> 1),
    "UNARY_NEGATIVE": _Machine.negative,
    "TUPLE": lambda m, a: m.sequence(a, "()"),
    "LIST": lambda m, a: m.sequence(a, "[]"),
    "SLICE": _Machine.slice,
    "[]": _Machine.subscript,
    "[:]": lambda m, a: m.subscript_slice(None),
    **{f"[]{which}": lambda m, a, which=which: m.subscript_slice(which) for which in range(4)},
    "CALL": _Machine.call_plain,
    "CALL_NAMED": _Machine.call_named,
    "CALL_PAIRS": _Machine.call_pairs,
    "NAMES": _Machine.names_of_call,
    "IMPORT": _Machine.imported,
    "IMPORT_FROM": _Machine.imported_from,
    "STORE": _Machine.store,
    "RETURN": _Machine.returned,
    "RETURN_CONST": lambda m, a: (m.const(a), m.returned(a)),
}
