"""Scores of a class against scikit-learn and closed forms, and what cannot be scored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.class_scores import (
    ClassScores,
    class_scores,
    paired_bootstrap,
    scores_table,
)
from ccella_core.evaluation.statistics.resampling import SCORES, Draws, weighted_scores

FEW = 400
"""Resamples, where the ends of the interval need not be exact."""


def drawn(cases: int = 120, *, separation: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities rounded to 0.1, so that there are ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random(cases) < 0.4
    return truth, (1 / (1 + np.exp(-rng.normal(separation * truth - 0.5, 1)))).round(1)


def of_sklearn(truth, probability, weights=None) -> dict[str, float]:
    called = probability >= 0.5
    return {
        "accuracy": metrics.accuracy_score(truth, called, sample_weight=weights),
        "sensitivity": metrics.recall_score(truth, called, sample_weight=weights),
        "specificity": metrics.recall_score(~truth, ~called, sample_weight=weights),
        "ppv": metrics.precision_score(truth, called, sample_weight=weights),
        "npv": metrics.precision_score(~truth, ~called, sample_weight=weights),
        "auroc": metrics.roc_auc_score(truth, probability, sample_weight=weights),
        "average_precision": metrics.average_precision_score(truth, probability, sample_weight=weights),
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_score_is_scikit_learns(seed):
    truth, probability = drawn(seed=seed)
    scores = class_scores(truth, probability, resamples=FEW)
    assert {name: getattr(scores, name).value for name in SCORES} == pytest.approx(of_sklearn(truth, probability))
    assert (scores.cases, scores.positives) == (120, truth.sum())
    assert (scores.sensitivity.n, scores.specificity.n, scores.auroc.n) == (truth.sum(), 120 - truth.sum(), 120)
    assert (scores.ppv.n, scores.npv.n) == ((probability >= 0.5).sum(), (probability < 0.5).sum())


def test_a_resamples_scores_are_scikit_learns_with_weights():
    truth, probability = drawn()
    weights = Draws(truth, None, 5, seed=1).cases()
    ours = weighted_scores(truth, probability, 0.5, weights)
    for row, weighting in enumerate(weights):
        expected = of_sklearn(truth, probability, weighting)
        assert {name: ours[name][row] for name in SCORES} == pytest.approx(expected)


def test_resamples_keep_the_numbers_of_each_class_and_draw_groups_whole():
    truth, _ = drawn()
    weights = Draws(truth, None, 50, seed=0).cases()
    assert (weights[:, truth].sum(axis=1) == truth.sum()).all()
    assert (weights[:, ~truth].sum(axis=1) == (~truth).sum()).all()
    groups = np.array([f"patient {case // 3}" for case in range(120)])
    together = Draws(truth, groups, 50, seed=0).cases().reshape(50, 40, 3)
    assert (together == together[:, :, :1]).all()


def test_an_interval_of_a_share_is_the_binomials():
    truth = np.ones(400, bool)
    truth[200:] = False
    probability = np.where(np.arange(400) % 4 == 0, ~truth, truth).astype(float)  # one of four is wrong
    scores = class_scores(truth, probability, seed=3)
    half_width = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert scores.accuracy.value == 0.75
    assert scores.accuracy.low == pytest.approx(0.75 - half_width, abs=0.006)
    assert scores.accuracy.high == pytest.approx(0.75 + half_width, abs=0.006)


def test_an_interval_of_cases_that_belong_together_is_wider():
    truth, probability = drawn(60)
    copies = [np.repeat(each, 4) for each in (truth, probability)]
    patients = [str(case) for case in np.repeat(np.arange(60), 4)]
    alone, together = class_scores(*copies, resamples=FEW), class_scores(*copies, groups=patients, resamples=FEW)
    single = class_scores(truth, probability, resamples=FEW)
    assert together.auroc.high - together.auroc.low > 1.5 * (alone.auroc.high - alone.auroc.low)
    assert together.auroc.low == pytest.approx(single.auroc.low, abs=0.02)


def test_shuffled_labels_know_nothing_and_perfect_ones_all():
    rng = np.random.default_rng(7)
    truth, probability = rng.random(300) < 0.4, rng.random(300)
    shuffled = class_scores(truth, probability, resamples=FEW).auroc
    assert shuffled.low < 0.5 < shuffled.high and shuffled.value == pytest.approx(0.5, abs=0.1)
    perfect = class_scores(truth, truth.astype(float), resamples=FEW)
    assert all(getattr(perfect, name).value == 1 for name in SCORES)


def test_several_networks_give_their_mean_and_a_wider_interval():
    truth, good = drawn(200, separation=2)
    _, poor = drawn(200, separation=0.2, seed=0)
    both = class_scores(truth, np.stack([good, poor]), resamples=FEW)
    alone = [class_scores(truth, each, resamples=FEW) for each in (good, poor)]
    assert both.networks == 2
    assert both.auroc.value == pytest.approx(np.mean([each.auroc.value for each in alone]))
    assert both.auroc.high - both.auroc.low > max(each.auroc.high - each.auroc.low for each in alone)


@pytest.mark.parametrize(
    ("truth", "probability", "missing"),
    [
        ([False, False, False], [0.1, 0.6, 0.2], {"sensitivity", "auroc", "average_precision"}),
        ([True, True, True], [0.1, 0.6, 0.2], {"specificity", "auroc"}),
        ([True, False, False], [0.1, 0.2, 0.3], {"ppv"}),
    ],
)
def test_what_is_not_defined_is_none(truth, probability, missing):
    scores = class_scores(np.array(truth), np.array(probability), resamples=FEW)
    undefined = {name for name in SCORES if getattr(scores, name).value is None}
    assert undefined == missing
    assert all(getattr(scores, name).low is getattr(scores, name).high is None for name in missing)
    assert ClassScores.model_validate_json(scores.model_dump_json()) == scores
    assert "not defined" in scores_table({"model": scores})


def test_a_table_names_value_interval_and_n():
    truth, probability = drawn()
    scores = class_scores(truth, probability, resamples=FEW)
    table = scores_table({"real": scores, "synthetic": scores}).splitlines()
    assert table[0] == "| | real | synthetic |" and len(table) == 2 + len(SCORES)
    row = f"{scores.auroc.value:.3f} ({scores.auroc.low:.3f} to {scores.auroc.high:.3f}; n 120)"
    assert table[7] == f"| AUROC | {row} | {row} |"


@pytest.mark.parametrize(
    ("truth", "probability", "sentence"),
    [
        ([], [], "There are no cases to score"),
        ([True, False], [0.5], "There are 1 probabilities for 2 cases"),
        ([True, False], [0.5, float("nan")], "A probability is not a number from 0 to 1"),
        ([True, False], [0.5, 50.0], "A probability is not a number from 0 to 1"),
    ],
)
def test_what_cannot_be_scored_is_said(truth, probability, sentence):
    with pytest.raises(InputError, match=sentence):
        class_scores(np.array(truth, bool), np.array(probability))


def test_groups_of_another_number_are_refused():
    with pytest.raises(InputError, match="There are 1 groups for 120 cases"):
        class_scores(*drawn(), groups=["a"])


def test_equal_classifiers_do_not_differ():
    truth, a = drawn()
    again = paired_bootstrap(truth, a, a, "accuracy", resamples=FEW)
    assert (again.value, again.low, again.high, again.p_value) == (0, 0, 0, 1)


def test_a_clear_difference_is_seen_and_none_is_not():
    truth, a = drawn(300, separation=2.5)
    _, b = drawn(300, separation=0, seed=5)
    assert paired_bootstrap(truth, a, b, "accuracy").p_value < 0.01
    assert paired_bootstrap(truth, b, np.random.default_rng(0).permutation(b), "accuracy").p_value > 0.05


def test_one_class_alone_cannot_be_compared():
    assert paired_bootstrap(np.ones(3, bool), np.zeros(3), np.zeros(3), "auroc", resamples=FEW).p_value is None


def test_all_right_is_not_sure_to_stay_so():
    """Where every resample is alike, the interval is Clopper and Pearson's, of patients where those are known."""
    truth = np.arange(30) < 12
    scores = class_scores(truth, truth.astype(float), resamples=FEW)
    assert (scores.sensitivity.low, scores.sensitivity.high) == pytest.approx(binomtest(12, 12).proportion_ci()[:])
    assert scores.accuracy.low == pytest.approx(binomtest(30, 30).proportion_ci().low)
    assert scores.auroc.low == scores.sensitivity.low  # twelve pairs share no case
    assert scores.average_precision.low is None and "no interval" in scores.average_precision.with_n()
    pairs = [str(case // 2) for case in range(30)]
    assert class_scores(truth, truth.astype(float), groups=pairs, resamples=FEW).sensitivity.low == pytest.approx(
        binomtest(6, 6).proportion_ci().low
    )
    wrong = class_scores(truth, (~truth).astype(float), resamples=FEW)
    assert (wrong.accuracy.value, wrong.accuracy.low) == (0, 0)
    assert wrong.accuracy.high == pytest.approx(binomtest(0, 30).proportion_ci().high)


@pytest.mark.medium
@pytest.mark.parametrize(("networks", "same_seeds"), [(2, True), (3, True), (3, False)])
def test_networks_that_differ_by_chance_are_rarely_told_apart(networks, same_seeds):
    """Both runs are drawn alike, each network a little better or worse: few intervals may leave out 0."""
    rng = np.random.default_rng(3)
    truth = np.arange(100) % 2 == 0
    apart = 0
    for _ in range(120):
        shared = rng.normal(size=100)
        separation = rng.normal(1.0, 0.5, size=(2, networks, 1))  # what a seed changes
        latent = separation * truth + shared + 0.5 * rng.normal(size=(2, networks, 100))
        a, b = 1 / (1 + np.exp(-latent))
        found = paired_bootstrap(truth, a, b, "auroc", same_seeds=same_seeds, resamples=100)
        apart += not found.low <= 0 <= found.high
    assert apart <= 12  # at 5 %, more than 12 of 120 happen once in a hundred times


def test_a_difference_without_variance_has_no_interval():
    truth = np.arange(10) < 5
    found = paired_bootstrap(truth, np.stack([truth, truth]), np.full((2, 10), 0.5), "auroc", resamples=FEW)
    assert found.value == 0.5 and found.low == found.high == 0.5 and found.p_value is None
