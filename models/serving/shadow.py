"""A candidate in the shadow: it answers what the champion has answered, and nobody uses what it says."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from models.artifacts.judging_records import ShadowReport
from models.errors import ContractBroken, SettingsError, SortlineError
from models.parallel import OnProgress, no_progress
from models.serving.bundle import Bundle
from models.serving.registry import Registry
from models.serving.score import ScoringSettings
from models.serving.shadow_comparison import compare_in_shadow
from models.settings import Settings

WAITING = "candidate"
_log = logging.getLogger(__name__)


class ShadowSettings(Settings):
    """Which model scores beside the champion, without its answers being used."""

    bundle: str = Field(
        default="",
        pattern=r"(candidate|[0-9a-f]{6,64})?",
        title="Bundle",
        description="candidate: the one that waits for a person, where one does; or how the digest of a bundle of this "
        "model begins; empty: none.",
    )
    pictures: int = Field(
        default=1000,
        ge=0,
        title="Pictures",
        description="Most pictures of a run that it is asked about, spread evenly over the run; 0: all.",
    )


def shadow_digest(registry: Registry, name: str, settings: ShadowSettings) -> str | None:
    """Digest of the bundle that is to score in the shadow; None where there is none.

    Raises:
        SettingsError: no bundle of the model begins so, or several, or it is the champion itself.
    """
    standing = registry.snapshot(name).standing
    if settings.bundle == WAITING:
        return standing.candidate.bundle_sha256 if standing.candidate else None
    if not settings.bundle:
        return None
    known = {event.bundle_sha256 for event in registry.history(name)} - standing.retired
    found = sorted(sha256 for sha256 in known if sha256.startswith(settings.bundle))
    champion = standing.champion.bundle_sha256 if standing.champion else None
    if len(found) != 1 or found == [champion]:
        what = "is the champion itself" if found == [champion] else f"fits {len(found)} bundles of {name}"
        raise SettingsError(
            f"shadow.bundle={settings.bundle} {what}",
            "the first digits of another bundle that was not retired",
            f"See `sortline models history {name}`.",
        )
    return found[0]


def shadow_beside(
    registry: Registry,
    name: str,
    sha256: str,
    run: tuple[Path, pa.Table],
    settings: tuple[ShadowSettings, ScoringSettings],
    on_progress: OnProgress = no_progress,
) -> ShadowReport:
    """The report of `compare_in_shadow`, or why there is none: a candidate never fails the run that it stands beside.

    Args:
        registry: holds the candidate.
        name: of the model.
        sha256: of the candidate's bundle.
        run: the folder, and table PREDICTIONS of the run.
        settings: how many pictures; and the limits, the session and the threads of scoring.
        on_progress: told how many pictures are done.
    """
    folder, rows = run
    try:
        candidate = registry.open_bundle(name, sha256, settings[1].signature)
        _require_same_task(candidate, rows)
        return compare_in_shadow(folder, rows, candidate, settings[0].pictures, settings[1], on_progress)
    except SortlineError as error:
        return ShadowReport(candidate_sha256=sha256, failure=str(error))
    # What a candidate trips over is the candidate's; the traceback goes to the log.
    except Exception as error:
        _log.exception("candidate %s failed in the shadow", sha256[:12])
        return ShadowReport(candidate_sha256=sha256, failure=f"{type(error).__name__}: {error}")


def _require_same_task(candidate: Bundle, rows: pa.Table) -> None:
    """Refuses a candidate whose answers cannot be laid beside the champion's."""
    of_champion = set(rows["label"].drop_null().to_pylist()) - set(candidate.card.classes)
    is_multi = rows["labels"].null_count < rows.num_rows
    if of_champion or is_multi != (candidate.card.task == "multi_label"):
        found = f"the champion answers {', '.join(sorted(of_champion)[:3])}" if of_champion else "another kind of task"
        raise ContractBroken(
            f"{found}, the candidate {', '.join(candidate.card.classes[:3])} ...",
            "a candidate with the champion's classes",
            "Compare both on labelled pictures instead: `sortline train` does.",
        )
