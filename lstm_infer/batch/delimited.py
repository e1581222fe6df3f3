"""CSV and its kin: numbers are read by a kernel, and only what is odd by Python."""

import csv
import re
import warnings

import numpy as np

from ..kernels.delimited import read_rows
from .block import BLOCK_BYTES, Block, Rejected
from .reader import PartOfFile, Reader, open_bytes, parts_of_text, read_fully

ROWS = 1 << 13
"""Rows of a block, at most."""
LONG_ROW = 1 << 17
"""Bytes of a row from which newlines in it tell that a quote was not closed; Python's csv has this limit for a cell."""
HEAD = 1 << 12
"""Bytes that tell text from other things."""
NUMBER = re.compile(r"\s*[-+]?(\.?\d|(nan|inf|infinity)\s*$)", re.IGNORECASE)
MARKS = b"\t;,"
BOM = b"\xef\xbb\xbf"


class CsvReader(Reader):
    """Rows of cells.

    The delimiter is the first of tab, semicolon and comma that the first line holds, else any number of blanks. The
    first line is a header if nothing in it begins like a number or says that it is none. Blank lines do not count.
    """

    is_table = True

    def __init__(self, source, settings):
        super().__init__(source, settings)
        self._file = open_bytes(source)
        self._text = self._more(b"")
        if b"\0" in self._text[:HEAD]:
            raise self.broken("it holds bytes that are no text; its format may be another one, or its encoding")
        self._offset = len(BOM) * self._text.startswith(BOM)
        self._text = self._text[self._offset :]
        first = self._first_line()
        self._delimiter = self._find_delimiter(first)
        cells = self._cells(first.decode("utf-8", "replace"))
        has_header = settings.header
        if has_header is None:
            has_header = not any(NUMBER.match(cell) for cell in cells)
            if len(cells) > 1 and cells == [str(n) for n in range(len(cells))]:  # names that pandas gives
                found = f"{source}: the first row is 0 to {len(cells) - 1} and read as data"
                warnings.warn(f"{found}: say --header if these are names, else --no-header", stacklevel=2)
        self.names = _unique(cells) if has_header else [str(n) for n in range(len(cells))]
        self.has_header = has_header and bool(cells)

    def _more(self, text):
        """Return `text` and what follows it, if anything does."""
        try:
            return text + read_fully(self._file, BLOCK_BYTES)
        except (EOFError, OSError) as error:
            if self.is_gzipped:  # gzip.BadGzipFile is an OSError, too
                raise self.broken(error) from None
            raise

    def _first_line(self):
        while True:
            stripped = self._text.lstrip()
            line = stripped.splitlines()[0] if stripped else b""
            if len(line) < len(stripped):
                return line
            longer = self._more(self._text)
            if len(longer) == len(self._text):
                return line
            self._text = longer

    def _find_delimiter(self, line):
        if self.settings.delimiter:
            return ord(self.settings.delimiter)
        if self.source.path.lower().removesuffix(".gz").endswith(".tsv"):
            return ord("\t")
        return next((mark for mark in MARKS if mark in line), ord(" "))

    def _cells(self, line):
        if self._delimiter == ord(" "):
            return line.split()
        return [cell.strip() for cell in next(csv.reader([line], delimiter=chr(self._delimiter)), [])]

    # ------------------------------------------------------------ rows
    def blocks(self, wanted):
        places = {name: n for n, name in reversed(list(enumerate(self.names)))}
        parser = _Parser(len(self.names), [places[n] for n in wanted.numbers], [places[n] for n in wanted.others])
        row, first, to_skip = 0, 1, int(self.has_header)
        if self.source.part:
            begin, end, row, first = self.source.part
            self._file, self._text = PartOfFile(self._file, begin, end), b""
            to_skip = to_skip if begin <= self._offset else 0
        with self._file:
            for text, _, count, line in self._parsed(parser, first):
                rejected, kept = self._check(parser, text, count, row - to_skip, line, to_skip, wanted)
                columns, texts = parser.columns(text, kept, wanted)
                if len(kept) or rejected:
                    yield Block(str(self.source), columns, kept + (row - to_skip), rejected, texts)
                row, to_skip = row + count - to_skip, 0

    def parts(self, wanted, rows):
        if self.source.gzipped or not self.source.is_file:
            return [None]
        parser, starts, row, to_skip = _Parser(len(self.names), [], [], rows), [], 0, int(self.has_header)
        for _, offset, count, line in self._parsed(parser, 1):
            if not starts or row - starts[-1][1] >= rows:
                starts.append((offset, row, line))
            row, to_skip = row + count - to_skip, 0
        return parts_of_text(starts, self.source)

    def _parsed(self, parser, line):
        """Yield text, the place in the file of rows that `parser` has read of it, their number and their first line."""
        text, ended, offset = self._text, False, self._offset
        self._text = None
        while True:
            at = 0
            data = np.frombuffer(text, np.uint8)
            while True:
                begin = at
                at, count, lines = self._parse(parser, text, data, at, ended)
                if not count:
                    break
                yield text, offset + begin, count, line
                line += lines
            line += lines
            if ended:
                return
            longer = self._more(text[at:])
            ended = len(longer) == len(text) - at
            text, offset = longer, offset + at

    def _parse(self, parser, text, data, at, ended):
        """Let `parser` read rows; one with a quote that nothing closes ends with its line, and not with the file."""
        after, count, lines = parser.parse(data, at, ended, self._delimiter)
        suspects = parser.long_rows(count, ended and after == len(text))
        first = next((row for row in suspects if _is_open(text, parser, row)), -1)
        if first > 0:
            begin, _, before, _ = parser.rows[first].tolist()
            return begin, first, before  # its turn comes
        if first < 0 and (count or ended or len(text) - at <= LONG_ROW or text.find(b"\n", at) < 0):
            return after, count, lines
        end = text.index(b"\n", at if first < 0 else parser.rows[0, 0]) + 1
        return parser.parse(np.frombuffer(text[:end], np.uint8), at, True, self._delimiter)

    def _check(self, parser, text, count, row, line, to_skip, wanted):
        """Return what is wrong with the first `count` rows of `parser`, and those that are right."""
        reasons = parser.read_odd(text, count)
        for place in np.flatnonzero(parser.rows[:count, 3] != parser.fields).tolist():
            if place not in reasons:
                reasons[place] = f"found {parser.rows[place, 3]} cells, expected {parser.fields}"
        if to_skip:
            reasons.pop(0, None)
        rejected = []
        for place in sorted(reasons):
            begin, end, before, fields = parser.rows[place].tolist()
            held = text[begin:end].decode("utf-8", "replace")
            where = f"line {line + before}"
            others = parser.others(text, place, wanted) if fields == parser.fields else None
            rejected.append(Rejected(str(self.source), row + place, where, reasons[place], held, others))
        keep = np.ones(count, bool)
        keep[list(reasons)] = False
        keep[:to_skip] = False
        return rejected, np.flatnonzero(keep)


class _Parser:
    """The arrays that the kernel fills."""

    def __init__(self, fields, numbers, others, most=ROWS):
        self.fields = fields
        self._numbers, self._others = np.full(fields, -1), np.full(fields, -1)
        self._column = []  # by place in `wanted.numbers`: the column of `values`, since a name may be given twice
        for field in numbers:
            if self._numbers[field] < 0:
                self._numbers[field] = self._numbers.max() + 1
            self._column.append(int(self._numbers[field]))
        for place, field in enumerate(others):
            self._others[field] = place
        rows = max(1, min(most, ROWS, BLOCK_BYTES // (8 * max(1, fields))))
        self.values = np.zeros((rows, int(self._numbers.max(initial=-1)) + 1))
        self._spans = np.zeros((rows, len(others), 2), np.int64)
        self._odd = np.zeros((fields + rows * 2, 4), np.int64)
        self.rows, self._odds = np.zeros((rows, 4), np.int64), 0

    def parse(self, data, at, last, delimiter):
        at, count, self._odds, lines = read_rows(
            data, at, len(data), last, delimiter, self._numbers, self._others, self.values, self._spans, self._odd,
            self.rows,
        )  # fmt: skip
        return at, count, lines

    def long_rows(self, count, is_end):
        """Return places of rows that are longer than most, and of the last of the file."""
        sizes = self.rows[:count, 1] - self.rows[:count, 0]
        return [*np.flatnonzero(sizes > LONG_ROW).tolist(), *([count - 1] if is_end and count else [])]

    def read_odd(self, text, count):
        """Read what the kernel left to Python; return why rows cannot be used, by row."""
        reasons = {}
        for row, column, begin, end in self._odd[: self._odds].tolist():
            if row >= count:
                break
            try:
                self.values[row, column] = number(unquoted(text[begin:end].decode("utf-8", "replace")))
            except ValueError as error:
                reasons.setdefault(row, str(error))
        return reasons

    def columns(self, text, kept, wanted):
        values = self.values[kept]
        columns = {name: values[:, c] for name, c in zip(wanted.numbers, self._column, strict=True)}
        texts = {}
        for place, name in enumerate(wanted.others):
            column = np.array(self._texts(text, *self._spans[kept, place].T.tolist()), object)
            (texts if name in columns else columns)[name] = column
        return columns, texts

    def others(self, text, place, wanted):
        """Return the texts of one row by name."""
        spans = zip(wanted.others, self._spans[place].tolist(), strict=True)
        return {name: self._texts(text, [begin], [end])[0] for name, (begin, end) in spans}

    def _texts(self, text, begins, ends):
        held = text[begins[0] : ends[-1]] if begins else b""
        spans = zip(begins, ends, strict=True)
        if held.isascii() and b'"' not in held:  # then a character is a byte
            held, first = held.decode(), begins[0] if begins else 0
            return [held[begin - first : end - first] for begin, end in spans]
        return [unquoted(text[begin:end].decode("utf-8", "replace")) for begin, end in spans]


def _is_open(text, parser, place):
    """Whether a row holds newlines between quotes that nobody meant: too many, or the last quote is not closed."""
    begin, end, _, _ = parser.rows[place].tolist()
    has_newline = text.find(b"\n", begin, end) >= 0
    return has_newline and (end - begin > LONG_ROW or text.count(b'"', begin, end) % 2 == 1)


def _unique(names):
    """Return names of which none is there twice: the second ``lag`` is called ``lag.1``."""
    found = []
    for name in names:
        number, candidate = 0, name
        while candidate in found:
            number += 1
            candidate = f"{name}.{number}"
        found.append(candidate)
    return found


def number(cell):
    """Return the number in a cell, as ``float`` reads it but for underscores."""
    try:
        if "_" not in cell:  # which float() takes for a separator of thousands
            return float(cell)
    except ValueError:
        pass
    raise ValueError(f"could not convert string to float: {cell!r:.80}")


def unquoted(cell):
    """Return what a cell says.

    >>> unquoted('"a ""b"", c"')
    'a "b", c'
    """
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
