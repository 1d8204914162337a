"""Divergence: where two builds' bits first part, in which operation, and how far they go apart."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.dossier.builds import RUN, Build, read_build
from lifecycle.dossier.terms import changed_terms
from lifecycle.dossier.traces import (
    TRACE,
    Difference,
    Trace,
    first_difference,
    from_bytes,
    input_digest,
    trace_of,
)
from lifecycle.errors import ExitCode, IntegrityError, UnusableInputError, UsageError
from lifecycle.numerics.fingerprint import changed_keys
from lifecycle.stats.vectors import vector_sine
from lifecycle.workflows.boundary import say
from lifecycle.workflows.building import targets
from lifecycle.workflows.data import read_input
from lifecycle.workflows.progress import bar
from lifecycle.workflows.project import Project
from lifecycle.workflows.replays import Event, Replays, Wish, compare, read_weights
from lifecycle.workflows.stage import alone

BEFORE = "state before the step"  # what a recorded step begins with (see `replaying`)
MEASURED = 40  # steps after the first differing one at which the angle is taken
_WHOLE = 1 << 60  # a last step that no training reaches: to the end

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two builds of one version from the same data and recipe, and their traces."""

    project: Project
    builds: tuple[Build, Build]
    paths: tuple[Path, Path]
    traces: tuple[Trace, Trace]
    folder: Path

    @property
    def end(self) -> int:
        """The last step that both have."""
        return min(trace.epochs for trace in self.traces) * self.steps

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.traces[0].steps

    def replays(self, wish: Wish) -> Replays:
        """Both in training again."""
        inside = self.folder / str(sum(1 for _ in self.folder.iterdir()))
        return Replays(self.project, self.builds, self.paths, wish, inside)


@dataclass(slots=True)
class Found:
    """What the replays showed.

    Attributes:
        operation: the first operation whose tensors differ, with step and figures.
        earlier: the state differed before the first recorded step.
        points: step, vector sine, and at the end of an epoch the changed calls of the holdout.
        strayed: for each build, where its replay left its own trace.
        here: for each build, environment and framework of the replay.
        states: for each build, digests of the states that were asked for.
        cases: cases of the holdout.
    """

    operation: dict[str, Any] | None = None
    earlier: bool = False
    points: list[dict[str, Any]] = field(default_factory=list)
    strayed: list[Event | None] = field(default_factory=lambda: [None, None])
    here: list[Event] = field(default_factory=list)
    states: tuple[list[str], ...] = ()
    cases: int = 0


def diverge(project: Project, names: tuple[str, str]) -> tuple[Report, int]:
    """Find the first step, layer and operation at which two builds differ, and the growth from it.

    Returns:
        What was found, and an exit code: 12 where a build cannot be repeated though it should
        (deterministic or exact arithmetic in the environment of its record), else 0.

    Raises:
        UsageError: a name is no build's, or both are the same.
        UnusableInputError: there is no such build, the builds were made from other data or by
            another recipe, or the prepared data are not theirs.
    """
    one, two = _two_builds(project, names)
    require_comparable(one, two)
    known = [_trace_of(build) for build in (one, two)]
    if one.weights == two.weights and not _parted(known):
        return _report(project, (one, two), known, None, None), int(ExitCode.DONE)
    with alone(project), _scratch(project) as folder:
        _require_input(project, (one, two), known)
        pair = _traced(project, (one, two), known, folder)
        difference = first_difference(*pair.traces)
        if difference is None:
            raise IntegrityError(f"{one.name} and {two.name} differ in weights, not in traces")
        found = None if difference.where == "input" else _searched(pair, difference)
    report = _report(project, pair.builds, pair.traces, difference, found)
    return report, _code(report, one)


def _two_builds(project: Project, names: tuple[str, str]) -> tuple[Build, Build]:
    for name in names:
        if not (name[:1] == "b" and name[1:].isdecimal() and name[1:].isascii()):
            raise UsageError(f"{name!r} is no build's name; `lifecycle builds NAME` lists them")
    if int(names[0][1:]) == int(names[1][1:]):
        raise UsageError("name two different builds: a build does not differ from itself")
    one, two = (read_build(project.layout, int(name[1:])) for name in names)
    return one, two


def require_comparable(one: Build, two: Build) -> None:
    """Refuse builds that differ on purpose.

    Raises:
        UnusableInputError: says in what: version, data, recipe or network.
    """
    pair = f"{one.name} and {two.name}"
    if one.version != two.version:
        raise UnusableInputError(
            f"{pair} are builds of versions {one.version} and {two.version}: they differ on "
            "purpose; name two builds of one version"
        )
    parts = ("cohort", "parts", "features")
    other = [k for k in parts if one.content["inputs"][k] != two.content["inputs"][k]]
    if other:
        raise UnusableInputError(
            f"{pair} were made from other data ({', '.join(f'inputs.{key}' for key in other)}), "
            "so they differ from the first step on"
        )
    terms = [
        {"recipe": b.content["recipe"], "model": b.content["terms"]["model"]} for b in (one, two)
    ]
    changes = changed_terms(terms[0], terms[1])
    if changes:
        raise UnusableInputError(
            f"{pair} were made by other recipes, so they differ on purpose: {'; '.join(changes)}"
        )


def _trace_of(build: Build) -> Trace | None:
    """A build's trace, held against its record."""
    trace = trace_of(build)
    if trace is not None and trace.weights[-1] != build.weights:
        raise IntegrityError(
            f"{build.folder / TRACE} is the trace of other weights than the record's"
        )
    return trace


def _require_input(
    project: Project, builds: Sequence[Build], known: Sequence[Trace | None]
) -> None:
    """The prepared data must be those of a build, or its replay would be another training."""
    x, cases = read_input(project, "training")
    content = builds[0].content
    here = input_digest(x, targets(cases, tuple(content["classes"]), content["task"]))
    if any(trace is not None and trace.input == here for trace in known) or not any(known):
        return
    build, now = builds[0], project.classifier.version
    aside = "" if now == build.version else f" (params.yaml is at version {now})"
    raise UnusableInputError(
        f"{project.prepared}: not what {build.name} of version {build.version} was trained on"
        f"{aside}; check out the commit in {build.folder / RUN} and run `dvc repro`"
    )


def _parted(known: Sequence[Trace | None]) -> bool:
    one, two = known
    return one is not None and two is not None and first_difference(one, two) is not None


@contextmanager
def _scratch(project: Project) -> Iterator[Path]:
    """A folder for what the replays hand over; a killed command's is swept by the next stage."""
    folder = Path(tempfile.mkdtemp(dir=project.layout.work, prefix=".divergence."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _traced(
    project: Project, builds: tuple[Build, Build], known: Sequence[Trace | None], folder: Path
) -> Pair:
    """The pair with its traces; a build that has none is trained again for one."""
    missing = [build for build, trace in zip(builds, known, strict=True) if trace is None]
    made = _traces_again(project, missing, folder) if missing else {}
    paths = tuple(made.get(build.name, build.folder / TRACE) for build in builds)
    traces = tuple(
        trace or from_bytes(path.read_bytes(), str(path))
        for trace, path in zip(known, paths, strict=True)
    )
    return Pair(project, builds, (paths[0], paths[1]), (traces[0], traces[1]), folder)


def _traces_again(project: Project, builds: list[Build], folder: Path) -> dict[str, Path]:
    for build in builds:
        say(f"{build.name} was enrolled before traces were kept: it is trained again for one")
    made = {}
    with Replays(project, builds, [None] * len(builds), Wish(_WHOLE), folder / "traces") as replays:
        for events in replays.events():
            if events[0]["event"] == "done":
                made = {b.name: Path(e["file"]) for b, e in zip(builds, events, strict=True)}
    for build in builds:
        again = from_bytes(made[build.name].read_bytes(), build.name).weights[-1]
        if again != build.weights:
            raise UnusableInputError(
                f"{build.name} has no trace, and here it is not trained to the same weights again, "
                "so its steps are not known; try it on the machine that it was built on"
            )
    return made


def _searched(pair: Pair, difference: Difference) -> Found:
    """The operation and the growth, from replays of both builds.

    A difference in wide weights is seen later than it came, at the latest at the end of its epoch;
    so the states of the epoch before are compared too, and all states where that is not enough.
    """
    seen = max(difference.step, 1)
    since = max(1, seen - 1 - pair.steps)
    found = _follow(pair, _wish(pair, (seen - 1, seen), since))
    if not found.earlier:
        return found
    first = first_state(found.states, since)
    if first == since > 1:
        first = first_state(_follow(pair, Wish(until=since, states_from=1)).states, 1)
    return _follow(pair, _wish(pair, (first,)))


def first_state(states: Sequence[Sequence[str]], since: int) -> int:
    """The first step after which two replays' states differ.

    Args:
        states: of each replay, a digest for every step from `since` on.
        since: the first of these steps.
    """
    one, two = states
    pairs = enumerate(zip(one, two, strict=True), since)
    return next((step for step, (a, b) in pairs if a != b), since + len(one))


def _wish(pair: Pair, record: tuple[int, ...], states_from: int = _WHOLE) -> Wish:
    steps = tuple(step for step in record if step > 0)
    ends = set(range(pair.steps, pair.end + 1, pair.steps))
    measure = tuple(sorted({*steps, *measured(steps[-1], pair.end)} - ends))
    return Wish(pair.end, steps, measure, weights_from=steps[0], states_from=states_from)


def measured(first: int, end: int) -> list[int]:
    """Steps at which the angle is taken: dense after the first, then further and further apart."""
    if first >= end:
        return [end]
    after = np.unique(np.geomspace(1, end - first, MEASURED).astype(np.int64))
    return [first, *(first + int(step) for step in after)]


def _follow(pair: Pair, wish: Wish) -> Found:
    """Both replays to their end, or to where they cannot go on."""
    found = Found()
    name = f"{pair.project.name}: {' and '.join(build.name for build in pair.builds)} again"
    with bar(name) as advance, pair.replays(wish) as replays:
        for events in replays.events():
            if not _heard(found, replays, events, advance, wish.until):
                break
    return found


def _heard(
    found: Found,
    replays: Replays,
    events: Sequence[Event],
    advance: Callable[[int, int], None],
    until: int,
) -> bool:
    """Take in one event of each replay; whether it is worth going on."""
    strayed = [event if event["event"] == "strayed" else None for event in events]
    if any(strayed):
        found.strayed = strayed
        return False
    kind = events[0]["event"]
    if kind == "start":
        found.here = list(events)
    elif kind == "operations" and found.operation is None:
        _compare_operations(found, replays, events)
    elif kind in ("state", "epoch"):
        found.points.append(_point(events))
        found.cases = max(found.cases, len(events[0].get("called", ())))
        advance(events[0]["step"], until)
    elif kind == "done":
        found.states = tuple(event["states"] for event in events)
    return not found.earlier


def _compare_operations(found: Found, replays: Replays, events: Sequence[Event]) -> None:
    one, two = (event["entries"] for event in events)
    at = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
    if at is None:
        return
    (name, tensor, _), other = one[at], two[at]
    if name == BEFORE:
        found.earlier = True
        found.states = tuple(event["states"] for event in events)
        return
    found.operation = {"step": events[0]["step"], "operation": name, "tensor": tensor}
    if other[:2] != [name, tensor]:
        found.operation["other"] = f"{other[0]}: {other[1]}"
        return
    found.operation |= compare(replays.tensor(0, at), replays.tensor(1, at))


def _point(events: Sequence[Event]) -> dict[str, Any]:
    point: dict[str, Any] = {"step": events[0]["step"], "sine": 0.0, "changed": None}
    if events[0]["file"] is not None:
        point["sine"] = vector_sine(*(read_weights(event) for event in events))
    if "called" in events[0]:
        pairs = zip(*(event["called"] for event in events), strict=True)
        point["changed"] = sum(a != b for a, b in pairs)
    return point


def _report(
    project: Project,
    builds: tuple[Build, Build],
    traces: Sequence[Trace | None],
    difference: Difference | None,
    found: Found | None,
) -> Report:
    trace = next((trace for trace in traces if trace is not None), None)
    steps = trace.steps if trace is not None else 0
    one, two = builds
    return {
        "classifier": project.name,
        "version": one.version,
        "builds": [build.name for build in builds],
        "same": difference is None,
        "traced": [trace is not None for trace in traces],
        "epochs": int(one.content["recipe"]["epochs"]),
        "steps": steps,
        "environment": changed_keys(one.content["environment"], two.content["environment"]),
        "trace": None if difference is None else placed(difference.step, steps)
        | {"where": difference.where},
        "replays": [] if found is None else [_replayed(b, i, found) for i, b in enumerate(builds)],
        "first": None if found is None or found.operation is None
        else found.operation | placed(found.operation["step"], steps),
        "growth": [] if found is None else [p | placed(p["step"], steps) for p in found.points],
        "cases": 0 if found is None else found.cases,
    }  # fmt: skip


def placed(step: int, steps: int) -> dict[str, int]:
    """A step counted over all epochs, with its epoch and its number within it."""
    if step == 0:
        return {"step": 0, "epoch": 0, "in_epoch": 0}
    return {"step": step, "epoch": (step - 1) // steps + 1, "in_epoch": (step - 1) % steps + 1}


def _replayed(build: Build, i: int, found: Found) -> dict[str, Any]:
    """Whether a build's replay repeated its trace, and what is other than in its record."""
    strayed, here = found.strayed[i], found.here[i] if found.here else {}
    changed = changed_keys(build.content["environment"], here.get("environment", {}))
    facts = here.get("framework", {})
    stated = {key: build.content["framework"].get(key, "") for key in facts}
    changed += changed_keys({"framework": stated}, {"framework": facts})
    place = None if strayed is None else {key: strayed[key] for key in ("where", "step", "digest")}
    return {"build": build.name, "strayed": place, "changed": changed}


def _code(report: Report, one: Build) -> int:
    """12 where a replay left its trace and nothing excuses it: not the mode, nor the machine."""
    mode = one.content["recipe"]["numerics"]["mode"]
    strays = [replay["changed"] for replay in report["replays"] if replay["strayed"] is not None]
    if mode == "exact":  # the same bits on every machine, under one version of the arithmetic
        faults = [c for c in strays if not any(k.startswith("framework.arithmetic") for k in c)]
    else:
        faults = [c for c in strays if not c and mode == "deterministic"]
    return int(ExitCode.INTEGRITY if faults else ExitCode.DONE)
