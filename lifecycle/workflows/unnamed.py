"""The last look at a report without identifiers, before anything is written: does it name anyone?

The page is read as its reader sees it: text by text and attribute by attribute, escapes undone,
each with the heading above it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser

from lifecycle.errors import UnusableInputError
from lifecycle.workflows.mentions import Names, legible

_HEADINGS = ("h1", "h2", "h3", "caption", "figcaption")
_CSS = re.compile(r"\\([0-9a-fA-F]{6}) ")
_SHOWN = 3  # places in a message
_LONG = 80  # characters of a text in a message
Text = tuple[str, str]  # its place, and what stands there


class _Reader(HTMLParser):
    """The texts of a page, each with its place."""

    def __init__(self, place: str) -> None:
        super().__init__(convert_charrefs=True)
        self.place, self.under = place, ""
        self.heading = False
        self.texts: list[Text] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a heading, and take the attributes."""
        if tag in _HEADINGS:
            self.heading, self.under = True, ""
        self.texts += [(self._where(f"attribute {key!r}"), value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """A heading is complete."""
        self.heading = self.heading and tag not in _HEADINGS

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self.heading:
            self.under += data
        self.texts.append((self._where(), _CSS.sub(_character, data)))

    def handle_comment(self, data: str) -> None:
        """Nobody sees a comment, and anybody can read it."""
        self.texts.append((self._where("a comment"), data))

    def _where(self, what: str = "") -> str:
        under = " ".join(self.under.split())[:_LONG]
        parts = (self.place, f"under {under!r}" if under else "", what)
        return ", ".join(part for part in parts if part)


def _character(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def require_unnamed(
    name: str, names: Names, page: str, figures: Mapping[str, str], table: str
) -> None:
    """Neither page nor figures nor table name a case, patient or slide.

    Args:
        name: of the classifier.
        names: those that can be told from words and figures.
        page: HTML.
        figures: name -> SVG.
        table: CSV.

    Raises:
        UnusableInputError: one of them does; names the place and the text.
    """
    texts = list(_texts(page, figures, table))
    found = list(_named(texts, names))
    if not found:
        return
    every = {mention for _, mention in found}
    places = list(dict.fromkeys(place for place, _ in found))
    more = f"\n- and {len(places) - _SHOWN} more places" if len(places) > _SHOWN else ""
    lines = "".join(f"\n- {place}" for place in places[:_SHOWN])
    raise UnusableInputError(
        f"{name}: without identifiers the report would still name {len(every)} case(s), patient(s) "
        f"or group(s), so nothing is written:{lines}{more}\nchange that text, or write the report "
        "with identifiers"
    )


def _texts(page: str, figures: Mapping[str, str], table: str) -> Iterator[Text]:
    for figure, svg in figures.items():
        yield from _read(svg, f"figure {figure!r}")
    for row, cells in enumerate(csv.reader(io.StringIO(table, newline="")), 1):
        yield from ((f"cases.csv, row {row}", cell) for cell in cells)
    yield from _read(page, "page")


def _read(markup: str, place: str) -> Iterable[Text]:
    reader = _Reader(place)
    reader.feed(markup)
    reader.close()
    return reader.texts


def _named(texts: Iterable[Text], names: Names) -> Iterator[tuple[str, str]]:
    for place, text in texts:
        clean = legible(text)
        for mention in names.within(clean):
            start = max(0, mention.start - _LONG // 2)
            told = " ".join(clean[start : mention.end + _LONG // 2].split())
            yield f"{place}: {told!r} names {mention.name!r}", mention.name
