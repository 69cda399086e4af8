"""Where volumes are written, or that they are sent, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ccella_core.client.transfer import chunks_of
from ccella_core.errors import InputError
from ccella_core.files import output_folder, usable_path
from ccella_core.limits import MAX_NAME_CHARACTERS, is_file_name
from ccella_core.provenance import LABELS, SequenceName, file_stem

if TYPE_CHECKING:
    from ccella_core.imaging.volume import SyntheticImage, SyntheticVolume
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


@contextmanager
def writable_folder(folder: str | None) -> Iterator[Path | None]:
    """The folder, made if needed and written to before minutes are spent on what would be lost.

    ``None`` where there is none. One that was made, and in which nothing was written in the end, is removed.

    Raises:
        InputError: it is relative to this process, which means nothing to the client.
        SaveError: nothing can be written there.
    """
    if folder is None:
        yield None
        return
    path = usable_path(Path(folder))
    if not path.is_absolute():
        raise InputError(f"The output folder is a path from the root, not {folder!r}.")
    with output_folder(path):
        yield path


Keep = Callable[["SyntheticImage", str], dict[str, str]]
"""Keeps an image and its sidecar under a name without ending; returns ``path`` and ``sidecar``."""


def keep_all(volumes: list[SyntheticVolume], name: str, keep: Keep, *, of_several: bool) -> list[dict[str, Any]]:
    """Keep volumes and label map of an examination; returns the entries of ``volumes`` in the protocol."""

    def keep_part(image: SyntheticImage, part: SequenceName | Literal["labels"]) -> dict[str, str]:
        return keep(image, file_stem(name, part, of_several=of_several))

    labels = None if volumes[0].labels is None else keep_part(volumes[0].labels, LABELS)
    entries = []
    for volume in volumes:
        made = volume.provenance.model_dump(mode="json")
        entries.append({**keep_part(volume, volume.sequence), "labels": labels, "provenance": made})
    return entries


def saved_into(folder: Path) -> Keep:
    """Writes files into a folder."""
    from ccella_core.imaging.volume import sidecar_of

    def save(image: SyntheticImage, stem: str) -> dict[str, str]:
        path = image.save(_free_path(folder, stem))
        return {"path": str(path), "sidecar": str(sidecar_of(path))}

    return save


def sent_through(task: Task) -> Keep:
    """Sends files through the pipe; nothing is written here."""
    from ccella_core.imaging.volume import sidecar_of, synthetic_name

    def send(image: SyntheticImage, stem: str) -> dict[str, str]:
        path = synthetic_name(Path(f"{stem}{IMAGE_SUFFIX}"))
        for name, content in zip((path.name, sidecar_of(path).name), image.to_bytes(path.name), strict=True):
            for chunk in chunks_of(name, content):
                task.stop_if_cancelled()
                task.tell("file", **chunk)
        return {"path": path.name, "sidecar": sidecar_of(path).name}

    return send


def _free_path(folder: Path, stem: str) -> Path:
    """A name that no file has: the client may still show the volume of an earlier run with the same seed."""
    from ccella_core.imaging.volume import sidecar_of, synthetic_name

    number = 1
    while True:
        path = synthetic_name(folder / f"{stem}{'' if number == 1 else f'_{number}'}{IMAGE_SUFFIX}")
        if not path.exists() and not sidecar_of(path).exists():
            return path
        number += 1
