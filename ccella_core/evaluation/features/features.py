"""What volumes look like to a network: the features between whose distributions distances are measured.

A number means something only together with the extractor that it was measured with, so each carries its name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np

from ccella_core.devices import choose_device
from ccella_core.errors import InputError, ModelError
from ccella_core.evaluation.adherence.phantom_reader import (
    PhantomReader,
    check_geometry,
    check_readable,
    weights_fingerprint,
)
from ccella_core.evaluation.adherence.phantom_reader_training import load_or_train_phantom_reader
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.evaluation.features.extractor_import import (
    IMPORT_COMMAND,
    PUBLISHED,
    PublishedExtractor,
    download_extractor,
    extractors_folder,
    import_extractor,
)
from ccella_core.evaluation.features.medicalnet import MedicalNetExtractor
from ccella_core.evaluation.features.protocols import ProtocolName, check_protocol
from ccella_core.evaluation.features.radimagenet import SLICES, RadImageNetExtractor
from ccella_core.files import whole_file
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName

ExtractorName = Literal["phantom", "medicalnet", "radimagenet"]
KINDS: tuple[ExtractorName, ...] = get_args(ExtractorName)
PHANTOM_NAME = "phantom reader (stand-in)"


class FeatureExtractor(Protocol):
    """Turns a volume into a vector, or into one for each of some slices."""

    name: str
    """As printed beside every number."""
    dimension: int
    fingerprint: str
    """Changes with the weights and with anything else that changes the features."""

    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Features (D,) float64, or (S, D) of S slices, of voxels (X, Y, Z) in 0 … 1 and RAS+, spaced in mm.

        Raises:
            InputError: a shape or spacing that the network cannot read.
        """


class PhantomExtractor:
    """The deepest activations of the phantom reader, which was trained on the digital prostate alone.

    It stands in where published weights cannot be had: its distances rank sets, and compare with nobody's.
    """

    name = PHANTOM_NAME

    def __init__(self, phantom_reader: PhantomReader) -> None:
        self.phantom_reader = phantom_reader
        self.dimension = 2 * phantom_reader.config.filters[-1]
        self.fingerprint = weights_fingerprint(phantom_reader.network)

    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """See `FeatureExtractor`."""
        check_geometry(np.diag([*spacing, 1.0]))
        return self.phantom_reader.features([voxels], spacing)[0]


def check_kind(
    kind: str, shape: tuple[int, int, int], spacing: tuple[float, float, float], sequence: SequenceName = "t2w"
) -> None:
    """Whether volumes can be read by a kind of extractor, before its weights are loaded or, of ``phantom``, trained.

    Raises:
        InputError: there is no such kind; or ``phantom``, and volumes unlike the digital prostate's.
    """
    _refuse_unknown(kind)
    if kind != "phantom":
        return  # those read any grid
    try:
        if sequence != "t2w":
            raise InputError(f"The phantom reader was trained on t2w volumes, not on {sequence}.")
        check_readable(shape, spacing)
    except InputError as error:
        raise InputError(
            f"The extractor phantom is a stand-in and cannot read these volumes: {error} Import published weights with "
            f"`{IMPORT_COMMAND.format(kind='medicalnet')} FILE` and choose them, or prepare t2w cases on the grid of "
            "the digital prostate."
        ) from error


def load_extractors(
    kind: ExtractorName,
    weights: Path | None = None,
    *,
    allow_download: bool = False,
    device: str = "auto",
    slices: int | None = None,
    protocol: ProtocolName = "own",
    progress: OnProgress | None = None,
) -> tuple[FeatureExtractor, ...]:
    """The extractors of a kind, ready to use: one, or of ``radimagenet`` one for each of three planes.

    Args:
        kind: one of KINDS.
        weights: the folder that ``ccella models import-extractor`` made, or a phantom reader's; by default this user's.
        allow_download: fetch and import published weights from the Hugging Face hub where they are missing.
        device: as in `choose_device`; the phantom reader of ``phantom`` is small and stays on the CPU.
        slices: of each volume and plane, evenly spaced; by default SLICES, and with a published protocol all.
        protocol: how volumes are given to published networks.
        progress: called as ``phantom`` is trained, which its first use does: nine minutes of one core.

    Raises:
        InputError: no such kind, device or protocol, or a protocol that is not measured so.
        ModelError: the weights are missing, or do not fit.
    """
    _refuse_unknown(kind)
    check_protocol(protocol, [kind], slices)
    if kind == "phantom":
        phantom_reader = (
            load_or_train_phantom_reader(progress=progress) if weights is None else PhantomReader.load(weights)
        )
        return (PhantomExtractor(phantom_reader),)
    folder = _imported(kind, weights, allow_download)
    if kind == "medicalnet":
        return (MedicalNetExtractor.load(folder, choose_device(device), protocol=protocol),)
    return RadImageNetExtractor.load(
        folder, choose_device(device), slices=SLICES if slices is None else slices, protocol=protocol
    )


def load_extractor(
    kind: ExtractorName,
    weights: Path | None = None,
    *,
    allow_download: bool = False,
    progress: OnProgress | None = None,
) -> FeatureExtractor:
    """The first extractor of a kind; of ``radimagenet`` the axial plane's. See `load_extractors`."""
    return load_extractors(kind, weights, allow_download=allow_download, progress=progress)[0]


def available_kinds() -> tuple[ExtractorName, ...]:
    """The published kinds that were imported on this computer; where there are none, the stand-in."""
    imported: tuple[ExtractorName, ...] = tuple(kind for kind in PUBLISHED if (extractors_folder() / kind).is_dir())
    return imported or ("phantom",)


def features_of(
    volumes: VolumeSet, extractor: FeatureExtractor, *, cache: Path | None = None, progress: OnProgress | None = None
) -> np.ndarray:
    """Features of every volume, in order: (N, D) float64, or (N * S, D) where the extractor takes S slices of each.

    Args:
        volumes: all of one spacing.
        extractor: gives the features.
        cache: a folder in which the features of each volume are kept, by its voxels and the extractor's fingerprint.
        progress: called after every volume.

    Raises:
        InputError: a volume that cannot be read (see `VolumeSet.voxels`), or not by this extractor.
    """
    rows = []
    for index in range(len(volumes)):
        voxels = volumes.voxels(index)
        rows.append(_cached(voxels, volumes.spacing, extractor, cache))
        if progress is not None:
            progress(index + 1, len(volumes))
    if not rows:
        raise InputError(f"There are no volumes in {volumes.name} to compute features of.")
    return np.concatenate(rows)


def mean_per_volume(features: np.ndarray, volumes: int) -> np.ndarray:
    """(N, D) of features (N * S, D): the mean over the slices of each of N volumes."""
    return features.reshape(volumes, -1, features.shape[-1]).mean(axis=1)


def _refuse_unknown(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"There is no feature extractor {kind!r}; there are {', '.join(KINDS)}.")


def _imported(kind: PublishedExtractor, weights: Path | None, allow_download: bool) -> Path:
    folder = extractors_folder() / kind if weights is None else weights
    if folder.is_file():
        raise ModelError(f"{folder} is a file; import it once with: {IMPORT_COMMAND.format(kind=kind)} {folder}")
    if folder.is_dir():
        return folder
    if allow_download:
        return import_extractor(kind, download_extractor(kind), folder)
    raise ModelError(
        f"The weights of {kind} are not in {folder}; import them with: {IMPORT_COMMAND.format(kind=kind)} FILE"
    )


def _cached(
    voxels: np.ndarray, spacing: tuple[float, float, float], extractor: FeatureExtractor, cache: Path | None
) -> np.ndarray:
    if cache is None:
        return np.atleast_2d(extractor(voxels, spacing))
    digest = hashlib.sha256(f"{extractor.name} {extractor.fingerprint} {voxels.shape} {spacing}".encode())
    digest.update(np.ascontiguousarray(voxels).tobytes())
    path = cache / f"{digest.hexdigest()}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    features = np.atleast_2d(extractor(voxels, spacing))
    cache.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        np.save(unfinished, features)
    return features
