"""``train text-encoder``: a small language model of one's own, for models that must be small.

The published model reads with FLAN-T5-XXL, which needs no training. This is for a demonstration, or for a computer on
which five billion parameters find no room.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from ccella_core.cases.prepared import PreparedSet
from ccella_core.config import Seed, StrictModel
from ccella_core.errors import InputError
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report
from ccella_core.runs.folder import CHECKPOINTS, alone_in_output, open_log, refuse_other_run, write_run
from ccella_core.runs.summary import write_summary
from ccella_core.training.report_encoder import (
    LabelledReport,
    ReportEncoderTraining,
    check_encoder,
    train_report_encoder,
)

COMPONENT = "text_encoder"
MAX_PATIENTS = 100_000
MAY_CHANGE = ("output", "text_encoder.checkpoint_every")


class PhantomReports(StrictModel):
    """Reports of digital prostates, which state all that they show."""

    first_seed: Seed = Field(10_000, description="of the first patient")
    count: int = Field(gt=0, le=MAX_PATIENTS, description="patients with the seeds that follow")


class TextEncoderConfigFile(StrictModel):
    """One training of a text encoder."""

    name: str = Field("text-encoder", description="of the run")
    output: Path = Field(description="folder of the run; a run that was stopped goes on there")
    phantom_reports: PhantomReports | None = None
    data: Path | None = Field(None, description="prepared cases, whose training reports are read as well")
    text_encoder: ReportEncoderTraining

    @model_validator(mode="after")
    def _there_are_reports(self) -> TextEncoderConfigFile:
        if self.phantom_reports is None and self.data is None:
            raise ValueError("give phantom_reports or data: there are no reports to learn from")
        return self


@alone_in_output
def train(config: TextEncoderConfigFile) -> Path:
    """Train, or go on with a training that was stopped; returns the folder, in which ``text_encoder`` is the result.

    Raises:
        InputError: there are no reports, or ``output`` holds another run.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
        SaveError: the disk refuses; the last checkpoint is whole.
    """
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    check_encoder(config.text_encoder)
    reports = list(_reports(config))
    if not reports:
        raise InputError(f"There are no reports of training cases in {config.data}.")
    write_run(config.output, config, {"name": config.name, "data": {"reports": len(reports)}})
    checkpoints = config.output / CHECKPOINTS
    with open_log(config.output, checkpoints, steps=config.text_encoder.steps, log_with=()) as logger:
        encoder = train_report_encoder(reports, config.text_encoder, checkpoints, logger=logger)
    folder = config.output / COMPONENT
    folder.mkdir(exist_ok=True)
    encoder.save_pretrained(folder, folder)
    write_summary(config.output)
    return config.output


def _reports(config: TextEncoderConfigFile) -> list[LabelledReport]:
    reports = []
    if config.phantom_reports is not None:
        first = config.phantom_reports.first_seed
        for seed in range(first, first + config.phantom_reports.count):
            findings = draw_findings(seed)
            fields = StructuredFields.from_findings(findings)
            reports.append(LabelledReport(write_report(findings, seed=seed), fields, findings.pathology == "positive"))
    if config.data is not None:
        for case in PreparedSet.open(config.data).split("train"):
            fields = case.fields or StructuredFields()
            reports += [LabelledReport(report, fields, case.pathology == "positive") for report in case.reports]
    return reports
