"""What `lifecycle divergence` says and draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.dossier.files import write_whole
from lifecycle.errors import UnusableInputError, UsageError

ROWS = 24  # points of the growth that a terminal shows; --json has all
_KINDS = (".svg", ".png")


def require_plot(path: Path | None) -> None:
    """Refuse a plot that could not be written, before anything is trained.

    Raises:
        UsageError: another ending than .svg or .png.
        UnusableInputError: its folder is not there.
    """
    if path is None:
        return
    if path.suffix.lower() not in _KINDS:
        raise UsageError(f"--plot {path}: end it in {' or '.join(_KINDS)}")
    if not path.absolute().parent.is_dir():
        raise UnusableInputError(f"--plot {path}: there is no folder {path.absolute().parent}")


def write_plot(path: Path, report: Mapping[str, Any]) -> None:
    """The growth as a figure."""
    from lifecycle.report.divergence import divergence_png, divergence_svg

    png = path.suffix.lower() == ".png"
    write_whole(path, divergence_png(report) if png else divergence_svg(report).encode())


def show(report: Mapping[str, Any], as_json: bool = False) -> str:
    """A report for a person, or as JSON."""
    if as_json:
        return json.dumps(report, indent=2)
    names = " and ".join(report["builds"])
    head = f"{report['classifier']} {report['version']}, {names}"
    if report["same"]:
        return _same(report, head)
    lines = [head + _size(report), *_environment(report), _parting(report), *_first(report)]
    lines += _replays(report)
    return "\n".join([*lines, *_growth(report)])


def _size(report: Mapping[str, Any]) -> str:
    return f": {report['epochs']} epochs of {report['steps']} steps" if report["steps"] else ""


def _same(report: Mapping[str, Any], head: str) -> str:
    if all(report["traced"]):
        return f"{head}{_size(report)}: no step differs, and the weights are the same"
    old = [n for n, there in zip(report["builds"], report["traced"], strict=True) if not there]
    return (
        f"{head}: the weights are the same; {' and '.join(old)} has no trace of the steps to them"
    )


def _environment(report: Mapping[str, Any]) -> list[str]:
    changes = report["environment"]
    return [f"their environments differ: {'; '.join(changes)}"] if changes else [
        "their records state the same environment"
    ]  # fmt: skip


def at(place: Mapping[str, Any]) -> str:
    """A step for a person."""
    return f"epoch {place['epoch']}, step {place['in_epoch']} (step {place['step']})"


def _parting(report: Mapping[str, Any]) -> str:
    trace = report["trace"]
    if trace["where"] == "input":
        return "the traces differ before the first step: in the network's input (preprocessing)"
    if trace["where"] == "initial values":
        return "the traces differ before the first step: in the initial values"
    if trace["where"] == "weights":
        return f"the traces differ in the weights at the end of epoch {trace['epoch']}"
    return f"the traces differ from {at(trace)} on"


def _first(report: Mapping[str, Any]) -> list[str]:
    first = report["first"]
    if first is None:
        return []
    lines = [f"first differing operation: {at(first)}: {first['operation']}: {first['tensor']}"]
    if "other" in first:
        return [*lines, f"  where the other build has {first['other']}"]
    if "shapes" in first:
        return [*lines, f"  of shapes {first['shapes'][0]} and {first['shapes'][1]}"]
    one, two = first["there"]
    many = f"{first['differing']:,} of {first['values']:,} values differ"
    return [*lines, f"  {many}, most by {first['largest']:.3g} at {first['at']}: {one!r}, {two!r}"]


def _replays(report: Mapping[str, Any]) -> list[str]:
    strays = [replay for replay in report["replays"] if replay["strayed"] is not None]
    if not report["replays"]:
        return []
    if not strays:
        return ["both builds were trained again and repeated their traces bit for bit"]
    return [line for replay in strays for line in _stray(replay, report["steps"])]


def _stray(replay: Mapping[str, Any], steps: int) -> list[str]:
    strayed = replay["strayed"]
    step, epoch = strayed["step"], -(-strayed["step"] // steps)
    where = f"step {step}, in epoch {epoch}" if step else "the initial values"
    lines = [
        f"{replay['build']} cannot be repeated here: its replay leaves its trace at {where}; what "
        "came after is not shown"
    ]
    if replay["changed"]:
        return [*lines, f"  since its record: {'; '.join(replay['changed'])}"]
    return [
        *lines,
        "  this machine says the same of itself as the record: a fault in one of the two "
        "trainings, other code, or (mode native) sums in another order",
    ]


def _growth(report: Mapping[str, Any]) -> list[str]:
    points = [p for p in report["growth"] if p["sine"] > 0 or p["changed"]]
    if not points:
        return []
    head = (
        f"{'epoch':>5} {'step':>6} {'vector sine':>12}  holdout calls changed of {report['cases']}"
    )
    return [head, *(_row(point) for point in _thinned(points))]


def _thinned(points: list[Any]) -> list[Any]:
    """At most ROWS of them, the first and the last among these."""
    if len(points) <= ROWS:
        return points
    return [points[i * (len(points) - 1) // (ROWS - 1)] for i in range(ROWS)]


def _row(point: Mapping[str, Any]) -> str:
    changed = "" if point["changed"] is None else str(point["changed"])
    return f"{point['epoch']:>5} {point['in_epoch']:>6} {point['sine']:>12.3g}  {changed}".rstrip()
