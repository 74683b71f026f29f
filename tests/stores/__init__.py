"""Scoring from and to an object store."""
