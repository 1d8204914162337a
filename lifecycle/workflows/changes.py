"""What differs between two builds, in lines for a reviewer: code, parameters, data, machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import FEATURES, Build, file_of
from lifecycle.numerics.fingerprint import changed_keys
from lifecycle.report.source import Changes, Features

COMMITS = 12  # subjects that are listed; the report says how many more there are
FILES = 12  # files that are listed
WATCHED = (
    *("lifecycle", "pipelines", "dvc.yaml", "params.yaml", "requirements.lock"),
    ":!pipelines/environment/dvc.lock",  # a lock file, which every build changes
)
_SHOWN = 12  # characters of a digest


def changes_between(root: Path, before: Build, build: Build) -> Changes:
    """What the record and git say of the way from one build to a later one.

    Args:
        root: the project's root.
        before: the build before, of this or an earlier version.
        build: the build that the report is of.
    """
    other = "" if before.version == build.version else f" of version {before.version}"
    return Changes(
        before=before.name + other,
        code=tuple(_code(root, kept.run_facts(before), kept.run_facts(build))),
        parameters=tuple(_parameters(before, build)),
        data=tuple(_differing(before.content["inputs"], build.content["inputs"])),
        environment=tuple(
            changed_keys(
                {**before.content["environment"], "framework": before.content["framework"]},
                {**build.content["environment"], "framework": build.content["framework"]},
            )
        ),
    )


def features_between(before: Build, build: Build) -> Features:
    """The feature lists of two builds, held against each other."""
    old, new = (_features(one) for one in (before, build))
    kept_both = set(old) & set(new)
    return Features(
        before=before.name,
        kept=len(kept_both),
        added=tuple(name for name in new if name not in kept_both),
        dropped=tuple(name for name in old if name not in kept_both),
    )


def _features(build: Build) -> list[str]:
    return file_of(build, FEATURES).decode("utf-8").splitlines()


def _parameters(before: Build, build: Build) -> Iterator[str]:
    for key in ("terms", "recipe"):
        old, new = before.content[key], build.content[key]
        # the recipe stands in the terms too, with what the search chose in the recipe only
        known = set(_differing(before.content["terms"].get("recipe", {}),
                               build.content["terms"].get("recipe", {})))  # fmt: skip
        lines = _differing(old, new)
        yield from lines if key == "terms" else (line for line in lines if line not in known)
    if kept.run_facts(before)["policy"] != kept.run_facts(build)["policy"]:
        yield "policy: another one since then (its digests stand in the records of both builds)"


def _differing(old: Any, new: Any) -> list[str]:
    """`path: old -> new` for every entry of two nested values that differs."""
    one, two = dict(_flat(old)), dict(_flat(new))
    return [
        f"{path}: {_said(one.get(path))} -> {_said(two.get(path))}"
        for path in sorted(set(one) | set(two))
        if one.get(path) != two.get(path)
    ]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _flat(one, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)


def _said(value: str | None) -> str:
    if value is None:
        return "-"
    is_digest = len(value) == 64 and set(value) <= set("0123456789abcdef")
    return value[:_SHOWN] if is_digest else value


def _code(root: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Commits between two builds, the files that they touch, and what was never committed."""
    one, two = (str(facts.get("commit") or "") for facts in (old, new))
    for name, facts in (("before", old), ("this build", new)):
        if facts.get("clean") is False:
            yield f"{name} was made from a tree with changes that are in no commit"
    if not one or not two:
        yield "without git nobody can say which code was used"
    elif one != two:
        subjects = _git(root, "log", "--no-decorate", "--format=%h %s", f"{one}..{two}")
        touched = _git(root, "diff", "--numstat", one, two, "--", *WATCHED)
        yield from _commits(subjects, one, two)
        yield from _files(touched or (), one, two)


def _files(touched: Sequence[str], one: str, two: str) -> Iterator[str]:
    """`params.yaml: 2 lines more, 1 less`, from `git diff --numstat`."""
    for line in touched[:FILES]:
        more, less, name = line.split("\t", 2)
        counts = "not text" if more == "-" else f"{more} lines more, {less} less"
        yield f"{name}: {counts}"
    if len(touched) > FILES:
        yield f"and {len(touched) - FILES} more files: git diff {one[:_SHOWN]} {two[:_SHOWN]}"


def _commits(subjects: Sequence[str] | None, one: str, two: str) -> Iterator[str]:
    if subjects is None:
        yield f"commit {one[:_SHOWN]} -> {two[:_SHOWN]}; this clone does not have both"
        return
    yield f"commit {one[:_SHOWN]} -> {two[:_SHOWN]}, {len(subjects)} between them"
    yield from subjects[:COMMITS]
    if len(subjects) > COMMITS:
        yield f"and {len(subjects) - COMMITS} more: git log {one[:_SHOWN]}..{two[:_SHOWN]}"


def _git(root: Path, *words: str) -> list[str] | None:
    """Lines that git prints; None where it cannot answer."""
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, errors="replace", check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else None
