"""Where a bundle's model looked in single pictures: a map and a picture of it for the class that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.decode import read_picture
from models.data.limits import DecodeLimits
from models.errors import UnreadableImage
from models.judging.explain_settings import ExplainSettings
from models.judging.map_makers import MapMaker, map_maker
from models.judging.overlay import overlay_png, shown_size
from models.parallel import OnProgress, map_in_threads, no_progress
from models.serving.bundle import Bundle
from models.serving.session import ImageSession

DEFAULT = ExplainSettings()


class Explanation(NamedTuple):
    """Where a model looked in one picture.

    Attributes:
        status: ok, or why there is no map: status and reason as in the table of predictions.
        label: the class that the model names, and that the map is about; with several labels the likeliest.
        score: its probability, 0..1.
        method: activation or occlusion.
        source: the model file that the map was made with.
        largest_drop: of the probability where occlusion hides a place, averaged as in the map; None for activation.
        heat: (H, W) float32 over the pixels of the contract; above zero speaks for the class, below against it.
        picture: RGB, as large as the overlay.
        overlay: PNG bytes of the map on the picture; empty where there is none.
    """

    path: Path
    status: str
    label: str = ""
    score: float | None = None
    method: str = ""
    source: str = ""
    largest_drop: float | None = None
    heat: NDArray[np.float32] | None = None
    picture: Image.Image | None = None
    overlay: bytes = b""


def explained(
    paths: Sequence[Path],
    bundle: Bundle,
    settings: ExplainSettings = DEFAULT,
    on_progress: OnProgress = no_progress,
) -> tuple[Explanation, ...]:
    """One explanation a path, in their order; a file that is no picture has its status and no map.

    Args:
        paths: of the files.
        bundle: whose served model answers.
        settings: how maps are made.
        on_progress: is told after each picture.

    Raises:
        SettingsError: activation maps are asked for, and the model has none.
        ArtifactChanged: the float model beside a rounded one is not the one that was sealed.
    """
    session = ImageSession(bundle.onnx_bytes)
    maker = map_maker(bundle, session, settings)
    found = []
    for explanation in map_in_threads(lambda path: _explained(path, bundle, session, maker), paths):
        found.append(explanation)
        on_progress(len(found), len(paths))
    return tuple(found)


def _explained(path: Path, bundle: Bundle, session: ImageSession, maker: MapMaker) -> Explanation:
    try:
        rgb = read_picture(path, DecodeLimits(), draft_px=bundle.card.preprocess.draft_px).rgb
    except UnreadableImage as error:
        return Explanation(path, f"{error.status}: {error.reason}")
    pixels, shown = bundle.card.preprocess.apply(rgb), shown_size(rgb)
    probabilities = session.run(pixels, ("probabilities",))["probabilities"]
    best = int(probabilities.argmax())
    made = maker(pixels, best)
    return Explanation(
        path=path,
        status="ok",
        label=bundle.card.classes[best],
        score=float(probabilities[best]),
        method="activation" if made.largest_drop is None else "occlusion",
        source=made.source,
        largest_drop=made.largest_drop,
        heat=made.heat,
        picture=shown,
        overlay=overlay_png(shown, made.heat),
    )
