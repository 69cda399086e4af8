"""The 3-D extractor: MedicalNet's ResNet-50 (Chen et al. 2019, Med3D, arXiv 1904.00625).

Weights are read from a folder that ``ccella models import-extractor medicalnet`` made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import ResNet

from ccella_core.evaluation.features.protocols import STANDARDISED, ProtocolName, named
from ccella_core.models.weights import load_config, load_network
from ccella_core.networks.resnet import MedicalNetConfig, build_medicalnet

NO_SPREAD = 1e-8
"""Added to a standard deviation, for a volume of one grey."""


class MedicalNetExtractor:
    """The mean of the last layer's activations over the volume, as in the paper's 3-D FID.

    A volume goes in on its own grid, brought to mean 0 and standard deviation 1 over all of its voxels as in MONAI and
    CCELLA++; Med3D itself was trained on the statistics of voxels above zero. The protocol ``published`` leaves it in
    0 … 1, as CCELLA does.
    """

    def __init__(
        self, network: ResNet, config: MedicalNetConfig, device: torch.device, *, protocol: ProtocolName = "own"
    ) -> None:
        self.network, self.device, self.protocol = network.to(device), device, protocol
        self.name = named(f"MedicalNet ResNet-{config.depth} ({config.source})", protocol)
        self.dimension = config.dimension
        self.fingerprint = named(config.sha256, protocol)

    @classmethod
    def load(cls, folder: Path, device: torch.device, *, protocol: ProtocolName = "own") -> MedicalNetExtractor:
        """Raises ModelError where the folder does not hold it whole."""
        config = load_config(MedicalNetConfig, folder)
        network = load_network(lambda: build_medicalnet(config), folder)
        return cls(network, config, device, protocol=protocol)

    @torch.inference_mode()
    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        """Features of voxels (X, Y, Z) in 0 … 1 and RAS+; see `FeatureExtractor`."""
        volume = torch.as_tensor(voxels, dtype=torch.float32, device=self.device)
        if self.protocol in STANDARDISED:
            volume = (volume - volume.mean()) / (volume.std() + NO_SPREAD)
        return self.network(volume[None, None])[0].cpu().double().numpy()
