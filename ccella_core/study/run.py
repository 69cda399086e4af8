"""``run_study``: from cases to one page, in one call that is read from top to bottom."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ccella_core.cases.case import SPLITS
from ccella_core.cases.layouts import read_source
from ccella_core.cases.prepare import prepare
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.cases.reports import with_reports
from ccella_core.cases.splits import assign_splits
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeSet, open_volume_set
from ccella_core.networks.config import Variant
from ccella_core.progress import OnProgress
from ccella_core.runs.folder import alone_in_output
from ccella_core.runs.launch import launched
from ccella_core.study.checks import check_study
from ccella_core.study.classifiers import compared, train_arms
from ccella_core.study.config import StudyConfig
from ccella_core.study.examples import Examples, chosen_cases, examples_of
from ccella_core.study.image_measures import FEWEST_TEST_PATIENTS
from ccella_core.study.measuring import Measurer
from ccella_core.study.plan import CASES, plan
from ccella_core.study.result import Cases, LeftOut, StudyResult, VariantResult, write_result
from ccella_core.study.stages import Listener, Silent, Stages
from ccella_core.study.study_page import write_page
from ccella_core.study.variant import VariantMaker

log = logging.getLogger(__name__)

FEWEST_OF_A_CLASS = 2
"""Positive and negative cases that a split needs, for a score of the class to have an interval."""


class Prepared(StrictModel):
    """What preparing the cases left."""

    fingerprint: str
    refused: int


@alone_in_output
def run_study(config: StudyConfig, listener: Listener | None = None) -> Path:
    """Do what is left of a study, and write its page.

    Args:
        config: everything.
        listener: follows what will be done, what is being done and how far that is.

    Returns:
        The page, ``study.html``; ``study.json``, ``study.md`` and ``tables/`` lie beside it.

    Raises:
        InputError: something in the configuration or the cases cannot be used, or ``output`` holds what was made with
            another configuration.
        CCELLAError: whatever a stage raises; what is finished stays, and the study goes on there.
    """
    # 1. Check everything before anything slow begins.
    if launched().num_processes > 1:
        raise InputError("A study runs in one process; of its parts, `ccella train` can be launched on several.")
    stages_to_do = plan(config)
    check_study(config)
    stages = Stages(config.output, stages_to_do, listener or Silent())
    # 2. The cases.
    prepared, refused = _prepared(config, stages)
    cases = _checked_cases(config, prepared)
    # 3. Every variant: trained, let make volumes, measured.
    measurer = Measurer(config, prepared, stages)
    variants, measures = [], []
    for variant in config.variants:
        made = VariantMaker(config, prepared, variant, stages).make()
        variants.append(made)
        measures += measurer.measure(made)
    # 4. What the volumes are worth to a classifier.
    arms = train_arms(config, prepared, variants, stages)
    scores, differences = compared(arms)
    # 5. Tables and the page.
    result = StudyResult(
        title=config.title,
        about=config.about,
        config=json.loads(config.model_dump_json()),
        cases=cases,
        variants=tuple(variants),
        measures=tuple(measures),
        warnings=(*_of_refused(refused, config), *measurer.warnings),
        arm_scores=tuple(scores),
        differences=tuple(differences),
        left_out=tuple(LeftOut(stage=each.title, why_not=each.why_not) for each in stages_to_do if each.why_not),
        cases_left_out=stages.left_out,
        seconds=stages.seconds,
    )
    write_result(result, config.output)
    return write_page(result, config.output, _examples(config, prepared, variants))


def _prepared(config: StudyConfig, stages: Stages) -> tuple[PreparedSet, int]:
    """Opened, and how many cases were refused; where a source is given, prepared first."""
    data = config.data
    if data.source is None:
        return PreparedSet.open(data.prepared), 0
    source = data.source

    def work(folder: Path, on_progress: OnProgress) -> Prepared:
        listing = read_source(source, data.layout, positive=data.positive)
        cases = with_reports(assign_splits(listing.cases, data.fractions, seed=data.split_seed), data.missing_reports)
        made, refused = prepare(listing._replace(cases=cases), data.grid, data.prepared, progress=on_progress)
        stages.leave_out(dict(refused))
        return Prepared(fingerprint=made.fingerprint, refused=len(refused))

    made_with = data.model_dump(mode="json")
    made = stages.done(CASES, made_with, Prepared, work)
    prepared = PreparedSet.open(data.prepared)
    if prepared.fingerprint != made.fingerprint:
        raise InputError(
            f"The cases in {data.prepared} have changed since this study was begun; name another output, or remove "
            f"{stages.folder / CASES} and what was made of the former ones."
        )
    return prepared, made.refused


def _of_refused(count: int, config: StudyConfig) -> list[str]:
    if not count:
        return []
    cases = "1 case was" if count == 1 else f"{count} cases were"
    return [f"{cases} refused when the source was prepared; {config.data.prepared}/quality.html says which and why."]


def _checked_cases(config: StudyConfig, prepared: PreparedSet) -> Cases:
    """How many there are. Raises InputError where a part of the study has too few, or not what it needs."""
    counts = {split: len(prepared.split(split)) for split in SPLITS}
    positive, negative = (
        {split: sum(case.pathology == kind for case in prepared.split(split)) for split in SPLITS}
        for kind in ("positive", "negative")
    )
    for split in ("train", "test") if config.classifiers is None else SPLITS:
        fewest = min(positive[split], negative[split])
        if fewest < FEWEST_OF_A_CLASS:
            raise InputError(
                f"A study needs at least {FEWEST_OF_A_CLASS} positive and as many negative cases for {split}; "
                f"{prepared.folder} has {positive[split]} and {negative[split]}."
            )
    patients = len({case.patient for case in prepared.split("test")})
    if patients < FEWEST_TEST_PATIENTS:
        raise InputError(f"A study needs cases of {FEWEST_TEST_PATIENTS} test patients at least; there are {patients}.")
    if config.classifiers is not None and (most := max(config.classifiers.real_counts)) > counts["train"]:
        raise InputError(f"classifiers.real_counts has {most}, and there are {counts['train']} training cases.")
    if config.adherence is not None and (unknown := [c.id for c in prepared.split("test") if c.fields is None]):
        raise InputError(
            f"What the report of {unknown[0]} says is not known, so adherence cannot be measured: give the cases "
            "`fields` and prepare them again, or leave adherence out."
        )
    return Cases(fingerprint=prepared.fingerprint, counts=dict(counts), positive=dict(positive))


def _examples(config: StudyConfig, prepared: PreparedSet, variants: Sequence[VariantResult]) -> Examples | None:
    """Of the first cases whose volumes can all be read; ``None`` where there are none."""
    sequence = config.data.sequence
    made: dict[Variant, dict[str, np.ndarray]] = {each.variant: {} for each in variants}
    sets = {each.variant: open_volume_set(config.output / each.of_test.path, sequence=sequence) for each in variants}
    shown: list[PreparedCase] = []
    for case in chosen_cases(prepared.split("test"), len(prepared.cases)):
        if len(shown) == config.examples:
            break
        try:
            prepared.voxels(case, sequence), prepared.regions(case)
            found = {variant: _first_of(case, volumes) for variant, volumes in sets.items()}
        except InputError:
            continue
        shown.append(case)
        for variant, voxels in found.items():
            made[variant][case.id] = voxels
    return examples_of(prepared, shown, sequence, made) if shown else None


def _first_of(case: PreparedCase, volumes: VolumeSet) -> np.ndarray:
    """The first volume of a case. Raises InputError where there is none that can be read."""
    for index, member in enumerate(volumes):
        if member.case == case.id:
            return volumes.voxels(index)
    raise InputError(f"There is no volume of {case.id} in {volumes.name}.")
