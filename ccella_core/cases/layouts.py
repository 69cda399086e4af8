"""Reading cases from whatever the user has: a manifest, the authors' lists, or the folders of a public archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from ccella_core.cases.authors import is_authors_folder, read_authors_list
from ccella_core.cases.case import PositiveMeans, SourceCases
from ccella_core.cases.manifest import read_manifest
from ccella_core.cases.picai import is_picai, read_picai
from ccella_core.cases.prostatex import is_prostatex, read_prostatex
from ccella_core.errors import InputError

Layout = Literal["auto", "manifest", "authors", "picai", "prostatex"]

LISTS: dict[str, Callable[[Path], SourceCases]] = {"manifest": read_manifest, "authors": read_authors_list}
ARCHIVES: dict[str, Callable[[Path, PositiveMeans | None], SourceCases]] = {
    "picai": read_picai,
    "prostatex": read_prostatex,
}


def read_source(path: Path, layout: Layout = "auto", *, positive: PositiveMeans | None = None) -> SourceCases:
    """The cases of a file or folder.

    Args:
        path: a manifest, the authors' lists, or an archive's folder.
        layout: what it is; ``auto``: by what lies in it.
        positive: what counts as positive in an archive that knows both; by default PI-RADS where it has scores.

    Raises:
        InputError: nothing there, not recognised, or not what ``layout`` says; a list with ``positive``, which states
            each case's class itself.
    """
    if layout not in get_args(Layout):
        raise InputError(f"There is no layout {layout!r}; choose one of {', '.join(get_args(Layout))}.")
    try:
        if not path.exists():
            raise InputError(f"There is no file or folder {path}.")
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL character
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    found = _recognised(path) if layout == "auto" else layout
    if found in ARCHIVES:
        return ARCHIVES[found](path, positive)
    if positive is not None:
        raise InputError(f"{path} states the class of each case; --positive is for PI-CAI and PROSTATEx.")
    return LISTS[found](path)


def _recognised(path: Path) -> str:
    if path.is_file():
        return "authors" if path.suffix.lower() == ".json" else "manifest"
    if is_picai(path):
        return "picai"
    if is_prostatex(path):
        return "prostatex"
    if is_authors_folder(path):
        return "authors"
    raise InputError(
        f"{path} is no PI-CAI or PROSTATEx folder and holds no train.json; write a manifest of its cases "
        "(see docs/training.md)."
    )
