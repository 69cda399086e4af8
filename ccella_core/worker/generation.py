"""The part of ``generate`` that needs torch: load the model, make one volume after the other, note how long it took."""

from __future__ import annotations

import logging
from typing import Any

from transformers.utils.logging import disable_progress_bar

from ccella_core.devices import memory_explained
from ccella_core.generation.edit import ScanToEdit
from ccella_core.generation.options import wanted_parts
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.models.model import ModelFolder
from ccella_core.provenance import Provenance
from ccella_core.worker.hardware import device_id
from ccella_core.worker.output import keep_all, saved_into, sent_through, writable_folder
from ccella_core.worker.params import GenerateParams
from ccella_core.worker.reporter import Reporter
from ccella_core.worker.tasks import Task, WorkerState
from ccella_core.worker.timings import Timing, Timings

logger = logging.getLogger(__name__)


def run_generation(
    task: Task,
    state: WorkerState,
    params: GenerateParams,
    model: ModelFolder,
    edit: ScanToEdit | None,
    name: str,
    reporter: Reporter,
) -> dict[str, Any]:
    """The value of ``generate``.

    Volumes are made one at a time, though the pipeline could take several at once: each is saved as soon as it is
    there, and a step, after which a cancellation is noticed, is as short as can be. What is saved stays if the request
    fails.
    """
    device = device_id(params.device)
    seeds = params.options.with_seed().seeds
    with writable_folder(params.output_dir) as folder:
        pipeline = load(model, device, state, reporter)
        load_seconds = reporter.seconds("load")
        saved: list[dict[str, Any]] = []
        task.finished["volumes"] = saved
        for seed in seeds:
            reporter.begin_volume()
            options = params.options.model_copy(update={"seed": seed, "count": 1})
            volumes = pipeline(params.report, options, image=edit, callback=reporter)
            reporter.tell("save", 0, 1)
            keep = sent_through(task) if folder is None else saved_into(folder)
            saved += keep_all(volumes, f"{name}_seed{seed}", keep, of_several=len(model.index.sequences) > 1)
            reporter.tell("save", 1, 1)
    # An edit takes fewer steps, and the times are for whole generations; nothing is left on somebody else's computer.
    if edit is None and folder is not None:
        parts = len(wanted_parts(model.index, params.options))
        _keep_timing(volumes[0].provenance, reporter, state, parts=parts)
    return {"volumes": saved, "seconds": round(reporter.total_seconds(), 3), "load_seconds": round(load_seconds, 3)}


def load(model: ModelFolder, device: str, state: WorkerState, reporter: Reporter) -> CCELLAPipeline:
    """The model's pipeline: the one of the last run, if that was of the same model and device."""
    if state.pipeline is not None and state.holds(model.sha256, device):
        return state.pipeline
    state.pipeline = None  # its memory is free before the next one needs it
    logger.info("Loading %s from %s on %s", model.index.name, model.path, device)
    model.verify(reporter.tell_verified)
    with state.importing, memory_explained():
        disable_progress_bar()
        state.pipeline = CCELLAPipeline.from_pretrained(model, device=device, verify=False)
    reporter.tell_loaded()
    return state.pipeline


def _keep_timing(how: Provenance, reporter: Reporter, state: WorkerState, *, parts: int) -> None:
    timings = Timings(state.timings_file)
    former = timings.find(how.model_sha256, how.device, how.shape)
    # A run with a loaded model measures no loading, and no encoding either where the report is the same as before.
    known = former if former is not None and reporter.seconds("load") == 0 else None
    copies = 1 if how.guidance_scale == 1 else 2
    timing = Timing(
        load=known.load if known else reporter.seconds("load"),
        encode=known.encode if known else reporter.seconds("encode"),
        step=reporter.seconds("denoise") / (reporter.volumes * how.num_inference_steps * copies),
        decode=reporter.seconds("decode") / (reporter.volumes * parts),
    )
    timings.keep(how.model_sha256, how.device, how.shape, timing)
