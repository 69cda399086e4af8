"""A variant from its training to what was measured of it, a stage after the other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ccella_core.cases.prepared import PreparedSet
from ccella_core.evaluation.data.synthesize import synthesize
from ccella_core.evaluation.data.synthetic_set import CSV_NAME, read_left_out
from ccella_core.files import sha256_of
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.models.model import ModelFolder
from ccella_core.networks.config import Variant
from ccella_core.progress import OnProgress
from ccella_core.runs.checkpoint import BEST_NAME
from ccella_core.runs.folder import CHECKPOINTS, last_step, read_left_out_of_run, read_run_record
from ccella_core.runs.logging import read_log
from ccella_core.study.config import StudyConfig, trainings_of
from ccella_core.study.plan import MODEL, OF_TEST, OF_TRAIN, TRAINING, variant_key
from ccella_core.study.result import SyntheticVolumes, TrainedVariant, VariantModel, VariantResult
from ccella_core.study.stages import Stages
from ccella_core.training.export import About, export_run
from ccella_core.training.train import MAY_CHANGE, DenoiserRecord, train

INTENDED_USE = "Made in a study that compares variants. Not for diagnosis."
LICENCE = "none given; not to be passed on"
MODEL_FOLDER, VOLUMES_FOLDER = "model", "synthetic"


class VariantMaker:
    """Trains a variant, makes a model of it and lets that make volumes.

    Args:
        config: of the study.
        prepared: its cases.
        variant: which.
        stages: does each stage once.
    """

    def __init__(self, config: StudyConfig, prepared: PreparedSet, variant: Variant, stages: Stages) -> None:
        self._config, self._prepared, self._variant, self._stages = config, prepared, variant, stages
        self._trainings = trainings_of(config, variant)

    def make(self) -> VariantResult:
        """Raises whatever the stages raise; what is finished stays."""
        trained = self._train()
        model = self._export(trained)
        of_test = self._synthesize(model, "test", self._config.synthesis.test_per_case)
        of_train = None
        if self._stages.applies(self._key(OF_TRAIN)):
            of_train = self._synthesize(model, "train", self._config.synthesis.train_per_case)
        return VariantResult(variant=self._variant, trained=trained, model=model, of_test=of_test, of_train=of_train)

    def _key(self, part: str) -> str:
        return variant_key(self._variant, part)

    def _train(self) -> TrainedVariant:
        *before, last = (each.model_dump(mode="json") for each in self._trainings)
        made_with = last | {"cases": self._prepared.fingerprint} | ({"first": before[0]} if before else {})
        may_change = (*MAY_CHANGE, "start_from", *(f"first.{key}" for key in MAY_CHANGE))

        def work(folder: Path, on_progress: OnProgress) -> TrainedVariant:
            runs = [train(each, progress=on_progress) for each in self._trainings]
            self._stages.leave_out(read_left_out_of_run(runs[-1]))
            return _trained(runs, best=self._config.training.weights == "best")

        return self._stages.done(self._key(TRAINING), made_with, TrainedVariant, work, may_change=may_change)

    def _export(self, trained: TrainedVariant) -> VariantModel:
        training, synthesis = self._config.training, self._config.synthesis
        made_with = {
            "weights": training.weights,
            "weights_sha256": trained.weights_sha256,
            "scheduler": synthesis.scheduler,
            "num_inference_steps": synthesis.num_inference_steps,
        }

        def work(folder: Path, on_progress: OnProgress) -> VariantModel:
            count = len(self._prepared.split("train"))
            about = About(
                licence=LICENCE,
                intended_use=INTENDED_USE,
                trained_on=f"{count} cases, prepared as {self._prepared.fingerprint}.",
                default_scheduler=synthesis.scheduler,
                default_num_inference_steps=synthesis.num_inference_steps,
            )
            out, best = folder / MODEL_FOLDER, training.weights == "best"
            exported = export_run(self._trainings[-1].output, out, about, best=best, overwrite=True)
            return VariantModel(path=self._inside(out), sha256=exported.sha256)

        return self._stages.done(self._key(MODEL), made_with, VariantModel, work)

    def _synthesize(self, model: VariantModel, split: Literal["train", "test"], per_case: int) -> SyntheticVolumes:
        synthesis = self._config.synthesis
        made_with: dict[str, Any] = {
            "cases": self._prepared.fingerprint,
            "model": model.sha256,
            "split": split,
            "per_case": per_case,
            "seed": synthesis.seed,
            "scheduler": synthesis.scheduler,
            "num_inference_steps": synthesis.num_inference_steps,
            "guidance_scale": synthesis.guidance_scale,
        }

        def work(folder: Path, on_progress: OnProgress) -> SyntheticVolumes:
            rows = synthesize(
                self._pipeline,
                self._prepared,
                folder / VOLUMES_FOLDER,
                synthesis.options,
                split=split,
                per_case=per_case,
                progress=on_progress,
            )
            path = folder / VOLUMES_FOLDER
            self._stages.leave_out(dict(read_left_out(path)))
            return SyntheticVolumes(path=self._inside(path), count=len(rows), sha256=sha256_of(path / CSV_NAME))

        return self._stages.done(self._key(OF_TEST if split == "test" else OF_TRAIN), made_with, SyntheticVolumes, work)

    @cached_property
    def _pipeline(self) -> CCELLAPipeline:
        """Loaded where volumes are still to be made, once for both sets of reports."""
        return CCELLAPipeline.from_pretrained(ModelFolder.open(self._stages.folder / self._key(MODEL) / MODEL_FOLDER))

    def _inside(self, path: Path) -> str:
        return path.relative_to(self._stages.folder).as_posix()


def _trained(runs: Sequence[Path], *, best: bool) -> TrainedVariant:
    """What several trainings left, of which each learnt on from the one before."""
    run = runs[-1]
    checkpoints = run / CHECKPOINTS
    step = last_step(checkpoints)
    losses = [record["loss"] for record in read_log(run) if record["kind"] == "validation" and "loss" in record]
    return TrainedVariant(
        parameters=read_run_record(run, DenoiserRecord).parameters,
        steps=sum(last_step(each / CHECKPOINTS) for each in runs),
        validation_loss=(min(losses) if best else losses[-1]) if losses else None,
        weights_sha256=sha256_of(checkpoints / (BEST_NAME if best else f"step-{step:08d}.safetensors")),
    )
