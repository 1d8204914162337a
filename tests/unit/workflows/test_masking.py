"""A report without identifiers: names in texts, short ones, and what is refused with its place."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.report.inputs import rebuild

from lifecycle.cohorts.split import write_parts
from lifecycle.dossier import builds as kept
from lifecycle.errors import UnusableInputError
from lifecycle.report.figures import figures
from lifecycle.report.page import render
from lifecycle.report.source import Signature
from lifecycle.workflows import known_names
from lifecycle.workflows.deciding import cases_csv
from lifecycle.workflows.known_names import Known
from lifecycle.workflows.masking import LEFT_OUT, mask_of, masked
from lifecycle.workflows.mentions import Names, is_telling, legible
from lifecycle.workflows.unnamed import require_unnamed

NAMES = ["FP0002", "FP0003", "A-17/x", "Müller, J", "sample 9 left", "12.0004.b"]
texts = st.lists(
    st.sampled_from([*NAMES, "fp0003", "X", "7", " ", "-", "/", "=", "é", "A-17", "_", ".", "\n"]),
    max_size=12,
).map("".join)


def slow(name: str, text: str) -> bool:
    """The definition: the name, with no letter or digit next to it, in any letter case."""
    blanks = re.sub(r"(\\ )+", r"\\s+", re.escape(name.lower()))
    return bool(re.search(rf"(?<![^\W_]){blanks}(?![^\W_])", text.lower()))


@settings(max_examples=400, deadline=None)
@given(texts)
def test_each_name_is_found_where_the_definition_says(text: str) -> None:
    for name in NAMES:
        found = [mention.name for mention in Names([name]).within(text)]
        assert bool(found) is slow(name, text)
    mentions = list(Names(NAMES).within(text))
    assert {one.name for one in mentions} <= {name for name in NAMES if slow(name, text)}
    assert bool(mentions) is any(slow(name, text) for name in NAMES)
    assert all(a.end <= b.start for a, b in pairwise(mentions))


@pytest.mark.parametrize(
    "text",
    ["FP0002/FP0003", "FP0003-relapse", "patient=FP0003", "fp0003", "(FP0003).", "x_FP0003_y",
     "FP\u200b0003", "FP\u00ad0003", "\uff26\uff30\uff10\uff10\uff10\uff13", "«FP0003»"],
)  # fmt: skip
def test_a_name_in_every_dress(text: str) -> None:
    assert "FP0003" in [one.name for one in Names(NAMES).within(legible(text))]


def test_an_accent_in_two_parts_is_one() -> None:
    assert list(Names(["Müller 1234"]).within(legible("mu\u0308ller  1234")))


@pytest.mark.parametrize("name", ["12", "1234", "12.0", "-3", "10,000", "abc", "a-1", "..."])
def test_names_that_cannot_be_told_from_words_and_figures(name: str) -> None:
    assert not is_telling(name)


def test_fifty_thousand_names_in_two_megabytes_take_seconds() -> None:
    names = Names(f"{word}-{i:05d}" for word in ("case", "patient") for i in range(25_000))
    text = "<td>case 12</td> with case-x and 0.95 of patient-00001x " * 40_000
    start = time.monotonic()
    assert not list(names.within(text))
    require_unnamed("c", names, f"<p>{'</p><p>'.join([text[:50]] * 40_000)}</p>", {}, "")
    assert time.monotonic() - start < 20


# ---- the report


def _data(**changes: Any) -> Any:
    data = rebuild(n=40)
    return replace(data, **changes)


def _known(data: Any, *more: str) -> Known:
    return Known.of([data.frozen, data.holdout], more)


def _sign(reason: str) -> Signature:
    return Signature(1, "refusal", "override", "Dr B", "approver", "", "b2", reason, "e" * 64)


def _written(data: Any, known: Known) -> str:
    shown = masked(data, known)
    drawn = figures(shown)
    page, table = render(shown, drawn), cases_csv(shown.agreement)
    require_unnamed(data.name, mask_of(data, known).telling, page, drawn, table)
    return page + "".join(drawn.values()) + table


def test_names_in_title_reasons_and_commits_are_masked() -> None:
    data = _data()
    case, patient = data.frozen.ids[3], data.frozen.patients[3]
    changes = replace(data.changes, code=(f"abcdef1 Remove {case.upper()}, as in GONE-1",))
    data = replace(
        data,
        classifier=replace(data.classifier, title=f"Without {case}/{patient}, id=train-0001"),
        signatures=(_sign(f"{case}-relapse"),),
        pin=replace(data.pin, reason="GONE-1 withdrew consent"),
        changes=changes,
    )
    said = _written(data, _known(data, "train-0001", "GONE-1"))
    for name in (case, patient, "train-0001", "GONE-1"):
        assert name.lower() not in said.lower()
    assert re.search(r"Without case \d+/patient \d+, id=case \d+", said)
    assert re.search(r"case \d+ withdrew consent", said)
    assert re.search(r"abcdef1 Remove case \d+, as in case \d+", said)


def test_a_sentence_with_a_short_name_is_left_out_and_figures_stay() -> None:
    data = _data(signatures=(_sign("see 17"), _sign("see 18")))
    code = ("abcdef1 Look at p7", "abcdef2 Look at p8", "params.yaml: 17 lines more, 1 less")
    data = replace(data, changes=replace(data.changes, code=code))
    shown = masked(data, _known(data, "17", "p7"))
    assert [one.reason for one in shown.signatures] == [LEFT_OUT, "see 18"]
    assert list(shown.changes.code) == [f"abcdef1 {LEFT_OUT}", *code[1:]]
    _written(data, _known(data, "17", "p7"))


def test_what_cannot_be_masked_is_refused_with_its_place() -> None:
    data = _data()
    case = data.frozen.ids[0]
    subgroups = {"sex": tuple(f"{case} and others" for _ in data.frozen.ids)}
    data = replace(data, frozen=replace(data.frozen, subgroups=subgroups))
    with pytest.raises(UnusableInputError) as refused:
        _written(data, _known(data))
    said = str(refused.value)
    assert "page, under " in said and f"names {case!r}" in said and "nothing is written" in said


@pytest.mark.parametrize(
    ("page", "drawn", "table", "place"),
    [
        ("<h2>One</h2><p>see FP0002</p>", {}, "", "page, under 'One': 'see FP0002'"),
        ("<p>see &#70;P0002</p>", {}, "", "page: 'see FP0002'"),
        ('<p title="FP0002">x</p>', {}, "", "page, attribute 'title'"),
        ("<!-- FP0002 -->", {}, "", "page, a comment"),
        ('<style>a{content:"\\000046 \\000050 0002"}</style>', {}, "", "page: "),
        ("", {"tau": "<svg><text>FP0002</text></svg>"}, "", "figure 'tau'"),
        ("", {}, 'case\n"FP0002, ""x"""\n', "cases.csv, row 2"),
    ],
)
def test_every_place_is_looked_at(page: str, drawn: dict[str, str], table: str, place: str) -> None:
    with pytest.raises(UnusableInputError) as refused:
        require_unnamed("c", Names(NAMES), page, drawn, table)
    assert place in str(refused.value)


def test_pinned_cases_have_the_first_numbers() -> None:
    data = _data()
    mask = mask_of(data, _known(data, "aaaa-1", "zzzz-1"))
    pinned = sorted(data.pin.cases, key=data.pin.cases.__getitem__)
    assert [mask.cases[case] for case in pinned] == sorted(mask.cases.values())[: len(pinned)]
    assert len(set(mask.cases.values())) == len(mask.cases)


def test_every_name_of_the_dossier_is_known(tmp_path: Path, monkeypatch: Any) -> None:
    """Two builds, of which the first keeps the split; a case of an old pin; the present cohort."""

    def part(*names: str) -> Any:
        others = ([f"{kind} of {name}" for name in names] for kind in ("patient", "slide"))
        return SimpleNamespace(ids=names, patients=next(others), groups=[*next(others)])

    first, second = (tmp_path / name for name in ("b1", "b2"))
    first.mkdir()
    write_parts(first / kept.PARTS, {"old-training": "training"}, ["old-training"])
    builds = (
        SimpleNamespace(folder=first, files={kept.PARTS: "0"}),
        SimpleNamespace(folder=second, files={}),
    )
    monkeypatch.setattr(kept, "read_builds", lambda layout: builds)
    monkeypatch.setattr(kept, "frozen_predictions", lambda b: part(f"frozen-{b.folder.name}"))
    monkeypatch.setattr(kept, "holdout_predictions", lambda b: part(f"holdout-{b.folder.name}"))
    cohorts = (part("new-training"), part("separate"))
    monkeypatch.setattr(known_names, "cohorts_of", lambda project: cohorts)
    pins = (SimpleNamespace(cases={"removed": "0" * 64}),)
    monkeypatch.setattr(known_names, "read_pins", lambda path: pins)
    project: Any = SimpleNamespace(layout=SimpleNamespace(pins=tmp_path / "frozen.json"))
    found = known_names.known_names(project)
    seen = {"new-training", "separate", *(f"{a}-b{n}" for a in ("frozen", "holdout") for n in "12")}
    assert set(found.cases) == {*seen, "old-training", "removed"}
    assert set(found.patients) == {f"patient of {name}" for name in seen}
    assert set(found.groups) == {f"slide of {name}" for name in seen}
