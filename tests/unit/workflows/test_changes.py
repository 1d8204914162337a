"""What differs between two builds, read from git and from their records."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lifecycle.workflows.changes import _code, _differing


def _git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    (tmp_path / "notes.txt").write_text("x\n")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def _commit(root: Path, said: str) -> str:
    _git(root, "add", "-A")
    _git(root, "commit", "-qm", said)
    return _git(root, "rev-parse", "HEAD")


def test_commits_and_files_between_two_builds(repository: Path) -> None:
    before = _git(repository, "rev-parse", "HEAD")
    (repository / "params.yaml").write_text("a: 2\nb: 3\n")
    (repository / "notes.txt").write_text("not of the product\n")
    after = _commit(repository, "a rate of <2>")
    lines = list(_code(repository, {"commit": before}, {"commit": after}))
    assert lines[0].startswith("commit ") and "1 between them" in lines[0]
    assert lines[1].endswith("a rate of <2>")
    assert lines[2:] == ["params.yaml: 2 lines more, 1 less"]


def test_a_long_way_is_cut_and_said(repository: Path) -> None:
    before = _git(repository, "rev-parse", "HEAD")
    (repository / "lifecycle").mkdir()
    for k in range(15):
        (repository / "lifecycle" / f"f{k:02d}.py").write_text("x\n")
        after = _commit(repository, f"step {k}")
    lines = list(_code(repository, {"commit": before}, {"commit": after}))
    assert any(line.startswith("and 3 more: git log") for line in lines)
    assert any(line.startswith("and 3 more files: git diff") for line in lines)


def test_what_git_cannot_say_is_said(repository: Path) -> None:
    here = _git(repository, "rev-parse", "HEAD")
    assert list(_code(repository, {"commit": here}, {"commit": here})) == []
    (line,) = _code(repository, {"commit": "0" * 40}, {"commit": here})
    assert "this clone does not have both" in line
    (line,) = _code(repository, {"commit": ""}, {"commit": here})
    assert "without git" in line
    lines = list(
        _code(repository, {"commit": here, "clean": True}, {"commit": here, "clean": False})
    )
    assert lines == ["this build was made from a tree with changes that are in no commit"]


def test_values_that_differ() -> None:
    old = {"recipe": {"lr": 0.1, "stop": "fixed"}, "sha": "a" * 64, "gone": 1}
    new = {"recipe": {"lr": 0.2, "stop": "fixed"}, "sha": "b" * 64, "more": []}
    assert _differing(old, new) == [
        "gone: 1 -> -",
        "more: - -> []",
        "recipe.lr: 0.1 -> 0.2",
        "sha: aaaaaaaaaaaa -> bbbbbbbbbbbb",
    ]
