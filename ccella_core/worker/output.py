"""Where volumes are written, or that they are sent, and under which names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccella_core.client.transfer import chunks_of
from ccella_core.errors import InputError
from ccella_core.files import prepare_folder, usable_path
from ccella_core.limits import MAX_NAME_CHARACTERS, is_file_name

if TYPE_CHECKING:
    from ccella_core.imaging.volume import SyntheticVolume
    from ccella_core.worker.tasks import Task

IMAGE_SUFFIX = ".nii"
"""Uncompressed: the client reads it at once, and compressing a volume takes longer than denoising a step."""


def checked_name(name: str) -> str:
    """``name`` if files can be named so on every system; raises InputError."""
    if not is_file_name(name):
        raise InputError(
            f"A volume's name has up to {MAX_NAME_CHARACTERS} characters (fewer of those beyond Latin) "
            f'and none of < > : " / \\ | ? *, unlike {name!r}.'
        )
    return name


def writable_folder(folder: str) -> Path:
    """The folder, made if needed and written to before minutes are spent on what would be lost.

    Raises:
        InputError: it is relative to this process, which means nothing to the client.
        SaveError: nothing can be written there.
    """
    path = usable_path(Path(folder))
    if not path.is_absolute():
        raise InputError(f"The output folder is a path from the root, not {folder!r}.")
    prepare_folder(path)
    return path


def save(volume: SyntheticVolume, folder: Path, stem: str) -> dict[str, Any]:
    """Write image and sidecar; returns the entry of ``volumes`` in the protocol."""
    from ccella_core.imaging.volume import sidecar_of

    path = volume.save(_free_path(folder, stem))
    provenance = volume.provenance.model_dump(mode="json")
    return {"path": str(path), "sidecar": str(sidecar_of(path)), "provenance": provenance}


def send(volume: SyntheticVolume, task: Task, stem: str) -> dict[str, Any]:
    """Send image and sidecar through the pipe; nothing is written here. Returns the entry of ``volumes``."""
    from ccella_core.imaging.volume import sidecar_of, synthetic_name

    path = synthetic_name(Path(f"{stem}{IMAGE_SUFFIX}"))
    for name, content in zip((path.name, sidecar_of(path).name), volume.to_bytes(path.name), strict=True):
        for chunk in chunks_of(name, content):
            task.stop_if_cancelled()
            task.tell("file", **chunk)
    provenance = volume.provenance.model_dump(mode="json")
    return {"path": path.name, "sidecar": sidecar_of(path).name, "provenance": provenance}


def _free_path(folder: Path, stem: str) -> Path:
    """A name that no file has: the client may still show the volume of an earlier run with the same seed."""
    from ccella_core.imaging.volume import sidecar_of, synthetic_name

    number = 1
    while True:
        path = synthetic_name(folder / f"{stem}{'' if number == 1 else f'_{number}'}{IMAGE_SUFFIX}")
        if not path.exists() and not sidecar_of(path).exists():
            return path
        number += 1
