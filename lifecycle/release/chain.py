"""The chain of a classifier's records: read with every check, appended to by one writer at a time.

The order of checks is that of decision 8 (design: signed chain); the digests of the files that a
record names, and the verdicts, are checked by whoever reads the chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifecycle.domain.digests import sha256
from lifecycle.errors import IntegrityError, UnusableInputError, UsageError
from lifecycle.records.types import time_of
from lifecycle.release.envelope import opened, verified
from lifecycle.release.fields import FieldError, faults_of
from lifecycle.release.files import WAIT, locked, numbered, place_once, read_plain
from lifecycle.release.records import AIMED, KINDS, Record, record_of
from lifecycle.release.roster import End, Roster, person_of, public_of_anyone

CASES = "cases"
MOST = 99_999
# Which role a meaning needs, any of them; every role will do for `responsibility`.
ROLES_FOR: dict[str, tuple[str, ...]] = {
    "authorship": ("author",),
    "review": ("reviewer",),
    "approval": ("approver",),
    "override": ("approver", "reviewer"),
    "responsibility": ("admin", "approver", "author", "reviewer"),
}
_FILE = re.compile(rf"(?P<number>[0-9]{{5}})-(?P<kind>{'|'.join(KINDS)})\.json")


@dataclass(frozen=True, slots=True)
class Link:
    """A record where it stands.

    Attributes:
        record: what it says.
        path: its file.
        digest: SHA-256 of the file's bytes, which the next record names.
    """

    record: Record
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Chain:
    """All records of a classifier, verified.

    Attributes:
        classifier: whose they are.
        folder: where they stand.
        rosters: the signers they were verified with.
        links: in order.
    """

    classifier: str
    folder: Path
    rosters: tuple[Roster, ...]
    links: tuple[Link, ...]

    @property
    def head(self) -> str | None:
        """SHA-256 of the newest record's file; what the next one names as `previous`."""
        return self.links[-1].digest if self.links else None

    @property
    def next_number(self) -> int:
        """The number of the record to come."""
        return len(self.links) + 1


def read(folder: Path, classifier: str, rosters: Sequence[Roster]) -> Chain:
    """The chain, with every check that needs no other file.

    Args:
        folder: `dossier/<classifier>/releases`; where it is missing, the chain is empty.
        classifier: whose chain it must be.
        rosters: from `read_rosters`, so verified.

    Raises:
        IntegrityError: names file and field, and says what to do.
    """
    chain = Chain(classifier, folder, tuple(rosters), ())
    for match, path in numbered(folder, _FILE, also=(CASES,)):
        link = _checked(chain, match["kind"], path, read_plain(path))
        chain = Chain(classifier, folder, chain.rosters, (*chain.links, link))
    _require_whole(chain)
    return chain


def ends(dossier: Path, rosters: Sequence[Roster]) -> dict[str, End]:
    """Where every chain ends, each verified; what the next roster binds.

    Args:
        dossier: the folder of all classifiers.
        rosters: those in force.

    Raises:
        IntegrityError: a chain does not verify, or one that a roster knows is gone.
    """
    known = {name for roster in rosters for name in roster.chains or {}}
    there = {path.parent.name for path in dossier.glob("*/releases") if path.is_dir()}
    found = {}
    for name in sorted(known | there):
        chain = read(dossier / name / "releases", name, rosters)
        if chain.head is not None:
            found[name] = End(len(chain.links), chain.head)
    return found


def _require_whole(chain: Chain) -> None:
    """The chain is no shorter than a roster knows it."""
    for roster in chain.rosters:
        end = (roster.chains or {}).get(chain.classifier)
        if end is not None and len(chain.links) < end.records:
            raise IntegrityError(
                f"{chain.folder}: {len(chain.links)} records, and when roster "
                f"{roster.version:05d}.json was issued there were {end.records}: the newest were "
                "cut off; restore them from git"
            )


def require_head(chain: Chain, digest: str) -> None:
    """The newest record is the one that is known from elsewhere.

    Raises:
        IntegrityError: records were cut off, or it is another chain.
    """
    if chain.head == digest.lower():
        return
    place = next((k for k in chain.links if k.digest == digest.lower()), None)
    if place is not None:
        said = f"that is {place.path.name}, and newer records follow; give the newer head"
    else:
        said = "no record has it: the newest were cut off, or written anew; restore from git"
    raise IntegrityError(f"{chain.folder}: the head is {chain.head}, not {digest}: {said}")


def _checked(chain: Chain, kind: str, path: Path, data: bytes) -> Link:
    """Steps 2 to 8 for the record that follows a chain."""
    name = str(path)
    sealed = opened(data, name)
    with faults_of(name):
        public = public_of_anyone(chain.rosters, sealed.keyid)
        if public is None:
            raise FieldError("field envelope.signatures[0].keyid: a key that no roster knows")
        record = record_of(verified(sealed, public), name)
        _require_place(chain, record, kind)
        _require_signer(chain, record, sealed.keyid)
        _require_time(chain, record)
        _require_bound(chain, record, sha256(data))
    return Link(record, path, sha256(data))


def _require_place(chain: Chain, record: Record, kind: str) -> None:
    """Number, kind, classifier, link and target are those of its place."""
    facts = {
        "number": (record.number, chain.next_number),
        "kind": (record.kind, kind),
        "classifier": (record.classifier, chain.classifier),
        "previous": (record.previous, chain.head),
    }
    for field, (said, there) in facts.items():
        if said != there:
            raise FieldError(f"field {field}: {said}, and by its place it must be {there}")
    if record.kind in AIMED:
        _require_aim(chain, record)


def _require_aim(chain: Chain, record: Record) -> None:
    """A withdrawal or an amendment says of its target what the target says, a sign-off."""
    link = next((link for link in chain.links if link.digest == record.target), None)
    if link is None:
        raise FieldError("field target: no record before it has this digest")
    if link.record.kind != "sign-off":
        raise FieldError(f"field target: {link.path.name} is no sign-off")
    for field in ("version", "build", "built_by", "demonstration"):
        said, there = getattr(record, field), getattr(link.record, field)
        if said != there:
            raise FieldError(f"field {field}: {said}, and {link.path.name} says {there}")
    if dict(record.subjects) != dict(link.record.subjects):
        raise FieldError(f"field subject: not what {link.path.name} names")


def _require_signer(chain: Chain, record: Record, keyid: str) -> None:
    """The signer stood in the roster that the record binds, with that name and that role."""
    version, digest = record.roster
    if chain.links and version < chain.links[-1].record.roster[0]:
        raise FieldError("field roster.version: older than the roster of the record before")
    if version > len(chain.rosters) or chain.rosters[version - 1].digest != digest:
        raise FieldError(f"field roster: roster {version:05d}.json is missing or another one")
    person, signed = person_of(chain.rosters, version, keyid), record.signature
    if signed.keyid != keyid:
        raise FieldError("field signature.keyid: not the key that signed")
    if person is None or not person.active:
        raise FieldError(f"field signature.keyid: not an active signer of roster {version}")
    if (signed.user_id, signed.printed_name) != (person.user, person.name):
        raise FieldError(
            f"field signature.userId: roster {version} knows this key as {person.user}"
        )
    if not set(person.roles) & set(ROLES_FOR[signed.meaning]):
        raise FieldError(f"field signature.meaning: {person.user} may not sign {signed.meaning}")


def _require_time(chain: Chain, record: Record) -> None:
    """Never before the record before or the roster that it binds, nor after the next roster.

    Who was revoked could otherwise go on signing under the roster before.
    """
    moment = time_of(record.signature.signed_at)
    if moment < time_of(chain.rosters[record.roster[0] - 1].issued_at):
        raise FieldError("field signature.signedAt: before the roster was issued")
    if chain.links and moment < time_of(chain.links[-1].record.signature.signed_at):
        raise FieldError("field signature.signedAt: before the record before")
    following = chain.rosters[record.roster[0] :][:1]
    if following and moment > time_of(following[0].issued_at):
        raise FieldError(
            f"field signature.signedAt: after roster {following[0].version:05d}.json was issued, "
            "which it does not bind"
        )


def _require_bound(chain: Chain, record: Record, digest: str) -> None:
    """A record that a later roster does not know binds that roster: else it is backdated.

    Somebody whose key was revoked or replaced could otherwise go on signing under the roster
    before, in any chain, with any time.
    """
    for roster in chain.rosters:
        if roster.chains is None:
            continue
        end = roster.chains.get(chain.classifier)
        known = end.records if end else 0
        name = f"{roster.version:05d}.json"
        if end is not None and record.number == known and digest != end.head:
            raise FieldError(f"roster {name} knows another record {known}; this one took its place")
        if record.number > known and record.roster[0] < roster.version:
            raise FieldError(
                f"field roster.version: {record.roster[0]}, but when roster {name} was issued this "
                f"chain had {known} records, so this one was signed after it and must bind it"
            )


def append(
    folder: Path,
    classifier: str,
    rosters_reader: Callable[[], tuple[Roster, ...]],
    make: Callable[[Chain], tuple[str, bytes]],
    wait: float = WAIT,
) -> Link:
    """Put the next record in its place: whole or not at all, one writer at a time.

    Args:
        folder: `dossier/<classifier>/releases`; made where it is missing.
        classifier: whose chain.
        rosters_reader: reads and verifies the rosters; called under the lock.
        make: the chain as it is under the lock (with its rosters) -> kind and bytes of the record;
            whatever it raises ends the append, and nothing is written.
        wait: seconds to wait for another signer.

    Returns:
        The new record where it stands; its digest is the chain's new head.

    Raises:
        IntegrityError: the chain or the rosters do not verify.
        UsageError: what `make` made cannot follow the chain.
        SignOffRefusedError: another process has been signing for longer than `wait`.
        UnusableInputError: the folder cannot be written.
    """
    with locked(folder, wait):
        chain = read(folder, classifier, rosters_reader())
        kind, data = make(chain)
        if chain.next_number > MOST:
            raise UsageError(f"{folder} is full: a chain has at most {MOST} records")
        path = folder / f"{chain.next_number:05d}-{kind}.json"
        link = _fitting(chain, kind, path, data)
        if link.record.roster[0] != len(chain.rosters):
            raise UsageError(f"{path}: a new record binds the newest roster; nothing was written")
        try:
            place_once(path, data)
        except OSError as error:
            raise UnusableInputError(f"{path} cannot be written: {error.strerror}") from None
    return link


def _fitting(chain: Chain, kind: str, path: Path, data: bytes) -> Link:
    """The new record, held to the checks that every reader will make."""
    try:
        return _checked(chain, kind, path, data)
    except IntegrityError as error:
        said = str(error).partition("; the file was changed")[0]
        raise UsageError(f"{said}; nothing was written") from None
