"""A bundle: one folder with the model, its card, its baseline and the digest of each; read whole or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.artifacts.durable import storage_errors, write_durably
from models.artifacts.records import ModelCard, Scorecard
from models.artifacts.tables import EVALUATION, decode_table, encode_table
from models.errors import ArtifactChanged, ArtifactMissing

MODEL_FILE, CARD_FILE, SCORECARD_FILE = "model.onnx", "card.json", "scorecard.json"
BASELINE_FILE, MANIFEST_FILE = "baseline.parquet", "manifest.json"
BUNDLE_NAME_LENGTH = 20
BUNDLE_FILES = (MODEL_FILE, CARD_FILE, SCORECARD_FILE, BASELINE_FILE)


class Bundle(NamedTuple):
    """A bundle that was read and checked.

    Attributes:
        sha256: digest of its manifest, which holds the digests of all its files.
        baseline: table EVALUATION of the test split, against which drift is measured.
    """

    folder: Path
    sha256: str
    onnx_bytes: bytes
    card: ModelCard
    scorecard: Scorecard
    baseline: pa.Table


def write_bundle(
    folder: Path, onnx_bytes: bytes, card: ModelCard, scorecard: Scorecard, baseline: pa.Table
) -> tuple[Path, str]:
    """The bundle's folder below `folder`, named by its digest, and the digest; equal content, equal folder."""
    files = {
        MODEL_FILE: onnx_bytes,
        CARD_FILE: card.model_dump_json(indent=1).encode(),
        SCORECARD_FILE: scorecard.model_dump_json(indent=1).encode(),
        BASELINE_FILE: encode_table(baseline),
    }
    manifest = {name: {"sha256": _digest(data), "size_bytes": len(data)} for name, data in files.items()}
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    digest = _digest(text)
    target = folder / digest[:BUNDLE_NAME_LENGTH]
    for name, data in files.items():
        write_durably(target / name, data)
    # The manifest is last: a folder without one is not a bundle.
    write_durably(target / MANIFEST_FILE, text)
    return target, digest


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, every byte checked against its manifest.

    Raises:
        ArtifactMissing: the folder or one of its files is gone.
        ArtifactChanged: a file is not the one in the manifest, is a link, or was added.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise ArtifactMissing(f"no bundle at {folder}", "a folder with manifest.json", "Check the path or train anew.")
    with storage_errors(folder, "read"):
        text = (folder / MANIFEST_FILE).read_bytes()
        present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        manifest = json.loads(text)
        odd = present.symmetric_difference({*BUNDLE_FILES, MANIFEST_FILE})
        if odd or set(manifest) != set(BUNDLE_FILES):
            raise _changed(folder, f"files {', '.join(sorted(odd)) or 'of its manifest'} missing or added")
        data = {name: _read_checked(folder / name, manifest[name]["sha256"]) for name in BUNDLE_FILES}
    return Bundle(
        folder=folder,
        sha256=_digest(text),
        onnx_bytes=data[MODEL_FILE],
        card=ModelCard.model_validate_json(data[CARD_FILE]),
        scorecard=Scorecard.model_validate_json(data[SCORECARD_FILE]),
        baseline=decode_table(data[BASELINE_FILE], EVALUATION),
    )


def _read_checked(path: Path, sha256: str) -> bytes:
    if path.is_symlink():
        raise _changed(path.parent, f"{path.name} is a link")
    data = path.read_bytes()
    if _digest(data) != sha256:
        raise _changed(path.parent, f"{path.name} has other bytes than its manifest says")
    return data


def _changed(folder: Path, what: str) -> ArtifactChanged:
    return ArtifactChanged(f"bundle {folder}: {what}", "the files as they were sealed", "Train anew or restore it.")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
