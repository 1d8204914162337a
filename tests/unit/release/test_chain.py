from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from signing import SIGNED, Lab

from lifecycle.domain.digests import sha256
from lifecycle.errors import IntegrityError, SignOffRefusedError, UsageError
from lifecycle.release.chain import append, ends, read, require_head
from lifecycle.release.files import locked
from lifecycle.release.keys import public_of
from lifecycle.release.records import Record
from lifecycle.release.roster import End

LATER = "2026-11-30T14:05:10+01:00"


def _forced(lab: Lab, record: Record, user: str = "rev", name: str | None = None) -> str:
    """What a reader says of a record that was truly signed and put there past `append`."""
    kind, data = lab.sealed(record, user)
    lab.releases.mkdir(exist_ok=True, parents=True)
    path = lab.releases / (name or f"{lab.chain().next_number:05d}-{kind}.json")
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as refused:
        lab.chain()
    assert path.name in str(refused.value)
    path.unlink()
    return str(refused.value)


def _signed(record: Record, **changes) -> Record:
    return replace(record, signature=replace(record.signature, **changes))


def test_no_folder_is_an_empty_chain(lab: Lab) -> None:
    chain = lab.chain()
    assert (chain.links, chain.head, chain.next_number) == ((), None, 1)


def test_records_follow_one_another(lab: Lab) -> None:
    one, two = lab.add("rev"), lab.add("app", "approval")
    chain = lab.chain()
    assert chain.links == (one, two)
    assert [link.path.name for link in chain.links] == [
        "00001-sign-off.json",
        "00002-sign-off.json",
    ]
    assert two.record.previous == one.digest == sha256(one.path.read_bytes())
    assert chain.head == two.digest
    (lab.releases / "cases").mkdir()
    assert lab.chain() == chain


def test_the_head_is_held_to(lab: Lab) -> None:
    one, two = lab.add("rev"), lab.add("app", "approval")
    require_head(lab.chain(), two.digest.upper())
    with pytest.raises(IntegrityError, match=r"00001-sign-off\.json, and newer records follow"):
        require_head(lab.chain(), one.digest)
    two.path.unlink()
    with pytest.raises(IntegrityError, match="the newest were cut off"):
        require_head(lab.chain(), two.digest)


def test_place_and_content_must_agree(lab: Lab) -> None:
    good = lab.record(lab.chain())
    assert "number: 2, and by its place it must be 1" in _forced(lab, replace(good, number=2))
    assert "classifier: gbm" in _forced(lab, replace(good, classifier="gbm"))
    assert "previous: 000" in _forced(lab, replace(good, previous="0" * 64))
    refusal = replace(good, kind="refusal", reason="no")
    assert "kind: refusal" in _forced(lab, refusal, name="00001-sign-off.json")
    lab.add()
    assert "previous: None" in _forced(lab, replace(good, number=2))


def test_a_target_stands_before(lab: Lab) -> None:
    one = lab.add()
    with pytest.raises(UsageError, match="field target: no record before it"):
        lab.decide("withdrawal", target="d" * 64)
    assert lab.decide("withdrawal", target=one.digest).record.target == one.digest


def test_the_signer_is_who_the_roster_says(lab: Lab) -> None:
    good = lab.record(lab.chain())
    ada = lab.person("ada").keyid
    assert "signature.keyid: not the key that signed" in _forced(lab, _signed(good, keyid=ada))
    assert "roster 1 knows this key as rev" in _forced(lab, _signed(good, user_id="app"))
    assert "roster 1 knows this key as rev" in _forced(lab, _signed(good, printed_name="Dr app"))
    assert "a key that no roster knows" in _forced(lab, good, "eve")
    assert "roster 00001.json is missing or" in _forced(lab, replace(good, roster=(1, "0" * 64)))
    later = replace(good, roster=(2, good.roster[1]))
    assert "roster 00002.json is missing" in _forced(lab, later)


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("ada", {"authorship", "responsibility"}),
        ("rev", {"review", "override", "responsibility"}),
        ("app", {"approval", "override", "responsibility"}),
        ("two", {"approval", "review", "override", "responsibility"}),
    ],
)
def test_a_meaning_needs_its_role(lab: Lab, user: str, allowed: set[str]) -> None:
    chain = lab.chain()
    weak = {"verdict": "inconclusive", "result": "WARNED", "reason": "why"}
    for meaning in ("authorship", "review", "approval", "override", "responsibility"):
        record = lab.record(chain, user, meaning, **weak)
        if meaning in allowed:
            lab.add(user, meaning, **weak).path.unlink()
        else:
            assert f"{user} may not sign {meaning}" in _forced(lab, record, user)


def test_other_kinds_need_the_role_of_their_meaning_too(lab: Lab) -> None:
    one = lab.add()
    with pytest.raises(UsageError, match="rev may not sign approval"):
        lab.decide("withdrawal", "rev", "approval", target=one.digest)


def test_who_left_signs_no_more_and_the_roster_never_falls(lab: Lab) -> None:
    one = lab.add("rev")
    old = lab.record(lab.chain(), "rev")
    lab.roster([*lab.people()[:2], lab.person("rev", active=False)], SIGNED)
    assert lab.chain().links == (one,)  # what rev signed before stays good
    with pytest.raises(UsageError, match="not an active signer of roster 2"):
        lab.add("rev")
    with pytest.raises(UsageError, match="signed after it and must bind it"):
        append(lab.releases, "wine", lab.rosters, lambda chain: lab.sealed(old))
    two = lab.add("app", "approval")
    back = replace(old, number=3, previous=two.digest)
    assert "roster.version: older than the roster of the record before" in _forced(lab, back)


def test_the_clock_never_goes_back(lab: Lab) -> None:
    first = _signed(lab.record(lab.chain()), signed_at="2026-11-01T08:59:59+01:00")
    assert "signedAt: before the roster was issued" in _forced(lab, first)
    lab.add()
    second = lab.record(lab.chain(), "app", "approval")
    early = _signed(second, signed_at="2026-11-30T14:05:08+01:00")
    assert "signedAt: before the record before" in _forced(lab, early, "app")
    # an earlier wall clock further west is later
    west = _signed(second, signed_at="2026-11-30T09:05:09-05:00")
    append(lab.releases, "wine", lab.rosters, lambda chain: lab.sealed(west, "app"))
    assert west.signature.signed_at < SIGNED


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "1-sign-off.json",
        "00002-promotion.json",
        "00002-sign-off.json.orig",
        "00002-sign-off.JSON",
        ".hidden",
        ".new-zz",
        "\u0660\u0660\u0660\u0660\u0662-drill.json",
    ],
)
def test_strangers_are_found(lab: Lab, name: str) -> None:
    lab.add()
    (lab.releases / name).write_text("x")
    with pytest.raises(IntegrityError, match="does not belong there"):
        lab.chain()


def test_leftovers_of_a_kill_are_harmless_and_swept(lab: Lab) -> None:
    lab.add()
    left = lab.releases / ".new-0123456789abcdef"
    left.write_text("half a rec")
    assert len(lab.chain().links) == 1
    lab.add("app", "approval")
    assert not left.exists()


def test_links_and_folders_are_no_records(lab: Lab) -> None:
    path = lab.add().path
    aside = shutil.move(path, lab.root / "aside.json")
    path.symlink_to(aside)
    with pytest.raises(IntegrityError, match=r"00001-sign-off\.json does not belong there"):
        lab.chain()
    path.unlink()
    path.mkdir()
    with pytest.raises(IntegrityError, match=r"00001-sign-off\.json is not a file"):
        lab.chain()
    path.rmdir()
    shutil.move(aside, path)
    (lab.releases / "cases").symlink_to(lab.root)
    with pytest.raises(IntegrityError, match="cases does not belong there"):
        lab.chain()
    (lab.releases / "cases").unlink()
    real = lab.releases.rename(lab.root / "elsewhere")
    lab.releases.symlink_to(real)
    with pytest.raises(IntegrityError, match="releases is a symbolic link"):
        lab.chain()


def test_a_merge_of_two_branches_that_signed_is_found(lab: Lab) -> None:
    lab.add()
    other = shutil.copytree(lab.releases, lab.root / "branch")
    lab.add("app", "approval")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lab, "releases", other)
        lab.decide("refusal", "two", "review", result="FAILED", verdict="fail")
    shutil.copytree(other, lab.releases, dirs_exist_ok=True)
    with pytest.raises(IntegrityError) as refused:
        lab.chain()
    for word in ("00002-refusal.json", "00002-sign-off.json", "two branches", "signed again"):
        assert word in str(refused.value)


def test_what_make_raises_ends_the_append(lab: Lab) -> None:
    def make(chain):
        raise SignOffRefusedError("not you")

    with pytest.raises(SignOffRefusedError, match="not you"):
        append(lab.releases, "wine", lab.rosters, make)
    assert lab.chain().links == ()
    assert lab.add().record.number == 1


def test_a_record_that_would_not_verify_is_not_written(lab: Lab) -> None:
    kind, data = lab.sealed(lab.record(lab.chain(), number=7))
    with pytest.raises(UsageError, match=r"number: 7.*nothing was written"):
        append(lab.releases, "wine", lab.rosters, lambda chain: (kind, data))
    with pytest.raises(UsageError, match="nothing was written"):
        append(lab.releases, "wine", lab.rosters, lambda chain: (kind, data[:-9]))
    assert [path.name for path in lab.releases.iterdir()] == [".lock"]


def test_a_broken_chain_is_not_appended_to(lab: Lab) -> None:
    path = lab.add().path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="00001-sign-off"):
        lab.add("app", "approval")


def test_a_lock_that_is_held_is_told(lab: Lab) -> None:
    chain = lab.chain()
    with locked(lab.releases), pytest.raises(SignOffRefusedError, match="someone else is signing"):
        append(lab.releases, "wine", lab.rosters, lambda c: lab.sealed(lab.record(chain)), wait=0.1)
    assert lab.add().record.number == 1


def test_another_classifiers_records_are_refused(lab: Lab) -> None:
    lab.add()
    with pytest.raises(IntegrityError, match="classifier: wine, and by its place it must be gbm"):
        read(lab.releases, "gbm", lab.rosters())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": "9.9"}, "field version"),
        ({"build": 2}, "field build"),
        ({"build": None, "built_by": None}, "field build"),
        ({"built_by": "eve"}, "field built_by"),
        ({"demonstration": True}, "field demonstration"),
        ({"subjects": {"dossier/wine/x.json": "a" * 64}}, "field subject"),
    ],
)
@pytest.mark.parametrize("kind", ["withdrawal", "amendment"])
def test_it_says_of_its_target_what_the_target_says(lab: Lab, kind, change, field) -> None:
    one = lab.add()
    with pytest.raises(UsageError, match=field):
        lab.decide(kind, target=one.digest, **change)


def test_only_a_sign_off_is_withdrawn(lab: Lab) -> None:
    lab.add()
    no = lab.decide("refusal")
    with pytest.raises(UsageError, match=r"00002-refusal\.json is no sign-off"):
        lab.decide("withdrawal", target=no.digest)


@pytest.mark.parametrize(
    ("kind", "user", "meaning"),
    [
        ("withdrawal", "rev", "review"),
        ("withdrawal", "rev", "responsibility"),
        ("withdrawal", "ada", "responsibility"),
        ("refusal", "ada", "responsibility"),
        ("refusal", "ada", "authorship"),
        ("drill", "app", "approval"),
        ("amendment", "rev", "review"),
    ],
)
def test_a_kind_has_its_meanings(lab: Lab, kind, user, meaning) -> None:
    one = lab.add()
    more = {"target": one.digest} if kind in ("withdrawal", "amendment") else {}
    more |= {"drill": {"seconds": 1}} if kind == "drill" else {}
    with pytest.raises(UsageError, match=f"a {kind} cannot mean {meaning}"):
        lab.decide(kind, user, meaning, **more)


def test_no_signature_is_later_than_the_roster_after_its_own(lab: Lab) -> None:
    lab.add("rev")
    late = lab.record(lab.chain(), "rev")
    lab.roster([*lab.people()[:2], lab.person("rev", active=False)], SIGNED)
    later = _signed(late, signed_at="2026-11-30T14:05:10+01:00")
    assert "after roster 00002.json was issued" in _forced(lab, later)


def test_a_record_that_a_later_roster_does_not_know_binds_that_roster(lab: Lab) -> None:
    """The key of somebody who left signs no more, with whatever time, in whatever chain."""
    refused = lab.decide("refusal", result="FAILED", verdict="fail")  # no sign-off to amend
    backdated = lab.record(lab.chain(), "rev")
    new_chain = lab.record(lab.chain(), "rev", number=1, previous=None, classifier="other")
    lab.roster([*lab.people()[:2], lab.person("rev", active=False)], SIGNED)
    assert lab.chain().links == (refused,)
    said = _forced(lab, backdated)
    assert "when roster 00002.json was issued this chain had 1 records" in said
    other = lab.root / "dossier" / "other" / "releases"
    other.mkdir(parents=True)
    (other / "00001-sign-off.json").write_bytes(lab.sealed(new_chain)[1])
    with pytest.raises(IntegrityError, match="issued this chain had 0 records"):
        read(other, "other", lab.rosters())


def test_a_replaced_key_signs_no_more_either(lab: Lab) -> None:
    lab.add("app", "approval")
    backdated = lab.record(lab.chain(), "rev")
    info = public_of(lab.keys["eve"])
    again = lab.person("rev", keyid=info.keyid, public=info.public)
    lab.roster([again if p.user == "rev" else p for p in lab.people()], SIGNED)
    assert "must bind it" in _forced(lab, backdated)


def test_a_roster_knows_how_far_each_chain_went(lab: Lab) -> None:
    lab.add()
    replaced = lab.record(lab.chain(), "two", "approval")
    two = lab.add("app", "approval")
    lab.roster(lab.people(), SIGNED)
    assert lab.rosters()[-1].chains == {"wine": End(2, two.digest)}
    kept = two.path.read_bytes()
    two.path.unlink()
    with pytest.raises(IntegrityError, match=r"1 records, and when roster 00002\.json was"):
        lab.chain()
    with pytest.raises(IntegrityError, match="the newest were cut off"):
        ends(lab.root / "dossier", lab.rosters())
    two.path.write_bytes(lab.sealed(replaced, "two")[1])
    with pytest.raises(IntegrityError, match=r"roster 00002\.json knows another record 2"):
        lab.chain()
    two.path.write_bytes(kept)
    assert lab.add("two", "review").record.number == 3
    shutil.move(lab.root / "dossier" / "wine", lab.root / "aside")
    with pytest.raises(IntegrityError, match="0 records"):  # a chain that is gone as a whole
        ends(lab.root / "dossier", lab.rosters())


def test_a_roster_of_an_older_format_says_nothing_of_chains(lab: Lab) -> None:
    """What the programs before signed is read as it was."""
    lab.add()
    old = [replace(roster, chains=None) for roster in lab.rosters()]
    lab.add("app", "approval")
    assert len(read(lab.releases, "wine", old).links) == 2
