from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from models.data.views import Symmetries, view_of, views_of
from models.errors import ShapeError
from models.learning.augment import Batch, augmented
from models.learning.augment_operations import AUGMIX_OPERATIONS, OPERATION_COUNT, Moves, moved, operated
from models.learning.training_settings import AugmentSettings

_EVERYTHING: list[dict[str, Any]] = [
    {"symmetries": "dihedral"},
    {"policy": "light", "strength": 1},
    {"policy": "trivial"},
    {"policy": "rand"},
    {"policy": "augmix"},
    {"mixup_alpha": 0.4},
    {"cutmix_alpha": 1},
    {"policy": "light", "mixup_alpha": 1, "cutmix_alpha": 1},
]


def _settings(**changes: Any) -> AugmentSettings:
    return AugmentSettings(**{"symmetries": "none", "policy": "none", **changes})


def _batch(rows: int = 12, height: int = 16, width: int = 16) -> Batch:
    random = torch.Generator().manual_seed(7)
    pixels = torch.randint(0, 256, (rows, height, width, 3), generator=random, dtype=torch.uint8)
    return Batch(pixels, torch.eye(4)[torch.arange(rows) % 4])


def _drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("symmetries", ["none", "mirror", "flips", "dihedral"])
def test_a_group_gives_exactly_its_views(symmetries: Symmetries) -> None:
    picture = np.zeros((3, 3, 3), dtype=np.uint8)
    picture[0, 0], picture[0, 1] = 200, 100  # a corner and its neighbour tell all eight views apart
    batch = Batch(torch.from_numpy(picture).expand(200, -1, -1, -1), torch.ones(200, 1))
    seen = augmented(batch, _settings(symmetries=symmetries), _drawn()).pixels
    wanted = {view_of(picture, view).tobytes() for view in views_of(symmetries)}
    assert seen.dtype == torch.uint8
    assert {row.numpy().tobytes() for row in seen} == wanted


def test_each_picture_keeps_its_place_among_its_targets() -> None:
    batch = _batch()
    batch.pixels[:] = torch.arange(12, dtype=torch.uint8).view(-1, 1, 1, 1)
    seen = augmented(batch, _settings(symmetries="dihedral"), _drawn())
    assert torch.equal(seen.pixels, batch.pixels)
    assert torch.equal(seen.targets, batch.targets)


def test_oblong_pictures_are_flipped_but_not_turned_by_a_quarter() -> None:
    batch = _batch(height=8, width=12)
    assert augmented(batch, _settings(symmetries="flips"), _drawn()).pixels.shape == batch.pixels.shape
    with pytest.raises(ShapeError, match="12 x 8 px"):
        augmented(batch, _settings(symmetries="dihedral"), _drawn())


@pytest.mark.parametrize("changes", _EVERYTHING, ids=str)
def test_the_generator_alone_decides_and_inputs_stay(changes: dict[str, Any]) -> None:
    batch, settings = _batch(), _settings(**changes)
    before = Batch(batch.pixels.clone(), batch.targets.clone())
    torch.manual_seed(1)
    first = augmented(batch, settings, _drawn())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again, other = augmented(batch, settings, _drawn()), augmented(batch, settings, _drawn(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.pixels.float(), other.pixels.float())
    assert torch.equal(batch.pixels, before.pixels)
    assert torch.equal(batch.targets, before.targets)


@pytest.mark.parametrize("changes", _EVERYTHING, ids=str)
def test_pixels_stay_in_range_and_targets_a_distribution(changes: dict[str, Any]) -> None:
    for seed in range(5):
        pixels, targets = augmented(_batch(height=12), _settings(**changes | {"symmetries": "flips"}), _drawn(seed))
        assert pixels.shape == (12, 12, 16, 3)
        assert pixels.min() >= 0
        assert pixels.max() <= 255.001
        assert targets.min() >= 0
        assert torch.allclose(targets.sum(1), torch.ones(12))


@pytest.mark.parametrize("policy", ["light", "rand", "augmix"])
def test_strength_zero_leaves_pixels(policy: str) -> None:
    batch = _batch()
    assert torch.equal(augmented(batch, _settings(policy=policy, strength=0), _drawn()).pixels, batch.pixels)


def test_tiny_strength_leaves_nearly_all() -> None:
    batch = _batch()
    seen = augmented(batch, _settings(policy="light", strength=1e-5), _drawn()).pixels
    assert torch.allclose(seen, batch.pixels.float(), atol=0.1)


def test_augmix_is_a_mixture_with_the_picture_and_changes_no_colours() -> None:
    random = torch.Generator().manual_seed(3)
    grey = torch.randint(60, 200, (40, 16, 16, 1), generator=random, dtype=torch.uint8).expand(-1, -1, -1, 3)
    batch = Batch(grey, torch.eye(4)[torch.arange(40) % 4])
    seen = augmented(batch, _settings(policy="augmix"), _drawn()).pixels
    assert torch.allclose(seen, seen[..., :1].expand_as(seen), atol=1e-3)
    flat, was = seen[..., 0].flatten(1), grey[..., 0].float().flatten(1)
    alike = torch.tensor([float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(flat, was, strict=True)])
    assert alike.min() > 0
    assert alike.min() < 0.9
    assert len(torch.unique((alike * 1000).round())) > 20
    assert set(range(OPERATION_COUNT - 1)) - set(AUGMIX_OPERATIONS) == {5, 6, 7}  # brightness, contrast, saturation


def test_every_operation_changes_pictures_and_at_level_zero_none_does() -> None:
    pixels = _batch(OPERATION_COUNT).pixels // 2 + 40  # low contrast, so that stretching it is seen
    every = torch.arange(OPERATION_COUNT).view(-1, 1)
    still = operated(pixels, every, torch.zeros(OPERATION_COUNT, 1))
    changed = operated(pixels, every, torch.full((OPERATION_COUNT, 1), 0.8))
    assert torch.equal(still, pixels.float())
    is_changed = [not torch.equal(a, b) for a, b in zip(changed, still, strict=True)]
    assert is_changed == [True] * (OPERATION_COUNT - 1) + [False]


def _one_move(**changes: float) -> Moves:
    still = dict.fromkeys(Moves._fields, 0.0) | {"zoom": 1.0}
    return Moves(**{name: torch.tensor([value]) for name, value in (still | changes).items()})


def test_a_quarter_turn_and_a_shift_are_those_of_arrays() -> None:
    picture = _batch(1).pixels
    turned = moved(picture, _one_move(turn_rad=np.pi / 2))
    assert torch.allclose(turned, torch.rot90(picture.float(), 1, (1, 2)), atol=0.1)
    shifted = moved(picture, _one_move(shift_x=4 / 16, shift_y=2 / 16))
    assert torch.allclose(shifted[:, :14, :12], picture[:, 2:, 4:].float(), atol=0.1)


def test_a_turn_of_an_oblong_picture_keeps_its_shapes() -> None:
    picture = torch.zeros(1, 20, 40, 3)
    picture[:, 10, 14:26] = 255  # a line of 12 px, turned upright
    upright = moved(picture, _one_move(turn_rad=np.pi / 2))
    middle = upright[:, :, 10:30]  # to both sides of it lies what is mirrored in, a second line among it
    assert middle.sum() == pytest.approx(float(picture.sum()), rel=0.01)
    assert int((middle[0, :, :, 0].amax(1) > 100).sum()) == 12


@pytest.mark.parametrize("name", ["mixup_alpha", "cutmix_alpha"])
def test_targets_are_mixed_as_pixels_are(name: str) -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 10, 10, 3)
    batch = Batch(pixels, torch.eye(2))
    mixtures = [augmented(batch, _settings(**{name: 1}), _drawn(seed)) for seed in range(30)]
    shares = [float(targets[0, 1]) for _, targets in mixtures]
    bright = [float(pixels[0].float().mean() / 255) for pixels, _ in mixtures]
    assert shares == pytest.approx(bright, abs=1e-5)
    assert len({round(share, 3) for share in shares if share > 0}) > 5


def test_a_coin_decides_between_mixup_and_cutmix() -> None:
    batch = _batch()
    kinds = {
        augmented(batch, _settings(mixup_alpha=1, cutmix_alpha=1), _drawn(seed)).pixels.dtype for seed in range(12)
    }
    assert kinds == {torch.uint8, torch.float32}
