"""``ccella evaluate classifier``: what classifiers say of cases that they have not seen, and whether two differ.

The networks of a run differ in their seeds alone. Each is scored by itself, and the run by the mean of their scores:
what one training is worth, not what an ensemble would be. Two runs are compared on the same cases. DeLong's test takes
the networks as they are, and cases as independent; the paired bootstrap draws patients whole and, of several networks,
counts what other seeds would have changed, so that a difference that comes from one lucky seed is not taken for one of
the data.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np
from accelerate import Accelerator

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig, ClassifierRecord
from ccella_core.evaluation.classifier.data import ClassifierImages, labelled, refuse_shared
from ccella_core.evaluation.classifier.network import build_classifier
from ccella_core.evaluation.classifier.start import load_finished
from ccella_core.evaluation.classifier.training import predict
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.statistics.class_scores import (
    RESAMPLES,
    SCORE_NAMES,
    ClassScores,
    class_scores,
    paired_bootstrap,
    scores_table,
)
from ccella_core.evaluation.statistics.delong import compare_aurocs
from ccella_core.evaluation.statistics.estimate import Difference, format_p_value
from ccella_core.evaluation.statistics.resampling import ScoreName
from ccella_core.files import write_text
from ccella_core.phantom.findings import Pathology
from ccella_core.report_page import markdown_table, save_result
from ccella_core.runs.folder import read_run_config, read_run_record

RESULT, COMPARISON, PROBABILITIES_NAME = "scores", "comparison", "probabilities.csv"
COMPARED: tuple[ScoreName, ...] = ("accuracy", "auroc", "average_precision")


class TestedCase(StrictModel):
    """A case of the test, and the probability of positive by each network, in the order of the seeds."""

    id: str
    patient: str
    pathology: Pathology
    probabilities: tuple[float, ...]


class ClassifierResult(StrictModel):
    """What the classifiers of a run are worth on a set of cases."""

    name: str
    run: str
    data: str
    trained_on: dict[str, int]
    """Cases by kind and split."""
    seeds: tuple[int, ...]
    best_steps: tuple[int, ...]
    """After which step each network has the weights that are used: the best on the validation cases, or the last."""
    scores: ClassScores
    """The mean over the networks."""
    by_seed: dict[int, ClassScores]
    cases: tuple[TestedCase, ...]

    @property
    def truth(self) -> np.ndarray:
        """(N,) bool."""
        return np.array([case.pathology == "positive" for case in self.cases])

    @property
    def probability(self) -> np.ndarray:
        """(S, N) of S networks."""
        return np.array([case.probabilities for case in self.cases]).T

    @property
    def patients(self) -> list[str]:
        """Whose each case is."""
        return [case.patient for case in self.cases]


class ClassifierComparison(StrictModel):
    """Run A against run B on the same cases; differences are A less B."""

    a: str
    b: str
    cases: int
    auroc: Difference | None
    """By DeLong's test; ``None`` where a patient has several cases, which it would take for independent."""
    differences: dict[ScoreName, Difference]


def evaluate_classifier(
    run: Path,
    volumes: VolumeSet,
    *,
    accelerator: Accelerator | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    out: Path | None = None,
) -> ClassifierResult:
    """Score every network of a finished run, each with the weights that ``choose_by`` names.

    Args:
        run: folder of ``train_classifier``.
        volumes: with a class each; of patients from whom the run has learnt nothing.
        accelerator: processes and device.
        seed: of the bootstrap, which draws patients whole.
        resamples: of the bootstrap, how many.
        out: where ``scores.json``, ``scores.md`` and ``probabilities.csv`` are written.

    Raises:
        InputError: no such run, one that is not finished, a patient of its training or validation among ``volumes``,
            or a volume that cannot be used.
        SaveError: the disk refuses.
    """
    accelerator = accelerator or Accelerator()
    config, learnt_from = read_run_config(run, ClassifierConfig), read_run_record(run, ClassifierRecord).data
    if volumes.channels != len(config.sequences):
        raise InputError(f"The run in {run} takes {', '.join(config.sequences)}; open all of them as channels.")
    cases = labelled(volumes, "real")
    patients = {case.member.patient for case in cases}
    for split, learnt in learnt_from.patients.items():
        refuse_shared(patients, set(learnt), "The cases to test on hold", f"of the {split} cases of {run}")
    images = ClassifierImages(cases, config.classifier.preprocessing)
    rows, best_steps = [], []
    for number in config.seeds:
        network = build_classifier(config.classifier.network, len(config.sequences))
        best_steps.append(load_finished(run, config, number, network))
        network.to(accelerator.device).eval()
        rows.append(predict(network, images, accelerator, config.classifier.batch_size).softmax(dim=1)[:, 1].numpy())
    probability = np.stack(rows).astype(float)
    groups = [case.member.patient for case in cases]
    score = partial(class_scores, images.positive, groups=groups, seed=seed, resamples=resamples)
    result = ClassifierResult(
        name=config.name,
        run=str(run),
        data=volumes.name,
        trained_on=learnt_from.cases,
        seeds=config.seeds,
        best_steps=tuple(best_steps),
        scores=score(probability),
        by_seed=dict(zip(config.seeds, map(score, probability), strict=True)),
        cases=tuple(
            TestedCase(
                id=case.member.id,
                patient=case.member.patient,
                pathology="positive" if case.positive else "negative",
                probabilities=tuple(column.tolist()),
            )
            for case, column in zip(cases, probability.T, strict=True)
        ),
    )
    if out is not None and accelerator.is_main_process:
        save_result(result, classifier_markdown(result), out / RESULT)
        write_text(out / PROBABILITIES_NAME, _csv(result))
    return result


def compare_classifiers(
    a: ClassifierResult, b: ClassifierResult, *, seed: int = 0, resamples: int = RESAMPLES, out: Path | None = None
) -> ClassifierComparison:
    """Whether A and B differ on the cases that both were tested on.

    Raises:
        InputError: they were tested on different cases, or on fewer than two of a class.
        SaveError: ``comparison.json`` or ``.md`` cannot be written into ``out``.
    """
    if [(case.id, case.pathology) for case in a.cases] != [(case.id, case.pathology) for case in b.cases]:
        raise InputError(f"{a.name} and {b.name} were not tested on the same cases, so they cannot be compared.")
    truth, patients = a.truth, a.patients
    names = (a.name, b.name) if a.name != b.name else (f"{a.name} in {a.run}", f"{b.name} in {b.run}")
    comparison = ClassifierComparison(
        a=names[0],
        b=names[1],
        cases=len(truth),
        auroc=compare_aurocs(truth, a.probability, b.probability) if len(set(patients)) == len(patients) else None,
        differences={
            score: paired_bootstrap(
                truth,
                a.probability,
                b.probability,
                score,
                groups=patients,
                same_seeds=a.seeds == b.seeds,
                seed=seed,
                resamples=resamples,
            )
            for score in COMPARED
        },
    )
    if out is not None:
        save_result(comparison, comparison_markdown(comparison, a, b), out / COMPARISON)
    return comparison


def classifier_markdown(result: ClassifierResult) -> str:
    """The scores of the networks together, and of each."""
    scores = result.scores
    columns = {f"seed {seed}": each for seed, each in result.by_seed.items()}
    columns = {"mean of the seeds": scores, **columns} if len(columns) > 1 else columns
    trained_on = ", ".join(f"{count} {kind}" for kind, count in result.trained_on.items())
    return (
        f"# Classifier {result.name}\n\n"
        f"Trained on: {trained_on} cases. Tested on {scores.cases} cases ({scores.positives} positive) of "
        f"{result.data}; positive from a probability of {scores.threshold:g}.\n"
        f"In brackets: 95 % bootstrap intervals ({scores.resamples} resamples of patients, stratified by class; for "
        "the mean, with what other seeds would have changed).\n\n"
        f"{scores_table(columns)}\n"
    )


def comparison_markdown(comparison: ClassifierComparison, a: ClassifierResult, b: ClassifierResult) -> str:
    """The scores of both, and the differences with their p-values."""
    differences = {f"{SCORE_NAMES[score]} (paired bootstrap)": each for score, each in comparison.differences.items()}
    if comparison.auroc is not None:
        differences = {"AUROC (DeLong, of these very networks)": comparison.auroc, **differences}
    parts = [
        f"# {comparison.a} against {comparison.b}",
        f"On the same {comparison.cases} cases of {a.data}; {len(a.seeds)} and {len(b.seeds)} networks.",
        scores_table({comparison.a: a.scores, comparison.b: b.scores}),
        markdown_table(
            [f"{comparison.a} less {comparison.b}", "difference and 95 % interval", "p"],
            [[name, _signed(each), format_p_value(each.p_value)] for name, each in differences.items()],
        ),
    ]
    if comparison.auroc is None:
        parts.append("DeLong's test is left out: it would take the several cases of a patient for independent.")
    return "\n\n".join(parts) + "\n"


def _csv(result: ClassifierResult) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "patient", "pathology", *(f"seed_{seed}" for seed in result.seeds)])
    table.writerows([case.id, case.patient, case.pathology, *case.probabilities] for case in result.cases)
    return text.getvalue()


def _signed(difference: Difference) -> str:
    value, low, high = difference.value, difference.low, difference.high
    if value is None:
        return "not defined"
    return f"{value:+.3f} (no interval)" if low is None or high is None else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
