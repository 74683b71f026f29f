"""Sealed records of what a model was adapted to at one site, and how that was judged."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.artifacts.judging_records import AnswerRules

# aligned: only the spread of the embeddings is the site's; head: answers are learned from its labels too.
SiteMethod = Literal["aligned", "head"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class SiteClass(_Record):
    """Recall of one class on the site's labelled pictures, each answered by heads that had not seen it.

    Attributes:
        base: of the champion as it is; 0 for a class that it does not know.
    """

    label: str
    rows: int
    base: float
    adapted: float
    is_new: bool = False


class SiteProof(_Record):
    """Champion and adaptation on the same labelled pictures of the site, none of them seen by the head that answers.

    Attributes:
        base: balanced accuracy of the champion as it is.
        adapted: balanced accuracy of the adaptation.
        sureness: share of resamples of the pictures in which the adaptation is better.
        least_sureness: what was asked for.
    """

    rows: int
    base: float
    adapted: float
    sureness: float
    least_sureness: float
    classes: tuple[SiteClass, ...]

    @property
    def is_better(self) -> bool:
        """Whether the adaptation earned its place."""
        return self.adapted > self.base and self.sureness >= self.least_sureness


class SiteRecord(_Record):
    """What an adaptation is, beside its numbers.

    Attributes:
        bundle_sha256: of the champion that it belongs to.
        base_classes: of the champion.
        is_aligned: whether embeddings are brought to the spread that the champion knows.
        base_share: how much of the champion's logits is in the answers, 0..1.
        penalty: on the site's own weights; null where there are none.
        score_prior: (K,) shares of the classes that scores are right for.
        estimated_prior: (K,) likely shares among all pictures of the site; empty where they were too few.
        proof: null where the site had too few labels for one.
        rules: when it gives several classes, or none.
    """

    schema_version: Literal[1] = 1
    site: str
    model_name: str
    bundle_sha256: str
    classes: tuple[str, ...]
    base_classes: tuple[str, ...]
    method: SiteMethod
    is_aligned: bool
    base_share: float
    penalty: float | None = None
    temperature: float = 1.0
    labelled_rows: int
    rows: int
    score_prior: tuple[float, ...]
    estimated_prior: tuple[float, ...] = ()
    proof: SiteProof | None = None
    rules: AnswerRules | None = None
    sortline_version: str

    @property
    def new_classes(self) -> tuple[str, ...]:
        """Classes that the champion does not know."""
        return tuple(label for label in self.classes if label not in self.base_classes)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Classes of the champion that the site does not have."""
        return tuple(label for label in self.base_classes if label not in self.classes)


class SiteReport(_Record):
    """What became of one adaptation.

    Attributes:
        site_sha256: digest of the site file.
        size_bytes: of the site file.
        reason: of the decision.
        elapsed_s: seconds of adapting, once the pictures have been looked at.
        page: path of the page about it.
    """

    record: SiteRecord
    is_accepted: bool
    reason: str
    site_sha256: str
    size_bytes: int
    elapsed_s: float
    path: str
    page: str
