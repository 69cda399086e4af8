"""The lists of the authors' release: JSON, with an object for each examination.

``axt2``: the T2-weighted image; ``folder``: to which it is relative; ``pirads``: 1 to 5; ``spacing``: three lengths in
mm; ``text``: the report; ``text_isnull``: whether there is none. The file is a list of such objects, or an object with
one such list for each split, as MONAI's data lists are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ccella_core.cases.case import Case, Split
from ccella_core.cases.manifest import Listing, Refusal, case_of, with_own_names
from ccella_core.errors import InputError

KEYS = {"axt2", "folder", "pirads", "spacing", "text", "text_isnull"}
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def read_authors_list(path: Path) -> Listing:
    """The cases of such a file. Raises InputError where it is none; what cannot be used of it is refused by name."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    parts = {None: content} if isinstance(content, list) else content
    if not isinstance(parts, dict) or not all(isinstance(part, list) for part in parts.values()):
        raise InputError(f"{path} holds neither a list of examinations nor one such list for each split.")
    unknown = [name for name in parts if name is not None and name not in SPLIT_NAMES]
    if unknown:
        raise InputError(f"{path} has a list {unknown[0]!r}; the splits are {', '.join(SPLIT_NAMES)}.")
    cases: list[Case] = []
    refused: list[Refusal] = []
    for part, entries in parts.items():
        for number, entry in enumerate(entries, start=1):
            name = _name(entry, number)
            try:
                cases.append(_case(entry, name, None if part is None else SPLIT_NAMES[part], path.parent))
            except InputError as error:
                refused.append(Refusal(name, str(error)))
    return Listing(with_own_names(cases), tuple(refused))


def _name(entry: Any, number: int) -> str:
    if not isinstance(entry, dict) or "axt2" not in entry:
        return f"entry {number}"
    image = Path(entry["axt2"])
    stem = image.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".mha").removesuffix(".nrrd")
    # Many archives keep one file of the same name in a folder for each examination.
    folders = [
        part for part in (*Path(entry.get("folder") or "").parts[-1:], *image.parent.parts) if part not in ("/", ".")
    ]
    return "_".join([*folders[-1:], stem])


def _case(entry: Any, name: str, split: Split | None, folder: Path) -> Case:
    if not isinstance(entry, dict) or not {"axt2", "pirads"} <= entry.keys():
        raise InputError("It has no axt2 and pirads.")
    if strangers := sorted(entry.keys() - KEYS):
        raise InputError(f"It has keys that are not understood: {', '.join(strangers)}.")
    text = "" if entry.get("text_isnull") else str(entry.get("text") or "").strip()
    line = {
        "case": name,
        "t2w": str(Path(entry.get("folder") or "") / entry["axt2"]),
        "pirads": entry["pirads"],
        "spacing": entry.get("spacing"),
        "report": text,
        "split": split,
    }
    return case_of(line, folder)
