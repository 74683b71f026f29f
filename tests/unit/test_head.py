from __future__ import annotations

import numpy as np
import pytest
import torch

from models.learning.head import HeadData, _Members, fit_head, head_logits
from models.learning.losses import LossSettings
from models.learning.training_settings import HeadSettings

PLAIN = LossSettings(kind="cross_entropy", prior=np.array([0.5, 0.5]), counts=np.ones(2))


def _xor(rows: int) -> HeadData:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, 6)).astype(np.float32) * 3 + 5
    label = ((features[:, 0] > 5) ^ (features[:, 1] > 5)).astype(np.int64)
    return HeadData(features, np.eye(2, dtype=np.float32)[label], np.ones(rows))


def test_head_learns_what_no_linear_head_can() -> None:
    data = _xor(600)
    settings = HeadSettings(members=2, hidden_width=32, hidden_dropout=0.1, input_dropout=0, steps=300)
    layers = fit_head(data, settings, PLAIN, 0.01, seed=0)
    right = head_logits(data.features, layers).argmax(1) == data.targets.argmax(1)
    assert right.mean() > 0.9


def test_equal_seed_gives_equal_weights_and_another_seed_does_not() -> None:
    data, settings = _xor(100), HeadSettings(members=2, hidden_width=8, steps=5)
    first, again, other = (fit_head(data, settings, PLAIN, 0.1, seed) for seed in (0, 0, 1))
    assert np.array_equal(first[0][0], again[0][0])
    assert not np.array_equal(first[0][0], other[0][0])


@pytest.mark.parametrize("hidden_width", [0, 7])
def test_one_wide_network_equals_the_average_of_its_members(hidden_width: int) -> None:
    settings = HeadSettings(members=3, hidden_width=hidden_width, input_dropout=0, hidden_dropout=0)
    random = torch.Generator().manual_seed(3)
    members = _Members(5, 4, settings, random)
    rows = np.random.default_rng(1).normal(2, 3, (9, 5)).astype(np.float32)
    mean, spread = rows.mean(0), rows.std(0)
    with torch.no_grad():
        stacked = torch.from_numpy((rows - mean) / spread).expand(3, -1, -1)
        expected = members(stacked, random).mean(0).numpy()
    layers = members.as_layers(mean, spread)
    assert len(layers) == (2 if hidden_width else 1)
    assert np.allclose(head_logits(rows, layers), expected, atol=1e-5)


def test_draw_weight_moves_the_answer_towards_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    label = (rng.random(300) < 0.1).astype(np.int64)
    settings = HeadSettings(members=1, hidden_width=8, steps=50)
    rare = []
    for factor in (1.0, 9.0):
        weight = np.where(label == 1, factor, 1.0)
        data = HeadData(features, np.eye(2, dtype=np.float32)[label], weight / weight.mean())
        layers = fit_head(data, settings, PLAIN, 0.1, seed=0)
        rare.append((head_logits(features, layers).argmax(1) == 1).mean())
    assert rare[1] > rare[0] + 0.1
