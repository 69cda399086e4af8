"""Intervals from resamples and from sources of chance, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp

from ccella_core.evaluation.statistics.intervals import (
    UNKNOWN,
    Part,
    of_all_alike,
    of_cases,
    of_networks,
    of_parts,
    of_resamples,
)


def test_cases_alone_give_the_normal_interval():
    reach = of_parts(0.3, [Part(0.01, np.inf)])
    assert (reach.low, reach.high) == pytest.approx((0.3 - 1.959964 * 0.1, 0.3 + 1.959964 * 0.1))
    assert reach.p_value == pytest.approx(2 * norm.sf(3))


def test_networks_alone_give_students_test():
    scores = np.array([0.1, 0.25, 0.15])
    reach, known = of_parts(float(scores.mean()), [of_networks(scores)]), ttest_1samp(scores, 0)
    assert (reach.low, reach.high) == pytest.approx(known.confidence_interval()[:])
    assert reach.p_value == pytest.approx(known.pvalue)


def test_both_sources_are_weighed_by_their_variance():
    # Half of the variance has infinitely many degrees of freedom, half has one, of which the quantile is 12.706.
    reach = of_parts(0.0, [Part(0.5, np.inf), Part(0.5, 1)])
    assert reach.high == pytest.approx((1.959964 + 12.706205) / 2, rel=1e-5)
    assert reach.p_value == pytest.approx(1)


def test_an_interval_and_its_p_value_agree():
    parts = [Part(0.004, np.inf), Part(0.002, 2)]
    edge = of_parts(0.0, parts).high
    assert of_parts(edge, parts).p_value == pytest.approx(0.05)
    assert of_parts(1e3, parts).p_value < 1e-6


def test_resamples_give_percentiles():
    reach = of_resamples(np.append(np.linspace(-1, 3, 4001), np.nan))
    assert (reach.low, reach.high) == pytest.approx((-0.9, 2.9))
    assert reach.p_value == pytest.approx(0.5, abs=0.001)
    assert of_resamples(np.array([np.nan])) == UNKNOWN


def test_no_variance_and_no_value():
    assert of_parts(0.0, [Part(0.0, 1)]) == (0, 0, 1)
    assert of_parts(0.2, [Part(0.0, 1)]) == (0.2, 0.2, None)
    assert of_parts(0.2, [Part(np.nan, 1)]) == UNKNOWN
    assert of_cases(np.array([1.0, 3.0, np.nan])).variance == 2


def test_a_share_of_all_or_none_has_the_exact_interval():
    assert of_all_alike(1.0, 9).low == pytest.approx(binomtest(9, 9).proportion_ci().low)
    assert of_all_alike(0.0, 9).high == pytest.approx(binomtest(0, 9).proportion_ci().high)
    assert of_all_alike(0.5, 9) == of_all_alike(1.0, 0) == UNKNOWN
