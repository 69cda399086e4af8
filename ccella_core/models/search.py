"""Where models are looked for, and how a name becomes one."""

from __future__ import annotations

import difflib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ccella_core.errors import ModelError, SaveError
from ccella_core.files import LOCK_NAME, locked, prepare_folder, remove_folder, usable_path
from ccella_core.models.model import INDEX_NAME, PICKLE_SUFFIXES, ModelFolder

HOME_VARIABLE = "CCELLA_HOME"
HUB_PREFIX = "hf:"
DOWNLOAD_COMMAND = "ccella models download {reference}"
USUAL_COMPONENTS = ("text_encoder", "tokenizer", "denoiser", "autoencoder", "scheduler")


@dataclass(frozen=True)
class BrokenModel:
    """A folder that means to be a model and cannot be opened; `reason` is one sentence."""

    path: Path
    reason: str


def default_search_paths(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Folders of models, first choice first: `models` in `$CCELLA_HOME`, the user's own, those shipped."""
    home = environ.get(HOME_VARIABLE)
    chosen = [usable_path(Path(home)) / "models"] if home else []
    return [*chosen, user_models_dir(), shipped_models_dir()]


def user_models_dir() -> Path:
    """The user's own folder of models, where downloads go."""
    return platformdirs.user_data_path("ccella", appauthor=False) / "models"


def shipped_models_dir() -> Path:
    """`Resources/Models` beside the package: so they lie in a source tree and in the installed Slicer extension."""
    return Path(__file__).resolve().parent.parent.parent / "Resources" / "Models"


def find_models(search_paths: Iterable[Path] | None = None) -> list[ModelFolder | BrokenModel]:
    """Every model directly inside the folders `search_paths`, in their order, then by folder name.

    Only indexes are read. A model that cannot be opened is listed with the reason instead of raising.
    """
    found: list[ModelFolder | BrokenModel] = []
    for folder in default_search_paths() if search_paths is None else search_paths:
        for path in _subfolders(Path(folder)):
            try:
                found.append(ModelFolder.open(path))
            except ModelError as error:
                found.append(BrokenModel(path, str(error)))
    return found


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _means_to_be_a_model(path))
    except OSError:  # missing, not a folder, or not ours to read: nothing to find there
        return []


def _means_to_be_a_model(path: Path) -> bool:
    return (path / INDEX_NAME).exists() or any((path / name).is_dir() for name in USUAL_COMPONENTS)


def resolve_model(
    name_or_path: str | Path, *, search_paths: Iterable[Path] | None = None, allow_download: bool = False
) -> ModelFolder:
    """The model meant by a folder, by a name in one of `search_paths`, or by `hf:owner/name` on the Hugging Face Hub.

    A name is the model's own or its folder's; the first found wins. A model from the Hub is kept in the user's folder
    and fetched only with `allow_download`. Raises ModelError saying what was found and where it was looked for.
    """
    text = str(name_or_path)
    if text.startswith(HUB_PREFIX):
        return _from_hub(text, allow_download)
    path = usable_path(Path(name_or_path))
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or (path / INDEX_NAME).is_file():
        return ModelFolder.open(path)

    folders = default_search_paths() if search_paths is None else [Path(folder) for folder in search_paths]
    found = find_models(folders)
    for entry in found:
        if text in _names(entry):
            if isinstance(entry, BrokenModel):
                raise ModelError(entry.reason)
            return entry
    known = sorted({_names(entry)[0] for entry in found})
    nearest = difflib.get_close_matches(text, known, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    raise ModelError(
        f"There is no model named {text!r}.{hint} Found: {', '.join(known) or 'none'}; "
        f"looked in {', '.join(map(str, folders)) or 'no folder'}."
    )


def find_removable(name: str) -> Path:
    """The folder of a model that the user may remove, whole or not, by its name or its folder's.

    Raises:
        ModelError: there is none of this name, or it came with the software.
    """
    shipped = shipped_models_dir()
    for entry in find_models():
        if name in _names(entry):
            if entry.path.parent == shipped:
                raise ModelError(f"{name} came with this software and is not removed.")
            return entry.path
    raise ModelError(
        f"There is no model named {name!r} in {' or '.join(str(each) for each in default_search_paths())}; "
        "a model elsewhere is a folder that you can delete."
    )


def remove_model(path: Path) -> None:
    """Delete the folder of a model, at once or not at all. Raises SaveError where that is refused."""
    try:
        remove_folder(path)
    except OSError as error:
        reason = error.strerror or error
        raise SaveError(f"{path} could not be deleted ({reason}); close what uses it and try again.") from error


def _names(entry: ModelFolder | BrokenModel) -> tuple[str, ...]:
    return (entry.path.name,) if isinstance(entry, BrokenModel) else (entry.index.name, entry.path.name)


def _from_hub(reference: str, allow_download: bool) -> ModelFolder:
    repository = reference.removeprefix(HUB_PREFIX)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository):
        raise ModelError(f"{reference!r} names no repository; write {HUB_PREFIX}owner/name.")
    final = user_models_dir() / repository.replace("/", "--")
    if final.is_dir():
        return ModelFolder.open(final)
    if not allow_download:
        command = DOWNLOAD_COMMAND.format(reference=reference)
        raise ModelError(f"{reference} is not on this computer; download it with `{command}`.")

    try:
        prepare_folder(final.parent)
        with locked(final.parent / LOCK_NAME, wait=True):  # two at once would write the same files
            return ModelFolder.open(final) if final.is_dir() else _downloaded(reference, repository, final)
    except OSError as error:
        raise ModelError(f"{reference} could not be downloaded into {final.parent}: {error}.") from error


def _downloaded(reference: str, repository: str, final: Path) -> ModelFolder:
    from huggingface_hub import snapshot_download

    # The name stays the same from one attempt to the next, so that a broken download goes on where it stopped.
    temporary = final.with_name(f".{final.name}.downloading")
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        snapshot_download(repository, local_dir=temporary, ignore_patterns=[f"*{suffix}" for suffix in PICKLE_SUFFIXES])
    except Exception as error:  # the hub's client lets through those of whichever HTTP library it uses
        raise ModelError(
            f"{reference} could not be downloaded ({error}); check the name and the connection."
        ) from error
    try:
        ModelFolder.open(temporary).verify()
    except ModelError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ModelError(f"{reference} was downloaded and is no usable model, so it was removed: {error}") from error
    shutil.rmtree(temporary / ".cache", ignore_errors=True)  # the client's notes for resuming
    try:
        temporary.rename(final)
    except OSError as error:
        raise ModelError(f"{reference} was downloaded but could not be moved to {final}: {error}.") from error
    return ModelFolder.open(final)
