"""Nouns and numbers: artifacts, data, networks, learning, serving. No Prefect, no Great Expectations."""
