"""The adaptations of a model's champions to sites: written, found and taken away; the model's history is the truth.

sites/SITE/DIGEST.site.safetensors below the model's folder, one file a version; none is ever changed.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pyarrow as pa

from models.artifacts.records import RegistryEvent, RegistryEventName
from models.artifacts.tables import GOLDEN
from models.errors import ArtifactChanged, SettingsError
from models.serving.bundle import AppliedSite, Bundle
from models.serving.history import Deed, Entry
from models.serving.registry import Registry
from models.serving.scoring_settings import SITE_PATTERN, ScoringSettings
from models.serving.signature import UNSIGNED, SignatureSettings
from models.serving.site_file import SITE_NAME_LENGTH, SUFFIX, SiteFile, read_site_file, served_digest, write_site_file
from models.serving.site_graph import site_card, with_site
from models.serving.standing import adaptations

_log = logging.getLogger(__name__)


def open_scorer(registry: Registry, name: str, settings: ScoringSettings) -> Bundle:
    """What scores: the champion, or the bundle that a site is adapted from with that adaptation.

    A site goes on with the champion that it was proved with, until it is adapted anew.

    Raises:
        SettingsError: the model has no champion, or no such site.
        ArtifactChanged: what is read is not what it was.
    """
    if not settings.site:
        return registry.open_champion(name, settings.signature)
    event = current_adaptation(registry, name, settings.site)
    champion = registry.champion(name)
    if champion is not None and champion.bundle_sha256 != event.bundle_sha256:
        _log.warning(
            "site %s of %s scores with bundle %s, from which it was adapted; the champion is %s by now: adapt it anew",
            settings.site,
            name,
            event.bundle_sha256[:12],
            champion.bundle_sha256[:12],
        )
    return _opened(registry, name, event, settings.signature)


def open_served(registry: Registry, name: str, sha256: str, signature: SignatureSettings = UNSIGNED) -> Bundle:
    """What scored rows that name this digest: a bundle, or one with an adaptation that it has or had.

    Raises:
        ArtifactMissing: neither is there any more.
    """
    for event in registry.history(name):
        if event.event == "adapted" and served_digest(event.bundle_sha256, event.site_sha256) == sha256:
            return _opened(registry, name, event, signature)
    return registry.open_bundle(name, sha256, signature)


def at_site(bundle: Bundle, site: SiteFile) -> Bundle:
    """The bundle as it answers at a site.

    Raises:
        ArtifactChanged: the adaptation belongs to another bundle.
    """
    if site.record.bundle_sha256 != bundle.sha256 or site.path is None:
        raise ArtifactChanged(
            f"site {site.record.site} was adapted from bundle {site.record.bundle_sha256[:12]}",
            bundle.sha256[:12],
            f"Run `sortline adapt --name {bundle.card.name} --site {site.record.site}` anew.",
        )
    answers = pa.array(site.numbers.golden.tolist(), GOLDEN.field("probabilities").type)
    golden = bundle.golden.set_column(GOLDEN.get_field_index("probabilities"), GOLDEN.field("probabilities"), answers)
    return bundle._replace(
        sha256=site.served_sha256,
        onnx_bytes=with_site(bundle.onnx_bytes, bundle.card, site),
        card=site_card(bundle.card, site),
        baseline=site.baseline,
        golden=golden,
        site=AppliedSite(site.record.site, site.path, site.sha256, bundle.sha256),
    )


def keep_adaptation(registry: Registry, name: str, site: SiteFile, deed: Deed, *, is_accepted: bool) -> SiteFile:
    """The site file as it lies on disk; where it is accepted, it scores at its site from now on.

    The history says either; the same adaptation again changes nothing.
    """
    written = write_site_file(sites_dir(registry, name, site.record.site), site)
    event: RegistryEventName = "adapted" if is_accepted else "adaptation_refused"
    with registry.hold(name) as held:
        current = adaptations(held.now.history.events).get(site.record.site)
        if current is None or current.site_sha256 != written.sha256:
            held.record(_entry(event, held.now.history.events, written, deed))
    return written


def remove_site(registry: Registry, name: str, site: str, deed: Deed) -> str:
    """Digest of the adaptation that scores at the site no longer; its file stays, so that it can be restored."""
    with registry.hold(name) as held:
        event = _required(adaptations(held.now.history.events), name, site)
        held.record(
            Entry("site_removed", event.bundle_sha256, event.macro_f1, deed, site=site, site_sha256=event.site_sha256)
        )
    return event.site_sha256


def restore_site(registry: Registry, name: str, site: str, begins: str, deed: Deed) -> str:
    """Digest of an earlier adaptation that scores at the site again.

    Args:
        registry: holds the model.
        name: of the model.
        site: its name.
        begins: how the digest of the adaptation begins; empty: the one before the present one.
        deed: who restores it, and why.

    Raises:
        SettingsError: no earlier adaptation of the site, or more than one, begins so.
        ArtifactChanged: its file or bundle is not what it was.
    """
    with registry.hold(name) as held:
        events = held.now.history.events
        current = adaptations(events).get(site)
        earlier = {e.site_sha256: e for e in events if e.event == "adapted" and e.site == site}
        if current is not None:
            earlier.pop(current.site_sha256)
        found = [e for sha256, e in earlier.items() if sha256.startswith(begins)]
        if not found or (begins and len(found) > 1):
            raise SettingsError(
                f"{len(found)} earlier adaptations of {name} to {site} begin with {begins or 'anything'}",
                "one",
                f"See `sortline sites show {site} --name {name}`.",
            )
        _opened(registry, name, found[-1], UNSIGNED)
        entry = Entry("adapted", found[-1].bundle_sha256, found[-1].macro_f1, deed, site, found[-1].site_sha256)
        held.record(entry)
    return found[-1].site_sha256


def current_adaptation(registry: Registry, name: str, site: str) -> RegistryEvent:
    """The event of the adaptation that scores at a site.

    Raises:
        SettingsError: there is none.
    """
    return _required(adaptations(registry.history(name)), name, site)


def open_site_file(registry: Registry, name: str, event: RegistryEvent) -> SiteFile:
    """The site file that an event names, checked."""
    return read_site_file(site_path(registry, name, event), event.site_sha256)


def sites_dir(registry: Registry, name: str, site: str) -> Path:
    """Where the adaptations of a model to one site lie.

    Raises:
        SettingsError: the site's name has other characters than a-z, 0-9 and dash.
    """
    if not site or not re.fullmatch(SITE_PATTERN, site):
        raise SettingsError(f"site name {site!r}", "a-z, 0-9 and dashes, at most 63", "Choose another --site.")
    return registry.folder(name) / "sites" / site


def site_path(registry: Registry, name: str, event: RegistryEvent) -> Path:
    """Where the site file that an event names lies, or would."""
    return sites_dir(registry, name, event.site) / f"{event.site_sha256[:SITE_NAME_LENGTH]}{SUFFIX}"


def _opened(registry: Registry, name: str, event: RegistryEvent, signature: SignatureSettings) -> Bundle:
    bundle = registry.open_bundle(name, event.bundle_sha256, signature)
    return at_site(bundle, open_site_file(registry, name, event))


def _entry(event: RegistryEventName, events: tuple[RegistryEvent, ...], site: SiteFile, deed: Deed) -> Entry:
    numbers = {e.bundle_sha256: e.macro_f1 for e in events}
    record = site.record
    return Entry(
        event,
        record.bundle_sha256,
        numbers.get(record.bundle_sha256, 0.0),
        deed,
        record.site,
        site.sha256,
    )


def _required(found: dict[str, RegistryEvent], name: str, site: str) -> RegistryEvent:
    if site not in found:
        known = ", ".join(found) or "none"
        raise SettingsError(
            f"model {name} is not adapted to a site {site!r} (known: {known})",
            "a site that it was adapted to",
            f"Run `sortline adapt FOLDER --name {name} --site {site}` first, or leave --site out.",
        )
    return found[site]
