"""The sealed artifacts of a run that a report is made from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.artifacts.judging_records import RobustnessReport
from models.artifacts.records import DriftReport, Scorecard, ScoreSummary, Verdict
from models.artifacts.ref import ArtifactRef, open_checked, read_record
from models.artifacts.tables import MANIFEST, RESAMPLE_PLAN, SPLIT, decode_table
from models.judging.measure_label_errors import suspected_label_errors
from models.reports.run_report import RunRecords
from models.serving.bundle import read_bundle
from models.serving.reader import scored_batch


class RunRefs(BaseModel):
    """Addresses of what one run made; some are None where nothing was examined or scored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: ArtifactRef
    data_verdict: ArtifactRef
    split_verdict: ArtifactRef
    plan: ArtifactRef
    split: ArtifactRef
    scorecard: ArtifactRef
    bundle: ArtifactRef
    gate_verdict: ArtifactRef
    robustness: ArtifactRef | None = None
    waits_for_approval: bool = False
    summary: ArtifactRef | None = None
    drift: ArtifactRef | None = None

    def open(self, folder: Path) -> RunRecords:
        """The records behind the addresses, every digest checked."""
        summary = read_record(self.summary, ScoreSummary) if self.summary else None
        bundle = read_bundle(self.bundle.path.parent)
        return RunRecords(
            folder=folder,
            card=bundle.card,
            scorecard=read_record(self.scorecard, Scorecard),
            manifest=decode_table(open_checked(self.manifest), MANIFEST),
            split=decode_table(open_checked(self.split), SPLIT),
            plan=decode_table(open_checked(self.plan), RESAMPLE_PLAN),
            data_verdict=read_record(self.data_verdict, Verdict),
            split_verdict=read_record(self.split_verdict, Verdict),
            gate_verdict=read_record(self.gate_verdict, Verdict),
            summary=summary,
            predictions=scored_batch(summary) if summary else None,
            drift=read_record(self.drift, DriftReport) if self.drift else None,
            robustness=read_record(self.robustness, RobustnessReport) if self.robustness else None,
            label_errors=suspected_label_errors(bundle.baseline, bundle.card),
            waits_for_approval=self.waits_for_approval,
        )
