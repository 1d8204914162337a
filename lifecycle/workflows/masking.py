"""A report without identifiers: cases, patients and slides become numbers.

Numbers follow the digests of the pinned cases, so they say nothing of names or of the order of a
file, and whoever holds the pin can find the case again (`lifecycle frozen show --json`).

Three things become of a name in a text that people wrote (title, reason, commit):

* a name that can be told from a word or a figure becomes its number;
* a sentence with another one (fewer than four letters and digits, or a plain number) is left out
  whole: masked, it would tell which word or number is a name;
* what still stands in the finished page, in a figure or in the table is refused, with its place.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.consistency.agree import Agreement, Discordant
from lifecycle.consistency.align import take
from lifecycle.domain.digests import sha256
from lifecycle.domain.predictions import Predictions
from lifecycle.domain.verdict import Verdict
from lifecycle.report.source import Changes, ReportInput, Validation
from lifecycle.workflows.known_names import Known
from lifecycle.workflows.mentions import Names, is_telling, legible

LEFT_OUT = "(left out here: it may name a case)"
_NAMING = ("frozen.amended", "predecessor.frozen")  # criteria whose sentences name cases
_COMMIT = re.compile(r"[0-9a-f]{7,64} ")  # how a line of `Changes.code` with a commit begins


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Names of people and samples -> what the report calls them.

    Attributes:
        cases, patients, groups: names -> words.
        telling, other: the names that can be told from words and figures, and those that cannot.
    """

    cases: Mapping[str, str]
    patients: Mapping[str, str]
    groups: Mapping[str, str]
    telling: Names
    other: Names

    def of(self, predictions: Predictions) -> Predictions:
        """Predictions under these names, in their order: the file's own would tell who is who."""
        order = sorted(range(len(predictions.ids)), key=lambda k: self.cases[predictions.ids[k]])
        shown = take(predictions, order)
        return dataclasses.replace(
            shown,
            ids=tuple(self.cases[name] for name in shown.ids),
            patients=tuple(self.patients[name] for name in shown.patients),
            groups=tuple(self.groups[name] for name in shown.groups),
        )

    def named(self, found: Discordant) -> Discordant:
        """A case of the comparison under these names."""
        return dataclasses.replace(
            found, case=self.cases[found.case], patient=self.patients[found.patient]
        )

    def words(self, text: str) -> str:
        """A sentence of ours, or a value: telling names become numbers, figures stay."""
        return self._written(text)[0]

    def sentence(self, text: str) -> str:
        """A sentence that a person wrote: as `words`, or left out where that cannot be decided."""
        told, rest = self._written(text)
        return LEFT_OUT if any(next(self.other.within(part), None) for part in rest) else told

    def commit(self, line: str) -> str:
        """A line about code: the subject of a commit is a sentence."""
        found = _COMMIT.match(line)
        if found is None:
            return self.words(line)
        return found[0] + self.sentence(line[found.end() :])

    def _written(self, text: str) -> tuple[str, list[str]]:
        """The text with numbers for its names, and the parts of it that were left as they are."""
        clean, end, told, rest = legible(text), 0, "", []
        for mention in self.telling.within(clean):
            rest.append(clean[end : mention.start])
            told += rest[-1] + self._called(mention.name)
            end = mention.end
        rest.append(clean[end:])
        return (told + rest[-1] if end else text), rest

    def _called(self, name: str) -> str:
        return self.cases.get(name) or self.patients.get(name) or self.groups[name]


def masked(data: ReportInput, known: Known | None = None) -> ReportInput:
    """The same report with numbers for cases, patients and slides; figures are untouched.

    Sentences about the data may quote any cell of a table, so those of the validation are only
    counted.

    Args:
        data: what the report shows.
        known: every name that is masked in texts; where None those of the report's own cases.
    """
    mask = mask_of(data, known)
    return dataclasses.replace(
        data,
        classifier=dataclasses.replace(data.classifier, title=mask.sentence(data.classifier.title)),
        verdict=_verdict(data.verdict, mask),
        agreement=None if data.agreement is None else _agreement(data.agreement, mask),
        holdout=mask.of(data.holdout),
        frozen=mask.of(data.frozen),
        frozen_before={name: mask.of(one) for name, one in data.frozen_before.items()},
        pin=dataclasses.replace(
            data.pin,
            cases={mask.cases[case]: digest for case, digest in data.pin.cases.items()},
            reason=mask.sentence(data.pin.reason),
        ),
        validation=_validation(data.validation),
        changes=None if data.changes is None else _changes(data.changes, mask),
        signatures=tuple(
            dataclasses.replace(one, reason=mask.sentence(one.reason)) for one in data.signatures
        ),
        masked=True,
    )


def _changes(changes: Changes, mask: Mask) -> Changes:
    def told(lines: Sequence[str]) -> tuple[str, ...]:
        return tuple(mask.words(line) for line in lines)

    return dataclasses.replace(
        changes,
        code=tuple(mask.commit(line) for line in changes.code),
        parameters=told(changes.parameters),
        data=told(changes.data),
        environment=told(changes.environment),
    )


def mask_of(data: ReportInput, known: Known | None = None) -> Mask:
    """What every known name is called; names of the report's own cases have the first numbers."""
    digests, own = data.pin.cases, _own(data)
    known = own if known is None else known
    shown = [*own.cases, *(case for case in known.cases if case not in own.cases)]
    order = sorted(shown, key=lambda name: (name not in digests, name not in own.cases,
                                            digests.get(name) or _hidden(name)))  # fmt: skip
    first = {name: k for k, name in enumerate(order)}

    def by_case(ours: Mapping[str, str], others: Mapping[str, str]) -> list[str]:
        """A patient or slide stands where its first case stands."""
        both = {**others, **ours}
        return sorted(both, key=lambda name: (name not in ours, first[both[name]]))

    patients = by_case(own.patients, known.patients)
    groups = by_case(own.groups, known.groups)
    every = dict.fromkeys([*order, *patients, *groups])
    return Mask(
        _numbered("case", order),
        _numbered("patient", patients),
        {"": "", **_numbered("group", groups)},
        Names(name for name in every if is_telling(name)),
        Names(name for name in every if not is_telling(name)),
    )


def _own(data: ReportInput) -> Known:
    before = data.frozen_before.values()
    return Known.of([data.frozen, data.holdout, *before], data.pin.cases)


def _hidden(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass"))


def _numbered(what: str, names: Sequence[str]) -> dict[str, str]:
    width = len(str(len(names)))
    return {name: f"{what} {k:0{width}d}" for k, name in enumerate(names, 1)}


def _verdict(verdict: Verdict, mask: Mask) -> Verdict:
    shown = dict(verdict.shown)
    if "discordant" in shown:
        shown["discordant"] = [mask.cases.get(str(name), "?") for name in shown["discordant"]]
    if "predecessor" in shown:
        shown["predecessor"] = _before(shown["predecessor"], mask)
    findings = tuple(
        dataclasses.replace(one, said=mask.sentence(one.said)) if one.criterion in _NAMING else one
        for one in verdict.findings
    )
    return dataclasses.replace(verdict, shown=shown, findings=findings)


def _before(found: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """What is shown of the version before, with numbers for its cases."""

    def called(name: object) -> str:
        return mask.cases.get(str(name), "?")

    shown = dict(found)
    for key in ("only_now", "only_then", "changed"):
        names = sorted(called(name) for name in shown[key]["first"])
        shown[key] = {**shown[key], "first": names}
    if "first" in shown:
        cases = [{**one, "case": called(one["case"])} for one in shown["first"]]
        shown["first"] = sorted(cases, key=lambda one: one["case"])
    return shown


def _agreement(agreement: Agreement, mask: Mask) -> Agreement:
    def named(found: Iterable[Discordant]) -> tuple[Discordant, ...]:
        return tuple(sorted((mask.named(one) for one in found), key=lambda one: one.case))

    return dataclasses.replace(
        agreement,
        discordant=named(agreement.discordant),
        conversions=named(agreement.conversions),
    )


def _validation(validation: Validation) -> Validation:
    def counted(lines: Sequence[str], what: str) -> tuple[str, ...]:
        return (f"{len(lines)} {what}, left out here: they may quote the data",) if lines else ()

    return dataclasses.replace(
        validation,
        failures=counted(validation.failures, "not met"),
        warnings=counted(validation.warnings, "warnings"),
    )
