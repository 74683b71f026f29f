"""The chains, each readable as a table of contents, and the command line."""
