"""Constants of the elementary functions: multiple-precision values rounded once, in hexadecimal.

`tests/reference/test_elementary.py` computes every one again from its definition, given here, and
compares bits. Polynomials hold the coefficients of x^0, x^1, …: the interpolant of the function
named at the Chebyshev nodes of the interval named, in powers of x, each coefficient rounded.
"""

from __future__ import annotations


def _numbers(*texts: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in texts)


# ln 2 = LN2_HIGH + LN2_LOW; the first has 42 bits, so its product with an 11-bit integer is exact.
LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")
LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
INV_LN2 = float.fromhex("0x1.71547652b82fep+0")
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD  # the bit pattern of sqrt(1/2)
SQRT2 = float.fromhex("0x1.6a09e667f3bcdp+0")
INV_SQRT_2PI = float.fromhex("0x1.9884533d43651p-2")
EXP_LEAST = float.fromhex("-0x1.1542457337d43p+8")  # -400 ln 2
NORMAL_CENTRE = 5.0
NORMAL_TOP = 23.625  # e^(-a^2 / 2) is below 2^-400 from here
# (e^r - 1 - r) / r^2 on |r| <= 0.347, a little over ln(2) / 2.
EXP_TAIL = _numbers(
    "0x1.0000000000000p-1",
    "0x1.5555555555557p-3",
    "0x1.5555555555556p-5",
    "0x1.11111111100b6p-7",
    "0x1.6c16c16c162bfp-10",
    "0x1.a01a01abfc8ddp-13",
    "0x1.a01a01a6e448ep-16",
    "0x1.71de01f07539bp-19",
    "0x1.27e4db3f36203p-22",
    "0x1.af4e70dd7207dp-26",
    "0x1.1f7350a074034p-29",
)
# (2 atanh(s) - 2 s) / s^3 as a function of s^2 on 0 <= s^2 <= 0.0295; |s| <= 3 - 2 sqrt(2).
LOG_TAIL = _numbers(
    "0x1.5555555555555p-1",
    "0x1.9999999999a3ap-2",
    "0x1.249249247670ap-2",
    "0x1.c71c7201fc0e6p-3",
    "0x1.745cf8c09a9d4p-3",
    "0x1.3b1c43c68eb6dp-3",
    "0x1.0fbd140544b63p-3",
    "0x1.0c135adcf3011p-3",
)
# erf(x) / x - 1 as a function of x^2 on 0 <= x <= 0.65.
ERF_SERIES = _numbers(
    "0x1.06eba8214db68p-3",
    "-0x1.812746b0379c2p-2",
    "0x1.ce2f21a03ff16p-4",
    "-0x1.b82ce31134daap-6",
    "0x1.565bccbc7feafp-8",
    "-0x1.c02d9d4a134bbp-11",
    "0x1.f99f4f9891c32p-14",
    "-0x1.f46b0efed5333p-17",
    "0x1.b34c5b0844608p-20",
    "-0x1.2299dc42a208cp-23",
)
# e^(a^2 / 2) Phi(-a) (a + 5) as a function of t = (a - 5) / (a + 5) on 0 <= a <= NORMAL_TOP: the
# scaled tail of the normal distribution, smooth in t up to its limit 1 / sqrt(2 pi) at infinity
# (the change of variable of Shepherd and Laframboise 1981, Mathematics of Computation 36: 249-253).
NORMAL_TAIL = _numbers(
    "0x1.89d3abe1f95aep-1",
    "-0x1.54ad03f27ca18p-1",
    "0x1.fb31653876f81p-2",
    "-0x1.410ed5f87593bp-2",
    "0x1.51f6329f01fd7p-3",
    "-0x1.1b1c254ca4706p-4",
    "0x1.54b4d4f453003p-6",
    "-0x1.88590e9811878p-9",
    "-0x1.a2503719ef801p-11",
    "0x1.1daf1b00e53a3p-11",
    "-0x1.f214c0a5f19a3p-15",
    "-0x1.a17035fc656a6p-15",
    "0x1.17e0ba0ce5d26p-16",
    "0x1.0b1c6f6ecdf09p-18",
    "-0x1.740414c3bcd71p-19",
    "-0x1.6912e0bcaf5e8p-22",
    "0x1.d5e66078e5c68p-22",
    "0x1.77dc7664a850cp-25",
    "-0x1.2d8fb4d09b9b8p-24",
    "-0x1.abc37b4c9ea55p-27",
    "0x1.3283a04eb52d3p-27",
    "0x1.f982e5b79a7acp-29",
    "0x1.9b37462e3710bp-32",
)
# (Phi(x) - 1/2) / x as a function of x^2 on 0 <= x <= 0.92.
NORMAL_SERIES = _numbers(
    "0x1.9884533d43651p-2",
    "-0x1.1058377e2cec6p-4",
    "0x1.46d04297671c4p-7",
    "-0x1.37403f6aae049p-10",
    "0x1.e42b0cdd1ea4bp-14",
    "-0x1.3ce8ea9113e05p-17",
    "0x1.658765ad1d65ap-21",
    "-0x1.61d9062dd5951p-25",
    "0x1.33c9b2da7e8c5p-29",
    "-0x1.9ad7d86b97599p-34",
)
