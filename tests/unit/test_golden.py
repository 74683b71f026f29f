from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.artifacts.tables import GOLDEN, table_of
from models.data.limits import NO_LIMITS
from models.errors import ArtifactChanged
from models.serving.bundle import Bundle
from models.serving.golden import check_golden
from models.serving.picture_scorer import PictureScorer
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.verify import verify_bundle
from tests.pictures import write_inbox


def _with(golden: pa.Table, **change: object) -> pa.Table:
    first, *rest = golden.to_pylist()
    return table_of([{**first, **change}, *rest], GOLDEN)


def test_machine_that_made_the_bundle_answers_as_it_says(champion: Bundle) -> None:
    assert champion.golden.num_rows == 12
    assert check_golden(champion.golden, PictureScorer(champion.onnx_bytes, NO_LIMITS)) == 0


@pytest.mark.parametrize(
    ("digest", "words"), [("", "as it decodes them differently"), ("kept", "from the same pixels")]
)
def test_machine_that_answers_otherwise_scores_nothing(
    champion: Bundle, tmp_path: Path, digest: str, words: str
) -> None:
    first = champion.golden.to_pylist()[0]
    shifted = np.roll(first["probabilities"], 1).tolist()
    golden = _with(champion.golden, probabilities=shifted, pixels_sha256=first["pixels_sha256"] if digest else "0" * 64)
    job = ScoreJob(
        write_inbox(tmp_path / "inbox", 3, damaged=False),
        champion._replace(golden=golden),
        tmp_path / "out",
        ScoringSettings(),
    )
    with pytest.raises(ArtifactChanged, match=words):
        score_folder(job, "run")
    assert not list((tmp_path / "out").glob("**/*.parquet.part"))
    assert not list((tmp_path / "out").glob("commits/*"))


def test_verify_says_what_it_looked_at(champion: Bundle) -> None:
    checks = verify_bundle(champion.folder)
    assert [check.is_good for check in checks] == [True] * 4, checks
    assert "12 pictures" in checks[-1].found
