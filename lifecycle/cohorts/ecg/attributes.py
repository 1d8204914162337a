"""Attributes of patients in ECG data sets, made alike: age groups, sex, codes."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"\d{1,15}(?:\.0{1,6})?", re.ASCII)
_AGE = re.compile(r"\d{1,3}(?:\.\d{1,9})?", re.ASCII)
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}
_PTBXL_SEXES = {"0": "male", "1": "female"}  # ptbxl_database.csv of PTB-XL
_UNKNOWN = frozenset({"", "nan", "unknown", "na", "none"})


def whole(text: str) -> str | None:
    """A whole number as text without sign or decimals (`15709.0` is 15709), or None."""
    text = text.strip()
    return str(int(text.split(".")[0])) if _WHOLE.fullmatch(text) else None


def age_group(text: str) -> str:
    """<40, 40-64, 65-89 or 90+ (PTB-XL writes 300 for ages over 89); "" where not known."""
    if not _AGE.fullmatch(text.strip()):
        return ""
    age = float(text)
    for limit, name in ((40, "<40"), (65, "40-64"), (90, "65-89")):
        if age < limit:
            return name
    return "90+"


def sex_of(text: str) -> str:
    """`male` or `female`, "" where the file says neither."""
    return _SEXES.get(text.strip().lower(), "")


def attribute(name: str, text: str) -> str:
    """An attribute of PTB-XL's table: ages grouped, sex in words, numbers without `.0`."""
    if name == "age":
        return age_group(text)
    if name == "sex":
        return _PTBXL_SEXES.get(whole(text) or "", sex_of(text))
    text = " ".join(text.split())
    return "" if text.lower() in _UNKNOWN else whole(text) or text
