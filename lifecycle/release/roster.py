"""Who may sign as what: numbered rosters, each signed by an administrator of the one before.

The first roster vouches for itself, so whoever verifies must know its SHA-256 from elsewhere (the
fingerprint): a chain forged from scratch passes without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lifecycle.domain.digests import sha256
from lifecycle.errors import IntegrityError, UnusableInputError, UsageError
from lifecycle.records.release import ROSTER as ROSTER_FORMAT
from lifecycle.records.release import PersonRecord, RosterV3
from lifecycle.records.types import time_of
from lifecycle.release.envelope import Sealed, opened, seal, verified
from lifecycle.release.fields import FieldError, faults_of, strict_json
from lifecycle.release.files import WAIT, locked, numbered, place_once, read_plain
from lifecycle.release.keys import keyid, public_key
from lifecycle.version import PROGRAM

ROSTER = "application/vnd.lifecycle.roster+json"
ROLES = ("admin", "approver", "author", "reviewer")
_FILE = re.compile(r"(?P<number>[0-9]{5})\.json")


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who may sign.

    Attributes:
        user: short id, unique whatever the case of its letters.
        name: as printed in records (21 CFR 11.50).
        keyid: SHA-256 of the key's SubjectPublicKeyInfo.
        public: that key, base64 of its DER.
        roles: sorted, of ROLES.
        active: false once the person has left or the key is not trusted any more.
    """

    user: str
    name: str
    keyid: str
    public: str
    roles: tuple[str, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class End:
    """How far a chain went.

    Attributes:
        records: how many there were.
        head: SHA-256 of the newest one's file.
    """

    records: int
    head: str


@dataclass(frozen=True, slots=True)
class Roster:
    """One version of the list of signers.

    Attributes:
        version: from 1, without gaps.
        previous: SHA-256 of the former roster's file, None for the first.
        issued_at: with offset, not before the former.
        people: sorted by user.
        digest: SHA-256 of the file; the first one's is the fingerprint.
        signer: keyid of the administrator who signed it.
        chains: of every classifier that had records when it was issued, where its chain ended;
            None in a roster of a format before 3, which says nothing of it.
    """

    version: int
    previous: str | None
    issued_at: str
    people: tuple[Person, ...]
    digest: str
    signer: str
    chains: Mapping[str, End] | None


def read_rosters(folder: Path, trust: str | None = None) -> tuple[Roster, ...]:
    """All rosters, verified, the oldest first; none where there is no folder.

    Args:
        folder: `dossier/_signers`.
        trust: the fingerprint (SHA-256 of 00001.json) that the caller knows from elsewhere.

    Raises:
        IntegrityError: a roster is missing, was changed, is not signed as it must be, or the first
            is not the trusted one; names file and field.
    """
    rosters: list[Roster] = []
    for match, path in numbered(folder, _FILE):
        data = read_plain(path)
        if not rosters and trust is not None and sha256(data) != trust.lower():
            raise IntegrityError(
                f"{path}: its fingerprint is {sha256(data)}, not the trusted {trust}: these are "
                "not the signers you know; ask who made this roster"
            )
        rosters.append(_verified(data, str(path), int(match["number"]), rosters))
    if trust is not None and not rosters:
        raise IntegrityError(f"{folder} has no roster, and one with fingerprint {trust} is trusted")
    return tuple(rosters)


def _verified(data: bytes, name: str, number: int, before: Sequence[Roster]) -> Roster:
    sealed = opened(data, name, ROSTER)
    with faults_of(name):
        people = before[-1].people if before else _own_people(sealed)
        payload = verified(sealed, _administrator(people, sealed.keyid))
        content = ROSTER_FORMAT.model(payload, name)
        roster = Roster(
            content.version,
            content.previous,
            content.issuedAt,
            _people(content),
            sha256(data),
            sealed.keyid,
            _ends(content, payload),
        )
        _require_place(roster, number, before)
    return roster


def _own_people(sealed: Sealed) -> tuple[Person, ...]:
    """People of the first roster: only they can say whose signature it should bear."""
    payload = strict_json(sealed.payload, "the payload")
    try:
        return _people(ROSTER_FORMAT.model(payload, sealed.name))
    except UnusableInputError:
        # a newer program's, unless the number is all that somebody changed
        for person in payload.get("people", ()) if isinstance(payload, dict) else ():
            if isinstance(person, dict) and person.get("keyid") == sealed.keyid:
                verified(sealed, public_key(str(person.get("public"))))
        raise


def _fault(field: str, said: str) -> FieldError:
    return FieldError(f"field payload.{field}: {said}")


def _administrator(people: Sequence[Person], signer: str) -> Ed25519PublicKey:
    for person in people:
        if person.keyid == signer and person.active and "admin" in person.roles:
            return public_key(person.public)
    raise FieldError(
        "field envelope.signatures[0].keyid: not the key of an active admin of the roster before"
    )


def _people(content: RosterV3) -> tuple[Person, ...]:
    people = tuple(_person(at, person) for at, person in enumerate(content.people))
    for what in ("user", "keyid"):
        values = [getattr(person, what).casefold() for person in people]
        twice = next((v for v in values if values.count(v) > 1), None)
        if twice is not None:
            raise _fault("people", f"{what} {twice} stands twice")
    if [p.user for p in people] != sorted(p.user for p in people):
        raise _fault("people", "not sorted by user")
    if not any(person.active and "admin" in person.roles for person in people):
        raise _fault("people", "no active admin is left, so nobody could sign the next one")
    return people


def _ends(content: RosterV3, payload: Any) -> Mapping[str, End] | None:
    if content.chains is None and payload["schema"] == ROSTER_FORMAT.schema:
        raise _fault("chains", "null, which only rosters of an older format leave open")
    ends = content.chains
    return None if ends is None else {c: End(e.records, e.head) for c, e in ends.items()}


def _person(at: int, person: PersonRecord) -> Person:
    roles = tuple(person.roles)
    if list(roles) != sorted(set(roles)):
        raise _fault(f"people[{at}].roles", "not sorted, or one twice")
    if keyid(public_key(person.public, f"payload.people[{at}].public")) != person.keyid:
        raise _fault(f"people[{at}].keyid", "not the digest of the public key")
    return Person(person.user, person.name, person.keyid, person.public, roles, person.active)


def _require_place(roster: Roster, number: int, before: Sequence[Roster]) -> None:
    """Number, link and time fit where it stands, and no key has changed hands."""
    last = before[-1] if before else None
    if roster.version != number:
        raise _fault("version", f"{roster.version}, and the file is number {number}")
    if roster.previous != (last.digest if last else None):
        raise _fault("previous", "not the SHA-256 of the roster before")
    if last and time_of(roster.issued_at) < time_of(last.issued_at):
        raise _fault("issuedAt", "before the roster before")
    for name, had in ((last.chains if last else None) or {}).items():
        now = (roster.chains or {}).get(name)
        if now is None or now.records < had.records:
            raise _fault(f"chains.{name}", f"fewer than the {had.records} of the roster before")
    owner = {person.keyid: person.user for old in before for person in old.people}
    for person in roster.people:
        if owner.get(person.keyid, person.user) != person.user:
            raise _fault("people", f"{person.user} has the key of {owner[person.keyid]}")


def first(people: Sequence[Person], key: Ed25519PrivateKey, issued_at: str) -> bytes:
    """The first roster, signed by one of its own administrators.

    Raises:
        UsageError: the people or the key cannot make a roster; says why.
    """
    return _made((), people, key, issued_at, {})


def following(
    rosters: Sequence[Roster],
    people: Sequence[Person],
    key: Ed25519PrivateKey,
    issued_at: str,
    chains: Mapping[str, End],
) -> bytes:
    """The next roster, with all its people, signed by an administrator of the last one.

    Args:
        rosters: those that are there.
        people: all of them, active or not.
        key: the administrator's.
        issued_at: the moment, with offset.
        chains: where every chain of the dossier ends (`chain.ends`). Records that follow must bind
            this roster or a later one, so that nobody who is revoked here signs on, backdated.

    Raises:
        UsageError: the people or the key cannot make a roster; says why.
    """
    return _made(rosters, people, key, issued_at, chains)


def _made(
    rosters: Sequence[Roster],
    people: Sequence[Person],
    key: Ed25519PrivateKey,
    issued_at: str,
    chains: Mapping[str, End],
) -> bytes:
    payload = {
        "schema": ROSTER_FORMAT.schema,
        "program": PROGRAM,
        "version": len(rosters) + 1,
        "previous": rosters[-1].digest if rosters else None,
        "issuedAt": issued_at,
        "people": [_said(person) for person in sorted(people, key=lambda p: p.user)],
        "chains": {c: {"records": e.records, "head": e.head} for c, e in sorted(chains.items())},
    }
    data = seal(payload, key, ROSTER)
    try:
        _verified(data, "the new roster", len(rosters) + 1, rosters)
    except IntegrityError as error:
        raise UsageError(_without_cure(error)) from None
    return data


def _without_cure(error: IntegrityError) -> str:
    return str(error).partition("; the file was changed")[0]


def _said(person: Person) -> dict[str, Any]:
    return {
        "user": person.user,
        "name": person.name,
        "keyid": person.keyid,
        "public": person.public,
        "roles": sorted(person.roles),
        "active": person.active,
    }


def append_roster(
    folder: Path, make: Callable[[tuple[Roster, ...]], bytes], wait: float = WAIT
) -> Roster:
    """Put the next roster in its place, whole or not at all, one writer at a time.

    Args:
        folder: `dossier/_signers`; made where it is missing.
        make: what is there, read under the lock -> the next roster's bytes.
        wait: seconds to wait for another writer.

    Raises:
        IntegrityError: what is there does not verify.
        UsageError: what `make` made is no roster that can follow; nothing is written.
        SignOffRefusedError: another process is writing.
    """
    with locked(folder, wait):
        rosters = read_rosters(folder)
        data = make(rosters)
        path = folder / f"{len(rosters) + 1:05d}.json"
        try:
            roster = _verified(data, str(path), len(rosters) + 1, rosters)
        except IntegrityError as error:
            raise UsageError(f"{_without_cure(error)}; nothing was written") from None
        try:
            place_once(path, data)
        except OSError as error:
            raise UnusableInputError(f"{path} cannot be written: {error.strerror}") from None
    return roster


def person_of(rosters: Sequence[Roster], version: int, signer: str) -> Person | None:
    """Whose key it is in one version of the roster; None where it is nobody's."""
    for roster in rosters:
        if roster.version == version:
            return next((p for p in roster.people if p.keyid == signer), None)
    return None


def public_of_anyone(rosters: Sequence[Roster], signer: str) -> Ed25519PublicKey | None:
    """The public key that any version of the roster has under a keyid."""
    for roster in reversed(rosters):
        for person in roster.people:
            if person.keyid == signer:
                return public_key(person.public)
    return None
