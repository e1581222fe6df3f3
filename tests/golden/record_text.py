"""Records what Keras 2's Tokenizer and Keras 3's pad_sequences answer: ``python record_text.py`` makes text.json beside it.

    pip install tensorflow==2.21.0 tf_keras==2.21.0 keras==3.15.1
"""

import itertools
import json
from pathlib import Path

import keras
from tf_keras.preprocessing.text import Tokenizer

TEXTS = ["The cat sat on the mat.", "A dog; the Dog!\tand\nthe cat", "", "Émile's cat -- sat, sat & SAT", "unknown words only?"]
FITTED = TEXTS[:2]
KINDS = [{}, {"num_words": 4}, {"oov_token": "<oov>"}, {"num_words": 4, "oov_token": "<oov>"}, {"lower": False},
         {"char_level": True}, {"char_level": True, "lower": False, "oov_token": "?"}, {"filters": "t", "split": "a"}]
SEQUENCES = [[1], [2, 3, 4, 5], [], [6, 7, 8]]
STEPS = [[[1.5, 2.0]], [[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]]


def main():
    tokenizers = []
    for kind in KINDS:
        tokenizer = Tokenizer(**kind)
        tokenizer.fit_on_texts(FITTED)
        tokenizers.append({"json": tokenizer.to_json(), "sequences": tokenizer.texts_to_sequences(TEXTS)})
    paddings = []
    for maxlen, padding, truncating, value in itertools.product([None, 2, 6], ["pre", "post"], ["pre", "post"], [0, 9]):
        given = {"maxlen": maxlen, "padding": padding, "truncating": truncating, "value": value}
        for sequences, dtype in ((SEQUENCES, "int32"), (STEPS, "float32")):
            padded = keras.utils.pad_sequences(sequences, dtype=dtype, **given)
            paddings.append({"sequences": sequences, "given": {**given, "dtype": dtype}, "padded": padded.tolist()})
    recorded = {"texts": TEXTS, "tokenizers": tokenizers, "paddings": paddings}
    Path(__file__).with_name("text.json").write_text(json.dumps(recorded, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
