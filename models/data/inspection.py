"""What the scan learns of one file: its digest, its header, how it looks, or why it cannot be read."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image

from models.data.decode import FileLimits, FileTimes, opened_picture, orientation_of, read_file, to_rgb, turn_upright
from models.data.quality import PROOF_PX, Proof, Quality, measure_quality, proof_of
from models.data.sniff import SNIFFED_BYTES, sniff_format
from models.errors import UnreadableImage

_SIDEWAYS = (5, 6, 7, 8)


class Request(NamedTuple):
    """A file to inspect, as it was when it was listed; `name` keeps bytes that are not UTF-8 as surrogates."""

    name: str
    size_bytes: int
    mtime_ns: int


class Header(NamedTuple):
    """What a picture is, before it is turned upright; its size is that of the upright picture."""

    width_px: int
    height_px: int
    format: str
    mode: str
    frames: int
    orientation: int


class Inspection(NamedTuple):
    """What is known of one file; what could not be learned is None."""

    status: str
    reason: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    header: Header | None = None
    quality: Quality | None = None
    sniffed: str | None = None


def nothing_between() -> None:
    """Does nothing before a file."""


def inspect_files(
    folder: str, requests: Sequence[Request], limits: FileLimits, before_each: Callable[[], None] = nothing_between
) -> list[Inspection]:
    """One inspection a request, in their order; no file makes another's differ.

    Args:
        folder: absolute, what the names are relative to.
        requests: the files.
        limits: what one file may cost.
        before_each: called before every file.
    """
    found: list[Inspection] = []
    proofs: list[Proof] = []
    for request in requests:
        before_each()
        inspection, proof = _inspect(os.path.join(folder, request.name), request, limits)  # noqa: PTH118 - surrogates
        found.append(inspection)
        proofs += [] if proof is None else [proof]
    qualities = iter(measure_quality(proofs))
    return [i._replace(quality=next(qualities)) if i.status == "ok" else i for i in found]


def _inspect(path: str, request: Request, limits: FileLimits) -> tuple[Inspection, Proof | None]:
    sha256, size_bytes, sniffed = None, None, None
    try:
        data = read_file(path, limits.max_bytes, FileTimes(request.size_bytes, request.mtime_ns))
        sha256, size_bytes = hashlib.sha256(data).hexdigest(), len(data)
        sniffed = sniff_format(data[:SNIFFED_BYTES])
        header, proof = decode_proof(data, limits.max_pixels)
    except UnreadableImage as error:
        return Inspection(error.status, error.reason, sha256, size_bytes, sniffed=sniffed), None
    except MemoryError:
        return Inspection("too_large", "too_much_memory", sha256, size_bytes, sniffed=sniffed), None
    return Inspection("ok", None, sha256, size_bytes, header, None, sniffed), proof


def decode_proof(data: bytes, max_pixels: int) -> tuple[Header, Proof]:
    """Header and proof of the picture in `data`, all of which is decoded.

    A JPEG is decoded at the smallest of libjpeg's scales that still gives a proof: every coefficient is read, and
    what is damaged is found as at full size, but fewer pixels are computed.

    Raises:
        UnreadableImage: it does not decode, or its mode has no meaning in 0..255.
    """
    with opened_picture(data, max_pixels) as opened:
        size, kind, mode = opened.size, str(opened.format), opened.mode
        # A TIFF has the size of the upright picture from the start, is turned while it is loaded, and loses its
        # orientation. A PNG must be loaded first: asked for its orientation it loads itself, and what is wrong with
        # its pixels would pass for wrong metadata.
        stored = orientation_of(opened) if kind == "TIFF" else None
        if kind in ("JPEG", "MPO") and mode in ("RGB", "L"):
            opened.draft(mode, (PROOF_PX, PROOF_PX))
        opened.load()
        orientation = orientation_of(opened)
        frames = _frame_count(data, kind) if kind in ("GIF", "TIFF") else int(getattr(opened, "n_frames", 1))
        proof = proof_of(turn_upright(_plain(opened), orientation))
    width_px, height_px = size[::-1] if orientation in _SIDEWAYS else size
    return Header(width_px, height_px, kind, mode, frames, orientation if stored is None else stored), proof


def _frame_count(data: bytes, kind: str) -> int:
    """Frames of a format that has to be walked through for them, as far as it can be walked through."""
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as walked:
            return int(getattr(walked, "n_frames", 1))
    # The first frame is the picture; what is behind it may be broken.
    except Exception:
        return 1


def _plain(picture: Image.Image) -> Image.Image:
    """The picture as L where it is plain grey, else as RGB by the policy of decoding."""
    is_plain = picture.mode in ("L", "RGB") and "transparency" not in picture.info
    return picture if is_plain else to_rgb(picture)
