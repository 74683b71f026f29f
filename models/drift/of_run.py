"""Drift of what one scoring run did."""

from __future__ import annotations

from pathlib import Path

from models.artifacts.places import place_of
from models.artifacts.records import DriftReport, ScoreSummary
from models.drift.batches import batch_rows, rows_before
from models.drift.measure import measure_drift
from models.drift.settings import DriftSettings
from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.class_prior import NO_PRIOR, PriorShift, prior_shift
from models.serving.commit import OutputStore
from models.serving.commit_log import Commit
from models.serving.reader import open_output
from models.serving.registry import Registry
from models.serving.sites import open_served


def drift_of_run(summary: ScoreSummary, bundle: Bundle, settings: DriftSettings) -> DriftReport:
    """Drift of the plans that a summary names, against the bundle that scored them and the rows before them."""
    store, prior = OutputStore(place_of(summary.out)), prior_shift(bundle, summary.class_prior)
    mine = [commit for commit in store.commits() if commit.plan_id in summary.plan_ids]
    return _drift_of(store, mine, bundle, settings, prior)


def drift_of_output(out: Path, registry: Registry, name: str, settings: DriftSettings) -> DriftReport:
    """Drift of what the newest run of a model wrote to an output, taken as scored for the model's own mix of classes.

    Raises:
        SettingsError: the model wrote nothing there.
    """
    store = open_output(out)
    scored = [c for c in store.commits() if c.kind == "scored" and c.model_name == name]
    if not scored:
        raise SettingsError(f"{out} holds no predictions of {name}", "the --out of a run of this model", "Check both.")
    mine = [commit for commit in scored if commit.run_id == scored[-1].run_id]
    bundle = open_served(registry, name, scored[-1].bundle_sha256)
    return _drift_of(store, mine, bundle, settings, NO_PRIOR)


def _drift_of(
    store: OutputStore, commits: list[Commit], bundle: Bundle, settings: DriftSettings, prior: PriorShift
) -> DriftReport:
    plan_ids = tuple(dict.fromkeys(commit.plan_id for commit in commits))
    batch = batch_rows(store, bundle.sha256, plan_ids)
    before = rows_before(store, bundle.sha256, plan_ids, settings.previous_rows)
    report = measure_drift(batch, bundle, settings, before, prior)
    told = {"at": max((c.at for c in commits), default=""), "out": str(store.out), "plan_ids": plan_ids}
    return report.model_copy(update=told)
