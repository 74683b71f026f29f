"""Scores pictures with a bundle's model file and nothing of Sortline: onnxruntime, numpy and Pillow."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def upright_rgb(path):
    """The contract's colour policy: EXIF turned, 16 bits by their high byte, alpha on white."""
    picture = Image.open(path)
    picture.seek(0)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        picture = Image.new("RGB", layers.size, "white")
        picture.paste(layers, mask=layers.getchannel("A"))
    return picture.convert("RGB")


def main(model, paths):
    """One line of JSON a picture."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    contract, classes = json.loads(metadata["sortline.preprocess"]), json.loads(metadata["sortline.classes"])
    size = contract["width_px"], contract["height_px"]
    how = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[contract["resize_filter"]]
    for path in paths:
        pixels = np.asarray(upright_rgb(path).resize(size, how))[np.newaxis]
        (probabilities,) = session.run(["probabilities"], {"image": pixels})
        print(json.dumps({"path": path, **dict(zip(classes, probabilities[0].tolist()))}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
