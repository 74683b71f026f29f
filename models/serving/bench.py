"""How fast scoring is on a user's own pictures, stage by stage, and how near that is to what the machine can do.

Each stage is measured alone on one thread, warm. The bound is T* = S / (read + decode + resize + infer), S being how
many times the rate of one thread all threads together reach on that very mix: cores that share a clock, a cache or a
memory bus are fewer than they are called. The whole run then writes, checks and commits everything.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from models.data.decode import decode_rgb, light_of, read_file
from models.data.listing import list_entries
from models.data.look import detail_of
from models.errors import EmptyFolder, UnreadableImage
from models.parallel import OnProgress, no_progress, usable_cores
from models.serving.bundle import Bundle
from models.serving.picture_scorer import PictureScorer
from models.serving.score import ScoreJob, score_folder
from models.serving.scoring_settings import ScoringSettings

BOUND_STAGES = ("read", "decode", "resize", "infer")
ROUNDS = 3
_LEAST_FILES = 16
# Names that are looked at for a sample: of a folder of millions, its first ones.
_LOOKED_AT = 20_000
Value = TypeVar("Value")


class BenchReport(BaseModel):
    """What was measured.

    Attributes:
        files: pictures that were measured with; `mean_bytes` and `mean_pixels` are of them.
        stage_ms: median milliseconds a picture on one thread, by stage.
        threads: that scored side by side.
        scaling: rate of all threads over that of one, on reading, decoding, resizing and inferring.
        bound_per_s: T*, pictures a second.
        run_per_s: pictures a second of whole runs with everything on, from the first picture to the last commit.
        reached: share of the bound that whole runs reach; median of rounds that take turns.
        peak_mb: peak memory of this process so far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str
    variant: str
    files: int
    mean_bytes: float
    mean_pixels: float
    stage_ms: dict[str, float]
    threads: int
    scaling: float
    bound_per_s: float
    run_per_s: float
    reached: float
    peak_mb: float


class _Sample(NamedTuple):
    """Readable pictures of a folder, spread over it."""

    names: list[str]
    data: list[bytes]
    mean_pixels: float

    def copied(self, folder: Path) -> list[Path]:
        """The pictures in a folder of their own: runs score all that they find."""
        folder.mkdir(parents=True)
        paths = [folder / f"{k:06}{Path(name).suffix}" for k, name in enumerate(self.names)]
        for path, data in zip(paths, self.data, strict=True):
            path.write_bytes(data)
        return paths


def measure_folder(
    folder: Path, bundle: Bundle, settings: ScoringSettings, files: int, on_progress: OnProgress = no_progress
) -> BenchReport:
    """Speed of scoring pictures like those in `folder`, by that many of them.

    Args:
        folder: pictures; nothing is written there.
        bundle: the model.
        settings: of scoring.
        files: pictures to measure with, at most; those that do not decode are left out.
        on_progress: told of rounds.

    Raises:
        EmptyFolder: too few pictures decode.
    """
    sample = _sample(folder, files, settings)
    threads = settings.threads or usable_cores()
    scorer = PictureScorer(bundle.onnx_bytes, settings.limits, settings.session)
    with tempfile.TemporaryDirectory(prefix="sortline-bench-") as place:
        copies = sample.copied(Path(place) / "pictures")
        stages, rounds = _Stages(scorer, settings, copies), []
        settings = settings.model_copy(update={"settle_seconds": 0})
        for number in range(ROUNDS):
            job = ScoreJob(copies[0].parent, bundle, Path(place) / f"out-{number}", settings)
            summary = score_folder(job, "bench")
            rounds.append((stages.times(), stages.scaling(threads), summary.images_per_s))
            on_progress(number + 1, ROUNDS)
    times = {name: statistics.median(found[name] for found, _, _ in rounds) for name in rounds[0][0]}
    bounds = [1000 * scaling / sum(found[name] for name in BOUND_STAGES) for found, scaling, _ in rounds]
    return BenchReport(
        model_name=bundle.card.name,
        variant=bundle.card.variant,
        files=len(copies),
        mean_bytes=statistics.fmean(map(len, sample.data)),
        mean_pixels=sample.mean_pixels,
        stage_ms=times,
        threads=threads,
        scaling=statistics.median(scaling for _, scaling, _ in rounds),
        bound_per_s=statistics.median(bounds),
        run_per_s=statistics.median(rate for _, _, rate in rounds),
        reached=statistics.median(rate / bound for (_, _, rate), bound in zip(rounds, bounds, strict=True)),
        peak_mb=peak_memory_mb(),
    )


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


class _Stages:
    """The stages of one picture, each to be measured alone."""

    def __init__(self, scorer: PictureScorer, settings: ScoringSettings, paths: Sequence[Path]) -> None:
        self._scorer, self._limits, self._paths = scorer, settings.limits, paths
        self._preprocess = scorer.card.preprocess

    def times(self) -> dict[str, float]:
        """Milliseconds a picture of every stage on this thread."""
        spent = dict.fromkeys(("read", "digest", "decode", "resize", "look", "infer"), 0.0)
        for path in self._paths:
            data = _timed(spent, "read", partial(read_file, path, self._limits.max_bytes))
            _timed(spent, "digest", partial(hashlib.sha256, data))
            rgb = _timed(spent, "decode", partial(self._decode, data))
            pixels = _timed(spent, "resize", partial(self._preprocess.apply, rgb))
            _timed(spent, "look", partial(_look, rgb, pixels))
            _timed(spent, "infer", partial(self._scorer.answers, pixels))
        return {name: 1000 * seconds / len(self._paths) for name, seconds in spent.items()}

    def scaling(self, threads: int) -> float:
        """Rate of so many threads over that of one."""
        return self._rate(threads) / self._rate(1)

    def _decode(self, data: bytes) -> Image.Image:
        return decode_rgb(data, self._limits.max_pixels, self._preprocess.draft_px)[0]

    def _rate(self, threads: int) -> float:
        """Pictures a second of threads that share nothing but the model."""

        def work() -> None:
            for path in self._paths:
                rgb = self._decode(read_file(path, self._limits.max_bytes))
                self._scorer.answers(self._preprocess.apply(rgb))

        workers = [threading.Thread(target=work) for _ in range(threads)]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return threads * len(self._paths) / (time.perf_counter() - started)


def _look(rgb: Image.Image, pixels: NDArray[np.uint8]) -> tuple[float, ...]:
    return *light_of(rgb), detail_of(pixels)


def _timed(spent: dict[str, float], stage: str, work: Callable[[], Value]) -> Value:
    started = time.perf_counter()
    value = work()
    spent[stage] += time.perf_counter() - started
    return value


def _sample(folder: Path, files: int, settings: ScoringSettings) -> _Sample:
    """Pictures that decode, spread evenly over the first names of a folder."""
    listed = [entry.name for entry in islice(list_entries(folder), _LOOKED_AT) if entry.status is None]
    names: list[str] = []
    data: list[bytes] = []
    pixels: list[int] = []
    step = max(1, len(listed) // files)
    for name in (name for first in range(step) for name in listed[first::step]):
        if len(names) == files:
            break
        try:
            read = read_file(os.path.join(folder, name), settings.limits.max_bytes)  # noqa: PTH118 - surrogates
            rgb, _, _ = decode_rgb(read, settings.limits.max_pixels)
        except UnreadableImage:
            continue
        names.append(name)
        data.append(read)
        pixels.append(rgb.width * rgb.height)
    if len(names) < _LEAST_FILES:
        raise EmptyFolder(
            f"{len(names)} of the first {len(listed)} files below {folder} decode",
            f"at least {_LEAST_FILES} pictures to measure with",
            "Check the folder.",
        )
    return _Sample(names, data, statistics.fmean(pixels))
