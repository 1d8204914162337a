"""`lifecycle rehearse` on small projects: evidence for the gate, a planted fault, looks, a stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import environment, every_flip, run_in

# These run on any x86 machine, one without compiled kernels; none compiles them for another one.
PROFILES = ("old-blas-2", "uncompiled-1")
# One bit of one weight, wherever the old BLAS is asked for.
FAULT = """

_right = tensors_of


def tensors_of(model):
    import os

    found = _right(model)
    if os.environ.get("OPENBLAS_CORETYPE") == "Prescott":
        first = next(iter(found.values()))
        first.flat[0] = np.nextafter(first.flat[0], 9.0)
    return found
"""


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _findings(project: Path) -> dict[str, dict[str, Any]]:
    done = run_in(project, "lifecycle", "gate", "wine", "--json")
    assert done.returncode in (0, 20, 21), done.stderr
    return {found["criterion"]: found for found in json.loads(done.stdout)["findings"]}


def _rehearse(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_in(project, "lifecycle", "rehearse", "wine", "--jobs", "2", *options)


def test_exact_profiles_give_one_digest_and_the_gate_asks_for_them(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("policy: {p: 0.9,", "policy: {rehearsals: 2, p: 0.9,"), "utf-8")
    assert _json(project / "work/rehearsals/wine.json") is None
    assert _findings(project)["rehearsals"]["status"] == "inconclusive"

    done = _rehearse(project, "--profiles", ",".join(PROFILES), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(done.stdout)
    assert [profile["name"] for profile in run["profiles"]] == list(PROFILES)
    weights = _json(project / "dossier/wine/builds/b1/record.json")["content"]["weights"]["sha256"]
    assert {profile["weights"]["sha256"] for profile in run["profiles"]} == {weights}
    assert run["mode"] == "exact"
    assert len({profile["scores"]["frozen"] for profile in run["profiles"]}) == 1
    assert len(run["traces"]) == 1 and run["worst"]["any_epoch"] == 0
    kernels = {profile["seen"]["openblas_kernels"] for profile in run["profiles"]}
    assert len(kernels) == 2  # they did compute in different ways
    assert not list((project / "work/wine/rehearsal").rglob("*.safetensors"))

    again = run_in(project, "dvc", "repro", "gate@wine")
    assert "Running stage 'gate@wine'" in again.stdout
    assert "Running stage 'build@wine'" not in again.stdout
    verdict = _json(project / "dossier/wine/verdicts/b1.json")
    found = {finding["criterion"]: finding for finding in verdict["findings"]}
    assert (found["rehearsals"]["status"], found["rehearsals"]["figure"]) == ("pass", 2.0)

    _a_planted_fault_is_found(project)
    _a_changed_bit_is_found(project)


def _a_planted_fault_is_found(project: Path) -> None:
    models = project / "lifecycle" / "models" / "build.py"
    models.write_text(models.read_text(encoding="utf-8") + FAULT, encoding="utf-8")
    done = _rehearse(project, "--profiles", "old-blas-2")
    assert done.returncode == 12, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.lstrip().startswith("old-blas-2")]
    assert "DIFFERS" in line
    found = _findings(project)
    assert found["rehearsals.bits"]["status"] == "fail"
    assert "old-blas-2" in found["rehearsals.bits"]["said"]
    assert found["rehearsals"]["figure"] == 1.0  # old-blas-2 agreed before, and counts no longer


def _a_changed_bit_is_found(project: Path) -> None:
    path = project / "dossier/wine/rehearsals/b1.json"
    data = path.read_bytes()
    assert len(_json(path)["runs"]) == 2
    path.write_bytes(next(every_flip(data[::-1]))[::-1])
    done = run_in(project, "lifecycle", "gate", "wine")
    assert (done.returncode, "rehearsals/b1.json" in done.stderr) == (12, True)
    path.write_bytes(data)


@pytest.mark.slow
def test_a_look_at_another_mode_is_no_evidence(project: Path) -> None:
    done = _rehearse(project, "--mode", "native", "--profiles", "native-1,old-blas-2")
    assert done.returncode == 0, done.stdout + done.stderr
    # whether native profiles differ depends on the processor: shown by the command, not asserted
    assert "distinct weights" in done.stdout
    assert "A look, no evidence" in done.stdout
    assert not (project / "dossier/wine/rehearsals").exists()
    assert _json(project / "work/wine/rehearsal/rehearsal.json")["mode"] == "native"
    assert "rehearsals" not in _findings(project)


def test_a_stopped_rehearsal_leaves_nothing(project: Path) -> None:
    work = project / "work" / "wine"
    with subprocess.Popen(
        ["lifecycle", "rehearse", "wine"], cwd=project, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as command:  # fmt: skip
        deadline = time.monotonic() + 60
        while not list(work.glob(".rehearsal.*/*/task.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        command.send_signal(signal.SIGSTOP)  # or it might end before the other has looked
        other = run_in(project, "lifecycle", "rehearse", "wine")
        os.killpg(command.pid, signal.SIGINT)
        command.send_signal(signal.SIGCONT)
        said = command.communicate(timeout=60)[1]
    assert (other.returncode, "another process is at work" in other.stderr) == (10, True)
    assert command.returncode == 130, said
    assert not list(work.glob(".rehearsal*")) and not (work / "rehearsal").exists()
    assert not (project / "dossier/wine/rehearsals").exists()


def test_what_cannot_be_asked_for(built: Path) -> None:
    done = run_in(built, "lifecycle", "rehearse", "wine", "--profiles", "sse-9")
    assert (done.returncode, "there are: native-1" in done.stderr) == (2, True)
    assert run_in(built, "lifecycle", "rehearse", "wine", "--mode", "x").returncode == 2


def test_without_a_build_there_is_nothing_to_rehearse(project: Path) -> None:
    (project / "dossier/wine/current.json").unlink()
    done = _rehearse(project)
    assert (done.returncode, "`lifecycle rebuild wine` makes one" in done.stderr) == (10, True)
