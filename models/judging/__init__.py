"""How good a model is, where it fails, when it should not answer, and why it says what it says. Needs no torch."""
