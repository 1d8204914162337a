"""A release exported: it verifies alone, by our program and without it; whole or not there."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
from packageurl import PackageURL
from release_site import Site, new_site, quiet_dvc, release, second_build
from support import run_in

from lifecycle.errors import IntegrityError, LifecycleError
from lifecycle.workflows import exporting
from lifecycle.workflows.auditing import verify
from lifecycle.workflows.project import open_project

INTEGRITY, USAGE, REFUSED = 12, 2, 22


@pytest.fixture(scope="module")
def _site(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return release(new_site(_built, tmp_path_factory.mktemp("exporting"), ("ada", "rev", "app")))


@pytest.fixture(scope="module")
def _bundle(_site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The exported folder, far from the project, and what was said of it."""
    out = tmp_path_factory.mktemp("far") / "bundle"
    done = _site.run("release", "export", "wine", "--out", str(out))
    assert done.code == 0, done.said
    return out, done.out


@pytest.fixture
def bundle(_bundle: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy, to be changed at will."""
    shutil.copytree(_bundle[0], tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    with quiet_dvc():
        yield


@pytest.fixture
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "print_page", lambda page, target, at: "not in this test")


def _recipes(folder: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (folder / "VERIFY.md").read_text(), re.DOTALL)


def _sh(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_it_verifies_alone_by_its_own_instructions(_bundle: tuple[Path, str]) -> None:
    folder, said = _bundle
    ours, sums, openssl = _recipes(folder)
    done = run_in(folder, *ours.split())
    assert done.returncode == 0, done.stderr
    head = re.search(r"^head ([0-9a-f]{64})$", said, re.MULTILINE)
    assert head is not None and f"head {head[1]}" in done.stdout
    assert "b1 is released since" in done.stdout
    same = _sh(sums, folder)
    assert (same.returncode, same.stdout) == (0, "")
    found = _sh(openssl, folder)
    lines = found.stdout.splitlines()
    records = [
        *folder.glob("dossier/_signers/*.json"),
        *folder.glob("dossier/wine/releases/*.json"),
    ]
    assert len(lines) == len(records) > 2
    assert all(line.endswith(": Signature Verified Successfully") for line in lines)


def test_openssl_sees_a_changed_record(bundle: Path) -> None:
    path = bundle / "dossier/wine/releases/00002-sign-off.json"
    text = path.read_text()
    at = text.index('"payload":"') + 40
    path.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    found = _sh(_recipes(bundle)[2], bundle)
    assert "00002-sign-off.json: Signature Verification Failure" in found.stdout
    assert "00001-sign-off.json: Signature Verified Successfully" in found.stdout


def test_every_file_is_covered_by_verify_or_by_the_sums(bundle: Path) -> None:
    sums = _recipes(bundle)[1]
    for path in _files(bundle):
        if path.name == "SHA256SUMS":
            continue
        name, data = path.relative_to(bundle).as_posix(), path.read_bytes()
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1
        path.write_bytes(changed)
        if name.startswith(("dossier/", "weights/")):
            with pytest.raises(LifecycleError) as error:
                verify(bundle, "wine")
            assert path.name in str(error.value) and int(error.value.exit_code) in (10, INTEGRITY)
        else:
            done = _sh(sums, bundle)
            assert done.returncode == 1 and f"./{name}" in done.stdout, name
            with pytest.raises(IntegrityError, match="bundle.json" if "bundle" in name else name):
                verify(bundle, "wine")
        path.write_bytes(data)


def test_an_added_and_a_missing_file_are_found(bundle: Path) -> None:
    sums = _recipes(bundle)[1]
    (bundle / "model-card-2.md").write_text("another card\n")
    (bundle / "model-card.md").unlink()
    done = _sh(sums, bundle)
    assert "./model-card-2.md" in done.stdout and "./model-card.md" in done.stdout


def test_what_it_holds(_bundle: tuple[Path, str], _site: Site) -> None:
    folder, said = _bundle
    digest = hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    assert f"sha256 of the SHA256SUMS: {digest}" in said
    record = json.loads((folder / "dossier/wine/builds/b1/record.json").read_bytes())
    weights = record["content"]["weights"]["file"]
    (file,) = (folder / "weights/wine").iterdir()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == weights == file.stem
    page = (folder / "report/report.html").read_text()
    assert "Dr rev" in page and "Dr app" in page and "released" in page
    pdf = folder / "report/report.pdf"
    if shutil.which("chromium"):
        assert pdf.read_bytes().startswith(b"%PDF")
    else:
        assert "report as PDF is missing: no Chromium" in said
    with (folder / "predictions/frozen-b1.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 71
    card = json.loads((folder / "model-card.json").read_bytes())
    for row in rows:
        scores = {name: float(row[name]) for name in card["classes"]}
        best = max(scores, key=lambda name: scores[name])
        enough = scores[best] >= card["tau"]["yes"][best]
        assert row["call"] == (best if enough else "inconclusive")
    text = (folder / "model-card.md").read_text()
    for word in ("**exact**", "PASS", weights, "Dr rev", "Dr app", "provisional"):
        assert word in text


def test_the_bill_of_materials_is_strictly_valid(_bundle: tuple[Path, str]) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (_bundle[0] / "ml-bom.cdx.json").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"modelCard"', '"modelcard"')) is not None
    bom = json.loads(text)
    model = bom["metadata"]["component"]
    card = json.loads((_bundle[0] / "model-card.json").read_bytes())
    assert model["type"] == "machine-learning-model"
    assert model["hashes"][0]["content"] == card["digests"]["weights file (SHA-256)"]
    libraries = [one for one in bom["components"] if one["type"] == "library"]
    assert len(libraries) > 150
    for one in libraries:
        url = PackageURL.from_string(one["purl"])
        assert (url.type, url.name, url.version) == ("pypi", one["name"], one["version"])
        assert url.to_string() == one["purl"]
    measured = {one["name"]: one["version"] for one in libraries}
    assert measured["torch"] == card["model"]["environment"]["libraries"]["torch"]


@pytest.mark.usefixtures("_no_browser")
def test_a_zip_has_the_same_bytes_every_time(_site: Site, tmp_path: Path) -> None:
    said = []
    for name in ("one.zip", "two.zip"):
        done = _site.run("release", "export", "wine", "--out", str(tmp_path / name))
        assert done.code == 0, done.said
        said.append(re.search(r"sha256 of the zip: ([0-9a-f]{64})", done.out))
    data = (tmp_path / "one.zip").read_bytes()
    assert data == (tmp_path / "two.zip").read_bytes()
    assert {one[1] for one in said if one} == {hashlib.sha256(data).hexdigest()}
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "out")
        assert archive.namelist() == sorted(archive.namelist())
    verify(tmp_path / "out/wine-1-b1", "wine")


def test_the_pdf_has_the_same_bytes_every_time(_bundle: tuple[Path, str], tmp_path: Path) -> None:
    pdf = _bundle[0] / "report/report.pdf"
    if not pdf.is_file():
        pytest.skip("no Chromium here")
    page = _bundle[0] / "report/report.html"
    at = json.loads((_bundle[0] / "model-card.json").read_bytes())["release"]["releasedAt"]
    assert exporting.print_page(page, tmp_path / "again.pdf", at) is None
    assert (tmp_path / "again.pdf").read_bytes() == pdf.read_bytes()


@pytest.mark.usefixtures("_no_browser")
def test_nothing_is_overwritten(_site: Site, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.zip").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "file.zip", "link"):
        done = _site.run("release", "export", "wine", "--out", str(tmp_path / name))
        assert done.code == USAGE and "is not overwritten" in done.err
    assert (tmp_path / "file.zip").read_text() == "mine"
    assert not list((tmp_path / "folder").iterdir())
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_whole_or_not_at_all(
    _site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "print_page", full)
    done = _site.run("release", "export", "wine", "--out", str(tmp_path / name))
    assert done.code == 10 and "No space left" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_no_browser")
def test_what_does_not_verify_is_not_exported(_site: Site, tmp_path: Path) -> None:
    site = _site.copy(tmp_path / "project")
    (weights,) = (site.root / "weights/wine").glob("*.safetensors")
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00\x01")
    done = site.run("release", "export", "wine", "--out", str(tmp_path / "bundle"))
    assert done.code == INTEGRITY and weights.name in done.err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.usefixtures("_no_browser")
def test_a_withdrawn_release_says_so_everywhere(_site: Site, tmp_path: Path) -> None:
    site = _site.copy(tmp_path / "project")
    assert site.act("withdraw", "app", "--build", "1", "--reason", "wrong probes").code == 0
    done = site.run("release", "export", "wine", "--out", str(tmp_path / "bundle"))
    assert done.code == 0, done.said
    for name in ("VERIFY.md", "model-card.md"):
        assert "**WITHDRAWN at 2" in (tmp_path / "bundle" / name).read_text()
    bom = json.loads((tmp_path / "bundle/ml-bom.cdx.json").read_bytes())
    said = {one["name"]: one["value"] for one in bom["metadata"]["component"]["properties"]}
    assert said["lifecycle:withdrawn"].startswith("2")


@pytest.mark.usefixtures("_no_browser")
def test_a_simulated_cohort_is_marked_in_every_paper(_site: Site, tmp_path: Path) -> None:
    site = _site.copy(tmp_path / "project")
    second_build(site, origin="simulated")
    with quiet_dvc():
        for user, meaning in (("rev", "review"), ("app", "approval")):
            assert site.sign(user, meaning, "--demonstration").code == 0
    out = tmp_path / "bundle"
    done = site.run("release", "export", "wine", "--out", str(out))
    assert done.code == 0, done.said
    for name in ("VERIFY.md", "model-card.md", "model-card.json", "ml-bom.cdx.json"):
        assert "SIMULATED cohort: never for patients" in (out / name).read_text(), name
    assert json.loads((out / "model-card.json").read_bytes())["build"] == "b2"
    assert "SIMULATED DATA" in (out / "report/report.html").read_text()
    verify(out, "wine")


def test_nothing_released_nothing_exported(_site: Site, tmp_path: Path) -> None:
    done = _site.run("release", "export", "tiny-beta", "--out", str(tmp_path / "bundle"))
    assert done.code == REFUSED and "no release to export" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_no_browser")
def test_another_builds_report_is_left_out(_site: Site, tmp_path: Path) -> None:
    site = _site.copy(tmp_path / "project")
    second_build(site)
    done = site.run("release", "export", "wine", "--out", str(tmp_path / "bundle"))
    assert done.code == 0 and "The report of b1 is missing" in done.out
    assert not (tmp_path / "bundle/report").exists()


@pytest.mark.usefixtures("_no_browser")
def test_an_invalid_bill_of_materials_stops_the_export(
    _site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exporting.bom_of
    monkeypatch.setattr(
        exporting, "bom_of", lambda *about: {**right(*about), "bomFormat": "of our own"}
    )
    with pytest.raises(IntegrityError, match="would not be valid"), redirect_stderr(StringIO()):
        exporting.export(open_project("wine", _site.root), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def _curve_key(path: Path, curve: str = "prime256v1") -> Path:
    command = ["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.chmod(0o600)
    return path


def test_the_weights_are_signed_for_other_tools(_site: Site, tmp_path: Path) -> None:
    pytest.importorskip("model_signing.signing", exc_type=ImportError)
    out, key = tmp_path / "bundle", _curve_key(tmp_path / "exporter.pem")
    done = _site.run(
        "release", "export", "wine", "--out", str(out), "--model-signing-key", str(key)
    )
    assert done.code == 0, done.err
    how = next(line for line in (out / "VERIFY.md").read_text().splitlines() if "model_sig" in line)
    command = how.split("`")[1].split()
    bare = {"PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)}

    def verify() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=out, env=bare, capture_output=True, text=True, check=False
        )

    assert (first := verify()).returncode == 0, first.stdout + first.stderr
    weights = next(path for path in (out / "weights").rglob("*") if path.is_file())
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    assert verify().returncode != 0


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: path.write_text("no key"), "does not open"),
        (lambda path: _curve_key(path, "secp224r1"), "P-256"),
        (lambda path: _curve_key(path).chmod(0o644), "read or changed by others"),
        (lambda path: None, "cannot be read"),
    ],
    ids=["no key", "weak curve", "readable", "absent"],
)
def test_a_key_that_cannot_sign_weights_is_said(
    prepare: Callable[[Path], object], said: str, _site: Site, tmp_path: Path
) -> None:
    key, out = tmp_path / "exporter.pem", tmp_path / "bundle"
    prepare(key)
    if key.exists() and said != "read or changed by others":
        key.chmod(0o600)
    done = _site.run(
        "release", "export", "wine", "--out", str(out), "--model-signing-key", str(key)
    )
    assert done.code in (10, REFUSED) and said in done.err
    assert not out.exists()


def test_without_model_signing_it_says_what_to_install(
    _site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)  # importing it raises ImportError
    key, out = _curve_key(tmp_path / "exporter.pem"), tmp_path / "bundle"
    done = _site.run(
        "release", "export", "wine", "--out", str(out), "--model-signing-key", str(key)
    )
    assert done.code == 10 and "pip install model-signing" in done.err and not out.exists()
