"""A simulated cohort as a table, to try the readers with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from lifecycle.errors import UsageError


def write_simulated(settings: Path, part: str, output: Path) -> str:
    """Write a simulated cohort as a table, samples in rows; every row says that it is simulated."""
    import pandas as pd

    from lifecycle.cohorts.simulate import load_settings, simulate
    from lifecycle.domain.cohort import as_float64

    if not output.name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")):
        raise UsageError(f"{output}: name a .csv, .csv.gz, .tsv, .tsv.gz or .parquet file")
    cohort = simulate(load_settings(settings), cast("Literal['training', 'frozen']", part))
    facts = pd.DataFrame(
        {
            "sample": cohort.ids,
            "patient": cohort.patients,
            "slide": cohort.groups,
            "label": cohort.labels,
            "origin": "simulated",
        }
    )
    values = pd.DataFrame(as_float64(cohort.values), columns=list(cohort.features))
    table = pd.concat([facts, values], axis=1)
    if output.suffix == ".parquet":
        table.to_parquet(output, index=False)
    else:
        table.to_csv(output, index=False, sep="\t" if ".tsv" in output.name else ",")
    return f"{output}: {len(table)} SIMULATED cases, {len(cohort.features)} features"
