"""Where runs that come over a network may read and write."""

from __future__ import annotations

import os

from models.artifacts.places import holds, place_of
from models.errors import SettingsError

ROOTS_VARIABLE = "SORTLINE_ROOTS"


def require_allowed(*places: str) -> None:
    """Refuses folders and addresses outside of the roots that this installation allows; without roots all are allowed.

    Whoever may start a run names its folders: on a shared server that must not be the whole disk.

    Raises:
        SettingsError: naming the folder and the roots.
    """
    roots = [root for root in os.environ.get(ROOTS_VARIABLE, "").split(";") if root]
    if not roots:
        return
    allowed = [place_of(root) for root in roots]
    outside = [text for text in places if not any(holds(root, place_of(text)) for root in allowed)]
    if outside:
        raise SettingsError(
            f"{', '.join(outside)} lies outside of what this installation allows",
            f"a place below {', '.join(roots)}, by {ROOTS_VARIABLE}",
            "Choose another folder, or have the installation allow it.",
        )
