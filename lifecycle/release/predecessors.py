"""What a chain says of the versions before one: which was released last, and who is owed what.

Made so for a new case, and again by every audit, from the records before the signature.
"""

from __future__ import annotations

from collections.abc import Iterable

from lifecycle.domain.classifier import Policy
from lifecycle.dossier import builds as kept
from lifecycle.dossier.exposed import Exposed, joined
from lifecycle.dossier.layout import Layout
from lifecycle.release.case import kept_case, needs_of
from lifecycle.release.chain import Chain
from lifecycle.release.followed import Facts
from lifecycle.release.standing import Release, released_builds, standing, versions


def facts_of(
    layout: Layout, chain: Chain, version: str, first: int, policy: Policy,
    exposure: Iterable[Exposed],
) -> Facts:  # fmt: skip
    """How a version stands to those that were released before it.

    Args:
        layout: the classifier's folders.
        chain: its records, up to the moment that is meant.
        version: the version.
        first: number of its first build.
        policy: names the version that is followed.
        exposure: networks judged on the frozen cases.

    Raises:
        IntegrityError: a signed case is missing or was changed.
    """
    plan = policy.predecessor
    builds: frozenset[int] = frozenset()
    if plan is not None:
        builds = released_builds(chain, plan.version, needs_of(layout))
    return Facts(
        earlier=_last(layout, chain, version, first),
        builds=tuple(sorted(builds)),
        attempt=_attempt(layout, chain, version, exposure),
    )


def _last(layout: Layout, chain: Chain, version: str, first: int) -> str | None:
    """The earlier version with the newest release in force; of withdrawn ones where none is left.

    Earlier is a version whose first build has a lower number. A withdrawn release counts where no
    other is left: patients had its results.
    """
    found = [
        (release.withdrawn is None, release.number, one)
        for one in versions(chain)
        if one != version
        for release in _releases(layout, chain, one)
        if kept_case(layout, release.subject.case).case.first < first
    ]
    return max(found)[2] if found else None


def _releases(layout: Layout, chain: Chain, version: str) -> tuple[Release, ...]:
    return standing(chain, version, needs_of(layout)).releases


def _attempt(layout: Layout, chain: Chain, version: str, exposure: Iterable[Exposed]) -> int:
    """k: networks of this version and of versions that were never released, none of them settled.

    A version that failed and came back under another number is a test repeated. A release of this
    version settles what its case counted; that of a network that was released before settles
    nothing.
    """
    released = {one for one in versions(chain) if _releases(layout, chain, one)}
    settled: set[str] = set()
    known: set[str] = set()
    for release in _releases(layout, chain, version):
        weights = kept.read_build(layout, release.subject.build).weights
        if weights not in known:
            known.add(weights)
            case = kept_case(layout, release.subject.case).case
            settled |= _judged(case.exposure, layout.name, released - {version})
    return max(1, len(_judged(exposure, layout.name, released - {version}) - settled))


def _judged(exposure: Iterable[Exposed], classifier: str, but: Iterable[str]) -> set[str]:
    """Weights of a classifier's networks, of all versions but some."""
    others = set(but)
    return {
        weights
        for one in exposure
        if one.classifier == classifier and one.version not in others
        for weights in one.weights
    }


def counted_before(layout: Layout, chain: Chain, pins: Iterable[str]) -> tuple[Exposed, ...]:
    """Networks that signed cases of these frozen sets have counted: they stay counted.

    Args:
        layout: the classifier's folders.
        chain: its records, up to the moment that is meant.
        pins: totals of the pins that share a case with the one that is meant.
    """
    wanted = set(pins)
    digests = dict.fromkeys(link.record.case for link in chain.links if link.record.case)
    cases = [kept_case(layout, str(digest)).case for digest in digests]
    return joined(*(one.exposure for one in cases if one.pin in wanted))
