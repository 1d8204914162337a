from __future__ import annotations

import pytest
from sklearn.metrics import cohen_kappa_score

from lifecycle.errors import UsageError
from lifecycle.stats.agreement import kappa, mcnemar, percent_agreement


def test_kappa_against_scikit_learn():
    one, two = list("AABBBCABCA"), list("ABBBBCABAA")
    assert kappa(one, two) == pytest.approx(cohen_kappa_score(one, two))


def test_kappa_where_it_does_not_exist():
    assert kappa([], []) is None
    assert kappa(["A", "A"], ["A", "A"]) is None
    with pytest.raises(UsageError):
        kappa(["A"], [])


def test_mcnemar_by_hand():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar(3, 3) == pytest.approx(1.0)


def test_percent_agreement_by_hand():
    reference = [True, True, True, False, False]
    candidate = [True, True, False, False, True]
    assert percent_agreement(reference, candidate) == (3 / 5, 2 / 3, 1 / 2)
    assert percent_agreement([], []) == (None, None, None)


@pytest.mark.parametrize("more", ["reference", "candidate"])
def test_percent_agreement_of_columns_that_do_not_fit_is_refused(more):
    columns = {"reference": [True, False], "candidate": [True, False], more: [True, False, True]}
    with pytest.raises(ValueError, match="argument 2 is"):
        percent_agreement(**columns)


def test_percent_agreement_where_one_side_is_empty():
    assert percent_agreement([True, True], [True, False]) == (1 / 2, 1 / 2, None)
    assert percent_agreement([False], [False]) == (1.0, None, 1.0)
