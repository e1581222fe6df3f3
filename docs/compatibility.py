"""Writes docs/compatibility.md from what really happens to files and classes today.

    LSTM_INFER_FILES=/path/to/files python docs/compatibility.py     loads every file and compares (some minutes)
    python docs/compatibility.py --layers                            renews only the list of layer classes

The files are those of tests/golden and, in the folder that LSTM_INFER_FILES names, of ``generations`` (small models by
thirteen Keras releases) and ``cases`` (published ones), beside their producers' answers. Nothing of them is copied
but names and counts. The exit status is 1 if a file's outputs differ.
"""

import argparse
import json
import os
import re
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

import lstm_infer as li
from lstm_infer.inspection import LAYERS
from lstm_infer.layouts.words import CLASSES, TRANSPARENT
from lstm_infer.verify import verify

HERE = Path(__file__).resolve().parent
PAGE = HERE / "compatibility.md"
GOLDEN = HERE.parent / "tests" / "golden"
BEGIN, END = "<!-- layers -->", "<!-- /layers -->"
AGREES, LOADS = "✓", "loads"
AS_NEAR = "✓ (its layers amplify rounding: as near to float64 as Keras is)"

QUANTISED = """\
### Quantised layers and low-rank adapters of Keras 3

Dense, EinsumDense, Embedding, ReversibleEmbedding and the projections of MultiHeadAttention and GroupQueryAttention
load in int8, int4 (whole and in blocks) and float8, with `enable_lora` factors where Keras computes with them. What
files leave out:

- `.keras` and `.weights.h5` hold LoRA factors merged into their kernels, and a quantised kernel rounded anew: a loaded
  model gives what Keras gives of that file, not of the model before it was saved. `get_weights` has zeros for the
  factors, as in Keras.
- An `.h5` of attention with LoRA is refused: the scale of the factors (`lora_alpha`) is not in it. The `.keras` of the
  same model loads, quantised or not; Keras itself does not read back quantised attention.
- Attention quantised for its weights alone (`Int8QuantizationConfig(activation_quantizer=None)`) looks in a file like
  attention in int8, and is computed as that: what goes into its projections is rounded to 8 bits.
- GPTQ and AWQ load from `.h5`. Keras saves no zero points into `.keras` and `.weights.h5`, so their kernels are lost:
  refused.
- `get_weights` of float8 layers is in the order of a model that Keras has loaded, not of the one that was quantised."""

WHY_NOT = (  # the first pattern that a class's name fits says why it is refused; without any it is only missing
    ("Layer|Wrapper|AbstractRNNCell", "a base class, which no file holds"),
    ("Lambda", "its code is never run: give the function as `custom_objects` (see [custom layers](custom_layers.md))"),
    ("StringLookup|IntegerLookup|Hashing|HashedCrossing|TextVectorization|DenseFeatures", "works on text and tables"),
    ("Random.*|RandAugment|AugMix|CutMix|MixUp|AutoContrast|Equalization|Solarization|CenterCrop|Resizing|Pipeline|"
     "ContrastLimited.*|MaxNumBoundingBoxes", "prepares images"),
    (".*Spectrogram", "prepares sound"),
    ("FlaxLayer|JaxLayer|TFSMLayer|TorchModuleWrapper", "holds code of another framework"),
)

FORMS = (  # heading, ending of the files
    ("Whole models in HDF5 (`.h5`)", ".h5"),
    ("Whole models in a `.keras` archive", ".keras"),
    ("An architecture JSON with legacy weights (`save_weights(\"w.h5\")`)", "_w.h5"),
    ("An architecture JSON with `.weights.h5`", ".weights.h5"),
)
PRODUCERS = {"k1": "Keras 1.2.2", "K3x": "Keras 3.15.1, more", "tfkD": "tf.keras, more",
             "tfk_2.21.0": "tf_keras 2.21.0"}  # fmt: skip
FAMILIES = {"k": "Keras", "tfk_": "tf.keras", "K3_": "Keras"}
CASES = {
    "actlayer": "activation given as a layer", "bidi": "Bidirectional", "bidimask": "Bidirectional, masked",
    "bidistate": "Bidirectional states, attention", "cells": "RNN around cells", "chunk": "many layers, long names",
    "conv": "convolution, pooling, norms, reshaping", "convlstm": "ConvLSTM2D", "cudnn": "CuDNNLSTM, CuDNNGRU",
    "custom": "custom layer and activation", "dense": "Dense", "emb": "Embedding", "f16": "float16",
    "fgru": "GRU, functional", "fit": "trained, optimizer inside", "flstm": "LSTM, functional", "func": "functional",
    "float8": "quantised to float8", "goback": "go_backwards", "gru": "GRU", "int4": "quantised to int4",
    "int8": "quantised to int8", "lambda": "Lambda", "lstm": "LSTM", "maskinit": "mask and initial_state",
    "maskunroll": "mask, unrolled", "merge": "Merge", "mha": "MultiHeadAttention", "mixedbf16": "mixed_bfloat16",
    "multi": "many inputs and outputs", "nested": "models in models", "norm": "Normalization and other norms",
    "ops": "operations in the graph", "seq2seq": "encoder and decoder", "stateful": "stateful",
    "subclass": "subclassed model", "td": "TimeDistributed",
}  # fmt: skip
NOT_ANSWERS = re.compile(r"K3_.*_stateful\.")  # recorded from a state that was not zero: nothing to compare with


# ---------------------------------------------------------------- one file
def outcome(load, answers):
    """What became of a file: that it agrees with its producer's answers, or why it was refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a file of NaN is told by its outcome
        try:
            model = load()
        except li.LoadError as error:
            return reason(error)
        if answers is None:
            return LOADS
        differences = verify(model, answers)
        if all(found.agrees for found in differences):
            return AGREES
        return AS_NEAR if as_near_as_keras(load, answers) else "DIFFERS"


def as_near_as_keras(load, answers):
    """Where a chain of layers amplifies rounding, float64 is the judge: we may be twice as far from it as Keras is."""
    if "input_0" not in answers:
        return False
    ours, exact = (load(dtype=dtype).predict(answers["input_0"]) for dtype in (None, "float64"))
    return np.abs(ours - exact).max() <= 2 * np.abs(answers["output_0"] - exact).max()


def reason(error):
    """A refusal in a few words, the same for the same reason."""
    text = str(error)
    own = re.findall(r"unknown activation '([^']*)'", text)
    classes = re.findall(r"layer '[^']*' \(([^()]*(?:\([^()]*\))?[^()]*)\): (?!it contains|unknown activation)", text)
    lacks = [f"the activation {word}" for word in own]
    lacks += ["the function of a Lambda" if word == "Lambda" else word for word in classes]
    if isinstance(error, li.UnsupportedLayerError) and lacks:
        return f"needs {', '.join(sorted(set(lacks)))}"
    if "cut short" in text:
        return "the file is half-written"
    if "Sequential or functional model" in text:
        return "a subclassed model: its architecture is code"
    return re.sub(r"^\S+: (layer '[^']*'(, array '[^']*' \([^)]*\))?: )?", "", text)[:100].strip()


def golden_of(path, rename=False):
    with np.load(path) as recorded:
        keys = {key: key.replace("x", "input_").replace("y", "output_") if rename else key for key in recorded}
        return {ours: recorded[key] for key, ours in keys.items()}


def architecture_of(path):
    """The architecture JSON that a whole model holds, as bytes."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config, meta = (json.loads(archive.read(name)) for name in ("config.json", "metadata.json"))
            return json.dumps({**config, "keras_version": meta["keras_version"]}).encode()
    with h5py.File(path) as file:
        config = json.loads(file.attrs["model_config"])
        said = {key: file.attrs[key] for key in ("keras_version", "backend") if key in file.attrs}
        said = {key: value.decode() if isinstance(value, bytes) else value for key, value in said.items()}
        return json.dumps({**config, **said}).encode()


# ---------------------------------------------------------------- generations
def generations(folder):
    """Outcomes by (ending, producer, case)."""
    found = {}
    for path in sorted(folder.iterdir()):
        ending = next((end for end in ("_w.h5", ".weights.h5", ".h5", ".keras") if path.name.endswith(end)), None)
        answers = folder / f"{path.name.removesuffix(ending or '')}.npz"
        if ending is None or not answers.exists():
            continue
        producer, case = re.fullmatch(r"(k1|k2\.[\d.]+|tfk_[\d.]+|K3_[\d.]+|[A-Za-z0-9]+)_(.*)", answers.stem).groups()
        golden = None if NOT_ANSWERS.match(path.name) else golden_of(answers, rename=True)
        load = loader(path, ending)
        if load is not None:
            found[ending, producer, case] = outcome(load, golden)
    return found


def loader(path, ending):
    if not ending.endswith(("_w.h5", ".weights.h5")):
        return lambda dtype=None: li.load_model(path, dtype=dtype)
    stem = path.name.removesuffix(ending)
    whole = next((w for end in (".h5", ".keras") if (w := path.with_name(stem + end)).exists()), None)
    if whole is None:
        return None
    return lambda dtype=None: li.load_model(architecture_of(whole), weights=path, dtype=dtype)


def producer_name(word):
    family = next((start for start in FAMILIES if re.fullmatch(rf"{start}\d[\d.]*", word)), "")
    return PRODUCERS.get(word) or f"{FAMILIES.get(family, '')} {word.removeprefix(family)}".strip()


def generation_tables(found):
    notes = Notes()
    for heading, ending in FORMS:
        part = {(producer, case): what for (end, producer, case), what in found.items() if end == ending}
        if not part:
            continue
        producers = sorted({producer for producer, _ in part}, key=by_version)
        cases = sorted({case for _, case in part})
        agree = sum(what in (AGREES, AS_NEAR, LOADS) for what in part.values())
        yield from ("", f"### {heading}: {agree} of {len(part)}", "")
        rows = [[CASES.get(case, case), *(notes.mark(part.get((p, case), "")) for p in producers)] for case in cases]
        yield from table(["", *map(producer_name, producers)], rows)
    yield from ("", *notes.lines())


def by_version(producer):
    family = next(n for n, start in enumerate(("k1", "k2", "tfk", "K3_", "")) if producer.startswith(start))
    return family, [int(number) for number in re.findall(r"\d+", producer)]


class Notes:
    """Reasons, written once each below the tables."""

    def __init__(self):
        self.numbers = {}

    def mark(self, what):
        if what in ("", AGREES, LOADS):
            return what
        return f"[{self.numbers.setdefault(what, len(self.numbers) + 1)}]"

    def lines(self):
        return [f"[{number}] {what}  " for what, number in self.numbers.items()]


# ---------------------------------------------------------------- golden files and published ones
def golden_files():
    """Outcomes of tests/golden by (writer, ending)."""
    found = {}
    for path in sorted(GOLDEN.iterdir()):
        ending = next((e for e in (".weights.h5", ".legacy.h5", ".h5", ".keras") if path.name.endswith(e)), None)
        if ending is None:
            continue
        stem = path.name.removesuffix(ending)
        alone = ending in (".weights.h5", ".legacy.h5")

        def load(dtype=None, path=path, json=path.with_name(f"{stem}.json") if alone else None):  # noqa: B008
            return li.load_model(json or path, weights=path if json else None, dtype=dtype)

        found.setdefault((stem.partition("_")[0], ending), {})[stem] = outcome(load, golden_of(GOLDEN / f"{stem}.npz"))
    return found


def golden_tables(found):
    names = {"keras2": "tf_keras 2.21.0", "keras3": "Keras 3.15.1"}
    rows = [[names.get(writer, writer), f"`{ending}`", f"{sum(w == AGREES for w in part.values())} of {len(part)}"]
            for (writer, ending), part in found.items()]  # fmt: skip
    yield from table(["written by", "form", "agree"], rows)
    missed = [(stem, what) for part in found.values() for stem, what in part.items() if what != AGREES]
    yield from (line for stem, what in missed for line in ("", f"`{stem}`: {what}"))
    for writer in names:
        cases = sorted({stem.partition("_")[2] for (w, _), part in found.items() if w == writer for stem in part})
        yield from ("", f"{names[writer]}: {', '.join(case.replace('_', ' ') for case in cases)}.")


def published(folder):
    """(name, Keras version, form, outcome) of the files that strangers published."""
    for path in sorted(folder.glob("*/case.json")):
        case = json.loads(path.read_text())
        version = case["keras_version"] or "1 (unsigned)"
        if not case["file"]:
            whole = sorted((path.parent / "h5").iterdir())
            counts = Counter(outcome(lambda dtype=None, one=one: li.load_model(one, dtype=dtype),
                                     matrix_answers(path.parent, one.stem)) for one in whole)  # fmt: skip
            yield path.parent.name, version, f"{len(whole)} models", ", ".join(f"{n} {w}" for w, n in counts.items())
            continue
        file = path.parent / case["file"]
        json_file = path.parent / "architecture.json"
        answers = {}
        if (path.parent / "outputs.npz").exists():
            answers = {**golden_of(path.parent / "inputs.npz"), **golden_of(path.parent / "outputs.npz")}
        alone = case["weights_only"]
        if not alone or json_file.exists():
            def load(dtype=None, path=json_file if alone else file, weights=file if alone else None):
                return li.load_model(path, weights=weights, dtype=dtype)

            form = "architecture and weights" if alone else "whole model"
            yield path.parent.name, version, form, outcome(load, answers)
        else:
            guess = li.inspect(file)["guess"]
            told = "all its layers" if guess["in_line"] else "the layers, not how they are connected"
            yield path.parent.name, version, "weights alone", f"to be rebuilt in Python; `inspect` suggests {told}"


def matrix_answers(folder, stem):
    answers = {**golden_of(folder / "inputs.npz"), **golden_of(folder / "outputs.npz")}
    return {key.removeprefix(f"{stem}/"): array for key, array in answers.items() if key.startswith(f"{stem}/")}


# ---------------------------------------------------------------- layer classes
def layer_rows():
    """(class, which Keras has it, what becomes of it) of every class of ``keras.layers``."""
    known = json.loads((HERE / "keras_layers.json").read_text())
    names = sorted({name for part in known.values() for name in part["layers"]})
    return [(name, " ".join(mark for mark, package in (("3", "keras"), ("2", "tf_keras"))
                            if name in known[package]["layers"]), status(name)) for name in names]  # fmt: skip


def status(name):
    if name in LAYERS:
        return "loads"
    if CLASSES.get(name, ("",))[0] in LAYERS:
        return f"loads, as {CLASSES[name][0]}"
    return next((why for pattern, why in WHY_NOT if re.fullmatch(pattern, name)), "not here yet")


def names_in(room, names):
    return [name.removeprefix(f"{room}.") for name in names if name.startswith(f"{room}.")]


def layer_section():
    versions = json.loads((HERE / "keras_layers.json").read_text())
    rows = layer_rows()
    loads = [row for row in rows if row[2].startswith("loads")]
    own = sorted(set(LAYERS) - {name for name, _, _ in rows})
    old = sorted(name for name, (today, _) in CLASSES.items() if today in LAYERS and name not in dict.fromkeys(
        name for name, _, _ in rows))  # fmt: skip
    return [
        BEGIN,
        f"{len(loads)} of the {len(rows)} classes of `keras.layers` load: of Keras {versions['keras']['version']} (3)",
        f"and tf_keras {versions['tf_keras']['version']} (2). Others can be supplied as `custom_objects`.",
        'A model of a class of its own loads where its file has its layers and `custom_objects={"TheClass": li.Model}`',
        "says that they are all it computes with ([more](custom_layers.md)); one whose layers are code is refused.",
        "",
        *table(["class", "Keras", "here"], [[name, marks, what] for name, marks, what in rows]),
        "",
        f"Classes of older Keras that load as today's: {', '.join([*old, *sorted(TRANSPARENT.values())])}.",
        "",
        f"Of Keras 1, TensorFlow Addons and keras-contrib: {', '.join(name for name in own if '.' not in name)}.",
        "",
        f"Recorded calls of `keras.ops`: {', '.join(names_in('keras.ops', own))}.",
        "",
        f"Recorded calls of `tf`: {', '.join(names_in('tf', own))}.",
        "",
        *QUANTISED.splitlines(),
        END,
    ]


# ---------------------------------------------------------------- the page
def table(head, rows):
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def page(folder):
    lines = [
        "# What loads",
        "",
        "Written by `docs/compatibility.py` from what happens to real files, not by hand. ✓: the file was loaded, and",
        "its outputs agree with those that its producer computed, within the tolerances of `lstm-infer verify`. loads:",
        "there are no answers to compare with. Everything else is refused, with one error that says why.",
        "",
        "## Every layer class of Keras",
        "",
        *layer_section(),
        "",
        "## Small models by thirteen Keras releases",
        "",
        "One kind of layer or feature each, with random weights. An empty cell: no such file with its answers.",
        *generation_tables(generations(folder / "generations")),
        "",
        "## Files that strangers published",
        "",
        *table(["model", "Keras", "form", "outcome"], [list(row) for row in published(folder / "cases")]),
        "",
        "## Golden files of the test suite",
        "",
        *golden_tables(golden_files()),
    ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", action="store_true", help="renew only the list of layer classes")
    if parser.parse_args().layers:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + "\n".join(layer_section()) + rest.partition(END)[2])
        return
    folder = os.environ.get("LSTM_INFER_FILES")
    if not folder:
        parser.error("LSTM_INFER_FILES does not name the folder of files")
    text = page(Path(folder))
    PAGE.write_text(text)
    if "DIFFERS" in text:
        raise SystemExit("some outputs differ: look for DIFFERS in docs/compatibility.md")


if __name__ == "__main__":
    main()
