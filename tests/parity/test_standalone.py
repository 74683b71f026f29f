"""A model file is enough: the documentation's example scores as Sortline does, without any of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.data.limits import NO_LIMITS
from models.serving.bundle import Bundle
from models.serving.picture_scorer import PictureScorer

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "score_alone.py"
# Refuses what the example must not need, whatever is installed.
RUN = """
import sys, runpy
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'models', 'tasks', 'flows', 'validation', 'torch', 'onnx', 'prefect', 'pyarrow'}:
            raise ImportError(f'{name} is not to be needed')
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_example_scores_golden_pictures_as_the_bundle_says(champion: Bundle, tmp_path: Path) -> None:
    names = []
    for position, data in enumerate(champion.golden["picture"].to_pylist()):
        names.append(str(tmp_path / f"{position:02}"))
        Path(names[-1]).write_bytes(data)
    command = [sys.executable, "-I", "-c", RUN, str(EXAMPLE), str(champion.folder / "model.onnx"), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == names
    found = [[row[name] for name in champion.card.classes] for row in rows]
    assert found == [pytest.approx(row, abs=1e-5) for row in champion.golden["probabilities"].to_pylist()]


def test_golden_pictures_are_real_ones_in_many_forms(champion: Bundle, tmp_path: Path) -> None:
    from PIL import Image

    modes = set()
    for position, data in enumerate(champion.golden["picture"].to_pylist()):
        path = tmp_path / f"{position}"
        path.write_bytes(data)
        with Image.open(path) as picture:
            modes.add((picture.format, picture.mode))
        assert PictureScorer(champion.onnx_bytes, NO_LIMITS).score(path).status == "ok"
    assert {mode for _, mode in modes} >= {"RGB", "L", "P", "RGBA", "CMYK", "I;16", "1"}
    assert {kind for kind, _ in modes} >= {"PNG", "JPEG", "BMP", "TIFF", "WEBP"}
