"""One picture a call against blocks, on the default trunk: pictures a second, in one run, interleaved."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.result_file import write_result
from models.learning.frozen import frozen_trunk
from models.networks.registry import Build, UprightTrunk, find_network
from models.parallel import usable_cores

REPEATS = 5
PICTURES = 128


def measure() -> dict[str, float]:
    """Median pictures a second of each way, and the ratio of the first two."""
    network = find_network("efficientnet_lite0")
    with tempfile.TemporaryDirectory() as folder:
        data = frozen_trunk(network, Build(0, network.size_px), Path(folder))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(data, options)
    eager = UprightTrunk(network.build(Build(0, network.size_px))).eval()
    torch.set_num_threads(usable_cores())
    side = network.size_px
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), dtype=np.uint8)

    def by_blocks(rows: int) -> float:
        blocks = [images[k : k + rows] for k in range(0, PICTURES, rows)]
        with ThreadPoolExecutor(usable_cores()) as pool:
            started = time.monotonic()
            list(pool.map(lambda block: session.run(None, {"image": block}), blocks))
            return PICTURES / (time.monotonic() - started)

    def by_torch() -> float:
        started = time.monotonic()
        with torch.inference_mode():
            for k in range(0, PICTURES, 16):
                eager(torch.from_numpy(images[k : k + 16]))
        return PICTURES / (time.monotonic() - started)

    ways = {"one": lambda: by_blocks(1), "blocks_of_16": lambda: by_blocks(16), "eager_torch": by_torch}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS + 1):
        for name, way in ways.items():
            found[name].append(way())
    medians = {f"{name}_per_s": round(statistics.median(values[1:]), 1) for name, values in found.items()}
    one = medians["one_per_s"]
    return {
        **medians,
        "one_over_blocks": round(one / medians["blocks_of_16_per_s"], 2),
        "one_over_eager_torch": round(one / medians["eager_torch_per_s"], 2),
    }


if __name__ == "__main__":
    sys.stdout.write(f"{write_result('session', REPEATS, measure())}\n")
