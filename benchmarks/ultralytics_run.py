"""Ultralytics' classify predict in an environment of its own: FOLDER BATCH GIGAFLOPS; says rate and real gigaflops.

Its own network, made as wide as it takes for so many operations a picture; weights are random, for only time counts.
"""

import sys
import time
from pathlib import Path

import yaml
from ultralytics import YOLO
from ultralytics.utils import ROOT
from ultralytics.utils.torch_utils import get_flops

SIDE_PX = 224


def main(folder: str, batch: int, gigaflops: float) -> None:
    """Predicts every picture once, after a few to warm up."""
    base = yaml.safe_load((Path(ROOT) / "cfg/models/11/yolo11-cls.yaml").read_text())
    found = []
    for width in (0.25, 0.28, 0.31, 0.34, 0.38, 0.44, 0.5, 0.6, 0.75, 0.9, 1.0, 1.2):
        base["scales"] = {"n": [0.5, width, 1024]}
        path = Path(folder).parent / f"yolo11n-{width}-cls.yaml"
        path.write_text(yaml.safe_dump(base))
        model = YOLO(str(path), task="classify")
        found.append((abs(get_flops(model.model, SIDE_PX) - gigaflops), width, model))
    _, _, model = min(found)
    flops = get_flops(model.model, SIDE_PX)
    names = sorted(str(p) for p in Path(folder).iterdir())
    options = {"imgsz": SIDE_PX, "device": "cpu", "verbose": False, "batch": batch, "stream": True}
    list(model.predict(names[: max(4, batch)], **options))
    started = time.perf_counter()
    count = sum(1 for _ in model.predict(folder, **options))
    sys.stdout.write(f"{count / (time.perf_counter() - started)} {flops}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
