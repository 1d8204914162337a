"""Resampling behind an anti-aliasing filter, the same bits on every machine.

The filter is that of `scipy.signal.resample_poly`: a linear-phase low-pass of 20 max(up, down) + 1
taps at the lower of the two Nyquist frequencies, Kaiser window of beta 5. Its taps are rounded once
to whole multiples of 2^-24 and the samples are whole microvolt, so that every product and partial
sum is a whole number below 2^53: float64 holds them exactly in any order of addition, on any
machine. One rounding follows, half to even, to whole microvolt. Beyond its ends a record is
continued by its first and last value. A missing sample (NaN) spreads as far as the filter
reaches (10 samples of the slower rate to either side, 11 where its taps are padded).
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.domain.digests import canonical_array, sha256

TAP = 1 << 24  # taps are whole numbers of its inverse
_REACH = 10  # half length of the filter, in samples of the slower rate (resample_poly's)
_BETA = 5.0
_LARGEST_FACTOR = 2000


def resampled(
    values: NDArray[np.float64], rate: Fraction, target: int, record: str = ""
) -> NDArray[np.float64]:
    """A signal at another rate.

    Args:
        values: (samples, leads) float64, whole microvolt within int16, NaN where missing.
        rate: its samples a second.
        target: samples a second wanted.
        record: what a message calls it.

    Returns:
        (ceil(samples target / rate), leads) float64, whole microvolt; the same values where the
        rates are equal.

    Raises:
        BadRecordError: the ratio of the rates has no factors below 2000.
    """
    ratio = Fraction(target) / rate
    if ratio == 1:
        return values
    up, down = ratio.numerator, ratio.denominator
    if max(up, down) > _LARGEST_FACTOR:
        raise BadRecordError(
            record,
            "rate",
            f"{float(rate):g} to {target} samples a second is a ratio of {up} to {down}",
            "choose another `signal.rate`",
        )
    if not len(values):
        return values
    # the slow import is paid only where records are resampled
    from scipy.signal import resample_poly  # noqa: PLC0415

    # the stubs know windows by name only, the function takes taps too
    exact = resample_poly(  # type: ignore[call-overload]
        values, up, down, axis=0, window=taps(up, down), padtype="edge"
    )
    return np.asarray(np.rint(exact / TAP), dtype=np.float64)


@cache
def taps(up: int, down: int) -> NDArray[np.float64]:
    """Taps of the filter in units of 2^-24: whole numbers in float64, symmetric."""
    from scipy.signal import firwin  # noqa: PLC0415

    slower = max(up, down)
    taps = firwin(2 * _REACH * slower + 1, 1.0 / slower, window=("kaiser", _BETA))
    whole = np.rint(np.asarray(taps, dtype=np.float64) * TAP)
    whole.setflags(write=False)
    return whole


def described(rate: Fraction, target: int) -> dict[str, object]:
    """What a record states of its resampling: filter, ratio and digest of the taps."""
    ratio = Fraction(target) / rate
    if ratio == 1:
        return {"from": float(rate), "to": target, "filter": "none"}
    up, down = ratio.numerator, ratio.denominator
    return {
        "from": float(rate),
        "to": target,
        "filter": f"resample_poly {up}/{down}, Kaiser beta 5, taps in 2^-24, edges continued",
        "taps_sha256": sha256(canonical_array(taps(up, down).astype(np.int64))),
    }
