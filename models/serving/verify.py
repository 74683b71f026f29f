"""Whether a bundle may be believed: digests, signature, what its model could do, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models.data.limits import DecodeLimits
from models.errors import SortlineError
from models.serving.bundle import Bundle, read_bundle
from models.serving.golden import check_golden, golden_files, pixels_of
from models.serving.lint import LINT_LIMITS
from models.serving.model_probe import probe_model
from models.serving.picture_scorer import PictureScorer
from models.serving.signature import UNSIGNED, SignatureSettings

_FINGERPRINT_DIGITS = 32


class Checked(NamedTuple):
    """One thing that was looked at, and what was found."""

    name: str
    is_good: bool
    found: str


def verify_bundle(folder: Path, signature: SignatureSettings = UNSIGNED) -> list[Checked]:
    """Every check on the bundle in `folder`; what rests on one that failed is not made.

    The model is read here, and loaded and asked in a process of its own with limited memory and time before it is here.
    """
    opened: list[Bundle] = []

    def read() -> str:
        opened.append(read_bundle(folder, signature))
        return f"{opened[0].card.name}, {opened[0].sha256[:12]}"

    checks: list[tuple[str, Callable[[], str]]] = [
        ("files, signature and operators", read),
        ("signed by", lambda: (opened[0].signed_by or "nobody whom the settings name")[:_FINGERPRINT_DIGITS]),
        ("runs within limits", lambda: _probed(opened[0])),
        ("answers golden pictures", lambda: _answered(opened[0])),
    ]
    found: list[Checked] = []
    for name, check in checks:
        try:
            found.append(Checked(name, True, check()))
        except SortlineError as error:
            return [*found, Checked(name, False, str(error))]
    return found


def _probed(bundle: Bundle) -> str:
    pixels = pixels_of(golden_files(bundle.golden), bundle.card.preprocess)
    probe_model(bundle.onnx_bytes, pixels, None, task=bundle.card.task, lint=LINT_LIMITS)
    return f"{len(pixels)} pictures in a process of its own"


def _answered(bundle: Bundle) -> str:
    largest = check_golden(bundle.golden, PictureScorer(bundle.onnx_bytes, DecodeLimits()))
    return f"{bundle.golden.num_rows} pictures, largest difference {largest:.1e}"
