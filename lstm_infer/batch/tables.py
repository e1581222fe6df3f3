"""Parquet and Arrow (also called Feather) through pyarrow, which the extra ``tables`` brings."""

import contextlib
import warnings

import numpy as np

from ..errors import InputError
from .block import BLOCK_BYTES, Block, Ragged, Rejected
from .reader import Begun, Reader, open_bytes, read_fully
from .typed import arrow, from_texts, is_number, read_type, typed

READ_ROWS = 1 << 14
"""Rows that are decoded at once, at most."""
READ_BYTES = 1 << 16
"""Bytes that are read at once of each column of parquet; without a number, pyarrow reads all that a row group has."""


class _TableReader(Reader):
    is_table = True

    def _take_schema(self, schema):
        pa = arrow()
        self.names = list(schema.names)
        for field in schema:
            kind = field.type
            if isinstance(kind, pa.ExtensionType):
                kind = kind.storage_type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
                self.kinds[field.name] = "list"
            else:
                self.kinds[field.name] = "number" if is_number(kind) else "text"
            self.types[field.name] = str(field.type)

    @contextlib.contextmanager
    def _naming(self):
        pa = arrow()
        try:
            yield
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise self.broken(str(error).splitlines()[0]) from None

    def _block(self, batch, first, wanted):
        """Return a record batch as a `Block`."""
        rows = np.arange(first, first + batch.num_rows)
        rejected, keep, columns = {}, np.ones(len(rows), bool), {}
        for name in wanted.numbers:
            column = batch.column(batch.schema.get_field_index(name))
            try:
                columns[name], bad = _numbers(column, wanted.shapes.get(name))
            except InputError as error:
                raise InputError(f"{self.source}: column '{name}': {error}") from None
            for row, reason in bad:
                if keep[row]:
                    keep[row] = False
                    rejected[row] = f"column '{name}': {reason}"
        for name in wanted.others:
            column = batch.column(batch.schema.get_field_index(name))
            columns[name] = _others(column)
        if not rejected:
            return Block(str(self.source), columns, rows)
        found = []
        for row, reason in sorted(rejected.items()):
            others = {name: columns[name][row] for name in wanted.others}
            found.append(Rejected(str(self.source), first + row, f"row {first + row}", reason, None, others))
        kept = np.flatnonzero(keep)
        return Block(str(self.source), {name: column[kept] for name, column in columns.items()}, rows[kept], found)


class ParquetReader(_TableReader):
    """A parquet file, some pages of its columns at a time: row groups may be of any size."""

    def __init__(self, source, settings):
        super().__init__(source, settings)
        arrow()
        import pyarrow.parquet as parquet

        with self._naming():
            if source.path == "-":
                with open_bytes(source) as pipe:
                    self._file = parquet.ParquetFile(arrow().BufferReader(pipe.read()))
            else:
                self._file = parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=READ_BYTES)
            self._take_schema(self._file.schema_arrow)
        self.rows = self._file.metadata.num_rows

    def blocks(self, wanted):
        columns = [*wanted.numbers, *wanted.others]
        sizes = self._group_sizes()
        begin, end = self.source.part or (0, len(sizes))
        first = sum(sizes[:begin])
        with self._naming(), self._file:
            groups = range(begin, end)
            batches = self._file.iter_batches(self._step(), groups, columns=columns, use_threads=False)
            for batch in batches:
                self.reached = first
                yield self._block(batch, first, wanted)
                first += batch.num_rows

    def _group_sizes(self):
        return [self._file.metadata.row_group(n).num_rows for n in range(self._file.metadata.num_row_groups)]

    def parts(self, wanted, rows):
        parts, first, held = [], 0, 0
        sizes = self._group_sizes()
        for number, size in enumerate(sizes, 1):
            held += size
            if held >= rows or number == len(sizes):
                parts.append((first, number))
                first, held = number, 0
        return parts

    def _step(self):
        size = sum(self._file.metadata.row_group(n).total_byte_size for n in range(self._file.metadata.num_row_groups))
        return max(1, min(READ_ROWS, BLOCK_BYTES * max(1, self.rows) // max(1, size)))


class ArrowReader(_TableReader):
    """An Arrow file (Feather, version 2) or stream."""

    def __init__(self, source, settings):
        super().__init__(source, settings)
        with self._naming():
            self._batches, schema = self._open(arrow())
            self._take_schema(schema)

    def _open(self, pa):
        if not (self.source.path != "-" and self.source.is_file):
            self._file = file = open_bytes(self.source)
            head = read_fully(file, 8)
            # a file is these bytes, a stream, and a table of contents
            reader = pa.ipc.open_stream(file if head == b"ARROW1\0\0" else Begun(head, file))
            return iter(reader), reader.schema
        file = pa.memory_map(self.source.path) if self.source.path != "-" else None
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            file.seek(0)
            if file.read(4) == b"FEA1":
                import pyarrow.feather as feather

                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of a format that pyarrow will not read for ever
                    table = feather.read_table(self.source.path)
                return iter(table.to_batches()), table.schema
            file.seek(0)
            reader = pa.ipc.open_stream(file)
            return iter(reader), reader.schema
        return (reader.get_batch(n) for n in range(reader.num_record_batches)), reader.schema

    def blocks(self, wanted):
        first = 0
        with self._naming():
            for batch in self._batches:
                step = max(1, min(READ_ROWS, BLOCK_BYTES * batch.num_rows // max(1, batch.nbytes)))
                for start in range(0, batch.num_rows, step):
                    part = batch.slice(start, step)
                    yield self._block(part, first, wanted)
                    first += part.num_rows
        self.close()


def _numbers(column, shape):
    """Return a column of numbers or of (nested) lists of them, and the rows that cannot be used, with reasons."""
    pa = arrow()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    bad = [(int(row), "found nothing") for row in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))]
    if bad:
        column = _filled(column)
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        inner, more = _numbers(column.flatten(), None)
        bad += [(row // max(1, size), reason) for row, reason in more]
        if not isinstance(inner, Ragged):
            return inner.reshape(len(column), size, *inner.shape[1:]), bad
        return inner, bad
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _ragged(column, bad, shape)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"found a column of {column.type}, expected numbers or lists of them")
    return column.to_numpy(zero_copy_only=False), bad


def _ragged(column, bad, shape):
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    inner, more = _numbers(column.flatten(), shape[1:] if shape else None)
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    bad += [(int(row_of[place]), reason) for place, reason in more]
    if isinstance(inner, Ragged):  # lists of lists: of equal size, as far as they can be used
        size = shape[1] if shape and len(shape) > 1 and shape[1] else (inner.lengths[0] if len(inner) else 0)
        fits = inner.lengths == size
        bad += [(int(row), f"found timesteps that are not of {size} numbers") for row in np.unique(row_of[~fits])]
        values = inner[np.flatnonzero(fits)].values.reshape(-1, size, *inner.values.shape[1:])
        lengths = np.bincount(row_of[fits], minlength=len(lengths))
        return Ragged(values, lengths), bad
    return Ragged(inner, lengths), bad


def _filled(column):
    """Return a column with zeros or empty lists where there was nothing: rows that are dropped."""
    pa = arrow()
    if pa.types.is_nested(column.type):
        return pa.array([[] if value is None else value for value in column.to_pylist()], _list_type(column.type))
    return column.fill_null(False if pa.types.is_boolean(column.type) else 0)


def _list_type(kind):
    pa = arrow()
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind


def _others(column):
    """Return a column for writing beside: numbers as they are, all else as texts that know their type."""
    pa = arrow()
    if column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text, null = typed(column.type)
    texts = np.empty(len(column), object)
    texts[:] = [null if value is None else text(value) for value in column.to_pylist()]
    return texts


# ---------------------------------------------------------------- writing
def write_arrow(path, columns):
    """Write the columns of a `spool.Spool` as an Arrow file."""
    pa = arrow()
    schema, parts = _batches(columns)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for part in parts:
            writer.write_batch(part)


def write_parquet(path, columns):
    """Write the columns of a `spool.Spool` as a parquet file."""
    arrow()
    import pyarrow.parquet as parquet

    schema, parts = _batches(columns)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_batch(part)


def _batches(columns):
    """Return the schema of columns, and an iterator of their record batches."""
    pa = arrow()
    schema = pa.schema([(column.name, _type(column)) for column in columns])

    def parts():
        for values in zip(*(column.parts() for column in columns), strict=True):
            arrays = [_arrow_array(column, part) for column, part in zip(columns, values, strict=True)]
            yield pa.record_batch(arrays, schema=schema)

    return schema, parts()


def _type(column):
    """Return the Arrow type of a column; an output of one number a row is a plain number."""
    pa = arrow()
    kind = column.about["kind"]
    if kind == "text":
        return read_type(column.about["arrow"]) if column.about.get("arrow") else pa.string()
    shape = list(column.shape)
    if kind == "array" and shape == [1]:
        shape = []
    found = pa.from_numpy_dtype(column.dtype)
    for size in reversed(shape):
        found = pa.list_(found, size)
    return pa.list_(found) if kind == "ragged" else found


def _arrow_array(column, part):
    pa = arrow()
    kind = column.about["kind"]
    if kind == "text" and column.about.get("arrow"):
        return from_texts(part.tolist(), _type(column))
    if kind == "text":
        return pa.array(part.tolist(), pa.string())
    values = part.values if kind == "ragged" else part
    array = pa.array(values.reshape(-1))
    shape = list(values.shape[1:])
    for size in reversed([] if kind == "array" and shape == [1] else shape):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    if kind == "ragged":
        offsets = np.concatenate([[0], np.cumsum(part.lengths)]).astype(np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array)
    return array
