"""What a signed case says of the versions and networks before it: held against chain and dossier.

A case of `gate/1` says nothing of either and was not asked to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from lifecycle.dossier import builds as kept
from lifecycle.dossier.exposed import Exposed, joined, judged_by, missing, totals_sharing
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins
from lifecycle.errors import IntegrityError
from lifecycle.gate.rules import RULES
from lifecycle.release.case import Case, kept_case
from lifecycle.release.chain import Chain
from lifecycle.release.predecessors import counted_before, facts_of
from lifecycle.release.subjects import attempts_named
from lifecycle.workflows.auditing_beside import BUNDLE_FILE

ASKED = ("predecessor", "exposure")


def require_before(
    layout: Layout, case: Case, before: Chain, subjects: Mapping[str, str], where: str
) -> None:
    """A signed case says of earlier versions what the chain said then, and counts every network.

    Args:
        layout: the classifier's folders.
        case: signed.
        before: the records before its signature.
        subjects: files that the signature binds.
        where: the case's file, for messages.

    Raises:
        IntegrityError: names the field.
    """
    _require_rules(layout, case, before, where)
    if not set(ASKED) & set(case.criteria):
        return
    facts = facts_of(layout, before, case.version, case.first, case.policy, case.exposure)
    if case.followed != facts:
        raise IntegrityError(
            f"{where}: field case.followed: {case.followed}, and when it was signed the chain said "
            f"{facts}"
        )
    left = missing(_known(layout, case, before, subjects), case.exposure)
    if left:
        one = left[0]
        raise IntegrityError(
            f"{where}: field case.exposure: it leaves out {len(one.weights)} networks of "
            f"{one.classifier} {one.version} that were judged on its frozen cases"
        )
    _require_here(layout, case, where)


def _require_rules(layout: Layout, case: Case, before: Chain, where: str) -> None:
    """Rules never go back: older ones, which ask for less, are no way round those of today.

    Raises:
        IntegrityError: a case that was signed before names newer ones.
    """
    order = list(RULES)
    digests = dict.fromkeys(link.record.case for link in before.links if link.record.case)
    newest = max(
        (kept_case(layout, str(digest)).case.rules for digest in digests),
        key=order.index,
        default=case.rules,
    )
    if order.index(case.rules) < order.index(newest):
        raise IntegrityError(
            f"{where}: field case.rules: {case.rules}, after a case was signed by {newest}"
        )


def _known(
    layout: Layout, case: Case, before: Chain, subjects: Mapping[str, str]
) -> tuple[Exposed, ...]:
    """Networks that were judged on the case's frozen set before it was signed.

    Builds with a lower number were; so were the attempts that the signature itself binds, and what
    an earlier signed case of these frozen cases has counted.
    """
    pins = read_pins(layout.pins)
    pin = next(one for one in pins if (one.version, one.total) == (case.version, case.pin))
    totals = totals_sharing(pins, pin)
    versions = {one.version for one in pins if one.total in totals}
    built = (
        Exposed(layout.name, build.version, (build.weights,))
        for build in kept.builds_here(layout)
        if build.number <= case.build and build.version in versions
    )
    named = attempts_named(layout, subjects)
    bound = (
        Exposed(one.classifier, one.version, (weights,))
        for one in judged_by(layout)
        if one.version in versions
        for weights in one.weights
        if f"{one.version}-{weights[:32]}.json" in named
    )
    return joined(built, bound, counted_before(layout, before, totals))


def _require_here(layout: Layout, case: Case, where: str) -> None:
    """No attempt that the case counts is gone; an exported bundle holds only the classifier's own.

    Raises:
        IntegrityError: names the folder.
    """
    for one in case.exposure:
        other = Layout(layout.root, one.classifier)
        # a bundle leaves out what no signature names; the case itself is signed and says it
        if one.classifier != layout.name and os.path.lexists(layout.root / BUNDLE_FILE):
            continue
        gone = missing([one], judged_by(other))
        if gone:
            raise IntegrityError(
                f"{other.attempts}: {len(gone[0].weights)} networks of {one.classifier} "
                f"{one.version} that {where} counts are gone; restore the folder from git"
            )
