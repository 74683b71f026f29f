"""What happened to a model, as events that automations can act on. They are told where Prefect listens."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.events import emit_event

DRIFT_FOUND = "sortline.drift.found"
CANDIDATE_WAITS = "sortline.candidate.waits"
CHAMPION_CHANGED = "sortline.champion.changed"
FILES_FAILED = "sortline.files.failed"
SITE_ADAPTED = "sortline.site.adapted"
SITE_REFUSED = "sortline.site.refused"


def tell_event(event: str, model_name: str, payload: Mapping[str, object]) -> None:
    """Tells of something about a model; every payload has its name."""
    emit_event(
        event=event,
        resource={"prefect.resource.id": f"sortline.model.{model_name}", "prefect.resource.name": model_name},
        payload={"name": model_name, **payload},
    )
