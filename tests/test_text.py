"""Padding, tokenizers and sampling, against what Keras answered (``golden/record_text.py``) and against themselves."""

import json
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.batch import predict_files
from lstm_infer.text import Tokenizer, generate, pad_sequences, sample

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "models"
RECORDED = json.loads((HERE / "golden" / "text.json").read_text())
PROMPT = "subject to the terms and conditions of this license, "


@pytest.mark.parametrize("case", RECORDED["paddings"], ids=lambda case: str(case["given"]))
def test_padding_is_that_of_keras(case):
    found = pad_sequences(case["sequences"], **case["given"])
    assert found.dtype == case["given"]["dtype"]
    np.testing.assert_array_equal(found, case["padded"])


@pytest.mark.parametrize("number", range(len(RECORDED["tokenizers"])))
def test_ids_are_those_of_keras(tmp_path, number):
    case = RECORDED["tokenizers"][number]
    (tmp_path / "tokenizer.json").write_text(case["json"])
    (tmp_path / "twice.json").write_text(json.dumps(case["json"]))  # as json.dump(tokenizer.to_json(), file) leaves it
    for name in ("tokenizer.json", "twice.json"):
        assert Tokenizer.load(tmp_path / name).texts_to_sequences(RECORDED["texts"]) == case["sequences"]


def test_lists_and_objects_of_words(tmp_path):
    (tmp_path / "list.json").write_text('["a", "b", " "]')
    (tmp_path / "words.json").write_text('{"The": 1, "cat": 2}')
    assert Tokenizer.load(tmp_path / "list.json").texts_to_sequences(["ab bA"]) == [[0, 1, 2, 1]]
    assert Tokenizer.load(tmp_path / "list.json").sequences_to_texts([[0, 2, 1, 7]]) == ["a   b"]
    assert Tokenizer.load(tmp_path / "words.json").texts_to_sequences(["The cat the"]) == [[1, 2]]


NO_TOKENIZER = ["", "3", "null", '{"config": {}}', '{"config": {"word_index": "[]"}}', '{"a": "b"}', "[1]"]


@pytest.mark.parametrize("text", NO_TOKENIZER)
def test_no_tokenizer(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(li.InputError, match="found no tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(("given", "message"), [
    ({"padding": "left"}, "found padding='left'"), ({"truncating": 1}, "found truncating=1"),
    ({"sequences": [[300]], "dtype": "int8"}, "found 300, expected numbers of int8"),
    ({"sequences": [np.array([1, -1])], "dtype": "uint8"}, "found -1"), ({"value": 2**40}, "of int32"),
    ({"sequences": [[0.5, np.nan]]}, "found nan"),
    ({"sequences": [1, 2]}, "something else than a list"), ({"sequences": [[1], [[1, 2]]]}, "found steps of shapes"),
])  # fmt: skip
def test_wrong_padding(given, message):
    with pytest.raises(li.InputError, match=message):
        pad_sequences(**{"sequences": [[1]], **given})


def test_what_is_cut_may_be_out_of_range():
    assert pad_sequences([[300, 1]], maxlen=1, dtype="int8").tolist() == [[1]]


def test_text_in_files_becomes_ids(tmp_path):
    model = li.Sequential([li.Input((7,)), li.Embedding(12, 4, mask_zero=True), li.LSTM(3, name="out")])
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    (tmp_path / "t.json").write_text(RECORDED["tokenizers"][0]["json"])
    texts = [text.replace("\n", " ") for text in RECORDED["texts"]]
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    lines = ["id,review", *(f"{n},{text}" for n, text in enumerate(quoted))]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"id": n, "review": t}) + "\n" for n, t in enumerate(texts)))
    ids = Tokenizer.load(tmp_path / "t.json").texts_to_sequences(texts)
    given = {"tokenizer": str(tmp_path / "t.json"), "text": "review", "with_input": ["id"]}
    for name in ("x.csv", "x.jsonl"):
        predict_files(model, tmp_path / name, tmp_path / "y.npz", **given)
        with np.load(tmp_path / "y.npz") as found:
            np.testing.assert_array_equal(found["out"], model.predict(pad_sequences(ids, 7)))
    predict_files(model, tmp_path / "x.csv", tmp_path / "y.npz", **given, padding="post", truncating="post")
    with np.load(tmp_path / "y.npz") as found:
        expected = model.predict(pad_sequences(ids, 7, padding="post", truncating="post"))
        np.testing.assert_array_equal(found["out"], expected)
    with pytest.raises(li.InputError, match="text needs tokenizer"):
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npz", text="review")
    with pytest.raises(li.InputError, match="expected text to say which one is text"):
        predict_files(model, tmp_path / "x.csv", tmp_path / "y.npz", tokenizer=str(tmp_path / "t.json"))


# ---------------------------------------------------------------- sampling
def test_sampling_follows_the_probabilities():
    random, p = np.random.default_rng(0), np.array([0.1, 0.0, 0.6, 0.3])
    for temperature in (0.5, 1.0, 2.0):
        wanted = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
        found = np.bincount([sample(p, temperature, random) for _ in range(20_000)], minlength=4) / 20_000
        np.testing.assert_allclose(found, wanted, atol=0.015)
        assert found[1] == 0
    assert sample(p, 0) == 2


@pytest.mark.parametrize("p", [[-1.0, 2.0], [np.nan, 1.0], [0.0, 0.0], [[1.0]], [np.inf, 1.0]])
def test_no_probabilities(p):
    with pytest.raises(li.InputError, match="no probabilities"):
        sample(p)


def test_the_likeliest_characters_are_those_that_keras_wrote():
    model = li.load_model(MODELS / "licence.keras")
    characters = Tokenizer.load(MODELS / "licence.characters.json")
    (ids,) = characters.texts_to_sequences([PROMPT])
    with np.load(MODELS / "licence.golden.npz") as golden:
        assert ids == golden["call0_input_0"][0].tolist()
        written = [int(golden[f"call{n}_output_0"][0, -1].argmax()) for n in range(40)]
    assert list(generate(model, ids, 40, temperature=0)) == written
    assert list(generate(model, ids, 40, temperature=0)) == written  # the model itself keeps no state of it


def test_seeds():
    model = li.load_model(MODELS / "licence.keras")
    first, second, other = (list(generate(model, [3, 4, 5], 30, seed=seed)) for seed in (1, 1, 2))
    assert first == second != other


def weighted(*layers):
    model = li.Sequential(list(layers))
    random = np.random.default_rng(3)
    model.set_weights([random.normal(size=s) for layer in model.holders() for s in layer.expected_shapes.values()])
    return model


def by_hand(model, ids, length, encode):
    ids = list(ids)
    for _ in range(length):
        y = model.predict(encode(ids))
        ids.append(int((y[0] if y.ndim == 2 else y[0, -1]).argmax()))
    return ids[-length:]


def test_every_kind_of_model():
    def last():
        return li.Dense(6, "softmax")

    stream = weighted(li.Input((None,)), li.Embedding(6, 4), li.GRU(5), last())
    assert list(generate(stream, [1, 2], 12, 0)) == by_hand(stream, [1, 2], 12, lambda ids: np.array([ids]))
    whole = weighted(li.Input((None,)), li.Embedding(6, 4), li.Bidirectional(li.GRU(5)), last())
    assert list(generate(whole, [1, 2], 12, 0)) == by_hand(whole, [1, 2], 12, lambda ids: np.array([ids]))
    window = weighted(li.Input((5,)), li.Embedding(6, 4), li.LSTM(5), last())
    assert list(generate(window, [1, 2], 12, 0)) == by_hand(window, [1, 2], 12, lambda ids: pad_sequences([ids], 5))
    hot = weighted(li.Input((4, 6)), li.LSTM(5), last())
    assert list(generate(hot, [1, 2, 3, 4], 12, 0)) == by_hand(
        hot, [1, 2, 3, 4], 12, lambda ids: np.eye(6)[[ids[-4:]]]
    )


def test_models_of_another_kind():
    with pytest.raises(li.InputError, match="found a model of another kind"):
        list(generate(li.load_model(MODELS / "co2.h5"), [1], 2))
    with pytest.raises(li.InputError, match="empty beginning"):
        list(generate(li.load_model(MODELS / "licence.keras"), [], 2))
    with pytest.raises(li.InputError, match="no probabilities"):
        list(generate(weighted(li.Input((None,)), li.Embedding(6, 4), li.GRU(5)), [1], 20))


@pytest.mark.parametrize(("given", "expected"), [
    ({}, ["the cat sat on mat", "ate", "", "the"]), ({"num_words": 4}, ["the cat sat", "", "", "the"]),
    ({"oov_token": "sat"}, ["the cat sat on mat sat", "ate", "", "sat the"]),
    ({"oov_token": "sat", "num_words": 4}, ["the cat sat sat sat sat", "sat", "", "sat the"]),
    ({"char_level": True}, ["the cat sat on mat", "ate", "", "the"]),
])  # fmt: skip
def test_texts_of_ids(given, expected):
    """As tf_keras 2.21 gives them."""
    tokenizer = Tokenizer({"the": 1, "cat": 2, "sat": 3, "on": 4, "mat": 5, "dog": 6, "ate": 7}, **given)
    assert tokenizer.sequences_to_texts([[1, 2, 3, 4, 5, 99], [7], [], [0, 1]]) == expected
