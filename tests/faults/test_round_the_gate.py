"""Ways round the gate that an honest laboratory could take without a trick, and ordinary commands.

Each is a kind: what is owed, what an amendment takes away, what a rebuild washes off, what is gone.
"""

from __future__ import annotations

import io
import json
import shutil
from contextlib import chdir, redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from release_site import PASSPHRASE, Done, Site, new_site, quiet_dvc, release, second_build

from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import read_attempts, record_attempt
from lifecycle.dossier.files import write_json
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import append_pin, read_pins
from lifecycle.dossier.pipeline import write_current
from lifecycle.gate.judge import policy_digest
from lifecycle.gate.rules import NOW, RULES
from lifecycle.release import chain as chains
from lifecycle.release import tested
from lifecycle.release.case import Judged, replay, to_record
from lifecycle.release.derived import policy_newer
from lifecycle.release.envelope import seal
from lifecycle.release.keys import keyid, public_of, unlock
from lifecycle.release.records import Record, Signature, statement_of
from lifecycle.release.roster import Roster, person_of, read_rosters
from lifecycle.release.subjects import attempt_subjects, subjects_of
from lifecycle.workflows.deciding import compare_builds, released_of, settled_attempts
from lifecycle.workflows.judging import case_of, judge_build
from lifecycle.workflows.project import open_project
from lifecycle.workflows.rostering import enrol

A = "a" * 64


@pytest.fixture(scope="module")
def _released(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = new_site(_built, tmp_path_factory.mktemp("round"), ("ada", "rev", "app", "two", "eve"))
    return release(site)


@pytest.fixture
def site(_released: Site, tmp_path: Path) -> Site:
    """Wine b1 is released."""
    return _released.copy(tmp_path / "project")


def _judge(site: Site) -> dict:
    """The gate's stages for the current build, and what the gate says."""
    with chdir(site.root), redirect_stderr(io.StringIO()):
        project = open_project("wine")
        compare_builds(project)
        judge_build(project)
    site.commit()
    return json.loads(site.run("gate", "wine", "--json").out)


def _stand_at(site: Site, number: int) -> None:
    """The pipeline is back at an earlier build, as with restored data."""
    layout = Layout(site.root, "wine")
    build = kept.read_build(layout, number)
    write_current(layout, number, build.version)
    facts = site.root / "work/wine/build/facts.json"
    now = json.loads(facts.read_bytes())
    weights = {key: build.content["weights"][key] for key in ("md5", "sha256")}
    write_json(facts, {**now, "weights": weights})


def _sign_both(site: Site, *more: str) -> list:
    with quiet_dvc():
        return [site.sign(u, m, *more) for u, m in (("rev", "review"), ("app", "approval"))]


def test_a_build_that_is_made_current_again_faces_the_releases_after_it(site: Site) -> None:
    second_build(site)  # b2: the same network from another machine
    second_build_again(site)  # b3, released
    assert [done.code for done in _sign_both(site)] == [0, 0]
    site.commit()
    _stand_at(site, 2)
    verdict = _judge(site)
    assert verdict["shown"]["names"] == ["b1", "b3", "b2"]
    done = _sign_both(site)
    assert [one.code for one in done] == [0, 0], done[0].said
    assert site.verify().code == 0
    # b1 itself, too, though it is released: it faces the others and not itself
    _stand_at(site, 1)
    assert _judge(site)["shown"]["names"] == ["b2", "b3", "b1"]


def second_build_again(site: Site) -> None:
    """One more build from yet another machine."""
    with chdir(site.root), redirect_stderr(io.StringIO()):
        project = open_project("wine")
        first = kept.read_build(project.layout, 1)
        content = json.loads(json.dumps(dict(first.content)))
        content["environment"]["machine"]["cpu"] = "of a third maker"
        files = {n: (first.folder / n).read_bytes() for n in first.files if n != kept.PARTS}
        run = json.loads(files.pop(kept.RUN))
        number = kept.enrol(project.layout, content, files, run)
        write_current(project.layout, number, first.version)
    _judge(site)


@pytest.mark.parametrize("gone", ["builds", "builds/b1/frozen.parquet", "attempts", "verdicts"])
def test_nothing_is_signed_onto_a_chain_whose_files_are_gone(site: Site, gone: str) -> None:
    second_build(site)
    place = site.root / "dossier/wine" / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    site.commit()
    before = site.records()
    for done in _sign_both(site):
        assert done.code in (10, 12, 22), done.said
    assert site.records() == before
    with chdir(site.root):
        act = site.act("withdraw", "app", "--build", "1", "--reason", "it is gone")
    assert (act.code == 0) == (gone == "verdicts"), act.said  # of verdicts none is signed


def test_a_released_build_that_is_gone_or_another_one_stops_the_gate(site: Site) -> None:
    second_build(site)
    layout = Layout(site.root, "wine")
    shutil.rmtree(layout.builds)
    with chdir(site.root), pytest.raises(Exception, match=r"cannot be read|missing"):
        released_of(open_project("wine"), "1")


def test_the_discordant_cases_cannot_be_taken_out_of_the_frozen_set(site: Site) -> None:
    """b2 was compared; its cases are dropped by an amendment; b3 is the same network again."""
    second_build(site)
    layout = Layout(site.root, "wine")
    old = read_pins(layout.pins)[-1]
    dropped = sorted(old.cases)[:3]
    cases = {case: digest for case, digest in old.cases.items() if case not in dropped}
    append_pin(layout.pins, replace(old, number=2, cases=cases, total="a" * 64, reason="swapped"))
    _third_on(site, dropped, "a" * 64)
    with chdir(site.root):
        from lifecycle.release.case import evidence_of

        project = open_project("wine")
        compared = _case_of(project, 3)
        evidence = evidence_of(layout, compared)
    assert evidence.amendment.dropped == tuple(dropped)
    assert (evidence.amendment.since, evidence.amendment.pin) == (1, 2)


def _third_on(site: Site, dropped: list[str], total: str) -> None:
    """b3, scored on what the amendment has left."""
    from lifecycle.consistency.align import take
    from lifecycle.dossier.predictions import read_parquet, write_parquet

    with chdir(site.root):
        project = open_project("wine")
        first = kept.read_build(project.layout, 1)
        content = json.loads(json.dumps(dict(first.content)))
        files = {n: (first.folder / n).read_bytes() for n in first.files if n != kept.PARTS}
        run = json.loads(files.pop(kept.RUN))
        whole = read_parquet(first.folder / kept.FROZEN)
        left = take(whole, [i for i, case in enumerate(whole.ids) if case not in dropped])
        write_parquet(site.root / "scores", left)
        files[kept.FROZEN] = (site.root / "scores").read_bytes()
        (site.root / "scores").unlink()
        content["predictions"]["frozen"] = left.digest()
        content["inputs"]["pin"] = {"number": 2, "total": total}
        kept.enrol(project.layout, content, files, run)


def _case_of(project, number: int):
    from lifecycle.release.case import kept_case

    (path,) = project.layout.cases.glob("*.json")
    case = kept_case(project.layout, path.stem).case
    return replace(
        case, build=number, references=(1,), released=True, pin="a" * 64, rules=NOW,
        criteria=tuple(RULES[NOW].criteria),
    )  # fmt: skip


def test_the_policy_is_as_old_as_the_first_build_of_the_network(site: Site) -> None:
    second_build(site)
    layout = Layout(site.root, "wine")
    builds = kept.read_builds(layout)
    looser = replace(open_project("wine", site.root).classifier.policy, p=0.5)
    # b2 was made again under the looser policy, from the same weights
    assert policy_newer(layout, builds[1], builds, looser, RULES[NOW])


def test_the_policy_is_as_old_as_the_attempt_of_the_network(site: Site) -> None:
    """The build that failed under the stricter policy was deleted; its attempt is still there."""
    layout = Layout(site.root, "wine")
    build = kept.read_build(layout, 1)
    strict = open_project("wine", site.root).classifier.policy
    (attempt,) = read_attempts(layout)
    assert attempt.policy == policy_digest(strict)
    looser = replace(strict, p=0.5)
    again = replace(build, number=2)  # the only build left of these weights
    with pytest.MonkeyPatch.context() as patch:
        facts = {**kept.run_facts(build), "policy": policy_digest(looser)}
        patch.setattr(kept, "run_facts", lambda one: facts)
        assert policy_newer(layout, again, [again], looser, RULES[NOW])
        assert not policy_newer(layout, again, [again], looser, RULES["gate/1"])
        facts["policy"] = policy_digest(strict)
        assert not policy_newer(layout, again, [again], strict, RULES[NOW])


def test_a_signature_binds_the_attempts_or_does_not_verify(site: Site) -> None:
    """Two signers who write the record by hand cannot leave out what was tried before."""
    second_build(site)
    with chdir(site.root):
        case = case_of(open_project("wine"))
    _written(site, Judged(case, replay(Layout(site.root, "wine"), case)), attempts=False)
    done = site.verify()
    assert done.code == 12
    assert "field subject: the attempt of b1" in done.err


def test_no_older_rules_once_the_roster_is_of_a_later_format(site: Site) -> None:
    second_build(site)
    layout = Layout(site.root, "wine")
    with chdir(site.root):
        case = case_of(open_project("wine"))
    old = replace(case, rules="gate/1", criteria=tuple(RULES["gate/1"].criteria))
    _written(site, Judged(old, replay(layout, old)))
    done = site.verify()
    assert done.code == 12
    assert "field case.rules: gate/1, no longer in force" in done.err


REPLACED = ["revoked", "replaced", "role taken"]


@pytest.mark.parametrize("how", REPLACED)
@pytest.mark.parametrize("signed", ["released", "refused", "nothing"])
def test_who_left_signs_no_more_with_any_time_in_any_chain(
    tmp_path: Path, built: Path, how: str, signed: str
) -> None:
    """The old key writes a review of the roster before, backdated; the approver's is honest."""
    site = new_site(built, tmp_path)
    if signed == "released":
        release(site)
        second_build(site)
    elif signed == "refused":
        done = site.act("refuse", "rev", "--meaning", "review", "--reason", "no")
        assert done.code == 0, done.said
    with chdir(site.root):
        case = case_of(open_project("wine"))
        before = read_rosters(Layout(site.root, "wine").signers)
    _leave(site, how)
    judged = Judged(case, replay(Layout(site.root, "wine"), case))
    _written(site, judged, at=before[-1].issued_at, only="rev", roster=before[-1])
    done = site.verify()
    assert done.code == 12
    # where a chain has records since, it is older than these too
    late = ("older than the roster", "before the record before", "signed after it and must bind it")
    assert any(said in done.err for said in late), done.err


def _leave(site: Site, how: str) -> None:
    done = _left(site, how)
    assert done.code == 0, done.said


def _left(site: Site, how: str) -> Done:
    ada = ["--key", str(site.key("ada")), "--yes"]
    if how == "revoked":
        return site.run("release", "keys", "revoke", "rev", *ada)
    roles, key = (["approver"], "rev") if how == "role taken" else (["reviewer"], "eve")
    public = public_of(unlock(site.key(key), PASSPHRASE)).public
    roles = [word for role in roles for word in ("--role", role)]
    return site.run("release", "keys", "enrol", "rev", "--name", "Dr rev", *roles,
                        "--public", public, *ada)  # fmt: skip


@pytest.mark.parametrize("how", REPLACED)
def test_every_change_of_a_person_is_bound_by_every_released_chain(site: Site, how: str) -> None:
    _leave(site, how)
    layout = Layout(site.root, "wine")
    rosters = read_rosters(layout.signers)
    assert set(rosters[-1].chains) == {"wine"}
    assert site.records()[-1].endswith("-amendment.json")
    head = chains.read(layout.releases, "wine", rosters).links[-1].record
    assert head.roster == (len(rosters), rosters[-1].digest)
    assert site.verify().code == 0
    # and a roster that one more record binds cannot be taken away
    sorted(layout.signers.glob("*.json"))[-1].unlink()
    assert site.verify().code == 12


def test_a_changed_entry_is_bound_also_after_a_kill(site: Site) -> None:
    """The roster was there, and the amendment was not: the same command again does the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lifecycle.workflows.rostering.bind_newest_roster", _killed)
        with pytest.raises(KeyboardInterrupt):
            _leave_here(site)
    before = len(read_rosters(Layout(site.root, "wine").signers))
    _leave(site, "role taken")
    assert len(read_rosters(Layout(site.root, "wine").signers)) == before
    assert site.records()[-1].endswith("-amendment.json")
    assert site.verify().code == 0


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _leave_here(site: Site) -> None:
    public = public_of(unlock(site.key("rev"), PASSPHRASE)).public
    enrol(site.root, "rev", "Dr rev", ["approver"], public, site.key("ada"), PASSPHRASE)


def test_a_roster_is_not_changed_over_a_chain_that_does_not_verify(site: Site) -> None:
    """Nobody could say where it ends."""
    first = min((site.root / "dossier/wine/releases").glob("*.json"))
    first.write_bytes(first.read_bytes().replace(b"payload", b"pay1oad", 1))
    rosters = sorted((site.root / "dossier/_signers").glob("*.json"))
    done = _left(site, "revoked")
    assert done.code == 12 and first.name in done.err
    assert sorted((site.root / "dossier/_signers").glob("*.json")) == rosters


def test_only_a_release_of_new_weights_begins_the_attempts_anew(site: Site) -> None:
    layout = Layout(site.root, "wine")
    first = kept.read_build(layout, 1)
    record_attempt(
        layout, "1", "f" * 64, (first.weights,), set(), policy=A
    )  # a network that failed: k = 1
    site.commit()
    second_build(site)  # the released network once more
    assert [done.code for done in _sign_both(site)] == [0, 0]
    with chdir(site.root):
        settled = settled_attempts(open_project("wine"), "1")
    assert "f" * 64 not in settled
    after = record_attempt(layout, "1", "e" * 64, (first.weights,), settled, policy=A)
    assert after.k == 2
    names = json.loads(site.run("release", "history", "wine", "--json").out)
    assert len(names) == 4
    # the sign-off bound the attempts: none can be taken away any more
    lost = next(p for p in layout.attempts.iterdir() if "f" * 32 in p.name)
    lost.unlink()
    done = site.verify()
    assert done.code == 12 and lost.name in done.err


def test_an_attempt_that_git_remembers_cannot_be_taken_away(site: Site) -> None:
    layout = Layout(site.root, "wine")
    first = kept.read_build(layout, 1)
    record_attempt(layout, "1", "f" * 64, (first.weights,), set(), policy=A)
    site.commit()
    next(p for p in layout.attempts.iterdir() if "f" * 32 in p.name).unlink()
    site.commit()
    assert len(read_attempts(layout)) == 1
    second_build(site)
    for done in _sign_both(site):
        assert done.code == 22, done.said
        assert "taken away" in done.err


CRAFTED = {
    "references": {"references": (), "released": False, "identical": False},
    "first": {"first": 2, "references": (), "released": False, "identical": False},
    "numerics_mode": {"numerics_mode": "native"},
    "origin": {"origin": "simulated"},
    "identical": {"identical": False},
    "policy_newer": {"p": 0.5},
}


@pytest.mark.parametrize("what", [*CRAFTED, "builtBy", "signedAt", "before"])
def test_a_case_that_both_signers_wrote_by_hand_is_held_against_the_dossier(
    site: Site, what: str
) -> None:
    """Both keys are there, and every digest is right: only what the dossier says is another."""
    second_build(site)
    layout = Layout(site.root, "wine")
    with chdir(site.root):
        honest = case_of(open_project("wine"))
    change = dict(CRAFTED.get(what, {}))
    policy = replace(honest.policy, p=change.pop("p", honest.policy.p))
    case = replace(honest, policy=policy, **change)
    judged = Judged(case, replay(layout, case))
    fields = {
        "builtBy": {"built_by": "somebody else"},
        "signedAt": {"at": "2099-01-01T00:00:00+00:00"},
        "before": {"at": "2020-01-01T00:00:00+00:00"},
    }.get(what, {})
    _written(site, judged, **fields)
    found = site.verify()
    assert found.code == 12, found.said
    named = {"before": "signedAt", "origin": "origin"}.get(what, what)
    assert named in found.err or (what == "first" and "references" in found.err), found.err


def test_an_honest_case_written_by_hand_verifies(site: Site) -> None:
    """Else the test above could not fail for the right reason."""
    second_build(site)
    layout = Layout(site.root, "wine")
    with chdir(site.root):
        case = case_of(open_project("wine"))
    _written(site, Judged(case, replay(layout, case)))
    assert site.verify().code == 0


def _written(
    site: Site,
    judged: Judged,
    built_by: str = "",
    at: str = "",
    *,
    attempts: bool = True,
    only: str = "",
    roster: Roster | None = None,
) -> None:
    """A case and the records of two signers, written without the program's own checks."""
    layout = Layout(site.root, "wine")
    data = canonical_json(to_record(judged))
    layout.cases.mkdir(parents=True, exist_ok=True)
    (layout.cases / f"{sha256(data)}.json").write_bytes(data)
    run = kept.run_facts(kept.read_build(layout, judged.case.build))
    bound = subjects_of(layout, judged.case)
    if attempts:
        bound |= attempt_subjects(layout, judged.case)
    for user, meaning in (("rev", "review"), ("app", "approval")):
        if only not in ("", user):
            continue
        rosters = read_rosters(layout.signers)
        named = roster or rosters[-1]
        chain = chains.read(layout.releases, "wine", rosters)
        key = unlock(site.key(user), PASSPHRASE)
        person = person_of(rosters, named.version, keyid(key.public_key()))
        moment = at or datetime.now(UTC).isoformat(timespec="seconds")
        record = Record(
            kind="sign-off", number=chain.next_number, classifier="wine",
            version=judged.case.version, previous=chain.head,
            roster=(named.version, named.digest),
            signature=Signature(person.keyid, person.name, person.user, meaning, moment),
            subjects=bound, build=judged.case.build,
            built_by=built_by or run["by"], case=sha256(data),
            demonstration=judged.case.origin == "simulated",
            **tested.tested_fields(judged.verdict, refused=False),
        )  # fmt: skip
        path = layout.releases / f"{chain.next_number:05d}-sign-off.json"
        path.write_bytes(seal(statement_of(record), key))
        if at:
            return  # the next record could not follow such a time
