"""Import of published feature extractors: pickles of tensors, into folders of safetensors that evaluation loads.

Sizes follow from the names and shapes of the tensors; every tensor must then fit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import platformdirs
from monai.networks.nets import ResNet
from torch import Tensor

from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.files import replace_folder, sha256_of, usable_path
from ccella_core.generation.import_published import fill, read_pickle, tensors_by_name, unwrapped
from ccella_core.models.search import HOME_VARIABLE
from ccella_core.models.weights import save_component
from ccella_core.networks.resnet import MedicalNetConfig, RadImageNetConfig, build_medicalnet, build_radimagenet

PublishedExtractor = Literal["medicalnet", "radimagenet"]
PUBLISHED: tuple[PublishedExtractor, ...] = get_args(PublishedExtractor)
HUB_REPOSITORY = "MONAI/checkpoints"
HUB_FILES: dict[PublishedExtractor, str] = {
    "medicalnet": "medicalnet_resnet50_23datasets.pth",
    "radimagenet": "RadImageNet-ResNet50_notop.pth",
}
IMPORT_COMMAND = "ccella models import-extractor {kind}"

_STEM_AND_LAYERS = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""By their number in RadImageNet's own PyTorch release, which numbers the parts of the network."""
_NUMBERED = re.compile(r"^(?:backbone\.)?([014-7])\.")
_BIAS = re.compile(r"(?:conv(\d)|downsample\.0)\.bias$")
_NEVER_PUBLISHED = "num_batches_tracked"  # counts the steps of a training; older checkpoints lack it


def extractors_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where imported extractors are kept: `extractors` in `$CCELLA_HOME`, or among the user's own data."""
    home = environ.get(HOME_VARIABLE)
    root = usable_path(Path(home)) if home else platformdirs.user_data_path("ccella", appauthor=False)
    return root / "extractors"


def import_extractor(kind: PublishedExtractor, file: Path, folder: Path, *, overwrite: bool = False) -> Path:
    """Turn a published checkpoint into a folder that `load_extractors` reads; whole or not at all.

    Args:
        kind: whose weights they are.
        file: the published ``.pth`` or ``.pt``, as torch saved it; nothing in it is run.
        folder: where to.
        overwrite: replace a folder that is there.

    Returns:
        ``folder``.

    Raises:
        InputError: no such kind, or a file that is not what it should be.
        SaveError: ``folder`` is taken, or the disk refuses.
    """
    if kind not in PUBLISHED:
        raise InputError(f"There is no published extractor {kind!r}; there are {', '.join(PUBLISHED)}.")
    if folder.exists() and not overwrite:
        raise SaveError(f"{folder} exists already; allow it to be overwritten to import the weights again.")
    network, config = read_medicalnet(file) if kind == "medicalnet" else read_radimagenet(file)
    try:
        with replace_folder(folder) as unfinished:
            save_component(network, config, unfinished)
    except OSError as error:
        raise SaveError(f"The extractor could not be written to {folder}: {error}.") from error
    return folder


def download_extractor(kind: PublishedExtractor) -> Path:
    """The published file, fetched from the Hugging Face hub into its cache; call it with the user's permission.

    Raises:
        ModelError: the hub cannot be reached, or does not have it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(HUB_REPOSITORY, HUB_FILES[kind]))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"The weights of {kind} could not be fetched from the Hugging Face hub; on a computer that reaches it, run "
            f"hf download {HUB_REPOSITORY} {HUB_FILES[kind]}, and import the file here with: "
            f"{IMPORT_COMMAND.format(kind=kind)} FILE"
        ) from error


def read_medicalnet(path: Path) -> tuple[ResNet, MedicalNetConfig]:
    """The network in a checkpoint of MedicalNet. Raises InputError."""
    tensors = tensors_by_name(unwrapped(read_pickle(path)), path)
    config = MedicalNetConfig(**_size(tensors, path, spatial_dims=3), **_source(path))
    return _filled(build_medicalnet(config), tensors, path), config


def read_radimagenet(path: Path) -> tuple[ResNet, RadImageNetConfig]:
    """The network in a checkpoint of RadImageNet, of either release. Raises InputError."""
    published = tensors_by_name(unwrapped(read_pickle(path)), path)
    named = {_NUMBERED.sub(lambda found: f"{_STEM_AND_LAYERS[found[1]]}.", name): tensor
             for name, tensor in published.items()}  # fmt: skip
    release = "Keras" if "conv1.bias" in named else "PyTorch"
    config = RadImageNetConfig(release=release, **_size(named, path, spatial_dims=2), **_source(path))
    return _filled(build_radimagenet(config), without_biases(named), path), config


def without_biases(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network without biases of convolutions, which Keras has before each normalisation.

    Normalisation subtracts a mean, so that (x + b) - m = x - (m - b): the biases move into its ``running_mean``.
    """
    moved = {name: tensor for name, tensor in tensors.items() if not _BIAS.search(name)}
    for name in tensors.keys() - moved.keys():
        mean = _BIAS.sub(lambda found: f"{f'bn{found[1]}' if found[1] else 'downsample.1'}.running_mean", name)
        if mean in moved:  # else it is missing, which `fill` says
            moved[mean] = moved[mean] - tensors[name]
    return moved


def _size(tensors: Mapping[str, Tensor], path: Path, *, spatial_dims: int) -> dict[str, Any]:
    blocks: list[set[str]] = [set(), set(), set(), set()]
    for name in tensors:
        if found := re.match(r"layer([1-4])\.(\d+)\.", name):
            blocks[int(found[1]) - 1].add(found[2])
    first = tensors.get("conv1.weight")
    if first is None or not all(blocks) or "layer1.0.conv3.weight" not in tensors:
        raise InputError(f"{path} does not hold a ResNet-50 or one of its deeper kin.")
    if first.ndim != spatial_dims + 2:
        raise InputError(f"{path} holds a network for {first.ndim - 2}-D images where one for {spatial_dims}-D is due.")
    return {"layers": tuple(len(numbers) for numbers in blocks), "width": first.shape[0]}


def _source(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": sha256_of(path)}


def _filled(network: ResNet, tensors: Mapping[str, Tensor], path: Path) -> ResNet:
    own = network.state_dict()
    chosen = {
        name: tensors.get(name, tensor if name.endswith(_NEVER_PUBLISHED) else None) for name, tensor in own.items()
    }
    fill(network, chosen, tensors, path, set(own))
    return network.eval()
