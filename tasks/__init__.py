"""One reusable Prefect task a file: open sealed inputs, one call below, seal the output."""
