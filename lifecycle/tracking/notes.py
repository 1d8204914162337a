r"""Text of others, made harmless for what shows it: Markdown, HTML, a spreadsheet, a terminal.

Case ids, class names and commit messages come from files that others wrote. MLflow's descriptions
render raw HTML and fetch images that they name; a right-to-left override turns the text round that
follows it; a spreadsheet computes a cell that begins with `=`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.domain import sheets

LONGEST_NOTE = 7900  # characters; MLflow cuts longer tags at 8,000, in silence
_GAP = 2 * "\N{NO-BREAK SPACE}"  # MLflow draws tables without space between their columns
_MARKUP = frozenset("&<>[]!*_|\\`~#$^{}@")


def plain(text: str) -> str:
    r"""The text with every character that cannot be seen as its escape, `\u202e`.

    Control, format (bidirectional, zero width), surrogate, private and unassigned characters, ends
    of lines and paragraphs, and every space but the plain one.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def markdown(text: str) -> str:
    """The text as Markdown that says it and does nothing: no markup, link, image or new line."""
    seen = "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in plain(text))
    return seen.replace("://", "&#58;//").replace("www.", "www&#46;")


def cell(text: str) -> str:
    """The text as a table of MLflow and a spreadsheet show it: all of it seen, never a formula."""
    return sheets.cell(plain(text))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; every cell is made harmless here, the head is ours."""
    safe = [[markdown(text) + _GAP for text in row] for row in rows]
    lines = ([name + _GAP for name in head], ["---"] * len(head), *safe)
    return [f"| {' | '.join(line)} |" for line in lines]


def within(lines: Sequence[str], rest: str, longest: int = LONGEST_NOTE) -> str:
    """Lines joined, the last ones left out where they are too many.

    Args:
        lines: of a note.
        rest: said in the place of what is left out; `{}` is the number of lines.
        longest: characters that the result may have.
    """
    for kept in range(len(lines), -1, -1):
        left = len(lines) - kept
        text = "\n".join([*lines[:kept], *([rest.format(left)] if left else [])])
        if len(text) <= longest:
            return text
    return ""


def as_csv(rows: Sequence[Mapping[str, object]], head: Sequence[str]) -> str:
    """Rows as CSV for people: text is made harmless, numbers stay exact, None is empty."""
    return sheets.sheet(
        [list(map(plain, head)), *([_seen(row[name]) for name in head] for row in rows)]
    )


def _seen(value: object) -> object:
    return plain(value) if isinstance(value, str) else value


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
