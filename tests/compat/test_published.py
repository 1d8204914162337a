"""What was published is read for ever: releases that older programs signed, kept here untouched.

A folder holds a whole release in the formats of one version of lifecycle: chain, rosters, evidence,
weights, an exported bundle, and the keys of a demonstration. `make.py` made it, once.
"""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from release_site import PASSPHRASE, Site
from support import ROOT, environment

from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.records.catalogue import shipped
from lifecycle.release.envelope import IN_TOTO, opened, seal
from lifecycle.release.keys import unlock
from lifecycle.release.roster import ROSTER

HERE = Path(__file__).parent
PUBLISHED = sorted(path.name for path in HERE.iterdir() if (path / "said.json").is_file())
CLASSIFIERS = ("wine", "wine-native", "rhythm")
# What decides nothing: notes of the pipeline, and the sentences of version 1 about tau.
NOTES = (("metrics.json", "current.json"), ("metrics.json", "current.json", "threshold.json"))
BOTH = [(version, name) for version in PUBLISHED for name in CLASSIFIERS]
APPLIED = [(version, name) for version, name in BOTH if name != "rhythm"]


def said(version: str, name: str) -> dict:
    return json.loads((HERE / version / "said.json").read_bytes())[name]


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """A copy of a published release, with the keys of its people; in git, as a laboratory's is."""
    version = request.param if hasattr(request, "param") else PUBLISHED[-1]
    return copy_of(version, tmp_path)


def copy_of(version: str, folder: Path) -> Site:
    shutil.copytree(HERE / version, folder / "p")
    for key in (folder / "p" / "keys").iterdir():
        key.chmod(0o600)  # which git does not keep
    return Site(folder / "p", folder / "p" / "keys")


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_there_is_one_for_each_version_of_the_formats() -> None:
    assert PUBLISHED[:2] == ["0.1.0", "0.2.0"]


@pytest.mark.parametrize(("version", "name"), BOTH)
def test_a_published_release_verifies_and_is_shown(version: str, name: str, tmp_path: Path) -> None:
    site = copy_of(version, tmp_path)
    before = digests(site.root)
    (audit,), rows = said(version, name)["audit"], said(version, name)["history"]
    found = site.run(
        "release", "verify", name, "--json", "--head", audit["head"], "--trust",
        audit["fingerprint"],
    )  # fmt: skip
    assert found.code == 0, found.said
    (now,) = json.loads(found.out)
    assert {key: now[key] for key in ("head", "records", "verdicts")} == {
        key: audit[key] for key in ("head", "records", "verdicts")
    }
    shown = site.run("release", "history", name, "--json")
    assert shown.code == 0, shown.said
    assert json.loads(shown.out) == rows
    assert digests(site.root) == before


@pytest.mark.parametrize(("version", "name"), APPLIED)
def test_a_published_release_predicts_as_it_did(version: str, name: str, tmp_path: Path) -> None:
    site = copy_of(version, tmp_path)
    done = site.run("release", "predict", name, "cases.csv", "--out", "now.csv")
    assert done.code == 0, done.said
    then, now = (_rows(site.root / file) for file in (f"{name}-calls.csv", "now.csv"))
    assert [row["call"] for row in now] == [row["call"] for row in then]
    scores = [key for key in then[0] if key.startswith("score")]
    for one, two in zip(then, now, strict=True):
        for key in scores:
            if name == "wine":  # exact: the same bits on every machine, for ever
                assert two[key] == one[key]
            else:
                assert float(two[key]) == pytest.approx(float(one[key]), abs=1e-9)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("version", PUBLISHED)
def test_a_published_bundle_verifies_alone(version: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(HERE / version / "bundle.zip") as archive:
        archive.extractall(tmp_path)
    (root,) = tmp_path.iterdir()
    done = Site(root, root).run("release", "verify", "wine")
    assert done.code == 0, done.said


@pytest.mark.parametrize("version", PUBLISHED)
def test_a_published_release_is_exported_by_this_program(version: str, tmp_path: Path) -> None:
    site = copy_of(version, tmp_path)
    done = site.run("release", "export", "wine-native", "--out", str(tmp_path / "bundle"))
    assert done.code == 0, done.said
    bundle = Site(tmp_path / "bundle", site.keys)
    assert bundle.run("release", "verify", "wine-native").code == 0
    card = bundle.root / "model-card.md"
    card.write_bytes(card.read_bytes() + b"It cures.\n")
    changed = bundle.run("release", "verify", "wine-native")
    assert (changed.code, "model-card.md was changed" in changed.err) == (12, True)


@pytest.mark.parametrize("version", PUBLISHED)
def test_its_chain_goes_on_in_the_formats_of_today(version: str, tmp_path: Path) -> None:
    """Records of two versions in one chain: each is read by its own rules."""
    site = copy_of(version, tmp_path)
    before = digests(site.root / "dossier")
    reason = ("--build", "2", "--reason", "the probe list is wrong")
    done = site.act("withdraw", "app", *reason, name="wine-native")
    assert done.code == 0, done.said
    assert site.verify(name="wine-native").code == 0
    after = digests(site.root / "dossier")
    assert {name: after[name] for name in before} == before
    newest = site.records("wine-native")[-1]
    payload = json.loads(
        opened((site.root / "dossier/wine-native/releases" / newest).read_bytes(), newest).payload
    )
    assert payload["predicate"]["lifecycle"]["program"].startswith("lifecycle ")
    refused = site.run("release", "predict", "wine-native", "cases.csv", "--out", "now.csv")
    assert refused.code == 22


# ---- the shipped JSON Schemas say what the programs wrote


def kept(root: Path) -> Iterator[tuple[str, str, object]]:
    """Every record of a published dossier: file, name of its schema, value."""
    for path in sorted((root / "dossier").rglob("*.json")):
        name, value = path.relative_to(root).as_posix(), json.loads(path.read_bytes())
        if re.search(r"releases/[0-9]+-", name):
            statement = json.loads(opened(path.read_bytes(), name).payload)
            ours = statement["predicate"]["lifecycle"]
            kind = "tested" if ours["kind"] in ("sign-off", "refusal") else "decided"
            yield name, f"statement-{kind}-1.json", statement
            yield name, _schema_of(ours), ours
        elif "_signers/" in name:
            payload = json.loads(opened(path.read_bytes(), name, ROSTER).payload)
            yield name, _schema_of(payload), payload
        elif path.name != "metrics.json":
            yield name, _schema_of(value, path), value


def _schema_of(value: dict, path: Path = Path()) -> str:
    schema = value.get("schema")
    if schema is not None:
        _, kind, number = schema.split("/")
        return f"{kind}-{number}.json"
    names = {"run": "run", "current": "current", "threshold": "threshold"}
    stem = names.get(path.stem) or ("preprocessing" if "preprocess" in path.stem else "verdict")
    return f"{stem}-1.json"


@pytest.mark.parametrize("version", PUBLISHED)
def test_every_record_is_valid_by_the_schema_that_is_shipped(version: str) -> None:
    checked = set()
    for name, schema, value in kept(HERE / version):
        faults = [
            error.message for error in Draft202012Validator(shipped(schema)).iter_errors(value)
        ]
        assert not faults, (name, schema, faults[:3])
        checked.add(schema.rpartition("-")[0])
    assert checked >= {
        *("build", "run", "preprocessing", "current", "attempt", "pins", "rehearsals"),
        *("threshold", "verdict", "release", "roster", "case"),
        *("statement-tested", "statement-decided"),
    }


# ---- what must be refused


@pytest.mark.parametrize("version", PUBLISHED)
def test_a_changed_byte_anywhere_is_found(version: str, tmp_path: Path) -> None:
    site, draw = copy_of(version, tmp_path), random.Random(version)
    files = [
        path
        for name in ("wine-native", "_signers")
        for path in sorted((site.root / "dossier" / name).rglob("*"))
        if path.is_file() and path.name not in NOTES[version == "0.1.0"]
    ]
    for path in files:
        data = bytearray(path.read_bytes())
        at, bit = draw.randrange(len(data)), draw.randrange(8)
        path.write_bytes(bytes([*data[:at], data[at] ^ 1 << bit, *data[at + 1 :]]))
        found = site.run("release", "verify", "wine-native")
        assert found.code == 12, (path, at, bit, found.said)
        path.write_bytes(bytes(data))
    assert site.run("release", "verify", "wine-native").code == 0


@pytest.mark.parametrize("version", PUBLISHED)
def test_a_half_moved_dossier_is_named_and_nothing_changes(version: str, tmp_path: Path) -> None:
    site = copy_of(version, tmp_path)
    chain = site.root / "dossier" / "wine-native"
    moved = [
        *sorted((chain / "builds" / "b1").iterdir()),
        *sorted((chain / "releases").glob("*.json"))[:-1],
        *sorted((chain / "releases" / "cases").iterdir()),
        chain / "frozen.json",
        *sorted((site.root / "dossier" / "_signers").iterdir()),
    ]
    for path in moved:
        data = path.read_bytes()
        path.unlink()
        before = digests(site.root)
        found = site.run("release", "verify", "wine-native")
        assert found.code in (10, 12), (path, found.said)
        assert "restore" in found.err or "missing" in found.err, found.said
        assert digests(site.root) == before
        path.write_bytes(data)


def _newer(site: Site, path: Path) -> None:
    """The newest record as a later program would have written and signed it."""
    data = path.read_bytes()
    kind = ROSTER if "_signers" in path.parts else IN_TOTO
    value = json.loads(opened(data, path.name, kind).payload)
    part = value if kind == ROSTER else value["predicate"]["lifecycle"]
    stem = part["schema"].rpartition("/")[0]
    part |= {"schema": f"{stem}/9", "program": "lifecycle 9.1.0", "mood": "calm"}
    user = "ada" if kind == ROSTER else part["signature"]["userId"]
    path.write_bytes(seal(value, unlock(site.key(user), PASSPHRASE), kind))


@pytest.mark.parametrize("site", PUBLISHED, indirect=True)
@pytest.mark.parametrize("what", ["record", "roster"])
def test_a_signed_record_of_a_newer_program_is_refused_by_its_name(site: Site, what: str) -> None:
    folder = {"record": "wine/releases", "roster": "_signers"}[what]
    path = sorted((site.root / "dossier" / folder).glob("0*.json"))[-1]
    _newer(site, path)
    before = digests(site.root)
    for command in (("verify",), ("history",), ("predict", "cases.csv", "--out", "x.csv")):
        done = site.run("release", command[0], "wine", *command[1:])
        assert done.code == 10, done.said
        assert f"{path.name} was written by lifecycle 9.1.0" in done.err.replace("\n", " ")
        assert "this is lifecycle " in done.err
    assert digests(site.root) == before


@pytest.mark.parametrize(
    "name", ["threshold.json", "frozen.json", "verdicts/b2.json", "rehearsals/b1.json"]
)
def test_an_unsigned_record_of_a_newer_program_is_refused_by_its_name(
    site: Site, name: str
) -> None:
    from lifecycle.domain.digests import digest_of

    path = site.root / "dossier" / "wine" / name
    body = {k: v for k, v in json.loads(path.read_bytes()).items() if k != "digest"}
    stem = body["schema"].rpartition("/")[0]
    body |= {"schema": f"{stem}/9", "program": "lifecycle 9.1.0", "mood": "calm"}
    path.write_bytes(canonical_json({**body, "digest": digest_of(body)}))
    done = site.verify()
    assert done.code == 10, done.said
    assert f"{name} was written by lifecycle 9.1.0" in done.err.replace("\n", " ")


# ---- the program goes on, and what it signed stays valid

EDITS = {
    "an optional key of the policy with a default": (
        "domain/classifier.py",
        '    unit: Literal["patient", "component"] = "patient"\n    max_discordant',
        '    mood: Literal["calm", "grim"] = "calm"\n'
        '    unit: Literal["patient", "component"] = "patient"\n    max_discordant',
    ),
    "a criterion that never applies": (
        "gate/criteria.py",
        '    "rehearsals": rehearsals,\n}',
        '    "rehearsals": rehearsals,\n    "mood": lambda policy, evidence: (),\n}',
    ),
    "a better sentence": (
        "gate/criteria.py",
        "The frozen clinical test set is the pinned one.",
        "The frozen clinical test set is, to the last bit, the pinned one.",
    ),
    "a better sentence about tau": (
        "consistency/tau.py",
        '    "Precision and recall are read on the holdout that tau was chosen on',
        '    "Precision and recall stem from the holdout that tau was chosen on',
    ),
    "an optional key of the recipe with a default": (
        "domain/classifier.py",
        "    numerics: Numerics = Numerics()\n",
        '    numerics: Numerics = Numerics()\n    mood: str = "calm"\n',
    ),
}
WRONG = {
    "an upper bound at another level": (
        "stats/intervals.py",
        "found = betainccinv(discordant + 1.0, rest, a)",
        "found = betainccinv(discordant + 1.0, rest, 0.9 * a)",
    ),
    "a limit that is taken twice": (
        "gate/criteria.py",
        "    figure, limit = _finite(agreement.series.reportable), policy.reportable_floor\n",
        "    figure, limit = _finite(agreement.series.reportable), 2 * policy.reportable_floor\n",
    ),
}
ALL = "all of them"
_RUN = "from lifecycle.cli.main import entry; entry()"


def edited(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the program in which some texts are others."""
    shutil.copytree(
        ROOT / "lifecycle", folder / "lifecycle", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file, old, new in edits:
        path = folder / "lifecycle" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (file, old)
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def run_edited(program: Path, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _RUN, *words]
    where = environment(PYTHONPATH=str(program))
    return subprocess.run(command, cwd=root, env=where, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", PUBLISHED)
@pytest.mark.parametrize(
    "what", [ALL, *(pytest.param(what, marks=pytest.mark.slow) for what in EDITS)]
)
def test_an_edit_that_decides_nothing_leaves_old_releases_valid(
    version: str, what: str, tmp_path: Path
) -> None:
    site = copy_of(version, tmp_path)
    program = edited(tmp_path / "program", *(EDITS.values() if what == ALL else [EDITS[what]]))
    for name in CLASSIFIERS:
        done = run_edited(program, site.root, "release", "verify", name)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = run_edited(program, site.root, "release", "history", "wine-native")
    assert shown.returncode == 0, shown.stderr
    applied = run_edited(
        program, site.root, "release", "predict", "wine-native", "cases.csv", "--out", "now.csv"
    )
    assert applied.returncode == 0, applied.stderr


@pytest.mark.parametrize("version", PUBLISHED)
@pytest.mark.parametrize("what", WRONG)
def test_a_changed_statistic_without_a_new_rule_number_is_found(
    version: str, what: str, tmp_path: Path
) -> None:
    site = copy_of(version, tmp_path)
    program = edited(tmp_path / "program", WRONG[what])
    for command in (("verify",), ("predict", "cases.csv", "--out", "now.csv")):
        done = run_edited(program, site.root, "release", command[0], "wine-native", *command[1:])
        assert done.returncode == 12, done.stdout + done.stderr
        assert "another verdict" in done.stderr
