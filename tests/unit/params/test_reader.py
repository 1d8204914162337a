from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lifecycle.domain.networks import ConformerPlan, ResidualPlan
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.params.reader import load, load_one

ROOT = Path(__file__).resolve().parents[3]


def _shipped() -> dict:
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def _write(folder: Path, document: object) -> Path:
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(document, file)
    return folder


def test_the_shipped_file_is_read() -> None:
    found = load(ROOT)
    assert list(found) == ["gbm-methylation", "breast-cytology", "ecg-baseline", "ecg-conformer"]
    assert len(found["gbm-methylation"].classes) == 7
    assert found["gbm-methylation"].recipe.lr == 0.0094
    assert found["breast-cytology"].frozen.fraction == 0.25
    assert found["ecg-baseline"].model == ResidualPlan(
        kind="ecg-baseline", widths=(16, 32, 48), blocks=(1, 1, 1), dropout=(0.2, 0.1)
    )
    assert isinstance(found["ecg-conformer"].model, ConformerPlan)
    assert found["ecg-conformer"].split.folds == ("9",)


def test_the_template_engine_reads_the_same_numbers(tmp_path: Path) -> None:
    # YAML 1.1 would read 1e-3 as text; DVC and we must agree on 1.2
    document = _shipped()
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("0.0094", "94e-4")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert (
        load(tmp_path)["breast-cytology"].recipe.lr
        == document["classifiers"]["breast-cytology"]["recipe"]["lr"]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(colour="red"), "classifiers.breast-cytology.colour: unknown key"),
        (lambda s: s["policy"].update(unit="component"), "frozen cases names no `group`: name"),
        (lambda s: s["recipe"].update(lr="fast"), "classifiers.breast-cytology.recipe.lr"),
        (lambda s: s["recipe"].update(lr=-1.0), "recipe.lr: input should be greater than 0"),
        (lambda s: s["recipe"].pop("epochs"), "recipe.epochs: missing"),
        (lambda s: s["recipe"].update(epochs=1.5), "recipe.epochs"),
        (lambda s: s["recipe"].update(lr=float("inf")), "recipe.lr"),
        (lambda s: s["model"].update(hidden=[10**12]), "model.hidden"),
        (lambda s: s.update(frozen={"folds": []}, split={"folds": ["9"]}), "frozen.folds"),
        (lambda s: s["recipe"]["numerics"].update(mode="precise"), "recipe.numerics.mode"),
        (lambda s: s["recipe"]["numerics"].update(dtype="float32"), "`mode: exact` computes in"),
        (lambda s: s["recipe"]["numerics"].update(slices=5), "recipe.numerics.slices"),
        (
            lambda s: s["recipe"].update(numerics={"mode": "native", "slices": 2}),
            "belongs to `mode",
        ),
        (lambda s: s["recipe"].update(init="torch"), "cannot keep the bits of `init: torch`"),
        (lambda s: s["recipe"].update(schedule="cosine", stop="best-holdout"), "needs `stop: fix"),
        (lambda s: s["recipe"].update(warm_up=16), "`warm_up` must be shorter"),
        (lambda s: s["tau"].update(positive="nobody"), "'nobody', which is not in `classes`"),
        (lambda s: s["policy"].update(p=1.5), "policy.p"),
        (lambda s: s["policy"].update(critical=["x"]), "policy.critical"),
        (lambda s: s.update(classes=["a", "a"]), "names a class twice"),
        (lambda s: s.update(classes=["a"]), "classes"),
        (lambda s: s.update(version="../1"), "`version` '../1'"),
        (lambda s: s.update(version="1/2"), "`version` '1/2'"),
        (lambda s: s.update(classes=["a|b", "c"]), "class 'a|b'"),
        (lambda s: s.update(classes=["a\u202eb", "c"]), "cannot be printed"),
        (lambda s: s.update(classes=["case_id", "c"]), "has this name"),
        (lambda s: s.update(classes=["none", "c"]), "class 'none': a case without a class is"),
        (lambda s: s.update(classes=["a", "Inconclusive"]), "class 'Inconclusive': a case without"),
        (lambda s: s.update(classes=["e\u0301", "c"]), "NFC"),
        (lambda s: s.update(frozen={}), "exactly one of `fraction`, `folds` and `source`"),
        (lambda s: s.update(version=1.0), "classifiers.breast-cytology.version"),
        (lambda s: s["split"].update(holdout=True), "split.holdout"),
    ],
)
def test_a_fault_is_named_with_its_section(tmp_path: Path, change, said: str) -> None:
    document = _shipped()
    change(document["classifiers"]["breast-cytology"])
    with pytest.raises(UnusableInputError) as caught:
        load(_write(tmp_path, document))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "model", "lines"),
    [
        ("ecg-baseline", {"kind": "ecg-baseline", "heads": 4}, ["model.heads: unknown key"]),
        ("ecg-baseline", {"kind": "ecg-baseline", "hidden": [8]}, ["model.hidden: unknown key"]),
        ("ecg-conformer", {"kind": "ecg-conformer", "widths": [8]}, ["model.widths: unknown key"]),
        ("breast-cytology", {"kind": "mlp", "heads": 4}, ["model.heads: unknown key"]),
        ("breast-cytology", {"stem_stride": 1}, ["model.stem_stride: unknown key"]),
        (
            "ecg-conformer",
            {"kind": "ecg-conformer", "heads": 0, "dropout": 1.0},
            ["model.heads: input should be greater", "model.dropout: input should be less than 1"],
        ),
        ("ecg-baseline", {"kind": "ecg-baseline", "blocks": [1]}, ["must be of one length"]),
        ("ecg-conformer", {"kind": "ecg-conformer", "heads": 3}, ["a multiple of `heads`"]),
        ("ecg-conformer", {"kind": "ecg-conformer", "kernel": 4}, ["`kernel` must be odd"]),
        (
            "breast-cytology",
            {"kind": "tree"},
            ["model.kind: no network is of kind 'tree'; known"],
        ),
        ("breast-cytology", {"kind": ["mlp"]}, ["model.kind: no network is of kind ['mlp']"]),
        ("breast-cytology", {"kind": None, "heads": 1}, ["model.kind: no network is of kind None"]),
        ("breast-cytology", {"kind": "logistic", "hidden": [8]}, ["model.hidden: unknown key"]),
        ("ecg-baseline", {"kind": "logistic"}, ["cannot learn from `cohort.measures: ecg`"]),
        ("breast-cytology", {"kind": "ecg-baseline"}, ["cannot learn from `cohort.measures"]),
        ("ecg-baseline", {"kind": "mlp"}, ["`model.kind: mlp` cannot learn"]),
    ],
)
def test_faults_of_a_model_are_those_of_its_kind(
    tmp_path: Path, name: str, model: dict, lines: list[str]
) -> None:
    document = _shipped()
    document["classifiers"][name]["model"] = model
    with pytest.raises(UnusableInputError) as caught:
        load_one(_write(tmp_path, document), name)
    told = str(caught.value).splitlines()
    assert len(told) == len(lines), told  # and nothing of the kinds that were not meant
    for line, said in zip(told, lines, strict=True):
        assert line.startswith(f"params.yaml: classifiers.{name}")
        assert said in line
        assert "Plan" not in line


def test_several_faults_are_all_named(tmp_path: Path) -> None:
    document = _shipped()
    document["classifiers"]["breast-cytology"]["recipe"].update(lr=0, epochs=0)
    with pytest.raises(UnusableInputError) as caught:
        load(_write(tmp_path, document))
    assert "recipe.lr" in str(caught.value)
    assert "recipe.epochs" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "classifiers: {a: &x {b: 1}, c: *x}",
        "a: 2020-99-99",
        "a: !!int abc",
        "",
        "classifiers:",
        "classifiers: [1]",
        "a: [",
        "classifiers: {A.b: {}}",
        "other: 1",
        "\x00",
    ],
)
def test_what_is_no_params_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UnusableInputError, match=r"params\.yaml"):
        load(tmp_path)


def test_a_missing_file_and_a_missing_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"no params\.yaml"):
        load(tmp_path)
    with pytest.raises(UsageError, match="there are: gbm-methylation, breast-cytology"):
        load_one(ROOT, "nobody")


def test_a_faulty_section_does_not_stop_the_others(tmp_path: Path) -> None:
    document = _shipped()
    document["classifiers"]["gbm-methylation"]["recipe"]["lr"] = "x"
    assert load_one(_write(tmp_path, document), "breast-cytology").version == "1.0.0"
