"""Colours of the report; every text stands on its ground with a contrast of 4.5 to 1 or more.

WCAG 2.2, success criterion 1.4.3, and 1.4.11 (3 to 1) for marks in figures. A test computes them.
"""

from __future__ import annotations

INK = "#1a1f24"
SOFT = "#4a545e"
PAPER = "#ffffff"
SHADE = "#f1f4f7"
RULE = "#8b96a1"
LINK = "#0b4f9e"
GREEN = "#0a5c36"
RED = "#9b1c1c"
AMBER = "#6b4500"
VIOLET = "#4a2a7a"

# Marks in figures: they differ in shape or dash as well.
BLUE = "#0b5fa5"
ORANGE = "#b34700"
GREY = "#6a747e"

# Grounds of the cells of matrices, light to dark: INK stands on each with 4.5 to 1 or more.
COOL = ("#ffffff", "#e3eef8", "#c3daef", "#9cc3e5")
WARM = ("#ffffff", "#fdeadb", "#f9d0b0", "#f2b184")

TEXT_PAIRS = (
    *((INK, ground) for ground in (*COOL, *WARM)),
    (INK, PAPER), (INK, SHADE), (SOFT, PAPER), (SOFT, SHADE), (LINK, PAPER),
    (GREEN, PAPER), (GREEN, SHADE), (RED, PAPER), (RED, SHADE),
    (AMBER, PAPER), (AMBER, SHADE),
    (PAPER, GREEN), (PAPER, RED), (PAPER, AMBER), (PAPER, VIOLET),
)  # fmt: skip
MARK_PAIRS = ((BLUE, PAPER), (ORANGE, PAPER), (GREY, PAPER), (RED, PAPER))
