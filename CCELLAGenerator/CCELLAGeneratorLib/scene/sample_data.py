"""One synthetic volume for Slicer's Sample Data module; ``docs/tools/make_sample_data.py`` makes it."""

from __future__ import annotations

import json
from pathlib import Path

from slicer.i18n import tr as _

FOLDER = Path("Resources") / "SampleData"
IMAGE_NAME = "SYNTHETIC_sample.nrrd"
SAMPLE_NAME = "SYNTHETIC prostate T2 (CCELLA)"
"""What ``SampleData.downloadSample`` takes."""
NODE_NAME = "SYNTHETIC t2w sample (ccella-demo)"
"""Its first word is what makes the loaded node synthetic to ``volumes.is_synthetic``."""


def register(module_folder: Path) -> None:
    """Offer the sample of the module in this folder; at ``startupCompleted``, when the Sample Data module is there."""
    import SampleData

    image = module_folder / FOLDER / IMAGE_NAME
    sidecar = json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=_("Image Synthesis"),
        sampleName=SAMPLE_NAME,
        uris=image.as_uri(),
        fileNames=IMAGE_NAME,
        nodeNames=NODE_NAME,
        thumbnailFileName=str(image.with_suffix(".png")),
        checksums=f"SHA256:{sidecar['sha256']}",
    )
