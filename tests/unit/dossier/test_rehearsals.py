"""The record of rehearsals: strict, append-only, and counted only where it speaks of the build."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support import every_flip

from lifecycle.domain.digests import canonical_json, digest_of
from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.rehearsals import (
    Counted,
    append_run,
    bound_to,
    count,
    digests,
    folder,
    read_runs,
)
from lifecycle.errors import IntegrityError

FIGURES = {
    "pair": ["b1", "sse-1"], "same_weights": True, "first_epoch": None, "sine": 0.0,
    "frozen_difference": 0.0, "holdout_difference": 0.0, "reported": 9, "discordant": 0,
    "conversions": 0, "argmax_changes": 0, "any_tau": 0, "any_tau_share": 0.0, "any_epoch": 0,
}  # fmt: skip
W, F = "a" * 64, "f" * 64
CONTENT = {"weights": {"sha256": W}, "recipe": {"lr": 1}, "inputs": {"cohort": "c"}}
BUILD = Build(1, CONTENT, {}, "d", Path())
CUT = Cutoffs((0.5, 0.5), None, "proposed", {})
BOUND = bound_to(BUILD, "b" * 64, CUT)


def _profile(name: str, weights: str = W, **figures: Any) -> dict[str, Any]:
    return {
        "name": name, "settings": {}, "seen": {}, "weights": {"sha256": weights, "md5": "m"},
        "scores": {"frozen": "f", "holdout": "h"}, "trace": "t", "against": {**FIGURES, **figures},
    }  # fmt: skip


def _run(*profiles: dict[str, Any], **change: Any) -> dict[str, Any]:
    run = {
        "bound": BOUND, "made": "2026-11-21T10:00:00+01:00", "mode": "exact",
        "machine": {"cpu": "Example CPU"}, "libraries": {}, "note": "n", "releasable": False,
        "profiles": list(profiles) or [_profile("sse-1")], "traces": {"t": [W]}, "series": {},
        "worst": dict(FIGURES), "failed": {}, "left_out": {},
    }  # fmt: skip
    return run | change


def test_runs_are_added_and_none_is_lost(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "c")
    assert read_runs(layout, 1) == ()
    assert digests(layout) is None
    path = append_run(layout, 1, _run())
    before = digests(layout)
    append_run(layout, 1, _run(_profile("avx2-1")))
    assert [run["profiles"][0]["name"] for run in read_runs(layout, 1)] == ["sse-1", "avx2-1"]
    assert path == folder(layout) / "b1.json"
    assert digests(layout) != before is not None


def test_every_single_bit_is_seen_and_the_file_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "c")
    path = append_run(layout, 1, _run())
    data = path.read_bytes()
    for flipped in every_flip(data):
        path.write_bytes(flipped)
        with pytest.raises(IntegrityError, match=r"rehearsals/b1\.json"):
            read_runs(layout, 1)


def test_a_record_of_another_build_or_classifier_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "c")
    path = append_run(layout, 1, _run())
    (path.parent / "b2.json").write_bytes(path.read_bytes())
    with pytest.raises(IntegrityError, match="another place"):
        read_runs(layout, 2)


def _holes() -> list[tuple[str, ...]]:
    run = _run()
    found = [(key,) for key in run] + [("bound", key) for key in BOUND]
    found += [("worst", key) for key in FIGURES]
    found += [("profiles", "0", key) for key in run["profiles"][0]]
    return found + [("profiles", "0", "against", key) for key in FIGURES]


@pytest.mark.parametrize("hole", _holes(), ids=".".join)
@pytest.mark.parametrize("change", ["missing", "mistyped"])
def test_what_was_taken_out_is_missed_even_if_the_digest_is_redone(
    tmp_path: Path, hole: tuple[str, ...], change: str
) -> None:
    layout = Layout(tmp_path, "c")
    run: Any = deepcopy(_run())
    place = run
    for key in hole[:-1]:
        place = place[int(key)] if key.isdigit() else place[key]
    if change == "missing":
        del place[hole[-1]]
    else:
        place[hole[-1]] = ("x",) if not isinstance(place[hole[-1]], list) else "x"
    body = {
        "schema": "lifecycle/rehearsals/2",
        "program": "lifecycle 0.2.0",
        "classifier": "c",
        "build": 1,
        "runs": [run],
    }
    folder(layout).mkdir(parents=True)
    data = canonical_json({**body, "digest": digest_of(body)})
    (folder(layout) / "b1.json").write_bytes(data)
    with pytest.raises(IntegrityError, match="was changed"):
        read_runs(layout, 1)


@pytest.mark.parametrize(
    "change", [{"releasable": True}, {"profiles": []}, {"traces": {}}, {"worst": {}}]
)
def test_what_is_no_rehearsal_is_not_written(tmp_path: Path, change: dict[str, Any]) -> None:
    layout = Layout(tmp_path, "c")
    with pytest.raises(IntegrityError):
        append_run(layout, 1, _run(**change))
    assert digests(layout) is None


def test_exact_profiles_agree_by_their_weights() -> None:
    run = _run(_profile("sse-1"), _profile("avx2-1", "other"))
    assert count([run], BOUND, "exact") == Counted(1, ("avx2-1 (Example CPU)",), 0)


def test_other_modes_agree_by_their_calls() -> None:
    silent = _profile("avx2-2", "z", reported=0)
    run = _run(_profile("sse-1", "x"), _profile("avx2-1", "y", discordant=1), silent, mode="native")
    assert count([run], BOUND, "native") == Counted(1, (), 0)


def test_a_profile_counts_once_a_machine() -> None:
    again, elsewhere = _run(), _run(machine={"cpu": "Another"})
    assert count([_run(), again], BOUND, "exact").agree == 1
    assert count([_run(), elsewhere], BOUND, "exact").agree == 2


def test_what_disagreed_once_cannot_be_rehearsed_away() -> None:
    bad, good = _run(_profile("sse-1", "other")), _run()
    found = count([bad, good], BOUND, "exact")
    assert (found.agree, found.other_bits) == (0, ("sse-1 (Example CPU)",))


@pytest.mark.parametrize("key", list(BOUND))
def test_a_rehearsal_of_something_else_does_not_count(key: str) -> None:
    assert count([_run()], {**BOUND, key: "another"}, "exact") == Counted(0, (), 1)
    assert count([_run()], BOUND, "native") == Counted(0, (), 1)


def test_what_a_rehearsal_is_bound_to() -> None:
    others = [
        bound_to(Build(1, {**CONTENT, key: {"sha256": F}}, {}, "d", Path()), "b" * 64, CUT)
        for key in CONTENT
    ]
    others.append(bound_to(BUILD, F, CUT))
    others.append(bound_to(BUILD, "b" * 64, Cutoffs((0.5, 0.6), None, "proposed", {})))
    assert all(other != BOUND for other in others)
    assert len({digest_of(other) for other in others}) == len(BOUND)
