"""Plans how often each training picture is drawn."""

from __future__ import annotations

from prefect import task

from models.artifacts.ref import ArtifactRef, open_checked, seal
from models.artifacts.tables import SPLIT, decode_table, encode_table
from models.artifacts.workspace import Workspace
from models.data import resample
from models.learning.training_settings import Imbalance
from tasks.caching import SEALED


@task(name="plan-resampling", cache_policy=SEALED, persist_result=True, result_serializer="json")
def plan_resampling(
    split: ArtifactRef, settings: resample.ResamplingSettings, imbalance: Imbalance, workspace: Workspace
) -> ArtifactRef:
    """Resample plan of the training rows."""
    from models.learning.imbalance import plan_imbalance, require_one_correction  # torch takes seconds to import

    require_one_correction(imbalance, settings.method)
    asked = resample.resampling_for(plan_imbalance(imbalance).draws, settings)
    plan = resample.plan_resampling(decode_table(open_checked(split), SPLIT), asked)
    return seal(workspace, "resample_plan", encode_table(plan), suffix=".parquet", rows=plan.num_rows)
