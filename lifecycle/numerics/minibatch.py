"""Some cases of a part, gathered once, by who needs them first."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Minibatch:
    """Cases of a part, in an order.

    Attributes:
        part: what the cases are taken from, (n, ...).
        rows: numbers of the cases, (k,) int64, each from 0 to n - 1.
    """

    def __init__(self, part: Tensor, rows: NDArray[np.int64]) -> None:
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(part)):
            raise IndexError(f"a minibatch of cases beyond the {len(part)} that there are")
        self.part, self.rows = part, np.array(rows, dtype=np.int64)  # nobody else's to change
        self._values: Tensor | None = None

    @classmethod
    def of(cls, values: Tensor) -> Minibatch:
        """All cases of a part that is the minibatch itself."""
        made = cls(values, np.arange(len(values)))
        made.fill(values)
        return made

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def gathered(self) -> bool:
        """Whether the values are at hand."""
        return self._values is not None

    @property
    def values(self) -> Tensor:
        """The cases, (k, ...): the same tensor every time.

        By numpy: torch shares such a copy out among its threads, which then spin for a while and
        keep a sweep over a first layer from a core.
        """
        if self._values is None:
            self._values = torch.from_numpy(self.part.numpy().take(self.rows, axis=0))
        return self._values

    def fill(self, values: Tensor) -> None:
        """Take the values from who has gathered them."""
        self._values = values
