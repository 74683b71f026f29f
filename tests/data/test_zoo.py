"""Every awkward file has the verdict that it is owed, in the scan and in scoring, and spoils no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.data.decode import decode_rgb, read_picture
from models.data.limits import DecodeLimits
from models.data.listing import file_name, listing_table
from models.data.scan import ScanSettings, scan_folder
from models.errors import UnreadableImage
from models.serving.bundle import Bundle
from models.serving.commit import OutputStore
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests import zoo_formats
from tests.conftest import NOW
from tests.zoo import ORIENTED, animals, write_zoo

Verdicts = dict[str, tuple[str, str | None]]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verdicts]:
    """The folder, and the verdict that each of its files is owed."""
    folder = tmp_path_factory.mktemp("zoo")
    return folder, write_zoo(folder)


def _differences(found: Verdicts, owed: Verdicts) -> Verdicts:
    return {name: verdict for name, verdict in found.items() if owed[name] != verdict}


def test_zoo_is_large_enough() -> None:
    assert len(animals()) >= 60
    assert len({animal.status for animal in animals()}) >= 4


def test_scan_gives_every_file_its_row_and_the_verdict_it_is_owed(zoo: tuple[Path, Verdicts]) -> None:
    folder, owed = zoo
    rows = scan_folder(folder, listing_table(folder), ScanSettings(layout="flat")).to_pylist()
    found = {file_name(row): (row["status"], row["reason"]) for row in rows}
    assert len(rows) == len(found)
    assert found.keys() == owed.keys()
    assert _differences(found, owed) == {}


def test_scoring_gives_the_same_verdicts(zoo: tuple[Path, Verdicts], champion: Bundle, tmp_path: Path) -> None:
    folder, owed = zoo
    summary = score_folder(ScoreJob(folder, champion, tmp_path / "out", ScoringSettings()), "run", lambda: NOW)
    rows = OutputStore(tmp_path / "out").read().to_pylist()
    found = {file_name(row): (row["status"], row["reason"]) for row in rows}
    assert summary.files == len(rows) == len(owed)
    assert found.keys() == owed.keys()
    assert _differences(found, owed) == {}


@pytest.mark.parametrize("name", ORIENTED)
def test_picture_is_upright_however_it_is_stored(zoo: tuple[Path, Verdicts], name: str) -> None:
    upright = np.asarray(zoo_formats.base_picture()).astype(int)
    found = np.asarray(read_picture(zoo[0] / name, DecodeLimits()).rgb).astype(int)
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() < 12


def test_verdict_of_scan_is_that_of_training() -> None:
    """What the scan lets in, training can decode, and what it does not let in, training cannot."""
    for animal in animals():
        if animal.reason in ("empty_file", "too_many_bytes"):
            continue
        try:
            decode_rgb(animal.data, DecodeLimits().max_pixels)
            found: tuple[str, str | None] = ("ok", None)
        except UnreadableImage as error:
            found = (error.status, error.reason)
        assert found == (animal.status, animal.reason), animal.name
