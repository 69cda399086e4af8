"""DeLong's test against the paper's formula, by hand, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn import metrics

from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.class_scores import paired_bootstrap
from ccella_core.evaluation.statistics.delong import auroc, compare_aurocs


def drawn(cases: int = 120, *, separation: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities rounded to 0.1, so that there are ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random(cases) < 0.4
    return truth, (1 / (1 + np.exp(-rng.normal(separation * truth - 0.5, 1)))).round(1)


def delong_by_pairs(truth, a, b) -> tuple[float, float]:
    """The difference and its standard error as the paper defines them: the kernel over all pairs, and covariances."""
    components = []
    for probability in (a, b):
        above = probability[truth][:, None] - probability[~truth][None, :]
        psi = (above > 0) + 0.5 * (above == 0)
        components.append((psi.mean(axis=1), psi.mean(axis=0)))
    positives, negatives = (np.cov(np.stack(each)) for each in zip(*components, strict=True))
    contrast = np.array([1, -1])
    variance = contrast @ (positives / truth.sum() + negatives / (~truth).sum()) @ contrast
    return components[0][0].mean() - components[1][0].mean(), np.sqrt(variance)


def test_delong_is_the_papers_formula():
    truth, a = drawn(90, separation=1.5)
    _, b = drawn(90, separation=0.5)
    b = 0.5 * (a + b)
    found = compare_aurocs(truth, a, b)
    difference, error = delong_by_pairs(truth, a, b)
    assert difference == pytest.approx(metrics.roc_auc_score(truth, a) - metrics.roc_auc_score(truth, b))
    assert (found.value, found.n) == (pytest.approx(difference), 90)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(difference / error)))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error)


def test_delong_by_hand():
    # Of positives 0.8, 0.4 and negatives 0.6, 0.2: A puts 1 and 1/2 of the negatives below; B orders all rightly.
    truth = np.array([True, True, False, False])
    found = compare_aurocs(truth, np.array([0.8, 0.4, 0.6, 0.2]), np.array([0.9, 0.8, 0.2, 0.1]))
    # Components of A: positives (1, 1/2), negatives (1/2, 1), variance 1/8 each; of B: all 1.
    assert found.value == 0.75 - 1.0
    assert found.high - found.value == pytest.approx(1.959964 * np.sqrt(1 / 8 / 2 + 1 / 8 / 2))


def test_delong_agrees_with_the_paired_bootstrap():
    truth, a = drawn(300, separation=1.5)
    _, b = drawn(300, separation=0.8, seed=0)
    b = 0.7 * b + 0.3 * np.random.default_rng(1).random(300)
    exact, drawn_again = compare_aurocs(truth, a, b), paired_bootstrap(truth, a, b, "auroc")
    assert drawn_again.value == pytest.approx(exact.value)
    assert (drawn_again.low, drawn_again.high) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_delong_is_right_as_often_as_it_says():
    """Where both know the same, p-values are spread evenly over 0 … 1."""
    rng = np.random.default_rng(11)
    p_values = []
    for _ in range(400):
        truth = rng.random(80) < 0.5
        shared = truth + rng.normal(size=80)
        a, b = (1 / (1 + np.exp(-shared - rng.normal(size=80))) for _ in range(2))
        p_values.append(compare_aurocs(truth, a, b).p_value)
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_delong_of_several_networks_compares_their_means():
    truth, a = drawn(100, separation=1.5)
    networks = np.stack([a, drawn(100, separation=1.5, seed=0)[1][::-1]])
    _, b = drawn(100, separation=0.5, seed=0)
    found = compare_aurocs(truth, networks, b)
    mean = np.mean([metrics.roc_auc_score(truth, each) for each in networks])
    assert found.value == pytest.approx(mean - metrics.roc_auc_score(truth, b))
    alike = compare_aurocs(truth, np.stack([a, a]), np.stack([b, b, b]))
    assert alike.model_dump() == pytest.approx(compare_aurocs(truth, a, b).model_dump())


def test_equal_classifiers_do_not_differ():
    truth, a = drawn()
    found = compare_aurocs(truth, a, a)
    assert found.value == found.low == found.high == 0 and found.p_value is None


def test_a_difference_without_variance_has_no_interval():
    truth = np.arange(10) < 5
    found = compare_aurocs(truth, truth.astype(float), np.full(10, 0.5))
    assert found.value == 0.5 and found.low is found.high is found.p_value is None


def test_a_clear_difference_is_seen():
    truth, a = drawn(300, separation=2.5)
    _, b = drawn(300, separation=0, seed=5)
    assert compare_aurocs(truth, a, b).p_value < 1e-6


def test_one_class_alone_cannot_be_compared():
    with pytest.raises(InputError, match="two positives and two negatives; there are 3 and 0"):
        compare_aurocs(np.ones(3, bool), np.zeros(3), np.zeros(3))


def test_an_interval_by_hand():
    # As A in test_delong_by_hand: components (1, 1/2) and (1/2, 1), variance 1/8 each.
    found = auroc(np.array([True, True, False, False]), np.array([0.8, 0.4, 0.6, 0.2]))
    assert (found.value, found.n) == (0.75, 4)
    assert found.low == pytest.approx(0.75 - 1.959964 * np.sqrt(1 / 8)) and found.high == 1


def test_an_interval_is_that_of_the_difference_from_a_coin():
    """What is the same for every case has an AUROC of 0.5 without variance."""
    truth, a = drawn(90)
    found, difference = auroc(truth, a), compare_aurocs(truth, a, np.full(90, 0.5))
    assert found.value == pytest.approx(metrics.roc_auc_score(truth, a))
    assert (found.low, found.high) == pytest.approx((difference.low + 0.5, difference.high + 0.5))


def test_intervals_where_delong_has_none():
    truth = np.array([True] * 5 + [False] * 8)
    perfect = auroc(truth, truth.astype(float))
    assert (perfect.value, perfect.high) == (1, 1) and perfect.low == pytest.approx(0.025 ** (1 / 5))
    assert auroc(truth[:5], truth[:5].astype(float)).value is None
    single = auroc(truth[4:], np.linspace(1, 0, 9))
    assert (single.value, single.low) == (1, None)
