"""What a simulated heart looks like from outside: the moving dipole of a strip, and its leads.

A beat is a sum of bumps, each along a fixed direction (McSharry et al. 2003, IEEE TBME 50:289, in
three dimensions after Sameni et al. 2007, EURASIP J Adv Signal Process). X points left, Y down, Z
to the back; millivolt and milliseconds. Dower's matrix (Dower et al. 1980, Clin Cardiol 3:87)
turns the dipole into leads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.simulate_beats import Beat, Strip
from lifecycle.cohorts.ecg.simulate_draws import Draws, Floats, bump, sine

Vector = tuple[float, float, float]
Row = tuple[float, float, float, float, float]  # a `Wave` at its time in the strip

# Dower 1980, rows I, II, V1 to V6 over X, Y, Z.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

CONDUCTION: Mapping[str, int] = {
    "normal": 560, "LBBB": 45, "RBBB": 45, "IRBBB": 60, "LVH": 90,
    "inferior MI": 60, "anterior MI": 60, "ST-T": 80,
}  # fmt: skip
FLAT_T, LOW_VOLTAGE = 0.15, 0.06

SHARP_SIGMA, SHARP_REACH, BROAD_REACH = 13.0, 80.0, 360.0  # ms; a bump ends beyond its reach
MEAN_INTERVAL = 857.0  # at which the factor of repolarisation times is 1


class Wave(NamedTuple):
    """One bump: centre after the R wave, width (ms), peak along each axis (mV)."""

    at: float
    sigma: float
    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class Form:
    """A ventricular complex: depolarisation, ST segment and T wave."""

    qrs: tuple[Wave, ...]
    st: Vector
    t: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Heart:
    """A patient.

    Attributes:
        conduction: what the ventricles are like, a key of `CONDUCTION`.
        native, ventricular, paced: the complexes, gain and rotation applied.
        p: the two halves of the P wave, from its own centre.
        pr: from the P wave's first half to the R wave (ms).
        q: personal factor of repolarisation times.
        leads: (8, 3) Dower's matrix as the electrodes of this patient see it.
    """

    conduction: str
    native: Form
    ventricular: Form
    paced: Form
    p: tuple[Wave, Wave]
    pr: float
    q: float
    leads: Floats


_Q = Wave(-20.0, 7.5, -0.10, -0.05, -0.24)
_R = Wave(0.0, 9.2, 1.20, 0.58, 0.15)
_S = Wave(20.0, 9.8, -0.12, 0.04, 0.84)
_T: Vector = (0.34, 0.15, -0.18)
_NO_ST: Vector = (0.012, 0.006, -0.02)
_P = (Wave(0.0, 21.0, 0.05, 0.065, -0.03), Wave(34.0, 23.0, 0.075, 0.025, 0.03))

# Textbook shapes (Surawicz and Knilans, Chou's Electrocardiography), sizes by eye on PTB-XL.
_FORMS: Mapping[str, Form] = {
    "normal": Form((_Q, _R, _S), _NO_ST, _T),
    "LBBB": Form(
        (
            Wave(-16.0, 14.0, 0.40, 0.20, 0.32),
            Wave(16.0, 19.0, 0.80, 0.22, 0.72),
            Wave(50.0, 17.0, 0.40, 0.03, 0.45),
        ),
        (-0.07, -0.01, -0.10),
        (-0.28, -0.05, -0.36),
    ),
    "RBBB": Form(
        (_Q, _R, Wave(20.0, 9.8, -0.14, 0.04, 0.62), Wave(54.0, 15.0, -0.42, -0.02, -0.48)),
        _NO_ST,
        (0.32, 0.12, -0.05),
    ),
    "IRBBB": Form((_Q, _R, _S, Wave(42.0, 10.5, -0.17, 0.00, -0.27)), _NO_ST, _T),
    "LVH": Form(
        (
            Wave(-20.0, 7.5, -0.12, -0.05, -0.28),
            Wave(0.0, 10.2, 1.80, 0.55, 0.38),
            Wave(21.0, 10.6, -0.02, 0.02, 1.15),
        ),
        (-0.05, -0.02, -0.04),
        (-0.10, 0.02, -0.22),
    ),
    "inferior MI": Form(
        (Wave(-22.0, 11.0, -0.05, -0.36, -0.18), Wave(0.0, 9.2, 1.00, 0.20, 0.15), _S),
        (0.00, 0.015, -0.01),
        (0.28, -0.10, -0.22),
    ),
    "anterior MI": Form(
        (Wave(-20.0, 11.0, 0.06, -0.04, 0.24), Wave(0.0, 9.2, 0.95, 0.50, 0.42), _S),
        (0.02, 0.00, -0.06),
        (0.10, 0.10, 0.10),
    ),
    "ST-T": Form((_Q, _R, _S), (-0.05, -0.04, 0.02), (-0.10, -0.03, -0.05)),
}
_PACED = Form(
    (
        Wave(-18.0, 17.0, 0.12, -0.36, 0.42),
        Wave(14.0, 22.0, 0.06, -0.66, 0.78),
        Wave(52.0, 18.0, -0.06, -0.30, 0.45),
    ),
    (-0.01, 0.05, -0.07),
    (-0.06, 0.46, -0.40),
)
_SPIKE_AT, _SPIKE_SIGMA = -48.0, 4.0
_SPIKE: Vector = (0.45, -0.70, 0.35)
_ATRIAL_SPIKE: Vector = (0.15, 0.45, -0.10)
_F_WAVE: Vector = (-0.30, 0.50, -0.80)
_F_SIZE, _SAW_SIZE = 0.042, 0.105
_SAW: Vector = (0.10, -0.95, -0.40)


def patient(draws: Draws) -> Heart:
    """A patient's heart."""
    conduction = draws.pick(CONDUCTION)
    old = draws.u()
    turn = _rotation(0.8 * (-0.20 * (old - 0.55) + 0.19 * draws.z()))
    gain = draws.ln(1.12, 0.27)
    if draws.chance(LOW_VOLTAGE):
        gain *= 0.5
    width = draws.ln(1.0, 0.12)
    t = draws.ln(1.0, 0.28)
    if draws.chance(FLAT_T):
        t *= 0.25
    own = (turn, gain, width)
    atrium = draws.ln(1.0, 0.30)
    first, second = (_turned(wave, turn, atrium, 1.0) for wave in _P)
    return Heart(
        conduction=conduction,
        native=_fitted(_FORMS[conduction], *own, t),
        ventricular=_fitted(_ventricular(draws), *own, 1.0),
        paced=_fitted(_PACED, *own, 1.0),
        p=(first, second),
        pr=draws.ln(155.0 + 22.0 * old, 0.13),
        q=draws.ln(1.0, 0.06),
        leads=_electrodes(draws),
    )


def _electrodes(draws: Draws) -> Floats:
    """Dower's matrix, chest leads nearer to or farther from the heart."""
    leads = DOWER.copy()
    for row in range(2, 8):
        leads[row] *= draws.ln(1.0, 0.13)
    return leads


def _rotation(half_tangent: float) -> tuple[float, float]:
    """Cosine and sine from the tangent of half the angle, without a trigonometric function."""
    square = half_tangent * half_tangent
    return (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)


def _rotated(x: float, y: float, turn: tuple[float, float]) -> tuple[float, float]:
    cos, sin = turn
    return cos * x - sin * y, sin * x + cos * y


def _turned(wave: Wave, turn: tuple[float, float], gain: float, width: float) -> Wave:
    """A wave in the frontal plane of a patient."""
    x, y = _rotated(wave.x, wave.y, turn)
    return Wave(wave.at * width, wave.sigma * width, gain * x, gain * y, gain * wave.z)


def _fitted(
    form: Form, turn: tuple[float, float], gain: float, width: float, t_gain: float
) -> Form:
    def vector(of: Vector, size: float) -> Vector:
        x, y = _rotated(of[0], of[1], turn)
        return size * x, size * y, size * of[2]

    waves = tuple(_turned(wave, turn, gain, width) for wave in form.qrs)
    return Form(waves, vector(form.st, gain), vector(form.t, gain * t_gain))


def _ventricular(draws: Draws) -> Form:
    """A premature ventricular complex: any direction, wide, T wave against it."""
    x, y, z = draws.z(), draws.z(), draws.z()
    length = math.sqrt(x * x + y * y + z * z) + 0.05
    size = draws.ln(1.7, 0.25) / length
    x, y, z = size * x, size * y, size * z
    first = Wave(-14.0, 22.0, 0.75 * x, 0.75 * y, 0.75 * z)
    then = Wave(34.0, 26.0, 0.55 * x - 0.15 * y, 0.55 * y + 0.15 * x, 0.55 * z)
    t = (-0.35 * x, -0.35 * y, -0.35 * z)
    return Form((first, then), (0.2 * t[0], 0.2 * t[1], 0.2 * t[2]), t)


# --- a strip


def dipole(draws: Draws, heart: Heart, strip: Strip, samples: int, step: float) -> Floats:
    """The heart's dipole at every sample: (3, samples), mV.

    Args:
        draws: the record's stream, after the strip was drawn.
        heart: the patient.
        strip: the beats.
        samples: length.
        step: milliseconds between samples.
    """
    size = draws.ln(1.0, 0.06)
    spike = draws.ln(0.30, 0.9)
    waves = [wave for beat in strip.beats for wave in _waves(heart, beat, size, spike)]
    total = _placed([w for w in waves if w[1] <= SHARP_SIGMA], SHARP_REACH, samples, step)
    total += _placed([w for w in waves if w[1] > SHARP_SIGMA], BROAD_REACH, samples, step)
    if strip.fibrillates or strip.flutter:
        total += _atria(draws, strip, samples, step)
    return total


def _waves(heart: Heart, beat: Beat, size: float, spike: float) -> list[Row]:
    """The bumps of one beat, at their times in the strip."""
    form = getattr(heart, beat.shape)
    own = (*_atrial(heart, beat), *form.qrs, *_recovery(heart, form, beat))
    rows = [(beat.at + at, sigma, size * x, size * y, size * z) for at, sigma, x, y, z in own]
    if beat.shape == "paced":
        rows.append(_spike(beat.at + _SPIKE_AT, spike, _SPIKE))
    if beat.spike:
        rows.append(_spike(beat.at - _pr(heart, beat) - 45.0, spike, _ATRIAL_SPIKE))
    return rows


def _spike(at: float, size: float, direction: Vector) -> Row:
    return at, _SPIKE_SIGMA, size * direction[0], size * direction[1], size * direction[2]


def _pr(heart: Heart, beat: Beat) -> float:
    """At fast rates conduction is quicker and the P wave stays behind the T wave's end."""
    return min(heart.pr, 0.12 * beat.interval + 90.0)


def _atrial(heart: Heart, beat: Beat) -> list[Row]:
    """The P wave; an early one comes from elsewhere, a retrograde one after the R wave."""
    if beat.atrium == "none":
        return []
    pr = _pr(heart, beat)
    start, bend = {"sinus": (-pr, 1.0), "early": (-0.85 * pr, -0.5), "retrograde": (78.0, -0.8)}[
        beat.atrium
    ]
    return [(start + at, sigma, x, bend * y, z) for at, sigma, x, y, z in heart.p]


def _recovery(heart: Heart, form: Form, beat: Beat) -> list[Row]:
    """ST segment and T wave, later after long intervals (between Bazett's root and a line)."""
    late = 10.0 if beat.shape == "native" else 55.0
    root = math.sqrt(min(beat.interval, 1600.0) / MEAN_INTERVAL)
    q = heart.q * (0.35 + 0.65 * root)
    x, y, z = form.t
    return [
        (90.0 * q + late, 38.0 * q, *form.st),
        (195.0 * q + late, 48.0 * q, 0.42 * x, 0.42 * y, 0.42 * z),
        (235.0 * q + late, 33.0 * q, 0.80 * x, 0.80 * y, 0.80 * z),
    ]


def _placed(waves: list[Row], reach: float, samples: int, step: float) -> Floats:
    """The sum of bumps at each sample; a bump counts up to `reach` from its centre."""
    total = np.zeros((3, samples))
    if not waves:
        return total
    table = np.array(waves, dtype=np.float64)
    half = int(reach / step)
    centre = table[:, :1]
    first = np.floor(centre / step) - half
    index = first.astype(np.int64) + np.arange(2 * half + 2)
    height = bump((index * step - centre) / table[:, 1:2])
    # What falls outside is counted in one sample too many at the end and cut off.
    slot = np.where((index >= 0) & (index < samples), index, samples).ravel()
    for axis in range(3):
        weights = (height * table[:, 2 + axis, None]).ravel()
        total[axis] = np.bincount(slot, weights, samples + 1)[:samples]  # adds one after another
    return total


def _atria(draws: Draws, strip: Strip, samples: int, step: float) -> Floats:
    """f-waves or the saw of flutter, between the beats as well as under them."""
    at = np.arange(samples, dtype=np.float64) * step
    total = np.zeros((3, samples))
    if strip.fibrillates:
        wave = _f_waves(draws, at)
        if strip.flutter:
            wave = np.where(at < strip.change, wave, 0.0)
        total += _along(wave, _F_WAVE)
    if strip.flutter:
        saw = _saw(draws, at / strip.flutter)
        total += _along(np.where(at >= strip.change, saw, 0.0), _SAW)
    return total


def _along(wave: Floats, direction: Vector) -> Floats:
    return np.array(direction)[:, None] * wave


def _f_waves(draws: Draws, at: NDArray[np.float64]) -> Floats:
    """Two waves of 5 to 8 Hz that wax and wane."""
    size = draws.ln(_F_SIZE, 0.45)
    wave = np.zeros(at.shape)
    for _ in range(2):
        rate, phase, slow = draws.between(5.0, 8.0), draws.u(), draws.between(0.3, 0.9)
        wander = 0.35 * sine(at * (slow * 0.001) + draws.u())
        level = 1.0 + 0.4 * sine(at * (0.0007 * slow) + draws.u())
        wave += level * sine(at * (rate * 0.001) + phase + wander)
    return size * wave


def _saw(draws: Draws, turns: Floats) -> Floats:
    size, phase = draws.ln(_SAW_SIZE, 0.30), draws.u()
    turns = turns + phase
    return size * (sine(turns) + 0.5 * sine(2.0 * turns) + 0.33 * sine(3.0 * turns))
