"""The models on this computer: ``describe``, ``download`` and ``delete``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ccella_core.client.protocol import SCHEDULERS
from ccella_core.errors import InputError, ModelError
from ccella_core.files import usable_path
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.models.search import (
    HUB_PREFIX,
    BrokenModel,
    default_search_paths,
    find_models,
    remove_model,
    resolve_model,
    shipped_models_dir,
    user_models_dir,
)
from ccella_core.worker.hardware import list_devices
from ccella_core.worker.params import DeleteParams, DescribeParams, DownloadParams, read_params
from ccella_core.worker.tasks import Task, WorkerState

Origin = Literal["shipped", "user", "home", "folder"]

logger = logging.getLogger(__name__)


def describe(task: Task, state: WorkerState) -> dict[str, Any]:
    """All models, those in the client's ``model_folders`` last, all devices, and the schedulers."""
    params = read_params(DescribeParams, task)
    found: dict[Path, dict[str, Any]] = {}
    for origin, entry in _all_models(params.model_folders):
        found.setdefault(entry.path.resolve(), describe_model(entry, origin))
    return {"models": list(found.values()), "devices": list_devices(), "schedulers": list(SCHEDULERS)}


def download(task: Task, state: WorkerState) -> dict[str, Any]:
    """Fetch a model from the Hugging Face Hub. A download that was ended goes on where it stopped when tried again."""
    params = read_params(DownloadParams, task)
    if not params.name.startswith(HUB_PREFIX):
        raise InputError(f"{params.name!r} is not on the Hugging Face Hub; write {HUB_PREFIX}owner/name.")
    logger.info("Downloading %s into %s", params.name, user_models_dir())
    return describe_model(resolve_model(params.name, allow_download=True), "user")


def delete(task: Task, state: WorkerState) -> dict[str, Any]:
    """Remove a model from the user's own folder.

    Raises:
        InputError: it lies elsewhere, or is no model.
        SaveError: the disk refuses; then the model is whole.
    """
    params = read_params(DeleteParams, task)
    path = next((entry.path for entry in find_models([user_models_dir()]) if entry.path == Path(params.path)), None)
    if path is None or not _is_deletable(path):
        raise InputError(f"{params.path} is not a downloaded model in {user_models_dir()}, so it is not deleted.")
    state.pipeline = None  # it may hold the files open
    remove_model(path)
    logger.info("Deleted %s", path)
    return {}


def describe_model(entry: ModelFolder | BrokenModel, origin: Origin) -> dict[str, Any]:
    """A model as the protocol has it; where it cannot be opened all is null but its path, and ``problem`` says why."""
    index = entry.index if isinstance(entry, ModelFolder) else None
    copied = (
        "version",
        "licence",
        "intended_use",
        "description",
        "variant",
        "default_num_inference_steps",
        "default_scheduler",
    )
    return {
        "name": index.name if index else entry.path.name,
        "path": str(entry.path),
        "origin": origin,
        **{name: getattr(index, name, None) for name in copied},
        "sequences": list(index.sequences) if index else None,
        "labels": list(index.labels) if index else None,
        "native_shape": list(index.native_shape) if index else None,
        "native_spacing_mm": list(index.native_spacing_mm) if index else None,
        "max_report_tokens": index.max_report_tokens if index else None,
        "reads_report": "text_encoder" in index.components if index else None,
        "size_bytes": sum(index.size_bytes.values()) if index else None,
        "deletable": _is_deletable(entry.path),
        "problem": entry.reason if isinstance(entry, BrokenModel) else None,
    }


def _all_models(more_folders: list[str]) -> Iterator[tuple[Origin, ModelFolder | BrokenModel]]:
    for folder in default_search_paths():
        shipped = folder == shipped_models_dir()
        origin: Origin = "user" if folder == user_models_dir() else "shipped" if shipped else "home"
        yield from ((origin, entry) for entry in find_models([folder]))
    for folder in map(Path, more_folders):
        # A person may choose the folder of models, or the model itself.
        try:
            entries = [_open(folder)] if (usable_path(folder) / INDEX_NAME).is_file() else find_models([folder])
        except InputError as error:
            logger.warning("%s", error)
            continue
        yield from (("folder", entry) for entry in entries)


def _open(path: Path) -> ModelFolder | BrokenModel:
    try:
        return ModelFolder.open(path)
    except ModelError as error:
        return BrokenModel(path, str(error))


def _is_deletable(path: Path) -> bool:
    """Whether it really lies in the user's own folder; a link there may lead anywhere."""
    return path.resolve().parent == user_models_dir().resolve() and not path.is_symlink()
