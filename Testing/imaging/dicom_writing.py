"""Small DICOM files for tests, written with pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

MR, ENHANCED_MR, SEG = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.66.4"
ROOT = "1.2.826.0.1.3680043.8.498."
UPRIGHT = [1, 0, 0, 0, 1, 0]


def dataset(path: Path, kind: str, voxels: np.ndarray, *, series: str, description: str, number: int = 4,
            study: str = "1", date: str = "20200101", modality: str = "MR") -> FileDataset:  # fmt: skip
    """An image's header and voxels (rows, columns) or (frames, rows, columns), uint16; not yet written."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = ROOT + "1" + study, ROOT + "2" + series
    data.Modality, data.SeriesDescription, data.SeriesNumber = modality, description, number
    data.StudyDate = data.SeriesDate = date
    data.Rows, data.Columns = voxels.shape[-2:]
    if voxels.ndim == 3:
        data.NumberOfFrames = len(voxels)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = voxels.astype("<u2").tobytes()
    return data


def write_slice(path: Path, place: float, voxels: np.ndarray, *, aside: float = 0.0, slope: float | None = None,
                orientation: list[float] = UPRIGHT, series: str = "1", description: str = "t2_tse_tra",
                **more: Any) -> Path:  # fmt: skip
    """A slice at z mm, moved ``aside`` along y; ``more``: elements by keyword, ``None`` to leave one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {name: more.pop(name) for name in ("number", "study", "date") if name in more}
    data = dataset(path, MR, voxels, series=series, description=description, **known)
    data.ImagePositionPatient, data.ImageOrientationPatient = [-8.0, -8.0 + aside, place], orientation
    data.PixelSpacing, data.SliceThickness = [1.0, 1.5], 3.0
    if slope is not None:
        data.RescaleSlope, data.RescaleIntercept = slope, 0
    for name, value in more.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def write_frames(path: Path, frames: list[tuple[float, np.ndarray, dict[str, float]]], *, kind: str = ENHANCED_MR,
                 cut: int = 0) -> Path:  # fmt: skip
    """A multi-frame file: (z in mm, voxels, facts: ``b``, ``slope``, ``segment``) a frame; ``cut``: bytes left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.stack([voxels for _, voxels, _ in frames])
    data = dataset(path, kind, voxels, series="1", description="invented", modality="SEG" if kind == SEG else "MR")
    if kind == SEG:
        data.SegmentationType = "BINARY"
        numbers = sorted({int(facts["segment"]) for *_, facts in frames})
        segments = [item(SegmentNumber=number, SegmentLabel=f"zone {number}") for number in numbers]
        data.SegmentSequence = Sequence(segments)
    measures = item(PixelSpacing=[1.0, 1.5], SliceThickness=3.0, SpacingBetweenSlices=3.0)
    data.SharedFunctionalGroupsSequence = Sequence([item(
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=UPRIGHT)]),
        PixelMeasuresSequence=Sequence([measures]),
    )])  # fmt: skip
    groups = []
    for place, _, facts in frames:
        group = item(PlanePositionSequence=Sequence([item(ImagePositionPatient=[-8.0, -8.0, place])]))
        if "b" in facts:
            group.MRDiffusionSequence = Sequence([item(DiffusionBValue=float(facts["b"]))])
        if "slope" in facts:
            group.PixelValueTransformationSequence = Sequence([item(RescaleSlope=facts["slope"], RescaleIntercept=0)])
        if "segment" in facts:
            group.SegmentIdentificationSequence = Sequence([item(ReferencedSegmentNumber=int(facts["segment"]))])
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if cut:
        data.PixelData = data.PixelData[:-cut]
    data.save_as(path, enforce_file_format=True)
    return path


def item(**elements: Any) -> Dataset:
    """A dataset with these elements."""
    data = Dataset()
    for name, value in elements.items():
        setattr(data, name, value)
    return data
