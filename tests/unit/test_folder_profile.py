from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.artifacts.tables import MANIFEST, table_of
from models.data.folder_profile import compare_profiles, profile_manifest


def _manifest(seed: int, rows: int, *, brightness: float = 0.5, rare_share: float = 0.2) -> pa.Table:
    rng = np.random.default_rng(seed)
    return table_of(
        [
            {
                "path": f"{k}.png",
                "status": "ok",
                "label": "rare" if rng.uniform() < rare_share else "common",
                "format": "PNG",
                "mode": "RGB",
                "width_px": 64,
                "height_px": 64,
                "size_bytes": int(rng.normal(4000, 300)),
                "brightness": rng.normal(brightness, 0.1),
                "contrast": rng.uniform(0.1, 0.3),
                "sharpness": rng.uniform(0.3, 0.6),
                "information": rng.uniform(0.5, 0.8),
            }
            for k in range(rows)
        ],
        MANIFEST,
    )


def _moved(before: pa.Table, now: pa.Table) -> list[str]:
    shifts = compare_profiles(profile_manifest(before), profile_manifest(now), effect=0.15)
    return [shift.property_name for shift in shifts]


@pytest.mark.parametrize("rows", [200, 1000])
def test_like_folders_are_alike(rows: int) -> None:
    assert [name for seed in range(20) for name in _moved(_manifest(99, 1000), _manifest(seed, rows))] == []


def test_what_moved_is_named() -> None:
    before = _manifest(0, 500)
    assert _moved(before, _manifest(1, 500, brightness=0.6)) == ["brightness"]
    assert _moved(before, _manifest(1, 500, rare_share=0.6)) == ["label"]


def test_ignored_files_and_no_files_count_as_nothing() -> None:
    before = profile_manifest(_manifest(0, 300))
    empty = profile_manifest(MANIFEST.empty_table())
    assert (empty.rows, empty.numbers["brightness"]) == (0, ())
    assert {shift.property_name for shift in compare_profiles(before, empty, 0.15)} >= {"label", "format"}
    links = table_of([{"path": "l", "status": "ignored", "reason": "symlink"}], MANIFEST)
    assert profile_manifest(pa.concat_tables([_manifest(0, 300), links])) == before
