"""What the electrodes of a simulated record add, and the twelve leads in whole microvolts.

Noise is on the nine electrodes and the leads are derived after, so that it is shared between leads
as in an ECG. There is no mains hum: PTB-XL at 100 Hz has none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.simulate_draws import Draws, Floats, bump, sine

ELECTRODES = 9  # right arm, left arm, left leg, C1 to C6
LIMIT = 5000.0  # half steps of 2 microvolts: 10 mV, what an amplifier passes on
_WANDER = ((0.06, 0.20, 1.0), (0.20, 0.45, 0.6), (0.45, 0.9, 0.25))  # Hz from, to, weight
_BURST, _STEP = 0.15, 0.03
# Muscle noise of each electrode: in PTB-XL lead I has more than II, and the chest half of a limb's.
_MUSCLE = (0.75, 1.15, 0.55, 0.38, 0.38, 0.38, 0.38, 0.38, 0.38)


def electrodes(draws: Draws, samples: int, step: float) -> Floats:
    """Noise of each electrode: (9, samples), mV.

    Baseline wander, muscle noise (15% with a burst of it) and, in 3%, an electrode that jumps.

    Args:
        draws: the noise stream of the record.
        samples: length.
        step: milliseconds between samples.
    """
    at = np.arange(samples, dtype=np.float64) * (step * 0.001)
    noise = _muscle(draws, at) + _wander(draws, at)
    if draws.chance(_STEP):
        which, when = int(draws.u() * ELECTRODES), draws.between(0.1, 0.9) * float(at[-1])
        size = draws.ln(0.30, 0.6) * (1.0 if draws.chance(0.5) else -1.0)
        since = np.where(at >= when, at - when, 0.0)
        noise[which] += np.where(at >= when, size / (1.0 + since * since), 0.0)
    return noise


def _muscle(draws: Draws, at: Floats) -> Floats:
    white = draws.normal(ELECTRODES, at.size + 1)
    size = draws.ln(0.0085, 0.65)
    level = np.array([size * share * draws.ln(1.0, 0.3) for share in _MUSCLE])
    noise = 0.85 * white[:, 1:] + 0.5 * white[:, :-1]
    if draws.chance(_BURST):
        middle, width = draws.u() * float(at[-1]), draws.between(0.3, 1.2)
        noise *= 1.0 + draws.between(1.0, 4.0) * bump((at - middle) / width)
    return level[:, None] * noise


def _wander(draws: Draws, at: Floats) -> Floats:
    size = draws.ln(0.027, 0.85)
    turns = np.array([at * draws.between(low, high) + draws.u() for low, high, _ in _WANDER])
    waves = sine(np.concatenate([turns, turns + 0.25]))
    shares = draws.normal(2 * len(_WANDER), ELECTRODES, 1)
    total = np.zeros((ELECTRODES, at.size))
    for wave, share, (_, _, weight) in zip(waves, shares, (*_WANDER, *_WANDER), strict=True):
        total += (size * weight * share) * wave
    return total


def derived(noise: Floats) -> Floats:
    """Noise of the leads I, II and V1 to V6 from that of the electrodes: (8, samples)."""
    right, left, leg = noise[0], noise[1], noise[2]
    terminal = (right + left + leg) / 3.0  # Wilson's central terminal
    return np.concatenate([[left - right, leg - right], noise[3:] - terminal])


def leads(independent: Floats) -> NDArray[np.int16]:
    """All twelve leads in microvolts from I, II and V1 to V6 in millivolts: (samples, 12).

    I and II are rounded to even counts, so that III = II - I, aVR = -(I + II) / 2, aVL = (I -
    III) / 2 and aVF = (II + III) / 2 hold without a remainder (Einthoven, Goldberger).
    """
    even = 2 * np.rint(np.clip(independent[:2] * 500.0, -LIMIT, LIMIT)).astype(np.int64)
    i, ii = even[0], even[1]
    iii = ii - i
    chest = np.rint(np.clip(independent[2:] * 1000.0, -2 * LIMIT, 2 * LIMIT)).astype(np.int64)
    limb = np.stack([i, ii, iii, -(i + ii) // 2, (i - iii) // 2, (ii + iii) // 2])
    return np.concatenate([limb, chest]).T.astype(np.int16)
