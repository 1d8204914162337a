"""Names of cases, patients and classes: two that look alike must be alike.

One patient written in two ways (a blank at the end, an accent composed or combined, an invisible
character) would count twice, and the bounds would be too good.
"""

from __future__ import annotations

import unicodedata


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
