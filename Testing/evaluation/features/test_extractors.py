"""The published extractors, against the same networks written a second time; and the import of their weights."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_networks import checkpoint, forward, shapes
from torch import Tensor
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.evaluation.features import extractor_import, features
from ccella_core.evaluation.features.extractor_import import import_extractor
from ccella_core.evaluation.features.features import load_extractor, load_extractors
from ccella_core.evaluation.features.radimagenet import PLANES, evenly_spaced
from ccella_core.networks.resnet import MedicalNetConfig, RadImageNetConfig, build_medicalnet, build_radimagenet

SPACING = (1.0, 1.0, 3.0)
MEDICALNET = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
KERAS = {"stride_on": 1, "epsilon": 1.001e-5}
RELEASED_PARTS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def numbered(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """By the names of RadImageNet's own release."""
    return {f"backbone.{RELEASED_PARTS[name.partition('.')[0]]}.{name.partition('.')[2]}": tensor
            for name, tensor in tensors.items()}  # fmt: skip


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where extractors are kept: a folder of the test's own."""
    folder = tmp_path / "home" / "extractors"
    monkeypatch.setattr(features, "extractors_folder", lambda: folder)
    return folder


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).random((40, 36, 20), dtype=np.float32)


def test_medicalnet_is_the_published_network(tmp_path: Path, volume: np.ndarray) -> None:
    tensors = checkpoint(3)
    prefixed = {f"module.{name}": tensor for name, tensor in tensors.items()}
    file = saved(tmp_path / "medicalnet.pth", {"state_dict": prefixed})
    (extractor,) = load_extractors("medicalnet", import_extractor("medicalnet", file, tmp_path / "m"), device="cpu")
    normal = (volume - volume.mean()) / volume.std()
    expected = forward(tensors, torch.from_numpy(normal)[None, None], **MEDICALNET)[0]
    found = extractor(volume, SPACING)
    assert found.shape == (extractor.dimension,) == (128,) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert extractor.name == "MedicalNet ResNet-17 (medicalnet.pth)"
    np.testing.assert_allclose(extractor(0.3 * volume + 0.5, SPACING), found, rtol=1e-3, atol=1e-4)
    assert np.isfinite(extractor(np.full_like(volume, 0.5), SPACING)).all()


@pytest.mark.parametrize(
    ("spatial_dims", "build", "config"),
    [
        (3, build_medicalnet, MedicalNetConfig(source="m", sha256="0")),
        (2, build_radimagenet, RadImageNetConfig(release="Keras", source="r", sha256="0")),
    ],
)
def test_the_published_size(spatial_dims: int, build: Any, config: Any) -> None:
    with torch.device("meta"):
        network = build(config)
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if tensor.ndim}
    assert own == shapes(spatial_dims)
    assert (config.depth, config.dimension) == (50, 2048)
    if spatial_dims == 2:  # torchvision's ResNet-50, less its last layer
        assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032 - 2049 * 1000


@pytest.mark.parametrize("release", ["Keras", "PyTorch"])
@pytest.mark.parametrize("plane", PLANES)
def test_radimagenet_is_the_published_network(tmp_path: Path, volume: np.ndarray, release: str, plane: str) -> None:
    tensors = checkpoint(2, bias=release == "Keras")
    file = saved(tmp_path / "weights.pth", tensors if release == "Keras" else numbered(tensors))
    folder = import_extractor("radimagenet", file, tmp_path / "r")
    extractors = load_extractors("radimagenet", folder, device="cpu", slices=3)
    extractor = extractors[PLANES.index(plane)]
    axis = {"XY": 2, "YZ": 0, "XZ": 1}[plane]
    third = volume.shape[axis] / 3
    slices = np.stack([np.take(volume, int((place + 0.5) * third), axis) for place in range(3)])
    grey = torch.from_numpy(slices)[:, None].repeat(1, 3, 1, 1)
    if release == "Keras":
        expected = forward(tensors, grey - torch.tensor([0.406, 0.456, 0.485]).view(3, 1, 1), **KERAS)
    else:
        expected = forward(tensors, 2 * grey - 1)
    found = extractor(volume, (1.0, 1.0, 1.0))
    assert found.shape == (3, extractor.dimension) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert extractor.name == f"RadImageNet ResNet-17 ({release} weights), {plane} plane"


def test_oblong_pixels_become_squares(tmp_path: Path) -> None:
    file = saved(tmp_path / "weights.pth", checkpoint(2))
    xy, _, xz = load_extractors("radimagenet", import_extractor("radimagenet", file, tmp_path / "r"), device="cpu")
    ramp = np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (48, 4, 32)).copy()
    assert xz(ramp, (1.0, 1.0, 3.0)).shape == (4, 128)
    assert not np.allclose(xz(ramp, (1.0, 1.0, 3.0)), xz(ramp, (1.0, 1.0, 1.0)), rtol=1e-2)
    np.testing.assert_array_equal(xz(ramp, (1.0, 2.0, 1.0)), xz(ramp, (3.0, 5.0, 3.0)))
    np.testing.assert_array_equal(xy(ramp, (1.0, 1.0, 3.0)), xy(ramp, (1.0, 1.0, 9.0)))


def test_slices_are_spread_evenly() -> None:
    assert evenly_spaced(32, 4).tolist() == [4, 12, 20, 28]
    assert evenly_spaced(3, 8).tolist() == [0, 1, 2]
    assert evenly_spaced(100, 1).tolist() == [50]


def test_fingerprints_change_with_weights_and_slices(tmp_path: Path) -> None:
    found = set()
    for seed in (0, 1):
        file = saved(tmp_path / f"{seed}.pth", checkpoint(2, seed=seed))
        folder = import_extractor("radimagenet", file, tmp_path / f"folder{seed}")
        found |= {load_extractors("radimagenet", folder, device="cpu", slices=n)[0].fingerprint for n in (2, 3)}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("layer3.0.bn2.running_var"), "missing: layer3.0.bn2.running_var"),
        (lambda t: t.update({"fc.weight": torch.zeros(2, 3)}), "unexpected: fc.weight"),
        (lambda t: t.update({"bn1.weight": torch.zeros(5)}), r"another shape: bn1.weight \(5,\) instead of \(4,\)"),
        (lambda t: t["conv1.weight"].fill_(torch.nan), "NaN or infinite: conv1.weight"),
        (lambda t: [t.pop(name) for name in list(t) if name.startswith("layer4.")], "does not hold a ResNet-50"),
        (lambda t: t.clear(), "holds no tensors by name"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: Any, words: str) -> None:
    tensors = checkpoint(3)
    change(tensors)
    with pytest.raises(InputError, match=words):
        import_extractor("medicalnet", saved(tmp_path / "m.pth", tensors), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "was_run"),)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    flat = saved(tmp_path / "flat.pth", checkpoint(2))
    for file, words in (
        (tmp_path / "evil.pth", "Nothing in it was run"),
        (tmp_path / "none.pth", "There is no file"),
        (flat, "for 2-D images where one for 3-D"),
    ):
        with pytest.raises(InputError, match=words):
            import_extractor("medicalnet", file, tmp_path / "m")
    with pytest.raises(InputError, match="no published extractor 'vgg'"):
        import_extractor("vgg", flat, tmp_path / "v")  # type: ignore[arg-type]
    assert not (tmp_path / "was_run").exists()


def test_an_extractor_is_not_replaced_unasked(tmp_path: Path) -> None:
    file = saved(tmp_path / "m.pth", checkpoint(3))
    import_extractor("medicalnet", file, tmp_path / "m")
    with pytest.raises(SaveError, match="exists already"):
        import_extractor("medicalnet", file, tmp_path / "m")
    other = saved(tmp_path / "other.pth", checkpoint(3, seed=1))
    assert load_extractor("medicalnet", import_extractor("medicalnet", other, tmp_path / "m", overwrite=True)).name == (
        "MedicalNet ResNet-17 (other.pth)"
    )


def test_missing_weights_and_pickles_say_what_to_do(tmp_path: Path, home: Path) -> None:
    with pytest.raises(ModelError, match="import them with: ccella models import-extractor medicalnet FILE"):
        load_extractor("medicalnet")
    file = saved(tmp_path / "m.pth", checkpoint(3))
    with pytest.raises(ModelError, match=r"is a file; import it once with: .* medicalnet .*m\.pth"):
        load_extractor("medicalnet", file)
    with pytest.raises(InputError, match="no feature extractor 'vgg'; there are phantom, medicalnet, radimagenet"):
        load_extractor("vgg")  # type: ignore[arg-type]
    folder = import_extractor("radimagenet", saved(tmp_path / "r.pth", checkpoint(2)), home / "radimagenet")
    with pytest.raises(InputError, match="At least one slice"):
        load_extractors("radimagenet", folder, slices=0)


def test_nothing_is_fetched_without_permission(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(saved(tmp_path / name, checkpoint(3)))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    with pytest.raises(ModelError):
        load_extractor("medicalnet")
    assert not asked
    assert load_extractor("medicalnet", allow_download=True).dimension == 128
    load_extractor("medicalnet", allow_download=True)
    assert asked == [("MONAI/checkpoints", "medicalnet_resnet50_23datasets.pth")]
    assert (home / "medicalnet").is_dir()


def test_a_hub_that_cannot_be_reached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repository: str, name: str) -> str:
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(ModelError, match=r"hf download MONAI/checkpoints RadImageNet-ResNet50_notop\.pth, and"):
        load_extractor("radimagenet", allow_download=True)


def test_available_are_the_imported_or_else_the_stand_in(tmp_path: Path, home: Path) -> None:
    assert features.available_kinds() == ("phantom",)
    import_extractor("medicalnet", saved(tmp_path / "m.pth", checkpoint(3)), home / "medicalnet")
    assert features.available_kinds() == ("medicalnet",)


def test_the_home_of_extractors() -> None:
    assert extractor_import.extractors_folder({"CCELLA_HOME": "/x"}) == Path("/x/extractors")
    assert extractor_import.extractors_folder({}).parts[-2:] == ("ccella", "extractors")


def test_the_command_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CCELLA_HOME", str(tmp_path / "home"))
    file = saved(tmp_path / "m.pth", checkpoint(3))
    result = CliRunner().invoke(app, ["models", "import-extractor", "medicalnet", str(file), "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["kind"] == "medicalnet"
    assert Path(printed["path"]) == tmp_path / "home" / "extractors" / "medicalnet"
    assert {path.name for path in Path(printed["path"]).iterdir()} == {"config.json", "model.safetensors"}
    again = CliRunner().invoke(app, ["models", "import-extractor", "medicalnet", str(file)])
    assert again.exit_code == 1 and "exists already" in again.stderr
    neither = CliRunner().invoke(app, ["models", "import-extractor", "medicalnet"])
    assert neither.exit_code == 2 and "a FILE or --download" in neither.stderr
