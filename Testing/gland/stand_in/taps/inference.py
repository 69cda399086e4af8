import logging
from pathlib import Path

import nibabel as nib
import numpy as np

logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[logging.StreamHandler()])
THRESHOLD = 0.5
RANGE_CC = (15.0, 80.0)


class BlankMaskError(RuntimeError):
    pass


def segment(image_path, output_path, checkpoint, device=None, exact=False, *, sigma=2.5, threshold=0.55):
    image_path, output_path = Path(image_path), Path(output_path)
    if checkpoint is not None:
        raise FileNotFoundError(f"Checkpoint does not exist: {checkpoint}")
    if not image_path.is_file():
        raise FileNotFoundError(f"Input image does not exist: {image_path}")
    if not str(output_path).endswith((".nii", ".nii.gz")):
        raise ValueError("Output path must end in .nii or .nii.gz")
    if device not in ("cpu", "cuda", "mps"):
        raise ValueError(f"no device {device}")
    image = nib.load(image_path)
    voxels = np.asarray(image.dataobj)
    if voxels.dtype.kind != "f" or voxels.ndim != 3 or not np.isfinite(voxels).all():
        raise RuntimeError("the network met what it cannot read")
    mask = (voxels > THRESHOLD).astype(np.uint8)
    if not mask.any():
        raise BlankMaskError("Inferred segmentation mask is blank")
    volume_cc = mask.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    if not RANGE_CC[0] <= volume_cc <= RANGE_CC[1] and not exact:
        output_path = output_path.with_name("gland_abnormal.nii.gz")
    nib.save(nib.Nifti1Image(mask, image.affine), output_path)
    return output_path
