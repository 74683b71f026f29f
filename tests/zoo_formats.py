"""Awkward files of allowed formats by verdict, for `tests.zoo`; "warns": it is ok, but Pillow warns over it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import encode

Verdict = tuple[str, str | None]
Cage = dict[Verdict, dict[str, bytes]]
OK: Verdict = ("ok", None)
BROKEN: Verdict = ("unreadable", "truncated_or_corrupt")
PIXELS: Verdict = ("too_large", "too_many_pixels")
MODE: Verdict = ("unsupported", "mode_not_supported")

# How an upright picture is stored for each EXIF orientation, so that all of them show the same.
_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
TILE = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def base_picture(width_px: int = 48, height_px: int = 32) -> Image.Image:
    """No symmetry, and noise enough that half its bytes are not all of it."""
    y, x = np.mgrid[:height_px, :width_px]
    noise = np.random.default_rng(0).integers(0, 90, (height_px, width_px))
    red, green = 255 * x / max(width_px - 1, 1), 255 * y / max(height_px - 1, 1)
    return Image.fromarray(np.stack([red, green, noise], axis=-1).astype(np.uint8))


def turned(kind: str, orientation: int, **options: object) -> bytes:
    """The base picture, stored turned, with the EXIF tag that turns it back."""
    how, exif = _STORED[orientation], Image.Exif()
    exif[0x0112] = orientation
    stored = base_picture() if how is None else base_picture().transpose(how)
    return encode(stored, kind, exif=exif, **options)


def later_frames() -> list[Image.Image]:
    """What comes after the base picture in a moving one."""
    return [Image.new("RGB", (48, 32), (90 * k, 0, 0)) for k in range(3)]


def patched(data: bytes, at: int, new: bytes) -> bytes:
    """The same bytes but for those at one place."""
    return data[:at] + new + data[at + len(new) :]


def flipped(data: bytes, *places: int) -> bytes:
    """The same bytes, with all bits of some turned over."""
    for at in places:
        data = patched(data, at, bytes([data[at] ^ 0xFF]))
    return data


def jpegs() -> Cage:
    """JPEG files."""
    picture = base_picture()
    plain = encode(picture, "JPEG", quality=90)
    progressive = encode(picture, "JPEG", quality=90, progressive=True)
    cmyk = encode(picture.convert("CMYK"), "JPEG")
    two = encode(picture, "MPO", save_all=True, append_images=[picture.convert("L")])
    size_at = plain.index(b"\xff\xc0") + 5
    whole = {f"orientation-{k}.jpg": turned("JPEG", k, quality=95) for k in _STORED}
    whole |= {
        f"subsampling-{name}-{width}x{height}.jpg": encode(base_picture(width, height), "JPEG", subsampling=name)
        for name in ("4:4:4", "4:2:2", "4:2:0")
        for width, height in ((17, 33), (1, 1))
    }
    whole |= {
        "1x5000.jpg": encode(base_picture(1, 5000), "JPEG"),
        "5000x1.jpg": encode(base_picture(5000, 1), "JPEG"),
        "progressive.jpg": progressive,
        "grey.jpg": encode(picture.convert("L"), "JPEG"),
        "cmyk.jpg": cmyk,
        # Pillow writes CMYK only; the transform byte of the Adobe marker makes it YCCK.
        "adobe-ycck.jpg": patched(cmyk, cmyk.index(b"Adobe") + 11, b"\2"),
        "restart-markers.jpg": encode(picture, "JPEG", restart_marker_rows=1),
        "garbage-after-end.jpg": plain + b"garbage" * 100,
        "second-jpeg-after-end.jpg": plain + progressive,
        "flipped-bytes-in-the-middle.jpg": flipped(plain, *range(len(plain) * 3 // 4, len(plain) * 3 // 4 + 3)),
        "orientation-99.jpg": _with_exif(struct.pack("<HIHH", 3, 1, 99, 0)),
        "orientation-as-text.jpg": _with_exif(struct.pack("<HI4s", 2, 4, b"six")),
        "orientation-twice.jpg": _with_exif(struct.pack("<HIHH", 3, 2, 6, 3)),  # warns when EXIF is asked for
        "exif-loop.jpg": _with_exif(struct.pack("<HIHH", 3, 1, 1, 0), next_ifd=8),
        "exif-of-garbage.jpg": encode(picture, "JPEG", exif=b"Exif\0\0" + b"\xa5" * 60),
        "exif-cut-short.jpg": _with_exif(struct.pack("<HII", 3, 90_000, 4096)),  # warns
        "icc-profile-of-garbage.jpg": encode(picture, "JPEG", icc_profile=b"no profile" * 20),
        "two-pictures.mpo": two,
        "two-pictures-second-missing.jpg": two[: two.index(b"\xff\xd9") + 2],
        "comment-of-60-kb.jpg": encode(picture, "JPEG", comment=b"x" * 60_000),
    }
    broken = {
        "half.jpg": plain[: len(plain) // 2],
        "last-2-bytes-missing.jpg": plain[:-2],
        "progressive-half.jpg": progressive[: len(progressive) // 2],
        "header-only.jpg": plain[: plain.index(b"\xff\xda")],
        "signature-only.jpg": plain[:3],
        "zeros-after-signature.jpg": plain[:3] + bytes(1000),
        "0x0.jpg": patched(plain, size_at, bytes(4)),
        "12-bits-a-sample.jpg": patched(plain, size_at - 1, b"\x0c"),
        "no-huffman-tables-no-data.jpg": plain[: plain.index(b"\xff\xc4")] + b"\xff\xd9",
    }
    claims = patched(plain, size_at, struct.pack(">HH", 65500, 65500))
    return {OK: whole, BROKEN: broken, PIXELS: {"claims-65500x65500.jpg": claims}}


def _with_exif(orientation: bytes, *, next_ifd: int = 0) -> bytes:
    """The base picture with an EXIF block of one entry, by hand: type, count and value are whatever they are."""
    block = struct.pack("<4sIHH10sI", b"II*\0", 8, 1, 0x0112, orientation, next_ifd)
    return encode(base_picture(), "JPEG", exif=b"Exif\0\0" + block)


def png(header: tuple[int, int, int, int, int], rows: bytes, *before: bytes) -> bytes:
    """A PNG of any header.

    Args:
        header: width, height, bits, colour type, interlace.
        rows: filtered rows, not yet compressed.
        before: whole chunks between header and data.
    """
    width, height, bits, colour, interlace = header
    first = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    data = png_chunk(b"IDAT", zlib.compress(rows, 9)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + first + b"".join(before) + data


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Length, kind, body and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_data(compressed: bytes) -> bytes:
    """A grey PNG of 8x8 whose compressed data is given."""
    whole = png((8, 8, 8, 0, 0), b"")
    return whole[:33] + png_chunk(b"IDAT", compressed) + whole[-12:]


def _rows(values: NDArray[np.uint8]) -> bytes:
    """Rows of a PNG, each led by the byte that says no filter."""
    return np.pad(values, ((0, 0), (1, 0))).tobytes()


def _interlaced() -> bytes:
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return b"".join(_rows(TILE[y::step_y, x::step_x]) for y, x, step_y, step_x in passes)


def _bomb(width_px: int, height_px: int) -> bytes:
    """A whole and valid picture, one bit a pixel, all black: some kilobytes for any size."""
    return png((width_px, height_px, 1, 0, 0), bytes((width_px // 8 + 1) * height_px))


def pngs() -> Cage:
    """PNG files."""
    picture = base_picture()
    plain = encode(picture, "PNG")
    data_at, end_at = plain.index(b"IDAT"), plain.index(b"IEND")
    grey, rows = (8, 8, 8, 0, 0), _rows(TILE)
    stored = zlib.compress(rows, 0)
    palette = picture.quantize(4)
    zeros, megabyte = zlib.compress(bytes(20_000_000)), zlib.compress(bytes(1_000_000))
    hidden = Image.new("RGBA", (24, 16), (10, 200, 30, 0))
    whole = {
        "1x1.png": encode(base_picture(1, 1), "PNG"),
        "1-bit.png": encode(picture.convert("1"), "PNG"),
        "2-bit-palette.png": encode(palette, "PNG", bits=2),
        "4-bit-palette.png": encode(picture.quantize(16), "PNG", bits=4),
        # Pillow warns over this one only in convert("RGB").
        "palette-with-trns-bytes.png": encode(palette, "PNG", transparency=bytes([255, 128, 0, 255])),
        "palette-with-trns-index.png": encode(palette, "PNG", transparency=1),
        "16-bit-grey.png": encode(Image.fromarray(TILE.astype(np.uint16) * 257), "PNG"),
        "16-bit-rgb.png": png((8, 8, 16, 2, 0), _rows(np.repeat(TILE, 6, axis=1))),
        "16-bit-rgba.png": png((8, 8, 16, 6, 0), _rows(np.repeat(TILE, 8, axis=1))),
        "grey-with-trns.png": png(grey, rows, png_chunk(b"tRNS", b"\0\4")),
        "rgb-with-trns.png": encode(picture, "PNG", transparency=(0, 0, 0)),
        "grey-alpha.png": encode(picture.convert("LA"), "PNG"),
        "rgba-alpha-0-hides-colours.png": encode(hidden, "PNG"),
        "interlaced.png": png((8, 8, 8, 0, 1), _interlaced()),
        "animated.png": encode(picture, "PNG", save_all=True, append_images=later_frames()),
        "animated-claims-no-frames.png": png(grey, rows, png_chunk(b"acTL", bytes(8))),  # warns
        "orientation-6.png": turned("PNG", 6),
        "icc-profile-of-garbage.png": png(grey, rows, png_chunk(b"iCCP", b"x\0\0garbage")),
        "last-rows-missing.png": png(grey, rows[:-18]),  # Pillow does not notice and leaves them black
        "all-but-one-row-missing.png": png(grey, rows[:9]),  # nor here
        "text-of-100-kb.png": png(grey, rows, png_chunk(b"tEXt", b"Comment\0" + b"x" * 100_000)),
        "data-check-missing.png": _with_data(stored[:-4]),
        "unknown-chunk.png": png(grey, rows, png_chunk(b"zoOo", b"?" * 99)),
        "end-chunk-missing.png": plain[: end_at - 4],
        "garbage-after-end.png": plain + b"garbage" * 100,
        "data-checksum-wrong.png": flipped(plain, end_at - 5),
    }
    broken = {
        "half.png": plain[: len(plain) // 2],
        "20-bytes.png": plain[:20],
        "signature-only.png": plain[:8],
        "no-data.png": plain[: data_at - 4] + plain[end_at - 4 :],
        "flipped-pixel-uncompressed.png": _with_data(flipped(stored, 20)),
        "flipped-byte.png": flipped(plain, data_at + 40),
        "header-checksum-wrong.png": flipped(plain, 29),
        "0x0.png": png((0, 0, 8, 0, 0), b""),
        "3-bits.png": png((8, 8, 3, 0, 0), rows),
        "ztxt-bomb.png": png(grey, rows, png_chunk(b"zTXt", b"Comment\0\0" + zeros)),
        "iccp-bomb.png": png(grey, rows, png_chunk(b"iCCP", b"bomb\0\0" + zeros)),
        "ztxt-of-70-times-1-mb.png": png(grey, rows, *[png_chunk(b"zTXt", b"Comment\0\0" + megabyte)] * 70),
    }
    bombs = {"bomb-100-megapixels.png": _bomb(10_000, 10_000), "bomb-400-megapixels.png": _bomb(20_000, 20_000)}
    claims = {"claims-2147483647x2147483647.png": png((2**31 - 1, 2**31 - 1, 8, 6, 0), b"")}
    return {OK: whole, BROKEN: broken, PIXELS: bombs | claims}


def webps() -> Cage:
    """WebP files."""
    picture = base_picture()
    plain = encode(picture, "WEBP", quality=80)
    animated = encode(picture, "WEBP", save_all=True, append_images=later_frames())
    clear = picture.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    return {
        OK: {
            "lossy.webp": plain,
            "lossless.webp": encode(picture, "WEBP", lossless=True),
            "1x1.webp": encode(base_picture(1, 1), "WEBP"),
            "alpha.webp": encode(clear, "WEBP"),
            "animated.webp": animated,
            "orientation-6.webp": turned("WEBP", 6, quality=95),
            "garbage-after-end.webp": plain + b"garbage" * 100,
            "one-colour-by-hand.webp": _one_colour_webp(64, 48),
        },
        BROKEN: {
            "half.webp": plain[: len(plain) // 2],
            "last-10-bytes-missing.webp": plain[:-10],
            "animated-half.webp": animated[: len(animated) // 2],
            "signature-only.webp": b"RIFF\4\0\0\0WEBP",
        },
        PIXELS: {"bomb-268-megapixels.webp": _one_colour_webp(16_383, 16_383)},
    }


def _one_colour_webp(width_px: int, height_px: int) -> bytes:
    """A whole and valid lossless picture of one colour: five codes of one symbol each, so no bits for its pixels."""
    fields = ((width_px - 1, 14), (height_px - 1, 14), (0, 4), (0, 3), *[(1, 4)] * 5)
    bits = at = 0
    for value, length in fields:
        bits, at = bits | value << at, at + length
    body = b"\x2f" + bits.to_bytes(-(-at // 8) + 1, "little")
    chunk = b"VP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gifs() -> Cage:
    """GIF files."""
    picture = base_picture()
    plain = encode(picture, "GIF")
    animated = encode(picture, "GIF", save_all=True, append_images=later_frames())
    return {
        OK: {
            "plain.gif": plain,
            "1x1.gif": _gif((1, 1), (1, 1)),
            "animated.gif": animated,
            "animated-last-frame-cut.gif": animated[:-40],
            "transparent-colour.gif": encode(picture.quantize(8), "GIF", transparency=3),
            "end-missing.gif": plain[:-1],
            "no-palette.gif": _gif((1, 1), (1, 1), palette=False),
            "frame-larger-than-screen.gif": patched(plain, 6, b"\1\0\1\0"),
            "screen-0x0.gif": _gif((0, 0), (1, 1)),
        },
        BROKEN: {
            "half.gif": plain[: len(plain) // 2],
            "signature-only.gif": b"GIF89a",
            "no-frame.gif": _gif((8, 8), None),
            "frame-data-short.gif": _gif((8, 8), (8, 8)),
            "frame-0x0.gif": _gif((8, 8), (0, 0)),
        },
        PIXELS: {
            "screen-65535x65535-frame-1x1.gif": _gif((65535, 65535), (1, 1)),
            "screen-1x1-frame-9000x9000.gif": _gif((1, 1), (9000, 9000)),
        },
    }


def _gif(screen: tuple[int, int], frame: tuple[int, int] | None, *, palette: bool = True) -> bytes:
    """A GIF whose only frame codes one pixel."""
    start = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 * palette, 0, 0) + b"\x10\x20\x30\xff\xff\xff" * palette
    if frame is None:
        return start + b";"
    return start + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\0;"
