"""Cells of tables that are written beside predictions: texts that know the type which they have in Arrow."""

import base64
import datetime
import decimal
import functools

import numpy as np

from ..errors import InputError
from .block import Typed


def arrow():
    """Return the module pyarrow.

    Raises
    ------
    InputError
        It is not installed; the message says how to.
    """
    try:
        import pyarrow
    except ImportError:
        raise InputError("parquet and arrow files need pyarrow: pip install 'lstm-infer[tables]'") from None
    return pyarrow


def is_number(kind):
    """Whether cells of a type are numbers, or truth values."""
    types = arrow().types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


@functools.cache
def typed(kind):
    """Return what makes a text of a cell of some type, and the text of a cell without anything."""
    if not _is_kept(kind):
        return str, ""
    is_json = is_number(kind) and not arrow().types.is_decimal(kind)
    about = {"__slots__": (), "arrow": written(kind), "is_json": is_json}
    text = type("Typed", (Typed,), about)
    return text, type("Typed", (Typed,), {**about, "is_null": True})("")


def _is_kept(kind):
    """Whether texts tell all that cells of a type say."""
    types = arrow().types
    return (
        is_number(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_timestamp(kind)
        or types.is_date(kind) or types.is_time(kind)
    )  # fmt: skip


def written(kind):
    """Return a type as text."""
    return base64.b64encode(arrow().schema([("", kind)]).serialize()).decode()


def type_of(dtype):
    """Return the type of NumPy's numbers as text; None without pyarrow."""
    try:
        return written(arrow().from_numpy_dtype(dtype))
    except InputError:
        return None


def read_type(text):
    """Return the type that `written` gave as text."""
    pa = arrow()
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))).field(0).type


def from_texts(texts, kind):
    """Return texts of `Typed` as an array of their type."""
    pa = arrow()
    types = pa.types
    if types.is_timestamp(kind):
        return _stamps(texts, kind)
    if types.is_date64(kind):
        return pa.array(texts, pa.string()).cast(pa.date32()).cast(kind)
    if types.is_decimal(kind) or types.is_time(kind) or types.is_float16(kind):
        return pa.array([None if text is None else _value(text, kind) for text in texts], kind)
    return pa.array(texts, pa.string()).cast(kind)


def _value(text, kind):
    types = arrow().types
    if types.is_float16(kind):
        return np.float16(text)
    return datetime.time.fromisoformat(text) if types.is_time(kind) else decimal.Decimal(text)


def _stamps(texts, kind):
    """Return texts as an array of times."""
    pa = arrow()
    fine = pa.timestamp("ns" if kind.unit == "ns" else "us", kind.tz)
    try:
        return pa.array(texts, pa.string()).cast(fine).cast(kind)
    except pa.ArrowInvalid:  # an offset of seconds, as before zones were agreed upon
        return pa.array([text and datetime.datetime.fromisoformat(text) for text in texts], kind)
