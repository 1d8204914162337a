"""Named tensors as one safetensors file: the shapes and bits that were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from lifecycle.errors import IntegrityError


def packed(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a safetensors file that holds the tensors, sorted by name.

    Not `np.ascontiguousarray`: it gives a scalar (BatchNorm's count of batches) one dimension.
    """
    data: bytes = save({name: np.asarray(tensors[name], order="C") for name in sorted(tensors)})
    return data


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file; whatever the library says of a broken one is raised."""
    return dict(load(data))


def tensors_in(data: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file of ours.

    Raises:
        IntegrityError: it is none, or a torn one; names it.
    """
    try:
        return unpacked(data)
    except Exception as error:  # noqa: BLE001  # safetensors raises a bare Exception subclass
        raise IntegrityError(
            f"{path} was changed or is torn: {' '.join(str(error).split())[:200]}"
        ) from None
