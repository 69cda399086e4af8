"""What reaches the published networks by each protocol, and the sentences for what a protocol does not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from published_networks import checkpoint
from torch import Tensor, nn
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.features.extractor_import import import_extractor
from ccella_core.evaluation.features.features import load_extractors
from ccella_core.evaluation.features.protocols import ProtocolName, check_protocol
from ccella_core.evaluation.features.radimagenet import PLANES

SPACING = (0.5, 0.5, 3.0)
"""Oblong pixels in two planes: our own way interpolates them."""
PUBLISHED: tuple[ProtocolName, ...] = ("published", "published++")
AXES = {"XY": 2, "YZ": 0, "XZ": 1}


class Recorder(nn.Module):
    """A network that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Zeros (B, 2)."""
        self.seen.append(x.clone())
        return x.new_zeros(len(x), 2)


def given(extractor: Any, volume: np.ndarray) -> Tensor:
    """All that an extractor's network is given of a volume."""
    extractor.network = Recorder()
    extractor(volume, SPACING)
    return torch.cat(extractor.network.seen)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny networks of both kinds, imported; as kept for a user."""
    home = tmp_path_factory.mktemp("home")
    for kind, dimensions in (("medicalnet", 3), ("radimagenet", 2)):
        torch.save(checkpoint(dimensions, bias=kind == "radimagenet"), home / f"{kind}.pth")
        import_extractor(kind, home / f"{kind}.pth", home / "extractors" / kind)  # type: ignore[arg-type]
    return {"home": home, **{kind: home / "extractors" / kind for kind in ("medicalnet", "radimagenet")}}


@pytest.fixture
def volume() -> np.ndarray:
    """In 0.2 … 0.7, so that a stretch to the extremes shows."""
    return (0.2 + 0.5 * np.random.default_rng(0).random((20, 18, 40))).astype(np.float32)


def test_ccella_gives_medicalnet_the_volume_as_it_is(folders: dict[str, Path], volume: np.ndarray) -> None:
    (extractor,) = load_extractors("medicalnet", folders["medicalnet"], device="cpu", protocol="published")
    np.testing.assert_array_equal(given(extractor, volume)[0, 0], volume)


def test_ccella_plus_plus_gives_medicalnet_z_scores(folders: dict[str, Path], volume: np.ndarray) -> None:
    (extractor,) = load_extractors("medicalnet", folders["medicalnet"], device="cpu", protocol="published++")
    seen = given(extractor, volume)
    assert seen.shape == (1, 1, *volume.shape)
    np.testing.assert_allclose(seen[0, 0], (volume - volume.mean()) / volume.std(), rtol=1e-3, atol=1e-4)
    (own,) = load_extractors("medicalnet", folders["medicalnet"], device="cpu")
    torch.testing.assert_close(given(own, volume), seen)


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_radimagenet_is_given_all_slices_of_three_axes_stretched_and_no_mean_subtracted(
    folders: dict[str, Path], volume: np.ndarray, protocol: ProtocolName
) -> None:
    extractors = load_extractors("radimagenet", folders["radimagenet"], device="cpu", protocol=protocol)
    stretched = (volume - volume.min()) / (volume.max() - volume.min())
    for plane, extractor in zip(PLANES, extractors, strict=True):
        seen = given(extractor, volume)
        slices = np.moveaxis(stretched, AXES[plane], 0)
        assert seen.shape == (len(slices), 3, *slices.shape[1:])  # neither fewer slices nor resized ones
        assert (seen.min(), seen.max()) == (0, 1)
        for blue_green_red in range(3):  # grey is the same in BGR as in RGB
            np.testing.assert_allclose(seen[:, blue_green_red], slices, atol=1e-6)


def test_our_own_way_is_another(folders: dict[str, Path], volume: np.ndarray) -> None:
    _, yz, _ = load_extractors("radimagenet", folders["radimagenet"], device="cpu", slices=4)
    seen = given(yz, volume)
    assert seen.shape == (4, 3, 18, 240)
    np.testing.assert_allclose((seen[:, 0] - seen[:, 2]).numpy(), 0.485 - 0.406, atol=1e-6)


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_a_volume_of_one_grey_gives_numbers(folders: dict[str, Path], protocol: ProtocolName) -> None:
    grey = np.full((16, 16, 16), 0.5, np.float32)
    for kind in ("medicalnet", "radimagenet"):
        for extractor in load_extractors(kind, folders[kind], device="cpu", protocol=protocol):  # type: ignore[arg-type]
            assert np.isfinite(extractor(grey, SPACING)).all()


def test_names_and_fingerprints_hold_the_protocol(folders: dict[str, Path]) -> None:
    for kind in ("medicalnet", "radimagenet"):
        loaded = [
            load_extractors(kind, folders[kind], device="cpu", protocol=protocol)[0]  # type: ignore[arg-type]
            for protocol in ("own", *PUBLISHED)
        ]
        assert len({each.fingerprint for each in loaded}) == 3
        assert ["protocol" in each.name for each in loaded] == [False, True, True]
        assert loaded[2].name.endswith(", protocol published++")


def test_what_a_protocol_does_not_say_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for protocol, kinds, slices, words in (
        ("paper", ["medicalnet"], None, "no protocol 'paper'; there are own, published, published"),
        ("published", ["medicalnet", "phantom"], None, "the stand-in phantom is no part of it"),
        ("published++", ["radimagenet"], 32, "takes all slices"),
    ):
        with pytest.raises(InputError, match=words):
            check_protocol(protocol, kinds, slices)
    check_protocol("own", ["phantom"], 8)
    parts = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    torch.save({f"backbone.{parts[name.partition('.')[0]]}.{name.partition('.')[2]}": tensor
                for name, tensor in checkpoint(2).items()}, tmp_path / "r.pth")  # fmt: skip
    other = import_extractor("radimagenet", tmp_path / "r.pth", tmp_path / "r")
    with pytest.raises(InputError, match=r"Keras weights as MONAI converted them; .* holds the PyTorch release"):
        load_extractors("radimagenet", other, protocol="published")


@pytest.mark.medium
def test_the_command_measures_with_both_networks_and_says_the_protocol(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCELLA_HOME", str(folders["home"]))
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        voxels = np.random.default_rng(number).random((16, 16, 16), dtype=np.float32)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), images / f"{number}.nii.gz")

    def run(*more: str) -> Any:
        words = ["evaluate", "images", str(images), str(images), "--out", str(tmp_path / "out"), "--device", "cpu"]
        return CliRunner().invoke(app, [*words, "--pairs", "1", *more])

    result = run("--protocol", "published++", "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    assert scores["protocol"] == "published++"
    assert [each["slices"] for each in scores["extractors"]] == [1, 16, 16, 16]
    assert all(each["extractor"].endswith("protocol published++") for each in scores["extractors"])
    for more, words in (
        (("--protocol", "published", "--slices", "8"), "takes all slices"),
        (("--protocol", "published", "--extractor", "phantom"), "phantom is no part of it"),
    ):
        refused = run(*more)
        assert refused.exit_code == 2 and words in " ".join(refused.stderr.split()), refused.output
