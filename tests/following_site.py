"""A second version of a released classifier, as a training would make it, without the training."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stderr
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from release_site import PASSPHRASE, Done, Site, quiet_dvc
from ruamel.yaml import YAML

from lifecycle.consistency.align import take
from lifecycle.domain.digests import canonical_json, sha256, tensors_digests
from lifecycle.domain.predictions import Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import record_attempt
from lifecycle.dossier.files import write_json
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import append_pin, pin_of
from lifecycle.dossier.pipeline import write_current
from lifecycle.dossier.predictions import read_parquet, write_parquet
from lifecycle.dossier.weights import packed, unpacked
from lifecycle.gate.evidence import Evidence, Followed
from lifecycle.release import chain as chains
from lifecycle.release import tested
from lifecycle.release.case import Judged, to_record
from lifecycle.release.envelope import seal
from lifecycle.release.keys import keyid, unlock
from lifecycle.release.records import Record, Signature, statement_of
from lifecycle.release.roster import person_of, read_rosters
from lifecycle.release.subjects import attempt_subjects, subjects_of, weights_file
from lifecycle.workflows.deciding import choose_threshold, compare_builds
from lifecycle.workflows.exposing import note_of, noted
from lifecycle.workflows.judging import judge_build
from lifecycle.workflows.project import Project, open_project

Change = Callable[[Predictions], Predictions]


def same(scores: Predictions) -> Predictions:
    return scores


def says_otherwise(cases: int) -> Change:
    """The first cases have the scores of their classes turned round, so they are called anew."""

    def change(before: Predictions) -> Predictions:
        scores = before.scores.copy()
        scores[:cases] = np.roll(scores[:cases], 1, axis=1)
        return replace(before, scores=scores)

    return change


def set_params(site: Site, version: str, policy: Mapping[str, Any], **more: Any) -> None:
    """Edit the section `wine` of params.yaml."""
    yaml = YAML()
    path = site.root / "params.yaml"
    document = yaml.load(path.read_text(encoding="utf-8"))
    section = document["classifiers"]["wine"]
    section["version"] = version
    section.update(more)
    section["policy"].update(policy)
    for key in [key for key, value in policy.items() if value is None]:
        del section["policy"][key]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def new_build(
    site: Site, version: str = "2", *, policy: Mapping[str, Any] | None = None,
    change: Change = same, salt: float = 1e-9, **more: Any,
) -> int:  # fmt: skip
    """A build of a version that params.yaml is set to, with weights of its own; committed.

    Args:
        site: the project; wine b1 gives what is changed.
        version: of the build.
        policy: keys of the policy; None takes one away.
        change: of the frozen scores.
        salt: makes other weights.
        more: other keys of the section.
    """
    set_params(site, version, policy or {}, **more)
    with chdir(site.root), redirect_stderr(io.StringIO()):
        project = open_project("wine")
        first = kept.read_build(project.layout, 1)
        builds = [b for b in kept.read_builds(project.layout) if b.version == version]
        content = json.loads(canonical_json(first.content))
        content["version"] = version
        files = {n: (first.folder / n).read_bytes() for n in first.files}
        if builds:
            del files[kept.PARTS]
        run = json.loads(files.pop(kept.RUN))
        _weights(project, content, salt)
        _scores(project, content, files, change)
        _pin(project, version, content)
        run["policy"] = _policy(project)
        record_attempt(
            project.layout, version, content["weights"]["sha256"],
            tuple(b.weights for b in builds), (), policy=run["policy"],
        )  # fmt: skip
        number = kept.enrol(project.layout, content, files, run)
        write_current(project.layout, number, version)
        judge(project)
    site.commit()
    return number


def judge(project: Project) -> None:
    """What `dvc repro` does after a build is enrolled, but the report."""
    write_json(note_of(project.root, project.name), noted(project.layout))
    choose_threshold(project)
    compare_builds(project)
    judge_build(project)


def _policy(project: Project) -> str:
    from lifecycle.gate.judge import policy_digest

    return policy_digest(project.classifier.policy)


def _weights(project: Project, content: dict[str, Any], salt: float) -> None:
    layout, first = project.layout, kept.read_build(project.layout, 1)
    tensors = unpacked(weights_file(layout, first).read_bytes())
    data = packed({name: tensor * (1 + salt) for name, tensor in tensors.items()})
    content["weights"] = {**tensors_digests(unpacked(data)), "file": sha256(data)}
    (layout.weights / f"{sha256(data)}.safetensors").write_bytes(data)
    facts = json.loads((project.build / "facts.json").read_bytes())
    digests = {key: content["weights"][key] for key in ("md5", "sha256")}
    write_json(project.build / "facts.json", {**facts, "weights": digests})


def _scores(
    project: Project, content: dict[str, Any], files: dict[str, bytes], change: Change
) -> None:
    aside = project.root / "scores"
    first = kept.read_build(project.layout, 1)
    write_parquet(aside, change(read_parquet(first.folder / kept.FROZEN)))
    files[kept.FROZEN] = aside.read_bytes()
    content["predictions"]["frozen"] = read_parquet(aside).digest()
    aside.unlink()


def _pin(project: Project, version: str, content: dict[str, Any]) -> None:
    """The pin of the version: the same cases, as the cohort in work/ still has them."""
    path = project.layout.pins
    if pin_of(path, version) is None:
        before = pin_of(path, "1")
        assert before is not None
        append_pin(path, replace(before, version=version))
    pin = pin_of(path, version)
    assert pin is not None
    content["inputs"]["pin"] = {"number": pin.number, "total": pin.total}


def gate(site: Site) -> dict[str, Any]:
    """The verdict on the current build, as `lifecycle gate --json` says it."""
    done = site.run("gate", "wine", "--json")
    assert done.code in (0, 20, 21), done.said
    found: dict[str, Any] = json.loads(done.out)
    return found


def findings(site: Site) -> dict[str, tuple[str, str]]:
    """Criterion -> status and sentence."""
    return {one["criterion"]: (one["status"], one["said"]) for one in gate(site)["findings"]}


def sign_all(site: Site, *overridden: str) -> list[Done]:
    """Review and approval of the current build, an override first where a reason is given."""
    with quiet_dvc():
        done = [site.sign("two", "override", "--reason", text) for text in overridden]
        done += [site.sign(u, m) for u, m in (("rev", "review"), ("app", "approval"))]
    if any(one.code == 0 for one in done):
        site.commit()
    return done


def fewer(cases: int) -> Change:
    """Without the first cases, as a frozen set that they were taken out of."""
    return lambda before: take(before, list(range(cases, len(before.ids))))


def written(site: Site, judged: Judged, built_by: str = "", at: str = "") -> None:
    """A case and the records of two signers, written without the program's own checks."""
    layout = Layout(site.root, "wine")
    data = canonical_json(to_record(judged))
    (layout.cases / f"{sha256(data)}.json").write_bytes(data)
    run = kept.run_facts(kept.read_build(layout, judged.case.build))
    for user, meaning in (("rev", "review"), ("app", "approval")):
        rosters = read_rosters(layout.signers)
        chain = chains.read(layout.releases, "wine", rosters)
        key = unlock(site.key(user), PASSPHRASE)
        person = person_of(rosters, rosters[-1].version, keyid(key.public_key()))
        moment = at or datetime.now(UTC).isoformat(timespec="seconds")
        record = Record(
            kind="sign-off", number=chain.next_number, classifier="wine",
            version=judged.case.version, previous=chain.head,
            roster=(rosters[-1].version, rosters[-1].digest),
            signature=Signature(person.keyid, person.name, person.user, meaning, moment),
            subjects={
                **subjects_of(layout, judged.case), **attempt_subjects(layout, judged.case)
            },
            build=judged.case.build,
            built_by=built_by or run["by"], case=sha256(data),
            demonstration=judged.case.origin == "simulated",
            **tested.tested_fields(judged.verdict, refused=False),
        )  # fmt: skip
        path = layout.releases / f"{chain.next_number:05d}-sign-off.json"
        path.write_bytes(seal(statement_of(record), key))
        if at:
            return  # the next record could not follow such a time


def evidence_with(followed: Followed) -> Evidence:
    """Evidence of which only the version before is looked at."""
    return Evidence(
        build=2, basis="first build", attempt=0, agreement=None, cutoffs=None, holdout=None,
        frozen=None, validation_passed=True, pin_intact=True, policy_newer=False,
        same_fingerprint_other_weights=False, numerics_mode="native", rehearsals=None,
        origin="real", task="single", followed=followed,
    )  # fmt: skip
