"""Figures and tables over the series of builds: what each reports, and how each pair agrees."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes
from scipy.special import ndtri

from lifecycle.consistency.agree import Agreement, Pair
from lifecycle.report import palette
from lifecycle.report.drawing import Grid, draw
from lifecycle.report.faced import Faced, Reported
from lifecycle.report.matrix import DISCORDANT, Square, grid_of, paint_matrix, step
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Table, table
from lifecycle.report.text import NOTHING, many, percent, plainly, short
from lifecycle.stats.intervals import wilson

BUILDS = 12  # latest builds that a figure holds
SHOWN_ALPHA = 0.05  # of the intervals here, which decide nothing
TOGETHER = "all builds together"


@dataclass(frozen=True, slots=True)
class Reportable:
    """What a build reports of the frozen set.

    Attributes:
        name: of the build, or `TOGETHER`.
        reported, whole: cases; results (case and class) of a multi-label classifier.
        low, high: 95% interval of their ratio; None where none is taken.
    """

    name: str
    reported: int
    whole: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float:
        """The reportable fraction."""
        return self.reported / self.whole


def reportables(data: ReportInput, faced: Faced) -> list[Reportable]:
    """Every build's reportable fraction, oldest first, then that of all together."""
    take, n, C = _results if faced.multi else _cases, *faced.frozen.scores.shape
    found = [take(name, faced.reported[name], n, C) for name in faced.names]
    if data.agreement is not None:
        series, n = data.agreement.series, data.agreement.series.S
        whole = n * len(data.agreement.classes) if faced.multi else n
        told = series.cells_reported if faced.multi else series.R
        low, high = (None, None) if faced.multi else wilson(told, whole, SHOWN_ALPHA)
        found.append(Reportable(TOGETHER, told, whole, low, high))
    return found


def _cases(name: str, told: Reported, n: int, _C: int) -> Reportable:
    return Reportable(name, told.cases, n, *wilson(told.cases, n, SHOWN_ALPHA))


def _results(name: str, told: Reported, n: int, C: int) -> Reportable:
    """Results of one case hang together, so the interval is taken over cases (normal theory)."""
    half = float(ndtri(1 - SHOWN_ALPHA / 2)) * told.spread / math.sqrt(n)
    low, high = max(0.0, told.mean - half), min(1.0, told.mean + half)
    return Reportable(name, told.results, n * C, low, high)


def reportable_table(data: ReportInput, faced: Faced) -> Table:
    """The reportable fraction of each build with its interval."""
    what = "results" if faced.multi else "cases"
    rows = [
        [one.name, f"{one.reported:,}", f"{one.whole:,}", percent(one.share),
         NOTHING if one.low is None or one.high is None
         else f"{percent(one.low)} to {percent(one.high)}"]
        for one in reportables(data, faced)
    ]  # fmt: skip
    kind = "95% interval over cases" if faced.multi else "95% Wilson interval"
    floor = data.classifier.policy.reportable_floor
    note = f"The policy asks that all builds together report at least {plainly(floor)}. "
    note += "The intervals are shown and decide nothing."
    head = ("build", f"{what} reported", "of", "share", kind)
    return table("Reportable fraction", head, rows, note=note)


def reportable_figure(data: ReportInput, faced: Faced) -> str:
    """The reportable fractions with their intervals, the policy's floor marked."""
    found = reportables(data, faced)
    drawn = [one for one in found if one.name != TOGETHER][-BUILDS:]
    drawn += [one for one in found if one.name == TOGETHER]
    floor = data.classifier.policy.reportable_floor

    def paint(axes: list[Axes]) -> None:
        _reportable(axes[0], drawn, floor)

    told = "; ".join(f"{one.name}: {percent(one.share)}" for one in drawn)
    desc = f"Share that each build reports. {told}. The policy's floor is {plainly(floor)}."
    grid = Grid(1, 6.2, 1.25 + 0.28 * len(drawn))
    return draw("reportable", "Reportable fraction by build", desc, paint, 1, grid)


def _reportable(axes: Axes, drawn: list[Reportable], floor: float) -> None:
    for i, one in enumerate(drawn):
        colour, marker = (palette.INK, "D") if one.name == TOGETHER else (palette.BLUE, "o")
        if one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [i, i], color=palette.GREY, linewidth=1.4)
        axes.plot(one.share, i, marker, color=colour, markersize=6.5)
        axes.annotate(percent(one.share), (one.share, i), xytext=(0, 6), fontsize=7.5,
                      textcoords="offset points", ha="center")  # fmt: skip
    axes.axvline(floor, color=palette.RED, linestyle=":")
    axes.annotate(f"floor {plainly(floor)}", (floor, -0.85), xytext=(4, 0), va="top",
                  textcoords="offset points", fontsize=7.5, color=palette.RED)  # fmt: skip
    axes.set_yticks(range(len(drawn)), [short(one.name) for one in drawn])
    axes.set(xlim=(-0.03, 1.05), ylim=(len(drawn) - 0.4, -0.9), xlabel="share reported")


def pairs_figure(agreement: Agreement, allowed: float) -> str | None:
    """Consistency of every pair of builds; None of a single pair, which its table shows.

    Args:
        agreement: of the series.
        allowed: share of reported cases that may be discordant; the ground darkens towards it.
    """
    names = agreement.names[-BUILDS:]
    if len(names) < 3:
        return None
    pairs = {frozenset((pair.reference, pair.candidate)): pair for pair in agreement.pairs}
    cells = [
        [
            _pair(pairs[frozenset((row, column))], allowed) if j >= i else Square("", palette.SHADE)
            for j, column in enumerate(names[1:])
        ]
        for i, row in enumerate(names[:-1])
    ]

    def paint(axes: list[Axes]) -> None:
        paint_matrix(axes[0], cells, names[:-1], names[1:])

    rest = len(agreement.names) - len(names)
    title = f"Consistency of each pair of the {f'latest {len(names)}' if rest else 'builds'}"
    least = min(agreement.pairs, key=_consistency)
    desc = (
        f"A matrix of {many(len(names), 'build')}; each cell has a pair's consistency and its "
        f"discordant cases. The least is {percent(least.figures.consistency)}, of "
        f"{least.reference} and {least.candidate}. Pairs with a contradiction have a heavy edge "
        "and a cross."
    )
    side = len(names) - 1
    return draw("pairs", title, desc, paint, 1, grid_of(side, side, 1.0, 0.5))


def _consistency(pair: Pair) -> float:
    found = pair.figures.consistency
    return 2.0 if found is None else found


def _pair(pair: Pair, allowed: float) -> Square:
    figures = pair.figures
    if not figures.R:
        return Square("none\nreported", palette.SHADE)
    text = f"{percent(figures.consistency)}\n"
    if not figures.D:
        return Square(f"{text}0 of {figures.R:,}")
    share = figures.D / figures.R / (2 * allowed)
    return Square(f"{text}{DISCORDANT} {figures.D:,} of {figures.R:,}",
                  step(share, palette.WARM), ringed=True)  # fmt: skip
