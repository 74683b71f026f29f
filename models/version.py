"""The version that is written into every artifact and every cache key."""

__version__ = "0.3.0"
