"""Judging: rules on data, gates on models, verdicts."""
