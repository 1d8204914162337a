"""Names of cases, patients and classes, and the words that stand in a class's place.

Two names that look alike must be alike: one patient written in two ways (a blank at the end, an
accent composed or combined, an invisible character) would count twice, and the bounds would be too
good. And no class may have the name of what is said where no class is called.
"""

from __future__ import annotations

import unicodedata

# What a case is said to be: its classes joined by `JOINT`, or one of the two words.
JOINT = "|"
NONE = "none"  # every class is ruled out
INCONCLUSIVE = "inconclusive"  # no class is called, and not every one is ruled out

# Columns of a predictions file that are no classes.
RESERVED = ("case_id", "patient_id", "group_id", "label")
SUBGROUP = "subgroup:"


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
