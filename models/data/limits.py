"""Limits as settings; apart from decoding, so that a worker starts without the libraries that check settings."""

from __future__ import annotations

from pydantic import Field

from models.settings import Settings


class DecodeLimits(Settings):
    """What one file may cost."""

    max_bytes: int = Field(
        default=256_000_000, ge=1, description="Largest file that is read, in bytes.", title="Largest file"
    )
    max_pixels: int = Field(
        default=64_000_000, ge=1, description="Largest picture that is decoded, in pixels.", title="Largest picture"
    )


# For pictures that a scan has let in: their digest is checked instead.
NO_LIMITS = DecodeLimits(max_bytes=2**40, max_pixels=2**40)
