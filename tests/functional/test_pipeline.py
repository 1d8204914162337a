"""The main job on a small project, through DVC, as a user runs it."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import environment, run_in

from lifecycle.cohorts.store import read


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _stages(output: str) -> set[str]:
    return {s for s in re.findall(r"Running stage '([^']+)'", output) if "surroundings" not in s}


def _edit(project: Path, old: str, new: str) -> None:
    path = project / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _runs(project: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(project / "mlflow.db") as store:
        return store.execute("select name, status from runs order by start_time").fetchall()


def test_every_classifier_is_judged_and_tracked(built: Path) -> None:
    for name in ("wine", "tiny-beta"):
        verdict = _json(built / "dossier" / name / "verdicts" / "b1.json")
        assert verdict["basis"] == "first build"
        assert verdict["status"] in ("pass", "fail", "inconclusive")
        record = _json(built / "dossier" / name / "builds" / "b1" / "record.json")["content"]
        stem = record["weights"]["file"]
        assert (built / "weights" / name / f"{stem}.safetensors.dvc").is_file()
        assert (built / "work" / name / "report" / "report.html").is_file()
        assert (built / "work" / name / "validation" / "data_docs" / "index.html").is_file()
    assert sorted(_runs(built)) == [("tiny-beta 1 b1", "FINISHED"), ("wine 1 b1", "FINISHED")]
    with sqlite3.connect(built / "mlflow.db") as store:
        tags = dict(store.execute("select key || run_uuid, value from tags").fetchall())
        contexts = store.execute("select value from input_tags where name like '%context%'")
        assert {row[0] for row in contexts} >= {"training", "holdout"}
    assert any(key.startswith("verdict.code") for key in tags)
    assert any(key.startswith("digest.weights") for key in tags)
    assert any(key.startswith("digest.pin") for key in tags)


def test_the_run_is_bound_to_a_commit_and_a_clean_tree(built: Path) -> None:
    run = _json(built / "dossier" / "wine" / "builds" / "b1" / "run.json")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=built, capture_output=True, text=True, check=True
    )
    assert run["commit"] == head.stdout.strip()
    assert run["clean"] is True


def test_doing_it_again_runs_nothing(project: Path) -> None:
    done = run_in(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr
    assert _stages(done.stdout) == set()
    assert run_in(project, "dvc", "status", "-q", "dvc.yaml").returncode == 0


def test_metrics_and_plots_say_something(project: Path) -> None:
    shown = run_in(project, "dvc", "metrics", "show", "--json")
    values = json.loads(shown.stdout)[""]["data"]
    assert {"dossier/wine/metrics.json", "dossier/tiny-beta/metrics.json"} <= set(values)
    plots = run_in(project, "dvc", "plots", "show", "-o", "plots")
    assert plots.returncode == 0, plots.stderr
    assert "holdout_curve_csv" in (project / "plots" / "index.html").read_text(encoding="utf-8")


def test_a_policy_edit_does_not_train(project: Path) -> None:
    _edit(project, "policy: {p: 0.9,", "policy: {p: 0.89,")
    done = run_in(project, "dvc", "repro")
    assert _stages(done.stdout) <= {"compare@wine", "gate@wine", "report@wine"}
    assert "gate@wine" in _stages(done.stdout)
    judged = run_in(project, "lifecycle", "gate", "wine", "--json")
    ages = [f for f in json.loads(judged.stdout)["findings"] if f["criterion"] == "policy.age"]
    assert ages[0]["status"] == "inconclusive"
    assert judged.returncode == 21


@pytest.mark.slow
def test_a_changed_term_needs_a_new_version(project: Path) -> None:
    _edit(project, "epochs: 12", "epochs: 13")
    refused = run_in(project, "lifecycle", "rebuild", "wine")
    assert refused.returncode == 10
    assert "recipe.epochs: 12 -> 13" in refused.stderr
    _edit(project, 'version: "1"', 'version: "2"')
    done = run_in(project, "dvc", "repro", "enrol@wine", "enrol@tiny-beta")
    assert done.returncode == 0, done.stderr
    assert "build@wine" in _stages(done.stdout)
    assert not any("tiny-beta" in stage for stage in _stages(done.stdout))
    current = _json(project / "dossier/wine/current.json")
    assert (current["build"], current["version"]) == (2, "2")
    assert len(_json(project / "dossier/wine/frozen.json")["pins"]) == 2


@pytest.mark.slow
def test_another_environment_makes_b2_and_back_again_b1(project: Path) -> None:
    done = run_in(project, "dvc", "repro", "gate@wine", ATEN_CPU_CAPABILITY="default")
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = _json(project / "dossier/wine/verdicts/b2.json")
    assert verdict["basis"] == "identity"  # another machine, the same bits
    records = [_json(project / f"dossier/wine/builds/b{n}/record.json")["content"] for n in (1, 2)]
    assert records[0]["weights"] == records[1]["weights"]
    assert records[0]["environment"] != records[1]["environment"]
    assert len(list((project / "dossier/wine/attempts").iterdir())) == 1
    comparison = _json(project / "work/wine/comparison/agreement.json")
    assert comparison["agreement"]["names"] == ["b1", "b2"]
    text = run_in(project, "lifecycle", "consistency", "builds", "wine").stdout
    assert "2 builds, 7" in text
    first = (project / "dossier/wine/verdicts/b1.json").read_bytes()
    back = run_in(project, "dvc", "repro", "gate@wine")
    assert back.returncode == 0, back.stdout + back.stderr
    assert _json(project / "dossier/wine/current.json")["build"] == 1
    assert (project / "dossier/wine/verdicts/b1.json").read_bytes() == first
    assert sorted(p.name for p in (project / "dossier/wine/builds").iterdir()) == ["b1", "b2"]


def test_one_fingerprint_gives_one_digest(project: Path) -> None:
    before = _json(project / "dossier/wine/builds/b1/record.json")["content"]["weights"]
    again = [f"{stage}@wine" for stage in ("prepare", "build", "predict", "enrol")]
    done = run_in(project, "dvc", "repro", "--force", "--single-item", *again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _stages(done.stdout) == set(again)
    facts = _json(project / "work/wine/build/facts.json")
    assert {key: before[key] for key in ("md5", "sha256")} == facts["weights"]
    assert [p.name for p in (project / "dossier/wine/builds").iterdir()] == ["b1"]
    assert len(_runs(project)) == 3


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("predict", ["python", "-m", "pipelines.predict", "wine"]),
        ("compare", ["python", "-m", "pipelines.compare", "wine"]),
        ("gate", ["lifecycle", "gate", "wine"]),
        ("verify", ["lifecycle", "frozen", "verify", "wine"]),
    ],
)
def test_one_changed_byte_of_the_frozen_set_stops(
    project: Path, stage: str, command: list[str]
) -> None:
    case = next(iter(_json(project / "dossier/wine/frozen.json")["pins"][0]["cases"]))
    row = read(project / "work/wine/cohort/main").ids.index(case)
    path = project / "work/wine/cohort/main/measurements.npy"
    data = bytearray(path.read_bytes())
    data[len(data) - (178 - row) * 13 * 8 + 3] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    done = run_in(project, *command)
    assert done.returncode == 12, (stage, done.stdout, done.stderr)
    assert case in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "place",
    [
        "dossier/wine/builds/b1/frozen.parquet",
        "dossier/wine/builds/b1/record.json",
        "dossier/wine/frozen.json",
        "dossier/wine/threshold.json",
        "work/wine/comparison/agreement.json",
    ],
)
def test_a_flipped_bit_in_the_evidence_is_never_a_pass(project: Path, place: str) -> None:
    path = project / place
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    done = run_in(project, "lifecycle", "gate", "wine")
    assert done.returncode == 12, (done.stdout, done.stderr)
    assert Path(place).name in done.stderr or "b1" in done.stderr


@contextmanager
def _long_build(project: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """DVC in the middle of a training that would take hours; and the running build's lock."""
    lock = project / "work" / "tiny-beta" / "running.json"
    before = lock.read_bytes() if lock.exists() else b""
    with subprocess.Popen(
        ["dvc", "repro", "build@tiny-beta"], cwd=project, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as dvc:  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError):
                if lock.read_bytes() not in (b"", before):
                    break
            time.sleep(0.2)
        yield dvc, lock


def _own_runs(project: Path) -> list[str]:
    return [status for name, status in _runs(project) if name.startswith("tiny-beta 2")]


def test_a_killed_or_terminated_build_leaves_a_failed_run_and_heals(project: Path) -> None:
    _edit(project, "epochs: 6,", "epochs: 400000,")
    _edit(project, '  tiny-beta:\n    version: "1"', '  tiny-beta:\n    version: "2"')
    with _long_build(project) as (dvc, lock):
        pid = int(_json(lock)["pid"])
        subprocess.run(["kill", "-9", str(pid)], check=True)
        dvc.wait(timeout=60)
    assert _own_runs(project) == ["RUNNING"]
    with _long_build(project) as (dvc, lock):
        dvc.kill()  # the stage must not outlive it
        dvc.wait(timeout=60)
    deadline = time.monotonic() + 60
    while lock.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not lock.exists()
    assert _own_runs(project)[-1] == "FAILED"
    before = sorted((project / "dossier/tiny-beta/builds").iterdir())
    _edit(project, "epochs: 400000,", "epochs: 5,")
    done = run_in(project, "lifecycle", "build", "tiny-beta")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _own_runs(project) == ["FAILED", "FAILED", "FINISHED"]
    assert len(list((project / "dossier/tiny-beta/builds").iterdir())) == len(before) + 1
