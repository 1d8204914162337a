"""The model card: what a released build is, what was shown of it and what was not.

Everything but the title comes from what the signatures bind: the build's record, the signed case
and the chain. The card itself is not signed; it names the digests to check it by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier.builds import Build
from lifecycle.release.case import Judged
from lifecycle.release.chain import Chain
from lifecycle.release.standing import Release

SCHEMA = "lifecycle/model-card/1"
SIMULATED = "DEMONSTRATION on a SIMULATED cohort: never for patients"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is made of.

    Attributes:
        title: the classifier's title in params.yaml, which is not signed.
        chain: verified.
        release: the release that is described; of the chain.
        build: its build, verified.
        judged: its signed case.
        cutoffs: tau, chosen again from the holdout of the version's first build.
        frozen, holdout: cases by class of the two sets, labels as in the predictions.
    """

    title: str
    chain: Chain
    release: Release
    build: Build
    judged: Judged
    cutoffs: Cutoffs
    frozen: Mapping[str, int]
    holdout: Mapping[str, int]

    @property
    def simulated(self) -> bool:
        """True for a cohort that was made up."""
        return self.judged.case.origin == "simulated"


def title_of_report(name: str, version: str, build: int) -> str:
    """What stands in the HTML report of a build, so that it can be told from another's."""
    return f"<title>{escape(f'{name} {version} b{build}')}:"


def card_of(facts: Facts) -> dict[str, Any]:
    """The card as JSON; every value is plain."""
    case, build = facts.judged.case, facts.build
    return {
        "schema": SCHEMA,
        "classifier": case.classifier,
        "version": case.version,
        "build": build.name,
        "title": facts.title,
        "mark": SIMULATED if facts.simulated else None,
        "intendedUse": _use(facts),
        "classes": list(build.content["classes"]),
        "data": _data(facts),
        "model": _model(build),
        "tau": _tau(facts),
        "verdict": _verdict(facts),
        "limits": limits_of(facts),
        "digests": digests_of(facts),
        "release": _release(facts),
    }


def _use(facts: Facts) -> dict[str, Any]:
    case = facts.judged.case
    patients = "It must never be used for patients: its cohort is simulated."
    one = "one class of those listed, or no result"
    several = "each class yes, no or no result"
    return {
        "what": facts.title,
        "task": "single-label" if case.task == "single" else "multi-label",
        "result": one if case.task == "single" else several,
        "actions": dict(case.policy.actions or {}),
        "notFor": [
            *([patients] if facts.simulated else []),
            "Cases of another kind than those of the frozen clinical test set.",
            "A use that the laboratory has not validated: this card states what was shown, "
            "the laboratory decides on the use.",
        ],
    }


def _data(facts: Facts) -> dict[str, Any]:
    content = facts.build.content
    return {
        "origin": facts.judged.case.origin,
        "split": dict(content["terms"]["split"]),
        "frozenPlan": dict(content["terms"]["frozen"]),
        "preprocess": dict(content["terms"]["preprocess"]),
        "frozenCases": dict(facts.frozen),
        "holdoutCases": dict(facts.holdout),
        "digests": {key: value for key, value in content["inputs"].items() if key != "pin"},
        "pin": dict(content["inputs"]["pin"]),
    }


def _model(build: Build) -> dict[str, Any]:
    content = build.content
    return {
        "architecture": dict(content["terms"]["model"]),
        "recipe": dict(content["recipe"]),
        "numerics": dict(content["recipe"]["numerics"]),
        "environment": dict(content["environment"]),
        "framework": dict(content["framework"]),
    }


def _tau(facts: Facts) -> dict[str, Any]:
    """The cutoffs by class, and how sure they are."""
    cutoffs, classes = facts.cutoffs, facts.build.content["classes"]
    no = cutoffs.no
    return {
        "status": cutoffs.status,
        "yes": dict(zip(classes, cutoffs.yes, strict=True)),
        "no": None if no is None else dict(zip(classes, no, strict=True)),
        "said": cutoffs.evidence.get("said"),
        "note": cutoffs.evidence.get("note"),
    }


def _verdict(facts: Facts) -> dict[str, Any]:
    verdict, case = facts.judged.verdict, facts.judged.case
    keys = ("criterion", "status", "figure", "limit", "bound", "said")
    return {
        "status": verdict.status,
        "basis": verdict.basis,
        "comparedWith": [f"b{number}" for number in case.references],
        "attempt": case.attempt,
        "findings": [{key: getattr(one, key) for key in keys} for one in verdict.findings],
        "areas": verdict.shown.get("areas"),
        "notApplicable": list(verdict.shown.get("not_applicable", ())),
    }


def limits_of(facts: Facts) -> list[str]:
    """What the figures do not say, a sentence each."""
    verdict, case = facts.judged.verdict, facts.judged.case
    found = [SIMULATED] if facts.simulated else []
    if verdict.status != "pass":
        found.append("The verdict is inconclusive; two people released the build all the same.")
    if facts.cutoffs.status != "proposed":
        found.append(f"tau is {facts.cutoffs.status}: {facts.cutoffs.evidence.get('said')}")
    found += [str(text) for text in (verdict.shown.get("guaranteed"),) if text]
    found += [str(text) for text in verdict.shown.get("remarks", ())]
    if case.numerics_mode != "exact":
        found.append(
            f"Computed in numerics mode {case.numerics_mode}: on another machine the same recipe "
            "may give other bits and other calls."
        )
    left = (verdict.shown.get("areas") or {}).get("left_out", ())
    return found + [f"Class {name}: too few frozen cases to be spoken of." for name in left]


def digests_of(facts: Facts) -> dict[str, str]:
    """What the card can be checked by: name -> hex."""
    content = facts.build.content
    return {
        "weights file (SHA-256)": str(content["weights"]["file"]),
        "weights and buffers (SHA-256)": str(content["weights"]["sha256"]),
        "weights and buffers (MD5)": str(content["weights"]["md5"]),
        "frozen predictions (SHA-256)": str(content["predictions"]["frozen"]),
        "pin of the frozen set (SHA-256)": facts.judged.case.pin,
        "policy (SHA-256)": facts.judged.verdict.policy,
        "case (SHA-256)": facts.release.subject.case,
        "head of the chain (SHA-256)": str(facts.chain.head),
        "fingerprint of the first roster (SHA-256)": facts.chain.rosters[0].digest,
    }


def _release(facts: Facts) -> dict[str, Any]:
    release = facts.release
    withdrawn = release.withdrawn
    return {
        "releasedAt": release.at,
        "record": release.number,
        "result": "WARNED" if release.subject.verdict != "pass" else "PASSED",
        "demonstration": release.subject.demonstration,
        "withdrawnAt": None if withdrawn is None else withdrawn.record.signature.signed_at,
        "signatures": [_signature(link.record.number, link.record.signature, link.digest)
                       for link in release.links],
    }  # fmt: skip


def _signature(number: int, signed: Any, digest: str) -> dict[str, Any]:
    return {
        "record": number,
        "printedName": signed.printed_name,
        "user": signed.user_id,
        "meaning": signed.meaning,
        "signedAt": signed.signed_at,
        "keyid": signed.keyid,
        "recordSha256": digest,
    }


def markdown_of(card: Mapping[str, Any]) -> str:
    """The card for people, from its JSON."""
    name = f"{card['classifier']} {card['version']} {card['build']}"
    verdict, release = card["verdict"], card["release"]
    mark = [f"**{card['mark']}**", ""] if card["mark"] else []
    gone = release["withdrawnAt"]
    mark += [f"**WITHDRAWN at {gone}: not to be used**", ""] if gone else []
    compared = ", ".join(verdict["comparedWith"]) or "nothing: the version's first build"
    lines = [
        f"# Model card: {_text(name)}", "", *mark, _text(card["title"]), "",
        "This card is not signed. Its figures follow from the signed files: see VERIFY.md.", "",
        *_section("Intended use", _use_lines(card)),
        *_section("Classes", [f"- {_text(one)}" for one in card["classes"]]),
        *_section("Data", _data_lines(card["data"])),
        *_section("Network and training", _model_lines(card["model"])),
        *_section("Critical value tau", _tau_lines(card["tau"])),
        *_section(
            f"Verdict: {verdict['status'].upper()}",
            [f"Basis: {verdict['basis']}; compared with {compared}; result {release['result']}.",
             "", *_findings(verdict["findings"]), "", *_areas(verdict["areas"])],
        ),
        *_section("Limits", [f"- {_text(one)}" for one in card["limits"]]),
        *_section("Signatures", _signature_lines(release)),
        *_section("Digests", _table(("what", "digest"), card["digests"].items())),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _use_lines(card: Mapping[str, Any]) -> list[str]:
    use = card["intendedUse"]
    actions = [f"- {_text(k)}: {_text(v)}" for k, v in use["actions"].items()]
    said = ["", "Clinical action by class (policy):", "", *actions] if actions else []
    return [
        f"{_text(use['what'])} ({use['task']}: {use['result']}).",
        *said, "", "Not for:", "", *(f"- {_text(one)}" for one in use["notFor"]),
    ]  # fmt: skip


def _data_lines(data: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys([*data["frozenCases"], *data["holdoutCases"]]))
    rows = [
        (name or "(no label)", data["frozenCases"].get(name, 0), data["holdoutCases"].get(name, 0))
        for name in names
    ]
    return [
        f"Origin: {data['origin']}. Frozen clinical test set: pin {data['pin']['number']}.", "",
        *_table(("label", "frozen cases", "holdout cases"), rows), "",
        *_table(("preprocessing", "value"), data["preprocess"].items()),
    ]  # fmt: skip


def _model_lines(model: Mapping[str, Any]) -> list[str]:
    numerics = model["numerics"]
    rows = {**model["architecture"], **model["recipe"]}
    rows.pop("numerics", None)
    return [
        f"Numerics mode: **{numerics['mode']}** ({numerics['dtype']}).", "",
        *_table(("key", "value"), rows.items()),
    ]  # fmt: skip


def _tau_lines(tau: Mapping[str, Any]) -> list[str]:
    no = tau["no"] or {}
    rows = [(name, repr(value), repr(no[name]) if name in no else "")
            for name, value in tau["yes"].items()]  # fmt: skip
    said = [_text(str(tau[key])) for key in ("said", "note") if tau[key]]
    table = _table(("class", "called at or above", "ruled out at or below"), rows)
    return [f"Status: {tau['status']}.", "", *table, "", *said]


def _findings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("criterion", "status", "figure", "limit", "bound", "said")
    return _table(head, [[one[key] for key in head] for one in findings])


def _areas(areas: Any) -> list[str]:
    """Areas under the ROC curve on the frozen set, where they could be computed."""
    if not isinstance(areas, dict):
        return []
    entries = {**areas.get("per_class", {}), "macro": areas.get("macro")}
    rows = [
        (name, *(_figure(one.get(key)) for key in ("area", "low", "high", "positives")))
        for name, one in entries.items()
        if isinstance(one, dict)
    ]
    return _table(("area under the curve", "area", "low", "high", "positives"), rows)


def _signature_lines(release: Mapping[str, Any]) -> list[str]:
    head = ("record", "printedName", "user", "meaning", "signedAt", "recordSha256")
    return _table(head, [[one[key] for key in head] for one in release["signatures"]])


def _table(head: Sequence[str], rows: Any) -> list[str]:
    cells = [[_text(_figure(cell)) for cell in row] for row in rows]
    rule = " | ".join("---" for _ in head)
    return [f"| {' | '.join(head)} |", f"| {rule} |", *(f"| {' | '.join(row)} |" for row in cells)]


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _text(value: str) -> str:
    """Text that Markdown takes for text: no markup, no image fetched, no cell or line broken."""
    flat = " ".join(str(value).split())
    flat = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in flat)
    for sign in ("\\", "|", "[", "]", "*", "_", "`", "#"):
        flat = flat.replace(sign, f"\\{sign}")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
