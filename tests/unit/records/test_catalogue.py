"""Each published format: its JSON Schema is shipped, never changes, and asks for every key."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_records import AT, POLICY, RUN, TAU, A
from support import ROOT

from lifecycle.domain.classifier import (
    FrozenPlan,
    Margins,
    Numerics,
    Policy,
    PredecessorPlan,
    PreprocessPlan,
    Recipe,
    SearchPlan,
    SplitPlan,
    TauPlan,
)
from lifecycle.domain.digests import digest_of
from lifecycle.errors import IntegrityError
from lifecycle.records import settings
from lifecycle.records.catalogue import FORMATS, schemas, shipped
from lifecycle.records.format import Format, published
from lifecycle.release.envelope import opened
from lifecycle.release.roster import ROSTER

SHIPPED = ROOT / "lifecycle" / "records" / "schemas"
COMPAT = ROOT / "tests" / "compat"
BY_KIND = {form.kind: form for form in FORMATS}


@pytest.mark.parametrize(("name", "schema"), list(schemas()), ids=[name for name, _ in schemas()])
def test_the_shipped_schema_is_that_of_the_model(name: str, schema: dict) -> None:
    """A change here changes a published format: write its next version instead.

    A new format or version: `python tests/unit/records/test_catalogue.py` writes what is missing.
    """
    assert shipped(name) == schema


def test_no_published_schema_is_lost() -> None:
    assert {path.name for path in SHIPPED.glob("*.json")} == {name for name, _ in schemas()}


@pytest.mark.parametrize(
    ("value", "model", "more"),
    [
        (Policy(), settings.PolicyRecordV2, ()),
        (PredecessorPlan("1"), settings.PredecessorRecord, ()),
        (Margins(), settings.MarginsRecord, ()),
        (TauPlan(), settings.TauRecord, ()),
        (Numerics(), settings.NumericsRecord, ()),
        (Recipe(lr=0.1, l2=0.1, epochs=1), settings.RecipeRecord, ()),
        (SplitPlan(), settings.SplitRecord, ()),
        (PreprocessPlan(), settings.PreprocessRecord, ()),
        (SearchPlan(), settings.SearchRecord, ("jobs",)),
        (FrozenPlan(fraction=0.5), settings.FrozenRecord, ("source", "sampling")),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_a_section_is_kept_whole(value: Any, model: type[Any], more: tuple[str, ...]) -> None:
    """A key that a section got, and that records do not have yet, is seen here."""
    found = published(value, model)
    assert set(found) - set(more) <= set(model.model_fields)
    model.model_validate({key: item for key, item in found.items() if key not in more})
    names = {one for one in type(value).__dataclass_fields__ if one not in more}
    assert names == set(model.model_fields)


def samples() -> Iterator[tuple[str, Format[Any], Any]]:
    """One record of each kind and version, as the programs of their time wrote it."""
    seen = set()
    for path in sorted(COMPAT.glob("0.*/dossier/**/*.json")):
        value, form = _value_of(path)
        if form is None:
            continue
        number = form.number_of(value, path.name)
        if (form.kind, number) not in seen:
            seen.add((form.kind, number))
            yield f"{form.kind}-{number}", form, value
    for form, fields in _unpublished():
        if (form.kind, len(form.models)) not in seen:
            yield f"{form.kind}-{len(form.models)}", form, form.write(fields)


def _unpublished() -> Iterator[tuple[Format[Any], dict[str, Any]]]:
    """Formats that no published version of the program wrote yet."""
    yield BY_KIND["run"], RUN
    pin = {"version": "1", "number": 1, "cases": {"p1": A}, "total": A, "reason": "",
           "origin": "real", "values": {"p1": A}, "digest": A}  # fmt: skip
    yield BY_KIND["pins"], {"pins": [pin]}
    finding = {"criterion": "pin", "status": "pass", "figure": None, "limit": None, "bound": None}
    decision = {"status": "pass", "basis": "identity", "build": 2, "rules": "gate/2",
                "criteria": ["pin"], "findings": [finding], "policy": A}  # fmt: skip
    facts = {"classifier": "wine", "version": "2", "task": "single", "build": 2, "first": 2,
             "references": [], "released": False, "identical": False, "pin": A, "attempt": 0,
             "policy": {**POLICY, "consistency_of": "cases", "most_cases": 2}, "tau": TAU,
             "yes": [0.5, 0.5], "no": None, "validation_passed": True, "policy_newer": False,
             "arithmetic_fault": False, "list_seen": False, "numerics_mode": "exact",
             "rehearsals": None, "rehearsed_other_bits": [], "origin": "real", "rules": "gate/2",
             "criteria": ["pin"], "followed": {"earlier": "1", "builds": [1], "attempt": 1},
             "exposure": [{"classifier": "wine", "version": "2", "weights": [A]}]}  # fmt: skip
    yield BY_KIND["case"], {"case": facts, "verdict": decision}
    yield BY_KIND["verdict"], {**decision, "classifier": "wine", "weights": A}
    yield BY_KIND["attempt"], {"weights": A, "version": "1", "k": 1, "policy": A}
    person = {"user": "ada", "name": "Dr Ada", "keyid": A, "public": "MCow", "roles": ["admin"],
              "active": True}  # fmt: skip
    chains = {"wine": {"records": 2, "head": A}}
    yield (
        BY_KIND["roster"],
        {"version": 1, "previous": None, "issuedAt": AT, "people": [person], "chains": chains},
    )


def _value_of(path: Path) -> tuple[Any, Format[Any] | None]:
    if path.name == "metrics.json":
        return None, None
    value = json.loads(path.read_bytes())
    if path.parent.name == "_signers":
        return json.loads(opened(path.read_bytes(), path.name, ROSTER).payload), BY_KIND["roster"]
    if "payload" in value:
        statement = json.loads(opened(path.read_bytes(), path.name).payload)
        return statement["predicate"]["lifecycle"], BY_KIND["release"]
    if "schema" in value:
        return value, BY_KIND[value["schema"].split("/")[1]]
    kinds = {"preprocess": "preprocessing"}
    kind = kinds.get(path.stem, path.stem if path.stem in BY_KIND else "verdict")
    return value, BY_KIND[kind]


SAMPLES = list(samples())


def test_there_is_a_sample_of_each_version() -> None:
    # the others stand in Parquet, before a trace and in a bundle
    wanted = {
        f"{form.kind}-{n}"
        for form in FORMATS
        for n in range(1, len(form.models) + 1)
        if form.kind not in ("predictions", "trace", "bundle")
    }
    assert {name for name, _, _ in SAMPLES} == wanted


def _asked(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Places of a value whose absence the schema does not allow."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        if (value is None) == (choice.get("type") == "null"):
            yield from _asked(choice, value, root)
    if isinstance(value, dict):
        for key in schema.get("required", ()):
            yield (key,)
        for key, inner in schema.get("properties", {}).items():
            for path in _asked(inner, value.get(key), root):
                yield (key, *path)
    if isinstance(value, list) and value and isinstance(schema.get("items"), dict):
        for path in _asked(schema["items"], value[0], root):
            yield (0, *path)


@pytest.mark.parametrize(("name", "form", "value"), SAMPLES, ids=[name for name, _, _ in SAMPLES])
def test_a_record_without_one_of_its_keys_is_refused(
    name: str, form: Format[Any], value: Any
) -> None:
    """Of any version, at any depth, and though its digest was redone."""
    number = int(name.rpartition("-")[2])
    schema = shipped(f"{name}.json")
    paths = [path for path in _asked(schema, value, schema) if path != ("digest",)]
    assert len(paths) >= 2
    for path in paths:
        if path == ("schema",) and form.unmarked and not form.has_digest(1):
            continue  # then it is a record of version 1, with fields that this has not: see below
        changed = copy.deepcopy(value)
        place = changed
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        if form.has_digest(number):
            body = {key: item for key, item in changed.items() if key != "digest"}
            changed = {**body, "digest": digest_of(body)}
        with pytest.raises(IntegrityError) as refused:
            form.read(changed, "r.json")
        assert f"{path[-1]}: missing" in str(refused.value) or path in (("schema",), ("format",))
    bare = {key: item for key, item in value.items() if key != "schema"}
    if "schema" in value:
        with pytest.raises(IntegrityError):
            form.read(bare, "r.json")


def _write_missing() -> None:
    for name, schema in schemas():
        path = SHIPPED / name
        if not path.exists():
            path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write_missing()
