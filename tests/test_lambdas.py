"""What stored code tells, over nine releases of Python; and that hostile code tells nothing and costs nothing."""

import ast
import base64
import json
import marshal
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.inspection import bytecode, lambdas, marshalled
from lstm_infer.verify import verify

FOLDER = Path(__file__).resolve().parent / "golden" / "lambdas"
STORED = json.loads((FOLDER / "stored_code.json").read_text())
EVERY = [(version, source) for version in STORED for source in STORED[version]]


def stored(version, source):
    return base64.b64decode(STORED[version][source])


def config_of(code, **more):
    return {"function": {"class_name": "__lambda__", "config": {"code": code}}, **more}


@pytest.mark.parametrize(("version", "source"), EVERY)
def test_an_expression_is_read_back(version, source):
    code = marshalled.read(stored(version, source))
    function = ast.parse(source, mode="eval").body
    assert code.arguments == tuple(argument.arg for argument in function.args.args)
    if " if " in source:
        assert bytecode.expression(code) is None
        return
    expected = source.partition(": ")[2].replace("4 * 5", "20")  # the compiler multiplies
    assert bytecode.expression(code) == expected


def test_every_release_is_there():
    assert set(STORED) == {"2.7", *(f"3.{minor}" for minor in range(6, 14))}


CODE_314 = [  # the fields of Python 3.14, whose marshal has slices among the constants
    b"\xe3", *(n.to_bytes(4, "little") for n in (1, 0, 0, 3, 3)), b"s\x02\x00\x00\x00\x80\x00",
    b")\x02:NN\xe9\xff\xff\xff\xff" + b"N" + b"i\x02\x00\x00\x00", b")\x00", b")\x01z\x01x",
    b"s\x01\x00\x00\x00&", b"z\x04f.py", b"z\x08<lambda>", b"z\x08<lambda>", b"\x01\x00\x00\x00", b"s\x00\x00\x00\x00",
    b"s\x00\x00\x00\x00",
]  # fmt: skip


def test_slices_among_constants():
    data = b"".join(CODE_314).replace(b":NN\xe9", b":N\xe9").replace(b"\xff\xff\xff\xffNi", b"\xff\xff\xff\xffNi")
    code = marshalled.read(data)
    assert code.arguments == ("x",)
    assert code.constants == (marshalled.Slice(None, -1, None), 2)
    assert bytecode.constant(code.constants) == "(:-1, 2)"
    assert bytecode.expression(code) is None


def test_this_python():
    def function(x, axis=2):
        from keras import backend as K

        return K.squeeze(x, axis)

    code = marshalled.read(marshal.dumps(function.__code__))
    assert code.name == "function" and code.arguments == ("x", "axis") and "squeeze" in code.names
    if sys.version_info < (3, 14):
        assert bytecode.expression(code) == "keras.backend.squeeze(x, axis)"


# ---------------------------------------------------------------- spellings of the files
def test_every_spelling():
    data = stored("3.6", "lambda x, axis: K.squeeze(x, axis=axis)")
    text = base64.encodebytes(data).decode()
    for function in (
        [text, [-1], None],  # Keras 2.2
        [data.decode("latin-1"), [-1], None],  # Keras 2.0
        {"class_name": "__lambda__", "config": {"code": text, "defaults": [-1], "closure": None}},  # Keras 3
    ):
        found = lambdas.describe({"function": function, "arguments": {}})
        assert found["expression"] == "K.squeeze(x, axis=axis)" and found["given"] == {"axis": "-1"}
        assert lambdas.suggestion(found) == "li.custom.squeeze(axis=-1)"
        found = lambdas.describe({"function": function, "arguments": {"axis": 2}})
        assert lambdas.suggestion(found) == "li.custom.squeeze(axis=2)"


@pytest.mark.parametrize(
    "function", ["my_function", {"class_name": "function", "config": "my_function"}, {"config": "my_function"}]
)
def test_a_name_alone(function):
    found = lambdas.describe({"function": function, "function_type": "function"})
    assert found["name"] == "my_function" and found["problem"] is None and lambdas.suggestion(found) is None


@pytest.mark.parametrize("config", [{}, {"function": None}, {"function": []}, {"function": ["!"]}, {"function": 3},
                                    config_of("AAAA"), config_of("not base64 \ud800"), config_of(3)])  # fmt: skip
def test_no_code(config):
    found = lambdas.describe(config)
    assert found["problem"] and lambdas.suggestion(found) is None


SUGGESTIONS = {
    "lambda x: x[:, -1, :]": "li.custom.last_timestep",
    "lambda x: x[:, -1]": "li.custom.last_timestep",
    "lambda x: x[:, -1:, :]": "li.custom.timesteps(-1)",
    "lambda x: x[:, ::-1, :]": "li.custom.reverse_time",
    "lambda x: x[1:]": "lambda x: x[1:]",
    "lambda x: K.sum(x, axis=1)": "li.custom.sum_over(axis=1)",
    "lambda x: tf.reduce_mean(x, axis=1, keepdims=True)": "li.custom.mean_over(axis=1, keepdims=True)",
    "lambda x: x.max(axis=1)": "li.custom.max_over(axis=1)",
    "lambda x: K.squeeze(x, 2)": "li.custom.squeeze(axis=2)",
    "lambda x: tf.reshape(x, (-1, 3, 4 * 5))": "li.custom.reshape(shape=(-1, 3, 20))",
    "lambda x: K.expand_dims(x, axis=-1)": "li.custom.expand_dims(axis=-1)",
    "lambda x: K.l2_normalize(x, axis=-1)": "li.custom.l2_normalize(axis=-1)",
    "lambda x: x / 255.0": "lambda x: x / 255.0",
    "lambda x: x * 2 + 1.5": "lambda x: x * 2 + 1.5",
    "lambda x: (x + 1) * -x ** 2": None,
    "lambda x: K.reverse(x, axes=1)": "li.custom.reverse_time",
    "lambda x: K.one_hot(K.cast(x, 'int32'), 26)": "li.custom.one_hot(depth=26)",
    "lambda x, axis: K.squeeze(x, axis=axis)": None,
    "lambda xs: xs[0] * xs[1]": "lambda xs: xs[0] * xs[1]",
    "lambda x: K.concatenate([x, x], axis=-1)": None,
    "lambda x: x if x is None else -x": None,
}


@pytest.mark.parametrize("source", SUGGESTIONS)
@pytest.mark.parametrize("version", ["2.7", "3.6", "3.10", "3.11", "3.12", "3.13"])
def test_suggestions(version, source):
    assert lambdas.suggestion(lambdas.describe(config_of(STORED[version][source]))) == SUGGESTIONS[source]


@pytest.mark.parametrize("file", ["keras2.h5", "keras3.keras"])
def test_suggestions_give_the_answers_of_keras(file):
    found = li.inspect(FOLDER / file)
    assert len(found["unsupported"]) == 14
    functions = {row["keys"][0]: eval(row["suggestion"], {"li": li}) for row in found["unsupported"]}
    with np.load((FOLDER / file).with_suffix(".npz")) as golden:
        differences = verify(li.load_model(FOLDER / file, custom_objects=functions), golden)
    assert len(differences) == 14 and [d for d in differences if not d.agrees] == []


# ---------------------------------------------------------------- hostile code
def test_damaged_code_is_refused_or_read():
    chance = random.Random(0)
    began = time.monotonic()
    for version, source in EVERY:
        data = stored(version, source)
        for _ in range(15):
            bad = bytearray(data)
            for _ in range(chance.randint(1, 4)):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            found = lambdas.describe(config_of(base64.b64encode(bad[: chance.choice([len(bad), 40])]).decode()))
            json.dumps(found, allow_nan=False)
            lambdas.suggestion(found)
    assert time.monotonic() - began < 60


def code_with(constants, head=b""):
    fields = b"\x00" * 16 + b"C\x00\x00\x00" + b"s\x00\x00\x00\x00" + constants + b")\x00" * 4 + b"z\x00z\x00"
    return b"c" + head + fields + b"\x01\x00\x00\x00s\x00\x00\x00\x00"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"c",
        b"(" * 100_000,
        b")\x01" * 100_000,
        b"(\xff\xff\xff\x7f",
        b"s\xff\xff\xff\x7f",
        b"l\xff\xff\xff\x7f",
        b"l\x00\x00\x00\x80",
        b"r\x00\x00\x00\x00",
        b"\xa9\x01r\x00\x00\x00\x00",
        b"{" + b"N" * 100,
        b"\x00" * (marshalled.MAX_BYTES + 1),
    ],
)
def test_hostile_bytes(data):
    with pytest.raises(marshalled.Unreadable):
        marshalled.read(data)


def test_texts_of_constants_do_not_grow_without_end():
    """A tuple in a tuple in a tuple, each 200 times: a few bytes, and 200**20 items to print."""
    laughs = b"\xa9\x00"
    for level in range(20):
        laughs = b"\xa9\xc9" + laughs + (b"r" + level.to_bytes(4, "little")) * 200
    code = marshalled.read(b"c" + code_with(b")\x01" + laughs)[1:])
    found = bytecode.constant(code.constants)
    assert len(found) < 20_000


def test_names_of_a_file_are_no_code():
    found = {"expression": "3", "arguments": ["x=print(1)"], "given": {}}
    assert lambdas.suggestion(found) is None
    for expression in ("__import__('os').system('x')", "x * 9 ** 9 ** 9", "(1, 2) * 9", "'a' * 9"):
        assert lambdas.suggestion({"expression": expression, "arguments": ["x"], "given": {}}) is None
