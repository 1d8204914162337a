r"""Words and numbers as a person may safely read them.

Names of cases and classes come from files that others wrote: a right-to-left override turns the
text round that follows it, a zero-width space makes two names look like one. Such characters are
printed as escapes (`\u202e`), everywhere, before the markup is escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

# Control, format (bidi, zero width), surrogate, private, unassigned, line and paragraph ends.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"  # no figure could be taken
_DECIMALS = (4, 6, 9, 12, 17)
ROUND_OFF = 1e-12  # no count of cases makes a share as near to 0 or 1 as this
DEEPEST = 6  # levels of a record that are laid flat; deeper ones are cut, and say so


def visible(text: str, keep: str = "") -> str:
    """The text with every character that cannot be seen as its escape, other spaces included.

    Args:
        text: anything.
        keep: characters that stay as they are.
    """
    return "".join(c if c in keep or not _is_hidden(c) else _escape(c) for c in text)


def _is_hidden(char: str) -> bool:
    category = unicodedata.category(char)
    return category in _HIDDEN or (category == "Zs" and char != " ")


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def finalize(value: object) -> object:
    """What jinja prints of a value: markup of ours keeps its line ends, text shows everything."""
    if isinstance(value, Markup):
        return Markup(visible(str(value), keep="\n\t"))  # noqa: S704  # was markup before
    return visible(str(value))


def css_string(text: str) -> Markup:
    """A quoted CSS string that nothing can end: all but ASCII letters and digits is escaped."""
    safe = "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x} " for c in visible(text))
    return Markup(f'"{safe}"')  # noqa: S704  # letters, digits, backslashes, spaces


def short(text: str, most: int = 28) -> str:
    """At most `most` characters of the visible text, for the inside of a figure."""
    seen = visible(text)
    return seen if len(seen) <= most else seen[: most - 1] + "…"


def number(value: float | None, against: Iterable[float] = ()) -> str:
    """A figure in as many decimals (at least 4) as keep it on its side of some limits.

    0.94996 beside a limit of 0.95 is printed as 0.949960, never as 0.9500; a number below 1 is
    never printed as 1.
    """
    if value is None:
        return NOTHING
    value = float(value)
    if value.is_integer():
        return f"{value:,.0f}"
    sides = (*against, 1.0, 0.0)
    for places in _DECIMALS:
        printed = float(f"{value:.{places}f}")
        if all(_side(printed, side) == _side(value, side) for side in sides):
            return f"{value:.{places}f}"
    return repr(value)


def _side(value: float, limit: float) -> int:
    return (value > limit) - (value < limit)


def percent(share: float | None) -> str:
    """A share in percent; what is not quite 100% or 0% is not printed as that."""
    if share is None:
        return NOTHING
    if min(abs(share), abs(1 - share)) < ROUND_OFF:
        return f"{100 * share:.0f}%"
    for places in (2, 4, 6):
        text = f"{100 * share:.{places}f}"
        if 0.0 < float(text) < 100.0:
            return text + "%"
    return f"{100 * share!r}%"


def plainly(share: float) -> str:
    """A share in percent for a sentence, without trailing zeros: 0.975 is `97.5%`."""
    return f"{100 * share:.6g}%"


def many(n: int, one: str, more: str | None = None) -> str:
    """`1 case`, `2 cases`, `1,204 cases`."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names as a phrase: `a, b and c`; beyond `most` the rest is counted."""
    found = list(names)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most:,} more"
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"


def flat(
    value: Any, path: str = "", depth: int = 0, rounded: bool = False
) -> list[tuple[str, str]]:
    """A record as (place, text) rows, `machine.cpu`; lists of plain values on one line.

    Numbers are exact, or `rounded` as `number` prints them.
    """
    if isinstance(value, Mapping) and depth < DEEPEST:
        rows = []
        for key, item in value.items():
            rows += flat(item, f"{path}.{key}" if path else str(key), depth + 1, rounded)
        return rows
    return [(path, number(value) if rounded and isinstance(value, float) else _plain(value))]


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, (Mapping, list, tuple)) for item in value):
            return many(len(value), "entry", "entries")
        return listed((_plain(item) for item in value), 40) or "(none)"
    if isinstance(value, Mapping):
        return many(len(value), "entry", "entries")
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, float) else str(value)
