"""A new roster bound by every chain: only then can nobody take it away unseen.

A chain proves the rosters that its records name. One that no record names yet could be deleted, and
a revoked key would be in force again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lifecycle.dossier.layout import Layout
from lifecycle.errors import SignOffRefusedError
from lifecycle.release import chain as chains
from lifecycle.release.chain import Chain, Link
from lifecycle.release.envelope import seal
from lifecycle.release.files import WAIT, locked
from lifecycle.release.keys import keyid, unlock
from lifecycle.release.records import Record, Signature, statement_of
from lifecycle.release.roster import person_of, read_rosters
from lifecycle.workflows.auditing import classifiers_of


def bind_newest_roster(root: Path, key_file: Path, passphrase: str, reason: str) -> list[Link]:
    """An amendment to the newest sign-off of every chain that does not name the newest roster.

    Args:
        root: the project's root.
        key_file: of an active signer, any role.
        passphrase: of the key.
        reason: what the amendments say.

    Raises:
        SignOffRefusedError: the key is not that of an active signer.
        IntegrityError: a chain does not verify.
    """
    key = unlock(key_file, passphrase)
    found = (_bind(Layout(root, name), key, reason) for name in classifiers_of(root))
    return [link for link in found if link is not None]


def _bind(layout: Layout, key: Ed25519PrivateKey, reason: str) -> Link | None:
    rosters = read_rosters(layout.signers)
    chain = chains.read(layout.releases, layout.name, rosters)
    if not _signed(chain) or chain.links[-1].record.roster[0] == len(rosters):
        return None

    def make(now: Chain) -> tuple[str, bytes]:
        return "amendment", seal(statement_of(_amendment(now, key, reason)), key)

    with locked(layout.signers, WAIT):
        return chains.append(
            layout.releases, layout.name, lambda: read_rosters(layout.signers), make
        )


def _signed(chain: Chain) -> list[Link]:
    return [link for link in chain.links if link.record.kind == "sign-off"]


def _amendment(chain: Chain, key: Ed25519PrivateKey, reason: str) -> Record:
    roster, target = chain.rosters[-1], _signed(chain)[-1]
    person = person_of(chain.rosters, roster.version, keyid(key.public_key()))
    if person is None or not person.active:
        raise SignOffRefusedError("this key is not that of an active signer")
    moment = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    about = target.record
    return Record(
        kind="amendment",
        number=chain.next_number,
        classifier=chain.classifier,
        version=about.version,
        previous=chain.head,
        roster=(roster.version, roster.digest),
        signature=Signature(person.keyid, person.name, person.user, "responsibility", moment),
        subjects=dict(about.subjects),
        build=about.build,
        built_by=about.built_by,
        demonstration=about.demonstration,
        reason=reason,
        target=target.digest,
    )
