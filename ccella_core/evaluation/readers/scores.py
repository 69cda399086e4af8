"""What came out of a reader study: how well readers told synthetic from real, and how far they agree."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.readers.sheets import MOST, Answer, ReaderStudy, StudyCase
from ccella_core.evaluation.statistics.agreement import cohens_kappa, fleiss_kappa
from ccella_core.evaluation.statistics.delong import auroc
from ccella_core.evaluation.statistics.estimate import Estimate

Question = Literal["synthetic or real", "quality", "PI-RADS"]
QUARTILES = (25, 50, 75)


class ReaderScores(StrictModel):
    """Of one reader. Of pairs, "synthetic" is short for "the left one is synthetic"."""

    reader: str
    accuracy: Estimate
    """Share of cases that were called what they are, with Wilson's interval; guessing gives 0.5."""
    synthetic_found: Estimate
    """Share of the synthetic cases that were called so."""
    real_found: Estimate
    """Share of the real cases that were called so."""
    auroc: Estimate
    """Of the answers ordered by confidence, from surely real to surely synthetic, with DeLong's interval."""
    roc: list[tuple[float, float]]
    """Share of real and of synthetic cases that are called synthetic, at every confidence."""
    quality_synthetic: float | None
    quality_real: float | None
    """Means of 1 … 5; of pairs, of the left volume."""
    seconds: tuple[float, float, float]
    """A case's time: quartiles."""


class ReaderAgreement(StrictModel):
    """Kappa of two readers (Cohen's) or of all (Fleiss'), on the cases that each of them answered the question for."""

    question: Question
    readers: list[str]
    kappa: Estimate


class ReadCase(StrictModel):
    """A row of the table: what one reader said of one case."""

    reader: str
    case: str
    volumes: list[str]
    is_synthetic: bool
    says_synthetic: bool
    is_right: bool
    confidence: int
    quality: int
    pirads: int | None
    location: tuple[float, float, float] | None
    seconds: float


class ReaderResult(StrictModel):
    """The whole study, unblinded."""

    study: str
    design: Literal["single", "pairs"]
    cases: int
    synthetic: int
    readers: list[ReaderScores]
    agreement: list[ReaderAgreement]
    answers: list[ReadCase]


def evaluate_readers(folder: Path) -> ReaderResult:
    """The results of a study whose readers have all answered the last case.

    Raises:
        InputError: no study, no answers, files that are damaged or of another study, or a reader who is not done: to
            know the truth before would spoil what is still to be read.
    """
    study = ReaderStudy.open(folder)
    answers = {reader: study.answers(reader) for reader in study.readers()}
    if not answers:
        raise InputError(f"Nobody has answered anything in {folder} yet.")
    for reader, given in answers.items():
        if len(given) < len(study.cases):
            raise InputError(
                f"{reader} has answered {len(given)} of {len(study.cases)} cases; results are shown after the last one."
            )
    by_name = {case.name: case for case in study.cases}
    return ReaderResult(
        study=study.id,
        design=study.design,
        cases=len(study.cases),
        synthetic=sum(case.is_synthetic for case in study.cases),
        readers=[_scores(reader, given, by_name) for reader, given in answers.items()],
        agreement=_agreement(answers, list(by_name)),
        answers=[_row(reader, each, by_name[each.case]) for reader, given in answers.items() for each in given],
    )


def probability_of(answer: Answer) -> float:
    """0 (surely real) … 1 (surely synthetic), with which answers are ordered."""
    return 0.5 + (answer.confidence if answer.says_synthetic else -answer.confidence) / (2 * MOST)


def _scores(reader: str, answers: list[Answer], cases: dict[str, StudyCase]) -> ReaderScores:
    truth = np.array([cases[each.case].is_synthetic for each in answers])
    said = np.array([each.says_synthetic for each in answers])
    quality = np.array([each.quality for each in answers], float)
    probability = np.array([probability_of(each) for each in answers])
    low, middle, high = (float(each) for each in np.percentile([each.seconds for each in answers], QUARTILES))
    return ReaderScores(
        reader=reader,
        accuracy=Estimate.of_share(said == truth),
        synthetic_found=Estimate.of_share(said[truth]),
        real_found=Estimate.of_share(~said[~truth]),
        auroc=auroc(truth, probability),
        roc=_roc(truth, probability),
        quality_synthetic=float(quality[truth].mean()) if truth.any() else None,
        quality_real=float(quality[~truth].mean()) if not truth.all() else None,
        seconds=(low, middle, high),
    )


def _roc(truth: np.ndarray, probability: np.ndarray) -> list[tuple[float, float]]:
    if truth.all() or not truth.any():
        return []
    thresholds = sorted({*probability.tolist()}, reverse=True)
    called = [probability >= threshold for threshold in thresholds]
    return [(0.0, 0.0), *((float(each[~truth].mean()), float(each[truth].mean())) for each in called)]


def _agreement(answers: dict[str, list[Answer]], cases: list[str]) -> list[ReaderAgreement]:
    found = []
    said: dict[Question, dict[str, dict[str, int | None]]] = {
        "synthetic or real": {r: {a.case: int(a.says_synthetic) for a in given} for r, given in answers.items()},
        "quality": {r: {a.case: a.quality for a in given} for r, given in answers.items()},
        "PI-RADS": {r: {a.case: a.pirads for a in given} for r, given in answers.items()},
    }
    readers = list(answers)
    groups = [*combinations(readers, 2), *([tuple(readers)] if len(readers) > 2 else [])]
    for question, words in said.items():
        for group in groups:
            rows = [[words[reader][case] for reader in group] for case in cases]
            whole = [row for row in rows if None not in row]
            if not whole:
                kappa = Estimate(value=None, n=0)
            elif len(group) == 2:
                kappa = cohens_kappa([row[0] for row in whole], [row[1] for row in whole])
            else:
                kappa = fleiss_kappa(whole)
            found.append(ReaderAgreement(question=question, readers=list(group), kappa=kappa))
    return found


def _row(reader: str, answer: Answer, case: StudyCase) -> ReadCase:
    return ReadCase(
        reader=reader,
        case=case.name,
        volumes=list(case.volumes),
        is_synthetic=case.is_synthetic,
        says_synthetic=answer.says_synthetic,
        is_right=answer.says_synthetic == case.is_synthetic,
        confidence=answer.confidence,
        quality=answer.quality,
        pirads=answer.pirads,
        location=answer.location,
        seconds=answer.seconds,
    )
