"""How well a score is the chance of being right: reliability diagram, Brier score, ECE.

Shown; nothing here decides. Bins have equal width (Naeini et al., AAAI 2015); the Brier score is
the mean squared error of the probability (Brier, Mon. Weather Rev. 78, 1950), as scikit-learn
computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lifecycle.report import palette
from lifecycle.report.drawing import Grid, draw
from lifecycle.report.faced import Faced, Mask
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Table, table
from lifecycle.report.text import many, number, short
from lifecycle.stats.intervals import wilson

BINS = 10
PANELS = 12  # classes of a multi-label classifier that are drawn: those with most positives
LISTED = 60  # classes that are listed
SHOWN_ALPHA = 0.05
TOP = "called class"

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """A score against what was observed.

    Attributes:
        name: of the class, or `TOP`: the highest score against whether its class was right.
        counts: (BINS,) cases in each bin of the score.
        score, share: (BINS,) mean score and observed share; NaN where a bin is empty.
        positives: cases in which it was observed.
        brier: mean squared error of the score.
        ece: mean absolute difference of score and share, weighted by the counts.
    """

    name: str
    counts: NDArray[np.int64]
    score: Scores
    share: Scores
    positives: int
    brier: float
    ece: float


def reliability(name: str, scores: Scores, observed: Mask) -> Reliability:
    """Reliability of (n,) scores within [0, 1], n > 0.

    A score of 1 falls into the last bin.
    """
    from sklearn.metrics import brier_score_loss  # noqa: PLC0415  # loads as long as a page takes

    at = np.minimum((scores * BINS).astype(np.intp), BINS - 1)
    counts = np.bincount(at, minlength=BINS)
    with np.errstate(invalid="ignore"):
        score = np.bincount(at, scores, BINS) / counts
        share = np.bincount(at, observed, BINS) / counts
    there = counts > 0
    gaps = np.abs(score[there] - share[there])
    ece = float((gaps * counts[there]).sum() / len(scores))
    brier = float(brier_score_loss(observed, scores, labels=[False, True]))
    return Reliability(name, counts, score, share, int(observed.sum()), brier, ece)


def reliabilities(faced: Faced) -> list[Reliability]:
    """Of the called class, or of every class of a multi-label classifier; labelled cases only."""
    known, scores = faced.known, faced.frozen.scores
    if not known.any():
        return []
    if not faced.multi:
        at = faced.now.argmax[known]
        rows = np.arange(len(at))
        right = faced.truth[known][rows, at]
        return [reliability(TOP, scores[known, at], right)]
    return [
        reliability(name, scores[known, j], faced.truth[known, j])
        for j, name in enumerate(faced.frozen.classes)
    ]


def calibration_table(faced: Faced) -> Table | None:
    """Brier score and calibration error; None where no case has a reference class."""
    found = reliabilities(faced)
    if not found:
        return None
    n = int(faced.known.sum())
    rows = [
        [one.name, f"{n:,}", f"{one.positives:,}", number(one.brier), number(one.ece)]
        for one in found[:LISTED]
    ]
    note = (
        f"Of the candidate on the labelled frozen cases. ECE over {BINS} bins of equal width. "
        "0 is best of both; they decide nothing."
    )
    if len(found) > LISTED:
        note += f" {len(found) - LISTED:,} more classes are not listed."
    head = ("score of", "cases", "observed", "Brier score", "calibration error (ECE)")
    return table("Calibration", head, rows, note=note)


def calibration_figure(data: ReportInput, faced: Faced) -> str | None:
    """Reliability diagrams with counts; None where no case has a reference class."""
    found = reliabilities(faced)
    if not found:
        return None
    drawn = found
    if len(found) > PANELS:
        most = sorted(found, key=lambda one: -one.positives)[:PANELS]
        drawn = [one for one in found if one in most]

    def paint(axes: list[Axes]) -> None:
        for panel, one in zip(axes, drawn, strict=True):
            _diagram(panel, one, small=faced.multi)

    told = "; ".join(f"{one.name}: Brier {number(one.brier)}, ECE {number(one.ece)}"
                     for one in drawn)  # fmt: skip
    desc = (
        f"Observed share against the mean score in {BINS} bins, {data.build} on "
        f"{many(int(faced.known.sum()), 'labelled case')} of the frozen set, with 95% Wilson "
        f"intervals and the number of cases. {told}."
    )
    grid = Grid(4, 2.3, 2.35) if faced.multi else Grid(1, 5.25, 3.6)
    return draw("calibration", "Calibration on the frozen set", desc, paint, len(drawn), grid)


def _diagram(axes: Axes, one: Reliability, small: bool) -> None:
    axes.plot([0, 1], [0, 1], color=palette.RULE, linestyle="--", linewidth=0.9)
    there = np.flatnonzero(one.counts > 0)
    tall = one.counts / max(1, int(one.counts.max()))
    axes.bar((np.arange(BINS) + 0.5) / BINS, 0.18 * tall, 0.9 / BINS, color=palette.COOL[2],
             edgecolor=palette.RULE, linewidth=0.5)  # fmt: skip
    for k in there.tolist():
        low, high = _interval(one, k)
        axes.plot([one.score[k]] * 2, [low, high], color=palette.GREY, linewidth=1.1)
    axes.plot(one.score[there], one.share[there], color=palette.BLUE, marker="o",
              markersize=3 if small else 5)  # fmt: skip
    if not small:
        _counts(axes, one, there)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.06))
    size = 8.0 if small else 10.0
    axes.set_title(f"{short(one.name, 20)}: ECE {number(one.ece)}", fontsize=size)
    axes.set(xlabel="mean score", ylabel="observed share")


def _interval(one: Reliability, k: int) -> tuple[float, float]:
    n = int(one.counts[k])
    return wilson(round(float(one.share[k]) * n), n, SHOWN_ALPHA)


def _counts(axes: Axes, one: Reliability, there: NDArray[np.intp]) -> None:
    tall = one.counts / max(1, int(one.counts.max()))
    for k in there.tolist():
        axes.text((k + 0.5) / BINS, 0.18 * float(tall[k]) + 0.012, f"{int(one.counts[k]):,}",
                  ha="center", fontsize=7.0, color=palette.SOFT)  # fmt: skip
