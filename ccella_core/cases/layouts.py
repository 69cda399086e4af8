"""Reading cases from whatever the user has: a manifest, the authors' lists, or the folders of a public archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from ccella_core.cases.authors import is_authors_folder, read_authors_list
from ccella_core.cases.case import SourceCases
from ccella_core.cases.manifest import read_manifest
from ccella_core.cases.picai import is_picai, read_picai
from ccella_core.cases.prostatex import is_prostatex, read_prostatex
from ccella_core.errors import InputError

Layout = Literal["auto", "manifest", "authors", "picai", "prostatex"]

READERS: dict[str, Callable[[Path], SourceCases]] = {
    "manifest": read_manifest,
    "authors": read_authors_list,
    "picai": read_picai,
    "prostatex": read_prostatex,
}


def read_source(path: Path, layout: Layout = "auto") -> SourceCases:
    """The cases of a file or folder.

    Raises:
        InputError: nothing there, not recognised, or not what ``layout`` says.
    """
    if layout not in get_args(Layout):
        raise InputError(f"There is no layout {layout!r}; choose one of {', '.join(get_args(Layout))}.")
    if not path.exists():
        raise InputError(f"There is no file or folder {path}.")
    return READERS[_recognised(path) if layout == "auto" else layout](path)


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
