"""What a Lambda layer's stored code tells a person who has to write it again, and the ready helper that fits.

Code is read as data (`marshalled`, `bytecode`), never run.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from . import bytecode, marshalled

MAX_SHOWN = 40  # names or constants of one function
MAX_NAME = 200  # characters of each


def describe(config: Mapping[str, Any]) -> dict:
    """Describe the function that the config of a Lambda layer stores.

    Parameters
    ----------
    config : mapping
        As in the file.

    Returns
    -------
    dict
        ``name``, ``arguments``, ``given`` (values bound to arguments, as text), ``names``, ``constants`` (as text),
        ``expression`` (what it returns, or None) and ``problem`` (why the code cannot be read, or None).
    """
    found = {"name": None, "arguments": [], "given": {}, "names": [], "constants": [], "expression": None,
             "problem": None}  # fmt: skip
    text, defaults, name = _stored(config.get("function"))
    bound = config.get("arguments") if isinstance(config.get("arguments"), Mapping) else {}
    if text is None:
        return {**found, "name": name, "given": _given((), None, bound),
                "problem": None if name else "the file holds no code for it"}
    try:
        code = marshalled.read(_bytes(text))
    except marshalled.Unreadable as error:
        return {**found, "given": _given((), None, bound), "problem": str(error)}
    return {
        "name": code.name[:MAX_NAME],
        "arguments": [name[:MAX_NAME] for name in code.arguments[:MAX_SHOWN]],
        "given": _given(code.arguments, defaults, bound),
        "names": [name[:MAX_NAME] for name in code.names[:MAX_SHOWN]],
        "constants": [bytecode.constant(value)[:MAX_NAME] for value in code.constants[:MAX_SHOWN]],
        "expression": bytecode.expression(code),
        "problem": None,
    }


def _stored(function: Any) -> tuple[str | None, Any, str | None]:
    """Code text, default values and name of a function of any generation's spelling."""
    if isinstance(function, str):
        return None, None, function[:MAX_NAME]
    if isinstance(function, list) and function and isinstance(function[0], str):
        return function[0], function[1] if len(function) > 1 else None, None
    if isinstance(function, Mapping):
        config = function.get("config")
        if isinstance(config, Mapping) and isinstance(config.get("code"), str):
            return config["code"], config.get("defaults"), None
        if isinstance(config, str):
            return None, None, config[:MAX_NAME]
        if function.get("class_name") == "__lambda__" and isinstance(function.get("value"), str):  # Keras 3.0
            return function["value"], None, None
    return None, None, None


def _bytes(text: str) -> bytes:
    """The code's bytes: base64, or (Keras 1, 2.0 and 2.1) one character for each byte."""
    if len(text) > 2 * marshalled.MAX_BYTES:
        raise marshalled.Unreadable(f"found {len(text):,} characters of code, too many")
    squeezed = "".join(text.split())
    if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", squeezed):
        try:
            return base64.b64decode(squeezed, validate=True)
        except binascii.Error:
            pass
    return text.encode("raw_unicode_escape", "replace")


def _given(arguments: tuple, defaults: Any, bound: Mapping) -> dict:
    """Values of arguments as text: the layer's ``arguments``, else the function's defaults."""
    values = {}
    if isinstance(defaults, list) and len(defaults) <= len(arguments):
        values = dict(zip(arguments[len(arguments) - len(defaults):], defaults, strict=True))
    values.update(bound)
    return {str(name)[:MAX_NAME]: repr(_plain(value))[:MAX_NAME] for name, value in list(values.items())[:MAX_SHOWN]}


def _plain(value: Any) -> Any:
    """A value of Keras's JSON as Python's own, as far as it is one."""
    if isinstance(value, Mapping) and value.get("class_name") == "__tuple__":
        return tuple(value.get("items") or ())
    if isinstance(value, Mapping) and value.keys() == {"type", "value"}:  # NumPy scalars and arrays in Keras 2
        return value["value"]
    return value


# ---------------------------------------------------------------- suggestions
def suggestion(described: Mapping[str, Any]) -> str | None:
    """Return Python code that does what a described function does; None where no ready helper fits.

    Examples
    --------
    >>> suggestion({"expression": "K.squeeze(x, axis=axis)", "arguments": ["x", "axis"], "given": {"axis": "2"}})
    'li.custom.squeeze(axis=2)'
    >>> suggestion({"expression": "x[:, -1, :]", "arguments": ["x"], "given": {}})
    'li.custom.last_timestep'
    """
    if not described["expression"] or not described["arguments"]:
        return None
    x = described["arguments"][0]
    if not x.isidentifier():  # names are whatever the file says
        return None
    try:
        values = {name: ast.parse(text, mode="eval").body for name, text in described["given"].items()}
        tree = _Bound(values).visit(ast.parse(described["expression"], mode="eval").body)
        return next(filter(None, (_answer(rule, tree, x) for rule in RULES)), None)
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # a hostile file's, or nothing that Python would say
        return None


def _answer(rule: Callable[[ast.AST, str], str | None], tree: ast.AST, x: str) -> str | None:
    try:
        return rule(tree, x)
    except (ValueError, TypeError, AttributeError, LookupError):  # not of the shape that the rule is for
        return None


class _Bound(ast.NodeTransformer):
    """Puts values in the place of the arguments that have one."""

    def __init__(self, values: dict) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:  # noqa: N802  (ast's spelling)
        return self.values.get(node.id, node)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _of_subscript(tree: ast.AST, x: str) -> str | None:
    if not isinstance(tree, ast.Subscript) or not _is(tree.value, x) or not isinstance(tree.slice, ast.Tuple):
        return None
    batch, time, *rest = tree.slice.elts
    if not all(isinstance(s, ast.Slice) and not (s.lower or s.upper or s.step) for s in (batch, *rest)):
        return None
    if not isinstance(time, ast.Slice):
        return "li.custom.last_timestep" if ast.literal_eval(time) == -1 else None
    ends = [None if part is None else ast.literal_eval(part) for part in (time.lower, time.upper, time.step)]
    if ends == [None, None, -1]:
        return "li.custom.reverse_time"
    while ends and ends[-1] is None:
        ends.pop()
    return f"li.custom.timesteps({', '.join(map(repr, ends))})" if ends else None


def _of_arithmetic(tree: ast.AST, x: str) -> str | None:
    if not isinstance(tree, ast.BinOp) or not isinstance(tree.op, ast.Mult):
        return None
    number = tree.right if _is(tree.left, x) else tree.left if _is(tree.right, x) else None
    return None if number is None else f"li.custom.scale({float(ast.literal_eval(number))!r})"


CALLS = {  # the last word of what is called: (helper, its words in the order of the call's, which must be there)
    **dict.fromkeys(("sum", "reduce_sum"), ("sum_over", ("axis", "keepdims"), ("axis",))),
    **dict.fromkeys(("mean", "reduce_mean"), ("mean_over", ("axis", "keepdims"), ("axis",))),
    **dict.fromkeys(("max", "reduce_max"), ("max_over", ("axis", "keepdims"), ("axis",))),
    "squeeze": ("squeeze", ("axis",), ("axis",)),
    "expand_dims": ("expand_dims", ("axis",), ()),
    "reshape": ("reshape", ("shape",), ("shape",)),
    "l2_normalize": ("l2_normalize", ("axis",), ()),
    "one_hot": ("one_hot", ("depth",), ("depth",)),
    "reverse": ("reverse_time", ("axis",), ("axis",)),
}
SPELLINGS = {"axes": "axis", "keep_dims": "keepdims", "dim": "axis", "num_classes": "depth", "newshape": "shape",
             "target_shape": "shape"}


def _of_call(tree: ast.AST, x: str) -> str | None:
    if not isinstance(tree, ast.Call):
        return None
    word = tree.func.attr if isinstance(tree.func, ast.Attribute) else tree.func.id
    values = list(tree.args)
    if isinstance(tree.func, ast.Attribute) and _is(tree.func.value, x):
        values.insert(0, tree.func.value)  # x.sum(axis=1)
    named = {keyword.arg: keyword.value for keyword in tree.keywords}
    first = values.pop(0) if values else named.pop("x")
    if word not in CALLS or not (_is(first, x) or word == "one_hot" and _is(_uncast(first), x)):
        return None
    helper, words, needed = CALLS[word]
    given = dict(zip(words, values, strict=False)) | {SPELLINGS.get(n, n): value for n, value in named.items()}
    given = {name: ast.literal_eval(value) for name, value in given.items()}
    if not given.keys() <= set(words) or not set(needed) <= given.keys() or len(values) > len(words):
        return None
    if helper == "reverse_time":
        return "li.custom.reverse_time" if given["axis"] in (1, [1], (1,)) else None
    if helper.endswith("_over") and not isinstance(given["axis"], int):
        return None
    return f"li.custom.{helper}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def _uncast(node: ast.AST) -> ast.AST:
    """What is cast: ``K.cast(x, 'int32')`` or ``tf.cast(x, tf.int32)``."""
    is_cast = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "cast"
    return node.args[0] if is_cast and node.args else node


PLAIN = (ast.Name, ast.Load, ast.Constant, ast.Subscript, ast.Slice, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.USub,
         ast.Add, ast.Sub, ast.Mult, ast.Div)  # fmt: skip


def _as_it_stands(tree: ast.AST, x: str) -> str | None:
    """An expression of subscripts and simple arithmetic means the same to NumPy."""
    nodes = list(ast.walk(tree))
    places = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
    for node in nodes:
        if not isinstance(node, PLAIN) or isinstance(node, ast.Name) and node.id != x:
            return None
        if isinstance(node, ast.Tuple) and id(node) not in places:
            return None
        if isinstance(node, ast.Constant) and not isinstance(node.value, (int, float, type(None), type(...))):
            return None
    return f"lambda {x}: {ast.unparse(tree)}"


RULES = (_of_subscript, _of_arithmetic, _of_call, _as_it_stands)
