"""Names of cases, patients and classes, and the words that stand in a class's place.

Two names that look alike must be alike: one patient written in two ways (a blank at the end, an
accent composed or combined, an invisible character) would count twice, and the bounds would be too
good. And no class may have the name of what is said where no class is called.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# What a case is said to be: its classes joined by `JOINT`, or one of the two words.
JOINT = "|"
NONE = "none"  # every class is ruled out
INCONCLUSIVE = "inconclusive"  # no class is called, and not every one is ruled out

# Columns of a predictions file that are no classes.
RESERVED = ("case_id", "patient_id", "group_id", "label")
SUBGROUP = "subgroup:"

# Letters, then one whole number: `p-012`, `12`, and `12.0`, which a spreadsheet makes of 12.
_NUMBERED = re.compile(r"([^0-9]*?)0*([0-9]+)(?:\.0*)?")


def fault_of_name(text: str) -> str | None:
    """What is wrong with a name, or None.

    Holds: a name without fault is printable, has no blank at its ends and is in Unicode's composed
    form (NFC).
    """
    if text != text.strip():
        return "it begins or ends with a blank"
    if not text.isprintable():
        return "it holds a character that cannot be printed"
    if unicodedata.normalize("NFC", text) != text:
        return "its accents are not in the composed form (NFC)"
    return None


def fault_of_class(text: str) -> str | None:
    """What is wrong with the name of a class, or None.

    Holds: a name without fault is one without fault for `fault_of_name`, and cannot be taken for
    several classes, for no class, or for another column.
    """
    if JOINT in text:
        return f"`{JOINT}` joins the classes of a multi-label case"
    if text.casefold() in (NONE, INCONCLUSIVE):
        return f"a case without a class is called `{NONE}` or `{INCONCLUSIVE}`"
    if text in RESERVED or text.startswith(SUBGROUP):
        return "a column of the predictions file has this name"
    return fault_of_name(text)


def spelling_aside(text: str) -> str:
    """A name without what two spellings of one name differ in.

    Letter case, blanks, kinds of dashes and digits, full-width and other forms of a letter; and of
    a name that ends in its only whole number the zeros before it and a `.0` behind it, so that 12,
    012 and 12.0 are one.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join(_plain(char) for char in folded if not char.isspace())
    found = _NUMBERED.fullmatch(plain)
    return plain if found is None else found[1] + found[2]


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Pd" or char == "\N{MINUS SIGN}":
        return "-"
    return str(unicodedata.decimal(char, char))


def twins(names: Iterable[str], others: Iterable[str] = ()) -> tuple[str, str] | None:
    """Two names that differ in their spelling only, or None; empty names are none.

    Args:
        names: where the second of the two stands.
        others: names that stand elsewhere; they are not held against each other.
    """
    known = {spelling_aside(name): name for name in dict.fromkeys(others) if name}
    for name in dict.fromkeys(names):
        if name and known.setdefault(spelling_aside(name), name) != name:
            return known[spelling_aside(name)], name
    return None


def fault_of_twins(kind: str, names: Iterable[str], others: Iterable[str] = ()) -> str | None:
    """What is wrong with some patients or groups together, or None.

    One patient or slide that is written in two ways counts as two, and could stand on two sides of
    the split.

    Args:
        kind: `patient` or `group`.
        names: as they stand in the file.
        others: names of another file that belongs to it.
    """
    found = twins(names, others)
    if found is None:
        return None
    return (
        f"{kind} {found[0]!r} and {kind} {found[1]!r} differ only in how they are written (letter "
        "case, blanks, dashes, zeros before a number or `.0` behind it): write the name in one "
        "way, or, where they are two, name one of them quite differently"
    )
