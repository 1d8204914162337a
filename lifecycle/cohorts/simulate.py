"""A simulated glioblastoma methylation cohort that behaves like the real ones.

The recipe was fixed before any network saw it, against quantiles of TCGA data and logistic
regression only. The cases are nobody: every output says `simulated`. The same settings give the
same bits on every machine, because integer streams are followed by element-wise + - * / and sqrt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lifecycle.cohorts import simulate_plan, simulate_probes
from lifecycle.cohorts.simulate_plan import NAMES, PartName, Plan
from lifecycle.cohorts.simulate_probes import BLOCK
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.limits import STRICT, Count
from lifecycle.errors import UnusableInputError
from lifecycle.params.plain_yaml import read_yaml

SIMULATOR = "gbm-methylation 1"  # the number changes with any bit of any cohort
NOTE = "SIMULATED cohort, not patients: no figure from it says anything about people"

Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Probes = Annotated[int, Ge(1), Le(999_999)]  # names have six digits
Counts = Annotated[dict[str, Count], MinLen(1)]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """Size and seed of a simulated cohort.

    Attributes:
        seed: seed of every stream.
        probes: how many probes; the first of a larger set are those of a smaller one.
        training, frozen: class -> samples with that label; a class not named has none.
    """

    __pydantic_config__ = STRICT
    seed: Seed
    training: Counts
    frozen: Counts
    probes: Probes = 20_000

    def __post_init__(self) -> None:
        """The recipe knows seven classes."""
        for key, counts in (("training", self.training), ("frozen", self.frozen)):
            unknown = [name for name in counts if name not in NAMES]
            if unknown:
                known = "; ".join(NAMES)
                raise ValueError(f"`{key}` names the class {unknown[0]!r}; known are: {known}")


def load_settings(path: Path) -> SimulatorSettings:
    """The simulator's settings file (YAML).

    Raises:
        UnusableInputError: missing, malformed, an unknown key or a value of the wrong type; the
            message names file and key.
    """
    try:
        document = read_yaml(path)
        text = json.dumps(document, allow_nan=False)
        return TypeAdapter(SimulatorSettings).validate_json(text, strict=True)
    except FileNotFoundError:
        raise UnusableInputError(
            f"{path}: there is no such simulator settings file; check `path` of the cohort"
        ) from None
    except ValidationError as error:
        raise UnusableInputError(_explain(path, error)) from None
    except (ValueError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UnusableInputError(f"{path} cannot be read as simulator settings: {said}") from None


def _explain(path: Path, error: ValidationError) -> str:
    return "\n".join(f"{path}: {_said(fault)}" for fault in error.errors(include_url=False))


def _said(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        return f"`{key}`: unknown key; remove it"
    if fault["type"] in ("missing", "missing_argument"):
        return f"`{key}`: missing"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"`{key or 'settings'}`: {fault['msg']} (it is {fault['input']!r})"


def simulate(
    settings: SimulatorSettings, part: PartName, progress: Progress | None = None
) -> Cohort:
    """One part of the simulated cohort.

    Both parts share probes, class effects and factor loadings; they share no patient and no slide.

    Args:
        settings: size and seed.
        part: `training` or `frozen`.
        progress: told (blocks done, blocks in all) after each block of 512 probes.

    Returns:
        A cohort of origin `simulated`; values uint16 in units of 1/65536, groups are slides, the
        subgroups `material` (FFPE, Frozen) and `mixed` (yes, no: tumour of two classes).
    """
    counts = settings.training if part == "training" else settings.frozen
    plan = simulate_plan.draw(settings.seed, part, counts)
    values = _values(settings, part, plan, progress)
    patients = _patient_names(part, plan)
    of = plan.patient_of
    return Cohort(
        ids=_case_names(patients, of),
        patients=tuple(patients[i] for i in of),
        groups=tuple(f"sim-{part}-slide{plan.slide[i] + 1:03d}" for i in of),
        labels=tuple(NAMES[plan.label[i]] for i in of),
        features=tuple(f"sim{i + 1:06d}" for i in range(settings.probes)),
        values=values,
        origin="simulated",
        subgroups={
            "material": tuple("FFPE" if plan.ffpe[i] else "Frozen" for i in of),
            "mixed": tuple("yes" if plan.weight[i] > 0 else "no" for i in of),
        },
        about=_about(settings, part),
    )


def _values(
    settings: SimulatorSettings, part: PartName, plan: Plan, progress: Progress | None
) -> NDArray[np.uint16]:
    values = np.empty((len(plan.patient_of), settings.probes), dtype=np.uint16)
    blocks = -(-settings.probes // BLOCK)
    for block in range(blocks):
        probes = simulate_probes.draw(settings.seed, block)
        measured = simulate_probes.measure(settings.seed, part, block, plan, probes)
        width = min(BLOCK, settings.probes - block * BLOCK)
        values[:, block * BLOCK : block * BLOCK + width] = measured[:, :width]
        if progress is not None:
            progress(block + 1, blocks)
    return values


def _patient_names(part: PartName, plan: Plan) -> list[str]:
    return [f"sim-{part}-p{i + 1:04d}" for i in range(len(plan.label))]


def _case_names(patients: list[str], patient_of: NDArray[np.intp]) -> tuple[str, ...]:
    """Patient and running number of the patient's sample."""
    seen = [0] * len(patients)
    names = []
    for i in patient_of:
        seen[i] += 1
        names.append(f"{patients[i]}-s{seen[i]}")
    return tuple(names)


def _about(settings: SimulatorSettings, part: PartName) -> dict[str, Any]:
    return {
        "source": "simulated",
        "simulator": SIMULATOR,
        "seed": settings.seed,
        "part": part,
        "probes": settings.probes,
        "counts": dict(settings.training if part == "training" else settings.frozen),
        "note": NOTE,
    }
