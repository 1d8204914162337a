"""Rehearsals: the recipe of a build carried out under other numerics profiles, kept as evidence.

One file a build, `dossier/<c>/rehearsals/bN.json`; runs are added and none is ever removed, so that
a profile that gave other bits cannot be rehearsed away. A rehearsed network is declared
unreleasable before it is scored, and is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import digest_of, sha256
from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_evidence, read_record, write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError
from lifecycle.records.evidence import REHEARSALS


def folder(layout: Layout) -> Path:
    """Where a classifier's rehearsals stand."""
    return layout.dossier / "rehearsals"


def bound_to(build: Build, pin: str, cutoffs: Cutoffs) -> dict[str, str]:
    """What a rehearsal speaks of; where any of it is another, the rehearsal is stale.

    Args:
        build: the rehearsed build.
        pin: total of the pin in force.
        cutoffs: tau in force.
    """
    content = build.content
    return {
        "weights": build.weights,
        "recipe": digest_of(content["recipe"]),
        "inputs": digest_of(content["inputs"]),
        "pin": pin,
        # not its evidence: a sentence that is written better makes no rehearsal stale
        "tau": digest_of([list(cutoffs.yes), cutoffs.no and list(cutoffs.no), cutoffs.status]),
    }


def read_runs(layout: Layout, number: int) -> tuple[Mapping[str, Any], ...]:
    """The rehearsals of a build, oldest first; none where there is no file.

    Raises:
        IntegrityError: a bit of the file was changed, or it is of another build.
    """
    path = folder(layout) / f"b{number}.json"
    if not path.exists():
        return ()
    record = REHEARSALS.read(read_record(path), str(path))
    if record["classifier"] != layout.name or record["build"] != number:
        raise IntegrityError(f"{path} belongs to another place")
    _require_traces(str(path), record["runs"])
    return tuple(record["runs"])


def append_run(layout: Layout, number: int, run: Mapping[str, Any]) -> Path:
    """Add a rehearsal to those of its build; the file is written whole or not at all.

    Raises:
        IntegrityError: the file so far was changed, or the run is no whole one (a fault of ours).
    """
    path = folder(layout) / f"b{number}.json"
    runs = [*read_runs(layout, number), dict(run)]
    _require_traces(f"{path}: the new run", runs)
    fields = {"classifier": layout.name, "build": number, "runs": runs}
    write_json(path, REHEARSALS.write(fields, f"{path}: the new run"))
    return path


def _require_traces(where: str, runs: Sequence[Mapping[str, Any]]) -> None:
    for run in runs:
        for profile in run["profiles"]:
            if profile["trace"] not in run["traces"]:
                raise IntegrityError(f"{where} was changed: a profile's trace is missing")


@dataclass(frozen=True, slots=True)
class Counted:
    """What the rehearsals of a build amount to.

    Attributes:
        agree: rehearsed profiles that agree with the build; the same profile counts again on
            another machine, not twice on one, and not at all where it ever disagreed there.
        other_bits: profiles whose weights differ in exact mode, as `name (processor)`.
        stale: runs that speak of other weights, recipe, input, pin or tau.
    """

    agree: int
    other_bits: tuple[str, ...]
    stale: int


def count(runs: Sequence[Mapping[str, Any]], bound: Mapping[str, str], mode: str) -> Counted:
    """Count the profiles that agree with the build, over all runs that speak of it.

    In exact mode a profile agrees where its weights have the build's digest; otherwise where no
    case that both report is discordant at tau, and they report any.

    Args:
        runs: as `read_runs` gives them.
        bound: as `bound_to` gives it now.
        mode: the recipe's numerics mode.
    """
    fresh = [run for run in runs if run["bound"] == bound and run["mode"] == mode]
    agree: set[tuple[str, str]] = set()
    differ: set[tuple[str, str]] = set()
    other: dict[str, None] = {}
    for run in fresh:
        here = digest_of(run["machine"])
        for profile in run["profiles"]:
            holds = agrees(profile, bound["weights"], mode)
            (agree if holds else differ).add((here, profile["name"]))
            if mode == "exact" and not holds:
                other[f"{profile['name']} ({run['machine'].get('cpu', '')})"] = None
    return Counted(len(agree - differ), tuple(other), len(runs) - len(fresh))


def agrees(profile: Mapping[str, Any], weights: str, mode: str) -> bool:
    """Whether a rehearsed profile agrees with the build of these weights."""
    if mode == "exact":
        return bool(profile["weights"].get("sha256") == weights)
    figures = profile["against"]
    return bool(figures["discordant"] == 0 and figures["reported"] > 0)


def digests(layout: Layout) -> dict[str, str] | None:
    """SHA-256 of every file of rehearsals by name, or None: what DVC watches for the gate."""
    place = folder(layout)
    paths = sorted(place.glob("b*.json")) if place.is_dir() else []
    return {path.name: sha256(read_evidence(path)) for path in paths} or None
