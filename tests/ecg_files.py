"""Small ECG data sets in the published layouts, written for tests."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.classifier import LEADS

COLUMNS = (
    "ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr",
)  # fmt: skip
STATEMENTS = (
    ("", "description", "diagnostic", "diagnostic_class"),
    ("NORM", "normal ECG", "1.0", "NORM"),
    ("IMI", "inferior myocardial infarction", "1.0", "MI"),
    ("AMI", "anterior myocardial infarction", "1.0", "MI"),
    ("SR", "sinus rhythm", "", ""),
)


def wave(samples: int, leads: int = 12, seed: int = 0) -> NDArray[np.int64]:
    """Random microvolts, (samples, leads), no two leads alike."""
    steps = np.random.default_rng(seed).integers(-40, 41, (samples, leads))
    return steps.cumsum(axis=0) % 1000 - 500


def write_record(
    path: Path,
    values: NDArray[np.int64],
    *,
    names: Sequence[str] = LEADS,
    rate: object = 100,
    gain: object = "1000.0(0)",
    unit: object = "mV",
    kind: str = "dat",
    comments: Sequence[str] = (),
    samples: int | None = None,
    checksums: Sequence[int] | None = None,
) -> Path:
    """A WFDB record of format 16; a `.mat` has 24 bytes before its samples. Path without end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head, layout = (b"", "16") if kind == "dat" else (b"\0" * 24, "16x1+24")
    path.with_name(f"{path.name}.{kind}").write_bytes(head + values.astype("<i2").tobytes())
    sums = checksums or [int(total) for total in values.sum(axis=0)]
    lines = [f"{path.name} {values.shape[1]} {rate} {samples or len(values)}"]
    lines += [
        f"{path.name}.{kind} {layout} {gain}/{unit} 16 0 {values[0, i]} {sums[i]} 0 {name}"
        for i, name in enumerate(names)
    ]
    lines += [f"#{comment}" for comment in comments]
    path.with_name(path.name + ".hea").write_text("\n".join(lines) + "\n")
    return path


def ptbxl_row(number: int, **other: Any) -> dict[str, str]:
    """A row of ptbxl_database.csv."""
    row = {
        "ecg_id": str(number),
        "patient_id": f"{1000 + number}.0",
        "age": "56.0",
        "sex": "1",
        "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
        "strat_fold": str(1 + number % 10),
        "filename_lr": f"records100/00000/{number:05d}_lr",
        "filename_hr": f"records500/00000/{number:05d}_hr",
    }
    return row | {name: str(value) for name, value in other.items()}


def write_ptbxl(folder: Path, rows: Sequence[dict[str, str]], *, write: bool = True) -> Path:
    """PTB-XL's layout: the two tables, and 100 and 500 Hz records of every row."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "ptbxl_database.csv", [COLUMNS, *([r[c] for c in COLUMNS] for r in rows)])
    write_table(folder / "scp_statements.csv", STATEMENTS)
    for number, row in enumerate(rows if write else ()):
        for column, rate in (("filename_lr", 100), ("filename_hr", 500)):
            write_record(folder / row[column], wave(10 * rate, seed=number), rate=rate)
    return folder


def write_table(path: Path, lines: Sequence[Sequence[str]]) -> Path:
    """A CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return path
