"""Is a line of a Python file code or prose? Characters through a masked Embedding and a Bidirectional LSTM (Keras 3).

    pip install tensorflow==2.21.0 keras==3.15.1
    python lines.train.py

Data: comments, docstrings and code of the standard library of the Python that runs this (PSF License Version 2).
A line is stripped, cut to 40 characters, written as `ord(character) - 31` and padded with zeros on the right.
"""

import ast
import importlib
import inspect
import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

HERE, LENGTH = Path(__file__).resolve().parent, 40
MODULES = """
    argparse ast asyncio.base_events calendar collections configparser contextlib csv dataclasses datetime
    decimal difflib doctest email.message enum fractions functools gettext heapq http.client inspect ipaddress
    json.decoder locale logging mailbox multiprocessing.pool optparse os pathlib pdb pickle platform pydoc
    random shutil smtplib socket statistics string subprocess tarfile tempfile textwrap threading traceback
    turtle typing unittest.case urllib.request urllib.parse uuid weakref zipfile
""".split()


def lines_of(module):
    """(line, 1 if prose): docstrings and whole-line comments are prose, the rest is code."""
    source = inspect.getsource(importlib.import_module(module))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [node.body[0] for node in ast.walk(ast.parse(source))
                  if isinstance(node, documented) and ast.get_docstring(node)]
    prose = {number for node in docstrings for number in range(node.lineno, node.end_lineno + 1)}
    for number, line in enumerate(source.splitlines(), 1):
        comment = line.strip().startswith("#")
        text = line.strip().strip("#\"' ")
        if text.isascii() and text.isprintable() and len(re.findall("[a-z]", text)) >= 4:
            yield text[:LENGTH], int(comment or number in prose)


def as_ids(texts):
    ids = np.zeros((len(texts), LENGTH), "int32")
    for row, text in zip(ids, texts, strict=True):
        row[:len(text)] = [ord(character) - 31 for character in text]
    return ids


def network():
    characters = keras.Input((LENGTH,), dtype="int32", name="characters")
    y = keras.layers.Embedding(96, 16, mask_zero=True)(characters)
    y = keras.layers.Bidirectional(keras.layers.LSTM(24))(y)
    return keras.Model(characters, keras.layers.Dense(1, activation="sigmoid", name="prose")(y))


def main():
    keras.utils.set_random_seed(1)
    found = dict(line for module in MODULES for line in lines_of(module))  # each text once
    texts, kinds = list(found), np.array(list(found.values()), "float32")[:, None]
    order = np.random.default_rng(1).permutation(len(texts))
    x, y = as_ids(texts)[order], kinds[order]
    trained = network()
    trained.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    trained.fit(x[2000:], y[2000:], batch_size=128, epochs=4, verbose=0)

    model = network()  # without the optimizer's state
    model.set_weights(trained.get_weights())
    right = ((model.predict(x[:2000], verbose=0) > 0.5) == y[:2000]).mean()
    naive = max(y[:2000].mean(), 1 - y[:2000].mean())
    sample = x[:48]
    print(f"{len(x)} lines; right: {right:.1%} of 2000 unseen; always the commoner answer: {naive:.1%}; "
          f"masked timesteps in the sample: {(sample == 0).mean():.1%}")

    model.save(HERE / "lines.keras")
    np.save(HERE / "lines.input.npy", sample)
    np.savez_compressed(HERE / "lines.golden.npz", input_0=sample, output_0=model.predict(sample, verbose=0))


if __name__ == "__main__":
    main()
