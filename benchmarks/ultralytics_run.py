"""Ultralytics' classify predict in an environment of its own.

`FOLDER BATCH WIDTH` predicts every picture and says the rate; `width GIGAFLOPS` says how wide its network has to be
made for so many operations a picture, and how many it then has. Weights are random, for only time counts.
"""

import sys
import tempfile
import time
from pathlib import Path

import yaml
from ultralytics import YOLO
from ultralytics.utils import ROOT
from ultralytics.utils.torch_utils import get_flops

SIDE_PX = 224
WIDTHS = (0.25, 0.28, 0.31, 0.34, 0.38, 0.44, 0.5, 0.6, 0.75, 0.9, 1.0, 1.2)


def network(width: float) -> YOLO:
    """Its own classifier of version 11, n, so wide."""
    text = yaml.safe_load((Path(ROOT) / "cfg/models/11/yolo11-cls.yaml").read_text())
    text["scales"] = {"n": [0.5, width, 1024]}
    path = Path(tempfile.mkdtemp()) / "yolo11n-cls.yaml"
    path.write_text(yaml.safe_dump(text))
    return YOLO(str(path), task="classify")


def find_width(gigaflops: float) -> None:
    """Says the width whose operations are nearest, and their number."""
    found = [(get_flops(network(width).model, SIDE_PX), width) for width in WIDTHS]
    flops, width = min(found, key=lambda one: abs(one[0] - gigaflops))
    sys.stdout.write(f"{width} {flops}\n")


def predict(folder: str, batch: int, width: float) -> None:
    """Says the rate over every picture, after a few to warm up."""
    model = network(width)
    names = sorted(str(path) for path in Path(folder).iterdir())
    options = {"imgsz": SIDE_PX, "device": "cpu", "verbose": False, "batch": batch, "stream": True}
    list(model.predict(names[: max(4, batch)], **options))
    started = time.perf_counter()
    count = sum(1 for _ in model.predict(folder, **options))
    sys.stdout.write(f"{count / (time.perf_counter() - started)}\n")


if __name__ == "__main__":
    if sys.argv[1] == "width":
        find_width(float(sys.argv[2]))
    else:
        predict(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
