"""What a synthetic MR image says of itself in DICOM, in the standard's own attributes: that it shows nobody."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from ccella_core import __version__
from ccella_core.imaging.orientation import directions_of, spacing_of
from ccella_core.limits import SYNTHETIC_PREFIX, synthetic_label, synthetic_title

if TYPE_CHECKING:
    from ccella_core.imaging.dicom.export import DicomSource, Slices, StoredVoxels

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SYNTHETIC_DATA = 0x0008001C
"""Whether there was a patient at all; by its number, because pydicom's older dictionaries do not name it."""
UID_SPACE = uuid.UUID("9c5e8f0e-6f0b-5d5a-9d0e-1f6b3c1a7c42")
"""In which names become UUIDs and these, behind 2.25, UIDs: nobody has to be asked for a root of their own."""
SERIES_NUMBERS = {"t2w": 1, "hbv": 2, "adc": 3}
KINDS_OF_IMAGE = {"adc": "DIFFUSION MAP"}
"""The third value of *Image Type*; OTHER for the rest."""
WINDOW_PERCENTILES = (1, 99)
MOST_CHARACTERS = 64  # of a Long String
MOST_TEXT = 1024  # characters of a Short Text


def series_header(source: DicomSource, examination: str, key: str, slices: Slices, stored: StoredVoxels) -> Any:
    """What all images of a series say, as a pydicom dataset.

    Args:
        source: the volume.
        examination: the hash of how it was made, in hexadecimal; from it come patient, study and frame of reference.
        key: the hash of the volume, from which the UID of the series comes.
        slices: the volume as images.
        stored: their numbers.
    """
    from pydicom.dataset import Dataset

    made, nobody = source.provenance, f"{SYNTHETIC_PREFIX}-{examination[:16]}"
    scan = made.get("source_sha256")
    label, label_of_all = synthetic_label(scan), synthetic_label(edited_examination(made))
    maker = f"{made['model_name']} {made['model_version']}"
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["DERIVED", "SECONDARY", KINDS_OF_IMAGE.get(source.sequence, "OTHER"), "SYNTHETIC"]
    _say_when(data, made.get("created"))
    data.SOPClassUID = MR_IMAGE_STORAGE
    data.add_new(SYNTHETIC_DATA, "CS", "YES")
    data.ContentQualification = "RESEARCH"
    data.BurnedInAnnotation = "NO"
    data.DerivationDescription = _text(
        f"{label}. Drawn by the model {maker} (SHA-256 {made['model_sha256']}) from a radiology report: "
        f"seed {made['seed']}, {made.get('num_inference_steps')} steps of {made.get('scheduler')}, guidance "
        f"{made.get('guidance_scale')}. "
        + ("It shows nobody." if scan is None else "What it shows outside the edited part is the scan's."),
        MOST_TEXT,
    )
    data.ImageComments = label
    # What the standard asks for of patient and examination is there, and empty, also where a scan was edited.
    data.PatientName, data.PatientID = f"{SYNTHETIC_PREFIX}^{examination[:16]}", nobody
    data.PatientComments = label_of_all
    for empty in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
                  "ReferringPhysicianName", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime",
                  "EchoTrainLength", "PositionReferenceIndicator"):  # fmt: skip
        setattr(data, empty, None)
    data.StudyInstanceUID, data.StudyID = uid_of("study", examination), examination[:16]
    data.StudyDescription = _text(f"{label_of_all}: prostate MRI")
    data.SeriesInstanceUID, data.FrameOfReferenceUID = uid_of("series", key), uid_of("place", examination)
    data.Modality, data.BodyPartExamined, data.PatientPosition = "MR", "PROSTATE", "HFS"
    data.SeriesNumber = SERIES_NUMBERS.get(source.sequence, len(SERIES_NUMBERS) + 1)
    data.SeriesDescription = _text(f"{synthetic_title(scan)} {source.sequence} seed {made['seed']} ({maker})")
    data.ScanningSequence, data.SequenceVariant = "RM", "NONE"  # research mode: no scanner ran any
    data.Manufacturer, data.ManufacturerModelName = "CCELLA for 3D Slicer", _text(maker)
    data.SoftwareVersions = _text(f"ccella-core {__version__}")
    data.ContributingEquipmentSequence = [_equipment(made)]
    _describe_pixels(data, slices, stored)
    return data


def edited_examination(made: Mapping[str, Any]) -> str | None:
    """The hash of the scans that a volume was edited from; of its own scan where it does not say with which others."""
    return made.get("examination_sha256") or made.get("source_sha256")


def _say_when(data: Any, created: object) -> None:
    """When it was drawn; there is no study date, because there was no examination."""
    try:
        when = datetime.fromisoformat(str(created).replace("Z", "+00:00")).astimezone(timezone.utc)
    except ValueError:
        return
    data.InstanceCreationDate, data.InstanceCreationTime = f"{when:%Y%m%d}", f"{when:%H%M%S}"
    data.TimezoneOffsetFromUTC = "+0000"


def _equipment(made: Mapping[str, Any]) -> Any:
    from pydicom.dataset import Dataset

    purpose, equipment = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    equipment.Manufacturer = "CCELLA for 3D Slicer"
    equipment.ManufacturerModelName = _text(f"{made['model_name']} {made['model_version']}")
    software = made.get("software")
    known = {**software} if isinstance(software, Mapping) else {}
    equipment.SoftwareVersions = _text(f"ccella-core {known.get('ccella-core', __version__)}")
    equipment.ContributionDescription = "Drew the images with a latent diffusion model"
    return equipment


def _describe_pixels(data: Any, slices: Slices, stored: StoredVoxels) -> None:
    directions, spacing = directions_of(slices.affine), spacing_of(slices.affine)
    data.ImageOrientationPatient = [decimal_string(part) for part in (*directions[:, 0], *directions[:, 1])]
    data.PixelSpacing = [decimal_string(spacing[1]), decimal_string(spacing[0])]  # between rows, then between columns
    data.SliceThickness = data.SpacingBetweenSlices = decimal_string(spacing[2])
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = slices.voxels.shape[1:]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, int(stored.numbers.dtype.kind == "i")
    if stored.scale is not None:
        data.RescaleSlope, data.RescaleIntercept = stored.scale
        data.RescaleType = "US"  # of no unit
    dark, bright = np.percentile(slices.voxels, WINDOW_PERCENTILES)
    if bright > dark:
        data.WindowCenter, data.WindowWidth = decimal_string((dark + bright) / 2), decimal_string(bright - dark)
        data.VOILUTFunction = "LINEAR_EXACT"  # the only one that allows a width below 1


def uid_of(*parts: object) -> str:
    """The UID of what these words name: always the same."""
    return f"2.25.{uuid.uuid5(UID_SPACE, ' '.join(map(str, parts))).int}"


def decimal_string(value: float) -> str:
    """A number as DICOM writes it, in up to 16 characters."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value) + 0.0)


def _text(words: str, most: int = MOST_CHARACTERS) -> str:
    """Words as DICOM takes them: a backslash would part them, and each kind of text has its length."""
    return words.replace("\\", "/")[:most]
