"""Maps say where a logit comes from: they add up to it, agree with torch, and find the corner that a model looks at."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from models.artifacts.workspace import Workspace
from models.data.limits import NO_LIMITS
from models.errors import ArtifactChanged, SettingsError
from models.judging.activation_maps import ActivationMapper
from models.judging.chosen_rows import Choice, chosen_pictures, named_paths
from models.judging.explain import explained
from models.judging.explain_settings import ExplainSettings
from models.judging.gradient_route import find_route
from models.judging.occlusion import occlusion_map, patch_spans
from models.judging.overlay import OVERLAY_PX, overlay_png, shown_size
from models.reports.explanations import ExplanationPage, render_explanations, shown_explanations
from models.serving.answer_graph import with_answers
from models.serving.bundle import MODEL_FILE, Bundle, BundleParts, read_bundle, write_bundle
from models.serving.export import attach_head, trunk_onnx
from models.serving.picture_scorer import PictureScorer
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.session import ImageSession
from tests.conftest import MODEL, NOW
from tests.pictures import draw

SIDE_PX, CORNER_PX = 28, 8
Head = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


class TwoStages(nn.Module):
    """Two maps, pooled by mean and maximum as the default network has it, and a hidden layer as MobileNet has it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 5, 3, stride=2)
        self.pool, self.hidden = nn.AdaptiveAvgPool2d(1), nn.Linear(5, 6)

    def maps(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        early = self.first(picture).relu()
        return early, self.second(early)

    def embed(self, early: torch.Tensor, late: torch.Tensor) -> torch.Tensor:
        pooled = torch.cat([early.mean((2, 3)), early.amax((2, 3))], 1)
        return torch.cat([pooled, nn.functional.hardswish(self.hidden(self.pool(late).flatten(1)))], 1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.embed(*self.maps(picture))


def _noise(side_px: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def _pixels(champion: Bundle, label: str = "side") -> NDArray[np.uint8]:
    return champion.card.preprocess.apply(draw(label, np.random.default_rng(3)))


def _corner_model(last: str) -> bytes:
    """Two classes; how light the upper left corner is decides, and nothing else."""
    numbers = {
        "start": np.array([0, 0]),
        "end": np.array([CORNER_PX, CORNER_PX]),
        "axes": np.array([1, 2]),
        "all": np.array([1, 2, 3]),
        "weight": np.array([[0.005, -0.005]], dtype=np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["image", "start", "end", "axes"], ["corner"]),
        helper.make_node("Cast", ["corner"], ["corner_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["corner_float", "all"], ["light"], keepdims=0),
        helper.make_node("Unsqueeze", ["light", "last_axis"], ["column"]),
        helper.make_node("MatMul", ["column", "weight"], ["logits"]),
        helper.make_node(last, ["logits"], ["probabilities"]),
    ]
    numbers["last_axis"] = np.array([1])
    graph = helper.make_graph(
        nodes,
        "corner",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    data: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()
    return data


def _obscured(onnx_bytes: bytes) -> bytes:
    """The same answers by way of operators that no route passes."""
    model = onnx.load_from_string(onnx_bytes)
    last = next(node for node in model.graph.node if "probabilities" in node.output)
    place = list(model.graph.node).index(last)
    model.graph.node.insert(place, helper.make_node("Neg", ["turned"], ["turned_back"]))
    model.graph.node.insert(place, helper.make_node("Neg", [last.input[0]], ["turned"]))
    last.input[0] = "turned_back"
    data: bytes = model.SerializeToString()
    return data


def _rounded(champion: Bundle, folder: Path, variant: str) -> Bundle:
    """A bundle that serves a model without maps beside the float one."""
    card = champion.card.model_copy(update={"variant": variant})
    served = _obscured(with_answers(champion.onnx_bytes, card, None, None))
    parts = BundleParts(served, champion.onnx_bytes, card, champion.scorecard, champion.baseline, champion.golden)
    return read_bundle(write_bundle(folder, parts, "# Shapes\n")[0])


def test_places_and_bias_add_up_to_the_logit(champion: Bundle) -> None:
    weights = {tensor.name: tensor for tensor in onnx.load_from_string(champion.onnx_bytes).graph.initializer}
    assert "head_1_weight" not in weights, "the shared champion has a linear head"
    bias = numpy_helper.to_array(weights["head_0_bias"])
    mapper, pixels = ActivationMapper(champion.onnx_bytes), _pixels(champion)
    found = [mapper.map_of(pixels, k) for k in range(len(bias))]
    logits = [stage.sum() + b for (_, (stage,), _), b in zip(found, bias, strict=True)]
    probabilities = ImageSession(champion.onnx_bytes).run(pixels)["probabilities"]
    assert np.exp(logits) / np.exp(logits).sum() == pytest.approx(probabilities, abs=1e-4)
    assert [m.rest for m in found] == pytest.approx(bias, abs=1e-4)
    (stage,) = found[0].stages
    times = (stage.shape[1] * 4, stage.shape[0] * 4)
    assert found[0].heat(*times).shape == times[::-1]
    assert found[0].heat(*stage.shape[::-1]).mean() == pytest.approx(stage.sum(), abs=1e-4)


def test_maps_of_several_stages_and_layers_are_those_of_torch(champion: Bundle) -> None:
    torch.manual_seed(0)
    trunk, rng = TwoStages().eval(), np.random.default_rng(0)
    head: Head = [
        (rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[0]).astype(np.float32))
        for shape in ((9, 14), (3, 9))
    ]
    plain = {"correction": champion.card.correction.model_copy(update={"log_offset": (0.0,) * 3})}
    card = champion.card.model_copy(update={**plain, "calibration": type(champion.card.calibration)()})
    mapper, pixels = ActivationMapper(attach_head(trunk_onnx(trunk, SIDE_PX), head, card)), _noise(SIDE_PX)

    picture = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2) / 255
    early, late = (m.detach().requires_grad_() for m in trunk.maps(picture))
    hidden = trunk.embed(early, late)
    for position, (weight, bias) in enumerate(head):
        hidden = nn.functional.linear(hidden.relu() if position else hidden, *map(torch.from_numpy, (weight, bias)))
    for k in range(3):
        slopes = torch.autograd.grad(hidden[0, k], (early, late), retain_graph=True)
        expected = [(s * m).sum(1)[0].detach().numpy() for s, m in zip(slopes, (early, late), strict=True)]
        found = mapper.map_of(pixels, k)
        assert found.logit == pytest.approx(float(hidden[0, k].detach()), abs=1e-4)
        for wanted in expected:
            stage = next(s for s in found.stages if s.shape == wanted.shape)
            assert stage == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("last", ["Softmax", "Sigmoid"])
def test_occlusion_finds_the_corner_that_the_model_looks_at(last: str) -> None:
    pixels = np.full((SIDE_PX, SIDE_PX, 3), 40, dtype=np.uint8)
    pixels[:CORNER_PX, :CORNER_PX] = 200
    session = ImageSession(_corner_model(last))
    for class_index, sign in ((0, 1), (1, -1)):
        heat = sign * occlusion_map(session, pixels, class_index, 1 / 7, 0.5)
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert max(row, column) < CORNER_PX
        assert heat.max() > 0.02
        assert np.abs(heat[CORNER_PX + 4 :]).max() == np.abs(heat[:, CORNER_PX + 4 :]).max() == 0


@pytest.mark.parametrize(
    ("side_px", "patch", "stride"), [(224, 1 / 7, 0.5), (10, 0.35, 0.9), (5, 1, 1), (3, 0.01, 0.05)]
)
def test_patches_cover_the_whole_side_and_stay_on_it(side_px: int, patch: float, stride: float) -> None:
    spans = patch_spans(side_px, patch, stride)
    assert {place for span in spans for place in range(span.start, span.stop)} == set(range(side_px))
    assert len({span.start for span in spans}) == len(spans)


def test_model_without_maps_says_why_and_is_explained_by_occlusion(champion: Bundle, labelled: Path) -> None:
    with pytest.raises(SettingsError, match=r"Neg stands between its maps .* Set method=occlusion"):
        find_route(onnx.load_from_string(_obscured(champion.onnx_bytes)))
    with pytest.raises(SettingsError, match="ReduceMean stands between its maps"):
        find_route(onnx.load_from_string(_corner_model("Softmax")))
    hidden = champion._replace(onnx_bytes=_obscured(champion.onnx_bytes))
    path = labelled / "side/0001.png"
    with pytest.raises(SettingsError, match="no activation maps"):
        explained([path], hidden, ExplainSettings(method="activation"))
    (found,) = explained([path], hidden, ExplainSettings(patch_share=0.5))
    assert (found.method, found.status) == ("occlusion", "ok")
    assert found.heat is not None
    assert found.largest_drop == pytest.approx(found.heat.max())


def test_explanations_come_in_order_with_the_served_answer(champion: Bundle, labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    paths = [labelled / "round/0002.png", tmp_path / "text.png", labelled / "down/0003.png"]
    done: list[int] = []
    found = explained(paths, champion, on_progress=lambda count, _: done.append(count))
    assert [x.path for x in found] == paths
    assert done == [1, 2, 3]
    assert (found[1].status, found[1].overlay, found[1].label) == ("unsupported: not_an_image", b"", "")
    scorer = PictureScorer(champion.onnx_bytes, NO_LIMITS)
    for x in (found[0], found[2]):
        answers = scorer.score(x.path).answers
        assert answers is not None
        best = int(answers.probabilities.argmax())
        assert (x.label, x.score) == (champion.card.classes[best], float(answers.probabilities[best]))
        assert (x.method, x.source) == ("activation", MODEL_FILE)
        with Image.open(io.BytesIO(x.overlay)) as overlay:
            assert (overlay.format, overlay.size) == ("PNG", (OVERLAY_PX, OVERLAY_PX))


def test_rounded_model_is_explained_by_the_float_one_and_another_network_is_not(
    champion: Bundle, labelled: Path, tmp_path: Path
) -> None:
    path = labelled / "side/0001.png"
    small = ExplainSettings(patch_share=0.5)
    bundle = _rounded(champion, tmp_path / "int8", "int8")
    (found,) = explained([path], bundle, small)
    (direct,) = explained([path], champion)
    assert (found.method, found.source) == ("activation", "model.onnx")
    assert found.heat == pytest.approx(direct.heat)
    (found,) = explained([path], _rounded(champion, tmp_path / "student", "student"), small)
    assert (found.method, found.source) == ("occlusion", "model.student.onnx")
    (bundle.folder / MODEL_FILE).write_bytes(champion.onnx_bytes + b" ")
    with pytest.raises(ArtifactChanged, match=r"model\.onnx has other bytes"):
        explained([path], bundle)


def test_overlay_is_red_for_and_blue_against_and_grey_between() -> None:
    shown = shown_size(Image.new("RGB", (30, 15), (120, 10, 10)))
    assert shown.size == (OVERLAY_PX, OVERLAY_PX // 2)
    heat = np.zeros((15, 30), dtype=np.float32)
    heat[:, :8], heat[:, -8:] = 2.0, -2.0
    with Image.open(io.BytesIO(overlay_png(shown, heat))) as picture:
        left, middle, right = (np.array(picture.getpixel((x, 60)), dtype=int) for x in (5, 120, 234))
    assert left[0] > left[2] + 80
    assert right[2] > right[0] + 80
    assert len(set(middle.tolist())) == 1
    with Image.open(io.BytesIO(overlay_png(shown, 0 * heat))) as picture:
        bands = picture.split()
        assert bands[0].getextrema() == bands[2].getextrema()


def test_page_escapes_names_and_says_class_and_score(champion: Bundle, tmp_path: Path) -> None:
    draw("side", np.random.default_rng(0)).save(tmp_path / "<b>x.png")
    (tmp_path / "bad.png").write_bytes(b"")
    found = explained(named_paths(tmp_path, ["<b>x.png", "bad.png"]), champion)
    shown = shown_explanations(found, tmp_path)
    page = render_explanations(ExplanationPage(MODEL, champion.sha256, tmp_path, "chosen by name", shown))
    assert "<b>x" not in page
    assert page.count("data:image/png;base64,") == page.count("data:image/jpeg;base64,") == 1
    said = f"where the model looked in &lt;b&gt;x.png for {found[0].label}, score {found[0].score:.3f}"
    assert re.search(f'alt="{re.escape(said)}"', page)
    assert "unreadable: empty_file" in page
    assert "<script" not in page
    assert "://" not in page


def test_names_have_to_be_of_files_in_the_folder(labelled: Path) -> None:
    assert named_paths(labelled, ["side/0001.png", "side/0001.png"]) == (labelled / "side/0001.png",)
    for odd in ("../secret.png", "/etc/hosts", "side", "side/none.png"):
        with pytest.raises(SettingsError, match=f"1 of 2 named files are not in .*: {odd}"):
            named_paths(labelled, ["side/0001.png", odd])


def test_least_sure_rows_are_those_with_the_smallest_margins(
    champion: Bundle, champion_workspace: Workspace, tmp_path: Path
) -> None:
    inbox, out, registry = tmp_path / "inbox", tmp_path / "out", Registry(champion_workspace)
    inbox.mkdir()
    (inbox / "text.png").write_text("no picture")
    rng = np.random.default_rng(0)
    for k in range(10):
        pixels = np.array(draw("side", rng)) * (k / 9) + rng.integers(0, 256, (40, 40, 3)) * (1 - k / 9)
        Image.fromarray(pixels.astype(np.uint8)).save(inbox / f"{k}.png")
    score_folder(ScoreJob(inbox, champion, out, ScoringSettings()), "run", lambda: NOW)
    chosen = chosen_pictures(Choice(predictions=out, least_sure=3), inbox, registry, MODEL)
    scorer = PictureScorer(champion.onnx_bytes, NO_LIMITS)
    margins = {}
    for path in inbox.glob("[0-9].png"):
        answers = scorer.score(path).answers
        assert answers is not None
        second, first = sorted(answers.probabilities.tolist())[-2:]
        margins[path] = np.float32(first - second)
    assert len(set(margins.values())) > 2
    assert list(chosen.paths) == sorted(margins, key=lambda path: (margins[path], path))[:3]
    assert chosen.bundle.sha256 == champion.sha256
    with pytest.raises(SettingsError, match=f"holds predictions of model {MODEL} on {inbox}"):
        chosen_pictures(Choice(predictions=out), tmp_path, registry, MODEL)
    with pytest.raises(SettingsError, match="holds no predictions"):
        chosen_pictures(Choice(predictions=tmp_path / "none"), inbox, registry, MODEL)
