"""Pages that a person reads, made from sealed records only."""
