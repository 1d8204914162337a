"""Parquet files, read within a bound: a text that stands once in a file may stand in every row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle.dossier.packed import largest, require_size

_WIDTH = 8  # bytes of a number in memory


class NoParquetError(ValueError):
    """The bytes are no Parquet file, or a torn one; the message says what Arrow says."""


def table_in(data: bytes, name: str) -> Any:
    """The table that a Parquet file's bytes hold.

    One thread, on Arrow's own buffer: a worker that still holds a Python object while the
    interpreter ends aborts the process (apache/arrow#34314).

    Raises:
        NoParquetError: they hold none.
        UnusableInputError: it takes more memory than it may; names `name`, the limit and how to
            raise it.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        _require_bound(file.metadata, data, name)
        texts = _dense_texts(file, len(data))
        if not texts:
            return file.read(use_threads=False)
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts).read(use_threads=False)
        return _spread(table, texts, len(data), name)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        if isinstance(error, NoParquetError):
            raise
        raise NoParquetError(" ".join(str(error).split())[:200]) from None


def _require_bound(about: Any, data: bytes, name: str) -> None:
    """By what the file says of itself: packed columns, and numbers a row."""
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    packed = sum(max(0, one.total_byte_size) for one in groups)
    require_size(max(packed, about.num_rows * about.num_columns * _WIDTH), len(data), name)


def _dense_texts(file: Any, packed: int) -> list[str]:
    """Columns of text that may take more than the bound, if every row has its longest text."""
    about, limit = file.metadata, largest(packed)
    sizes: dict[str, int] = {}
    for i in range(about.num_row_groups):
        group = about.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            worst = column.total_uncompressed_size * max(1, group.num_rows)
            sizes[column.path_in_schema] = sizes.get(column.path_in_schema, 0) + worst
    texts = {f.name for f in file.schema_arrow if pa.types.is_string(f.type)}
    return [name for name, worst in sizes.items() if name in texts and worst > limit]


def _spread(table: Any, texts: list[str], packed: int, name: str) -> Any:
    """Texts in every row that has them, once it is known how long they are together."""
    size = sum(_length(chunk) for text in texts for chunk in table.column(text).chunks)
    require_size(size, packed, name)
    for text in texts:
        at = table.column_names.index(text)
        table = table.set_column(at, text, table.column(text).cast(pa.string()))
    return table


def _length(chunk: Any) -> int:
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
    return pc.sum(lengths).as_py() or 0
