"""The figure of `lifecycle divergence`: how far two builds go apart, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from lifecycle.report import palette
from lifecycle.report.drawing import draw, draw_png
from lifecycle.report.text import many, short

_FLOOR = 1e-18  # the axis reaches no deeper: the angle of one rounding in a large network


def divergence_svg(report: Mapping[str, Any]) -> str:
    """SVG text; see `_paint`."""
    return draw("divergence", _title(report), _desc(report), _painter(report), 2)


def divergence_png(report: Mapping[str, Any]) -> bytes:
    """The same as PNG."""
    return draw_png(_painter(report), 2)


def _title(report: Mapping[str, Any]) -> str:
    one, two = report["builds"]
    return f"{short(report['classifier'])}: how {two} goes apart from {one}"


def _desc(report: Mapping[str, Any]) -> str:
    points = report["growth"]
    if not points:
        return "The builds do not differ, or cannot be trained again here: there are no points."
    last = points[-1]
    first = report["first"] or report["trace"]
    return (
        f"Left: vector sine of all parameters over the epochs, on a logarithmic axis, at "
        f"{many(len(points), 'point')}; the first differing step, step {first['step']}, is marked. "
        f"At the end it is {last['sine']:.3g}. Right: cases of the holdout, of {report['cases']}, "
        "whose largest score is another class's, at the end of each epoch."
    )


def _painter(report: Mapping[str, Any]) -> Any:
    def paint(axes: list[Axes]) -> None:
        _sines(axes[0], report)
        _changes(axes[1], report)

    return paint


def _epochs(points: list[Mapping[str, Any]], steps: int) -> NDArray[np.float64]:
    return np.asarray([point["step"] / steps for point in points], dtype=np.float64)


def _sines(axes: Axes, report: Mapping[str, Any]) -> None:
    points = [point for point in report["growth"] if point["sine"] > 0]
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if points:
        y = np.maximum([point["sine"] for point in points], _FLOOR)
        axes.plot(_epochs(points, report["steps"]), y, color=palette.BLUE, marker=".", markersize=4)
        axes.set_ylim(top=2.0)
    first = report["first"] or report["trace"]
    if first is not None:
        label = f"first difference: step {first['step']}"
        axes.axvline(first["step"] / max(report["steps"], 1), color=palette.RED, linestyle="--",
                     label=label)  # fmt: skip
        axes.legend(loc="lower right")
    axes.set(title="Angle between the networks", xlabel="epoch", ylabel="vector sine")


def _changes(axes: Axes, report: Mapping[str, Any]) -> None:
    points = [point for point in report["growth"] if point["changed"] is not None]
    x = _epochs(points, report["steps"])
    y = [point["changed"] for point in points]
    axes.plot(x, y, color=palette.ORANGE, marker="s", markersize=2.5, linestyle=":")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Calls changed on the holdout", xlabel="epoch",
             ylabel=f"cases of {report['cases']}")  # fmt: skip
    axes.set_ylim(bottom=0, top=max([1, *y]) * 1.05)
