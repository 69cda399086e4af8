"""The class that a model reads from reports, against the cases' own: from the table of ``ccella synthesize``.

All volumes of a case are made from what its report says, so cases are counted and not volumes; where a case has
several, each from another wording, the mean of their probabilities is taken.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from ccella_core.cases.case import Split
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import SyntheticCase, read_synthesis_settings, read_table
from ccella_core.evaluation.statistics.class_scores import RESAMPLES, ClassScores, class_scores, scores_table
from ccella_core.report_page import save_result

CLASS_HEAD_STEM = "class_head"


class ClassHeadResult(StrictModel):
    """How well the class head of a model reads."""

    model: str
    model_sha256: str
    folder: str
    split: Split | None
    without_prediction: int
    """Cases that are left out because the model read no class, for instance from a case without a report."""
    scores: ClassScores
    warnings: tuple[str, ...] = ()


def evaluate_class_head(
    folder: Path, *, split: Split | None = None, seed: int = 0, resamples: int = RESAMPLES, out: Path | None = None
) -> ClassHeadResult:
    """Scores of the predicted class over the cases of a synthetic set; patients are resampled whole.

    Args:
        folder: of ``ccella synthesize``.
        split: only cases of this split.
        seed: of the bootstrap.
        resamples: of the bootstrap, how many.
        out: where ``class_head.json`` and ``.md`` are written.

    Raises:
        InputError: not such a folder, no case of that split, or a model that predicts no class.
        SaveError: the disk refuses.
    """
    settings = read_synthesis_settings(folder)
    cases: dict[str, list[SyntheticCase]] = defaultdict(list)
    for row in read_table(folder):
        if split in (None, row.split):
            cases[row.case].append(row)
    if not cases:
        raise InputError(f"There are no cases of the split {split} in {folder}." if split else f"{folder} is empty.")
    predicted = {
        case: probability
        for case, rows in cases.items()
        if rows[0].pathology is not None and (probability := _mean(rows)) is not None
    }
    if not predicted:
        raise InputError(
            f"The model of {folder}, {settings.model_name}, reads no class from reports, or no case has one, or no "
            "case's class is known; nothing to score."
        )
    result = ClassHeadResult(
        model=f"{settings.model_name} {settings.model_version}",
        model_sha256=settings.model_sha256,
        folder=str(folder),
        split=split,
        without_prediction=len(cases) - len(predicted),
        scores=class_scores(
            np.array([cases[case][0].pathology == "positive" for case in predicted]),
            np.array(list(predicted.values())),
            groups=[cases[case][0].patient for case in predicted],
            seed=seed,
            resamples=resamples,
        ),
        warnings=_warnings([cases[case][0] for case in predicted]),
    )
    if out is not None:
        save_result(result, class_head_markdown(result), out / CLASS_HEAD_STEM)
    return result


def class_head_markdown(result: ClassHeadResult) -> str:
    """The scores as a table, with what they are of."""
    scores = result.scores
    left_out = (
        f" {result.without_prediction} cases without a prediction, or of an unknown class, are left out."
        if result.without_prediction
        else ""
    )
    parts = [
        f"# Class head of {result.model}",
        f"The class read from the report against the case's own, of {scores.cases} cases ({scores.positives} positive)"
        f"{f' of the split {result.split}' if result.split else ''} in {result.folder}; positive from a probability of "
        f"{scores.threshold:g}.{left_out}\n"
        f"In brackets: 95 % bootstrap intervals ({scores.resamples} resamples of patients, stratified by class).",
        scores_table({"class head": scores}),
        *(f"**Warning:** {warning}" for warning in result.warnings),
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(scored: list[SyntheticCase]) -> tuple[str, ...]:
    training = sum(case.split == "train" for case in scored)
    if not training:
        return ()
    return (
        f"{training} of {len(scored)} cases are training cases (split train). If the model learnt from them, this says "
        "how well it remembers their reports, not how well it reads new ones: make volumes of the test cases with "
        "`ccella synthesize --split test`.",
    )


def _mean(rows: list[SyntheticCase]) -> float | None:
    known = [row.predicted_positive_probability for row in rows if row.predicted_positive_probability is not None]
    return float(np.mean(known)) if known else None
