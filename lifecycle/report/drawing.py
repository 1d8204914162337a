"""From a matplotlib figure to SVG text: same input, same bytes, and no state left behind.

No pyplot and no back end is chosen: `Figure` writes SVG by itself. What matplotlib reads from its
settings is set for the time of drawing and put back.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lifecycle.report import palette
from lifecycle.report.text import visible

SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "lifecycle report",
    "svg.fonttype": "none",  # text stays text: searchable, small, drawn with any font at hand
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.parse_math": False,  # a `$` in a class name is a dollar sign
    "text.usetex": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": palette.SOFT,
    "axes.labelcolor": palette.INK,
    "axes.titlesize": 10.0,
    "axes.unicode_minus": False,
    "xtick.color": palette.SOFT,
    "ytick.color": palette.SOFT,
    "text.color": palette.INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """How the panels of a figure stand.

    Attributes:
        columns: in a row at most.
        width, height: of each, in inches.
    """

    columns: int
    width: float
    height: float


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's settings file says."""
    with warnings.catch_warnings(), matplotlib.rc_context():
        # the reader's browser has the glyphs that the font used for measuring lacks
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        known = matplotlib.rcParamsDefault.items()
        defaults: Any = {k: v for k, v in known if not k.startswith("backend")} | _STYLE
        matplotlib.rcParams.update(defaults)
        yield


def draw(
    name: str,
    title: str,
    desc: str,
    paint: Callable[[list[Axes]], None],
    panels: int = 1,
    grid: Grid | None = None,
) -> str:
    """SVG text of a figure.

    Args:
        name: prefix of every id within, so that several figures can stand in one page.
        title: short name, read out by a screen reader.
        desc: what the figure shows, in words.
        paint: draws into the axes; it must pass data's text through `short` or `visible`.
        panels: axes beside each other.
        grid: how they stand; where None, two in a row at most.
    """
    with _settings():
        buffer = io.BytesIO()
        _painted(paint, panels, grid).savefig(buffer, format="svg", metadata=_NO_METADATA)
    return _finish(buffer.getvalue(), name, title, desc)


def draw_png(paint: Callable[[list[Axes]], None], panels: int = 1) -> bytes:
    """The same figure as PNG, for places that take no SVG."""
    with _settings():
        buffer = io.BytesIO()
        _painted(paint, panels).savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()


def _painted(paint: Callable[[list[Axes]], None], panels: int, grid: Grid | None = None) -> Figure:
    taken = grid or Grid(2, 3.75 + (1.5 if panels == 1 else 0), 3.3)
    columns = min(panels, taken.columns)
    rows = -(-panels // columns)
    size = (taken.width * columns, taken.height * rows)
    figure = Figure(figsize=size, layout="constrained")
    paint([figure.add_subplot(rows, columns, i + 1) for i in range(panels)])
    return figure


def _finish(data: bytes, name: str, title: str, desc: str) -> str:
    """Ids made unique, title and description put in, one namespace, no prolog."""
    root = ET.fromstring(data)  # noqa: S314  # matplotlib wrote it a moment ago
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
        _prefix(element, name)
    root.set("xmlns", SVG)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for at, (tag, text) in enumerate((("title", title), ("desc", desc))):
        child = ET.Element(tag, {"id": f"{name}-{tag}"})
        child.text = visible(text)
        root.insert(at, child)
    return ET.tostring(root, encoding="unicode") + "\n"


def _prefix(element: ET.Element, name: str) -> None:
    if _XLINK in element.attrib:
        element.set("href", f"#{name}-{element.attrib.pop(_XLINK).lstrip('#')}")
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    for key, value in list(element.attrib.items()):
        if "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
