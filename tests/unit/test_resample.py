from __future__ import annotations

import numpy as np
import pytest

from models.artifacts.tables import SPLIT, table_of
from models.data.resample import ResamplingSettings, effective_prior, plan_resampling


def _split() -> object:
    rows = [{"image_id": str(k), "label": "many", "split": "train"} for k in range(90)]
    rows += [{"image_id": f"r{k}", "label": "rare", "split": "train"} for k in range(10)]
    rows += [{"image_id": f"t{k}", "label": "rare", "split": "tune"} for k in range(50)]
    return table_of(rows, SPLIT)


@pytest.mark.parametrize(
    ("method", "rare_share"),
    # natural 10/100; sqrt: 10 * 10^-.5 against 90 * 90^-.5, that is sqrt(10) to sqrt(90) = 1 to 3; balanced: half
    [("natural", 0.1), ("sqrt", 0.25), ("balanced", 0.5)],
)
def test_share_of_draws_is_the_one_worked_out_by_hand(method: str, rare_share: float) -> None:
    plan = plan_resampling(_split(), ResamplingSettings.model_validate({"method": method}))
    assert plan.num_rows == 100, "rows outside train are never drawn"
    weights, labels = plan["draw_weight"].to_numpy(), np.asarray(plan["label"].to_pylist())
    assert weights.mean() == pytest.approx(1)
    assert effective_prior(labels, weights, ["many", "rare"]).tolist() == pytest.approx([1 - rare_share, rare_share])
