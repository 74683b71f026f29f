"""What two models say of the same pictures: where a candidate agrees with the champion, and where it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from models.artifacts.judging_records import ConfusedPair, Measure, ShadowAnswers, ShadowDifference, ShadowReport
from models.data.listing import file_name
from models.data.split import NO_CLASS
from models.parallel import OnProgress, map_in_threads, no_progress, usable_cores
from models.serving.bundle import Bundle
from models.serving.folder_counts import FOREIGN
from models.serving.golden import check_golden
from models.serving.picture_scorer import PictureScorer, Scored, prediction_row
from models.serving.scoring_settings import ScoringSettings

_SHOWN_CHANGES, _SHOWN_DIFFERENCES = 20, 24
Row = dict[str, Any]


class Asked(NamedTuple):
    """One picture with the champion's row and the candidate's."""

    champion: Row
    candidate: Row


def compare_in_shadow(
    folder: Path,
    rows: pa.Table,
    candidate: Bundle,
    most_rows: int,
    settings: ScoringSettings,
    on_progress: OnProgress = no_progress,
) -> ShadowReport:
    """What a candidate says of the pictures that the champion has answered in a run.

    Args:
        folder: where the pictures lie.
        rows: table PREDICTIONS of the run.
        candidate: checked; another bundle than the one that scored.
        most_rows: pictures that are asked about, spread evenly over the run; 0: all.
        settings: limits, session and threads.
        on_progress: told how many pictures are done.

    Raises:
        ArtifactError: it does not run here as it should.
    """
    scorer = PictureScorer(candidate.onnx_bytes, settings.limits, settings.session)
    check_golden(candidate.golden, scorer)
    answered = rows.filter(pc.equal(rows["status"], "ok"))
    entries = _spread(answered, most_rows)
    started, asked, left_out = time.monotonic(), list[Asked](), Counter[str]()

    def answer(row: Row) -> tuple[Row, Scored]:
        return row, scorer.score(folder / file_name(row))

    for done, (row, scored) in enumerate(map_in_threads(answer, entries, threads=settings.threads or usable_cores())):
        reason = _why_not(row, scored)
        if reason is None:
            asked.append(Asked(row, prediction_row(row, scored, scorer.card, settings.top_k)))
        else:
            left_out[reason] += 1
        on_progress(done + 1, len(entries))
    elapsed_s = time.monotonic() - started
    return _report(candidate, asked).model_copy(
        update={
            "left_out": dict(sorted(left_out.items())),
            "not_asked": answered.num_rows - len(entries),
            "pictures_per_s": len(entries) / elapsed_s if elapsed_s else None,
        }
    )


def _spread(answered: pa.Table, most: int) -> list[Row]:
    """Rows spread evenly over the table, in its order; all where there are no more, or `most` is 0."""
    if not most or answered.num_rows <= most:
        return list(answered.to_pylist())
    return list(answered.take([k * answered.num_rows // most for k in range(most)]).to_pylist())


def _why_not(row: Row, scored: Scored) -> str | None:
    """Why a picture does not count; None where it does."""
    if scored.answers is None:
        return scored.reason or scored.status
    return None if scored.sha256 == row["sha256"] else "changed since it was scored"


def _report(candidate: Bundle, asked: Sequence[Asked]) -> ShadowReport:
    if not asked:
        return ShadowReport(candidate_sha256=candidate.sha256, failure="no picture of this run could be asked about")
    pairs = [(_label(pair.champion), _label(pair.candidate)) for pair in asked]
    same = sum(left == right for left, right in pairs)
    interval = stats.binomtest(same, len(asked)).proportion_ci(0.95, method="wilson")
    of_class = Counter(left for left, _ in pairs)
    changed = Counter((left, right) for left, right in pairs if left != right)
    differing = sorted((pair for pair in asked if _label(pair.champion) != _label(pair.candidate)), key=_unsureness)
    return ShadowReport(
        candidate_sha256=candidate.sha256,
        rows=len(asked),
        agreement=Measure(value=same / len(asked), low=interval.low, high=interval.high, rows=len(asked)),
        champion=_answers(asked[0].champion["bundle_sha256"], [pair.champion for pair in asked]),
        candidate=_answers(candidate.sha256, [pair.candidate for pair in asked]),
        changed=tuple(
            ConfusedPair(label=left, predicted=right, rows=count, share=count / of_class[left])
            for (left, right), count in changed.most_common(_SHOWN_CHANGES)
        ),
        differences=tuple(map(_difference, differing[:_SHOWN_DIFFERENCES])),
    )


def _answers(bundle_sha256: str, rows: Sequence[Row]) -> ShadowAnswers:
    abstained = [row["abstained"] for row in rows if row["abstained"] is not None]
    foreign = [row["ood_score"] > FOREIGN for row in rows if row["ood_score"] is not None]
    return ShadowAnswers(
        bundle_sha256=bundle_sha256,
        labels=dict(sorted(Counter(chain.from_iterable(map(_labels, rows))).items())),
        mean_score=sum(row["score"] for row in rows) / len(rows),
        abstained=sum(abstained) if abstained else None,
        foreign=sum(foreign) if foreign else None,
    )


def _labels(row: Row) -> Sequence[str]:
    labels = row.get("labels")
    return [row["label"]] if labels is None else sorted(labels) or [NO_CLASS]


def _label(row: Row) -> str:
    """An answer as one text, equal where answers are."""
    return ", ".join(_labels(row))


def _unsureness(pair: Asked) -> float:
    return -float(min(pair.champion["score"], pair.candidate["score"]))


def _difference(pair: Asked) -> ShadowDifference:
    return ShadowDifference(
        path=pair.champion["path"],
        champion_label=_label(pair.champion),
        candidate_label=_label(pair.candidate),
        sureness=-_unsureness(pair),
    )
