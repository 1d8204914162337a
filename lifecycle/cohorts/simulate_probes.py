"""What the probes of a simulated glioblastoma cohort are like, and what they measure.

Probes come in blocks of 512, each from its own stream: a block is part of the definition, so that
the first 5,000 probes of 51,000 are the 5,000 of a smaller set. Every operation is element by
element in a fixed order: no matrix product, no reduction, no function of a mathematical library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.simulate_plan import (
    FACTORS,
    NAMES,
    RTK_I,
    RTK_III,
    SLIDE_FACTORS,
    PartName,
    Plan,
)
from lifecycle.cohorts.simulate_streams import Streams

BLOCK = 512

FACTOR_LOADINGS = (
    *(0.42, 0.34, 0.27, 0.22, 0.20, 0.18, 0.16, 0.15),
    *(0.14, 0.13, 0.12, 0.11, 0.10, 0.10, 0.09, 0.09),
)
CLASS_SHARE = (90, 40, 80, 80, 46, 38, 80)  # 256ths of the probes that a class moves, as `NAMES`
CLASS_SD = (1.5, 0.8, 1.1, 1.1, 0.84, 0.70, 1.1)
PATIENT_SHARE, SAMPLE_SHARE = 0.89, 0.456  # 0.89^2 + 0.456^2 = 1

_PROBES = 101
_PATIENT: dict[PartName, int] = {"training": 121, "frozen": 122}
_SAMPLE: dict[PartName, int] = {"training": 131, "frozen": 132}
_ERROR: dict[PartName, int] = {"training": 141, "frozen": 142}
# Rows of a block's normal numbers; class effects, factors and slide factors take several.
_NORMAL, _TUMOUR, _IMMUNE, _UNIQUE, _LOW, _HIGH, _FIXING = range(7)
_CLASS = 7
_FACTOR = _CLASS + len(NAMES)
_SLIDE = _FACTOR + FACTORS
_ROWS = _SLIDE + SLIDE_FACTORS


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """The constants of one block of probes, shared by both parts of a cohort.

    Attributes:
        normal, immune: (512,) methylation level of normal tissue and immune cells, within (0, 1).
        tumour: (512,) mean of tumour tissue on the scale of the link.
        effect: (7, 512) class effects on that scale.
        factor: (16, 512) loadings of the patient factors.  slide: (3, 512) of the slide factors.
        unique: (512,) standard deviation of what is a patient's or sample's own.
        fixing: (512,) loading of the formalin effect.
        low, high: (512,) measured level of no and of full methylation.
    """

    normal: NDArray[np.float64]
    immune: NDArray[np.float64]
    tumour: NDArray[np.float64]
    effect: NDArray[np.float64]
    factor: NDArray[np.float64]
    slide: NDArray[np.float64]
    unique: NDArray[np.float64]
    fixing: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def link(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the real line to (0, 1): 0.5 + 0.5 z / sqrt(1 + z^2); IEEE rounds each step."""
    return np.asarray(0.5 + 0.5 * z / np.sqrt(1.0 + z * z))


def draw(seed: int, block: int) -> Probes:
    """The constants of block number `block`, always all 512."""
    streams = Streams(seed, _PROBES)
    n = streams.normal(2 * block, _ROWS, BLOCK)
    byte = streams.bytes(2 * block + 1, (2 + len(NAMES)) * BLOCK).reshape(-1, BLOCK)
    normal, tumour = _tissues(byte[0], n[_NORMAL], n[_TUMOUR])
    opposed = byte[1] < 48
    immune = np.where(opposed, 0.3 * n[_IMMUNE] - normal, normal + 0.15 * n[_IMMUNE])
    loadings = np.array(FACTOR_LOADINGS)[:, None]
    return Probes(
        normal=link(normal),
        immune=link(immune),
        tumour=tumour,
        effect=_effects(byte[2:], n[_CLASS:_FACTOR]),
        factor=loadings * n[_FACTOR:_SLIDE],
        slide=0.022 * n[_SLIDE:],
        unique=0.5 + 0.65 * np.abs(n[_UNIQUE]),
        fixing=0.045 * n[_FIXING],
        low=np.maximum(0.014 + 0.007 * n[_LOW], 0.004),
        high=np.minimum(0.965 + 0.014 * n[_HIGH], 0.993),
    )


def _tissues(
    kind: NDArray[np.int64], n1: NDArray[np.float64], n2: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal and tumour tissue: islands 150/256, open sea 80/256, the rest in between."""
    island, sea = kind < 150, kind < 230
    normal = np.where(island, 0.5 * n1 - 2.6, np.where(sea, 1.9 + 0.5 * n1, 0.7 * n1))
    between = 0.6 * n1 + 0.5 * n2
    tumour = np.where(island, 0.7 * n2 - 1.25, np.where(sea, 0.65 + 0.75 * n2, between))
    return normal, tumour


def _effects(byte: NDArray[np.int64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Class effects; RTK III adds half of what RTK I does."""
    moved = byte < np.array(CLASS_SHARE)[:, None]
    effect = np.where(moved, np.array(CLASS_SD)[:, None] * n, 0.0)
    effect[RTK_III] = effect[RTK_III] + 0.5 * effect[RTK_I]
    return effect


def measure(
    seed: int, part: PartName, block: int, plan: Plan, probes: Probes
) -> NDArray[np.uint16]:
    """(n, 512) beta values of a block in units of 1/65536: floor(65536 beta + 0.5)."""
    beta = _tissue_level(seed, part, block, plan, probes)
    shift = np.multiply.outer(plan.fixing, probes.fixing)
    slide = plan.slide_factor[plan.slide[plan.patient_of]]
    for k in range(SLIDE_FACTORS):
        shift += np.multiply.outer(slide[:, k], probes.slide[k])
    beta = beta + 4.0 * beta * (1.0 - beta) * shift
    noise = Streams(seed, _ERROR[part]).normal(block, *beta.shape)
    beta = beta + plan.spread[:, None] * (0.18 + 3.2 * beta * (1.0 - beta)) * noise
    beta = np.minimum(np.maximum(beta, 0.003), 0.997)
    return np.floor(65536.0 * beta + 0.5).astype(np.uint16)


def _tissue_level(
    seed: int, part: PartName, block: int, plan: Plan, probes: Probes
) -> NDArray[np.float64]:
    """(n, 512) level of the tumour in its normal tissue, before anything technical."""
    own = Streams(seed, _SAMPLE[part]).normal(block, len(plan.patient_of), BLOCK)
    z = _patient_level(seed, part, block, plan, probes)[plan.patient_of]
    z = z + SAMPLE_SHARE * probes.unique * own
    rest = probes.normal + np.multiply.outer(plan.immune, probes.immune - probes.normal)
    purity = plan.purity[:, None]
    level = purity * link(z) + (1.0 - purity) * rest
    return np.asarray(probes.low + (probes.high - probes.low) * level)


def _patient_level(
    seed: int, part: PartName, block: int, plan: Plan, probes: Probes
) -> NDArray[np.float64]:
    """(m, 512) what is common to a patient's samples, on the scale of the link."""
    own = Streams(seed, _PATIENT[part]).normal(block, len(plan.label), BLOCK)
    first, second = probes.effect[plan.biology], probes.effect[plan.partner]
    z = probes.tumour + (first + plan.weight[:, None] * (second - first))
    for k in range(FACTORS):
        z += np.multiply.outer(plan.factor[:, k], probes.factor[k])
    return np.asarray(z + PATIENT_SHARE * probes.unique * own)
