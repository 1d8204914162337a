"""Figures of docs/explanation/longitudinal-consistency.md: computed anew, and the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support import ROOT, run_in

from lifecycle.stats.betting import patients_for_cases
from lifecycle.stats.intervals import patients_needed

sys.path.insert(0, str(ROOT / "benchmarks"))
from benching import clusters, rhythms

PAGE = (ROOT / "docs/explanation/longitudinal-consistency.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- benchmark: (\w+) -->\n```text\n(.*?)\n```", re.DOTALL)
BLOCKS = dict(BLOCK.findall(PAGE))
LEVELS = (0.05, 0.025, 0.0125)


def test_every_block_is_known() -> None:
    assert set(BLOCKS) == {"attempts", "candidates", "lost", "cases", "power"}
    assert PAGE.count("<!-- benchmark:") == len(BLOCKS)
    for part in BLOCKS:
        assert f"python benchmarks/soundness.py --only {part}" in PAGE


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", sorted(BLOCKS))
def test_the_benchmark_prints_what_the_page_shows(part: str, tmp_path: Path) -> None:
    done = run_in(tmp_path, sys.executable, str(ROOT / "benchmarks/soundness.py"), "--only", part)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert printed[: BLOCKS[part].count("\n") + 1] == BLOCKS[part].splitlines()


def rows(head: str) -> dict[str, list[int]]:
    """First cell -> the numbers of the others, of the table under this head."""
    table = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0]: [int(re.sub(r"\D", "", cell)) for cell in row[1:]] for row in cells}


def test_how_many_patients_cases_take() -> None:
    shown = rows("| to show p = 0.95 of cases")
    assert shown.pop("one case each, and one is the most") == [
        patients_needed(0.95, a) for a in LEVELS
    ]
    for name, (mean, most) in {
        "one case each, two are possible": (1, 2),
        "1.14 cases each, three are possible": (1.14, 3),
        "1.5 cases each, three are possible": (1.5, 3),
        "1.95 cases each, twenty are possible": (1.95, 20),
    }.items():
        assert shown.pop(name) == [patients_for_cases(mean, most, 0.05, a) for a in LEVELS]
    assert not shown


def test_the_example_of_a_tenth_of_the_patients() -> None:
    sizes = clusters.SIZES["1 or 10"]
    assert sizes == {1: 0.9, 10: 0.1}
    patients, cases = 0.1 * 0.1, 0.1 * 10 * 0.1 / (0.9 + 0.1 * 10)
    assert "patients are 99%\nconsistent and cases 94.7%" in PAGE
    assert (round(100 * (1 - patients), 1), round(100 * (1 - cases), 1)) == (99.0, 94.7)


def test_what_noise_does() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    values = rhythms.logits(200_000, rng)
    before = rhythms.states(values)
    present = rng.standard_normal(200_000) * rhythms.PRESENT[1] + rhythms.PRESENT[0]
    absent = rng.standard_normal(200_000) * rhythms.ABSENT[1] + rhythms.ABSENT[0]
    assert round(float((present >= rhythms.YES).mean()), 2) == 0.70
    assert round(float((absent <= rhythms.NO).mean()), 2) == 0.80
    some = (before != 0) & (rhythms.noisy(values, 0.2, rng) == 0)
    assert round(float(some.any(axis=1).mean()), 2) == 0.18
    called = (before == 1).any(axis=1)
    gone = ((before == 1) & (rhythms.noisy(values, 0.4, rng) == 0)).any(axis=1)
    assert round(float(gone.sum() / called.sum()), 2) == 0.09
