"""The architecture that the arrays of a weights-only file suggest, as Python code for a person to finish.

Names and shapes tell a layer's class and sizes (`evidence`). They do not tell activations, masks, what layers without
weights did, or how layers are connected: the code says which of its words are guesses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..spec import RawWeights
from . import evidence
from .evidence import Guess

MAX_LAYERS = 500
MAX_TRIES = 20_000
ORDER = ("embedding", "conv", "recurrent", "bidirectional", "passing", "dense", "?")  # what comes first, where it may
SEQUENCES = ("recurrent", "bidirectional", "conv")  # kinds of layers that take sequences


def code(weights: RawWeights, file: str) -> dict:
    """Return the architecture that arrays suggest.

    Parameters
    ----------
    weights : RawWeights
    file : str
        Its name, for the code.

    Returns
    -------
    dict
        ``python`` (ready to edit), ``in_line`` (whether the layers fit each other one after the other) and
        ``unknown`` (names of the layers whose class is not told).
    """
    layers = evidence.layers(weights, _in_line)[:MAX_LAYERS]
    if weights.layout == "objects":
        layers = _in_line(layers)
    fits = _is_line(layers)
    if fits:
        layers = _flattened(layers)
    _settle(layers)
    lines = _sequential(layers, weights) if fits else _graph(layers, weights)
    return {
        "python": "\n".join(["import lstm_infer as li", "", *lines, _load(weights, file)]),
        "in_line": fits,
        "unknown": [layer.name for layer in layers if layer.kind == "?"],
    }


# ---------------------------------------------------------------- in which order
def _fits(width: int | None, layer: Guess, before: Guess | None) -> bool:
    if not width or layer.width_in is None:
        return layer.kind != "embedding" or before is None
    if layer.width_in == width:
        return True
    flat = layer.kind == "dense" and before is not None and before.kind != "dense"
    return flat and layer.width_in % width == 0


def _is_line(layers: Sequence[Guess]) -> bool:
    """Whether every layer takes what the one before it gives."""
    if not layers or any(layer.kind == "?" for layer in layers):
        return False
    width, before = None, None
    for layer in layers:
        if not _fits(width, layer, before):
            return False
        width, before = layer.width_out or width, layer
    return True


def _flattened(layers: Sequence[Guess]) -> list[Guess]:
    """Put a Flatten where a Dense takes several timesteps at once, unless there is one."""
    found: list[Guess] = []
    width = None
    for layer in layers:
        known = any("Flatten" in one.code for one in found[-2:])
        if width and layer.width_in and layer.width_in != width and not known:
            remark = f"{layer.width_in} = {layer.width_in // width} x {width}"
            found.append(Guess("flat", "passing", "li.Flatten()", remark=remark))
        found.append(layer)
        width = layer.width_out or width
    return found


def _in_line(layers: list[Guess]) -> list[Guess]:
    """Put the layers of an object store, which names no order across classes, into one that fits; else as they are."""
    queues: dict[str, list[Guess]] = {}
    for layer in sorted(layers, key=lambda layer: _number(layer.name)):
        kind = re.sub(r"_\d+$", "", layer.name) if evidence.in_container(layer.name) else layer.name
        queues.setdefault(kind, []).append(layer)
    models = {name.rpartition("/")[0] for name in queues if evidence.in_container(name)}
    if any(layer.kind == "?" for layer in layers) or len(models) > 1:
        return layers
    tries = 0

    def search(done: list[Guess], taken: dict[str, int]) -> list[Guess] | None:
        nonlocal tries
        tries += 1
        if len(done) == len(layers):
            return done
        if tries > MAX_TRIES or len(done) > 100:
            return None
        before = done[-1] if done else None
        width = next((layer.width_out for layer in reversed(done) if layer.width_out), None)
        heads = [(name, queue[taken[name]]) for name, queue in queues.items() if taken[name] < len(queue)]
        for name, head in sorted(heads, key=lambda pair: _preference(pair[1], width)):
            if _fits(width, head, before):
                found = search([*done, head], {**taken, name: taken[name] + 1})
                if found:
                    return found
        return None

    found = search([], dict.fromkeys(queues, 0))
    return found or sorted(layers, key=lambda layer: (ORDER.index(layer.kind), _number(layer.name)))


def _preference(layer: Guess, width: int | None) -> tuple:
    """What comes first where several layers fit: embeddings, convolutions and recurrent layers; Dense last."""
    return (width is not None and layer.width_in != width, ORDER.index(layer.kind))


def _number(name: str) -> int:
    found = re.search(r"_(\d{1,9})$", name)
    return int(found[1]) if found else 0


# ---------------------------------------------------------------- as code
def _settle(layers: Sequence[Guess]) -> None:
    """Complete the recurrent layers: one that another follows returns sequences."""
    demanded = False
    for layer in reversed(layers):
        if layer.kind in ("recurrent", "bidirectional"):
            words = [*layer.words, *(["return_sequences=True"] if demanded else [])]
            text = "".join(f", {word}" for word in words)
            layer.code += f"{text})"
            if layer.kind == "bidirectional":
                layer.code = f"li.Bidirectional({layer.code})"
        if layer.kind in SEQUENCES or re.search(
                r"Pooling1D|SpatialDropout1D|TimeDistributed|Flatten", layer.code):
            demanded = True
        elif layer.code.startswith("li.RepeatVector"):
            demanded = False


def _named(layer: Guess, name: str | None) -> str:
    return f"{layer.code[:-1]}{'' if layer.code.endswith('()') else ', '}name={name!r})" if name else layer.code


def _sequential(layers: Sequence[Guess], weights: RawWeights) -> list[str]:
    """The code of a Sequential whose layers fit each other."""
    is_store = weights.layout == "objects"
    lines = [
        f"    {_named(layer, layer.name) if is_store and not evidence.in_container(layer.name) else layer.code},"
        f"  # {_remark(layer)}"
        for layer in layers
    ]
    order = ["# The file does not tell the order: this is one in which the arrays fit."] if is_store else []
    return [*order, "model = li.Sequential([", f"    {_input(layers)},", *lines, "])"]


def _graph(layers: Sequence[Guess], weights: RawWeights) -> list[str]:
    """The code of a functional model, where the layers do not fit each other or are not all known."""
    lines = [
        "# What the arrays do not tell: how these layers are connected, and what stands between them.",
        "# Put each call right; the names are those of the file.",
        f"x = inputs = {_input(layers)}",
    ]
    width = None
    for layer in layers:
        if layer.kind == "?":
            lines.append(f"# x = ...  # {_remark(layer)}")
            width = None
            continue
        by_name = weights.layout == "legacy" or not evidence.in_container(layer.name)
        named = _named(layer, layer.name if by_name else weights.names.get(layer.name))
        misfit = ""
        if layer.width_in and width and layer.width_in != width:
            misfit = f"; takes {layer.width_in} features, the one above gives {width}"
        lines.append(f"x = {named}(x)  # {_remark(layer)}{misfit}")
        width = layer.width_out or width
    return [*lines, "model = li.Model(inputs, x)"]


def _load(weights: RawWeights, file: str) -> str:
    text = f"model.load_weights({file!r})"
    if weights.layout != "objects" or weights.keras_version:
        return text
    return f"{text}  # keras_version='3.15': the file does not say which Keras wrote it"


def _remark(layer: Guess) -> str:
    return "; ".join(filter(None, (_short(layer.name), _short(layer.remark))))


def _input(layers: Sequence[Guess]) -> str:
    first = next((one for one in layers if one.width_in or one.kind == "embedding"), None)
    if first is None:
        return "li.Input((None,))"
    if first.kind == "embedding":
        return 'li.Input((None,), dtype="int32")'
    if any(layer.kind in SEQUENCES for layer in layers):
        return f"li.Input(({_steps(layers)}, {first.width_in}))"
    return f"li.Input(({first.width_in},))"


def _steps(layers: Sequence[Guess]) -> int | None:
    """The number of timesteps, where a Dense behind a sequence that no layer shortens tells it."""
    width, changed = None, not _is_line(layers)
    for layer in layers:
        if layer.width_in and width and layer.width_in != width:
            return None if changed else layer.width_in // width
        changed |= "Pooling" in layer.code or layer.kind == "conv"
        width = layer.width_out or width
    return None


def _short(name: str) -> str:
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    return text if len(text) <= 60 else text[:57] + "..."
