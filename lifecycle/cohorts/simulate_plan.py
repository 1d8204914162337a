"""Who is in a simulated glioblastoma cohort: patients, samples, slides, purity, mixtures.

Counts, materials and slide sizes follow the annotation of GSE90496 (Capper et al. 2018), 347
samples on 187 slides; purities and mixtures are assumptions, fixed before any network saw them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.simulate_streams import Streams

PartName = Literal["training", "frozen"]


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What the cases of a class are like.

    Attributes:
        ffpe, fresh: FFPE and frozen samples of the class in GSE90496 (the odds of a material).
        purity: lowest and highest tumour purity.
    """

    ffpe: int
    fresh: int
    purity: tuple[float, float]


CLASSES: dict[str, ClassPlan] = {
    "GBM, G34": ClassPlan(23, 18, (0.60, 0.95)),
    "GBM, MES": ClassPlan(31, 25, (0.40, 0.80)),
    "GBM, MID": ClassPlan(12, 2, (0.50, 0.90)),
    "GBM, MYCN": ClassPlan(13, 3, (0.60, 0.95)),
    "GBM, RTK I": ClassPlan(32, 32, (0.50, 0.92)),
    "GBM, RTK II": ClassPlan(70, 73, (0.50, 0.95)),
    "GBM, RTK III": ClassPlan(12, 1, (0.50, 0.90)),
}
NAMES = tuple(CLASSES)
MES, RTK_I, RTK_II, RTK_III = (
    NAMES.index(f"GBM, {n}") for n in ("MES", "RTK I", "RTK II", "RTK III")
)
TRIO = (RTK_I, RTK_II, MES)  # the classes that mix and are mistaken for one another

SLIDE_SIZES = np.repeat(
    [1, 2, 3, 4, 5, 7], [92, 55, 24, 11, 3, 2]
)  # GSE90496, GBM only: 187 slides
FACTORS, SLIDE_FACTORS = 16, 3

_TAGS: dict[PartName, int] = {"training": 111, "frozen": 112}
# Indices of the plan's streams. Those drawn class by class take up 16 indices each.
_SAMPLES_OF, _SHUFFLE, _NOISE, _OTHER, _MIXED, _PARTNER, _WEIGHT, _MATERIAL = range(0, 128, 16)
_SLIDE, _SLIDE_FACTOR, _FACTOR, _PURITY, _PURITY_FALL, _IMMUNE, _FIXING, _SPREAD = range(
    128, 256, 16
)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything about the m patients and n samples of a cohort, before any probe.

    Attributes:
        patient_of: (n,) patient of each sample; samples of a patient follow one another.
        label, biology: (m,) class that is written down and class that the tumour is; they differ
            by label noise, in the training part only.
        partner, weight: (m,) second class of a mixed tumour and its weight, 0 where it is pure.
        ffpe: (m,) formalin-fixed (otherwise frozen).
        slide: (m,) slide of each patient, numbered from 0 without gaps.
        factor: (m, 16) patient factors.  slide_factor: (slides, 3).
        purity, immune: (n,) tumour share, and immune share of the rest.
        fixing: (n,) strength of the formalin effect, 0 for frozen tissue.
        spread: (n,) scale of the measurement noise.
    """

    patient_of: NDArray[np.intp]
    label: NDArray[np.intp]
    biology: NDArray[np.intp]
    partner: NDArray[np.intp]
    weight: NDArray[np.float64]
    ffpe: NDArray[np.bool_]
    slide: NDArray[np.intp]
    factor: NDArray[np.float64]
    slide_factor: NDArray[np.float64]
    purity: NDArray[np.float64]
    immune: NDArray[np.float64]
    fixing: NDArray[np.float64]
    spread: NDArray[np.float64]


def draw(seed: int, part: PartName, counts: Mapping[str, int]) -> Plan:
    """The patients and samples of one part; the two parts share no stream.

    Args:
        seed: seed of the simulator.
        part: `training` or `frozen`.
        counts: class name (of `CLASSES`) -> number of samples that carry it as label, exactly.
    """
    streams = Streams(seed, _TAGS[part])
    label, samples = _patients(streams, counts)
    patient_of = np.repeat(np.arange(len(label), dtype=np.intp), samples)
    biology = _biology(streams, label) if part == "training" else label
    partner, weight = _mixture(streams, biology, 90 if part == "training" else 120)
    ffpe = _material(streams, label, 0 if part == "training" else 30)
    slide = _slides(streams, ffpe, samples)
    tumour, fixed = biology[patient_of], ffpe[patient_of]
    return Plan(
        patient_of=patient_of,
        label=label,
        biology=biology,
        partner=partner,
        weight=weight,
        ffpe=ffpe,
        slide=slide,
        factor=streams.normal(_FACTOR, len(label), FACTORS),
        slide_factor=streams.normal(_SLIDE_FACTOR, int(slide.max()) + 1, SLIDE_FACTORS),
        purity=_purity(streams, tumour, 0.0 if part == "training" else 0.05),
        immune=_immune(streams, tumour),
        fixing=np.where(fixed, 0.5 + streams.uniform(_FIXING, len(fixed)), 0.0),
        spread=0.016 + 0.012 * streams.uniform(_SPREAD, len(fixed)) + np.where(fixed, 0.010, 0.0),
    )


def _patients(
    streams: Streams, counts: Mapping[str, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Label and number of samples of every patient, in an order that tells nothing of the class."""
    labels: list[int] = []
    samples: list[int] = []
    for index, name in enumerate(NAMES):
        left = counts.get(name, 0)
        for byte in streams.bytes(_SAMPLES_OF + index, left):
            if left == 0:
                break
            taken = min(left, 1 + int(byte >= 220) + int(byte >= 248))  # 220 / 28 / 8 of 256
            labels.append(index)
            samples.append(taken)
            left -= taken
    order = streams.order(_SHUFFLE, len(labels))
    return np.array(labels, dtype=np.intp)[order], np.array(samples, dtype=np.intp)[order]


def _biology(streams: Streams, label: NDArray[np.intp]) -> NDArray[np.intp]:
    """Label noise: 4 of 256 patients of the trio are in truth another class of the trio."""
    wrong = np.isin(label, TRIO) & (streams.bytes(_NOISE, len(label)) < 4)
    upper = streams.bytes(_OTHER, len(label)) >= 128
    return np.where(wrong, _other_of_trio(label, upper), label)


def _other_of_trio(label: NDArray[np.intp], upper: NDArray[np.bool_]) -> NDArray[np.intp]:
    """One of the two classes of the trio that a patient is not in (undefined outside the trio)."""
    first = np.where(label == RTK_I, RTK_II, RTK_I)
    second = np.where(label == MES, RTK_II, MES)
    return np.where(upper, second, first).astype(np.intp)


def _mixture(
    streams: Streams, biology: NDArray[np.intp], trio_odds: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Partner class and weight: RTK II is the partner in 70%, another class of the trio else.

    A tumour that is RTK II itself has RTK I or MES as partner, evenly.
    """
    m = len(biology)
    trio = np.isin(biology, TRIO)
    mixed = streams.bytes(_MIXED, m) < np.where(trio, trio_odds, 26)
    draw_, fraction = streams.uniform(_PARTNER, m), streams.uniform(_WEIGHT, m)
    not_ii = np.where(biology == RTK_I, MES, RTK_I)
    elsewhere = np.where(trio, not_ii, np.where(draw_ < 0.85, RTK_I, MES))
    towards_ii = np.where(draw_ < 0.70, RTK_II, elsewhere)
    partner = np.where(biology == RTK_II, np.where(draw_ < 0.5, RTK_I, MES), towards_ii)
    weight = np.where(trio, 0.1 + 0.4 * fraction, 0.05 + 0.30 * fraction)
    return partner.astype(np.intp), np.where(mixed, weight, 0.0)


def _material(streams: Streams, label: NDArray[np.intp], more: int) -> NDArray[np.bool_]:
    """FFPE with the odds of the class in GSE90496, `more` 256ths added."""
    odds = np.array([plan.ffpe / (plan.ffpe + plan.fresh) for plan in CLASSES.values()])
    return np.asarray(streams.uniform(_MATERIAL, len(label)) < odds[label] + more / 256.0)


def _slides(
    streams: Streams, ffpe: NDArray[np.bool_], samples: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Patients put on slides of one material; a patient's samples never leave their slide."""
    slide = np.zeros(len(samples), dtype=np.intp)
    drawn = (streams.uniform(_SLIDE, len(samples)) * len(SLIDE_SIZES)).astype(np.intp)
    used = -1
    for material in (False, True):
        room = 0
        for patient in np.flatnonzero(ffpe == material):
            if samples[patient] > room:
                used += 1
                room = max(int(SLIDE_SIZES[drawn[used]]), int(samples[patient]))
            slide[patient] = used
            room -= int(samples[patient])
    return slide


def _purity(streams: Streams, tumour: NDArray[np.intp], fall: float) -> NDArray[np.float64]:
    bounds = np.array([plan.purity for plan in CLASSES.values()])[tumour]
    low, high = bounds[:, 0], bounds[:, 1]
    n = len(tumour)
    mean = (streams.uniform(_PURITY, n) + streams.uniform(_PURITY + 1, n)) * 0.5
    purity = low + (high - low) * mean - fall * streams.uniform(_PURITY_FALL, n)
    return np.asarray(np.maximum(purity, 0.35))


def _immune(streams: Streams, tumour: NDArray[np.intp]) -> NDArray[np.float64]:
    share = 0.2 + 0.6 * streams.uniform(_IMMUNE, len(tumour))
    return np.asarray(share + np.where(tumour == MES, 0.2, 0.0))
