"""A small laboratory that signs: people with keys, rosters, records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lifecycle.release.chain import Chain, Link, append, ends, read
from lifecycle.release.envelope import seal
from lifecycle.release.keys import public_of
from lifecycle.release.records import Record, Signature, statement_of
from lifecycle.release.roster import Person, append_roster, first, following, read_rosters

ISSUED = "2026-11-01T09:00:00+01:00"
SIGNED = "2026-11-30T14:05:09+01:00"
ROLES = {
    "ada": ("admin", "author"),
    "app": ("approver",),
    "rev": ("reviewer",),
    "two": ("approver", "reviewer"),
}
# Who decides so, and as what.
DECIDES = {
    "refusal": ("rev", "review"),
    "withdrawal": ("app", "approval"),
    "amendment": ("rev", "responsibility"),
    "drill": ("rev", "responsibility"),
}


@dataclass(frozen=True)
class Lab:
    """Keys by user, and where the files stand."""

    root: Path
    keys: dict[str, Ed25519PrivateKey]

    @property
    def signers(self) -> Path:
        return self.root / "dossier" / "_signers"

    @property
    def releases(self) -> Path:
        return self.root / "dossier" / "wine" / "releases"

    def person(self, user: str, **changes) -> Person:
        info = public_of(self.keys[user])
        person = Person(user, f"Dr {user}", info.keyid, info.public, ROLES[user], active=True)
        return replace(person, **changes)

    def people(self) -> list[Person]:
        return [self.person(user) for user in ROLES]

    def roster(self, people: list[Person], issued: str = ISSUED, by: str = "ada"):
        key = self.keys[by]
        return append_roster(
            self.signers,
            lambda had: (
                following(had, people, key, issued, ends(self.root / "dossier", had))
                if had
                else first(people, key, issued)
            ),
        )

    def rosters(self):
        return read_rosters(self.signers)

    def chain(self) -> Chain:
        return read(self.releases, "wine", self.rosters())

    def record(self, chain: Chain, user: str = "rev", meaning: str = "review", **fields) -> Record:
        """A sign-off of build 1 that passes, changed by `fields`."""
        return replace(_sign_off(self, chain, user, meaning), **fields)

    def sealed(self, record: Record, user: str = "rev") -> tuple[str, bytes]:
        return record.kind, seal(statement_of(record), self.keys[user])

    def add(self, user: str = "rev", meaning: str = "review", **fields) -> Link:
        def make(chain: Chain) -> tuple[str, bytes]:
            return self.sealed(self.record(chain, user, meaning, **fields), user)

        return append(self.releases, "wine", self.rosters, make)

    def decide(self, kind: str, user: str = "", meaning: str = "", **fields) -> Link:
        """A withdrawal or an amendment (with `target`), a refusal, a drill."""
        who, what = DECIDES[kind]
        bare = {"result": None, "policy": None, "passed": ()} if kind != "refusal" else {}
        about = self._about(fields.get("target"))
        given = {**bare, **about, "reason": "a reason", **fields}
        return self.add(user or who, meaning or what, kind=kind, **given)

    def _about(self, target: str | None) -> dict[str, object]:
        """What a record must say of the one that it speaks of."""
        link = next((one for one in self.chain().links if one.digest == target), None)
        names = ("version", "build", "built_by", "demonstration", "subjects")
        return {} if link is None else {name: getattr(link.record, name) for name in names}


def _sign_off(lab: Lab, chain: Chain, user: str, meaning: str) -> Record:
    person, roster = lab.person(user), chain.rosters[-1]
    return Record(
        kind="sign-off",
        number=chain.next_number,
        classifier="wine",
        version="1",
        previous=chain.head,
        roster=(roster.version, roster.digest),
        signature=Signature(person.keyid, person.name, user, meaning, SIGNED),
        subjects={"dossier/wine/builds/b1/record.json": "a" * 64},
        build=1,
        built_by="bob",
        case="c" * 64,
        verdict="pass",
        policy="b" * 64,
        result="PASSED",
        passed=("consistency.series", "holdout.recall"),
    )


def new_lab(root: Path) -> Lab:
    """A laboratory with its first roster."""
    # fixed keys: the same bytes in every run
    keys = {u: Ed25519PrivateKey.from_private_bytes(u.encode().ljust(32)) for u in (*ROLES, "eve")}
    lab = Lab(root, keys)
    lab.roster(lab.people())
    return lab
