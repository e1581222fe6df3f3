"""What `inspect` found, as aligned text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .statistics import warnings_of

UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))
MAX_ROWS = 1000


def lines(found: dict) -> Iterator[str]:
    """Yield the lines of a report.

    Parameters
    ----------
    found : dict
        As `inspect` returns it.
    """
    yield from _table([["File", _clean(found["file"]) + _in_brackets(_size(found["size"]))], *_facts(found)], indent="")
    for title, part in (
        ("Layers", _layers(found)),
        ("Cost", _costs(found["totals"])),
        ("Arrays", _arrays(found["arrays"])),
        ("Warnings", _listed(found["warnings"])),
        ("Not supported", _unsupported(found["unsupported"])),
        ("Problems", _listed(found["problems"])),
        ("What its arrays suggest", _guess(found["guess"])),
    ):
        part = list(part)
        if part:
            yield from ("", title, *part)
    yield from ("", _verdict(found))


def _facts(found: dict) -> Iterator[list[str]]:
    what = {"model": "a whole model", "weights": "weights without an architecture",
            "architecture": "an architecture without weights"}[found["holds"]]  # fmt: skip
    layout = f"; {found['layout']}" if found["layout"] else ""
    yield ["Holds", f"{what} ({found['container']}{layout})"]
    version = f"{found['generation']}, version {found['keras_version']}" if found["keras_version"] else "not told"
    backend = f", backend {_clean(found['backend'])}" if found["backend"] else ""
    guessed = " (guessed: the file does not say)" if found["version_is"] == "guessed" and found["keras_version"] else ""
    yield ["Written by", _clean(version) + backend + guessed]
    if found["model"]:
        model = found["model"]
        yield ["Model", f"{_clean(model['class_name'])} \"{_clean(model['name'] or '')}\""]
        for word, title in (("inputs", "Inputs"), ("outputs", "Outputs")):
            shown = [f"{_clean(t['name'])} {_shape(t['shape'])} {t['dtype']}" for t in model[word]]
            if shown:
                yield [title, ", ".join(shown[:8]) + (", ..." if len(shown) > 8 else "")]


def _layers(found: dict) -> list[str]:
    if not found["layers"]:
        return []
    head = ["layer (class)", "output shape", "parameters", "dtype", "FLOPs", "path"]
    return [*_table([head, *map(_layer, found["layers"][:MAX_ROWS])], right=(2, 4)), *_more(found["layers"])]


def _layer(row: dict) -> list[str]:
    indent = "  " * (row["depth"] - 1)
    times = f" x{row['calls']}" if row["calls"] > 1 else ""
    flops = "" if row["flops"] is None or row["is_model"] else f"{row['flops']:,}/{row['per']}"
    return [f"{indent}{_clean(row['name'])} ({_clean(row['class_name'])}){times}", _shapes(row["output_shape"]),
            _number(row["parameters"]), row["dtype"] or "", "" if row["flops"] == 0 else flops,
            _clean(row["path"] or "")]  # fmt: skip


def _costs(totals: dict | None) -> Iterator[str]:
    if totals is None:
        return
    rows = [["parameters", _number(totals["parameters"]) or "not known"]]
    for per in ("timestep", "sequence"):
        flops, read = totals[f"flops_per_{per}"], totals[f"weight_bytes_per_{per}"]
        if flops or read:
            rows.append([f"per {per}", f"{flops:,} FLOPs in products, {_size(read)} of weights"])
    if totals["flops_not_counted"]:
        names = [_clean(name) for name in totals["flops_not_counted"]]
        rows.append(["not counted", ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")])
    yield from _table(rows)


def _arrays(arrays: list[dict]) -> list[str]:
    if not arrays:
        return []
    head = ["array", "shape", "dtype", "min", "max", "mean", "std", ""]
    return [*_table([head, *map(_array, arrays[:MAX_ROWS])], right=(3, 4, 5, 6)), *_more(arrays)]


def _array(row: dict) -> list[str]:
    numbers = ["" if row[word] is None else f"{row[word]:.4g}" for word in ("min", "max", "mean", "std")]
    remark = row["problem"] or ("look below" if warnings_of([row]) else "")
    name = row["name"] if not row["means"] or "vars/" not in row["name"] else f"{row['name']} = {row['means']}"
    return [_clean(name), _shape(row["shape"]), row["dtype"], *numbers, _clean(remark)]


def _unsupported(rows: list[dict]) -> Iterator[str]:
    for row in rows[:MAX_ROWS]:
        yield f"  {_clean(row['layer'])} ({_clean(row['class_name'])}): {_clean(row['reason'], 400)}"
        yield from (f"      {line}" for line in _code(row["code"]))
        yield from (f"      call     {_clean(call, 400)}" for call in row["calls"])
        if row["arguments"]:
            shown = (f"{_clean(word)}={_clean(value, 400)}" for word, value in row["arguments"].items())
            yield f"      config   {', '.join(shown)}"
        if row["suggestion"]:
            yield f"      try      custom_objects={{{row['keys'][0]!r}: {_clean(row['suggestion'], 400)}}}"
        elif row["keys"]:
            yield f"      keys     {', '.join(_clean(repr(key)) for key in row['keys'])}"
    yield from _more(rows)
    if len(rows) > 1 and all(row["suggestion"] for row in rows):
        yield "  All together:"
        yield "      custom_objects={"
        yield from (f"          {row['keys'][0]!r}: {_clean(row['suggestion'], 400)}," for row in rows)
        yield "      }"


def _code(code: dict | None) -> Iterator[str]:
    if code is None:
        return
    if code["problem"]:
        yield f"code     cannot be read: {_clean(code['problem'], 400)}"
        return
    if code["expression"]:
        yield f"code     lambda {', '.join(map(_clean, code['arguments']))}: {_clean(code['expression'], 2000)}"
    elif not code["arguments"]:
        yield f"code     none, only the name {_clean(code['name'])}"
    else:
        yield f"code     {_clean(code['name'])}({', '.join(map(_clean, code['arguments']))})"
    shown = ("names", "constants") if not code["expression"] else ()
    for word in shown:
        if code[word]:
            yield f"{word:8} {', '.join(map(_clean, code[word]))}"
    if code["given"]:
        yield f"given    {', '.join(f'{_clean(name)}={_clean(value)}' for name, value in code['given'].items())}"


def _guess(guess: dict | None) -> list[str]:
    return [] if guess is None else ["", *guess["python"].splitlines()]


def _listed(sentences: Iterable[str]) -> list[str]:
    sentences = list(sentences)
    return [*(f"  {_clean(sentence, 600)}" for sentence in sentences[:MAX_ROWS]), *_more(sentences)]


def _more(rows: Sequence[Any]) -> list[str]:
    return [f"  ... and {len(rows) - MAX_ROWS:,} more (--json lists all)"] if len(rows) > MAX_ROWS else []


def _verdict(found: dict) -> str:
    if found["holds"] == "weights":
        return "Needs an architecture: load_model(architecture, weights=this file), or the code above."
    if not found["loads"]:
        return "Does not load as it is."
    return "Loads." if found["holds"] == "model" else "Loads with its weights: load_model(this file, weights=...)."


# ---------------------------------------------------------------- cells
def _table(rows: Sequence[Sequence[str]], indent: str = "  ", right: tuple = ()) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [cell.rjust(widths[n]) if n in right else cell.ljust(widths[n]) for n, cell in enumerate(row)]
        return (indent + "  ".join(cells)).rstrip()

    return [line(row) for row in rows]


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join(str(size) for size in shape)}{',' if len(shape) == 1 else ''})"


def _shapes(shape: Any) -> str:
    if shape is None:
        return "?"
    if shape and isinstance(shape[0], list):
        return ", ".join(map(_shape, shape[:3])) + (", ..." if len(shape) > 3 else "")
    return _shape(shape)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    unit = next(((size, word) for size, word in UNITS if count >= size), None)
    return f"{count:,} bytes" if unit is None else f"{count / unit[0]:.1f} {unit[1]}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _clean(text: Any, most: int = 100) -> str:
    """Text of a file without what could move a terminal's cursor, and not without end."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown if len(shown) <= most else shown[: most - 3] + "..."
