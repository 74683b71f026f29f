"""A zoo of awkward files: what people, cameras, broken copies and attackers leave in a folder of pictures.

Every animal is made here, by the same bytes each time, and has the verdict that a scan under default limits owes it.
"""

from __future__ import annotations

import gzip
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tests import zoo_formats as z
from tests.pictures import encode, write_raw_name

EMPTY: z.Verdict = ("unreadable", "empty_file")
NO_IMAGE: z.Verdict = ("unsupported", "not_an_image")
NOT_ALLOWED: z.Verdict = ("unsupported", "format_not_allowed")
SYSTEM: z.Verdict = ("ignored", "system_file")
LINK: z.Verdict = ("ignored", "symlink")
NO_FILE: z.Verdict = ("ignored", "not_a_file")
# All of these show the same upright picture, `z.base_picture()`.
ORIENTED = (
    *(f"jpeg/orientation-{k}.jpg" for k in range(1, 9)),
    *("png/orientation-6.png", "webp/orientation-6.webp", "tiff/orientation-6.tif"),
)
# Animals that are ok, but over which Pillow warns when they are opened, or when their EXIF block is read.
WARNS = frozenset(
    {
        "jpeg/exif-cut-short.jpg",
        "jpeg/orientation-twice.jpg",
        "png/animated-claims-no-frames.png",
        "tiff/unknown-tag-behind-end.tif",
    }
)
# Names of good pictures.
NASTY_NAMES = (
    *("new\nline.png", "return\r.png", "tab\t.png", "escape-\x1b[31m.png", "bell-\a.png", "delete-\x7f.png"),
    *("single'quote.png", 'double"quote.png', "`id`.png", "$(id).png", "back\\slash.png", "%s%n%2e%2e.png"),
    *("<img src=x onerror=alert(1)>.png", "&lt;.png", "](javascript:alert(1)).png", "{{7*7}}.png", "*?[a].png"),
    *("=cmd|' calc'!A1.png", "+1.png", "@SUM(1).png", "-leading-dash.png", "--help", "a,b;c|d.png", "#hash?a=b.png"),
    *(" leading-blank.png", "trailing-blank.png ", "trailing-dot.", "~", "con.png", "nul", "null", "x" * 251 + ".png"),
    *("right-to-left-\u202egpj.png", "\u200bzero-width.png", "\ufeffmark.png", "line-\u2028.png", "\x9b31m.png"),
    *("\U0001f469\u200d\U0001f52c.png", "caf\u00e9.png", "cafe\u0301.png", "twin.png", "TWIN.png", "Twin.PNG"),
    *("latin-\\xe9.png", "folder <b>=1\n/inside.png", "folder.jpg/inside.png", "png-named.jpg", "no-extension"),
    *("double.jpg.exe", "UPPER.JPEG", "wrong.txt", "slices.csv.png"),
)
# The first one and `latin-\\xe9.png` above are easily written the same.
RAW_NAMES = (b"latin-\xe9.png", b"\xff\xfe\xfd.png", b"surrogate-\xed\xa0\x80.png", b"cut-emoji-\xf0\x9f\x91.png")
_TOO_MANY_BYTES = 256_000_001


class Animal(NamedTuple):
    """A file by its relative, posix name, and what a scan is to say of it."""

    name: str
    data: bytes
    status: str
    reason: str | None


def animals() -> list[Animal]:
    """All animals that are plain bytes under plain names, the same each time."""
    cages = {"jpeg": z.jpegs(), "png": z.pngs(), "gif": z.gifs(), "bmp": bmps(), "tiff": tiffs(), "webp": z.webps()}
    cages["other"] = others()
    return [
        Animal(f"{folder}/{name}", data, *verdict)
        for folder, cage in cages.items()
        for verdict, found in cage.items()
        for name, data in found.items()
    ]


def write_zoo(folder: Path) -> dict[str, z.Verdict]:
    """Writes all animals, nasty names and entries that are no files; the verdicts by `os.fsdecode`d relative name.

    A reader that is not root also meets a file and a folder that it may not read: whoever removes the zoo must
    be able to `chmod` them, as pytest is.
    """
    expected: dict[str, z.Verdict] = {}
    for animal in animals():
        _write(folder / animal.name, animal.data)
        expected[animal.name] = (animal.status, animal.reason)
    for k, name in enumerate(NASTY_NAMES):
        _write(folder / "names" / name, _small_picture(k))
        expected[f"names/{name}"] = z.OK
    for k, raw in enumerate(RAW_NAMES):
        write_raw_name(folder / "names", raw, _small_picture(100 + k))
        expected[f"names/{os.fsdecode(raw)}"] = z.OK
    return expected | _write_system_files(folder) | _write_special(folder, "special") | _write_denied(folder)


def _write_system_files(folder: Path) -> dict[str, z.Verdict]:
    """Hidden and system files; a folder of that kind is one entry, whatever lies in it. One table beside."""
    names = (".hidden.png", "._x.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "special/THUMBS.DB", "...", "..x.png")
    inside = {".git": "picture.png", "__MACOSX": "._x.jpg", "special/.ipynb_checkpoints": "a-checkpoint.png"}
    for name in (*names, *(f"{place}/{name}" for place, name in inside.items())):
        _write(folder / name, _small_picture(200))
    _write(folder / "slices.csv", b"path,camera\njpeg/progressive.jpg,left\n")
    return dict.fromkeys((*names, *inside), SYSTEM) | {"slices.csv": ("ignored", "sidecar")}


def _write_special(root: Path, place: str) -> dict[str, z.Verdict]:
    """Entries that are no regular files, and a file that is large only by its length."""
    folder = root / place
    (folder / "empty-folder.png").mkdir(parents=True)
    links = {
        "link-to-file.png": "../png/1x1.png",
        "link-to-nothing.png": "nowhere.png",
        "link-to-itself.png": "link-to-itself.png",
        "link-to-device.png": "/dev/zero",
        "link-to-own-folder": ".",
        "link-to-root": "/",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.png")
    os.mknod(folder / "socket.png", stat.S_IFSOCK | 0o600)  # bind() takes no more than 107 bytes of path
    _write(folder / "sparse.png", _small_picture(201))
    os.truncate(folder / "sparse.png", _TOO_MANY_BYTES)
    expected = dict.fromkeys(links, LINK) | dict.fromkeys(("pipe.png", "socket.png"), NO_FILE)
    expected["sparse.png"] = ("too_large", "too_many_bytes")
    return {f"{place}/{name}": verdict for name, verdict in expected.items()}


def _write_denied(folder: Path) -> dict[str, z.Verdict]:
    if os.geteuid() == 0:
        return {}
    _write(folder / "denied" / "closed.png", _small_picture(202))
    _write(folder / "denied" / "closed-folder" / "inside.png", _small_picture(203))
    (folder / "denied" / "closed.png").chmod(0)
    (folder / "denied" / "closed-folder").chmod(0)
    return {
        "denied/closed.png": ("denied", "permission_denied"),
        "denied/closed-folder": ("denied", "unreadable_folder"),
    }


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _small_picture(tint: int) -> bytes:
    return encode(Image.new("RGB", (8, 8), (tint, 90, 90)), "PNG")


def others() -> z.Cage:
    """Files that are no pictures, or pictures of formats that are not allowed."""
    picture, text = z.base_picture(), b"line 3 was stopped at 02:10\n"
    png, jpeg = encode(picture, "PNG"), encode(picture, "JPEG")
    return {
        EMPTY: {"zero-bytes.jpg": b"", "zero-bytes": b""},
        NO_IMAGE: {
            "one-byte.jpg": b"\xff",
            "half-a-signature.png": png[:4],
            "zeros.png": bytes(1000),
            "text.jpg": text,
            "utf-16.txt": text.decode().encode("utf-16"),
            "web-page.jpg": b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
            "answer.png": b'{"error": "not found"}',
            "program.jpg": b"\x7fELF\2\1\1" + bytes(200),
            "archive.jpg": b"PK\3\4\x14" + bytes(200),
            "gzipped-png.png": gzip.compress(png, mtime=0),
            "newline-before.jpg": b"\n" + jpeg,
            "text-mode-copy.png": png.replace(b"\r\n", b"\n"),
            "sound.webp": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(24),
            "film.jpg": _boxed(b"isom"),
            "targa.tga": encode(picture, "TGA", compression="tga_rle"),
            "targa-that-begins-as-a-cursor.tga": encode(picture, "TGA"),
            "slices.csv": b"path,camera\n",  # a table of that name counts in the top folder only
            "labels.csv": b"path,label\n",
        },
        NOT_ALLOWED: {
            "icon.ico": encode(picture, "ICO"),
            "phone.heic": _boxed(b"heic"),
            "phone.jpg": _boxed(b"mif1"),
            "picture.avif": _boxed(b"avif"),
            "picture.jp2": encode(picture, "JPEG2000"),
            "code-stream.j2k": encode(picture, "JPEG2000", no_jp2=True),
            "picture.psd": b"8BPS\0\1" + bytes(100),
            "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
            "drawing-xml.svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "paper.pdf": b"%PDF-1.7\n%%EOF\n",
            "portable.ppm": encode(picture, "PPM"),
            "texture.dds": encode(picture, "DDS"),
            "light.exr": b"v/1\1\2\0\0\0" + bytes(100),
            "boxed.jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50),
            "bare.jxl": b"\xff\x0a" + bytes(50),
        },
    }


def _boxed(brand: bytes) -> bytes:
    """The first box of a file of the MP4 family."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + brand + b"mif1" + bytes(100)


def bmps() -> z.Cage:
    """BMP files."""
    plain = encode(z.base_picture(), "BMP")
    rows = z.TILE.tobytes()
    run = b"".join(bytes([8, 0x10 * k, 0, 0]) for k in range(8)) + b"\0\1"
    return {
        z.OK: {
            "24-bit.bmp": plain,
            "32-bit.bmp": encode(z.base_picture().convert("RGBA"), "BMP"),
            "1-bit.bmp": _bmp((8, 8), 1, b"\xa5\0\0\0" * 8, colours=2),
            "4-bit.bmp": _bmp((8, 8), 4, rows[:32], colours=16),
            "8-bit.bmp": _bmp((8, 8), 8, rows, colours=256),
            "16-bit.bmp": _bmp((4, 8), 16, rows),
            "run-length-8.bmp": _bmp((8, 8), 8, run, colours=256, packing=1),
            "run-length-4.bmp": _bmp((8, 8), 4, run, colours=16, packing=2),
            "top-down.bmp": _bmp((8, -8), 8, rows, colours=256),
        },
        z.BROKEN: {
            "half.bmp": plain[: len(plain) // 2],
            "last-byte-missing.bmp": plain[:-1],
            "run-length-ends-early.bmp": _bmp((8, 8), 8, run[:8] + b"\0\1", colours=256, packing=1),
            "signature-only.bmp": b"BM",
            "text-that-begins-with-bm.txt": b"BMW sold fewer cars this year.\n" * 9,
            "0x0.bmp": _bmp((0, 0), 24, b""),
            "7-bit.bmp": _bmp((8, 8), 7, rows, colours=2),
            "palette-of-4-billion.bmp": _bmp((8, 8), 8, rows, colours=2**32 - 1),
            "data-behind-end.bmp": z.patched(plain, 10, b"\xff\xff\xff\x7f"),
        },
        z.PIXELS: {
            "claims-2147483647x2147483647.bmp": _bmp((2**31 - 1, 2**31 - 1), 24, b""),
            "claims-9000x-9000.bmp": _bmp((9000, -9000), 1, b"", colours=2),
        },
    }


def _bmp(size: tuple[int, int], bits: int, body: bytes, *, colours: int = 0, packing: int = 0) -> bytes:
    palette = b"".join(bytes([k * 255 // 16 % 256, k % 256, 255 - k % 256, 0]) for k in range(min(colours, 256)))
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, bits, packing, len(body), 0, 0, colours, 0) + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


def tiffs() -> z.Cage:
    """TIFF files."""
    picture = z.base_picture()
    plain, lzw = encode(picture, "TIFF"), encode(picture, "TIFF", compression="tiff_lzw")
    packed = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg")
    whole = {f"{name.replace('_', '-')}.tif": encode(picture, "TIFF", compression=name) for name in packed}
    modes = ("P", "RGBA", "CMYK", "YCbCr", "LAB")  # the profile that Pillow adds to LAB holds the time
    whole |= {f"{m.lower()}.tif": encode(picture.convert(m), "TIFF", icc_profile=b"") for m in modes}
    whole |= {
        "plain.tif": plain,
        "fax-group-4.tif": encode(picture.convert("1"), "TIFF", compression="group4"),
        "three-pages.tif": encode(picture, "TIFF", save_all=True, append_images=z.later_frames()),
        "16-bit.tif": encode(Image.fromarray(z.TILE.astype(np.uint16) * 257), "TIFF"),
        "big-tiff.tif": encode(picture, "TIFF", big_tiff=True),
        "orientation-6.tif": z.turned("TIFF", 6),
        "big-endian.tif": _tiff({}, ">"),
        "16-bit-big-endian.tif": _tiff({256: 4, 258: 16}, ">"),
        "next-page-is-itself.tif": _tiff({}, next_page=8),
        "exif-is-itself.tif": _tiff({0x8769: 8}),
        "unknown-tag-behind-end.tif": _tiff({65000: (2**30, 2**31)}),  # warns
        "strip-of-0-bytes.tif": _tiff({279: 0}),  # Pillow reads on to the end of the file
        "orientation-99.tif": _tiff({274: 99}),
    }
    return {
        z.OK: whole,
        z.MODE: {
            "float.tif": encode(Image.fromarray(z.TILE.astype(np.float32) / 255), "TIFF"),
            "32-bit-integer.tif": encode(Image.fromarray(z.TILE.astype(np.int32) * 1000), "TIFF"),
            "signed-16-bit.tif": _tiff({256: 4, 258: 16, 339: 2}),
        },
        z.BROKEN: {
            "half.tif": plain[: len(plain) // 2],
            "last-byte-missing.tif": _tiff({})[:-1],
            "lzw-garbage.tif": z.flipped(lzw, *range(40, 80)),
            "signature-only.tif": b"II*\0",
            "directory-behind-end.tif": b"II*\0" + struct.pack("<I", 2**31) + bytes(50),
            "4-billion-strips.tif": _tiff({273: (2**32 - 1, 8), 279: (2**32 - 1, 8)}),
            "strip-behind-end.tif": _tiff({273: 2**31}),
            "unknown-compression.tif": _tiff({259: 65001}),
        },
        z.PIXELS: {
            "claims-60000x60000.tif": _tiff({256: 60_000, 257: 60_000}),
            "claims-4294967295x4294967295.tif": _tiff({256: 2**32 - 1, 257: 2**32 - 1}),
        },
    }


def _tiff(changes: dict[int, int | tuple[int, int]], order: str = "<", next_page: int = 0) -> bytes:
    """A grey picture of 8x8, with other entries: a number, or how many numbers and where they lie."""
    entries = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 8, 279: 64} | changes
    entries[273] = entries[273] or 8 + 2 + 12 * len(entries) + 4
    listed = [(tag, 4, *(value if isinstance(value, tuple) else (1, value))) for tag, value in sorted(entries.items())]
    directory = b"".join(struct.pack(order + "HHII", *entry) for entry in listed)
    start = b"II*\0" if order == "<" else b"MM\0*"
    count, end = struct.pack(order + "IH", 8, len(listed)), struct.pack(order + "I", next_page)
    return start + count + directory + end + z.TILE.tobytes()
