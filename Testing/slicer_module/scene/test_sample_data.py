"""The sample volume: shipped whole, offered to Sample Data, and synthetic once it is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from PIL import Image

from ccella_core.imaging.volume import SyntheticVolume

MODULE_FOLDER = Path(__file__).parents[3] / "CCELLAGenerator"
IMAGE = MODULE_FOLDER / "Resources" / "SampleData" / "SYNTHETIC_sample.nrrd"
MAX_BYTES = 700_000  # every user downloads it with the extension


def test_what_is_shipped() -> None:
    volume = SyntheticVolume.load(IMAGE)  # compares its SHA-256 with the sidecar's
    assert volume.provenance.model_name == "ccella-demo" and volume.provenance.model_sha256
    assert volume.voxels.std() > 0.05
    assert IMAGE.stat().st_size < MAX_BYTES
    with Image.open(IMAGE.with_suffix(".png")) as thumbnail:
        assert thumbnail.size == (256, 256)


def test_it_is_made_by_the_model_that_is_shipped() -> None:
    from ccella_core.models.search import resolve_model

    assert SyntheticVolume.load(IMAGE).provenance.model_sha256 == resolve_model("ccella-demo").sha256


@pytest.fixture
def offered(slicer_bench: Any) -> Any:
    """What Sample Data knows of the sample."""
    from CCELLAGeneratorLib.scene import sample_data

    sample_data.register(MODULE_FOLDER)
    import SampleData

    return SampleData.SampleDataLogic().sourceForSampleName(sample_data.SAMPLE_NAME)


def test_what_is_offered(offered: Any) -> None:
    assert offered.uris == [IMAGE.as_uri()]
    assert offered.checksums == [f"SHA256:{hashlib.sha256(IMAGE.read_bytes()).hexdigest()}"]
    assert Path(offered.thumbnailFileName).is_file()


def test_the_loaded_node_is_synthetic(offered: Any) -> None:
    import SampleData
    from CCELLAGeneratorLib.scene.volumes import is_synthetic

    node = SampleData.SampleDataLogic().downloadSample(offered.sampleName)
    assert node.IsA("vtkMRMLScalarVolumeNode") and is_synthetic(node)
    voxels = SyntheticVolume.load(IMAGE).voxels
    assert np.array_equal(slicer.util.arrayFromVolume(node), voxels.transpose(2, 1, 0))


def test_offered_at_startup_and_not_before(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.scene import sample_data

    slicer_bench.load_module()
    import SampleData

    assert SampleData.SampleDataLogic().sourceForSampleName(sample_data.SAMPLE_NAME) is None
    slicer_bench.app.startupCompleted.emit()
    assert SampleData.SampleDataLogic().sourceForSampleName(sample_data.SAMPLE_NAME) is not None
