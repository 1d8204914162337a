"""The report's figures: tau on the holdout, training curves, scores of the builds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lifecycle.consistency.align import align
from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.report import palette
from lifecycle.report.drawing import draw
from lifecycle.report.source import ReportInput
from lifecycle.report.text import many, number, short

PANELS = 4  # builds that the candidate's scores are drawn against: the latest
AGREEING = 2000  # points drawn of those without a finding; every discordant one is drawn
MARKED = 4000
TAU_LINES = 6  # distinct cutoffs up to which each gets its line

Points = NDArray[np.float64]


def figures(data: ReportInput) -> dict[str, str]:
    """Figures that the data allow, as SVG texts: `scores`, `tau`, `training`."""
    found = {"scores": scores_figure(data)}
    if data.holdout_curve:
        found["tau"] = tau_figure(data)
    if data.epochs:
        found["training"] = training_figure(data)
    return found


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
    points = np.asarray([point[:3] for point in data.holdout_curve], dtype=np.float64)
    tau, name = _tau(data), positive_class(data)

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


def scores_figure(data: ReportInput) -> str:
    """Scores of the candidate against each earlier build; of itself where there is none."""
    if not data.frozen_before:
        return _own_scores(data)
    names = list(data.frozen_before)[-PANELS:]
    aligned = align({**{n: data.frozen_before[n] for n in names}, "": data.frozen})
    clouds = [_cloud(aligned[n], aligned[""], data.cutoffs) for n in names]

    def paint(axes: list[Axes]) -> None:
        for panel, name, cloud in zip(axes, names, clouds, strict=True):
            _scatter(panel, cloud, data.cutoffs)
            panel.set(title=f"{data.build} against {short(name)}", xlabel=f"score, {short(name)}",
                      ylabel=f"score, {data.build}")  # fmt: skip

    counts = "; ".join(f"{name}: {cloud.told()}" for name, cloud in zip(names, clouds, strict=True))
    desc = f"One point is {_point_is(data.frozen)}. Against {counts}. Lines mark the cutoffs."
    return draw("scores", "Scores of the builds on the frozen set", desc, paint, len(names))


def _point_is(frozen: Predictions) -> str:
    if frozen.task == "multi":
        return "one class of one case, by its score"
    return "one case, by the score of the class that each build calls"


@dataclass(frozen=True, slots=True, eq=False)
class _Cloud:
    """Points of two builds: (k,) scores and what became of each."""

    x: Points
    y: Points
    discordant: NDArray[np.bool_]
    converted: NDArray[np.bool_]

    def told(self) -> str:
        return (
            f"{many(len(self.x), 'point')}, {int(self.discordant.sum()):,} discordant, "
            f"{int(self.converted.sum()):,} converted"
        )


def _cloud(one: Predictions, two: Predictions, cutoffs: Cutoffs) -> _Cloud:
    old, new = call(one, cutoffs).state, call(two, cutoffs).state
    both, either = (old != 0) & (new != 0), (old != 0) != (new != 0)
    differ = both & (old != new)
    if one.task == "multi":
        return _Cloud(one.scores.ravel(), two.scores.ravel(), differ.ravel(), either.ravel())
    return _Cloud(
        one.scores.max(axis=1), two.scores.max(axis=1), differ.any(axis=1), either.any(axis=1)
    )


def _thin(mask: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """At most `most` of the marked points, evenly over their order."""
    at = np.flatnonzero(mask)
    return at if len(at) <= most else at[np.linspace(0, len(at) - 1, most).astype(np.intp)]


def _scatter(axes: Axes, cloud: _Cloud, cutoffs: Cutoffs) -> None:
    rest = ~(cloud.discordant | cloud.converted)
    layers: list[tuple[str, NDArray[np.bool_], int, dict[str, Any]]] = [
        ("no finding", rest, AGREEING, {"marker": "o", "s": 7, "facecolors": "none",
                                        "edgecolors": palette.GREY, "linewidths": 0.6}),
        ("conversion", cloud.converted, MARKED, {"marker": "^", "s": 16, "facecolors": "none",
                                                 "edgecolors": palette.BLUE}),
        ("discordant", cloud.discordant, MARKED, {"marker": "x", "s": 26, "linewidths": 1.6,
                                                  "color": palette.RED}),
    ]  # fmt: skip
    for name, mask, most, style in layers:
        at = _thin(mask, most)
        drawn = f", {len(at):,} drawn" if len(at) < mask.sum() else ""
        axes.scatter(cloud.x[at], cloud.y[at], label=f"{name}: {mask.sum():,}{drawn}", **style)
    _tau_lines(axes, cutoffs)
    _unit(axes, "", "")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0.88), handletextpad=0.3)


def _lines(cutoffs: Cutoffs) -> list[float]:
    if cutoffs.status == "refused":
        return []
    values = sorted({*cutoffs.yes, *(cutoffs.no or ())})
    return values if len(values) <= TAU_LINES else [values[0], values[-1]]


def _tau_lines(axes: Axes, cutoffs: Cutoffs) -> None:
    for value in _lines(cutoffs):
        axes.axhline(value, color=palette.SOFT, linestyle=":", linewidth=0.9)
        axes.axvline(value, color=palette.SOFT, linestyle=":", linewidth=0.9)


def _own_scores(data: ReportInput) -> str:
    """Histogram of the candidate's scores, for a first build."""
    frozen = data.frozen
    multi = frozen.task == "multi"
    values = frozen.scores.ravel() if multi else frozen.scores.max(axis=1)
    reported = call(frozen, data.cutoffs).state != 0
    told = reported.ravel() if multi else reported.any(axis=1)

    def paint(axes: list[Axes]) -> None:
        parts = [values[told], values[~told]]
        labels = [f"reportable: {len(parts[0]):,}", f"inconclusive: {len(parts[1]):,}"]
        axes[0].hist(parts, bins=np.linspace(0, 1, 41).tolist(), stacked=True, label=labels,
                     color=[palette.BLUE, palette.PAPER], edgecolor=palette.SOFT)  # fmt: skip
        for i, value in enumerate(_lines(data.cutoffs)):
            label = "tau" if i == 0 else None
            axes[0].axvline(value, color=palette.RED, linestyle=":", label=label)
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
