from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from models.artifacts.workspace import Workspace
from models.compression import compress as compression
from models.compression.compress import Attempt, Made, Pictures, answers_of, compress
from models.compression.compress_exported import compress_exported
from models.compression.equalise import WEIGHT_LEVELS, equalised, with_corrected_biases
from models.compression.float16 import half_precision
from models.compression.prune import pruned
from models.compression.quantise import IntegerMaker, prepared
from models.compression.refit_head import refit_head
from models.compression.settings import CompressionSettings
from models.compression.student import Trained
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.split import TRAIN, TUNE
from models.errors import SettingsError
from models.learning.fit import Places
from models.learning.lesson import sample_of
from models.learning.pixel_store import PixelStore
from models.serving.bundle import Bundle
from models.serving.export import trunk_onnx
from models.serving.lint import lint_model
from models.serving.picture_scorer import card_of
from models.serving.session import ImageSession
from tests.chain import FAST, split_of

SETTINGS = CompressionSettings(calibration_rows=16)


@pytest.fixture(scope="module")
def pictures(champion: Bundle, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    split, card = split_of(labelled), champion.card
    store = PixelStore(tmp_path_factory.mktemp("pixels"), card.preprocess)
    train, tune = (sample_of(labelled, split, name, card.classes) for name in (TRAIN, TUNE))
    return Pictures(store.pixels(train.paths, train.image_ids), store.pixels(tune.paths, tune.image_ids), tune.targets)


CUT = "without 20% of the channels inside blocks"


def _measured(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    """Gives a clock's answer beforehand: what is faster differs between machines, and minutes."""
    monkeypatch.setattr(compression, "speed_ratio", lambda *_: ratio)


def test_integers_are_served_where_they_keep_the_budget_and_are_faster(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 2.0)
    served = compress(champion.onnx_bytes, pictures, SETTINGS)
    card = card_of(served)
    (tried,) = card.candidates
    assert (card.variant, tried.variant, tried.is_served, tried.speedup) == ("int8", "int8", True, 2.0)
    assert tried.agreement is not None
    assert tried.agreement >= 0.97
    found = answers_of(ImageSession(served), pictures.tune).probabilities
    kept = (
        found.argmax(1) == answers_of(ImageSession(champion.onnx_bytes), pictures.tune).probabilities.argmax(1)
    ).mean()
    assert kept == tried.agreement, "what the card says is what the file does"
    assert found.sum(1) == pytest.approx(1)
    lint_model(served)
    kinds = [node.op_type for node in onnx.load_from_string(served).graph.node]
    assert "QuantizeLinear" in kinds


def test_slower_integers_are_not_served_and_the_card_says_why(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 0.9)
    card = card_of(compress(champion.onnx_bytes, pictures, SETTINGS))
    assert card.variant == "float"
    assert [c.reason for c in card.candidates] == ["0.90 times as fast here, below 1.10"]


def test_fast_candidate_that_answers_otherwise_is_not_served(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 9.0)
    model = onnx.load_from_string(champion.onnx_bytes)
    bias = next(t for t in model.graph.initializer if t.name == "head_0_bias")
    bias.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(bias) + np.array([1e4, 0, 0], dtype=np.float32), bias.name)
    )
    blind = Attempt("student", "student", "says one class", lambda: Made(model.SerializeToString(), pictures.tune))
    card = card_of(compress(champion.onnx_bytes, pictures, CompressionSettings(int8=False), [blind]))
    assert card.variant == "float"
    assert "of the answers on tune, below 0.970" in card.candidates[0].reason
    # Where answers may differ, the objective still has its own budget.
    lax = CompressionSettings(int8=False, min_agreement=0)
    card = card_of(compress(champion.onnx_bytes, pictures, lax, [blind]))
    assert "of macro_f1 on tune, above 0.010" in card.candidates[0].reason


def test_weights_never_overflow_on_machines_without_vnni(champion: Bundle, pictures: Pictures) -> None:
    made = onnx.load_from_string(IntegerMaker(prepared(champion.onnx_bytes), pictures.train[:16]).make(0))
    found = [numpy_helper.to_array(t) for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    weights = [w for w in found if w.ndim == 4]
    assert weights
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) <= WEIGHT_LEVELS


class _Uneven(nn.Module):
    """Channels of very different ranges, as folded norms leave them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
        with torch.no_grad():
            self.first.weight *= torch.logspace(-2, 1, 8).reshape(-1, 1, 1, 1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(picture)))).mean((2, 3))


def _embeddings(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ImageSession(model.SerializeToString())
    return np.stack([session.run(picture, ("embedding",))["embedding"] for picture in pixels])


def test_equalised_channels_give_the_same_function_and_like_ranges() -> None:
    torch.manual_seed(0)
    model = onnx.load_from_string(trunk_onnx(_Uneven().eval(), 16))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    before = _embeddings(model, pixels)
    assert _embeddings(equalised(model, pixels), pixels) == pytest.approx(
        before, abs=1e-4 * float(np.abs(before).max())
    )


def test_corrected_biases_take_the_mean_error_of_rounded_weights_back() -> None:
    torch.manual_seed(0)
    model = onnx.load_from_string(trunk_onnx(_Uneven().eval(), 16))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)

    def rounded(source: onnx.ModelProto) -> onnx.ModelProto:
        changed = onnx.ModelProto()
        changed.CopyFrom(source)
        for tensor in changed.graph.initializer:
            if len(tensor.dims) == 4:
                weight = numpy_helper.to_array(tensor)
                step = np.abs(weight).max((1, 2, 3), keepdims=True) / 4
                tensor.CopyFrom(numpy_helper.from_array(np.round(weight / step) * step, tensor.name))
        return changed

    before = _embeddings(model, pixels)
    plain = np.abs(_embeddings(rounded(model), pixels) - before).mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.compression.equalise.WEIGHT_LEVELS", 4)
        corrected = rounded(with_corrected_biases(model, pixels, ()))
    assert np.abs(_embeddings(corrected, pixels) - before).mean() < 0.5 * plain


def test_refitted_head_makes_up_for_embeddings_that_were_moved(champion: Bundle, pictures: Pictures) -> None:
    wanted = answers_of(ImageSession(champion.onnx_bytes), pictures.train)
    moved = 2 * wanted.embeddings + 1
    head = {
        t.name: numpy_helper.to_array(t)
        for t in onnx.load_from_string(refit_head(champion.onnx_bytes, wanted.embeddings, moved)).graph.initializer
    }
    logits = moved @ head["head_0_weight"].T + head["head_0_bias"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    assert shares / shares.sum(1, keepdims=True) == pytest.approx(wanted.probabilities, abs=1e-3)


def test_channels_that_tell_nothing_go_and_take_nothing_with_them() -> None:
    torch.manual_seed(0)
    net = _Uneven().eval()
    with torch.no_grad():
        # Half of the channels are constant: their mean is all there is to them.
        net.first.weight[::2] = 0
        net.first.bias.data[::2] = 3  # type: ignore[union-attr]
    model = onnx.load_from_string(trunk_onnx(net, 16))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    smaller = pruned(model, pixels, 0.5)
    assert _embeddings(smaller, pixels) == pytest.approx(_embeddings(model, pixels), abs=1e-4)
    shapes = [tuple(t.dims) for t in smaller.graph.initializer if len(t.dims) == 4]
    assert shapes == [(4, 3, 3, 3), (4, 4, 3, 3)]


def test_pruned_model_is_judged_like_any_candidate(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 1.5)
    settings = CompressionSettings(prune_share=0.2, calibration_rows=16, min_agreement=0.5, max_drop=1)
    card = card_of(compress(champion.onnx_bytes, pictures, settings))
    assert [c.variant for c in card.candidates] == ["int8", "pruned", "pruned"]
    assert [c.detail for c in card.candidates[1:]] == [f"{CUT}, in integers", CUT]
    assert sum(c.is_served for c in card.candidates) == 1


def test_candidate_that_fails_costs_itself_alone(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 2.0)

    def fail() -> Made:
        raise SettingsError("network nothing is unknown", "a network", "Set it.")

    broken = Attempt("student", "student", "nothing", fail)
    unsafe = Attempt("student", "other", "no model", lambda: Made(b"no model", pictures.tune))
    card = card_of(compress(champion.onnx_bytes, pictures, CompressionSettings(int8=False), [broken, unsafe]))
    assert card.variant == "float"
    assert "it could not be made: network nothing is unknown" in card.candidates[0].reason
    assert "is not an ONNX file" in card.candidates[1].reason


def test_slow_integers_do_not_hide_a_pruned_float(
    champion: Bundle, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios = iter([0.5, 0.5, 1.5])
    monkeypatch.setattr(compression, "speed_ratio", lambda *_: next(ratios))
    settings = CompressionSettings(prune_share=0.2, calibration_rows=16, min_agreement=0.5, max_drop=1)
    card = card_of(compress(champion.onnx_bytes, pictures, settings))
    assert [(c.detail, c.is_served) for c in card.candidates] == [
        (CUT, True),
        ("", False),
        (f"{CUT}, in integers", False),
    ]


def test_half_precision_answers_alike(champion: Bundle, pictures: Pictures) -> None:
    lint_model(half_precision(champion.onnx_bytes))
    found = answers_of(ImageSession(half_precision(champion.onnx_bytes)), pictures.tune).probabilities
    expected = answers_of(ImageSession(champion.onnx_bytes), pictures.tune).probabilities
    assert found == pytest.approx(expected, abs=0.02)


def test_student_learns_from_the_model_and_is_judged_like_any_candidate(
    champion: Bundle, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _measured(monkeypatch, 3.0)
    workspace, split = Workspace.open(tmp_path), split_of(labelled)
    trained = Trained(labelled, split, plan_resampling(split, ResamplingSettings()), FAST)
    settings = CompressionSettings(int8=False, student="convnet", student_size_px=32, min_agreement=0.5, max_drop=0.4)
    places = Places(workspace.features_dir, workspace.states_dir)
    served = compress_exported(champion.onnx_bytes, trained, settings, places)
    card = card_of(served)
    assert (card.variant, card.preprocess.width_px, card.name) == ("student", 32, "shapes")
    assert card.candidates[0].detail == "convnet, 32 px"
    assert len(served) < len(champion.onnx_bytes) * 2
    nothing = compress_exported(champion.onnx_bytes, trained, CompressionSettings(int8=False), places)
    assert nothing == champion.onnx_bytes
