"""Every kind of bad input: one clear message, its exit code, nothing changed, no traceback."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from lifecycle.cli.main import main

CLASSES = ["a", "b"]


def _matrix(n: int = 40, p: int = 6) -> pd.DataFrame:
    labels = [CLASSES[i % 2] for i in range(n)]
    table = pd.DataFrame({"sample": [f"s{i:02d}" for i in range(n)], "label": labels})
    for j in range(p):
        table[f"cg{j}"] = [round(0.1 + 0.8 * ((i * 7 + j * 3) % 11) / 11, 4) for i in range(n)]
    return table


def _params(**cohort: object) -> dict:
    source = {"source": "beta_matrix", "path": "beta.csv", "id": "sample", "label": "label"}
    return {
        "classifiers": {
            "c": {
                "version": "1",
                "title": "t",
                "task": "single",
                "classes": CLASSES,
                "cohort": {**source, **cohort},
                "frozen": {"fraction": 0.3},
                "split": {},
                "preprocess": {"features": 4},
                "model": {"hidden": [4]},
                "recipe": {"lr": 0.01, "l2": 0.0, "epochs": 1},
                "search": {},
                "tau": {"positive": "a"},
                "policy": {},
            }
        }
    }


def _save(folder: Path, document: dict) -> None:
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(document, file)


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good matrix, good parameters and two good prediction files."""
    _matrix().to_csv(tmp_path / "beta.csv", index=False)
    _save(tmp_path, _params())
    for name in ("one", "two"):
        rows = {"case_id": ["x", "y", "z"], "patient_id": ["p", "q", "r"]}
        scores = {"a": [0.9, 0.2, 0.6], "b": [0.1, 0.8, 0.4]}
        pd.DataFrame({**rows, **scores}).to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *commands: list[str]) -> tuple[int, str]:
    """Run commands one after the other; stop at the first that fails."""
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        if ended.value.code != 0:
            break
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.err + said.out


def _state(folder: Path) -> dict[str, bytes]:
    """All files but locks, which hold nothing."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("lock")
    }


DATA = (["data", "import", "c"],)
VALIDATE = (["data", "import", "c"], ["data", "validate", "c"])
COMPARE = (["consistency", "predictions", "one.csv", "two.csv", "--tau", "0.5"],)


@dataclass(frozen=True)
class Bad:
    """What is done to the ground, what is run, and what must come of it."""

    name: str
    spoil: Callable[[Path], object]
    commands: tuple[list[str], ...]
    code: int
    said: tuple[str, ...]


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    return lambda g: change(pd.read_csv(g / "beta.csv", dtype=str)).to_csv(
        g / "beta.csv", index=False
    )


def _cell(row: int, column: str, value: str) -> Callable[[Path], object]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return _table(change)


def _scores(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], object]:
    return lambda g: change(pd.read_csv(g / "two.csv")).to_csv(g / "two.csv", index=False)


def _score(row: int, column: str, value: object) -> Callable[[Path], object]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
        return table

    return _scores(change)


def _param(*keys: str, value: object) -> Callable[[Path], object]:
    def spoil(ground: Path) -> None:
        document = _params()
        place = document["classifiers"]["c"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        _save(ground, document)

    return spoil


def _torn(ground: Path) -> None:
    packed = gzip.compress((ground / "beta.csv").read_bytes())
    (ground / "beta.csv.gz").write_bytes(packed[: len(packed) // 2])
    _save(ground, _params(path="beta.csv.gz"))


def _semicolons(ground: Path) -> None:
    text = (ground / "beta.csv").read_text(encoding="utf-8")
    (ground / "beta.csv").write_text(text.replace(",", ";"), encoding="utf-8")
    _save(ground, _params(separator=","))


def _only(label: str, keep: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[table["label"] == label]
        return pd.concat([table[table["label"] != label], rows.head(keep)])

    return change


WALK = [
    Bad("missing file", lambda g: (g / "beta.csv").unlink(), DATA, 10, ("beta.csv",)),
    Bad("a folder", lambda g: _save(g, _params(path=".")), DATA, 10, ("folder",)),
    Bad("torn gzip", _torn, DATA, 10, ("beta.csv.gz",)),
    Bad("wrong separator", _semicolons, DATA, 10, ("beta.csv", ";")),
    Bad("empty file", lambda g: (g / "beta.csv").write_text(""), DATA, 10, ("beta.csv",)),
    Bad("bytes", lambda g: (g / "beta.csv").write_bytes(b"\xff\x00" * 9), DATA, 10, ("beta.csv",)),
    Bad("text for a number", _cell(3, "cg1", "high"), DATA, 10, ("line 5", "cg1", "high")),
    Bad("no such column", lambda g: _save(g, _params(label="class")), DATA, 10, ("class",)),
    Bad(
        "duplicate probe",
        _table(lambda t: t.rename(columns={"cg2": "cg1"})),
        DATA, 10, ("cg1",),
    ),
    Bad("duplicate case", _cell(3, "sample", "s00"), VALIDATE, 11, ("s00",)),
    Bad("beta over 1", _cell(3, "cg1", "1.2"), VALIDATE, 11, ("s03", "cg1", "1.2")),
    Bad("beta under 0", _cell(3, "cg1", "-0.1"), VALIDATE, 11, ("s03", "cg1", "-0.1")),
    Bad("infinite", _cell(3, "cg1", "inf"), VALIDATE, 10, ("cg1",)),
    Bad("unknown label", _cell(3, "label", "c"), VALIDATE, 11, ("s03", "'c'")),
    Bad("label with one case", _table(_only("b", 1)), VALIDATE, 11, ("b",)),
    Bad("label in one part only", _table(_only("b", 2)), VALIDATE, 11, ("b",)),
    Bad(
        "probe without values",
        _table(lambda t: t.assign(cg3="")),
        VALIDATE, 11, ("cg3",),
    ),
    Bad("unknown key", _param("recipe", "speed", value=1), DATA, 10, ("c.recipe.speed",)),
    Bad("wrong type", _param("recipe", "lr", value="x"), DATA, 10, ("c.recipe.lr",)),
    Bad("tau of a stranger", _param("tau", "positive", value="z"), DATA, 10, ("tau.positive",)),
    Bad("unknown mode", _param("recipe", "numerics", value={"mode": "best"}), DATA, 10, ("mode",)),
    Bad("no params", lambda g: (g / "params.yaml").unlink(), DATA, 10, ("params.yaml",)),
    Bad("nobody", lambda g: None, (["data", "import", "d"],), 2, ("'d'",)),
    Bad("no command", lambda g: None, (["fly"],), 2, ("fly",)),
    Bad("NaN score", _score(1, "a", float("nan")), COMPARE, 10, ("two.csv", "y", "'a'")),
    Bad("not a sum of 1", _score(1, "a", 0.7), COMPARE, 10, ("two.csv", "y")),
    Bad("negative score", _score(1, "a", -0.2), COMPARE, 10, ("two.csv", "y")),
    Bad("text score", _score(1, "a", "high"), COMPARE, 10, ("two.csv", "high")),
    Bad(
        "permuted classes",
        _scores(lambda t: t[["case_id", "patient_id", "b", "a"]]),
        COMPARE, 10, ("two.csv", "order"),
    ),
    Bad(
        "other classes",
        _scores(lambda t: t.rename(columns={"b": "c"})),
        COMPARE, 10, ("two.csv", "c"),
    ),
    Bad("a case missing", _scores(lambda t: t.head(2)), COMPARE, 10, ("z", "two.csv")),
    Bad("no case in common", _score(slice(None), "case_id", "w"), COMPARE, 10, ("two.csv",)),
    Bad("another patient", _score(1, "patient_id", "pp"), COMPARE, 10, ("y",)),
    Bad("no predictions", lambda g: (g / "two.csv").unlink(), COMPARE, 10, ("two.csv",)),
    Bad("no rows", _scores(lambda t: t.head(0)), COMPARE, 10, ("two.csv",)),
    Bad("tau 1.2", lambda g: None, ([*COMPARE[0][:-1], "1.2"],), 2, ("1.2",)),
    Bad("tau nan", lambda g: None, ([*COMPARE[0][:-1], "nan"],), 2, ("nan",)),
    Bad("loose tolerance", lambda g: None, ([*COMPARE[0], "--tolerance", "nan"],), 2, ("0.01",)),
    Bad("output over input", lambda g: None, ([*COMPARE[0], "--discordant", "one.csv"],),
        2, ("--discordant",)),
    Bad("the same file by another path", lambda g: None,
        ([*COMPARE[0][:2], "one.csv", "./one.csv", "--tau", "0.5"],), 2, ("twice",)),
    Bad("a patient in two spellings", _score(1, "patient_id", "q "), COMPARE, 10, ("blank",)),
    Bad("one file", lambda g: None, (["consistency", "predictions", "one.csv", "--tau", ".5"],),
        2, ("two",)),
]  # fmt: skip


@pytest.mark.parametrize("bad", WALK, ids=lambda bad: bad.name)
def test_bad_input(ground: Path, capsys: pytest.CaptureFixture[str], bad: Bad) -> None:
    bad.spoil(ground)
    before = _state(ground)
    code, said = _run(capsys, *bad.commands)
    assert code == bad.code, said
    for word in bad.said:
        assert word in said, said
    assert "Traceback" not in said
    assert len(said) < 2000
    after = _state(ground)
    assert {name: after[name] for name in before} == before
    made = {name for name in set(after) - set(before) if not name.startswith("work/")}
    assert made == set()


def test_too_few_probes(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lifecycle.errors import UnusableInputError
    from lifecycle.workflows.data import prepare_data
    from lifecycle.workflows.project import open_project

    _param("preprocess", "features", value=50)(ground)
    assert _run(capsys, *VALIDATE)[0] == 0
    with pytest.raises(UnusableInputError, match="50"):
        prepare_data(open_project("c"))
    assert not (ground / "work/c/prepared").exists()


def test_a_folder_that_cannot_be_written(
    ground: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write anywhere, so a file in the folder's place stands in for a read-only disk
    (ground / "work").write_text("", encoding="utf-8")
    code, said = _run(capsys, *DATA)
    assert code == 10
    assert "work" in said
    assert "Traceback" not in said


def test_a_full_disk_leaves_everything_as_it_was(
    ground: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(capsys, *DATA)[0] == 0
    before = _state(ground)
    table = _matrix()
    table["cg0"] = 0.5
    table.to_csv(ground / "beta.csv", index=False)
    before["beta.csv"] = (ground / "beta.csv").read_bytes()

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "fsync", lambda handle: full(None, "disk"))
    monkeypatch.setattr(Path, "rename", full)
    monkeypatch.setattr(Path, "replace", full)
    code, said = _run(capsys, *DATA)
    assert code == 10
    assert "No space left on device" in said
    assert {k: v for k, v in _state(ground).items() if "fault" not in k} == before


def test_a_fault_of_ours_goes_to_a_file(
    ground: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lifecycle.workflows.data.import_data", lambda project: {}["a secret detail"]
    )
    code, said = _run(capsys, *DATA)
    assert code == 70
    assert "Traceback" not in said
    files = list(ground.glob("lifecycle-fault-*.txt"))
    assert len(files) == 1
    assert "a secret detail" in files[0].read_text(encoding="utf-8")


def test_good_input_passes(ground: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, *VALIDATE)[0] == 0
    code, said = _run(capsys, *COMPARE)
    assert code == 21
    assert "no discordant case" in said
    shutil.rmtree(ground / "work")
