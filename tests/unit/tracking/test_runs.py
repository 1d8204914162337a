"""A build's run in a store of its own: what is logged, and what a later stage adds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.tracking.runs import (
    TABLE_ROWS,
    UNJUDGED,
    VERDICT_COLOURS,
    Addition,
    Dataset,
    Run,
    add_to_run,
    build_run,
)
from lifecycle.tracking.store import VIEW_METRICS, VIEW_TAGS, addresses, mlflow_at, saved_view

NAME = "wine"
LONG = "x" * 7000


def _dataset(part: str) -> Dataset:
    return Dataset(f"{NAME}/{part}", part, part * 12, 10, 4, "simulated")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def run_id(root: Path) -> str:
    """One finished build with two curves, two datasets and a model."""
    import torch

    params = {"recipe.lr": 0.01, "recipe.long": LONG}
    tags = {"classifier": NAME, "data.origin": "simulated"}
    with build_run(root, NAME, f"{NAME} 1", params, tags, root / "work" / "running.json") as run:
        for part in ("training", "holdout"):
            run.dataset(_dataset(part))
        for epoch in (1, 2, 3):
            run.epoch(epoch, {"training_loss": 1 / epoch})
            time.sleep(0.5)  # so that the machine is sampled
        example = np.ones((2, 4))
        run.model(torch.nn.Linear(4, 3).double(), example, np.ones((2, 3)))
        found = run.run_id
    return found


@pytest.fixture
def client(root: Path) -> Iterator[Any]:
    with mlflow_at(root) as mlflow:
        yield mlflow.MlflowClient()


def _artifact(client: Any, run_id: str, path: str, folder: Path) -> Any:
    return json.loads(Path(client.download_artifacts(run_id, path, str(folder))).read_bytes())


def test_a_run_has_tags_params_and_curves(client: Any, run_id: str) -> None:
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    # MLflow's table shows tags in this order
    assert next(iter(run.data.tags)) == "verdict" or run.data.tags["verdict"] == UNJUDGED
    assert run.data.tags["mlflow.runColor"] == VERDICT_COLOURS[""]
    assert run.data.params["recipe.lr"] == "0.01"
    assert run.data.params["recipe.long"].endswith("…") and len(run.data.params) == 2
    history = client.get_metric_history(run_id, "training_loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_the_machine_is_sampled_while_a_build_runs(client: Any, run_id: str) -> None:
    history = client.get_metric_history(run_id, "system/cpu_utilization_percentage")
    assert 1 <= len(history) < 20
    assert all(0 <= point.value <= 100 for point in history)
    assert any(point.value > 0 for point in history)
    assert "system/system_memory_usage_megabytes" in client.get_run(run_id).data.metrics


def test_the_experiment_has_a_banner_and_a_view(root: Path, client: Any, run_id: str) -> None:
    experiment = client.get_experiment_by_name(NAME)
    assert experiment.tags["mlflow.note.content"].startswith("**SIMULATED DATA.**")
    view = json.loads(experiment.tags["mlflow.sharedViewState.builds"])
    columns = json.loads(view["state"])["selectedColumns"]
    assert columns == [
        *(f"tags.`{name}`" for name in VIEW_TAGS),
        *(f"metrics.`{name}`" for name in VIEW_METRICS),
    ]
    assert addresses(root, "http://127.0.0.1:5000/") == {
        NAME: f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs"
        "?workflowType=machine_learning&viewStateShareKey=builds"
    }


def test_an_older_banner_and_view_are_brought_up_to_date(
    root: Path, client: Any, run_id: str
) -> None:
    experiment = client.get_experiment_by_name(NAME).experiment_id
    client.set_experiment_tag(experiment, "mlflow.sharedViewState.builds", "{}")
    client.set_experiment_tag(experiment, "mlflow.note.content", "before")
    with build_run(root, NAME, f"{NAME} 1", {}, {"data.origin": "real"}, root / "lock"):
        pass
    tags = client.get_experiment(experiment).tags
    assert tags["mlflow.sharedViewState.builds"] == saved_view()
    assert tags["mlflow.note.content"].startswith("**The column *verdict* decides")


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_build_that_breaks_is_failed_and_unjudged(
    root: Path, client: Any, error: BaseException
) -> None:
    lock = root / "work" / "broken.json"
    runs: list[Run] = []
    with (
        pytest.raises(type(error)),
        build_run(root, NAME, f"{NAME} 1", {}, {}, lock) as run,
    ):
        assert json.loads(lock.read_text())["run"] == run.run_id
        runs.append(run)
        raise error
    found = client.get_run(runs[0].run_id)
    assert found.info.status == "FAILED" and found.data.tags["verdict"] == UNJUDGED
    assert not lock.exists()


def _rows(n: int) -> Sequence[dict[str, object]]:
    return [{"case": f"a\u202e{i}", "b1": None, "n": i} for i in range(n)]


def _addition(tmp_path: Path) -> Addition:
    page = tmp_path / "report.html"
    page.write_text("<p>FAIL</p>", encoding="utf-8")
    return Addition(
        tags={"verdict": "FAIL ✖", "build": "b2", "odd": "a\u202eb"},
        metrics={"build_number": 2},
        measured={"holdout": {"holdout_accuracy": 0.75}, "frozen": {"frozen_discordant": 14}},
        datasets=[_dataset("frozen")],
        files=[(page, None)],
        texts={"verdict/VERDICT.md": "FAIL ✖ 14 of 285"},
        tables={"tables/discordant_cases.json": _rows(TABLE_ROWS + 5), "tables/none.json": []},
        name=f"{NAME} 1 b2",
        note="FAIL ✖ 14 of 285",
        model_note="FAIL ✖",
    )


def test_a_later_stage_adds_to_a_run(root: Path, client: Any, run_id: str, tmp_path: Path) -> None:
    for _ in range(2):  # a stage that runs again replaces what it said
        assert add_to_run(root, run_id, _addition(tmp_path))
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == f"{NAME} 1 b2"
    assert run.data.tags["verdict"] == "FAIL ✖" and run.data.tags["odd"] == "a\\u202eb"
    assert run.data.tags["mlflow.note.content"] == "FAIL ✖ 14 of 285"
    assert run.data.metrics["frozen_discordant"] == 14 and run.data.metrics["build_number"] == 2
    table = _artifact(client, run_id, "tables/discordant_cases.json", tmp_path)
    assert table["columns"] == ["case", "b1", "n"] and len(table["data"]) == TABLE_ROWS
    assert table["data"][1] == ["a\\u202e1", None, 1]
    assert _artifact(client, run_id, "tables/none.json", tmp_path) == {"columns": [], "data": []}
    marked = json.loads(run.data.tags["mlflow.loggedArtifacts"])
    assert {"path": "tables/discordant_cases.json", "type": "table"} in marked
    assert {one.path for one in client.list_artifacts(run_id)} == {
        "report.html", "tables", "verdict",
    }  # fmt: skip


def test_metrics_of_a_dataset_go_to_the_logged_model(
    root: Path, client: Any, run_id: str, tmp_path: Path
) -> None:
    assert add_to_run(root, run_id, _addition(tmp_path))
    run = client.get_run(run_id)
    inputs = {one.dataset.name for one in run.inputs.dataset_inputs}
    assert inputs == {f"{NAME}/training", f"{NAME}/holdout", f"{NAME}/frozen"}
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    found = {(one.key, one.dataset_name, one.value) for one in model.metrics}
    assert found == {
        ("holdout_accuracy", f"{NAME}/holdout", 0.75),
        ("frozen_discordant", f"{NAME}/frozen", 14.0),
    }
    assert model.tags["verdict"] == "FAIL ✖" and model.tags["mlflow.note.content"] == "FAIL ✖"


def test_a_run_that_the_store_does_not_know_is_no_error(root: Path, tmp_path: Path) -> None:
    assert not add_to_run(root, "0" * 32, _addition(tmp_path))
