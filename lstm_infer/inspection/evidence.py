"""Which layers the arrays of a weights-only file suggest: their classes and sizes, from names and shapes.

Knows every layout that `hdf5` reads; knows nothing of how the layers are connected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..layouts.matching import parse
from ..layouts.packings import GATE_COUNTS
from ..spec import Handle, RawWeights

RECURRENT = {4: "LSTM", 3: "GRU", 1: "SimpleRNN"}  # by the number of gates
WEIGHTLESS = (  # names that Keras gives to layers without arrays: (pattern, code, what is not told)
    (r"spatial_?dropout1d", "li.SpatialDropout1D(0.5)", ""),
    (r"dropout", "li.Dropout(0.5)", ""),
    (r"gaussian_?noise", "li.GaussianNoise(0.1)", ""),
    (r"flatten", "li.Flatten()", ""),
    (r"masking", "li.Masking(0.0)", "its value is not told"),
    (r"activation", 'li.Activation("softmax")', "which one is not told"),
    (r"softmax", "li.Softmax()", ""),
    (r"leaky_?re_?lu", "li.LeakyReLU()", "its slope is not told"),
    (r"re_?lu", "li.ReLU()", ""),
    (r"repeat_?vector", "li.RepeatVector(1)", "how often is not told"),
    (r"global_?max_?pooling_?1d", "li.GlobalMaxPooling1D()", ""),
    (r"global_?average_?pooling_?1d", "li.GlobalAveragePooling1D()", ""),
    (r"max_?pooling_?1d", "li.MaxPooling1D(2)", "its size is not told"),
    (r"average_?pooling_?1d", "li.AveragePooling1D(2)", "its size is not told"),
)
NOT_IN_A_LINE = r"concatenate|merge|add|multiply|subtract|average|maximum|dot|lambda|permute|reshape"


@dataclass
class Guess:
    """A layer that arrays suggest."""

    name: str
    kind: str
    code: str
    width_in: int | None = None
    width_out: int | None = None
    remark: str = ""
    words: list[str] = field(default_factory=list)  # arguments that depend on what follows


def layers(weights: RawWeights, in_line: Callable[[list[Guess]], list[Guess]]) -> list[Guess]:
    """Return a guess for every layer of a weights file, in the file's order; `in_line` puts cells into theirs."""
    if weights.layout == "legacy":
        found = [_try(name, _legacy, name, pairs) for name, pairs in weights.groups.items()]
        return [guess for some in found for guess in (some if isinstance(some, list) else [some])]
    objects = _objects(weights).items()
    return [_try(name, _stored, name, inside, in_line) for name, inside in objects]


def _try(name: str, guess: Callable, *arguments: object) -> list[Guess] | Guess:
    """Guess; arrays that lack what their names promise suggest nothing."""
    try:
        return guess(*arguments)
    except (LookupError, ValueError, TypeError):
        return Guess(name, "?", "", remark="arrays of no known layer")


def _legacy(name: str, pairs: Sequence[tuple[str, Handle]]) -> list[Guess]:
    if not pairs:
        return _without_arrays(name)
    if all(re.fullmatch(r"param_\d+", word) for word, _ in pairs):
        return [_numbered(name, [handle for _, handle in pairs])]
    clusters: dict[tuple, dict[str, Handle]] = {}
    for word, handle in pairs:
        item = parse(word, handle)
        known = clusters.setdefault((item.prefix, item.number), {})
        known[item.word] = handle
    guesses = [(prefix, _from_names(name, arrays)) for (prefix, _), arrays in clusters.items()]
    if len(guesses) == 2 and _directions([prefix for prefix, _ in guesses]):
        return [_bidirectional(name, guesses[0][1])]
    if len(guesses) == 1:
        return [guesses[0][1]]
    if all(guess.kind == "recurrent" for _, guess in guesses):
        return [_stack(name, [guess for _, guess in guesses])]
    inner = [_renamed(guess, f"{name}: {'/'.join(prefix)}") for prefix, guess in guesses]
    return [_with_remark(guess, f"inside '{name}'") for guess in inner]


def _directions(prefixes: Sequence[tuple]) -> bool:
    texts = ["/".join(prefix) for prefix in prefixes]
    return any("forward" in text for text in texts) and any("backward" in text for text in texts)


def _stack(name: str, cells: Sequence[Guess]) -> Guess:
    inner = [", ".join([cell.code.replace("(", "Cell(", 1), *cell.words]) + ")" for cell in cells]
    return Guess(name, "recurrent", f"li.RNN([{', '.join(inner)}]", cells[0].width_in, cells[-1].width_out)


def _without_arrays(name: str) -> list[Guess]:
    if re.fullmatch(r".*input(_?layer)?(_?\d+)?|top_level_model_weights", name):
        return []
    for pattern, text, remark in WEIGHTLESS:
        if re.fullmatch(rf"{pattern}(_?\d+)?", name):
            return [Guess(name, "passing", text, remark=remark)]
    if re.fullmatch(rf"({NOT_IN_A_LINE})(_?\d+)?", name):
        return [Guess(name, "?", "", remark="a layer without weights that joins or reshapes")]
    return [Guess(name, "?", "", remark="a layer without weights; its class is not told")]


def _objects(weights: RawWeights) -> dict[str, dict[str, list[Handle]]]:
    """Layers of an object store: their path to the arrays inside, by the rest of the path."""
    found: dict[str, dict[str, list[Handle]]] = {}
    for path, pairs in weights.groups.items():
        if not pairs or re.search(r"(^|/)_?(seed|random)_generator", path):
            continue
        marker = re.match(r"((?:.*?/)??(?:layers|_layer_checkpoint_dependencies)/(?:[^/]+))(/.*)?$", path)
        while marker and (deeper := re.match(r"(/(?:layers|_layer_checkpoint_dependencies)/[^/]+)(/.*)?$",
                                             marker[2] or "")):
            marker = re.match(rf"({re.escape(marker[1] + deeper[1])})(/.*)?$", path)
        marker = marker or re.match(r"(.+?)(/(?:(?:for|back)ward_layer/)?(?:cells?(?:/.*)?|layer))?$", path)
        owner, rest = marker[1], (marker[2] or "").strip("/")
        found.setdefault(owner, {})[rest] = [handle for _, handle in pairs]
    return found


def in_container(path: str) -> bool:
    """Whether a group is among a model's layers, named after its class; else it is named after an attribute."""
    return bool(re.search(r"(^|/)(layers|_layer_checkpoint_dependencies)/[^/]+$", path))


def _stored(path: str, inside: Mapping[str, list[Handle]], in_line: Callable) -> Guess:
    group = path.rpartition("/")[2]
    kind = re.sub(r"_\d+$", "", group) if in_container(path) else ""  # an attribute's name says nothing sure
    if kind in ("bidirectional", "") and inside:
        first = next((arrays for rest, arrays in inside.items() if rest.startswith("forward_layer")), None)
        if first:
            return _bidirectional(path, _numbered(path, first, "recurrent"))
    if kind == "time_distributed" and len(inside) == 1:
        guess = _numbered(path, next(iter(inside.values())))
        guess.code = f"li.TimeDistributed({guess.code})"
        return guess
    if len(inside) == 1:
        return _numbered(path, next(iter(inside.values())), kind)
    if all("cells/" in rest for rest in inside):
        cells = in_line([_numbered(rest, arrays, "recurrent") for rest, arrays in inside.items()])
        if all(cell.kind == "recurrent" for cell in cells):
            return _stack(path, cells)
    return Guess(path, "?", "", remark=f"{kind} with {sum(map(len, inside.values()))} arrays")


# ---------------------------------------------------------------- which class
def _from_names(name: str, arrays: Mapping[str, Handle]) -> Guess:
    words, shapes = set(arrays), {word: handle.shape for word, handle in arrays.items()}
    if "recurrent_kernel" in words:
        return _recurrent(name, shapes["kernel"], shapes["recurrent_kernel"], shapes.get("bias"))
    gates = sorted({word[-1] for word in words if re.fullmatch(r"U_[icfozrh]", word)})
    if gates:  # Keras 1: an array for every gate
        kernel, units = shapes[f"W_{gates[0]}"], shapes[f"U_{gates[0]}"][-1]
        if len(kernel) == 2:
            return _recurrent(name, (kernel[0], len(gates) * units), (units, len(gates) * units), (len(gates) * units,))
        return Guess(name, "?", "", remark="a convolutional LSTM")
    if words == {"W", "U", "b"}:
        return _recurrent(name, shapes["W"], shapes["U"], shapes["b"])
    if "gamma" in words or "beta" in words or "moving_mean" in words:
        return _norm(name, shapes, bool(words & {"moving_mean", "running_mean"}))
    if words == {"embeddings"} or words == {"W"} and "embed" in name:
        return _embedding(name, shapes.get("embeddings", shapes.get("W")))
    if words in ({"alpha"}, {"alphas"}):
        return Guess(name, "passing", "li.PReLU()", remark="its shared_axes are not told")
    kernel = shapes.get("kernel", shapes.get("W"))
    if kernel is not None and words <= {"kernel", "bias", "W", "b"}:
        return _product(name, kernel, bool(words & {"bias", "b"}), name)
    return Guess(name, "?", "", remark=f"arrays {', '.join(f'{w} {tuple(s)}' for w, s in list(shapes.items())[:6])}")


def _numbered(name: str, handles: Sequence[Handle], kind: str = "") -> Guess:
    """By the number of arrays and their shapes, with a class name for a hint."""
    shapes = [handle.shape for handle in handles]
    ranks = [len(shape) for shape in shapes]
    plain = kind.replace("_", "")
    if plain not in ("", "recurrent") and not re.fullmatch(
            r"lstm|gru|simplernn|cudnnlstm|cudnngru|rnn|dense|embedding|conv\dd|batchnormalization|layernormalization|prelu",
            plain):
        return Guess(name, "?", "", remark=f"{kind} with arrays {', '.join(map(str, shapes[:6]))}")
    if len(shapes) in (9, 12) and ranks[:3] == [2, 2, 1]:  # Keras 1
        gates, units = len(shapes) // 3, shapes[1][1]
        return _recurrent(name, (shapes[0][0], gates * units), (units, gates * units), (gates * units,))
    if plain == "batchnormalization" or not plain and len(shapes) == 4 and set(ranks) == {1}:
        return _norm(name, dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), shapes, strict=False)), True)
    if plain == "layernormalization" or not plain and len(shapes) == 2 and set(ranks) == {1}:
        return _norm(name, dict(zip(("gamma", "beta"), shapes, strict=False)), False)
    if plain == "prelu":
        return Guess(name, "passing", "li.PReLU()", remark="its shared_axes are not told")
    if plain == "embedding" or not plain and ranks == [2]:
        return _embedding(name, shapes[0])
    if len(shapes) in (2, 3) and ranks[:2] == [2, 2]:
        return _recurrent(name, *shapes, *([None] if len(shapes) == 2 else []))
    if ranks in ([2, 1], [2], [3, 1], [3], [4, 1], [4]) and plain in ("", "dense", f"conv{ranks[0] - 2}d"):
        return _product(name, shapes[0], len(shapes) == 2, name)
    return Guess(name, "?", "", remark=f"arrays {', '.join(map(str, shapes[:6]))}")


def _recurrent(name: str, kernel: tuple, recurrent: tuple, bias: tuple | None) -> Guess:
    if len(kernel) != 2 or len(recurrent) != 2 or not recurrent[0] or kernel[1] % recurrent[0]:
        return Guess(name, "?", "", remark=f"a recurrent kernel of shape {tuple(recurrent)}")
    units, count = recurrent[0], kernel[1] // recurrent[0]
    if count not in RECURRENT:
        return Guess(name, "?", "", remark=f"a recurrent layer with {count} gates")
    kind, words, remark = RECURRENT[count], [], ""
    if kind == "GRU" and bias is not None and len(bias) == 1 and bias[0] == 3 * units:
        words.append("reset_after=False")
    if bias is None:
        words.append("use_bias=False")
    if bias is not None and len(bias) == 1 and bias[0] == 2 * GATE_COUNTS[kind] * units:
        remark = f"CuDNN{kind}: its gates use sigmoid"
    return Guess(name, "recurrent", f"li.{kind}({units}", kernel[0], units, remark, words)


def _bidirectional(name: str, inner: Guess) -> Guess:
    if inner.kind != "recurrent":
        return Guess(name, "?", "", remark="Bidirectional around a layer that is not told")
    return Guess(name, "bidirectional", inner.code, inner.width_in, 2 * inner.width_out, inner.remark, inner.words)


def _norm(name: str, shapes: Mapping[str, tuple], moving: bool) -> Guess:
    words = [f"{word}=False" for word, array in (("center", "beta"), ("scale", "gamma")) if array not in shapes]
    size = next(iter(shapes.values()))
    width = size[0] if len(size) == 1 else None
    kind = "BatchNormalization" if moving else "LayerNormalization"
    return Guess(name, "passing", f"li.{kind}({', '.join(words)})", width, width)


def _embedding(name: str, shape: tuple) -> Guess:
    if len(shape) != 2:
        return Guess(name, "?", "", remark=f"an embedding of shape {tuple(shape)}")
    return Guess(name, "embedding", f"li.Embedding({shape[0]}, {shape[1]})", None, shape[1])


def _product(name: str, kernel: tuple, bias: bool, label: str) -> Guess:
    words = [] if bias else ["use_bias=False"]
    if len(kernel) == 2:
        code = f"li.Dense({', '.join([str(kernel[1]), *words])})"
        return Guess(name, "dense", code, *kernel, remark="its activation is not told")
    if len(kernel) == 4 and kernel[1] == 1 and re.search(r"conv(olution)?_?1d", label):  # Keras 1
        kernel = (kernel[0], *kernel[2:])
    if len(kernel) == 3:
        code = f"li.Conv1D({', '.join([str(kernel[2]), str(kernel[0]), *words])})"
        return Guess(name, "conv", code, *kernel[1:], remark="its activation, strides and padding are not told")
    remark = f"a convolution with a kernel of shape {tuple(kernel)}"
    return Guess(name, "?", "", kernel[-2] if len(kernel) > 2 else None, kernel[-1] if kernel else None, remark)


def _renamed(guess: Guess, name: str) -> Guess:
    guess.name = name
    return guess


def _with_remark(guess: Guess, remark: str) -> Guess:
    guess.remark = "; ".join(filter(None, (remark, guess.remark)))
    return guess
