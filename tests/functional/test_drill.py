"""Recovery rehearsed: a new checkout, the same bits, a signed record; the rest is only read."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from releasing import PASSPHRASE, commit, key_of, released_copy
from support import environment, run_in

from lifecycle.dossier.predictions import read_parquet, write_parquet
from lifecycle.dossier.weights import packed, unpacked
from lifecycle.errors import ExitCode, SignOffRefusedError, UnusableInputError
from lifecycle.workflows import checkouts, drilling
from lifecycle.workflows.auditing import history, verify
from lifecycle.workflows.checkouts import link_outside, new_checkout
from lifecycle.workflows.project import open_project
from lifecycle.workflows.signing import sign


@pytest.fixture(scope="module")
def signed(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released_copy(_built, tmp_path_factory.mktemp("drilled") / "project")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the checkouts are made."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def rebuilt(signed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The stages of the checkout are not run: they give what the project's own stages gave."""
    places: list[Path] = []

    def instead(place: Path, name: str) -> None:
        places.append(place)
        for part in ("build", "predictions"):
            shutil.copytree(signed / "work" / name / part, place / "work" / name / part)

    monkeypatch.setattr(drilling, "_rebuild", instead)
    return places


def _state(project: Path) -> str:
    said = [
        subprocess.run(["git", *words], cwd=project, capture_output=True, text=True, check=True)
        for words in (["status", "--porcelain"], ["worktree", "list"], ["for-each-ref"])
    ]
    return "".join(one.stdout for one in said)


def test_the_same_bits_and_a_signed_record(
    signed: Path, temporary: Path, rebuilt: list[Path]
) -> None:
    before, project = _state(signed), open_project("wine", signed)
    done = drilling.drill(project)
    assert (done.code, done.facts["sameBits"], done.facts["figures"]) == (0, True, None)
    assert done.facts["weights"]["released"] == done.facts["weights"]["rebuilt"]
    assert done.facts["environment"] == {
        "lock": drilling._digest(signed / "requirements.lock"), "lockSame": True, "changed": [],
    }  # fmt: skip
    assert done.facts["seconds"] > 0
    assert _state(signed) == before
    assert rebuilt and not list(temporary.iterdir())
    link = sign(drilling.propose_drill(project, done), key_of(signed, "ada"), PASSPHRASE)
    try:
        assert link.record.drill == done.facts
        assert link.record.signature.meaning == "responsibility"
        assert dict(link.record.subjects) == dict(done.link.record.subjects)
        assert verify(signed, "wine").records == 3
        last = list(history(signed, "wine"))[-1]
        assert (last["kind"], last["build"]) == ("drill", "b1")
        assert "the same bits" in last["reason"]
    finally:
        link.path.unlink()


def test_what_dvc_keeps_is_pulled_from_a_folder_beside_the_project(
    signed: Path, rebuilt: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "here" / "project"
    shutil.copytree(signed, folder, symlinks=True)
    for words in (["remote", "add", "-q", "lab", "../store"], ["push", "-q", "-r", "lab", "-R"]):
        done = run_in(folder, "dvc", *words, *(["weights"] if words[0] == "push" else []))
        assert done.returncode == 0, done.stderr
    weights = next((folder / "weights/wine").glob("*.safetensors"))
    weights.unlink()  # the disaster: here they are gone, and so is the cache
    shutil.rmtree(folder / ".dvc/cache")
    facts = drilling.drill(open_project("wine", folder)).facts
    name = weights.relative_to(folder).as_posix()
    assert facts["data"] == {"remotes": ["lab"], "pulled": [name], "fromSource": [], "missing": []}


def test_an_exact_build_with_another_bit_ends_in_12(
    signed: Path, rebuilt: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = drilling._rebuild

    def instead(place: Path, name: str) -> None:
        copied(place, name)
        path = place / "work/wine/build/weights.safetensors"
        tensors = {name: value.copy() for name, value in unpacked(path.read_bytes()).items()}
        first = next(iter(tensors.values()))
        first.flat[0] = np.nextafter(first.flat[0], 9.0)
        path.write_bytes(packed(tensors))

    monkeypatch.setattr(drilling, "_rebuild", instead)
    done = drilling.drill(open_project("wine", signed))
    assert done.code == ExitCode.INTEGRITY
    assert done.facts["same"] == {"weights": False, "frozen": True, "holdout": True}
    assert "arithmetic or environment fault" in done.said
    assert done.facts["figures"]["D"] == 0
    # a build that never promised the same bits is judged by its calls
    monkeypatch.setattr(drilling, "_is_exact", lambda build: False)
    assert (
        drilling.drill(open_project("wine", signed)).code == drilling._CODES[done.facts["status"]]
    )
    assert done.facts["status"] in ("pass", "inconclusive")


def test_other_calls_are_counted_and_fail(
    signed: Path, rebuilt: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = drilling._rebuild

    def instead(place: Path, name: str) -> None:
        copied(place, name)
        path = place / "work/wine/predictions/frozen.parquet"
        found = read_parquet(path)
        found.scores[:] = found.scores[:, [1, 2, 0]].copy()
        write_parquet(path, found)

    monkeypatch.setattr(drilling, "_rebuild", instead)
    monkeypatch.setattr(drilling, "_is_exact", lambda build: False)
    done = drilling.drill(open_project("wine", signed))
    figures = done.facts["figures"]
    assert done.code == ExitCode.VERDICT_FAIL
    assert figures["D"] == figures["R"] > 0
    assert len(figures["discordant"]) == figures["D"]


def test_a_failed_recovery_says_so_and_leaves_nothing(
    signed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _state(signed)
    monkeypatch.setattr(drilling, "_REBUILD", "raise SystemExit(11)")
    with pytest.raises(UnusableInputError, match=r"exit code 11.*nothing was signed"):
        drilling.drill(open_project("wine", signed))
    assert _state(signed) == before
    assert not list(temporary.iterdir())


def test_without_a_release_or_its_commit_there_is_no_drill(
    built: Path, signed: Path, temporary: Path, tmp_path: Path
) -> None:
    with pytest.raises(SignOffRefusedError, match="released is nothing"):
        drilling.drill(open_project("wine", built))
    folder = tmp_path / "project"
    shutil.copytree(signed, folder, symlinks=True)
    for words in (["reset", "-q", "--soft", "HEAD~1"], ["reset", "-q"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    with pytest.raises(UnusableInputError, match="is in no commit"):
        drilling.drill(open_project("wine", folder))
    with pytest.raises(UnusableInputError, match="no key file"):
        drilling.require_signer(open_project("wine", signed), tmp_path / "nobody.pem")


def test_what_git_does_not_hold_is_found_at_its_place(tmp_path: Path) -> None:
    root, place = tmp_path / "lab" / "project", tmp_path / "new" / "up" / "checkout"
    for folder in (root, place, tmp_path / "lab" / "data"):
        folder.mkdir(parents=True)
    (tmp_path / "lab/data/x.csv").write_text("outside")
    (root / "inside.csv").write_text("inside")
    (root / "kept.csv").write_text("here")
    (place / "kept.csv").write_text("there")
    linked = link_outside(place, root, ["../data/x.csv", "inside.csv", "kept.csv", "inside.csv"])
    assert linked == ["../data/x.csv", "inside.csv"]
    assert (place / "../data/x.csv").resolve().read_text() == "outside"
    assert (place / "inside.csv").read_text() == "inside"
    assert (place / "kept.csv").read_text() == "there"
    with pytest.raises(UnusableInputError, match=r"gone\.csv is neither in git"):
        link_outside(place, root, ["gone.csv"])


def test_the_checkout_is_deep_enough_and_of_the_commit(signed: Path, temporary: Path) -> None:
    first = checkouts.git(signed, "rev-list", "--max-parents=0", "HEAD")
    with new_checkout(signed, first, ["../../data/x.csv"]) as place:
        assert place.relative_to(temporary.resolve()).parts[1:] == ("up", "up", "checkout")
        assert checkouts.git(place, "rev-parse", "HEAD") == first
        assert not (place / "dossier/wine/releases").exists()
    assert not list(temporary.iterdir())
    with (
        pytest.raises(UnusableInputError, match="git checkout"),
        new_checkout(signed, "0" * 40, []),
    ):
        pass
    assert not list(temporary.iterdir())


def test_the_remains_of_a_killed_drill_go_and_a_running_one_stays(
    signed: Path, temporary: Path
) -> None:
    for name in ("dead", "alive", "strange"):
        (temporary / f"{checkouts.PREFIX}{name}").mkdir()
    for name in ("dead", "alive"):
        (temporary / f"{checkouts.PREFIX}{name}" / checkouts.HELD).touch()
    with (temporary / f"{checkouts.PREFIX}alive" / checkouts.HELD).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        checkouts._sweep()
    left = sorted(path.name.removeprefix(checkouts.PREFIX) for path in temporary.iterdir())
    assert left == ["alive", "strange"]


def test_a_terminated_drill_leaves_nothing_and_no_child(signed: Path, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    mark = tmp_path / "child"
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from lifecycle.workflows.checkouts import *\n"
        f"with new_checkout(Path({str(signed)!r}), 'HEAD', []) as place:\n"
        '    run_here(place, \'import os, sys, time; open(sys.argv[1], "w")'
        ".write(str(os.getpid())); time.sleep(60)', "
        f"{str(mark)!r})\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(TMPDIR=str(place)), stderr=subprocess.PIPE
    )
    end = time.monotonic() + 60
    while not (mark.exists() and mark.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    grandchild = int(mark.read_text())
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said
    assert not list(place.iterdir())
    assert not Path(f"/proc/{grandchild}").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_drill_gives_the_same_digest(signed: Path, tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "here" / "project"
    shutil.copytree(signed, folder, symlinks=True)
    store = tmp_path / "store"
    for words in (
        ["remote", "add", "-q", "-d", "lab", str(store)],
        ["push", "-q", "-R", "weights"],
    ):
        done = run_in(folder, "dvc", *words)
        assert done.returncode == 0, done.stderr
    before = _state(folder)
    key = key_of(signed, "ada")
    done = run_in(
        folder, "lifecycle", "release", "drill", "wine", "--json", "--yes", "--key", str(key),
        TMPDIR=str(temporary), LIFECYCLE_PASSPHRASE=PASSPHRASE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["sameBits"] is True
    assert facts["weights"]["rebuilt"] == facts["weights"]["released"]
    assert facts["data"]["remotes"] == ["lab"]
    assert len(facts["data"]["pulled"]) == 1 and not facts["data"]["missing"]
    assert facts["commit"] == checkouts.git(folder, "rev-parse", "HEAD")
    assert "Running stage 'build@wine'" in done.stderr
    assert not list(temporary.glob(f"{checkouts.PREFIX}*"))  # torch leaves a cache of its own
    after = _state(folder)
    assert after.replace("?? dossier/wine/releases/00003-drill.json\n", "") == before
    commit(folder, "drilled")
    assert verify(folder, "wine").records == 3
