"""The client with the real worker behind a real SSH server; lost connections, Cancel and quitting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from client_room import Answers, Room
from loopback_host import ALIAS, CLOSED, UNKNOWN, LoopbackHost, gone, kill, loopback_host, own_ssh

__all__ = ["loopback_host"]

pytestmark = pytest.mark.medium

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex – größer als zuvor."
KILLS = 20


@pytest.fixture
def room(slicer_bench: Any, loopback_host: LoopbackHost, tmp_path: Path) -> Iterator[Room]:
    with Room(slicer_bench, tmp_path) as room:
        room.client.use(ALIAS)
        yield room


def ask(room: Room, method: str, **params: Any) -> tuple[int, Answers]:
    answers = Answers()
    return room.client.request(method, params, **answers.callbacks), answers


def answer(room: Room, method: str, **params: Any) -> Answers:
    _, answers = ask(room, method, **params)
    room.bench.wait_until(lambda: answers.done)
    return answers


def generate(tiny_model: Path, folder: Path, **more: Any) -> dict[str, Any]:
    return {"report": REPORT, "model": str(tiny_model), "output_dir": str(folder), "device": "cpu", **more}


def nothing_runs(host: LoopbackHost) -> bool:
    return gone(host.workers) and gone(host.sessions) and gone(own_ssh)


def test_a_session(room: Room, loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path) -> None:
    """Questions, a volume that comes through the pipe, a cancelled run, and the end."""
    assert answer(room, "count_tokens", model=str(tiny_model), report=REPORT).results[0]["limit"] == 16
    folder = tmp_path / "here"
    first = answer(room, "generate", **generate(tiny_model, folder, seed=7, num_inference_steps=2))
    (volume,) = first.results[0]["volumes"]
    assert Path(volume["path"]) == folder / "SYNTHETIC_tiny_seed7.nii" and Path(volume["sidecar"]).is_file()
    assert nib.load(volume["path"]).shape == (16, 16, 8) and volume["provenance"]["report"] == REPORT
    assert first.previews and loopback_host.left_behind() == []

    number, endless = ask(room, "generate", **generate(tiny_model, folder, num_inference_steps=1000, count=50))
    room.wait_for(lambda: any(event["stage"] == "denoise" for event in endless.progress))
    room.client.cancel(number)
    room.wait_for(lambda: endless.done)
    assert endless.error.code == "cancelled"
    room.client.close()  # Slicer quits
    assert nothing_runs(loopback_host) and loopback_host.left_behind() == []


def test_a_scan_is_edited_there(room: Room, loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path) -> None:
    """It goes through the pipe, without a word of whom it shows, and nothing of it is left there."""
    folder = tmp_path / "here"
    folder.mkdir()
    voxels = np.random.default_rng(0).integers(0, 900, (14, 44, 40)).astype(np.int16)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[5:9, 16:28, 14:26] = 1
    for name, array in (("scan", voxels), ("mask", mask)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.5, 0.5, 3.0))
        image.SetMetaData("PatientName", "Doe^John")
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    paths = {"image": str(folder / "scan.nrrd"), "mask": str(folder / "mask.nrrd")}
    edit = generate(tiny_model, folder, seed=7, num_inference_steps=2, **paths)
    (volume,) = answer(room, "generate", **edit).results[0]["volumes"]
    edited = sitk.GetArrayFromImage(sitk.ReadImage(volume["path"]))
    assert (edited != voxels)[mask > 0].any() and np.array_equal(edited[mask == 0], voxels[mask == 0])
    assert Path(volume["path"]).name.startswith("SYNTHETIC_EDITED_FROM_")
    (folder / "mask.nrrd").unlink()
    (error,) = answer(room, "generate", **edit).errors
    assert error.code == "input" and "mask.nrrd did not come" in error.message
    assert loopback_host.left_behind() == []


def test_a_worker_that_does_not_heed_the_cancelling_is_ended_there_too(
    room: Room, loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path
) -> None:
    number, endless = ask(room, "generate", **generate(tiny_model, tmp_path, num_inference_steps=1000))
    room.wait_for(lambda: endless.progress)
    (worker,) = loopback_host.workers()
    worker.suspend()
    room.client.cancel(number)
    room.wait_for(lambda: endless.done)
    assert endless.error.code == "cancelled"
    worker.resume()
    assert nothing_runs(loopback_host)


@pytest.mark.parametrize(
    ("host", "words"), [(UNKNOWN, "The host key of unknown is not known"), (CLOSED, "closed cannot be reached")]
)
def test_a_host_that_cannot_be_used(room: Room, loopback_host: LoopbackHost, host: str, words: str) -> None:
    room.client.use(host)
    error = answer(room, "describe").error
    assert error.code == "host" and error.message.startswith(words) and error.hint
    room.client.use(ALIAS)
    loopback_host.remove_ccella()
    error = answer(room, "describe").error
    assert error.message == "There is no ccella on workstation." and "Install the same release there" in error.hint


def test_an_older_release_there(room: Room, loopback_host: LoopbackHost) -> None:
    ready = '{"event":"ready","protocol":1,"version":"0.0.9","pid":1,"python":"3.11"}'
    loopback_host.install_ccella("sh", "-c", f"'echo '\"'\"'{ready}'\"'\"'; sleep 600'")
    error = answer(room, "describe").error
    assert error.code == "version" and "The ccella on workstation speaks version 1" in error.message
    assert nothing_runs(loopback_host)


def test_without_ssh(slicer_bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Room(slicer_bench, tmp_path) as room:
        room.client.use("workstation")
        error = answer(room, "describe").error
    assert error.code == "host" and "ssh cannot be started" in error.message and "Install OpenSSH" in error.hint


@pytest.mark.slow
def test_killed_in_mid_run_twenty_times(
    room: Room, loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path
) -> None:
    """A sentence each time, no process left on either side, and the next press connects again."""
    for number in range(KILLS):
        _, answers = ask(room, "generate", **generate(tiny_model, tmp_path, num_inference_steps=1000, count=50))
        room.wait_for(lambda answers=answers: answers.progress)
        kill((own_ssh, loopback_host.sessions, loopback_host.workers)[number % 3]())
        room.wait_for(lambda answers=answers: answers.done)
        assert answers.error.code == "host" and "\n" not in str(answers.error)
        assert answers.error.message == "The connection to workstation was lost, or the process there was ended."
        assert nothing_runs(loopback_host)
    assert loopback_host.left_behind() == []
    assert answer(room, "count_tokens", model=str(tiny_model), report=REPORT).results[0]["limit"] == 16
