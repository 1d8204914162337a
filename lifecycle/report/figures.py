"""The report's figures: all of them by name, and those of training and of tau on the holdout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lifecycle.report import palette
from lifecycle.report.calibration import calibration_figure
from lifecycle.report.conversions import conversions_figure
from lifecycle.report.divergence import divergence_svg
from lifecycle.report.drawing import draw
from lifecycle.report.faced import Faced, face
from lifecycle.report.scores import scores_figure
from lifecycle.report.series import pairs_figure, reportable_figure
from lifecycle.report.source import ReportInput
from lifecycle.report.text import many, number

VERTICES = 1500  # points of a curve that are drawn

Points = NDArray[np.float64]


def figures(data: ReportInput, faced: Faced | None = None) -> dict[str, str]:
    """Figures that the data allow, as SVG texts.

    `scores` and `reportable` always; `conversions` with an earlier build and `pairs` with two;
    `tau`, `calibration`, `training` and `divergence` where there is something to draw them from.

    Args:
        data: what the report shows.
        faced: what `face` gave, to spare calling twice.

    Raises:
        UnusableInputError: the builds' predictions are not of the same cases and classes.
    """
    faced = faced or face(data)
    makers: dict[str, Callable[[], str | None]] = {
        "scores": lambda: scores_figure(data, faced),
        "reportable": lambda: reportable_figure(data, faced),
        "conversions": lambda: conversions_figure(faced),
        "pairs": lambda: _pairs(data),
        "tau": lambda: tau_figure(data) if data.holdout_curve else None,
        "calibration": lambda: calibration_figure(data, faced),
        "training": lambda: training_figure(data) if data.epochs else None,
        "divergence": lambda: divergence_svg(data.divergence) if data.divergence else None,
    }
    found = {name: make() for name, make in makers.items()}
    return {name: svg for name, svg in found.items() if svg is not None}


def _pairs(data: ReportInput) -> str | None:
    if data.agreement is None:
        return None
    return pairs_figure(data.agreement, allowed=1.0 - data.classifier.policy.p)


def positive_class(data: ReportInput) -> str:
    """The class that the holdout curve was drawn for."""
    return data.classifier.tau.positive or data.classifier.classes[0]


def _tau(data: ReportInput) -> float | None:
    """The cutoff of the curve's class, None where it was refused."""
    name, cutoffs = positive_class(data), data.cutoffs
    if cutoffs.status == "refused" or name in cutoffs.evidence.get("refused_yes", ()):
        return None
    return cutoffs.yes[data.holdout.classes.index(name)]


def tau_figure(data: ReportInput) -> str:
    """Precision and recall of the positive class on the holdout, tau marked."""
    tau, name = _tau(data), positive_class(data)
    points = np.asarray([point[:3] for point in data.holdout_curve], dtype=np.float64)
    points = _fewer(points, tau)

    def paint(axes: list[Axes]) -> None:
        _precision_recall(axes[0], points, tau)
        _by_cutoff(axes[1], points, tau)

    where = "no critical value is in force" if tau is None else f"tau = {number(tau)} is marked"
    desc = (
        f"Scores of {data.build} on {many(len(data.holdout.ids), 'case')} of the holdout. Left: "
        f"precision against recall of class {name}. Right: both against the cutoff. "
        f"{where.capitalize()}."
    )
    return draw("tau", "Precision and recall on the holdout", desc, paint, 2)


def _fewer(points: Points, tau: float | None) -> Points:
    """At most `VERTICES` points of a curve, and the one at which tau stands."""
    if len(points) <= VERTICES:
        return points
    at = np.linspace(0, len(points) - 1, VERTICES).astype(np.intp)
    if tau is not None:
        here = min(int(np.searchsorted(points[:, 0], tau)), len(points) - 1)
        at = np.union1d(at, [here])
    return points[at]


def _precision_recall(axes: Axes, points: Points, tau: float | None) -> None:
    axes.plot(points[:, 2], points[:, 1], color=palette.BLUE, marker=".", markersize=3)
    if tau is not None and points[-1, 0] >= tau:
        at = int(np.searchsorted(points[:, 0], tau))  # cases called at tau: scores >= tau
        axes.plot(points[at, 2], points[at, 1], "D", color=palette.RED, markersize=7,
                  label=f"tau = {number(tau)}")  # fmt: skip
        axes.legend(loc="lower left")
    _unit(axes, "recall", "precision")
    axes.set_title("Precision against recall")


def _by_cutoff(axes: Axes, points: Points, tau: float | None) -> None:
    axes.plot(points[:, 0], points[:, 1], color=palette.BLUE, label="precision")
    axes.plot(points[:, 0], points[:, 2], color=palette.ORANGE, linestyle="--", label="recall")
    if tau is not None:
        axes.axvline(tau, color=palette.RED, linestyle=":", label="tau")
    _unit(axes, "cutoff (score)", "share")
    axes.legend(loc="lower left")
    axes.set_title("Both against the cutoff")


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.03), ylim=(-0.02, 1.05))


def training_figure(data: ReportInput) -> str:
    """Loss and error over the epochs, the kept epoch marked."""
    rows = [(e["epoch"], e["training_loss"], e["holdout_loss"], e["holdout_error"])
            for e in data.epochs]  # fmt: skip
    table = np.asarray(rows, dtype=np.float64)
    kept = _kept_epoch(data)

    def paint(axes: list[Axes]) -> None:
        _curve(axes[0], table[:, 0], [("training", table[:, 1]), ("holdout", table[:, 2])], kept)
        axes[0].set(title="Loss (mean cross-entropy)", xlabel="epoch", ylabel="loss")
        _curve(axes[1], table[:, 0], [("holdout", table[:, 3])], kept)
        axes[1].set(title="Holdout error, every case called", xlabel="epoch", ylabel="share wrong")
        axes[1].set_ylim(bottom=0)

    last = table[-1]
    desc = (
        f"{many(len(rows), 'epoch')}. At the last one the training loss is {number(last[1])}, the "
        f"holdout loss {number(last[2])} and the holdout error {number(last[3])}."
    )
    return draw("training", "Training curves", desc, paint, 2)


def _kept_epoch(data: ReportInput) -> float | None:
    recipe = data.content.get("recipe", {})
    kept = recipe.get("epochs") if hasattr(recipe, "get") else None
    return float(kept) if isinstance(kept, (int, float)) else None


_STYLES = {"training": (palette.BLUE, "-"), "holdout": (palette.ORANGE, "--")}


def _curve(axes: Axes, x: Points, curves: Sequence[tuple[str, Points]], kept: float | None) -> None:
    for name, y in curves:
        colour, line = _STYLES[name]
        marker = "o" if len(x) == 1 else None
        axes.plot(x, y, color=colour, linestyle=line, label=name, marker=marker)
    if kept is not None:
        axes.axvline(kept, color=palette.GREY, linestyle=":", label=f"kept: epoch {kept:.0f}")
    axes.legend()
