"""JSON lines: a row per line, an array of numbers (nested as the input is) or an object whose members are columns.

A member that is a single number is a column as those of CSV.
"""

import json
import math

import numpy as np

from ..kernels.delimited import find_members, read_lines, read_nested
from .block import BLOCK_BYTES, Block, Ragged, Rejected
from .reader import PartOfFile, Reader, open_bytes, parts_of_text, read_fully

BLANKS = b" \t\r\n"


class JsonlReader(Reader):
    """Rows whose sequences may differ in length."""

    def __init__(self, source, settings):
        super().__init__(source, settings)
        self._file = open_bytes(source)
        self._text = b""
        first = self._first_line()
        try:
            row = json.loads(first) if first else None
        except ValueError:
            row = None  # it will be reported as a row
        self.is_table = isinstance(row, dict)
        self.names = list(row) if self.is_table else None
        self.kinds = _kinds(row) if self.is_table else {}

    def _first_line(self):
        while True:
            stripped = self._text.lstrip()
            if b"\n" in stripped:
                return stripped[: stripped.index(b"\n")]
            more = self._read()
            if not more:
                return stripped
            self._text += more

    def _read(self):
        try:
            return read_fully(self._file, BLOCK_BYTES)
        except (EOFError, OSError) as error:
            if self.is_gzipped:
                raise self.broken(error) from None
            raise

    def parts(self, wanted, rows):
        if self.source.gzipped or not self.source.is_file:
            return [None]
        starts, byte, row = [], 0, 0
        with open(self.source.path, "rb") as file:
            for line, text in enumerate(file, 1):
                if not starts or row - starts[-1][1] >= rows:
                    starts.append((byte, row, line))
                byte, row = byte + len(text), row + bool(text.strip(BLANKS))
        return parts_of_text(starts, self.source)

    def blocks(self, wanted):
        text, self._text = self._text, None
        row, line, ended = 0, 1, False
        if self.source.part:
            begin, end, row, line = self.source.part
            self._file, text = PartOfFile(self._file, begin, end), b""
        with self._file:
            while not ended:
                more = self._read()
                ended, text = not more, text + more
                whole = len(text) if ended else text.rfind(b"\n") + 1
                if not whole:
                    continue
                rows = _Rows(text[:whole], wanted, self.kinds)
                count, lines, column = rows.all_at_once()
                if column is not None:
                    if count:
                        yield Block(str(self.source), {"": column}, np.arange(row, row + count))
                    row, line = row + count, line + lines
                    text = text[whole:]
                    continue
                for begin, end in rows.lines():
                    rows.read(str(self.source), row, line, begin, end)
                    row, line = row + rows.is_row, line + 1
                if rows.numbers or rows.rejected:
                    yield rows.block(str(self.source))
                text = text[whole:]


class _Rows:
    """The rows of a piece of text, as far as they have been read."""

    def __init__(self, text, wanted, kinds):
        self._text, self._wanted = text, wanted
        self._is_record = bool(wanted.numbers) and all(kinds.get(name) == "number" for name in wanted.numbers)
        self._bytes = np.frombuffer(text, np.uint8)
        self._values, self._filled = np.empty(len(text) // 2 + 8), 0
        self._sizes, self._spans = np.zeros(8, np.int64), np.zeros((64, 4), np.int64)
        self._columns = {name: [] for name in (*wanted.numbers, *wanted.others)}
        self.numbers, self.rejected, self.is_row = [], [], False

    def _ends(self):
        ends = np.flatnonzero(self._bytes == ord("\n"))
        return ends if self._text.endswith(b"\n") else np.append(ends, len(self._text))

    def lines(self):
        begin = 0
        for end in self._ends().tolist():
            yield begin, end
            begin = end + 1

    def all_at_once(self):
        """Return how many rows and lines there are, and all rows as a column; None if some are not plain arrays."""
        if self._wanted.numbers != [""] or self._wanted.others:
            return 0, 0, None
        ends, shape = self._ends(), self._wanted.shapes[""]
        about = np.zeros((len(ends), 9), np.int64)
        if read_lines(self._bytes, ends, self._values, about) < len(ends):
            return 0, 0, None
        about = about[about[:, 0] > 0]
        if not len(about):
            return 0, len(ends), self._values[:0]
        inner = about[0, 2 : 1 + len(shape)]
        plain = (about[:, 0] == len(shape)).all() and (about[:, 2 : 1 + len(shape)] == inner).all()
        if not plain or not _fits(inner, shape[1:]):
            return 0, 0, None
        lengths = about[:, 1]
        values = self._values[: lengths.sum() * math.prod(inner)].reshape(-1, *inner)
        if (lengths == lengths[0]).all():
            return len(about), len(ends), values.reshape(len(about), lengths[0], *inner)
        return len(about), len(ends), Ragged(values, lengths)

    def read(self, source, row, line, begin, end):
        """Read a line as a row, or note what is wrong with it."""
        while end > begin and self._text[end - 1] in BLANKS:
            end -= 1
        while begin < end and self._text[begin] in BLANKS:
            begin += 1
        self.is_row = begin < end
        if not self.is_row:
            return
        try:
            found = self._row(begin, end)
            for name, shape in self._wanted.shapes.items() if not self._is_record else ():
                found[name] = fit(found[name], shape)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            held = self._text[begin:end].decode("utf-8", "replace")
            self.rejected.append(Rejected(source, row, f"line {line}", str(error), held, self._others(begin, end)))
            return
        self.numbers.append(row)
        for name, value in found.items():
            self._columns[name].append(value)

    def _row(self, begin, end):
        """Return the wanted members of a row by name."""
        if self._is_record:
            return self._record(json.loads(self._text[begin:end]))
        if self._text[begin] != ord("{"):
            return {"": self._numbers(begin, end)}
        count = find_members(self._bytes, begin, end, self._spans)
        members = self._spans[: max(count, 0)].tolist()
        spans = {self._text[a:b].decode(): (c, d) for a, b, c, d in members}
        if not self._columns.keys() <= spans.keys():  # or a key is escaped, or the object is strange
            found = self._members(json.loads(self._text[begin:end]))
            return {name: _array(v) if name in self._wanted.numbers else _text(v) for name, v in found.items()}
        found = {}
        for name in self._columns:
            first, last = spans[name]
            if name in self._wanted.numbers:
                found[name] = self._numbers(first, last)
            else:
                found[name] = _text(json.loads(self._text[first:last]))
        return found

    def _record(self, row):
        """Return the wanted members of a row whose members are single numbers, or stay beside."""
        if not isinstance(row, dict):
            raise ValueError("found no object, expected one as in the first row")
        found = self._members(row)
        for name in self._wanted.numbers:
            if type(found[name]) not in (int, float, bool):
                raise ValueError(f"member {name!r}: found {json.dumps(found[name]):.60}, expected a number")
            found[name] = float(found[name])
        for name in self._wanted.others:
            found[name] = _text(found[name])
        return found

    def _members(self, row):
        missing = [name for name in self._columns if name not in row]
        if missing:
            raise ValueError(f"found members {list(row)[:8]}, expected {missing[0]!r}" if missing[0] else
                             "found an object, expected an array of numbers")  # fmt: skip
        return {name: row[name] for name in self._columns}

    def _others(self, begin, end):
        """Return what is no number in a row that cannot be used, if it is known."""
        try:
            members = json.loads(self._text[begin:end])
            return {name: _text(members[name]) for name in self._wanted.others}
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def _numbers(self, begin, end):
        room = self._values[self._filled :]
        rank = read_nested(self._bytes, begin, end, room, self._sizes)
        if rank == 0:
            return _array(json.loads(self._text[begin:end]))
        shape = self._sizes[:rank].tolist()
        count = math.prod(shape)
        self._filled += count
        return room[:count].reshape(shape)

    def block(self, source):
        columns = {name: _column(self._columns[name]) for name in self._wanted.numbers}
        for name in self._wanted.others:
            if name not in columns:
                columns[name] = np.empty(len(self.numbers), object)
                columns[name][:] = self._columns[name]
        return Block(source, columns, np.array(self.numbers, np.int64), self.rejected)


def _kinds(row):
    """Return what the first row tells of its members; of null, that it is as the others are."""
    kinds = {name: _KINDS.get(type(value), "list") for name, value in row.items()}
    are_numbers = "number" in kinds.values() and not any(isinstance(value, list) for value in row.values())
    return {**kinds, **{name: "number" for name, value in row.items() if value is None and are_numbers}}


_KINDS = {str: "text", int: "number", float: "number", bool: "number"}


def _column(rows):
    if rows and isinstance(rows[0], float):
        return np.array(rows)
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    return Ragged.of(rows)


def _array(value):
    """Return nested lists of numbers as an array.

    Raises
    ------
    ValueError
        They are not of equal size within, or hold something else.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError("found timesteps of different size") from None
    if array.dtype == object and all(type(number) in (int, float, bool) for number in array.flat):
        array = array.astype(np.float64)  # whole numbers of more than 64 bits
    if array.dtype.kind not in "iufb" or (array.dtype.kind == "f" and not array.size and value):
        raise ValueError(f"found {json.dumps(value)[:60]}, expected numbers or lists of them")
    return array.astype(np.float64)


def _text(value):
    return value if isinstance(value, (str, int, float)) else json.dumps(value)


def fit(array, shape):
    """Return one row's numbers in the shape of an input, of which the first dimension is left to the row.

    Numbers in a flat list are timesteps one after the other.

    >>> fit(np.arange(6), (None, 2)).shape
    (3, 2)
    """
    if not shape:
        return array
    if array.ndim == len(shape) and _fits(array.shape[1:], shape[1:]):
        return array
    known = math.prod(n or 0 for n in shape[1:])
    if array.ndim <= 1 and known and array.size % known == 0:
        return array.reshape(-1, *shape[1:])
    if not array.size:
        return np.empty((0, *(n or 0 for n in shape[1:])))
    raise ValueError(f"found numbers of shape {array.shape}, expected {tuple(shape)}")


def _fits(found, expected):
    return all(n is None or n == m for m, n in zip(found, expected, strict=True))
