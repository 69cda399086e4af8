"""The phantom reader: a small network that maps the pelvis in a T2-weighted volume, and the reading of its map.

It is trained on the digital prostate alone (see `phantom_reader_training`) and speaks about volumes that look like it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from einops import rearrange
from monai.networks.nets import DynUNet
from pydantic import Field
from torch import Tensor, nn

from ccella_core.config import StrictModel, read_json_object, validated
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import MeasuredFinding, Region, measure
from ccella_core.evaluation.adherence.scores import ReadingScores
from ccella_core.evaluation.data.volume_set import INTENSITY_SLACK, SPACING_TOLERANCE
from ccella_core.files import write_json
from ccella_core.models.weights import load_config, load_network, save_component
from ccella_core.phantom.render import DEFAULT_SPACING

READABLE_SEQUENCE = "t2w"
WINDOW = (80, 64, 28)  # voxels around the centre of the volume: the largest gland of the phantom, and a rim
VALIDATION_NAME = "validation.json"
FINGERPRINT_DIGITS = 16
FOLD = 2  # in-plane neighbours that become channels: voxels are 1 x 1 x 3 mm, and the network is four times cheaper


Filters = Annotated[tuple[Annotated[int, Field(gt=0, le=1024)], ...], Field(min_length=3, max_length=6)]
"""Channels of each level."""


class PhantomReaderConfig(StrictModel):
    """The network's width at each level, and what counts as a lesion."""

    filters: Filters = (16, 32, 64, 64)
    lesion_threshold_ml: float = Field(0.15, gt=0, description="calibrated after training")


class PhantomReaderValidation(StrictModel):
    """What a phantom reader was found to be worth on phantoms that were used for nothing else."""

    sharp: ReadingScores
    blurred: ReadingScores
    """The same phantoms, smoothed about as much as generated volumes are."""


class PhantomReaderNetwork(nn.Module):
    """MONAI's ``DynUNet``, working on voxels folded two by two in the plane and answering for each."""

    def __init__(self, filters: Sequence[int]) -> None:
        super().__init__()
        # The first step down leaves the slices alone, which are already thicker than a folded voxel is wide.
        steps_down: list[Sequence[int] | int] = [1, (2, 2, 1), *[2] * (len(filters) - 2)]
        self.unet = DynUNet(
            spatial_dims=3,
            in_channels=FOLD**2,
            out_channels=FOLD**2 * len(Region),
            kernel_size=[3] * len(filters),
            strides=steps_down,
            upsample_kernel_size=steps_down[1:],
            filters=filters,
        )

    def forward(self, voxels: Tensor) -> Tensor:
        """Logits (B, len(Region), X, Y, Z) of voxels (B, 1, X, Y, Z) in 0 … 1."""
        logits = self.unet(self._fold(voxels))
        return rearrange(logits, "b (r p q) x y z -> b r (x p) (y q) z", p=FOLD, q=FOLD)

    def deepest(self, voxels: Tensor) -> Tensor:
        """Activations (B, filters[-1], x, y, z) at the bottom of the U."""
        hidden = self.unet.input_block(self._fold(voxels))
        for level in self.unet.downsamples:
            hidden = level(hidden)
        return self.unet.bottleneck(hidden)

    @staticmethod
    def _fold(voxels: Tensor) -> Tensor:
        return rearrange(2 * voxels - 1, "b 1 (x p) (y q) z -> b (p q) x y z", p=FOLD, q=FOLD)


class PhantomReader:
    """Reads volumes; ``save`` and ``load`` keep it in a folder.

    ``validation`` is ``None`` where it was never validated.
    """

    def __init__(
        self,
        network: PhantomReaderNetwork,
        config: PhantomReaderConfig,
        validation: PhantomReaderValidation | None = None,
    ) -> None:
        self.network = network.eval()
        self.config = config
        self.validation = validation

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with the weights and with what counts as a lesion."""
        content = f"{weights_fingerprint(self.network)} {self.config.model_dump_json()}"
        return hashlib.sha256(content.encode()).hexdigest()[:FINGERPRINT_DIGITS]

    @torch.inference_mode()
    def probability(self, voxels: np.ndarray) -> np.ndarray:
        """Map (len(Region), *WINDOW) of the middle of a volume (X, Y, Z) in 0 … 1."""
        logits = self.network(_batch(voxels))
        return logits[0].softmax(dim=0).numpy()

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        """What a T2-weighted volume shows.

        Args:
            voxels: (X, Y, Z) in 0 … 1, the gland in the middle; a slight overshoot is clipped.
            affine: (4, 4) to RAS+ mm, which must be upright and have the phantom's spacing.

        Raises:
            InputError: another spacing or orientation, a volume smaller than the window, other intensities, NaN.
        """
        check_geometry(affine)
        return measure(self.probability(voxels), DEFAULT_SPACING, self.config.lesion_threshold_ml)

    @torch.inference_mode()
    def features(self, volumes: Iterable[np.ndarray]) -> np.ndarray:
        """Mean and spread of the deepest activations, (N, 2 * filters[-1]) float64, of volumes (X, Y, Z) in 0 … 1."""
        rows = []
        for voxels in volumes:
            deepest = self.network.deepest(_batch(voxels))[0].flatten(1)
            rows.append(torch.cat([deepest.mean(dim=1), deepest.std(dim=1)]).double().numpy())
        if not rows:
            raise InputError("There are no volumes to compute features of.")
        return np.stack(rows)

    def save(self, folder: Path) -> None:
        """Write the network, its configuration and, where there is one, its validation. Raises SaveError."""
        save_component(self.network, self.config, folder)
        if self.validation is not None:
            save_validation(self.validation, folder)

    @classmethod
    def load(cls, folder: Path) -> PhantomReader:
        """Raises ModelError where the folder does not hold a whole phantom reader."""
        config = load_config(PhantomReaderConfig, folder)
        network = load_network(lambda: PhantomReaderNetwork(config.filters), folder)
        path = folder / VALIDATION_NAME
        validation = validated(PhantomReaderValidation, read_json_object(path), path) if path.is_file() else None
        return cls(network, config, validation)


def weights_fingerprint(network: nn.Module) -> str:
    """Hexadecimal digits that change with any weight."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def save_validation(validation: PhantomReaderValidation, folder: Path) -> None:
    """Add it to the folder of a saved phantom reader."""
    write_json(folder / VALIDATION_NAME, validation)


def central_window(volume: np.ndarray) -> np.ndarray:
    """The WINDOW in the middle of a volume (X, Y, Z), a view; InputError where the volume is smaller."""
    _check_window(volume.shape)
    corner = [(size - side) // 2 for size, side in zip(volume.shape, WINDOW, strict=True)]
    return volume[tuple(slice(start, start + side) for start, side in zip(corner, WINDOW, strict=True))]


def check_readable(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> None:
    """Raises InputError unless volumes of a shape and a spacing in mm, upright in RAS+, can be read."""
    check_geometry(np.diag([*spacing, 1.0]))
    _check_window(shape)


def check_geometry(affine: np.ndarray) -> None:
    """Raises InputError unless the axes are RAS+ and the spacing is the phantom's."""
    axes = np.asarray(affine, dtype=np.float64)[:3, :3]
    if axes.shape != (3, 3) or not np.allclose(axes / DEFAULT_SPACING, np.eye(3), atol=SPACING_TOLERANCE):
        wanted = " x ".join(f"{length:g}" for length in DEFAULT_SPACING)
        raise InputError(
            f"The phantom reader was trained on upright RAS+ volumes of {wanted} mm; resample this one first."
        )


def _check_window(shape: tuple[int, ...]) -> None:
    if len(shape) != 3 or any(size < side for size, side in zip(shape, WINDOW, strict=True)):
        raise InputError(f"The phantom reader needs a volume of at least {WINDOW} voxels, not {tuple(shape)}.")


def _batch(voxels: np.ndarray) -> Tensor:
    window = np.asarray(central_window(np.asarray(voxels)), dtype=np.float32)
    if not np.isfinite(window).all():
        raise InputError("The volume to read holds NaN or infinity.")
    if window.min() < -INTENSITY_SLACK or window.max() > 1 + INTENSITY_SLACK:
        raise InputError(
            f"The phantom reader needs voxels in 0 … 1, not {window.min():g} … {window.max():g}; rescale them."
        )
    return torch.from_numpy(np.clip(window, 0, 1))[None, None]
