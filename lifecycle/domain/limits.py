"""Types of the fields of params.yaml, with their limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

Measures = Literal["beta", "table", "ecg"]

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1)]
Size = Annotated[int, Ge(1), Le(16_384)]  # of a layer: far beyond any network that fits a machine
Share = Annotated[float, Ge(0), Le(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
Dropout = Annotated[float, Ge(0), Lt(1)]
Name = Annotated[str, MinLen(1)]

# Read by params: an unknown key is an error, and so is an infinity.
STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}

# A field that is worked with and stands in no file: `records.format.plain` leaves it out.
NOT_KEPT: dict[str, Any] = {"kept": False}
