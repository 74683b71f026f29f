"""Sealed files, their schemas and records, and the folders they live in."""
