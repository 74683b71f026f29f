"""Tries smaller models in the place of the exported one; the fastest that keeps the budget is served."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from models.artifacts.records import Candidate, ModelCard, Variant
from models.compression.float16 import half_precision
from models.compression.graph import convolutions
from models.compression.prune import pruned
from models.compression.quantise import IntegerMaker, prepared
from models.compression.refit_head import refit_head
from models.compression.settings import CompressionSettings
from models.errors import TrainingStopped
from models.learning.metrics import confusion_counts, objective_value
from models.learning.multi_label_metrics import given_labels, multi_label_objective
from models.parallel import map_in_threads
from models.serving.lint import lint_model
from models.serving.model_file import bytes_of, metadata_of
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession

# The first layers see the least of each picture and spoil the most behind them.
_FLOAT_CONVOLUTIONS = (0, 1, 2, 4, 8)
_ROUNDS, _ROUND_S = 7, 0.25
_REASON_LENGTH = 200
# Enough to tell 0.97 from less; every candidate answers all of them.
TUNE_ROWS = 2000
_log = logging.getLogger(__name__)
Pixels = NDArray[np.uint8]


class Pictures(NamedTuple):
    """What candidates are made and judged with.

    Attributes:
        train: (N, H, W, 3) uint8, in random order.
        tune: (M, H, W, 3) uint8.
        targets: (M, K) of tune, 1 where a class applies.
    """

    train: Pixels
    tune: Pixels
    targets: NDArray[np.float32]


class Made(NamedTuple):
    """A model to be judged, and the pictures of tune as its contract makes them."""

    onnx_bytes: bytes
    tune: Pixels


class Attempt(NamedTuple):
    """A model that can be made.

    Attributes:
        family: attempts of one family come fastest first; behind one that was timed the rest are left out.
        make: is called once it is its turn.
    """

    variant: Variant
    family: str
    detail: str
    make: Callable[[], Made]


class Answers(NamedTuple):
    """(N, K) probabilities and (N, D) embeddings."""

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def compress(
    onnx_bytes: bytes, pictures: Pictures, settings: CompressionSettings, more: Iterable[Attempt] = ()
) -> bytes:
    """ONNX bytes of the model to serve: the fastest within the budget, or the exported one; its card says why.

    Args:
        onnx_bytes: the exported model.
        pictures: what candidates are made and judged with.
        settings: what is tried, and the budget.
        more: attempts that others make, such as students; they are asked for one by one.
    """
    judge = _Judge(onnx_bytes, pictures, settings)
    passed: list[tuple[Candidate, bytes]] = []
    refused: list[Candidate] = []
    timed: set[str] = set()
    for attempt in _attempts(judge, more):
        if attempt.family in timed:
            continue
        candidate, made = _tried(judge, attempt)
        if made is not None and not candidate.reason:
            passed.append((candidate, made))
        else:
            refused.append(candidate)
        timed |= {attempt.family} if candidate.speedup is not None else set()
    return _served(onnx_bytes, passed, refused)


def _tried(judge: _Judge, attempt: Attempt) -> tuple[Candidate, bytes | None]:
    """What became of an attempt; one that fails costs itself, not the model that it would have replaced."""
    try:
        made = attempt.make()
        lint_model(made.onnx_bytes)
        return judge.judged(attempt, made), made.onnx_bytes
    except (MemoryError, TrainingStopped):
        raise
    # Quantizers, onnxruntime and networks fail with errors of every kind.
    except Exception as error:
        _log.warning("candidate %s failed", attempt.variant, exc_info=True)
        reason = f"it could not be made: {str(error).partition(chr(10))[0][:_REASON_LENGTH]}"
        return Candidate(variant=attempt.variant, detail=attempt.detail, is_served=False, reason=reason), None


class _Judge:
    """Compares candidates with the exported model."""

    def __init__(self, onnx_bytes: bytes, pictures: Pictures, settings: CompressionSettings) -> None:
        self.onnx_bytes, self.pictures, self.settings = onnx_bytes, pictures, settings
        self.card = card_of(onnx_bytes)
        self.session = ImageSession(onnx_bytes)
        self.answers = answers_of(self.session, pictures.tune)
        self.train_answers = answers_of(self.session, pictures.train)

    def judged(self, attempt: Attempt, made: Made) -> Candidate:
        """What was found of an attempt; `reason` is empty where it may be served."""
        session = ImageSession(made.onnx_bytes)
        found = answers_of(session, made.tune)
        candidate = Candidate(
            variant=attempt.variant,
            detail=attempt.detail,
            is_served=False,
            agreement=float(self._kept(found).mean()),
            objective=self._objective(found),
            drop=self._objective(self.answers) - self._objective(found),
            size_bytes=len(made.onnx_bytes),
            reason="",
        )
        reason = self._over_budget(candidate)
        if reason:
            return candidate.model_copy(update={"reason": reason})
        speedup = speed_ratio(self.session, self.pictures.tune[0], session, made.tune[0])
        slow = f"{speedup:.2f} times as fast here, below {self.settings.min_speedup:.2f}"
        return candidate.model_copy(
            update={"speedup": speedup, "reason": slow if speedup < self.settings.min_speedup else ""}
        )

    def _over_budget(self, candidate: Candidate) -> str:
        limits, agreement, drop = self.settings, candidate.agreement or 0.0, candidate.drop or 0.0
        if agreement < limits.min_agreement:
            return f"keeps {agreement:.3f} of the answers on tune, below {limits.min_agreement:.3f}"
        # Not `drop > limit`, so that NaN does not pass.
        if not drop <= limits.max_drop:
            return f"loses {drop:.3f} of {self.card.correction.objective_name} on tune, above {limits.max_drop:.3f}"
        return ""

    def _kept(self, found: Answers) -> NDArray[np.bool_]:
        if self.card.task == "multi_label":
            return np.asarray((given_labels(found.probabilities) == given_labels(self.answers.probabilities)).all(1))
        return np.asarray(found.probabilities.argmax(1) == self.answers.probabilities.argmax(1))

    def _objective(self, answers: Answers) -> float:
        name, targets = self.card.correction.objective_name, self.pictures.targets
        if self.card.task == "multi_label":
            return multi_label_objective(targets > 0, given_labels(answers.probabilities), name)
        true, predicted = targets.argmax(1), answers.probabilities.argmax(1)
        return float(objective_value(confusion_counts(true, predicted, targets.shape[1]), name))


def answers_of(session: ImageSession, pixels: Pixels) -> Answers:
    """What a model says of pictures, one a call, as they are served."""
    names = ("probabilities", "embedding")
    found = list(map_in_threads(lambda picture: session.run(picture, names), pixels))
    return Answers(*(np.stack([row[name] for row in found]) for name in names))


def speed_ratio(before: ImageSession, pixels: Pixels, after: ImageSession, other_pixels: Pixels) -> float:
    """How many times as many pictures a second `after` answers, as the median of rounds that take turns."""
    calls = max(int(_ROUND_S / _seconds(before, pixels, 3)), 1)
    return statistics.median(
        _seconds(before, pixels, calls) / _seconds(after, other_pixels, calls) for _ in range(_ROUNDS)
    )


def _seconds(session: ImageSession, pixels: Pixels, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        session.run(pixels, ("probabilities",))
    return (time.perf_counter() - started) / calls


def _attempts(judge: _Judge, more: Iterable[Attempt]) -> Iterator[Attempt]:
    settings, calibration = judge.settings, judge.pictures.train[: judge.settings.calibration_rows]
    whole = _Graph(lambda: prepared(judge.onnx_bytes), calibration)
    smaller = _Graph(lambda: pruned(whole.model, calibration, settings.prune_share), calibration)
    said = f"without {settings.prune_share:.0%} of the channels inside blocks"
    if settings.int8:
        yield from _integer_attempts(judge, whole, "int8", "")
    if settings.prune_share and settings.int8:
        yield from _integer_attempts(judge, smaller, "pruned", f"{said}, in integers")
    if settings.prune_share:
        yield Attempt("pruned", "pruned", said, lambda: _with_own_head(judge, bytes_of(smaller.model)))
    if settings.float16:
        yield Attempt("float16", "float16", "", lambda: Made(half_precision(judge.onnx_bytes), judge.pictures.tune))
    yield from more


class _Graph:
    """A graph with folded norms and the maker of integers from it, each made once it is asked for."""

    def __init__(self, make: Callable[[], onnx.ModelProto], calibration: Pixels) -> None:
        self._make, self._calibration = make, calibration

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph itself."""
        return self._make()

    @cached_property
    def integers(self) -> IntegerMaker:
        """The maker of integers from it."""
        return IntegerMaker(self.model, self._calibration)


def _integer_attempts(judge: _Judge, graph: _Graph, variant: Variant, said: str) -> Iterator[Attempt]:
    # Counted in the exported model: preparing it may fail, and that is for an attempt to do.
    total = len(convolutions(onnx.load_from_string(judge.onnx_bytes).graph))
    for count in (n for n in _FLOAT_CONVOLUTIONS if n < total):
        kept = f"all but the first {count} of {total} convolutions" if count else ""
        yield Attempt(
            variant,
            f"{variant} in integers",
            ", ".join(filter(None, (said, kept))),
            lambda count=count: _with_own_head(judge, graph.integers.make(count)),  # type: ignore[misc]
        )


def _with_own_head(judge: _Judge, onnx_bytes: bytes) -> Made:
    """A model whose head is fitted to what its embeddings have become."""
    given = answers_of(ImageSession(onnx_bytes), judge.pictures.train).embeddings
    return Made(refit_head(onnx_bytes, judge.train_answers.embeddings, given), judge.pictures.tune)


def _served(onnx_bytes: bytes, passed: list[tuple[Candidate, bytes]], refused: list[Candidate]) -> bytes:
    """The fastest that passed, or the exported model, with what became of all in its card."""
    best, data = max(passed, key=lambda pair: pair[0].speedup or 0.0, default=(None, onnx_bytes))
    card = card_of(data)
    told = [
        candidate.model_copy(
            update={
                "is_served": candidate is best,
                "reason": "the fastest within the budget" if candidate is best else "another one is faster",
            }
        )
        for candidate, _ in passed
    ]
    update = {"variant": best.variant if best else "float", "candidates": (*told, *refused)}
    return with_card(data, card.model_copy(update=update))


def with_card(onnx_bytes: bytes, card: ModelCard) -> bytes:
    """The same graph with another card."""
    model = onnx.load_from_string(onnx_bytes)
    del model.metadata_props[:]
    helper.set_model_props(model, metadata_of(card, model.opset_import[0].version))
    return bytes_of(model)
