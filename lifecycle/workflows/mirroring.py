"""MLflow's registry as the view of the signed chain: a version a release, repaired from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lifecycle.dossier import builds as kept
from lifecycle.dossier.files import read_fields
from lifecycle.dossier.once import reading_once
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.release.case import kept_case
from lifecycle.release.chain import Chain, Link
from lifecycle.release.files import read_plain
from lifecycle.release.model_card import SIMULATED, title_of_report
from lifecycle.release.standing import Release
from lifecycle.tracking.notes import markdown, plain, table
from lifecycle.tracking.registry import Mirror, Refused, Version, compare
from lifecycle.workflows.auditing import standings_of
from lifecycle.workflows.boundary import say
from lifecycle.workflows.project import Project
from lifecycle.workflows.reporting import PAGE
from lifecycle.workflows.signing import chain_of

_LONGEST = 500  # characters of a reason in a tag; the record has the whole
VIEWED = (
    "Anyone can edit this page. The signed files in `dossier/` are the truth: "
    "`lifecycle release verify`."
)


@reading_once()
def mirror_of(project: Project) -> Mirror:
    """What the registry should show, by the chain.

    Raises:
        IntegrityError: the chain, a case or a build was changed.
    """
    chain = chain_of(project)
    standings = standings_of(project.layout, chain)
    releases = sorted(
        (release for one in standings for release in one.releases),
        key=lambda release: release.number,
    )
    force = [release for release in releases if release.withdrawn is None]
    tags = {"head": str(chain.head), "records": str(len(chain.links))}
    return Mirror(
        name=project.name,
        tags={**tags, "truth": "the signed files in dossier/; this is a view of them"},
        note=_standing(project, force),
        versions=tuple(_version(project, chain, release) for release in releases),
        released=_completing(chain, force[-1]) if force else None,
        refused=tuple(_refused(project, link) for one in standings for link in one.refusals),
    )


def _refused(project: Project, link: Link) -> Refused:
    record = link.record
    build = kept.read_build(project.layout, int(record.build or 0))
    tags = {
        "signed": f"refused {record.signature.signed_at}",
        "refused.because": plain(record.reason or "")[:_LONGEST],
        "record": link.digest,
    }
    return Refused(_runs(project, build), tags, {link.path.name: read_plain(link.path)})


def _standing(project: Project, force: Sequence[Release]) -> str:
    """The description of the registered model: what is in force."""
    if not force:
        return f"No release of {markdown(project.name)} is in force.\n\n{VIEWED}"
    build = kept.read_build(project.layout, force[-1].subject.build)
    said = f"In force: {build.version} {build.name}, released at {force[-1].at}"
    return f"{said}; the alias *released* points to it.\n\n{VIEWED}"


def _completing(chain: Chain, release: Release) -> str:
    """Digest of the record that made it a release."""
    return chain.links[release.number - 1].digest


def _version(project: Project, chain: Chain, release: Release) -> Version:
    judged = kept_case(project.layout, release.subject.case)
    build = kept.read_build(project.layout, release.subject.build)
    withdrawn = release.withdrawn
    gone = "no" if withdrawn is None else withdrawn.record.signature.signed_at
    tags = {
        "build": build.name,
        "version": build.version,
        "record": _completing(chain, release),
        "verdict": release.subject.verdict,
        "tau": ", ".join(f"{value:.6g}" for value in sorted(set(judged.case.yes))),
        "data.origin": judged.case.origin,
        "demonstration": "yes" if release.subject.demonstration else "no",
        "numerics": judged.case.numerics_mode,
        "digest.weights": build.weights,
        "released": release.at,
        "withdrawn": gone,
    }
    signed = "released" if withdrawn is None else f"withdrawn {gone}"
    return Version(
        title=f"{build.version} {build.name}",
        record=tags["record"],
        runs=_runs(project, build),
        tags=tags,
        run_tags={"signed": signed, "record": tags["record"]},
        note=_note(release, tags),
        files=_files(project, release, judged.case.version),
    )


def _runs(project: Project, build: kept.Build) -> tuple[str, ...]:
    """The run that the record names, and the latest repetition of the same build."""
    found = [str(kept.run_facts(build)["run"])]
    facts, latest = project.build / "facts.json", project.build / kept.RUN
    if facts.is_file() and latest.is_file():
        same = read_fields(facts, {"weights.sha256": str})["weights"]["sha256"] == build.weights
        found += [str(read_fields(latest, {"run": str})["run"])] if same else []
    return tuple(dict.fromkeys(found))


def _note(release: Release, tags: dict[str, str]) -> str:
    """The description of a version; MLflow renders it as Markdown, and lists its first line."""
    marks = ["", f"**{SIMULATED}**"] if release.subject.demonstration else []
    rows = [
        *tags.items(),
        *((f"record {link.record.number} ({link.record.signature.meaning})", _signed(link))
          for link in release.links),
    ]  # fmt: skip
    return "\n".join([_headline(release, tags), *marks, "", *table(("what", "value"), rows), "",
                      VIEWED])  # fmt: skip


def _headline(release: Release, tags: dict[str, str]) -> str:
    """Plain words: what became of it, and who signed."""
    people = [link.record.signature.printed_name for link in release.links]
    stands = f"RELEASED at {tags['released']}"
    if release.withdrawn is not None:
        stands = f"WITHDRAWN at {tags['withdrawn']}"
    signed = markdown(f"signed by {', '.join(people)}")
    return f"{stands}: {tags['version']} {tags['build']}, {tags['verdict'].upper()}, {signed}"


def _signed(link: Link) -> str:
    signature = link.record.signature
    return f"{signature.printed_name}, {signature.signed_at}, {link.digest}"


def _files(project: Project, release: Release, version: str) -> dict[str, bytes]:
    """Records, case, and the report where what is here is of this build."""
    links = [*release.links, *([release.withdrawn] if release.withdrawn else [])]
    found = {link.path.name: read_plain(link.path) for link in links}
    case = f"{release.subject.case}.json"
    found[case] = read_plain(project.layout.cases / case)
    page = project.report / PAGE
    title = title_of_report(project.name, version, release.subject.build)
    if page.is_file() and title in page.read_text(encoding="utf-8"):
        found[PAGE] = page.read_bytes()
    return found


def show_sync(project: Project, check: bool, as_json: bool) -> str:
    """Compare, and repair unless `check`.

    Raises:
        IntegrityError: something differs and stays so.
        UnusableInputError: the store does not answer.
    """
    found, left = compare(project.root, mirror_of(project), repair=not check)
    if left and not as_json:
        raise IntegrityError(_left_said(project, found, left, check))
    if as_json:
        text = json.dumps(_plain(project, found, left, check), indent=2)
        if not left:
            return text
        raise IntegrityError(text)
    if not found:
        return f"{project.name}: the registry shows what the chain says"
    return "\n".join([f"{project.name}: {len(found)} differences repaired", *_list(found)])


def _plain(project: Project, found: list[str], left: list[str], check: bool) -> dict[str, Any]:
    return {"classifier": project.name, "check": check, "differences": found, "left": left}


def _left_said(project: Project, found: Sequence[str], left: Sequence[str], check: bool) -> str:
    cure = f"; `lifecycle release sync {project.name}` repairs it" if check else ""
    head = f"{project.name}: the registry differs from the chain in {len(found)} points{cure}"
    if check:
        return "\n".join([head, *_list(found)])
    return "\n".join([head, *_list(found), "and these cannot be repaired:", *_list(left)])


def _list(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def mirror_signed(project: Project) -> None:
    """Bring the registry up to date after a record was signed; whatever fails is said only.

    Before the first release there is nothing to show, and MLflow is not even loaded.
    """
    cure = f"`lifecycle release sync {project.name}` repairs it"
    try:
        wanted = mirror_of(project)
        if not wanted.versions and not wanted.refused:
            return
        _, left = compare(project.root, wanted, repair=True)
    except ImportError:
        say(f"MLflow is not installed here, so its registry does not know of it; {cure}")
    except UnusableInputError as error:
        say(f"the record is signed; MLflow's registry does not know of it yet: {error}; {cure}")
    except Exception as error:  # noqa: BLE001  # the record stands: a view never fails a signature
        say(f"the record is signed; MLflow's registry could not be brought up to date: {error}; "
            f"{cure}")  # fmt: skip
    else:
        said = "; ".join(left) or "MLflow's registry shows it"
        say(f"{project.name}: {said}")
