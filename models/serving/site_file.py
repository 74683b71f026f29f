"""A site file: what changes in a champion's answers at one site, in some ten kilobytes; read whole or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from models.artifacts.durable import read_plain, write_durably
from models.artifacts.site_records import SiteRecord
from models.artifacts.tables import EVALUATION, decode_table, encode_table
from models.errors import ArtifactChanged, ContractBroken

SITE_NAME_LENGTH = 20
SUFFIX = ".site.safetensors"
_LIMIT_BYTES = 1 << 26
_RECORD, _BASELINE = "record", "baseline"
# The long ones, of which a part in two thousand makes no difference.
_IN_HALF_PRECISION = ("gain", "shift", "weight")
Floats = NDArray[np.float32]


class SiteNumbers(NamedTuple):
    """The numbers of an adaptation; D embeddings, K classes of the site, B of the champion.

    Attributes:
        gain: (D,) times the embeddings.
        shift: (D,) added behind it.
        base_weight: (B, K) by which the champion's logits go into the site's.
        weight: (K, D) of the site's own layer on the embeddings behind gain and shift.
        bias: (K,)
        golden: (G, K) what the adapted model answers to the golden pictures of its bundle.
    """

    gain: Floats
    shift: Floats
    base_weight: Floats
    weight: Floats
    bias: Floats
    golden: Floats


class SiteFile(NamedTuple):
    """An adaptation that was read and checked, or is about to be written.

    Attributes:
        sha256: digest of the file.
        baseline: table EVALUATION of the site's pictures without their names, against which drift is measured.
    """

    record: SiteRecord
    numbers: SiteNumbers
    baseline: pa.Table
    sha256: str = ""
    path: Path | None = None

    @property
    def served_sha256(self) -> str:
        """Digest of champion and adaptation together: what rows name as the bundle that scored them."""
        return served_digest(self.record.bundle_sha256, self.sha256)


def served_digest(bundle_sha256: str, site_sha256: str) -> str:
    """Digest of a champion and an adaptation together."""
    return hashlib.sha256(f"{bundle_sha256}:{site_sha256}".encode()).hexdigest()


def write_site_file(folder: Path, site: SiteFile) -> SiteFile:
    """The same with the path and digest that it has now, below `folder`, named by its digest."""
    baseline = np.frombuffer(encode_table(site.baseline), dtype=np.uint8)
    narrow = {name: getattr(site.numbers, name).astype(np.float16) for name in _IN_HALF_PRECISION}
    tensors = {**site.numbers._asdict(), **narrow, _BASELINE: baseline}
    data = save(
        {name: np.ascontiguousarray(values) for name, values in tensors.items()},
        {_RECORD: site.record.model_dump_json()},
    )
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{sha256[:SITE_NAME_LENGTH]}{SUFFIX}"
    write_durably(path, data)
    return site._replace(sha256=sha256, path=path)


def read_site_file(path: Path, sha256: str) -> SiteFile:
    """The site file at `path`.

    Raises:
        ArtifactChanged: it is gone, or is not the one with that digest, or its parts do not fit together.
    """
    data = read_plain(path, _LIMIT_BYTES, lambda what: _changed(path, f"is {what}"))
    if data is None or hashlib.sha256(data).hexdigest() != sha256:
        raise _changed(path, "is gone" if data is None else "has other bytes than the history says")
    try:
        with safe_open(path, "numpy") as file:
            record = SiteRecord.model_validate_json((file.metadata() or {})[_RECORD])
        tensors = load(data)
        baseline = decode_table(tensors.pop(_BASELINE).tobytes(), EVALUATION)
        numbers = SiteNumbers(**{name: values.astype(np.float32) for name, values in tensors.items()})
        site = SiteFile(record, numbers, baseline, sha256, path)
    except (SafetensorError, ValidationError, KeyError, TypeError, ContractBroken) as error:
        raise _changed(path, f"does not read ({type(error).__name__})") from error
    _require_fitting(site)
    return site


def _require_fitting(site: SiteFile) -> None:
    """Refuses numbers that are not of the shapes that the record asks for, or not finite."""
    numbers, classes, known = site.numbers, len(site.record.classes), len(site.record.base_classes)
    width = numbers.gain.shape
    wanted = {
        "gain": width,
        "shift": width,
        "base_weight": (known, classes),
        "weight": (classes, *width),
        "bias": (classes,),
        "golden": (len(numbers.golden), classes),
    }
    odd = [name for name, shape in wanted.items() if getattr(numbers, name).shape != shape]
    odd += [name for name in wanted if not np.isfinite(getattr(numbers, name)).all()]
    if odd or len(width) != 1:
        raise _changed(site.path or Path(), f"has numbers that do not fit: {', '.join(odd)}")


def _changed(path: Path, what: str) -> ArtifactChanged:
    return ArtifactChanged(f"site file {path} {what}", "the file as it was written", "Adapt anew, or restore it.")
