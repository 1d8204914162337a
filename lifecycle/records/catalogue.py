"""Every kind of record that is kept, and the JSON Schema of each published version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

from lifecycle.records import builds, evidence, release
from lifecycle.records.format import DIGEST, Format

FORMATS: tuple[Format[Any], ...] = (
    builds.BUILD,
    builds.RUN,
    builds.PREDICTIONS,
    builds.PREPROCESSING,
    builds.TRACE,
    builds.CURRENT,
    builds.ATTEMPT,
    evidence.PINS,
    evidence.REHEARSALS,
    evidence.THRESHOLD,
    evidence.VERDICT,
    release.RELEASE,
    release.ROSTER,
    release.CASE,
    release.BUNDLE,
)
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """File name and JSON Schema of each version of each kind, made from the models."""
    for form in FORMATS:
        for number, model in enumerate(form.models, start=1):
            found = model.model_json_schema(by_alias=True)
            own: dict[str, Any] = {}
            if not (form.unmarked and number == 1):
                own["schema"] = {"const": form.named(number)}
            if form.has_digest(number):
                own[DIGEST] = _HEX
            found["properties"] = {**own, **found["properties"]}
            found["required"] = [*own, *found["required"]]
            yield (
                f"{form.kind}-{number}.json",
                {
                    "$schema": _DRAFT,
                    "$id": f"urn:lifecycle:{form.kind}:{number}",
                    **found,
                },
            )
    for kind, statement in (
        ("statement-tested", release.TestStatement),
        ("statement-decided", release.DecisionStatement),
    ):
        found = statement.model_json_schema(by_alias=True)
        yield f"{kind}-1.json", {"$schema": _DRAFT, "$id": f"urn:lifecycle:{kind}:1", **found}


def shipped(name: str) -> dict[str, Any]:
    """A JSON Schema as the package carries it."""
    place = resources.files("lifecycle.records") / "schemas" / name
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found
