"""Writes what a folder of synthetic cases holds beside its volumes: with what they were made, and the merged table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.data.synthetic_set import (
    CSV_NAME,
    PARQUET_NAME,
    SETTINGS_NAME,
    SynthesisSettings,
    SyntheticCase,
    is_synthetic_set,
    read_settings,
)
from ccella_core.files import whole_file


def refuse_other_synthesis(folder: Path, settings: SynthesisSettings) -> None:
    """Raises InputError, naming what differs, where ``folder`` holds volumes that were made with other settings."""
    if not is_synthetic_set(folder):
        return
    there, now = (each.model_dump(mode="json") for each in (read_settings(folder), settings))
    different = [f"{name}: {there[name]} there, {now[name]} now" for name in now if there[name] != now[name]]
    if different:
        raise InputError(
            f"{folder} holds another synthesis ({'; '.join(different)}). "
            "Go on with the settings that it was begun with, or name another folder."
        )


def write_settings(folder: Path, settings: SynthesisSettings) -> None:
    """Raises SaveError where the disk refuses."""
    _write(folder / SETTINGS_NAME, (settings.model_dump_json(indent=2) + "\n").encode())


def write_table(folder: Path, rows: Sequence[SyntheticCase]) -> None:
    """The same rows as ``cases.csv`` and ``cases.parquet``. Raises SaveError where the disk refuses."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(SyntheticCase.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    _write(folder / CSV_NAME, text.getvalue().encode())
    _write(folder / PARQUET_NAME, _parquet(rows))


def require_pyarrow() -> None:
    """Raises InputError where pyarrow is not installed: better before the volumes are made than after."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise InputError(
            'pyarrow, which writes tables in Parquet, is not installed: pip install "ccella-core[evaluate]"'
        ) from error


def _parquet(rows: Sequence[SyntheticCase]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    # Named one by one: a column whose values are all missing would otherwise have no type.
    special = {"predicted_positive_probability": pa.float64(), "seed": pa.int64()}
    schema = pa.schema([(name, special.get(name, pa.string())) for name in SyntheticCase.model_fields])
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema), stream)
    return stream.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise SaveError(f"{path} could not be written: {error.strerror or error}; free some disk space.") from error
