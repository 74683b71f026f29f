"""A bundle: one folder with the model, its card, its baseline and the digest of each; read whole or refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from models.artifacts.durable import read_plain, storage_errors, write_durably
from models.artifacts.records import ModelCard, Scorecard
from models.artifacts.tables import EVALUATION, GOLDEN, decode_table, encode_table, table_of
from models.errors import ArtifactChanged, ArtifactMissing
from models.serving.lint import lint_model
from models.serving.picture_scorer import card_of
from models.serving.signature import SIGNATURE_FILE, UNSIGNED, SignatureSettings, check_signature

MODEL_FILE, CARD_FILE, SCORECARD_FILE = "model.onnx", "card.json", "scorecard.json"
BASELINE_FILE, GOLDEN_FILE, PAGE_FILE, MANIFEST_FILE = "baseline.parquet", "golden.parquet", "card.md", "manifest.json"
BUNDLE_NAME_LENGTH = 20
_MANIFEST_LIMIT_BYTES = 1 << 20


class BundleParts(NamedTuple):
    """What a bundle is made of.

    Attributes:
        onnx_bytes: the model that is served; its card says which variant it is.
        float_bytes: the model as it was exported; the same where nothing earned its place.
        baseline: table EVALUATION of the test split, against which drift is measured.
        golden: table GOLDEN, answered by the served model.
    """

    onnx_bytes: bytes
    float_bytes: bytes
    card: ModelCard
    scorecard: Scorecard
    baseline: pa.Table
    golden: pa.Table


class AppliedSite(NamedTuple):
    """An adaptation that a bundle answers with.

    Attributes:
        bundle_sha256: of the bundle as it is without it.
    """

    name: str
    path: Path
    sha256: str
    bundle_sha256: str


class Bundle(NamedTuple):
    """A bundle that was read and checked.

    Attributes:
        sha256: digest of its manifest, which holds the digests of all its files.
        onnx_bytes: the model that is served.
        baseline: table EVALUATION of the test split, against which drift is measured.
        golden: table GOLDEN of pictures that the model has to answer as it did where it was made.
        signed_by: fingerprint of the trusted key that signed it; None where that was not asked or not to be told.
        site: the adaptation that it answers with; all but the scorecard is then the site's.
    """

    folder: Path
    sha256: str
    onnx_bytes: bytes
    card: ModelCard
    scorecard: Scorecard
    baseline: pa.Table
    golden: pa.Table
    signed_by: str | None = None
    site: AppliedSite | None = None


def served_file(card: ModelCard) -> str:
    """Name of the file with the model that is served."""
    return MODEL_FILE if card.variant == "float" else f"model.{card.variant}.onnx"


def write_bundle(folder: Path, parts: BundleParts, page: str) -> tuple[Path, str]:
    """The bundle's folder below `folder`, named by its digest, and the digest; equal content, equal folder.

    Args:
        folder: where the model's bundles lie.
        parts: what it is made of.
        page: the card for people, as Markdown.
    """
    files = {
        MODEL_FILE: parts.float_bytes,
        served_file(parts.card): parts.onnx_bytes,
        CARD_FILE: parts.card.model_dump_json(indent=1).encode(),
        SCORECARD_FILE: parts.scorecard.model_dump_json(indent=1).encode(),
        BASELINE_FILE: encode_table(parts.baseline),
        GOLDEN_FILE: encode_table(parts.golden),
        PAGE_FILE: page.encode(),
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


def read_bundle(folder: Path, signature: SignatureSettings | None = UNSIGNED) -> Bundle:
    """The bundle in `folder`, every byte checked against its manifest, its models safe to load.

    What is checked is what is given back: no file is read twice.

    Args:
        folder: of the bundle.
        signature: whose signatures are believed; None: whatever is there is not looked at, as before signing.

    Raises:
        ArtifactMissing: the folder or one of its files is gone.
        ArtifactChanged: a file is not the one in the manifest, is a link, or was added.
        SignatureRefused: its signature is not one that the settings accept.
        UnsafeModel: a model holds what could harm this machine.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise ArtifactMissing(f"no bundle at {folder}", "a folder with manifest.json", "Check the path or train anew.")
    with storage_errors(folder, "read"):
        text = _read_plain(folder / MANIFEST_FILE, _MANIFEST_LIMIT_BYTES)
        signed_by = check_signature(folder, text, signature) if signature else None
        data = _read_files(folder, _entries(folder, text))
    try:
        card, scorecard = _records(data)
        baseline = decode_table(data[BASELINE_FILE], EVALUATION)
        golden = decode_table(data[GOLDEN_FILE], GOLDEN) if GOLDEN_FILE in data else table_of([], GOLDEN)
    except (ValidationError, pa.ArrowException) as error:
        raise _changed(folder, f"its records do not read ({type(error).__name__})") from error
    model = _checked_model(folder, data, card)
    return Bundle(folder, _digest(text), model, card, scorecard, baseline, golden, signed_by)


def _records(data: dict[str, bytes]) -> tuple[ModelCard, Scorecard]:
    return ModelCard.model_validate_json(data[CARD_FILE]), Scorecard.model_validate_json(data[SCORECARD_FILE])


def _checked_model(folder: Path, data: dict[str, bytes], card: ModelCard) -> bytes:
    """The model that is served, which carries the very card that lies beside it."""
    if served_file(card) not in data:
        raise _changed(folder, f"{served_file(card)} missing")
    for name in sorted({MODEL_FILE, served_file(card)}):
        lint_model(data[name])
    model = data[served_file(card)]
    if card_of(model) != card:
        raise _changed(folder, f"{CARD_FILE} is not the card in {served_file(card)}")
    return model


def _entries(folder: Path, manifest: bytes) -> dict[str, str]:
    """Digest by name of file, for exactly the files that are there."""
    try:
        entries = {name: str(entry["sha256"]) for name, entry in json.loads(manifest).items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise _changed(folder, f"its manifest does not read ({error})") from error
    # Bundles of before 0.2 have no golden pictures and no page; what a champion still is can be compared with.
    needed = {MODEL_FILE, CARD_FILE, SCORECARD_FILE, BASELINE_FILE}
    # Written by hand, a name could lead out of the folder: only names that are there count.
    present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    odd = present.symmetric_difference({*entries, MANIFEST_FILE}) - {SIGNATURE_FILE} | (needed - set(entries))
    if odd:
        raise _changed(folder, f"files {', '.join(sorted(odd))} missing or added")
    return entries


def _read_files(folder: Path, entries: dict[str, str]) -> dict[str, bytes]:
    data = {}
    for name, sha256 in entries.items():
        data[name] = _read_plain(folder / name)
        if _digest(data[name]) != sha256:
            raise _changed(folder, f"{name} has other bytes than its manifest says")
    return data


def _read_plain(path: Path, limit_bytes: int = 1 << 31) -> bytes:
    data = read_plain(path, limit_bytes, lambda what: _changed(path.parent, f"{path.name} is {what}"))
    if data is None or len(data) > limit_bytes:
        what = "missing" if data is None else f"larger than {limit_bytes} bytes"
        raise _changed(path.parent, f"{path.name} is {what}")
    return data


def _changed(folder: Path, what: str) -> ArtifactChanged:
    return ArtifactChanged(f"bundle {folder}: {what}", "the files as they were sealed", "Train anew or restore it.")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
