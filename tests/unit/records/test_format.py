"""A kind of record over the years: what is read, lifted, refused, and by which name."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from lifecycle.domain.digests import digest_of
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.records.format import Format
from lifecycle.records.types import Part, Record
from lifecycle.version import PROGRAM


class MoodV1(Part):
    mood: Literal["calm", "grim"]


class MoodV2(Record):
    mood: Literal["calm", "grim"]
    since: int


class MoodV3(Record):
    moods: list[str]
    since: int


def _one(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "since": 0}


def _many(fields: dict[str, Any]) -> dict[str, Any]:
    return {"moods": [fields["mood"]], "since": fields["since"]}


MOOD = Format("mood", (MoodV1, MoodV2, MoodV3), MoodV3, (_one, _many), unmarked=True, digested=2)
V2 = {"schema": "lifecycle/mood/2", "program": "lifecycle 0.2.0", "mood": "calm", "since": 4}


def digested(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "digest": digest_of(value)}


def test_every_version_is_lifted_to_the_newest() -> None:
    first = MOOD.model({"mood": "grim"}, "m.json")
    assert (first.moods, first.since, first.program) == (["grim"], 0, "lifecycle 0.1.0")
    assert MOOD.model({"schema": "lifecycle/mood/1", "mood": "grim"}, "m.json") == first
    second = MOOD.model(digested(V2), "m.json")
    assert (second.moods, second.since, second.program) == (["calm"], 4, "lifecycle 0.2.0")
    third = MOOD.write({"moods": ["calm"], "since": 4})
    assert third["program"] == PROGRAM
    assert MOOD.model(third, "m.json").moods == second.moods


def test_what_is_written_is_read_back() -> None:
    value = MOOD.write({"moods": ["calm", "grim"], "since": 1})
    assert value["schema"] == MOOD.schema == "lifecycle/mood/3"
    assert MOOD.read(value, "m.json") == value
    with pytest.raises(IntegrityError, match="the new record: field since: missing"):
        MOOD.write({"moods": []})


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("lifecycle 2.0.0", "written by lifecycle 2.0.0"),
        (None, "written by a newer program"),
        ("x\x1b[2J", "written by a newer program"),
        ("y" * 200, "written by a newer program"),
    ],
)
def test_a_newer_program_is_named(program: object, said: str) -> None:
    value = digested({"schema": "lifecycle/mood/4", "program": program, "anything": []})
    with pytest.raises(UnusableInputError) as refused:
        MOOD.read(value, "m.json")
    assert said in str(refused.value)
    assert f"this is {PROGRAM}, which reads mood records up to version 3" in str(refused.value)


def test_a_changed_number_is_no_newer_program() -> None:
    """Who flips a bit of the schema has not redone the digest."""
    with pytest.raises(IntegrityError, match="field digest"):
        MOOD.read({**digested(V2), "schema": "lifecycle/mood/6"}, "m.json")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "field mood: not an object"),
        ([], "field mood: not an object"),
        ({"mood": "glad"}, "field mood: 'glad' is none of 'calm' or 'grim'"),
        ({"mood": "calm", "since": 4}, "field since: not a known field"),
        ({}, "field mood: missing"),
        ({"schema": "lifecycle/mood/0", "mood": "calm"}, "field schema"),
        ({"schema": "lifecycle/mood/01", "mood": "calm"}, "field schema"),
        ({"schema": "lifecycle/mood/1\n", "mood": "calm"}, "field schema"),
        ({"schema": "lifecycle/food/1", "mood": "calm"}, "field schema"),
        ({"schema": 1, "mood": "calm"}, "field schema"),
        ({"schema": None, "mood": "calm", "since": 1}, "field"),
        (V2, "field digest"),
        (digested({**V2, "since": True}), "field since: not a whole number"),
        (digested({**V2, "since": 1.0}), "field since: not a whole number"),
        (digested({**V2, "program": "a program"}), "field program"),
        (digested({k: v for k, v in V2.items() if k != "program"}), "field program: missing"),
        (digested({**V2, "x\x1b": 1}), r"field 'x\x1b': not a known field"),
    ],
)
def test_what_is_no_record_is_refused_with_its_field(value: object, said: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        MOOD.read(value, "m.json")
    assert str(refused.value).startswith("m.json: field ")
    assert said in str(refused.value)
    assert "restore it from git" in str(refused.value)


def test_every_version_has_a_way_up() -> None:
    with pytest.raises(ValueError, match="a way up"):
        Format("mood", (MoodV1, MoodV2), MoodV2)
    with pytest.raises(ValueError, match="a way up"):
        Format("mood", (MoodV1,), MoodV2)
