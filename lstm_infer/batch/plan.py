"""Which columns of a source go where: into which input, or beside the predictions."""

import re
import warnings
from typing import NamedTuple

from ..errors import InputError
from .reader import Wanted


class Plan(NamedTuple):
    """The use of a source's columns.

    Attributes
    ----------
    inputs : dict
        Lists of columns by input name; an array without a name is called "".
    beside : list of str
        Columns that are written beside the predictions, groups and times first.
    lengths : str or None
    text : str or None
        The column of text that becomes ids.
    """

    inputs: dict
    beside: list
    lengths: str | None
    text: str | None

    def wanted(self, tensors):
        """Return what has to be read."""
        numbers = [column for columns in self.inputs.values() for column in columns]
        alone = [(self.inputs[tensor.name], tensor) for tensor in tensors]
        shapes = {columns[0]: tensor.shape[1:] for columns, tensor in alone if len(columns) == 1}
        others = self.beside
        if self.text is not None:
            others = list(dict.fromkeys([*others, self.text]))
            numbers, shapes = [], {}
        if self.lengths is not None:
            numbers, shapes = [*numbers, self.lengths], {**shapes, self.lengths: ()}
        return Wanted(list(dict.fromkeys(numbers)), others, shapes)


def plan(tensors, reader, settings):
    """Return the `Plan` of an open source.

    Parameters
    ----------
    tensors : list
        The inputs of the model that come from it.
    reader : Reader
    settings : Settings

    Raises
    ------
    InputError
        Columns are missing, or it takes a human to say which are meant.
    """
    for tensor in tensors if settings.window else ():
        if len(tensor.shape) > 2 and tensor.shape[1] not in (None, settings.window):
            found = f"input '{tensor.name}': found window={settings.window}"
            raise InputError(f"{found}, expected {tensor.shape[1]}, the model's timesteps")
    special = [*settings.group_by, settings.time, *settings.with_input, settings.lengths, settings.text]
    special = [column for column in special if column is not None]
    _check(reader, special)
    beside = dict.fromkeys([*settings.group_by, settings.time, *settings.with_input])
    beside = [column for column in beside if column is not None]
    text = _text_column(tensors, reader, settings) if settings.tokenizer else None
    if settings.text and not settings.tokenizer:
        raise InputError("text needs tokenizer, the JSON file that makes ids of it")
    inputs = {tensors[0].name: [text]} if text is not None else _inputs(tensors, reader, settings, special)
    if settings.scale and reader.is_table and not settings.columns:
        inputs = {tensor: _that_are_scaled(columns, settings, reader) for tensor, columns in inputs.items()}
    return Plan(inputs, beside, settings.lengths, text)


def as_first(its_plan, reader, first_plan, first):
    """Return the plan of a table, which uses the columns of the `first` table by name, whatever their order.

    Raises
    ------
    InputError
        A column is missing.
    """
    if not (reader.is_table and first.is_table and reader.names and first.names) or reader.names == first.names:
        return its_plan
    for columns in first_plan.inputs.values():
        _check(reader, columns)
    return first_plan


def _that_are_scaled(columns, settings, reader):
    """Return the columns that the scaling names, if it names any: the others were not the model's."""
    named = [column for column in columns if column in settings.scale.names]
    return named or columns


def _check(reader, columns):
    missing = [column for column in columns if column not in (reader.names or ())]
    if missing:
        held = f"only {reader.names[:20]}" if reader.names else "and its columns have no names"
        raise InputError(f"{reader.source}: found no column {missing[0]!r}, {held}")


def _text_column(tensors, reader, settings):
    if len(tensors) > 1:
        raise InputError(f"the model has {len(tensors)} inputs, expected one, which is text")
    if settings.text:
        return settings.text
    names = reader.names or [""]
    texts = [name for name in names if reader.kinds.get(name, "text") == "text" and name not in settings.with_input]
    if len(texts) != 1:
        raise InputError(f"{reader.source}: found columns {names[:20]}, expected text to say which one is text")
    return texts[0]


def _inputs(tensors, reader, settings, special):
    given = settings.columns
    if isinstance(given, dict):
        strange = sorted(set(given) - {tensor.name for tensor in tensors})
        if strange:
            raise InputError(f"found columns of {strange}, expected inputs {[tensor.name for tensor in tensors]}")
    elif given and len(tensors) > 1:
        raise InputError(f"the model has {len(tensors)} inputs, expected columns by input: NAME=A,B")
    elif given:
        given = {tensors[0].name: given}
    free = [name for name in ([""] if reader.names is None else reader.names) if name not in special]
    inputs = {}
    for number, tensor in enumerate(tensors):
        if given and tensor.name in given:
            columns = [_named(column, reader) for column in _expanded(given[tensor.name], reader)]
            _check(reader, columns)
        else:
            columns = _found(tensor, number, len(tensors), free, reader)
        inputs[tensor.name] = columns
    return inputs


def _expanded(columns, reader):
    """Return columns with ranges like 0-23 written out."""
    found = []
    for column in [columns] if isinstance(columns, str) else columns:
        ends = re.fullmatch(r"(\d+)-(\d+)", column) if column not in (reader.names or ()) else None
        found += [str(n) for n in range(int(ends[1]), int(ends[2]) + 1)] if ends else [column]
    return found


def _named(column, reader):
    """Return the name of a column that may be given by its place, from 0."""
    names = reader.names or ()
    by_place = reader.is_table and column not in names and column.isdecimal() and int(column) < len(names)
    return names[int(column)] if by_place else column


def _found(tensor, number, count, free, reader):
    """Return the columns of an input that nobody named."""
    if reader.names is None:
        if count > 1:
            raise InputError(f"{reader.source}: the model has {count} inputs, expected an npz file or NAME=FILE")
        return [""]
    for name in (tensor.name, f"input_{number}"):
        if name in free and (count > 1 or not reader.is_table or reader.kinds.get(name) == "list"):
            return [name]
    if count == 1 and reader.is_table:
        lists = [name for name in free if reader.kinds.get(name) == "list"]
        return lists[:1] if len(lists) == 1 else _numeric(free, reader)
    lists = [name for name in free if reader.kinds.get(name, "list") == "list"]
    if count == 1 and len(lists) == 1:
        return lists
    expected = [tensor.name, f"input_{number}"]
    raise InputError(f"{reader.source}: found {sorted(reader.names)}, expected {expected}, or columns to say which")


def _numeric(names, reader):
    """Return the columns of numbers, and warn of those that a file with types says are none."""
    numbers = [name for name in names if reader.kinds.get(name, "number") == "number"]
    for name in names:
        if name not in numbers and name in reader.types:
            warnings.warn(f"column {name!r} ({reader.types[name]}) is not a number: left out", stacklevel=2)
    return numbers
