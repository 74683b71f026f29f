"""How a model runs fastest on this machine: threads, threads a picture and graph level, measured once and kept."""

from __future__ import annotations

import hashlib
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort
from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import write_durably
from models.artifacts.records import ModelCard, Variant
from models.data.decode import decode_rgb
from models.data.limits import DecodeLimits
from models.data.preprocess import Preprocess
from models.parallel import map_in_threads, usable_cores
from models.serving.session import GraphLevel, ImageSession, SessionSettings

# Another option than the default has to be worth its name; clocks are noisy.
_WORTH = 1.05
_ROUNDS = 3


class Option(NamedTuple):
    """Threads side by side, threads of each, and how far the graph is rewritten."""

    threads: int
    intra_threads: int
    graph_level: GraphLevel

    @property
    def session(self) -> SessionSettings:
        """The settings of its session."""
        return SessionSettings(intra_threads=self.intra_threads, graph_level=self.graph_level)


class Tuning(BaseModel):
    """What runs fastest here.

    Attributes:
        pictures_per_s: of every option that was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    option: Option
    pictures_per_s: dict[str, float]


def tuned(onnx_bytes: bytes, card: ModelCard, files: Sequence[bytes], folder: Path) -> Tuning:
    """The tuning of a model on this machine, measured where `folder` does not hold it yet.

    Args:
        onnx_bytes: the model.
        card: its card.
        files: pictures to measure with.
        folder: where tunings are kept.
    """
    known = (onnx_bytes, ort.__version__.encode(), _machine())
    path = folder / f"{hashlib.sha256(b'/'.join(known)).hexdigest()[:24]}.json"
    if path.is_file():
        return Tuning.model_validate_json(path.read_bytes())
    found = measure(onnx_bytes, card, files)
    write_durably(path, found.model_dump_json(indent=1).encode())
    return found


def measure(onnx_bytes: bytes, card: ModelCard, files: Sequence[bytes]) -> Tuning:
    """The fastest option, decoding included, by the median of rounds that take turns; a few seconds."""
    default, *others = options(usable_cores(), card.variant)
    sessions = {option: ImageSession(onnx_bytes, option.session) for option in (default, *others)}
    rates: dict[Option, list[float]] = {option: [] for option in sessions}
    for _ in range(_ROUNDS):
        for option, session in sessions.items():
            rates[option].append(rate(session, card.preprocess, files, option.threads))
    medians = {option: statistics.median(values) for option, values in rates.items()}
    best = max(medians, key=lambda option: medians[option])
    chosen = best if medians[best] > _WORTH * medians[default] else default
    named = {f"{o.threads} x {o.intra_threads}, {o.graph_level}": round(value, 1) for o, value in medians.items()}
    return Tuning(option=chosen, pictures_per_s=named)


def options(cores: int, variant: Variant) -> list[Option]:
    """The default first: a picture a core; else all cores a picture, or a graph that is rewritten less.

    One picture a call in all of them: on a CPU an answer in a block would depend on its neighbours in its last bits.
    """
    found = [Option(cores, 1, "all")]
    # In integers, another graph rounds otherwise.
    found += [Option(cores, 1, "extended")] if variant in ("float", "student") else []
    return [*found, Option(1, cores, "all")] if cores > 1 else found


def rate(session: ImageSession, preprocess: Preprocess, files: Sequence[bytes], threads: int) -> float:
    """Pictures a second, from a file's bytes to its answer."""

    def answer(data: bytes) -> None:
        rgb, _, _ = decode_rgb(data, DecodeLimits().max_pixels, preprocess.draft_px)
        session.run(preprocess.apply(rgb), ("probabilities",))

    started = time.perf_counter()
    for _ in map_in_threads(answer, [*files, *files], threads=threads):
        pass
    return 2 * len(files) / (time.perf_counter() - started)


def _machine() -> bytes:
    """What tells one machine from another that would be tuned otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}:{usable_cores()}".encode()
