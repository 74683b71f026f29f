"""What people decide about a model: a candidate approved or rejected, a champion taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from models.artifacts.records import RegistryEvent
from models.data.limits import DecodeLimits
from models.errors import SettingsError
from models.serving.bundle import Bundle
from models.serving.golden import check_golden
from models.serving.history import Deed, Entry
from models.serving.picture_scorer import PictureScorer
from models.serving.registry import Registry, entry_of
from models.serving.standing import CROWNING, Standing

Decision = Literal["approve", "reject"]
_SHOWN_DIGITS = 12


def named_deed(at: datetime, by: str, reason: str) -> Deed:
    """A deed of somebody who gave a name and a reason.

    Raises:
        SettingsError: one of the two is empty.
    """
    missing = [word for word, text in (("by", by), ("reason", reason)) if not text.strip()]
    if missing:
        raise SettingsError(
            f"{' and '.join(missing)} of the decision empty", "who decides, and why", "Fill in the fields of the form."
        )
    return Deed(at, reason.strip(), by.strip())


def decide(registry: Registry, name: str, decision: Decision, deed: Deed, wanted: str = "") -> str:
    """Digest of the candidate that was approved, and is champion, or rejected.

    Raises:
        SettingsError: as `approve`.
        ArtifactError: as `approve`.
    """
    if decision == "approve":
        return approve(registry, name, deed, wanted).sha256
    return reject(registry, name, deed, wanted).bundle_sha256


def approve(registry: Registry, name: str, deed: Deed, wanted: str = "") -> Bundle:
    """The candidate's bundle, now champion.

    Args:
        registry: holds the candidate.
        name: of the model.
        deed: who approves, when and why.
        wanted: how the digest of the bundle begins that was looked at; empty for whichever waits.

    Raises:
        SettingsError: no candidate waits, or another one than `wanted`.
        ArtifactError: its files are gone, are not what they were, or answer otherwise on this machine.
    """
    with registry.hold(name) as held:
        candidate = _waiting(name, held.now.standing, wanted)
        bundle = registry.open_bundle(name, candidate.bundle_sha256)
        _require_same_answers(bundle)
        deed = deed._replace(verdict_sha256=candidate.verdict_sha256)
        held.record(entry_of("approved", bundle, deed), entry_of("promoted", bundle, deed))
    return bundle


def reject(registry: Registry, name: str, deed: Deed, wanted: str = "") -> RegistryEvent:
    """Event by which the candidate waits no longer; the champion stays, and the bundle is not read.

    Raises:
        SettingsError: as `approve`.
    """
    with registry.hold(name) as held:
        candidate = _waiting(name, held.now.standing, wanted)
        deed = deed._replace(verdict_sha256=candidate.verdict_sha256)
        held.record(Entry("rejected", candidate.bundle_sha256, candidate.macro_f1, deed))
        return held.now.history.events[-1]


def roll_back(registry: Registry, name: str, deed: Deed, to: str = "") -> Bundle:
    """The bundle of an earlier champion, now champion again; the next scoring run uses it.

    It has to read and to answer its golden pictures on this machine before the pointer moves. Champions that somebody
    went back from are passed over, unless `to` names one.

    Args:
        registry: holds the champions.
        name: of the model.
        deed: who goes back, when and why.
        to: how the digest of the bundle begins; empty for the champion before.

    Raises:
        SettingsError: there is no such champion.
        ArtifactError: its bundle is gone, was altered, or answers otherwise here; the champion stays.
    """
    with registry.hold(name) as held:
        events = held.now.history.events
        sha256 = _named_champion(name, events, held.now.standing, to) if to else _before(name, held.now.standing)
        bundle = registry.open_bundle(name, sha256)
        _require_same_answers(bundle)
        crowned = [e for e in events if e.bundle_sha256 == sha256 and e.event in CROWNING]
        deed = deed._replace(verdict_sha256=crowned[-1].verdict_sha256)
        held.record(entry_of("rolled_back", bundle, deed))
    return bundle


def _waiting(name: str, standing: Standing, wanted: str) -> RegistryEvent:
    if standing.candidate is None:
        raise SettingsError(
            f"no candidate of {name} waits", "a bundle that waits for a person", "See `sortline models history`."
        )
    if not standing.candidate.bundle_sha256.startswith(wanted.lower()):
        raise SettingsError(
            f"the candidate of {name} is {standing.candidate.bundle_sha256[:_SHOWN_DIGITS]}",
            f"{wanted}, as it was asked for",
            "Look at the one that waits now, and decide about that.",
        )
    return standing.candidate


def _before(name: str, standing: Standing) -> str:
    if standing.before is None:
        raise SettingsError(
            f"{name} has no earlier champion to go back to",
            "one that nobody went back from and that is still kept",
            "See `sortline models history`; --to names any champion whose bundle is still there.",
        )
    return standing.before.bundle_sha256


def _named_champion(name: str, events: tuple[RegistryEvent, ...], standing: Standing, to: str) -> str:
    crowned = {e.bundle_sha256 for e in events if e.event in CROWNING} - standing.retired
    if standing.champion is not None:
        crowned.discard(standing.champion.bundle_sha256)
    found = sorted(sha256 for sha256 in crowned if sha256.startswith(to.lower()))
    if len(found) != 1:
        known = ", ".join(sorted(sha256[:_SHOWN_DIGITS] for sha256 in crowned)) or "none"
        raise SettingsError(
            f"{len(found)} earlier champions of {name} begin with {to}",
            f"exactly one of those that are kept: {known}",
            "Name more digits, or see `sortline models history`.",
        )
    return found[0]


def _require_same_answers(bundle: Bundle) -> None:
    # Bundles of before 0.2 have no golden pictures.
    if bundle.golden.num_rows:
        check_golden(bundle.golden, PictureScorer(bundle.onnx_bytes, DecodeLimits()))
