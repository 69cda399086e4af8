"""``logic.edit``: what scripts may give it, and the mistakes that it refuses with the scene unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import FakeClient, Request, save_volume

SOURCE = "1a2b3c4d" + "0" * 56


class Room:
    """A generator that edits, and its client."""

    def __init__(self) -> None:
        from CCELLAGeneratorLib.generation import editing
        from CCELLAGeneratorLib.generation import run as generation_run

        self.error_class = generation_run.GenerationError
        self.client = FakeClient()
        self.generator = editing.EditingGenerator(self.client, print)
        voxels = np.random.default_rng(0).integers(0, 900, (6, 10, 12)).astype(np.uint16)
        self.scan = slicer.util.addVolumeFromArray(voxels, np.diag([0.7, 0.7, 3.0, 1.0]), "T2 of Doe")

    def finish(self, request: Request) -> None:
        voxels = slicer.util.arrayFromVolume(self.scan).transpose(2, 1, 0)
        request.give(save_volume(request.folder, voxels=voxels, seed=7, source_sha256=SOURCE))


@pytest.fixture
def room(slicer_bench: Any) -> Room:
    return Room()


def test_a_point_in_numbers_and_other_options(room: Room) -> None:
    room.client.answer = room.finish
    (node,) = room.generator.edit(
        room.scan, "PI-RADS 5.", where=np.array([1.0, 2.0, 3.0]), radius=np.float32(8), strength=np.float64(0.5), seed=7
    )
    params = room.client.last.params
    assert params["around"] == [1.0, 2.0, 3.0] and (params["radius"], params["strength"]) == (8.0, 0.5)
    assert params["seed"] == 7 and not room.client.last.folder.exists()
    assert node.GetName().startswith("SYNTHETIC (EDITED FROM 1a2b3c4d) t2w") and "Doe" not in node.GetName()
    assert node.GetNodeReference("CCELLA.EditedFrom") is room.scan
    own = slicer.util.arrayFromVolume(room.scan)
    assert slicer.util.arrayFromVolume(node).dtype == own.dtype and np.array_equal(
        slicer.util.arrayFromVolume(node), own
    )


def test_a_label_map_and_the_sequence(room: Room) -> None:
    mask = slicer.util.addVolumeFromArray(
        np.ones((6, 10, 12), np.uint8), np.diag([0.7, 0.7, 3.0, 1.0]), "M", "vtkMRMLLabelMapVolumeNode"
    )
    room.generator.edit(room.scan, "PI-RADS 5.", where=mask, sequence="adc", wait=False)
    params = room.client.last.params
    assert list(params["image"]) == ["adc"] and params["mask"].endswith("mask.nrrd") and params["strength"] is None
    room.client.last.fail("cancelled", "")


def test_an_output_is_replaced_if_it_is_synthetic(room: Room) -> None:
    room.client.answer = room.finish
    (node,) = room.generator.edit(room.scan, "PI-RADS 5.")
    (again,) = room.generator.edit(room.scan, "PI-RADS 5.", outputVolume=node)
    assert again is node
    with pytest.raises(room.error_class, match="not synthetic"):
        room.generator.edit(room.scan, "PI-RADS 5.", outputVolume=room.scan)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"where": (1.0, 2.0, 3.0)}, "a radius above 0 mm"),
        ({"where": (1.0, 2.0), "radius": 5}, "three numbers in mm"),
        ({"where": "markups"}, "has no point yet"),
        ({"where": "segmentation"}, "has no visible segment"),
        ({"where": "scan"}, "neither a point nor a segmentation"),
        ({"scan": None}, "no scan to edit"),
        ({"scan": "empty"}, "not a volume with an image"),
        ({"scan": "one slice"}, "one slice is one slice"),
        ({"scan": "NaN"}, "NaN has voxels that are NaN"),
    ],
)
def test_mistakes_are_said_and_leave_nothing(room: Room, arguments: dict[str, Any], sentence: str) -> None:
    add = slicer.mrmlScene.AddNewNodeByClass
    nodes = {
        "markups": add("vtkMRMLMarkupsFiducialNode", "Lesion"),
        "segmentation": add("vtkMRMLSegmentationNode", "Lesion"),
        "empty": add("vtkMRMLScalarVolumeNode"),
        "scan": room.scan,
        "one slice": slicer.util.addVolumeFromArray(np.ones((1, 5, 5)), name="one slice"),
        "NaN": slicer.util.addVolumeFromArray(np.full((4, 5, 5), np.nan), name="NaN"),
    }
    given = {name: nodes.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()}
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(room.error_class, match=sentence) as caught:
        room.generator.edit(
            **{"scan": room.scan, "report": "PI-RADS 5.", "radius": 5.0 if "radius" in given else None} | given
        )
    assert caught.value.code == "input" and room.client.requests == {}
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    from pathlib import Path

    assert not list(Path(slicer.app.temporaryPath).glob(".ccella-*"))


def test_a_scan_that_is_deleted_meanwhile(room: Room) -> None:
    errors: list[Any] = []
    room.generator.edit(room.scan, "PI-RADS 5.", wait=False, onError=errors.append)
    request = room.client.last
    entry = save_volume(request.folder, source_sha256=SOURCE)
    slicer.mrmlScene.RemoveNode(room.scan)
    request.give(entry)
    assert errors[0].code == "cancelled" and not request.folder.exists()
