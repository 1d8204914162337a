"""Tables that people open in a spreadsheet: none of their cells is run as a formula.

Names of cases, patients and classes come from files that others wrote, and a spreadsheet computes
what begins with `=`. Every table that we write for people is guarded here and nowhere else. Files
that are read back (predictions for exchange, `parts.csv`) keep every character; a name that would
be run is refused where it comes in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_SIGNS = "=+-@"
_BREAKS = "\t\r\n"  # a cell that begins with one is split, and what follows is read anew
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet might run the text instead of showing it.

    It begins with = + - or @, also in full width and also behind blanks and characters that cannot
    be seen, or with a tab or an end of line. A plain number such as -1.5 is none.
    """
    if _NUMBER.fullmatch(text):
        return False
    for char in text:
        if char in _BREAKS:
            return True
        if char.isprintable() and not char.isspace():
            return unicodedata.normalize("NFKC", char) in _SIGNS
    return False


def fault_in_sheets(text: str) -> str | None:
    """What is wrong with the name of a case, patient or slide that comes in, or None.

    Names stand in files that are read back, where none of their characters may be changed, and
    people open those too.
    """
    return "a spreadsheet would run it as a formula" if is_formula(text) else None


def cell(text: str) -> str:
    """The text as a spreadsheet shows it: with a `'` before it where it would be run."""
    return f"'{text}" if is_formula(text) else text


def sheet(rows: Iterable[Sequence[object]]) -> str:
    """Rows, the head among them, as CSV for people: numbers stay exact, None is empty."""
    return csv_text([_value(value) for value in row] for row in rows)


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows of several cells as CSV that reads back to them, for programs: no cell is guarded.

    The writer of the standard library leaves a lone end of line within a cell bare, and the rest of
    the cell would be read as a row of its own.
    """
    return "".join(",".join(map(_quoted, row)) + "\n" for row in rows)


def _quoted(text: str) -> str:
    if any(char in text for char in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _value(value: object) -> str:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else cell(str(value))
