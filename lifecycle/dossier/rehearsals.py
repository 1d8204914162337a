"""Rehearsals: the recipe of a build carried out under other numerics profiles, kept as evidence.

One file a build, `dossier/<c>/rehearsals/bN.json`; runs are added and none is ever removed, so that
a profile that gave other bits cannot be rehearsed away. A rehearsed network is declared
unreleasable before it is scored, and is not kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import digest_of, sha256
from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_evidence, read_record, write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError

SCHEMA = "lifecycle/rehearsals/1"
# Fields of a run and of a rehearsed profile, with their types; none is optional.
RUN: dict[str, tuple[type, ...]] = {
    "bound": (dict,),
    "made": (str,),
    "mode": (str,),
    "machine": (dict,),
    "libraries": (dict,),
    "note": (str,),
    "releasable": (bool,),
    "profiles": (list,),
    "traces": (dict,),
    "series": (dict,),
    "worst": (dict, type(None)),
    "failed": (dict,),
    "left_out": (dict,),
}
PROFILE: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "settings": (dict,),
    "seen": (dict,),
    "weights": (dict,),
    "scores": (dict,),
    "trace": (str,),
    "against": (dict,),
}
FIGURES: dict[str, tuple[type, ...]] = {
    "pair": (list,),
    "same_weights": (bool,),
    "first_epoch": (int, type(None)),
    "sine": (float, type(None)),
    "frozen_difference": (float,),
    "holdout_difference": (float,),
    "reported": (int,),
    "discordant": (int,),
    "conversions": (int,),
    "argmax_changes": (int,),
    "any_tau": (int,),
    "any_tau_share": (float, type(None)),
    "any_epoch": (int, type(None)),
}
BOUND = ("weights", "recipe", "inputs", "pin", "tau")


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
        "tau": digest_of(asdict(cutoffs)),
    }


def read_runs(layout: Layout, number: int) -> tuple[Mapping[str, Any], ...]:
    """The rehearsals of a build, oldest first; none where there is no file.

    Raises:
        IntegrityError: a bit of the file was changed, or it is of another build.
    """
    path = folder(layout) / f"b{number}.json"
    if not path.exists():
        return ()
    record = read_record(path)
    fields = {"schema", "classifier", "build", "runs", "digest"}
    if not isinstance(record, dict) or set(record) != fields or record["schema"] != SCHEMA:
        raise IntegrityError(f"{path} was changed: it is not a record of rehearsals")
    body = {key: value for key, value in record.items() if key != "digest"}
    if digest_of(body) != record["digest"]:
        raise IntegrityError(f"{path} was changed; restore it from git")
    if record["classifier"] != layout.name or record["build"] != number:
        raise IntegrityError(f"{path} belongs to another place")
    if not isinstance(record["runs"], list) or not record["runs"]:
        raise IntegrityError(f"{path} was changed: it holds no run")
    for place, run in enumerate(record["runs"]):
        _require_run(f"{path}: runs[{place}]", run)
    return tuple(record["runs"])


def append_run(layout: Layout, number: int, run: Mapping[str, Any]) -> Path:
    """Add a rehearsal to those of its build; the file is written whole or not at all.

    Raises:
        IntegrityError: the file so far was changed, or the run is no whole one (a fault of ours).
    """
    path = folder(layout) / f"b{number}.json"
    _require_run(f"{path}: the new run", run)
    runs = [*read_runs(layout, number), dict(run)]
    body = {"schema": SCHEMA, "classifier": layout.name, "build": number, "runs": runs}
    write_json(path, {**body, "digest": digest_of(body)})
    return path


def _require_run(where: str, run: Any) -> None:
    """A run from which something was taken out is not one, even if the digest was redone."""
    _require(where, run, RUN)
    _require(f"{where}.bound", run["bound"], dict.fromkeys(BOUND, (str,)))
    if run["worst"] is not None:
        _require(f"{where}.worst", run["worst"], FIGURES)
    if run["releasable"] or not run["profiles"]:
        raise IntegrityError(f"{where} was changed: a rehearsal has profiles and releases nothing")
    for profile in run["profiles"]:
        _require(f"{where}.profiles", profile, PROFILE)
        _require(f"{where}.profiles.against", profile["against"], FIGURES)
        if profile["trace"] not in run["traces"]:
            raise IntegrityError(f"{where} was changed: a profile's trace is missing")


def _require(where: str, value: Any, fields: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(value, dict) or set(value) != set(fields):
        raise IntegrityError(f"{where} was changed: its fields are not those that were written")
    for name, kinds in fields.items():
        if type(value[name]) not in kinds:
            raise IntegrityError(f"{where} was changed: field `{name}`")
        if type(value[name]) in (int, float) and not 0 <= value[name] < math.inf:
            raise IntegrityError(f"{where} was changed: field `{name}`")


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
