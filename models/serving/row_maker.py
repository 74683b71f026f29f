"""From what became of the files of a shard to its table of predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.artifacts.records import ModelCard
from models.artifacts.tables import PREDICTIONS, table_of
from models.errors import ContractBroken
from models.serving.class_prior import PriorShift
from models.serving.commit import TRY_AGAIN
from models.serving.engine import Shard
from models.serving.picture_scorer import Scored, prediction_row
from models.serving.scoring_settings import ScoringSettings


class RowMaker(NamedTuple):
    """What rows of one run have in common.

    Attributes:
        card: of the model that answers.
        bundle_sha256: of its bundle, and of the site's adaptation where it answers with one.
        site: that it answers for; None: no site.
        prior: what turns its scores into those that are written.
        settings: how many classes a row keeps.
        run_id: of the run.
        clock: tells when a shard was scored.
    """

    card: ModelCard
    bundle_sha256: str
    site: str | None
    prior: PriorShift
    settings: ScoringSettings
    run_id: str
    clock: Callable[[], datetime]

    def table(self, shard: Shard, found: Sequence[Scored]) -> tuple[pa.Table, int]:
        """Table PREDICTIONS of a shard, and the number of its files that need no row.

        A file whose newest row is about the very same bytes needs no other: only its time has changed.

        Raises:
            ContractBroken: the model fails on most pictures: then it is the model, or the machine, and no picture.
        """
        _refuse_broken(found)
        stamp = {
            "model_name": self.card.name,
            "bundle_sha256": self.bundle_sha256,
            "site": self.site,
            "plan_id": shard.plan.plan_id,
            "run_id": self.run_id,
            "scored_at": self.clock(),
        }
        rows = []
        for row, served in zip(shard.rows, found, strict=True):
            if _is_unchanged(row["known_sha256"], served):
                continue
            scored = self._corrected(served)
            told = {**prediction_row(row, scored, self.card, self.settings.top_k), **stamp}
            if self.settings.probabilities == "all":
                told["probabilities"] = scored.probabilities
            rows.append(told)
        return table_of(rows, PREDICTIONS), len(found) - len(rows)

    def _corrected(self, scored: Scored) -> Scored:
        if scored.answers is None or self.prior.calibration is None:
            return scored
        probabilities = self.prior.apply(scored.answers.probabilities.astype(np.float64)).astype(np.float32)
        return scored._replace(answers=scored.answers._replace(probabilities=probabilities))


def _is_unchanged(known_sha256: str | None, scored: Scored) -> bool:
    return known_sha256 is not None and scored.sha256 == known_sha256 and scored.reason not in TRY_AGAIN


def _refuse_broken(found: Sequence[Scored]) -> None:
    crashed = sum(scored.reason == "inference_failed" for scored in found)
    if crashed > 1 and crashed * 2 > crashed + sum(scored.status == "ok" for scored in found):
        raise ContractBroken(
            f"inference failed on {crashed} of {len(found)} pictures",
            "a model that runs here",
            "Run sortline doctor.",
        )
