"""The answers in a served graph are those of its rules, and reach the table of predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

from models.data.limits import NO_LIMITS
from models.serving.answer_graph import with_answers
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.lint import lint_model
from models.serving.picture_scorer import PictureScorer
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.conftest import NOW
from tests.pictures import draw, write_inbox


def test_answers_follow_the_rules_in_the_card(champion: Bundle) -> None:
    fitted = champion.card.answers
    assert fitted is not None
    needed = np.array([0.0, 0.3, 0.5])
    thresholds = tuple(
        t.model_copy(update={"threshold": least}) for t, least in zip(fitted.thresholds, needed.tolist(), strict=True)
    )
    rng = np.random.default_rng(0)
    pictures = [champion.card.preprocess.apply(draw("side", rng)) for _ in range(20)]
    soft = _softened(champion.onnx_bytes)
    plain = PictureScorer(soft, NO_LIMITS)
    risks = [1 - float(plain.answers(picture).probabilities.max()) for picture in pictures]
    limit = float(np.sort(risks)[-5:].mean())
    rules = fitted.model_copy(update={"max_abstention": limit, "thresholds": thresholds})
    card = champion.card.model_copy(update={"answers": rules})
    scorer = PictureScorer(with_answers(soft, card, None, None), NO_LIMITS)
    abstained = []
    for picture, risk in zip(pictures, risks, strict=True):
        answers = scorer.answers(picture)
        assert answers.prediction_set is not None
        assert answers.prediction_set.tolist() == (answers.probabilities >= needed).tolist()
        assert answers.abstained == (risk > limit + 1e-6)
        abstained.append(answers.abstained)
    assert 0 < abstained.count(True) < 5


def test_pictures_of_another_kind_are_foreign_and_most_known_ones_are_not(
    champion: Bundle, labelled: Path, tmp_path: Path
) -> None:
    scorer, rng = PictureScorer(champion.onnx_bytes, NO_LIMITS), np.random.default_rng(0)
    known = [scorer.score(labelled / path).answers for path in champion.baseline["path"].to_pylist()]
    Image.fromarray(rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(tmp_path / "noise.png")
    Image.fromarray(np.full((90, 90, 3), (255, 0, 255), dtype=np.uint8)).save(tmp_path / "pink.png")
    foreign = [scorer.score(tmp_path / name).answers for name in ("noise.png", "pink.png")]
    assert all(found is not None and found.ood_score is not None and found.ood_score > 1 for found in foreign)
    assert np.mean([found is not None and (found.ood_score or 0) > 1 for found in known]) < 0.25


def test_predictions_carry_the_answers_and_the_summary_counts_them(champion: Bundle, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 9, damaged=True)
    summary = score_folder(ScoreJob(inbox, champion, tmp_path / "out", ScoringSettings()), "run", lambda: NOW)
    rows = OutputStore(tmp_path / "out").read().to_pylist()
    good, bad = ([row for row in rows if (row["status"] == "ok") == is_good] for is_good in (True, False))
    assert all(row["prediction_set"] is None and row["abstained"] is None for row in bad)
    assert all(row["label"] in row["prediction_set"] or not row["prediction_set"] for row in good)
    assert summary.abstained == sum(row["abstained"] for row in good)
    assert summary.foreign == sum(row["ood_score"] > 1 for row in good)


def test_model_without_rules_leaves_the_columns_null(champion: Bundle, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(champion.golden["picture"].to_pylist()[0])
    plain = with_answers(champion.onnx_bytes, champion.card.model_copy(update={"answers": None}), None, None)
    answers = PictureScorer(plain, NO_LIMITS).score(tmp_path / "p.png").answers
    assert answers is not None
    assert (answers.prediction_set, answers.abstained, answers.ood_score) == (None, None, None)


def test_answering_model_is_one_that_lint_accepts(champion: Bundle) -> None:
    lint_model(champion.onnx_bytes)


def _softened(onnx_bytes: bytes) -> bytes:
    """The model with a hundredth of its logits: a trained one is as good as sure of all that is drawn here."""
    model = onnx.load_from_string(onnx_bytes)
    last = next(node for node in model.graph.node if "probabilities" in node.output).input[0]
    for weight in model.graph.initializer:
        if weight.name.startswith(f"{last}_"):
            values = numpy_helper.to_array(weight) / 100
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))
    data: bytes = model.SerializeToString()
    return data
