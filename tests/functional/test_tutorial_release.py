"""The release tutorial, run as a reader does: on its own demonstration, and on real gliomas."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
from support import ROOT, environment, new_project, run_in

sys.path.insert(0, str(Path(__file__).parent))
import docs_commands as docs  # beside this file; the tests are no package

PAGE = docs.APART[0]
REAL = Path(os.environ.get("LIFECYCLE_REAL_DATA", ROOT.parent / "shared" / "data"))
MATRIX = "methylation/tcga_idhwt_glioma_430x843_beta.csv"
DEMO, GLIOMA = "gbm-demo", "glioma-methylation"


def _glioma(page: docs.Block) -> docs.Block:
    """The section of the page on real data, in the mode in which machines differ."""
    sections = docs.blocks("docs/how-to/real-data.md")
    text = next(block.text for block in sections if f"  {GLIOMA}:" in block.lines)
    text = text.replace(f"../shared/data/{MATRIX}", str(REAL.resolve() / MATRIX))
    text = text.replace("{mode: exact, slices: 1}", "{mode: native}")
    text = text.replace("stop: best-holdout", "stop: fixed")  # as in the study of repeatability
    assert "native" in text and "fixed" in text
    return dataclasses.replace(page, lines=("", *text.splitlines()))


def _on_gliomas(step: docs.Block | docs.Command) -> docs.Block | docs.Command | None:
    """The same step for the real cohort; None for what only a simulated one can do."""
    if isinstance(step, docs.Block):
        return _glioma(step)
    if step.codes == (22,) and "SIMULATED" in "".join(step.output):
        return None
    if "data simulate" in step.text:
        return None
    text = step.text.replace("../cases.parquet", str(REAL.resolve() / MATRIX))
    text = text.replace(DEMO, GLIOMA).replace(" --demonstration", "")
    return dataclasses.replace(step, text=text, output=())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [DEMO, GLIOMA])
def test_the_release_tutorial(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", environment()["PATH"])
    monkeypatch.setenv("LIFECYCLE_PASSPHRASE", "four words nobody guesses")
    found = docs.steps(PAGE)
    if name == GLIOMA:
        if not (REAL / MATRIX).is_file():
            pytest.skip(f"{MATRIX} is not here: LIFECYCLE_REAL_DATA names the folder of real data")
        found = [step for old in found if (step := _on_gliomas(old)) is not None]
    project = new_project(tmp_path / "project", (ROOT / "params.yaml").read_text(encoding="utf-8"))
    for step in found:
        if isinstance(step, docs.Block):
            docs.write(project, step)
        elif step.words[0] != "export":
            docs.run(project, step)
    _look(project, name)


def _look(project: Path, name: str) -> None:
    """b1 is released, b2 has other weights and was refused; what is signed says so."""
    builds = json.loads(run_in(project, "lifecycle", "builds", name, "--json").stdout)
    assert len({build["weights"] for build in builds}) == len(builds) == 2
    done = run_in(project, "lifecycle", "release", "verify", name, "--json")
    audit = json.loads(done.stdout)[0]
    assert (audit["records"], audit["verdicts"]) == (3, 2)
    said = " ".join(line for lines in audit["versions"].values() for line in lines)
    assert "b1 is released" in said and "b2 was refused" in said
    assert ("SIMULATED" in said) == (name == DEMO)
    verdict = json.loads((project / f"dossier/{name}/verdicts/b2.json").read_bytes())
    assert verdict["basis"] == "statistical"
