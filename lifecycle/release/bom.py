"""The bill of materials of a released model: CycloneDX 1.6, JSON, as an ML-BOM.

https://cyclonedx.org/docs/1.6/json/. We write the JSON ourselves: the library's components have no
modelCard, and its round trip drops one. The schema accepts dangling references, one bom-ref twice
and package URLs that are none; `faults` finds those.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from lifecycle.records.types import time_of
from lifecycle.release.case import Case
from lifecycle.release.model_card import Facts, limits_of

SPEC = "1.6"
_SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
_SPACE = uuid.UUID("6f9c1a52-6c0e-5d1c-9e0b-6b8d3f1d2a44")  # of our serial numbers
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;#\\]+)")
# https://github.com/package-url/purl-spec, type pypi: lower case, `-` in the place of `_`
_PURL = re.compile(
    r"pkg:pypi/[a-z0-9]([a-z0-9.-]*[a-z0-9])?@[A-Za-z0-9.~-]+(%[0-9A-F]{2}[A-Za-z0-9.~-]*)*"
)


def libraries(lock: str, measured: Mapping[str, str]) -> dict[str, str]:
    """Version of every library of an environment.

    Args:
        lock: text of requirements.lock, lines `name==version`.
        measured: versions that the build's record states; they hold over the lock's.
    """
    found = [_PIN.fullmatch(line.strip()) for line in lock.splitlines()]
    locked = {_normal(one["name"]): one["version"] for one in found if one}
    return dict(sorted({**locked, **{_normal(k): v for k, v in measured.items() if v}}.items()))


def purl(name: str, version: str) -> str:
    """Package URL of a library on PyPI."""
    return f"pkg:pypi/{_normal(name)}@{quote(version, safe='.~-')}"


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def bom_of(facts: Facts, environment: Mapping[str, str], tool: str) -> dict[str, Any]:
    """The bill of materials.

    Args:
        facts: the release.
        environment: library -> version.
        tool: version of this package.
    """
    model, frozen, training = _model(facts), _frozen(facts), _training(facts)
    parts = [frozen, training, *(_library(*one) for one in environment.items())]
    at = time_of(facts.release.at).isoformat()
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        # the same release and head give the same document
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, f'{facts.chain.head}')}",
        "version": 1,
        "metadata": {
            "timestamp": at,
            "tools": {"components": [_tool(tool)]},
            "component": model,
        },
        "components": parts,
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": sorted(part["bom-ref"] for part in parts)},
            *({"ref": part["bom-ref"]} for part in parts),
        ],
    }


def _tool(version: str) -> dict[str, Any]:
    return {"type": "application", "name": "lifecycle", "version": version}


def _library(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"library:{name}",
        "name": name,
        "version": version,
        "purl": purl(name, version),
    }


def _frozen(facts: Facts) -> dict[str, Any]:
    pin = facts.build.content["inputs"]["pin"]
    said = {"cases": str(sum(facts.frozen.values())), "pin.number": str(pin["number"])}
    return _data("data:frozen", f"{facts.build.content['classifier']} frozen clinical test set",
                 pin["total"], facts, said)  # fmt: skip


def _training(facts: Facts) -> dict[str, Any]:
    inputs = facts.build.content["inputs"]
    return _data("data:cohort", f"{facts.build.content['classifier']} cohort (training, holdout)",
                 inputs["cohort"], facts, {"features": inputs["features"]})  # fmt: skip


def _data(
    ref: str, name: str, digest: str, facts: Facts, more: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": ref,
        "name": name,
        "version": facts.judged.case.version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "data": [{"type": "dataset", "name": name}],
        "properties": _properties({"origin": facts.judged.case.origin, **more}),
    }


def _model(facts: Facts) -> dict[str, Any]:
    content = facts.build.content
    weights = content["weights"]
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": content["classifier"],
        "version": f"{content['version']}+{facts.build.name}",
        "description": facts.title,
        "hashes": [{"alg": "SHA-256", "content": weights["file"]}],
        "modelCard": _card(facts),
        "properties": _properties(_about(facts)),
    }


def _about(facts: Facts) -> dict[str, str]:
    content, release = facts.build.content, facts.release
    withdrawn = release.withdrawn
    return {
        "build": facts.build.name,
        "data.origin": facts.judged.case.origin,
        "demonstration": str(release.subject.demonstration).lower(),
        "verdict": facts.judged.verdict.status,
        "verdict.basis": facts.judged.verdict.basis,
        "tau.status": facts.cutoffs.status,
        "numerics.mode": facts.judged.case.numerics_mode,
        "weights.sha256": content["weights"]["sha256"],
        "weights.md5": content["weights"]["md5"],
        "head": str(facts.chain.head),
        "released": release.at,
        "withdrawn": "no" if withdrawn is None else withdrawn.record.signature.signed_at,
        **{f"signer.{link.record.number:05d}": _signer(link.record.signature)
           for link in release.links},
    }  # fmt: skip


def _signer(signed: Any) -> str:
    return f"{signed.printed_name} ({signed.user_id}), {signed.meaning}, {signed.signed_at}"


def _card(facts: Facts) -> dict[str, Any]:
    content, case = facts.build.content, facts.judged.case
    outputs = [{"format": f"score of {name}, 0 to 1"} for name in content["classes"]]
    limits = limits_of(facts)
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": f"classification ({'single' if case.task == 'single' else 'multi'}-label)",
            "architectureFamily": str(content["terms"]["model"]["kind"]),
            "modelArchitecture": _said(content["terms"]["model"]),
            "datasets": [{"ref": "data:frozen"}, {"ref": "data:cohort"}],
            "inputs": [{"format": _said(content["terms"]["preprocess"])}],
            "outputs": outputs,
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(facts))},
        "considerations": {"useCases": [facts.title], "technicalLimitations": limits},
        "properties": _properties(_demanded(case)),
    }


def _demanded(case: Case) -> dict[str, str]:
    policy, knew = case.policy, "consistency.cases" in case.criteria
    return {
        "policy.p": repr(policy.p),
        "policy.alpha": repr(policy.alpha),
        # before `gate/2` p was asked of patients
        "policy.consistency_of": policy.consistency_of if knew else "patients",
        "policy.most_cases": repr(policy.most_cases),
    }


def _metrics(facts: Facts) -> Iterator[dict[str, Any]]:
    """Figures of the verdict; values are text in this format."""
    for number, (name, value) in enumerate(
        zip(facts.build.content["classes"], facts.cutoffs.yes, strict=True)
    ):
        yield {"type": "tau", "value": repr(value), "slice": f"class {number}: {name}"}
    for finding in facts.judged.verdict.findings:
        if finding.figure is not None:
            slice_ = f"{finding.status}: {finding.said}"
            yield {"type": finding.criterion, "value": repr(finding.figure), "slice": slice_}
        if finding.bound is not None:
            yield {"type": f"{finding.criterion}, bound", "value": repr(finding.bound)}
    areas = facts.judged.verdict.shown.get("areas") or {}
    for name, one in {**areas.get("per_class", {}), "macro": areas.get("macro")}.items():
        if isinstance(one, dict) and one.get("area") is not None:
            yield {**_area(one), "slice": name}


def _area(one: Mapping[str, Any]) -> dict[str, Any]:
    value = {"type": "area under the ROC curve, frozen set", "value": repr(one["area"])}
    if one.get("low") is None or one.get("high") is None:
        return value
    ends = {"lowerBound": repr(one["low"]), "upperBound": repr(one["high"])}
    return {**value, "confidenceInterval": ends}


def _said(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": f"lifecycle:{key}", "value": value} for key, value in values.items()]


def faults(bom: Mapping[str, Any]) -> list[str]:
    """What the schema lets pass: dangling references, one bom-ref twice, malformed purls."""
    defined = Counter(_values(bom, "bom-ref"))
    said = [f"bom-ref {ref!r} stands {times} times" for ref, times in defined.items() if times > 1]
    named = [*_values(bom, "ref"), *_values(bom, "dependsOn")]
    said += [f"{ref!r} is referred to and is not there" for ref in named if ref not in defined]
    wrong = [one for one in _values(bom, "purl") if not _PURL.fullmatch(one)]
    return said + [f"{one!r} is no package URL" for one in wrong]


def _values(value: Any, wanted: str) -> Iterator[str]:
    """Every text under a key, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == wanted:
                yield from [inner] if isinstance(inner, str) else inner
            yield from _values(inner, wanted)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, wanted)
