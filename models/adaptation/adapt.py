"""A champion and pictures of a site to a site file, and whether it has earned its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.adaptation.case import Case, base_logits, half, labelled_rows, site_case
from models.adaptation.held_out import HeldOut, balanced_accuracy, choose_head, sureness
from models.adaptation.settings import AdaptSettings
from models.adaptation.site_head import Floats, Rows, SiteHead, untaught_head
from models.adaptation.site_pictures import SitePictures
from models.adaptation.tail import Tail
from models.artifacts.judging_records import AnswerRules
from models.artifacts.site_records import SiteClass, SiteProof, SiteRecord
from models.artifacts.tables import EVALUATION, table_of
from models.data.limits import NO_LIMITS
from models.data.look import Look
from models.drift.without_labels import estimated_mix
from models.judging.conformal import class_thresholds
from models.learning.evaluation_rows import class_positions
from models.serving.bundle import Bundle
from models.serving.class_prior import softmax
from models.serving.golden import golden_files, golden_table
from models.serving.picture_scorer import PictureScorer
from models.serving.site_file import SiteFile, SiteNumbers
from models.serving.site_graph import with_site
from models.version import __version__

_BASELINE_ROWS = 300
_LEAST_FOR_MIX = 100


class Adaptation(NamedTuple):
    """A site file that is not written yet, and whether it may score.

    Attributes:
        reason: of the decision, in one sentence.
    """

    site: SiteFile
    is_accepted: bool
    reason: str


def adapt(bundle: Bundle, pictures: SitePictures, name: str, settings: AdaptSettings) -> Adaptation:
    """The adaptation of a champion to a site.

    Args:
        bundle: the champion.
        pictures: of the site.
        name: of the site.
        settings: how.

    Raises:
        SettingsError: the champion cannot be adapted, or classes to leave out that make no sense.
        DataError: a class with too few labelled pictures, or too few pictures in all.
    """
    case = site_case(bundle, pictures, settings)
    rows = labelled_rows(case)
    held = choose_head(rows, settings) if len(rows.class_index) else None
    head = held.head if held else untaught_head(len(case.classes), case.features.shape[1])
    proof = _proof(case, rows, held, settings) if held else None
    learned_prior = _learned_prior(case, held)
    mix = _mix(case, head, learned_prior)
    wanted = np.array(mix) if settings.class_prior == "estimated" and mix else learned_prior
    record = SiteRecord(
        site=name,
        model_name=bundle.card.name,
        bundle_sha256=bundle.sha256,
        classes=case.classes,
        base_classes=bundle.card.classes,
        method="head" if held else "aligned",
        is_aligned=case.is_aligned,
        base_share=head.base_share,
        penalty=held.recipe.penalty if held else None,
        temperature=head.temperature,
        labelled_rows=len(rows.class_index),
        rows=len(pictures.labels),
        score_prior=tuple(map(float, wanted)),
        estimated_prior=mix,
        proof=proof,
        rules=_rules(case, rows, held, np.log(wanted / learned_prior)),
        sortline_version=__version__,
    )
    numbers = _numbers(case, head, np.log(wanted / learned_prior))
    return Adaptation(_completed(case, record, numbers), *_decision(record, settings))


def _proof(case: Case, rows: Rows, held: HeldOut, settings: AdaptSettings) -> SiteProof:
    labels = [label for label in case.pictures.labels if label is not None]
    positions = case.pictures.labelled
    answered = case.tail.run(case.pictures.embeddings[positions], "probabilities").argmax(1)
    base = np.array([case.bundle.card.classes[k] for k in answered]) == np.array(labels)
    adapted = held.right_share(rows.class_index)
    return SiteProof(
        rows=len(labels),
        base=balanced_accuracy(rows.class_index, base),
        adapted=balanced_accuracy(rows.class_index, adapted),
        sureness=sureness(rows.class_index, base, adapted, settings.seed),
        least_sureness=settings.least_sureness,
        classes=tuple(
            SiteClass(
                label=case.classes[k],
                rows=int((rows.class_index == k).sum()),
                base=float(base[rows.class_index == k].mean()),
                adapted=float(adapted[rows.class_index == k].mean()),
                is_new=case.classes[k] not in case.bundle.card.classes,
            )
            for k in np.unique(rows.class_index).tolist()
        ),
    )


def _learned_prior(case: Case, held: HeldOut | None) -> Floats:
    """(K,) the shares of the classes that scores are right for, before anything is known of the site's own."""
    if held is not None:
        return np.full(len(case.classes), 1 / len(case.classes))
    known = case.bundle.card.classes
    counts = np.bincount(class_positions(case.bundle.baseline, known), minlength=len(known)) + 1.0
    kept = np.array([counts[known.index(label)] for label in case.classes])
    return np.asarray(kept / kept.sum())


def _mix(case: Case, head: SiteHead, prior: Floats) -> tuple[float, ...]:
    """Likely shares of the classes among all pictures of the site; empty where they are too few to tell."""
    count = len(case.pictures.labels)
    if count < _LEAST_FOR_MIX:
        return ()
    rows = Rows(case.features, base_logits(case, np.arange(count)), np.zeros(count, dtype=np.int64))
    return tuple(map(float, estimated_mix(softmax(head.logits(rows) / head.temperature), prior)))


def _rules(case: Case, rows: Rows, held: HeldOut | None, prior_shift: Floats) -> AnswerRules | None:
    """Sets of classes by held-out pictures of the site; the limit of risk and what tells foreign ones stay."""
    rules = case.bundle.card.answers
    if rules is None:
        return None
    if held is None:
        kept = tuple(t for t in rules.thresholds if t.label in case.classes)
        return rules.model_copy(update={"thresholds": kept})
    scores = softmax(held.logits[0] / held.head.temperature + prior_shift)
    thresholds = class_thresholds(rows.class_index, scores, case.classes, rules.target_coverage)
    own = {"thresholds": thresholds, "calibration_rows": len(scores), "risk_coverage": (), "risk_bound": None}
    return rules.model_copy(update=own)


def _numbers(case: Case, head: SiteHead, prior_shift: Floats) -> SiteNumbers:
    """The head on moved embeddings, with its temperature and the mix of classes folded in."""
    weight = half(head.weight / case.sd / head.temperature)
    bias = (head.bias / head.temperature) - weight @ case.mean + prior_shift
    return SiteNumbers(
        gain=case.gain.astype(np.float32),
        shift=case.shift.astype(np.float32),
        base_weight=(head.base_share * case.base_weight / head.temperature).astype(np.float32),
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32),
        golden=np.zeros((0, len(case.classes)), dtype=np.float32),
    )


def _completed(case: Case, record: SiteRecord, numbers: SiteNumbers) -> SiteFile:
    """The site file with what the adapted model answers to golden pictures and to those of the site."""
    bundle, pictures = case.bundle, case.pictures
    served = with_site(bundle.onnx_bytes, bundle.card, SiteFile(record, numbers, table_of([], EVALUATION)))
    answers = golden_table(golden_files(bundle.golden), PictureScorer(served, NO_LIMITS))["probabilities"].to_pylist()
    kept = np.sort(np.random.default_rng(0).permutation(len(pictures.labels))[:_BASELINE_ROWS])
    found = Tail(served).run_all(pictures.embeddings[kept])
    rows = [
        {
            **dict(zip(Look._fields, look, strict=True)),
            "width_px": int(look[-2]),
            "height_px": int(look[-1]),
            "probabilities": found["probabilities"][k],
            "ood_score": found["ood_score"][k] if "ood_score" in found else None,
        }
        for k, look in enumerate(pictures.looks[kept].tolist())
    ]
    golden = np.array(answers, dtype=np.float32)
    return SiteFile(record, numbers._replace(golden=golden), table_of(rows, EVALUATION))


def _decision(record: SiteRecord, settings: AdaptSettings) -> tuple[bool, str]:
    proof = record.proof
    if proof is None:
        told = f"no labelled pictures of {record.site}: nothing shows that it is better"
        return settings.without_proof, f"{told}; taken as asked" if settings.without_proof else told
    numbers = f"balanced accuracy {proof.base:.3f} to {proof.adapted:.3f} on {proof.rows} held-out pictures"
    sure = f"better in {proof.sureness:.0%} of resamples, {proof.least_sureness:.0%} asked for"
    return proof.is_better, f"{record.site}: {numbers}, {sure}"
