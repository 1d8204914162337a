"""A report without identifiers: cases, patients and slides become numbers.

Numbers follow the digests of the pinned cases, so they say nothing of names or of the order of a
file, and whoever holds the pin can find the case again (`lifecycle frozen show --json`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from lifecycle.consistency.agree import Agreement, Discordant
from lifecycle.consistency.align import take
from lifecycle.domain.digests import sha256
from lifecycle.domain.predictions import Predictions
from lifecycle.domain.verdict import Verdict
from lifecycle.errors import UnusableInputError
from lifecycle.report.source import ReportInput, Validation

_WORD = re.compile(r"[^\s<>\"'&,;:()]+")
SHORTEST = 4  # characters; a shorter name is found in any page by chance


@dataclass(frozen=True, slots=True)
class Mask:
    """Names of people and samples -> what the report calls them."""

    cases: Mapping[str, str]
    patients: Mapping[str, str]
    groups: Mapping[str, str]

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


def masked(data: ReportInput) -> ReportInput:
    """The same report with numbers for cases, patients and slides; figures are untouched.

    Sentences about the data may quote any cell of a table, so those of the validation are only
    counted.
    """
    mask = _mask(data)
    return dataclasses.replace(
        data,
        verdict=_verdict(data.verdict, mask),
        agreement=None if data.agreement is None else _agreement(data.agreement, mask),
        holdout=mask.of(data.holdout),
        frozen=mask.of(data.frozen),
        frozen_before={name: mask.of(one) for name, one in data.frozen_before.items()},
        pin=dataclasses.replace(
            data.pin, cases={mask.cases[case]: digest for case, digest in data.pin.cases.items()}
        ),
        validation=_validation(data.validation),
        masked=True,
    )


def require_unnamed(page: str, data: ReportInput) -> None:
    """The page names no case, patient or slide of the data.

    Raises:
        UnusableInputError: it does; the page must not leave the laboratory.
    """
    parts = (data.frozen, data.holdout)
    names = {name for p in parts for row in (p.ids, p.patients, p.groups) for name in row}
    words = set(_WORD.findall(page))
    words |= {word.strip(".!?") for word in words}  # a name at the end of a sentence
    long = (name for name in names if len(name) >= SHORTEST)
    found = [name for name in long if (name in words if _is_word(name) else escape(name) in page)]
    if found:
        raise UnusableInputError(
            f"{data.name}: the report still names {len(found)} case(s) or patient(s), so it is not "
            "written; a text of the laboratory (title, reason, commit) must name them"
        )


def _is_word(name: str) -> bool:
    """Whether a name is found among words; one with a space or a comma is looked for as it is."""
    return _WORD.fullmatch(name) is not None and name == name.strip(".!?")


def _mask(data: ReportInput) -> Mask:
    digests = data.pin.cases
    parts = (data.frozen, data.holdout)
    ids = dict.fromkeys(name for part in parts for name in part.ids)
    order = sorted(ids, key=lambda name: (name not in digests, digests.get(name) or _hidden(name)))
    # a patient or slide stands where its first case stands
    first = {name: k for k, name in enumerate(order)}
    patients = _first_seen((part.ids, part.patients) for part in parts)
    groups = _first_seen((part.ids, part.groups) for part in parts)
    return Mask(
        _numbered("case", order),
        _numbered("patient", sorted(patients, key=lambda name: first[patients[name]])),
        {"": "", **_numbered("group", [name for name in groups if name])},
    )


def _hidden(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass"))


def _first_seen(rows: Iterable[tuple[Sequence[str], Sequence[str]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for ids, names in rows:
        for case, name in zip(ids, names, strict=True):
            found.setdefault(name, case)
    return found


def _numbered(what: str, names: Sequence[str]) -> dict[str, str]:
    width = len(str(len(names)))
    return {name: f"{what} {k:0{width}d}" for k, name in enumerate(names, 1)}


def _verdict(verdict: Verdict, mask: Mask) -> Verdict:
    shown = dict(verdict.shown)
    if "discordant" in shown:
        shown["discordant"] = [mask.cases.get(str(name), "?") for name in shown["discordant"]]
    return dataclasses.replace(verdict, shown=shown)


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
