"""Records marshalled lambdas, as Keras stores them, with the Python that runs this (2.7, 3.6 to 3.13).

    for python in ...; do $python tests/golden/lambdas/stored_code.py tests/golden/lambdas/stored_code.json; done

Adds this Python's entry to the JSON file: source text to the base64 of ``marshal.dumps(function.__code__)``.
"""

import codecs
import io
import json
import marshal
import sys

SOURCES = [
    "lambda x: x[:, -1, :]",
    "lambda x: x[:, -1:, :]",
    "lambda x: x[:, -1]",
    "lambda x: x[:, ::-1, :]",
    "lambda x: x[1:]",
    "lambda x: K.sum(x, axis=1)",
    "lambda x: tf.reduce_mean(x, axis=1, keepdims=True)",
    "lambda x: x.max(axis=1)",
    "lambda x: K.squeeze(x, 2)",
    "lambda x: tf.reshape(x, (-1, 3, 4 * 5))",
    "lambda x: K.expand_dims(x, axis=-1)",
    "lambda x: K.l2_normalize(x, axis=-1)",
    "lambda x: x / 255.0",
    "lambda x: x * 2 + 1.5",
    "lambda x: (x + 1) * -x ** 2",
    "lambda x: K.reverse(x, axes=1)",
    "lambda x: K.one_hot(K.cast(x, 'int32'), 26)",
    "lambda x, axis: K.squeeze(x, axis=axis)",
    "lambda xs: xs[0] * xs[1]",
    "lambda x: K.concatenate([x, x], axis=-1)",
    "lambda x: x if x is None else -x",
]


def main(path):
    try:
        with io.open(path, encoding="utf-8") as file:
            found = json.load(file)
    except IOError:
        found = {}
    version = "%d.%d" % sys.version_info[:2]
    found[version] = {
        source: codecs.encode(marshal.dumps(eval(source).__code__), "base64").decode("ascii").replace("\n", "")
        for source in SOURCES
    }
    text = json.dumps(found, indent=0, sort_keys=True)
    with io.open(path, "w", encoding="utf-8") as file:
        file.write(text if not isinstance(text, bytes) else text.decode("ascii"))


main(sys.argv[1])
