"""The split: stratified by class, and no patient and no slide on two sides.

Cases that share a patient or a group (a slide), directly or through others, form a component; a
component goes to one part whole. How components are drawn:

1. Cases are sorted by id, so the order of the file is irrelevant. Components are put into a random
   order by 64-bit integers of PCG64(SeedSequence([seed, tag, attempt])), ties by their first id.
2. The frozen part is drawn from all components, then the holdout from those that are left; what
   remains is the training part. The size of a part is share x cases, rounded half up; classes share
   it by largest remainders (Hamilton), at least one case each.
3. Rarest class first (fewest components): the first component in random order that fits into every
   quota represents the class, else the one that exceeds least.
4. All others in random order: a component is taken where that brings the counts nearer to the
   quotas (L1). So the chance of a component does not depend on its size, until a part is full.
5. A component is never taken where a class would keep fewer components than parts to be filled
   later. Where classes still get no place, because components hold several, further attempts with
   other random integers follow.

A case without a label has no class to be split by: `aside`, unless it comes from a separate frozen
source. A multi-label case counts for each of its classes.

Where the plan names folds that the cohort was published with, nothing is drawn: a fold is frozen,
holdout or training whole. A frozen fold keeps its cases without a label; they are judged for
consistency, and nothing is known of their class.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from lifecycle.domain.classifier import FrozenPlan, Part, SplitPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.names import fault_of_twins
from lifecycle.domain.sheets import csv_text
from lifecycle.dossier.files import read_regular, write_whole
from lifecycle.errors import ExpectationError, UnusableInputError
from lifecycle.numerics.streams import raw

TAG_SPLIT = 1701  # streams of the split; other tags belong to initial values and batch orders
ATTEMPTS = 32
_HEADER = ["case_id", "part"]
_PARTS: tuple[Part, ...] = get_args(Part)


def assign(
    cohort: Cohort,
    frozen_cohort: Cohort | None,
    split: SplitPlan,
    frozen: FrozenPlan,
    kept: Mapping[str, Part] | None,
) -> dict[str, Part]:
    """The part of every case.

    Args:
        cohort: the cases to split.
        frozen_cohort: a separate frozen source, all of whose cases are `frozen`; else None.
        split: share of the holdout (of what is not frozen) and seed.
        frozen: its `fraction` where there is no separate source.
        kept: the split of the version's first build, or None for that build itself. Known cases
            keep their part. A new case goes where its component has known cases; where that is
            `frozen` or more than one part it is `aside`, and without any it is `training`.

    Returns:
        Case id -> part, sorted by id. No patient and no group has cases in two of training,
        holdout and frozen. Every class is in training and holdout, and in a frozen fraction of
        a first split. The order of cases is irrelevant.

    Raises:
        ExpectationError: a class has too few cases or components for its parts; a patient, group
            or case is in both cohorts; kept parts straddle.
    """
    outside = _outside(frozen_cohort)
    if kept is None:
        _require_disjoint(cohort, outside)
        parts = (
            _first_split(cohort, split, frozen.fraction if frozen_cohort is None else None)
            if split.folds is None
            else _fold_split(cohort, split.folds, frozen.folds or ())
        )
    else:
        parts = _kept_split(cohort, outside, kept)
        _require_disjoint(cohort, outside, parts)
        if split.folds is None:
            _require_present(cohort, parts, kept)
    _require_whole(cohort, parts)
    parts.update(dict.fromkeys(outside.ids, "frozen"))
    return dict(sorted(parts.items()))


# ---- components


@dataclass(frozen=True, slots=True)
class _Outside:
    """What the separate frozen source holds."""

    ids: frozenset[str]
    patients: frozenset[str]
    groups: frozenset[str]


def _outside(cohort: Cohort | None) -> _Outside:
    if cohort is None:
        return _Outside(frozenset(), frozenset(), frozenset())
    groups = frozenset(cohort.groups) - {""}
    return _Outside(frozenset(cohort.ids), frozenset(cohort.patients), groups)


def _links(cohort: Cohort, i: int) -> list[Hashable]:
    """What ties case i to others: id (a duplicated case is one), patient and group."""
    group = cohort.groups[i]
    ties: list[Hashable] = [("id", cohort.ids[i]), ("patient", cohort.patients[i])]
    return [*ties, ("group", group)] if group else ties


def components(cohort: Cohort) -> list[list[int]]:
    """Rows that share a patient or group, directly or through others.

    Components are ordered by their first id, rows within by id.
    """
    root: dict[Hashable, Hashable] = {}
    order = sorted(range(len(cohort.ids)), key=cohort.ids.__getitem__)
    for i in order:
        first, *others = _links(cohort, i)
        for other in others:
            root[_find(root, other)] = _find(root, first)
    found: dict[Hashable, list[int]] = {}
    for i in order:
        found.setdefault(_find(root, ("id", cohort.ids[i])), []).append(i)
    return list(found.values())


def _find(root: dict[Hashable, Hashable], node: Hashable) -> Hashable:
    """The representative of a node; paths are halved on the way (Tarjan)."""
    while root.setdefault(node, node) != node:
        root[node] = root[root[node]]
        node = root[node]
    return node


# ---- the first split of a version


@dataclass(frozen=True, slots=True)
class _Piece:
    """A component: its labelled and other rows, and its cases a class."""

    rows: tuple[int, ...]
    unlabelled: tuple[int, ...]
    counts: Counter[str]


def _first_split(cohort: Cohort, split: SplitPlan, fraction: float | None) -> dict[str, Part]:
    pieces = [_piece(cohort, rows) for rows in components(cohort)]
    labelled = [piece for piece in pieces if piece.rows]
    shares: list[tuple[Part, float]] = [("frozen", fraction)] if fraction is not None else []
    shares.append(("holdout", split.holdout))
    _require_splittable(labelled, [part for part, _ in shares])
    drawn = _drawn(labelled, shares, split.seed)
    parts: dict[str, Part] = {cohort.ids[i]: "aside" for piece in pieces for i in piece.unlabelled}
    for piece, part in zip(labelled, drawn, strict=True):
        parts.update({cohort.ids[i]: part for i in piece.rows})
    return parts


def _piece(cohort: Cohort, rows: list[int]) -> _Piece:
    counts = Counter(name for i in rows for name in _classes(cohort.labels[i]))
    labelled = tuple(i for i in rows if cohort.labels[i])
    return _Piece(labelled, tuple(i for i in rows if not cohort.labels[i]), counts)


def _classes(label: str) -> set[str]:
    return set(label.split("|")) - {""}


def _require_splittable(pieces: Sequence[_Piece], drawn: Sequence[Part]) -> None:
    """Every class needs as many components as there are parts."""
    if not pieces:
        raise ExpectationError("no case has a label, so there is nothing to split")
    needed = ["training", *reversed(drawn)]
    cases = sum((piece.counts for piece in pieces), Counter[str]())
    blocks = Counter(name for piece in pieces for name in piece.counts)
    for name in sorted(blocks):
        if blocks[name] < len(needed):
            raise ExpectationError(_too_few(name, cases[name], blocks[name], needed))


def _too_few(name: str, cases: int, blocks: int, needed: Sequence[str]) -> str:
    counted = f"{cases} case{'s' if cases != 1 else ''}"
    if blocks < cases:
        counted += f" in {blocks} patient or slide component{'s' if blocks != 1 else ''}"
    return (
        f"class {name!r} has {counted}; {', '.join(needed[:-1])} and {needed[-1]} need at least "
        "one each that share no patient or slide: add cases, or leave the class out"
    )


def _drawn(pieces: Sequence[_Piece], shares: Sequence[tuple[Part, float]], seed: int) -> list[Part]:
    """The part of each component; the first attempt in which every class has its place."""
    missing: tuple[str, Part] = ("", "training")
    for attempt in range(ATTEMPTS):
        keys = raw(seed, TAG_SPLIT, attempt, size=len(pieces))
        order = [int(i) for i in np.argsort(keys, kind="stable")]
        parts = _attempt(pieces, order, shares)
        absent = _absent(pieces, parts, [part for part, _ in shares])
        if absent is None:
            return parts
        missing = absent
    name, part = missing
    count = sum(piece.counts[name] for piece in pieces)
    raise ExpectationError(
        f"class {name!r} ({count} cases) has no place in {part}: its patients and slides are tied "
        "to those of other classes; add cases, or correct the columns of patient and group"
    )


def _attempt(
    pieces: Sequence[_Piece], order: list[int], shares: Sequence[tuple[Part, float]]
) -> list[Part]:
    parts: list[Part] = ["training"] * len(pieces)
    left = order
    for later, (part, share) in zip(range(len(shares), 0, -1), shares, strict=True):
        taken = _Draw.of([pieces[i] for i in left], share, later).drawn()
        for place in taken:
            parts[left[place]] = part
        left = [i for place, i in enumerate(left) if place not in taken]
    return parts


def _absent(
    pieces: Sequence[_Piece], parts: Sequence[Part], drawn: Sequence[Part]
) -> tuple[str, Part] | None:
    """The first class without a case in a part, if any."""
    have = {
        (name, part) for piece, part in zip(pieces, parts, strict=True) for name in piece.counts
    }
    wanted: list[Part] = ["training", *drawn]
    names = sorted({name for name, _ in have})
    return next(((n, part) for n in names for part in wanted if (n, part) not in have), None)


class _Draw:
    """One part being drawn from components in random order (steps 2 to 5 of the module)."""

    def __init__(self, pieces: Sequence[_Piece], quota: Counter[str], later: int) -> None:
        self.pieces = pieces
        self.quota = quota
        self.later = later  # parts that are still to be filled from what is left
        self.taken: set[int] = set()
        self.have: Counter[str] = Counter()
        self.left = Counter(name for piece in pieces for name in piece.counts)

    @classmethod
    def of(cls, pieces: Sequence[_Piece], share: float, later: int) -> _Draw:
        """A draw of a share of the cases."""
        cases = sum((piece.counts for piece in pieces), Counter[str]())
        return cls(pieces, quotas(cases, share), later)

    def drawn(self) -> set[int]:
        """Places of the components that are taken."""
        for name in sorted(self.left, key=lambda one: (self.left[one], one)):
            if not self.have[name]:
                self._represent(name)
        for place in range(len(self.pieces)):
            if place not in self.taken and self._may(place) and self._cost(place) < 0:
                self._take(place)
        return self.taken

    def _represent(self, name: str) -> None:
        allowed = [
            place
            for place, piece in enumerate(self.pieces)
            if name in piece.counts and place not in self.taken and self._may(place)
        ]
        if allowed:
            self._take(min(allowed, key=self._excess))

    def _may(self, place: int) -> bool:
        return all(self.left[name] > self.later for name in self.pieces[place].counts)

    def _excess(self, place: int) -> int:
        counts = self.pieces[place].counts
        return sum(max(0, self.have[n] + k - self.quota[n]) for n, k in counts.items())

    def _cost(self, place: int) -> int:
        """Change of the L1 distance to the quotas."""
        counts = self.pieces[place].counts
        gaps = {name: self.quota[name] - self.have[name] for name in counts}
        return sum(abs(gaps[name] - k) - abs(gaps[name]) for name, k in counts.items())

    def _take(self, place: int) -> None:
        self.taken.add(place)
        self.have.update(self.pieces[place].counts)
        self.left.subtract(self.pieces[place].counts.keys())


def quotas(cases: Mapping[str, int], share: float) -> Counter[str]:
    """Cases of each class in a part: largest remainders, at least one each.

    The sum is share x all cases, rounded half up, where no class had to be raised to one. Ties of
    remainders go to the larger class, then by name.
    """
    exact = {name: share * count for name, count in cases.items()}
    quota = Counter({name: math.floor(value) for name, value in exact.items()})
    total = math.floor(share * sum(cases.values()) + 0.5)
    rest = sorted(exact, key=lambda one: (quota[one] - exact[one], -cases[one], one))
    for name in rest[: max(0, total - quota.total())]:
        quota[name] += 1
    return Counter({name: max(1, count) for name, count in quota.items()})


def _fold_split(cohort: Cohort, holdout: Sequence[str], frozen: Sequence[str]) -> dict[str, Part]:
    """The published folds: frozen ones, the holdout's, and the training part of all others."""
    _require_folds(cohort, (*holdout, *frozen))
    parts: dict[str, Part] = {}
    for case, fold, label in zip(cohort.ids, cohort.folds, cohort.labels, strict=True):
        if fold in frozen:
            parts[case] = "frozen"
        elif not label or not fold:
            parts[case] = "aside"
        else:
            parts[case] = "holdout" if fold in holdout else "training"
    empty = [part for part in ("training", "holdout") if part not in parts.values()]
    if empty:
        raise ExpectationError(f"the folds leave no labelled case for {empty[0]}")
    return parts


def _require_folds(cohort: Cohort, named: Sequence[str]) -> None:
    have = sorted(set(cohort.folds) - {""})
    unknown = [fold for fold in named if fold not in have]
    if unknown:
        raise UnusableInputError(
            f"params.yaml names fold {unknown[0]!r}; the cohort has "
            f"{', '.join(have) if have else 'no folds: draw the split by `fraction` instead'}"
        )


# ---- later builds of a version


def _kept_split(cohort: Cohort, outside: _Outside, kept: Mapping[str, Part]) -> dict[str, Part]:
    _require_kept_parts(kept)
    parts: dict[str, Part] = {}
    for rows in components(cohort):
        known = {cohort.ids[i]: kept[cohort.ids[i]] for i in rows if cohort.ids[i] in kept}
        away = any(_ties_outside(cohort, i, outside) for i in rows)
        place: Part = "aside" if away else _joined(set(known.values()))
        for i in rows:
            new: Part = place if cohort.labels[i] else "aside"
            parts[cohort.ids[i]] = known.get(cohort.ids[i], new)
    return parts


def _joined(known: set[Part]) -> Part:
    """Where a new case goes whose component has cases in the parts `known`."""
    sides = known - {"aside"} or known
    if not sides:
        return "training"
    if len(sides) > 1 or "frozen" in sides:
        return "aside"
    return next(iter(sides))


def _require_kept_parts(kept: Mapping[str, Part]) -> None:
    wrong = [case for case, part in kept.items() if part not in _PARTS]
    if wrong:
        raise UnusableInputError(f"kept split: case {wrong[0]!r} has part {kept[wrong[0]]!r}")


def _ties_outside(cohort: Cohort, i: int, outside: _Outside) -> bool:
    in_ids = cohort.ids[i] in outside.ids or cohort.patients[i] in outside.patients
    return in_ids or cohort.groups[i] in outside.groups


# ---- what must hold


def _require_present(cohort: Cohort, parts: Mapping[str, Part], kept: Mapping[str, Part]) -> None:
    """Classes of known cases are still trained and held out; the pin speaks for frozen ones."""
    labels = list(zip(cohort.ids, cohort.labels, strict=True))
    known = {name for case, label in labels if case in kept for name in _classes(label)}
    have = {(name, parts[case]) for case, label in labels for name in _classes(label)}
    for name in sorted(known):
        for part in ("training", "holdout"):
            if (name, part) not in have:
                count = sum(name in _classes(label) for _, label in labels)
                raise ExpectationError(
                    f"class {name!r} ({count} cases) has none left in {part} of the kept split; "
                    "restore its cases, or begin a new version"
                )


def _require_disjoint(
    cohort: Cohort, outside: _Outside, parts: Mapping[str, Part] | None = None
) -> None:
    """No case, patient or group is in both, in whatever spelling; cases set aside may be."""
    used = [i for i, case in enumerate(cohort.ids) if not parts or parts[case] != "aside"]
    columns: list[tuple[str, tuple[str, ...], Iterable[str]]] = [
        ("case", cohort.ids, outside.ids),
        ("patient", cohort.patients, outside.patients),
        ("group", cohort.groups, outside.groups),
    ]
    for what, column, frozen in columns:
        both = sorted({column[i] for i in used} & set(frozen))
        if both:
            more = f" (and {len(both) - 1} more)" if len(both) > 1 else ""
            raise ExpectationError(
                f"{what} {both[0]!r}{more} is both in the cohort and in the frozen source; take "
                "its cases out of one of them"
            )
        fault = None if what == "case" else fault_of_twins(what, (column[i] for i in used), frozen)
        if fault is not None:
            raise ExpectationError(f"the frozen source and the cohort: {fault}")


def _require_whole(cohort: Cohort, parts: Mapping[str, Part]) -> None:
    """No patient and no group has cases in two parts that are used."""
    for what, column in (("patient", cohort.patients), ("group", cohort.groups)):
        side: dict[str, Part] = {}
        for value, case in zip(column, cohort.ids, strict=True):
            part = parts[case]
            if part == "aside" or not value:
                continue
            if side.setdefault(value, part) != part:
                raise ExpectationError(
                    f"{what} {value!r} has cases in {side[value]} and in {part} of the split "
                    f"(case {case!r}); correct the {what} column or the folds, or begin a new "
                    "version"
                )


# ---- the file


def write_parts(path: Path, parts: Mapping[str, Part], order: Sequence[str]) -> None:
    """Write `case_id,part`, one case a line in the order given, whole or not at all.

    Raises:
        ValueError: `order` does not name the same cases as `parts`.
    """
    cases = list(dict.fromkeys(order))
    if set(cases) != set(parts):
        raise ValueError("`order` and `parts` name different cases")
    text = csv_text([_HEADER, *([case, parts[case]] for case in cases)])
    write_whole(path, text.encode("utf-8"))


def read_parts(path: Path) -> dict[str, Part]:
    """The part of each case, in file order.

    Raises:
        UnusableInputError: the file is missing or malformed; the message names the line.
    """
    try:
        data = read_regular(path, follow=True)[0]
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing; run the split stage") from None
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read: {error}") from None
    return parts_in(data, path)


def parts_in(data: bytes, path: Path) -> dict[str, Part]:
    """The part of each case, in file order, out of the bytes of a file.

    Raises:
        UnusableInputError: they are malformed; the message names `path` and the line.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableInputError(f"{path} cannot be read: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    parts: dict[str, Part] = {}
    try:
        _require_row(path, 1, next(reader, []), _HEADER)
        for row in reader:
            _add_row(path, reader.line_num, row, parts)
    except csv.Error as error:
        raise UnusableInputError(f"{path}, line {reader.line_num}: {error}") from None
    if not parts:
        raise UnusableInputError(f"{path} has no cases; run the split stage again")
    return parts


def _require_row(path: Path, line: int, row: list[str], wanted: list[str]) -> None:
    if row != wanted:
        raise UnusableInputError(f"{path}, line {line}: {row} where {wanted} is expected")


def _add_row(path: Path, line: int, row: list[str], parts: dict[str, Part]) -> None:
    if len(row) != 2 or not row[0]:
        raise UnusableInputError(f"{path}, line {line}: a case id and a part are expected: {row}")
    part = next((one for one in _PARTS if one == row[1]), None)
    if part is None:
        known = ", ".join(_PARTS)
        raise UnusableInputError(f"{path}, line {line}: part {row[1]!r} is none of {known}")
    if row[0] in parts:
        raise UnusableInputError(f"{path}, line {line}: case {row[0]!r} occurs twice")
    parts[row[0]] = part
