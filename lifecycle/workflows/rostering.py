"""The roster of signers: enter and revoke people, each time a new version signed by an admin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from lifecycle.dossier.layout import Layout
from lifecycle.errors import SignOffRefusedError, UsageError
from lifecycle.records.types import time_of
from lifecycle.release import chain as chains
from lifecycle.release import roster as rosters
from lifecycle.release.chain import Link
from lifecycle.release.keys import keyid, public_key, unlock
from lifecycle.release.roster import Person, Roster
from lifecycle.workflows.binding import bind_newest_roster


def enrol(
    root: Path, user: str, name: str, roles: Sequence[str], public: str, key: Path, passphrase: str
) -> tuple[Roster, list[Link]]:
    """Enter a person, or replace what the roster says of one.

    Whoever is in it already may lose a key or a role by it, so every chain then names the new
    roster, as after `revoke`. Run again after an interruption, it does what is left.

    Returns:
        The newest roster, and the amendments that bind it.

    Raises:
        SignOffRefusedError: the key is not an admin's, or cannot be opened.
        UsageError: such a roster cannot be; says why.
        IntegrityError: a chain does not verify, so nobody can say where it ends.
    """
    try:
        own = keyid(public_key(public))
    except ValueError as error:
        raise UsageError(f"--public: {error}") from None
    person = Person(user, name, own, public, tuple(sorted(set(roles))), True)
    before = rosters.read_rosters(Layout(root, "").signers)
    known = [p for p in before[-1].people if p.user == user] if before else []
    done = known == [person]
    roster = before[-1] if done else _entered(root, person, key, passphrase)
    bound: list[Link] = []
    if known:
        bound = bind_newest_roster(root, key, passphrase, f"the roster's entry of {user} changed")
    if done and not bound:
        raise UsageError(f"the roster says so of {user!r} already, and so does every chain")
    return roster, bound


def _entered(root: Path, person: Person, key: Path, passphrase: str) -> Roster:
    def replaced(people: Sequence[Person]) -> list[Person]:
        return [*(p for p in people if p.user != person.user), person]

    return _next(root, replaced, key, passphrase)


def revoke(root: Path, user: str, key: Path, passphrase: str) -> tuple[Roster, list[Link]]:
    """Set a person inactive, and have every chain name the roster that says so.

    Run again after an interruption, it does what is left.

    Returns:
        The newest roster, and the amendments that bind it.

    Raises:
        UsageError: nobody of that name is active, and nothing is left to do.
        SignOffRefusedError: the key is not an admin's, or cannot be opened.
    """
    before = rosters.read_rosters(Layout(root, "").signers)
    gone = bool(before) and any(p.user == user and not p.active for p in before[-1].people)
    roster = before[-1] if gone else _without(root, user, key, passphrase)
    bound = bind_newest_roster(root, key, passphrase, f"{user} is no longer a signer")
    if gone and not bound:
        raise UsageError(f"{user!r} was revoked already, and every chain says so")
    return roster, bound


def _without(root: Path, user: str, key: Path, passphrase: str) -> Roster:

    def without(people: Sequence[Person]) -> list[Person]:
        if not any(p.user == user and p.active for p in people):
            raise UsageError(f"the roster has no active signer {user!r}")
        return [replace(p, active=False) if p.user == user else p for p in people]

    return _next(root, without, key, passphrase)


def _next(
    root: Path, change: Callable[[Sequence[Person]], list[Person]], key: Path, passphrase: str
) -> Roster:
    secret = unlock(key, passphrase)
    own = keyid(secret.public_key())

    def make(before: tuple[Roster, ...]) -> bytes:
        people = change(before[-1].people if before else ())
        now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        if not before:
            return rosters.first(people, secret, now)
        _require_admin(before[-1], own)
        if time_of(now) < time_of(before[-1].issued_at):
            raise SignOffRefusedError(
                f"the clock says {now}, before the newest roster ({before[-1].issued_at}); set it"
            )
        # no record can be added meanwhile: whoever signs waits for the roster's lock
        ends = chains.ends(root / "dossier", before)
        return rosters.following(before, people, secret, now, ends)

    return rosters.append_roster(Layout(root, "").signers, make)


def _require_admin(roster: Roster, own: str) -> None:
    admins = {p.keyid for p in roster.people if p.active and "admin" in p.roles}
    if own not in admins:
        raise SignOffRefusedError("this key is not that of an active admin of the newest roster")


def show(root: Path, as_json: bool) -> str:
    """The roster in force."""
    every = rosters.read_rosters(Layout(root, "").signers)
    if as_json:
        return json.dumps([asdict(one) for one in every], indent=2)
    if not every:
        return "there is no roster yet; `lifecycle release keys enrol` makes the first one"
    now = every[-1]
    lines = [
        f"roster {now.version}, issued {now.issued_at}",
        f"fingerprint of the first roster (verify --trust): {every[0].digest}",
        f"{'user':<14} {'name':<26} {'roles':<34} {'keyid':<14} state",
    ]
    lines += [
        f"{p.user:<14} {p.name:<26} {', '.join(p.roles):<34} {p.keyid[:12]:<14} "
        f"{'active' if p.active else 'revoked'}"
        for p in now.people
    ]
    return "\n".join(lines)
