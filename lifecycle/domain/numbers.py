"""Numbers as people write them in files and on the command line: plain ASCII, or refused.

Python reads the digits of every script, and underscores between them: `٠.٩` would be 0.9 to us and
text to the next program. A number that two programs read in two ways is none.
"""

from __future__ import annotations


def is_plain(text: str) -> bool:
    """Whether a text could be a number in plain ASCII."""
    return text.isascii() and "_" not in text


def plain_float(text: str) -> float:
    """A number in plain ASCII.

    Raises:
        ValueError: it is none.
    """
    if not is_plain(text):
        raise ValueError(f"{text!r} is no number in plain ASCII")
    return float(text)
