"""Which settings the flows take, by the name of their group."""

from __future__ import annotations

from models.adaptation.settings import AdaptSettings
from models.compression.settings import CompressionSettings
from models.data.resample import ResamplingSettings
from models.data.scan import ScanSettings
from models.data.split import SplitSettings
from models.drift.settings import DriftSettings
from models.exploring.settings import ExploreSettings
from models.judging.answer_settings import AnswerSettings
from models.judging.explain_settings import ExplainSettings
from models.judging.judging_settings import JudgingSettings
from models.judging.robustness import RobustnessSettings
from models.learning.training_settings import TrainingSettings
from models.pretraining.settings import PretrainSettings
from models.review.settings import ReviewSettings
from models.serving.score import ScoringSettings
from models.serving.shadow import ShadowSettings
from models.serving.signature import SignatureSettings
from models.settings import Settings
from tasks.spread_settings import SpreadSettings
from validation.gate_settings import GateSettings
from validation.suites import ValidationSettings
from validation.verdicts import ApprovalSettings

AUDIT_GROUPS: dict[str, type[Settings]] = {"scan": ScanSettings, "validation": ValidationSettings}
TRAIN_GROUPS: dict[str, type[Settings]] = {
    **AUDIT_GROUPS,
    "split": SplitSettings,
    "resampling": ResamplingSettings,
    "training": TrainingSettings,
    "compression": CompressionSettings,
    "answers": AnswerSettings,
    "judging": JudgingSettings,
    "robustness": RobustnessSettings,
    "gate": GateSettings,
    "approval": ApprovalSettings,
}
SCORE_GROUPS: dict[str, type[Settings]] = {
    "scoring": ScoringSettings,
    "drift": DriftSettings,
    "shadow": ShadowSettings,
    "spread": SpreadSettings,
}
ADAPT_GROUPS: dict[str, type[Settings]] = {"scan": ScanSettings, "adapt": AdaptSettings}
REVIEW_GROUPS: dict[str, type[Settings]] = {"scan": ScanSettings, "review": ReviewSettings}
PRETRAIN_GROUPS: dict[str, type[Settings]] = {"scan": ScanSettings, "pretrain": PretrainSettings}
EXPLORE_GROUPS: dict[str, type[Settings]] = {"scan": ScanSettings, "explore": ExploreSettings}
DRIFT_GROUPS: dict[str, type[Settings]] = {"drift": DriftSettings}
BENCH_GROUPS: dict[str, type[Settings]] = {"scoring": ScoringSettings}
EXPLAIN_GROUPS: dict[str, type[Settings]] = {"explain": ExplainSettings, "signature": SignatureSettings}
ALL_GROUPS: dict[str, type[Settings]] = {
    **TRAIN_GROUPS,
    **SCORE_GROUPS,
    "explain": ExplainSettings,
    "adapt": AdaptSettings,
    "review": ReviewSettings,
    "pretrain": PretrainSettings,
    "explore": ExploreSettings,
}
