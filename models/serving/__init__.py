"""Export, bundles, batch scoring and drift. Scoring needs no torch."""
