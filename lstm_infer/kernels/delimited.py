"""Rows of delimited text (CSV): numbers are read, texts are found, what is odd is left to Python."""

import numpy as np

from .decimal import read_decimal
from .jit import kernel

NEWLINE, RETURN, SPACE, TAB, QUOTE = (ord(mark) for mark in '\n\r \t"')


@kernel
def read_rows(text, at, end, last, delimiter, numbers, texts, values, spans, odd, rows):
    """Read as many rows as there are whole in `text` and as fit.

    Parameters
    ----------
    text : uint8 array
    at, end : int
        Where the first row begins, and where the text ends.
    last : bool
        Whether nothing follows: then the last row needs no newline.
    delimiter : int
        A byte; a space stands for any number of blanks.
    numbers, texts : (fields,) int64 arrays
        By field: its place in `values` and in `spans`, or -1.
    values : (rows, n) float64 array, written
    spans : (rows, m, 2) int64 array, written
        Where each text begins and ends, quotes included.
    odd : (k, 4) int64 array, written
        Row, place in `values`, begin and end of numbers for Python to read; k is at least the number of fields.
    rows : (rows, 4) int64 array, written
        Where each row begins and ends, the newlines passed before it, the fields found.

    Returns
    -------
    at : int
        Where the next row begins.
    count : int
        Rows read.
    odds : int
        Numbers in `odd`.
    lines : int
        Newlines passed.
    """
    fields = numbers.size
    count, odds, lines = 0, 0, 0
    while count < rows.shape[0] and odds + fields <= odd.shape[0]:
        at, lines = _skip_blank_lines(text, at, end, lines)
        if at >= end:
            break
        begin, field, before, odds_before = at, 0, lines, odds
        while True:
            if delimiter == SPACE:
                at = _skip_blanks(text, at, end)
                if at >= end or text[at] == NEWLINE or text[at] == RETURN:
                    break
            start, number = at, field < fields and numbers[field] >= 0
            read = False
            if number:
                value, at, read = read_decimal(text, _skip_blanks(text, at, end, delimiter), end)
                if read:
                    values[count, numbers[field]] = value
                    at = _skip_blanks(text, at, end, delimiter)
                    read = at >= end or text[at] == delimiter or text[at] == NEWLINE or text[at] == RETURN
                    read = read or (delimiter == SPACE and text[at] == TAB)
            if not read:
                at, lines = _skip_field(text, start, end, delimiter, lines)
                if number:
                    odd[odds, 0], odd[odds, 1], odd[odds, 2], odd[odds, 3] = count, numbers[field], start, at
                    odds += 1
            if field < fields and texts[field] >= 0:
                spans[count, texts[field], 0], spans[count, texts[field], 1] = start, at
            field += 1
            if at >= end or text[at] == NEWLINE or text[at] == RETURN:
                break
            at += 1
            if at >= end and delimiter != SPACE:  # an empty field after the last delimiter
                field += 1
                break
        whole = at < end - 1 or (at < end and text[at] == NEWLINE) or last  # a return may wait for its newline
        if not whole:
            return begin, count, odds_before, before
        rows[count, 0], rows[count, 1], rows[count, 2], rows[count, 3] = begin, at, before, field
        count += 1
        at, lines = _skip_newline(text, at, end, lines)
    return at, count, odds, lines


@kernel
def _skip_blanks(text, at, end, delimiter=-1):
    while at < end and (text[at] == SPACE or text[at] == TAB) and text[at] != delimiter:
        at += 1
    return at


@kernel
def _skip_newline(text, at, end, lines):
    if at < end:
        at += 2 if text[at] == RETURN and at + 1 < end and text[at + 1] == NEWLINE else 1
        lines += 1
    return at, lines


@kernel
def _skip_blank_lines(text, at, end, lines):
    """Return where the next line begins that is not blank; of blank text at the end, where that begins."""
    while at < end:
        after = _skip_blanks(text, at, end)
        if after >= end or (text[after] != NEWLINE and text[after] != RETURN):
            return end if after >= end else at, lines
        at, lines = _skip_newline(text, after, end, lines)
    return at, lines


@kernel
def _skip_field(text, at, end, delimiter, lines):
    """Return where the field that begins at `at` ends; newlines between quotes belong to it."""
    quoted = at < end and text[at] == QUOTE
    at += 1 if quoted else 0
    while at < end:
        mark = text[at]
        if mark == QUOTE and quoted:
            if at + 1 < end and text[at + 1] == QUOTE:
                at += 1
            else:
                quoted = False
        elif not quoted:
            blank = delimiter == SPACE and mark == TAB
            if mark in (delimiter, NEWLINE, RETURN) or blank:
                break
        elif mark == NEWLINE:
            lines += 1
        at += 1
    return at, lines


@kernel
def find_members(text, at, end, spans):
    """Find the members of the JSON object that begins at `at`.

    Parameters
    ----------
    text : uint8 array
    at, end : int
    spans : (n, 4) int64 array, written
        Where each key (without quotes) and value begins and ends.

    Returns
    -------
    int
        How many there are; -1 where it is no object, or not a simple one.
    """
    count, depth, begin, state = 0, 0, 0, 0  # state: 0 before a key, 1 before a colon, 2 before a value, 3 in a value
    if at >= end or text[at] != 123:
        return -1
    at += 1
    while at < end:
        mark = text[at]
        if mark == QUOTE:
            begin = at + 1
            at += 1
            while at < end and text[at] != QUOTE:
                at += 2 if text[at] == 92 else 1
            if at >= end:
                return -1
            if state == 0:
                if count == spans.shape[0]:
                    return -1
                spans[count, 0], spans[count, 1], state = begin, at, 1
            elif state == 2:
                spans[count, 2], state = begin - 1, 3
            elif state == 1:
                return -1
        elif mark == 58 and depth == 0:  # a colon
            if state != 1:
                return -1
            state = 2
        elif depth == 0 and (mark == 44 or mark == 125):  # a comma or the closing brace
            if state == 3:
                spans[count, 3], count, state = at, count + 1, 0
            elif not (state == 0 and mark == 125 and count == 0):
                return -1
            if mark == 125:
                return count if _skip_blanks(text, at + 1, end) >= end else -1
        elif mark != SPACE and mark != TAB:
            if state == 2:
                spans[count, 2], state = at, 3
            if mark == 91 or mark == 123:
                depth += 1
            elif mark == 93 or mark == 125:
                depth -= 1
            if state != 3 or depth < 0:
                return -1
        at += 1
    return -1


@kernel
def read_nested(text, at, end, values, sizes):
    """Read the JSON array of numbers, or of arrays of equal size, that begins at `at`.

    Parameters
    ----------
    text : uint8 array
    at, end : int
    values : float64 array, written
        At least ``(end - at) / 2`` long.
    sizes : (8,) int64 array, written
        The array's shape.

    Returns
    -------
    int
        The number of its dimensions; 0 where it is anything else, which is left to Python.
    """
    counts = np.zeros(8, np.int64)
    sizes[:] = -1
    depth, leaf, number, after_value = 0, 0, 0, False
    while at < end:
        mark = text[at]
        if mark in (SPACE, TAB):
            at += 1
            continue
        if mark == 91:  # [
            if after_value or depth == 7 or depth == leaf > 0:
                return 0
            depth += 1
            counts[depth] = 0
        elif mark == 93:  # ]
            if depth == 0 or not after_value or (sizes[depth - 1] >= 0 and sizes[depth - 1] != counts[depth]):
                return 0
            sizes[depth - 1] = counts[depth]
            depth -= 1
            if depth == 0:
                return leaf if _skip_blanks(text, at + 1, end) >= end else 0
            counts[depth] += 1
        elif mark == 44:  # a comma
            if not after_value or depth == 0:
                return 0
            after_value = False
        else:
            if after_value or depth == 0 or not (mark == 45 or 48 <= mark <= 57) or (leaf > 0 and depth != leaf):
                return 0
            values[number], at, known = read_decimal(text, at, end)
            if not known:
                return 0
            leaf, number, after_value = depth, number + 1, True
            counts[depth] += 1
            continue
        at += 1
    return 0


@kernel
def read_lines(text, ends, values, about):
    """Read lines that are JSON arrays of numbers, up to the first that is not.

    Parameters
    ----------
    text : uint8 array
    ends : (n,) int64 array
        Where each line ends.
    values : float64 array, written
        At least half as long as the text, and a little more.
    about : (n, 9) int64 array, written
        Of each line, the dimensions (0 where it is blank) and the shape.

    Returns
    -------
    int
        The lines read.
    """
    begin, filled = 0, 0
    for line in range(ends.size):
        end = ends[line]
        while end > begin and (text[end - 1] == RETURN or text[end - 1] == SPACE or text[end - 1] == TAB):
            end -= 1
        begin = _skip_blanks(text, begin, end)
        about[line, 0] = 0
        if begin < end:
            rank = read_nested(text, begin, end, values[filled:], about[line, 1:])
            if rank == 0:
                return line
            about[line, 0], size = rank, 1
            for axis in range(rank):
                size *= about[line, 1 + axis]
            filled += size
        begin = ends[line] + 1
    return ends.size
