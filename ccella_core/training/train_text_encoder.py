"""``train text-encoder``: a small language model, for models that must be small: one's own, or a pretrained one.

The published model reads with FLAN-T5-XXL, which needs no training. This is for a demonstration, or for a computer on
which five billion parameters find no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from ccella_core.cases.prepared import PreparedSet
from ccella_core.config import Seed, StrictModel
from ccella_core.errors import InputError
from ccella_core.generation.report_text import check_report
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import StyleChoice, write_report
from ccella_core.runs.folder import CHECKPOINTS, alone_in_output, log_left_out, open_log, refuse_other_run, write_run
from ccella_core.runs.summary import write_summary
from ccella_core.training.pretrained_encoder import PretrainedEncoder, import_encoder
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
    style: StyleChoice = Field("classic", description="of the reports; any: one of those for training, drawn anew each")


class TextEncoderConfigFile(StrictModel):
    """One training of a text encoder."""

    name: str = Field("text-encoder", description="of the run")
    output: Path = Field(description="folder of the run; a run that was stopped goes on there")
    phantom_reports: PhantomReports | None = None
    data: Path | None = Field(None, description="prepared cases, whose training reports are read as well")
    text_encoder: ReportEncoderTraining | None = Field(None, description="one that is trained from nothing")
    pretrained: PretrainedEncoder | None = Field(None, description="instead: one that others have trained, made small")

    @model_validator(mode="after")
    def _one_of_two(self) -> TextEncoderConfigFile:
        if (self.text_encoder is None) == (self.pretrained is None):
            raise ValueError("give either text_encoder or pretrained")
        return self

    @model_validator(mode="after")
    def _there_are_reports(self) -> TextEncoderConfigFile:
        if self.phantom_reports is None and self.data is None:
            raise ValueError("give phantom_reports or data: there are no reports to learn from")
        return self


@alone_in_output
def train(config: TextEncoderConfigFile) -> Path:
    """Train, or go on with a training that was stopped; returns the folder, in which ``text_encoder`` is the result.

    Raises:
        InputError: there are no reports, ``output`` holds another run, or ``pretrained`` cannot be used.
        ModelError: there is no text encoder where ``pretrained`` says.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
        SaveError: the disk refuses; the last checkpoint is whole.
    """
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    if config.text_encoder is not None:
        check_encoder(config.text_encoder)
    reports, left_out = _reports(config)
    if not reports:
        why = f" that can be used ({next(iter(left_out.values()))})" if left_out else ""
        raise InputError(f"There are no reports of training cases in {config.data}{why}.")
    log_left_out(left_out)
    folder = config.output / COMPONENT
    about = {"name": config.name, "data": {"reports": len(reports), "left_out": left_out}}
    if config.pretrained is not None:
        # First, because what cannot be used is found by doing it; it takes seconds, and leaves nothing where it fails.
        import_encoder(config.pretrained, (report.text for report in reports), folder)
        write_run(config.output, config, about)
    else:
        assert config.text_encoder is not None
        write_run(config.output, config, about)
        _trained(config.output, config.text_encoder, reports).save_pretrained(folder, folder)
    write_summary(config.output)
    return config.output


def _trained(output: Path, config: ReportEncoderTraining, reports: Sequence[LabelledReport]) -> ReportEncoder:
    checkpoints = output / CHECKPOINTS
    with open_log(output, checkpoints, steps=config.steps, log_with=()) as logger:
        return train_report_encoder(reports, config, checkpoints, logger=logger)


def _reports(config: TextEncoderConfigFile) -> tuple[list[LabelledReport], dict[str, str]]:
    """To learn from, and why cases of which a report cannot be used are left out."""
    reports: list[LabelledReport] = []
    left_out: dict[str, str] = {}
    if config.phantom_reports is not None:
        first = config.phantom_reports.first_seed
        for seed in range(first, first + config.phantom_reports.count):
            findings = draw_findings(seed)
            fields = StructuredFields.from_findings(findings)
            reports.append(
                LabelledReport(
                    write_report(findings, seed=seed, style=config.phantom_reports.style),
                    fields,
                    findings.pathology == "positive",
                )
            )
    if config.data is not None:
        for case in PreparedSet.open(config.data).split("train"):
            fields = case.fields or StructuredFields()
            try:
                reports += [LabelledReport(check_report(report), fields, case.positive) for report in case.reports]
            except InputError as error:
                left_out[case.id] = str(error)
    return reports, left_out
