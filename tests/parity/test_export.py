"""The same answer everywhere: torch and ONNX, alone and in a block, evaluation and scoring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from models.data.decode import read_picture
from models.data.limits import DecodeLimits
from models.data.preprocess import Preprocess
from models.errors import ExportMismatch
from models.networks.registry import Build, UprightTrunk, find_network
from models.serving.bundle import Bundle
from models.serving.export import trunk_onnx
from models.serving.lint import LintLimits, lint_model
from models.serving.parity import check_parity
from models.serving.picture_scorer import PictureScorer
from models.serving.session import ImageSession
from tests.pictures import draw


@pytest.mark.parametrize(
    ("name", "tolerance", "nodes"),
    [
        ("convnet", 1e-4, {}),
        ("efficientnet_lite0", 1e-4, {}),
        ("renet", 1e-5, {"GRU": 2}),
        ("row_lstm", 1e-5, {"LSTM": 1}),
        ("pixels", 1e-6, {}),
        ("torchvision/resnet18", 1e-4, {}),
        ("torchvision/mobilenet_v3_small", 1e-4, {}),
        ("timm/tf_efficientnet_lite0", 1e-4, {}),
    ],
)
def test_trunk_in_onnx_equals_the_trunk_in_torch_at_any_batch(
    name: str, tolerance: float, nodes: dict[str, int]
) -> None:
    network = find_network(name)
    size_px = min(network.size_px, 96)
    trunk = network.build(Build(1, size_px)).eval()
    data = trunk_onnx(trunk, size_px)
    found_nodes = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert {kind: found_nodes.count(kind) for kind in nodes} == nodes, "recurrence is unrolled"
    session = ort.InferenceSession(data)
    rng = np.random.default_rng(0)
    for rows in (1, 2, 7):
        image = rng.integers(0, 256, (rows, size_px, size_px, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = UprightTrunk(trunk)(torch.from_numpy(image)).numpy()
        (found,) = session.run(None, {"image": image})
        assert found == pytest.approx(expected, abs=tolerance * max(1.0, float(np.abs(expected).max())))
    lint_model(data, LintLimits(outputs=("embedding",)))
    assert b"/models/networks/" not in data, "the exporter's notes name folders of this machine"


def test_model_file_carries_its_contract(champion: Bundle) -> None:
    model = onnx.load_from_string(champion.onnx_bytes)
    onnx.checker.check_model(model, full_check=True)
    props = {entry.key: entry.value for entry in model.metadata_props}
    preprocess = Preprocess.model_validate_json(props["sortline.preprocess"])
    assert preprocess.digest == props["sortline.preprocess_sha256"]
    assert json.loads(props["sortline.classes"]) == list(champion.card.classes)
    assert json.loads(props["sortline.card"])["name"] == "shapes"
    names = ["probabilities", "embedding", "top_scores", "top_classes", "abstention"]
    names += ["prediction_set", "abstained", "ood_score"]
    assert [output.name for output in model.graph.output] == names


def test_probabilities_of_a_block_equal_those_of_each_picture_alone(champion: Bundle) -> None:
    rng = np.random.default_rng(0)
    preprocess = champion.card.preprocess
    pictures = [preprocess.apply(draw("round", rng)) for _ in range(7)]
    (block,) = ort.InferenceSession(champion.onnx_bytes).run(["probabilities"], {"image": np.stack(pictures)})
    alone = [ImageSession(champion.onnx_bytes).run(p)["probabilities"] for p in pictures]
    assert np.stack(alone) == pytest.approx(block, abs=1e-5)
    assert block.sum(1) == pytest.approx(1)


def test_model_that_answers_otherwise_is_not_exported(champion: Bundle) -> None:
    trunk = find_network("convnet").build(Build(1, 64))
    layers = [(np.ones((3, 192), dtype=np.float32), np.zeros(3, dtype=np.float32))]
    pictures = np.stack([champion.card.preprocess.apply(draw("side", np.random.default_rng(0)))])
    with pytest.raises(ExportMismatch, match="in batches of 1, exported probabilities differ by up to"):
        check_parity(champion.onnx_bytes, trunk, layers, pictures)


def test_scorecard_comes_from_the_served_file_and_loader(champion: Bundle, labelled: Path) -> None:
    scorer = PictureScorer(champion.onnx_bytes, DecodeLimits())
    for row in champion.baseline.to_pylist():
        scored = scorer.score(labelled / row["path"])
        assert scored.sha256 == row["image_id"]
        assert scored.probabilities is not None
        assert scored.probabilities.tolist() == row["probabilities"]
    assert champion.scorecard.served.rows == champion.baseline.num_rows


def test_preprocessing_of_a_known_picture_never_changes(tmp_path: Path) -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    from PIL import Image

    Image.fromarray(pixels).save(tmp_path / "p.png")
    picture = read_picture(tmp_path / "p.png", DecodeLimits())
    found = Preprocess(width_px=2, height_px=2).apply(picture.rgb)
    assert found.tolist() == [[[26, 27, 28], [34, 35, 36]], [[68, 69, 70], [76, 77, 78]]]
    assert Preprocess(width_px=2, height_px=2).digest != Preprocess(width_px=2, height_px=3).digest
