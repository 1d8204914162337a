"""A new version, a new name, more networks: none of them is a way round the comparison."""

from __future__ import annotations

import io
import shutil
from contextlib import chdir, redirect_stderr
from dataclasses import replace
from pathlib import Path

import pytest
from following_site import (
    findings,
    gate,
    judge,
    new_build,
    says_otherwise,
    set_params,
    sign_all,
    written,
)
from release_site import Site, new_site, release

from lifecycle.domain.cohort import Pin
from lifecycle.dossier.attempts import record_attempt
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import append_pin
from lifecycle.records.evidence import CRITERIA_V1
from lifecycle.release.case import Case, Judged, replay
from lifecycle.workflows.judging import case_of
from lifecycle.workflows.project import open_project

FOLLOWS = {"predecessor": {"version": "1"}}


@pytest.fixture(scope="module")
def _released(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = new_site(_built, tmp_path_factory.mktemp("versions"), ("ada", "rev", "app", "two"))
    return release(site)


@pytest.fixture
def site(_released: Site, tmp_path: Path) -> Site:
    """Wine b1 of version 1 is released."""
    return _released.copy(tmp_path / "project")


def test_a_new_version_that_agrees_passes_is_signed_and_verifies(site: Site) -> None:
    assert new_build(site, policy=FOLLOWS) == 2
    verdict = gate(site)
    found = {one["criterion"]: one["status"] for one in verdict["findings"]}
    assert (verdict["status"], verdict["basis"]) == ("pass", "first build"), verdict
    compared = {name for name in found if name.startswith("predecessor")}
    assert compared == {
        "predecessor", "predecessor.coverage", "predecessor.frozen", "predecessor.series",
        "predecessor.pair:b1", "predecessor.ever", "predecessor.lost:b1", "predecessor.floor",
    }  # fmt: skip
    assert verdict["shown"]["predecessor"]["names"] == ["b1", "b2"]
    assert [one.code for one in sign_all(site)] == [0, 0]
    assert site.verify().code == 0


def test_a_new_version_that_contradicts_the_one_before_fails(site: Site) -> None:
    new_build(site, policy=FOLLOWS, change=says_otherwise(40))
    found = findings(site)
    assert found["predecessor.pair:b1"][0] == "fail"
    assert gate(site)["status"] == "fail"
    assert [one.code for one in sign_all(site)] == [22, 22]


def test_nothing_named_is_inconclusive_until_a_second_person_accepts(site: Site) -> None:
    new_build(site)
    found = findings(site)
    assert gate(site)["status"] == "inconclusive"
    status, said = found["predecessor"]
    assert status == "inconclusive" and "compared with nothing" in said
    refused = sign_all(site)
    assert [one.code for one in refused][1] == 22  # the approval waits for the override
    done = sign_all(site, "fresh cohort, no case in common")
    assert [one.code for one in done if one.code != 22] == [0, 0], [one.said for one in done]
    assert site.verify().code == 0
    assert "of version 1, released before, it was compared with NOTHING" in done[0].said


def test_a_version_that_is_not_the_last_released_is_named(site: Site) -> None:
    new_build(site, policy=FOLLOWS)
    sign_all(site)
    new_build(site, "3", policy=FOLLOWS, salt=2e-9)
    status, said = findings(site)["predecessor"]
    assert (
        status == "inconclusive"
        and "the last version that was released before this one is 2" in said
    )
    new_build(site, "4", policy={"predecessor": {"version": "2"}}, salt=3e-9)
    found = findings(site)
    assert found["predecessor"][0] == "pass"
    assert "predecessor.pair:b2" in found


def test_a_version_that_nobody_released_cannot_be_followed(site: Site) -> None:
    new_build(site, policy={"predecessor": {"version": "0.9"}})
    status, said = findings(site)["predecessor"]
    assert status == "inconclusive" and "released before this one is 1" in said


def test_a_withdrawn_predecessor_leaves_nothing_to_agree_with(site: Site) -> None:
    with chdir(site.root):
        act = site.act("withdraw", "app", "--build", "1", "--reason", "wrong probes")
    assert act.code == 0, act.said
    new_build(site, policy=FOLLOWS)
    status, said = findings(site)["predecessor"]
    assert status == "inconclusive" and "withdrawn" in said


def test_a_map_to_nothing_is_refused_and_one_that_leaves_classes_out_is_found(site: Site) -> None:
    for classes in ({}, {"class_0": "class_0"}, {"class_0": "nowhere", "class_1": "class_1"}):
        set_params(site, "2", {"predecessor": {"version": "1", "classes": classes}})
        done = site.run("gate", "wine")
        assert done.code == 10 and "predecessor" in done.err, done.said
    classes = {"class_0": "class_0", "class_2": "class_2"}
    new_build(site, policy={"predecessor": {"version": "1", "classes": classes}})
    found = findings(site)
    assert found["predecessor.classes"][0] == "inconclusive"
    assert found["predecessor.coverage"][0] == "inconclusive"
    assert "class_1 of b1" in found["predecessor.coverage"][1]
    swapped = {"class_0": "class_1", "class_1": "class_0", "class_2": "class_2"}
    new_build(site, "3", policy={"predecessor": {"version": "1", "classes": swapped}}, salt=2e-9)
    found = findings(site)
    assert found["predecessor.classes"][0] == "inconclusive"
    assert found["predecessor.pair:b1"][0] == "fail"
    strange = {"class_9": "class_0", "class_1": "class_1"}
    new_build(site, "4", policy={"predecessor": {"version": "1", "classes": strange}}, salt=3e-9)
    status, said = findings(site)["predecessor.frozen"]
    assert status == "inconclusive" and "class_9" in said


def test_a_version_that_failed_and_came_back_is_held_to_the_next_level(site: Site) -> None:
    new_build(site, policy=FOLLOWS, change=says_otherwise(40))
    assert gate(site)["shown"]["predecessor"]["attempt"] == 1
    new_build(site, "3", policy=FOLLOWS, salt=2e-9)
    again = gate(site)
    assert again["shown"]["predecessor"]["attempt"] == 2
    (pair,) = [f for f in again["findings"] if f["criterion"] == "predecessor.pair:b1"]
    from lifecycle.stats.intervals import upper_bound

    figures = again["shown"]["predecessor"]["pairs"][0]["figures"]
    assert pair["bound"] == pytest.approx(upper_bound(figures["Z"], figures["m"], 0.05 / 4))
    assert sign_all(site)[0].code == 0


def test_exposure_counts_versions_and_names_and_has_a_limit(site: Site) -> None:
    assert findings(site)["exposure"][0] == "pass"
    assert "1 network was judged" in findings(site)["exposure"][1]
    new_build(site, policy={**FOLLOWS, "exposure": 2})
    found = findings(site)["exposure"]
    assert found[0] == "pass" and "wine 1 (1), wine 2 (1)" in found[1]
    new_build(site, "3", policy={**FOLLOWS, "exposure": 2}, salt=2e-9)
    status, said = findings(site)["exposure"]
    assert status == "inconclusive" and "3 networks" in said


def _renamed(site: Site) -> None:
    """The dossier under another name: what a renamed classifier leaves behind."""
    old = Layout(site.root, "vintage")
    old.dossier.mkdir()
    shutil.copyfile(site.root / "dossier/wine/frozen.json", old.pins)
    record_attempt(old, "1", "ab" * 32, (), policy="a" * 64)


def _judged_again(site: Site) -> None:
    with chdir(site.root), redirect_stderr(io.StringIO()):
        judge(open_project("wine"))
    site.commit()


def test_a_renamed_classifier_has_not_unseen_the_cases(site: Site) -> None:
    new_build(site, policy=FOLLOWS)
    _renamed(site)
    site.commit()
    refused = sign_all(site)
    assert [one.code for one in refused] == [22, 22]
    assert "networks of vintage 1 were judged on its frozen cases since" in refused[0].said
    _judged_again(site)
    assert "vintage 1 (1)" in findings(site)["exposure"][1]
    assert [one.code for one in sign_all(site)] == [0, 0]
    assert site.verify().code == 0
    shutil.rmtree(site.root / "dossier/vintage")
    done = site.verify()
    assert done.code == 12 and "vintage" in done.err
    # and what was signed stays counted
    _judged_again(site)
    assert "vintage 1 (1)" in findings(site)["exposure"][1]


@pytest.mark.parametrize(
    "gone", ["builds/b1/frozen.parquet", "builds/b1/holdout.parquet", "builds/b1/record.json",
             "frozen.json", "builds/b1"],
)  # fmt: skip
def test_without_the_predecessor_s_files_nothing_is_judged_or_verified(
    site: Site, gone: str
) -> None:
    new_build(site, policy=FOLLOWS)
    assert [one.code for one in sign_all(site)] == [0, 0]
    place = site.root / "dossier/wine" / gone
    kept_bytes = place.read_bytes() if place.is_file() else b""
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert site.verify().code in (10, 12)
    assert site.run("gate", "wine").code in (10, 12)
    if kept_bytes:
        place.write_bytes(kept_bytes[:-2] + b"xx")
        assert site.verify().code == 12
        assert site.run("gate", "wine").code in (10, 12)
        place.write_bytes(kept_bytes)
        assert site.verify().code == 0


def _honest(site: Site) -> Case:
    new_build(site, policy=FOLLOWS)
    with chdir(site.root):
        return case_of(open_project("wine"))


CRAFTED = {
    "nothing earlier": lambda case: replace(case, followed=replace(case.followed, earlier=None)),
    "no release of it": lambda case: replace(case, followed=replace(case.followed, builds=())),
    "another attempt": lambda case: replace(case, followed=replace(case.followed, attempt=9)),
    "not followed": lambda case: replace(case, followed=None),
    "no predecessor": lambda case: replace(
        case, policy=replace(case.policy, predecessor=None),
        followed=replace(case.followed, builds=()),
    ),
    "exposure of nobody": lambda case: replace(case, exposure=()),
    "exposure of this version alone": lambda case: replace(case, exposure=case.exposure[-1:]),
    "without the criteria": lambda case: replace(
        case, criteria=tuple(k for k in case.criteria if k not in ("predecessor", "exposure"))
    ),
    "by older rules": lambda case: replace(
        case, rules="gate/1", criteria=CRITERIA_V1, followed=None, exposure=()
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(CRAFTED))
def test_a_case_that_both_signers_wrote_by_hand_is_held_against_the_chain(
    site: Site, what: str
) -> None:
    layout = Layout(site.root, "wine")
    honest = _honest(site)
    case = CRAFTED[what](honest)
    rules = case if what != "without the criteria" else honest
    written(site, Judged(case, replace(replay(layout, rules), criteria=case.criteria)))
    found = site.verify()
    assert found.code == 12, (what, found.said)


def test_an_honest_case_written_by_hand_verifies(site: Site) -> None:
    """Else the test above could not fail for the right reason."""
    layout = Layout(site.root, "wine")
    case = _honest(site)
    written(site, Judged(case, replay(layout, case)))
    assert site.verify().code == 0


def test_a_renamed_dossier_that_git_remembers_cannot_be_taken_away(site: Site) -> None:
    new_build(site, policy=FOLLOWS)
    _renamed(site)
    _other_cases(site)
    site.commit()
    shutil.rmtree(site.root / "dossier/vintage")
    shutil.rmtree(site.root / "dossier/elsewhere")
    site.commit()
    for done in sign_all(site):
        assert done.code == 22
        assert "taken away: dossier/vintage/attempts" in done.said
        assert "elsewhere" not in done.said


def _other_cases(site: Site) -> None:
    """A classifier of other cases, which may go."""
    layout = Layout(site.root, "elsewhere")
    layout.dossier.mkdir()
    append_pin(layout.pins, Pin("1", 1, {"x": "0" * 64}, "1" * 64, "", "real", {"x": "2" * 64}))
    record_attempt(layout, "1", "cd" * 32, (), policy="a" * 64)
