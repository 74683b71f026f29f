"""timm's dataset and loader with the same network in eager torch: CHECKPOINT FOLDER BATCH WORKERS LAYOUT OUT.

As timm's own `inference.py` does it, with the preprocessing of our contract (`squash` is a stretch): batches from
worker processes, softmax and the best class of each picture. Writes paths and probabilities as JSON, says the rate.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch
from timm.data.dataset import ImageDataset
from timm.data.loader import create_loader

from models.learning.checkpoint import decode_checkpoint, rebuild_trunk
from models.learning.classifier import linear_layers
from models.serving.export import served_layers


def main(checkpoint: Path, folder: Path, batch: int, workers: int, layout: str, out: Path) -> None:
    """Scores every picture once; the clock begins with the loader, its processes included."""
    found = decode_checkpoint(checkpoint.read_bytes())
    card = found.card
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    body = rebuild_trunk(found).eval().to(memory_format=memory)
    head = linear_layers(served_layers(found.layers, card)).eval()
    dataset = ImageDataset(str(folder), class_map={"": 0})  # type: ignore[no-untyped-call]
    loader = create_loader(
        dataset,
        input_size=(3, card.preprocess.height_px, card.preprocess.width_px),
        batch_size=batch,
        use_prefetcher=False,
        interpolation="bilinear",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        num_workers=workers,
        crop_pct=1.0,
        crop_mode="squash",
        device=torch.device("cpu"),
    )
    probabilities: list[list[float]] = []
    started = time.perf_counter()
    with torch.inference_mode():
        for pictures, _ in loader:
            scores = torch.softmax(head(body(pictures.contiguous(memory_format=memory))), 1)
            probabilities += scores.tolist()
    elapsed_s = time.perf_counter() - started
    names = [Path(dataset.filename(k, basename=True)).name for k in range(len(dataset))]  # type: ignore[no-untyped-call]
    out.write_text(json.dumps(dict(zip(names, probabilities, strict=True))))
    sys.stdout.write(f"{len(names) / elapsed_s}\n")


if __name__ == "__main__":
    places = [Path(text) for text in sys.argv[1:]]
    main(places[0], places[1], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], places[5])
    sys.stdout.flush()
    os._exit(0)  # native libraries may fail as they are taken down, when all is done
