"""How a model runs fastest on this machine: threads, threads a picture and graph level, measured once and kept."""

from __future__ import annotations

import hashlib
import platform
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.artifacts.durable import write_durably
from models.artifacts.records import ModelCard
from models.parallel import map_in_threads, usable_cores
from models.serving.session import GraphLevel, ImageSession, SessionSettings

# Another option than the default has to be worth its name; clocks are noisy.
_WORTH = 1.05
_ROUNDS, _ROUND_PICTURES = 3, 24
_BLOCKS = (4, 16)
Pixels = NDArray[np.uint8]


class Option(NamedTuple):
    """Threads side by side, threads of each, and how far the graph is rewritten."""

    threads: int
    intra_threads: int
    graph_level: GraphLevel


class Tuning(BaseModel):
    """What runs fastest here.

    Attributes:
        pictures_per_s: of every option that was measured, without decoding.
        block_pictures_per_s: of the default in blocks of several pictures. Blocks are not used on a CPU: an answer
            would depend on its neighbours in its last bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int
    intra_threads: int
    graph_level: GraphLevel
    pictures_per_s: dict[str, float]
    block_pictures_per_s: dict[str, float]


def tuned(onnx_bytes: bytes, card: ModelCard, folder: Path) -> Tuning:
    """The tuning of a model on this machine, measured where `folder` does not hold it yet."""
    known = (onnx_bytes, platform.processor().encode(), ort.__version__.encode(), _machine())
    path = folder / f"{hashlib.sha256(b'/'.join(known)).hexdigest()[:24]}.json"
    if path.is_file():
        return Tuning.model_validate_json(path.read_bytes())
    found = measure(onnx_bytes, card)
    write_durably(path, found.model_dump_json(indent=1).encode())
    return found


def measure(onnx_bytes: bytes, card: ModelCard) -> Tuning:
    """The fastest option, on random pictures, by the median of rounds that take turns; a few seconds."""
    size = (_ROUND_PICTURES, card.preprocess.height_px, card.preprocess.width_px, 3)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    default, *others = options(usable_cores())
    sessions = {option: ImageSession(onnx_bytes, settings_of(option)) for option in (default, *others)}
    rates: dict[Option, list[float]] = {option: [] for option in sessions}
    for _ in range(_ROUNDS):
        for option, session in sessions.items():
            rates[option].append(rate(session, pixels, option.threads, 1))
    medians = {option: statistics.median(values) for option, values in rates.items()}
    best = max(medians, key=lambda option: medians[option])
    chosen = best if medians[best] > _WORTH * medians[default] else default
    blocks = {str(rows): round(rate(sessions[default], pixels, default.threads, rows), 1) for rows in _BLOCKS}
    named = {f"{o.threads} x {o.intra_threads}, {o.graph_level}": round(value, 1) for o, value in medians.items()}
    return Tuning(**chosen._asdict(), pictures_per_s=named, block_pictures_per_s=blocks)


def options(cores: int) -> list[Option]:
    """The default first: a picture a core; else all cores a picture, or a graph that is rewritten less."""
    found = [Option(cores, 1, "all"), Option(cores, 1, "extended"), Option(1, cores, "all")]
    return found if cores > 1 else found[:2]


def settings_of(option: Option) -> SessionSettings:
    """The session's settings of an option."""
    return SessionSettings(intra_threads=option.intra_threads, graph_level=option.graph_level)


def rate(session: ImageSession, pixels: Pixels, threads: int, block_rows: int) -> float:
    """Pictures a second, without decoding."""
    blocks = [pixels[k : k + block_rows] for k in range(0, len(pixels), block_rows)]
    started = time.perf_counter()
    for _ in map_in_threads(lambda block: session.run_block(block, ("probabilities",)), blocks, threads=threads):
        pass
    return len(pixels) / (time.perf_counter() - started)


def _machine() -> bytes:
    """What tells one machine from another that would be tuned otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}:{usable_cores()}".encode()
