"""The lists of the authors' release: JSON, with an object for each examination.

``axt2``: the T2-weighted image, below the list's own folder, or below ``folder`` there; in CCELLA++ also ``b1600``, the
diffusion-weighted image of high b-value, and ``adc``; ``folder``: the patient's; ``pirads``: a score from 1 to 5, or
the class as ``[1, 0]`` (negative) and ``[0, 1]`` (positive); ``spacing``: three lengths in mm; ``text``: the report, or
a file that holds it; ``text_isnull``: whether there is none; ``dataset``: the institution. The file is a list of such
objects, or an object with one such list for each split, as MONAI's data lists are, or for each institution
(``institute1``). A folder with ``train.json`` and ``test.json``, as the authors have it, is read as both.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from ccella_core.cases.case import Case, RejectedCase, SourceCases, Split, with_own_names
from ccella_core.cases.manifest import case_of
from ccella_core.cases.tables import read_any_text
from ccella_core.config import read_json
from ccella_core.errors import InputError
from ccella_core.imaging.scans import IMAGE_SUFFIXES
from ccella_core.provenance import SequenceName

IMAGES: dict[str, SequenceName] = {"axt2": "t2w", "b1600": "hbv", "adc": "adc"}
KEYS = {*IMAGES, "dataset", "folder", "pirads", "spacing", "text", "text_isnull"}
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
INSTITUTION = re.compile(r"institute *(\d+)", re.IGNORECASE)
TRAINED_ON = "institute1"
"""The authors train on it alone; the others are for classifiers, to see whether they carry over."""
CLASSES = (([1, 0], "negative"), ([0, 1], "positive"))
ENCODED_SUFFIX = ".npy"


def is_authors_folder(folder: Path) -> bool:
    """Whether a folder holds lists named after splits."""
    return bool(_lists_in(folder))


def read_authors_list(path: Path) -> SourceCases:
    """The cases of such a file, or of a folder of such files named after their splits.

    Raises InputError where it is none; what cannot be used of it is refused by name.
    """
    if not path.is_dir():
        parts = _parts(path)
    elif not (lists := _lists_in(path)):
        raise InputError(f"There is no list of cases in {path}, such as train.json.")
    else:
        parts = [(split, entries) for file, split in lists.items() for _, entries in _parts(file, split)]
    folder = path if path.is_dir() else path.parent
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    images: set[Path] = set()
    for split, entries in parts:
        for number, entry in enumerate(entries, start=1):
            name = _name(entry, number)
            try:
                case = _case(entry, name, split, folder)
                if case.images["t2w"] in images:
                    raise InputError(f"Its image {case.images['t2w']} stands in the lists already.")
            except InputError as error:
                refused.append(RejectedCase(name, str(error)))
            else:
                images.add(case.images["t2w"])
                cases.append(case)
    return SourceCases(with_own_names(cases), tuple(refused), warnings=_of_several(parts))


def _of_several(parts: list[tuple[Split | None, list[Any]]]) -> tuple[str, ...]:
    """A warning where the lists are of several institutions."""
    found = Counter(
        _institution(entry["dataset"])
        for _, entries in parts
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("dataset"), str)
    )
    if len(found) < 2 or TRAINED_ON not in found:
        return ()
    counts = ", ".join(f"{name} {count}" for name, count in sorted(found.items()))
    return (
        f"These lists are of several institutions ({counts}), and all are read; the authors train on {TRAINED_ON} "
        "alone.",
    )


def _institution(name: str) -> str:
    found = INSTITUTION.fullmatch(name.strip())
    return f"institute{found[1]}" if found else name.strip()


def _lists_in(folder: Path) -> dict[Path, Split]:
    return {
        folder / f"{name}.json": split for name, split in SPLIT_NAMES.items() if (folder / f"{name}.json").is_file()
    }


def _parts(path: Path, split: Split | None = None) -> list[tuple[Split | None, list[Any]]]:
    """The lists in a file; ``split``: that of a file that is one list."""
    try:
        content = read_json(read_any_text(path))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} cannot be read as JSON: {error}.") from error
    if isinstance(content, list):
        return [(split, content)]
    if split is not None or not isinstance(content, dict) or not all(isinstance(p, list) for p in content.values()):
        raise InputError(f"{path} holds neither a list of examinations nor one such list for each split.")
    if unknown := [name for name in content if name not in SPLIT_NAMES and not INSTITUTION.fullmatch(name)]:
        raise InputError(
            f"{path} has a list {unknown[0]!r}; the splits are {', '.join(SPLIT_NAMES)}, the institutions institute1 "
            "and so on."
        )
    return [
        (SPLIT_NAMES[name], entries) if name in SPLIT_NAMES else (None, [_of(each, name) for each in entries])
        for name, entries in content.items()
    ]


def _of(entry: Any, institution: str) -> Any:
    return {"dataset": institution, **entry} if isinstance(entry, dict) else entry


def _name(entry: Any, number: int) -> str:
    """The image's, with the folder it lies in: many archives keep a file of the same name for each examination."""
    if not isinstance(entry, dict) or not isinstance(entry.get("axt2"), str):
        return f"entry {number}"
    image = Path(str(entry.get("folder") or "")) / entry["axt2"]
    stem = image.name
    for suffix in IMAGE_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return "_".join([*([image.parent.name] if image.parent.name else []), stem])


def _case(entry: Any, name: str, split: Split | None, folder: Path) -> Case:
    if not isinstance(entry, dict) or not isinstance(entry.get("axt2"), str) or "pirads" not in entry:
        raise InputError("It has no axt2 and pirads.")
    if unexpected := sorted(entry.keys() - KEYS):
        raise InputError(f"It has keys that are not understood: {', '.join(unexpected)}.")
    own_folder = str(entry.get("folder") or "")
    named = {sequence: Path(entry[key]) for key, sequence in IMAGES.items() if isinstance(entry.get(key), str)}
    images: dict[str, str] = {
        sequence: str(image if _exists(folder / image) else Path(own_folder) / image)
        for sequence, image in named.items()
    }
    line = {
        "case": name,
        "patient": own_folder or None,
        **images,
        **_class(entry["pirads"]),
        "spacing": entry.get("spacing"),
        **_report(entry),
        "split": split,
    }
    return case_of(line, folder)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL character
        return False


def _class(pirads: Any) -> dict[str, Any]:
    if not isinstance(pirads, list):
        return {"pirads": pirads}
    for one_hot, pathology in CLASSES:
        if pirads == one_hot:
            return {"pathology": pathology}
    classes = " or ".join(str(one_hot) for one_hot, _ in CLASSES)
    raise InputError(f"Its pirads {pirads} is neither a score nor a class, {classes}.")


def _report(entry: dict[str, Any]) -> dict[str, str]:
    text = "" if entry.get("text_isnull") else str(entry.get("text") or "").strip()
    if text.endswith(ENCODED_SUFFIX):
        raise InputError(f"Its text {text} is a report that was encoded already; give the report itself.")
    return {"report_file" if text.endswith(".txt") and "\n" not in text else "report": text}
