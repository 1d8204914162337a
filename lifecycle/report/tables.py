"""What a table of the report is, before it becomes HTML: one macro renders them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lifecycle.report.text import flat

Kind = Literal["", "pass", "fail", "inconclusive", "code", "strong", "call", "diff"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: what stands there.
        small: a second line, smaller.
        lines: stands instead of `text` where there is more than one thing to say.
        kind: how it looks; never the only carrier of a meaning.
    """

    text: str
    small: str = ""
    lines: tuple[str, ...] = ()
    kind: Kind = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; the first column names the row.

    Attributes:
        caption: what it shows.
        head: column headings.
        rows: as many cells each as there are headings.
        left: columns that hold text (by index); the others hold numbers.
        note: a line under it.
        wide: so many columns that small print is needed.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: frozenset[int] = frozenset((0,))
    note: str = ""
    wide: bool = False

    def __post_init__(self) -> None:
        """Every row fits its headings.

        Raises:
            ValueError: one does not; a fault of ours.
        """
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{self.caption}: {len(row)} cells under {len(self.head)} heads")


def table(
    caption: str,
    head: Iterable[str],
    rows: Iterable[Iterable[Cell | str]],
    left: Iterable[int] = (0,),
    note: str = "",
    wide: bool = False,
) -> Table:
    """A table of cells, with plain text made into cells."""
    cells = tuple(
        tuple(item if isinstance(item, Cell) else Cell(item) for item in row) for row in rows
    )
    return Table(caption, tuple(head), cells, frozenset(left), note, wide)


def record_table(
    caption: str, record: Mapping[str, Any], heads: tuple[str, str] = ("what", "value")
) -> Table:
    """A record laid flat, one line a value."""
    rows = [(place, Cell(text, kind="code")) for place, text in flat(record)]
    return table(caption, heads, rows, (0, 1))
