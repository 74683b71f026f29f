"""The registry of models: its chain, its pointer, decisions, rollback and retention."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from models.artifacts.durable import exclusive_lock
from models.artifacts.records import Finding, RegistryEvent, Verdict
from models.artifacts.ref import seal_record
from models.artifacts.workspace import Workspace
from models.errors import ArtifactChanged, ArtifactMissing, GateFailed, OutputBusy, SettingsError
from models.serving.bundle import Bundle
from models.serving.decisions import approve, reject, roll_back
from models.serving.history import NO_LINE_BEFORE, Entry, add_events, read_history
from models.serving.ledger import Ledger
from models.serving.registry import Registry
from models.serving.registry_check import verify_registry
from models.serving.retention import retire
from models.serving.score import ScoreJob, ScoringSettings, score_folder
from models.serving.standing import standing_of
from tests.conftest import MODEL, NOW
from tests.pictures import write_inbox
from tests.registry_cases import DEED, bundle_named
from validation.verdicts import ApprovalSettings, promote_or_refuse

OLD_LINE = (
    b'{"sequence":%d,"at":"2026-01-01T00:00:00+00:00","event":"promoted","bundle_sha256":"%s",'
    b'"macro_f1":0.5,"reason":"good"}\n'
)
GOOD = Finding(rule="f1", severity="critical", outcome="passed", observed="0.9", limit="at least 0.8")
BAD = GOOD.model_copy(update={"outcome": "failed"})


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def three(champion: Bundle, place: Workspace) -> list[Bundle]:
    """Bundles a, b and c, promoted in that order."""
    bundles = [bundle_named(champion, place, split) for split in "abc"]
    for bundle in bundles:
        Registry(place).promote(MODEL, bundle, NOW, "good")
    return bundles


def history_file(place: Workspace) -> Path:
    return place.model_dir(MODEL) / "history.jsonl"


def pointer_file(place: Workspace) -> Path:
    return place.model_dir(MODEL) / "champion.json"


def events(place: Workspace) -> list[str]:
    return [event.event for event in Registry(place).history(MODEL)]


def champion_of(place: Workspace) -> str:
    found = Registry(place).champion(MODEL)
    assert found is not None
    return found.bundle_sha256


# The chain


def test_each_line_names_the_line_before_it_and_who_did_what(three: list[Bundle], place: Workspace) -> None:
    history = read_history(history_file(place))
    assert [event.prev_sha256 for event in history.events] == [NO_LINE_BEFORE, history.digest(1), history.digest(2)]
    assert "@" in history.events[0].by
    assert (history.linked_from, history.torn_bytes) == (1, 0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"reason":"good"', b'"reason":"best"', "line 2 .* does not name the line before it"),
        (b'"sequence":1', b'"sequence":7', "line 1 .* has sequence 7"),
        (b'"event":"promoted"', b'"event":"crowned"', "line 1 .* does not read"),
    ],
)
def test_altered_line_refuses_to_score_and_to_promote(
    three: list[Bundle], place: Workspace, old: bytes, new: bytes, words: str
) -> None:
    history_file(place).write_bytes(history_file(place).read_bytes().replace(old, new, 1))
    with pytest.raises(ArtifactChanged, match=words):
        Registry(place).open_champion(MODEL)
    with pytest.raises(ArtifactChanged, match=words):
        Registry(place).promote(MODEL, three[0], NOW, "again")
    assert [check.is_good for check in verify_registry(place, MODEL)] == [False]


def test_last_line_that_was_altered_is_not_what_the_pointer_names(three: list[Bundle], place: Workspace) -> None:
    head, last = history_file(place).read_bytes().rsplit(b"\n", 2)[:2]
    history_file(place).write_bytes(head + b"\n" + last.replace(b"good", b"best") + b"\n")
    with pytest.raises(ArtifactChanged, match="names event 3 as it was before"):
        Registry(place).open_champion(MODEL)


def test_history_of_an_older_version_reads_and_the_chain_begins_behind_it(champion: Bundle, place: Workspace) -> None:
    bundle = bundle_named(champion, place, "a")
    history_file(place).write_bytes(OLD_LINE % (1, b"0" * 64) + OLD_LINE % (2, bundle.sha256.encode()))
    pointer_file(place).write_text(json.dumps({"sequence": 2, "bundle_sha256": bundle.sha256}))
    assert Registry(place).open_champion(MODEL).sha256 == bundle.sha256
    assert "as before 0.3" in verify_registry(place, MODEL)[0].found
    Registry(place).refuse(MODEL, bundle, NOW, "too weak")
    assert read_history(history_file(place)).linked_from == 3
    assert history_file(place).read_bytes().startswith(OLD_LINE % (1, b"0" * 64))
    assert "linked from event 3" in verify_registry(place, MODEL)[0].found


def test_torn_last_line_is_no_event_and_is_cut_by_the_next_writer(three: list[Bundle], place: Workspace) -> None:
    whole = history_file(place).read_bytes()
    history_file(place).write_bytes(whole + whole.splitlines()[0][:40])
    assert events(place) == ["promoted"] * 3
    assert "40 bytes of an event that was cut off" in verify_registry(place, MODEL)[0].found
    with Registry(place).hold(MODEL):
        assert history_file(place).read_bytes() == whole
    history_file(place).write_bytes(whole[:-1])
    assert events(place) == ["promoted"] * 3


# The pointer


def test_pointer_that_a_kill_left_behind_follows_the_history(three: list[Bundle], place: Workspace) -> None:
    before = pointer_file(place).read_bytes()
    roll_back(Registry(place), MODEL, DEED)
    after = pointer_file(place).read_bytes()
    pointer_file(place).write_bytes(before)
    assert champion_of(place) == three[1].sha256
    assert "is behind" in verify_registry(place, MODEL)[1].found
    with Registry(place).hold(MODEL):
        assert pointer_file(place).read_bytes() == after
    pointer_file(place).unlink()
    assert champion_of(place) == three[1].sha256


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"sequence": 3, "bundle_sha256": "BUNDLE"}', "which event 3 did not promote"),
        ('{"sequence": 4, "bundle_sha256": "BUNDLE"}', "did not promote"),
        ('{"sequence": 9, "bundle_sha256": "BUNDLE"}', "names event 9, and the history has 4"),
        ("{", "does not read"),
    ],
)
def test_bundle_that_was_not_promoted_does_not_score(
    champion: Bundle, three: list[Bundle], place: Workspace, content: str, words: str
) -> None:
    registry, weak = Registry(place), bundle_named(champion, place, "weak")
    registry.refuse(MODEL, weak, NOW, "too weak")
    pointer_file(place).write_text(content.replace("BUNDLE", weak.sha256))
    with pytest.raises(ArtifactChanged, match=words):
        registry.open_champion(MODEL)
    pointer_file(place).unlink()
    assert registry.open_champion(MODEL).sha256 == three[2].sha256


def test_pointer_without_a_history_does_not_score(three: list[Bundle], place: Workspace) -> None:
    history_file(place).unlink()
    with pytest.raises(ArtifactChanged, match="names event 3, and the history has 0"):
        Registry(place).open_champion(MODEL)


def test_writer_waits_for_another_and_gives_up_in_the_end(three: list[Bundle], place: Workspace) -> None:
    code = (
        "import sys, time; from pathlib import Path; from models.artifacts.durable import exclusive_lock\n"
        "with exclusive_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(0.3)"
    )
    lock = place.model_dir(MODEL) / ".lock"
    with subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        Registry(place).refuse(MODEL, three[0], NOW, "too weak")
    assert events(place)[-1] == "refused"
    ledger = Ledger(place.model_dir(MODEL))
    with exclusive_lock(lock), pytest.raises(OutputBusy), ledger.hold(patience_s=0.05):
        pass


def test_bundle_that_was_deleted_meanwhile_is_not_promoted(champion: Bundle, place: Workspace) -> None:
    bundle = bundle_named(champion, place, "a")
    shutil.rmtree(bundle.folder)
    with pytest.raises(ArtifactMissing):
        Registry(place).promote(MODEL, bundle, NOW, "good")
    assert Registry(place).champion(MODEL) is None


# Decisions


def test_candidate_waits_until_a_person_approves_it(champion: Bundle, three: list[Bundle], place: Workspace) -> None:
    registry, new = Registry(place), bundle_named(champion, place, "new")
    sealed = seal_record(place, "verdict", Verdict(subject="candidate", findings=(GOOD,)))
    verdict = Verdict(subject="candidate", findings=(GOOD,))
    asked = (registry, new, verdict, NOW, ApprovalSettings(by_person=True), sealed.sha256)
    assert promote_or_refuse(*asked) == "candidate"
    assert promote_or_refuse(*asked) == "candidate"
    assert champion_of(place) == three[2].sha256
    with pytest.raises(SettingsError, match="as it was asked for"):
        approve(registry, MODEL, DEED, three[0].sha256[:12])
    assert approve(registry, MODEL, DEED, new.sha256[:12].upper()).sha256 == new.sha256
    assert champion_of(place) == new.sha256
    assert events(place)[3:] == ["candidate", "approved", "promoted"]
    last = registry.history(MODEL)[-1]
    assert (last.by, last.verdict_sha256) == ("mara", sealed.sha256)
    assert all(check.is_good for check in verify_registry(place, MODEL))
    sealed.path.write_text("{}")
    assert not verify_registry(place, MODEL)[3].is_good
    assert promote_or_refuse(*asked) == "champion"


def test_rejected_candidate_waits_no_longer(champion: Bundle, three: list[Bundle], place: Workspace) -> None:
    registry, new = Registry(place), bundle_named(champion, place, "new")
    registry.propose(MODEL, new, DEED)
    assert reject(registry, MODEL, DEED).bundle_sha256 == new.sha256
    assert champion_of(place) == three[2].sha256
    with pytest.raises(SettingsError, match="no candidate of shapes waits"):
        approve(registry, MODEL, DEED)
    with pytest.raises(SettingsError, match="no-such has no history"):
        reject(registry, "no-such", DEED)
    assert not registry.folder("no-such").exists()


def test_refused_verdict_promotes_nothing(champion: Bundle, three: list[Bundle], place: Workspace) -> None:
    new = bundle_named(champion, place, "new")
    verdict = Verdict(subject="candidate", findings=(BAD,))
    with pytest.raises(GateFailed):
        promote_or_refuse(Registry(place), new, verdict, NOW, ApprovalSettings(), "f" * 64)
    assert (champion_of(place), events(place)[-1]) == (three[2].sha256, "refused")
    assert Registry(place).history(MODEL)[-1].verdict_sha256 == "f" * 64


# Rollback


def test_rollback_passes_over_those_that_somebody_went_back_from(three: list[Bundle], place: Workspace) -> None:
    registry = Registry(place)
    a, b, c = (bundle.sha256 for bundle in three)
    assert roll_back(registry, MODEL, DEED).sha256 == b
    registry.promote(MODEL, three[0], NOW, "good again")
    assert roll_back(registry, MODEL, DEED).sha256 == b
    with pytest.raises(SettingsError, match="no earlier champion to go back to"):
        roll_back(registry, MODEL, DEED)
    assert champion_of(place) == b
    assert roll_back(registry, MODEL, DEED, to=c[:8]).sha256 == c
    with pytest.raises(SettingsError, match=f"0 earlier champions .* begin with {c[:8]}.*{a[:12]}"):
        roll_back(registry, MODEL, DEED, to=c[:8])


def test_rollback_does_not_move_to_a_bundle_that_was_altered(three: list[Bundle], place: Workspace) -> None:
    card = three[1].folder / "card.md"
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(ArtifactChanged, match=r"card\.md has other bytes"):
        roll_back(Registry(place), MODEL, DEED)
    assert (champion_of(place), events(place)) == (three[2].sha256, ["promoted"] * 3)
    assert not verify_registry(place, MODEL)[2].is_good


def test_next_scoring_run_obeys_a_rollback(three: list[Bundle], place: Workspace, tmp_path: Path) -> None:
    inbox = write_inbox(tmp_path / "inbox", 3, damaged=False)

    def scored_by() -> str:
        bundle = Registry(place).open_champion(MODEL)
        job = ScoreJob(inbox, bundle, tmp_path / "out", ScoringSettings(), place.tuning_dir)
        return score_folder(job, str(uuid.uuid4())).bundle_sha256

    assert scored_by() == three[2].sha256
    roll_back(Registry(place), MODEL, DEED)
    assert scored_by() == three[1].sha256


def test_training_the_same_bundle_again_does_not_undo_a_rollback(three: list[Bundle], place: Workspace) -> None:
    verdict = Verdict(subject="candidate", findings=(GOOD,))
    roll_back(Registry(place), MODEL, DEED)
    assert promote_or_refuse(Registry(place), three[2], verdict, NOW, ApprovalSettings()) == "candidate"
    assert champion_of(place) == three[1].sha256
    approve(Registry(place), MODEL, DEED)
    assert not standing_of(Registry(place).history(MODEL)).withdrawn


# Retention


def test_retention_deletes_all_but_champion_candidate_and_those_before(
    champion: Bundle, three: list[Bundle], place: Workspace
) -> None:
    registry, waiting = Registry(place), bundle_named(champion, place, "waiting")
    refused, unjudged = bundle_named(champion, place, "refused"), bundle_named(champion, place, "unjudged")
    registry.refuse(MODEL, refused, NOW, "too weak")
    registry.propose(MODEL, waiting, DEED)
    with pytest.raises(SettingsError, match="at least 1"):
        retire(registry, MODEL, DEED, keep=0)
    gone = retire(registry, MODEL, DEED, keep=1)
    assert [entry.bundle_sha256 for entry in gone] == [three[0].sha256, refused.sha256]
    assert gone[0].size_bytes > 0
    left = {path.name for path in registry.bundles_dir(MODEL).iterdir()}
    assert left == {bundle.folder.name for bundle in (*three[1:], waiting, unjudged)}
    assert events(place)[-2:] == ["retired", "retired"]
    assert retire(registry, MODEL, DEED, keep=1) == []
    roll_back(registry, MODEL, DEED)
    with pytest.raises(SettingsError, match="no earlier champion"):
        roll_back(registry, MODEL, DEED)


def test_retention_that_was_interrupted_goes_on(three: list[Bundle], place: Workspace) -> None:
    registry = Registry(place)
    with registry.hold(MODEL) as held:
        held.record(Entry("retired", three[0].sha256, 0.5, DEED))
    (three[0].folder / "manifest.json").unlink()
    assert [entry.bundle_sha256 for entry in retire(registry, MODEL, DEED, keep=1)] == [three[0].sha256]
    assert not three[0].folder.exists()
    assert events(place) == ["promoted"] * 3 + ["retired"]


def test_events_that_belong_together_appear_together(place: Workspace) -> None:
    path = history_file(place)
    first = add_events(path, read_history(path), [Entry("approved", "a" * 64, 0.5, DEED)] * 2)
    assert first == read_history(path)
    assert [RegistryEvent.model_validate_json(line).sequence for line in first.lines] == [1, 2]
