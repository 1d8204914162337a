"""Scores of the candidate against those of earlier builds, in named regions.

Scores crowd at 0 and 1 and tau lies close to 1, so the axes are stretched: every region, what is
inconclusive and what is reported, takes an equal share of the axis. A point is placed in the
region of what its build says of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.report import palette
from lifecycle.report.drawing import draw
from lifecycle.report.faced import Faced, Mask, reported
from lifecycle.report.margins import Limits, limits
from lifecycle.report.matrix import DISCORDANT, GAINED, LOST
from lifecycle.report.source import ReportInput
from lifecycle.report.text import many, number, short

MARKED = 1500  # points drawn of each kind

Points = NDArray[np.float64]
_BLOCK = 1 << 20  # points looked at in one go


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points of two builds.

    Attributes:
        counts: (r, r) points by region of the earlier build (row) and the candidate (column); 0 is
            the lowest region.
        kinds: what became of them (`discordant`, `lost`, `gained`, `rest`) -> how many.
        drawn: the same -> (k, 2) places of those that are drawn, within [0, 1].
    """

    counts: NDArray[np.int64]
    kinds: Mapping[str, int]
    drawn: Mapping[str, Points]

    def thinned(self) -> str:
        """A remark where not every point is drawn."""
        n, drawn = sum(self.kinds.values()), sum(len(points) for points in self.drawn.values())
        return f" ({drawn:,} of {n:,} drawn)" if drawn < n else ""

    def told(self) -> str:
        """Counts in words."""
        found = ", ".join(f"{n:,} {kind}" for kind, n in self.kinds.items() if kind != "rest")
        return f"{many(int(self.counts.sum()), 'point')}, {found}"


def scores_figure(data: ReportInput, faced: Faced) -> str:
    """Scores of the candidate against each earlier build; of itself where there is none."""
    known = limits(faced.frozen.classes, faced.frozen.task, data.cutoffs)
    if len(faced.names) == 1:
        return _own_scores(data, faced)
    names = faced.latest[:-1]
    clouds = [cloud(faced, i, known) for i in range(len(names))]

    def paint(axes: list[Axes]) -> None:
        for panel, name, one in zip(axes, names, clouds, strict=True):
            _scatter(panel, one)
            _ticks(panel, len(one.counts), known)
            title = f"{data.build} against {short(name)}{one.thinned()}"
            panel.set(title=title, xlabel=f"score, {short(name)}",
                      ylabel=f"score, {data.build}")  # fmt: skip

    counts = "; ".join(f"{name}: {one.told()}" for name, one in zip(names, clouds, strict=True))
    desc = (
        f"One point is {_point_is(faced)}. Against {counts}. Lines mark the critical values; the "
        "axes are stretched so that each region has the same room."
    )
    return draw("scores", "Scores of the builds on the frozen set", desc, paint, len(names))


def _point_is(faced: Faced) -> str:
    if faced.multi:
        return "one class of one case, by its score"
    return "one case, by the score of the class that each build calls"


_KINDS = ("discordant", "lost", "gained", "rest")


def cloud(faced: Faced, i: int, known: Limits) -> Cloud:
    """The points of the build `faced.latest[i]` and the candidate."""
    old, new = (_regions(calls, faced.multi) for calls in (faced.calls[i], faced.now))
    regions = 3 if faced.multi else 2
    both = ((faced.predictions[i], old), (faced.frozen, new))
    kinds, drawn = {}, {}
    for kind in _KINDS:  # one mask at a time: of a million cases each takes its room
        mask = _became(kind, faced, i, old, new)
        at = _thin(mask, MARKED)
        kinds[kind] = int(np.count_nonzero(mask))
        drawn[kind] = np.column_stack([_places(one, part[at], at, known) for one, part in both])
    counts = [
        [np.count_nonzero((old == a) & (new == b)) for b in range(regions)] for a in range(regions)
    ]
    return Cloud(np.array(counts, dtype=np.int64), kinds, drawn)


def _became(kind: str, faced: Faced, i: int, old: NDArray[np.int8], new: NDArray[np.int8]) -> Mask:
    """The points of one kind; arrays are changed in place, for memory."""
    silent = 1 if faced.multi else 0  # the region of what is not reported
    if kind in ("lost", "gained"):
        before, after = (old, new) if kind == "lost" else (new, old)
        found = before != silent
        found &= after == silent
        return np.asarray(found, dtype=np.bool_)
    found = old == new
    if faced.multi:
        if kind == "rest":
            return np.asarray(found, dtype=np.bool_)
        np.logical_not(found, out=found)
        found &= old != silent
        found &= new != silent
        return np.asarray(found, dtype=np.bool_)
    differ = found & (old != silent) & (faced.calls[i].argmax != faced.now.argmax)
    return np.asarray(differ if kind == "discordant" else found & ~differ, dtype=np.bool_)


def _regions(calls: Calls, multi: bool) -> NDArray[np.int8]:
    """Single-label (n,): 0 inconclusive, 1 reported. Multi-label (n C,): no, inconclusive, yes."""
    if multi:
        return np.asarray(calls.state.ravel() + np.int8(1), dtype=np.int8)
    return reported(calls).astype(np.int8)


def _places(
    one: Predictions, region: NDArray[np.int8], at: NDArray[np.intp], known: Limits
) -> Points:
    """Places of the points `at`, each within the room of its region."""
    classes = one.classes
    if one.task == "multi":
        column, scores = at % len(classes), one.scores.ravel()[at]
    else:
        column = one.scores[at].argmax(axis=1)
        scores = one.scores[at, column]
    yes = np.array([known.yes.get(name, 1.0) for name in classes])[column]
    no = np.array([known.no.get(name, 0.0) for name in classes])[column]
    edges = [np.zeros_like(yes), *([no] if one.task == "multi" else []), yes, np.ones_like(yes)]
    low, high = (np.choose(region + k, edges) for k in (0, 1))
    width = high - low
    inside = np.divide(scores - low, width, out=np.full_like(scores, 0.5), where=width > 0)
    placed: Points = (region + np.clip(inside, 0.0, 1.0)) / (len(edges) - 1)
    return placed


def _thin(mask: Mask, most: int) -> NDArray[np.intp]:
    """At most `most` of the marked points, evenly over their order; block by block, for memory."""
    n = int(np.count_nonzero(mask))
    ranks = np.linspace(0, n - 1, min(n, most)).astype(np.intp)
    found, before = [np.empty(0, np.intp)], 0
    for start in range(0, len(mask), _BLOCK):
        here = np.flatnonzero(mask[start : start + _BLOCK])
        mine = ranks[(ranks >= before) & (ranks < before + len(here))]
        found.append(here[mine - before] + start)
        before += len(here)
    return np.concatenate(found)


_STYLES: dict[str, dict[str, Any]] = {
    "rest": {"marker": "o", "s": 7, "facecolors": "none", "edgecolors": palette.GREY,
             "linewidths": 0.6},
    "gained": {"marker": "^", "s": 20, "facecolors": "none", "edgecolors": palette.BLUE},
    "lost": {"marker": "v", "s": 20, "facecolors": "none", "edgecolors": palette.ORANGE},
    "discordant": {"marker": "x", "s": 30, "linewidths": 1.7, "color": palette.RED},
}  # fmt: skip


def _scatter(axes: Axes, one: Cloud) -> None:
    for kind, style in _STYLES.items():
        above = 5 if kind == "discordant" else 1  # no label may hide a discordant case
        axes.scatter(one.drawn[kind][:, 0], one.drawn[kind][:, 1], zorder=above, **style)
    regions = len(one.counts)
    for i in range(regions):
        for j in range(regions):
            _name_region(axes, one, i, j)


def _name_region(axes: Axes, one: Cloud, i: int, j: int) -> None:
    """Name and count of the region of column i (earlier build) and row j (candidate)."""
    regions = len(one.counts)
    for k, (text, colour, bold) in enumerate(_lines_of(one, i, j)):
        axes.text((i + 0.04) / regions, (j + 0.94) / regions - 0.05 * k, text, color=colour,
                  fontsize=7.5 if regions == 2 else 6.5, va="top",
                  fontweight="bold" if bold else "normal",
                  bbox={"facecolor": palette.PAPER, "edgecolor": "none", "pad": 0.8})  # fmt: skip


def _lines_of(one: Cloud, i: int, j: int) -> list[tuple[str, str, bool]]:
    multi = len(one.counts) == 3
    n, middle = int(one.counts[i, j]), 1 if multi else 0
    differ = (n if i != j else 0) if multi else one.kinds["discordant"]
    contradiction = (f"{DISCORDANT} discordant: {differ:,}", palette.RED, differ > 0)
    agree = (f"○ agree: {n if multi else n - differ:,}", palette.SOFT, False)
    if i == middle and j == middle:
        return [(f"neither reports: {n:,}", palette.SOFT, False)]
    if j == middle:
        return [(f"{LOST} lost: {n:,}", palette.ORANGE, False)]
    if i == middle:
        return [(f"{GAINED} gained: {n:,}", palette.BLUE, False)]
    if multi:
        return [contradiction] if i != j else [agree]
    return [agree, contradiction]


def _ticks(axes: Axes, regions: int, known: Limits) -> None:
    places = [k / regions for k in range(regions + 1)]
    names = ["0", *_tick_names(regions, known), "1"]
    for place in places[1:-1]:
        axes.axhline(place, color=palette.SOFT, linestyle=":", linewidth=0.9)
        axes.axvline(place, color=palette.SOFT, linestyle=":", linewidth=0.9)
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _tick_names(regions: int, known: Limits) -> list[str]:
    sides = [("tau", known.yes)] if regions == 2 else [("no", known.no), ("yes", known.yes)]
    found = []
    for name, side in sides:
        values = set(side.values())
        found.append(f"{name}\n{number(values.pop())}" if len(values) == 1 else name)
    return found


def _own_scores(data: ReportInput, faced: Faced) -> str:
    """Histogram of the candidate's scores, for a first build."""
    frozen, multi = faced.frozen, faced.multi
    values = frozen.scores.ravel() if multi else frozen.scores.max(axis=1)
    told = (faced.now.state != 0).ravel() if multi else reported(faced.now)

    def paint(axes: list[Axes]) -> None:
        parts = [values[told], values[~told]]
        labels = [f"reportable: {len(parts[0]):,}", f"inconclusive: {len(parts[1]):,}"]
        axes[0].hist(parts, bins=np.linspace(0, 1, 41).tolist(), stacked=True, label=labels,
                     color=[palette.BLUE, palette.PAPER], edgecolor=palette.SOFT)  # fmt: skip
        _lines(axes[0], data.cutoffs)
        what = "results (case and class)" if multi else "cases"
        axes[0].set_title(f"Scores of {data.build} on the frozen set")
        axes[0].set_xlabel("score" if multi else "score of the called class")
        axes[0].set(ylabel=what, xlim=(0, 1.01))
        axes[0].legend(loc="upper left")

    desc = (
        f"Histogram of {many(len(values), 'score')}: {int(told.sum()):,} reportable, "
        f"{int((~told).sum()):,} inconclusive. There is no earlier build to compare with."
    )
    return draw("scores", "Scores of the build on the frozen set", desc, paint)


TAU_LINES = 6  # distinct cutoffs up to which each gets its line


def _lines(axes: Axes, cutoffs: Cutoffs) -> None:
    values: Sequence[float] = sorted({*cutoffs.yes, *(cutoffs.no or ())})
    if cutoffs.status == "refused":
        return
    drawn = values if len(values) <= TAU_LINES else (values[0], values[-1])
    for i, value in enumerate(drawn):
        axes.axvline(value, color=palette.RED, linestyle=":", label=None if i else "tau")
