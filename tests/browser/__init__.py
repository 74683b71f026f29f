"""Pages in a real browser, by make browser."""
