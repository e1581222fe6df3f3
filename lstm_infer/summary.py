"""A model as a table of text."""

from .layers.base import map_shapes
from .layers.recurrent import RNN
from .layers.structure import flatten

COLUMNS = ("Layer (type)", "Output shape", "Params", "Path")


def lines(model):
    """Return the lines of the table for `model`."""
    rows = [_row(path, layer) for path, layer in model.walk() if path and _is_shown(path, layer, model)]
    widths = [max(len(row[n]) for row in [COLUMNS, *rows]) for n in range(len(COLUMNS))]

    def line(row):
        return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

    rule = "-" * (sum(widths) + 2 * len(widths) - 2)
    total = f"Total params: {model.count_params():,}"
    return [f'Model: "{model.name}"', rule, line(COLUMNS), rule, *map(line, rows), rule, total]


def _is_shown(path, layer, model):
    """Show the layers of models, and not the parts inside a layer."""
    parent = model
    for key in path[:-1]:
        parent = parent.children()[key]
    return hasattr(parent, "graph")


def _row(path, layer):
    indent = "  " * (len(path) - 1)
    shapes = []
    if layer.nodes:
        map_shapes(shapes.append, [tensor.shape for tensor in flatten(layer.nodes[0].outputs)])
    shown = ", ".join(str(shape) for shape in shapes[:2]) + (", ..." if len(shapes) > 2 else "")
    return (f"{indent}{layer.name} ({type(layer).__name__})", shown, f"{layer.count_params():,}", path_taken(layer))


def path_taken(layer):
    """Return which kernels the recurrent layers in `layer` take, fast or general, and why; "" where it has none."""
    inside = [inner for _, inner in layer.walk() if isinstance(inner, RNN)] if not hasattr(layer, "graph") else []
    if not inside:
        return ""
    reasons = [_reason(inner) for inner in inside]
    return "; ".join(dict.fromkeys(reasons))


def _reason(layer):
    if not hasattr(layer, "units"):
        return f"step by step: {type(layer.cell).__name__} is commanded cell by cell"
    if not layer.cell.compiled:
        return "step by step: an activation is a Python function"
    note = f" ({layer.policy} computed in float32)" if layer.policy not in ("float32", "float64") else ""
    if layer.cell.fits_tiles:
        return f"fast: {layer.dtype} on register tiles{note}"
    return f"general {layer.dtype} kernel: {_obstacle(layer)}{note}"


def _obstacle(layer):
    """Return why a layer does not take the fast path."""
    if layer.dtype != "float32":
        return "not float32"
    return "an activation looks at the whole row"
