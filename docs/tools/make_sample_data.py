"""Makes the synthetic volume that the Slicer module offers as sample data, its sidecar and its thumbnail.

``python docs/tools/make_sample_data.py [--model ccella-demo] [--out CCELLAGenerator/Resources/SampleData]``
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "Resources" / "Examples" / "report_positive.txt"
SEED = 7
GREY_LEVELS = 1024  # more than a screen shows; their noise would make the compressed file three times larger
THUMBNAIL_PIXELS = 256
THUMBNAIL_LABEL = "SYNTHETIC"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ccella-demo")
    parser.add_argument("--out", type=Path, default=ROOT / "CCELLAGenerator" / "Resources" / "SampleData")
    options = parser.parse_args()

    pipeline = CCELLAPipeline.from_pretrained(options.model, device="cpu")
    (volume,) = pipeline(REPORT.read_text(encoding="utf-8"), seed=SEED, sequences=["t2w"], labels=False)
    low, high = pipeline.index.intensity_range[volume.sequence]
    step = (high - low) / (GREY_LEVELS - 1)
    volume = replace(volume, voxels=np.round((volume.voxels - low) / step) * step + low)
    path = volume.save(options.out / "sample.nrrd", overwrite=True)
    thumbnail(volume).save(path.with_suffix(".png"), optimize=True)


def thumbnail(volume: SyntheticVolume) -> Image.Image:
    """The middle axial slice, the patient's right at the left, with the word that says what it is."""
    pixels = volume.voxels[::-1, ::-1, volume.voxels.shape[2] // 2].T
    dark, bright = np.percentile(pixels, (1, 99))
    grey = (255 * np.clip((pixels - dark) / (bright - dark), 0, 1)).astype(np.uint8)
    size = (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
    picture = Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    corner = (size[0] - 8, size[1] - 6)
    ImageDraw.Draw(picture).text(
        corner, THUMBNAIL_LABEL, fill="#ffbf00", anchor="rs", font_size=28, stroke_width=2, stroke_fill="black"
    )
    return picture


if __name__ == "__main__":
    main()
