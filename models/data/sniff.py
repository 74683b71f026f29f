"""What a file is by its first bytes, whatever its name says; asked before any decoder sees it."""

from __future__ import annotations

# Formats that are decoded. Each more is one more parser that meets hostile bytes.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
SNIFFED_BYTES = 64
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"%PDF-", "PDF"),
    (b"v/1\x01", "EXR"),
    (b"DDS ", "DDS"),
    (b"#?RADIANCE", "HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"qoif", "QOI"),
    (b"BLP1", "BLP"),
    (b"BLP2", "BLP"),
    (b"icns", "ICNS"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%!PS", "EPS"),
    (b"/* XPM */", "XPM"),
    (b"\x01\xda", "SGI"),
)
_PORTABLE = frozenset({b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"PF"})
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"mif1": "HEIC", b"msf1": "HEIC", b"crx ": "CR3"}


def webp_pixels(head: bytes) -> int:
    """Pixels that the header of a WebP promises; 0 where it promises none.

    Pillow's decoder takes their memory before one can ask it for the size.

    Args:
        head: the first `SNIFFED_BYTES` of a WebP file.
    """
    kind, body = head[12:16], head[20:]
    if kind == b"VP8X" and len(body) >= 10:
        return (int.from_bytes(body[4:7], "little") + 1) * (int.from_bytes(body[7:10], "little") + 1)
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and len(body) >= 10:
        return (int.from_bytes(body[6:8], "little") & 0x3FFF) * (int.from_bytes(body[8:10], "little") & 0x3FFF)
    return 0


def sniff_format(head: bytes) -> str | None:
    """Name of the picture or document format that `head` begins; None where no known one does.

    Args:
        head: the first `SNIFFED_BYTES` of a file, or all of a shorter one.

    Example:
        >>> sniff_format(b"GIF89a...")
        'GIF'
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] in (b"\0\0\1\0", b"\0\0\2\0") and head[4:6] not in (b"", b"\0\0"):
        return "ICO" if head[2] == 1 else "CUR"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return _BRANDS.get(brand) or ("HEIC" if brand[:2] == b"he" else None)
    if head[:2] in _PORTABLE and head[2:3].isspace():
        return "PNM"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "SVG" if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text) else None
