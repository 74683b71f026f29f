"""An audit in a row, without Prefect: list, scan, judge, report. The flow's tasks call the same functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.records import Verdict
from models.artifacts.ref import ArtifactRef, open_checked, publish, read_record, seal, seal_file
from models.artifacts.tables import LABEL_ISSUES, MANIFEST, decode_table, encode_table, read_batches, write_batches
from models.artifacts.workspace import Workspace
from models.data.listing import LISTING, folder_key, listing_batches, require_apart
from models.data.quarantine import move_files, write_quarantine
from models.data.scan import ScanJob, ScanSettings, scan_to_file, written_before_ns
from models.errors import SettingsError
from models.parallel import ProgressSink
from models.reports.audit_report import AuditRecords, render_audit
from models.serving.data_history import data_before
from validation.judgement import open_offenders, seal_judgement
from validation.references import open_reference
from validation.suites import ValidationSettings, judge_manifest


class AuditRequest(NamedTuple):
    """What to audit and how.

    Attributes:
        name: model whose champion and last data it is compared with; empty for none.
        find_label_errors: gives table LABEL_ISSUES of a manifest; None where label errors are not looked for. It
            is handed in, because it reaches torch, and an audit need not.
    """

    folder: Path
    name: str
    scan: ScanSettings
    validation: ValidationSettings
    find_label_errors: Callable[[pa.Table], pa.Table] | None = None


class AuditRefs(NamedTuple):
    """What an audit made."""

    manifest: ArtifactRef
    verdict: ArtifactRef
    report: ArtifactRef


def audit_folder(request: AuditRequest, workspace: Workspace, now: datetime, sink: ProgressSink) -> AuditRefs:
    """Addresses of manifest, verdict and report of a folder."""
    require_apart(request.folder, workspace.root)
    batches = listing_batches(request.folder, written_before_ns(request.scan, now))
    listing = seal_file(workspace, "listing", lambda path: write_batches(path, batches, LISTING), suffix=".parquet")
    job = ScanJob(request.folder, request.scan, listing.rows)
    manifest = seal_file(
        workspace,
        "manifest",
        lambda path: scan_to_file(
            job, read_batches(listing.path, LISTING), path, lambda done, total: sink("scan", done, total)
        ),
        suffix=".parquet",
    )
    table, issues = decode_table(open_checked(manifest), MANIFEST), None
    if request.find_label_errors is not None:
        found = request.find_label_errors(table)
        issues = seal(workspace, "label_issues", encode_table(found), suffix=".parquet", rows=found.num_rows)
    reference = open_reference(data_before(workspace, request.name, manifest), issues)
    judgement = judge_manifest(table, request.validation, reference)
    verdict = seal_judgement(workspace, judgement)
    return AuditRefs(manifest, verdict, publish_report(request.folder, manifest, verdict, workspace, issues))


def publish_report(
    folder: Path,
    manifest: ArtifactRef,
    verdict: ArtifactRef,
    workspace: Workspace,
    label_issues: ArtifactRef | None = None,
) -> ArtifactRef:
    """Address of the page about an audited folder; the next audit of the folder replaces it."""
    found = read_record(verdict, Verdict)
    records = AuditRecords(
        folder=folder,
        manifest=decode_table(open_checked(manifest), MANIFEST),
        verdict=found,
        offenders=open_offenders(workspace, found),
        label_issues=decode_table(open_checked(label_issues), LABEL_ISSUES) if label_issues else None,
    )
    path = workspace.reports_dir / f"audit-{folder_key(folder)}.html"
    return publish(path, "audit_report", render_audit(records).encode())


def quarantine(refs: AuditRefs, rules: list[str], workspace: Workspace, target: Path) -> list[dict[str, str]]:
    """The files that broke one of `rules`, after writing them to the list at `target`.

    Raises:
        SettingsError: a rule that the verdict does not know.
    """
    verdict = read_record(refs.verdict, Verdict)
    known = {finding.rule for finding in verdict.findings}
    if unknown := sorted(set(rules) - known):
        raise SettingsError(
            f"rule {', '.join(unknown)} was not asked", f"one of {', '.join(sorted(known))}", "Mend --quarantine."
        )
    return write_quarantine(target, open_offenders(workspace, verdict), rules)


def move_quarantined(folder: Path, refs: AuditRefs, rows: list[dict[str, str]], target: Path) -> int:
    """Number of quarantined files moved from the folder to `target`."""
    paths = {row["path"] for row in rows}
    manifest = decode_table(open_checked(refs.manifest), MANIFEST).select(["path", "path_bytes"]).to_pylist()
    return move_files(folder, target, [row for row in manifest if row["path"] in paths])
