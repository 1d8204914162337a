"""Signed release: two people, the rules that they are held to, and what becomes of a release."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import click
import pytest
from release_site import PASSPHRASE, Done, Site, new_site, quiet_dvc, release, second_build
from support import ROOT, run_in

from lifecycle.domain.digests import sha256
from lifecycle.errors import SignOffRefusedError
from lifecycle.release.keys import create, public_of, unlock
from lifecycle.release.roster import read_rosters
from lifecycle.workflows.auditing import verify
from lifecycle.workflows.deciding import comparison_of, released_of
from lifecycle.workflows.project import open_project
from lifecycle.workflows.rostering import enrol
from lifecycle.workflows.signing import propose_sign_off, sign

REFUSED, INTEGRITY, USAGE = 22, 12, 2


@pytest.fixture(scope="module")
def _ready(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return new_site(_built, tmp_path_factory.mktemp("ready"))


@pytest.fixture(scope="module")
def _released(_ready: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return release(_ready.copy(tmp_path_factory.mktemp("released") / "project"))


@pytest.fixture
def ready(_ready: Site, tmp_path: Path) -> Site:
    """Wine b1 passes and tiny-beta b1 is inconclusive; nothing is signed."""
    return _ready.copy(tmp_path / "project")


@pytest.fixture
def released(_released: Site, tmp_path: Path) -> Site:
    """Wine b1 is released."""
    return _released.copy(tmp_path / "project")


@pytest.fixture(autouse=True)
def _quick(request: pytest.FixtureRequest) -> Iterator[None]:
    """All but one test spare the seconds of `dvc status`."""
    if "dvc" in request.node.name:
        yield
        return
    with quiet_dvc():
        yield


def _refused(done: Done, *sentences: str) -> None:
    assert done.code == REFUSED, done.said
    for sentence in sentences:
        assert sentence in done.err
    assert "record:" not in done.out


def _every_file(root: Path) -> dict[str, bytes]:
    """What a person would miss: git's own notes and locks are left out."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git/" not in str(path) and path.name != ".lock"
    }


# ---- two people make a release


def test_a_review_and_an_approval_make_a_release(ready: Site) -> None:
    one = ready.sign("rev", "review")
    assert one.code == 0, one.said
    assert "verdict: PASS (basis: first build)" in one.out
    assert "11 files are bound by their SHA-256" in one.out
    assert "signed by Dr rev (review) at 2" in one.out
    part = ready.verify()
    assert "b1 is signed in part, not released: missing approver" in part.out
    assert released_of(open_project("wine", ready.root), "1") == set()

    two = ready.sign("app", "approval")
    assert two.code == 0, two.said
    assert ready.records() == ["00001-sign-off.json", "00002-sign-off.json"]
    assert released_of(open_project("wine", ready.root), "1") == {1}
    (audit,) = json.loads(ready.verify("--json").out)
    assert audit["head"] in two.out
    assert audit["records"] == 2 and audit["verdicts"] == 1 and audit["weights_checked"]
    assert audit["versions"]["1"][0].startswith("b1 is released since 2")


def test_history_shows_who_signed_what_and_when(released: Site) -> None:
    shown = released.run("release", "history", "wine").out
    for word in ("Dr rev (rev)", "Dr app (app)", "review", "approval", "pass", "b1"):
        assert word in shown
    rows = json.loads(released.run("release", "history", "wine", "--json").out)
    assert [row["number"] for row in rows] == [1, 2]
    assert all(datetime.fromisoformat(row["signed"]).tzinfo for row in rows)
    assert "nothing was signed yet" in released.run("release", "history", "tiny-beta").out


def test_verify_all_tells_of_every_chain(released: Site) -> None:
    """A fault of one does not hide the others, and a chain that is gone as a whole is missed."""
    strange = released.root / "dossier/tiny-beta/releases/00001-sign-off.json"
    strange.parent.mkdir(exist_ok=True)
    strange.write_text("{}")
    done = released.run("release", "verify", "--all")
    assert done.code == INTEGRITY
    assert "wine: 2 records hold" in done.out
    assert strange.name in done.err
    entries = json.loads(released.run("release", "verify", "--all", "--json").out)
    assert [entry["classifier"] for entry in entries] == ["wine", "tiny-beta"]
    assert strange.name in entries[1]["fault"]
    assert released.run("release", "verify", "--all", "--head", "0" * 64).code == USAGE
    shutil.rmtree(strange.parent)
    public = public_of(unlock(released.key("eve"), PASSPHRASE)).public
    enrol(released.root, "eve", "Dr eve", ["reviewer"], public, released.key("ada"), PASSPHRASE)
    shutil.rmtree(released.root / "dossier/wine")
    for words in (["--all"], ["wine"]):
        gone = released.run("release", "verify", *words)
        assert gone.code == INTEGRITY
        assert "0 records, and when roster" in gone.err, gone.err


def test_verify_is_held_to_fingerprint_and_head(released: Site) -> None:
    audit = verify(released.root, "wine")
    known = ("--trust", str(audit.fingerprint), "--head", str(audit.head))
    assert released.verify(*known).code == 0
    assert released.run("release", "verify", "--all").code == 0
    assert released.verify("--trust", "0" * 64).code == INTEGRITY
    (released.root / "dossier/wine/releases/00002-sign-off.json").unlink()
    assert released.verify().code == 0  # a shorter chain is a chain
    cut = released.verify("--head", str(audit.head))
    assert cut.code == INTEGRITY
    assert "cut off" in cut.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [((), "name a classifier, or give --all"), (("nobody",), "there is no classifier 'nobody'")],
)
def test_verify_wants_a_classifier(_released: Site, words: tuple[str, ...], sentence: str) -> None:
    done = _released.run("release", "verify", *words)
    assert done.code == USAGE
    assert sentence in done.err


def test_weights_may_be_missing_only_where_it_is_said(released: Site) -> None:
    for path in (released.root / "weights/wine").glob("*.safetensors"):
        path.unlink()
    missing = released.verify()
    assert missing.code == INTEGRITY and "dvc pull" in missing.err
    without = released.verify("--without-weights")
    assert without.code == 0 and "left out" in without.out
    refused = released.sign("two", "approval")
    _refused(refused, "`dvc pull` brings it")


# ---- persons


def test_a_wrong_passphrase(ready: Site) -> None:
    key = str(ready.key("rev"))
    done = ready.run(
        "release", "sign-off", "wine", "--meaning", "review", "--key", key, "--yes",
        passphrase="wrong horse battery",
    )  # fmt: skip
    _refused(done, "the passphrase is wrong")
    assert ready.records() == []


@pytest.mark.parametrize(
    ("user", "meaning", "sentence"),
    [
        ("eve", "review", "not that of an active signer"),
        ("app", "review", "app (approver) may not sign review: it needs the role reviewer"),
        ("rev", "approval", "it needs the role approver"),
        ("ada", "approval", "it needs the role approver"),
        ("rev", "authorship", "it needs the role author"),
        ("own", "review", "an author does not judge the own build"),
        ("own", "approval", "an author does not judge the own build"),
    ],
)
def test_who_may_not_sign(ready: Site, user: str, meaning: str, sentence: str) -> None:
    _refused(ready.sign(user, meaning), sentence)
    assert ready.records() == []


def test_one_person_has_one_signature(ready: Site) -> None:
    assert ready.sign("two", "review").code == 0
    _refused(ready.sign("two", "approval"), "two has signed its review already")
    assert ready.sign("aut", "authorship").code == 0
    _refused(ready.sign("aut", "approval"), "an author does not judge the own build")
    assert ready.sign("app", "approval").code == 0
    assert "released since" in ready.verify().out


def test_who_has_judged_is_no_author(ready: Site) -> None:
    assert ready.sign("aut", "approval").code == 0
    _refused(ready.sign("aut", "authorship"), "who has judged a build is not its author")


def test_the_builder_may_sign_authorship(ready: Site) -> None:
    assert ready.sign("own", "authorship").code == 0
    assert "missing reviewer and approver" in ready.verify().out


def test_a_revoked_signer(released: Site) -> None:
    words = ("--key", str(released.key("ada")), "--yes")
    assert released.run("release", "keys", "revoke", "app", *words).code == 0
    second_build(released)
    _refused(released.sign("app", "approval"), "not that of an active signer")
    assert "revoked" in released.run("release", "keys", "list").out
    assert "released since" in released.verify().out  # what was signed before holds
    again = released.run("release", "keys", "revoke", "app", *words)
    assert again.code == USAGE


def test_only_an_admin_enrols(ready: Site, tmp_path: Path) -> None:
    info = create(tmp_path / "new.pem", PASSPHRASE)
    person = ("new", "--name", "Dr new", "--role", "reviewer", "--public", info.public, "--yes")
    enrol = ("release", "keys", "enrol", *person, "--key")
    _refused(ready.run(*enrol, str(ready.key("app"))), "not that of an active admin")
    assert ready.run(*enrol, str(ready.key("ada"))).code == 0
    assert "Dr new" in ready.run("release", "keys", "list").out


def test_nobody_signs_without_a_roster(ready: Site) -> None:
    shutil.rmtree(ready.root / "dossier/_signers")
    _refused(ready.sign("rev", "review"), "has no roster, so nobody may sign")


def test_a_key_that_others_can_read(ready: Site, tmp_path: Path) -> None:
    key = Path(shutil.copy(ready.key("rev"), tmp_path / "rev.pem"))
    key.chmod(0o640)
    words = ("--meaning", "review", "--key", str(key), "--yes")
    _refused(ready.run("release", "sign-off", "wine", *words), "chmod 600")


# ---- builds


def test_a_failed_build_is_refused_and_the_refusal_is_recorded(released: Site) -> None:
    second_build(released, weights=True)
    _refused(released.sign("rev", "review"), "the verdict is fail (arithmetic)")
    blank = released.act("refuse", "app", "--reason", "  ")
    assert blank.code == USAGE and "needs its reason" in blank.err
    assert released.act("refuse", "app").code == USAGE
    _refused(released.act("refuse", "eve", "--reason", "x"), "not that of an active signer")
    done = released.act("refuse", "app", "--reason", "other weights from the same machine")
    assert done.code == 0, done.said
    assert "held against it: the verdict is fail" in done.out
    said = released.verify()
    assert said.code == 0 and "b2 was refused" in said.out and "b1 is released" in said.out
    assert "other weights from the same" in released.run("release", "history", "wine").out
    assert released_of(open_project("wine", released.root), "1") == {1}


def test_an_inconclusive_build_needs_another_persons_override(ready: Site) -> None:
    name = "tiny-beta"
    assert ready.sign("rev", "review", name=name).code == 0
    _refused(ready.sign("app", "approval", name=name), "another person has to override it first")
    assert ready.sign("two", "override", name=name).code == USAGE
    why = ("--reason", "ten positive patients are all there are")
    assert ready.sign("two", "override", *why, name=name).code == 0
    _refused(ready.sign("two", "approval", name=name), "two has signed its override already")
    assert "missing approver" in ready.verify(name=name).out
    assert ready.sign("app", "approval", name=name).code == 0
    said = ready.verify(name=name).out
    assert "b1 is released since" in said and "WARNED: inconclusive and overridden" in said
    pure = ready.sign("two", "override", *why)
    assert pure.code == USAGE and "nothing to override" in pure.err


def test_a_tree_that_is_not_clean(ready: Site) -> None:
    with (ready.root / "params.yaml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    (ready.root / "stranger.py").touch()
    _refused(ready.sign("rev", "review"), "the tree is not clean: params.yaml, stranger.py")


def test_a_simulated_cohort_is_marked_for_ever(released: Site) -> None:
    second_build(released, origin="simulated")
    _refused(released.sign("rev", "review"), "its cohort is SIMULATED")
    for user, meaning in (("rev", "review"), ("app", "approval")):
        done = released.sign(user, meaning, "--demonstration")
        assert done.code == 0 and "never for patients" in done.out
    assert "DEMONSTRATION" in released.run("release", "history", "wine").out
    assert "b2 is released" in released.verify().out and "SIMULATED" in released.verify().out


def test_a_real_cohort_is_no_demonstration(ready: Site) -> None:
    _refused(ready.sign("rev", "review", "--demonstration"), "this one is real")


def test_a_reference_that_nobody_released(ready: Site) -> None:
    second_build(ready)
    _refused(ready.sign("rev", "review"), "compared with b1, which nobody has released")


def test_evidence_older_than_the_policy(ready: Site) -> None:
    path = ready.root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert "policy: {p: 0.9," in text
    path.write_text(text.replace("policy: {p: 0.9,", "policy: {p: 0.89,"), encoding="utf-8")
    ready.commit()
    _refused(ready.sign("rev", "review"), "it was judged by another policy")


def test_a_kept_verdict_that_does_not_follow(ready: Site) -> None:
    path = ready.root / "dossier/wine/verdicts/b1.json"
    path.write_bytes(path.read_bytes().replace(b'"status":"pass"', b'"status":"fail"', 1))
    ready.commit()
    done = ready.sign("rev", "review")
    assert done.code == INTEGRITY and "b1.json" in done.err


def test_a_clock_before_the_record_before(released: Site) -> None:
    second_build(released)
    proposal = propose_sign_off(open_project("wine", released.root), "review")
    early = datetime.now(UTC) - timedelta(days=2)
    with pytest.raises(SignOffRefusedError, match=r"the clock says .* which is before"):
        sign(proposal, released.key("rev"), PASSPHRASE, early)
    assert len(released.records()) == 2


def test_dvc_says_what_changed_since(ready: Site) -> None:
    done = ready.sign("rev", "review")
    assert done.code == 0, done.said  # as it was built, DVC has nothing to say
    with (ready.root / "work/wine/search.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    _refused(ready.sign("app", "approval"), "`dvc status` says that something changed")
    assert len(ready.records()) == 1


def test_code_that_changed_since_is_seen_where_dvc_does_not_look(ready: Site) -> None:
    """`dvc status` sees what `dvc repro` noted of the code; a sign-off looks at the code itself."""
    path = ready.root / "lifecycle/stats/auc.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"# why\n{text}", encoding="utf-8")
    ready.commit()
    assert ready.sign("rev", "review").code == 0  # a comment is no change
    path.write_text(text.replace("/ (n_pos * n_neg)", "/ (n_pos * n_neg) / 4"), encoding="utf-8")
    ready.commit()
    said = "code changed since the build was judged: build, gate, report, search"
    _refused(ready.sign("app", "approval"), said, "(lifecycle.stats.auc: auc)", "`dvc repro`")
    assert len(ready.records()) == 1


def test_code_that_dvc_was_told_to_believe_is_seen(ready: Site) -> None:
    """`dvc commit --force` says of outputs that other code made them; the run knows better."""
    path = ready.root / "lifecycle/stats/auc.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("/ (n_pos * n_neg)", "/ (n_pos * n_neg) / 4"), encoding="utf-8")
    for words in (["python", "-m", "pipelines.surroundings"], ["dvc", "commit", "--force"]):
        done = run_in(ready.root, *words)
        assert done.returncode == 0, done.stderr
    ready.commit()
    said = "work/wine/build/run.json says that the network was trained by other code"
    _refused(ready.sign("rev", "review"), said, "`dvc repro --force build@wine`")


# ---- passphrase and question


def _by_descriptor(site: Site, text: bytes) -> Done:
    end, start = os.pipe()
    os.write(start, text)
    os.close(start)
    key = str(site.key("rev"))
    return site.run(
        "release", "sign-off", "wine", "--meaning", "review", "--key", key, "--yes",
        "--passphrase-fd", str(end), passphrase=None,
    )  # fmt: skip


def test_the_passphrase_comes_by_descriptor(ready: Site) -> None:
    _refused(_by_descriptor(ready, b"wrong horse battery\n"), "the passphrase is wrong")
    assert _by_descriptor(ready, f"{PASSPHRASE}\n".encode()).code == 0


def test_a_closed_descriptor_is_said(ready: Site) -> None:
    end, start = os.pipe()
    os.close(start)
    os.close(end)
    words = ("--meaning", "review", "--key", str(ready.key("rev")), "--yes")
    done = ready.run("release", "sign-off", "wine", *words, "--passphrase-fd", str(end))
    assert done.code == USAGE and "cannot be read" in done.err


def test_the_passphrase_is_asked_for(ready: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE

    monkeypatch.setattr("click.termui.hidden_prompt_func", ask)
    words = ("--meaning", "review", "--key", str(ready.key("rev")))
    done = ready.run("release", "sign-off", "wine", *words, answer="y\n", passphrase=None)
    assert done.code == 0, done.said
    assert len(asked) == 1
    assert PASSPHRASE not in done.said


def _commands(group: click.Command) -> Iterator[click.Command]:
    yield group
    for child in group.commands.values() if isinstance(group, click.Group) else ():
        yield from _commands(child)


def test_the_passphrase_is_never_on_the_command_line() -> None:
    from lifecycle.cli.release import command

    found = {
        text
        for one in _commands(command)
        for option in one.params
        for text in option.opts
        if "pass" in text
    }
    assert found == {"--passphrase-fd"}


@pytest.mark.parametrize("answer", ["n\n", "", "no\n"])
def test_no_leaves_everything_as_it_was(ready: Site, answer: str) -> None:
    before = _every_file(ready.root)
    words = ("--meaning", "review", "--key", str(ready.key("rev")))
    done = ready.run("release", "sign-off", "wine", *words, answer=answer)
    assert done.code == 130
    assert "everything is as it was" in done.err
    assert _every_file(ready.root) == before


def test_a_refused_signature_leaves_everything_as_it_was(ready: Site) -> None:
    before = _every_file(ready.root)
    _refused(ready.sign("own", "approval"))
    assert _every_file(ready.root) == before


# ---- what becomes of a release


def test_a_withdrawal_ends_a_release(released: Site) -> None:
    assert released.act("withdraw", "app", "--build", "1").code == USAGE
    assert released.act("withdraw", "app", "--reason", "x").code == USAGE  # which build?
    _refused(
        released.act("withdraw", "rev", "--build", "1", "--reason", "x"), "may not sign approval"
    )
    nobody = released.act("withdraw", "app", "--build", "7", "--reason", "x")
    assert nobody.code == USAGE and "no signature on b7" in nobody.err
    done = released.act("withdraw", "app", "--build", "1", "--reason", "the wrong frozen set")
    assert done.code == 0 and "speaks of 00002-sign-off.json" in done.out
    assert "b1 was withdrawn at" in released.verify().out
    assert "the wrong frozen set" in released.run("release", "history", "wine").out
    assert released_of(open_project("wine", released.root), "1") == set()
    again = released.act("withdraw", "app", "--build", "1", "--reason", "x")
    assert again.code == USAGE and "no signature on b1 that is in force" in again.err


def test_after_a_withdrawal_the_comparison_is_another(released: Site) -> None:
    second_build(released)
    project = open_project("wine", released.root)
    assert comparison_of(project)["released"] is True
    assert released.act("withdraw", "app", "--build", "1", "--reason", "x").code == 0
    assert comparison_of(project)["released"] is False
    stale = released.sign("rev", "review")
    assert stale.code == INTEGRITY
    assert "dvc repro compare@wine" in stale.err


def test_a_withdrawn_build_can_be_signed_anew(released: Site) -> None:
    assert released.act("withdraw", "app", "--build", "1", "--reason", "x").code == 0
    for user, meaning in (("rev", "review"), ("app", "approval")):
        assert released.sign(user, meaning).code == 0
    assert released_of(open_project("wine", released.root), "1") == {1}
    assert len(released.records()) == 5


def test_an_amendment_changes_nothing_that_was_signed(released: Site) -> None:
    assert released.act("amend", "rev").code == USAGE
    before = _every_file(released.root / "dossier")
    assert released.act("amend", "rev", "--reason", "b1 is named X in the LIMS").code == 0
    after = _every_file(released.root / "dossier")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"wine/releases/00003-amendment.json"}
    assert released_of(open_project("wine", released.root), "1") == {1}
    assert "LIMS" in released.run("release", "history", "wine").out


def test_a_release_is_withdrawn_and_not_refused(released: Site) -> None:
    done = released.act("refuse", "app", "--reason", "x")
    assert done.code == USAGE
    assert "b1 is released; `lifecycle release withdraw wine --build 1` ends a release" in done.err


def test_a_refusal_ends_the_signatures_before_it(ready: Site) -> None:
    assert ready.sign("rev", "review").code == 0
    assert ready.act("refuse", "app", "--reason", "not on this microscope").code == 0
    assert ready.sign("two", "approval").code == 0
    assert "missing reviewer" in ready.verify().out


# ---- a build after a release


def test_a_build_of_other_weights_is_judged_against_the_release(ready: Site) -> None:
    name = "tiny-beta"
    for user, meaning in (("rev", "review"), ("two", "override"), ("app", "approval")):
        assert ready.sign(user, meaning, "--reason", "few patients", name=name).code == 0
    ready.commit()
    second_build(ready, name, weights=True)
    entry = comparison_of(open_project(name, ready.root))
    assert (entry["build"], entry["references"], entry["released"]) == ("b2", ["b1"], True)
    verdict = json.loads(ready.run("gate", name, "--json").out)
    assert (verdict["basis"], verdict["build"]) == ("statistical", 2)
    assert {"consistency.series", "consistency.pair:b1", "lost:b1"} <= {
        finding["criterion"] for finding in verdict["findings"]
    }
    shown = ready.sign("rev", "review", name=name)
    assert "(basis: statistical), compared with b1" in shown.out


def test_the_same_function_is_released_after_it(released: Site) -> None:
    second_build(released)
    for user, meaning in (("two", "review"), ("app", "approval")):
        done = released.sign(user, meaning)
        assert done.code == 0 and "(basis: identity), compared with b1" in done.out
    assert released_of(open_project("wine", released.root), "1") == {1, 2}
    said = released.verify().out
    assert "b1 is released" in said and "b2 is released" in said


# ---- by hand, with OpenSSL


def _by_hand(site: Site, record: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The script of the reference page."""
    page = (ROOT / "docs/reference/release-records.md").read_text(encoding="utf-8")
    script = tmp_path / "verify.sh"
    script.write_text(page.split("```sh\n")[1].split("```")[0], encoding="utf-8")
    rosters = read_rosters(site.root / "dossier/_signers")
    public = next(person.public for person in rosters[-1].people if person.user == "rev")
    return subprocess.run(
        ["sh", str(script), str(record), public], capture_output=True, text=True, check=False
    )


def test_a_record_is_verified_by_hand(released: Site, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine")
    one, two = sorted((released.root / "dossier/wine/releases").glob("*.json"))
    done = _by_hand(released, one, tmp_path)
    assert done.returncode == 0, done.stderr
    first, payload, last = done.stdout.splitlines()
    assert first == "Signature Verified Successfully"
    statement = json.loads(payload)
    assert statement["predicate"]["lifecycle"]["signature"]["printedName"] == "Dr rev"
    for subject in statement["subject"]:
        if "#" not in subject["name"]:
            data = (released.root / subject["name"]).read_bytes()
            assert sha256(data) == subject["digest"]["sha256"]
    assert f'"previous":"{last.split()[0]}"'.encode() in _payload(two)
    text = one.read_text(encoding="utf-8")
    one.write_text(text.replace('"payload":"eyJf', '"payload":"eyJg'), encoding="utf-8")
    assert _by_hand(released, one, tmp_path).returncode != 0


def _payload(record: Path) -> bytes:
    return base64.b64decode(json.loads(record.read_bytes())["payload"])


# ---- as a user runs it


_CLI: list[tuple[Callable[[Site], tuple[str, ...]], int, str]] = [
    (lambda site: ("verify", "wine"), 0, "b1 is released since"),
    (lambda site: ("keys", "create", "--key", str(site.key("rev"))), USAGE, "never overwritten"),
]


@pytest.mark.parametrize("at", range(len(_CLI)))
def test_the_installed_command(_released: Site, at: int) -> None:
    words, code, sentence = _CLI[at]
    done = run_in(_released.root, "lifecycle", "release", *words(_released),
                  LIFECYCLE_PASSPHRASE=PASSPHRASE)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_two_people_sign_with_two_versions_of_the_program(ready: Site) -> None:
    """The second version would write other bytes for the same case; both sign the first ones."""
    assert ready.sign("rev", "review").code == 0
    with (
        mock.patch("lifecycle.records.format.PROGRAM", "lifecycle 0.2.7"),
        mock.patch("lifecycle.release.records.PROGRAM", "lifecycle 0.2.7"),
    ):
        done = ready.sign("app", "approval")
    assert done.code == 0, done.said
    assert len(list((ready.root / "dossier/wine/releases/cases").glob("*.json"))) == 1
    shown = ready.run("release", "history", "wine").out
    assert "b1 is released" in shown
    assert ready.verify().code == 0
    record = sorted((ready.root / "dossier/wine/releases").glob("*.json"))[-1]
    payload = base64.b64decode(json.loads(record.read_bytes())["payload"])
    assert json.loads(payload)["predicate"]["lifecycle"]["program"] == "lifecycle 0.2.7"
