"""Where each version stands, by its chain: what is signed, released, refused, withdrawn, missing.

Pure: a chain that was read (so verified) in, values out. A release is a build for which every
needed role has signed, each by another person, on the same case and verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lifecycle.release.chain import Chain, Link
from lifecycle.release.records import Record

NEEDS = ("reviewer", "approver")
# Digest of a case -> the roles that its own policy needs: a later policy changes no past decision.
Needs = Callable[[str], Sequence[str]]
# The meaning that fills a needed role.
MEANING_FOR = {"author": "authorship", "reviewer": "review", "approver": "approval"}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is signed together: signatures on different subjects never add up.

    Attributes:
        build: number of the build.
        case: SHA-256 of the case file.
        verdict: pass or inconclusive.
        demonstration: of a simulated cohort, never for patients.
    """

    build: int
    case: str
    verdict: str
    demonstration: bool


@dataclass(frozen=True, slots=True)
class Release:
    """A build that all needed roles have signed.

    Attributes:
        subject: what was signed.
        links: its sign-offs in order, overrides and further ones included.
        at: when the last needed role signed, ISO 8601 with offset.
        number: the record that made it a release.
        withdrawn: the record that ended it, or None.
    """

    subject: Subject
    links: tuple[Link, ...]
    at: str
    number: int
    withdrawn: Link | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """A subject that some have signed: not a release.

    Attributes:
        subject: what was signed.
        links: its sign-offs in order.
        missing: what is still to be signed: roles, and `override` where the verdict needs one.
    """

    subject: Subject
    links: tuple[Link, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything decided about one version.

    Attributes:
        version: of the classifier.
        releases: in order, withdrawn ones too.
        partial: signed in part, the oldest first.
        refusals: in order.
        withdrawals: in order, also of signatures that had not become a release.
        amendments: in order.
    """

    version: str
    releases: tuple[Release, ...] = ()
    partial: tuple[Partial, ...] = ()
    refusals: tuple[Link, ...] = ()
    withdrawals: tuple[Link, ...] = ()
    amendments: tuple[Link, ...] = ()

    @property
    def current(self) -> Release | None:
        """The newest release that was not withdrawn."""
        return next((r for r in reversed(self.releases) if r.withdrawn is None), None)

    @property
    def tau_frozen(self) -> bool:
        """True from the first release on, for ever."""
        return bool(self.releases)

    def signers(self, build: int) -> frozenset[str]:
        """Users whose signature on a build stands, in a release or in part."""
        groups = [p.links for p in self.partial if p.subject.build == build]
        groups += [r.links for r in self.releases if r.subject.build == build and not r.withdrawn]
        return frozenset(link.record.signature.user_id for links in groups for link in links)


def usual(case: str) -> Sequence[str]:
    """The roles that a policy needs if it names none."""
    return NEEDS


def standing(chain: Chain, version: str, needs: Needs = usual) -> Standing:
    """Where one version stands.

    A refusal ends the open signatures on its build that came before it. A withdrawal of any
    signature of a release ends every release of its build, and all signatures on the build are
    spent: it may have been judged anew, by another policy, and signed more than once.

    Args:
        chain: verified.
        version: of the classifier.
        needs: of a case, roles of MEANING_FOR, each to be filled by another person.
    """
    now = Standing(version)
    for link in chain.links:
        if link.record.version == version:
            now = _after(now, link, needs)
    return now


def versions(chain: Chain) -> tuple[str, ...]:
    """Versions that the chain speaks of, in order of their first record."""
    return tuple(dict.fromkeys(link.record.version for link in chain.links))


def released_builds(
    chain: Chain, version: str, needs: Needs = usual, *, withdrawn: bool = False
) -> frozenset[int]:
    """Numbers of a version's released builds.

    Args:
        chain: verified.
        version: of the classifier.
        needs: of a case, the roles that make it a release.
        withdrawn: also those whose release was withdrawn (patients had their results).
    """
    releases = standing(chain, version, needs).releases
    return frozenset(r.subject.build for r in releases if withdrawn or r.withdrawn is None)


def tau_is_frozen(chain: Chain, version: str, needs: Needs = usual) -> bool:
    """Whether the version has ever had a release: its tau stays, even after a withdrawal."""
    return standing(chain, version, needs).tau_frozen


def latest_release(chain: Chain, needs: Needs = usual) -> tuple[str, Release] | None:
    """The newest release of any version that was not withdrawn, with its version."""
    found = [
        (release.number, version, release)
        for version in versions(chain)
        for release in standing(chain, version, needs).releases
        if release.withdrawn is None
    ]
    return max(found, key=lambda entry: entry[0])[1:] if found else None


def _after(now: Standing, link: Link, needs: Needs) -> Standing:
    kind = link.record.kind
    if kind == "sign-off":
        return _signed(now, link, needs)
    if kind == "refusal":
        kept = tuple(p for p in now.partial if p.subject.build != link.record.build)
        return replace(now, partial=kept, refusals=(*now.refusals, link))
    if kind == "withdrawal":
        return _withdrawn(now, link, needs)
    if kind == "amendment":
        return replace(now, amendments=(*now.amendments, link))
    return now  # a drill decides nothing


def _subject(record: Record) -> Subject:
    if record.build is None or record.case is None or record.verdict is None:
        raise ValueError(f"record {record.number} is no sign-off")
    return Subject(record.build, record.case, record.verdict, record.demonstration)


def _signed(now: Standing, link: Link, needs: Needs) -> Standing:
    subject = _subject(link.record)
    for at, release in enumerate(now.releases):
        if release.subject == subject and release.withdrawn is None:
            more = replace(release, links=(*release.links, link))
            return replace(now, releases=(*now.releases[:at], more, *now.releases[at + 1 :]))
    before = next((p.links for p in now.partial if p.subject == subject), ())
    links = (*before, link)
    others = tuple(p for p in now.partial if p.subject != subject)
    missing = _missing(subject, links, needs(subject.case))
    if missing:
        return replace(now, partial=(*others, Partial(subject, links, missing)))
    made = Release(subject, links, link.record.signature.signed_at, link.record.number)
    return replace(now, partial=others, releases=(*now.releases, made))


def _withdrawn(now: Standing, link: Link, needs: Needs) -> Standing:
    target = link.record.target
    # the build is withdrawn, and not one case of it: it may have been judged and signed anew
    ended = {
        r.subject.build
        for r in now.releases
        if r.withdrawn is None and any(k.digest == target for k in r.links)
    }
    releases = tuple(
        replace(r, withdrawn=link) if r.withdrawn is None and r.subject.build in ended else r
        for r in now.releases
    )
    open_ones = (p for p in now.partial if p.subject.build not in ended)
    rest = ((p, tuple(k for k in p.links if k.digest != target)) for p in open_ones)
    partial = tuple(
        Partial(p.subject, links, _missing(p.subject, links, needs(p.subject.case)))
        for p, links in rest
        if links
    )
    return replace(now, releases=releases, partial=partial, withdrawals=(*now.withdrawals, link))


def _missing(subject: Subject, links: Sequence[Link], needs: Sequence[str]) -> tuple[str, ...]:
    """Needs that nobody fills: each person fills one, authors neither review nor approve."""
    clean = subject.verdict == "pass"
    filled = _assigned([_able(need, links, clean) for need in needs], frozenset())
    missing = tuple(need for need, user in zip(needs, filled, strict=True) if user is None)
    return missing if clean or _users(links, "override") else ("override", *missing)


def _able(need: str, links: Sequence[Link], clean: bool) -> list[str]:
    """Who can fill a need."""
    if need == "author":
        return sorted(_users(links, "authorship"))
    counted = links if clean or need != "approver" else _after_override(links)
    authors = _users(links, "authorship") | {link.record.built_by for link in links}
    return sorted(_users(counted, MEANING_FOR[need]) - authors)


def _users(links: Sequence[Link], meaning: str) -> set[str]:
    signed = (link.record.signature for link in links)
    return {signature.user_id for signature in signed if signature.meaning == meaning}


def _after_override(links: Sequence[Link]) -> list[Link]:
    """Signatures given when another person had already overridden the inconclusive verdict."""
    return [
        link
        for at, link in enumerate(links)
        if _users(links[:at], "override") - {link.record.signature.user_id}
    ]


def _assigned(able: list[list[str]], taken: frozenset[str]) -> list[str | None]:
    """The fullest way to give each need a person of its own."""
    if not able:
        return []
    ways: list[list[str | None]] = [[None, *_assigned(able[1:], taken)]]
    for user in able[0]:
        if user not in taken:
            ways.append([user, *_assigned(able[1:], taken | {user})])
    return max(ways, key=lambda way: sum(user is not None for user in way))
