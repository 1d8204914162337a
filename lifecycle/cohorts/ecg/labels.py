"""Labels of records: statements of the files, our names for them, the classifier's classes.

One table, `labels.csv`, says which SCP code, SNOMED CT code, CPSC2018 number and rhythm string of
an annotation file mean the same; its last column says where that stands.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.errors import UnusableInputError

Scheme = Literal["scp", "snomed", "cpsc2018", "rhythm"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A row of the label table; `rhythm` may hold several strings, joined with `;`."""

    name: str
    scp: str
    snomed: str
    cpsc2018: str
    rhythm: str
    kind: str
    english: str
    source: str


@cache
def table() -> tuple[Statement, ...]:
    """The label table in file order: the 12 rhythm statements, then the 5 superclasses."""
    path = Path(__file__).with_name("labels.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(Statement(**row) for row in csv.DictReader(file))


def names_by(scheme: Scheme) -> dict[str, str]:
    """What a scheme calls a statement -> our name (which is PTB-XL's SCP code)."""
    return {
        text: one.name for one in table() for text in str(getattr(one, scheme)).split(";") if text
    }


def require_classes(source: CohortSource, plan: SignalPlan, classes: Sequence[str]) -> None:
    """Every class is a statement that can occur; a misspelt one would never have a case.

    Where `labels` maps the file's own words, or the table of records has its own, anything goes.

    Raises:
        UnusableInputError: names the class and those that there are.
    """
    if source.labels or source.source in ("ecg_table", "simulated_ecg"):
        return
    known = [one.name for one in table() if one.kind == plan.statements]
    for name in classes:
        if name not in known:
            raise UnusableInputError(
                f"`classes` names {name!r}, which is no {plan.statements} statement; there are: "
                f"{', '.join(known)}"
            )


def require_statements(source: CohortSource, plan: SignalPlan) -> None:
    """Superclasses are PTB-XL's; other data sets have them by the laboratory's own map only.

    Raises:
        UnusableInputError: `superclass` is asked of a data set without them.
    """
    own = source.source in ("ptbxl", "ecg_table")
    if plan.statements == "superclass" and not own and not source.labels:
        raise UnusableInputError(
            f"{source.path}: `signal.statements: superclass` belongs to ptbxl; for "
            f"{source.source} give `labels`, a map from its statements to the classes"
        )


@dataclass(slots=True)
class Labeller:
    """From statements to labels, counting what is no class.

    Attributes:
        classes: in the order in which they are joined.
        mapped: the laboratory's map; it is asked for a file's own statement first, then for our
            name of it (so `AFLT: AFIB` merges two rhythms in every format).
        names: the label table.
        others: statements that became no class -> records.
    """

    classes: tuple[str, ...]
    mapped: Mapping[str, str]
    names: Mapping[str, str]
    others: Counter[str]

    def label(self, statements: Iterable[str]) -> str:
        """Classes of a record joined with `|` in class order, "" where it has none."""
        found = {name: self._class(name) for name in dict.fromkeys(statements)}
        present = set(found.values())
        self.others.update(name for name, mapped in found.items() if mapped not in self.classes)
        return "|".join(name for name in self.classes if name in present)

    def _class(self, statement: str) -> str:
        if statement in self.mapped:
            return self.mapped[statement]
        name = self.names.get(statement, statement)
        return self.mapped.get(name, name)
