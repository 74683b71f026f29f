"""From drift to a new champion and new rows, by events alone but for a person's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.artifacts.workspace import Workspace
from models.serving.commit import OutputStore
from models.serving.registry import Registry
from tests.chain import FAST
from tests.pictures import draw, write_labelled
from tests.server.site import Site

pytestmark = pytest.mark.server
MODEL = "my-model"
QUICK = {
    "training": FAST.model_dump(mode="json"),
    "compression": {"int8": False},
    "gate": {"relation": "not_worse"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("site")
    write_labelled(home / "labelled", {"down": 80, "round": 60, "side": 60})
    (home / "inbox").mkdir()
    running = Site(home)
    running.start()
    running.set_parameters("train", QUICK)
    running.set_parameters("score", {"scoring": {"settle_seconds": 0}})
    yield running
    assert "down" in running.stop()


def _arrive(home: Path, label: str, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for k in range(count):
        draw(label, rng).save(home / "inbox" / f"{label}-{seed}-{k:03}.png")


def test_drift_leads_to_a_new_champion_and_new_rows(site: Site) -> None:
    for seed, label in enumerate(("down", "round", "side")):
        _arrive(site.home, label, 25, seed)
    # The first model: nobody has to approve where there is nothing to lose.
    site.wait(site.run("train", {"approval": {"by_person": False}}))
    # A champion is news: the folder is scored without anybody asking.
    (first,) = site.wait_for_runs("score", 1)
    assert first["parameters"]["name"] == MODEL
    shown = site.artifacts(first["id"])
    assert {"scored-my-model", "scoring-my-model", "drift-my-model"} <= set(shown)
    assert shown["scoring-my-model"]["data"] == 100.0

    # The world changes, labels for it arrive, and the night's run scores it.
    _arrive(site.home, "side", 120, 9)
    write_labelled(site.home / "labelled", {"side": 90}, seed=9)
    night = site.run("score")
    site.wait(night)
    assert site.artifacts(night)["drift-plot-my-model"]["data"].startswith("data:image/svg+xml")
    registry = Registry(Workspace.open(site.workspace))
    assert [event.event for event in registry.history(MODEL)] == ["promoted"]
    trained = site.wait_for_runs("train", 2)
    assert [event.event for event in registry.history(MODEL)] == ["promoted", "candidate"]
    assert {"verdict-manifest", "verdict-candidate", "promotion-my-model"} <= set(site.artifacts(trained[1]["id"]))

    # A person says yes, in the form of the deployment.
    decision = {"name": MODEL, "decision": "approve", "by": "a.person", "reason": "it knows the new part"}
    site.wait(site.run("approve", decision))
    site.wait_for_runs("score", 3)
    events = registry.history(MODEL)
    assert [(event.event, event.by) for event in events][-1] == ("promoted", "a.person")
    rows = OutputStore(site.home / "predictions").read(columns=["path", "bundle_sha256"]).to_pylist()
    by_bundle = Counter(row["bundle_sha256"] for row in rows)
    assert by_bundle == {events[0].bundle_sha256: 195, events[-1].bundle_sha256: 195}


def test_a_site_and_weights_by_their_forms(site: Site) -> None:
    """Another camera, turned by a quarter, and ten labels a class; the model of the test above is its champion."""
    rng = np.random.default_rng(7)
    for label in ("down", "round", "side"):
        (site.home / "site" / label).mkdir(parents=True)
        for k in range(10):
            draw(label, rng).rotate(90).save(site.home / "site" / label / f"{k}.png")
    adapted = site.run("adapt", {"site": "north"})
    site.wait(adapted)
    assert "site-my-model-north" in site.artifacts(adapted)
    site.wait(site.run("score", {"folder": "site", "out": "north", "scoring": {"site": "north", "settle_seconds": 0}}))
    rows = OutputStore(site.home / "north").read(columns=["path", "label", "site"]).to_pylist()
    assert {row["site"] for row in rows} == {"north"}
    assert sum(row["label"] == row["path"].split("/")[0] for row in rows) >= 25
    pretrained = site.run("pretrain", {"folder": "labelled", "pretrain": {"method": "patches", "channels": 1}})
    site.wait(pretrained)
    assert "pretrain-my-weights" in site.artifacts(pretrained)
    assert (site.workspace / "weights" / "my-weights.safetensors").is_file()


def test_forms_refuse_what_no_run_could_do(site: Site) -> None:
    wishes: list[dict[str, dict[str, int]]] = [{"scoring": {"top_k": 0}}, {"scoring": {"typo": 1}}, {"scorring": {}}]
    for wrong in wishes:
        status, answer = site.start_run("score", wrong)
        assert status == 409, answer
        assert "Validation failed" in str(answer)


def test_server_has_what_the_files_say_after_a_restart(site: Site) -> None:
    before = site.deployment("score")["id"]
    site.stop()
    site.start()
    assert site.deployment("score")["id"] == before
    assert len(site.runs("train")) >= 2, "runs are remembered"
