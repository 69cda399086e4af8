"""What a published checkpoint holds is told by its tensors, met in numbers, and read without trust in any file."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from authors_checkpoints import TINY_AUTOENCODER, authors_state, config_of, save
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys, TraceKeys

from ccella_core.errors import InputError
from ccella_core.networks import (
    REPORT_VARIANTS,
    VARIANTS,
    AutoencoderConfig,
    ConditionalDenoiser,
    build_autoencoder,
    published_denoiser,
)
from ccella_core.networks.published import denoiser_config_of, published_name, variant_of
from ccella_core.published.import_published import read_autoencoder, read_denoiser, read_pickle

SECRET = "/hospital/patients/Meier_1950.nii.gz"


@pytest.mark.medium
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_recognised_and_comes_back(tmp_path, variant):
    model = ConditionalDenoiser(config_of(variant))
    path = save(tmp_path / "m.pt", authors_state(model), torch.tensor(0.8), epoch=3, optimizer={"lr": 0.1})
    found = read_denoiser(path)
    assert found.denoiser.config == model.config and found.scale_factors == (pytest.approx(0.8),)
    torch.testing.assert_close(found.denoiser.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_the_published_outputs_are_met(tmp_path, draw_weights, reference_folder, draw):
    reference = ConditionalDenoiser(config_of("maisi"))
    draw_weights(reference, lambda name: published_name(name, "maisi"))
    prefixed = {f"module.{name}": value for name, value in authors_state(reference).items()}
    model = read_denoiser(save(tmp_path / "m.pt", prefixed)).denoiser
    with torch.inference_mode():
        output = model(
            draw("input.x", (2, 4, 8, 8, 8)),
            torch.tensor([17, 803]),
            spacing=draw("input.spacing", (2, 3)).abs() * 0.5,
        )
    expected = np.load(reference_folder / "network_outputs.npz")
    error = np.abs(output.prediction.numpy() - expected["maisi.noise_pred"]).max()
    assert error < 1e-4 * np.abs(expected["maisi.noise_pred"]).max()


@pytest.mark.parametrize(
    "config",
    [TINY_AUTOENCODER, AutoencoderConfig(num_channels=(32, 64, 64), num_res_blocks=(2, 1, 2), latent_channels=3)],
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "unet_state_dict"])
def test_the_autoencoder_comes_back(tmp_path, config, wrapper):
    model = build_autoencoder(config)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 1}, tmp_path / "vae.pt")
    found, found_config = read_autoencoder(tmp_path / "vae.pt")
    assert found_config == config
    torch.testing.assert_close(found.state_dict(), model.state_dict(), rtol=0, atol=0)


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def test_a_pickle_that_would_run_a_program_is_not_run(tmp_path):
    sign = tmp_path / "it ran"
    torch.save({"unet_state_dict": Evil(sign), "scale_factor": 1.0}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"cannot be read safely.*Nothing in it was run"):
        read_denoiser(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(sign)))
    with pytest.raises(InputError):
        read_denoiser(tmp_path / "plain.pt")
    assert not sign.exists()


def scale_as_the_authors_save_it(value: float) -> MetaTensor:
    """1 / the standard deviation of a batch of latents, which were collated from files that MONAI read."""
    latent = MetaTensor(
        torch.tensor([-1.0, 1.0]) / value,
        meta={
            "filename_or_obj": [SECRET],
            MetaKeys.SPACE: [SpaceKeys.RAS],
            MetaKeys.ORIGINAL_AFFINE: torch.eye(4)[None],
            "spatial_shape": torch.tensor([[256, 256, 128]]),
        },
        applied_operations=[{TraceKeys.CLASS_NAME: ["Spacingd"], TraceKeys.DO_TRANSFORM: torch.tensor([True])}],
    )
    scale = 1 / latent.std(unbiased=False)
    assert isinstance(scale, MetaTensor) and SECRET in str(scale.meta)
    return scale


@pytest.mark.parametrize("factors", [(0.9,), (1.1, 1.9, 0.6)], ids=["CCELLA", "CCELLA++"])
def test_scale_factors_with_metadata_are_read_and_the_patients_paths_dropped(tmp_path, models, factors):
    scales = tuple(scale_as_the_authors_save_it(factor) for factor in factors)
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]), scales if len(scales) > 1 else scales[0])
    assert SECRET.encode() in path.read_bytes()
    found = read_denoiser(path)
    assert found.scale_factors == pytest.approx(factors)
    assert type(read_pickle(path)["scale_factor"]) in (torch.Tensor, list)
    assert all(type(tensor) is torch.Tensor for tensor in found.denoiser.state_dict().values())


def test_weights_with_metadata_are_read(tmp_path, models):
    state = {name: MetaTensor(tensor, meta={"filename_or_obj": SECRET}) for name, tensor in
             authors_state(models["maisi"]).items()}  # fmt: skip
    found = read_denoiser(save(tmp_path / "m.pt", state, MetaTensor(torch.tensor(0.5))))
    torch.testing.assert_close(found.denoiser.state_dict(), models["maisi"].state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "stranger", [np.float64(0.9), np.ones(3), Path("/x"), MetaTensor(torch.ones(1), meta={"a": np.ones(2)})]
)
def test_metadata_opens_the_door_to_nothing_else(tmp_path, models, stranger):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]), torch.tensor(0.9), more=stranger)
    with pytest.raises(InputError, match="cannot be read safely"):
        read_denoiser(path)


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path):
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    torch.save(content, tmp_path / "dict.pt")
    items: list[Any] = []
    items.append(items)
    torch.save({"state_dict": items}, tmp_path / "list.pt")
    for name in ("dict.pt", "list.pt"):
        with pytest.raises(InputError, match="holds values inside themselves"):
            read_autoencoder(tmp_path / name)


def test_a_tensor_that_announces_more_than_it_holds_is_refused(tmp_path, models):
    state = authors_state(models["maisi"])
    name = next(iter(state))
    path = save(tmp_path / "m.pt", {**state, name: torch.ones(1).expand(10**7, 10**5)})
    with pytest.raises(InputError, match=r"does not hold all numbers of the tensor .*\(10000000, 100000\)"):
        read_denoiser(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        read_autoencoder(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04 cut off"]
)
def test_what_is_no_checkpoint_is_said(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"is no whole checkpoint of torch|cannot be read safely"):
        read_denoiser(tmp_path / "m.pt")


@pytest.mark.medium
def test_other_checkpoints_are_told_apart(tmp_path, models):
    state = authors_state(models["maisi"])
    with pytest.raises(InputError, match="There is no file"):
        read_denoiser(tmp_path / "none.pt")
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(InputError, match="is no checkpoint of a denoiser: it has no unet_state_dict and scale_factor"):
        read_denoiser(tmp_path / "bare.pt")
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_denoiser(save(tmp_path / "m.pt", {}))
    with pytest.raises(InputError, match="holds the variant maisi, not ccella"):
        read_denoiser(save(tmp_path / "m.pt", state), "ccella")
    with pytest.raises(InputError, match="does not hold the MAISI autoencoder"):
        read_autoencoder(tmp_path / "bare.pt")


def test_a_network_that_cannot_be_built_is_said(tmp_path):
    odd = build_autoencoder(AutoencoderConfig(num_channels=(8, 8), num_res_blocks=(1, 1), norm_num_groups=4))
    torch.save(odd.state_dict(), tmp_path / "vae.pt")
    with pytest.raises(InputError, match=r"does not hold the MAISI autoencoder .*norm_num_groups: 32 do not divide"):
        read_autoencoder(tmp_path / "vae.pt")


@pytest.mark.medium
def test_what_does_not_fit_is_named(tmp_path, models):
    state = authors_state(models["maisi"])
    missing = {name: value for name, value in state.items() if name != "out.2.conv.bias"}
    with pytest.raises(InputError, match=r"missing: unet.out.2.conv.bias"):
        read_denoiser(save(tmp_path / "m.pt", missing))
    with pytest.raises(InputError, match="unexpected: stranger"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "stranger": torch.ones(1)}))
    with pytest.raises(InputError, match=r"of another shape: unet.out.2.conv.bias \(9,\) instead of \(4,\)"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "out.2.conv.bias": torch.ones(9)}))
    with pytest.raises(InputError, match=r"NaN or infinite: unet.out.2.conv.bias"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "out.2.conv.bias": torch.full((4,), float("nan"))}))
    for scale in (0.0, float("nan"), "one", []):
        with pytest.raises(InputError, match="The scale factor in"):
            read_denoiser(save(tmp_path / "m.pt", state, scale))


@pytest.mark.parametrize("variant", REPORT_VARIANTS)
def test_the_published_size_is_told_by_its_tensors(variant, reference_folder):
    shapes = json.loads((reference_folder / "state_dict_published.json").read_text(encoding="utf-8"))[variant]
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    assert variant_of(tensors) == variant
    assert denoiser_config_of(tensors, variant) == published_denoiser(variant)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("controlnet_cond_embedding.conv_in.conv.weight", "is a ControlNet"),
        ("top_region_index_layer.0.weight", r"MAISI's network for CT.*\(DDPM-CT\); only networks that draw prostates"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, models, name, said):
    path = save(tmp_path / "m.pt", {**authors_state(models["maisi"]), name: torch.ones(1)})
    with pytest.raises(InputError, match=said):
        read_denoiser(path)
