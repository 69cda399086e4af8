"""The folder that takes a batch's files: what is in it, what is added, and the table that lists it."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .batch import BatchOutcome, BatchRow, with_usable_rows

RESULTS_NAME = "results.csv"
RESULTS_COLUMNS = ("line", "name", "state", "file", "sequence", "seed", "sha256", "positive_probability", "message",
                   "warnings")  # fmt: skip
OWNER_ALONE = 0o600
IMAGE_NAME = re.compile(r"SYNTHETIC_(?P<row>.+)_seed\d+(_[a-z0-9]+)?\.nii")
"""As the worker names the volumes of a row; at the end stands the sequence, where a model draws several. A label map's
name ends with ``-labels``, and is not one of them."""


class BatchFolder:
    """Made where it is missing.

    Raises:
        OSError: it cannot be made, or nothing can be written into it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):  # before hours are spent on what would be lost
            pass
        self._sidecars: dict[Path, dict[str, Any]] = {}
        self._images_of: defaultdict[str, list[Path]] = defaultdict(list)
        for image in sorted(sidecar.with_suffix(".nii") for sidecar in path.glob("SYNTHETIC_*.json")):
            named = IMAGE_NAME.fullmatch(image.name)
            if named and self._remember(image):
                self._images_of[named["row"].casefold()].append(image)

    def checked(self, rows: Iterable[BatchRow]) -> list[BatchRow]:
        """The rows; one whose name stands on volumes that were made of something else cannot be used.

        Raises:
            BatchError: none can be used.
        """
        problem = _(
            "the folder holds volumes of the name {name} that were made of other input; choose another name or folder."
        )
        return with_usable_rows(
            [
                replace(row, problem=problem.format(name=row.name))
                if not row.problem
                and any(image.exists() and not _made_of(row, self._made(image)) for image in self._images(row))
                else row
                for row in rows
            ]
        )

    def volumes_of(self, row: BatchRow) -> list[Path]:
        """The row's images if they were all there from the beginning; it need not be generated then."""
        by_seed: defaultdict[int, list[Path]] = defaultdict(list)
        for image in self._images(row):
            by_seed[self._made(image)["seed"]].append(image)
        # Where one of a seed's sequences has a sidecar and no image, moving them here was cut short.
        whole = [images for images in by_seed.values() if all(image.exists() for image in images)]
        return list(chain(*whole)) if len(whole) >= row.count else []

    def take(self, result: dict[str, Any]) -> list[Path]:
        """Move the worker's files here from a folder on the same disk; all sidecars first, see ``volumes_of``."""
        labels = {entry["labels"]["path"]: entry["labels"] for entry in result["volumes"] if entry["labels"]}
        for entry in (*labels.values(), *result["volumes"]):
            sidecar = Path(entry["sidecar"])
            sidecar.replace(self.path / sidecar.name)
        # Labels first: where a volume is, its labels are.
        for path in map(Path, labels):
            path.replace(self.path / path.name)
        images = [Path(entry["path"]).replace(self.path / Path(entry["path"]).name) for entry in result["volumes"]]
        for image in images:
            self._remember(image)
        return images

    def write_results(self, outcomes: Iterable[BatchOutcome]) -> None:
        """Write the table of results anew, whole or not at all, readable by its owner alone. Raises OSError."""
        unfinished = self.path / f".{RESULTS_NAME}"
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ALONE)  # a warning quotes reports
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:  # the mark lets Excel read umlauts
            table = csv.DictWriter(file, RESULTS_COLUMNS)
            table.writeheader()
            for outcome in outcomes:
                table.writerows(self._lines(outcome))
        unfinished.replace(self.path / RESULTS_NAME)

    def _lines(self, outcome: BatchOutcome) -> Iterator[dict[str, Any]]:
        """One a volume; one without a volume where there is none."""
        row = outcome.row
        common = {"line": row.line, "name": row.name, "state": outcome.state, "message": outcome.message}
        for image in outcome.volumes:
            sidecar = self._sidecars[image]
            yield {
                **common,
                "file": image.name,
                "sequence": sidecar["sequence"],
                "seed": sidecar["provenance"]["seed"],
                "sha256": sidecar["sha256"],
                "positive_probability": sidecar["provenance"]["predicted_positive_probability"],
                "warnings": " ".join(sidecar["provenance"].get("warnings", ())),
            }
        if not outcome.volumes:
            yield common

    def _images(self, row: BatchRow) -> list[Path]:
        return self._images_of.get(row.name.casefold(), [])

    def _made(self, image: Path) -> dict[str, Any]:
        return self._sidecars[image]["provenance"]

    def _remember(self, image: Path) -> bool:
        """Whether the image's sidecar can be read; without one it counts for nothing."""
        try:
            self._sidecars[image] = json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return "provenance" in self._sidecars[image]


def _made_of(row: BatchRow, made: dict[str, Any]) -> bool:
    """Whether all that the row asks for is what a volume was made with."""
    return (
        made["report"] == row.report
        and made["pathology_requested"] == row.pathology
        and (row.seed is None or row.seed <= made["seed"] < row.seed + row.count)
        and row.steps in (None, made["num_inference_steps"])
    )
