"""Kappas against published examples, and their intervals against resampling."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.agreement import cohens_kappa, fleiss_kappa

FLEISS_EXAMPLE = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""Ten cases, fourteen readers, five categories; kappa 0.210 in the literature."""


def of_table(table: list[list[int]]) -> tuple[list[int], list[int]]:
    """Two readers' words from their contingency table."""
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in pairs], [j for _, j in pairs]


def of_counts(counts: list[list[int]]) -> list[list[int]]:
    return [[word for word, count in enumerate(row) for _ in range(count)] for row in counts]


@pytest.mark.parametrize(
    ("table", "kappa"),
    [([[20, 5], [10, 15]], 0.4), ([[45, 15], [25, 15]], 0.1304), ([[25, 35], [5, 35]], 0.2593), ([[5, 0], [0, 7]], 1)],
)
def test_cohens_kappa_of_textbook_tables(table: list[list[int]], kappa: float) -> None:
    found = cohens_kappa(*of_table(table))
    assert found.value == pytest.approx(kappa, abs=5e-5) and found.n == sum(map(sum, table))


def test_its_standard_error_is_that_of_the_textbook() -> None:
    """Fleiss, Statistical Methods for Rates and Proportions, table 13.1: kappa 0.68 with a standard error of 0.087."""
    found = cohens_kappa(*of_table([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert found.value == pytest.approx(0.676, abs=5e-4)
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.087, abs=1e-3)


def test_fleiss_kappa_of_the_textbook() -> None:
    found = fleiss_kappa(of_counts(FLEISS_EXAMPLE))
    assert found.value == pytest.approx(0.210, abs=5e-4) and found.n == 10
    assert found.low is not None and found.high is not None and found.low < 0.21 < found.high


def test_fleiss_interval_is_as_wide_as_resampled_cases_are_apart() -> None:
    chance = np.random.default_rng(3)
    truth = chance.random(150) < 0.5
    said = [[int(each if chance.random() < 0.8 else not each) for _ in range(3)] for each in truth]
    found = fleiss_kappa(said)
    drawn = [fleiss_kappa([said[case] for case in chance.integers(0, 150, 150)]).value for _ in range(300)]
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(np.std(drawn), rel=0.12)  # type: ignore[arg-type]


def test_two_readers_who_use_the_words_equally_often_have_one_kappa() -> None:
    """Scott's pi and Cohen's kappa are then the same."""
    a, b = of_table([[30, 10], [10, 20]])
    assert fleiss_kappa(list(zip(a, b, strict=True))).value == pytest.approx(cohens_kappa(a, b).value)


def test_what_is_not_defined() -> None:
    assert cohens_kappa("aaaa", "aaaa").value is None and fleiss_kappa([["a", "a"]] * 3).value is None
    perfect = cohens_kappa("aabb", "aabb")
    assert perfect.value == 1 and not perfect.has_interval
    assert fleiss_kappa([["a", "b", "a"]]).low is None
    with pytest.raises(InputError, match="there are 3 and 2"):
        cohens_kappa("aab", "aa")
    with pytest.raises(InputError, match="there are 0 and 0"):
        cohens_kappa("", "")
    for ratings in ([], [["a"]], [["a", "b"], ["a"]]):
        with pytest.raises(InputError, match="at least one case"):
            fleiss_kappa(ratings)
