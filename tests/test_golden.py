"""Answers recorded from real Keras: every file of tests/golden in every form, and the models that ship."""

from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.verify import verify

HERE = Path(__file__).resolve().parent
WEIGHTS_ONLY = (".weights.h5", ".legacy.h5")
FORMS = (*WEIGHTS_ONLY, ".h5", ".keras")


def stem_and_form(path):
    form = next(form for form in FORMS if path.name.endswith(form))
    return path.name.removesuffix(form), form


def golden_files():
    return sorted(path for path in (HERE / "golden").iterdir() if path.name.endswith(FORMS))


def load(path):
    stem, form = stem_and_form(path)
    if form in WEIGHTS_ONLY:
        return li.load_model(path.with_name(f"{stem}.json"), weights=path)
    return li.load_model(path)


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: path.name)
def test_keras_answers(path):
    stem, _ = stem_and_form(path)
    with np.load(path.with_name(f"{stem}.npz")) as golden:
        differences = verify(load(path), golden)
    assert differences
    assert [found for found in differences if not found.agrees] == []


@pytest.mark.parametrize("path", sorted((HERE / "golden" / "keras_cannot_load").iterdir()), ids=lambda path: path.name)
def test_what_keras_cannot_load(path):
    """Complete files that Keras 3 refuses itself; the answers are those of the same case in other forms."""
    with np.load(HERE / "golden" / f"{path.stem}.npz") as golden:
        assert [found for found in verify(li.load_model(path), golden) if not found.agrees] == []


WHOLE = (path for path in (HERE.parent / "models").iterdir() if path.suffix in (".h5", ".keras"))
MODELS = sorted(path for path in WHOLE if not path.name.endswith(WEIGHTS_ONLY))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_shipped_models(path):
    with np.load(path.with_suffix(".golden.npz")) as golden:
        assert all(found.agrees for found in verify(li.load_model(path), golden))


def test_shipped_models_are_small():
    assert len(MODELS) >= 3
    assert sum(path.stat().st_size for path in (HERE.parent / "models").iterdir()) < 5 * 2**20


WHOLE_NUMBERS = [path for path in golden_files() if "_whole_" in path.name or "_truths" in path.name]


@pytest.mark.parametrize("path", WHOLE_NUMBERS, ids=lambda path: path.name)
def test_answers_about_whole_numbers_are_of_the_dtype_that_keras_gives(path):
    model, (stem, _) = load(path), stem_and_form(path)
    with np.load(path.with_name(f"{stem}.npz")) as golden:
        inputs = [golden[f"input_{n}"] for n in range(len(model.inputs))]
        answers = model.predict(inputs if len(inputs) > 1 else inputs[0])
        answers = answers if isinstance(answers, list) else [answers]
        recorded = [golden[f"output_{n}"].dtype for n in range(len(answers))]
    assert [y.dtype for y in answers] == recorded
    assert [y.dtype for y in model.outputs] == recorded


def test_weights_are_listed_in_the_order_of_the_keras_that_wrote_them():
    path = HERE / "golden" / "keras224_frozen_inside.h5"
    model = load(path)
    with np.load(path.with_suffix(".npz")) as golden:
        recorded = [golden[f"weight_{n}"] for n in range(len(model.get_weights()))]
        assert f"weight_{len(recorded)}" not in golden
    for ours, theirs in zip(model.get_weights(), recorded, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.set_weights([w + 1 for w in recorded])
    np.testing.assert_array_equal(model.get_weights()[3], recorded[3] + 1)


LISTED = ["keras3_weights_in_order.h5", "keras3_masks_that_nothing_needs.h5"]


@pytest.mark.parametrize("name", LISTED)
def test_weights_are_listed_as_in_keras(name):
    path = HERE / "golden" / name
    model = load(path)
    with np.load(path.with_suffix(".npz")) as golden:
        recorded = [golden[key] for key in golden if key.startswith("weight_")]
        for ours, theirs in zip(model.get_weights(), recorded, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        model.set_weights([w * np.float32(1.25) if w.dtype.kind == "f" else w for w in recorded])
        larger = {key.replace("larger", "output"): golden[key] for key in golden if key.startswith("larger_")}
        assert larger
        inputs = {key: golden[key] for key in golden if key.startswith("input_")}
        assert all(found.agrees for found in verify(model, {**inputs, **larger}))


@pytest.mark.parametrize("name", ["keras3_low_rank_factors.keras", "keras3_low_rank_factors.h5"])
def test_low_rank_factors_are_weights(name):
    """Zeros where Keras keeps them merged, as it makes them too."""
    layer = next(layer for layer in load(HERE / "golden" / name).layers if getattr(layer, "lora_rank", None))
    factors = dict(zip(layer.weight_names(), layer.get_weights(), strict=True))
    assert all(factors[key].any() == name.endswith(".h5") for key in factors if key.startswith("lora_"))
    assert [key for key in factors if key.startswith("lora_")] == list(factors)[-2:]
