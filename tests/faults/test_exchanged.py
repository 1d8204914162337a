"""A file exchanged between its check and its use: what was checked is what is used, or exit 12.

The exchange happens at a fixed place (a hook on the function that is called there), never by luck.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lifecycle.domain.digests import canonical_json, digest_of, sha256, tensors_digests
from lifecycle.dossier import builds as kept
from lifecycle.dossier import once
from lifecycle.dossier.files import evidence_digests, read_evidence
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import reading_once
from lifecycle.dossier.weights import packed, unpacked
from lifecycle.errors import IntegrityError
from lifecycle.records.builds import BUILD
from lifecycle.release import subjects
from lifecycle.release.case import kept_case
from lifecycle.release.subjects import subjects_of
from lifecycle.workflows import auditing, released
from lifecycle.workflows.released import load_released

PUBLISHED = Path(__file__).parents[1] / "compat" / "0.2.0"
NUMBER = 2  # of the build that is released
NAME = "wine-native"  # no self-test of exact arithmetic, which takes seconds


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("dossier", "weights"):
        shutil.copytree(PUBLISHED / name, tmp_path / name)
    return tmp_path


def twin(root: Path) -> Path:
    """A forged b2 beside the signed one: whole in itself, with weights that call other classes."""
    layout = Layout(root, NAME)
    folder = layout.build(NUMBER)
    build = kept.read_build(layout, NUMBER)
    file = layout.weights / f"{build.content['weights']['file']}.safetensors"
    tensors = unpacked(file.read_bytes())
    tensors = {key: np.ascontiguousarray(value[::-1].copy()) if value.ndim else value
               for key, value in tensors.items()}  # fmt: skip
    data = packed(tensors)
    (layout.weights / f"{sha256(data)}.safetensors").write_bytes(data)
    aside = folder.parent / ".forged"
    shutil.copytree(folder, aside)
    content = {**build.content, "weights": {**tensors_digests(tensors), "file": sha256(data)}}
    fields = {"number": NUMBER, "content": content, "files": dict(build.files)}
    (aside / kept.RECORD).write_bytes(canonical_json(BUILD.write(fields, "forged")))
    assert digest_of(content) != build.digest
    return aside


def exchange(one: Path, two: Path) -> None:
    away = one.with_name(".away")
    one.rename(away)
    two.rename(one)
    away.rename(two)


def before(monkeypatch: pytest.MonkeyPatch, module: object, name: str, act: Callable[[], None]):
    """Let something happen once, just before a function is called."""
    kept_one, done = getattr(module, name), []

    def hooked(*given, **named):
        if not done:
            done.append(name)
            act()
        return kept_one(*given, **named)

    monkeypatch.setattr(module, name, hooked)
    return done


def test_the_forged_twin_would_be_loaded_if_it_were_read(root: Path) -> None:
    """The other tests here mean something: nothing but the signed digests tells the twin."""
    aside = twin(root)
    exchange(Layout(root, NAME).build(NUMBER), aside)
    assert kept.read_build(Layout(root, NAME), NUMBER).weights
    with pytest.raises(IntegrityError, match="was changed"):
        load_released(NAME, root, demonstration=True)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (auditing, "_verify_verdicts"),  # after the digests were held to the record
        (auditing, "verify_beside"),
        (released, "release_in_force"),  # after the whole audit
        (released, "_network"),
    ],
)
def test_a_build_exchanged_while_a_release_is_loaded(
    root: Path, monkeypatch: pytest.MonkeyPatch, module, name: str
) -> None:
    signed = load_released(NAME, root, demonstration=True)
    aside, folder = twin(root), Layout(root, NAME).build(NUMBER)
    done = before(monkeypatch, module, name, lambda: exchange(folder, aside))
    try:
        found = load_released(NAME, root, demonstration=True)
    except IntegrityError:
        assert done
        return
    assert done
    assert found.provenance == signed.provenance
    ours, theirs = found._model.state_dict(), signed._model.state_dict()
    assert all(bool((ours[key] == theirs[key]).all()) for key in theirs)


def test_weights_exchanged_after_the_audit_are_not_loaded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = load_released(NAME, root, demonstration=True)
    (path,) = (root / "weights" / NAME).glob(f"{_file(root)}.safetensors")
    done = before(monkeypatch, released, "_network", lambda: path.write_bytes(b"other"))
    found = load_released(NAME, root, demonstration=True)
    assert done
    assert found.provenance.weights == signed.provenance.weights


def test_large_weights_are_read_again_and_held_to_the_first_reading(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "LARGE", 0)  # every file is a large one: the last alone is held
    assert load_released(NAME, root, demonstration=True).provenance.build == NUMBER
    (path,) = (root / "weights" / NAME).glob(f"{_file(root)}.safetensors")
    before(monkeypatch, released, "_network", lambda: path.write_bytes(b"other"))
    with pytest.raises(IntegrityError, match="changed"):
        load_released(NAME, root, demonstration=True)


def _file(root: Path) -> str:
    return str(kept.read_build(Layout(root, NAME), NUMBER).content["weights"]["file"])


def test_weights_are_read_from_the_disk_one_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lifecycle.dossier import files

    read, seen = files.os.open, []

    def counted(path, *given, **named):
        seen.append(str(path))
        return read(path, *given, **named)

    monkeypatch.setattr(files.os, "open", counted)
    load_released(NAME, root, demonstration=True)
    evidence = [path for path in seen if path.startswith((f"{root}/weights", f"{root}/dossier"))]
    assert sum(path.endswith(".safetensors") for path in evidence) == 2  # of two signed builds
    assert len(evidence) == len(set(evidence))


def test_a_subject_is_the_digest_of_what_its_record_was_held_to(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sign-off: what is named in the signature is what was judged."""
    layout = Layout(root, NAME)
    cases = (kept_case(layout, path.stem).case for path in layout.cases.glob("*.json"))
    case = next(one for one in cases if one.build == NUMBER)
    signed, aside = subjects_of(layout, case), twin(root)
    read, calls = subjects.kept.read_build, []  # it is exchanged after the first reading

    def exchanged(*given):
        found = read(*given)
        if given[1] == NUMBER:
            if not calls:
                exchange(layout.build(NUMBER), aside)
            calls.append(given)
        return found

    monkeypatch.setattr(subjects.kept, "read_build", exchanged)
    assert subjects_of(layout, case) == signed
    assert len(calls) > 1


def test_predictions_exchanged_after_their_build_was_read(root: Path) -> None:
    build = kept.read_build(Layout(root, NAME), NUMBER)
    (build.folder / kept.FROZEN).write_bytes((build.folder / kept.HOLDOUT).read_bytes())
    with pytest.raises(IntegrityError, match=r"frozen\.parquet was changed"):
        kept.frozen_predictions(build)


def test_facts_of_a_run_exchanged_after_their_build_was_read(root: Path) -> None:
    build = kept.read_build(Layout(root, NAME), NUMBER)
    path = build.folder / kept.RUN
    path.write_bytes(path.read_bytes().replace(b'"by":"', b'"by":"x'))
    with pytest.raises(IntegrityError, match=r"run\.json was changed"):
        kept.run_facts(build)


def test_inside_a_block_a_file_has_the_bytes_of_its_first_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one")
    with reading_once():
        assert read_evidence(path) == b"one"
        path.write_bytes(b"two")
        with reading_once():
            assert read_evidence(path) == b"one"
        assert evidence_digests(path).sha256 == sha256(b"one")
    assert read_evidence(path) == b"two"
