"""Where a text mentions a name: one pass over its words, however many names there are.

A mention is a name with no letter or digit next to it on either side, whatever the letter case, the
form of its accents and the characters in it that cannot be seen: `FP0002` stands in `FP0002/x`, in
`id=fp0002` and in `FP0002-relapse`, not in `XFP00021`. Blanks of any number and kind are one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SHORTEST = 4  # letters and digits; a shorter name stands in any page by chance
_WORD = re.compile(r"[^\W_]+")
_FIGURE = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*")
_BLANKS = re.compile(r"\s+")
_END = ""  # of a name, among the ways on from its last word


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a text.

    Attributes:
        start, end: where it stands in the text as `legible` gives it.
        name: the name as it was given.
    """

    start: int
    end: int
    name: str


def legible(text: str) -> str:
    """The text with accents composed, and without what cannot be seen."""
    if text.isascii():
        return text
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", seen)


def is_telling(name: str) -> bool:
    """Whether a name can be told from a word or a figure: four letters or digits, and no number."""
    signs = sum(map(len, _WORD.findall(name)))
    return signs >= SHORTEST and not _FIGURE.fullmatch(name.strip())


@dataclass(frozen=True, slots=True)
class _Words:
    """A text as runs of letters and digits, folded, and what stands between them."""

    spans: list[tuple[int, int]]
    words: list[str]
    gaps: list[str]

    @classmethod
    def of(cls, text: str) -> _Words:
        spans = [match.span() for match in _WORD.finditer(text)]
        words = [_folded(text[start:end]) for start, end in spans]
        pairs = pairwise(spans)
        gaps = [_BLANKS.sub(" ", text[one[1] : two[0]]) for one, two in pairs]
        return cls(spans, words, gaps)


class Names:
    """Names to look for: a tree of their words, so that a text is walked through once."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take names in; one without any letter or digit cannot be looked for."""
        self._tree: dict[Any, Any] = {}
        for name in names:
            found = _Words.of(legible(name))
            node = self._tree
            for step in zip(["", *found.gaps], found.words, strict=True) if found.words else ():
                node = node.setdefault(step, {})
            if found.words:
                node.setdefault(_END, name)

    def within(self, text: str) -> Iterator[Mention]:
        """Mentions in a legible text from left to right; of two that begin alike the longer."""
        found = _Words.of(text)
        at = 0
        while at < len(found.words):
            last, name = self._longest(found, at)
            if name is not None:
                yield Mention(found.spans[at][0], found.spans[last][1], name)
            at = last + 1

    def _longest(self, found: _Words, at: int) -> tuple[int, str | None]:
        """The last word of the longest name that begins at a word, and the name."""
        node, last, name = self._tree.get(("", found.words[at])), at, None
        while node is not None:
            if _END in node:
                last, name = at, str(node[_END])
            at += 1
            if at >= len(found.words):
                break
            node = node.get((found.gaps[at - 1], found.words[at]))
        return last, name


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFKC", word).casefold()
