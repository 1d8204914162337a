"""Tables of measurements and of cases: CSV, TSV and Parquet, gzip too, read strictly.

A fast reader (Apache Arrow, whose decimals are correctly rounded) takes the file; where it refuses,
a slow one walks through the lines to say which line, column and text is at fault.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from lifecycle.domain.digests import sha256
from lifecycle.dossier.packed import DamagedError, gunzip
from lifecycle.dossier.parquet import table_in
from lifecycle.errors import UnusableInputError

MISSING = frozenset({"", "NA", "NaN", "nan"})
_SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "bar": "|"}
_BY_EXTENSION = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_HEADER = re.compile(rb"(?:[ \t]*\n)*([^\n]*)(?:\n|\Z)")
_NUMBER = re.compile(
    r"[ \t]*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan)[ \t]*", re.I | re.A
)
_DECIMAL_COMMA = re.compile(r"[ \t]*[+-]?\d+,\d+[ \t]*", re.A)
_LARGEST_BLOCK = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Some columns of a table.

    Attributes:
        text: column name -> cells without outer blanks.
        values: (rows, number columns) float64; missing cells are NaN.
    """

    text: dict[str, tuple[str, ...]]
    values: NDArray[np.float64]


class Table(Protocol):
    """A table that was opened and whose column names are unique."""

    @property
    def name(self) -> str:
        """The file as the laboratory wrote it in params.yaml."""

    @property
    def header(self) -> tuple[str, ...]:
        """Column names in file order."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes."""

    def first_column(self) -> tuple[str, ...]:
        """Cells of the first column, as text."""

    def rows(self, names: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """Rows found by their first cell: name -> cells in header order, as text."""

    def cells(
        self, text: Sequence[str], numbers: Sequence[str], skip: frozenset[str] = frozenset()
    ) -> Cells:
        """Columns as text and as numbers, without the rows whose first cell is in `skip`."""


def open_table(path: Path, name: str, separator: str | None = None) -> Table:
    """Open a CSV, TSV or Parquet table, plain or gzipped.

    Args:
        path: the file.
        name: what messages call it.
        separator: one character, or `tab`; by default from the extension (.csv, .tsv, .tab), else
            the one of comma, tab, semicolon and bar that gives the header the most columns.

    Raises:
        UnusableInputError: missing, a folder, unreadable, empty, torn, not UTF-8, a single column,
            a column without a name or two of one name.
    """
    raw = _file_bytes(path, name)
    digest = sha256(raw)
    if path.suffix.lower() in (".parquet", ".pq") or raw[:4] == b"PAR1":
        return _open_parquet(raw, name, digest)
    plain, inner = _unzipped(raw, path, name)
    data = _clean_text(plain, name)
    return _open_text(data, name, digest, _separator(separator, inner, data, name))


def similar(wanted: str, names: Sequence[str]) -> str:
    """A hint for a name that does not exist: the closest names, else the first few."""
    folded = {one.lower(): one for one in reversed(names)}
    close = difflib.get_close_matches(wanted.lower(), list(folded), n=3, cutoff=0.6)
    if close:
        return "similar: " + ", ".join(repr(folded[one]) for one in close)
    shown = ", ".join(repr(one) for one in names[:5])
    return f"there are: {shown}{', ...' if len(names) > 5 else ''}"


def _file_bytes(path: Path, name: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UnusableInputError(f"{name} does not exist; check `path`") from None
    except IsADirectoryError:
        raise UnusableInputError(f"{name} is a folder; a table file is needed") from None
    except OSError as error:
        raise UnusableInputError(f"{name} cannot be read: {error.strerror}") from None
    if not data:
        raise UnusableInputError(f"{name} is empty")
    return data


def _unzipped(raw: bytes, path: Path, name: str) -> tuple[bytes, str]:
    """Plain bytes, and the extension that stands before `.gz`."""
    zipped = raw[:2] == b"\x1f\x8b"
    if path.suffix.lower() != ".gz":
        return (_gunzip(raw, name) if zipped else raw), path.suffix.lower()
    if not zipped:
        raise UnusableInputError(f"{name} is called .gz but is not a gzip file")
    return _gunzip(raw, name), Path(path.stem).suffix.lower()


def _gunzip(raw: bytes, name: str) -> bytes:
    try:
        return gunzip(raw, name)
    except DamagedError as error:
        state = "torn" if error.torn else "damaged"
        raise UnusableInputError(f"{name} is {state}: {error}; fetch the file again") from None


def _clean_text(data: bytes, name: str) -> bytes:
    """UTF-8 without a byte order mark, lines ended by a newline."""
    if data[:4] == b"PK\x03\x04":
        raise UnusableInputError(f"{name} is a zip or spreadsheet file; save the sheet as CSV")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnusableInputError(f"{name} is UTF-16; save it as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.strip():
        raise UnusableInputError(f"{name} is empty")
    _require_utf8(data, name)
    return data


def _require_utf8(data: bytes, name: str) -> None:
    null = data.find(b"\0")
    if null >= 0:
        line = data.count(b"\n", 0, null) + 1
        raise UnusableInputError(f"{name}, line {line}: a NUL byte; this is not a text table")
    try:
        if not data.isascii():
            data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise UnusableInputError(f"{name}, line {line}: {found}; save it as UTF-8") from None


def _separator(given: str | None, extension: str, data: bytes, name: str) -> str:
    if given is not None:
        character = {"tab": "\t", "\\t": "\t"}.get(given, given)
        if len(character) != 1 or not character.isascii() or character in '"\r\n':
            raise UnusableInputError(
                f"separator {given!r} for {name}: give one character, or `tab`"
            )
        return character
    return _BY_EXTENSION.get(extension) or _best_separator(_header_line(data), name)


def _header_line(data: bytes) -> str:
    match = _HEADER.match(data)
    return match[1].decode("utf-8") if match else ""


def _best_separator(line: str, name: str) -> str:
    """The separator that gives a header the most columns; comma for a single column."""
    return max(_SEPARATORS.values(), key=lambda one: len(_split(line, one, name)))


def _split(line: str, separator: str, name: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error as error:
        raise UnusableInputError(f"{name}: {error}; this is not a table of cases") from None


def _open_text(data: bytes, name: str, digest: str, separator: str) -> TextTable:
    line = _header_line(data)
    _require_closed(name, 1, line)
    header = tuple(cell.strip() for cell in _split(line, separator, name))
    if len(header) == 1:
        raise UnusableInputError(
            f"{name} has a single column; {_separator_hint(line, separator, name)}"
        )
    _require_names(header, name)
    match = _HEADER.match(data)
    end = match.end() if match else len(data)
    return TextTable(name, header, digest, separator, data, end)


def _require_closed(name: str, line: int, text: str) -> None:
    """Quotation marks are closed on their line."""
    if text.count('"') % 2:
        raise UnusableInputError(f"{name}, line {line}: a quotation mark is missing or too many")


def _separator_hint(line: str, used: str, name: str) -> str:
    best = _best_separator(line, name)
    if best == used or len(_split(line, best, name)) == 1:
        blanks = len(line.split()) > 1
        return "save it with commas or tabs" if blanks else "a table of cases and features has more"
    said = {character: word for word, character in _SEPARATORS.items()}
    shown = "tab" if best == "\t" else best
    return f'its separator seems to be the {said[best]}: set `separator: "{shown}"`'


def _require_names(header: Sequence[str], name: str) -> None:
    """Every column but the first needs a name of its own (R leaves the first one empty)."""
    for position, column in enumerate(header[1:], start=2):
        if not column:
            raise UnusableInputError(f"{name}: column {position} has no name")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        first, second = [i for i, column in enumerate(header, 1) if column == twice[0]][:2]
        more = f" ({len(twice)} names occur more than once)" if len(twice) > 1 else ""
        raise UnusableInputError(
            f"{name}: columns {first} and {second} are both called {twice[0]!r}{more}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class TextTable:
    """CSV or TSV held in memory; `body` is where the line after the header begins."""

    name: str
    header: tuple[str, ...]
    digest: str
    separator: str
    data: bytes
    body: int

    def first_column(self) -> tuple[str, ...]:
        """Cells of the first column, as text."""
        return self.cells([self.header[0]], []).text[self.header[0]]

    def rows(self, names: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """Rows found by their first cell: name -> cells in header order, as text."""
        if not names:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for match in _row_pattern(names, self.separator).finditer(self.data, self.body):
            line = self.data.count(b"\n", 0, match.start()) + 1
            cells = self._row(line, match[0].decode("utf-8"))
            if cells[0] in found:
                raise UnusableInputError(f"{self.name}: two rows are called {cells[0]!r}")
            found[cells[0]] = cells
        return found

    def _row(self, line: int, text: str) -> tuple[str, ...]:
        _require_closed(self.name, line, text)
        cells = tuple(cell.strip() for cell in _split(text, self.separator, self.name))
        if len(cells) != len(self.header):
            raise self._wrong_count(line, len(cells))
        return cells

    def cells(
        self, text: Sequence[str], numbers: Sequence[str], skip: frozenset[str] = frozenset()
    ) -> Cells:
        """Columns as text and as numbers, without the rows whose first cell is in `skip`.

        Raises:
            UnusableInputError: a row with too many or too few cells, or text in a number column.
        """
        body = memoryview(self.data)[self.body :]
        if skip:
            body = memoryview(_row_pattern(skip, self.separator).sub(b"", bytes(body)))
        if not bytes(body[:4096]).strip() and not bytes(body).strip():
            raise UnusableInputError(f"{self.name} has a header and no rows")
        try:
            table = self._parsed(body, text, numbers)
        except pa.ArrowInvalid as error:
            self._explain(frozenset(numbers), skip)
            said = " ".join(str(error).split())[:300]
            odd = "; a quotation mark is missing or too many" if self.data.count(b'"') % 2 else ""
            raise UnusableInputError(f"{self.name} cannot be read: {said}{odd}") from None
        return _cells(table, text, numbers)

    def _parsed(self, body: memoryview, text: Sequence[str], numbers: Sequence[str]) -> Any:
        types = {**dict.fromkeys(text, pa.string()), **dict.fromkeys(numbers, pa.float64())}
        return pacsv.read_csv(
            pa.py_buffer(body),
            # One block: rows of half a million columns would not fit into the default one.
            read_options=pacsv.ReadOptions(
                use_threads=False,
                column_names=list(self.header),
                block_size=min(len(body) + 1, _LARGEST_BLOCK),
            ),
            parse_options=pacsv.ParseOptions(delimiter=self.separator, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=[*text, *numbers],
                null_values=sorted(MISSING),
                strings_can_be_null=False,
            ),
        )

    def _explain(self, numbers: frozenset[str], skip: frozenset[str]) -> None:
        """Raise for the first line at fault."""
        places = [i for i, column in enumerate(self.header) if column in numbers]
        for line, row in self._lines():
            if row[0].strip() in skip:
                continue
            if len(row) != len(self.header):
                raise self._wrong_count(line, len(row))
            for i in places:
                if row[i] not in MISSING and not _NUMBER.fullmatch(row[i]):
                    where = f"{self.name}, line {line}, column {self.header[i]!r}"
                    raise _not_a_number(where, row[i])

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        """Non-empty rows after the header, each with the number of its first line."""
        before = self.data.count(b"\n", 0, self.body)
        text = io.StringIO(self.data[self.body :].decode("utf-8"), newline="\n")
        reader = csv.reader(text, delimiter=self.separator)
        line = before + 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = before + reader.line_num + 1
        except csv.Error as error:
            raise UnusableInputError(f"{self.name}, line {line}: {error}") from None

    def _wrong_count(self, line: int, count: int) -> UnusableInputError:
        wrong = "too many" if count > len(self.header) else "too few"
        return UnusableInputError(
            f"{self.name}, line {line} has {wrong} cells: {count}, and the header has "
            f"{len(self.header)}"
        )


def _row_pattern(names: frozenset[str], separator: str) -> re.Pattern[bytes]:
    """Whole lines whose first cell is one of some names."""
    either = "|".join(re.escape(name) for name in sorted(names))
    first = f'^(?:(?:{either})|"(?:{either})")(?={re.escape(separator)})[^\n]*(?:\n|\\Z)'
    return re.compile(first.encode("utf-8"), re.M)


def _not_a_number(where: str, cell: str) -> UnusableInputError:
    shown = cell if len(cell) <= 60 else cell[:57] + "..."
    cure = "correct the cell, or list the column under `drop` or `subgroups` if it is no feature"
    if _DECIMAL_COMMA.fullmatch(cell):
        cure = "write decimals with a point"
    if "\n" in cell:
        cure = "a quotation mark is missing or too many"
    return UnusableInputError(f"{where}: {shown!r} is not a number; {cure}")


def _cells(table: Any, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    columns = {
        name: tuple((cell or "").strip() for cell in table.column(name).to_pylist())
        for name in text
    }
    if not numbers:
        return Cells(columns, np.empty((table.num_rows, 0)))
    batch = table.select(list(numbers)).combine_chunks().to_batches()[0]
    values = batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return Cells(columns, np.asarray(values, dtype=np.float64))


def _open_parquet(raw: bytes, name: str, digest: str) -> ParquetTable:
    try:
        table = table_in(raw, name)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise UnusableInputError(
            f"{name} is torn or no Parquet file: {said}; write it again"
        ) from None
    if table.num_columns < 2:
        raise UnusableInputError(f"{name}: a table of cases and features has more than one column")
    _require_names(table.column_names, name)
    return ParquetTable(name, tuple(table.column_names), digest, table)


@dataclass(frozen=True, slots=True, eq=False)
class ParquetTable:
    """A Parquet table held in memory."""

    name: str
    header: tuple[str, ...]
    digest: str
    table: Any

    def first_column(self) -> tuple[str, ...]:
        """Cells of the first column, as text."""
        return self._text(self.header[0])

    def rows(self, names: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """Rows found by their first cell: name -> cells in header order, as text."""
        found: dict[str, tuple[str, ...]] = {}
        first = self.first_column() if names else ()
        for row, cell in enumerate(first):
            if cell in found:
                raise UnusableInputError(f"{self.name}: two rows are called {cell!r}")
            if cell in names:
                cells = self.table.slice(row, 1).to_pylist()[0]
                found[cell] = tuple(_as_text(cells[column]) for column in self.header)
        return found

    def cells(
        self, text: Sequence[str], numbers: Sequence[str], skip: frozenset[str] = frozenset()
    ) -> Cells:
        """Columns as text and as numbers, without the rows whose first cell is in `skip`.

        Raises:
            UnusableInputError: no rows, or a number column that holds something else.
        """
        kept = [i for i, cell in enumerate(self.first_column()) if cell not in skip]
        if not kept:
            raise UnusableInputError(f"{self.name} has no rows")
        columns = {name: self._text(name) for name in text}
        values = np.empty((len(kept), len(numbers)))
        for j, name in enumerate(numbers):
            values[:, j] = self._number(name, kept)
        return Cells(
            {name: tuple(cells[i] for i in kept) for name, cells in columns.items()}, values
        )

    def _text(self, name: str) -> tuple[str, ...]:
        return tuple(_as_text(cell) for cell in self.table.column(name).to_pylist())

    def _number(self, name: str, kept: list[int]) -> NDArray[np.float64]:
        column = self.table.column(name).take(kept)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return np.array([self._parsed(name, i, c) for i, c in zip(kept, column, strict=True)])
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise UnusableInputError(
                f"{self.name}, column {name!r} holds {column.type}, not numbers; list it under "
                "`drop` or `subgroups` if it is no feature"
            )
        return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)

    def _parsed(self, name: str, row: int, scalar: Any) -> float:
        cell = scalar.as_py() or ""
        if cell in MISSING:
            return float("nan")
        if not _NUMBER.fullmatch(cell):
            raise _not_a_number(f"{self.name}, row {row + 1}, column {name!r}", cell)
        return float(cell)


def _as_text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
