"""How a folder is scored."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from models.data.isolation import IsolationSettings
from models.data.limits import DecodeLimits
from models.serving.session import SessionSettings
from models.serving.signature import SignatureSettings
from models.settings import Settings

SITE_PATTERN = r"([a-z0-9][a-z0-9-]{0,62})?"


class ScoringSettings(Settings):
    """How a folder is scored."""

    limits: DecodeLimits = Field(default=DecodeLimits(), title="Limits", description="What one file may cost.")
    isolation: IsolationSettings = Field(
        default=IsolationSettings(), title="Isolation", description="The processes in which odd files are decoded."
    )
    shard_rows: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Files that are written together; an interrupted run repeats at most so many.",
        title="Shard",
    )
    commit_seconds: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="Finished parts are committed at least so often, and are visible from then on.",
        title="Commit every",
    )
    settle_seconds: float = Field(
        default=10,
        ge=0,
        le=86_400,
        description="A file written less than so long ago may still be being copied. It is waited for once, at the end "
        "of the run; if it was written again by then, it is left for the next run.",
        title="Settle time",
    )
    max_bad_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A folder of which a larger share of files cannot be scored fails the run, with all rows kept; "
        "asked from 20 files on.",
        title="Bad share",
    )
    max_bad_files: int = Field(
        default=0,
        ge=0,
        description="A folder with more files that cannot be scored fails the run, with all rows kept; 0: no limit.",
        title="Bad files",
    )
    threads: int = Field(default=0, ge=0, le=256, description="0: all cores this process may use.", title="Threads")
    processes: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that share the threads; 0: one, and another for every 16 threads more.",
        title="Processes",
    )
    session: SessionSettings = Field(default=SessionSettings(), title="Session", description="What runs the model.")
    signature: SignatureSettings = Field(
        default=SignatureSettings(), title="Signature", description="Whose bundles are believed."
    )
    autotune: bool = Field(
        default=True,
        title="Autotune",
        description="Measure once a machine what runs fastest, where many files are scored on the CPU; takes seconds.",
    )
    top_k: int = Field(default=3, ge=1, le=100, description="Classes kept a row, best first.", title="Top k")
    probabilities: Literal["none", "all"] = Field(
        default="none",
        title="Probabilities",
        description="all: every row has the scores of all classes, in their order.",
    )
    class_prior: tuple[str, ...] = Field(
        default=(),
        title="Class prior",
        description="Shares of the classes that are expected in the folder, as good=0.9,broken=0.1; scores are "
        "corrected to them. Empty: as among the test pictures.",
    )

    site: str = Field(
        default="",
        pattern=SITE_PATTERN,
        title="Site",
        description="Site whose adaptation answers, as `sortline adapt` made it; empty: the champion as it is.",
    )

    @property
    def rows_digest(self) -> str:
        """Hex sha256 of what decides how rows look; an open plan is finished only under the settings it began with."""
        decides = self.model_dump_json(include={"limits", "top_k", "probabilities", "class_prior"})
        return hashlib.sha256(decides.encode()).hexdigest()
