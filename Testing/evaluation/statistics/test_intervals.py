"""Intervals from resamples and from sources of chance, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp

from ccella_core.evaluation.statistics.estimate import Difference
from ccella_core.evaluation.statistics.intervals import (
    VarianceComponent,
    of_all_alike,
    of_cases,
    of_components,
    of_networks,
    of_resamples,
)

N = 9


def test_cases_alone_give_the_normal_interval():
    found = of_components(0.3, [VarianceComponent(0.01, np.inf)], N)
    assert (found.low, found.high) == pytest.approx((0.3 - 1.959964 * 0.1, 0.3 + 1.959964 * 0.1))
    assert found.p_value == pytest.approx(2 * norm.sf(3))


def test_networks_alone_give_students_test():
    scores = np.array([0.1, 0.25, 0.15])
    found, known = of_components(float(scores.mean()), [of_networks(scores)], N), ttest_1samp(scores, 0)
    assert (found.low, found.high) == pytest.approx(known.confidence_interval()[:])
    assert found.p_value == pytest.approx(known.pvalue)


def test_both_sources_are_weighed_by_their_variance():
    # Half of the variance has infinitely many degrees of freedom, half has one, of which the quantile is 12.706.
    found = of_components(0.0, [VarianceComponent(0.5, np.inf), VarianceComponent(0.5, 1)], N)
    assert found.high == pytest.approx((1.959964 + 12.706205) / 2, rel=1e-5)
    assert found.p_value == pytest.approx(1)


def test_an_interval_and_its_p_value_agree():
    components = [VarianceComponent(0.004, np.inf), VarianceComponent(0.002, 2)]
    edge = of_components(0.0, components, N).high
    assert of_components(edge, components, N).p_value == pytest.approx(0.05)
    assert of_components(1e3, components, N).p_value < 1e-6


def test_resamples_give_percentiles():
    found = of_resamples(1.0, np.append(np.linspace(-1, 3, 4001), np.nan), N)
    assert (found.low, found.high) == pytest.approx((-0.9, 2.9))
    assert found.p_value == pytest.approx(0.5, abs=0.001)
    assert of_resamples(1.0, np.array([np.nan]), N) == Difference(value=1.0, n=N)


def test_no_variance_and_no_value():
    none, unknown = VarianceComponent(0.0, 1), VarianceComponent(np.nan, 1)
    assert of_components(0.0, [none], N) == Difference(value=0, low=0, high=0, n=N, p_value=1)
    assert of_components(0.2, [none], N) == Difference(value=0.2, low=0.2, high=0.2, n=N)
    assert of_components(0.2, [unknown], N) == Difference(value=0.2, n=N)
    assert of_cases(np.array([1.0, 3.0, np.nan])).variance == 2


def test_a_share_of_all_or_none_has_the_exact_interval():
    assert of_all_alike(1.0, 9, N).low == pytest.approx(binomtest(9, 9).proportion_ci().low)
    assert of_all_alike(0.0, 9, N).high == pytest.approx(binomtest(0, 9).proportion_ci().high)
    assert not of_all_alike(0.5, 9, N).has_interval and not of_all_alike(1.0, 0, N).has_interval
