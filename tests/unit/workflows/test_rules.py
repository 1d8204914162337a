"""Rules of the workflows that need no data: terms, references, source digests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.domain.networks import ModelPlan, plan_of
from lifecycle.dossier.builds import Build
from lifecycle.dossier.terms import changed_terms
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import load
from lifecycle.workflows.boundary import guarded
from lifecycle.workflows.deciding import references
from lifecycle.workflows.surroundings import source_digests
from lifecycle.workflows.terms import require_same_terms, terms_of

ROOT = Path(__file__).resolve().parents[3]


def _build(number: int, version: str = "1.0.0", **content: object) -> Build:
    return Build(number, {"version": version, **content}, {}, f"d{number}", Path())


def test_a_candidate_faces_every_released_build_or_the_latest() -> None:
    one, two, three, four = builds = tuple(_build(number) for number in (1, 2, 3, 4))
    assert references(four, builds, {1, 3}) == (one, three)
    # one that is made current again faces the releases after it, and never itself
    assert references(two, builds, {1, 3}) == (one, three)
    assert references(one, builds, {1, 3}) == (three,)
    assert references(four, builds, ()) == (one, three)
    assert references(two, builds, ()) == (one,)
    assert references(one, builds, ()) == ()
    assert references(one, builds, {1}) == ()


def test_what_makes_a_new_version() -> None:
    shipped = load(ROOT)["gbm-methylation"]
    first = _build(1, terms=terms_of(shipped))
    require_same_terms("gbm-methylation", shipped, (first,))
    for change in (
        {"model": ModelPlan(hidden=(16,))},
        {"recipe": replace(shipped.recipe, minibatch=8)},
        {"tau": replace(shipped.tau, positive="GBM, RTK II")},
        {"classes": shipped.classes[::-1]},
    ):
        with pytest.raises(UnusableInputError, match="A rebuild keeps these"):
            require_same_terms("gbm-methylation", replace(shipped, **change), (first,))
    policy = replace(shipped, policy=replace(shipped.policy, p=0.9))
    require_same_terms("gbm-methylation", policy, (first,))
    newer = replace(shipped, version="2.0.0", model=ModelPlan(hidden=(16,)))
    require_same_terms("gbm-methylation", newer, (first,))


def test_changed_terms_are_named_to_the_key() -> None:
    assert changed_terms({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == [
        "a.c: 2 -> 3",
        "d: None -> 4",
    ]


def test_a_touched_file_has_the_same_digest_and_a_changed_one_another(tmp_path: Path) -> None:
    shipped = load(ROOT)["breast-cytology"]
    source = tmp_path / "requirements.lock"
    source.write_text("one", encoding="utf-8")
    known: dict = {}
    first = source_digests(tmp_path, shipped, known)
    source.touch()
    assert source_digests(tmp_path, shipped, known) == first
    source.write_text("two!", encoding="utf-8")
    assert source_digests(tmp_path, shipped, known) != first
    source.unlink()
    with pytest.raises(UnusableInputError, match=r"cohort\.path: there is no file"):
        source_digests(tmp_path, shipped, known)


def test_interrupted_is_not_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    assert guarded(stop) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_build_from_before_a_key_has_the_key_s_default() -> None:
    shipped = load(ROOT)["gbm-methylation"]
    terms = terms_of(shipped)
    for key in ("order", "positive_weights"):
        del terms["recipe"][key]
    old = _build(1, terms=terms)
    require_same_terms("gbm-methylation", shipped, (old,))
    other = replace(shipped, recipe=replace(shipped.recipe, order="golden"))
    with pytest.raises(UnusableInputError, match=r"recipe\.order: 'seeded' -> 'golden'"):
        require_same_terms("gbm-methylation", other, (old,))
    with pytest.raises(UnusableInputError, match=r"recipe\.positive_weights: 'none' -> 'sqrt'"):
        weighted = replace(shipped, recipe=replace(shipped.recipe, positive_weights="sqrt"))
        require_same_terms("gbm-methylation", weighted, (old,))
    # what the build does say counts, not the default
    golden = _build(1, terms=terms | {"recipe": {**terms["recipe"], "order": "golden"}})
    with pytest.raises(UnusableInputError, match=r"recipe\.order: 'golden' -> 'seeded'"):
        require_same_terms("gbm-methylation", shipped, (golden,))


def test_terms_give_back_the_network_of_every_kind() -> None:
    shipped = load(ROOT)
    assert len({type(one.model) for one in shipped.values()}) == 3
    for classifier in shipped.values():
        assert plan_of(terms_of(classifier)["model"], "b1") == classifier.model
