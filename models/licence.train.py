"""A stateful character generator: it has read the Apache License and writes on, a character per call. Saved by Keras 3.

    pip install tensorflow==2.21.0 keras==3.15.1
    python licence.train.py

Data: the Apache License 2.0 as Debian ships it (/usr/share/common-licenses/Apache-2.0; on another system, give the
LICENSE file of any Apache-2.0 project). The text is free to copy. An id is a place in CHARACTERS, which are sorted.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402

HERE, LENGTH = Path(__file__).resolve().parent, 64
TEXT = " ".join(Path((sys.argv[1:] or ["/usr/share/common-licenses/Apache-2.0"])[0]).read_text().lower().split())
CHARACTERS = sorted(set(TEXT))
PROMPT = "subject to the terms and conditions of this license, "


def network(batch, steps, stateful):
    return keras.Sequential([
        keras.Input((steps,), batch_size=batch, dtype="int32", name="characters"),
        keras.layers.Embedding(len(CHARACTERS), 24),
        keras.layers.LSTM(96, return_sequences=True, stateful=stateful),
        keras.layers.Dense(len(CHARACTERS), activation="softmax")])


def train(ids):
    keras.utils.set_random_seed(1)
    pieces = np.stack([ids[start:start + LENGTH + 1] for start in range(0, len(ids) - LENGTH, 4)])
    model = network(None, LENGTH, stateful=False)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(pieces[:, :-1], pieces[:, 1:], batch_size=64, epochs=20, verbose=0)
    return model


def main():
    ids = np.array([CHARACTERS.index(character) for character in TEXT], "int32")
    unseen = len(ids) - len(ids) // 10  # the last tenth is not trained on
    trained = train(ids[:unseen])
    model = network(1, None, stateful=True)
    model.set_weights(trained.get_weights())

    probabilities = model.predict(ids[None, unseen:-1], verbose=0)[0]
    right = (probabilities.argmax(-1) == ids[unseen + 1:]).mean()
    pairs = np.zeros((len(CHARACTERS), len(CHARACTERS)))
    np.add.at(pairs, (ids[:unseen - 1], ids[1:unseen]), 1)
    naive = (pairs.argmax(-1)[ids[unseen:-1]] == ids[unseen + 1:]).mean()
    print(f"next character right: {right:.1%} of {len(ids) - unseen - 1} unseen; most frequent successor: {naive:.1%}")

    model.layers[1].reset_states()
    answers, written, x = {}, "", np.array([[CHARACTERS.index(character) for character in PROMPT]], "int32")
    np.save(HERE / "licence.input.npy", x)
    for call in range(40):  # the prompt at once, then one character per call
        y = model.predict(x, verbose=0)
        answers |= {f"call{call}_input_0": x, f"call{call}_output_0": y}
        x = y[:, -1:].argmax(-1).astype("int32")
        written += CHARACTERS[int(x[0, 0])]
    print(f"{PROMPT}[{written}]")
    (HERE / "licence.characters.json").write_text(json.dumps(CHARACTERS))
    model.layers[1].reset_states()
    model.save(HERE / "licence.keras")
    np.savez_compressed(HERE / "licence.golden.npz", **answers)


if __name__ == "__main__":
    main()
