"""What DICOM series say of themselves, read from one file of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.files import dataset, is_dicom
from ccella_core.imaging.raw_files import damage_explained


@dataclass(frozen=True)
class SeriesHeader:
    """What a series says of itself."""

    uid: str
    study: str
    date: str
    """Date and time of the series, or of its study; sorts as text."""
    number: int
    description: str
    folder: Path


def series_headers(folder: Path) -> list[SeriesHeader]:
    """The series in a folder, each once, read from the first file of each. Files that cannot be read are passed over.

    Args:
        folder: looked through without its subfolders.
    """
    found: dict[str, SeriesHeader] = {}
    for path in sorted(folder.iterdir()):
        with suppress(OSError, InputError):
            if not path.name.startswith(".") and path.is_file() and is_dicom(path):
                uid, header = _series_of(path, folder)
                if header is not None:
                    found.setdefault(uid, header)
    return list(found.values())


@damage_explained
def _series_of(path: Path, folder: Path) -> tuple[str, SeriesHeader | None]:
    """The series of a file, and what it says of it, where it is an image."""
    data = dataset(path, pixels=False)
    uid = str(data.get("SeriesInstanceUID", ""))
    if "Rows" not in data:
        return uid, None
    number = 0
    dates = [str(data.get(what + part, "") or "")
             for what in ("Series", "Study") for part in ("Date", "Time")]  # fmt: skip
    with suppress(TypeError, ValueError):
        number = int(data.get("SeriesNumber", 0) or 0)
    date = (dates[0] or dates[2]) + (dates[1] if dates[0] else dates[3])
    return uid, SeriesHeader(uid, str(data.get("StudyInstanceUID", "")), date, number,
                             str(data.get("SeriesDescription", "") or "").strip(), folder)  # fmt: skip
