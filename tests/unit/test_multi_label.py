"""Pictures with several labels, from a hand-made network to predictions, drift, gates and the report."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from flows.answers import model_answer, show_scores
from models.artifacts.records import Correction, ModelCard, Verdict
from models.artifacts.tables import EVALUATION, MANIFEST, PREDICTIONS, SPLIT, decode_table, encode_table, table_of
from models.artifacts.workspace import Workspace
from models.data.decode import read_picture
from models.data.limits import NO_LIMITS
from models.data.look import Look
from models.data.preprocess import Preprocess
from models.data.resample import ResamplingSettings, plan_resampling
from models.data.split import SplitSettings
from models.drift.measure import measure_drift
from models.drift.settings import DriftSettings
from models.errors import ContractBroken, ExportMismatch
from models.learning.evaluate import evaluate_split
from models.learning.evaluation_rows import label_arrays
from models.learning.head import Layer
from models.reports.run_report import RunRecords, render_report
from models.serving.bundle import Bundle, read_bundle, write_bundle
from models.serving.commit import OutputStore
from models.serving.export import attach_head, served_layers
from models.serving.parity import check_parity
from models.serving.picture_scorer import Answers, PictureScorer, Scored, prediction_row
from models.serving.registry import Registry
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from tests.chain import bundle_parts
from tests.conftest import NOW
from validation.candidate import CandidateJob, judge_bundle
from validation.gate_settings import GateSettings

SIDE_PX = 8
CLASSES = ("blue", "green", "red")
CHANNELS = ("red", "green", "blue")
# Logits are 10 * (mean of the channel - 0.5), in the order of the classes.
HEAD: Layer = (
    np.array([[0, 0, 10], [0, 10, 0], [10, 0, 0]], dtype=np.float32),
    np.full(3, -5, dtype=np.float32),
)
OFFSET = (0.0, 0.0, 1.0)
DRIFT = DriftSettings(min_rows=20, bootstrap_rounds=100)


class _MeanColour(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean((2, 3))


def _trunk() -> bytes:
    """The same network by hand: exporting it takes longer than all of these tests."""
    axes = numpy_helper.from_array(np.array([1, 2]), "axes")
    top = numpy_helper.from_array(np.array(255, dtype=np.float32), "top")
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "top"], ["shares"]),
        helper.make_node("ReduceMean", ["shares", "axes"], ["embedding"], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 3])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "trunk", [image], [embedding], [axes, top])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data: bytes = model.SerializeToString()
    return data


def _card(
    task: Literal["single_label", "multi_label"] = "multi_label", classes: tuple[str, ...] = CLASSES
) -> ModelCard:
    correction = Correction(
        objective_name="macro_f1", regularisation=None, strength=1.0, log_offset=OFFSET, name="thresholds", trials=()
    )
    return ModelCard(
        name="colours",
        task=task,
        learner="frozen",
        network="by hand",
        classes=classes,
        preprocess=Preprocess(width_px=SIDE_PX, height_px=SIDE_PX),
        correction=correction,
        train_prior=(0.5, 0.5, 0.5),
        effective_prior=(0.5, 0.5, 0.5),
        split=SplitSettings(),
        train_rows=8,
        tune_rows=8,
        data_sha256="0" * 64,
        weights_source="by hand",
        weights_licence="none",
        sortline_version="0",
    )


def _picture(shares: tuple[float, ...]) -> NDArray[np.uint8]:
    """One colour, with its red, green and blue in 0..1."""
    return np.broadcast_to(np.array(shares) * 255, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)


def _colours() -> Iterator[tuple[str, tuple[float, ...], list[str]]]:
    """Name, colour and labels of 48 pictures; weak red is red by its threshold only, and two are filed wrongly."""
    sides = itertools.product((0.2, 0.9), (0.2, 0.8), (0.2, 0.8))
    for k, (red, green, blue) in itertools.product(range(6), sides):
        shares = (0.45 if k == 0 and red > 0.5 else red, green, blue)
        labels = [name for name, share in zip(CHANNELS, (red, green, blue), strict=True) if share > 0.5]
        yield f"{k}-{red}-{green}-{blue}.png", shares, labels
    yield "all-wrong.png", (0.9, 0.9, 0.1), ["blue"]
    yield "one-wrong.png", (0.9, 0.1, 0.1), ["red", "blue"]


class _Served(NamedTuple):
    folder: Path
    split: pa.Table
    workspace: Workspace
    evaluation: pa.Table
    bundle: Bundle


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> _Served:
    """Pictures, and a champion that was judged on all of them."""
    folder, workspace = tmp_path_factory.mktemp("colours"), Workspace.open(tmp_path_factory.mktemp("workspace"))
    rows: list[dict[str, Any]] = []
    for number, (name, shares, labels) in enumerate(_colours()):
        Image.fromarray(_picture(shares)).save(folder / name)
        picture = read_picture(folder / name, NO_LIMITS)
        camera = {"camera": "left" if number % 2 else "right"}
        rows.append({"path": name, "image_id": picture.sha256, "labels": labels, "slices": camera, "status": "ok"})
    split = table_of([{**row, "split": place} for place in ("train", "test") for row in rows], SPLIT)
    onnx_bytes = attach_head(_trunk(), [HEAD], _card())
    evaluation = evaluate_split(folder, split, onnx_bytes)
    target = Registry(workspace).bundles_dir("colours")
    place, _ = write_bundle(target, bundle_parts(onnx_bytes, evaluation, _files(folder)), "# Colours")
    bundle = read_bundle(place)
    Registry(workspace).promote("colours", bundle, NOW, "made for tests")
    return _Served(folder, split, workspace, evaluation, bundle)


def _pictures() -> NDArray[np.uint8]:
    return np.stack([_picture(shares) for _, shares, _ in _colours()])


def test_graph_ends_in_sigmoid_with_the_thresholds_inside(served: _Served) -> None:
    nodes = [node.op_type for node in onnx.load_from_string(served.bundle.onnx_bytes).graph.node]
    assert "Sigmoid" in nodes
    assert "Softmax" not in nodes
    assert check_parity(served.bundle.onnx_bytes, _MeanColour(), served_layers([HEAD], _card()), _pictures()) < 1e-6
    weak_red = PictureScorer(served.bundle.onnx_bytes, NO_LIMITS).score(served.folder / "0-0.9-0.2-0.2.png")
    assert weak_red.probabilities is not None
    logits = 10 * (np.array([51, 51, 114]) / 255 - 0.5) + OFFSET
    assert weak_red.probabilities == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-6)


def test_one_label_a_picture_still_ends_in_softmax() -> None:
    data = attach_head(_trunk(), [HEAD], _card("single_label"))
    nodes = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert "Softmax" in nodes
    assert "Sigmoid" not in nodes
    assert check_parity(data, _MeanColour(), served_layers([HEAD], _card("single_label")), _pictures()) < 1e-5
    with pytest.raises(ExportMismatch, match="top classes moved"):
        check_parity(data, _MeanColour(), [(-HEAD[0], HEAD[1])], _pictures())


@pytest.mark.parametrize(("logit", "is_refused"), [(1e-3, True), (1e-4, True), (1e-5, False), (0.0, False)])
def test_set_of_labels_may_move_only_where_rounding_decides(logit: float, is_refused: bool) -> None:
    # The ONNX file says 0.5 and a little more; torch says as much less. Up to 1e-4 would be within the tolerance.
    card = _card().model_copy(update={"correction": _card().correction.model_copy(update={"log_offset": (0.0,) * 3})})
    weight = np.zeros((3, 3), dtype=np.float32)
    data = attach_head(_trunk(), [(weight, np.full(3, logit, dtype=np.float32))], card)
    other = [(weight, np.full(3, -logit, dtype=np.float32))]
    if is_refused:
        with pytest.raises(ExportMismatch, match="1 of 1 sets of labels moved"):
            check_parity(data, _MeanColour(), other, _pictures()[:1])
    else:
        check_parity(data, _MeanColour(), other, _pictures()[:1])


def test_evaluation_keeps_the_lists_and_the_scorecard_is_worked_out_by_hand(served: _Served) -> None:
    assert served.evaluation["labels"].to_pylist() == [labels for _, _, labels in _colours()]
    assert served.evaluation["label"].null_count == 50
    scores = served.bundle.scorecard.served
    assert served.bundle.scorecard.task == "multi_label"
    assert scores.rows == 50
    assert scores.accuracy.value == pytest.approx(48 / 50)
    found = {c.label: (c.true_positives, c.false_positives, c.false_negatives) for c in scores.label_counts}
    assert found == {"blue": (24, 0, 2), "green": (24, 1, 0), "red": (25, 1, 0)}
    # Without the thresholds the four weak reds are missed.
    raw = served.bundle.scorecard.uncorrected
    assert {c.label: c.false_negatives for c in raw.label_counts} == {"blue": 2, "green": 0, "red": 4}
    assert served.bundle.scorecard.reliability[0].low == 0.0
    assert sum(b.rows for b in served.bundle.scorecard.reliability) == 150
    assert [(s.value, s.rows) for s in served.bundle.scorecard.slices] == [("left", 25), ("right", 25)]


def test_worst_mistakes_have_the_most_probability_on_the_wrong_side(served: _Served) -> None:
    worst = served.bundle.scorecard.worst_mistakes
    assert [(m.path, m.label, m.predicted) for m in worst] == [
        ("all-wrong.png", "blue", "green, red"),
        ("one-wrong.png", "blue, red", "red"),
    ]
    assert 2.5 < worst[0].score < 3


def test_lists_that_the_model_does_not_know_are_refused() -> None:
    rows: list[dict[str, Any]] = [{"labels": ["red", "pink"]}, {"labels": []}, {"label": "red"}]
    table = table_of([{**row, "probabilities": [0.1, 0.2, 0.3]} for row in rows], EVALUATION)
    with pytest.raises(ContractBroken, match="1 test pictures without a list of labels, 1 unknown labels pink"):
        label_arrays(table, CLASSES)
    targets, probabilities = label_arrays(table.slice(1, 1), CLASSES)
    assert targets.tolist() == [[False, False, False]]
    assert probabilities.shape == (1, 3)


@pytest.mark.parametrize(
    ("probabilities", "labels", "best", "margin"),
    [
        ([0.5, 0.9, 0.1], ["green", "blue"], "green", 0.0),
        ([0.4, 0.3, 0.2], [], "blue", 0.2),
        ([0.7, 0.9, 0.9], ["green", "red", "blue"], "green", 0.4),
    ],
)
def test_prediction_row(probabilities: list[float], labels: list[str], best: str, margin: float) -> None:
    scored = Scored("ok", None, "0", 1, Look(0.5, 0.1, 0.1, 8, 8), Answers(np.array(probabilities, dtype=np.float32)))
    entry = {"path": "p.png", "path_bytes": None, "size_bytes": 1}
    row = prediction_row(entry, scored, _card(), top_k=2)
    assert (row["labels"], row["label"]) == (labels, best)
    assert row["margin"] == pytest.approx(margin, abs=1e-6)
    assert len(row["top_labels"]) == 2
    single = prediction_row(entry, scored, _card("single_label"), top_k=2)
    assert "labels" not in single
    assert {**row, "margin": 0, "labels": 0} == {**single, "margin": 0, "labels": 0}


def test_folder_is_scored_with_lists_and_a_shift_of_one_label_is_drift(served: _Served, tmp_path: Path) -> None:
    job = ScoreJob(served.folder, served.bundle, tmp_path / "out", ScoringSettings())
    summary = score_folder(job, "run", lambda: NOW)
    assert summary.labels == {"(none)": 6, "blue": 24, "green": 25, "red": 26}
    predictions = OutputStore(tmp_path / "out").read()
    given = dict(zip(predictions["path"].to_pylist(), predictions["labels"].to_pylist(), strict=True))
    assert given["all-wrong.png"] == ["green", "red"] or given["all-wrong.png"] == ["red", "green"]
    assert given["0-0.2-0.2-0.2.png"] == []
    same = {m.name: m for m in measure_drift(predictions, served.bundle, DRIFT).measures}
    assert (same["predicted_class_mix"].status, same["predicted_class_mix"].distance) == ("ok", 0.0)
    assert "blue, green 0.12 (baseline 0.12)" in same["predicted_class_mix"].explanation
    rows = [{**row, "labels": ["red", *row["labels"]]} for row in predictions.to_pylist()]
    shifted = {m.name: m for m in measure_drift(table_of(rows, PREDICTIONS), served.bundle, DRIFT).measures}
    assert [m.name for m in shifted.values() if m.status == "drift"] == ["predicted_class_mix"]
    assert shifted["predicted_class_mix"].distance == pytest.approx(0.48)


def _candidate(served: _Served, layer: Layer, card: ModelCard) -> Path:
    """Folder of a bundle with another head, on the same pictures."""
    onnx_bytes = attach_head(_trunk(), [layer], card)
    split = served.split
    if card.task == "single_label":
        first = pa.array([CLASSES[k % 3] for k in range(split.num_rows)])
        split = split.set_column(split.column_names.index("label"), "label", first).cast(SPLIT)
    evaluation = evaluate_split(served.folder, split, onnx_bytes)
    target = Registry(served.workspace).bundles_dir("colours")
    return write_bundle(target, bundle_parts(onnx_bytes, evaluation, _files(served.folder)), "# Colours")[0]


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())[:3]]


@pytest.mark.parametrize(("sharpness", "outcome"), [(1.001, "passed"), (-1.0, "failed")])
def test_candidate_meets_the_champion_on_the_same_pictures(served: _Served, sharpness: float, outcome: str) -> None:
    layer = (HEAD[0] * np.float32(sharpness), HEAD[1] * np.float32(sharpness))
    place = _candidate(served, layer, _card())
    job, settings = CandidateJob(place, served.folder, served.split), GateSettings(relation="not_worse")
    verdict = judge_bundle(job, Registry(served.workspace), settings)
    assert {f.rule: f.outcome for f in verdict.findings}["not_worse_than_champion"] == outcome
    assert verdict.is_accepted == (outcome == "passed")


def test_champion_of_another_task_cannot_be_compared(served: _Served) -> None:
    place = _candidate(served, HEAD, _card("single_label"))
    job = CandidateJob(place, served.folder, served.split)
    verdict = judge_bundle(job, Registry(served.workspace), GateSettings())
    finding = next(f for f in verdict.findings if f.rule == "better_than_champion")
    assert finding.outcome == "unknown"
    assert "other classes, split or task" in finding.observed


def test_report_has_a_table_of_labels_and_no_confusion(served: _Served, tmp_path: Path) -> None:
    summary = score_folder(ScoreJob(served.folder, served.bundle, tmp_path, ScoringSettings()), "run", lambda: NOW)
    verdict = Verdict(subject="manifest", findings=())
    page = render_report(
        RunRecords(
            folder=served.folder,
            card=served.bundle.card,
            scorecard=served.bundle.scorecard,
            manifest=table_of([{"path": "p.png", "labels": [], "status": "ok"}], MANIFEST),
            split=served.split,
            plan=plan_resampling(served.split, ResamplingSettings()),
            data_verdict=verdict,
            split_verdict=verdict,
            gate_verdict=verdict,
            summary=summary,
            predictions=OutputStore(tmp_path).read(),
        )
    )
    assert "<h2>Confusion</h2>" not in page
    assert "<tr><td>blue</td><td>24</td><td>2</td><td>0</td><td>24</td></tr>" in page
    assert "is blue, got green, red; wrong by 2." in page
    assert "<br>(none)</figcaption>" in page or "<br>red</figcaption>" in page
    assert "mean average precision" in page


def test_terminal_shows_f1_of_each_label(served: _Served, capsys: pytest.CaptureFixture[str]) -> None:
    answer = model_answer(served.workspace, "colours")
    assert answer["task"] == "multi_label"
    show_scores(answer)
    shown = capsys.readouterr().out
    for text in ("whole sets of labels right", "mean average precision", "F1 blue (n=26)"):
        assert text in shown
    assert "recall" not in shown


@pytest.mark.parametrize("schema", [EVALUATION, PREDICTIONS])
def test_table_of_an_earlier_version_says_which_it_is(schema: pa.Schema) -> None:
    name = schema.metadata[b"schema"].decode()
    old_name = name.replace("/2", "/1")
    old = schema.remove(schema.get_field_index("labels")).with_metadata({"schema": old_name})
    with pytest.raises(ContractBroken, match=f"a table of {old_name} has columns .* the columns of {name}: "):
        decode_table(encode_table(old.empty_table()), schema)
