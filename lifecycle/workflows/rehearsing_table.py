"""A rehearsal for a person at a terminal, or as JSON."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from typing import Any

from lifecycle.dossier.rehearsals import agrees

_NARROWEST = 160  # columns: a narrower terminal breaks lines, but no figure or verdict is cut
_HEAD = ("profile", "kernels, BLAS", "weights", "scores", "first\nunlike", "sine",
         "score\ndiff.", "discordant", "conv.", "argmax", "any\nepoch", "")  # fmt: skip


def show_rehearsal(name: str, run: Mapping[str, Any], as_json: bool) -> str:
    """What a rehearsal found: a table of profiles, then what holds of all of them."""
    if as_json:
        return json.dumps(run, indent=2)
    head = (
        f"{name} {run['build']}: {run['mode']} mode, {len(run['profiles'])} profiles on "
        f"{run['machine']['cpu']}, {run['series'].get('cases', '?')} frozen cases"
    )
    return "\n".join([head, _table(run), *_said(run), run["note"]])


def _table(run: Mapping[str, Any]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, title in enumerate(_HEAD):
        table.add_column(title, justify="left" if i < 4 else "right", no_wrap=i < 4)
    for profile in run["profiles"]:
        table.add_row(*_row(run, profile))
    out = io.StringIO()
    width = max(_NARROWEST, shutil.get_terminal_size((140, 24)).columns)
    Console(file=out, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())


def _row(run: Mapping[str, Any], profile: Mapping[str, Any]) -> list[str]:
    figures = profile["against"]
    return [
        profile["name"],
        _kernels(profile["seen"]),
        profile["weights"]["sha256"][:12],
        profile["scores"]["frozen"][:12],
        _epoch(figures["first_epoch"]),
        _small(figures["sine"]),
        _small(figures["frozen_difference"]),
        f"{figures['discordant']} of {figures['reported']}",
        str(figures["conversions"]),
        str(figures["argmax_changes"]),
        "-" if figures["any_epoch"] is None else str(figures["any_epoch"]),
        _mark(run, profile),
    ]


def _kernels(seen: Mapping[str, str]) -> str:
    blas = sorted({v for key, v in seen.items() if key.endswith("_kernels") and v})
    return ", ".join([seen.get("cpu_capability", "").lower(), *blas]).strip(", ")


def _epoch(number: int | None) -> str:
    return "never" if number is None else str(number)


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _mark(run: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    """Only evidence agrees or not: a look at another mode is held against no build."""
    if not run["evidence"]:
        return ""
    return "agrees" if agrees(profile, run["bound"]["weights"], run["mode"]) else "DIFFERS"


def _said(run: Mapping[str, Any]) -> list[str]:
    lines = [_against(run), _distinct(run), *_worst(run)]
    lines += [f"not carried out: {name}: {why}" for name, why in run["failed"].items()]
    lines += [f"left out: {name}: {why}" for name, why in run["left_out"].items()]
    return [*lines, _kept(run)]


def _against(run: Mapping[str, Any]) -> str:
    reference = run["build"] if run["evidence"] else run["profiles"][0]["name"]
    return (
        f"Held against {reference}: first epoch with other weights, sine of parameters, largest "
        f"score difference, discordant calls at tau, conversions, other highest-scored class. Held "
        f"against {run['profiles'][0]['name']}: discordant calls at any tau and any epoch."
    )


def _distinct(run: Mapping[str, Any]) -> str:
    weights = len({profile["weights"]["sha256"] for profile in run["profiles"]})
    scores = len({profile["scores"]["frozen"] for profile in run["profiles"]})
    first = None if run["worst"] is None else run["worst"]["first_epoch"]
    when = "no epoch differs" if first is None else f"the first epoch that differs is {first}"
    return f"{weights} distinct weights, {scores} distinct score sets; {when}."


def _worst(run: Mapping[str, Any]) -> list[str]:
    worst, series = run["worst"], run["series"]
    if worst is None:
        return []
    lines = [
        f"All together: {series['discordant']} of {series['reported']} cases that all report are "
        f"discordant ({series['discordant_ever']} between any two), "
        f"{series['conversions']} conversions.",
        f"Worst pair ({' and '.join(worst['pair'])}): {worst['discordant']} discordant at tau, "
        f"{worst['any_tau']} at any tau; sine {_small(worst['sine'])}, "
        f"score difference {_small(worst['frozen_difference'])}.",
    ]
    if worst["any_epoch"] is not None:
        lines.append(f"At any tau and any epoch, worst pair: {worst['any_epoch']} discordant.")
    return lines


def _kept(run: Mapping[str, Any]) -> str:
    if not run["evidence"]:
        return "A look, no evidence: the recipe's own numerics were not rehearsed."
    good = sum(agrees(p, run["bound"]["weights"], run["mode"]) for p in run["profiles"])
    return f"{good} of {len(run['profiles'])} profiles agree with {run['build']}."
