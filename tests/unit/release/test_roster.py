from __future__ import annotations

import json
from dataclasses import replace

import pytest
from signing import ISSUED, Lab

from lifecycle.domain.digests import sha256
from lifecycle.errors import IntegrityError, UsageError
from lifecycle.release.envelope import seal
from lifecycle.release.roster import (
    ROSTER,
    append_roster,
    first,
    following,
    person_of,
    public_of_anyone,
    read_rosters,
)

LATER = "2026-11-02T09:00:00+01:00"


def _first_payload(lab: Lab, **changes) -> dict:
    """The first roster's payload, changed."""
    people = [
        {
            "user": p.user,
            "name": p.name,
            "keyid": p.keyid,
            "public": p.public,
            "roles": list(p.roles),
            "active": p.active,
        }
        for p in lab.people()
    ]
    payload = {
        "schema": "lifecycle/roster/2",
        "program": "lifecycle 0.2.0",
        "version": 1,
        "previous": None,
        "issuedAt": ISSUED,
        "people": people,
    }
    return {**payload, **changes}


def _said(lab: Lab, payload: dict, by: str = "ada") -> str:
    """What a reader says of a first roster that was truly signed."""
    (lab.signers / "00001.json").write_bytes(seal(payload, lab.keys[by], ROSTER))
    with pytest.raises(IntegrityError) as refused:
        lab.rosters()
    assert "00001.json" in str(refused.value)
    return str(refused.value)


def test_rosters_follow_one_another(lab: Lab) -> None:
    people = [p for p in lab.people() if p.user != "rev"] + [lab.person("rev", active=False)]
    second = lab.roster(people, LATER)
    one, two = lab.rosters()
    assert two == second
    assert (one.version, two.version) == (1, 2)
    assert two.previous == one.digest == sha256((lab.signers / "00001.json").read_bytes())
    rev = lab.person("rev").keyid
    assert person_of((one, two), 1, rev) == lab.person("rev")
    assert person_of((one, two), 2, rev) == lab.person("rev", active=False)
    assert person_of((one, two), 3, rev) is None
    assert person_of((one, two), 1, "0" * 64) is None
    assert public_of_anyone((one, two), "0" * 64) is None


def test_no_folder_has_no_roster(lab: Lab) -> None:
    assert read_rosters(lab.root / "none") == ()
    with pytest.raises(IntegrityError, match="has no roster"):
        read_rosters(lab.root / "none", "0" * 64)


def test_the_fingerprint_is_held_to(lab: Lab) -> None:
    digest = lab.rosters()[0].digest
    assert read_rosters(lab.signers, digest) == lab.rosters()
    assert read_rosters(lab.signers, digest.upper()) == lab.rosters()
    with pytest.raises(IntegrityError, match=r"00001\.json: its fingerprint is"):
        read_rosters(lab.signers, "0" * 64)


def test_a_roster_forged_from_scratch_needs_the_fingerprint_to_be_seen(lab: Lab) -> None:
    digest = lab.rosters()[0].digest
    forged = first([lab.person("rev", roles=("admin",))], lab.keys["rev"], ISSUED)
    (lab.signers / "00001.json").write_bytes(forged)
    assert len(lab.rosters()) == 1
    with pytest.raises(IntegrityError, match="these are not the signers you know"):
        read_rosters(lab.signers, digest)


def test_only_an_admin_of_the_roster_before_signs(lab: Lab) -> None:
    for by in ("rev", "eve"):
        with pytest.raises(UsageError, match="not the key of an active admin"):
            lab.roster(lab.people(), LATER, by=by)
    # eve makes herself admin in the roster that she signs
    own = [*lab.people()[:1], replace(lab.person("rev"), roles=("admin", "reviewer"))]
    with pytest.raises(UsageError, match="not the key of an active admin"):
        lab.roster(own, LATER, by="rev")
    assert len(lab.rosters()) == 1


def test_an_admin_who_left_signs_no_more(lab: Lab) -> None:
    lab.roster([lab.person("ada", active=False), lab.person("two", roles=("admin",))], LATER)
    with pytest.raises(UsageError, match="not the key of an active admin"):
        lab.roster(lab.people(), LATER, by="ada")
    assert lab.roster(lab.people(), LATER, by="two").version == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"roles": ("author",)}, "no active admin is left"),
        ({"active": False}, "no active admin is left"),
        ({"name": "Ada "}, "people[0].name: it begins or ends with a blank"),
        ({"name": "Ada\u200b"}, "people[0].name: it holds a character"),
        ({"name": "Ade\u0301"}, "people[0].name: its accents"),
        ({"user": ""}, "people[0].user: it is empty"),
        ({"keyid": "0" * 64}, "people[0].keyid: not the digest of the public key"),
        ({"public": "AAAA"}, "people[0].public: not a public key"),
        ({"roles": ("admin", "king")}, "'king' is none of 'admin'"),
        ({"roles": ("admin", "admin")}, "one twice"),
        ({"user": "rev"}, "user rev stands twice"),
        ({"user": "REV"}, "user rev stands twice"),
    ],
)
def test_people_that_cannot_be(lab: Lab, changes: dict, said: str) -> None:
    people = [replace(lab.person("ada"), **changes), *lab.people()[1:]]
    with pytest.raises(UsageError) as refused:
        lab.roster(people, LATER)
    assert said in str(refused.value)
    assert len(lab.rosters()) == 1


def test_one_key_is_one_person(lab: Lab) -> None:
    shared = replace(lab.person("rev"), user="zoe")
    with pytest.raises(UsageError, match=r"keyid .* stands twice"):
        lab.roster([*lab.people(), shared], LATER)
    # nor does it change hands from one roster to the next
    with pytest.raises(UsageError, match="zoe has the key of rev"):
        lab.roster([*(p for p in lab.people() if p.user != "rev"), shared], LATER)


def test_no_roster_before_the_one_before(lab: Lab) -> None:
    with pytest.raises(UsageError, match="issuedAt: before the roster before"):
        lab.roster(lab.people(), "2026-11-01T08:59:59+01:00")
    # the same moment by another clock
    assert lab.roster(lab.people(), "2026-11-01T08:00:00+00:00").version == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "lifecycle/release/2"}, "payload.schema"),
        ({"version": 2}, "payload.version: 2, and the file is number 1"),
        ({"version": True}, "payload.version: not a whole number"),
        ({"version": 1.0}, "payload.version: not a whole number"),
        ({"previous": "0" * 64}, "payload.previous"),
        ({"issuedAt": "2026-11-01T09:00:00"}, "payload.issuedAt"),
        ({"issuedAt": "2026-11-31T09:00:00+01:00"}, "payload.issuedAt"),
        ({"issuedAt": 5}, "payload.issuedAt: not a text"),
        ({"people": {}}, "payload.people: not a list"),
        ({"people": []}, "no active admin is left"),
        ({"more": 1}, "payload.more: not a known field"),
    ],
)
def test_a_first_roster_that_was_signed_so(lab: Lab, changes: dict, said: str) -> None:
    payload = _first_payload(lab, **changes)
    assert said in _said(lab, payload)


def test_flags_are_flags(lab: Lab) -> None:
    payload = _first_payload(lab)
    payload["people"][1]["active"] = 1
    assert "people[1].active: neither true nor false" in _said(lab, payload)
    payload = _first_payload(lab)
    payload["people"].reverse()
    assert "not sorted by user" in _said(lab, payload)


def test_rosters_swapped_missing_and_strange(lab: Lab) -> None:
    lab.roster(lab.people(), LATER)
    one, two = lab.signers / "00001.json", lab.signers / "00002.json"
    first_bytes, second_bytes = one.read_bytes(), two.read_bytes()
    one.write_bytes(second_bytes)
    with pytest.raises(IntegrityError, match=r"00001\.json: field payload\.version"):
        lab.rosters()
    one.unlink()
    with pytest.raises(IntegrityError, match=r"number 00001 is missing before 00002\.json"):
        lab.rosters()
    one.write_bytes(first_bytes)
    two.write_bytes(first_bytes)
    with pytest.raises(IntegrityError, match=r"00002\.json: field payload\.version"):
        lab.rosters()
    two.unlink()
    for name in ("notes.txt", "2.json", "00002.json.bak", "00002-sign-off.json"):
        (lab.signers / name).write_bytes(second_bytes)
        with pytest.raises(IntegrityError, match=f"{name} does not belong there"):
            lab.rosters()
        (lab.signers / name).unlink()
    two.symlink_to(one)
    with pytest.raises(IntegrityError, match=r"00002\.json does not belong there"):
        lab.rosters()


def test_the_next_is_made_on_what_is_there(lab: Lab) -> None:
    had = lab.rosters()
    data = following(had, lab.people(), lab.keys["ada"], LATER, {})
    assert append_roster(lab.signers, lambda now: data).version == 2
    with pytest.raises(UsageError, match=r"00003\.json: field payload\.version.*nothing was"):
        append_roster(lab.signers, lambda now: data)
    assert json.loads(data)["payloadType"] == ROSTER
    assert len(lab.rosters()) == 2
