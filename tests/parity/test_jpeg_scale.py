"""A JPEG is decoded at the scale that the contract names, wherever it is; contracts without one stay what they were."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from models.data.decode import decode_rgb, picture_of
from models.data.inspection import Request
from models.data.isolated_pictures import PicturePool
from models.data.isolation import IsolationSettings
from models.data.limits import DecodeLimits
from models.data.preprocess import JpegScale, Preprocess
from models.learning.embed import load_pixels
from models.learning.training_settings import TrainingSettings
from models.networks.registry import Build
from tests.pictures import encode, textured

LIMIT = 10**9


@pytest.mark.parametrize(
    ("scale", "side_px", "decoded_px"),
    [
        ("full", 400, 400),
        ("at_least_2x", 400, 100),  # an eighth would be 50, below 2 x 40
        ("at_least_3x", 400, 200),
        ("at_least_2x", 159, 159),  # 159 has no 80 twice
        ("at_least_3x", 100, 100),
    ],
)
def test_scale_is_the_smallest_that_leaves_enough(scale: JpegScale, side_px: int, decoded_px: int) -> None:
    preprocess = Preprocess(width_px=40, height_px=40, jpeg_scale=scale)
    data = encode(textured(1, side_px).convert("RGB"), "JPEG", quality=90)
    assert decode_rgb(data, LIMIT, preprocess.draft_px)[0].size == (decoded_px, decoded_px)
    png = encode(textured(1, side_px).convert("RGB"), "PNG")
    assert decode_rgb(png, LIMIT, preprocess.draft_px)[0].size == (side_px, side_px), "only JPEGs can"


def test_training_scoring_and_worker_see_the_same_pixels(tmp_path: Path) -> None:
    preprocess = Build(0, 40, 3, TrainingSettings(jpeg_scale="at_least_2x").jpeg_scale).preprocess
    path = tmp_path / "large.jpg"
    path.write_bytes(encode(textured(2, 500).convert("RGB"), "JPEG", quality=90))
    found = path.stat()
    scored = preprocess.apply(picture_of(path.read_bytes(), LIMIT, preprocess.draft_px).rgb)
    trained = load_pixels(path, hashlib.sha256(path.read_bytes()).hexdigest(), preprocess)
    with PicturePool(tmp_path, DecodeLimits(), IsolationSettings(workers=1), preprocess) as pool:
        (prepared,) = pool.ask([Request("large.jpg", found.st_size, found.st_mtime_ns)])
    assert prepared.pixels is not None
    assert np.array_equal(trained, scored)
    assert np.array_equal(prepared.pixels, scored)
    full = preprocess.apply(decode_rgb(path.read_bytes(), LIMIT)[0])
    assert not np.array_equal(full, scored), "the scale has to make a difference here"


def test_contract_without_a_scale_is_written_as_before_there_was_one() -> None:
    plain = Preprocess(width_px=224, height_px=224)
    assert "jpeg_scale" not in plain.model_dump_json()
    assert plain.digest == "93f50eb2a9a876c0cca166a2018192af8914c6f9cb3652ddb4d3321150baf17e"
    scaled = Preprocess(width_px=224, height_px=224, jpeg_scale="at_least_2x")
    assert scaled.digest != plain.digest
    assert Preprocess.model_validate_json(scaled.model_dump_json()) == scaled
