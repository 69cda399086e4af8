"""Labels that a model draws with its volumes: gland and lesion of an examination, in one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ccella_core.errors import InputError
from ccella_core.imaging.volume import SyntheticImage, image_suffix, read_image, read_sidecar
from ccella_core.provenance import LABEL_VALUES, LABELS, LabelName, Provenance

THRESHOLD = 0.5
"""A label is encoded as an image of 0 and 1; what is decoded from a latent lies between."""


@dataclass(eq=False)
class LabelMap(SyntheticImage):
    """Where a model drew the gland and a lesion, for all volumes of an examination.

    ``voxels`` is uint8: 0, or the value that ``values`` has for a name. Raises ``InputError`` for another value.
    """

    voxels: np.ndarray
    affine: np.ndarray
    values: dict[LabelName, int]
    provenance: Provenance

    def __post_init__(self) -> None:
        self.voxels = np.asarray(self.voxels)
        if unknown := np.setdiff1d(self.voxels, [0, *self.values.values()]).tolist():
            raise InputError(f"A label map of {', '.join(self.values)} has no value {unknown[0]}.")
        self.voxels = self.voxels.astype(np.uint8, copy=False)
        super().__post_init__()

    def mask(self, name: LabelName) -> np.ndarray:
        """(X, Y, Z) bool: where the label is; of the gland, the lesion within it too."""
        if name not in self.values:
            raise InputError(f"There is no label {name}; there are {', '.join(self.values)}.")
        return self.voxels > 0 if name == "gland" else self.voxels == self.values[name]

    def _content(self) -> dict[str, Any]:
        return {"labels": self.values}

    def _header(self, image: nib.Nifti1Image) -> str:
        image.header.set_intent("label", name="Segmentation")
        return LABELS

    @classmethod
    def load(cls, path: Path | str) -> LabelMap:
        """Read back what ``save`` wrote.

        Raises ``InputError`` where the image or its sidecar is missing or unreadable, the image has been altered, or it
        is a volume.
        """
        sidecar = read_sidecar(Path(path))
        if sidecar.labels is None:
            raise InputError(f"{path} is a volume, not a label map.")
        return cls(*read_image(Path(path)), sidecar.labels, sidecar.provenance)


def is_label_map(path: Path) -> bool:
    """Whether an image file has the name of a label map."""
    return path.name[: -len(image_suffix(path))].endswith(f"-{LABELS}")


def label_map(drawn: Mapping[LabelName, np.ndarray], affine: np.ndarray, provenance: Provenance) -> LabelMap:
    """A label map of what the autoencoder decoded for each label, each (X, Y, Z).

    A lesion is drawn over the gland, also where the two do not agree: one that reaches out of the gland stays whole.
    """
    values = {name: LABEL_VALUES[name] for name in drawn}
    voxels = np.zeros(next(iter(drawn.values())).shape, np.uint8)
    for name in sorted(drawn, key=values.__getitem__):
        voxels[drawn[name] >= THRESHOLD] = values[name]
    return LabelMap(voxels, affine, values, provenance)
