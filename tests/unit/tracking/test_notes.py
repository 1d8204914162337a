"""Text of others in notes and tables: it is shown, and does nothing."""

from __future__ import annotations

import csv
import html
import io
import re

import markdown as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.tracking.notes import as_csv, cell, markdown, plain, table, within

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![seen](http://example.org/pixel.png)",
    "[click](javascript:alert(1))",
    "https://example.org/x and www.example.org",
    "<https://example.org>",
    "someone@example.org",
    "**PASS** _all_ `well` ~~no~~",
    "a | b | c",
    "&lt;b&gt; &#60;",
    "\\<b> \\| \\",
    "# PASS ✓",
    "first\nsecond\r\nthird",
    "- item\n\n    code",
    "$x^2$ {curly}",
)
MARKS = re.compile(r"<(?!/?(?:p|table|thead|tbody|tr|th|td)\b)")


def _rendered(text: str) -> str:
    return reference.markdown(text, extensions=["tables", "fenced_code"])


def _words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_and_does_nothing(text: str) -> None:
    page = _rendered(f"case {markdown(text)} stays")
    assert not MARKS.search(page), page
    assert _words(page) == f"case {plain(text)} stays"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_in_its_cell(text: str) -> None:
    page = _rendered("\n".join(table(("case", "b1"), [(text, "yes"), ("plain", "no")])))
    assert not MARKS.search(page), page
    cells = [_words(one).strip() for one in re.findall(r"<td>(.*?)</td>", page, re.S)]
    assert cells == [plain(text).strip(), "yes", "plain", "no"]


@given(st.text())
def test_any_text_is_shown_and_does_nothing(text: str) -> None:
    page = _rendered(f"case {markdown(text)} stays")
    assert not MARKS.search(page)
    assert "\n" not in markdown(text)
    # Markdown itself joins spaces and turns no other character
    assert _words(page).split() == f"case {plain(text)} stays".split()


def test_the_unescaped_texts_would_do_something() -> None:
    # without this, the tests above could pass because the renderer does nothing
    assert sum(bool(MARKS.search(_rendered(f"case {text} stays"))) for text in HOSTILE) > 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tab\there", "tab\\u0009here"),
        ("no\u00a0break", "no\\u00a0break"),
        ("\U000e0041", "\\U000e0041"),
        ("Größe β 日本", "Größe β 日本"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-x", "@SUM(A1)", "  =cmd|' /C calc'!A0", "\uff1d1", "\uff0b1"]
)
def test_a_formula_is_no_formula(text: str) -> None:
    assert cell(text) == "'" + text
    assert cell("x" + text) == "x" + text


@pytest.mark.parametrize("lead", ["\t", "\r", "\n", "\u200b", "\u00a0"])
def test_a_hidden_character_does_not_hide_a_formula(lead: str) -> None:
    # written out, it is the first that a spreadsheet reads
    assert cell(f"{lead}=1+1").startswith("\\u")


def test_csv_keeps_rows_numbers_and_quotes() -> None:
    rows = [
        {"case": '=HYPERLINK("x"), a', "b1": 0.1 + 0.2, "n": None},
        {"case": "two\nlines", "b1": -1.5, "n": 3},
    ]
    read = list(csv.reader(io.StringIO(as_csv(rows, ["case", "b1", "n"]))))
    assert read == [
        ["case", "b1", "n"],
        ['\'=HYPERLINK("x"), a', repr(0.1 + 0.2), ""],
        ["two\\u000alines", "-1.5", "3"],
    ]
    assert as_csv([], ["case"]) == "case\n"


def test_a_note_is_cut_at_a_line_and_says_so() -> None:
    lines = [f"line {i}" for i in range(100)]
    assert within(lines, "{} more", 10_000) == "\n".join(lines)
    cut = within(lines, "and {} lines more", 100)
    kept = cut.split("\n")
    assert len(cut) <= 100 and kept[:-1] == lines[: len(kept) - 1]
    assert kept[-1] == f"and {100 - len(kept) + 1} lines more"
    assert len(within(lines, "and {} lines more", 108)) > len(cut)
