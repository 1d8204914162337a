"""What was decided stays decided: by later policies, races, repeated commands, revoked keys."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
from release_site import PASSPHRASE, Site, new_site, quiet_dvc, release, second_build

from lifecycle.domain.digests import digest_of
from lifecycle.dossier.files import write_json
from lifecycle.errors import UsageError
from lifecycle.workflows.deciding import released_of
from lifecycle.workflows.judging import judge_build
from lifecycle.workflows.project import open_project
from lifecycle.workflows.signing import propose_about, propose_refusal, sign

INTEGRITY, USAGE = 12, 2


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quiet_dvc():
        yield


@pytest.fixture(scope="module")
def _ready(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return new_site(_built, tmp_path_factory.mktemp("decided"), ("ada", "rev", "app"))


@pytest.fixture(scope="module")
def _released(_ready: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return release(_ready.copy(tmp_path_factory.mktemp("decided-released") / "project"))


@pytest.fixture
def ready(_ready: Site, tmp_path: Path) -> Site:
    """Nothing is signed."""
    return _ready.copy(tmp_path / "project")


@pytest.fixture
def released(_released: Site, tmp_path: Path) -> Site:
    """Wine b1 is released."""
    return _released.copy(tmp_path / "project")


def _ask_for(site: Site, roles: str) -> None:
    """Another `policy.signatures`, and the build judged by it."""
    path = site.root / "params.yaml"
    old = "policy: {p: 0.9, holdout_recall: 0.2"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, f"{old}, signatures: {roles}"), encoding="utf-8")
    with redirect_stderr(StringIO()):
        judge_build(open_project("wine", site.root))
    site.commit()


def _in_force(site: Site) -> set[int]:
    return set(released_of(open_project("wine", site.root), "1"))


def test_a_looser_policy_releases_nothing_that_was_judged_before(ready: Site) -> None:
    assert ready.sign("rev", "review").code == 0
    assert ready.act("refuse", "app", "--reason", "no").code == 0
    after = ready.sign("rev", "review")
    assert after.code == 0 and "REFUSED BEFORE by Dr app" in after.out
    _ask_for(ready, "[reviewer]")
    assert _in_force(ready) == set()
    assert "missing approver" in ready.verify().out
    # judged by the looser one it is another case; the policy is newer than the build
    assert ready.sign("rev", "review").code == 0
    assert _in_force(ready) == set()
    said = ready.verify().out
    assert "missing override" in said and "b1 was refused" in said


def test_a_stricter_policy_ends_no_release(released: Site) -> None:
    at = next(line for line in released.verify().out.splitlines() if "is released since" in line)
    _ask_for(released, "[author, reviewer, approver]")
    done = released.act("amend", "rev", "--reason", "a remark")
    assert done.code == 0, done.said
    assert _in_force(released) == {1}
    assert at in released.verify().out


def test_a_withdrawal_run_again_ends_no_other_release(released: Site) -> None:
    second_build(released)
    for user, meaning in (("rev", "review"), ("app", "approval")):
        assert released.sign(user, meaning).code == 0
    assert _in_force(released) == {1, 2}
    words = ("withdraw", "app", "--build", "b2", "--reason", "wrong probes")
    assert released.act(*words).code == 0
    again = released.act(*words)
    assert again.code == USAGE and "no signature on b2 that is in force" in again.err
    assert _in_force(released) == {1}


def test_of_two_withdrawals_at_once_one_wins(released: Site) -> None:
    project = open_project("wine", released.root)
    one, two = (propose_about(project, "withdrawal", "approval", "x", 1) for _ in "ab")
    sign(one, released.key("app"), PASSPHRASE)
    with pytest.raises(UsageError):
        sign(two, released.key("app"), PASSPHRASE)
    assert released.records()[2:] == ["00003-withdrawal.json"]


def test_what_was_released_while_someone_thought_is_not_refused(ready: Site) -> None:
    assert ready.sign("rev", "review").code == 0
    proposal = propose_refusal(open_project("wine", ready.root), "approval", "doubts")
    assert ready.sign("app", "approval").code == 0
    with pytest.raises(UsageError, match="b1 is released"):
        sign(proposal, ready.key("app"), PASSPHRASE)
    assert _in_force(ready) == {1} and len(ready.records()) == 2


def test_a_revocation_cannot_be_taken_away(released: Site) -> None:
    words = ("release", "keys", "revoke", "app", "--key", str(released.key("ada")), "--yes")
    done = released.run(*words)
    assert done.code == 0, done.said
    assert "00003-amendment.json names it" in done.out
    assert released.verify().code == 0 and _in_force(released) == {1}
    newest = sorted((released.root / "dossier/_signers").glob("0*.json"))[-1]
    held = newest.read_bytes()
    newest.unlink()
    gone = released.verify()
    assert gone.code == INTEGRITY and "roster" in gone.err
    newest.write_bytes(held)
    again = released.run(*words)
    assert again.code == USAGE and "revoked already" in again.err


def test_a_revocation_that_was_cut_short_is_completed(released: Site) -> None:
    words = ("release", "keys", "revoke", "app", "--key", str(released.key("ada")), "--yes")
    assert released.run(*words).code == 0
    (released.root / "dossier/wine/releases/00003-amendment.json").unlink()  # as before its link
    done = released.run(*words)
    assert done.code == 0 and "00003-amendment.json names it" in done.out
    assert released.verify().code == 0


def _redone(path: Path, change: Callable[[dict], None]) -> None:
    """A kept verdict with another content and a digest that fits it."""
    body = json.loads(path.read_bytes())
    del body["digest"]
    change(body)
    write_json(path, {**body, "digest": digest_of(body)})


def _status(body: dict) -> None:
    body["status"] = "fail"


def _finding(body: dict) -> None:
    body["status"] = body["findings"][0]["status"] = "fail"


@pytest.mark.parametrize("change", [_status, _finding])
def test_a_kept_verdict_draws_no_other_conclusion(released: Site, change) -> None:
    path = released.root / "dossier/wine/verdicts/b1.json"
    _redone(path, change)
    done = released.verify()
    assert done.code == INTEGRITY and "verdicts/b1.json" in done.err


def test_a_verdict_on_no_build_is_a_stranger(released: Site) -> None:
    path = released.root / "dossier/wine/verdicts/b1.json"
    shutil.copy(path, path.with_name("b7.json"))
    _redone(path.with_name("b7.json"), lambda body: body.update(build=7))
    done = released.verify()
    assert done.code == INTEGRITY and "there is no build b7" in done.err


@pytest.mark.parametrize("name", ["", ".", "..", "_signers", "../dossier/wine", "wine/"])
@pytest.mark.parametrize("command", ["verify", "history"])
def test_what_is_no_classifier_is_said(_released: Site, command: str, name: str) -> None:
    done = _released.run("release", command, name)
    assert done.code == USAGE and "there is no classifier" in done.err
