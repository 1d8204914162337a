"""A minibatch gathers its cases once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lifecycle.numerics.minibatch import Minibatch

PART = torch.arange(24, dtype=torch.float64).reshape(6, 4)


def test_the_values_are_the_cases_in_their_order_and_one_tensor() -> None:
    batch = Minibatch(PART, np.array([4, 0, 4]))
    assert len(batch) == 3
    assert not batch.gathered
    assert torch.equal(batch.values, PART[torch.tensor([4, 0, 4])])
    assert batch.values is batch.values
    assert batch.gathered


def test_values_that_somebody_gathered_are_taken() -> None:
    batch, values = Minibatch(PART, np.array([1])), PART[1:2].clone()
    batch.fill(values)
    assert batch.values is values


def test_a_part_as_its_own_minibatch() -> None:
    batch = Minibatch.of(PART)
    assert batch.values is PART
    assert batch.rows.tolist() == list(range(6))
    assert len(Minibatch.of(PART[:0])) == 0


@pytest.mark.parametrize("row", [-1, 6])
def test_cases_that_are_not_there_are_refused(row: int) -> None:
    with pytest.raises(IndexError, match="the 6 that there are"):
        Minibatch(PART, np.array([0, row]))
