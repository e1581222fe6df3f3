"""Preprocessing: hashes, lookups and texts, and what is refused. Their numbers against Keras's: test_golden."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.hdf5 import vocabularies
from lstm_infer.layers.categories import boundaries_of
from lstm_infer.layers.fingerprints import cross, fingerprint64, siphash

GOLDEN = Path(__file__).resolve().parent / "golden"

# hashes.json: of the first n bytes 0, 1, ..., 255, 0, ..., as tf.strings.to_hash_bucket_fast and _strong (key 133 and
# 2**40 + 7) of TensorFlow 2.21 put them into 2**61 - 1 buckets.
RECORDED = json.loads((GOLDEN / "hashes.json").read_text())


@pytest.mark.parametrize("size", RECORDED)
def test_hashes(size):
    fast, strong = RECORDED[size]
    text = bytes(range(256)) * 2
    modulus = 2**61 - 1
    assert fingerprint64(text[: int(size)]) % modulus == fast
    assert siphash(text[: int(size)], (133, 2**40 + 7)) % modulus == strong


def test_crossed_fingerprints():
    assert cross(0xDECAFCAFFE, [fingerprint64(b"A"), 101]) % 5 == 1  # as keras.layers.HashedCrossing(5) says
    assert cross(0xDECAFCAFFE, [fingerprint64(b"B"), 101]) % 5 == 4


def test_texts_of_any_kind():
    layer = li.StringLookup(vocabulary=["a", "b\u00e4"])
    expected = [[2, 1, 0]]
    for given in (np.array([["b\u00e4", "a", "?"]]), np.array([["b\u00e4".encode(), b"a", b"?"]]),
                  np.array([["b\u00e4", b"a", "?"]], object)):  # fmt: skip
        assert layer(given).tolist() == expected
    with pytest.raises(li.InputError, match="found '3' among texts"):
        layer(np.array([["a", 3]], object))


def test_words_from_numbers():
    layer = li.StringLookup(vocabulary=["a", "b"], invert=True, mask_token="")
    assert layer(np.array([[0, 1, 2, 3, 9]])).tolist() == [[b"", b"[UNK]", b"a", b"b", b"[UNK]"]]
    assert li.StringLookup(vocabulary=["a"]).get_vocabulary() == ["[UNK]", "a"]


def test_a_vocabulary_may_begin_with_the_special_tokens():
    for vocabulary in (["x", "y"], ["", "[UNK]", "x", "y"]):
        layer = li.TextVectorization(vocabulary=vocabulary, output_sequence_length=3)
        assert layer(np.array([["Y, x?"]])).tolist() == [[3, 2, 0]]


def test_texts_are_padded_to_the_longest():
    layer = li.TextVectorization(vocabulary=["a", "b"])
    assert layer(np.array(["a", "b b a", ""])).tolist() == [[2, 0, 0], [3, 3, 2], [0, 0, 0]]


def test_boundaries_of_equally_many():
    summary = np.array([np.arange(1.0, 101.0), np.ones(100)])
    np.testing.assert_allclose(boundaries_of(summary, 4), [25, 50, 75])


def sentences():
    words = li.TextVectorization(vocabulary=["the", "cat"], output_sequence_length=4)
    x = li.Input((1,), dtype="string", name="text")
    model = li.Model(x, li.LSTM(2)(li.Embedding(4, 3, mask_zero=True)(words(x))))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=shape) for shape in ((4, 3), (3, 8), (2, 8), (8,))])
    return model


def test_predict_takes_texts():
    model = sentences()
    texts = ["the cat", "a cat", ""] * 200
    expected = model.predict(np.array(texts)[:, None])
    for given in (texts, np.array(texts), np.array(texts, object)[:, None], [text.encode() for text in texts]):
        np.testing.assert_array_equal(model.predict(given), expected)
    for row in range(3):
        np.testing.assert_array_equal(model.predict(texts[row : row + 1]), expected[row : row + 1])
    np.testing.assert_array_equal(model.predict({"text": texts}, threads=2), expected)
    assert model.predict(np.empty((0, 1), object)).shape == (0, 2)
    with pytest.raises(li.InputError, match="found data of type float64, expected texts"):
        model.predict(np.ones((2, 1)))
    with pytest.raises(li.InputError, match="found shape"):
        model.predict(np.full((2, 2), "a"))


def test_models_of_texts_can_be_stepped_where_words_are_timesteps():
    x = li.Input((None,), dtype="string")
    ids = li.StringLookup(vocabulary=["a", "b"])(x)
    model = li.Model(x, li.GRU(2, return_sequences=True)(li.Embedding(3, 2)(ids)))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=shape) for shape in ((3, 2), (2, 6), (2, 6), (2, 6))])
    words = np.array([["a", "z", "b"]])
    whole, state = model.predict(words), model.initial_state()
    for t in range(3):
        y_t, state = model.step(words[:, t], state)
        np.testing.assert_array_equal(y_t, whole[:, t])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: li.StringLookup(vocabulary="/etc/passwd"), "the name of a vocabulary file.*stay shut"),
        (lambda: li.StringLookup(vocabulary=["a", "a"]), "in the vocabulary twice"),
        (lambda: li.StringLookup(vocabulary=["a", "b"], max_tokens=2), "found 3 tokens, expected at most 2"),
        (lambda: li.StringLookup()(np.array([["a"]])), "vocabulary is missing"),
        (lambda: li.StringLookup(vocabulary=["a"], num_oov_indices=0)(np.array(["z"])), "expected a token of the voc"),
        (lambda: li.StringLookup(vocabulary=["a"], output_mode="tf_idf"), "found 0 idf_weights, expected 1"),
        (lambda: li.StringLookup(vocabulary=["a"], sparse=True, output_mode="count"), "sparse=True, expected False"),
        (lambda: li.TextVectorization(vocabulary=["a"], ragged=True), "ragged=True, expected False"),
        (lambda: li.TextVectorization(standardize={"class_name": "function"}), "code in a file is never executed"),
        (lambda: li.TextVectorization(split="sentences"), "expected one of"),
        (lambda: li.TextVectorization(ngrams="two"), "found ngrams"),
        (lambda: li.Hashing(0), "found num_bins=0"),
        (lambda: li.Hashing(3, salt=[1, 2, 3]), "found salt"),
        (lambda: li.HashedCrossing(3)([np.array(["a"])]), "expected two or more"),
        (lambda: li.Discretization(), "neither bin_boundaries nor num_bins"),
        (lambda: li.CategoryEncoding(None), "found num_tokens=None"),
        (lambda: li.CategoryEncoding(3)(np.array([1, 2])), "expected two axes or more"),
        (lambda: li.CategoryEncoding(3)(np.array([[-1, 2]])), "found the number -1"),
        (lambda: li.CategoryEncoding(3, "other"), "found output_mode='other'"),
        (lambda: li.Normalization(mean=1.0), "only one of mean and variance"),
        (lambda: li.Normalization(axis=3)(np.ones((2, 3))), "its axis is"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(li.InputError, match=message):
        make()


# ---------------------------------------------------------------- vocabularies in archives
def rewritten(stem, change):
    """A golden archive with members changed by a function of (name, content), which returns None to leave one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(GOLDEN / f"{stem}.keras") as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in archive.infolist():
            content = change(info.filename, archive.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return out.getvalue()


def is_vocabulary(name):
    return name.endswith("vocabulary.txt")


def test_an_archive_without_its_vocabulary_is_incomplete():
    archive = rewritten("keras3_text_lstm", lambda name, content: None if is_vocabulary(name) else content)
    with pytest.raises(li.LoadError, match="'text_vectorization': its vocabulary is missing, the model is incomplete"):
        li.load_model(archive)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not text in UTF-8"),
        (b"\n[UNK]\ncat\ncat", "in the vocabulary twice"),
        (b"\n".join(b"word%d" % n for n in range(50)), "expected at most 9"),
        (b"a" * (65 << 20), "declares"),
    ],
)
def test_hostile_vocabularies(content, message):
    archive = rewritten("keras3_text_lstm", lambda name, own: content if is_vocabulary(name) else own)
    with pytest.raises(li.LoadError, match=message):
        li.load_model(archive)


def test_too_many_vocabularies(monkeypatch):
    monkeypatch.setattr(vocabularies, "MOST_FILES", 1)
    with pytest.raises(li.LoadError, match="larger or more than expected"):
        li.load_model(GOLDEN / "keras3_text_lstm.keras")


def test_vocabularies_of_windows_and_of_unzipped_folders(tmp_path):
    with np.load(GOLDEN / "keras3_text_lstm.npz") as golden:
        x, y = golden["input_0"], golden["output_0"]
    ends = (b"\n", b"\r\n")
    windows = rewritten("keras3_text_lstm", lambda name, own: own.replace(*ends) if is_vocabulary(name) else own)
    with zipfile.ZipFile(GOLDEN / "keras3_text_lstm.keras") as archive:
        archive.extractall(tmp_path / "model")
    for path in (windows, tmp_path / "model"):
        np.testing.assert_allclose(li.load_model(path).predict(x), y, atol=2e-6)
