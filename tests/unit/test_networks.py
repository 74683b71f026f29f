"""Networks by name, where their weights come from, and those of other libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import SettingsError
from models.networks import registry
from models.networks.library import Norm, hub_weights, library_trunk
from models.networks.pretrained import digest_of, put_tensors
from models.networks.registry import Build, find_network, known_networks, register_network

IMAGENET = Norm((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OWN = ["convnet", "renet", "row_lstm"]
SMALL = ["torchvision/squeezenet1_1", "torchvision/shufflenet_v2_x0_5", "timm/mobilenetv3_small_050"]


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"network resnet is unknown\. Expected one of convnet, .*timm/NAME"):
        find_network("resnet")
    assert {*OWN, "efficientnet_lite0", "timm/NAME", "torchvision/NAME"} <= set(known_networks())


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("torchvision/resnet19", "torchvision/resnet18"),
        ("timm/mobilenetv3_small_05", "timm/mobilenetv3_small_050"),
        ("timm/resnet18.no_such_tag", "timm/resnet18"),
        ("torchvision/???", r"torchvision\.list_models\(\)"),
    ],
)
def test_unknown_name_of_a_library_is_answered_with_close_ones(name: str, close: str) -> None:
    with pytest.raises(SettingsError, match=close):
        find_network(name)


@pytest.mark.parametrize("name", ["convnet", "with/slash"])
def test_name_cannot_be_registered_twice_nor_look_like_a_family(name: str) -> None:
    with pytest.raises(SettingsError, match=f"network {name} is registered twice or holds /"):
        register_network(name, size_px=32)(lambda build: torch.nn.Identity())
    assert find_network("convnet").size_px == 64


def test_another_package_offers_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_networks()  # so that what comes with Sortline is registered for good
    (tmp_path / "offered_net.py").write_text(
        "from torch import nn\n"
        "from models.networks.registry import Build, register_network\n"
        "@register_network('offered', size_px=4)\n"
        "def build_offered(build: Build) -> nn.Module:\n"
        "    return nn.Flatten()\n"
    )
    about = tmp_path / "offered-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[sortline.networks]\noffered = offered_net\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_NETWORKS", dict(registry._NETWORKS))
    assert find_network("offered").build(Build(0, 4))(torch.zeros(2, 3, 4, 4)).shape == (2, 48)
    sys.modules.pop("offered_net")


@pytest.mark.parametrize("name", [*OWN, *SMALL])
def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone(name: str) -> None:
    network = find_network(name)
    before = torch.random.get_rng_state()
    first, again, other = (digest_of(network.build(Build(seed, 32)).state_dict()) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", [*OWN, *SMALL, "timm/vit_tiny_patch16_224"])
@pytest.mark.parametrize("channels", [1, 3])
def test_trunk_gives_one_embedding_a_picture_and_learns(name: str, channels: int) -> None:
    trunk = find_network(name).build(Build(0, 48, channels))
    assert trunk.training
    embedding = trunk(torch.rand(2, channels, 48, 48))
    assert embedding.ndim == 2
    assert len(embedding) == 2
    assert embedding.isfinite().all()
    embedding.square().mean().backward()
    assert all(p.grad is not None for p in trunk.parameters())


@pytest.mark.parametrize(("size_px", "last_px"), [(8, 4), (16, 4), (24, 6), (32, 4), (64, 4), (96, 6), (128, 4)])
def test_last_map_of_the_small_cnn_keeps_places_apart(size_px: int, last_px: int) -> None:
    trunk = find_network("convnet").build(Build(0, size_px))
    maps = trunk.stages(torch.zeros(1, 3, size_px, size_px))  # type: ignore[operator]
    assert maps.shape == (1, 192, last_px, last_px)


@pytest.mark.parametrize("name", OWN)
def test_smallest_pictures_pass(name: str) -> None:
    assert find_network(name).build(Build(0, 16))(torch.rand(2, 3, 16, 16)).shape == (2, 192)


def test_file_of_weights_loads_and_is_known_by_its_digest(tmp_path: Path) -> None:
    theirs = find_network("convnet").build(Build(7, 32))
    path = tmp_path / "weights.safetensors"
    save_file({**theirs.state_dict(), "head.weight": torch.zeros(3, 192)}, path)
    network = find_network("convnet", str(path))
    assert network.weights is not None
    assert len(network.weights.digest) == 64
    assert network.weights.source == "file weights.safetensors"
    assert digest_of(network.build(Build(0, 32)).state_dict()) == digest_of(theirs.state_dict())


def test_file_of_other_weights_is_refused_with_names_of_tensors(tmp_path: Path) -> None:
    tensors = find_network("convnet").build(Build(0, 32, channels=1)).state_dict()
    tensors.pop("stages.1.enter.0.weight")
    save_file(tensors, tmp_path / "grey.safetensors")
    wanted = (
        r"do not fit: 2 of \d+ tensors, "
        r"stages\.0\.enter\.0\.weight is \(32, 1, 3, 3\), not \(32, 3, 3, 3\); stages\.1\.enter\.0\.weight is missing"
    )
    with pytest.raises(SettingsError, match=wanted):
        find_network("convnet", str(tmp_path / "grey.safetensors")).build(Build(0, 32))


def test_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no tensors")
    for name in ("text.safetensors", "absent.safetensors"):
        with pytest.raises(SettingsError, match=f"{name} cannot be read"):
            find_network("convnet", str(tmp_path / name))


def test_counters_that_older_files_lack_are_not_asked_for() -> None:
    trunk, theirs = (find_network("convnet").build(Build(seed, 32)) for seed in (0, 1))
    older = {n: value for n, value in theirs.state_dict().items() if not n.endswith("num_batches_tracked")}
    put_tensors(trunk, older, "older")
    assert digest_of(trunk.state_dict()) == digest_of(theirs.state_dict())


def test_no_weights_are_random_ones() -> None:
    assert find_network("efficientnet_lite0").weights is not None
    network = find_network("efficientnet_lite0", "none")
    assert network.weights is None
    first, other = (digest_of(network.build(Build(seed, 32)).state_dict()) for seed in (0, 1))
    assert first != other


def test_pretrained_weights_see_three_channels_only() -> None:
    with pytest.raises(SettingsError, match=r"pretrained weights of efficientnet_lite0 see 3 channels"):
        find_network("efficientnet_lite0").build(Build(0, 32, channels=1))


def test_own_network_has_no_weights_in_a_hub() -> None:
    with pytest.raises(SettingsError, match="network convnet has no weights in a hub"):
        find_network("convnet", "hub")


def test_file_saved_from_the_library_fits_and_answers_alike(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv3_small_050", num_classes=5).eval()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    trunk = find_network("timm/mobilenetv3_small_050", str(tmp_path / "theirs.safetensors")).build(Build(1, 48)).eval()
    picture = torch.rand(2, 3, 48, 48)
    mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in IMAGENET)
    with torch.inference_mode():
        maps = theirs.forward_features((picture - mean) / spread)  # type: ignore[operator]
        expected = theirs.forward_head(maps, pre_logits=True)  # type: ignore[operator]
        assert torch.allclose(trunk(picture), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_whole_model_saved_from_torchvision_fits(name: str, tmp_path: Path) -> None:
    from torchvision.models import get_model

    theirs = get_model(name).state_dict()
    save_file(theirs, tmp_path / "whole.safetensors")
    trunk = find_network(f"torchvision/{name}", str(tmp_path / "whole.safetensors")).build(Build(3, 64)).eval()
    tensors = trunk.state_dict()
    assert tensors
    assert len(tensors) < len(theirs), "the head is left out"
    assert all(torch.equal(value, theirs[key]) for key, value in tensors.items())
    with torch.inference_mode():
        assert trunk(torch.rand(2, 3, 64, 64)).isfinite().all()


def test_hub_weights_are_those_that_torchvision_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import get_model, get_model_weights

    theirs = get_model("squeezenet1_1").state_dict()
    url = get_model_weights("squeezenet1_1").DEFAULT.url
    kept = tmp_path / "hub" / "checkpoints"
    kept.mkdir(parents=True)
    torch.save(theirs, kept / url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    network = find_network("torchvision/squeezenet1_1", "hub")
    trunk = network.build(Build(3, 48)).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in trunk.items())
    assert network.weights is not None
    assert network.weights.digest == digest_of(theirs)
    assert "look at the model's page" in network.weights.licence


def test_download_that_fails_says_what_to_do() -> None:
    def download() -> dict[str, torch.Tensor]:
        torch.rand(1)
        raise OSError("no route to the hub")

    before = torch.random.get_rng_state()
    with pytest.raises(SettingsError, match=r"timm/x cannot be downloaded \(OSError: no route .* safetensors file"):
        hub_weights("timm/x", "", download)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("name", "size_px"), [("torchvision/vit_b_32", 65), ("torchvision/squeezenet1_1", 8)])
def test_size_that_a_library_cannot_take_is_refused(name: str, size_px: int) -> None:
    with pytest.raises(SettingsError, match=f"network {name} cannot be built for pictures of {size_px} px"):
        find_network(name).build(Build(0, size_px))


def test_network_without_embeddings_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"network x gives \(1, 3, 8, 8\)\. Expected \(N, D\) embeddings"):
        library_trunk("x", Build(0, 8), IMAGENET, torch.nn.Identity)


def test_one_channel_answers_as_three_equal_ones_do_under_one_norm() -> None:
    grey, colour = (find_network("torchvision/squeezenet1_1").build(Build(0, 48, c)).eval() for c in (1, 3))
    for trunk in (grey, colour):
        trunk.get_buffer("sortline_mean").fill_(0.45)
        trunk.get_buffer("sortline_spread").fill_(0.22)
    picture = torch.rand(2, 1, 48, 48)
    with torch.inference_mode():
        assert torch.allclose(grey(picture), colour(picture.expand(-1, 3, -1, -1)), atol=1e-4)
