"""Parquet files, read within a bound: a text that stands once in a file may stand in every row.

Nothing is asked of Arrow's metadata of row groups and columns: on some damaged files these answers
end the whole process, where no `except` helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle.dossier.packed import require_size
from lifecycle.errors import UnusableInputError

_ROWS = 1 << 14  # of one step


class NoParquetError(ValueError):
    """The bytes are no Parquet file, or a torn one; the message says what Arrow says."""


def table_in(data: bytes, name: str) -> Any:
    """The table that a Parquet file's bytes hold.

    Texts are read as a list of the different ones and a number a row, and spread over the rows once
    it is known how long they are together. One thread, on Arrow's own buffer: a worker that still
    holds a Python object while the interpreter ends aborts the process (apache/arrow#34314).

    Raises:
        NoParquetError: they hold none.
        UnusableInputError: a column holds something else than numbers or text, or the table takes
            more memory than it may; names `name`, the limit and how to raise it.
    """
    try:
        schema = pq.ParquetFile(pa.BufferReader(data)).schema_arrow
        texts = {field.name for field in schema if _is_text(_plain(field, name))}
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=sorted(texts))
        batches = list(_batches(file, len(data), name))
        if not batches:
            return schema.empty_table()
        table = _spread(pa.Table.from_batches(batches), schema, texts, len(data), name)
        table.validate(full=True)  # texts are UTF-8, among others
        return table
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise NoParquetError(" ".join(str(error).split())[:200]) from None


def _plain(field: Any, name: str) -> Any:
    """The type of a column's values.

    Raises:
        UnusableInputError: lists, records and bytes of one length, whose rows have no bounded size.
    """
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_nested(kind) or not (
        pa.types.is_primitive(kind) or pa.types.is_null(kind) or pa.types.is_decimal(kind)
        or _is_text(kind)
    ):  # fmt: skip
        raise UnusableInputError(
            f"{name}, column {field.name!r} holds {kind}, neither numbers nor text; write the file "
            "without it"
        )
    return kind


def _is_text(kind: Any) -> bool:
    one_of = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(is_kind(kind) for is_kind in (*one_of, pa.types.is_large_binary))


def _batches(file: Any, packed: int, name: str) -> Iterator[Any]:
    """The rows, some at a time, as long as they fit into the bound."""
    size = 0
    for batch in file.iter_batches(_ROWS, use_threads=False):
        size += batch.nbytes
        require_size(size, packed, name)
        yield batch


def _spread(table: Any, schema: Any, texts: set[str], packed: int, name: str) -> Any:
    """Texts in every row that has them."""
    chunks = [chunk for text in texts for chunk in table.column(text).chunks]
    require_size(table.nbytes + sum(map(_length, chunks)), packed, name)
    for at, field in enumerate(schema):
        if field.name in texts:
            column = table.column(at).cast(_plain(field, name))
            table = table.set_column(at, field.name, column)
    return table.replace_schema_metadata(schema.metadata)


def _length(chunk: Any) -> int:
    """Bytes of a chunk's texts, each as often as it stands there."""
    if not pa.types.is_dictionary(chunk.type):
        return 0  # in the bound already
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
    return pc.sum(lengths).as_py() or 0
