"""What became of every case from one build to the next: from call, to call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lifecycle.consistency.calls import STATES
from lifecycle.domain.names import INCONCLUSIVE
from lifecycle.domain.predictions import Calls
from lifecycle.report import palette
from lifecycle.report.drawing import draw
from lifecycle.report.faced import LATEST, Faced, reported
from lifecycle.report.matrix import (
    DISCORDANT,
    GAINED,
    LOST,
    Square,
    grid_of,
    paint_matrix,
    step,
)
from lifecycle.report.tables import Cell, Table, table
from lifecycle.report.text import many, short

SQUARE = 12  # classes up to which the matrix is shown whole
MOVES = 50  # moves listed where it is not

Counts = NDArray[np.int64]
_STATES = tuple(STATES[state] for state in (-1, 0, 1))
_CHANGES = ((2, 0), (0, 2), (2, 1), (0, 1), (1, 2), (1, 0))  # of _STATES, from and to


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Cases by what two builds say of them.

    Attributes:
        reference, candidate: names of the builds.
        names: of the calls: the classes, then `inconclusive` (single-label); the classes
            (multi-label).
        counts: single-label (C + 1, C + 1) cases, from (row) to (column); multi-label (C, 3, 3)
            cases by class, from and to no, inconclusive, yes.
    """

    reference: str
    candidate: str
    names: tuple[str, ...]
    counts: Counts

    @property
    def multi(self) -> bool:
        """Counted by class."""
        return self.counts.ndim == 3

    def parts(self) -> tuple[int, int, int]:
        """Discordant, lost, gained: cases, or results (case and class) of a multi-label one."""
        found = {DISCORDANT: 0, LOST: 0, GAINED: 0}
        for _, _, sign, n in self.moved():
            found[sign] += n
        return found[DISCORDANT], found[LOST], found[GAINED]

    def moved(self) -> Iterator[tuple[str, str, str, int]]:
        """From, to, sign and cases of every move that happened."""
        if self.multi:
            for j, name in enumerate(self.names):
                for a, b in _CHANGES:
                    if self.counts[j, a, b]:
                        yield (f"{name}: {_STATES[a]}", f"{name}: {_STATES[b]}",
                               _sign(a == 1, b == 1), int(self.counts[j, a, b]))  # fmt: skip
            return
        last = len(self.names) - 1
        for i, j in zip(*np.nonzero(self.counts), strict=True):
            if i != j:
                yield (self.names[i], self.names[j], _sign(i == last, j == last),
                       int(self.counts[i, j]))  # fmt: skip


def _sign(was_inconclusive: bool, is_inconclusive: bool) -> str:
    if was_inconclusive:
        return GAINED
    return LOST if is_inconclusive else DISCORDANT


def moves(faced: Faced, most: int = LATEST) -> list[Moves]:
    """The candidate against the latest builds before it, the latest first."""
    at = range(len(faced.latest) - 1)[-most:]
    count = _multi if faced.multi else _single
    names = faced.frozen.classes if faced.multi else (*faced.frozen.classes, INCONCLUSIVE)
    return [
        Moves(faced.latest[i], faced.names[-1], names, count(faced.calls[i], faced.now))
        for i in reversed(at)
    ]


def _single(old: Calls, new: Calls) -> Counts:
    """(C + 1, C + 1) cases."""
    C = len(old.classes)
    one, two = (np.where(reported(calls), calls.argmax, C) for calls in (old, new))
    flat = np.bincount(one * (C + 1) + two, minlength=(C + 1) ** 2)
    return flat.reshape(C + 1, C + 1).astype(np.int64)


def _multi(old: Calls, new: Calls) -> Counts:
    """(C, 3, 3) cases."""
    pair = 3 * (old.state + 1) + new.state + 1  # int8 holds 0 to 8
    found = [np.bincount(column, minlength=9).reshape(3, 3) for column in pair.T]
    return np.stack(found).astype(np.int64)


def conversion_tables(faced: Faced) -> list[Table]:
    """What became of the cases, against each of the latest builds."""
    found = []
    for one in moves(faced):
        if one.multi:
            found.append(_by_class(one))
        else:
            small = len(one.names) <= SQUARE + 1
            found.append(_whole(one) if small else _listed(one))
    return found


def _caption(one: Moves) -> str:
    return f"From {one.reference} (row) to {one.candidate} (column)"


_SIGNS = f"{DISCORDANT} discordant, {LOST} lost report, {GAINED} gained report."


def _whole(one: Moves) -> Table:
    rows = [
        [Cell(name), *(_cell(one, i, j) for j in range(len(one.names)))]
        for i, name in enumerate(one.names)
    ]
    note = f"Cases. {_SIGNS} The diagonal agrees; zero is left empty."
    return table(_caption(one), ("call", *one.names), rows, note=note, wide=len(one.names) > 7)


def _cell(one: Moves, i: int, j: int) -> Cell:
    n, last = int(one.counts[i, j]), len(one.names) - 1
    if i == j:
        return Cell(f"{n:,}", kind="strong")
    sign = _sign(i == last, j == last)
    text = f"{sign} {n:,}" if n else ""
    return Cell(text, kind="fail" if sign == DISCORDANT and n else "")


def _listed(one: Moves) -> Table:
    found = sorted(one.moved(), key=lambda move: (move[2] != DISCORDANT, -move[3], move[:2]))
    rows = [[a, b, f"{sign} {n:,}"] for a, b, sign, n in found[:MOVES]]
    rest = len(found) - MOVES
    more = f" The most frequent; {rest:,} more moves are not listed." if rest > 0 else ""
    caption = f"Changed from {one.reference} to {one.candidate}"
    return table(caption, ("from", "to", "cases"), rows, (0, 1), f"{_SIGNS}{more}")


def _by_class(one: Moves) -> Table:
    heads = [_change_name(a, b) for a, b in _CHANGES]
    rows: list[list[Cell | str]] = [
        [name, *(_change(int(one.counts[j, a, b]), a, b) for a, b in _CHANGES),
         f"{int(np.trace(one.counts[j])):,}"]
        for j, name in enumerate(one.names)
    ]  # fmt: skip
    caption = f"From {one.reference} to {one.candidate}, by class"
    return table(caption, ("class", *heads, "unchanged"), rows, note=f"Cases. {_SIGNS}", wide=True)


def _change_name(a: int, b: int) -> str:
    return f"{_sign(a == 1, b == 1)} {_STATES[a]} → {_STATES[b]}"


def _change(n: int, a: int, b: int) -> Cell:
    contradicts = n > 0 and _sign(a == 1, b == 1) == DISCORDANT
    return Cell(f"{n:,}" if n else "", kind="fail" if contradicts else "")


def conversions_figure(faced: Faced) -> str | None:
    """The moves from the build before to the candidate.

    None where there is no build before, or there are too many classes for a figure.
    """
    if len(faced.names) < 2 or len(faced.frozen.classes) > SQUARE:
        return None
    one = moves(faced, 1)[0]
    columns = [_change_name(a, b) for a, b in _CHANGES] if one.multi else list(one.names)
    cells = _squares_multi(one) if one.multi else _squares(one)
    title = f"From {one.reference} to {one.candidate}: what became of the calls"
    counts = [many(n, "result" if one.multi else "case") for n in one.parts()]
    desc = (
        f"A matrix of {'classes and changes' if one.multi else 'calls'} with the number of cases "
        f"in each cell; {counts[0]} discordant, {counts[1]} lost, {counts[2]} gained. "
        "Contradictions have a heavy edge and a cross."
    )
    grid = grid_of(len(one.names), len(columns))

    def paint(axes: list[Axes]) -> None:
        paint_matrix(axes[0], cells, one.names, columns)
        axes[0].set(xlabel="" if one.multi else f"{one.candidate} says",
                    ylabel="" if one.multi else f"{short(one.reference)} says")  # fmt: skip

    return draw("conversions", title, desc, paint, 1, grid)


def _squares(one: Moves) -> list[list[Square]]:
    last = len(one.names) - 1
    return [
        [
            Square(f"{n:,}" if n else "", palette.SHADE)
            if i == j
            else _square(int(n), _sign(i == last, j == last), int(row.sum()))
            for j, n in enumerate(row)
        ]
        for i, row in enumerate(one.counts)
    ]


def _squares_multi(one: Moves) -> list[list[Square]]:
    return [
        [_square(int(kind[a, b]), _sign(a == 1, b == 1), int(kind[a].sum())) for a, b in _CHANGES]
        for kind in one.counts
    ]


def _square(n: int, sign: str, whole: int) -> Square:
    """A move; its ground is the share of what the build before said."""
    if not n:
        return Square()
    ramp = palette.WARM if sign == DISCORDANT else palette.COOL
    return Square(f"{sign} {n:,}", step(n / whole, ramp), ringed=sign == DISCORDANT)
