"""The kernels that read numbers out of text, against Python's own readers."""

import csv
import io
import json
import random
import struct
from decimal import Decimal

import numpy as np
import pytest

from lstm_infer.batch.delimited import CsvReader, unquoted
from lstm_infer.batch.reader import Wanted, open_source
from lstm_infer.batch.settings import Settings
from lstm_infer.batch.sources import find
from lstm_infer.kernels.decimal import read_decimal
from lstm_infer.kernels.delimited import find_members, read_nested


def as_bytes(text):
    return np.frombuffer(text.encode(), np.uint8)


def bits(number):
    return struct.pack("d", number)


def numerals(count):
    """Texts of numbers of every kind."""
    dice = random.Random(3)
    for _ in range(count):
        yield repr(struct.unpack("d", struct.pack("Q", dice.getrandbits(64)))[0])
        yield repr(dice.gauss(0, 1) * 10 ** dice.randint(-9, 9))
        yield f"{dice.gauss(0, 100):.9g}"
        yield str(dice.randint(-(10**18), 10**18))
        yield f"{dice.gauss(0, 1) * 10 ** dice.randint(-30, 30):.{dice.randint(0, 17)}e}"
        x = dice.uniform(1, 2)
        yield format((Decimal(x) + Decimal(float(np.nextafter(x, 3)))) / 2, ".17f")  # just about in the middle
    yield from ("0", "-0", "+1", "1.", ".5", "-.5e3", "00012", "1e5", "1E+05", "0.000", "0e400", "9" * 18)


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_numbers_are_those_of_python(plain, form):
    read = read_decimal if form == "compiled" else plain(read_decimal)
    known = 0
    for text in numerals(2000 if form == "compiled" else 100):
        data = as_bytes(text)
        value, at, is_known = read(data, 0, len(data))
        known += is_known
        assert not is_known or (at == len(text) and bits(value) == bits(float(text))), text
    assert known > (6000 if form == "compiled" else 300)


@pytest.mark.parametrize("text", ["", "-", ".", "e5", "x", "1e", "1e+", "nan", "inf", "1" * 19, "1e-40", "--1", "+-1"])
def test_what_is_left_to_python(text):
    data = as_bytes(text)
    assert not read_decimal(data, 0, len(data))[2]


def test_a_number_ends_where_it_ends():
    data = as_bytes("12.5,3")
    assert read_decimal(data, 0, len(data)) == (12.5, 4, True)
    assert read_decimal(data, 5, len(data)) == (3.0, 6, True)
    assert read_decimal(as_bytes("1.2.3"), 0, 5)[1] == 3


# ---------------------------------------------------------------- CSV
def read_csv(tmp_path, text, numbers, others=(), **settings):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    reader = open_source(find(path)[0], Settings(**settings))
    assert isinstance(reader, CsvReader)
    blocks = list(reader.blocks(Wanted(list(numbers), list(others), {})))
    columns = {name: [v for b in blocks for v in b.columns[name].tolist()] for name in (*numbers, *others)}
    return reader, columns, [one for block in blocks for one in block.rejected], [r for b in blocks for r in b.rows]


def test_quotes_ends_and_blank_lines(tmp_path):
    text = '\ufeffa,"b ""x""",c\r\n\r\n1,"x, ""y""\nz",2\r3, plain ,4\n   \n"5",,6'
    reader, columns, rejected, rows = read_csv(tmp_path, text, ["a", "c"], ['b "x"'])
    assert reader.names == ["a", 'b "x"', "c"]
    assert columns == {"a": [1, 3, 5], "c": [2, 4, 6], 'b "x"': ['x, "y"\nz', " plain ", ""]}
    assert not rejected and rows == [0, 1, 2]


def test_lines_are_counted(tmp_path):
    text = 'a,b\n1,2\n\n3,"x\ny"\n5,oops\n6,7\n8\n'
    _, columns, rejected, rows = read_csv(tmp_path, text, ["a", "b"])
    assert columns == {"a": [1, 6], "b": [2, 7]}
    assert [(one.where, one.row) for one in rejected] == [("line 4", 1), ("line 6", 2), ("line 8", 4)]
    assert rows == [0, 3]


@pytest.mark.parametrize(("text", "names"), [
    ("1,2\n3,4", ["0", "1"]), ("a b\n1 2", ["a", "b"]), ("a;b\n1;2", ["a", "b"]), ("a\tb\n1\t2", ["a", "b"]),
    ("lag,lag\n1,2", ["lag", "lag.1"]), ("  1   2  \n3 4", ["0", "1"]), ("\n\n", []),
])  # fmt: skip
def test_headers_and_delimiters(tmp_path, text, names):
    reader, columns, rejected, _ = read_csv(tmp_path, text, names)
    assert reader.names == names
    assert not rejected
    for n, name in enumerate(names):
        assert columns[name] == [1 + n, 3 + n][: len(columns[name])]


def test_header_by_decree(tmp_path):
    assert read_csv(tmp_path, "1,2\n3,4\n", ["1"], header=True)[1] == {"1": [3]}
    assert read_csv(tmp_path, "a,2\n3,4\n", ["1"], ["0"], header=False)[1] == {"1": [2, 4], "0": ["a", "3"]}


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_any_text_in_any_pieces(tmp_path, monkeypatch, block):
    """What is read does not depend on where the pieces of the file end, and is what the csv module reads."""
    monkeypatch.setattr("lstm_infer.batch.delimited.BLOCK_BYTES", block)
    dice, rows = random.Random(7), []
    for n in range(200):
        label = "".join(dice.choice('ab,"\n\r ;x') for _ in range(dice.randint(0, 5)))
        rows.append([repr(dice.gauss(0, 1)), label, str(n)])
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([["v", "label", "n"], *rows])
    _, columns, rejected, found = read_csv(tmp_path, out.getvalue(), ["v", "n"], ["label"])
    assert not rejected and found == list(range(200))
    assert columns["v"] == [float(v) for v, _, _ in rows]
    assert columns["label"] == [label for _, label, _ in rows]
    assert columns["n"] == list(range(200))


@pytest.mark.parametrize("text", [
    "18446744073709551616", "9223372036854775808", "12345678901234567890", "14561015894172407808.000000000000000000",
    "9584196160074842112.000000", "-9223372036854775809", "000000000000000000000000000012.5", "99999999999999999999e-5",
    "0.00000000000000000000000018446744073709551616", "100000000000000000000", "00.018446744073709551616",
])  # fmt: skip
def test_more_digits_than_fit(tmp_path, text):
    assert read_csv(tmp_path, f"v\n{text}\n", ["v"])[1] == {"v": [float(text)]}
    random = np.random.default_rng(0).normal(size=300) * 10.0 ** np.arange(300).repeat(1)[:300] / 1e100
    lines = [f"{v:f}" if abs(v) > 1e-3 else repr(v) for v in random.tolist()]
    assert read_csv(tmp_path, "\n".join(["v", *lines]), ["v"])[1] == {"v": [float(line) for line in lines]}


def test_unquoted():
    assert [unquoted(text) for text in ("", '"', '""', '"a"', 'a"', '""""')] == ["", '"', "", "a", 'a"', '"']


# ---------------------------------------------------------------- JSON
def nested(text):
    data, values, sizes = as_bytes(text), np.empty(len(text) // 2 + 8), np.zeros(8, np.int64)
    rank = read_nested(data, 0, len(data), values, sizes)
    shape = sizes[:rank].tolist()
    return values[: int(np.prod(shape))].reshape(shape) if rank else None


@pytest.mark.parametrize("text", ["[1]", "[[1, 2.5], [-3e2, 4]]", "[ [[1],[2]] , [[3],[4]] ]", "[[[[7]]]]"])
def test_arrays_of_numbers(text):
    np.testing.assert_array_equal(nested(text), np.array(json.loads(text)))


@pytest.mark.parametrize(
    "text",
    ["", "1", "[]", "[[1], []]", "[[1], 2]", "[1, [2]]", "[[1, 2], [3]]", "[1, null]", "[1,, 2]", "[1, 2", "[1] 2",
     "[1 2]", "[,1]", "[1,]", '["1"]', "[.5]", "[+1]", "[1e999]", "[" * 9 + "1" + "]" * 9, "[[[1],[2]],[[3]]]"],
)  # fmt: skip
def test_arrays_that_python_has_to_judge(text):
    assert nested(text) is None


def members(text):
    data, spans = as_bytes(text), np.zeros((8, 4), np.int64)
    count = find_members(data, 0, len(data), spans)
    return count if count < 0 else {text[a:b]: text[c:d].strip() for a, b, c, d in spans[:count].tolist()}


def test_members_of_objects():
    assert members("{}") == {}
    assert members('{"a": 1}') == {"a": "1"}
    assert members('{"a":[1,{"b":2}], "c" : "x,}\\"" , "d":null}') == {
        "a": '[1,{"b":2}]', "c": '"x,}\\""', "d": "null"}  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a"}', '{"a":1,}x', '{"a" "b"}', '{"a":1', '{"a":1}}', "{1:2}", '{"a":]}']
)
def test_objects_that_python_has_to_judge(text):
    assert members(text) == -1
