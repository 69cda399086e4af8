"""The phantom reader: a small network that maps the pelvis in a T2-weighted volume, and the reading of its map.

It is trained on the digital prostate alone (see `phantom_reader_training`) and speaks about volumes that look like it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from einops import rearrange
from monai.networks.nets import DynUNet
from pydantic import Field
from scipy.ndimage import affine_transform
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
FINEST_MM = 0.4
"""Of voxels within slices; coarser ones than the phantom's show too little, and slices are not interpolated at all."""
FEWEST_SLICES = 18
"""What most glands need; the outermost is repeated for the rest of the window."""


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
    def probability(self, voxels: np.ndarray, spacing: tuple[float, float, float] = DEFAULT_SPACING) -> np.ndarray:
        """Map (len(Region), *WINDOW) of the middle of a volume (X, Y, Z) in 0 … 1, on the phantom's grid.

        Where the volume has no slices there is nothing but ``Region.OTHER``.
        """
        window, has_slice = reader_window(voxels, spacing)
        found: np.ndarray = self.network(_batch(window))[0].softmax(dim=0).numpy()
        found[:, :, :, ~has_slice] = np.eye(len(Region))[Region.OTHER][:, None, None, None]
        return found

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        """What a T2-weighted volume shows.

        Args:
            voxels: (X, Y, Z) in 0 … 1, the gland in the middle; a slight overshoot is clipped.
            affine: (4, 4) to RAS+ mm, which must be upright and have the phantom's spacing, or a finer one in plane.

        Raises:
            InputError: thicker slices, coarser planes, another orientation, a volume smaller than the gland may be,
                other intensities, NaN.
        """
        check_geometry(affine)
        probability = self.probability(voxels, tuple(np.diag(affine)[:3].tolist()))
        return measure(probability, DEFAULT_SPACING, self.config.lesion_threshold_ml)

    @torch.inference_mode()
    def features(
        self, volumes: Iterable[np.ndarray], spacing: tuple[float, float, float] = DEFAULT_SPACING
    ) -> np.ndarray:
        """Mean and spread of the deepest activations, (N, 2 * filters[-1]) float64, of volumes (X, Y, Z) in 0 … 1."""
        rows = []
        for voxels in volumes:
            deepest = self.network.deepest(_batch(reader_window(voxels, spacing)[0]))[0].flatten(1)
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


def reader_window(voxels: np.ndarray, spacing: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The WINDOW in the middle of a volume on the phantom's grid, and which of its slices the volume has, (Z,) bool.

    Finer voxels are interpolated linearly within slices; where slices are missing, the outermost is repeated.

    Raises:
        InputError: a smaller volume than can be read.
    """
    _check_size(voxels.shape, spacing)
    planes = np.asarray(voxels)
    if not np.allclose(spacing[:2], DEFAULT_SPACING[:2], atol=SPACING_TOLERANCE):
        planes = _on_phantom_planes(planes, spacing)
    missing = max(0, WINDOW[2] - planes.shape[2])
    around = (missing // 2, missing - missing // 2)
    has_slice = np.pad(np.ones(planes.shape[2], dtype=bool), around)
    first = (len(has_slice) - WINDOW[2]) // 2
    return central_window(np.pad(planes, ((0, 0), (0, 0), around), mode="edge")), has_slice[first : first + WINDOW[2]]


def _on_phantom_planes(voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Slices with voxels of the phantom's size, about the same middle."""
    steps = np.array([*(own / of for own, of in zip(DEFAULT_SPACING[:2], spacing[:2], strict=True)), 1.0])
    shape = np.floor(np.array(voxels.shape) / steps).astype(int)
    offset = (np.array(voxels.shape) - 1) / 2 - (shape - 1) / 2 * steps
    resampled: np.ndarray = affine_transform(
        voxels.astype(np.float32), steps, offset, tuple(shape), order=1, mode="nearest"
    )
    return resampled


def central_window(volume: np.ndarray) -> np.ndarray:
    """The WINDOW in the middle of a volume (X, Y, Z), a view; InputError where the volume is smaller."""
    _check_window(volume.shape)
    corner = [(size - side) // 2 for size, side in zip(volume.shape, WINDOW, strict=True)]
    return volume[tuple(slice(start, start + side) for start, side in zip(corner, WINDOW, strict=True))]


def check_readable(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> None:
    """Raises InputError unless volumes of a shape and a spacing in mm, upright in RAS+, can be read."""
    check_geometry(np.diag([*spacing, 1.0]))
    _check_size(shape, spacing)


def check_geometry(affine: np.ndarray) -> None:
    """Raises InputError unless the axes are RAS+ and the spacing is the phantom's, or a finer one within slices."""
    axes = np.asarray(affine, dtype=np.float64)[:3, :3]
    steps = np.diag(axes) if axes.shape == (3, 3) else np.zeros(3)
    finest = np.array([FINEST_MM, FINEST_MM, DEFAULT_SPACING[2] - SPACING_TOLERANCE])
    coarsest = np.add(DEFAULT_SPACING, SPACING_TOLERANCE)
    is_upright = axes.shape == (3, 3) and np.allclose(axes, np.diag(steps), atol=SPACING_TOLERANCE)
    if not is_upright or (steps < finest).any() or (steps > coarsest).any():
        wanted = " x ".join(f"{length:g}" for length in DEFAULT_SPACING)
        raise InputError(
            f"The phantom reader was trained on upright RAS+ volumes of {wanted} mm, and reads {FINEST_MM:g} to "
            f"{DEFAULT_SPACING[0]:g} mm within the slices; resample this one first."
        )


def _check_size(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> None:
    sides = [side * own / of for side, own, of in zip(WINDOW[:2], DEFAULT_SPACING, spacing, strict=False)]
    least = [*(math.ceil(side * (1 - SPACING_TOLERANCE)) for side in sides), min(FEWEST_SLICES, WINDOW[2])]
    if len(shape) != 3 or any(size < side for size, side in zip(shape, least, strict=True)):
        wanted = " x ".join(map(str, least))
        raise InputError(
            f"The phantom reader needs a volume of at least {wanted} voxels, not {' x '.join(map(str, shape))}."
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
