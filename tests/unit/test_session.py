from __future__ import annotations

import numpy as np
import pytest

from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.session import ImageSession, SessionSettings


def test_absent_provider_is_refused_unless_another_is_allowed(champion: Bundle) -> None:
    with pytest.raises(SettingsError, match=r"provider openvino is not in this onnxruntime .*CPUExecutionProvider"):
        ImageSession(champion.onnx_bytes, SessionSettings(provider="openvino"))
    session = ImageSession(champion.onnx_bytes, SessionSettings(provider="openvino", allow_fallback=True))
    assert session.provider == "cpu"


def test_best_classes_and_the_risk_are_in_the_graph(champion: Bundle) -> None:
    preprocess = champion.card.preprocess
    pixels = np.random.default_rng(0).integers(
        0, 256, (7, preprocess.height_px, preprocess.width_px, 3), dtype=np.uint8
    )
    found = ImageSession(champion.onnx_bytes).run_block(pixels)
    probabilities = found["probabilities"]
    assert (found["top_classes"] == np.argsort(-probabilities, axis=1, kind="stable")).all()
    assert (found["top_scores"] == np.take_along_axis(probabilities, found["top_classes"], 1)).all()
    assert found["abstention"] == pytest.approx(1 - probabilities.max(1))
    assert found["embedding"].shape[0] == 7
