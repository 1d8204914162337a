"""A signed release directory changed behind our back: found by `verify`, and the file is named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from release_site import Site, new_site, quiet_dvc, release, second_build

from lifecycle.errors import IntegrityError, LifecycleError
from lifecycle.workflows.auditing import Audit, verify

# The pipeline's own notes: `dvc status` watches over them, and no decision rests on them.
NOTES = ("current.json", "metrics.json")
BUILD = "dossier/wine/builds/b1"


@dataclass(frozen=True)
class Signed:
    """Two releases, a refusal, a withdrawal; every file of theirs, and what an auditor knows."""

    root: Path
    files: tuple[str, ...]
    audit: Audit

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def fault(self, head: str | None = None) -> str:
        """What `verify` holds against it, "" for nothing."""
        try:
            verify(self.root, "wine", head=head)
        except LifecycleError as error:
            assert isinstance(error, IntegrityError), error
            return str(error)
        return ""

    def only(self, folder: str, suffix: str) -> str:
        """The first file of a folder with a suffix."""
        return next(n for n in self.files if n.startswith(folder) and n.endswith(suffix))

    def records(self) -> list[str]:
        return [n for n in self.files if Path(n).parent.name == "releases"]


def _files(root: Path) -> Iterator[str]:
    for folder in ("dossier/wine", "dossier/_signers", "weights/wine"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.name not in (*NOTES, ".lock", ".gitignore"):
                yield path.relative_to(root).as_posix()


@pytest.fixture(scope="module")
def _site(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """b1 released, b2 (the same function elsewhere) released and withdrawn, b3 refused."""
    site = release(new_site(_built, tmp_path_factory.mktemp("signed")))
    with quiet_dvc():
        second_build(site)
        for user, meaning in (("two", "review"), ("app", "approval")):
            assert site.sign(user, meaning).code == 0
        second_build(site, weights=True)
        assert site.act("refuse", "app", "--reason", "other weights").code == 0
        assert (
            site.act("withdraw", "app", "--reason", "cannot be drawn on", "--build", "2").code == 0
        )
    return site


@pytest.fixture
def signed(_site: Site, tmp_path: Path) -> Signed:
    root = _site.copy(tmp_path / "project").root
    return Signed(root, tuple(_files(root)), verify(root, "wine"))


def test_what_is_signed_holds(signed: Signed) -> None:
    assert (signed.audit.records, signed.audit.verdicts) == (6, 3)
    kinds = {Path(name).name.split("-")[1] for name in signed.records()}
    assert kinds == {"sign", "refusal.json", "withdrawal.json"}
    assert len(signed.files) > 35
    assert signed.fault() == ""


# ---- each class of change


def _bit(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "one bit": _bit,
    "truncated": lambda data: data[:-1],
    "emptied": lambda data: b"",
    "one byte more": lambda data: data + b"\n",
    "doubled": lambda data: data + data,
}
CLASSES: dict[str, Callable[[Signed], str]] = {
    "first record": lambda s: s.records()[0],
    "newest record": lambda s: s.records()[-1],
    "refusal": lambda s: s.only("dossier/wine/releases", "refusal.json"),
    "first roster": lambda s: s.only("dossier/_signers", "00001.json"),
    "newest roster": lambda s: s.only("dossier/_signers", "00006.json"),
    "case: policy, tau and verdict": lambda s: s.only("dossier/wine/releases/cases", ".json"),
    "pin": lambda s: "dossier/wine/frozen.json",
    "build record": lambda s: f"{BUILD}/record.json",
    "who built": lambda s: f"{BUILD}/run.json",
    "predictions, frozen": lambda s: f"{BUILD}/frozen.parquet",
    "predictions, holdout": lambda s: f"{BUILD}/holdout.parquet",
    "split": lambda s: f"{BUILD}/parts.csv",
    "features": lambda s: f"{BUILD}/features.txt",
    "trace": lambda s: f"{BUILD}/trace.bin",
    "weights": lambda s: s.only("weights", ".safetensors"),
    "DVC's pointer": lambda s: s.only("weights", ".dvc"),
    "kept verdict": lambda s: "dossier/wine/verdicts/b1.json",
    "attempt": lambda s: s.only("dossier/wine/attempts", ".json"),
    "tau": lambda s: "dossier/wine/threshold.json",
}


@pytest.mark.parametrize("what", CLASSES)
def test_every_class_of_file_is_watched(signed: Signed, what: str) -> None:
    name = CLASSES[what](signed)
    data = signed.read(name)
    for how, change in CHANGES.items():
        (signed.root / name).write_bytes(change(data))
        assert Path(name).name in signed.fault(), how
    (signed.root / name).write_bytes(data)
    assert signed.fault() == ""


# What may go without notice: the newest record (the head from elsewhere finds that), and what a
# signed case has said already.
SPARE = ("threshold.json", ".dvc", "dossier/wine/verdicts/")


def test_every_deleted_file_is_missed(signed: Signed) -> None:
    spared = []
    for name in signed.files:
        data = signed.read(name)
        (signed.root / name).unlink()
        fault = signed.fault()
        if not fault:
            spared.append(name)
        elif "attempts" in name:
            assert "attempts" in fault
        else:
            assert _named(name, fault), (name, fault)
        (signed.root / name).write_bytes(data)
    newest = signed.records()[-1]
    assert newest in spared
    assert [n for n in spared if n != newest and not any(word in n for word in SPARE)] == []
    (signed.root / newest).unlink()
    assert "cut off" in signed.fault(head=str(signed.audit.head))


def _named(name: str, fault: str) -> bool:
    """The file itself, or where it stood: a record that is gone is named by its number."""
    path = Path(name)
    gone = path.parent.name in ("releases", "_signers") and path.name[:5] in fault
    return path.name in fault or path.stem in fault or gone


def test_a_chain_in_another_order_is_found(signed: Signed) -> None:
    records = signed.records()
    for one, two in pairwise(records):
        first, second = signed.read(one), signed.read(two)
        (signed.root / one).write_bytes(second)
        (signed.root / two).write_bytes(first)
        assert Path(one).name in signed.fault()
        (signed.root / one).write_bytes(first)
        (signed.root / two).write_bytes(second)
    assert signed.fault() == ""


def test_a_record_that_stands_twice_is_found(signed: Signed) -> None:
    for name in signed.records():
        again = signed.root / "dossier/wine/releases" / f"00007{Path(name).name[5:]}"
        shutil.copy(signed.root / name, again)
        assert again.name in signed.fault()
        again.unlink()


def test_an_older_valid_record_in_anothers_place_is_found(signed: Signed) -> None:
    first, *later = signed.records()
    for name in later:
        data = signed.read(name)
        (signed.root / name).write_bytes(signed.read(first))
        assert Path(name).name in signed.fault()
        (signed.root / name).write_bytes(data)


def test_an_older_valid_roster_is_found(signed: Signed) -> None:
    shutil.copy(
        signed.root / "dossier/_signers/00005.json", signed.root / "dossier/_signers/00006.json"
    )
    assert "00006.json" in signed.fault()
    (signed.root / "dossier/_signers/00006.json").unlink()
    assert "00006.json is missing" in signed.fault()


def test_evidence_of_another_build_is_found(signed: Signed) -> None:
    """Valid files of b3 in the place of b1's."""
    for name in ("record.json", "frozen.parquet", "holdout.parquet"):
        data = signed.read(f"{BUILD}/{name}")
        shutil.copy(signed.root / f"dossier/wine/builds/b3/{name}", signed.root / BUILD / name)
        assert f"b1/{name}" in signed.fault()
        (signed.root / BUILD / name).write_bytes(data)
    weights = [n for n in signed.files if n.endswith(".safetensors")]
    shutil.copy(signed.root / weights[0], signed.root / weights[1])
    assert weights[1] in signed.fault()


def test_a_case_with_other_tau_or_policy_is_found(signed: Signed) -> None:
    """Also where the file is given the name that its new content asks for."""
    name = signed.only("dossier/wine/releases/cases", ".json")
    case = signed.read(name)
    changed = case.replace(b'"p":0.9', b'"p":0.8', 1)
    assert changed != case
    (signed.root / name).write_bytes(changed)
    assert Path(name).name in signed.fault()


@pytest.mark.parametrize("place", ["releases", "releases/cases", "builds", "builds/b1", "attempts"])
def test_a_stranger_is_found(signed: Signed, place: str) -> None:
    stranger = signed.root / "dossier/wine" / place / "notes.txt"
    stranger.write_text("seen by nobody", encoding="utf-8")
    assert "notes.txt" in signed.fault()


@pytest.mark.parametrize("what", ["first record", "first roster", "case: policy, tau and verdict"])
def test_a_link_in_a_files_place_is_found(signed: Signed, what: str, tmp_path: Path) -> None:
    path = signed.root / CLASSES[what](signed)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert path.name in signed.fault()


# ---- random bits


def _missed(signed: Signed, flips: int, seed: int) -> list[tuple[str, int]]:
    """Flips that `verify` does not find, or lays at another file's door; each bit is as likely."""
    rng, missed = random.Random(seed), []
    sizes = [(signed.root / name).stat().st_size for name in signed.files]
    for name in rng.choices(signed.files, sizes, k=flips):
        data = bytearray(signed.read(name))
        bit = rng.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        with (signed.root / name).open("r+b") as file:
            kept = file.read()
            file.seek(0)
            file.write(data)
        if Path(name).name not in signed.fault():
            missed.append((name, bit))
        (signed.root / name).write_bytes(kept)
    return missed


def _missed_in_each(signed: Signed, flips: int, seed: int) -> list[tuple[str, int]]:
    """The same, with as many flips in every file, however small."""
    one_each = [Signed(signed.root, (name,), signed.audit) for name in signed.files]
    return [found for one in one_each for found in _missed(one, flips, seed)]


def test_a_bit_of_every_file_is_found(signed: Signed) -> None:
    assert _missed_in_each(signed, 1, 1) == []
    assert signed.fault() == ""


def test_100_random_bits_are_found(signed: Signed) -> None:
    assert _missed(signed, 100, 2) == []
    assert signed.fault() == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_500_random_bits_are_found(signed: Signed) -> None:
    assert _missed(signed, 500, 3) == []
    assert _missed_in_each(signed, 10, 4) == []
    assert signed.fault() == ""
