"""What a measurement leaves on disk: JSON for machines and markdown for people, side by side."""

from __future__ import annotations

from pathlib import Path

from ccella_core.errors import SaveError
from ccella_core.files import whole_file
from ccella_core.config import StrictModel


def save_result(result: StrictModel, text: str, path: Path) -> None:
    """Write ``path`` with the suffixes ``.json`` and ``.md``; the folder is made. Raises SaveError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".json", result.model_dump_json(indent=2) + "\n"), (".md", text)):
            with whole_file(path.with_name(path.name + suffix)) as unfinished:
                unfinished.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SaveError(f"The result cannot be written to {path}.json: {error}.") from error
